//! The formats in which test tools tell their results, and what all readers of them share: bounds,
//! text from bytes, the line that says most. What they read comes out of containers and is not
//! trusted; a file that exceeds a bound is refused with a reason, and none is guessed at.

use std::borrow::Cow;
use std::sync::LazyLock;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::{TestCase, TestOutcome, go_json, junit, tap};

/// The largest file that is read, bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// The most test cases that are read from one file.
pub const MAX_CASES: usize = 100_000;
/// The most that is kept of a case's output, and of its failure, bytes.
pub const MAX_TEXT: usize = 64 << 10;
/// The most that is kept of a name, a place or a one-line message, bytes.
pub const MAX_NAME: usize = 4 << 10;
/// The deepest nesting: elements of XML, subtests of TAP.
pub(super) const MAX_DEPTH: usize = 64;

/// A format of test results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestFormat {
    /// JUnit's XML, in the dialects of its many writers.
    Junit,
    /// The Test Anything Protocol, versions 12 to 14.
    Tap,
    /// The JSON lines of `go test -json`.
    GoJson,
}

impl TestFormat {
    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Junit => "JUnit",
            Self::Tap => "TAP",
            Self::GoJson => "output of `go test -json`",
        }
    }

    /// Its key under `artifacts.reports`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Junit => "junit",
            Self::Tap => "tap",
            Self::GoJson => "go_json",
        }
    }

    /// Reads the test cases of one file, in their order.
    ///
    /// # Errors
    /// When the file is none of this format, is broken or cut off, or exceeds a bound.
    pub fn read(self, name: &str, bytes: &[u8]) -> Result<Vec<TestCase>, Unreadable> {
        let read = match self {
            _ if bytes.len() > MAX_BYTES => Err(format!(
                "it has {} bytes; at most {MAX_BYTES} are read",
                bytes.len()
            )),
            _ if is_blank(bytes) => Err("it is empty".to_owned()),
            Self::Junit => junit::read(bytes),
            Self::Tap => tap::read(name, bytes),
            Self::GoJson => go_json::read(bytes),
        };
        let read = read.map(|mut cases| {
            cases.iter_mut().for_each(bound);
            cases
        });
        read.map_err(|why| Unreadable {
            name: name.to_owned(),
            format: self,
            why,
        })
    }
}

/// A file that cannot be read in the format that it is said to have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is not readable as {}: {why}", .format.name())]
pub struct Unreadable {
    /// The file, as it was named.
    pub name: String,
    /// What it should be.
    pub format: TestFormat,
    /// What is wrong with it.
    pub why: String,
}

fn is_blank(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.trim_ascii().is_empty()
}

pub(super) fn too_many() -> String {
    format!("it has more than {MAX_CASES} tests")
}

/// Bytes as text: by their byte order mark, else as UTF-8, else in the encoding of that name, else
/// as UTF-8 with U+FFFD where it is none. Text that is UTF-8 is read as such whatever it is said
/// to be.
pub(super) fn text<'a>(bytes: &'a [u8], said: Option<&str>) -> Cow<'a, str> {
    let (encoding, bytes) = match bytes {
        // XML in UTF-16 without a mark begins with `<`.
        [b'<', 0, ..] => (Some(UTF_16LE), bytes),
        [0, b'<', ..] => (Some(UTF_16BE), bytes),
        _ => match Encoding::for_bom(bytes) {
            Some((encoding, mark)) => (Some(encoding), bytes.get(mark..).unwrap_or_default()),
            None => (None, bytes),
        },
    };
    if let Some(encoding) = encoding {
        return encoding.decode_without_bom_handling(bytes).0;
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let said = said.and_then(|label| Encoding::for_label(label.as_bytes()));
    match said.filter(|encoding| encoding.is_ascii_compatible()) {
        Some(encoding) => encoding.decode_without_bom_handling(bytes).0,
        None => String::from_utf8_lossy(bytes),
    }
}

static COLOUR: LazyLock<Regex> = LazyLock::new(|| pattern(r"\x1b\[[0-9;?]*[A-Za-z]"));

/// The text without a terminal's colours.
pub(super) fn without_colours(text: &str) -> Cow<'_, str> {
    COLOUR.replace_all(text, "")
}

/// A pattern of this crate's own.
#[expect(
    clippy::expect_used,
    reason = "patterns are constants, and each is compiled by a test of its reader"
)]
pub(super) fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is right")
}

