//! Releases to an engine that is not the one in use.

use std::sync::Arc;

use hoist_model::event::EventKind;
use hoist_model::ids::StepId;
use hoist_model::image::{ImageIdentity, ImageSource};
use hoist_model::plan::{Plan, PlannedStep};
use hoist_model::reason::Ending;
use hoist_model::step::StepKind;
use hoist_model::text::Text;
use hoist_model::unit::{PushUnit, ReleaseUnit, ServiceUnit, Unit};

use super::fixtures::{image, service};
use super::harness::{Deploy, TOKEN, unit};
use super::{one, rig, trouble};
use crate::backend::HealthStatus;
use crate::fake::{FakeBackend, FakeConnector, Program};
use crate::labels;

const ADDRESS: &str = "tcp://other:2376";
const PUSHED: &str = "registry.test/shop@sha256:1";

fn other() -> FakeBackend {
    let other = FakeBackend::new();
    other.change_info(|info| info.id = "other".to_owned());
    other.add_to_registry("proxy:1");
    let program = Program::forever().health(std::time::Duration::ZERO, HealthStatus::Healthy);
    other.program(|_| true, program);
    other.add_to_registry("proxy:1");
    other
}

/// A deploy of one service to the other engine, in a plan whose step `publish` pushes its image.
async fn deploy(other: &FakeBackend, image: ImageSource) -> Deploy {
    let web = ServiceUnit {
        image: image.clone(),
        ..service("web")
    };
    let mut release: ReleaseUnit = unit(vec![web]);
    release.environment.engine = Some(ADDRESS.to_owned());
    let mut deploy = Deploy::new(rig(), release, TOKEN).await;
    deploy.context.connector = Arc::new(FakeConnector::default().with(ADDRESS, other));
    let mut plan = Plan::clone(&deploy.context.plan);
    let tags = vec![Text::literal("registry.test/shop:1")];
    let push = PlannedStep {
        id: StepId::from("publish"),
        kind: StepKind::Push,
        unit: Unit::Push(Box::new(PushUnit { image, tags })),
        ..plan.steps[0].clone()
    };
    plan.steps.push(push);
    deploy.context.plan = Arc::new(plan);
    deploy
}

fn built() -> ImageSource {
    ImageSource::Step(StepId::from("image"))
}

#[tokio::test(start_paused = true)]
async fn a_named_image_is_pulled_there() {
    let other = other();
    other.add_to_registry("redis:7");
    let deploy = deploy(&other, image("redis:7")).await;
    assert_eq!(deploy.run().await.0, Ending::Passed);
    assert!(one(&other, "web").is_running());
}

#[tokio::test(start_paused = true)]
async fn what_was_built_here_is_pulled_there_by_the_digest_that_was_pushed() {
    let other = other();
    other.add_to_registry(PUSHED);
    let deploy = deploy(&other, built()).await;
    let made = &deploy.context.made;
    // The same content on both sides.
    made.image(&StepId::from("image"), FakeBackend::new().add_image(PUSHED));
    made.digest(&StepId::from("publish"), PUSHED.to_owned());
    assert_eq!(deploy.run().await.0, Ending::Passed);
    assert!(one(&other, "web").is_running());
}

#[tokio::test(start_paused = true)]
async fn another_image_than_the_one_that_was_built_is_refused() {
    let other = other();
    other.add_to_registry(PUSHED);
    let deploy = deploy(&other, built()).await;
    deploy.context.made.image(
        &StepId::from("image"),
        FakeBackend::new().add_image("app:1"),
    );
    deploy
        .context
        .made
        .digest(&StepId::from("publish"), PUSHED.to_owned());
    let trouble = trouble(deploy.run().await.0);
    assert_eq!(
        trouble.what,
        format!("{ADDRESS} pulled another image than app:1")
    );
    assert!(other.containers().is_empty());
}

/// The same, of an image that was built on the engine in use and that no registry has.
async fn unpushed(other: &FakeBackend) -> (Deploy, ImageIdentity) {
    let deploy = deploy(other, built()).await;
    let image = deploy.engine().add_image("built");
    deploy
        .context
        .made
        .image(&StepId::from("image"), image.clone());
    (deploy, image)
}

fn calls(engine: &FakeBackend, of: &str) -> usize {
    let calls = engine.calls();
    calls.iter().filter(|call| call.starts_with(of)).count()
}

