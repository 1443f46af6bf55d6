//! Both ends of the pipe, over a pipe in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::child::read;
use super::*;
use crate::backend::{Backend, BackendError, BackendErrorKind, ContainerSpec, Labels};
use crate::fake::{FakeBackend, FakeConnector, Program, tests::spec};
use crate::recorder::{Message, queue};
use crate::run::ReaperCommand;

const RUN: RunId = RunId(Uuid::max());

fn hello() -> Line {
    Line::Hello {
        run: RUN,
        engine: None,
        others: Vec::new(),
    }
}

fn untag(tag: &str) -> Undo {
    Undo::Untag {
        engine: None,
        tag: tag.to_owned(),
    }
}

fn list() -> (UndoList, tokio::io::DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (events, _, _) = queue();
    (UndoList::over(Some(Box::new(ours)), events), theirs)
}

#[tokio::test]
async fn the_reaper_has_what_was_pushed_and_not_taken_back() {
    let (list, pipe) = list();
    let _kept = list.push(untag("a")).await;
    let taken = list.push(untag("b")).await;
    list.push(untag("c")).await;
    list.take_back(taken).await;
    drop(list);
    let will = read(pipe).await.unwrap();
    assert_eq!(
        will.entries.into_values().collect::<Vec<_>>(),
        [untag("a"), untag("c")]
    );
    assert!(will.others.is_empty());
}

#[tokio::test]
async fn a_farewell_leaves_nothing_to_do() {
    let (list, pipe) = list();
    let _ticket = list.push(untag("a")).await;
    list.farewell().await;
    assert_eq!(read(pipe).await, None);
}

#[tokio::test]
async fn a_line_that_was_cut_off_is_no_entry() {
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    ours.write_all(b"{\"push\":[1,{\"untag\":{\"engine\":null,\"tag\":\"a\"}}]}\n{\"take_ba")
        .await
        .unwrap();
    drop(ours);
    let will = read(theirs).await.unwrap();
    assert_eq!(will.entries, BTreeMap::from([(1, untag("a"))]));
}

#[tokio::test]
async fn what_is_left_is_undone_from_its_end_by_the_run_itself() {
    let (list, _pipe) = list();
    for tag in ["a", "b", "c"] {
        let _ticket = list.push(untag(tag)).await;
    }
    assert_eq!(list.drain(), [untag("c"), untag("b"), untag("a")]);
    assert_eq!(list.drain(), []);
}

/// The reaper over an engine, after a runner that wrote these lines died.
async fn after(engine: &FakeBackend, lines: &[Line]) {
    let mut text = Vec::new();
    for line in lines {
        text.extend(serde_json::to_vec(line).unwrap());
        text.push(b'\n');
    }
    reap(text.as_slice(), engine.connector()).await;
}

async fn container(engine: &FakeBackend, name: &str, labels: Labels) -> String {
    engine.add_image("base");
    engine.program(|_| true, Program::forever());
    engine
        .create_container(&ContainerSpec {
            labels,
            ..spec(name)
        })
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_dead_run_is_taken_away_and_the_old_container_serves_again() {
    let engine = FakeBackend::new();
    let old = container(&engine, "web-old", Labels::new()).await;
    let new = container(&engine, "web", Labels::new()).await;
    let run = Labels::from([(crate::labels::RUN.to_owned(), RUN.to_string())]);
    let test = container(&engine, "test", run).await;
    engine.start_container(&test).await.unwrap();
    engine.create_volume("half", &Labels::new()).await.unwrap();
    let restore = Undo::Restore {
        engine: None,
        container: old.clone(),
        name: "web".to_owned(),
    };
    let remove = Undo::RemoveContainer {
        engine: None,
        container: new,
    };
    let volume = Undo::RemoveVolume {
        engine: None,
        volume: "half".to_owned(),
    };
    after(
        &engine,
        &[
            hello(),
            Line::Push(1, restore),
            Line::Push(2, remove),
            Line::Push(3, volume),
        ],
    )
    .await;
    let left = engine.containers();
    assert_eq!(left.len(), 1);
    assert_eq!(
        (left[0].id.as_str(), left[0].name.as_str()),
        (old.as_str(), "web")
    );
    assert!(left[0].is_running() && engine.volumes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_cannot_be_undone_does_not_keep_others_from_it() {
    let engine = FakeBackend::new();
    engine.add_image("tag-a");
    for _ in 0..2 {
        engine.fail_next(
            "untag_image",
            BackendError::new(BackendErrorKind::Engine, "no"),
        );
    }
    after(
        &engine,
        &[
            hello(),
            Line::Push(1, untag("tag-a")),
            Line::Push(2, untag("tag-b")),
        ],
    )
    .await;
    assert!(engine.image_names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn engines_that_are_away_are_waited_for_and_others_are_cleaned() {
    let (here, there) = (FakeBackend::new(), FakeBackend::new());
    here.go_away();
    there.add_image("remote");
    let connector = FakeConnector::of(&here).with("there", &there);
    let entry = Undo::Untag {
        engine: Some("there".to_owned()),
        tag: "remote".to_owned(),
    };
    let lines = [hello(), Line::Push(1, entry)].map(|line| serde_json::to_string(&line).unwrap());
    let start = tokio::time::Instant::now();
    reap(lines.join("\n").as_bytes(), Arc::new(connector)).await;
    assert!(there.image_names().is_empty());
    assert_eq!(
        start.elapsed(),
        Duration::from_secs(60),
        "it gives up in the end"
    );
}

#[tokio::test]
async fn without_a_reaper_people_are_warned_and_the_run_goes_on() {
    let (events, _, inbox) = queue();
    let command = ReaperCommand {
        program: PathBuf::from("/nowhere/hoist"),
        arguments: Vec::new(),
    };
    let list = UndoList::start(Some(&command), hello(), events.clone()).await;
    let _ticket = list.push(untag("a")).await;
    assert_eq!(list.drain(), [untag("a")]);
    assert_eq!(inbox.try_iter().count(), 1);

    let (ours, theirs) = tokio::io::duplex(1 << 16);
    drop(theirs);
    let list = UndoList::over(Some(Box::new(ours)), events);
    let ticket = list.push(untag("a")).await;
    list.take_back(ticket).await;
    let said: Vec<_> = inbox.try_iter().collect();
    assert!(
        matches!(said.as_slice(), [Message::Event { .. }]),
        "a reaper that died is said once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reaper_that_does_not_read_does_not_hold_up_the_run() {
    let (ours, _theirs) = tokio::io::duplex(8);
    let (events, _, inbox) = queue();
    let list = UndoList::over(Some(Box::new(ours)), events);
    let _ticket = list.push(untag("a")).await;
    assert_eq!(inbox.try_iter().count(), 1);
}
