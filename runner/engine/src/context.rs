//! What a unit is given to do its work with: the engine, its step, and the ways to speak. A unit
//! has no other way out: it refuses to print, to read the environment and to know the terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hoist_model::diag::{list, near};
use hoist_model::event::EventKind;
use hoist_model::ids::{RunId, StepId, StepIx};
use hoist_model::image::ImageIdentity;
use hoist_model::plan::{Plan, PlannedStep};
use hoist_model::reason::Trouble;
use hoist_model::results::Artifact;
use hoist_model::text::{StepValue, Text};
use tokio::sync::watch;

use crate::approval::Approver;
use crate::backend::{Backend, Connector, Labels, Login};
use crate::chores::Chores;
use crate::images::ImageCache;
use crate::output::OutputWriter;
use crate::reaper::UndoList;
use crate::recorder::EventSender;
use crate::rerun::Rerun;
use crate::secrets::Secrets;
use crate::shell::Shells;
use crate::tool_data::Updates;
use crate::unit::container::Ahead;
use crate::watch::Watch;

/// How a step is to stop. Severity only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It is not.
    #[default]
    No,
    /// With grace: the container's stop signal first.
    Grace,
    /// At once.
    Kill,
}

/// What one execution of a unit is given.
#[derive(Clone)]
pub struct UnitContext {
    /// The engine in use.
    pub backend: Arc<dyn Backend>,
    /// The way to other engines, for environments that name one.
    pub connector: Arc<dyn Connector>,
    /// Who approves of deploys that need it.
    pub approver: Arc<dyn Approver>,
    /// The whole plan.
    pub plan: Arc<Plan>,
    /// This step's place in it.
    pub ix: StepIx,
    /// Which attempt at the step this is, from 1.
    pub attempt: u32,
    /// The run.
    pub run: RunId,
    /// The project's root.
    pub root: PathBuf,
    /// The user's own cache, shared by the projects and clones; absent, each clone has its own.
    pub shared: Option<PathBuf>,
    /// The folder for this step's artifacts, `.hoist/runs/<run>/artifacts/<step>`; made on demand.
    pub artifacts: PathBuf,
    /// The run folder, to which artifact paths are relative.
    pub run_folder: PathBuf,
    /// Where facts go.
    pub events: EventSender,
    /// Where the step's output goes: masked, kept and shown.
    pub output: OutputWriter,
    /// What earlier steps made.
    pub made: Arc<Made>,
    /// The values of secrets.
    pub secrets: Arc<Secrets>,
    /// Logins of `[registries]`.
    pub logins: Arc<Vec<Login>>,
    /// How long a deploy waits for another one to the same environment.
    pub lock_wait: Duration,
    /// A deploy goes on with images that were not verified.
    pub force_unverified: bool,
    /// A deploy may have services on the host's network.
    pub allow_host_network: bool,
    /// What must be undone should this process die.
    pub undo: UndoList,
    /// Labels for every object that this run puts on the engine.
    pub labels: Labels,
    /// Shells in containers, where they are wanted.
    pub shells: Option<Arc<Shells>>,
    /// How the step is to stop.
    pub stop: watch::Receiver<Stop>,
    /// A container that was made for the step already, perhaps.
    pub(crate) ahead: Option<Arc<Ahead>>,
}

impl UnitContext {
    /// This step. A context is only made for a step that is in its plan.
    #[must_use]
    pub fn step(&self) -> Option<&PlannedStep> {
        self.plan.steps.get(self.ix)
    }

    /// This step's name.
    #[must_use]
    pub fn id(&self) -> StepId {
        self.step()
            .map_or_else(|| StepId(String::new()), |step| step.id.clone())
    }

    /// Says what the step does now, for people.
    pub fn phase(&self, phase: impl Into<String>) {
        self.events.send(EventKind::StepPhase {
            step: self.id(),
            phase: phase.into(),
        });
    }

    /// Says something that people should know.
    pub fn warn(&self, message: impl Into<String>, hint: Option<String>) {
        let message = message.into();
        self.events.send(EventKind::Warning {
            step: Some(self.id()),
            message,
            hint,
        });
    }

    /// Waits until the step is to stop, at least as severely as `at_least`.
    pub async fn stopped(&self, at_least: Stop) -> Stop {
        let mut stop = self.stop.clone();
        let told = stop.wait_for(|stop| *stop >= at_least && *stop > Stop::No);
        let told = told.await.map(|stop| *stop);
        match told {
            Ok(stop) => stop,
            Err(_) => std::future::pending().await,
        }
    }
}

/// What steps made in this run, for those that refer to it.
#[derive(Debug, Default)]
pub struct Made {
    steps: Mutex<BTreeMap<StepId, MadeByStep>>,
    /// The images that names stand for.
    pub(crate) images: ImageCache,
    /// The run that is done again, if one is.
    pub(crate) rerun: Option<Arc<Rerun>>,
    /// What happens to the run's containers.
    pub(crate) watch: Watch,
    /// Whoever holds it may take names from images: an image goes with its last one.
    pub(crate) untagging: tokio::sync::Mutex<()>,
    /// Updates of tools' data that failed.
    pub(crate) updates: Updates,
    /// What nobody waits for.
    pub(crate) chores: Chores,
    /// The steps whose containers were about to start.
    at_work: watch::Sender<BTreeSet<StepId>>,
    /// What people were told that is the same for many steps.
    told: Mutex<BTreeSet<String>>,
}

