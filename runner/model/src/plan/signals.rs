//! Names of signals, as Compose writes them: `SIGINT`, `INT` or a number. It refuses those that
//! stop no process.

use super::cx::Cx;
use crate::diag::{Diagnostic, near};
use crate::spec::At;

/// The signals that a process can be asked to end with.
const SIGNALS: &[&str] = &[
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM",
    "SIGTERM", "SIGPWR", "SIGWINCH",
];
/// The last of the numbers that Linux has for signals.
const LAST: u8 = 64;

impl Cx<'_> {
    /// The signal that asks a container to end, as the engine takes it.
    pub(crate) fn signal(&mut self, at: Option<&At<String>>) -> Option<String> {
        let at = self.literal_at(at?)?;
        let name = at.value.to_ascii_uppercase();
        let full = match name.strip_prefix("SIG") {
            Some(_) => name.clone(),
            None => format!("SIG{name}"),
        };
        let number = name
            .parse()
            .is_ok_and(|number| (1..=LAST).contains(&number));
        if number || is_realtime(&full) {
            return Some(if number { name } else { full });
        }
        if SIGNALS.contains(&full.as_str()) {
            return Some(full);
        }
        let message = format!("`{}` is no signal that ends a process", at.value);
        let fault = Diagnostic::error(message, at.span.clone());
        self.fault(match near(&full, SIGNALS.iter().copied()) {
            Some(meant) => fault
                .help(format!("did you mean `{meant}`?"))
                .suggest(at.span, format!("\"{meant}\"")),
            None => fault.help("name one like `SIGINT`, or its number"),
        });
        None
    }
}

/// Such as the `SIGRTMIN+3` by which systemd is asked to end.
fn is_realtime(name: &str) -> bool {
    let distance = name
        .strip_prefix("SIGRTMIN")
        .map(|rest| rest.strip_prefix('+').unwrap_or(rest))
        .or_else(|| {
            let rest = name.strip_prefix("SIGRTMAX")?;
            Some(rest.strip_prefix('-').unwrap_or(rest))
        });
    distance.is_some_and(|rest| rest.is_empty() || rest.parse().is_ok_and(|far: u8| far <= 15))
}