/// The first line that is not empty and not one of Go's markers, such as `=== RUN   TestX`.
pub(super) fn telling_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| is_telling(line))
}

fn is_telling(line: &str) -> bool {
    !(line.is_empty() || line.starts_with("=== ") || line.starts_with("--- "))
}

/// The first line that says why the test of that name did not pass.
pub(super) fn said<'a>(texts: &[&'a str], name: &str) -> Option<&'a str> {
    let known = format!("::{name}");
    let lines = || {
        let lines = texts.iter().flat_map(|text| text.lines()).map(str::trim);
        lines.filter(|line| is_telling(line))
    };
    let says = |line: &&str| {
        // Of nextest's first line the next one is the better: it has the number of a thread.
        let panicked = line.starts_with("thread '") && line.contains(" panicked at ");
        // PHPUnit begins with the test's name and its data.
        let named = line.split_once(&known).is_some_and(|(class, data)| {
            !class.contains(' ') && (data.is_empty() || data.starts_with(" ("))
        });
        !(NOTHING.is_match(line) || panicked || named)
    };
    lines()
        .find(says)
        .or_else(|| lines().find(|line| *line != "Failed"))
}

/// What writers put where a message goes and that is none: gotestsum, pytest and GoogleTest one
/// word for all, Jest a heading, Perl the name again, Bats, GoogleTest and Perl the place.
static NOTHING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x)^(?:
            Failed | collection\ failure | unknown\ file | ●.* | \S+:\d+
            | \(? (?:from\ function|in\ test\ file|in\ file) \ .* ,\ line\ \d+ [,)]
            | Failed\ (?:\((?i:todo)\)\ )?test\b.* | at\ \S+\ line\ \d+\.
        )$",
    )
});

/// Cuts what is meant to be short. Long texts were capped where they were read.
fn bound(case: &mut TestCase) {
    let names = [&mut case.suite, &mut case.class, &mut case.name];
    names.into_iter().for_each(cut);
    case.file.iter_mut().for_each(cut);
    let failures = match &mut case.outcome {
        TestOutcome::Failed(failure) | TestOutcome::Errored(failure) => Some(failure),
        TestOutcome::Skipped { message } => {
            message.iter_mut().for_each(cut);
            None
        }
        TestOutcome::Passed => None,
    };
    for failure in failures.into_iter().chain(&mut case.earlier) {
        cut(&mut failure.message);
        cut(&mut failure.kind);
    }
}

fn cut(text: &mut String) {
    if text.len() > MAX_NAME {
        let end = (0..=MAX_NAME - 3)
            .rev()
            .find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
}

/// Beginning and end, where it is longer than [`MAX_TEXT`].
pub(super) fn capped(text: String) -> String {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let half = MAX_TEXT / 2 - 32;
    let head = (0..=half)
        .rev()
        .find_map(|end| text.get(..end))
        .unwrap_or_default();
    let tail = (text.len() - half..text.len()).find_map(|start| text.get(start..));
    let tail = tail.unwrap_or_default();
    let left_out = text.len() - head.len() - tail.len();
    format!("{head}\n[... {left_out} bytes left out ...]\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_the_encoding_that_it_has() {
        let utf16 = |order: fn(u16) -> [u8; 2], text: &str| -> Vec<u8> {
            text.encode_utf16().flat_map(order).collect()
        };
        for (bytes, said, expected) in [
            ("é".into(), None, "é"),
            ("é".into(), Some("ISO-8859-1"), "é"),
            ("é".into(), Some("UTF-16"), "é"),
            ("\u{feff}é".into(), None, "é"),
            (b"<\xe9".to_vec(), Some("iso-8859-1"), "<é"),
            (b"<\x80".to_vec(), Some("windows-1252"), "<€"),
            (b"<\xe9".to_vec(), Some("UTF-16"), "<\u{fffd}"),
            (b"<\xe9".to_vec(), Some("no-such"), "<\u{fffd}"),
            (b"<\xe9".to_vec(), None, "<\u{fffd}"),
            (utf16(u16::to_le_bytes, "\u{feff}é日"), None, "é日"),
            (utf16(u16::to_be_bytes, "\u{feff}é日"), None, "é日"),
            (utf16(u16::to_le_bytes, "<é"), None, "<é"),
            (utf16(u16::to_be_bytes, "<é"), None, "<é"),
        ] {
            let bytes: Vec<u8> = bytes;
            assert_eq!(text(&bytes, said), expected, "{bytes:?} as {said:?}");
        }
    }
}
