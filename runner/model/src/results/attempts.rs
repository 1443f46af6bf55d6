//! Tests over the attempts of one step: a case that an earlier attempt failed carries why when a
//! later one tells of it again. Cases are the same if suite, class, name and file are; where several
//! of one attempt are, the first is taken for the first, and so on. It judges nothing: a case that
//! then passed is flaky, one that fails again has failed.

use std::collections::{HashMap, HashSet, VecDeque};

use super::{TestCase, TestFailure};

type Key<'a> = (&'a str, &'a str, &'a str, Option<&'a str>);

fn key(case: &TestCase) -> Key<'_> {
    (&case.suite, &case.class, &case.name, case.file.as_deref())
}

/// Keeps of an attempt that is over the cases that failed in it or before it, and all that are
/// called the same, so that those can still be told apart.
pub(crate) fn put_by(over: Vec<TestCase>, before: &mut Vec<TestCase>) {
    let failed = |case: &&TestCase| case.is_failure() || !case.earlier.is_empty();
    let keys: HashSet<Key<'_>> = over.iter().filter(failed).map(key).collect();
    let keep: Vec<bool> = over.iter().map(|case| keys.contains(&key(case))).collect();
    let kept = over.into_iter().zip(keep).filter(|(_, keep)| *keep);
    before.extend(kept.map(|(case, _)| case));
}

