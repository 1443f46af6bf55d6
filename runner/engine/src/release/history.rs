//! The history of an environment, for people: the releases that there were and what came of them, and
//! whether what is written of them is as it was written. It changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use hoist_model::ids::RunId;
use hoist_model::reason::Trouble;
use jiff::Timestamp;
use uuid::Uuid;

use super::journal::{Conclusion, Intent, Journal, Known};
use super::lock;
use super::names::{Place, SERVICE};
use crate::backend::{Backend, BackendError};
use crate::labels;

/// The history of an environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The releases, the newest first.
    pub releases: Vec<ReleaseEntry>,
    /// How many entries could be read: one when a release begins, another when it ends.
    pub entries: usize,
    /// What is wrong with what is written, one sentence each: something was changed or is missing.
    pub faults: Vec<String>,
    /// What cannot be read, although nobody changed it: its writing was cut off.
    pub notes: Vec<String>,
}

/// A release as its history has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReleaseEntry {
    /// Its number in its environment, from 1.
    pub release: u64,
    /// Its ID.
    pub id: Uuid,
    /// Why there is one, in words: `deploy`, `rollback to 3`, ...
    pub action: String,
    /// When it began.
    pub at: Timestamp,
    /// hoist's version and the user.
    pub by: String,
    /// The run; absent where a command that is no run did it.
    pub run: Option<RunId>,
    /// In the order of their dependencies.
    pub services: Vec<ReleaseService>,
    /// The hooks before it.
    pub hooks: Vec<String>,
    /// The hooks that ran.
    pub hooks_run: Vec<String>,
    /// The gates that its images passed: the step, and the image's identity.
    pub gates: Vec<(String, String)>,
    /// It was done although gates did not pass.
    pub forced: bool,
    /// The containers that were not well and were let be so: the service, and their numbers.
    pub left_out: BTreeMap<String, Vec<u32>>,
    /// How it ended.
    pub end: ReleaseEnd,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A service of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseService {
    /// Its name.
    pub name: String,
    /// The image's name as people know it.
    pub image: String,
    /// The engine's ID of the image.
    pub image_id: String,
    /// The digest of the image's config.
    pub config_digest: Option<String>,
    /// `repository@sha256:...`, where a registry has the image.
    pub repo_digest: Option<String>,
    /// How many containers.
    pub replicas: u32,
    /// It has the host's network.
    pub host_network: bool,
    /// This release's containers served when the last release ended.
    pub serves: bool,
}

/// How a release ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseEnd {
    /// It came to be.
    Passed,
    /// It did not.
    Failed {
        /// Why.
        message: String,
        /// What served then, in words.
        fallback: String,
    },
    /// It goes on: someone has the environment's lock.
    UnderWay,
    /// Nobody ended it. The next deploy goes on or goes back.
    CutOff,
}

/// Reads the history of an environment; empty where nothing was ever released.
///
/// # Errors
/// When the engine does not say, or a newer hoist wrote it.
pub async fn history(
    backend: &Arc<dyn Backend>,
    project: &str,
    environment: &str,
) -> Result<History, Trouble> {
    let place = Place::new(project, environment);
    let failed =
        |error: BackendError| error.trouble(format!("the history of {environment} cannot be read"));
    let locked = lock::is_held(backend.as_ref(), &place)
        .await
        .map_err(failed)?;
    let (_, known) = Journal::read(backend, &place).await.map_err(failed)?;
    let newest = newest(backend.as_ref(), &place).await.map_err(failed)?;
    let (notes, faults) = known
        .faults
        .iter()
        .partition::<Vec<_>, _>(|fault| fault.is_harmless());
    let said = |faults: Vec<_>| faults.into_iter().map(ToString::to_string).collect();
    let mut history = History {
        entries: known.entries.len(),
        notes: said(notes),
        faults: said(faults),
        ..History::read(&known, locked)
    };
    // Nothing comes after the last entry that would tell of it.
    if newest > known.sequence() {
        let last = known.sequence();
        history.faults.push(format!(
            "the entries after release {last} are missing: there is a container of release {newest}"
        ));
    }
    Ok(history)
}

/// The number of the newest release of which there is a container.
async fn newest(backend: &dyn Backend, place: &Place) -> Result<u64, BackendError> {
    let found = backend.list_containers(&place.filter(SERVICE)).await?;
    let numbers = found.iter().filter_map(|container| {
        let number = container.labels.get(labels::SEQUENCE)?;
        number.parse().ok()
    });
    Ok(numbers.max().unwrap_or(0))
}

impl History {
    fn read(known: &Known, locked: bool) -> Self {
        let serving = known.serving();
        let open = known.open().map(|open| open.sequence);
        let goes_on = |sequence| locked && open == Some(sequence);
        let releases = known.intents().rev().map(|intent| {
            let outcome = known.outcome(intent.sequence);
            let end = match outcome.map(|outcome| &outcome.result) {
                Some(Conclusion::Passed) => ReleaseEnd::Passed,
                Some(Conclusion::Failed { message, fallback }) => ReleaseEnd::Failed {
                    message: message.clone(),
                    fallback: fallback.clone(),
                },
                None if goes_on(intent.sequence) => ReleaseEnd::UnderWay,
                None => ReleaseEnd::CutOff,
            };
            ReleaseEntry {
                hooks_run: outcome
                    .map(|outcome| outcome.hooks_run.clone())
                    .unwrap_or_default(),
                left_out: outcome
                    .map(|outcome| outcome.left_out.clone())
                    .unwrap_or_default(),
                ended_at: outcome.map(|outcome| outcome.at),
                ..ReleaseEntry::read(intent, end, &serving)
            }
        });
        Self {
            releases: releases.collect(),
            ..Self::default()
        }
    }
}

impl ReleaseEntry {
    fn read(intent: &Intent, end: ReleaseEnd, serving: &BTreeMap<String, u64>) -> Self {
        let services = intent.services.iter().map(|service| ReleaseService {
            name: service.unit.name.clone(),
            image: service.shown.clone(),
            image_id: service.image.clone(),
            config_digest: service.config_digest.clone(),
            repo_digest: service.repo_digest.clone(),
            replicas: service.unit.replicas,
            host_network: service.unit.host_network,
            serves: serving.get(&service.unit.name) == Some(&intent.sequence),
        });
        let gates = intent.gates.iter();
        Self {
            release: intent.sequence,
            id: intent.release,
            action: intent.action.to_string(),
            at: intent.at,
            by: intent.by.clone(),
            run: intent.run,
            services: services.collect(),
            hooks: intent.hooks.clone(),
            hooks_run: Vec::new(),
            gates: gates
                .map(|gate| (gate.step.clone(), gate.identity.clone()))
                .collect(),
            forced: intent.forced,
            left_out: BTreeMap::new(),
            end,
            ended_at: None,
        }
    }
}
