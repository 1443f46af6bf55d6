use super::record::GateRecord;
use std::time::Duration;

use hoist_model::unit::Restart;
use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::backend::{ContainerInfo, Input, Labels};
use crate::fake::FakeBackend;
use crate::release::tests::fixtures::service;
use crate::release::{ReleaseEnd, history};

const STATE: &str = "hoist-state-shop-staging";

fn engine() -> (FakeBackend, Arc<dyn Backend>) {
    let engine = FakeBackend::new();
    engine.add_image("proxy");
    (engine.clone(), Arc::new(engine))
}

fn place() -> Place {
    Place::new("shop", "staging")
}

async fn read(backend: &Arc<dyn Backend>) -> (Journal, Known) {
    Journal::read(backend, &place()).await.expect("read")
}

fn intent(sequence: u64) -> Intent {
    let service = ServiceRecord {
        unit: service("web"),
        image: "sha256:1".to_owned(),
        shown: format!("shop:{sequence}"),
        config_digest: None,
        repo_digest: None,
        environment: [("VERSION".to_owned(), "one".to_owned())].into(),
        config_hash: "hash".to_owned(),
    };
    Intent {
        release: Uuid::from_u128(u128::from(sequence)),
        sequence,
        action: Deed::Deploy,
        at: Timestamp::UNIX_EPOCH,
        by: "hoist 0.1.0 as someone".to_owned(),
        run: None,
        services: vec![service],
        hooks: Vec::new(),
        actions: vec!["create web".to_owned()],
        gates: vec![GateRecord {
            step: "scan".to_owned(),
            identity: "sha256:1".to_owned(),
        }],
        forced: false,
    }
}

fn passed(sequence: u64) -> Outcome {
    Outcome {
        sequence,
        at: Timestamp::UNIX_EPOCH,
        result: Conclusion::Passed,
        serving: [("web".to_owned(), sequence)].into(),
        hooks_run: Vec::new(),
        left_out: Default::default(),
    }
}

/// So many releases that came to be.
async fn released(backend: &Arc<dyn Backend>, releases: u64) {
    let (mut journal, known) = read(backend).await;
    for sequence in known.sequence() + 1..=known.sequence() + releases {
        journal
            .begin("proxy", &intent(sequence))
            .await
            .expect("begun");
        journal.end(&passed(sequence)).await.expect("ended");
    }
}

