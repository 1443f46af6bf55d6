//! Values of the file, read for what they mean: each question notes its fault and answers nothing
//! then, so that the rest can still be asked.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cx::Cx;
use super::vars::Steps;
use crate::diag::{Diagnostic, list, near};
use crate::quantity::{self, BadQuantity};
use crate::spec::{At, Resources, Table, inside};
use crate::text::Text;
use crate::unit::{Limits, Network};

/// Docker refuses less memory than this.
const LEAST_MEMORY: u64 = 6 << 20;
/// More is a slip: 1 PiB.
pub(super) const MOST_MEMORY: u64 = 1 << 50;

const ONLY_LATER: &str = "it is known only while the pipeline runs; images, build arguments and environment variables can wait for it";

/// Capabilities of Linux by Docker's names.
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

impl Cx<'_> {
    /// A string that may hold what steps make.
    pub(crate) fn text(&mut self, at: &At<impl AsRef<str>>) -> Option<Text> {
        self.expand(at, Steps::Allowed)
    }

    /// A string that has to be known now.
    pub(crate) fn literal(&mut self, at: &At<impl AsRef<str>>) -> Option<String> {
        self.expand(at, Steps::Refused(ONLY_LATER))?.as_literal()
    }

    /// The same with its place.
    pub(crate) fn literal_at(&mut self, at: &At<impl AsRef<str>>) -> Option<At<String>> {
        self.literal(at).map(|value| At {
            span: at.span.clone(),
            value,
        })
    }

    /// A string that may be absent.
    pub(crate) fn literal_opt(&mut self, at: Option<&At<impl AsRef<str>>>) -> Option<String> {
        at.and_then(|at| self.literal(at))
    }

    /// Several strings.
    pub(crate) fn literals(&mut self, all: Option<&Vec<At<String>>>) -> Vec<At<String>> {
        all.into_iter()
            .flatten()
            .filter_map(|at| self.literal_at(at))
            .collect()
    }

    /// Variables or build arguments.
    pub(crate) fn texts(&mut self, table: Option<&Table>) -> BTreeMap<String, Text> {
        let mut texts = BTreeMap::new();
        for (name, value) in table.into_iter().flatten() {
            if name.value.is_empty() || name.value.contains(['=', '\0']) {
                let message = format!("`{}` cannot be the name of a variable", name.value);
                self.fault(Diagnostic::error(message, name.span.clone()));
            }
            if let Some(text) = self.text(value) {
                texts.insert(name.value.clone(), text);
            }
        }
        texts
    }

    /// Labels; those that begin with `dev.hoist.` are hoist's own.
    pub(crate) fn labels(&mut self, table: Option<&Table>) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for (name, value) in table.into_iter().flatten() {
            if name.value.starts_with("dev.hoist.") {
                self.fault(
                    Diagnostic::error(
                        format!("`{}` is a label of hoist's own", name.value),
                        name.span.clone(),
                    )
                    .help("labels that begin with `dev.hoist.` tell hoist what it made"),
                );
            } else if name.value.is_empty() {
                self.fault(Diagnostic::error("a label needs a name", name.span.clone()));
            }
            if let Some(text) = self.literal(value) {
                labels.insert(name.value.clone(), text);
            }
        }
        labels
    }

    /// One of a few words. `refused` are words that people may expect, each with why not.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &str,
        at: &At<impl AsRef<str>>,
        words: &[(&str, T)],
        refused: &[(&str, &str)],
    ) -> Option<T> {
        let value = self.literal_at(at)?;
        if let Some((_, word)) = words.iter().find(|(name, _)| *name == value.value) {
            return Some(*word);
        }
        let message = format!("`{key}` cannot be `{}`", value.value);
        let fault = Diagnostic::error(message, value.span.clone());
        if let Some((_, why)) = refused.iter().find(|(name, _)| *name == value.value) {
            self.fault(fault.help(*why));
            return None;
        }
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        self.fault(match near(&value.value, names.iter().copied()) {
            Some(meant) => fault
                .help(format!("did you mean `{meant}`?"))
                .suggest(value.span, format!("\"{meant}\"")),
            None => fault.help(format!("it can be {}", list(&names))),
        });
        None
    }

    pub(crate) fn quantity<T>(
        &mut self,
        at: &At<impl AsRef<str>>,
        read: impl Fn(&str) -> Result<T, BadQuantity>,
    ) -> Option<T> {
        let text = self.literal(at)?;
        let bad = |bad: BadQuantity| Diagnostic::error(bad.message, at.span.clone()).help(bad.help);
        read(&text).map_err(|error| self.fault(bad(error))).ok()
    }

    /// A duration.
    pub(crate) fn duration(&mut self, at: Option<&At<impl AsRef<str>>>) -> Option<Duration> {
        at.and_then(|at| self.quantity(at, quantity::duration))
    }

    /// A duration above zero.
    pub(crate) fn some_time(
        &mut self,
        key: &str,
        at: Option<&At<impl AsRef<str>>>,
    ) -> Option<Duration> {
        let duration = self.duration(at)?;
        if duration.is_zero() {
            let span = at.map(|at| at.span.clone()).unwrap_or_default();
            self.fault(Diagnostic::error(format!("`{key}` cannot be zero"), span));
        }
        Some(duration)
    }

    /// A size of files in bytes.
    pub(crate) fn size_on_disk(&mut self, at: Option<&At<impl AsRef<str>>>) -> Option<u64> {
        at.and_then(|at| self.quantity(at, quantity::size))
    }

    /// A size of memory in bytes.
    pub(crate) fn size(&mut self, at: Option<&At<impl AsRef<str>>>) -> Option<u64> {
        let at = at?;
        let bytes = self.quantity(at, quantity::size)?;
        if bytes > MOST_MEMORY {
            let fault =
                Diagnostic::error("this is more memory than any machine has", at.span.clone());
            self.fault(fault.help("sizes are written like `512m` or `1g`"));
        }
        Some(bytes)
    }

    /// A size of memory in bytes that an engine takes as a bound.
    fn memory(&mut self, at: Option<&At<impl AsRef<str>>>) -> Option<u64> {
        let bytes = self.size(at);
        if let (Some(bytes), Some(at)) = (bytes, at)
            && bytes < LEAST_MEMORY
        {
            let fault =
                Diagnostic::error("this is less memory than an engine gives", at.span.clone());
            self.fault(fault.help("`6m` is the least"));
        }
        bytes
    }

    /// Bounds, with those of `base` where nothing is said.
    pub(crate) fn limits(&mut self, resources: Option<&Resources>, base: Limits) -> Limits {
        let mut limits = base;
        let Some(resources) = resources else {
            return limits;
        };
        if let Some(said) = &resources.limits {
            if let Some(pids) = said.pids.as_ref().filter(|pids| pids.value == 0) {
                self.fault(Diagnostic::error("`pids` cannot be 0", pids.span.clone()));
            }
            let cpus = said.cpus.as_ref();
            let cpus = cpus.and_then(|at| self.quantity(at, quantity::cpus));
            limits.cpus = cpus.or(limits.cpus);
            limits.memory = self.memory(said.memory.as_ref()).or(limits.memory);
            let pids = said.pids.as_ref().map(|pids| pids.value);
            limits.pids = pids.or(limits.pids);
        }
        if let Some(at) = resources
            .reservations
            .as_ref()
            .and_then(|r| r.memory.as_ref())
            && let Some(reserved) = self.memory(Some(at))
        {
            if let Some(most) = limits.memory.filter(|most| reserved > *most) {
                let message = format!(
                    "this is more than the bound on memory, {}",
                    quantity::show_size(most)
                );
                let fault = Diagnostic::error(message, at.span.clone());
                self.fault(fault.help("raise `resources.limits.memory`, or reserve less"));
            }
            limits.memory_reservation = Some(reserved);
        } else if let Some(most) = limits.memory {
            // What is inherited gives way to what is said.
            limits.memory_reservation = limits.memory_reservation.map(|bytes| bytes.min(most));
        }
        limits
    }

    /// A container's way out.
    pub(crate) fn network(&mut self, at: Option<&At<String>>) -> Option<Network> {
        let words = [("none", Network::None), ("bridge", Network::Bridge)];
        let host = "a container with the machine's own network could reach all that listens there, the engine too";
        self.word("network", at?, &words, &[("host", host)])
    }

    /// Capabilities as Docker names them, without `CAP_`.
    pub(crate) fn capabilities(&mut self, all: Option<&Vec<At<String>>>) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for at in self.literals(all) {
            if at.value.eq_ignore_ascii_case("ALL") {
                self.fault(
                    Diagnostic::error("`cap_add` cannot be `ALL`", at.span)
                        .help("name the capabilities that are needed one by one"),
                );
            } else if let Some(name) = self.capability(&at)
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }

    /// A capability as Docker names it, without `CAP_`.
    pub(crate) fn capability(&mut self, at: &At<String>) -> Option<String> {
        let upper = at.value.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if CAPABILITIES.contains(&name) {
            return Some(name.to_owned());
        }
        let message = format!("there is no capability `{}`", at.value);
        let fault = Diagnostic::error(message, at.span.clone());
        self.fault(match near(name, CAPABILITIES) {
            Some(meant) => fault
                .help(format!("did you mean `{meant}`?"))
                .suggest(at.span.clone(), format!("\"{meant}\"")),
            None => fault,
        });
        None
    }

    /// Names of secrets that are defined, each once.
    pub(crate) fn secrets(&mut self, all: Option<&Vec<At<String>>>) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for at in self.literals(all) {
            self.known_secret(&at);
            if names.contains(&at.value) {
                self.fault(Diagnostic::error(
                    format!("`{}` stands here twice", at.value),
                    at.span,
                ));
            } else {
                names.push(at.value);
            }
        }
        names
    }

    /// Notes a fault if there is no secret of that name.
    pub(crate) fn known_secret(&mut self, at: &At<String>) {
        let spec = self.spec;
        if !spec.secrets.contains_key(at.as_str()) {
            let message = format!("there is no secret `{}`", at.value);
            self.unknown_name(at, message, spec.secrets.keys().map(At::as_str));
        }
    }

    /// Warns of what stands in a command and looks as if it should be interpolated, where no shell
    /// could mean anything by it either.
    pub(crate) fn never_interpolated(&mut self, key: &str, at: &At<String>) {
        for (start, _) in at.value.match_indices("${") {
            let (before, reference) = at.value.split_at(start);
            let name = reference
                .trim_start_matches("${")
                .split('}')
                .next()
                .unwrap_or_default();
            let help = if ["git.", "env.", "steps."]
                .iter()
                .any(|space| name.starts_with(space))
            {
                let table = match key {
                    "dockerfile_inline" => "an argument: `args",
                    _ => "a variable: `environment",
                };
                format!("pass it as {table} = {{ NAME = \"${{{name}}}\" }}`, and write `$NAME`")
            } else if before.ends_with('$') {
                format!("write `${{{name}}}` for a shell")
            } else {
                continue;
            };
            let dollars = if before.ends_with('$') { "$" } else { "" };
            let shown = format!("{dollars}${{{name}}}");
            let range = start - dollars.len()..start - dollars.len() + shown.len();
            let span = inside(&self.spec.file.text, &at.span, &at.value, &range);
            let message = format!("`{shown}` stays as it is: `{key}` is never interpolated");
            self.fault(Diagnostic::warning(message, span).help(help));
        }
    }

    /// A name of a step, a service and the like: small letters, digits, `-` and `_`.
    pub(crate) fn name(&mut self, what: &str, at: &At<String>) {
        let holds = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let ok = at.value.starts_with(holds)
            && at.value.chars().all(|c| holds(c) || c == '-' || c == '_')
            && at.value.len() <= 63;
        if !ok {
            let message = format!("`{}` cannot be the name of {what}", at.value);
            self.fault(
                Diagnostic::error(message, at.span.clone())
                    .help("names are of small letters, digits, `-` and `_`, begin with a letter or digit, and have 63 at most"),
            );
        }
    }
}
