//! Promotions: the very images of one environment with the settings of another.

use std::sync::Arc;

use hoist_model::ids::StepId;
use hoist_model::image::ImageSource;
use hoist_model::plan::Plan;
use hoist_model::reason::Ending;
use hoist_model::text::Text;
use hoist_model::unit::{EnvironmentPlan, HookUnit, ReleaseDeed, ReleaseUnit, ServiceUnit};

use super::fixtures::{image, ports, service};
use super::harness::{Deploy, TOKEN, deploy, unit};
use super::rig::Rig;
use super::{rig, trouble};
use crate::backend::{Backend, ContainerInfo, HealthStatus};
use crate::fake::{FakeBackend, FakeConnector, Program};
use crate::labels;
use crate::release::history;

const ADDRESS: &str = "tcp://other:2376";

/// Web as the file has it for the environment `live`.
fn web() -> ServiceUnit {
    ServiceUnit {
        image: ImageSource::Step(StepId::from("image")),
        environment: [("PLACE".to_owned(), Text::literal("live"))].into(),
        ports: ports(9090),
        replicas: 2,
        ..service("web")
    }
}

fn live(services: Vec<ServiceUnit>) -> ReleaseUnit {
    let mut unit = unit(services);
    unit.environment.name = "live".to_owned();
    unit.deed = ReleaseDeed::Promote {
        from: "staging".to_owned(),
    };
    unit
}

/// A promotion from `staging`, which is on that engine.
async fn promotion(rig: &Rig, unit: ReleaseUnit, staging: Option<&str>) -> Deploy {
    let mut deploy = Deploy::new(rig.with(&[]), unit, TOKEN).await;
    let mut plan = Plan::clone(&deploy.context.plan);
    let environment = EnvironmentPlan {
        name: "staging".to_owned(),
        engine: staging.map(str::to_owned),
        ..EnvironmentPlan::default()
    };
    plan.environments.insert("staging".to_owned(), environment);
    deploy.context.plan = Arc::new(plan);
    deploy
}

/// The containers of `live` that run.
fn in_live(engine: &FakeBackend) -> Vec<ContainerInfo> {
    let mut found = engine.containers();
    found.retain(|one| {
        let has = |key: &str, value: &str| one.labels.get(key).is_some_and(|is| is == value);
        has(labels::ENVIRONMENT, "live") && has(labels::ROLE, "service") && one.is_running()
    });
    found
}

fn staged(version: &str) -> Vec<ServiceUnit> {
    vec![ServiceUnit {
        image: image(&format!("app:{version}")),
        ..service("web")
    }]
}

#[tokio::test(start_paused = true)]
async fn the_images_that_serve_get_the_settings_of_the_other_environment() {
    let rig = rig();
    assert_eq!(deploy(&rig, staged("1")).await, Ending::Passed);
    let meant = rig.engine.inspect_image("app:1").await;
    let meant = meant.expect("an answer").expect("there").id;
    // The name means another image by now.
    let other = rig.engine.add_image("another");
    rig.engine.name_image("app:1", &other.id);

    let promotion = promotion(&rig, live(vec![web()]), None).await;
    assert_eq!(promotion.run().await.0, Ending::Passed);
    let all = in_live(&rig.engine);
    assert_eq!(all.len(), 2);
    for one in &all {
        assert_eq!(one.image, meant);
        assert_eq!(one.labels[labels::IMAGE], "app:1");
    }
    let specs = rig.engine.specs();
    let spec = specs.iter().find(|spec| spec.name == "shop-live-web-1-1");
    assert_eq!(spec.expect("made").environment["PLACE"], "live");
    assert!(rig.engine.built().is_empty());

    let backend: Arc<dyn Backend> = Arc::new(rig.engine.clone());
    let history = history(&backend, "shop", "live").await.expect("a history");
    assert_eq!(history.releases[0].action, "promote from staging");
    assert_eq!(history.releases[0].services[0].image_id, meant);
}

