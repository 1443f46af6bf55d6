//! What a run writes is what readers find, whole or cut off.

use std::io::Write;
use std::time::Duration;

use hoist_model::event::{EventKind, StepOutline};
use hoist_model::reason::{Ending, Verdict};
use jiff::Timestamp;
use uuid::Uuid;

use super::*;

fn id(time: u64, rest: u128) -> RunId {
    let random = rest.to_be_bytes();
    let mut ten = [0; 10];
    ten.copy_from_slice(&random[6..]);
    RunId(uuid::Builder::from_unix_timestamp_millis(time, &ten).into_uuid())
}

fn steps() -> Vec<StepId> {
    ["unit", "Unit"].map(StepId::from).to_vec()
}

fn event(run: RunId, seq: u64, kind: EventKind) -> String {
    let at = Timestamp::UNIX_EPOCH;
    let event = RunEvent {
        run,
        seq,
        at,
        elapsed: Duration::from_millis(seq),
        kind,
    };
    format!("{}\n", serde_json::to_string(&event).unwrap())
}

fn started(run: RunId) -> String {
    let outline = |id: StepId| StepOutline {
        id,
        kind: "run".into(),
        needs: Vec::new(),
        relaxations: Vec::new(),
    };
    event(
        run,
        0,
        EventKind::RunStarted {
            project: "p".into(),
            version: "1".into(),
            steps: steps().into_iter().map(outline).collect(),
            jobs: 1,
            commit: None,
            rerun_of: None,
        },
    )
}

struct Bench {
    root: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn store(&self) -> Store {
        Store::new(self.root.path())
    }

    fn create(&self, run: RunId) -> RunFolder {
        RunFolder::create(self.root.path(), run, &steps()).unwrap()
    }
}

#[test]
fn the_folder_is_ignored_by_git_and_belongs_to_one_run() {
    let bench = Bench::new();
    let run = id(1, 1);
    let folder = bench.create(run);
    let ignored = std::fs::read_to_string(bench.root.path().join(".hoist/.gitignore")).unwrap();
    assert_eq!(ignored, "*\n");
    for name in ["logs", "artifacts", "reports"] {
        assert!(folder.path().join(name).is_dir());
    }
    let again = RunFolder::create(bench.root.path(), run, &steps()).unwrap_err();
    assert!(again.cause.unwrap().contains("exists"));
    bench.create(id(1, 2));
    assert_eq!(bench.store().list().unwrap().len(), 2);
}

#[test]
fn runs_are_found_newest_first() {
    let bench = Bench::new();
    assert_eq!(bench.store().latest().unwrap(), None);
    assert!(bench.store().find("0").is_err());
    let (old, new) = (id(1_000, 7), id(2_000_000_000_000, 8));
    for run in [new, old] {
        bench.create(run);
    }
    std::fs::create_dir(bench.root.path().join(".hoist/runs/notes")).unwrap();
    let store = bench.store();
    let listed: Vec<_> = store
        .list()
        .unwrap()
        .into_iter()
        .map(|run| run.id)
        .collect();
    assert_eq!(listed, [new, old]);
    assert_eq!(store.latest().unwrap().unwrap().id, new);
    assert_eq!(store.find(&old.to_string()).unwrap().id, old);
    assert_eq!(
        store
            .find(&new.to_string().get(..8).unwrap().to_uppercase())
            .unwrap()
            .id,
        new
    );
    assert_eq!(
        store.find(old.to_string().get(30..).unwrap()).unwrap().id,
        old
    );
    assert!(store.find("").unwrap_err().hint.is_some());
    let many = store.find("0").unwrap_err();
    assert_eq!(
        many.what, "2 runs are called 0",
        "one begins so, the other ends or begins so"
    );
}

