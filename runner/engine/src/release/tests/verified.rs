//! Gates of images over an engine in memory.

use hoist_model::ids::StepId;
use hoist_model::image::ImageIdentity;
use hoist_model::unit::{ReleaseDeed, ReleaseUnit, RequiredGate};

use super::*;
use crate::release::history;

fn gated(version: &str) -> ReleaseUnit {
    let mut unit = unit(services(version));
    unit.gates = vec![RequiredGate {
        step: StepId::from("unit"),
        service: "web".to_owned(),
    }];
    unit
}

/// Deploys after the step passed on that image.
async fn after(rig: &Rig, unit: ReleaseUnit, passed_on: Option<&str>, force: bool) -> Ending {
    let mut deploy = Deploy::new(rig.with(&[]), unit, TOKEN).await;
    deploy.context.force_unverified = force;
    if let Some(name) = passed_on {
        let found = rig.engine.inspect_image(name).await.expect("answered");
        let image = found.unwrap_or_else(|| ImageIdentity {
            id: name.to_owned(),
            ..ImageIdentity::default()
        });
        deploy.context.made.passed_on(&StepId::from("unit"), image);
    }
    deploy.run().await.0
}

fn refused(ending: Ending) -> Option<String> {
    match ending {
        Ending::Failed(FailureReason::Unverified { missing, .. }) => {
            assert_eq!(missing.len(), 1);
            missing[0].passed_on.clone()
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_is_deployed_only_if_it_passed_itself() {
    let rig = rig();
    assert_eq!(refused(after(&rig, gated("1"), None, false).await), None);
    let other = refused(after(&rig, gated("1"), Some("sha256:other"), false).await);
    assert_eq!(other.as_deref(), Some("sha256:other"));
    assert!(rig.engine.containers().is_empty() && rig.engine.volumes().is_empty());

    let passed = after(&rig, gated("1"), Some("app:1"), false).await;
    assert_eq!(passed, Ending::Passed);
    // Nothing changes, so nothing is asked.
    assert_eq!(after(&rig, gated("1"), None, false).await, Ending::Passed);
    refused(after(&rig, gated("2"), Some("app:1"), false).await);
    assert_eq!(after(&rig, gated("2"), None, true).await, Ending::Passed);

    let backend: Arc<dyn Backend> = Arc::new(rig.engine.clone());
    let found = history(&backend, "shop", "staging").await.expect("read");
    let forced: Vec<_> = found.releases.iter().map(|it| it.forced).collect();
    assert_eq!(forced, [true, false]);
    let gates: Vec<_> = found.releases.iter().map(|it| it.gates.len()).collect();
    assert_eq!(gates, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_asks_the_history() {
    let rig = rig();
    for (version, force) in [("1", false), ("2", true)] {
        let passed_on = (!force).then_some("app:1");
        let ending = after(&rig, gated(version), passed_on, force).await;
        assert_eq!(ending, Ending::Passed);
    }
    let back = |to: u64| ReleaseUnit {
        deed: ReleaseDeed::Rollback { to: Some(to) },
        ..gated("2")
    };
    assert_eq!(after(&rig, back(1), None, false).await, Ending::Passed);
    refused(after(&rig, back(2), None, false).await);
    assert_eq!(after(&rig, back(2), None, true).await, Ending::Passed);
}
