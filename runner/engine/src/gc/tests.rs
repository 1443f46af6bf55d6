//! What is found on a fake engine and in run folders, who holds it, and what removing it leaves.

use std::fs::File;

use hoist_model::gc::{Decision, Held, Reason, Stay};
use hoist_model::image::ImageIdentity;
use hoist_model::reason::Verdict;
use hoist_model::state::RunState;
use hoist_model::text::Text;
use hoist_model::unit::{BuildUnit, Unit};
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::backend::{ContainerSpec, Labels};
use crate::fake::tests::spec;
use crate::fake::{FakeBackend, Program};
use crate::labels;
use crate::owner::Owner;
use crate::store::RunRecord;

const DAY: u64 = 24 * 3600;

struct Bench {
    root: tempfile::TempDir,
    engine: FakeBackend,
    backend: Arc<dyn Backend>,
    plan: Plan,
}

/// A project called `project` whose build names its image `shop:1`.
fn bench() -> Bench {
    let engine = FakeBackend::new();
    engine.add_image("base");
    let build = BuildUnit {
        tags: vec![Text::literal("shop:1")],
        ..BuildUnit::default()
    };
    let mut plan = crate::fake::plan(&[("unit", &[])]);
    plan.steps.push(crate::fake::step(
        "image",
        &[],
        Unit::Build(Box::new(build)),
    ));
    Bench {
        root: tempfile::tempdir().unwrap(),
        backend: Arc::new(engine.clone()),
        engine,
        plan,
    }
}

