//! One line of TAP. Whether a line is the protocol's is decided by its form alone.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use super::Found;
use crate::results::format::{pattern, said};

/// What a line is.
pub(super) enum Line<'a> {
    Version,
    Plan {
        count: usize,
        skips: Option<String>,
    },
    Point(Point),
    /// Its text, without the mark.
    Comment(&'a str),
    /// The beginning of a YAML block.
    Yaml,
    BailOut(String),
    Other,
}

/// `ok` or `not ok`.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) ok: bool,
    pub(super) number: Option<String>,
    pub(super) name: String,
    pub(super) directive: Option<Directive>,
    pub(super) time: Option<Duration>,
}

/// Why a point is not to be counted, with the reason.
#[derive(Clone, Debug)]
pub(super) enum Directive {
    Skip(String),
    Todo(String),
}

static POINT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(?<not>not )?ok(?:\s+(?<number>\d+))?(?:\s+-)?(?:\s+(?<rest>.*))?$")
});
static PLAN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^1\.\.(?<count>\d+)\s*(?:#\s*(?i:skip\S*)\s*(?<reason>.*))?$"));
/// A mark that is escaped is part of the name.
static DIRECTIVE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?<name>(?:|.*?[^\\]))\s*#\s*(?i:(?<skip>skip\S*)|(?<todo>todo\b:?))\s*(?<reason>.*)$",
    )
});
/// node-tap's.
static TIME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\s*# time=(?<time>\d+(?:\.\d+)?)(?<unit>ms|s)\s*$"));
/// Bats', with `--timing`.
static TIMED_NAME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(?<name>.*) in (?<time>\d+)(?<unit>ms|sec)$"));

impl<'a> Line<'a> {
    pub(super) fn read(content: &'a str) -> Self {
        let content = content.trim_end();
        if let Some(comment) = content.strip_prefix('#') {
            return Self::Comment(comment.strip_prefix(' ').unwrap_or(comment));
        }
        if content.starts_with("TAP version ") {
            return Self::Version;
        }
        if content == "---" {
            return Self::Yaml;
        }
        if let Some(reason) = content.strip_prefix("Bail out!") {
            return Self::BailOut(reason.trim().to_owned());
        }
        if let Some(plan) = PLAN.captures(content) {
            // A count that is no number is no plan that could be kept.
            let count = plan
                .name("count")
                .and_then(|count| count.as_str().parse().ok());
            let skips = plan.name("reason").map(|reason| reason.as_str().to_owned());
            return Self::Plan {
                count: count.unwrap_or(usize::MAX),
                skips,
            };
        }
        POINT.captures(content).map_or(Self::Other, |found| {
            let text = |name| found.name(name).map(|text| text.as_str().to_owned());
            Self::Point(Point::read(
                found.name("not").is_none(),
                text("number"),
                text("rest").unwrap_or_default(),
            ))
        })
    }
}

impl Point {
    fn read(ok: bool, number: Option<String>, mut rest: String) -> Self {
        let timed = TIME.captures(&rest).and_then(|found| {
            let time = duration(found.name("time")?.as_str(), found.name("unit")?.as_str())?;
            Some((found.get(0)?.start(), time))
        });
        let time = timed.map(|(at, time)| {
            rest.truncate(at);
            time
        });
        let found = DIRECTIVE.captures(&rest).map(|found| {
            let text = |name| found.name(name).map(|text| text.as_str().trim().to_owned());
            let reason = text("reason").unwrap_or_default();
            let directive = if found.name("skip").is_some() {
                Directive::Skip(reason)
            } else {
                Directive::Todo(reason)
            };
            (text("name").unwrap_or_default(), directive)
        });
        let (name, directive) = match found {
            Some((name, directive)) => (name, Some(directive)),
            None => (rest, None),
        };
        Self {
            ok,
            number,
            name: unescaped(name.trim()),
            directive,
            time,
        }
    }
}

/// A name without the escapes of `#` and of the escape itself.
pub(super) fn unescaped(name: &str) -> String {
    name.replace("\\#", "#").replace("\\\\", "\\")
}

fn duration(number: &str, unit: &str) -> Option<Duration> {
    let number: f64 = number.parse().ok()?;
    let seconds = if unit == "ms" {
        number / 1000.0
    } else {
        number
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// Takes the times off the names where all that passed have one: with them a test would be called
/// otherwise in each run.
pub(super) fn take_times_from_names(all: &mut [Found]) {
    let timed = |found: &Found| TIMED_NAME.is_match(&found.point.name);
    let mut passed = all.iter().filter(|found| found.point.ok);
    if !all.iter().any(timed) || !passed.all(timed) {
        return;
    }
    for found in all {
        let split = TIMED_NAME.captures(&found.point.name).and_then(|parts| {
            let time = duration(parts.name("time")?.as_str(), parts.name("unit")?.as_str())?;
            Some((parts.name("name")?.as_str().to_owned(), time))
        });
        if let Some((name, time)) = split {
            found.point.name = name;
            found.point.time = Some(time);
        }
    }
}

/// What diagnostics say in one line.
pub(super) fn message(diagnostics: &str, name: &str) -> Option<String> {
    let first = said(&[diagnostics], name)?;
    // Perl says what it got and what it expected on a line each.
    let mut after = diagnostics
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != first);
    match after.nth(1) {
        Some(second) if first.starts_with("got:") && second.starts_with("expected:") => {
            Some(format!("{first}, {second}"))
        }
        _ => Some(first.to_owned()),
    }
}
