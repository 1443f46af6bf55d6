//! Releases over an engine in memory.

mod approvals;
mod elsewhere;
mod faults;
pub(super) mod fixtures;
mod harness;
mod host_network;
mod memory;
mod preflight;
mod promote;
pub(super) mod rig;
mod sharing;
mod switches;
mod upgrade;
mod verified;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hoist_model::event::EventKind;
use hoist_model::reason::{Ending, FailureReason, Fallback};
use hoist_model::unit::{Condition, Dependency, NetworkPlan, Restart, ServiceUnit, VolumeMount};

use super::bare::bare;
use super::{DeployedService, Drift, down, ps};
use crate::backend::{Backend, ContainerInfo, HealthStatus, Labels, NetworkSpec};
use crate::context::Stop;
use crate::fake::{FakeBackend, Program};
use crate::labels;
use fixtures::{image, ports, service};
use harness::{Deploy, TOKEN, deploy, unit};
use rig::Rig;

/// A database with data and a secret, and what needs it.
fn services(version: &str) -> Vec<ServiceUnit> {
    let db = ServiceUnit {
        image: image("db:1"),
        secrets: vec!["token".to_owned()],
        volumes: vec![VolumeMount {
            name: "data".to_owned(),
            target: "/data".to_owned(),
            read_only: false,
        }],
        ..service("db")
    };
    let web = ServiceUnit {
        image: image(&format!("app:{version}")),
        ports: ports(8080),
        secrets: vec!["token".to_owned()],
        depends_on: vec![Dependency {
            service: "db".to_owned(),
            condition: Condition::ServiceHealthy,
        }],
        ..service("web")
    };
    vec![db, web]
}

/// Whatever is started there runs and is healthy soon, but `app:sick`.
fn rig() -> Rig {
    let rig = Rig::new();
    for name in ["db:1", "app:1", "app:2", "app:sick", "proxy:1"] {
        rig.engine.add_image(name);
    }
    let healthy = Program::forever().health(Duration::from_secs(1), HealthStatus::Healthy);
    rig.engine.program(|_| true, healthy);
    let sick = Program::forever()
        .prints("cannot reach the database\n")
        .health(Duration::from_secs(1), HealthStatus::Unhealthy);
    let of = crate::fake::FakeBackend::new().add_image("app:sick").id;
    rig.engine.program(move |spec| spec.image == of, sick);
    rig
}

fn found(engine: &FakeBackend, service: &str) -> Vec<ContainerInfo> {
    let mut found = engine.containers();
    found.retain(|c| {
        let has = |key: &str, value: &str| c.labels.get(key).is_some_and(|is| is == value);
        has(labels::ROLE, "service") && has(labels::SERVICE, service)
    });
    found
}

fn one(engine: &FakeBackend, service: &str) -> ContainerInfo {
    let mut found = found(engine, service);
    assert_eq!(found.len(), 1, "one container of {service}: {found:?}");
    found.remove(0)
}

fn fallback(ending: Ending) -> (String, Fallback) {
    match ending {
        Ending::Failed(FailureReason::Deploy { message, fallback }) => (message, fallback),
        other => panic!("no failed deploy: {other:?}"),
    }
}

