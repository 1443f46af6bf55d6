//! What a run is: a fold over its events. Every view reads this and nothing else. The fold refuses
//! nothing and panics at nothing: an event about a step that it does not know changes nothing. It
//! is not resilient to events that arrive out of order.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{EventKind, Question, ReleasedService, RunEvent, StepOutline};
use crate::gc::Tally;
use crate::ids::{RunId, StepId};
use crate::image::ImageIdentity;
use crate::inputs::{Decision, EarlierRun};
use crate::reason::{CancelReason, Ending, FailureReason, Verdict};
use crate::results::{Artifact, Finding, GivenInput, TestCase, attempts};

/// A run, as far as its events tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Its ID, from the first event on.
    pub run: Option<RunId>,
    /// The project's name.
    pub project: String,
    /// The commit, where the project is in one.
    pub commit: Option<String>,
    /// The run of which this one did something again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<RunId>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// The elapsed time of the last event.
    #[serde(rename = "elapsed_ms", with = "crate::millis")]
    pub elapsed: Duration,
    /// The engine's version and API version.
    pub engine: Option<(String, String)>,
    /// The steps, each after those that it needs.
    pub steps: Vec<StepState>,
    /// Set while the run is being stopped and after.
    pub stopping: Option<CancelReason>,
    /// Warnings of no step.
    pub warnings: Vec<Note>,
    /// What was removed of what earlier runs had left behind, if it was time for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected: Option<Tally>,
    /// Set by the last event.
    pub verdict: Option<Verdict>,
    /// Where each step stands in `steps`, as the fold found them.
    #[serde(skip)]
    places: Places,
}

/// Where steps stand. It says nothing that the steps themselves do not, so states are the same
/// whether or not they have it.
#[derive(Clone, Debug, Default)]
struct Places(HashMap<StepId, usize>);

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A step, as far as events tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepState {
    /// What the start of the run said of it.
    #[serde(flatten)]
    pub outline: StepOutline,
    /// Where it is.
    pub status: StepStatus,
    /// A few words on what it does now.
    pub phase: Option<String>,
    /// The run's elapsed time at its start.
    pub started: Option<Duration>,
    /// Attempts that failed and were followed by another one, in their order.
    #[serde(default)]
    pub failed_attempts: Vec<FailureReason>,
    /// It failed, and that was let pass.
    #[serde(default)]
    pub allowed: bool,
    /// How long it took, once ended.
    #[serde(rename = "duration_ms", with = "crate::millis")]
    pub duration: Duration,
    /// Tests found in its latest attempt. Those that failed in an attempt before carry why.
    pub tests: Vec<TestCase>,
    /// Tests that failed in an attempt before the latest, which has not told of them; with them
    /// those of the same name that passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests_before: Vec<TestCase>,
    /// The attempt that `tests` are of; 0 before the first.
    #[serde(default)]
    pub tests_of: u32,
    /// Findings, worst first.
    pub findings: Vec<Finding>,
    /// What was kept of it.
    pub artifacts: Vec<Artifact>,
    /// The outputs that its last attempt left.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// What it was given of what earlier steps left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<GivenInput>,
    /// The image that it built.
    pub image: Option<ImageIdentity>,
    /// Those that it built for further platforms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_images: Vec<ImageIdentity>,
    /// The run that did it, if that was an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<EarlierRun>,
    /// References pushed, with digests.
    pub pushed: Vec<(String, String)>,
    /// The approval that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<Question>,
    /// Services that it put in place.
    pub released: Vec<ReleasedService>,
    /// Its warnings.
    pub warnings: Vec<Note>,
}

/// A warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// A sentence.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

/// Where a step is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// Under way.
    Running {
        /// From 1.
        attempt: u32,
    },
    /// Over.
    Ended(Ending),
}

