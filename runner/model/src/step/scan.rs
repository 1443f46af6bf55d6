//! The step kind `scan`: Trivy over an image's archive, and a gate that is ours. Trivy's exit code
//! says only whether it worked; what is let through is decided here.

pub mod read;

use serde::{Deserialize, Serialize};

use crate::results::Severity;

/// What a scan does not let through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Severities that stand against the gate.
    pub severity: Vec<Severity>,
    /// Findings for which there is no fix do not.
    pub ignore_unfixed: bool,
}
