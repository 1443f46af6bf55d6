//! Whole runs over the fake engine, by tokio's paused clock.

mod rerun;

use std::collections::BTreeMap;
use std::path::Path;

use hoist_model::event::{Output, RunEvent};
use hoist_model::ids::StepIx;
use hoist_model::image::ImageSource;
use hoist_model::plan::SecretSource;
use hoist_model::reason::{CancelReason, Ending, FailureReason, SkipReason};
use hoist_model::reporter::ReportError;
use hoist_model::text::{Piece, StepValue, Text};
use hoist_model::unit::{BuildUnit, Unit};
use tokio::time::{Instant, sleep};

use super::*;
use crate::backend::{BackendErrorKind, Labels};
use crate::fake::{FakeBackend, Program, container, plan, step};
use crate::labels;
use crate::owner::Owner;
use crate::store::Store;

struct Bench {
    engine: FakeBackend,
    root: tempfile::TempDir,
    signals: mpsc::Sender<Signal>,
    request: RunRequest,
}

fn bench(steps: &[(&str, &[StepIx])]) -> Bench {
    bench_of(plan(steps))
}

fn bench_of(plan: Plan) -> Bench {
    let engine = FakeBackend::new();
    engine.add_image("base");
    let root = tempfile::tempdir().unwrap();
    let (signals, received) = mpsc::channel(8);
    let request = RunRequest {
        plan: Arc::new(plan),
        root: root.path().to_owned(),
        shared: None,
        approver: Arc::new(crate::approval::Nobody),
        secrets: Arc::new(Secrets::default()),
        redactor: Redactor::default(),
        jobs: 4,
        fail_fast: false,
        timeout: None,
        lock_wait: crate::release::LOCK_WAIT,
        force_unverified: false,
        allow_host_network: false,
        reporters: Vec::new(),
        connector: engine.connector(),
        engine: None,
        shells: None,
        rerun: None,
        signals: received,
        reaper: None,
        version: "1.0".to_owned(),
        commit: Some("abc".to_owned()),
    };
    Bench {
        engine,
        root,
        signals,
        request,
    }
}

impl Bench {
    /// What the step's container does.
    fn does(&self, step: &'static str, program: Program) {
        self.engine.program(
            move |spec| spec.labels.get(labels::STEP).is_some_and(|of| of == step),
            program,
        );
    }

    /// Runs, and checks what holds after every run that was not left: nothing of it remains, and
    /// the run folder tells what the summary does.
    async fn run(self) -> RunSummary {
        let (engine, root) = (self.engine.clone(), self.root);
        let summary = run(self.request).await.unwrap();
        if !summary.abandoned {
            let left = (engine.containers(), engine.networks(), engine.volumes());
            assert!(
                left.0.is_empty() && left.1.is_empty() && left.2.is_empty(),
                "{left:?}"
            );
        }
        let stored = Store::new(root.path())
            .find(&summary.run.to_string())
            .unwrap();
        assert_eq!(stored.folder, summary.folder);
        assert_eq!(stored.state().unwrap(), summary.state);
        let record = stored.record().unwrap();
        assert_eq!(record.state, summary.state);
        assert_eq!(record.owner.parse(), Ok(Owner::here()));
        summary
    }

    fn signal_after(&self, seconds: u64, signal: Signal) {
        let signals = self.signals.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(seconds)).await;
            signals.send(signal).await
        });
    }
}

/// The places of a call about a step's container among all calls, by how they begin.
fn place(engine: &FakeBackend, call: &str, step: &str) -> usize {
    let calls = engine.calls();
    let found = calls.iter().position(|made| {
        let rest = made.strip_prefix(call).map(str::trim);
        rest.is_some_and(|name| name.starts_with("hoist-") && name.ends_with(&format!("-{step}")))
    });
    found.unwrap_or_else(|| panic!("no {call} of {step} in {calls:#?}"))
}

