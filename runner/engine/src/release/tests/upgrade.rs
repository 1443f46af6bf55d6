//! Proxies that are put on another image, wherever that breaks off.

use std::sync::Arc;

use hoist_model::reason::Ending;
use hoist_model::unit::{ReleaseDeed, ReleaseUnit};

use super::harness::{Deploy, TOKEN, deploy, unit};
use super::rig::{Fault, Rig};
use super::{fallback, rig, services};
use crate::backend::{Backend, BackendError, BackendErrorKind, ContainerInfo};
use crate::fake::{FakeBackend, Program};
use crate::labels;
use crate::release::history;

/// With a release, and another image of proxies.
async fn deployed() -> Rig {
    let rig = rig();
    rig.engine.add_image("proxy:2");
    let check = |spec: &crate::backend::ContainerSpec| spec.name.contains("-check-");
    rig.engine.program(check, Program::exits(0));
    assert_eq!(deploy(&rig, services("1")).await, Ending::Passed);
    rig
}

fn upgrade() -> ReleaseUnit {
    let mut unit = unit(services("1"));
    unit.proxy = "proxy:2".to_owned();
    unit.deed = ReleaseDeed::UpgradeProxies;
    unit
}

async fn upgraded(rig: &Rig, faults: &[Fault]) -> (Ending, usize, Vec<String>) {
    let deploy = Deploy::new(rig.with(faults), upgrade(), TOKEN).await;
    let (ending, calls) = deploy.run().await;
    let mut said = Vec::new();
    for container in rig.engine.containers() {
        said.push(container.name);
    }
    (ending, calls, said)
}

/// The gates that run, with their image.
fn gates(engine: &FakeBackend) -> Vec<ContainerInfo> {
    let mut all = engine.containers();
    all.retain(|one| one.labels.contains_key(labels::GATE) && one.is_running());
    all
}

fn image(name: &str) -> String {
    FakeBackend::new().add_image(name).id
}

#[tokio::test(start_paused = true)]
async fn a_proxy_gets_the_other_image_and_what_it_leads_to_stays() {
    let rig = deployed().await;
    let web = super::one(&rig.engine, "web");
    let before = rig.engine.contents("shop-staging-proxy-8080");
    let (ending, _, _) = upgraded(&rig, &[]).await;
    assert_eq!(ending, Ending::Passed);
    let all = gates(&rig.engine);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].image, image("proxy:2"));
    assert_eq!(all[0].name, "shop-staging-proxy-8080");
    assert_eq!(rig.engine.contents("shop-staging-proxy-8080"), before);
    assert_eq!(super::one(&rig.engine, "web").id, web.id);

    let backend: Arc<dyn Backend> = Arc::new(rig.engine.clone());
    let releases = || async {
        let history = history(&backend, "shop", "staging").await;
        history.expect("a history").releases
    };
    assert_eq!(releases().await[0].action, "proxy upgrade");
    let (ending, _, _) = upgraded(&rig, &[]).await;
    assert_eq!(ending, Ending::Passed);
    assert_eq!(releases().await.len(), 2, "nothing was left to do");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_serve_leaves_the_old_proxy() {
    for refuses in [true, false] {
        let rig = deployed().await;
        if refuses {
            let refuses = Program::exits(1).prints("unknown keyword");
            rig.engine
                .program(|spec| spec.name.contains("-check-"), refuses);
        } else {
            let mut broken = Program::forever();
            let kind = BackendErrorKind::CannotStart { code: 127 };
            broken.start_error = Some(BackendError::new(kind, "no such file"));
            rig.engine
                .program(|spec| spec.name.ends_with("-next"), broken);
        }
        let (ending, _, names) = upgraded(&rig, &[]).await;
        let (message, _) = fallback(ending);
        let said = if refuses {
            "unknown keyword"
        } else {
            "no such file"
        };
        assert!(message.contains(said), "{message}");
        let all = gates(&rig.engine);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].image, image("proxy:1"));
        assert!(
            !names.iter().any(|name| name.ends_with("-next")),
            "{names:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_the_process_dies_a_proxy_serves() {
    let (_, calls, _) = upgraded(&deployed().await, &[]).await;
    assert!(calls > 10);
    for number in 0..calls {
        for fault in [Fault::DiesBefore(number), Fault::DiesAfter(number)] {
            let rig = deployed().await;
            let dying = Deploy::new(rig.with(&[fault]), upgrade(), TOKEN).await;
            dying.run_and_die(usize::MAX).await;
            assert_eq!(gates(&rig.engine).len(), 1, "{fault:?}");
            let (ending, _, names) = upgraded(&rig, &[]).await;
            assert_eq!(ending, Ending::Passed, "{fault:?}");
            let all = gates(&rig.engine);
            assert_eq!(all.len(), 1, "{fault:?}");
            assert_eq!(all[0].image, image("proxy:2"), "{fault:?}");
            let proxies = names.iter().filter(|name| name.contains("-proxy-"));
            let proxies: Vec<_> = proxies.filter(|name| !name.contains("-check-")).collect();
            assert_eq!(proxies.len(), 1, "{fault:?}: {names:?}");
        }
    }
}
