//! JUnit files that tests leave in containers, in the dialects of pytest, cargo-nextest, gotestsum,
//! Node and Jest, Surefire, PHPUnit, CTest, GoogleTest and Bats. They are not trusted: a document
//! type is refused, no entity is expanded, and what exceeds a bound is refused with a reason.
//!
//! Read with an XML tree of our own choosing of fields: what is known as JUnit has no schema that
//! its writers keep to. What suites print outside of their cases is let be.

#[cfg(test)]
mod tests;

use std::sync::LazyLock;
use std::time::Duration;

use regex::{Captures, Regex};
use roxmltree::{Document, Node, ParsingOptions};

use super::{TestCase, TestFailure, TestOutcome};

/// The largest file that is read, bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// The most test cases that are read from one file.
pub const MAX_CASES: usize = 100_000;
/// The most that is kept of a case's output, and of its failure, bytes.
pub const MAX_TEXT: usize = 64 << 10;
/// The deepest nesting of suites.
const MAX_DEPTH: usize = 64;
/// Elements and texts of one file: ten for each case.
const MAX_NODES: u32 = 1_000_000;

/// A file that cannot be read as JUnit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is not readable as JUnit: {why}")]
pub struct Unreadable {
    /// The file, as it was named.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

/// Reads the test cases of one file, in their order. Bytes that are not UTF-8, and characters that
/// XML does not allow, become U+FFFD; colours of terminals are taken away.
///
/// # Errors
/// When the file is no JUnit, is broken or cut off, or exceeds a bound.
pub fn read(name: &str, bytes: &[u8]) -> Result<Vec<TestCase>, Unreadable> {
    parse(bytes).map_err(|why| Unreadable {
        name: name.to_owned(),
        why,
    })
}

fn parse(bytes: &[u8]) -> Result<Vec<TestCase>, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!(
            "it has {} bytes; at most {MAX_BYTES} are read",
            bytes.len()
        ));
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let text = ILLEGAL.replace_all(text, |found: &Captures<'_>| {
        if found.name("colour").is_some() {
            ""
        } else {
            "\u{fffd}"
        }
    });
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MAX_NODES,
        ..Default::default()
    };
    let document = Document::parse_with_options(&text, options).map_err(|error| match error {
        roxmltree::Error::DtdDetected => {
            "it has a document type (`<!DOCTYPE`), which can expand without bound".to_owned()
        }
        roxmltree::Error::NodesLimitReached => {
            format!("it has more than {MAX_NODES} elements and texts")
        }
        roxmltree::Error::UnclosedRootNode | roxmltree::Error::UnexpectedEndOfStream => {
            "it ends in the middle; was it cut off?".to_owned()
        }
        error => format!("it is no well-formed XML: {error}"),
    })?;
    let root = document.root_element();
    if !matches!(kind(root), Kind::Suite) {
        return Err(format!(
            "it begins with `<{}>` where `<testsuites>` or `<testsuite>` is expected",
            root.tag_name().name()
        ));
    }
    walk(root)
}

/// Colours, and what XML forbids: characters, and references to them. Surefire writes `&amp#27;`.
static ILLEGAL: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?x)
        (?<colour> (?: \x1b | &(?:amp)?\#(?:0*27|x0*1[bB]); ) \[ [0-9;?]* [A-Za-z] )
        | [\x00-\x08\x0b\x0c\x0e-\x1f\u{fffe}\u{ffff}]
        | &(?:amp)?\#(?: 0*(?:[0-8]|1[124-9]|2[0-9]|3[01]) | x0*(?:[0-8bBcCeEfF]|1[0-9a-fA-F]) );
    ";
    #[expect(
        clippy::expect_used,
        reason = "a constant; every test of this file compiles it"
    )]
    Regex::new(pattern).expect("the pattern is right")
});

enum Kind {
    Suite,
    Case,
    Other,
}

fn kind(node: Node<'_, '_>) -> Kind {
    match node.tag_name().name() {
        "testsuites" | "testsuite" | "testrun" => Kind::Suite,
        "testcase" => Kind::Case,
        _ => Kind::Other,
    }
}

/// What a suite says for its cases.
#[derive(Clone, Copy, Default)]
struct Suite<'a> {
    name: &'a str,
    file: Option<&'a str>,
}

/// All cases in their order. Not recursive: files may nest as they like.
fn walk(root: Node<'_, '_>) -> Result<Vec<TestCase>, String> {
    let mut cases = Vec::new();
    let mut ahead = vec![(root, 1, Suite::default())];
    while let Some((node, depth, above)) = ahead.pop() {
        match kind(node) {
            Kind::Suite if depth > MAX_DEPTH => {
                return Err(format!("its suites are nested more than {MAX_DEPTH} deep"));
            }
            Kind::Suite => {
                let suite = Suite {
                    name: attribute(node, "name").unwrap_or(above.name),
                    file: attribute(node, "file").or(above.file),
                };
                let children = node.children().filter(Node::is_element).rev();
                ahead.extend(children.map(|child| (child, depth + 1, suite)));
            }
            Kind::Case if cases.len() == MAX_CASES => {
                return Err(format!("it has more than {MAX_CASES} tests"));
            }
            Kind::Case => cases.push(case(node, above)),
            Kind::Other => {}
        }
    }
    Ok(cases)
}

