//! Tests as Markdown, for the summary of a CI job or a comment on a pull request. What tests are
//! called and say comes from the outside: none of it may become markup.

use std::fmt::Write;

use hoist_model::results::{Listed, TestState};
use hoist_model::state::RunState;

use super::{Selection, count, counts, place};
use crate::lines::clean;
use crate::words;

/// The longest text of a failure that is shown, bytes; the places that show Markdown have bounds.
const TEXT: usize = 4 << 10;

/// The tests of a run.
#[must_use]
pub fn markdown(run: &RunState, tests: &[Listed<'_>], selection: Selection) -> String {
    let mut out = format!(
        "## Tests of {}\n\n{}\n",
        escaped(&run.project),
        counts(&count(tests))
    );
    let (shown, more) = selection.for_people(tests);
    if !shown.is_empty() {
        out.push_str("\n| | test | step | time |\n|---|---|---|---|\n");
    }
    for listed in shown {
        let state = listed.case.state().name();
        let name = escaped(&words::test_name(listed.case));
        let step = escaped(listed.step.as_str());
        let time = words::duration(listed.case.duration);
        let _ = writeln!(out, "| {state} | {name} | {step} | {time} |");
    }
    if more > 0 {
        let _ = writeln!(out, "\nand {}", words::count(more, "more test"));
    }
    for listed in shown {
        let case = listed.case;
        let Some(why) = case.failure().or(case.earlier.last()) else {
            continue;
        };
        let name = escaped(&words::test_name(case));
        let place = place(case).map(|place| format!(", {}", escaped(&place)));
        let note = match case.state() {
            TestState::Flaky => format!(" ({})", escaped(&words::flaky(case))),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "\n<details><summary>{name}{}{note}</summary>\n",
            place.unwrap_or_default()
        );
        let text = if why.text.trim().is_empty() {
            &why.message
        } else {
            &why.text
        };
        out.push_str(&fenced(text));
        out.push_str("\n</details>\n");
    }
    out
}

/// Text that is no markup, on one line.
pub(super) fn escaped(text: &str) -> String {
    let text = clean(text.replace(['\n', '\r', '\t'], " ").as_bytes(), false);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // A mention would write to people.
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '!' | '|' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A block of text with a fence that the text does not hold.
fn fenced(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| clean(line.as_bytes(), false))
        .collect();
    let mut text = lines.join("\n");
    if text.len() > TEXT {
        let end = (0..=TEXT).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push_str("\n...");
    }
    let ticks = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(ticks.max(2) + 1);
    format!("{fence}text\n{text}\n{fence}\n")
}
