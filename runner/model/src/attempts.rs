//! What a failure of a step leads to: another attempt, or being let pass. Only the rules are here;
//! they refuse to count attempts and to wait.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::reason::{Ending, FailureReason};

/// When a step is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts after the first.
    pub max: u32,
    /// The failures that are tried again; every kind where both this and `exit_codes` are empty.
    pub when: Vec<RetryWhen>,
    /// Exit codes of the command that are tried again.
    pub exit_codes: Vec<i64>,
    /// The pause before the second attempt; each further one is twice as long, up to five minutes.
    #[serde(rename = "backoff_ms", with = "crate::millis")]
    pub backoff: Duration,
}

/// A kind of failure that may pass by itself. What the file or a gate says does not change by
/// trying again, and a deploy goes back by itself: those have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryWhen {
    /// The command failed, or the image could not be built.
    StepFailure,
    /// The engine, a registry, the network, the disk or a service beside the step failed.
    SystemFailure,
    /// The attempt took too long.
    Timeout,
    /// The kernel killed it for memory.
    Oom,
}

impl RetryWhen {
    /// As pipeline.toml calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::StepFailure => "step_failure",
            Self::SystemFailure => "system_failure",
            Self::Timeout => "timeout",
            Self::Oom => "oom",
        }
    }

    /// What kind of failure this is, if it is one that may pass.
    #[must_use]
    pub fn of(reason: &FailureReason) -> Option<Self> {
        match reason {
            FailureReason::Exit { .. }
            | FailureReason::CannotStart { .. }
            | FailureReason::Build { .. } => Some(Self::StepFailure),
            FailureReason::OutOfMemory { .. } => Some(Self::Oom),
            FailureReason::TimedOut { .. } => Some(Self::Timeout),
            FailureReason::Service { .. } | FailureReason::Surroundings(_) => {
                Some(Self::SystemFailure)
            }
            FailureReason::Gate { .. }
            | FailureReason::NotApproved { .. }
            | FailureReason::Unverified { .. }
            | FailureReason::Deploy { .. }
            | FailureReason::Configuration(_) => None,
        }
    }
}

impl Retry {
    /// No pause before another attempt is longer.
    pub const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

    /// The pause before the next attempt after `made` attempts of which the last failed so; `None`
    /// if there is to be none.
    #[must_use]
    pub fn after(&self, made: u32, reason: &FailureReason) -> Option<Duration> {
        let kind = RetryWhen::of(reason)?;
        let any = self.when.is_empty() && self.exit_codes.is_empty();
        let by_code =
            matches!(reason, FailureReason::Exit { code } if self.exit_codes.contains(code));
        if made > self.max || !(any || by_code || self.when.contains(&kind)) {
            return None;
        }
        let doubled = 1_u32
            .checked_shl(made.saturating_sub(1))
            .unwrap_or(u32::MAX);
        Some(
            self.backoff
                .saturating_mul(doubled)
                .min(Self::LONGEST_PAUSE),
        )
    }
}

/// Which failures of a step neither fail the run nor stop what needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowFailure {
    /// None.
    #[default]
    No,
    /// Every one of the command, and its time-out.
    Yes,
    /// The command's, with these exit codes.
    ExitCodes(Vec<i64>),
}

impl AllowFailure {
    /// The step may end like this. What is wrong with the file or around the pipeline is never let
    /// pass: it says nothing of the step.
    #[must_use]
    pub fn covers(&self, ending: &Ending) -> bool {
        let Ending::Failed(reason) = ending else {
            return false;
        };
        match self {
            Self::No => false,
            Self::Yes => match reason {
                FailureReason::Exit { .. }
                | FailureReason::CannotStart { .. }
                | FailureReason::Build { .. }
                | FailureReason::OutOfMemory { .. }
                | FailureReason::TimedOut { .. }
                | FailureReason::Gate { .. } => true,
                FailureReason::Deploy { .. }
                | FailureReason::NotApproved { .. }
                | FailureReason::Unverified { .. }
                | FailureReason::Service { .. }
                | FailureReason::Configuration(_)
                | FailureReason::Surroundings(_) => false,
            },
            Self::ExitCodes(codes) => {
                matches!(reason, FailureReason::Exit { code } if codes.contains(code))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Trouble;

    fn exit(code: i64) -> FailureReason {
        FailureReason::Exit { code }
    }

    #[test]
    fn as_many_attempts_as_asked_for_with_longer_and_longer_pauses() {
        let retry = Retry {
            max: 2,
            backoff: Duration::from_secs(3),
            ..Retry::default()
        };
        assert_eq!(retry.after(1, &exit(1)), Some(Duration::from_secs(3)));
        assert_eq!(retry.after(2, &exit(1)), Some(Duration::from_secs(6)));
        assert_eq!(retry.after(3, &exit(1)), None);
        let many = Retry { max: 99, ..retry };
        assert_eq!(many.after(60, &exit(1)), Some(Retry::LONGEST_PAUSE));
        assert_eq!(Retry::default().after(1, &exit(1)), None);
    }

    #[test]
    fn only_what_was_named_is_tried_again() {
        let retry = |when: &[RetryWhen], codes: &[i64]| Retry {
            max: 1,
            when: when.to_vec(),
            exit_codes: codes.to_vec(),
            ..Retry::default()
        };
        let broken = FailureReason::Surroundings(Trouble::new("the engine went away"));
        let system = retry(&[RetryWhen::SystemFailure], &[]);
        assert!(system.after(1, &broken).is_some() && system.after(1, &exit(1)).is_none());
        let code = retry(&[], &[75]);
        assert!(code.after(1, &exit(75)).is_some() && code.after(1, &exit(1)).is_none());
        assert!(code.after(1, &broken).is_none());
        let file = FailureReason::Configuration(Trouble::new("no such file"));
        assert!(retry(&[], &[]).after(1, &file).is_none());
    }

    #[test]
    fn a_failure_that_says_nothing_of_the_step_is_never_let_pass() {
        let failed = |reason| Ending::Failed(reason);
        let broken = failed(FailureReason::Surroundings(Trouble::new("no disk")));
        assert!(AllowFailure::Yes.covers(&failed(exit(1))));
        assert!(!AllowFailure::Yes.covers(&broken) && !AllowFailure::Yes.covers(&Ending::Passed));
        let codes = AllowFailure::ExitCodes(vec![2]);
        assert!(codes.covers(&failed(exit(2))) && !codes.covers(&failed(exit(1))));
        assert!(!AllowFailure::No.covers(&failed(exit(1))));
    }
}
