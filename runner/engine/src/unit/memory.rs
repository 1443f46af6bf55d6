//! What earlier runs are known by: a step's inputs are looked at before it begins, and what came of
//! the same ones before is found. It refuses to judge whether that is still there, which is the
//! unit's to know.

use std::sync::Arc;

use hoist_model::event::EventKind;
use hoist_model::ids::StepId;
use hoist_model::inputs::{Decision, Force, Part, StepInputs, Unsettled};
use hoist_model::reason::Trouble;

use super::halt::{Halt, unless_stopped};
use crate::context::UnitContext;
use crate::inputs::{Cache, Examined, Gaze, Glance, Outcome, Record, Snapshot};

/// What earlier runs of the project are known by.
pub(super) struct Memory {
    cache: Result<Arc<Cache>, Trouble>,
    /// The engine's ID and the project's name: an image has the labels of one project.
    place: String,
}

/// Whose inputs are looked at.
pub(super) struct Subject {
    pub(super) step: StepId,
    /// What it is for, where a build names platforms.
    pub(super) platform: Option<String>,
    /// Why it runs whatever is known.
    pub(super) forced: Vec<Force>,
}

/// What a look at a step's inputs came to.
pub(super) enum Looked<T> {
    /// An earlier run did the same. Whoever looked is to tell what follows from it.
    Known(Record<T>, Examined),
    /// It is to be done.
    New(Outlook),
}

/// What is known of the inputs of a step that begins.
pub(super) enum Outlook {
    /// All that can be; it was told.
    Told(Option<Examined>),
    /// Nothing of the same is known, whatever the files hold, which can be read meanwhile.
    Reading(Glance),
}

impl Memory {
    pub(super) async fn open(context: &UnitContext) -> Result<Self, Halt> {
        let info = context.backend.info().await;
        let info = info.map_err(|error| Halt::surroundings("the engine is not known", &error))?;
        let cache = Cache::open(&context.root, context.shared.as_deref());
        Ok(Self {
            cache: cache.map(Arc::new),
            place: format!("{} {}", info.id, context.plan.name),
        })
    }

    /// The cache; where there is none, that is told.
    pub(super) fn cache(&self, context: &UnitContext, subject: &Subject) -> Option<&Arc<Cache>> {
        match &self.cache {
            Ok(cache) => Some(cache),
            Err(trouble) => {
                let unsettled = vec![Unsettled::Trouble(trouble.clone())];
                let decision = Decision::Unsettled(unsettled);
                subject.tell(context, StepInputs::default(), decision);
                None
            }
        }
    }

    /// Looks at what a glance saw and says what it is, unless that can wait.
    pub(super) async fn look<T: Outcome>(
        &self,
        context: &UnitContext,
        subject: &Subject,
        glance: Glance,
    ) -> Result<Looked<T>, Halt> {
        let wanted = subject.forced.is_empty() && glance.may_be_known(&self.place);
        if !wanted && !glance.is_whole() {
            return Ok(Looked::New(Outlook::Reading(glance)));
        }
        let examined = glance.read();
        let examined = unless_stopped(context, async { Ok::<_, Halt>(examined.await) }).await?;
        if wanted && let Some(record) = self.find(&examined).await {
            return Ok(Looked::Known(record, examined));
        }
        subject.tell(context, examined.inputs.clone(), subject.unknown(&examined));
        Ok(Looked::New(Outlook::Told(Some(examined))))
    }

    /// What the same inputs came to, or those that differ only where no builder looks.
    async fn find<T: Outcome>(&self, examined: &Examined) -> Option<Record<T>> {
        let cache = self.cache.as_ref().ok()?;
        let find = |digest: &str| Record::find(cache, digest, &self.place);
        if let Some(record) = find(examined.inputs.digest.as_ref()?) {
            return Some(record);
        }
        let gaze = Record::<Gaze>::find(cache, &examined.gaze_digest(), &self.place)?;
        find(&examined.narrow_digest(gaze.outcome).await?)
    }

    /// Remembers what came of inputs that held still meanwhile, by their digest.
    pub(super) fn keep<T: Outcome>(&self, context: &UnitContext, digest: &str, outcome: T) {
        let record = Record::new(digest, &self.place, outcome, context.run, context.id());
        self.put(context, &record);
    }

    /// Remembers it as it is now.
    pub(super) fn put<T: Outcome>(&self, context: &UnitContext, record: &Record<T>) {
        let Ok(cache) = &self.cache else { return };
        if let Err(error) = record.keep(cache) {
            let message = format!("the step cannot be remembered: {error}");
            let hint = "free space on the disk; the next run does it again";
            context.warn(message, Some(hint.to_owned()));
        }
    }
}

impl Outlook {
    /// What the walks of the step's folders saw.
    pub(super) fn snapshots(&self) -> Vec<(&Part, Snapshot)> {
        match self {
            Self::Told(None) => Vec::new(),
            Self::Told(Some(examined)) => examined.snapshots().collect(),
            Self::Reading(glance) => glance.snapshots().collect(),
        }
    }

    /// Finds out what is not known yet, and tells it.
    pub(super) async fn settle(self, context: &UnitContext, subject: &Subject) -> Option<Examined> {
        let glance = match self {
            Self::Told(examined) => return examined,
            Self::Reading(glance) => glance,
        };
        let examined = glance.read().await;
        subject.tell(context, examined.inputs.clone(), subject.unknown(&examined));
        Some(examined)
    }
}

impl Subject {
    /// Says what a step is made of, and what follows from it.
    pub(super) fn tell(&self, context: &UnitContext, inputs: StepInputs, decision: Decision) {
        context.events.send(EventKind::StepInputs {
            step: self.step.clone(),
            platform: self.platform.clone(),
            inputs,
            decision,
        });
    }

    /// Why it is done where nothing of the same inputs is known.
    fn unknown(&self, examined: &Examined) -> Decision {
        if !self.forced.is_empty() {
            Decision::Forced(self.forced.clone())
        } else if examined.unsettled.is_empty() {
            Decision::New
        } else {
            Decision::Unsettled(examined.unsettled.clone())
        }
    }
}
