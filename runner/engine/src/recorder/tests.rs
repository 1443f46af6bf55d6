//! Events come to reporters and the journal in one order, and nothing that a reporter does harms
//! the run.

use std::sync::Mutex;

use hoist_model::event::{StepOutline, Stream};
use hoist_model::reason::{Ending, FailureReason};
use hoist_model::state::StepStatus;
use uuid::Uuid;

use super::*;
use crate::store::{Store, StoredRun};

type Told = Arc<Mutex<Vec<String>>>;

/// A reporter that notes what it is told, and fails when a test wants it to.
struct Notes {
    name: &'static str,
    told: Told,
    fails_at: &'static str,
    panics: bool,
}

impl Notes {
    fn note(&self, what: String) -> Result<(), ReportError> {
        if what.contains(self.fails_at) && !self.fails_at.is_empty() {
            assert!(!self.panics, "out of ink");
            return Err(ReportError("out of paper".to_owned()));
        }
        self.told
            .lock()
            .unwrap()
            .push(format!("{}: {what}", self.name));
        Ok(())
    }
}

impl Reporter for Notes {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_event(&mut self, _: &RunState, event: &RunEvent) -> Result<(), ReportError> {
        let kind = serde_json::to_value(&event.kind).unwrap();
        let message = kind
            .get("message")
            .or(kind.get("step"))
            .and_then(|text| text.as_str());
        self.note(format!(
            "{} {}",
            kind["event"].as_str().unwrap(),
            message.unwrap_or_default()
        ))
    }

    fn on_output(&mut self, state: &RunState, output: &Output) -> Result<(), ReportError> {
        let running = state.step(&output.step).map(|step| step.status.clone());
        assert_eq!(running, Some(StepStatus::Running { attempt: 1 }));
        self.note(format!("output {}", String::from_utf8_lossy(&output.bytes)))
    }

    fn finish(&mut self, state: &RunState) -> Result<(), ReportError> {
        self.note(format!("finish {:?}", state.verdict.unwrap()))
    }
}

fn notes(
    name: &'static str,
    told: &Told,
    fails_at: &'static str,
    panics: bool,
) -> Box<dyn Reporter> {
    Box::new(Notes {
        name,
        told: told.clone(),
        fails_at,
        panics,
    })
}

const RUN: RunId = RunId(Uuid::nil());

struct Bench {
    recorder: Recorder,
    root: tempfile::TempDir,
    told: Told,
}

fn paper(root: &tempfile::TempDir) -> Paper {
    let folder = RunFolder::create(root.path(), RUN, &["a".into()]).unwrap();
    let journal = folder.journal().unwrap();
    Paper {
        folder,
        journal,
        version: "1".to_owned(),
        owner: "me".to_owned(),
    }
}

fn bench(secrets: &[&str], reporters: &[(&'static str, &'static str, bool)]) -> Bench {
    let (root, told) = (tempfile::tempdir().unwrap(), Told::default());
    let reporters = reporters
        .iter()
        .map(|(name, at, panics)| notes(name, &told, at, *panics));
    let redactor = Redactor::new(secrets).unwrap();
    let recorder = Recorder::start(RUN, redactor, paper(&root), reporters.collect()).unwrap();
    Bench {
        recorder,
        root,
        told,
    }
}

impl Bench {
    /// A run of one step that prints and fails.
    async fn run(&self) -> RunState {
        let events = self.recorder.events();
        let outline = StepOutline {
            id: "a".into(),
            kind: "run".into(),
            needs: Vec::new(),
            relaxations: Vec::new(),
        };
        events.send(EventKind::RunStarted {
            project: "p".into(),
            version: "1".into(),
            steps: vec![outline],
            jobs: 1,
            commit: None,
            rerun_of: None,
        });
        events.send(EventKind::StepStarted {
            step: "a".into(),
            attempt: 1,
        });
        let bytes = b"hello".to_vec();
        let output = Output {
            step: "a".into(),
            stream: Stream::Stdout,
            bytes,
        };
        self.recorder.lane().send(output).await;
        events.send(EventKind::StepEnded {
            step: "a".into(),
            ending: Ending::Failed(FailureReason::Exit { code: 1 }),
            duration: Duration::from_secs(1),
            allowed: false,
        });
        self.recorder.end().await.unwrap()
    }

    fn told(&self, by: &str) -> Vec<String> {
        let told = self.told.lock().unwrap();
        told.iter()
            .filter_map(|line| line.strip_prefix(by)?.strip_prefix(": "))
            .map(str::to_owned)
            .collect()
    }

