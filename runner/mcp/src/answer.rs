//! How much an answer may hold, and how errors are put to a model.

use hoist_model::reason::Trouble;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::Value;

use crate::host::Fault;

/// What an answer holds unless more is asked for, bytes.
pub(crate) const USUAL: usize = 16 << 10;
/// What may be asked for, bytes: an answer holds its data twice, and both fit into [`CAP`].
pub(crate) const MOST: usize = 28 << 10;
/// What no answer exceeds, bytes.
const CAP: usize = 64 << 10;

/// The bytes that an answer may hold.
///
/// # Errors
/// When more is asked for than can be had.
pub(crate) fn budget(asked: Option<usize>) -> Result<usize, Trouble> {
    match asked {
        None => Ok(USUAL),
        Some(bytes @ 1024..=MOST) => Ok(bytes),
        Some(bytes) => Err(
            Trouble::new(format!("max_bytes cannot be {bytes}")).hint(format!(
                "give a number from 1024 to {MOST}, or leave it out"
            )),
        ),
    }
}

/// The answer of a tool.
pub(crate) fn good(value: Value) -> CallToolResult {
    let answer = CallToolResult::structured(value);
    let size = serde_json::to_vec(&answer).map_or(usize::MAX, |bytes| bytes.len());
    if size <= CAP {
        return answer;
    }
    bad(
        &Trouble::new(format!("the answer would be {size} bytes, more than {CAP}"))
            .hint("ask for less: a smaller limit or max_bytes, or fewer steps"),
    )
}

/// A tool that could not do its work.
pub(crate) fn bad(trouble: &Trouble) -> CallToolResult {
    let mut text = trouble.what.clone();
    for (word, more) in [("cause", &trouble.cause), ("try", &trouble.hint)] {
        if let Some(more) = more {
            text.push_str(&format!("\n{word}: {more}"));
        }
    }
    let text = crate::text::short(&crate::text::clean(&text), USUAL / 2);
    CallToolResult::error(vec![ContentBlock::text(text)])
}

/// Faults of a file as one trouble.
pub(crate) fn faults(file: &str, faults: &[Fault]) -> Trouble {
    let said = faults.iter().map(|fault| {
        let place = match (fault.line, fault.column) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            (Some(line), None) => format!(":{line}"),
            (None, _) => String::new(),
        };
        let help = fault.help.as_deref();
        let help = help.map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{file}{place}: {}{help}", fault.message)
    });
    Trouble::new(format!("{file} is not valid"))
        .cause(said.collect::<Vec<_>>().join("\n"))
        .hint("mend the file; validate_pipeline checks it without an engine")
}

/// Several troubles as one.
pub(crate) fn troubles(all: &[Trouble]) -> Trouble {
    let mut all = all.iter();
    let Some(first) = all.next() else {
        return Trouble::new("the run cannot begin");
    };
    let more: Vec<_> = all.map(|trouble| trouble.what.clone()).collect();
    if more.is_empty() {
        return first.clone();
    }
    let cause = first.cause.iter().cloned().chain(more);
    let mut trouble = Trouble::new(first.what.clone()).cause(cause.collect::<Vec<_>>().join("\n"));
    trouble.hint.clone_from(&first.hint);
    trouble
}
