//! When a build is done and when it is not, over an engine in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hoist_model::event::EventKind;
use hoist_model::image::ImageIdentity;
use hoist_model::inputs::{Explained, Explanation, FileChange, Part, Unsettled};
use hoist_model::reason::Ending;
use hoist_model::step::StepKind;
use hoist_model::text::{Piece, StepValue, Text};
use hoist_model::unit::{BuildCache, DockerfileSource, Network, Ulimit, Unit};

use super::*;
use crate::backend::BuildError;
use crate::fake::FakeBuild;
use crate::secrets::Secrets;
use crate::store::StoredRun;
use crate::unit::testing::{SECRET, Stage};

fn unit() -> BuildUnit {
    BuildUnit {
        context: ".".into(),
        secrets: vec![SECRET.0.into()],
        args: BTreeMap::from([("VERSION".into(), Text::literal("1"))]),
        labels: BTreeMap::from([
            ("mine".into(), "1".into()),
            ("org.opencontainers.image.revision".into(), "1".into()),
        ]),
        added_labels: BTreeSet::from(["org.opencontainers.image.revision".into()]),
        ..BuildUnit::default()
    }
}

/// A step whose unit is exchanged between runs.
struct Bench {
    stage: Stage,
}

/// What a run of the step came to.
struct Run {
    ending: Ending,
    decisions: Vec<Decision>,
    images: Vec<(ImageIdentity, Option<EarlierRun>)>,
    events: Vec<EventKind>,
}

impl Bench {
    fn new() -> Self {
        let stage = Stage::new(StepKind::Build, Unit::Build(Box::new(unit())));
        stage.file("Dockerfile", "FROM base:1\nCOPY . /\n");
        stage.file("a.txt", "a");
        stage.engine.add_image("base:1");
        Self { stage }
    }

    fn change(&mut self, change: impl FnOnce(&mut BuildUnit)) {
        let plan = Arc::make_mut(&mut self.stage.context.plan);
        match &mut plan.steps[0].unit {
            Unit::Build(unit) => change(unit),
            other => panic!("{other:?} is no build"),
        }
    }

    /// Runs the step, each time as a run of its own.
    async fn run(&mut self) -> Run {
        self.stage.context.run = hoist_model::ids::RunId(uuid::Uuid::now_v7());
        let ending = self.stage.execute().await;
        let events = self.stage.said().events;
        let mut run = Run {
            ending,
            decisions: Vec::new(),
            images: Vec::new(),
            events,
        };
        for event in &run.events {
            match event {
                EventKind::StepInputs { decision, .. } => run.decisions.push(decision.clone()),
                EventKind::ImageBuilt { image, earlier, .. } => {
                    run.images.push((image.clone(), earlier.clone()));
                }
                _ => {}
            }
        }
        run
    }

    async fn expect(&mut self, ending: Ending, what: &str) -> Run {
        let run = self.run().await;
        assert_eq!(run.ending, ending, "{what}: {:?}", run.decisions);
        run
    }

