//! A port of the host that several projects share, wherever a process of one of them dies: what the
//! others have stays as it is, and the next command goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use hoist_model::reason::Ending;
use hoist_model::unit::{AppProtocol, ReleaseDeed, ReleaseUnit, Route, ServiceUnit, Strategy};

use super::fixtures::{image, ports, service};
use super::harness::{Deploy, TOKEN, unit};
use super::rig::{Fault, Rig};
use super::{rig, trouble};
use crate::backend::{Backend, ContainerInfo, ContainerSpec, Labels};
use crate::fake::{FakeBackend, Program};
use crate::labels;
use crate::release::down;

const PROXY: &str = "hoist-proxy-8080";

/// One service of a project behind port 8080, for the host of its name where it has routes.
fn unit_of(project: &str, version: &str, strategy: Strategy) -> ReleaseUnit {
    let mut web = ServiceUnit {
        image: image(&format!("app:{version}")),
        ports: ports(8080),
        ..service("web")
    };
    web.update.strategy = strategy;
    web.traffic.app_protocol = AppProtocol::Http;
    web.traffic.routes = vec![Route {
        host: Some(format!("{project}.test")),
        path: None,
    }];
    unit(vec![web])
}

/// The same for it alone.
fn alone(version: &str) -> ReleaseUnit {
    let mut unit = unit_of("", version, Strategy::Recreate);
    unit.services[0].traffic.routes.clear();
    unit
}

async fn run(rig: &Rig, project: &str, unit: ReleaseUnit) -> Ending {
    let deploy = Deploy::of(project, rig.with(&[]), unit, TOKEN).await;
    deploy.run().await.0
}

async fn both() -> Rig {
    let rig = rig();
    for project in ["shop", "blog"] {
        let unit = unit_of(project, "1", Strategy::BlueGreen);
        assert_eq!(run(&rig, project, unit).await, Ending::Passed);
    }
    rig
}

async fn down_of(rig: Rig, project: &str) -> Result<(), String> {
    let backend: Arc<dyn Backend> = Arc::new(rig);
    let labels = labels::of_command(project, 0);
    let gone = down(&backend, project, "staging", true, "proxy:1", &labels).await;
    gone.map(|_| ()).map_err(|trouble| format!("{trouble:?}"))
}

/// The servers that the shared proxy leads to, by route.
fn led(engine: &FakeBackend, proxy: &str) -> BTreeMap<String, Vec<String>> {
    let files = engine.contents(proxy);
    let text = String::from_utf8_lossy(files.get("haproxy.cfg").map_or(&[][..], Vec::as_slice));
    let servers = |backend: &str| -> Vec<String> {
        let mut lines = text.lines().map(str::trim);
        let own = lines.any(|line| line == format!("backend {backend}"));
        assert!(own, "{backend}: {text}");
        let own = lines.take_while(|line| !line.starts_with("backend "));
        let active = own.filter(|line| line.starts_with("server ") && line.contains(" weight 100"));
        let names = active.filter_map(|line| line.split_whitespace().nth(1));
        names.map(str::to_owned).collect()
    };
    let routes = text.lines().filter_map(|line| {
        let (_, rule) = line.split_once("use_backend ")?;
        let (backend, rule) = rule.split_once(' ')?;
        let host = rule.split("-m str ").nth(1)?.split(' ').next()?;
        Some((host.to_owned(), servers(backend)))
    });
    routes.collect()
}

/// The shared proxies that run.
fn proxies(rig: &Rig) -> Vec<ContainerInfo> {
    let mut all = rig.engine.containers();
    all.retain(|one| one.labels.contains_key(labels::SHARED) && one.is_running());
    all.retain(|one| one.labels[labels::ROLE] == "proxy");
    all
}

