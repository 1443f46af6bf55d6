//! Services on the host's network over an engine in memory.

use hoist_model::unit::{ReleaseDeed, Strategy, UpdatePlan};

use super::*;
use crate::backend::Attachment;
use crate::release::{ReleaseEnd, history};

fn on_host(version: &str) -> ServiceUnit {
    ServiceUnit {
        image: image(&format!("app:{version}")),
        networks: Vec::new(),
        host_network: true,
        ..service("web")
    }
}

fn behind_a_proxy(version: &str) -> ServiceUnit {
    ServiceUnit {
        image: image(&format!("app:{version}")),
        ports: ports(8080),
        update: UpdatePlan {
            strategy: Strategy::BlueGreen,
            ..UpdatePlan::default()
        },
        ..service("web")
    }
}

async fn released(rig: &Rig, web: ServiceUnit, deed: ReleaseDeed, allowed: bool) -> Ending {
    let mut unit = unit(vec![web]);
    unit.keep = 2;
    unit.deed = deed;
    let mut deploy = Deploy::new(rig.with(&[]), unit, TOKEN).await;
    deploy.context.allow_host_network = allowed;
    deploy.run().await.0
}

fn running(rig: &Rig) -> Vec<String> {
    let mut found = found(&rig.engine, "web");
    found.retain(ContainerInfo::is_running);
    found.into_iter().map(|one| one.name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_release_with_it_is_refused_unless_it_is_allowed() {
    let rig = rig();
    let refused = released(&rig, on_host("1"), ReleaseDeed::Deploy, false).await;
    let trouble = trouble(refused);
    assert_eq!(trouble.what, "the host's network is not allowed for web");
    let hint = trouble.hint.unwrap_or_default();
    assert!(hint.contains("--allow-host-network"), "{hint}");
    assert!(rig.engine.containers().is_empty() && rig.engine.volumes().is_empty());

    let allowed = released(&rig, on_host("1"), ReleaseDeed::Deploy, true).await;
    assert_eq!(allowed, Ending::Passed);
    let specs = rig.engine.specs();
    let spec = specs
        .iter()
        .find(|spec| spec.name == "shop-staging-web-1-1");
    assert_eq!(spec.expect("made").network, Attachment::Host);
    assert!(rig.engine.networks().is_empty(), "no network of its own");

    let backend: Arc<dyn Backend> = Arc::new(rig.engine.clone());
    let found = history(&backend, "shop", "staging").await.expect("read");
    assert!(found.releases[0].services[0].host_network);
    assert!(seen(&rig, "staging").await[0].host_network);
}

#[tokio::test(start_paused = true)]
async fn what_runs_with_it_is_scaled_no_further_and_comes_back_only_if_allowed() {
    let rig = rig();
    let first = released(&rig, on_host("1"), ReleaseDeed::Deploy, true).await;
    assert_eq!(first, Ending::Passed);
    let scale = |replicas| ReleaseDeed::Scale {
        replicas: [("web".to_owned(), replicas)].into(),
    };
    let two = released(&rig, on_host("1"), scale(2), false).await;
    assert_eq!(trouble(two).what, "web cannot have 2 containers");
    let one = released(&rig, on_host("1"), scale(1), false).await;
    assert_eq!(one, Ending::Passed, "it was allowed when it was released");

    let second = released(&rig, behind_a_proxy("2"), ReleaseDeed::Deploy, false).await;
    assert_eq!(second, Ending::Passed);
    assert_eq!(running(&rig), ["shop-staging-web-2-1"]);
    let back = || ReleaseDeed::Rollback { to: Some(1) };
    trouble(released(&rig, behind_a_proxy("2"), back(), false).await);
    assert_eq!(running(&rig), ["shop-staging-web-2-1"]);
    let allowed = released(&rig, behind_a_proxy("2"), back(), true).await;
    assert_eq!(allowed, Ending::Passed);
    assert_eq!(running(&rig), ["shop-staging-web-1-1"]);
}

#[tokio::test(start_paused = true)]
async fn what_leaves_it_is_stopped_before_what_would_switch_is_started() {
    let rig = rig();
    let first = released(&rig, on_host("1"), ReleaseDeed::Deploy, true).await;
    assert_eq!(first, Ending::Passed);
    let (message, fallback) =
        fallback(released(&rig, behind_a_proxy("sick"), ReleaseDeed::Deploy, false).await);
    assert!(message.contains("web"), "{message}");
    assert_eq!(fallback, Fallback::RolledBack { release: 1 });
    assert_eq!(running(&rig), ["shop-staging-web-1-1"]);

    let backend: Arc<dyn Backend> = Arc::new(rig.engine.clone());
    let found = history(&backend, "shop", "staging").await.expect("read");
    assert!(matches!(found.releases[0].end, ReleaseEnd::Failed { .. }));
}
