//! One test over several runs: how it ended in each, and how often it did not do well. It knows a
//! test by its step, its group and its name; one that was called otherwise before was another.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::list::{TestState, list};
use crate::glob;
use crate::ids::{RunId, StepId};
use crate::reason::Ending;
use crate::state::{RunState, StepState};

/// What makes a test the same in several runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TestKey {
    /// The step in which it runs.
    pub step: StepId,
    /// Its class, else its suite.
    pub group: String,
    /// Its name.
    pub name: String,
}

/// A test in one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Past {
    /// Which run.
    pub run: RunId,
    /// When the run began.
    pub started_at: Option<Timestamp>,
    /// How the test ended.
    pub state: TestState,
    /// How long it took.
    #[serde(rename = "duration_ms", with = "crate::millis")]
    pub duration: Duration,
    /// Why it failed, is flaky, or was skipped; may be empty.
    pub message: String,
}

/// The tests that a pattern matches, each over the runs.
#[derive(Clone, Debug)]
pub struct History {
    pattern: String,
    tests: BTreeMap<TestKey, Vec<Past>>,
}

/// What a test's past comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PastCounts {
    /// Runs that told of it.
    pub runs: usize,
    /// Those in which it failed or broke.
    pub failed: usize,
    /// Those in which it was flaky.
    pub flaky: usize,
    /// Those in which it was not tried.
    pub skipped: usize,
    /// In the middle of those in which it was tried.
    #[serde(rename = "median_ms", with = "crate::millis")]
    pub median: Duration,
    /// The longest.
    #[serde(rename = "slowest_ms", with = "crate::millis")]
    pub slowest: Duration,
    /// The run in which it took longest.
    pub slowest_run: Option<RunId>,
}

impl History {
    /// Of the tests whose name, by itself or behind its group and `::`, the pattern matches: whole,
    /// where it has `*` or `?`, else as a part of it.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self {
            pattern: pattern.to_owned(),
            tests: BTreeMap::new(),
        }
    }

    /// Takes in a run; the newest is to come first. A test of a step that was not run again was not
    /// tried.
    pub fn add(&mut self, run: RunId, state: &RunState) {
        for listed in list(state) {
            let case = listed.case;
            let step = state.step(listed.step);
            if step.and_then(StepState::ending) == Some(&Ending::Cached) {
                continue;
            }
            if !self.matches(case.group(), &case.name) {
                continue;
            }
            let key = TestKey {
                step: listed.step.clone(),
                group: case.group().to_owned(),
                name: case.name.clone(),
            };
            let message = match &case.outcome {
                super::TestOutcome::Skipped { message } => message.clone().unwrap_or_default(),
                _ => {
                    let why = case.failure().or(case.earlier.last());
                    why.map(|why| why.message.clone()).unwrap_or_default()
                }
            };
            let past = Past {
                run,
                started_at: state.started_at,
                state: case.state(),
                duration: case.duration,
                message,
            };
            let pasts = self.tests.entry(key).or_default();
            // Of several of one name the one that failed is listed first, and counts.
            if pasts.last().is_none_or(|last| last.run != run) {
                pasts.push(past);
            }
        }
    }

    /// The tests found, those that failed most first.
    #[must_use]
    pub fn tests(&self) -> Vec<(&TestKey, &[Past], PastCounts)> {
        let mut all: Vec<_> = self
            .tests
            .iter()
            .map(|(key, pasts)| (key, pasts.as_slice(), PastCounts::of(pasts)))
            .collect();
        all.sort_by_key(|(_, _, counts)| std::cmp::Reverse((counts.failed, counts.flaky)));
        all
    }

    fn matches(&self, group: &str, name: &str) -> bool {
        let whole = format!("{group}::{name}");
        if self.pattern.contains(['*', '?']) {
            glob::matches(&self.pattern, name) || glob::matches(&self.pattern, &whole)
        } else {
            whole.contains(&self.pattern)
        }
    }
}

