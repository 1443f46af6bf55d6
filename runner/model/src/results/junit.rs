//! JUnit files that tests leave in containers, in the dialects of pytest, cargo-nextest, gotestsum,
//! Node and Jest, Surefire, PHPUnit, CTest, GoogleTest and Bats. They are not trusted: a document
//! type is refused, no entity is expanded, and what exceeds a bound is refused with a reason.
//!
//! Read element by element, with fields of our own choosing: what is known as JUnit has no schema
//! that its writers keep to. What suites print outside of their cases is let be.

mod case;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Error, Reader, XmlVersion};
use regex::{Captures, Regex};

use super::TestCase;
use super::format::{self, MAX_CASES, MAX_DEPTH, pattern, too_many};
use case::{Draft, Part, PartKind, seconds};

/// The most attributes of an element.
const MAX_ATTRIBUTES: usize = 100;

/// Reads the test cases of one file, in their order. Bytes that are no characters, and characters
/// that XML does not allow, become U+FFFD; colours of terminals are taken away.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<TestCase>, String> {
    let text = format::text(bytes, said_encoding(bytes));
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let text = ILLEGAL.replace_all(text, |found: &Captures<'_>| {
        if found.name("colour").is_some() {
            ""
        } else {
            "\u{fffd}"
        }
    });
    let mut reader = Reader::from_str(&text);
    reader.config_mut().expand_empty_elements = true;
    let mut walk = Walk::default();
    loop {
        let event = reader
            .read_event()
            .map_err(|error| not_xml(&error, &text, reader.error_position()))?;
        if matches!(event, Event::Eof) {
            return walk.end();
        }
        walk.event(&event).map_err(|stop| match stop {
            Stop::Refused(why) => why,
            Stop::NotXml(error) => not_xml(&error, &text, reader.buffer_position()),
        })?;
    }
}

/// What the document's first line says of its encoding.
fn said_encoding(bytes: &[u8]) -> Option<&str> {
    let head = bytes.get(..bytes.len().min(200))?;
    let head = head.split(|byte| *byte == b'>').next()?;
    let head = std::str::from_utf8(head).ok()?;
    let (_, said) = head.split_once("encoding")?;
    let said = said.trim_start().strip_prefix('=')?.trim_start();
    said.split(['"', '\'']).nth(1)
}

/// Colours, and what XML forbids: characters, and references to them. Surefire writes `&amp#27;`,
/// CTest `[NON-XML-CHAR-0x1B]`, pytest `#x1B`, gotestsum U+FFFD.
static ILLEGAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x)
        (?<colour>
            (?: \x1b | &(?:amp)?\#(?:0*27|x0*1[bB]); | \[NON-XML-CHAR-0x1B\] | \#x1B )
            \[ [0-9;?]* [A-Za-z]
            | \u{fffd} \[ [0-9;]* m
        )
        | [\x00-\x08\x0b\x0c\x0e-\x1f\u{fffe}\u{ffff}]
        | &(?:amp)?\#(?: 0*(?:[0-8]|1[124-9]|2[0-9]|3[01]) | x0*(?:[0-8bBcCeEfF]|1[0-9a-fA-F]) );
    ",
    )
});

/// Why reading stops before the end.
enum Stop {
    /// Something that is not read, in words.
    Refused(String),
    /// It is no well-formed XML.
    NotXml(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::NotXml(error.into())
    }
}

fn refused(why: impl Into<String>) -> Result<(), Stop> {
    Err(Stop::Refused(why.into()))
}

fn not_xml(error: &Error, text: &str, at: u64) -> String {
    if matches!(error, Error::Syntax(_)) {
        return CUT_OFF.to_owned();
    }
    let before = usize::try_from(at).ok().and_then(|at| text.get(..at));
    let line = before.map(|before| before.matches('\n').count() + 1);
    let line = line.map(|line| format!(", line {line}"));
    format!(
        "it is no well-formed XML{}: {error}",
        line.unwrap_or_default()
    )
}

const CUT_OFF: &str = "it ends in the middle; was it cut off?";

/// What a suite says for its cases.
#[derive(Clone, Default)]
struct Suite {
    name: String,
    file: Option<String>,
    /// Its cases count their lines from 0.
    zero: bool,
}

/// An element that is not closed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Suite,
    Case,
    /// A part of a case, or an element within one: its text is the part's.
    Part,
    /// Neither it nor what is in it is read.
    Other,
}

#[derive(Default)]
struct Walk {
    open: Vec<Open>,
    over: bool,
    suites: Vec<Suite>,
    draft: Draft,
    cases: Vec<TestCase>,
}