fn trouble(ending: Ending) -> hoist_model::reason::Trouble {
    match ending {
        Ending::Failed(
            FailureReason::Surroundings(trouble) | FailureReason::Configuration(trouble),
        ) => trouble,
        other => panic!("no trouble: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_release_is_labelled_addressed_and_leaves_no_tools() {
    let rig = rig();
    assert_eq!(deploy(&rig, services("1")).await, Ending::Passed);
    let web = one(&rig.engine, "web");
    assert!(web.is_running());
    assert_eq!(web.restart, Restart::UnlessStopped);
    assert_eq!(web.name, "shop-staging-web-1-1");
    for (label, value) in [
        (labels::PROJECT, "shop"),
        (labels::ENVIRONMENT, "staging"),
        (labels::ROLE, "service"),
        (labels::SEQUENCE, "1"),
        (labels::IMAGE, "app:1"),
        (labels::ADDRESS, "default=172.30.0.3"),
        (labels::DEPENDS_ON, "db"),
    ] {
        assert_eq!(
            web.labels.get(label).map(String::as_str),
            Some(value),
            "{label}"
        );
    }
    let network = rig.engine.networks().remove(0);
    assert_eq!(network.subnets, ["172.30.0.0/24"]);
    assert_eq!(network.ip_range.as_deref(), Some("172.30.0.128/25"));
    let names: Vec<String> = rig
        .engine
        .volumes()
        .into_iter()
        .map(|volume| volume.name)
        .collect();
    assert_eq!(
        names,
        [
            "hoist-state-shop-staging",
            "shop-staging-data",
            "shop-staging-db-1-secrets",
            "shop-staging-proxy-8080",
            "shop-staging-web-1-secrets"
        ]
    );
    let labels = rig.engine.containers().into_iter().map(|c| c.labels);
    let labels = labels.chain(rig.engine.volumes().into_iter().map(|v| v.labels));
    for labels in labels.chain([network.labels]) {
        assert!(
            !labels.contains_key(labels::RUN),
            "a run would take it away"
        );
        assert!(labels.values().all(|value| !value.contains(TOKEN)));
    }
    let roles = rig.engine.containers().into_iter();
    let roles = roles.map(|c| c.labels[labels::ROLE].clone());
    let mut roles: Vec<String> = roles.collect();
    roles.sort();
    assert_eq!(
        roles,
        ["holder", "proxy", "service", "service"],
        "neither lock nor filler is left"
    );
}

#[tokio::test(start_paused = true)]
async fn what_did_not_change_is_the_same_container_after() {
    let rig = rig();
    deploy(&rig, services("1")).await;
    let before: Vec<String> = rig.engine.containers().into_iter().map(|c| c.id).collect();
    let again = Deploy::new(rig.with(&[]), unit(services("1")), TOKEN).await;
    let called = rig.engine.calls().len();
    assert_eq!(again.run().await.0, Ending::Passed);
    let after: Vec<String> = rig.engine.containers().into_iter().map(|c| c.id).collect();
    assert_eq!(after, before);
    let calls = rig.engine.calls().split_off(called);
    assert!(
        calls.iter().all(|call| !call.starts_with("create_")),
        "not even a lock: {calls:#?}"
    );
    let released = again.events().into_iter().filter_map(|event| match event {
        EventKind::ServiceReleased { service, .. } => Some(service),
        _ => None,
    });
    let released: Vec<_> = released
        .map(|s| (s.service, s.release, s.unchanged))
        .collect();
    assert_eq!(
        released,
        [("db".to_owned(), 1, true), ("web".to_owned(), 1, true)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_changed_service_is_replaced_at_its_address_and_its_dependencies_stay() {
    let rig = rig();
    deploy(&rig, services("1")).await;
    let (db, web) = (one(&rig.engine, "db"), one(&rig.engine, "web"));
    assert_eq!(deploy(&rig, services("2")).await, Ending::Passed);
    assert_eq!(one(&rig.engine, "db").id, db.id);
    let new = one(&rig.engine, "web");
    assert_ne!(new.id, web.id);
    assert_eq!(new.name, "shop-staging-web-2-1");
    assert_eq!(
        new.labels.get(labels::ADDRESS),
        web.labels.get(labels::ADDRESS)
    );
    let volumes: Vec<String> = rig.engine.volumes().into_iter().map(|v| v.name).collect();
    assert!(
        !volumes.contains(&"shop-staging-web-1-secrets".to_owned()),
        "{volumes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn changed_secrets_are_noticed() {
    let rig = rig();
    deploy(&rig, services("1")).await;
    let web = one(&rig.engine, "web");
    let other = Deploy::new(rig.with(&[]), unit(services("1")), "battery staple").await;
    assert_eq!(other.run().await.0, Ending::Passed);
    assert_ne!(one(&rig.engine, "web").id, web.id);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_healthy_is_taken_away_and_the_one_before_serves() {
    let rig = rig();
    deploy(&rig, services("1")).await;
    let names = || {
        rig.engine
            .volumes()
            .into_iter()
            .map(|v| v.name)
            .collect::<Vec<_>>()
    };
    let (before, volumes) = (rig.engine.containers(), names());
    let (message, after) = fallback(deploy(&rig, services("sick")).await);
    assert_eq!(after, Fallback::RolledBack { release: 1 });
    assert!(message.starts_with("web is unhealthy"), "{message}");
    assert!(
        message.ends_with("its last lines:\n    cannot reach the database"),
        "{message}"
    );
    assert_eq!(names(), volumes);
    let ids = |all: Vec<ContainerInfo>| {
        all.into_iter()
            .map(|c| (c.id, c.status, c.restart))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(rig.engine.containers()), ids(before));
}

#[tokio::test(start_paused = true)]
async fn a_first_release_that_is_not_healthy_leaves_nothing() {
    let rig = rig();
    let (_, after) = fallback(deploy(&rig, services("sick")).await);
    assert_eq!(after, Fallback::NothingBefore);
    assert_only_history(&rig.engine);
}

#[tokio::test(start_paused = true)]
async fn stopping_in_the_middle_leads_back() {
    let rig = rig();
    deploy(&rig, services("1")).await;
    let slow = Program::forever().health(Duration::from_secs(50), HealthStatus::Healthy);
    rig.engine.program(
        |spec| {
            spec.labels
                .get(labels::IMAGE)
                .is_some_and(|of| of == "app:2")
        },
        slow,
    );
    for severity in [Stop::Grace, Stop::Kill] {
        let under_way = Deploy::new(rig.with(&[]), unit(services("2")), TOKEN).await;
        let (ending, ()) = tokio::join!(under_way.run(), async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            under_way.stop.send_replace(severity);
        });
        assert_eq!(fallback(ending.0).1, Fallback::RolledBack { release: 1 });
        assert_eq!(one(&rig.engine, "web").name, "shop-staging-web-1-1");
        assert!(one(&rig.engine, "web").is_running());
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_to_stop_touches_nothing() {
    let rig = rig();
    let deploy = Deploy::new(rig.with(&[]), unit(services("1")), TOKEN).await;
    deploy.stop.send_replace(Stop::Grace);
    assert_eq!(fallback(deploy.run().await.0).1, Fallback::Untouched);
    assert!(rig.engine.containers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_left_the_file_goes_and_its_data_stays() {
    let rig = rig();
    deploy(&rig, services("1")).await;
    let web = ServiceUnit {
        depends_on: Vec::new(),
        ..services("1").remove(1)
    };
    assert_eq!(deploy(&rig, vec![web]).await, Ending::Passed);
    assert!(found(&rig.engine, "db").is_empty());
    let volumes: Vec<String> = rig.engine.volumes().into_iter().map(|v| v.name).collect();
    assert_eq!(
        volumes,
        [
            "hoist-state-shop-staging",
            "shop-staging-data",
            "shop-staging-proxy-8080",
            "shop-staging-web-1-secrets"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_port_that_another_container_holds_stops_the_deploy_before_anything() {
    let rig = rig();
    let mut foreign = bare("theirs", "db:1", Labels::new());
    foreign.ports = ports(8080);
    let id = rig.engine.create_container(&foreign).await.expect("made");
    rig.engine.start_container(&id).await.expect("started");
    let trouble = trouble(deploy(&rig, services("1")).await);
    assert_eq!(trouble.what, "the port 8080 of web is taken");
    assert_eq!(
        trouble.cause.as_deref(),
        Some("the container theirs holds it")
    );
    assert_eq!(rig.engine.containers().len(), 1);
    assert!(rig.engine.networks().is_empty() && rig.engine.volumes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_lacks_the_labels_is_not_taken_for_hoists_own() {
    let rig = rig();
    rig.engine
        .create_volume("shop-staging-data", &Labels::new())
        .await
        .expect("made");
    let trouble = trouble(deploy(&rig, services("1")).await);
    assert!(
        trouble
            .cause
            .is_some_and(|cause| cause.contains("shop-staging-data"))
    );
    assert!(rig.engine.containers().is_empty() && rig.engine.networks().is_empty());
    assert_eq!(rig.engine.volumes().len(), 1, "theirs");
}

#[tokio::test(start_paused = true)]
async fn a_network_with_other_settings_is_said_before_anything_is_touched() {
    let rig = rig();
    deploy(&rig, services("1")).await;
    let mut other = unit(services("2"));
    let plan = NetworkPlan {
        subnet: Some("172.28.0.0/24".into()),
        ..NetworkPlan::default()
    };
    other.environment.networks.insert("default".into(), plan);
    let deploy = Deploy::new(rig.with(&[]), other, TOKEN).await;
    let trouble = trouble(deploy.run().await.0);
    assert_eq!(
        trouble.what,
        "the network default of staging has other settings than the file"
    );
    assert_eq!(one(&rig.engine, "web").name, "shop-staging-web-1-1");
}

#[tokio::test(start_paused = true)]
async fn a_subnet_that_is_taken_is_passed_over() {
    let rig = rig();
    let taken = NetworkSpec {
        subnet: Some("172.30.0.0/24".into()),
        ..NetworkSpec::default()
    };
    rig.engine.create_network(&taken).await.expect("made");
    assert_eq!(deploy(&rig, services("1")).await, Ending::Passed);
    let web = one(&rig.engine, "web");
    assert_eq!(
        web.labels.get(labels::ADDRESS).map(String::as_str),
        Some("default=172.30.1.3")
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_cut_off_deploy_left_is_mended_and_said() {
    let rig = rig();
    deploy(&rig, services("1")).await;
    let old = one(&rig.engine, "web");
    let mut specs = rig.engine.specs().into_iter();
    let mut new = specs.find(|spec| spec.name == old.name).expect("made");
    rig.engine
        .stop_container(&old.id, Duration::from_secs(1))
        .await
        .expect("stopped");
    new.name = "shop-staging-web-2-1".to_owned();
    new.restart = Restart::No;
    new.mounts.clear();
    new.labels
        .insert(labels::SEQUENCE.to_owned(), "2".to_owned());
    rig.engine.create_container(&new).await.expect("made");
    let next = Deploy::new(rig.with(&[]), unit(services("1")), TOKEN).await;
    assert_eq!(next.run().await.0, Ending::Passed);
    assert_eq!(one(&rig.engine, "web").id, old.id);
    assert!(one(&rig.engine, "web").is_running());
    let warnings = next.warnings();
    assert!(
        warnings.iter().any(|text| text
            .contains("release 2 of web was not finished: taken away, release 1 is started again")),
        "{warnings:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn two_deploys_do_not_interleave() {
    let rig = rig();
    let (a, b) = (
        Deploy::new(rig.with(&[]), unit(services("1")), TOKEN).await,
        Deploy::new(rig.with(&[]), unit(services("2")), TOKEN).await,
    );
    let (a, b) = tokio::join!(a.run(), b.run());
    assert_eq!(
        (a.0, b.0),
        (Ending::Passed, Ending::Passed),
        "one after the other"
    );
    assert_eq!(one(&rig.engine, "web").name, "shop-staging-web-2-1");
}

#[tokio::test(start_paused = true)]
async fn ps_says_what_is_deployed() {
    let rig = rig();
    deploy(&rig, services("1")).await;
    let other = Labels::from([(labels::PROJECT.to_owned(), "other".to_owned())]);
    rig.engine
        .create_container(&bare("other", "db:1", other))
        .await
        .expect("made");
    let services = seen(&rig, "staging").await;
    let shown: Vec<_> = services
        .iter()
        .map(|s| {
            (
                s.service.as_str(),
                s.state.as_str(),
                s.health,
                s.image.as_str(),
                s.release,
            )
        })
        .collect();
    let healthy = Some(HealthStatus::Healthy);
    assert_eq!(
        shown,
        [
            ("db", "running", healthy, "db:1", 1),
            ("web", "running", healthy, "app:1", 1)
        ]
    );
    assert_eq!(services[1].ports, ["0.0.0.0:8080"]);
    assert!(seen(&rig, "production").await.is_empty());
}

async fn seen(rig: &Rig, environment: &str) -> Vec<DeployedService> {
    let backend: Arc<dyn Backend> = Arc::new(rig.engine.clone());
    let all = BTreeSet::from([environment.to_owned()]);
    ps(&backend, "shop", &all).await.expect("read")
}

#[tokio::test(start_paused = true)]
async fn what_was_stopped_or_removed_by_hand_is_said_and_put_right() {
    let rig = rig();
    deploy(&rig, services("1")).await;
    let words = |services: &[DeployedService]| -> Vec<String> {
        let one = |it: &DeployedService| {
            let drift: Vec<_> = it.drift.iter().map(Drift::word).collect();
            format!("{} {} {}", it.service, it.serving, drift.join(" "))
        };
        services.iter().map(one).collect()
    };
    assert_eq!(
        words(&seen(&rig, "staging").await),
        ["db true ", "web true "]
    );
    let (web, db) = (one(&rig.engine, "web").id, one(&rig.engine, "db").id);
    rig.engine.remove_container(&web).await.expect("removed");
    let stopped = rig.engine.stop_container(&db, Duration::ZERO).await;
    stopped.expect("stopped");
    assert_eq!(
        words(&seen(&rig, "staging").await),
        ["db true stopped", "web true missing"]
    );
    assert_eq!(deploy(&rig, services("1")).await, Ending::Passed);
    assert_eq!(
        words(&seen(&rig, "staging").await),
        ["db true ", "web true "]
    );
}

#[tokio::test(start_paused = true)]
async fn down_takes_away_what_hoist_deployed_and_nothing_else() {
    let rig = rig();
    let backend: Arc<dyn Backend> = Arc::new(rig.with(&[]));
    let nothing = down(&backend, "shop", "staging", true, "proxy:1", &Labels::new())
        .await
        .expect("fine");
    assert_eq!(nothing, super::Removed::default());

    deploy(&rig, services("1")).await;
    rig.engine
        .create_container(&bare("theirs", "db:1", Labels::new()))
        .await
        .expect("made");
    let removed = down(
        &backend,
        "shop",
        "staging",
        false,
        "proxy:1",
        &Labels::new(),
    )
    .await
    .expect("down");
    assert_eq!(
        removed.containers,
        [
            "shop-staging-web-1-1",
            "shop-staging-db-1-1",
            "shop-staging-proxy-8080",
            "hoist-state-shop-staging"
        ]
    );
    assert_eq!(removed.networks, ["shop-staging-default"]);
    assert_eq!(
        (removed.volumes, removed.kept),
        (
            vec![],
            ["shop-staging-data", "hoist-state-shop-staging"]
                .map(str::to_owned)
                .to_vec()
        )
    );
    let left: Vec<String> = rig
        .engine
        .containers()
        .into_iter()
        .map(|c| c.name)
        .collect();
    assert_eq!(left, ["theirs"]);

    deploy(&rig, services("1")).await;
    // The history goes on where it was.
    assert_eq!(one(&rig.engine, "web").name, "shop-staging-web-2-1");
    let removed = down(&backend, "shop", "staging", true, "proxy:1", &Labels::new())
        .await
        .expect("down");
    assert_eq!(
        removed.volumes,
        ["shop-staging-data", "hoist-state-shop-staging"]
    );
    assert!(rig.engine.volumes().is_empty() && rig.engine.networks().is_empty());
}

/// Nothing is left but the environment's history.
fn assert_only_history(engine: &FakeBackend) {
    let containers: Vec<String> = engine.containers().into_iter().map(|c| c.name).collect();
    let volumes: Vec<String> = engine.volumes().into_iter().map(|v| v.name).collect();
    assert_eq!(containers, ["hoist-state-shop-staging"]);
    assert_eq!(volumes, ["hoist-state-shop-staging"]);
    assert!(engine.networks().is_empty());
}

/// Containers of services that run, by service: their images' names.
fn serving(engine: &FakeBackend) -> BTreeMap<String, Vec<String>> {
    let mut serving: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for container in engine.containers() {
        let label = |key: &str| container.labels.get(key).cloned();
        let serves = container.is_running() && label(labels::ROLE).as_deref() == Some("service");
        if let (Some(service), true) = (label(labels::SERVICE), serves) {
            serving
                .entry(service)
                .or_default()
                .extend(label(labels::IMAGE));
        }
    }
    serving
}