impl StepState {
    fn new(outline: StepOutline) -> Self {
        Self {
            outline,
            status: StepStatus::Pending,
            phase: None,
            started: None,
            failed_attempts: Vec::new(),
            allowed: false,
            duration: Duration::ZERO,
            tests: Vec::new(),
            tests_before: Vec::new(),
            tests_of: 0,
            findings: Vec::new(),
            artifacts: Vec::new(),
            outputs: BTreeMap::new(),
            inputs: Vec::new(),
            image: None,
            further_images: Vec::new(),
            earlier: None,
            pushed: Vec::new(),
            awaits: None,
            released: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &StepId {
        &self.outline.id
    }

    /// From here on tests are of that attempt.
    fn tests_are_of(&mut self, attempt: u32) {
        if attempt > self.tests_of {
            self.tests_of = attempt;
            attempts::put_by(std::mem::take(&mut self.tests), &mut self.tests_before);
        }
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        match &self.status {
            StepStatus::Ended(ending) => Some(ending),
            StepStatus::Pending | StepStatus::Running { .. } => None,
        }
    }
}

impl RunState {
    /// The step of that name.
    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&StepState> {
        self.steps.iter().find(|step| step.id() == id)
    }

    /// The verdict that the endings so far make.
    #[must_use]
    pub fn verdict_so_far(&self) -> Verdict {
        let steps = self
            .steps
            .iter()
            .filter(|step| !step.allowed)
            .filter_map(StepState::ending)
            .map(Ending::verdict);
        let stopping = self.stopping.iter().map(CancelReason::verdict);
        steps.chain(stopping).max().unwrap_or(Verdict::Passed)
    }

    /// Takes in one event.
    pub fn apply(&mut self, event: &RunEvent) {
        self.elapsed = event.elapsed;
        match &event.kind {
            EventKind::RunStarted {
                project,
                steps,
                commit,
                rerun_of,
                ..
            } => {
                self.rerun_of = *rerun_of;
                self.run = Some(event.run);
                self.project.clone_from(project);
                self.commit.clone_from(commit);
                self.started_at = Some(event.at);
                self.steps = steps.iter().cloned().map(StepState::new).collect();
                let ids = self.steps.iter().map(StepState::id).cloned();
                self.places = Places(ids.zip(0..).collect());
            }
            EventKind::EngineConnected { version, api } => {
                self.engine = Some((version.clone(), api.clone()));
            }
            EventKind::StepStarted { step, attempt } => self.with(step, |s| {
                s.status = StepStatus::Running { attempt: *attempt };
                s.started.get_or_insert(event.elapsed);
                s.image = None;
                s.inputs.clear();
                s.outputs.clear();
                s.earlier = None;
                s.tests_are_of(*attempt);
            }),
            EventKind::AttemptFailed { step, reason, .. } => {
                self.with(step, |s| {
                    s.failed_attempts.push(reason.clone());
                    // They are on disk; what counts is what the last attempt left.
                    s.artifacts.clear();
                });
            }
            EventKind::StepPhase { step, phase } => {
                self.with(step, |s| s.phase = Some(phase.clone()));
            }
            EventKind::TestsFound {
                step,
                attempt,
                cases,
            } => self.with(step, |s| {
                s.tests_are_of(*attempt);
                let cases = attempts::carry_over(&mut s.tests_before, cases);
                s.tests.extend(cases);
            }),
            EventKind::FindingsFound { step, findings } => {
                self.with(step, |s| s.findings.clone_from(findings));
            }
            EventKind::ArtifactKept { step, artifact } => {
                self.with(step, |s| s.artifacts.push(artifact.clone()));
            }
            EventKind::OutputsFound { step, outputs } => {
                self.with(step, |s| s.outputs.clone_from(outputs));
            }
            EventKind::InputGiven { step, input } => {
                self.with(step, |s| s.inputs.push(input.clone()));
            }
            // The first is the step's own; those after it are for other platforms.
            EventKind::ImageBuilt {
                step,
                image,
                earlier,
                ..
            } => self.with(step, |s| {
                if s.image.is_some() {
                    s.further_images.push(image.clone());
                } else {
                    s.image = Some(image.clone());
                    s.earlier.clone_from(earlier);
                }
            }),
            // The inputs are too much to carry along: `explain` reads them where they stand.
            EventKind::StepInputs {
                step,
                platform: None,
                decision: Decision::Reused(earlier) | Decision::Taken(earlier),
                ..
            } => self.with(step, |s| s.earlier = Some(earlier.clone())),
            EventKind::StepInputs { .. } => {}
            EventKind::ImagePushed {
                step,
                reference,
                digest,
            } => {
                self.with(step, |s| s.pushed.push((reference.clone(), digest.clone())));
            }
            EventKind::ApprovalAwaited { step, question } => {
                self.with(step, |s| s.awaits = Some(question.clone()));
            }
            EventKind::Approved { step, .. } => self.with(step, |s| s.awaits = None),
            EventKind::ServiceReleased { step, service } => {
                self.with(step, |s| s.released.push(service.clone()));
            }
            EventKind::Warning {
                step,
                message,
                hint,
            } => {
                let note = Note {
                    message: message.clone(),
                    hint: hint.clone(),
                };
                match step {
                    Some(step) => self.with(step, |s| s.warnings.push(note)),
                    None => self.warnings.push(note),
                }
            }
            EventKind::Collected { tally } => self.collected = Some(tally.clone()),
            EventKind::Stopping { reason } => {
                if self.stopping.as_ref().is_none_or(|old| old < reason) {
                    self.stopping = Some(reason.clone());
                }
            }
            EventKind::StepEnded {
                step,
                ending,
                duration,
                allowed,
            } => self.with(step, |s| {
                s.allowed = *allowed;
                s.status = StepStatus::Ended(ending.clone());
                s.duration = *duration;
                s.phase = None;
                s.awaits = None;
            }),
            EventKind::RunEnded { verdict } => self.verdict = Some(*verdict),
            // Images by name are of use to who does the run again, from the events.
            EventKind::ImageResolved { .. } | EventKind::Unknown => {}
        }
    }

    fn with(&mut self, id: &StepId, change: impl FnOnce(&mut StepState)) {
        // A state that was read from a file has no places; it is folded no further but in tests.
        let place = self.places.0.get(id).copied();
        let place = place.or_else(|| self.steps.iter().position(|step| step.id() == id));
        if let Some(step) = place.and_then(|place| self.steps.get_mut(place)) {
            change(step);
        }
    }
}
