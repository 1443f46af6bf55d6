//! A test case in the making: its elements as they are found, and what they come to.

use std::time::Duration;

use crate::results::format::{capped, said};
use crate::results::{TestCase, TestFailure, TestOutcome, place};

/// A case that is not over.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) case: TestCase,
    /// It says by an attribute that it was not run.
    pub(super) off: bool,
    /// CTest's word for a test that was not run, for whatever reason.
    pub(super) not_run: bool,
    pub(super) parts: Vec<Part>,
}

/// An element of a case.
#[derive(Default)]
pub(super) struct Part {
    pub(super) kind: PartKind,
    pub(super) message: String,
    /// Its type: an exception, or a word of the framework's.
    pub(super) word: String,
    pub(super) text: String,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum PartKind {
    #[default]
    Failure,
    Error,
    Skipped,
    Output,
    ErrorOutput,
    /// A try that failed, of a case that then passed.
    Flaky,
}

impl PartKind {
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"failure" => Self::Failure,
            b"error" => Self::Error,
            b"skipped" => Self::Skipped,
            // PHPUnit warns of tests that pass.
            b"system-out" | b"warning" => Self::Output,
            b"system-err" => Self::ErrorOutput,
            b"flakyFailure" | b"flakyError" => Self::Flaky,
            _ => return None,
        })
    }
}

impl Draft {
    pub(super) fn finish(self) -> TestCase {
        let mut case = self.case;
        let of = |kinds: &'static [PartKind]| {
            self.parts.iter().filter(|part| kinds.contains(&part.kind))
        };
        let output = [PartKind::Output, PartKind::ErrorOutput].map(|kind| {
            let parts = self.parts.iter().filter(|part| part.kind == kind);
            let texts: Vec<&str> = parts.map(|part| part.text.as_str()).collect();
            texts.join("\n").trim_end().to_owned()
        });
        let output = output.into_iter().filter(|text| !text.is_empty());
        let output = output.collect::<Vec<_>>().join("\n");
        let failures: Vec<&Part> = of(&[PartKind::Failure, PartKind::Error]).collect();
        case.outcome = match (failures.first(), of(&[PartKind::Skipped]).next()) {
            // Node tells why a test failed that it expects to.
            (_, Some(skipped)) if skipped.word == "todo" => TestOutcome::Skipped {
                message: skipped.why_skipped(),
            },
            (Some(first), _) => {
                let failure = first.failure(&failures, &output, &case.name);
                if failures.iter().any(|part| part.kind == PartKind::Failure) {
                    TestOutcome::Failed(failure)
                } else {
                    TestOutcome::Errored(failure)
                }
            }
            // What CTest could not run counts as failed, unless the test itself asked for it.
            (None, Some(skipped)) if self.not_run && !skipped.message.starts_with("SKIP_") => {
                TestOutcome::Errored(skipped.failure(&[skipped], &output, &case.name))
            }
            (None, Some(skipped)) => TestOutcome::Skipped {
                message: skipped.why_skipped(),
            },
            (None, None) if self.off => TestOutcome::Skipped { message: None },
            (None, None) => TestOutcome::Passed,
        };
        case.earlier = of(&[PartKind::Flaky])
            .map(|part| part.failure(&[part], "", &case.name))
            .collect();
        case.output = (!output.is_empty()).then(|| capped(output));
        place::fill(&mut case);
        case
    }
}

impl Part {
    /// Why the case of that name failed, by this and all its failures.
    fn failure(&self, all: &[&Self], output: &str, name: &str) -> TestFailure {
        let texts: Vec<&str> = all.iter().map(|part| part.text.as_str()).collect();
        let text = texts.join("\n\n");
        let text = if text.trim().is_empty() {
            &self.message
        } else {
            text.trim_matches('\n')
        };
        TestFailure {
            message: said(&[&self.message, text, &self.word, output], name)
                .unwrap_or("no message")
                .to_owned(),
            kind: self.word.clone(),
            text: capped(text.to_owned()),
        }
    }

    fn why_skipped(&self) -> Option<String> {
        // Node says so of a test that is skipped without a reason.
        let message = if self.message == "true" {
            ""
        } else {
            &self.message
        };
        said(&[message, &self.text], "").map(str::to_owned)
    }
}

/// Seconds as their writers put them: `0.25`, `1,234.5` (Surefire), `0,25` (a locale's comma).
pub(super) fn seconds(time: &str) -> Duration {
    let time = time.trim();
    let grouped = time.contains('.')
        || time.split(',').skip(1).all(|group| group.len() == 3) && !time.starts_with("0,");
    let time = time.replace(',', if grouped { "" } else { "." });
    time.parse()
        .ok()
        .and_then(|time| Duration::try_from_secs_f64(time).ok())
        .unwrap_or_default()
}
