//! A run that does again what another one did: the same plan, on the same images. What is not done
//! again is taken as it was, with its log, artifacts, outputs, results and images. It refuses to take
//! what is no longer there, which is then done again, and said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hoist_model::event::EventKind;
use hoist_model::ids::{RunId, StepId, StepIx};
use hoist_model::inputs::{Decision, EarlierRun, StepInputs};
use hoist_model::plan::Plan;
use hoist_model::reason::{Ending, Trouble};
use hoist_model::state::{RunState, StepState};
use hoist_model::unit::Unit;
use jiff::Timestamp;

use crate::artifacts;
use crate::context::UnitContext;
use crate::store::{StoredRun, attempt_name, file_names};
use crate::unit::container::lay_down;
use crate::unit::push::repository;

/// What a run takes from another one.
#[derive(Debug)]
pub struct Rerun {
    /// The other one.
    pub run: RunId,
    folder: PathBuf,
    at: Timestamp,
    taken: BTreeMap<StepId, Taken>,
    /// The engines' IDs of images, by the engine's address where it was not the run's own, and by the
    /// names under which the other run had them.
    images: BTreeMap<(Option<String>, String), String>,
    /// The steps that were given what the other run came to.
    given: Mutex<BTreeSet<StepIx>>,
}

/// A step that is not done again.
#[derive(Debug)]
struct Taken {
    /// The name of its files in the other run's folder.
    name: String,
    /// What it told.
    events: Vec<EventKind>,
}

impl Rerun {
    /// Of that run, whose plan this is. With `failed`, what did well is taken and what needs nothing
    /// that did not; else only images that were built.
    ///
    /// # Errors
    /// When the run's events cannot be read.
    pub fn of(run: &StoredRun, plan: &Plan, failed: bool) -> Result<Self, Trouble> {
        let events = run.events()?;
        let mut state = RunState::default();
        events.iter().for_each(|event| state.apply(event));
        let mut settled = BTreeSet::new();
        let mut taken = BTreeMap::new();
        let names = file_names(plan.steps.iter().map(|step| &step.id));
        for (ix, (step, name)) in plan.steps.iter().zip(names).enumerate() {
            let needs = step.needs.iter().all(|need| settled.contains(&need.step));
            let then = state.step(&step.id);
            let good = then
                .and_then(StepState::ending)
                .is_some_and(Ending::is_good);
            let wanted = failed || matches!(step.unit, Unit::Build(_));
            if needs && good && wanted {
                let attempts = then.map_or(0, |then| then.failed_attempts.len());
                let attempt = u32::try_from(attempts)
                    .unwrap_or(u32::MAX)
                    .saturating_add(1);
                let name = attempt_name(&name, attempt);
                let events = Vec::new();
                taken.insert(step.id.clone(), Taken { name, events });
            }
            if step.skip.is_some() || taken.contains_key(&step.id) {
                settled.insert(ix);
            }
        }
        let mut rerun = Self {
            run: run.id,
            folder: run.folder.clone(),
            at: state.started_at.unwrap_or_default(),
            taken,
            images: BTreeMap::new(),
            given: Mutex::default(),
        };
        events.into_iter().for_each(|event| rerun.learn(event.kind));
        Ok(rerun)
    }

    /// There is a step that is to be done.
    #[must_use]
    pub fn does_something(&self, plan: &Plan) -> bool {
        let mut steps = plan.steps.iter();
        steps.any(|step| step.skip.is_none() && !self.taken.contains_key(&step.id))
    }

    /// The engine's ID of the image that the other run knew by that name.
    pub(crate) fn image(&self, engine: Option<&str>, name: &str) -> Option<&String> {
        let known = (engine.map(str::to_owned), name.to_owned());
        self.images.get(&known)
    }

    /// What the names stand for that the other run knew, for whoever does this run again.
    pub(crate) fn resolved(&self) -> impl Iterator<Item = EventKind> {
        let images = self.images.iter();
        images.map(|((engine, name), id)| EventKind::ImageResolved {
            engine: engine.clone(),
            name: name.clone(),
            id: id.clone(),
        })
    }

    fn learn(&mut self, event: EventKind) {
        let step = match &event {
            EventKind::ImageResolved { engine, name, id } => {
                let known = (engine.clone(), name.clone());
                self.images.insert(known, id.clone());
                return;
            }
            // What counts is what the last attempt told.
            EventKind::StepStarted { step, .. } => {
                if let Some(taken) = self.taken.get_mut(step) {
                    taken.events.clear();
                }
                return;
            }
            EventKind::TestsFound { step, .. }
            | EventKind::FindingsFound { step, .. }
            | EventKind::ArtifactKept { step, .. }
            | EventKind::InputGiven { step, .. }
            | EventKind::OutputsFound { step, .. }
            | EventKind::ImageBuilt { step, .. }
            | EventKind::ImagePushed { step, .. }
            | EventKind::ServiceReleased { step, .. }
            | EventKind::Warning {
                step: Some(step), ..
            } => step.clone(),
            _ => return,
        };
        if let Some(taken) = self.taken.get_mut(&step) {
            taken.events.push(event);
        }
    }