#[tokio::test(start_paused = true)]
async fn the_next_container_is_made_while_the_last_one_runs() {
    let bench = bench(&[("a", &[]), ("b", &[0]), ("c", &[1])]);
    for step in ["a", "b", "c"] {
        bench.does(step, Program::default().takes(Duration::from_secs(10)));
    }
    bench
        .engine
        .delay("create_container", Duration::from_secs(5));
    bench
        .engine
        .delay("remove_container", Duration::from_secs(5));
    let (engine, start) = (bench.engine.clone(), Instant::now());
    let summary = bench.run().await;
    assert_eq!(summary.verdict, Verdict::Passed);
    let made = |step| place(&engine, "create_container", step);
    let gone = |step| place(&engine, "remove_container", step);
    assert!(made("b") < gone("a") && made("c") < gone("b"));
    // Only the first is waited for until it is made, and only the last until it is gone.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5 + 30 + 5 + 1), "{took:?}");
}

/// A chain of steps, each a second long.
fn chain(names: &'static [&'static str]) -> Bench {
    let needs: Vec<Vec<StepIx>> = (0..names.len())
        .map(|ix| ix.checked_sub(1).into_iter().collect())
        .collect();
    let steps: Vec<(&str, &[StepIx])> = names
        .iter()
        .zip(&needs)
        .map(|(name, needs)| (*name, needs.as_slice()))
        .collect();
    let bench = bench(&steps);
    for name in names {
        bench.does(name, Program::default().takes(Duration::from_secs(1)));
    }
    bench
}

#[tokio::test(start_paused = true)]
async fn no_removal_stands_between_two_steps() {
    let bench = chain(&["a", "b", "c"]);
    let engine = bench.engine.clone();
    assert_eq!(bench.run().await.verdict, Verdict::Passed);
    let calls = engine.calls();
    let kinds = calls.iter().filter_map(|call| {
        let kind = call.split(' ').next()?;
        ["start_container", "remove_container"]
            .into_iter()
            .find(|of| *of == kind)
    });
    let (start, remove) = ("start_container", "remove_container");
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [start, start, start, remove, remove, remove]
    );
}