impl Walk {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Stop> {
        const VERSION: XmlVersion = XmlVersion::Implicit1_0;
        match event {
            Event::Start(start) => self.start(start),
            Event::End(_) => {
                self.close();
                Ok(())
            }
            Event::Text(text) => self.text(&text.xml_content(VERSION)?),
            Event::CData(text) => self.text(&text.xml_content(VERSION)?),
            Event::GeneralRef(reference) => match reference.resolve_char_ref()? {
                Some(c) => self.text(c.encode_utf8(&mut [0; 4])),
                None => {
                    let name = reference.decode()?;
                    match resolve_predefined_entity(&name) {
                        Some(text) => self.text(text),
                        None => refused(format!(
                            "it is no well-formed XML: nothing says what `&{name};` is"
                        )),
                    }
                }
            },
            Event::DocType(_) => {
                refused("it has a document type (`<!DOCTYPE`), which can expand without bound")
            }
            // With `expand_empty_elements` there are no empty ones.
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::Eof => {
                Ok(())
            }
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), Stop> {
        if self.open.len() == MAX_DEPTH {
            return refused(format!(
                "its elements are nested more than {MAX_DEPTH} deep"
            ));
        }
        if self.over {
            return refused("it is no well-formed XML: something follows its end");
        }
        let name = start.local_name();
        let open = match (self.open.last(), name.as_ref()) {
            (None | Some(Open::Suite), b"testsuites" | b"testsuite" | b"testrun") => {
                self.suite(start)?;
                Open::Suite
            }
            (None, name) => {
                return refused(format!(
                    "it begins with `<{}>` where `<testsuites>` or `<testsuite>` is expected",
                    String::from_utf8_lossy(name)
                ));
            }
            (Some(Open::Suite), b"testcase") => {
                if self.cases.len() == MAX_CASES {
                    return refused(too_many());
                }
                self.draft = self.draft(start)?;
                Open::Case
            }
            (Some(Open::Case), name) => match PartKind::of(name) {
                Some(kind) => {
                    self.draft.parts.push(part(kind, start)?);
                    Open::Part
                }
                None => Open::Other,
            },
            // Of a try that failed, what it printed is let be.
            (Some(Open::Part), b"system-out" | b"system-err") => Open::Other,
            (Some(Open::Part), _) => Open::Part,
            (Some(Open::Suite | Open::Other), _) => Open::Other,
        };
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Open::Suite) => {
                self.suites.pop();
            }
            Some(Open::Case) => self.cases.push(std::mem::take(&mut self.draft).finish()),
            Some(Open::Part | Open::Other) | None => {}
        }
        self.over = self.open.is_empty();
    }

    fn text(&mut self, text: &str) -> Result<(), Stop> {
        match (self.open.last(), self.draft.parts.last_mut()) {
            (Some(Open::Part), Some(part)) => part.text.push_str(text),
            (None, _) if !text.trim().is_empty() => {
                return refused("it is no well-formed XML: it has text outside of elements");
            }
            _ => {}
        }
        Ok(())
    }

    fn end(self) -> Result<Vec<TestCase>, String> {
        if self.over {
            Ok(self.cases)
        } else {
            Err(CUT_OFF.to_owned())
        }
    }

    fn suite(&mut self, start: &BytesStart<'_>) -> Result<(), Stop> {
        let mut suite = self.suites.last().cloned().unwrap_or_default();
        attributes(start, |name, value| match name {
            b"name" => {
                // Only pytest's own lines are counted so.
                suite.zero |= value == "pytest" || value == "pytest tests";
                suite.name = value;
            }
            b"file" => suite.file = Some(value),
            _ => {}
        })?;
        self.suites.push(suite);
        Ok(())
    }

    fn draft(&self, start: &BytesStart<'_>) -> Result<Draft, Stop> {
        let suite = self.suites.last().cloned().unwrap_or_default();
        let mut draft = Draft::default();
        let case = &mut draft.case;
        let mut classes = [const { None }; 3];
        attributes(start, |name, value| match name {
            b"name" => case.name = value,
            b"classname" => classes[0] = Some(value),
            b"class" => classes[1] = Some(value),
            b"group" => classes[2] = Some(value),
            b"time" => case.duration = seconds(&value),
            b"file" => case.file = Some(value),
            b"line" => case.line = value.trim().parse().ok(),
            // GoogleTest and CTest.
            b"status" => {
                draft.not_run = value == "notrun";
                draft.off |= draft.not_run || value == "disabled";
            }
            b"result" => draft.off |= matches!(value.as_str(), "suppressed" | "skipped"),
            _ => {}
        })?;
        case.class = classes.into_iter().flatten().next().unwrap_or_default();
        case.line = case
            .line
            .map(|line| line.saturating_add(usize::from(suite.zero)));
        case.line = case.line.filter(|line| *line > 0);
        case.file = case.file.take().or(suite.file);
        case.suite = suite.name;
        Ok(draft)
    }
}

fn part(kind: PartKind, start: &BytesStart<'_>) -> Result<Part, Stop> {
    let mut part = Part {
        kind,
        ..Part::default()
    };
    attributes(start, |name, value| match name {
        b"message" => part.message = value,
        b"type" => part.word = value,
        _ => {}
    })?;
    Ok(part)
}

/// Tells of the attributes that say anything.
fn attributes(start: &BytesStart<'_>, mut tell: impl FnMut(&[u8], String)) -> Result<(), Stop> {
    // What is given twice is taken as it was last; to look for that takes its time.
    for (number, attribute) in start.attributes().with_checks(false).enumerate() {
        if number == MAX_ATTRIBUTES {
            return refused(format!(
                "an element has more than {MAX_ATTRIBUTES} attributes"
            ));
        }
        let attribute = attribute?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0)?;
        if !value.trim().is_empty() {
            tell(attribute.key.as_ref(), value.into_owned());
        }
    }
    Ok(())
}