    /// Gives the step what the other run came to, if that is to be taken and still there.
    pub(crate) async fn take(&self, context: &UnitContext) -> Option<Ending> {
        let step = context.id();
        let taken = self.taken.get(&step)?;
        if let Some(made) = self.made_again(context) {
            let message = format!("{made} was made again, and so is what stands on it");
            context.warn(message, None);
            return None;
        }
        for event in &taken.events {
            if let EventKind::ImageBuilt { image, .. } = event {
                let found = context.backend.inspect_image(&image.id).await;
                if !matches!(&found, Ok(Some(found)) if found.id == image.id) {
                    let image = image.tags.first().map_or(image.short(), String::as_str);
                    self.gone(context, &format!("the image {image}"));
                    return None;
                }
            }
        }
        if let Some(artifact) = self.touched(taken).await {
            let message = format!(
                "the artifact {artifact} of run {} is not what {step} left: it is made again",
                self.run.short()
            );
            context.warn(message, None);
            return None;
        }
        let laid = lay_down(context, &self.folder, &taken.name).await;
        if laid.is_err() {
            self.gone(context, &format!("what {step} left"));
            return None;
        }
        let earlier = EarlierRun {
            run: self.run,
            at: self.at,
        };
        context.events.send(EventKind::StepInputs {
            step,
            platform: None,
            inputs: StepInputs::default(),
            decision: Decision::Taken(earlier.clone()),
        });
        for event in &taken.events {
            context
                .events
                .send(give(context, event.clone(), &taken.name, &earlier));
        }
        self.given().insert(context.ix);
        Some(Ending::Cached)
    }

    /// An artifact that is not what its step left, gone or changed since.
    async fn touched<'a>(&self, taken: &'a Taken) -> Option<&'a str> {
        for event in &taken.events {
            let EventKind::ArtifactKept { artifact, .. } = event else {
                continue;
            };
            let found = artifacts::digest(self.folder.join(&artifact.path)).await;
            // Runs of before it was kept have none to compare with.
            let same =
                found.is_ok_and(|found| found == artifact.digest || artifact.digest.is_empty());
            if !same {
                return Some(&artifact.name);
            }
        }
        None
    }

    /// A step that this one needs and that was not taken from the other run, although that was wanted:
    /// what came of the old one is nothing that the new one vouches for.
    fn made_again(&self, context: &UnitContext) -> Option<StepId> {
        let given = self.given();
        let needs = context.step()?.needs.iter().map(|need| need.step);
        let steps = needs.filter_map(|ix| Some((ix, context.plan.steps.get(ix)?)));
        let mut again = steps.filter(|(ix, step)| step.skip.is_none() && !given.contains(ix));
        again.next().map(|(_, step)| step.id.clone())
    }

    fn given(&self) -> MutexGuard<'_, BTreeSet<StepIx>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self, context: &UnitContext, what: &str) {
        let message = format!(
            "{what} of run {} is gone: it is made again",
            self.run.short()
        );
        context.warn(message, None);
    }
}

/// Lets later steps have what the event tells of; gives what is to be told of it now.
fn give(context: &UnitContext, event: EventKind, name: &str, earlier: &EarlierRun) -> EventKind {
    let made = &context.made;
    match event {
        EventKind::ArtifactKept { step, mut artifact } => {
            let before = format!("artifacts/{name}/");
            if let Some(rest) = artifact.path.strip_prefix(&before) {
                let own = context.artifacts.file_name().unwrap_or_default();
                artifact.path = format!("artifacts/{}/{rest}", own.to_string_lossy());
            }
            made.keep(&step, artifact.clone());
            EventKind::ArtifactKept { step, artifact }
        }
        EventKind::OutputsFound { step, outputs } => {
            made.outputs(&step, outputs.clone());
            EventKind::OutputsFound { step, outputs }
        }
        EventKind::ImageBuilt {
            step,
            image,
            earlier: before,
            platform,
            first_executed,
        } => {
            if let Some(platform) = &platform {
                made.platform_image(&step, platform.clone(), image.clone());
            }
            if made.get(&step).and_then(|made| made.image).is_none() {
                made.image(&step, image.clone());
            }
            EventKind::ImageBuilt {
                step,
                image,
                earlier: Some(before.unwrap_or_else(|| earlier.clone())),
                platform,
                first_executed,
            }
        }
        EventKind::ImagePushed {
            step,
            reference,
            digest,
        } => {
            // The first is what others refer to.
            if made.get(&step).and_then(|made| made.digest).is_none() {
                made.digest(&step, format!("{}@{digest}", repository(&reference)));
            }
            EventKind::ImagePushed {
                step,
                reference,
                digest,
            }
        }
        EventKind::TestsFound { step, cases, .. } => EventKind::TestsFound {
            step,
            attempt: context.attempt,
            cases,
        },
        event => event,
    }
}
