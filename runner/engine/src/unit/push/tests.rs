//! Pushes over an engine in memory.

use hoist_model::image::ImageSource;
use hoist_model::reason::FailureReason;
use hoist_model::step::StepKind;
use hoist_model::text::Text;
use hoist_model::unit::Unit;

use super::*;
use crate::backend::BackendErrorKind;
use crate::unit::testing::Stage;

/// A step that pushes the image that the step `app` built.
fn stage(tags: &[&str]) -> Stage {
    let unit = PushUnit {
        image: ImageSource::Step("app".into()),
        tags: tags.iter().map(|tag| Text::literal(*tag)).collect(),
    };
    let stage = Stage::new(StepKind::Push, Unit::Push(Box::new(unit)));
    let image = stage.engine.add_image("built:1");
    stage.context.made.image(&"app".into(), image);
    stage
}

#[tokio::test(start_paused = true)]
async fn the_image_goes_under_each_reference_and_keeps_no_name() {
    let stage = stage(&["localhost:5000/shop:1", "localhost:5000/shop:latest"]);
    assert_eq!(stage.execute().await, Ending::Passed);
    assert_eq!(
        stage.engine.pushed(),
        ["localhost:5000/shop:1", "localhost:5000/shop:latest"]
    );
    let digest = stage.context.made.get(&"app".into()).unwrap().digest;
    assert_eq!(digest, None);
    let digest = stage
        .context
        .made
        .get(&"unit".into())
        .unwrap()
        .digest
        .unwrap();
    assert!(
        digest.starts_with("localhost:5000/shop@sha256:"),
        "{digest}"
    );
    let pushed = stage.said().events;
    let count = pushed
        .iter()
        .filter(|e| matches!(e, EventKind::ImagePushed { .. }))
        .count();
    assert_eq!(count, 2);
    let mut names = stage.engine.image_names();
    names.retain(|name| !name.starts_with("hoist.local/"));
    assert_eq!(names, ["built:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_there_stays_what_it_was() {
    let stage = stage(&["built:1", "localhost:5000/shop:1"]);
    let other = stage.engine.add_image("localhost:5000/shop:1");
    assert_eq!(stage.execute().await, Ending::Passed);
    assert!(stage.engine.image_names().contains(&"built:1".to_owned()));
    let after = stage
        .context
        .backend
        .inspect_image("localhost:5000/shop:1")
        .await
        .unwrap();
    assert_eq!(after.unwrap().id, other.id);
}

#[tokio::test(start_paused = true)]
async fn a_registry_is_tried_three_times() {
    let stage = stage(&["localhost:5000/shop:1"]);
    let busy = BackendError::new(BackendErrorKind::Registry, "503");
    stage.engine.fail_next("push_image", busy.clone());
    stage.engine.fail_next("push_image", busy.clone());
    assert_eq!(stage.execute().await, Ending::Passed);
    for _ in 0..3 {
        stage.engine.fail_next("push_image", busy.clone());
    }
    let reason =
        FailureReason::Surroundings(busy.trouble("localhost:5000/shop:1 could not be pushed"));
    assert_eq!(stage.execute().await, Ending::Failed(reason));
    let names = stage.engine.image_names();
    assert!(
        !names.contains(&"localhost:5000/shop:1".to_owned()),
        "{names:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_tried_once() {
    let stage = stage(&["localhost:5000/shop:1"]);
    let refused = BackendError::new(BackendErrorKind::Unauthorized, "no basic auth");
    stage.engine.fail_next("push_image", refused);
    let Ending::Failed(FailureReason::Surroundings(trouble)) = stage.execute().await else {
        panic!("it was pushed");
    };
    assert!(trouble.hint.unwrap().contains("docker login"));
    assert_eq!(
        stage
            .engine
            .calls()
            .iter()
            .filter(|c| c.starts_with("push_image"))
            .count(),
        1
    );
}

#[test]
fn repositories_are_references_without_tag() {
    for (reference, name) in [
        ("localhost:5000/a/b:1", "localhost:5000/a/b"),
        ("localhost:5000/a", "localhost:5000/a"),
        ("a:1", "a"),
        ("a", "a"),
        ("r/a:1@sha256:0", "r/a"),
    ] {
        assert_eq!(repository(reference), name);
    }
}
