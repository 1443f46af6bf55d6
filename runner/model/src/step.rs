//! The registry of step kinds. A kind is one file: what it lowers to, and how its outcome reads.
//! The engine asks a kind only through this file and never matches on one.

pub(crate) mod build;
pub mod deploy;
pub(crate) mod lowered;
pub(crate) mod push;
pub(crate) mod run;
pub mod scan;
mod services;
mod ulimits;
pub(crate) mod volumes;

use serde::{Deserialize, Serialize};

use crate::reason::{Ending, FailureReason};
use crate::results::Finding;

/// What makes a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A command in a container.
    Run,
    /// An image from a Dockerfile.
    Build,
    /// An image under Trivy, with a gate.
    Scan(scan::Gate),
    /// An image to a registry.
    Push,
    /// A release to an environment.
    Deploy,
}

/// What is known of a container that ran to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerOutcome {
    /// The command's exit code.
    pub code: i64,
    /// The kernel killed one of its processes for memory.
    pub oom_killed: bool,
    /// The bound on memory, bytes.
    pub memory_limit: Option<u64>,
    /// The content of [`crate::unit::Harvest::report`], where asked for and there.
    pub report: Option<Vec<u8>>,
    /// The last lines of its output, for messages.
    pub tail: String,
}

/// What a kind makes of an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How the step ends.
    pub ending: Ending,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What people should know besides.
    pub warnings: Vec<String>,
}

impl StepKind {
    /// The word that the file has for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Build => "build",
            Self::Scan(_) => "scan",
            Self::Push => "push",
            Self::Deploy => "deploy",
        }
    }

    /// Reads what a container of this kind did.
    #[must_use]
    pub fn read(&self, outcome: &ContainerOutcome) -> Reading {
        match self {
            Self::Scan(gate) => scan::read::read(gate, outcome),
            Self::Run | Self::Build | Self::Push | Self::Deploy => Reading {
                ending: exit(outcome),
                findings: Vec::new(),
                warnings: Vec::new(),
            },
        }
    }
}

/// The ending that an exit code and the kernel's word make.
#[must_use]
pub fn exit(outcome: &ContainerOutcome) -> Ending {
    if outcome.oom_killed {
        return Ending::Failed(FailureReason::OutOfMemory {
            code: outcome.code,
            limit: outcome.memory_limit,
        });
    }
    match outcome.code {
        0 => Ending::Passed,
        code => Ending::Failed(FailureReason::Exit { code }),
    }
}