/// The cases of the attempt at hand, each with its earlier failures, which are taken out of `before`.
pub(crate) fn carry_over(before: &mut Vec<TestCase>, cases: &[TestCase]) -> Vec<TestCase> {
    if before.is_empty() {
        return cases.to_vec();
    }
    let mut known: HashMap<Key<'_>, VecDeque<usize>> = HashMap::new();
    for (at, case) in before.iter().enumerate() {
        known.entry(key(case)).or_default().push_back(at);
    }
    let mut taken = vec![false; before.len()];
    let mut carried = Vec::with_capacity(cases.len());
    for case in cases {
        let at = known.get_mut(&key(case)).and_then(VecDeque::pop_front);
        let old = at.and_then(|at| before.get(at));
        if let Some(taken) = at.and_then(|at| taken.get_mut(at)) {
            *taken = true;
        }
        let mut case = case.clone();
        if let Some(old) = old {
            let failures = old.earlier.iter().chain(old.failure()).cloned();
            // What the framework tells of its own tries came after what older attempts told.
            let all: Vec<TestFailure> = failures.chain(case.earlier).collect();
            case.earlier = all;
        }
        carried.push(case);
    }
    let mut taken = taken.into_iter();
    before.retain(|_| !taken.next().unwrap_or_default());
    carried
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{EventKind, RunEvent, StepOutline};
    use crate::ids::{RunId, StepId};
    use crate::results::TestOutcome;
    use crate::state::{RunState, StepState};

    fn case(name: &str, failed: Option<&str>) -> TestCase {
        let failure = |message: &str| TestFailure {
            message: message.into(),
            ..TestFailure::default()
        };
        TestCase {
            suite: "s".into(),
            class: "c".into(),
            name: name.into(),
            outcome: failed.map_or(TestOutcome::Passed, |message| {
                TestOutcome::Failed(failure(message))
            }),
            duration: Duration::ZERO,
            file: None,
            line: None,
            output: None,
            earlier: Vec::new(),
        }
    }

    /// A step after attempts that told of these cases; `None` of an attempt that told of none.
    fn step(attempts: &[Option<Vec<TestCase>>]) -> StepState {
        let id = StepId::from("unit");
        let mut kinds = vec![EventKind::RunStarted {
            project: "p".into(),
            version: "0".into(),
            steps: vec![StepOutline {
                id: id.clone(),
                kind: "run".into(),
                needs: Vec::new(),
                relaxations: Vec::new(),
            }],
            jobs: 1,
            commit: None,
            rerun_of: None,
        }];
        for (attempt, cases) in (1..).zip(attempts) {
            let step = id.clone();
            kinds.push(EventKind::StepStarted { step, attempt });
            if let Some(cases) = cases {
                kinds.push(EventKind::TestsFound {
                    step: id.clone(),
                    attempt,
                    cases: cases.clone(),
                });
            }
        }
        let mut state = RunState::default();
        for (seq, kind) in (0..).zip(kinds) {
            state.apply(&RunEvent {
                run: RunId(uuid::Uuid::nil()),
                seq,
                at: jiff::Timestamp::UNIX_EPOCH,
                elapsed: Duration::ZERO,
                kind,
            });
        }
        state.steps.remove(0)
    }

    fn earlier(case: &TestCase) -> Vec<&str> {
        let messages = case.earlier.iter().map(|failure| failure.message.as_str());
        messages.collect()
    }

    #[test]
    fn a_case_that_failed_and_then_passed_is_flaky() {
        let first = vec![
            case("a", Some("no")),
            case("b", None),
            case("c", Some("never")),
        ];
        let second = vec![
            case("a", None),
            case("b", None),
            case("c", Some("still not")),
        ];
        let step = step(&[Some(first), Some(second)]);
        let flaky: Vec<_> = step.tests.iter().map(TestCase::is_flaky).collect();
        assert_eq!(flaky, [true, false, false]);
        assert_eq!(earlier(&step.tests[0]), ["no"]);
        assert!(step.tests[2].is_failure());
        assert_eq!(earlier(&step.tests[2]), ["never"]);
        assert_eq!((step.tests.len(), step.tests_of), (3, 2));
        assert!(step.tests_before.is_empty());
    }

    #[test]
    fn failures_come_over_an_attempt_that_told_of_nothing() {
        let step = step(&[
            Some(vec![case("a", Some("one")), case("b", Some("b"))]),
            Some(vec![case("a", Some("two"))]),
            None,
            Some(vec![case("a", None)]),
        ]);
        assert!(step.tests[0].is_flaky());
        assert_eq!(earlier(&step.tests[0]), ["one", "two"]);
        // Of `b` nothing was told again, so it is no test of the latest attempt.
        assert_eq!(step.tests.len(), 1);
        assert_eq!(step.tests_before, [case("b", Some("b"))]);
    }

    #[test]
    fn an_attempt_without_results_does_not_answer_for_the_one_before() {
        let step = step(&[Some(vec![case("a", Some("no")), case("b", None)]), None]);
        assert!(step.tests.is_empty());
        assert_eq!(step.tests_before, [case("a", Some("no"))]);
    }

    #[test]
    fn cases_of_one_name_are_paired_in_their_order() {
        let step = step(&[
            Some(vec![
                case("a", None),
                case("a", Some("second")),
                case("a", Some("third")),
            ]),
            Some(vec![
                case("a", None),
                case("a", Some("again")),
                case("a", None),
            ]),
        ]);
        let all: Vec<_> = step.tests.iter().map(earlier).collect();
        assert_eq!(all, [vec![], vec!["second"], vec!["third"]]);
        let flaky: Vec<_> = step.tests.iter().map(TestCase::is_flaky).collect();
        assert_eq!(flaky, [false, false, true]);
    }

    #[test]
    fn several_reports_of_one_attempt_are_together() {
        let mut before = vec![case("a", Some("no"))];
        let first = carry_over(&mut before, &[case("b", None)]);
        let second = carry_over(&mut before, &[case("a", None)]);
        assert!(!first[0].is_flaky() && second[0].is_flaky());
        assert!(before.is_empty());
    }

    #[test]
    fn old_events_are_of_the_first_attempt() {
        let text = r#"{"event":"tests_found","step":"unit","cases":[]}"#;
        let event: EventKind = serde_json::from_str(text).unwrap();
        assert!(matches!(event, EventKind::TestsFound { attempt: 1, .. }));
    }
}