impl PastCounts {
    fn of(pasts: &[Past]) -> Self {
        let count =
            |wanted: fn(TestState) -> bool| pasts.iter().filter(|past| wanted(past.state)).count();
        let tried = pasts.iter().filter(|past| past.state != TestState::Skipped);
        // Of runs that took the same, the newest.
        let slowest = tried.clone().rev().max_by_key(|past| past.duration);
        let mut durations: Vec<Duration> = tried.map(|past| past.duration).collect();
        durations.sort_unstable();
        Self {
            runs: pasts.len(),
            failed: count(TestState::is_failure),
            flaky: count(|state| state == TestState::Flaky),
            skipped: count(|state| state == TestState::Skipped),
            median: durations
                .get(durations.len() / 2)
                .copied()
                .unwrap_or_default(),
            slowest: slowest.map(|past| past.duration).unwrap_or_default(),
            slowest_run: slowest.map(|past| past.run),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{TestCase, TestFailure, TestOutcome};
    use crate::state::StepState;

    fn case(name: &str, outcome: TestOutcome, millis: u64) -> TestCase {
        TestCase {
            class: "tests.cart".into(),
            name: name.into(),
            outcome,
            duration: Duration::from_millis(millis),
            ..TestCase::default()
        }
    }

    fn failed(message: &str) -> TestOutcome {
        TestOutcome::Failed(TestFailure {
            message: message.into(),
            ..TestFailure::default()
        })
    }

    fn state(tests: Vec<TestCase>) -> RunState {
        let text = serde_json::json!({
            "id": "unit", "kind": "run", "needs": [], "status": "pending", "duration_ms": 0,
            "tests": tests, "findings": [], "artifacts": [], "pushed": [], "released": [], "warnings": [],
        });
        let step: StepState = serde_json::from_value(text).unwrap();
        let mut state = RunState::default();
        state.steps.push(step);
        state
    }

    fn run(number: u128) -> RunId {
        RunId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn the_order_is_what_wants_attention_and_then_the_slowest() {
        let mut flaky = case("flaky", TestOutcome::Passed, 1);
        flaky.earlier = vec![TestFailure::default()];
        let mut state = state(vec![
            case("fast", TestOutcome::Passed, 5),
            case("skipped", TestOutcome::Skipped { message: None }, 0),
            flaky,
            case("slow", TestOutcome::Passed, 50),
            case("bad", failed("no"), 1),
            case("broken", TestOutcome::Errored(TestFailure::default()), 99),
        ]);
        state.steps[0].tests_before = vec![
            case("gone", failed("x"), 0),
            case("gone", TestOutcome::Passed, 0),
        ];
        let listed = list(&state);
        let names: Vec<&str> = listed
            .iter()
            .map(|listed| listed.case.name.as_str())
            .collect();
        assert_eq!(
            names,
            ["bad", "broken", "gone", "flaky", "slow", "fast", "skipped"]
        );
        assert!(!listed[2].latest && listed[0].latest);
    }

    #[test]
    fn a_past_is_summed_up() {
        let mut history = History::new("*cart::te*");
        history.add(
            run(3),
            &state(vec![
                case("test", TestOutcome::Passed, 300),
                case("other", failed("x"), 1),
            ]),
        );
        let twice = vec![
            case("test", TestOutcome::Passed, 1),
            case("test", failed("no"), 100),
        ];
        history.add(run(2), &state(twice));
        history.add(run(1), &state(vec![]));
        history.add(
            run(0),
            &state(vec![case(
                "test",
                TestOutcome::Skipped {
                    message: Some("why".into()),
                },
                0,
            )]),
        );
        let tests = history.tests();
        let [(key, pasts, counts)] = tests.as_slice() else {
            panic!("{tests:?}");
        };
        assert_eq!(
            (key.group.as_str(), key.name.as_str()),
            ("tests.cart", "test")
        );
        let states: Vec<_> = pasts
            .iter()
            .map(|past| (past.state, past.message.as_str()))
            .collect();
        assert_eq!(
            states,
            [
                (TestState::Passed, ""),
                (TestState::Failed, "no"),
                (TestState::Skipped, "why")
            ]
        );
        assert_eq!(
            (counts.runs, counts.failed, counts.skipped, counts.flaky),
            (3, 1, 1, 0)
        );
        assert_eq!(
            (counts.slowest, counts.slowest_run),
            (Duration::from_millis(300), Some(run(3)))
        );
    }

    #[test]
    fn names_are_matched_whole_or_in_part() {
        for (pattern, matches) in [
            ("test_a", true),
            ("cart::test", true),
            ("test_a[1]", true),
            ("TEST", false),
            ("test_a*", true),
            ("cart::te*", false),
            ("tests.*::test_a[?]", true),
            ("test_?", false),
            ("", true),
        ] {
            let history = History::new(pattern);
            assert_eq!(
                history.matches("tests.cart", "test_a[1]"),
                matches,
                "{pattern}"
            );
        }
    }
}
