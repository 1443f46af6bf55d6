//! A few scalars of a YAML block, by their keys wherever they stand: what failed, where, and how
//! long it took. It is no parser of YAML; what it does not know stays text.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use crate::results::format::{pattern, said, telling_line};

/// Keys that are looked at. Writers differ: Bats `message`, Node `error` and `location`, node-tap
/// `fileName` and `lineNumber`, tape `at`, `expected` and `actual`.
const KEYS: [&str; 11] = [
    "message",
    "error",
    "expected",
    "actual",
    "duration_ms",
    "location",
    "at",
    "file",
    "line",
    "fileName",
    "lineNumber",
];

static PLACE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|\()(?:file://)?(?<file>[^()]+?):(?<line>\d+)(?::\d+)?\)?$"));

/// The scalars by their keys, each as it is told first; one of several lines without its
/// indentation.
pub(super) fn scalars(block: &str) -> BTreeMap<&str, String> {
    let mut found = BTreeMap::new();
    let mut lines = block.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((key, value)) = line.trim_start().split_once(':') else {
            continue;
        };
        if !KEYS.contains(&key) || found.contains_key(key) {
            continue;
        }
        let indent = indent(line);
        let value = match value.trim() {
            "|" | "|-" | "|+" | ">" | ">-" | ">+" => {
                let belongs = |line: &&str| line.trim().is_empty() || self::indent(line) > indent;
                let mut text = String::new();
                while let Some(line) = lines.next_if(belongs) {
                    text.push_str(line.trim());
                    text.push('\n');
                }
                text.trim().to_owned()
            }
            value => unquoted(value),
        };
        if !value.is_empty() {
            found.insert(key, value);
        }
    }
    found
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn unquoted(value: &str) -> String {
    let inside = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    match (inside('\''), inside('"')) {
        (Some(text), _) => text.replace("''", "'"),
        (None, Some(text)) => text.replace("\\\"", "\"").replace("\\\\", "\\"),
        (None, None) => value.to_owned(),
    }
}

/// What failed, of the test of that name.
pub(super) fn message(scalars: &BTreeMap<&str, String>, name: &str) -> Option<String> {
    let get = |key| scalars.get(key);
    if let Some(text) = get("message").or_else(|| get("error")) {
        let first = said(&[text], name)?;
        // Node says what it expected on the lines after.
        let rest = text.split_once(first);
        let rest = rest.and_then(|(_, rest)| telling_line(rest));
        return Some(match rest.filter(|_| first.ends_with(':')) {
            Some(rest) => format!("{first} {rest}"),
            None => first.to_owned(),
        });
    }
    let (expected, actual) = (get("expected")?, get("actual")?);
    let one_line = !expected.contains('\n') && !actual.contains('\n');
    one_line.then(|| format!("expected {expected}, actual {actual}"))
}

/// How long it took.
pub(super) fn time(scalars: &BTreeMap<&str, String>) -> Option<Duration> {
    let millis: f64 = scalars.get("duration_ms")?.parse().ok()?;
    Duration::try_from_secs_f64(millis / 1000.0).ok()
}

/// Where it is written: the file, and the line from 1.
pub(super) fn place(scalars: &BTreeMap<&str, String>) -> Option<(String, usize)> {
    let pair = |file, line| {
        let line = scalars.get(line)?.parse().ok()?;
        Some((scalars.get(file)?.clone(), line))
    };
    let joined = |key| {
        let found = PLACE.captures(scalars.get(key)?)?;
        let line = found.name("line")?.as_str().parse().ok()?;
        Some((found.name("file")?.as_str().to_owned(), line))
    };
    pair("fileName", "lineNumber")
        .or_else(|| pair("file", "line"))
        .or_else(|| joined("location"))
        .or_else(|| joined("at"))
        .filter(|(_, line)| *line > 0)
}
