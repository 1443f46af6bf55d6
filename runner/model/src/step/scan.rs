//! The step kind `scan`: Trivy over an image's archive, and a gate that is ours. Trivy's exit code
//! says only whether it worked; what is let through is decided here.

mod lower;
pub mod read;

use serde::{Deserialize, Serialize};

pub(crate) use lower::lower;

use crate::results::Severity;

/// What a scan does not let through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Severities that stand against the gate.
    pub severity: Vec<Severity>,
    /// Findings for which there is no fix do not.
    pub ignore_unfixed: bool,
}

/// The scanner's image where nothing else is said, by its digest: its tags were once re-pointed
/// (GHSA-69fq-xp46-6x23).
pub const TRIVY: &str =
    "aquasec/trivy:0.74.0@sha256:62b1e65e8869bc4b4c6aa4fa2b21595256c7c2f6018a9d9ad61caf87187c1969";
