//! Releases that switch traffic, wherever their process dies: every gate goes on leading to what
//! runs, and the next deploy goes on or goes back.

use std::time::Duration;

use hoist_model::reason::Ending;
use hoist_model::unit::{AppProtocol, CanaryPlan, ServiceUnit, Strategy, UpdatePlan};

use super::harness::{Deploy, TOKEN, deploy, unit};
use super::rig::{Fault, Rig};
use super::{rig, services};
use crate::fake::FakeBackend;
use crate::labels;

/// Web with two containers.
fn switched(strategy: Strategy, version: &str) -> Vec<ServiceUnit> {
    let mut all = services(version);
    for web in all.iter_mut().filter(|one| one.name == "web") {
        web.replicas = 2;
        web.traffic.app_protocol = AppProtocol::Http;
        web.update = UpdatePlan {
            strategy,
            monitor: Duration::from_secs(1),
            canary: (strategy == Strategy::Canary).then(|| CanaryPlan {
                weights: vec![10, 50],
                step: Duration::from_secs(1),
                min_requests: 1,
                max_error_rate: 0.01,
                max_latency_ratio: None,
            }),
            ..UpdatePlan::default()
        };
    }
    all
}

/// How many servers each gate that runs leads traffic to; all of them run.
fn led_to(engine: &FakeBackend, case: &str) -> Vec<usize> {
    let all = engine.containers();
    let gates = all.iter().filter(|one| one.is_running());
    let gates = gates.filter(|one| one.labels.contains_key(labels::GATE));
    let servers = |gate: &str| -> Vec<String> {
        let files = engine.contents(gate);
        let text = files.get("haproxy.cfg").expect("a configuration");
        let text = String::from_utf8_lossy(text);
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| line.starts_with("server "));
        let active = lines.filter(|line| !line.contains(" backup") && !line.contains(" weight 0"));
        let names = active.filter_map(|line| line.split_whitespace().nth(1));
        names.map(str::to_owned).collect()
    };
    let counts = gates.map(|gate| {
        let servers = servers(&gate.name);
        for server in &servers {
            let name = format!("shop-staging-{server}");
            let found = all.iter().find(|one| one.name == name);
            let runs = found.is_some_and(|one| one.is_running());
            assert!(runs, "{case}: {} leads to {server}", gate.name);
        }
        servers.len()
    });
    counts.collect()
}

/// Names of the containers of web that run.
fn running(rig: &Rig) -> Vec<String> {
    let all = rig.engine.containers().into_iter();
    let web = all.filter(|one| one.is_running() && one.name.starts_with("shop-staging-web-"));
    let mut names: Vec<String> = web.map(|one| one.name).collect();
    names.sort();
    names
}

async fn wherever_it_dies(strategy: Strategy) {
    let first = async || {
        let rig = rig();
        let ending = deploy(&rig, switched(strategy, "1")).await;
        assert_eq!(ending, Ending::Passed);
        rig
    };
    let rig = first().await;
    let whole = Deploy::new(rig.with(&[]), unit(switched(strategy, "2")), TOKEN).await;
    let (ending, calls) = whole.run().await;
    assert_eq!(ending, Ending::Passed);
    assert_eq!(led_to(&rig.engine, "whole"), [2, 2]);
    assert!(calls > 40, "the rig counts");
    for number in 0..calls {
        for fault in [Fault::DiesBefore(number), Fault::DiesAfter(number)] {
            let case = format!("{strategy:?} {fault:?}");
            let rig = first().await;
            let dying = Deploy::new(rig.with(&[fault]), unit(switched(strategy, "2")), TOKEN).await;
            dying.run_and_die(usize::MAX).await;
            let led = led_to(&rig.engine, &case);
            assert!(
                led.len() == 2 && led.iter().all(|count| *count > 0),
                "{case}: {led:?}"
            );
            let next = deploy(&rig, switched(strategy, "2")).await;
            assert_eq!(next, Ending::Passed, "{case}");
            assert_eq!(led_to(&rig.engine, &case), [2, 2], "{case}");
            let names = running(&rig);
            assert_eq!(names.len(), 2, "{case}: {names:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn blue_green_wherever_it_dies_answers_and_the_next_is_whole() {
    wherever_it_dies(Strategy::BlueGreen).await;
}

#[tokio::test(start_paused = true)]
async fn rolling_wherever_it_dies_answers_and_the_next_is_whole() {
    wherever_it_dies(Strategy::Rolling).await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_wherever_it_dies_answers_and_the_next_is_whole() {
    wherever_it_dies(Strategy::Canary).await;
}

/// Whatever fails once, the one before serves or the new one does, and gates know.
#[tokio::test(start_paused = true)]
async fn whatever_fails_gates_lead_to_what_serves() {
    for strategy in [Strategy::BlueGreen, Strategy::Canary] {
        whatever_fails(strategy).await;
    }
}

async fn whatever_fails(strategy: Strategy) {
    let rig = rig();
    let whole = Deploy::new(rig.with(&[]), unit(switched(strategy, "1")), TOKEN).await;
    assert_eq!(whole.run().await.0, Ending::Passed);
    let (_, calls) = Deploy::new(rig.with(&[]), unit(switched(strategy, "2")), TOKEN)
        .await
        .run()
        .await;
    for number in 0..calls {
        for fault in [Fault::Fails(number), Fault::AnswerLost(number)] {
            let case = format!("{strategy:?} {fault:?}");
            let rig = super::rig();
            assert_eq!(deploy(&rig, switched(strategy, "1")).await, Ending::Passed);
            let faulty =
                Deploy::new(rig.with(&[fault]), unit(switched(strategy, "2")), TOKEN).await;
            let ending = faulty.run().await.0;
            assert_eq!(led_to(&rig.engine, &case), [2, 2], "{case}: {ending:?}");
            assert_eq!(running(&rig).len(), 2, "{case}: {ending:?}");
        }
    }
}
