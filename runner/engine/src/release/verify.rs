//! Whether the images of a release passed the scans and tests for which its step waits. What counts is
//! the very image: a step that passed on another one says nothing. Pure; it refuses to judge a step.

use hoist_model::image::ImageIdentity;
use hoist_model::reason::MissingGate;
use hoist_model::unit::RequiredGate;

use super::journal::{Deed, GateRecord};
use super::prepare::{All, Prepared};
use super::wish::{Recorded, Wish};
use crate::context::{Made, UnitContext};

/// What is known of the images of a release.
#[derive(Debug, Default)]
pub(super) struct Verified {
    /// The gates that they passed.
    pub(super) passed: Vec<GateRecord>,
    /// Those that they did not, as far as is known.
    pub(super) missing: Vec<MissingGate>,
    /// It is what serves already, and was put there although gates did not pass.
    was_forced: bool,
}

impl Verified {
    /// The release is one of images that are not verified.
    pub(super) fn is_forced(&self) -> bool {
        self.was_forced || !self.missing.is_empty()
    }

    /// What people are told of a release that is done nevertheless.
    pub(super) fn words(&self) -> Vec<String> {
        let missing = self.missing.iter();
        missing
            .map(|gate| format!("not verified: {gate}"))
            .collect()
    }
}

/// Finds out what the images of a release passed: in this run, or, of an earlier release, as the
/// history has it.
pub(super) fn look(context: &UnitContext, wish: &Wish, all: &All<'_>) -> Verified {
    let mut verified = Verified::default();
    if let Some(recorded) = &wish.recorded {
        verified.passed.clone_from(&recorded.gates);
        // What stays on its images is there already.
        let stays = matches!(wish.deed, Deed::Scale | Deed::UpgradeProxies);
        verified.was_forced = recorded.forced && stays;
        if stays {
            return verified;
        }
    }
    for gate in &wish.unit.gates {
        let of_hook = || all.hooks.get(&gate.service).map(|hook| &hook.service);
        let Some(prepared) = all.services.get(&gate.service).or_else(of_hook) else {
            continue;
        };
        let missing = match &wish.recorded {
            Some(recorded) => in_history(recorded, gate, prepared),
            None => match in_run(&context.made, gate, prepared) {
                Ok(passed) => {
                    verified.passed.push(passed);
                    None
                }
                Err(missing) => Some(missing),
            },
        };
        verified.missing.extend(missing);
    }
    verified.passed.dedup();
    verified
}

fn in_run(
    made: &Made,
    gate: &RequiredGate,
    prepared: &Prepared<'_>,
) -> Result<GateRecord, MissingGate> {
    let image = &prepared.image.image;
    match made.get(&gate.step).and_then(|made| made.passed_on) {
        Some(passed) if passed.is_same(image) => Ok(GateRecord {
            step: gate.step.to_string(),
            identity: image.identity().to_owned(),
        }),
        other => Err(missing(gate, image, other)),
    }
}

/// An earlier release went through the gates that the file had then. It is refused only where it did
/// not, or where nothing at all is known of its image.
fn in_history(
    recorded: &Recorded,
    gate: &RequiredGate,
    prepared: &Prepared<'_>,
) -> Option<MissingGate> {
    let image = &prepared.image.image;
    let known = recorded.images.get(&gate.service);
    let is_of_it = |passed: &&GateRecord| known.is_some_and(|all| all.contains(&passed.identity));
    let mut of_image = recorded.gates.iter().filter(is_of_it);
    let enough = match recorded.forced {
        true => of_image.any(|known| known.step == gate.step.as_str()),
        false => of_image.next().is_some(),
    };
    (!enough).then(|| missing(gate, image, None))
}

fn missing(
    gate: &RequiredGate,
    image: &ImageIdentity,
    passed_on: Option<ImageIdentity>,
) -> MissingGate {
    MissingGate {
        service: gate.service.clone(),
        image: image.identity().to_owned(),
        step: gate.step.clone(),
        passed_on: passed_on.map(|other| other.identity().to_owned()),
    }
}
