//! How steps and runs end. Every ending but a good one carries a reason of a type, so that nothing
//! downstream has to read prose. Exit codes are the command line's; only their classes are here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::StepId;
use crate::results::Severity;

/// How a step ended. Each step has exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It did what it was to do.
    Passed,
    /// It would have done what an earlier run did; that run's results stand.
    Cached,
    /// It tried and did not.
    Failed(FailureReason),
    /// It was never tried.
    Skipped(SkipReason),
    /// It was stopped, or not tried because the run was being stopped.
    Cancelled(CancelReason),
}

impl Ending {
    /// What needs this step may start.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Passed | Self::Cached)
    }
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The command ended with this code.
    Exit {
        /// 1 to 255.
        code: i64,
    },
    /// The kernel killed a process of the container for memory, whatever the exit code says.
    OutOfMemory {
        /// The container's exit code.
        code: i64,
        /// The bound, bytes.
        limit: Option<u64>,
    },
    /// It took longer than its `timeout`.
    TimedOut {
        /// The bound.
        #[serde(rename = "after_ms", with = "crate::millis")]
        after: Duration,
    },
    /// The command could not be started: not found or not executable.
    CannotStart {
        /// 127 or 126.
        code: i64,
        /// The engine's words.
        message: String,
    },
    /// The image could not be built.
    Build {
        /// What BuildKit says.
        message: String,
        /// The instruction that failed, where known.
        instruction: Option<Instruction>,
    },
    /// The scan found what the gate does not let through.
    Gate {
        /// How many of each severity stand against the gate, highest first.
        failing: Vec<(Severity, usize)>,
    },
    /// A release did not become healthy, or could not be put in place.
    Deploy {
        /// What happened.
        message: String,
        /// What serves now.
        fallback: Fallback,
    },
    /// A service beside the step ended or never became healthy, so that the step could not do its
    /// work or cannot be believed to have.
    Service {
        /// Its name.
        service: String,
        /// What became of it, as words that follow its name: `exited with code 1`.
        message: String,
        /// What its health check printed last; empty where it has none.
        probe: String,
        /// Its last lines.
        tail: String,
    },
    /// Nobody approved of what a deploy would have changed. Nothing was touched.
    NotApproved {
        /// The environment.
        environment: String,
        /// Of what would have changed.
        digest: String,
        /// Someone was asked and said no; else nobody was there to ask.
        denied: bool,
    },
    /// Images that a deploy would have taken did not pass steps for which it waits. Nothing was
    /// touched.
    Unverified {
        /// The environment.
        environment: String,
        /// What is missing.
        missing: Vec<MissingGate>,
    },
    /// The pipeline asks for what cannot be had: a missing file, a bad reference.
    Configuration(Trouble),
    /// Something around the pipeline failed: engine, registry, network, disk, scanner.
    Surroundings(Trouble),
}

/// A step that an image did not pass, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingGate {
    /// The service or hook.
    pub service: String,
    /// The digest of its image's config, else the engine's ID.
    pub image: String,
    /// The step.
    pub step: StepId,
    /// The image that the step did pass, if it passed another one.
    pub passed_on: Option<String>,
}

impl std::fmt::Display for MissingGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |identity: &str| {
            let hex = identity.strip_prefix("sha256:").unwrap_or(identity);
            hex.get(..12).unwrap_or(hex).to_owned()
        };
        let Self {
            service,
            image,
            step,
            passed_on,
        } = self;
        write!(
            f,
            "{step} did not pass on the image of {service} ({})",
            short(image)
        )?;
        match passed_on {
            Some(other) => write!(f, ", but on another one ({})", short(other)),
            None => Ok(()),
        }
    }
}

/// An instruction of a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// The Dockerfile, relative to the project's root.
    pub file: String,
    /// From 1, where known.
    pub line: Option<usize>,
    /// As written.
    pub text: String,
}

/// What serves after a release failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// Nothing had been deployed before; nothing is left of the attempt.
    NothingBefore,
    /// Nothing was changed before it failed.
    Untouched,
    /// The release before serves again.
    RolledBack {
        /// Its sequence number.
        release: u64,
    },
    /// It stays as it was at that moment: nothing was taken back.
    AsItIs,
    /// The release before could not be brought back.
    Broken {
        /// Why.
        message: String,
    },
}

/// A sentence for people: what, why, what to try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what}")]
pub struct Trouble {
    /// What did not work.
    pub what: String,
    /// Why, in the words of whoever knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Trouble {
    /// Says what did not work.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            cause: None,
            hint: None,
        }
    }

    /// Adds why.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Why a step was never tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// A step that it needs, directly or through others, failed.
    NeedFailed {
        /// The one that failed.
        step: StepId,
    },
    /// What its `when` asks for does not hold.
    When {
        /// Why not: a few words.
        reason: String,
    },
    /// The command line leaves it out.
    LeftOut,
    /// A step that it needs, directly or through others, is skipped by its `when` or the command
    /// line.
    NeedSkipped {
        /// The one that has the reason.
        step: StepId,
    },
}

/// Why a step was stopped. Ordered: a later reason may replace an earlier one, never the reverse.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// Another step failed and the run was to stop at the first failure.
    FailFast {
        /// The one that failed.
        step: StepId,
    },
    /// The run took longer than it may.
    RunTimedOut,
    /// Asked for from elsewhere: `hoist cancel`, a client.
    Requested,
    /// A signal.
    Interrupted(Signal),
}

/// A signal that ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// How a run ended. Ordered: of several, the greatest is the run's (design, "Exit codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every step ended well.
    Passed,
    /// A step failed; exit code 1.
    StepFailed,
    /// An approval was missing or denied; exit code 6.
    NotApproved,
    /// A gate did not let something through; exit code 3.
    GateFailed,
    /// The file asks for what cannot be had; exit code 2.
    Configuration,
    /// The surroundings failed; exit code 4.
    Surroundings,
    /// A deploy failed; exit code 5.
    DeployFailed,
    /// The run took longer than it may; exit code 124.
    TimedOut,
    /// A signal or a request ended it; exit code 130 or 143.
    Interrupted(Signal),
}

impl Ending {
    /// What this ending makes of a run.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Passed | Self::Cached | Self::Skipped(_) => Verdict::Passed,
            Self::Failed(reason) => reason.verdict(),
            Self::Cancelled(reason) => reason.verdict(),
        }
    }
}

impl FailureReason {
    /// What this failure makes of a run.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Exit { .. }
            | Self::OutOfMemory { .. }
            | Self::TimedOut { .. }
            | Self::CannotStart { .. }
            | Self::Build { .. } => Verdict::StepFailed,
            Self::Gate { .. } | Self::Unverified { .. } => Verdict::GateFailed,
            Self::NotApproved { .. } => Verdict::NotApproved,
            Self::Deploy { .. } => Verdict::DeployFailed,
            Self::Configuration(_) => Verdict::Configuration,
            Self::Service { .. } | Self::Surroundings(_) => Verdict::Surroundings,
        }
    }
}

impl CancelReason {
    /// What this makes of a run. Fail-fast has a failed step beside it, which decides.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::FailFast { .. } => Verdict::Passed,
            Self::RunTimedOut => Verdict::TimedOut,
            Self::Requested => Verdict::Interrupted(Signal::Interrupt),
            Self::Interrupted(signal) => Verdict::Interrupted(*signal),
        }
    }
}