fn case(node: Node<'_, '_>, suite: Suite<'_>) -> TestCase {
    let own = |name| attribute(node, name);
    let text = |name: &str| {
        let texts = node
            .children()
            .filter(|child| child.has_tag_name(name))
            .map(all_text);
        texts.collect::<Vec<_>>().join("\n")
    };
    let output = [text("system-out"), text("system-err")];
    let output = output
        .iter()
        .map(|text| text.trim_end())
        .filter(|text| !text.is_empty());
    let output = output.collect::<Vec<_>>().join("\n");
    // Where pytest writes lines it counts from 0, all others from 1.
    let first = usize::from(suite.name == "pytest");
    TestCase {
        suite: suite.name.to_owned(),
        class: own("classname")
            .or(own("class"))
            .or(own("group"))
            .unwrap_or_default()
            .to_owned(),
        name: own("name").unwrap_or_default().to_owned(),
        outcome: outcome(node, &output),
        duration: own("time").map(seconds).unwrap_or_default(),
        file: own("file").or(suite.file).map(str::to_owned),
        line: own("line")
            .and_then(|line| line.trim().parse::<usize>().ok())
            .map(|line| line.saturating_add(first))
            .filter(|line| *line > 0),
        output: (!output.is_empty()).then(|| capped(output)),
        earlier: Vec::new(),
    }
}

fn outcome(node: Node<'_, '_>, output: &str) -> TestOutcome {
    let children = || node.children().filter(Node::is_element);
    let find = |name| children().find(|child| child.tag_name().name() == name);
    let failures =
        || children().filter(|child| matches!(child.tag_name().name(), "failure" | "error"));
    if let Some(first) = failures().next() {
        let message = attribute(first, "message").unwrap_or_default();
        let texts: Vec<String> = failures().map(all_text).collect();
        let text = texts.join("\n\n");
        let text = if text.trim().is_empty() {
            message
        } else {
            text.trim_matches('\n')
        };
        // gotestsum says no more than this.
        let message = if message == "Failed" { "" } else { message };
        let failure = TestFailure {
            message: [message, text, output]
                .into_iter()
                .find_map(telling_line)
                .unwrap_or("no message")
                .to_owned(),
            kind: attribute(first, "type").unwrap_or_default().to_owned(),
            text: capped(text.to_owned()),
        };
        return if find("failure").is_some() {
            TestOutcome::Failed(failure)
        } else {
            TestOutcome::Errored(failure)
        };
    }
    let said =
        |name, words: &[&str]| attribute(node, name).is_some_and(|word| words.contains(&word));
    if let Some(skipped) = find("skipped") {
        let text = all_text(skipped);
        let message = [attribute(skipped, "message").unwrap_or_default(), &text]
            .into_iter()
            // Node says so of a test that is skipped without a reason.
            .filter(|message| *message != "true")
            .find_map(telling_line);
        return TestOutcome::Skipped {
            message: message.map(str::to_owned),
        };
    }
    // GoogleTest and CTest.
    if said("status", &["notrun", "disabled"]) || said("result", &["suppressed", "skipped"]) {
        return TestOutcome::Skipped { message: None };
    }
    TestOutcome::Passed
}

/// The attribute, if it says anything.
fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attribute(name)
        .filter(|value| !value.trim().is_empty())
}

fn all_text(node: Node<'_, '_>) -> String {
    node.descendants()
        .filter(Node::is_text)
        .filter_map(|text| text.text())
        .collect()
}

/// The first line that is not empty and not one of Go's markers, such as `=== RUN   TestX`.
fn telling_line(text: &str) -> Option<&str> {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("=== ") && !line.starts_with("--- "))
}

/// Seconds as their writers put them: `0.25`, `1,234.5` (Surefire), `0,25` (a locale's comma).
fn seconds(time: &str) -> Duration {
    let time = time.trim();
    let grouped = time.contains('.')
        || time.split(',').skip(1).all(|group| group.len() == 3) && !time.starts_with("0,");
    let time = time.replace(',', if grouped { "" } else { "." });
    time.parse()
        .ok()
        .and_then(|time| Duration::try_from_secs_f64(time).ok())
        .unwrap_or_default()
}

/// Beginning and end, where it is longer than [`MAX_TEXT`].
fn capped(text: String) -> String {
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
