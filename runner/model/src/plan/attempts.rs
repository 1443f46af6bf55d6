//! What a step's failure leads to: the keys `retry`, `allow_failure` and `always`.

use super::cx::{Cx, KindKey, Step};
use crate::attempts::{AllowFailure, Retry, RetryWhen};
use crate::diag::Diagnostic;
use crate::spec::{AllowFailureSpec, At};

/// What `retry.when` can name.
const WHEN: &[(&str, RetryWhen)] = &[
    ("step_failure", RetryWhen::StepFailure),
    ("system_failure", RetryWhen::SystemFailure),
    ("timeout", RetryWhen::Timeout),
    ("oom", RetryWhen::Oom),
];
/// Words of other tools for the same.
const OTHERS: &[(&str, &str)] = &[
    ("always", "without `when`, every kind is tried again"),
    ("script_failure", "here it is called `step_failure`"),
    (
        "runner_system_failure",
        "here it is called `system_failure`",
    ),
    ("stuck_or_timeout_failure", "here it is called `timeout`"),
];
/// More attempts than this hide what is broken.
const MOST: u32 = 10;

/// What a step's failure leads to.
#[derive(Default)]
pub(super) struct Attempts {
    pub(super) retry: Retry,
    pub(super) allow_failure: AllowFailure,
    pub(super) always: bool,
}

impl Cx<'_> {
    /// Reads what a step's failure leads to.
    pub(super) fn attempts(&mut self, step: Step<'_>) -> Attempts {
        let id = step.id.as_str();
        let spec = step.spec;
        if step.kind == Some(KindKey::Deploy) {
            let keys = [
                ("retry", spec.retry.is_some()),
                ("allow_failure", spec.allow_failure.is_some()),
            ];
            for (key, _) in keys.into_iter().filter(|(_, is_there)| *is_there) {
                let span = self.key_span(&["steps", id, key]);
                let fault = Diagnostic::error(format!("a deploy has no `{key}`"), span);
                self.fault(fault.help(
                    "one that fails goes back to the release before, and the run says so with \
                     its own exit code",
                ));
            }
        }
        Attempts {
            retry: self.retry(step),
            allow_failure: self.allow_failure(step),
            always: spec.always.as_ref().is_some_and(|at| at.value),
        }
    }

    fn retry(&mut self, step: Step<'_>) -> Retry {
        let Some(spec) = &step.spec.retry else {
            return Retry::default();
        };
        let max = self.required(
            spec.max.as_ref(),
            &["steps", step.id.as_str(), "retry", "max"],
        );
        if let Some(max) = max.filter(|max| max.value > MOST) {
            let message = format!("`max` cannot be more than {MOST}");
            let fault = Diagnostic::error(message, max.span.clone());
            self.fault(fault.help("what fails that often is worth mending"));
        }
        let mut when = Vec::new();
        for word in spec.when.iter().flatten() {
            when.extend(self.word("when", word, WHEN, OTHERS));
        }
        Retry {
            max: max.map_or(0, |max| max.value),
            when,
            exit_codes: self.exit_codes(spec.exit_codes.as_deref()),
            backoff: self.duration(spec.backoff.as_ref()).unwrap_or_default(),
        }
    }

    fn allow_failure(&mut self, step: Step<'_>) -> AllowFailure {
        match &step.spec.allow_failure {
            None | Some(AllowFailureSpec::Whole(false)) => AllowFailure::No,
            Some(AllowFailureSpec::Whole(true)) => AllowFailure::Yes,
            Some(AllowFailureSpec::ExitCodes(spec)) => {
                let path = ["steps", step.id.as_str(), "allow_failure", "exit_codes"];
                let codes = self.required(spec.exit_codes.as_ref(), &path);
                AllowFailure::ExitCodes(self.exit_codes(codes.map(Vec::as_slice)))
            }
        }
    }

    fn exit_codes(&mut self, codes: Option<&[At<i64>]>) -> Vec<i64> {
        let codes = codes.unwrap_or_default();
        for code in codes.iter().filter(|code| !(1..=255).contains(&code.value)) {
            let message = format!("`{}` is no exit code of a failure", code.value);
            let fault = Diagnostic::error(message, code.span.clone());
            self.fault(fault.help("exit codes of failures are 1 to 255"));
        }
        codes.iter().map(|code| code.value).collect()
    }
}