/// What one step made.
#[derive(Clone, Debug, Default)]
pub struct MadeByStep {
    /// The image that it built.
    pub image: Option<ImageIdentity>,
    /// What it built by platform, where the file names platforms; the image above among them.
    pub platforms: BTreeMap<String, ImageIdentity>,
    /// `repository@sha256:...` of what it pushed.
    pub digest: Option<String>,
    /// What its last attempt left, by name.
    pub artifacts: BTreeMap<String, Artifact>,
    /// The outputs of its last attempt.
    pub outputs: BTreeMap<String, String>,
    /// The image on which it passed, of those that say something of an image.
    pub passed_on: Option<ImageIdentity>,
}

impl Made {
    /// Nothing yet, in a run that does another one again, if it does.
    pub(crate) fn beside(rerun: Option<Arc<Rerun>>) -> Self {
        Self {
            rerun,
            ..Self::default()
        }
    }

    /// Nothing yet, for images of another engine in the same run.
    pub(crate) fn elsewhere(&self, engine: Option<String>) -> Self {
        Self {
            images: ImageCache::of(engine),
            ..Self::beside(self.rerun.clone())
        }
    }

    /// Remembers the image that a step built.
    pub fn image(&self, step: &StepId, image: ImageIdentity) {
        self.change(step, |made| made.image = Some(image));
    }

    /// Remembers what a step built for a platform.
    pub fn platform_image(&self, step: &StepId, platform: String, image: ImageIdentity) {
        self.change(step, |made| {
            made.platforms.insert(platform, image);
        });
    }

    /// Remembers that an image passed a step.
    pub fn passed_on(&self, step: &StepId, image: ImageIdentity) {
        self.change(step, |made| made.passed_on = Some(image));
    }

    /// Remembers what a step pushed.
    pub fn digest(&self, step: &StepId, digest: String) {
        self.change(step, |made| made.digest = Some(digest));
    }

    /// Remembers an artifact that a step left.
    pub fn keep(&self, step: &StepId, artifact: Artifact) {
        self.change(step, |made| {
            made.artifacts.insert(artifact.name.clone(), artifact);
        });
    }

    /// Remembers the outputs that a step left.
    pub fn outputs(&self, step: &StepId, outputs: BTreeMap<String, String>) {
        self.change(step, |made| made.outputs = outputs);
    }

    /// Forgets the artifacts and outputs that a step left.
    pub fn keep_nothing(&self, step: &StepId) {
        self.change(step, |made| {
            made.artifacts.clear();
            made.outputs.clear();
        });
    }

    /// The step's container is about to start.
    pub(crate) fn is_at_work(&self, step: &StepId) {
        self.at_work.send_modify(|at_work| {
            at_work.insert(step.clone());
        });
    }

    /// Waits until the containers of all these steps are about to start.
    pub(crate) async fn at_work(&self, steps: &[StepId]) {
        let mut told = self.at_work.subscribe();
        let all = told.wait_for(|at_work| steps.iter().all(|step| at_work.contains(step)));
        // The sender is here.
        let _ = all.await;
    }

    /// Whether this is the first that people are told of something.
    pub(crate) fn tell_once(&self, what: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(what.to_owned())
    }

    /// What a step made, if anything.
    #[must_use]
    pub fn get(&self, step: &StepId) -> Option<MadeByStep> {
        self.steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(step)
            .cloned()
    }

    /// Text with its references resolved; an image is named by the engine's ID.
    #[must_use]
    pub fn resolve(&self, text: &Text) -> Option<String> {
        text.resolve(|step, value| match value {
            StepValue::Image => self.get(step)?.image.map(|image| image.id),
            value => self.value(step, value),
        })
    }

    /// What is asked of a step; an image has no name here.
    pub(crate) fn value(&self, step: &StepId, value: &StepValue) -> Option<String> {
        let mut made = self.get(step)?;
        match value {
            StepValue::Digest => made.digest,
            StepValue::Output(key) => made.outputs.remove(key),
            StepValue::Image | StepValue::Artifact(_) => None,
        }
    }

    /// Why text cannot be resolved: what a step that it refers to did not make.
    pub(crate) fn missing(&self, text: &Text) -> Trouble {
        let outputs = text.references().find_map(|(step, value)| match value {
            StepValue::Output(key) if self.value(step, value).is_none() => Some((step, key)),
            _ => None,
        });
        let Some((step, key)) = outputs else {
            return Trouble::new(format!("`{text}` cannot be resolved"))
                .cause("a step that it refers to made nothing in this run");
        };
        let there = self.get(step).unwrap_or_default().outputs;
        let there: Vec<&str> = there.keys().map(String::as_str).collect();
        let trouble = Trouble::new(format!("the step `{step}` left no output `{key}`"));
        let cause = match there.is_empty() {
            true => "it left none at all".to_owned(),
            false => format!("it left {}", list(&there)),
        };
        let hint = match near(key, there.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                format!("let its command write a line `{key}=...` to the file of its `outputs`")
            }
        };
        trouble.cause(cause).hint(hint)
    }

    fn change(&self, step: &StepId, change: impl FnOnce(&mut MadeByStep)) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        change(steps.entry(step.clone()).or_default());
    }
}
