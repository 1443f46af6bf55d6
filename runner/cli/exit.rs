//! Exit codes, and errors on their way out. The only place that knows the numbers.

use std::io::Write;
use std::process::ExitCode;

use hoist_model::reason::{Signal, Trouble, Verdict};

/// An error that ends the command.
#[derive(Debug)]
pub(crate) struct CliError {
    /// What it comes to.
    pub(crate) verdict: Verdict,
    /// What people are told, one after another; already rendered where it holds a snippet.
    pub(crate) say: Vec<Say>,
}

/// One thing to tell.
#[derive(Debug)]
pub(crate) enum Say {
    /// A sentence with its cause and hint.
    Trouble(Trouble),
    /// Text as it is.
    Rendered(String),
}

impl CliError {
    /// Wrong use or a wrong file; exit code 2.
    pub(crate) fn usage(trouble: Trouble) -> Self {
        Self {
            verdict: Verdict::Configuration,
            say: vec![Say::Trouble(trouble)],
        }
    }

    /// Engine, registry, network or disk; exit code 4.
    pub(crate) fn surroundings(what: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::trouble(Trouble::new(what).cause(cause))
    }

    /// As [`CliError::surroundings`], with the sentences at hand.
    pub(crate) fn trouble(trouble: Trouble) -> Self {
        Self {
            verdict: Verdict::Surroundings,
            say: vec![Say::Trouble(trouble)],
        }
    }

    /// Several wrong things at once; exit code 2.
    pub(crate) fn configuration(troubles: Vec<Trouble>) -> Self {
        let say = troubles.into_iter().map(Say::Trouble).collect();
        Self {
            verdict: Verdict::Configuration,
            say,
        }
    }

    /// Rendered diagnostics of the file; exit code 2.
    pub(crate) fn diagnostics(text: String) -> Self {
        Self {
            verdict: Verdict::Configuration,
            say: vec![Say::Rendered(text)],
        }
    }
}

impl From<std::io::Error> for CliError {
    /// Writing to standard output failed.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            // Whoever read the output has enough of it, which is no fault.
            return Self {
                verdict: Verdict::Passed,
                say: Vec::new(),
            };
        }
        Self::surroundings("cannot write the output", error.to_string())
    }
}

/// Tells the error on standard error and gives its exit code.
pub(crate) fn report(error: &CliError, colour: bool) -> ExitCode {
    let mut out = std::io::stderr().lock();
    for say in &error.say {
        let text = match say {
            Say::Trouble(trouble) => hoist_report::diagnostics::trouble(trouble, colour),
            Say::Rendered(text) => text.clone(),
        };
        let _ = out.write_all(text.as_bytes());
    }
    code(error.verdict)
}

/// The exit code of another process, handed on. Processes have no other codes than these.
pub(crate) fn handed_on(code: i64) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// The exit code of a verdict.
pub(crate) fn code(verdict: Verdict) -> ExitCode {
    ExitCode::from(match verdict {
        Verdict::Passed => 0,
        Verdict::StepFailed => 1,
        Verdict::Configuration => 2,
        Verdict::GateFailed => 3,
        Verdict::Surroundings => 4,
        Verdict::DeployFailed => 5,
        Verdict::NotApproved => 6,
        Verdict::TimedOut => 124,
        Verdict::Interrupted(Signal::Interrupt) => 130,
        Verdict::Interrupted(Signal::Terminate) => 143,
    })
}