#[tokio::test(start_paused = true)]
async fn removals_wait_for_nothing_once_no_step_is_left_to_start() {
    let bench = bench(&[("short", &[]), ("long", &[])]);
    bench.does("short", Program::default().takes(Duration::from_secs(1)));
    bench.does("long", Program::default().takes(Duration::from_secs(2)));
    let engine = bench.engine.clone();
    assert_eq!(bench.run().await.verdict, Verdict::Passed);
    let calls = engine.calls();
    let last = calls
        .iter()
        .rposition(|call| call.starts_with("inspect_container"));
    assert!(Some(place(&engine, "remove_container", "short")) < last);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_removed_does_not_wait_for_the_end_of_a_long_run() {
    let bench = chain(&["a", "b", "c", "d", "e", "f", "g"]);
    let engine = bench.engine.clone();
    assert_eq!(bench.run().await.verdict, Verdict::Passed);
    let calls = engine.calls();
    let last = calls
        .iter()
        .rposition(|call| call.starts_with("start_container"));
    assert!(Some(place(&engine, "remove_container", "a")) < last);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_was_made_for_nothing_goes() {
    // Its turn never comes, as what it needs fails; or the run is stopped.
    for stopped in [false, true] {
        let mut bench = bench(&[("a", &[]), ("b", &[0])]);
        let takes = Duration::from_secs(10);
        bench.does("a", Program::exits(1).takes(takes));
        if stopped {
            bench.request.timeout = Some(Duration::from_secs(5));
        }
        let engine = bench.engine.clone();
        let summary = bench.run().await;
        assert_ne!(summary.verdict, Verdict::Passed);
        place(&engine, "create_container", "b");
        let started = engine
            .calls()
            .iter()
            .filter(|call| call.starts_with("start_"))
            .count();
        assert_eq!(started, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_needs_nothing_but_an_image_that_is_there_is_made_ahead() {
    let mut plan = plan(&[("a", &[]), ("b", &[0]), ("c", &[0])]);
    let mut elsewhere = container();
    elsewhere.image = ImageSource::Name(Text::literal("elsewhere"));
    plan.steps[1].unit = Unit::Container(elsewhere);
    let mut read_only = container();
    read_only.security.read_only = true;
    plan.steps[2].unit = Unit::Container(read_only);
    let bench = bench_of(plan);
    bench.engine.add_to_registry("elsewhere");
    bench.does("a", Program::default().takes(Duration::from_secs(10)));
    let engine = bench.engine.clone();
    assert_eq!(bench.run().await.verdict, Verdict::Passed);
    let calls = engine.calls();
    let ended = calls
        .iter()
        .position(|call| call.starts_with("inspect_container"))
        .unwrap();
    for step in ["b", "c"] {
        assert!(place(&engine, "create_container", step) > ended, "{step}");
    }
}

fn ending(summary: &RunSummary, step: &str) -> Ending {
    summary
        .state
        .step(&step.into())
        .unwrap()
        .ending()
        .unwrap()
        .clone()
}

const INTERRUPTED: Ending = Ending::Cancelled(CancelReason::Interrupted(Signal::Interrupt));

fn deaf() -> Program {
    Program {
        on_stop: None,
        ..Program::forever()
    }
}

#[tokio::test(start_paused = true)]
async fn steps_run_in_order_and_everything_is_written_down() {
    let bench = bench(&[("a", &[]), ("b", &[0])]);
    bench.does(
        "a",
        Program::default()
            .prints("hello from a\n")
            .takes(Duration::from_secs(2)),
    );
    let engine = bench.engine.clone();
    let root = bench.root.path().to_owned();
    let keep = tempfile::tempdir().unwrap();
    let copy = keep.path().join("log");
    let log = copy.clone();
    struct Copy(std::path::PathBuf, std::path::PathBuf);
    impl Reporter for Copy {
        fn name(&self) -> &'static str {
            "copy"
        }
        fn on_event(&mut self, _: &RunState, _: &RunEvent) -> Result<(), ReportError> {
            Ok(())
        }
        fn finish(&mut self, _: &RunState) -> Result<(), ReportError> {
            let run = Store::new(&self.0).latest().unwrap().unwrap();
            std::fs::copy(run.log(&"a".into(), None).unwrap(), &self.1)?;
            Ok(())
        }
    }
    let mut bench = bench;
    bench.request.reporters.push(Box::new(Copy(root, log)));
    let summary = bench.run().await;
    assert_eq!(summary.verdict, Verdict::Passed);
    assert_eq!(summary.state.commit.as_deref(), Some("abc"));
    assert_eq!(
        summary.state.engine,
        Some(("1.0".to_owned(), "1.41".to_owned()))
    );
    assert_eq!(summary.state.warnings, []);
    assert_eq!(std::fs::read_to_string(copy).unwrap(), "hello from a\n");
    let starts: Vec<_> = engine
        .calls()
        .into_iter()
        .filter(|c| c.starts_with("create_c"))
        .collect();
    assert_eq!(starts.len(), 2);
    assert!(summary.state.step(&"a".into()).unwrap().duration >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn what_a_run_puts_on_an_engine_carries_its_labels() {
    let bench = bench(&[("a", &[])]);
    bench.does("a", Program::forever());
    bench.signal_after(5, Signal::Interrupt);
    let engine = bench.engine.clone();
    let seen = tokio::spawn(async move {
        sleep(Duration::from_secs(3)).await;
        engine.specs()
    });
    let summary = bench.run().await;
    let seen = &seen.await.unwrap()[0].labels;
    let run = summary.run.to_string();
    let expires = (1_700_000_000 + 60 + 3600).to_string();
    let owner = Owner::here().to_string();
    let expected = [
        (labels::RUN, run.as_str()),
        (labels::STEP, "a"),
        (labels::PROJECT, "project"),
        (labels::OWNER, &owner),
        (labels::EXPIRES, &expires),
    ];
    for (name, value) in expected {
        assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_skips_what_needs_it_and_the_rest_goes_on() {
    let bench = bench(&[("a", &[]), ("b", &[0]), ("c", &[])]);
    bench.does("a", Program::exits(7));
    bench.does("c", Program::default().takes(Duration::from_secs(30)));
    let summary = bench.run().await;
    assert_eq!(summary.verdict, Verdict::StepFailed);
    assert_eq!(
        ending(&summary, "a"),
        Ending::Failed(FailureReason::Exit { code: 7 })
    );
    let skipped = SkipReason::NeedFailed { step: "a".into() };
    assert_eq!(ending(&summary, "b"), Ending::Skipped(skipped));
    assert_eq!(ending(&summary, "c"), Ending::Passed);
}

#[tokio::test(start_paused = true)]
async fn fail_fast_stops_the_rest() {
    let mut bench = bench(&[("a", &[]), ("b", &[])]);
    bench.request.fail_fast = true;
    bench.does("a", Program::exits(7).takes(Duration::from_secs(1)));
    bench.does("b", Program::forever());
    let summary = bench.run().await;
    assert_eq!(summary.verdict, Verdict::StepFailed);
    let reason = CancelReason::FailFast { step: "a".into() };
    assert_eq!(ending(&summary, "b"), Ending::Cancelled(reason));
}

#[tokio::test(start_paused = true)]
async fn the_first_signal_stops_with_grace() {
    let bench = bench(&[("a", &[]), ("b", &[0])]);
    bench.does(
        "a",
        Program {
            on_stop: Some(0),
            ..Program::forever()
        },
    );
    bench.signal_after(5, Signal::Interrupt);
    let start = Instant::now();
    let summary = bench.run().await;
    assert_eq!(summary.verdict, Verdict::Interrupted(Signal::Interrupt));
    assert_eq!(
        ending(&summary, "a"),
        INTERRUPTED,
        "ending with 0 when told to stop is no pass"
    );
    assert_eq!(ending(&summary, "b"), INTERRUPTED);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn the_second_signal_kills() {
    let bench = bench(&[("a", &[])]);
    bench.does("a", deaf());
    bench.signal_after(5, Signal::Interrupt);
    bench.signal_after(7, Signal::Terminate);
    let start = Instant::now();
    let summary = bench.run().await;
    assert_eq!(summary.verdict, Verdict::Interrupted(Signal::Terminate));
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn the_third_signal_leaves_everything_to_the_reaper() {
    let bench = bench(&[("a", &[])]);
    bench.does("a", deaf());
    for method in ["kill_container", "remove_container", "stop_container"] {
        bench.engine.delay(method, Duration::from_secs(3600));
    }
    for seconds in [5, 6, 7] {
        bench.signal_after(seconds, Signal::Interrupt);
    }
    let (engine, start) = (bench.engine.clone(), Instant::now());
    let summary = bench.run().await;
    assert!(summary.abandoned);
    assert_eq!(summary.verdict, Verdict::Interrupted(Signal::Interrupt));
    assert_eq!(ending(&summary, "a"), INTERRUPTED);
    assert!(start.elapsed() < Duration::from_secs(9));
    assert_eq!(engine.containers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn signals_are_heeded_while_cleaning_up() {
    let bench = bench(&[("a", &[])]);
    bench.engine.delay("list_networks", Duration::from_secs(10));
    // The sweep takes 10 s of its own.
    bench.signal_after(15, Signal::Interrupt);
    let summary = bench.run().await;
    assert_eq!(summary.verdict, Verdict::Interrupted(Signal::Interrupt));
    assert_eq!(ending(&summary, "a"), Ending::Passed);
}

#[tokio::test(start_paused = true)]
async fn a_signal_during_the_sweep_starts_nothing() {
    let bench = bench(&[("a", &[])]);
    bench.engine.delay("list_networks", Duration::from_secs(10));
    bench.signal_after(5, Signal::Interrupt);
    let engine = bench.engine.clone();
    let summary = bench.run().await;
    assert_eq!(ending(&summary, "a"), INTERRUPTED);
    assert!(
        !engine
            .calls()
            .iter()
            .any(|call| call.starts_with("create_container"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_file_in_the_run_folder_cancels() {
    let bench = bench(&[("a", &[])]);
    bench.does("a", Program::forever());
    let store = Store::new(bench.root.path());
    tokio::spawn(async move {
        sleep(Duration::from_secs(5)).await;
        store.latest().unwrap().unwrap().request_cancel().unwrap();
    });
    let start = Instant::now();
    let summary = bench.run().await;
    assert_eq!(
        ending(&summary, "a"),
        Ending::Cancelled(CancelReason::Requested)
    );
    assert_eq!(summary.verdict, Verdict::Interrupted(Signal::Interrupt));
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_has_a_time_of_its_own() {
    let mut bench = bench(&[("a", &[])]);
    bench.request.timeout = Some(Duration::from_secs(20));
    bench.does("a", Program::forever());
    let summary = bench.run().await;
    assert_eq!(summary.verdict, Verdict::TimedOut);
    assert_eq!(
        ending(&summary, "a"),
        Ending::Cancelled(CancelReason::RunTimedOut)
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_that_takes_too_long_fails() {
    let bench = bench(&[("a", &[]), ("b", &[])]);
    bench.does("a", deaf());
    let summary = bench.run().await;
    assert_eq!(summary.verdict, Verdict::StepFailed);
    let after = Duration::from_secs(60);
    assert_eq!(
        ending(&summary, "a"),
        Ending::Failed(FailureReason::TimedOut { after })
    );
    assert_eq!(ending(&summary, "b"), Ending::Passed);
}

#[tokio::test(start_paused = true)]
async fn without_an_engine_nothing_is_written() {
    for method in ["connect", "info"] {
        let bench = bench(&[("a", &[])]);
        let error = BackendError::new(BackendErrorKind::Permission, "permission denied");
        bench.engine.fail_next(method, error);
        let error = run(bench.request).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::Surroundings);
        assert!(error.trouble().hint.is_some());
        assert_eq!(std::fs::read_dir(bench.root.path()).unwrap().count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_while_connecting_ends_it() {
    let bench = bench(&[("a", &[])]);
    bench.engine.delay("info", Duration::from_secs(3600));
    bench.signal_after(1, Signal::Terminate);
    let error = run(bench.request).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Interrupted(Signal::Terminate));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_away_passes_nothing() {
    let bench = bench(&[("a", &[]), ("b", &[0])]);
    bench.does("a", Program::forever());
    let engine = bench.engine.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(5)).await;
        engine.go_away();
    });
    let (engine, root) = (bench.engine.clone(), bench.root);
    let summary = run(bench.request).await.unwrap();
    assert_eq!(summary.verdict, Verdict::Surroundings);
    assert!(matches!(
        ending(&summary, "a"),
        Ending::Failed(FailureReason::Surroundings(_))
    ));
    let said = summary
        .state
        .warnings
        .iter()
        .find(|note| note.message.starts_with("cleaning up"));
    assert!(said.unwrap().hint.is_some(), "{:?}", summary.state.warnings);
    // With it the one that was made for the step after it.
    assert_eq!(engine.containers().len(), 2, "they are the reaper's now");
    drop(root);
}

#[tokio::test(start_paused = true)]
async fn what_dead_runs_left_is_swept_first() {
    let bench = bench(&[("a", &[])]);
    let dead = Owner {
        pid: u32::MAX,
        ..Owner::here()
    };
    let labels = Labels::from([
        (labels::RUN.to_owned(), uuid::Uuid::nil().to_string()),
        (labels::OWNER.to_owned(), dead.to_string()),
    ]);
    use crate::backend::Backend;
    bench.engine.create_volume("left", &labels).await.unwrap();
    assert_eq!(bench.run().await.state.warnings, []);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_fails_is_said_and_no_more() {
    let bench = bench(&[("a", &[])]);
    for _ in 0..3 {
        let error = BackendError::new(BackendErrorKind::Engine, "no");
        bench.engine.fail_next("list_volumes", error);
    }
    let summary = bench.run().await;
    assert_eq!(summary.verdict, Verdict::Passed);
    assert_eq!(summary.state.warnings.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn bounds_that_the_engine_cannot_enforce_are_said() {
    let bench = bench(&[("a", &[])]);
    bench.engine.change_info(|info| info.enforces.swap = false);
    let summary = bench.run().await;
    let said: Vec<_> = summary
        .state
        .warnings
        .iter()
        .map(|note| note.message.as_str())
        .collect();
    assert_eq!(
        said,
        ["this engine cannot bound swap beside memory: steps run without it"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_reaper_that_cannot_be_started_is_said_and_no_more() {
    let mut bench = bench(&[("a", &[])]);
    let program = Path::new("/nowhere/hoist").to_owned();
    bench.request.reaper = Some(ReaperCommand {
        program,
        arguments: Vec::new(),
    });
    let summary = bench.run().await;
    assert_eq!(summary.verdict, Verdict::Passed);
    assert!(
        summary.state.warnings[0]
            .message
            .starts_with("no reaper stands by")
    );
}

#[tokio::test(start_paused = true)]
async fn two_runs_of_one_project_do_not_meet() {
    let (one, two) = (bench(&[("a", &[])]), bench(&[("a", &[])]));
    let mut request = two.request;
    request.root = one.root.path().to_owned();
    request.connector = one.engine.connector();
    one.does("a", Program::default().takes(Duration::from_secs(5)));
    let engine = one.engine.clone();
    let (one_summary, two_summary) = tokio::join!(run(one.request), run(request));
    let runs = [one_summary.unwrap(), two_summary.unwrap()];
    assert!(runs.iter().all(|run| run.verdict == Verdict::Passed));
    assert_ne!(runs[0].run, runs[1].run);
    assert_eq!(Store::new(one.root.path()).list().unwrap().len(), 2);
    assert!(engine.containers().is_empty());
}

const CANARY: &str = "canary-8d1f-secret";

/// Keeps all that it is told.
struct Everything(Arc<std::sync::Mutex<String>>);

impl Reporter for Everything {
    fn name(&self) -> &'static str {
        "everything"
    }

    fn on_event(&mut self, state: &RunState, event: &RunEvent) -> Result<(), ReportError> {
        self.0
            .lock()
            .unwrap()
            .push_str(&format!("{event:?} {state:?}"));
        Ok(())
    }

    fn on_output(&mut self, _: &RunState, output: &Output) -> Result<(), ReportError> {
        self.0
            .lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(&output.bytes));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_nowhere_but_where_it_belongs() {
    let mut unit = container();
    unit.secrets = vec!["canary".to_owned()];
    let mut plan = plan(&[]);
    plan.steps.push(step("a", &[], Unit::Container(unit)));
    plan.secrets.insert(
        "canary".to_owned(),
        SecretSource::Environment("CANARY".to_owned()),
    );
    let environment = BTreeMap::from([("CANARY".to_owned(), CANARY.to_owned())]);
    let secrets = Secrets::read(&plan, Path::new("/"), &environment).unwrap();
    let mut bench = bench_of(plan);
    bench.request.redactor = secrets.redactor();
    bench.request.secrets = Arc::new(secrets);
    let told = Arc::new(std::sync::Mutex::new(String::new()));
    bench
        .request
        .reporters
        .push(Box::new(Everything(told.clone())));
    let message = format!("no such file: {CANARY}");
    let error = BackendError::new(BackendErrorKind::Engine, message);
    let program = Program::default().prints(format!("printed {CANARY}\n"));
    bench.does(
        "a",
        Program {
            start_error: Some(error),
            ..program
        },
    );
    let (engine, root) = (bench.engine.clone(), bench.root);
    let summary = run(bench.request).await.unwrap();
    assert_eq!(
        summary.verdict,
        Verdict::Surroundings,
        "{:?}",
        summary.state
    );
    let mut all = format!("{:?} {}", summary.state, told.lock().unwrap());
    for file in walkdir::WalkDir::new(root.path())
        .into_iter()
        .filter_map(Result::ok)
    {
        if file.file_type().is_file() {
            all.push_str(&String::from_utf8_lossy(
                &std::fs::read(file.path()).unwrap(),
            ));
        }
    }
    assert!(all.contains("***") && !all.contains(CANARY), "{all}");
    let given = engine
        .uploads()
        .iter()
        .any(|up| up.files.values().any(|file| file == CANARY.as_bytes()));
    assert!(given, "the step has it");
}

#[tokio::test(start_paused = true)]
async fn names_that_a_run_gave_for_a_while_are_gone_after_it() {
    let build = |args| BuildUnit {
        context: ".".to_owned(),
        args,
        ..BuildUnit::default()
    };
    let image = Piece::Step {
        step: "base".into(),
        value: StepValue::Image,
    };
    let on_base = BTreeMap::from([("BASE".to_owned(), Text(vec![image]))]);
    let mut unit = container();
    unit.image = ImageSource::Step("top".into());
    let mut plan = plan(&[]);
    plan.steps = vec![
        step("base", &[], Unit::Build(Box::new(build(BTreeMap::new())))),
        step("top", &[0], Unit::Build(Box::new(build(on_base)))),
        step("test", &[1], Unit::Container(unit)),
    ];
    let bench = bench_of(plan);
    std::fs::write(
        bench.root.path().join("Dockerfile"),
        "ARG BASE\nFROM ${BASE}\n",
    )
    .unwrap();
    let engine = bench.engine.clone();
    let summary = bench.run().await;
    assert_eq!(summary.verdict, Verdict::Passed, "{:?}", summary.state);
    let base = &engine.built()[1].args["BASE"];
    assert!(
        !base.starts_with("sha256:"),
        "a builder would look for it in a registry"
    );
    assert!(
        !engine.image_names().contains(base),
        "{:?}",
        engine.image_names()
    );
}