/// What a project has of the proxy, all of which runs.
#[track_caller]
fn serves(rig: &Rig, project: &str, case: &str) -> Vec<String> {
    let all = rig.engine.containers();
    assert_eq!(proxies(rig).len(), 1, "{case}");
    let all_led = led(&rig.engine, PROXY);
    let found = all_led.get(&format!("{project}.test"));
    let found = found.unwrap_or_else(|| panic!("{case}: {all_led:?}"));
    for server in found {
        let name = server.replace('.', "-");
        let runs = all.iter().any(|one| one.name == name && one.is_running());
        assert!(runs, "{case}: it leads to {server}");
    }
    assert!(!found.is_empty(), "{case}");
    found.clone()
}

/// Changes what the proxy reads, and what was checked before.
fn put(rig: &Rig, text: &str, next: &str) {
    rig.engine.change_contents(PROXY, |files| {
        files.insert("haproxy.cfg".to_owned(), text.as_bytes().to_vec());
        files.insert("next.cfg".to_owned(), next.as_bytes().to_vec());
    });
}

fn shared_objects(engine: &FakeBackend) -> Vec<String> {
    let is_shared = |found: &Labels| found.contains_key(labels::SHARED);
    let containers = engine.containers().into_iter();
    let containers = containers.filter(|one| is_shared(&one.labels));
    let volumes = engine.volumes().into_iter();
    let volumes = volumes.filter(|one| is_shared(&one.labels));
    let networks = engine.networks().into_iter();
    let networks = networks.filter(|one| is_shared(&one.labels));
    let names = containers.map(|one| one.name);
    let names = names.chain(volumes.map(|one| one.name));
    names.chain(networks.map(|one| one.name)).collect()
}