#[test]
fn a_run_is_what_its_whole_events_say() {
    let bench = Bench::new();
    let run = id(1, 1);
    let mut journal = bench.create(run).journal().unwrap();
    let stored = bench.store().latest().unwrap().unwrap();
    let ended = EventKind::StepEnded {
        step: "unit".into(),
        ending: Ending::Passed,
        duration: Duration::ZERO,
        allowed: false,
    };
    let (ended, over) = (
        event(run, 1, ended),
        event(
            run,
            2,
            EventKind::RunEnded {
                verdict: Verdict::Passed,
            },
        ),
    );
    journal.write_all(started(run).as_bytes()).unwrap();
    journal
        .write_all(&ended.as_bytes()[..ended.len() / 2])
        .unwrap();
    assert_eq!(stored.events().unwrap().len(), 1);
    let state = stored.state().unwrap();
    assert_eq!(
        (state.run, state.verdict, state.steps.len()),
        (Some(run), None, 2)
    );
    journal
        .write_all(&ended.as_bytes()[ended.len() / 2..])
        .unwrap();
    // A newer hoist may write what this one does not know.
    let unknown = over
        .replace("run_ended", "run_blessed")
        .replace("verdict", "blessing");
    journal.write_all(unknown.as_bytes()).unwrap();
    journal.write_all(over.as_bytes()).unwrap();
    let state = stored.state().unwrap();
    assert_eq!(state.steps[0].ending(), Some(&Ending::Passed));
    assert_eq!(state.verdict, Some(Verdict::Passed));
    journal.write_all(b"nonsense\n").unwrap();
    assert!(
        stored
            .state()
            .unwrap_err()
            .cause
            .unwrap()
            .contains("line 5")
    );
}

#[test]
fn the_log_of_a_step_is_found_where_it_was_written() {
    let bench = Bench::new();
    let run = id(1, 1);
    let folder = bench.create(run);
    folder
        .journal()
        .unwrap()
        .write_all(started(run).as_bytes())
        .unwrap();
    for (ix, text) in ["one", "two"].into_iter().enumerate() {
        folder
            .log(ix, 1)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(folder.log(ix, 1).is_err(), "a log is begun once");
    }
    let stored = bench.store().latest().unwrap().unwrap();
    for (step, text) in steps().iter().zip(["one", "two"]) {
        assert_eq!(
            std::fs::read_to_string(stored.log(step, None).unwrap()).unwrap(),
            text
        );
    }
    let missing = stored.log(&"lint".into(), None).unwrap_err();
    assert_eq!(missing.hint.unwrap(), "its steps are: unit, Unit");
}

#[test]
fn the_record_is_written_whole() {
    let bench = Bench::new();
    let folder = bench.create(id(1, 1));
    let stored = bench.store().latest().unwrap().unwrap();
    assert!(stored.record().is_err());
    let mut record = RunRecord {
        format: 1,
        version: "1".to_owned(),
        owner: Owner::here().to_string(),
        state: RunState::default(),
    };
    folder.write(&record).unwrap();
    record.state.project = "p".to_owned();
    folder.write(&record).unwrap();
    assert_eq!(stored.record().unwrap(), record);
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(
        left, 4,
        "no temporary file stays beside run.json and the three folders"
    );
    record.owner = "unknown".to_owned();
    folder.write(&record).unwrap();
    assert_eq!(stored.is_alive().unwrap(), None);
}

#[test]
fn a_run_of_a_process_that_is_gone_is_not_alive() {
    if !Path::new("/proc/self/stat").exists() {
        eprintln!("skipped: there is no /proc here");
        return;
    }
    let bench = Bench::new();
    let folder = bench.create(id(1, 1));
    let stored = bench.store().latest().unwrap().unwrap();
    let here = Owner::here();
    for (started, alive) in [(here.started, true), (here.started + 1, false)] {
        let owner = Owner {
            started,
            ..here.clone()
        }
        .to_string();
        let state = RunState::default();
        folder
            .write(&RunRecord {
                format: 1,
                version: "1".to_owned(),
                owner,
                state,
            })
            .unwrap();
        assert_eq!(stored.is_alive().unwrap(), Some(alive));
    }
}

#[test]
fn a_request_to_cancel_is_seen() {
    let bench = Bench::new();
    let folder = bench.create(id(1, 1));
    assert!(!folder.cancel_requested());
    bench
        .store()
        .latest()
        .unwrap()
        .unwrap()
        .request_cancel()
        .unwrap();
    assert!(folder.cancel_requested());
}

#[test]
fn links_that_lead_a_run_elsewhere_are_refused() {
    let elsewhere = tempfile::tempdir().unwrap();
    for link in [".hoist", ".hoist/runs"] {
        let bench = Bench::new();
        let link = bench.root.path().join(link);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();
        let refused =
            RunFolder::create(bench.root.path(), RunId(Uuid::nil()), &steps()).unwrap_err();
        assert!(refused.cause.unwrap().contains("symbolic link"));
    }
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}
