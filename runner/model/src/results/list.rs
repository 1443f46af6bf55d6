//! The tests of a run in the order in which people want them: what failed, what is flaky, then the
//! slowest. It judges no step by them; how a step ended is the step's own affair.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{TestCase, TestOutcome};
use crate::ids::StepId;
use crate::state::RunState;

/// How a test ended, in one word. Ordered, what wants attention first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestState {
    /// An assertion did not hold.
    Failed,
    /// It broke before it could tell.
    Errored,
    /// It passed after it had failed on the same code.
    Flaky,
    /// It passed.
    Passed,
    /// It was not tried.
    Skipped,
}

impl TestState {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Errored => "errored",
            Self::Flaky => "flaky",
            Self::Passed => "passed",
            Self::Skipped => "skipped",
        }
    }

    /// It stands against its step.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Errored)
    }
}

impl TestCase {
    /// How it ended.
    #[must_use]
    pub fn state(&self) -> TestState {
        match self.outcome {
            TestOutcome::Failed(_) => TestState::Failed,
            TestOutcome::Errored(_) => TestState::Errored,
            TestOutcome::Passed if self.is_flaky() => TestState::Flaky,
            TestOutcome::Passed => TestState::Passed,
            TestOutcome::Skipped { .. } => TestState::Skipped,
        }
    }

    /// By what its framework groups it: its class, else its suite; may be empty.
    #[must_use]
    pub fn group(&self) -> &str {
        if self.class.is_empty() {
            &self.suite
        } else {
            &self.class
        }
    }
}

/// A test of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Listed<'a> {
    /// The step in which it ran.
    pub step: &'a StepId,
    /// The test.
    pub case: &'a TestCase,
    /// It is of the step's latest attempt; one that is not failed in an attempt before it, and the
    /// latest did not tell of it.
    pub latest: bool,
}

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub tests: usize,
    /// Those that passed, the flaky ones too.
    pub passed: usize,
    /// Those of which an assertion did not hold.
    pub failed: usize,
    /// Those that broke.
    pub errored: usize,
    /// Those that were not tried.
    pub skipped: usize,
    /// Those that passed after they had failed.
    pub flaky: usize,
}

impl Counts {
    /// Counts tests.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a TestCase>) -> Self {
        let mut counts = Self::default();
        for case in cases {
            counts.tests += 1;
            match case.state() {
                TestState::Failed => counts.failed += 1,
                TestState::Errored => counts.errored += 1,
                TestState::Skipped => counts.skipped += 1,
                TestState::Passed => counts.passed += 1,
                TestState::Flaky => {
                    counts.passed += 1;
                    counts.flaky += 1;
                }
            }
        }
        counts
    }
}

/// All tests of a run: those that failed, in their order; the flaky ones; the others, the slowest
/// first; those that were not tried last.
#[must_use]
pub fn list(run: &RunState) -> Vec<Listed<'_>> {
    let mut all = Vec::new();
    for step in &run.steps {
        let of = |latest| {
            move |case| Listed {
                step: step.id(),
                case,
                latest,
            }
        };
        let before = step.tests_before.iter().filter(|case| case.is_failure());
        all.extend(step.tests.iter().map(of(true)));
        all.extend(before.map(of(false)));
    }
    all.sort_by_key(|listed| match listed.case.state() {
        TestState::Failed | TestState::Errored => (0, Reverse(None)),
        TestState::Flaky => (1, Reverse(None)),
        TestState::Passed => (2, Reverse(Some(listed.case.duration))),
        TestState::Skipped => (3, Reverse(None)),
    });
    all
}