#[tokio::test(start_paused = true)]
async fn what_no_registry_has_is_sent_there_once() {
    let other = other();
    let (deploy, image) = unpushed(&other).await;
    assert_eq!(deploy.run().await.0, Ending::Passed);
    let web = one(&other, "web");
    assert!(web.is_running());
    assert_eq!(web.image, image.id);
    assert_eq!(web.labels[labels::IMAGE], "built");
    let kept = format!("hoist.local/shop:{}", image.short());
    assert!(other.image_names().contains(&kept), "gc knows it");
    let sending = format!("sending built to {ADDRESS}");
    let mut events = deploy.events().into_iter();
    assert!(
        events.any(|event| matches!(event, EventKind::StepPhase { phase, .. } if phase == sending))
    );

    let (again, _) = unpushed(&other).await;
    assert_eq!(again.run().await.0, Ending::Passed);
    assert_eq!(calls(&other, "load_image"), 1);
}

#[tokio::test(start_paused = true)]
async fn two_services_of_one_image_have_it_sent_once() {
    let other = other();
    let (mut deploy, _) = unpushed(&other).await;
    let mut plan = Plan::clone(&deploy.context.plan);
    if let Unit::Release(unit) = &mut plan.steps[0].unit {
        let image = built();
        unit.services.push(ServiceUnit {
            image,
            ..service("worker")
        });
    }
    deploy.context.plan = Arc::new(plan);
    assert_eq!(deploy.run().await.0, Ending::Passed);
    assert_eq!(calls(&other, "load_image"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_gives_it_another_id_has_it_all_the_same() {
    let other = other();
    // As engines do that name an image by its manifest.
    let (_, image) = unpushed(&other).await;
    let renamed = ImageIdentity {
        id: "sha256:manifest".to_owned(),
        config_digest: None,
        tags: Vec::new(),
        ..image.clone()
    };
    other.load_as(renamed.clone());
    for _ in 0..2 {
        let (deploy, _) = unpushed(&other).await;
        assert_eq!(deploy.run().await.0, Ending::Passed);
        let web = one(&other, "web");
        assert_eq!(web.image, renamed.id);
        let digest = &web.labels[labels::CONFIG_DIGEST];
        assert_eq!(
            digest, &image.id,
            "known, though the engine does not tell it"
        );
    }
    assert_eq!(calls(&other, "load_image"), 1, "its name tells it");
}

#[tokio::test(start_paused = true)]
async fn what_arrives_as_something_else_is_taken_away_and_nothing_is_deployed() {
    let other = other();
    let (deploy, _) = unpushed(&other).await;
    other.load_as(FakeBackend::new().add_image("changed"));
    let trouble = trouble(deploy.run().await.0);
    assert_eq!(
        trouble.what,
        format!("{ADDRESS} took in another image than built")
    );
    assert_eq!(calls(&other, "delete_image"), 1);
    assert!(other.containers().is_empty());
    assert!(
        !other
            .image_names()
            .iter()
            .any(|name| name.starts_with("hoist.local/"))
    );

    // What was there before is someone's.
    other.add_image("changed");
    let (deploy, _) = unpushed(&other).await;
    assert!(matches!(deploy.run().await.0, Ending::Failed(_)));
    assert_eq!(calls(&other, "delete_image"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_registry_of_this_host_is_none_for_another_engine() {
    let other = other();
    let deploy = deploy(&other, image("localhost:5000/app:1")).await;
    let trouble = trouble(deploy.run().await.0);
    assert!(
        trouble
            .what
            .contains("localhost:5000/app:1 means another one"),
        "{trouble:?}"
    );
    assert_eq!(calls(&other, "pull_image localhost"), 0);

    let (deploy, _) = unpushed(&other).await;
    let digest = "127.0.0.1:5000/shop@sha256:1".to_owned();
    deploy.context.made.digest(&StepId::from("publish"), digest);
    assert_eq!(deploy.run().await.0, Ending::Passed);
    assert_eq!(calls(&other, "load_image"), 1, "it is sent instead");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_no_step_built_is_refused() {
    let other = other();
    let deploy = deploy(&other, built()).await;
    assert_eq!(
        trouble(deploy.run().await.0).what,
        "there is no image of the step `image`"
    );
}