fn holder(engine: &FakeBackend) -> ContainerInfo {
    let mut all = engine.containers().into_iter();
    all.find(|found| found.name == STATE).expect("a holder")
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_read_by_whoever_comes_next() {
    let (engine, backend) = engine();
    let (mut journal, known) = read(&backend).await;
    assert_eq!(known, Known::default());
    assert!(engine.containers().is_empty() && engine.volumes().is_empty());

    journal.begin("proxy", &intent(1)).await.expect("begun");
    let (_, known) = read(&backend).await;
    assert_eq!(known.open(), Some(&intent(1)));
    journal.end(&passed(1)).await.expect("ended");
    let (mut other, known) = read(&backend).await;
    assert_eq!(known.last_passed(), Some((&intent(1), &passed(1))));
    other.begin("proxy", &intent(2)).await.expect("begun");
    let (mut third, known) = read(&backend).await;
    assert_eq!(known.open().map(|open| open.sequence), Some(2));
    assert_eq!(known.faults, []);
    // Whoever finds a release that nobody ended can end it.
    third.end(&passed(2)).await.expect("ended");
    let names: Vec<_> = engine.contents(STATE).into_keys().collect();
    let expected = ["000001.json", "000002.json", "000003.json", "000004.json"];
    assert_eq!(names, expected);
}

#[tokio::test(start_paused = true)]
async fn the_volume_has_a_holder_that_runs_and_both_are_the_environment_s() {
    let (engine, backend) = engine();
    released(&backend, 2).await;
    let holder = holder(&engine);
    assert!(holder.is_running());
    assert_eq!(holder.restart, Restart::Always);
    assert!(place().owns(&holder.labels, "holder"));
    assert!(place().owns(&engine.volumes()[0].labels, "state"));
    assert!(
        !holder.labels.contains_key(crate::labels::RUN),
        "no reaper takes it"
    );
    let spec = engine.specs().pop().expect("made");
    assert_eq!(spec.input, Input::Open);
    assert!(spec.security.read_only && spec.security.cap_add.is_empty());
    assert_eq!(engine.containers().len(), 1, "made once");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_gone_or_stopped_is_no_loss() {
    let (engine, backend) = engine();
    released(&backend, 1).await;
    let id = holder(&engine).id;
    backend.kill_container(&id, "KILL").await.expect("killed");
    sleep(Duration::from_millis(1)).await;
    assert!(!holder(&engine).is_running());
    released(&backend, 1).await;
    assert!(holder(&engine).is_running());

    backend.remove_container(&id).await.expect("removed");
    let (_, known) = read(&backend).await;
    assert_eq!((known.sequence(), known.faults), (2, Vec::new()));
    assert!(
        engine.containers().is_empty(),
        "nothing is left of the reading"
    );
    released(&backend, 1).await;
    assert_eq!(read(&backend).await.1.sequence(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_breaks_no_history() {
    let (engine, backend) = engine();
    released(&backend, 1).await;
    let lost = || BackendError::new(BackendErrorKind::Timeout, "no answer in time");
    let (mut journal, _) = read(&backend).await;
    engine.fail_next("upload", lost());
    journal
        .begin("proxy", &intent(2))
        .await
        .expect("tried again");
    for _ in 0..TRIES {
        engine.fail_next("upload", lost());
    }
    journal.end(&passed(2)).await.expect_err("no engine");
    journal
        .end(&passed(2))
        .await
        .expect("the place is still free");
    let (_, known) = read(&backend).await;
    assert_eq!((known.faults.as_slice(), known.entries.len()), (&[][..], 4));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_cut_off_is_never_written_over() {
    let (engine, backend) = engine();
    released(&backend, 1).await;
    engine.change_contents(STATE, |files| {
        files.insert("000003.json".to_owned(), b"{\"blake3".to_vec());
    });
    released(&backend, 1).await;
    assert_eq!(engine.contents(STATE)["000003.json"], b"{\"blake3");
    let (_, known) = read(&backend).await;
    assert_eq!(known.faults, [Fault::CutOff(3)]);
    assert_eq!(known.sequence(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_only_has_the_name_is_left_alone() {
    let (engine, backend) = engine();
    backend
        .create_volume(STATE, &Labels::new())
        .await
        .expect("made");
    let error = Journal::read(&backend, &place())
        .await
        .err()
        .expect("foreign");
    assert_eq!(error.kind, BackendErrorKind::Conflict);
    assert!(engine.containers().is_empty());
    let held = remove(backend.as_ref(), &place(), true)
        .await
        .expect("nothing");
    assert!(held.volume.is_none() && engine.volumes().len() == 1);
}

#[tokio::test(start_paused = true)]
async fn it_goes_when_that_is_wanted() {
    let (engine, backend) = engine();
    released(&backend, 1).await;
    let held = remove(backend.as_ref(), &place(), false)
        .await
        .expect("removed");
    assert_eq!(held.container.as_deref(), Some(STATE));
    assert_eq!(held.volume.as_deref(), Some(STATE));
    assert_eq!(read(&backend).await.1.sequence(), 1);
    remove(backend.as_ref(), &place(), true)
        .await
        .expect("removed");
    assert_eq!(read(&backend).await.1, Known::default());
    assert!(engine.containers().is_empty() && engine.volumes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_history_is_told_and_judged() {
    let (engine, backend) = engine();
    let told = async || history(&backend, "shop", "staging").await.expect("told");
    assert!(told().await.releases.is_empty());
    released(&backend, 2).await;
    let (mut journal, _) = read(&backend).await;
    journal.begin("proxy", &intent(3)).await.expect("begun");
    let history = told().await;
    let ends: Vec<_> = history
        .releases
        .iter()
        .map(|release| &release.end)
        .collect();
    let passed = ReleaseEnd::Passed;
    assert_eq!(ends, [&ReleaseEnd::CutOff, &passed, &passed]);
    let serves: Vec<_> = history
        .releases
        .iter()
        .map(|release| release.services[0].serves)
        .collect();
    assert_eq!(serves, [false, true, false]);
    assert_eq!(history.releases[1].services[0].image, "shop:2");
    assert!(history.faults.is_empty() && history.notes.is_empty());

    engine.change_contents(STATE, |files| {
        files.get_mut("000002.json").expect("there")[100] ^= 1;
        files.remove("000004.json");
    });
    let faults = told().await.faults;
    let expected = [
        "entry 2 was changed after it was written",
        "entry 4 is missing",
    ];
    assert_eq!(faults, expected);
}

#[tokio::test(start_paused = true)]
async fn a_container_tells_that_the_newest_entries_are_missing() {
    let (engine, backend) = engine();
    released(&backend, 1).await;
    let mut spec = crate::release::bare::bare("web", "proxy", place().labels("service"));
    spec.labels
        .insert(crate::labels::SEQUENCE.to_owned(), "2".to_owned());
    backend.create_container(&spec).await.expect("made");
    let faults = history(&backend, "shop", "staging")
        .await
        .expect("told")
        .faults;
    let expected = "the entries after release 1 are missing: there is a container of release 2";
    assert_eq!(faults, [expected]);
    released(&backend, 1).await;
    assert_eq!(engine.contents(STATE).len(), 4);
    let history = history(&backend, "shop", "staging").await.expect("told");
    assert!(history.faults.is_empty());
}