impl Bench {
    fn scope(&self) -> Scope<'_> {
        Scope {
            backend: &self.backend,
            root: self.root.path(),
            plan: &self.plan,
            all_projects: false,
            own: None,
        }
    }

    async fn collect(&self, keep: usize) -> Collection {
        let policy = Policy {
            keep,
            ..Policy::default()
        };
        plan(&self.scope(), &policy).await.unwrap()
    }

    /// A run of so many days ago that made an image.
    fn run(&self, days: u64, verdict: Option<Verdict>, owner: &str, image: Option<&str>) -> String {
        let id = Uuid::now_v7().to_string();
        let folder = self.root.path().join(".hoist/runs").join(&id);
        std::fs::create_dir_all(&folder).unwrap();
        let step = |id: &str| {
            json!({
                "id": "image", "kind": "build", "needs": [], "status": "pending",
                "phase": null, "started": null, "duration_ms": 0, "tests": [], "findings": [],
                "artifacts": [], "pushed": [], "released": [], "warnings": [],
                "image": {"id": id, "config_digest": null, "tags": [], "size": 1},
            })
        };
        let steps = image.map(|id| serde_json::from_value(step(id)).unwrap());
        let mut state = RunState::default();
        state.verdict = verdict;
        state.steps.extend(steps);
        let record = RunRecord {
            format: 1,
            version: "1".into(),
            owner: owner.into(),
            state,
        };
        let path = folder.join("run.json");
        std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
        for path in [path, folder] {
            let at = SystemTime::now() - Duration::from_secs(days * DAY);
            File::open(path).unwrap().set_modified(at).unwrap();
        }
        id
    }

    fn image(&self, name: &str, project: &str) -> ImageIdentity {
        let image = self.engine.add_image(name);
        let of = Labels::from([(labels::PROJECT.to_owned(), project.to_owned())]);
        self.engine.label_image(&image.id, of);
        image
    }

    async fn container(&self, name: &str, image: &str, more: &[(&str, &str)], start: bool) {
        let labels = more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let spec = ContainerSpec {
            image: image.to_owned(),
            labels: labels.collect(),
            ..spec(name)
        };
        let id = self.engine.create_container(&spec).await.unwrap();
        if start {
            self.engine.start_container(&id).await.unwrap();
            // What ends at once has ended.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn decision(collection: &Collection, id: &str) -> Decision {
    let found = collection.items.iter().find(|(item, _)| item.id == id);
    found.unwrap_or_else(|| panic!("no {id}")).1.clone()
}

fn held(by: Held) -> Decision {
    Decision::Stays(Stay::Held(by))
}

#[tokio::test(start_paused = true)]
async fn old_runs_go_with_their_images_and_running_ones_stay() {
    let bench = bench();
    let dead = Owner {
        pid: u32::MAX,
        ..Owner::here()
    };
    let image = bench.image("shop:1", "project");
    let passed = bench.run(40, Some(Verdict::Passed), "", Some(&image.id));
    let killed = bench.run(40, None, &dead.to_string(), None);
    let recent = bench.run(1, Some(Verdict::Passed), "", None);
    let collection = bench.collect(1).await;
    for id in [&passed, &killed] {
        assert_eq!(decision(&collection, id), Decision::Goes(Reason::Age));
    }
    assert_eq!(
        decision(&collection, &recent),
        Decision::Stays(Stay::Newest)
    );
    assert_eq!(
        decision(&collection, &image.id),
        Decision::Stays(Stay::Newest)
    );
    let collection = bench.collect(0).await;
    assert_eq!(
        decision(&collection, &image.id),
        Decision::Goes(Reason::Age)
    );
    let gone = remove(&bench.scope(), &collection).await;
    assert!(gone.iter().all(|gone| gone.failure.is_none()), "{gone:?}");
    assert_eq!(bench.engine.image_names(), ["base"]);
    let left = std::fs::read_dir(bench.root.path().join(".hoist/runs")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [recent.as_str()]);
}

#[tokio::test(start_paused = true)]
async fn while_a_run_goes_on_nothing_that_it_may_use_goes() {
    let here = Owner::here().to_string();
    // By a process that lives; by one elsewhere that wrote lately, or long ago.
    for (owner, days, busy) in [
        (here.as_str(), 40, true),
        ("x/y/1/2/3", 0, true),
        ("x/y/1/2/3", 2, false),
    ] {
        let bench = bench();
        let image = bench.image("shop:1", "project");
        let cache = Labels::from([
            (labels::PROJECT.to_owned(), "project".to_owned()),
            (labels::CACHE.to_owned(), "pip".to_owned()),
        ]);
        bench.backend.create_volume("pip-1", &cache).await.unwrap();
        let run = bench.run(days, None, owner, None);
        let collection = bench.collect(0).await;
        assert_eq!(
            decision(&collection, &run) == held(Held::Run),
            busy,
            "{owner}"
        );
        assert_eq!(decision(&collection, &image.id) == held(Held::Run), busy);
        assert_eq!(decision(&collection, "pip-1") == held(Held::Run), busy);
        // The run that does it itself is in nobody's way.
        let own = Scope {
            own: Some(run.parse().unwrap()),
            ..bench.scope()
        };
        let own = plan(
            &own,
            &Policy {
                keep: 0,
                ..Policy::default()
            },
        )
        .await
        .unwrap();
        assert_eq!(decision(&own, &run), held(Held::Run));
        assert_eq!(decision(&own, &image.id), Decision::Goes(Reason::Age));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_elsewhere_is_known_by_its_containers() {
    let bench = bench();
    let image = bench.image("shop:1", "project");
    let cache = Labels::from([
        (labels::PROJECT.to_owned(), "project".to_owned()),
        (labels::CACHE.to_owned(), "pip".to_owned()),
    ]);
    bench.backend.create_volume("pip-1", &cache).await.unwrap();
    let run = Uuid::now_v7().to_string();
    let of = |project: &'static str| {
        [
            (labels::RUN, run.clone()),
            (labels::PROJECT, project.into()),
        ]
    };
    let begins = async |project: &'static str| {
        let labels = of(project);
        let labels = labels
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        bench.container(project, "base", &labels, true).await;
    };
    begins("another").await;
    let before = bench.collect(0).await;
    assert_eq!(decision(&before, &image.id), Decision::Goes(Reason::Age));
    begins("project").await;
    // One that began after it was found.
    let gone = remove(&bench.scope(), &before).await;
    let failed: Vec<_> = gone
        .iter()
        .filter_map(|gone| gone.failure.clone())
        .collect();
    assert!(
        !failed.is_empty() && failed.iter().all(|why| why.contains("has begun")),
        "{gone:?}"
    );
    assert_eq!(failed.len(), gone.len());
    let now = bench.collect(0).await;
    assert_eq!(decision(&now, &image.id), held(Held::Run));
    assert_eq!(decision(&now, "pip-1"), held(Held::Run));
    let own = Scope {
        own: Some(run.parse().unwrap()),
        ..bench.scope()
    };
    let own = plan(
        &own,
        &Policy {
            keep: 0,
            ..Policy::default()
        },
    )
    .await
    .unwrap();
    assert_eq!(decision(&own, &image.id), Decision::Goes(Reason::Age));
}

#[tokio::test(start_paused = true)]
async fn images_in_use_or_under_a_name_of_others_stay() {
    let bench = bench();
    let [used, named, other] =
        ["shop:1", "mine:1", "shop:3"].map(|name| bench.image(name, "project"));
    let foreign = bench.image("elsewhere:1", "another");
    bench.engine.add_image("unlabelled");
    // By what never started, and is not hoist's.
    bench.container("foreign", &used.id, &[], false).await;
    let collection = bench.collect(0).await;
    let by = Held::Container("foreign".to_owned());
    assert_eq!(decision(&collection, &used.id), held(by));
    assert_eq!(
        decision(&collection, &named.id),
        held(Held::Name("mine:1".into()))
    );
    assert_eq!(
        decision(&collection, &other.id),
        Decision::Goes(Reason::Age)
    );
    assert_eq!(
        collection.items.len(),
        3,
        "nothing of others: {collection:?}"
    );
    let all = Scope {
        all_projects: true,
        ..bench.scope()
    };
    let all = plan(&all, &Policy::default()).await.unwrap();
    assert_eq!(all.items.len(), 4);
    assert_eq!(
        decision(&all, &foreign.id),
        held(Held::Name("elsewhere:1".into()))
    );
    // Whoever takes it into use meanwhile keeps it, and its names.
    bench.container("late", &other.id, &[], false).await;
    let gone = remove(&bench.scope(), &collection).await;
    assert_eq!(gone.len(), 1);
    assert!(gone.iter().all(|gone| gone.failure.is_some()));
    assert!(bench.engine.image_names().contains(&"shop:3".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn caches_in_use_stay() {
    let bench = bench();
    for name in ["pip-1", "pip-2"] {
        let cache = Labels::from([
            (labels::PROJECT.to_owned(), "project".to_owned()),
            (labels::CACHE.to_owned(), "pip".to_owned()),
        ]);
        bench.backend.create_volume(name, &cache).await.unwrap();
    }
    bench
        .backend
        .create_volume("data", &Labels::new())
        .await
        .unwrap();
    let mount = crate::backend::Mount {
        volume: "pip-1".into(),
        target: "/cache".into(),
        read_only: false,
        populate: false,
    };
    let user = ContainerSpec {
        mounts: vec![mount],
        ..spec("user")
    };
    bench.engine.create_container(&user).await.unwrap();
    let collection = bench.collect(0).await;
    let gone = remove(&bench.scope(), &collection).await;
    let failed: Vec<_> = gone.iter().filter(|gone| gone.failure.is_some()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].item.id, "pip-1");
    let left: Vec<_> = bench
        .engine
        .volumes()
        .into_iter()
        .map(|volume| volume.name)
        .collect();
    assert_eq!(left, ["data", "pip-1"]);
}

#[tokio::test(start_paused = true)]
async fn only_stopped_containers_of_earlier_releases_go() {
    let bench = bench();
    bench
        .engine
        .program(|spec| spec.name == "web-2", Program::forever());
    let old = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_000_000, 0)).to_string();
    let labels = |service: &'static str, sequence: &'static str| {
        [
            (labels::PROJECT, "project"),
            (labels::ENVIRONMENT, "staging"),
            (labels::ROLE, "service"),
            (labels::SERVICE, service),
            (labels::SEQUENCE, sequence),
        ]
    };
    for (name, service, sequence) in [
        ("web-1", "web", "1"),
        ("web-2", "web", "2"),
        ("web-3", "web", "3"),
        ("db-1", "db", "1"),
    ] {
        let mut all = labels(service, sequence).to_vec();
        all.push((labels::RELEASE, &old));
        bench.container(name, "base", &all, true).await;
    }
    for name in ["web-1", "web-3", "db-1"] {
        bench.engine.wait_container(name).await.unwrap();
    }
    let id = |name: &str| {
        let all = bench.engine.containers();
        all.into_iter().find(|found| found.name == name).unwrap().id
    };
    let collection = bench.collect(0).await;
    let found: Vec<_> = collection
        .items
        .iter()
        .map(|(item, _)| item.name.as_str())
        .collect();
    assert_eq!(
        found,
        ["web-1"],
        "neither what serves, nor what is newer, nor what nothing replaced"
    );
    assert_eq!(
        decision(&collection, &id("web-1")),
        Decision::Goes(Reason::Age)
    );
    let gone = remove(&bench.scope(), &collection).await;
    assert!(gone.iter().all(|gone| gone.failure.is_none()), "{gone:?}");
    let mut left: Vec<_> = bench
        .engine
        .containers()
        .into_iter()
        .map(|found| found.name)
        .collect();
    left.sort();
    assert_eq!(left, ["db-1", "web-2", "web-3"], "nor a lock");
}

#[tokio::test(start_paused = true)]
async fn a_deploy_that_is_under_way_keeps_all_of_its_environment() {
    let bench = bench();
    bench
        .engine
        .program(|spec| spec.name == "web-2", Program::forever());
    for (name, role, sequence) in [
        ("web-1", "service", "1"),
        ("web-2", "service", "2"),
        ("hoist-lock-project-staging", labels::LOCK, ""),
    ] {
        let all = [
            (labels::PROJECT, "project"),
            (labels::ENVIRONMENT, "staging"),
            (labels::ROLE, role),
            (labels::SERVICE, "web"),
            (labels::SEQUENCE, sequence),
        ];
        bench
            .container(name, "base", &all, role != labels::LOCK)
            .await;
    }
    bench.engine.wait_container("web-1").await.unwrap();
    let collection = bench.collect(0).await;
    let (item, decision) = collection.items.first().unwrap();
    assert_eq!(*decision, held(Held::Deploy("staging".into())));
    let refused = super::remove::release(&bench.scope(), &item.id).await;
    assert_eq!(
        refused,
        Err("another deploy to staging is under way".to_owned())
    );
    assert_eq!(bench.engine.containers().len(), 3);
}

#[test]
fn it_is_due_again_when_the_time_has_passed() {
    let root = tempfile::tempdir().unwrap();
    let day = Duration::from_secs(DAY);
    assert!(is_due(root.path(), day));
    assert!(!is_due(root.path(), day));
    let stamp = root.path().join(".hoist/cache/gc");
    let file = File::options().write(true).open(stamp).unwrap();
    file.set_modified(SystemTime::now() - 2 * day).unwrap();
    assert!(is_due(root.path(), day));
    assert!(!is_due(root.path(), day));
}