#[tokio::test(start_paused = true)]
async fn what_serves_after_a_rollback_is_what_is_promoted() {
    let rig = rig();
    for version in ["1", "2"] {
        assert_eq!(deploy(&rig, staged(version)).await, Ending::Passed);
    }
    let mut back = unit(staged("2"));
    back.deed = ReleaseDeed::Rollback { to: None };
    let back = Deploy::new(rig.with(&[]), back, TOKEN).await;
    assert_eq!(back.run().await.0, Ending::Passed);
    let promotion = promotion(&rig, live(vec![web()]), None).await;
    assert_eq!(promotion.run().await.0, Ending::Passed);
    let first = FakeBackend::new().add_image("app:1").id;
    assert!(in_live(&rig.engine).iter().all(|one| one.image == first));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_promoted_is_refused_and_nothing_is_touched() {
    let rig = rig();
    let refused = async |unit: ReleaseUnit| {
        let before = rig.engine.containers().len();
        let promotion = promotion(&rig, unit, None).await;
        let trouble = trouble(promotion.run().await.0);
        assert_eq!(rig.engine.containers().len(), before);
        trouble.what
    };
    assert_eq!(
        refused(live(vec![web()])).await,
        "nothing is deployed in staging"
    );
    assert_eq!(deploy(&rig, staged("1")).await, Ending::Passed);
    let more = live(vec![web(), service("worker")]);
    assert_eq!(refused(more).await, "staging has no `worker` to promote");

    let step = |name: &str| ImageSource::Step(StepId::from(name));
    let mut hooked = live(vec![web()]);
    let container = ServiceUnit {
        image: step("tools"),
        ..service("migrate")
    };
    let timeout = std::time::Duration::from_secs(60);
    hooked.pre_deploy = vec![HookUnit { container, timeout }];
    assert_eq!(
        refused(hooked.clone()).await,
        "the image of migrate cannot be promoted"
    );
    let mut own = live(vec![web()]);
    own.environment.name = "staging".to_owned();
    assert_eq!(refused(own).await, "staging cannot be promoted to itself");

    // One that runs on the image of a service has what that one has.
    hooked.pre_deploy[0].container.image = step("image");
    let ends = Program::exits(0);
    rig.engine.program(|spec| spec.name.contains("hook"), ends);
    let promotion = promotion(&rig, hooked, None).await;
    assert_eq!(promotion.run().await.0, Ending::Passed);
}

#[tokio::test(start_paused = true)]
async fn images_get_from_one_engine_to_another() {
    let rig = rig();
    let other = FakeBackend::new();
    other.change_info(|info| info.id = "other".to_owned());
    for name in ["proxy:1", "app:far"] {
        other.add_image(name);
    }
    let healthy = Program::forever().health(std::time::Duration::ZERO, HealthStatus::Healthy);
    other.program(|_| true, healthy);
    let connector = || Arc::new(FakeConnector::default().with(ADDRESS, &other));

    assert_eq!(deploy(&rig, staged("1")).await, Ending::Passed);
    let plain = || ServiceUnit {
        ports: Vec::new(),
        ..web()
    };
    let mut there = live(vec![plain()]);
    there.environment.engine = Some(ADDRESS.to_owned());
    let mut forth = promotion(&rig, there, None).await;
    forth.context.connector = connector();
    assert_eq!(forth.run().await.0, Ending::Passed);
    let first = FakeBackend::new().add_image("app:1").id;
    assert_eq!(in_live(&other).len(), 2);
    assert!(in_live(&other).iter().all(|one| one.image == first));

    // And back from an environment there.
    let mut far = unit(staged("far"));
    far.environment.engine = Some(ADDRESS.to_owned());
    let mut far = Deploy::new(rig.with(&[]), far, TOKEN).await;
    far.context.connector = connector();
    assert_eq!(far.run().await.0, Ending::Passed);
    let mut back = promotion(&rig, live(vec![plain()]), Some(ADDRESS)).await;
    back.context.connector = connector();
    assert_eq!(back.run().await.0, Ending::Passed);
    let meant = FakeBackend::new().add_image("app:far").id;
    assert_eq!(in_live(&rig.engine).len(), 2);
    assert!(in_live(&rig.engine).iter().all(|one| one.image == meant));
}
