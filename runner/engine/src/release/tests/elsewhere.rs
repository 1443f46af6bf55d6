//! Releases to an engine that is not the one in use.

use std::sync::Arc;

use hoist_model::ids::StepId;
use hoist_model::image::ImageSource;
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

#[tokio::test(start_paused = true)]
async fn what_was_built_here_and_not_pushed_is_refused_with_what_to_do() {
    let other = other();
    let deploy = deploy(&other, built()).await;
    deploy.context.made.image(
        &StepId::from("image"),
        FakeBackend::new().add_image("app:1"),
    );
    let trouble = trouble(deploy.run().await.0);
    assert_eq!(
        trouble.what,
        format!("app:1 is not on the engine {ADDRESS}")
    );
    assert!(
        trouble
            .hint
            .is_some_and(|hint| hint.starts_with("push it in a step"))
    );
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
