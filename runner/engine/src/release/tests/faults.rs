//! Whatever call fails, and wherever the process dies: something serves, and the next deploy finds
//! nothing that it cannot put right.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::reason::Ending;

use super::harness::{Deploy, TOKEN, deploy, unit};
use super::rig::{Fault, Rig};
use super::{rig, services, serving};
use crate::backend::{ContainerInfo, HealthStatus, Labels};
use crate::fake::Program;
use crate::labels;

fn images(web: &str) -> BTreeMap<String, Vec<String>> {
    let one = |image: &str| vec![image.to_owned()];
    [("db".to_owned(), one("db:1")), ("web".to_owned(), one(web))].into()
}

/// How many calls the deploy of the second version takes, on an engine with the first or without.
async fn calls(before: bool) -> usize {
    let rig = started(before).await;
    let deploy = Deploy::new(rig.with(&[]), unit(services("2")), TOKEN).await;
    let (ending, calls) = deploy.run().await;
    assert_eq!(ending, Ending::Passed);
    assert!(calls > 20, "the rig counts");
    calls
}

async fn started(before: bool) -> Rig {
    let rig = rig();
    if before {
        assert_eq!(deploy(&rig, services("1")).await, Ending::Passed);
    }
    rig
}

/// Nothing is left but what a deploy leaves.
fn assert_tidy(rig: &Rig, case: &str) {
    let containers = rig.engine.containers();
    let names = |all: &[ContainerInfo]| all.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    // With the proxy, and what holds the history.
    assert_eq!(containers.len(), 4, "{case}: {:?}", names(&containers));
    assert!(
        containers
            .iter()
            .all(|c| !c.labels.contains_key(labels::RUN)),
        "{case}"
    );
    let volumes: Vec<String> = rig.engine.volumes().into_iter().map(|v| v.name).collect();
    assert_eq!(volumes.len(), 5, "{case}: {volumes:?}");
    assert_eq!(rig.engine.networks().len(), 1, "{case}");
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_at_any_call_the_old_runs_and_nothing_new_is_left() {
    let calls = calls(true).await;
    for number in 0..calls {
        // A second one on the way back, which begins with the next call.
        for (kind, second) in (0..14).map(|n| (n % 2, number + [0, 1, 2, 3, 5, 8, 13][n / 2])) {
            let faults = match kind {
                0 => [Fault::Fails(number), Fault::AnswerLost(second)],
                _ => [Fault::AnswerLost(number), Fault::Fails(second)],
            };
            let case = format!("{faults:?}");
            let rig = started(true).await;
            let before: Vec<String> = rig.engine.containers().into_iter().map(|c| c.id).collect();
            let deploy = Deploy::new(rig.with(&faults), unit(services("2")), TOKEN).await;
            match deploy.run().await.0 {
                Ending::Passed => assert_eq!(serving(&rig.engine), images("app:2"), "{case}"),
                Ending::Failed(_) => {
                    assert_eq!(serving(&rig.engine), images("app:1"), "{case}");
                    let ids: Vec<String> = rig
                        .engine
                        .containers()
                        .into_iter()
                        // A lock or filler whose removal failed is the end of the run's.
                        .filter(|c| !c.labels.contains_key(labels::RUN))
                        .map(|c| c.id)
                        .collect();
                    assert_eq!(ids, before, "{case}");
                    assert_eq!(rig.engine.volumes().len(), 5, "{case}");
                }
                other => panic!("{case}: {other:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_at_any_call_of_a_first_release_nothing_is_left() {
    for number in 0..calls(false).await {
        for fault in [Fault::Fails(number), Fault::AnswerLost(number)] {
            let case = format!("{fault:?}");
            let rig = started(false).await;
            let deploy = Deploy::new(rig.with(&[fault]), unit(services("2")), TOKEN).await;
            if deploy.run().await.0 == Ending::Passed {
                assert_eq!(serving(&rig.engine), images("app:2"), "{case}");
            } else {
                assert!(serving(&rig.engine).is_empty(), "{case}");
                let history = |labels: &Labels| {
                    let role = labels.get(labels::ROLE).map(String::as_str);
                    matches!(role, Some("state" | "holder"))
                };
                // A lock or filler whose removal failed is the end of the run's.
                let spared = |labels: &Labels| history(labels) || labels.contains_key(labels::RUN);
                let left = rig.engine.containers();
                assert!(left.iter().all(|c| spared(&c.labels)), "{case}: {left:?}");
                let left = rig.engine.volumes();
                assert!(left.iter().all(|v| history(&v.labels)), "{case}: {left:?}");
                assert!(rig.engine.networks().is_empty(), "{case}");
            }
        }
    }
}

/// The process dies with that fault, having written so many lines of the reaper's list.
async fn die(fault: Fault, lines: usize) -> usize {
    let case = format!("{fault:?}, {lines} lines");
    let rig = started(true).await;
    let dying = Deploy::new(rig.with(&[fault]), unit(services("2")), TOKEN).await;
    let written = dying.run_and_die(lines).await;
    let after = serving(&rig.engine);
    assert!(
        after == images("app:1") || after == images("app:2"),
        "{case}: {after:?}"
    );
    let left = rig.engine.containers();
    assert!(
        left.iter().all(|c| !c.labels.contains_key(labels::RUN)),
        "{case}"
    );
    assert_eq!(deploy(&rig, services("2")).await, Ending::Passed, "{case}");
    assert_eq!(serving(&rig.engine), images("app:2"), "{case}");
    assert_tidy(&rig, &case);
    written
}

#[tokio::test(start_paused = true)]
async fn wherever_the_process_dies_something_serves_and_the_next_deploy_is_whole() {
    let mut before = 0;
    for number in 0..calls(true).await {
        let lines = die(Fault::DiesBefore(number), usize::MAX).await;
        for cut in before + 1..lines {
            // Between two calls it dies while it writes.
            die(Fault::DiesBefore(number), cut).await;
        }
        before = die(Fault::DiesAfter(number), usize::MAX).await;
    }
    assert!(before > 5, "the list is used");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_on_stopping_does_not_end_what_was_restored() {
    for number in 0..calls(true).await {
        let rig = rig();
        let healthy = Program::forever().health(Duration::ZERO, HealthStatus::Healthy);
        rig.engine.program(
            |_| true,
            Program {
                on_stop: None,
                ..healthy
            },
        );
        assert_eq!(deploy(&rig, services("1")).await, Ending::Passed);
        let faulty = rig.with(&[Fault::DiesDuring(number)]);
        Deploy::new(faulty, unit(services("2")), TOKEN)
            .await
            .run_and_die(usize::MAX)
            .await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let after = serving(&rig.engine);
        assert!(
            after == images("app:1") || after == images("app:2"),
            "{number}: {after:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_reaper_dies_too_the_next_deploy_puts_it_right() {
    for before in [true, false] {
        for number in 0..calls(before).await {
            for fault in [Fault::DiesBefore(number), Fault::DiesAfter(number)] {
                let case = format!("{fault:?}, something before: {before}");
                let rig = started(before).await;
                let dying = Deploy::new(rig.with(&[fault]), unit(services("2")), TOKEN).await;
                dying.run_to_death().await;
                // What carries the run's label is swept at the start of the next run.
                let run = dying.context.run;
                crate::labelled::remove_run(&rig.engine, run, 1)
                    .await
                    .expect("swept");
                assert_eq!(deploy(&rig, services("2")).await, Ending::Passed, "{case}");
                assert_eq!(serving(&rig.engine), images("app:2"), "{case}");
                assert_tidy(&rig, &case);
            }
        }
    }
}
