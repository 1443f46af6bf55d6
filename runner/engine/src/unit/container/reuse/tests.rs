//! When a container runs and when it does not, over an engine in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::sync::Arc;

use hoist_model::image::ImageSource;
use hoist_model::inputs::{EarlierRun, Unsettled};
use hoist_model::reason::FailureReason;
use hoist_model::step::StepKind;
use hoist_model::step::scan::Gate;
use hoist_model::text::Text;
use hoist_model::unit::{
    Command, Condition, Dependency, Healthcheck, ImageArchive, Limits, Network, Security,
    SourceCopy, StepService, Tmpfs, ToolData, ToolDataSource, Unit,
};
use proptest::prelude::*;

use super::*;
use crate::backend::ContainerSpec;
use crate::fake::Program;
use crate::output::OutputWriter;
use crate::recorder::queue;
use crate::secrets::Secrets;
use crate::unit::testing::{SECRET, Stage, container};

fn unit() -> ContainerUnit {
    let mut unit = container();
    unit.always_runs = None;
    unit.secrets = vec![SECRET.0.into()];
    unit.environment.insert("A".into(), Text::literal("b"));
    unit.source = Some(SourceCopy {
        ignorefile: None,
        target: "/workspace".into(),
    });
    unit.harvest.paths.insert("out".into(), "/out/".into());
    unit.harvest.junit.push("/reports/*.xml".into());
    unit
}

const JUNIT: &str = "<testsuite name=\"s\"><testcase name=\"adds\" time=\"1\"/></testsuite>";

/// A step whose unit is exchanged between runs, each with a folder of its own.
struct Bench {
    stage: Stage,
}

/// What a run of the step came to.
struct Run {
    ending: Ending,
    decision: Decision,
    events: Vec<EventKind>,
}

impl Run {
    fn earlier(&self) -> &EarlierRun {
        match &self.decision {
            Decision::Reused(earlier) => earlier,
            other => panic!("it ran: {other:?}"),
        }
    }

    /// What a later run tells as well.
    fn lasting(&self) -> Vec<&EventKind> {
        let lasting = |event: &&EventKind| {
            matches!(
                event,
                EventKind::TestsFound { .. }
                    | EventKind::ArtifactKept { .. }
                    | EventKind::Warning { .. }
            )
        };
        self.events.iter().filter(lasting).collect()
    }
}

impl Bench {
    fn new() -> Self {
        Self::of(StepKind::Run, unit())
    }

    fn of(kind: StepKind, unit: ContainerUnit) -> Self {
        let stage = Stage::new(kind, Unit::Container(Box::new(unit)));
        stage.engine.add_image("base:1");
        stage.engine.add_image("db:1");
        stage.file("a.txt", "a");
        stage.engine.program(
            |spec: &ContainerSpec| spec.command == Some(container().command.argv()),
            Program::default()
                .prints(format!("hello\nthe token is {}\n", SECRET.1))
                .leaves("/out/deep/file", "kept")
                .leaves("/reports/a.xml", JUNIT),
        );
        Self { stage }
    }

    fn change(&mut self, change: impl FnOnce(&mut ContainerUnit)) {
        let plan = Arc::make_mut(&mut self.stage.context.plan);
        match &mut plan.steps[0].unit {
            Unit::Container(unit) => change(unit),
            other => panic!("{other:?} is no container"),
        }
    }

    /// Runs the step, each time as a run of its own.
    async fn run(&mut self) -> Run {
        let context = &mut self.stage.context;
        context.run = hoist_model::ids::RunId(uuid::Uuid::now_v7());
        context.made = Arc::default();
        let runs = context.root.join(".hoist/runs");
        context.run_folder = runs.join(context.run.to_string());
        context.artifacts = context.run_folder.join("artifacts/unit");
        fs::create_dir_all(context.run_folder.join("logs")).unwrap();
        let log = File::create(context.run_folder.join("logs/unit.log")).unwrap();
        let redactor = context.secrets.redactor();
        context.output = OutputWriter::new("unit".into(), log, &redactor, queue().1);
        let ending = self.stage.execute().await;
        let events = self.stage.said().events;
        let decision = events.iter().rev().find_map(|event| match event {
            EventKind::StepInputs { decision, .. } => Some(decision.clone()),
            _ => None,
        });
        Run {
            ending,
            decision: decision.expect("every run says why"),
            events,
        }
    }

