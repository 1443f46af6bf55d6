//! The facts of a run, in the order in which they came to be. An event owns what it says, is
//! written down as it is, and is never changed; what a run *is* follows from folding them.
//!
//! Log bytes are not events: they go to files, and live ones to reporters as [`Output`].

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::gc::Tally;
use crate::ids::{RunId, StepId};
use crate::image::ImageIdentity;
use crate::inputs::{Decision, EarlierRun, StepInputs};
use crate::reason::{CancelReason, Ending, FailureReason, Verdict};
use crate::results::{Artifact, Finding, GivenInput, TestCase};

/// One fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    /// Whose.
    pub run: RunId,
    /// From 0, without gaps.
    pub seq: u64,
    /// The wall clock's time.
    pub at: Timestamp,
    /// Since the run's start, by a clock that never goes back.
    #[serde(rename = "elapsed_ms", with = "crate::millis")]
    pub elapsed: Duration,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The run began.
    RunStarted {
        /// The project's name.
        project: String,
        /// hoist's own version.
        version: String,
        /// What is to be done, each step after those that it needs.
        steps: Vec<StepOutline>,
        /// How many steps may run at once.
        jobs: usize,
        /// The commit, where the project is in one.
        #[serde(default)]
        commit: Option<String>,
        /// The run of which this one does something again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rerun_of: Option<RunId>,
    },
    /// The engine answered.
    EngineConnected {
        /// Its own version.
        version: String,
        /// The API version spoken.
        api: String,
    },
    /// What the name of an image stands for in this run, however often it is named.
    ImageResolved {
        /// The engine's address, if it is not the run's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        engine: Option<String>,
        /// As the plan names it.
        name: String,
        /// The engine's ID of the image.
        id: String,
    },
    /// A step began.
    StepStarted {
        /// Which.
        step: StepId,
        /// From 1.
        attempt: u32,
    },
    /// An attempt at a step failed and there is another one; what the last one comes to is in the
    /// step's end.
    AttemptFailed {
        /// Which.
        step: StepId,
        /// From 1.
        attempt: u32,
        /// Why.
        reason: FailureReason,
        /// The pause before the next one.
        #[serde(rename = "next_after_ms", with = "crate::millis")]
        next_after: Duration,
    },
    /// A step went on to something else.
    StepPhase {
        /// Which.
        step: StepId,
        /// A few words for people: `pulling redis:7`.
        phase: String,
    },
    /// Tests were found in what a step left.
    TestsFound {
        /// Which.
        step: StepId,
        /// The attempt that left them, from 1.
        #[serde(default = "first")]
        attempt: u32,
        /// The cases, in the order of their files.
        cases: Vec<TestCase>,
    },
    /// A scan ended with these findings.
    FindingsFound {
        /// Which.
        step: StepId,
        /// Worst first.
        findings: Vec<Finding>,
    },
    /// Something that a step left was kept.
    ArtifactKept {
        /// Which.
        step: StepId,
        /// What.
        artifact: Artifact,
    },
    /// A step left outputs.
    OutputsFound {
        /// Which.
        step: StepId,
        /// The values by their keys.
        outputs: BTreeMap<String, String>,
    },
    /// What an earlier step left was put into a step's container.
    InputGiven {
        /// Which step has it.
        step: StepId,
        /// What, and where.
        input: GivenInput,
    },
    /// What a step is made of is known, and whether it is to run.
    StepInputs {
        /// Which step.
        step: StepId,
        /// What it is for, where a build names platforms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        platform: Option<String>,
        /// What it is made of.
        inputs: StepInputs,
        /// Whether it is to run, and why.
        decision: Decision,
    },
    /// An image was built, or is there from an earlier run.
    ImageBuilt {
        /// Which step.
        step: StepId,
        /// The image.
        image: ImageIdentity,
        /// The run that built it, if that was an earlier one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        earlier: Option<EarlierRun>,
        /// What it is for, where the file names platforms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        platform: Option<String>,
        /// The first instruction that the builder did not take from its cache, as it names it;
        /// absent if it took them all or did not tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first_executed: Option<String>,
    },
    /// An image is in a registry.
    ImagePushed {
        /// Which step.
        step: StepId,
        /// `registry/repository:tag`.
        reference: String,
        /// `sha256:...`, as the registry knows it.
        digest: String,
    },
    /// A deploy waits until someone approves of what it would change.
    ApprovalAwaited {
        /// Which step.
        step: StepId,
        /// What is asked.
        question: Question,
    },
    /// Someone approved of what a deploy changes.
    Approved {
        /// Which step.
        step: StepId,
        /// The environment.
        environment: String,
        /// Of what changes.
        digest: String,
    },
    /// A service of a release is in place.
    ServiceReleased {
        /// Which step.
        step: StepId,
        /// What is in place.
        service: ReleasedService,
    },
    /// People should know this; the run goes on.
    Warning {
        /// Of which step, if of one.
        step: Option<StepId>,
        /// A sentence.
        message: String,
        /// What to try.
        #[serde(default)]
        hint: Option<String>,
    },
    /// What earlier runs had left behind was removed.
    Collected {
        /// How much.
        tally: Tally,
    },
    /// The run is being stopped.
    Stopping {
        /// Why.
        reason: CancelReason,
    },
    /// A step ended. Exactly one for each step.
    StepEnded {
        /// Which.
        step: StepId,
        /// How.
        ending: Ending,
        /// Since it started; zero if it never did.
        #[serde(rename = "duration_ms", with = "crate::millis")]
        duration: Duration,
        /// It failed, and that is let pass.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        allowed: bool,
    },
    /// The run ended; the last event.
    RunEnded {
        /// How.
        verdict: Verdict,
    },
    /// Written by a newer hoist.
    #[serde(other)]
    Unknown,
}

/// The attempt of events that were written before they named one.
fn first() -> u32 {
    1
}

/// A step as the start of a run names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutline {
    /// Its name.
    pub id: StepId,
    /// `run`, `build`, ...
    pub kind: String,
    /// The steps that come first.
    pub needs: Vec<StepId>,
    /// What the file relaxes of the default sealing.
    #[serde(default)]
    pub relaxations: Vec<String>,
}

/// What a deploy would change, to be approved of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The environment's name.
    pub environment: String,
    /// Of all that would change; another change has another one.
    pub digest: String,
    /// What would change, a sentence each.
    pub changes: Vec<String>,
}

/// A service that a release put in place or found in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedService {
    /// The environment's name.
    pub environment: String,
    /// The service's name.
    pub service: String,
    /// The release's sequence number in its environment.
    pub release: u64,
    /// Its settings were what runs already; it was left running.
    pub unchanged: bool,
    /// Published ports as `address:port`.
    pub ports: Vec<String>,
    /// It has the host's network, so its ports are the host's.
    #[serde(default)]
    pub host_network: bool,
}

/// A piece of a step's live output, masked already. Pieces split anywhere but inside a secret.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whose.
    pub step: StepId,
    /// Which stream; their order to one another is not known.
    pub stream: Stream,
    /// Bytes as they came, neither line-aligned nor UTF-8.
    pub bytes: Vec<u8>,
}

/// A stream of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