    fn built(&self) -> usize {
        self.stage.engine.built().len()
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_inputs_give_the_same_image_and_nothing_is_sent() {
    let mut bench = Bench::new();
    let first = bench.expect(Ending::Passed, "nothing is known").await;
    assert_eq!(first.decisions, [Decision::New]);
    assert_eq!(first.images[0].1, None);
    let run = bench.stage.context.run;
    bench.change(|unit| unit.tags = vec![Text::literal("shop:2")]);
    let second = bench.expect(Ending::Cached, "nothing changed").await;
    assert_eq!(bench.built(), 1);
    let (image, earlier) = &second.images[0];
    assert_eq!(image.id, first.images[0].0.id);
    assert_eq!(image.tags, ["shop:2"]);
    assert_eq!(earlier.as_ref().unwrap().run, run);
    assert!(
        bench
            .stage
            .engine
            .image_names()
            .contains(&"shop:2".to_owned())
    );
    let made = bench.stage.context.made.get(&"unit".into()).unwrap();
    assert_eq!(made.image.as_ref(), Some(image));
    // A run that reused it is not where it comes from.
    let third = bench.expect(Ending::Cached, "nothing changed again").await;
    assert_eq!(third.images[0].1.as_ref().unwrap().run, run);
}

#[tokio::test(start_paused = true)]
async fn whatever_can_make_another_image_builds_again() {
    let mut bench = Bench::new();
    bench.stage.file("docs/x", "x");
    bench.expect(Ending::Passed, "nothing is known").await;
    let root = bench.stage.folder.path().to_owned();
    let executable = || {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(root.join("a.txt"), mode).unwrap();
    };
    type Change<'a> = (&'a str, Box<dyn FnOnce(&mut Bench) + 'a>);
    fn unit<'a>(what: &'a str, change: impl FnOnce(&mut BuildUnit) + 'a) -> Change<'a> {
        (
            what,
            Box::new(move |bench: &mut Bench| bench.change(change)),
        )
    }
    let inline = DockerfileSource::Inline("FROM base:1\nCOPY . /x\n".into());
    let bound = Ulimit { soft: 1, hard: 2 };
    let cache = BuildCache {
        kind: "registry".into(),
        attributes: BTreeMap::new(),
    };
    let changes: Vec<Change<'_>> = vec![
        ("content", Box::new(|b| b.stage.file("a.txt", "b"))),
        ("a file more", Box::new(|b| b.stage.file("b.txt", "b"))),
        ("permissions", Box::new(|_| executable())),
        (
            "the ignore file",
            Box::new(|b| b.stage.file(".dockerignore", "b.txt\n")),
        ),
        (
            "the Dockerfile",
            Box::new(|b| b.stage.file("Dockerfile", "FROM base:1\nCOPY a.txt /\n")),
        ),
        (
            "the secret",
            Box::new(|b| {
                let other = BTreeMap::from([("TOKEN".to_owned(), "another-value".to_owned())]);
                let context = &mut b.stage.context;
                let secrets = Secrets::read(&context.plan, &context.root, &other).unwrap();
                context.secrets = Arc::new(secrets);
            }),
        ),
        (
            "the base image",
            Box::new(|b| {
                let other = b.stage.engine.add_image("other");
                b.stage.engine.name_image("base:1", &other.id);
            }),
        ),
        unit("an argument", |unit| {
            unit.args.insert("VERSION".into(), Text::literal("2"));
        }),
        unit("no secret", |unit| unit.secrets.clear()),
        unit("an argument less", |unit| unit.args.clear()),
        unit("the target", |unit| unit.target = Some("0".into())),
        unit("a label of the file", |unit| {
            unit.labels.insert("mine".into(), "2".into());
        }),
        unit("the network", |unit| unit.network = Some(Network::None)),
        unit("/dev/shm", |unit| unit.shm_size = Some(1)),
        unit("a host", |unit| {
            unit.extra_hosts.insert("db".into(), "10.0.0.2".into());
        }),
        unit("a bound", |unit| {
            unit.ulimits.insert("nofile".into(), bound);
        }),
        unit("an agent", |unit| {
            unit.ssh.insert("default".into(), "/run/agent".into());
        }),
        unit("a further context", |unit| {
            unit.contexts.insert("docs".into(), "docs".into());
        }),
        (
            "a file of a further context",
            Box::new(|b| b.stage.file("docs/x", "y")),
        ),
        unit("a cache to fill", |unit| unit.cache_to = vec![cache]),
        unit("the platform", |unit| {
            unit.platforms = vec!["linux/amd64".into()];
        }),
        unit("an inline Dockerfile", |unit| unit.dockerfile = inline),
        unit("a time for all", |unit| unit.source_date_epoch = Some(1)),
        // An image that is the same from every clone has all labels of the commit.
        unit("a label of the commit, where all counts", |unit| {
            let name = "org.opencontainers.image.revision";
            unit.labels.insert(name.into(), "2".into());
        }),
    ];
    for (number, (what, change)) in changes.into_iter().enumerate() {
        change(&mut bench);
        let run = bench.expect(Ending::Passed, what).await;
        assert_eq!(run.decisions, [Decision::New], "{what}");
        assert_eq!(bench.built(), number + 2, "{what}");
        bench.expect(Ending::Cached, what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_other_image_does_not() {
    let mut bench = Bench::new();
    bench.expect(Ending::Passed, "nothing is known").await;
    bench.stage.file(".hoist/runs/x", "x");
    let file = fs::File::open(bench.stage.folder.path().join("a.txt")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    bench.change(|unit| {
        let name = "org.opencontainers.image.revision";
        unit.labels.insert(name.into(), "2".into());
        unit.tags = vec![Text::literal("shop:2")];
        unit.cache_from = vec![BuildCache {
            kind: "registry".into(),
            attributes: BTreeMap::new(),
        }];
    });
    bench
        .expect(Ending::Cached, "nothing of it is in the image")
        .await;
    assert_eq!(bench.built(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_gone_is_built_again() {
    let mut bench = Bench::new();
    let first = bench.expect(Ending::Passed, "nothing is known").await;
    bench.stage.engine.remove_image(&first.images[0].0.id);
    let second = bench.expect(Ending::Passed, "the image is gone").await;
    assert!(matches!(&second.decisions[..], [Decision::Gone(_)]));
    bench.expect(Ending::Cached, "it is there again").await;
    bench
        .stage
        .engine
        .change_info(|info| info.id = "another".into());
    let other = bench.expect(Ending::Passed, "another engine").await;
    assert_eq!(other.decisions, [Decision::New]);
}

#[tokio::test(start_paused = true)]
async fn what_is_forced_is_never_skipped() {
    let mut bench = Bench::new();
    bench.expect(Ending::Passed, "nothing is known").await;
    type Change = fn(&mut BuildUnit);
    let forces: [(Change, Force); 3] = [
        (|unit| unit.no_cache = true, Force::NoCache),
        (|unit| unit.pull = true, Force::Pull),
        (
            |unit| unit.no_cache_filter = vec!["a".into()],
            Force::NoCacheFilter,
        ),
    ];
    for (force, said) in forces {
        bench.change(|unit| {
            unit.no_cache = false;
            unit.pull = false;
            force(unit);
        });
        for _ in 0..2 {
            let run = bench.expect(Ending::Passed, "it is forced").await;
            assert_eq!(run.decisions, [Decision::Forced(vec![said])]);
        }
    }
    assert_eq!(bench.built(), 7);
}

#[tokio::test(start_paused = true)]
async fn what_was_built_with_a_registrys_bases_is_not_remembered() {
    let mut bench = Bench::new();
    bench.change(|unit| unit.pull = true);
    bench.expect(Ending::Passed, "it pulls").await;
    bench.change(|unit| unit.pull = false);
    bench
        .expect(Ending::Passed, "the base may have been another")
        .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_skipped_where_something_cannot_be_told() {
    let cases = [
        ("FROM nowhere:1\n", Unsettled::Base("nowhere:1".into())),
        (
            "FROM base:1\nADD https://example.com/x /\n",
            Unsettled::Address("https://example.com/x".into()),
        ),
        (
            "FROM --platform=linux/s390x base:1\n",
            Unsettled::ForeignBase {
                image: "base:1".into(),
                platform: "linux/s390x".into(),
            },
        ),
        (
            "FROM base:1\nCOPY --from=$X / /\n",
            Unsettled::Instruction {
                line: 2,
                text: "COPY --from=$X / /".into(),
            },
        ),
    ];
    for (dockerfile, unsettled) in cases {
        let mut bench = Bench::new();
        bench.stage.file("Dockerfile", dockerfile);
        for _ in 0..2 {
            let run = bench.expect(Ending::Passed, dockerfile).await;
            assert_eq!(
                run.decisions,
                [Decision::Unsettled(vec![unsettled.clone()])]
            );
        }
        assert_eq!(bench.built(), 2);
    }
    let mut bench = Bench::new();
    bench.stage.file(
        "Dockerfile",
        "FROM nowhere@sha256:0123\nCOPY --from=base:1 / /\n",
    );
    bench.expect(Ending::Passed, "nothing is known").await;
    bench.expect(Ending::Cached, "a digest pins it").await;
}

#[tokio::test(start_paused = true)]
async fn a_step_s_image_counts_by_its_id_and_is_named_only_to_build() {
    let mut bench = Bench::new();
    bench.stage.file("Dockerfile", "ARG BASE\nFROM $BASE\n");
    let base = Text(vec![Piece::Step {
        step: "base".into(),
        value: StepValue::Image,
    }]);
    bench.change(|unit| {
        unit.args.insert("BASE".into(), base);
    });
    let made = Arc::clone(&bench.stage.context.made);
    made.image(&"base".into(), bench.stage.engine.add_image("one"));
    bench.expect(Ending::Passed, "nothing is known").await;
    let named = |bench: &Bench| {
        let calls = bench.stage.engine.calls();
        calls
            .iter()
            .filter(|call| call.contains("base-for-unit"))
            .count()
    };
    let before = named(&bench);
    assert!(before > 0);
    bench.expect(Ending::Cached, "the same base").await;
    assert_eq!(named(&bench), before);
    made.image(&"base".into(), bench.stage.engine.add_image("two"));
    bench.expect(Ending::Passed, "another base").await;
}

#[tokio::test(start_paused = true)]
async fn a_build_that_fails_or_whose_files_change_is_not_remembered() {
    let mut bench = Bench::new();
    let error = BuildError::Failed {
        message: "exit 1".into(),
        instruction: None,
    };
    let fails = FakeBuild {
        error: Some(error),
        ..FakeBuild::default()
    };
    bench.stage.engine.build(|_| true, fails);
    assert!(!bench.run().await.ending.is_good());
    let path = bench.stage.folder.path().join("a.txt");
    let written = AtomicBool::new(false);
    let writes = move |_: &BuildRequest| {
        let again = written.swap(true, Ordering::Relaxed);
        again || fs::write(&path, "meanwhile").is_ok()
    };
    bench.stage.engine.build(writes, FakeBuild::default());
    bench.expect(Ending::Passed, "the one before failed").await;
    bench
        .expect(Ending::Passed, "a file was changed meanwhile")
        .await;
    bench.expect(Ending::Cached, "and then not any more").await;
}

/// A build of a minute that reads its folder at the seconds `reads` and its ignore file at `rules`,
/// while a file is written at 30.
async fn written_meanwhile(bench: &mut Bench, reads: &'static [u64], rules: &'static [u64]) {
    let path = bench.stage.folder.path().join("a.txt");
    let before = fs::read(&path).unwrap();
    let meanwhile = path.clone();
    let slowly = move |request: &BuildRequest| {
        let (uploads, path) = (request.uploads.clone(), meanwhile.clone());
        let reads = reads.iter().map(|second| (second, false));
        let rules = rules.iter().map(|second| (second, true));
        for (second, is_rules) in reads.chain(rules) {
            let uploads = uploads.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(*second)).await;
                drop(match is_rules {
                    true => uploads.begin_rules(Part::Context),
                    false => uploads.begin(Part::Context),
                });
            });
        }
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            fs::write(path, "meanwhile").unwrap();
        });
        true
    };
    let takes = FakeBuild {
        takes: Duration::from_secs(60),
        ..FakeBuild::default()
    };
    bench.stage.engine.build(slowly, takes);
    bench.expect(Ending::Passed, "nothing is known").await;
    fs::write(path, before).unwrap();
    bench.stage.engine.build(|_| true, FakeBuild::default());
}

#[tokio::test(start_paused = true)]
async fn what_is_written_once_all_is_read_is_nothing_to_a_build() {
    let mut bench = Bench::new();
    written_meanwhile(&mut bench, &[1], &[]).await;
    bench
        .expect(Ending::Cached, "it was read before that")
        .await;
    let late: [(&[u64], &[u64]); 5] = [
        (&[40], &[]),
        (&[1, 40], &[]),
        (&[40], &[1]),
        (&[1], &[40]),
        (&[], &[1]),
    ];
    for (reads, rules) in late {
        let mut bench = Bench::new();
        written_meanwhile(&mut bench, reads, rules).await;
        let what = format!("read at {reads:?} and {rules:?}, which may be of either");
        bench.expect(Ending::Passed, &what).await;
    }
}

/// A builder that says what it wants of the context, at once.
fn looks_at(bench: &mut Bench, paths: Option<&[&str]>) {
    let paths = paths.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect());
    let build = move |request: &BuildRequest| {
        let upload = request.uploads.begin(Part::Context);
        upload.wants(paths.as_ref());
        true
    };
    bench.stage.engine.build(build, FakeBuild::default());
}

#[tokio::test(start_paused = true)]
async fn what_no_instruction_names_makes_no_other_image() {
    let mut bench = Bench::new();
    looks_at(&mut bench, Some(&["a.txt", "src"]));
    bench.stage.file("src/x", "x");
    let first = bench.expect(Ending::Passed, "nothing is known").await;
    for name in ["notes.txt", "docs/page", "a.txt.old"] {
        bench.stage.file(name, "1");
        let run = bench.expect(Ending::Cached, name).await;
        assert!(matches!(run.decisions[..], [Decision::Reused(_)]), "{name}");
        assert_eq!(run.images[0].0.id, first.images[0].0.id);
        bench.stage.file(name, "2");
        bench.expect(Ending::Cached, name).await;
    }
    assert_eq!(bench.built(), 1);
    for name in ["a.txt", "src/x", "src/new"] {
        bench.stage.file(name, "3");
        bench.expect(Ending::Passed, name).await;
        bench.stage.file("notes.txt", name);
        bench.expect(Ending::Cached, name).await;
    }
    // Another Dockerfile may look elsewhere.
    bench.stage.file("Dockerfile", "FROM base:1\nCOPY docs /\n");
    bench.expect(Ending::Passed, "the Dockerfile").await;
}

#[tokio::test(start_paused = true)]
async fn where_a_builder_looks_at_all_or_does_not_say_all_counts() {
    for says in [true, false] {
        let mut bench = Bench::new();
        if says {
            looks_at(&mut bench, None);
        }
        bench.expect(Ending::Passed, "nothing is known").await;
        bench.stage.file("notes.txt", "1");
        bench.expect(Ending::Passed, "a file more").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_builder_gets_what_was_just_seen_of_each_folder() {
    let mut bench = Bench::new();
    bench.stage.file("web/b.txt", "b");
    bench.change(|unit| unit.contexts = BTreeMap::from([("web".into(), "web".into())]));
    for what in ["nothing is known", "one file changed"] {
        bench.stage.file("web/b.txt", what);
        bench.expect(Ending::Passed, what).await;
        let request = bench.stage.engine.built().pop().unwrap();
        let names = |folder: &crate::backend::ContextFolder| {
            assert!(folder.seen.is_some(), "{what}");
            let mut names = Vec::new();
            let name = |found: &crate::walk::Found<'_>, _| {
                names.push(found.shown.to_owned());
                Ok::<_, hoist_model::reason::Trouble>(())
            };
            folder.visit(|_| true, name).unwrap();
            names
        };
        let own = names(&request.context);
        assert_eq!(own, ["Dockerfile", "a.txt", "web", "web/b.txt"], "{what}");
        assert_eq!(names(&request.contexts["web"]), ["b.txt"], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_platform_is_remembered_for_itself() {
    let mut bench = Bench::new();
    bench.stage.file("Dockerfile", "FROM base@sha256:01\n");
    bench.change(|unit| {
        unit.platforms = ["linux/amd64", "linux/arm64"].map(str::to_owned).to_vec();
    });
    let first = bench.expect(Ending::Passed, "nothing is known").await;
    bench.expect(Ending::Cached, "both are there").await;
    bench.stage.engine.remove_image(&first.images[1].0.id);
    let third = bench.expect(Ending::Passed, "one is gone").await;
    assert!(matches!(
        &third.decisions[..],
        [Decision::Reused(_), Decision::Gone(_)]
    ));
    assert_eq!(bench.built(), 3);
}

#[tokio::test(start_paused = true)]
async fn two_runs_at_once_leave_one_whole_cache() {
    let mut bench = Bench::new();
    let (one, two) = tokio::join!(bench.stage.execute(), bench.stage.execute());
    assert_eq!((one, two), (Ending::Passed, Ending::Passed));
    bench.expect(Ending::Cached, "both remembered it").await;
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_cannot_be_used_is_said_and_the_build_goes_on() {
    let mut bench = Bench::new();
    bench.stage.file(".hoist/cache", "a file");
    let run = bench.expect(Ending::Passed, "it is built without").await;
    assert!(matches!(&run.decisions[..], [Decision::Unsettled(_)]));
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_written_down() {
    let mut bench = Bench::new();
    let run = bench.expect(Ending::Passed, "nothing is known").await;
    let plain = blake3::hash(SECRET.1.as_bytes()).to_hex().to_string();
    let events = serde_json::to_string(&run.events).unwrap();
    let mut texts = vec![events];
    for shelf in ["builds", "contexts", "files"] {
        let folder = bench.stage.folder.path().join(".hoist/cache").join(shelf);
        for entry in fs::read_dir(folder).unwrap() {
            let content = fs::read(entry.unwrap().path()).unwrap();
            texts.push(String::from_utf8_lossy(&content).into_owned());
        }
    }
    assert!(texts.len() > 3, "each shelf holds something");
    for text in texts {
        assert!(!text.contains(SECRET.1) && !text.contains(&plain));
    }
}

/// Writes runs down as the recorder would, and explains them.
struct Book<'a>(&'a Stage);

impl Book<'_> {
    fn write(&self, run: &Run) {
        let id = self.0.context.run;
        let folder = self.0.folder.path().join(format!(".hoist/runs/{id}"));
        fs::create_dir_all(&folder).unwrap();
        let outline = |name: &str, kind: &str| hoist_model::event::StepOutline {
            id: name.into(),
            kind: kind.into(),
            needs: Vec::new(),
            relaxations: Vec::new(),
        };
        let start = EventKind::RunStarted {
            project: "shop".into(),
            version: "1".into(),
            steps: vec![outline("unit", "build"), outline("test", "run")],
            jobs: 1,
            commit: None,
            rerun_of: None,
        };
        let end = serde_json::json!({
            "event": "step_ended", "step": "unit", "ending": run.ending, "duration_ms": 1
        });
        let end: EventKind = serde_json::from_value(end).unwrap();
        let all = std::iter::once(&start).chain(&run.events).chain([&end]);
        let mut text = String::new();
        for (seq, kind) in (0..).zip(all) {
            let event = hoist_model::event::RunEvent {
                run: id,
                seq,
                at: jiff::Timestamp::now(),
                elapsed: std::time::Duration::ZERO,
                kind: kind.clone(),
            };
            text += &format!("{}\n", serde_json::to_string(&event).unwrap());
        }
        fs::write(folder.join("events.jsonl"), text).unwrap();
    }

    fn explain(&self, step: &str) -> Result<Explanation, crate::inputs::ExplainError> {
        let root = self.0.folder.path();
        let id = self.0.context.run;
        let run = StoredRun {
            id,
            folder: root.join(format!(".hoist/runs/{id}")),
        };
        crate::inputs::explain(root, &run, &step.into())
    }

    fn build(&self) -> Explained {
        self.explain("unit").unwrap().decisions.remove(0)
    }
}

#[tokio::test(start_paused = true)]
async fn what_changed_since_the_last_image_is_explained() {
    let mut bench = Bench::new();
    let first = bench.run().await;
    let oldest = bench.stage.context.run;
    Book(&bench.stage).write(&first);
    let told = Book(&bench.stage).build();
    assert_eq!((told.decision, told.changed), (Decision::New, None));
    let second = bench.run().await;
    Book(&bench.stage).write(&second);
    let told = Book(&bench.stage).build();
    assert!(matches!(told.decision, Decision::Reused(earlier) if earlier.run == oldest));
    assert!(told.changed.unwrap().parts.is_empty());
    let since = bench.stage.context.run;
    // One that fails has no image to compare with later.
    let error = BuildError::Failed {
        message: "exit 1".into(),
        instruction: None,
    };
    let fails = FakeBuild {
        error: Some(error),
        ..FakeBuild::default()
    };
    bench.stage.engine.build(|_| true, fails);
    for number in 0..25 {
        bench.stage.file(&format!("new/{number:02}"), "x");
    }
    bench.change(|unit| unit.target = Some("test".into()));
    let third = bench.run().await;
    Book(&bench.stage).write(&third);
    assert!(!Book(&bench.stage).build().made);
    bench.stage.engine.build(|_| true, FakeBuild::default());
    bench.change(|unit| {
        unit.args.insert("VERSION".into(), Text::literal("2"));
    });
    let fourth = bench.run().await;
    Book(&bench.stage).write(&fourth);
    let told = Book(&bench.stage).build();
    let changed = told.changed.unwrap();
    assert_eq!(changed.since, since);
    let parts: Vec<_> = changed.parts.iter().map(|part| part.part.clone()).collect();
    let argument = Part::Argument("VERSION".into());
    assert_eq!(parts, [Part::Context, argument, Part::Target]);
    let files = &changed.files[0];
    assert_eq!((files.count, files.first.len()), (Some(26), 20));
    assert_eq!(files.first[1], ("new/00".to_owned(), FileChange::Added));
    // Lists are not kept for ever.
    let lists = bench.stage.folder.path().join(".hoist/cache/contexts");
    fs::remove_dir_all(lists).unwrap();
    let changed = Book(&bench.stage).build().changed.unwrap();
    assert_eq!(changed.files[0].count, None);
}

#[tokio::test(start_paused = true)]
async fn only_steps_of_the_run_are_explained() {
    let mut bench = Bench::new();
    let run = bench.run().await;
    let book = Book(&bench.stage);
    assert!(book.explain("unit").is_err(), "nothing is written down yet");
    book.write(&run);
    let other = book.explain("test").unwrap();
    assert_eq!((other.kind.as_str(), other.decisions.len()), ("run", 0));
    let unknown = book.explain("lint").unwrap_err().to_string();
    assert!(unknown.contains("no step `lint`"), "{unknown}");
}

#[tokio::test(start_paused = true)]
async fn what_seldom_belongs_in_a_context_is_told_once_and_not_where_nothing_is_built() {
    let warnings = |run: &Run| -> Vec<(String, Option<String>)> {
        let warning = |event: &EventKind| match event {
            EventKind::Warning { message, hint, .. } => Some((message.clone(), hint.clone())),
            _ => None,
        };
        run.events.iter().filter_map(warning).collect()
    };
    let mut bench = Bench::new();
    bench.stage.file(".env", "KEY=1");
    let first = bench.expect(Ending::Passed, "nothing is known").await;
    let [(message, hint)] = warnings(&first).try_into().unwrap();
    assert_eq!(message, "`.env` is part of the context `.`");
    let hint = hint.unwrap();
    assert!(hint.contains("`**/.env` in .dockerignore"), "{hint}");
    // Another build of the same context, in the same run.
    bench.change(|unit| unit.target = Some("other".into()));
    let second = bench.expect(Ending::Passed, "another target").await;
    assert_eq!(warnings(&second), []);
    bench.stage.context.made = Arc::default();
    let third = bench.expect(Ending::Cached, "a later run").await;
    assert_eq!(warnings(&third), []);
}