#[tokio::test(start_paused = true)]
async fn two_projects_share_a_port_and_the_last_takes_its_proxy_away() {
    let rig = both().await;
    assert_eq!(serves(&rig, "shop", "both"), ["shop.staging.web-1-1"]);
    assert_eq!(serves(&rig, "blog", "both"), ["blog.staging.web-1-1"]);
    let proxies = shared_objects(&rig.engine);
    assert_eq!(proxies, [PROXY, PROXY, "0--hoist-proxy-8080"]);
    let proxy = super::super::names::ALL_SHARED;
    let proxy = rig.engine.list_containers(&proxy).await.expect("a list");
    assert!(!proxy[0].labels.contains_key(labels::PROJECT));

    // A release of one is none of the other's.
    let next = unit_of("blog", "2", Strategy::BlueGreen);
    assert_eq!(run(&rig, "blog", next).await, Ending::Passed);
    assert_eq!(serves(&rig, "blog", "two"), ["blog.staging.web-2-1"]);
    assert_eq!(serves(&rig, "shop", "two"), ["shop.staging.web-1-1"]);
    // Nor is one that fails.
    let sick = unit_of("blog", "sick", Strategy::BlueGreen);
    assert!(matches!(run(&rig, "blog", sick).await, Ending::Failed(_)));
    assert_eq!(serves(&rig, "blog", "sick"), ["blog.staging.web-2-1"]);
    let same = unit_of("shop", "1", Strategy::BlueGreen);
    assert_eq!(run(&rig, "shop", same).await, Ending::Passed);
    assert_eq!(serves(&rig, "shop", "same"), ["shop.staging.web-1-1"]);

    down_of(rig.with(&[]), "shop").await.expect("down");
    assert_eq!(serves(&rig, "blog", "one"), ["blog.staging.web-2-1"]);
    assert_eq!(led(&rig.engine, PROXY).len(), 1);
    down_of(rig.with(&[]), "blog").await.expect("down");
    assert!(shared_objects(&rig.engine).is_empty());
    assert!(rig.engine.networks().is_empty() && rig.engine.volumes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_another_project_has_is_refused_before_anything_is_touched() {
    let rig = rig();
    let first = unit_of("shop", "1", Strategy::BlueGreen);
    assert_eq!(run(&rig, "shop", first).await, Ending::Passed);
    let before = rig.engine.contents(PROXY);
    for (unit, what, cause) in [
        (
            unit_of("shop", "1", Strategy::BlueGreen),
            "the route `shop.test` of web on port 8080 is taken",
            "web of shop (staging) has it",
        ),
        (
            alone("1"),
            "the port 8080 of web is taken",
            "web of shop (staging) has a part of it, and web has no `routes`",
        ),
    ] {
        let trouble = trouble(run(&rig, "blog", unit).await);
        assert_eq!(trouble.what, what);
        assert_eq!(trouble.cause.as_deref(), Some(cause));
        assert!(trouble.hint.is_some());
        assert_eq!(rig.engine.contents(PROXY), before);
        let all = rig.engine.containers();
        assert!(!all.iter().any(|one| one.name.starts_with("blog-")));
    }
    // What has a port for itself says so too, and what to do.
    let rig = super::rig();
    assert_eq!(run(&rig, "shop", alone("1")).await, Ending::Passed);
    let second = unit_of("blog", "1", Strategy::BlueGreen);
    let trouble = trouble(run(&rig, "blog", second).await);
    assert_eq!(trouble.what, "the port 8080 of web is taken");
    assert_eq!(
        trouble.cause.as_deref(),
        Some("shop (staging) has it for itself")
    );
    assert!(trouble.hint.is_some_and(|hint| hint.contains("`routes`")));
}

#[tokio::test(start_paused = true)]
async fn a_port_that_one_has_for_itself_becomes_one_to_share() {
    let rig = rig();
    assert_eq!(run(&rig, "shop", alone("1")).await, Ending::Passed);
    assert!(shared_objects(&rig.engine).is_empty());
    let routed = || unit_of("shop", "1", Strategy::Recreate);
    let deploy = Deploy::of("shop", rig.with(&[]), routed(), TOKEN).await;
    assert_eq!(deploy.run().await.0, Ending::Passed);
    let warnings = deploy.warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(serves(&rig, "shop", "shared"), ["shop.staging.web-1-1"]);
    let all = rig.engine.containers();
    let own = |name: &str| name.starts_with("shop-staging-proxy");
    assert!(!all.iter().any(|one| own(&one.name)));
    assert!(!rig.engine.volumes().iter().any(|one| own(&one.name)));
    let second = unit_of("blog", "1", Strategy::BlueGreen);
    assert_eq!(run(&rig, "blog", second).await, Ending::Passed);
    serves(&rig, "shop", "both");
    serves(&rig, "blog", "both");
    // Now it cannot have it for itself again.
    let trouble = trouble(run(&rig, "shop", alone("1")).await);
    assert_eq!(trouble.what, "the port 8080 of web is taken");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_cannot_be_read_is_left_as_it_is() {
    let rig = both().await;
    let files = rig.engine.contents(PROXY);
    let text = String::from_utf8_lossy(&files["haproxy.cfg"]).into_owned();
    let newer = text.replace("\"sticky\":false", "\"sticky\":false,\"limit\":1");
    put(&rig, &newer, &newer);
    let before = rig.engine.contents(PROXY);
    let next = unit_of("blog", "2", Strategy::BlueGreen);
    let trouble = trouble(run(&rig, "blog", next).await);
    assert_eq!(
        trouble.what,
        "what others have of the proxy of port 8080 cannot be read"
    );
    let gone = down_of(rig.with(&[]), "blog").await;
    assert!(gone.is_err_and(|said| said.contains("cannot be read")));
    assert_eq!(rig.engine.contents(PROXY), before);
    // Where the putting of it was cut off, the one that was checked before counts.
    let (cut, _) = text.split_at(text.len() / 2);
    put(&rig, cut, &text);
    let next = unit_of("blog", "2", Strategy::BlueGreen);
    assert_eq!(run(&rig, "blog", next).await, Ending::Passed);
    serves(&rig, "shop", "whole");
    serves(&rig, "blog", "whole");
}

#[tokio::test(start_paused = true)]
async fn wherever_the_second_dies_the_first_serves_and_both_go_on() {
    let first = async || {
        let rig = rig();
        let unit = unit_of("shop", "1", Strategy::BlueGreen);
        assert_eq!(run(&rig, "shop", unit).await, Ending::Passed);
        rig
    };
    let second = || unit_of("blog", "1", Strategy::BlueGreen);
    let rig = first().await;
    let whole = Deploy::of("blog", rig.with(&[]), second(), TOKEN).await;
    let (ending, calls) = whole.run().await;
    assert_eq!(ending, Ending::Passed);
    assert!(calls > 40, "the rig counts");
    for number in 0..calls {
        for fault in [Fault::DiesBefore(number), Fault::DiesAfter(number)] {
            let case = format!("{fault:?}");
            let rig = first().await;
            let dying = Deploy::of("blog", rig.with(&[fault]), second(), TOKEN).await;
            dying.run_and_die(usize::MAX).await;
            serves(&rig, "shop", &case);
            // The first is not kept from a release of its own.
            let next = unit_of("shop", "2", Strategy::BlueGreen);
            assert_eq!(run(&rig, "shop", next).await, Ending::Passed, "{case}");
            serves(&rig, "shop", &case);
            assert_eq!(run(&rig, "blog", second()).await, Ending::Passed, "{case}");
            serves(&rig, "blog", &case);
            serves(&rig, "shop", &case);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_a_release_or_its_end_dies_the_other_serves() {
    let next = || unit_of("blog", "2", Strategy::BlueGreen);
    let rig = both().await;
    let whole = Deploy::of("blog", rig.with(&[]), next(), TOKEN).await;
    let (_, calls) = whole.run().await;
    for number in 0..calls {
        for fault in [Fault::DiesBefore(number), Fault::DiesAfter(number)] {
            let case = format!("{fault:?}");
            let rig = both().await;
            let dying = Deploy::of("blog", rig.with(&[fault]), next(), TOKEN).await;
            dying.run_and_die(usize::MAX).await;
            serves(&rig, "shop", &case);
            serves(&rig, "blog", &case);
            assert_eq!(run(&rig, "blog", next()).await, Ending::Passed, "{case}");
            let left = serves(&rig, "blog", &case);
            assert_eq!(left.len(), 1, "{case}: {left:?}");
        }
    }
    let whole = both().await.with(&[]);
    let whole = Arc::new(whole);
    let backend: Arc<dyn Backend> = Arc::clone(&whole) as Arc<dyn Backend>;
    let of = labels::of_command("blog", 0);
    let gone = down(&backend, "blog", "staging", true, "proxy:1", &of).await;
    gone.expect("down");
    for number in 0..whole.calls() {
        for fault in [Fault::DiesBefore(number), Fault::DiesAfter(number)] {
            let case = format!("down {fault:?}");
            let rig = both().await;
            let dying = rig.with(&[fault]);
            let dead = Arc::new(dying);
            let backend: Arc<dyn Backend> = Arc::clone(&dead) as Arc<dyn Backend>;
            tokio::select! {
                _ = down(&backend, "blog", "staging", true, "proxy:1", &of) => {}
                () = dead.died.notified() => {}
            }
            serves(&rig, "shop", &case);
            down_of(rig.with(&[]), "blog").await.expect(&case);
            serves(&rig, "shop", &case);
            assert_eq!(led(&rig.engine, PROXY).len(), 1, "{case}");
            down_of(rig.with(&[]), "shop").await.expect(&case);
            let left = shared_objects(&rig.engine);
            assert!(left.is_empty(), "{case}: {left:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_the_sharing_of_a_port_dies_its_owner_serves() {
    let first = async || {
        let rig = rig();
        assert_eq!(run(&rig, "shop", alone("1")).await, Ending::Passed);
        rig
    };
    let routed = || unit_of("shop", "1", Strategy::Recreate);
    let rig = first().await;
    let whole = Deploy::of("shop", rig.with(&[]), routed(), TOKEN).await;
    let (_, calls) = whole.run().await;
    for number in 0..calls {
        for fault in [Fault::DiesBefore(number), Fault::DiesAfter(number)] {
            let case = format!("{fault:?}");
            let rig = first().await;
            let dying = Deploy::of("shop", rig.with(&[fault]), routed(), TOKEN).await;
            dying.run_and_die(usize::MAX).await;
            let all = rig.engine.containers();
            let gates = all.iter().filter(|one| one.is_running());
            let gates = gates.filter(|one| one.labels.contains_key(labels::GATE));
            let gates = gates.filter(|one| one.labels[labels::ROLE] == "proxy");
            assert_eq!(gates.count(), 1, "{case}");
            assert_eq!(run(&rig, "shop", routed()).await, Ending::Passed, "{case}");
            serves(&rig, "shop", &case);
            let second = unit_of("blog", "1", Strategy::BlueGreen);
            assert_eq!(run(&rig, "blog", second).await, Ending::Passed, "{case}");
            serves(&rig, "shop", &case);
            serves(&rig, "blog", &case);
        }
    }
}

/// With another image of proxies, which the second project puts in place.
async fn upgraded(rig: &Rig, faults: &[Fault]) -> (Deploy, ReleaseUnit) {
    rig.engine.add_image("proxy:2");
    let check = |spec: &ContainerSpec| spec.name.contains("-check-");
    rig.engine.program(check, Program::exits(0));
    let mut unit = unit_of("blog", "1", Strategy::BlueGreen);
    unit.proxy = "proxy:2".to_owned();
    unit.deed = ReleaseDeed::UpgradeProxies;
    let deploy = Deploy::of("blog", rig.with(faults), unit.clone(), TOKEN).await;
    (deploy, unit)
}

#[tokio::test(start_paused = true)]
async fn a_shared_proxy_gets_another_image_with_all_that_others_have() {
    let rig = both().await;
    let before = rig.engine.contents(PROXY);
    let (deploy, _) = upgraded(&rig, &[]).await;
    let (ending, calls) = deploy.run().await;
    assert_eq!(ending, Ending::Passed);
    assert_eq!(rig.engine.contents(PROXY), before);
    let networks = |rig: &Rig| {
        let proxy = proxies(rig).remove(0);
        (proxy.image, proxy.addresses)
    };
    let (image, addresses) = networks(&rig);
    let wanted = FakeBackend::new().add_image("proxy:2").id;
    assert_eq!((image, addresses.len()), (wanted.clone(), 2));
    assert_eq!(shared_objects(&rig.engine).len(), 3);
    for number in 0..calls {
        for fault in [Fault::DiesBefore(number), Fault::DiesAfter(number)] {
            let case = format!("{fault:?}");
            let rig = both().await;
            let (dying, unit) = upgraded(&rig, &[fault]).await;
            dying.run_and_die(usize::MAX).await;
            let running = proxies(&rig);
            assert_eq!(running.len(), 1, "{case}");
            assert_eq!(running[0].addresses.len(), 2, "{case}");
            assert_eq!(run(&rig, "blog", unit).await, Ending::Passed, "{case}");
            serves(&rig, "shop", &case);
            serves(&rig, "blog", &case);
            assert_eq!(
                networks(&rig),
                (wanted.clone(), addresses.clone()),
                "{case}"
            );
            let next = unit_of("shop", "2", Strategy::BlueGreen);
            assert_eq!(run(&rig, "shop", next).await, Ending::Passed, "{case}");
            assert_eq!(serves(&rig, "shop", &case), ["shop.staging.web-2-1"]);
            assert_eq!(shared_objects(&rig.engine).len(), 3, "{case}");
        }
    }
}
