//! What stands in the way of a release is said before anything is touched, all at once.

use hoist_model::reason::{Ending, FailureReason};
use hoist_model::unit::{NetworkPlan, ReleaseUnit};

use super::harness::{Deploy, TOKEN, unit};
use super::rig::Rig;
use super::{fixtures, rig, services, trouble};
use crate::backend::{Backend, Labels, NetworkSpec};
use crate::release::bare::bare;
use crate::release::names::Place;
use crate::release::preflight::{Findings, look};
use crate::release::state::Deployed;

/// The problems and warnings of a first release, in words.
async fn found(rig: &Rig, unit: &ReleaseUnit) -> (Vec<String>, Vec<String>) {
    let place = Place::new("shop", "staging");
    let found = look(&rig.engine, &place, &Deployed::default(), unit).await;
    let Findings { problems, warnings } = found.expect("the engine answers");
    let what = |reason| match reason {
        FailureReason::Surroundings(trouble) | FailureReason::Configuration(trouble) => {
            trouble.what
        }
        other => panic!("no trouble: {other:?}"),
    };
    (
        problems.into_iter().map(what).collect(),
        warnings.into_iter().map(|(said, _)| said).collect(),
    )
}

fn with_subnet(subnet: &str) -> ReleaseUnit {
    let mut unit = unit(services("1"));
    let plan = NetworkPlan {
        subnet: Some(subnet.to_owned()),
        ..NetworkPlan::default()
    };
    unit.environment.networks.insert("default".to_owned(), plan);
    unit
}

async fn hold_port(rig: &Rig, name: &str, labels: Labels) {
    let mut holder = bare(name, "db:1", labels);
    holder.ports = fixtures::ports(8080);
    let id = rig.engine.create_container(&holder).await.expect("made");
    rig.engine.start_container(&id).await.expect("started");
}

#[tokio::test(start_paused = true)]
async fn all_problems_are_one_failure_and_nothing_is_touched() {
    let rig = rig();
    hold_port(&rig, "theirs", Labels::new()).await;
    let none = Labels::new();
    let data = rig.engine.create_volume("shop-staging-data", &none);
    data.await.expect("made");
    let other = NetworkSpec {
        name: "other".to_owned(),
        subnet: Some("172.28.0.0/16".to_owned()),
        ..NetworkSpec::default()
    };
    rig.engine.create_network(&other).await.expect("made");
    let mut unit = with_subnet("172.28.7.0/24");
    unit.services[1].image = fixtures::image("app:nowhere");
    let deploy = Deploy::new(rig.with(&[]), unit, TOKEN).await;
    let called = rig.engine.calls().len();
    let trouble = trouble(deploy.run().await.0);
    assert_eq!(
        trouble.what,
        "4 things stand in the way of the release to staging, and nothing was touched"
    );
    let cause = trouble.cause.expect("causes");
    let lines: Vec<&str> = cause.lines().collect();
    assert_eq!(lines.len(), 4, "{cause}");
    assert!(lines[0].contains("app:nowhere"), "{cause}");
    assert!(
        lines[1].starts_with(
            "the network default of staging (172.28.7.0/24) overlaps the network other (172.28.0.0/16)"
        ),
        "{cause}"
    );
    assert!(
        lines[2].starts_with(
            "the port 8080 of web is taken: the container theirs holds it; stop that container"
        ),
        "{cause}"
    );
    assert!(
        lines[3].starts_with("the volume data of staging cannot be made: "),
        "{cause}"
    );
    let touched = ["create_", "start_", "stop_", "remove_"];
    let calls = rig.engine.calls().split_off(called);
    let mut calls = calls.iter();
    assert!(!calls.any(|call| touched.iter().any(|verb| call.starts_with(verb))));
}

#[tokio::test(start_paused = true)]
async fn what_this_environment_holds_itself_is_no_problem() {
    let rig = rig();
    let place = Place::new("shop", "staging");
    hold_port(&rig, "ours", place.labels("service")).await;
    let (problems, warnings) = found(&rig, &unit(services("1"))).await;
    assert!(
        problems.is_empty() && warnings.is_empty(),
        "{problems:?} {warnings:?}"
    );
    let ours = rig.engine.remove_container("ours").await;
    ours.expect("removed");
    let neighbour = Place::new("shop", "production");
    hold_port(&rig, "neighbours", neighbour.labels("service")).await;
    let (problems, _) = found(&rig, &unit(services("1"))).await;
    assert_eq!(problems, ["the port 8080 of web is taken"]);
}

#[tokio::test(start_paused = true)]
async fn memory_that_cannot_be_had_is_a_problem_and_a_bound_beyond_it_a_warning() {
    let rig = rig();
    rig.engine.change_info(|info| info.memory = (4 << 30) + 1);
    let mut unit = unit(services("1"));
    unit.services[0].limits.memory = Some(4 << 30);
    unit.services[0].limits.memory_reservation = Some(2 << 30);
    unit.services[1].limits.memory_reservation = Some(1 << 30);
    unit.services[1].replicas = 2;
    assert_eq!(found(&rig, &unit).await, (vec![], vec![]));
    unit.services[1].replicas = 3;
    unit.services[0].limits.memory = Some(8 << 30);
    assert_eq!(
        found(&rig, &unit).await,
        (
            vec![
                "the services of staging reserve 5g of memory, and the engine's host has 4g"
                    .to_owned()
            ],
            vec!["db may take 8g of memory, and the engine's host has 4g".to_owned()]
        )
    );
    rig.engine.change_info(|info| info.memory = 0);
    assert_eq!(
        found(&rig, &unit).await,
        (vec![], vec![]),
        "an engine that does not say"
    );
}

#[tokio::test(start_paused = true)]
async fn a_profile_that_an_engine_has_no_use_for_is_said() {
    let rig = rig();
    let options = |options: &[&str]| {
        let options = options.iter().map(|option| (*option).to_owned());
        let options: Vec<String> = options.collect();
        rig.engine
            .change_info(|info| info.security_options = options);
    };
    let mut unit = unit(services("1"));
    unit.services[0].security.seccomp = Some("{}".to_owned());
    unit.services[1].security.apparmor = Some("tight".to_owned());
    options(&["name=apparmor", "name=seccomp,profile=default"]);
    assert_eq!(found(&rig, &unit).await, (vec![], vec![]));
    options(&[]);
    assert_eq!(
        found(&rig, &unit).await,
        (
            vec!["db has a seccomp profile, and the engine has no seccomp".to_owned()],
            vec![
                "the AppArmor profile tight of web has no effect: the engine's host has no AppArmor"
                    .to_owned()
            ]
        )
    );
}

#[tokio::test(start_paused = true)]
async fn bounds_that_the_engine_of_a_release_cannot_enforce_are_said_once() {
    let rig = rig();
    rig.engine.change_info(|info| {
        info.enforces.cpuset = false;
        info.enforces.pids = false;
    });
    let mut unit = unit(services("1"));
    unit.services[0].limits.cpuset = Some("0".to_owned());
    let deploy = Deploy::new(rig.with(&[]), unit, TOKEN).await;
    assert_eq!(deploy.run().await.0, Ending::Passed);
    let warnings = deploy.warnings();
    let said = |what: &str| {
        let message = format!("the engine of staging cannot bound {what}");
        warnings.iter().filter(|said| **said == message).count()
    };
    assert_eq!(
        (
            said("sets of processors"),
            said("processes"),
            said("memory")
        ),
        (1, 1, 0),
        "{warnings:?}"
    );
}
