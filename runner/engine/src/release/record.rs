//! What a release writes into the history of its environment, and reads there.

use std::collections::BTreeMap;

use hoist_model::reason::{FailureReason, Fallback};
use jiff::Timestamp;

use super::journal::{Conclusion, Intent, Journal, Known, Outcome, ServiceRecord};
use super::names::Place;
use super::perform::{Failed, Performer};
use super::plan::Program;
use super::prepare::Prepared;
use super::surroundings;
use super::target::Target;

/// The history of an environment; empty where nothing was ever deployed.
pub(super) async fn read(target: &Target, place: &Place) -> Result<Known, FailureReason> {
    let read = Journal::read(&target.backend, place).await;
    let (_, known) = read
        .map_err(|error| surroundings("the history of the environment cannot be read", &error))?;
    Ok(known)
}

/// The engine's IDs of all images that a history names, by the digests of their configs.
pub(super) fn images(history: &Known) -> BTreeMap<String, String> {
    let services = history.intents().flat_map(|intent| &intent.services);
    let known = services.filter_map(|record| {
        let digest = record.config_digest.clone()?;
        Some((digest, record.image.clone()))
    });
    known.collect()
}

/// Who releases.
pub(super) fn by() -> String {
    concat!("hoist ", env!("CARGO_PKG_VERSION")).to_owned()
}

pub(super) fn record(prepared: &Prepared<'_>) -> ServiceRecord {
    ServiceRecord {
        unit: prepared.unit.clone(),
        image: prepared.image.image.id.clone(),
        shown: prepared.image.shown.clone(),
        config_digest: prepared.image.image.config_digest.clone(),
        repo_digest: prepared.repo_digest.clone(),
        environment: prepared.environment.clone(),
        config_hash: prepared.config_hash.clone(),
    }
}

/// How a release ended.
pub(super) fn outcome(
    performer: &Performer<'_>,
    program: &Program,
    result: &Result<(), Failed>,
) -> Outcome {
    let deployed = performer.deployed;
    let before = || {
        let services = deployed.generations.iter().map(|old| old.service.clone());
        let serving = services.filter_map(|name| {
            let sequence = deployed.current_sequence(&name)?;
            Some((name, sequence))
        });
        serving.collect::<BTreeMap<String, u64>>()
    };
    let (conclusion, serving) = match result {
        Ok(()) => (Conclusion::Passed, program.serving(deployed)),
        Err(failed) => {
            let conclusion = Conclusion::Failed {
                message: failed.failure.to_string(),
                fallback: words(&failed.fallback),
            };
            (conclusion, before())
        }
    };
    Outcome {
        sequence: performer.sequence,
        at: Timestamp::now(),
        result: conclusion,
        serving,
        hooks_run: performer.progress.hooks.clone(),
        left_out: match result {
            Ok(()) => performer.left_out(),
            Err(_) => BTreeMap::new(),
        },
    }
}

/// How a release ended whose process did not live to say so.
pub(super) fn cut_off(
    open: &Intent,
    serving: BTreeMap<String, u64>,
    hooks: Vec<String>,
) -> Outcome {
    let went_on = serving.values().any(|serves| *serves == open.sequence);
    let result = match went_on {
        true => Conclusion::Passed,
        false => Conclusion::Failed {
            message: "it was cut off".to_owned(),
            fallback: "the next command put right what it left".to_owned(),
        },
    };
    Outcome {
        sequence: open.sequence,
        at: Timestamp::now(),
        result,
        serving,
        hooks_run: hooks,
        left_out: BTreeMap::new(),
    }
}

fn words(fallback: &Fallback) -> String {
    match fallback {
        Fallback::NothingBefore => "nothing had been deployed before".to_owned(),
        Fallback::Untouched => "nothing was changed".to_owned(),
        Fallback::RolledBack { release } => format!("release {release} serves again"),
        Fallback::AsItIs => "it stays as it is".to_owned(),
        Fallback::Broken { message } => {
            format!("what was before could not be brought back: {message}")
        }
    }
}
