//! Volumes that a step keeps between runs.

use std::collections::BTreeMap;

use hoist_model::reason::{Ending, FailureReason};
use hoist_model::unit::{CacheVolume, ContainerUnit};

use crate::caches::last_use;
use crate::labels;
use crate::unit::testing::{Stage, container, run};

/// A step with a cache that is keyed by these files.
fn keyed(files: &[&str]) -> ContainerUnit {
    let mut unit = container();
    unit.volumes = vec![CacheVolume {
        name: "pip".into(),
        target: "/cache".into(),
        read_only: false,
        key_files: files.iter().map(|file| (*file).to_owned()).collect(),
    }];
    unit
}

/// The names of the volumes on the engine, all of which are caches.
fn volumes(stage: &Stage) -> Vec<String> {
    let volumes = stage.engine.volumes();
    for volume in &volumes {
        let label = |name| volume.labels.get(name).map(String::as_str);
        assert_eq!(label(labels::PROJECT), Some("shop"));
        assert_eq!(label(labels::CACHE), Some("pip"));
        assert_eq!(label(labels::RUN), None);
    }
    volumes.into_iter().map(|volume| volume.name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_cache_stays_and_is_the_users() {
    for read_only in [false, true] {
        let mut unit = keyed(&[]);
        unit.security.read_only = read_only;
        let stage = run(unit);
        assert_eq!(stage.execute().await, Ending::Passed);
        assert_eq!(stage.execute().await, Ending::Passed);
        assert_eq!(volumes(&stage), ["hoist-cache.shop.pip"]);
        assert_eq!(stage.engine.containers().len(), 0);
        assert_eq!(stage.engine.uploads().len(), 2, "its top folder, each time");
        let used = last_use(stage.folder.path(), "hoist-cache.shop.pip");
        assert!(used.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn each_content_of_its_files_has_its_own() {
    let stage = run(keyed(&["a.lock", "b.lock"]));
    stage.file("b.lock", "b");
    for content in ["1", "2", "1"] {
        stage.file("a.lock", content);
        assert_eq!(stage.execute().await, Ending::Passed);
    }
    let names = volumes(&stage);
    assert_eq!(names.len(), 2, "{names:?}");
    std::fs::remove_file(stage.folder.path().join("b.lock")).unwrap();
    let Ending::Failed(FailureReason::Configuration(trouble)) = stage.execute().await else {
        panic!("it was keyed by nothing");
    };
    assert!(trouble.what.contains("b.lock"), "{}", trouble.what);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_of_hoists_making_is_left_alone() {
    let stage = run(keyed(&[]));
    let backend = &stage.context.backend;
    let foreign = BTreeMap::new();
    let made = backend.create_volume("hoist-cache.shop.pip", &foreign);
    made.await.unwrap();
    let ending = stage.execute().await;
    assert!(
        matches!(ending, Ending::Failed(FailureReason::Configuration(_))),
        "{ending:?}"
    );
    assert!(stage.engine.uploads().is_empty());
}