    fn stored(&self) -> StoredRun {
        Store::new(self.root.path()).latest().unwrap().unwrap()
    }
}

const ALL: [&str; 6] = [
    "run_started ",
    "step_started a",
    "output hello",
    "step_ended a",
    "run_ended ",
    "finish StepFailed",
];

#[tokio::test]
async fn everyone_is_told_in_one_order_and_it_is_written_down() {
    let bench = bench(&[], &[("one", "", false), ("two", "", false)]);
    let state = bench.run().await;
    assert_eq!(bench.told("one"), ALL);
    assert_eq!(bench.told("two"), ALL);
    let events = bench.stored().events().unwrap();
    assert!(events.iter().map(|event| event.seq).eq(0..4));
    assert!(events.is_sorted_by_key(|event| event.elapsed));
    assert_eq!(state.verdict, Some(Verdict::StepFailed));
    assert_eq!(bench.stored().state().unwrap(), state);
    assert_eq!(bench.stored().record().unwrap().state, state);
}

#[tokio::test]
async fn a_reporter_that_fails_or_panics_is_said_once_and_left_out() {
    for panics in [false, true] {
        let bench = bench(&[], &[("bad", "output", panics), ("good", "", false)]);
        let state = bench.run().await;
        assert_eq!(bench.told("bad"), ALL[..2]);
        let why = if panics {
            "an error in hoist itself: out of ink"
        } else {
            "out of paper"
        };
        let message = format!("bad failed and is left out from here on: {why}");
        let mut good: Vec<_> = ALL.iter().map(ToString::to_string).collect();
        good.insert(3, format!("warning {message}"));
        assert_eq!(bench.told("good"), good);
        assert_eq!(state.warnings.len(), 1);
        assert_eq!(
            state.verdict,
            Some(Verdict::StepFailed),
            "the run's verdict is its own"
        );
        assert_eq!(bench.stored().state().unwrap(), state);
        assert_eq!(bench.stored().record().unwrap().state, state);
    }
}

#[tokio::test]
async fn those_that_come_first_hear_of_one_that_cannot_finish() {
    let bench = bench(&[], &[("terminal", "", false), ("file", "finish", false)]);
    let state = bench.run().await;
    assert_eq!(state.warnings.len(), 1);
    assert!(
        bench
            .told("terminal")
            .iter()
            .any(|line| line.starts_with("warning file failed"))
    );
}

#[tokio::test]
async fn secrets_reach_nobody() {
    let bench = bench(&["hunter2hunter2"], &[("one", "", false)]);
    let message = "no: hunter2hunter2".to_owned();
    bench.recorder.events().send(EventKind::Warning {
        step: None,
        message,
        hint: None,
    });
    let state = bench.run().await;
    assert_eq!(bench.told("one")[0], "warning no: ***");
    let stored = bench.stored();
    let written = format!("{:?} {:?} {state:?}", stored.events(), stored.record());
    assert!(written.contains("***") && !written.contains("hunter2"));
}

#[tokio::test]
async fn a_record_with_holes_is_no_passed_run() {
    let journal = File::options().write(true).open("/dev/full").unwrap();
    let (root, told) = (tempfile::tempdir().unwrap(), Told::default());
    let reporters = vec![notes("one", &told, "", false)];
    let paper = Paper {
        journal,
        ..paper(&root)
    };
    let recorder = Recorder::start(RUN, Redactor::default(), paper, reporters).unwrap();
    let bench = Bench {
        recorder,
        root,
        told,
    };
    let state = bench.run().await;
    assert_eq!(state.verdict, Some(Verdict::Surroundings));
    assert_eq!(state.warnings.len(), 1, "said once");
}

#[test]
fn reporters_tick_while_nothing_happens() {
    struct Ticks(mpsc::Sender<()>);
    impl Reporter for Ticks {
        fn name(&self) -> &'static str {
            "ticks"
        }
        fn on_event(&mut self, _: &RunState, _: &RunEvent) -> Result<(), ReportError> {
            Ok(())
        }
        fn on_tick(&mut self, _: &RunState, _: Duration) -> Result<(), ReportError> {
            let _ = self.0.send(());
            Ok(())
        }
    }
    let (to, from) = mpsc::channel();
    let root = tempfile::tempdir().unwrap();
    let reporters: Vec<Box<dyn Reporter>> = vec![Box::new(Ticks(to))];
    let recorder = Recorder::start(RUN, Redactor::default(), paper(&root), reporters).unwrap();
    assert_eq!(from.recv_timeout(Duration::from_secs(60)), Ok(()));
    drop(recorder);
    assert!(
        from.iter().count() < 600,
        "the thread ends with its senders"
    );
}
