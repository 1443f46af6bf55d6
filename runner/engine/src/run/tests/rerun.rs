//! Runs that do again what another one did.

use std::sync::Mutex;

use hoist_model::event::EventKind;
use hoist_model::plan::PlannedStep;

use super::*;
use crate::rerun::Rerun;

/// `make` leaves an artifact, `apart` has nothing to do with it, `check` fails where it is told to.
fn steps() -> Plan {
    let mut plan = plan(&[("make", &[]), ("apart", &[]), ("check", &[0])]);
    if let Some(PlannedStep {
        unit: Unit::Container(unit),
        ..
    }) = plan.steps.first_mut()
    {
        unit.harvest.paths.insert("out".into(), "/out".into());
    }
    plan
}

/// A run in `root`, after which there may be others.
async fn run_in(root: &Path, check: i64, rerun: Option<Rerun>) -> (RunSummary, Vec<EventKind>) {
    let Bench {
        engine,
        mut request,
        ..
    } = bench_of(steps());
    let of = |step: &'static str| {
        move |spec: &crate::backend::ContainerSpec| {
            spec.labels.get(labels::STEP).is_some_and(|of| of == step)
        }
    };
    let left = Program {
        files: BTreeMap::from([("/out".to_owned(), b"left".to_vec())]),
        ..Program::default()
    };
    engine.program(of("make"), left);
    let ends = Program {
        exit: check,
        ..Program::default()
    };
    engine.program(of("check"), ends);
    request.root = root.to_owned();
    request.rerun = rerun.map(Arc::new);
    let summary = run(request).await.unwrap();
    let stored = Store::new(root).find(&summary.run.to_string()).unwrap();
    let events = stored.events().unwrap();
    (
        summary,
        events.into_iter().map(|event| event.kind).collect(),
    )
}

fn rerun(root: &Path, of: &RunSummary, failed: bool) -> Rerun {
    let stored = Store::new(root).find(&of.run.to_string()).unwrap();
    Rerun::of(&stored, &steps(), failed).unwrap()
}

fn ending(summary: &RunSummary, step: &str) -> Ending {
    let step = summary.state.step(&step.into()).unwrap();
    step.ending().unwrap().clone()
}

/// Where the run keeps what `make` left.
fn artifact(summary: &RunSummary) -> std::path::PathBuf {
    let step = summary.state.step(&"make".into()).unwrap();
    summary.folder.join(&step.artifacts[0].path)
}

fn warnings(events: &[EventKind]) -> Vec<String> {
    let warnings = events.iter().filter_map(|event| match event {
        EventKind::Warning { message, .. } => Some(message.clone()),
        _ => None,
    });
    warnings.collect()
}

#[tokio::test(start_paused = true)]
async fn what_did_well_is_taken_and_what_failed_is_done_again() {
    let root = tempfile::tempdir().unwrap();
    let (first, _) = run_in(root.path(), 1, None).await;
    assert_eq!(first.verdict, Verdict::StepFailed);
    let again = rerun(root.path(), &first, true);
    assert!(again.does_something(&steps()));
    let (second, events) = run_in(root.path(), 0, Some(again)).await;
    assert_eq!(second.verdict, Verdict::Passed);
    assert_eq!(ending(&second, "make"), Ending::Cached);
    assert_eq!(ending(&second, "apart"), Ending::Cached);
    assert_eq!(ending(&second, "check"), Ending::Passed);
    assert_eq!(warnings(&events), [""; 0]);
    assert_eq!(std::fs::read(artifact(&second)).unwrap(), b"left");
    assert!(!rerun(root.path(), &second, true).does_something(&steps()));
    assert!(rerun(root.path(), &second, false).does_something(&steps()));
}

#[tokio::test(start_paused = true)]
async fn what_was_touched_since_or_is_gone_is_made_again_and_all_that_stands_on_it() {
    for touch in [
        |path: &Path| std::fs::write(path, "forged").unwrap(),
        |path: &Path| std::fs::remove_file(path).unwrap(),
    ] {
        let root = tempfile::tempdir().unwrap();
        let (first, _) = run_in(root.path(), 1, None).await;
        touch(&artifact(&first));
        let again = rerun(root.path(), &first, true);
        let (second, events) = run_in(root.path(), 0, Some(again)).await;
        let said = warnings(&events);
        assert!(
            said.len() == 1 && said[0].contains("the artifact out"),
            "{said:?}"
        );
        assert_eq!(ending(&second, "make"), Ending::Passed);
        assert_eq!(ending(&second, "apart"), Ending::Cached);
        assert_eq!(ending(&second, "check"), Ending::Passed);
        assert_eq!(std::fs::read(artifact(&second)).unwrap(), b"left");
    }
}

/// A step that is never looked up in the cache.
fn forced() -> Plan {
    let mut plan = plan(&[("net", &[])]);
    if let Some(PlannedStep {
        unit: Unit::Container(unit),
        ..
    }) = plan.steps.first_mut()
    {
        unit.always_runs = Some(hoist_model::inputs::Force::Network);
    }
    plan
}

#[tokio::test(start_paused = true)]
async fn names_stand_for_what_they_did_also_where_nothing_is_cached_and_a_second_time() {
    let root = tempfile::tempdir().unwrap();
    let engine = FakeBackend::new();
    let first = engine.add_image("base");
    let seen: Arc<Mutex<Option<String>>> = Arc::default();
    let sees = Arc::clone(&seen);
    let program = move |spec: &crate::backend::ContainerSpec| {
        *sees.lock().unwrap() = Some(spec.image.clone());
        true
    };
    engine.program(program, Program::default());
    let run_it = async |rerun: Option<Rerun>| {
        let Bench { mut request, .. } = bench_of(forced());
        request.connector = engine.connector();
        request.root = root.path().to_owned();
        request.rerun = rerun.map(Arc::new);
        let summary = run(request).await.unwrap();
        let image = seen.lock().unwrap().take().unwrap();
        (summary, image)
    };
    let again = |of: &RunSummary| {
        let stored = Store::new(root.path()).find(&of.run.to_string());
        Rerun::of(&stored.unwrap(), &forced(), false).unwrap()
    };
    let (one, image) = run_it(None).await;
    assert_eq!(image, first.id);
    let second = engine.add_image("another");
    engine.name_image("base", &second.id);
    let (two, image) = run_it(Some(again(&one))).await;
    assert_eq!(image, first.id);
    let (_, image) = run_it(Some(again(&two))).await;
    assert_eq!(image, first.id, "a rerun of a rerun");
    let (_, image) = run_it(None).await;
    assert_eq!(image, second.id, "a run of its own");
    // What is gone is said, and what the name stands for now is taken from then on.
    engine.remove_image(&first.id);
    let (three, image) = run_it(Some(again(&one))).await;
    assert_eq!(image, second.id);
    let third = engine.add_image("the newest");
    engine.name_image("base", &third.id);
    let (_, image) = run_it(Some(again(&three))).await;
    assert_eq!(image, second.id);
}