    async fn expect(&mut self, ending: Ending, what: &str) -> Run {
        let run = self.run().await;
        assert_eq!(run.ending, ending, "{what}: {:?}", run.decision);
        run
    }

    fn started(&self) -> usize {
        let calls = self.stage.engine.calls();
        let started = calls
            .iter()
            .filter(|call| call.starts_with("start_container"));
        started.count()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.stage.context.run_folder.join(path)).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_the_same_does_not_run_and_leaves_what_it_left() {
    let mut bench = Bench::new();
    let first = bench.expect(Ending::Passed, "nothing is known").await;
    assert_eq!(first.decision, Decision::New);
    let (run, started) = (bench.stage.context.run, bench.started());
    let log = bench.read("logs/unit.log");
    assert!(
        log.starts_with("hello\n") && !log.contains(SECRET.1),
        "{log}"
    );
    let second = bench.expect(Ending::Cached, "nothing changed").await;
    assert_eq!(bench.started(), started);
    assert_eq!(second.earlier().run, run);
    assert_eq!(bench.read("logs/unit.log"), log);
    assert_eq!(bench.read("artifacts/unit/out/deep/file"), "kept");
    assert_eq!(bench.read("results/unit/0/a.xml"), JUNIT);
    assert_eq!(first.lasting().len(), 2);
    assert_eq!(second.lasting(), first.lasting());
    bench.stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn run_folders_can_go_as_long_as_the_newest_stays() {
    let mut bench = Bench::new();
    bench.expect(Ending::Passed, "nothing is known").await;
    let (run, folder) = (
        bench.stage.context.run,
        bench.stage.context.run_folder.clone(),
    );
    bench.expect(Ending::Cached, "nothing changed").await;
    fs::remove_dir_all(folder).unwrap();
    let third = bench.expect(Ending::Cached, "the second has it, too").await;
    assert_eq!(third.earlier().run, run);
    assert_eq!(bench.read("artifacts/unit/out/deep/file"), "kept");
    fs::remove_dir_all(bench.stage.folder.path().join(".hoist/runs")).unwrap();
    let fourth = bench.expect(Ending::Passed, "nobody has it").await;
    assert!(matches!(fourth.decision, Decision::Gone(_)));
    bench.expect(Ending::Cached, "the fourth has it").await;
}

#[tokio::test(start_paused = true)]
async fn what_was_touched_since_is_not_given_again() {
    let mut bench = Bench::new();
    bench.expect(Ending::Passed, "nothing is known").await;
    let file = bench
        .stage
        .context
        .run_folder
        .join("artifacts/unit/out/deep/file");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
    let open = |path: &std::path::Path| File::options().write(true).open(path).unwrap();
    open(&file).set_modified(later).unwrap();
    let second = bench.expect(Ending::Passed, "a file was written to").await;
    assert!(matches!(second.decision, Decision::Gone(_)));
    assert_eq!(bench.read("artifacts/unit/out/deep/file"), "kept");
    fs::remove_file(bench.stage.context.run_folder.join("results/unit/0/a.xml")).unwrap();
    let third = bench.expect(Ending::Passed, "a file is gone").await;
    assert!(matches!(third.decision, Decision::Gone(_)));
    let results = bench.stage.context.run_folder.join("results/unit/0/a.xml");
    assert!(results.exists(), "it is there from the third run itself");
}

/// A step with all that can be said of one.
fn full() -> ContainerUnit {
    let mut unit = unit();
    unit.services.push(StepService {
        name: "db".into(),
        image: ImageSource::Name(Text::literal("db:1")),
        command: None,
        entrypoint: None,
        environment: BTreeMap::new(),
        working_dir: None,
        user: None,
        security: Security::default(),
        limits: Limits::SEALED,
        tmpfs: Vec::new(),
        secrets: Vec::new(),
        healthcheck: Healthcheck {
            test: vec!["NONE".into()],
            interval: None,
            timeout: None,
            retries: None,
            start_period: None,
            start_interval: None,
        },
        depends_on: Vec::new(),
        stop_grace_period: std::time::Duration::ZERO,
        stop_signal: None,
    });
    unit
}

type Change = (&'static str, fn(&mut Bench));

/// Whatever can change what a step comes to.
const CHANGES: &[Change] = &[
    ("content", |b| b.stage.file("a.txt", "b")),
    ("a file more", |b| b.stage.file("b.txt", "b")),
    ("the ignore file", |b| {
        b.stage.file(".dockerignore", "a.txt\n")
    }),
    ("the image", |b| {
        let other = b.stage.engine.add_image("other");
        b.stage.engine.name_image("base:1", &other.id);
    }),
    ("the image of a service", |b| {
        let other = b.stage.engine.add_image("other-db");
        b.stage.engine.name_image("db:1", &other.id);
    }),
    ("the secret", |b| {
        let other = BTreeMap::from([("TOKEN".to_owned(), "another-value".to_owned())]);
        let context = &mut b.stage.context;
        let secrets = Secrets::read(&context.plan, &context.root, &other).unwrap();
        context.secrets = Arc::new(secrets);
    }),
    ("the engine", |b| {
        b.stage
            .engine
            .change_info(|info| info.id = "another".into())
    }),
    ("the platform", |b| {
        b.stage
            .engine
            .change_info(|info| info.platform = "linux/s390x".into())
    }),
    ("the command", |b| {
        b.change(|u| u.command = Command::Shell("true; true".into()))
    }),
    ("the way to execute", |b| {
        b.change(|u| u.command = Command::Exec(vec!["true".into()]))
    }),
    ("a value", |b| {
        b.change(|u| drop(u.environment.insert("A".into(), Text::literal("c"))))
    }),
    ("a variable", |b| {
        b.change(|u| drop(u.environment.insert("B".into(), Text::literal("b"))))
    }),
    ("no variable", |b| b.change(|u| u.environment.clear())),
    ("where it starts", |b| {
        b.change(|u| u.working_dir = Some("/tmp".into()))
    }),
    ("the user", |b| b.change(|u| u.user = Some("1".into()))),
    ("a capability", |b| {
        b.change(|u| u.security.cap_add.push("CHOWN".into()))
    }),
    ("the root", |b| b.change(|u| u.security.read_only = true)),
    ("processors", |b| b.change(|u| u.limits.cpus = Some(1.0))),
    ("memory", |b| b.change(|u| u.limits.memory = Some(1 << 28))),
    ("processes", |b| b.change(|u| u.limits.pids = Some(5))),
    ("/dev/shm", |b| b.change(|u| u.limits.shm_size = Some(5))),
    ("memory file systems", |b| {
        b.change(|u| u.tmpfs.push(tmpfs("")))
    }),
    ("options of them", |b| {
        b.change(|u| u.tmpfs.push(tmpfs("size=1m")))
    }),
    ("no secret", |b| b.change(|u| u.secrets.clear())),
    ("no source", |b| b.change(|u| u.source = None)),
    ("another target", |b| {
        b.change(|u| {
            if let Some(source) = &mut u.source {
                source.target = "/src".into();
            }
        })
    }),
    ("an artifact", |b| {
        b.change(|u| drop(u.harvest.paths.insert("x".into(), "/x".into())))
    }),
    ("results", |b| {
        b.change(|u| u.harvest.tap.push("/x/*.tap".into()))
    }),
    ("an archive", |b| {
        b.change(|u| {
            u.image_archive = Some(ImageArchive {
                image: ImageSource::Name(Text::literal("db:1")),
                folder: "/scan".into(),
                file: "image.tar".into(),
            })
        })
    }),
    ("no service", |b| b.change(|u| u.services.clear())),
    ("its name", |b| service(b, |s| s.name = "other".into())),
    ("its command", |b| {
        service(b, |s| s.command = Some(Command::Shell("serve".into())))
    }),
    ("its entrypoint", |b| {
        service(b, |s| s.entrypoint = Some(Vec::new()))
    }),
    ("its variable", |b| {
        service(b, |s| {
            drop(s.environment.insert("A".into(), Text::literal("c")))
        })
    }),
    ("where it starts", |b| {
        service(b, |s| s.working_dir = Some("/tmp".into()))
    }),
    ("its user", |b| service(b, |s| s.user = Some("1".into()))),
    ("its capability", |b| {
        service(b, |s| s.security.cap_add.push("SYS_NICE".into()))
    }),
    ("its root", |b| service(b, |s| s.security.read_only = true)),
    ("its memory", |b| {
        service(b, |s| s.limits.memory = Some(1 << 28))
    }),
    ("its memory file system", |b| {
        service(b, |s| s.tmpfs.push(tmpfs("")))
    }),
    ("its secret", |b| {
        service(b, |s| s.secrets.push(SECRET.0.into()))
    }),
    ("its probe", |b| {
        service(b, |s| s.healthcheck.retries = Some(3))
    }),
    ("what it comes after", |b| {
        service(b, |s| {
            s.depends_on.push(Dependency {
                service: "db".into(),
                condition: Condition::ServiceStarted,
            })
        })
    }),
];

fn tmpfs(options: &str) -> Tmpfs {
    Tmpfs {
        target: "/scratch".into(),
        options: options.into(),
    }
}

fn service(bench: &mut Bench, change: impl FnOnce(&mut StepService)) {
    bench.change(|unit| {
        if let Some(service) = unit.services.first_mut() {
            change(service);
        }
    });
}

/// What a step is made of, without running it.
async fn digest(bench: &mut Bench) -> String {
    // Names stand for the same images as long as a run goes on.
    bench.stage.context.made = Arc::default();
    let context = &bench.stage.context;
    let step = context.step().unwrap();
    let Unit::Container(unit) = &step.unit else {
        panic!("it is a container");
    };
    let cache = Arc::new(crate::inputs::Cache::open(&context.root, None).unwrap());
    let glance = Glance::of_container(context, &cache, step, unit)
        .await
        .unwrap();
    let place = context.backend.info().await.unwrap().id;
    format!("{} on {place}", glance.read().await.inputs.digest.unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Steps have the same key where they are the same step, and nowhere else.
    #[test]
    fn the_same_settings_have_the_same_key_and_others_another(
        [one, other] in [settings(), settings()],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::of(StepKind::Run, full());
            let mut both = Vec::new();
            for changes in [one, other] {
                bench.change(|unit| *unit = full());
                changes.iter().for_each(|(_, change)| change(&mut bench));
                both.push((format!("{:?}", bench.stage.context.plan), digest(&mut bench).await));
            }
            assert_eq!(both[0].0 == both[1].0, both[0].1 == both[1].1, "{both:?}");
        });
    }
}

/// Those changes that are changes of the unit alone.
fn settings() -> impl Strategy<Value = Vec<Change>> {
    proptest::sample::subsequence(&CHANGES[8..], 0..4)
}

#[tokio::test(start_paused = true)]
async fn each_change_by_itself_runs_the_step_again() {
    for (what, change) in CHANGES {
        let mut bench = Bench::of(StepKind::Run, full());
        let before = digest(&mut bench).await;
        change(&mut bench);
        assert_ne!(digest(&mut bench).await, before, "{what}");
    }
    let gate = |ignore_unfixed| {
        StepKind::Scan(Gate {
            severity: Vec::new(),
            ignore_unfixed,
        })
    };
    let mut digests = Vec::new();
    for kind in [StepKind::Run, gate(true), gate(false)] {
        let mut bench = Bench::of(StepKind::Run, unit());
        Arc::make_mut(&mut bench.stage.context.plan).steps[0].kind = kind;
        // What it comes to is nothing to what it is made of.
        let look = bench.run().await;
        let inputs = look.events.into_iter().find_map(|event| match event {
            EventKind::StepInputs { inputs, .. } => Some(inputs),
            _ => None,
        });
        let parts = inputs.unwrap().parts.into_iter();
        let kind = parts.filter(|part| part.part.to_string() == "the option kind");
        digests.extend(kind.map(|part| part.shown.unwrap()));
    }
    digests.dedup();
    assert_eq!(digests.len(), 3, "{digests:?}");
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_of_the_outcome_runs_nothing_again() {
    let mut bench = Bench::of(StepKind::Run, full());
    bench.expect(Ending::Passed, "nothing is known").await;
    let touched = bench.stage.folder.path().join("a.txt");
    let file = File::options().write(true).open(touched).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let plan = Arc::make_mut(&mut bench.stage.context.plan);
    plan.steps[0].timeout *= 2;
    plan.steps[0].retry.max = 3;
    service(&mut bench, |service| {
        service.stop_grace_period = std::time::Duration::from_secs(3);
    });
    bench.expect(Ending::Cached, "the same comes of it").await;
}

#[tokio::test(start_paused = true)]
async fn only_what_passed_at_the_first_attempt_is_remembered() {
    let mut bench = Bench::new();
    let fails = |spec: &ContainerSpec| spec.command == Some(container().command.argv());
    bench.stage.engine.program(fails, Program::exits(1));
    let failed = Ending::Failed(FailureReason::Exit { code: 1 });
    bench.expect(failed.clone(), "it fails").await;
    bench.expect(failed, "a failure is not remembered").await;
    bench.stage.engine.program(fails, Program::default());
    bench.stage.context.attempt = 2;
    bench.expect(Ending::Passed, "it passes at last").await;
    bench
        .expect(Ending::Passed, "a second attempt is not remembered")
        .await;
    bench.stage.context.attempt = 1;
    bench.expect(Ending::Passed, "it passes at once").await;
    bench.expect(Ending::Cached, "that is remembered").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_to_run_runs_and_says_why() {
    let mut bench = Bench::new();
    bench.expect(Ending::Passed, "nothing is known").await;
    for force in [Force::Off, Force::Network, Force::Volume] {
        bench.change(|unit| unit.always_runs = Some(force));
        let run = bench.expect(Ending::Passed, "it is to run").await;
        assert_eq!(run.decision, Decision::Forced(vec![force]));
    }
    bench.change(|unit| unit.always_runs = Some(Force::NoCache));
    let run = bench.expect(Ending::Passed, "it is to run").await;
    assert_eq!(run.decision, Decision::Forced(vec![Force::NoCache]));
    let newest = bench.stage.context.run;
    bench.change(|unit| unit.always_runs = None);
    let run = bench.expect(Ending::Cached, "nothing changed").await;
    assert_eq!(run.earlier().run, newest, "what ran anew is remembered");
    bench.change(|unit| unit.network = Network::Bridge);
    bench
        .expect(Ending::Passed, "`cache = true` with a network")
        .await;
    bench
        .expect(Ending::Cached, "`cache = true` with a network")
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_changes_while_it_is_copied_is_not_remembered() {
    let mut bench = Bench::new();
    let path = bench.stage.folder.path().join("a.txt");
    bench
        .stage
        .engine
        .delay("upload", std::time::Duration::from_secs(1));
    let write = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        fs::write(&path, "changed meanwhile").unwrap();
    };
    let (run, ()) = tokio::join!(bench.run(), write);
    assert_eq!(run.ending, Ending::Passed);
    bench.expect(Ending::Passed, "the first saw both").await;
    bench.expect(Ending::Cached, "the second saw one").await;
}

#[tokio::test(start_paused = true)]
async fn runs_at_once_leave_one_whole_record() {
    let mut bench = Bench::new();
    bench.expect(Ending::Passed, "nothing is known").await;
    bench.change(|unit| unit.always_runs = Some(Force::NoCache));
    // Whoever keeps last, the record is whole.
    for _ in 0..3 {
        bench.expect(Ending::Passed, "it is to run").await;
    }
    bench.change(|unit| unit.always_runs = None);
    let steps = bench.stage.folder.path().join(".hoist/cache/steps");
    let records: Vec<_> = fs::read_dir(&steps).unwrap().map(Result::unwrap).collect();
    assert_eq!(records.len(), 1, "no draft is left");
    let text = fs::read(records[0].path()).unwrap();
    // One that is cut off is none.
    fs::write(records[0].path(), &text[..text.len() / 2]).unwrap();
    let run = bench.expect(Ending::Passed, "the record is broken").await;
    assert_eq!(run.decision, Decision::New);
    bench.expect(Ending::Cached, "it was made again").await;
    assert!(!String::from_utf8_lossy(&text).contains(SECRET.1));
}

#[tokio::test(start_paused = true)]
async fn a_tools_data_is_told_by_its_folder_or_its_volume() {
    let mut bench = Bench::new();
    bench.stage.file("data/db", "one");
    let data = |source| ToolData {
        title: "the scanner's data".into(),
        name: "scanner".into(),
        target: "/data".into(),
        source,
        max_age: std::time::Duration::from_secs(3600),
    };
    bench.change(|unit| {
        unit.source = None;
        unit.tool_data = Some(data(ToolDataSource::Folder("data".into())));
    });
    bench.expect(Ending::Passed, "nothing is known").await;
    bench.expect(Ending::Cached, "nothing changed").await;
    bench.stage.file("data/db", "two");
    bench.expect(Ending::Passed, "the data changed").await;
    bench.change(|unit| {
        unit.tool_data = Some(data(ToolDataSource::Update {
            command: vec!["update".into()],
            environment: BTreeMap::new(),
        }));
    });
    let run = bench.expect(Ending::Passed, "there is no data yet").await;
    let unsettled = vec![Unsettled::Data("the scanner's data".into())];
    assert_eq!(run.decision, Decision::Unsettled(unsettled));
    let run = bench.expect(Ending::Passed, "the data is known now").await;
    assert_eq!(run.decision, Decision::New);
}
