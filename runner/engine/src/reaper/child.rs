//! The child's end of the pipe.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hoist_model::ids::RunId;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use super::{Line, Undo, undo};
use crate::backend::{Backend, Connector};
use crate::labelled;

/// How long an engine that does not answer is tried: it may be restarting.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// What is to be done once the pipe has ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Will {
    pub(super) run: Option<RunId>,
    /// The address of the engine in use.
    pub(super) engine: Option<String>,
    /// Addresses of the others on which the run has objects.
    pub(super) others: BTreeSet<String>,
    pub(super) entries: BTreeMap<u64, Undo>,
}

/// The reaper's whole life: reads the list from `input`, this process's standard input, until its
/// end, and undoes what is on it then. A list that ends with a farewell leaves nothing to do.
/// Signals that ask processes to end are not for the reaper: it ends with its pipe.
pub async fn reap(input: impl AsyncRead + Unpin, connector: Arc<dyn Connector>) {
    let _deaf = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ]
    .map(signal);
    let Some(will) = read(input).await else {
        return;
    };
    let others = will.others.iter().map(Some);
    let engines = std::iter::once(None).chain(others).map(|other| {
        let engine = other.or(will.engine.as_ref()).map(String::as_str);
        let mine = will.entries.values().rev();
        let mine: Vec<&Undo> = mine
            .filter(|entry| entry.engine() == other.map(String::as_str))
            .collect();
        clean(&*connector, engine, will.run, mine)
    });
    futures_util::future::join_all(engines).await;
}

/// Reads the pipe to its end; nothing where there was a farewell.
pub(super) async fn read(input: impl AsyncRead + Unpin) -> Option<Will> {
    let mut will = Will::default();
    let mut lines = BufReader::new(input).lines();
    // An error is an end, too: whoever wrote is no longer there.
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Line::Hello {
                run,
                engine,
                others,
            }) => {
                will.run = Some(run);
                will.engine = engine;
                will.others.extend(others);
            }
            Ok(Line::Push(number, entry)) => {
                will.others.extend(entry.engine().map(str::to_owned));
                will.entries.insert(number, entry);
            }
            Ok(Line::TakeBack(number)) => {
                will.entries.remove(&number);
            }
            Ok(Line::Farewell) => return None,
            // The writer died in the middle of it, and did not go on to what it announced.
            Err(_) => {}
        }
    }
    Some(will)
}

async fn clean(
    connector: &dyn Connector,
    engine: Option<&str>,
    run: Option<RunId>,
    entries: Vec<&Undo>,
) {
    let Some(backend) = connect(connector, engine).await else {
        return;
    };
    for entry in entries {
        // One that cannot be undone must not keep the others from it.
        if undo(&*backend, entry).await.is_err() {
            tokio::time::sleep(PAUSE).await;
            let _ = undo(&*backend, entry).await;
        }
    }
    if let Some(run) = run {
        let removed = labelled::remove_run(&*backend, run, 2);
        let _ = tokio::time::timeout(PATIENCE, removed).await;
    }
}

async fn connect(connector: &dyn Connector, engine: Option<&str>) -> Option<Arc<dyn Backend>> {
    let tries = async {
        loop {
            match connector.connect(engine).await {
                Ok(backend) => return backend,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, tries).await.ok()
}
