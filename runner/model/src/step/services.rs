//! What services have in common, those of a release and those beside a step: the keys of their
//! containers and the order in which they come. What one kind alone has is in its own file.

pub(super) mod beside;
pub(super) mod health;
mod order;

use std::collections::BTreeMap;
use std::ops::Range;

pub(super) use order::in_order;

use crate::diag::Diagnostic;
use crate::image::ImageSource;
use crate::plan::Cx;
use crate::quantity::show_size;
use crate::spec::{At, CommandSpec, ServiceKeys};
use crate::text::Text;
use crate::unit::{Command, Condition, Dependency, Limits, Security, Tmpfs};

/// Without these beside no-new-privileges the official database images cannot start.
const LEAST: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];

/// Where services are written.
#[derive(Clone, Copy)]
pub(super) enum Home {
    /// In a deploy.
    Deploy,
    /// Beside a step.
    Step,
}

/// Where a service is written, for messages.
#[derive(Clone, Copy)]
pub(super) struct Place<'s> {
    pub(super) home: Home,
    /// The step.
    pub(super) step: &'s str,
    /// The service.
    pub(super) name: &'s At<String>,
}

impl Home {
    /// The path of a step's table of services.
    pub(super) fn table(self, step: &str) -> Vec<&str> {
        match self {
            Self::Deploy => vec!["steps", step, "deploy", "services"],
            Self::Step => vec!["steps", step, "services"],
        }
    }
}

impl Place<'_> {
    /// The path of one of the service's keys.
    pub(super) fn path<'p>(&'p self, key: &[&'p str]) -> Vec<&'p str> {
        let mut path = self.home.table(self.step);
        path.push(self.name.as_str());
        path.extend(key);
        path
    }

    /// The place of one of the service's keys.
    pub(super) fn key_span(&self, cx: &Cx<'_>, key: &[&str]) -> Range<usize> {
        cx.key_span(&self.path(key))
    }
}

/// What all services have.
pub(super) struct Common {
    pub(super) image: Option<ImageSource>,
    pub(super) command: Option<Command>,
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) environment: BTreeMap<String, Text>,
    pub(super) working_dir: Option<String>,
    pub(super) user: Option<String>,
    pub(super) security: Security,
    pub(super) limits: Limits,
    pub(super) tmpfs: Vec<Tmpfs>,
    pub(super) secrets: Vec<String>,
    pub(super) depends_on: Vec<Dependency>,
}

/// Lowers what all services have. `limits` are the bounds of one that says nothing, `all` the names
/// of the services there.
pub(super) fn lower<'n>(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    keys: &ServiceKeys<'_>,
    limits: Limits,
    all: impl Iterator<Item = &'n str> + Clone,
) -> Common {
    let image = cx.required(keys.image, &place.path(&["image"]));
    let image = image.and_then(|at| cx.image(at));
    let mut cap_add: Vec<String> = LEAST.map(str::to_owned).into();
    for capability in cx.capabilities(keys.cap_add) {
        if !cap_add.contains(&capability) {
            cap_add.push(capability);
        }
    }
    let mut limits = cx.limits(keys.resources, limits);
    limits.shm_size = cx.size(keys.shm_size);
    let working_dir = keys.working_dir.and_then(|at| cx.literal_at(at));
    let command = keys
        .command
        .and_then(|said| words(cx, place, "command", said));
    Common {
        image,
        command: command.map(Command::Exec),
        entrypoint: keys
            .entrypoint
            .and_then(|said| words(cx, place, "entrypoint", said)),
        environment: cx.texts(keys.environment),
        working_dir: working_dir.and_then(|at| cx.container_path(&at)),
        user: cx.literal_opt(keys.user),
        security: Security {
            cap_add,
            read_only: keys.read_only.is_some_and(|at| at.value),
        },
        limits,
        tmpfs: cx.tmpfs(keys.tmpfs),
        secrets: cx.secrets(keys.secrets),
        depends_on: depends_on(cx, place, keys, all),
    }
}

/// A command as Compose has it: a string is split into words, and no shell reads it.
fn words(cx: &mut Cx<'_>, place: &Place<'_>, key: &str, spec: &CommandSpec) -> Option<Vec<String>> {
    spec.strings()
        .iter()
        .for_each(|at| cx.never_interpolated(key, at));
    let (words, span) = match spec {
        CommandSpec::Words(words) => (
            words.iter().map(|word| word.value.clone()).collect(),
            place.key_span(cx, &[key]),
        ),
        CommandSpec::Line(line) => match shlex::split(&line.value) {
            Some(words) => (words, line.span.clone()),
            None => {
                let message = format!("`{key}` cannot be split into words");
                let fault = Diagnostic::error(message, line.span.clone());
                cx.fault(fault.help("a quote is not closed; an array needs no quotes inside"));
                return None;
            }
        },
    };
    if words.first().is_none_or(String::is_empty) {
        let fault = Diagnostic::error(format!("`{key}` is empty"), span);
        cx.fault(fault.help("leave it out to use the image's own"));
        return None;
    }
    let operators = ["&&", "||", "|", ";", ">", ">>", "<", "&"];
    let operator = words.iter().find(|word| operators.contains(&word.as_str()));
    if let (Some(operator), CommandSpec::Line(line)) = (operator, spec) {
        let message = format!("no shell reads `{key}`: `{operator}` is an argument like any other");
        let fault = Diagnostic::warning(message, line.span.clone());
        cx.fault(fault.help(format!(
            "for a shell write `{key} = [\"sh\", \"-c\", \"...\"]`"
        )));
    }
    Some(words)
}

fn depends_on<'n>(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    keys: &ServiceKeys<'_>,
    all: impl Iterator<Item = &'n str> + Clone,
) -> Vec<Dependency> {
    let words = [
        ("service_started", Condition::ServiceStarted),
        ("service_healthy", Condition::ServiceHealthy),
    ];
    let (here, before) = match place.home {
        Home::Deploy => ("in this deploy", "the deploy"),
        Home::Step => ("beside this step", "this one"),
    };
    let later =
        format!("it is not supported by this version; run what ends as a step before {before}");
    let refused = [("service_completed_successfully", later.as_str())];
    let mut needs: Vec<Dependency> = Vec::new();
    for (name, said) in keys.depends_on.iter().flat_map(|depends_on| &depends_on.0) {
        let condition = said.condition.as_ref();
        let condition = condition.and_then(|at| cx.word("condition", at, &words, &refused));
        if name.value == place.name.value {
            cx.fault(Diagnostic::error(
                "a service cannot depend on itself",
                name.span.clone(),
            ));
        } else if !all.clone().any(|known| known == name.as_str()) {
            let message = format!("there is no service `{}` {here}", name.value);
            cx.unknown_name(name, message, all.clone());
        } else if needs.iter().any(|need| need.service == name.value) {
            let message = format!("`{}` stands here twice", name.value);
            cx.fault(Diagnostic::error(message, name.span.clone()));
        }
        let service = name.value.clone();
        needs.push(Dependency {
            service,
            condition: condition.unwrap_or_default(),
        });
    }
    needs
}

/// What the file relaxes of a service's default sealing, in words. `base` are the bounds of one that
/// says nothing.
pub(super) fn relaxations(
    name: &str,
    security: &Security,
    limits: &Limits,
    base: &Limits,
) -> Vec<String> {
    let mut words = Vec::new();
    let more: Vec<&String> = security
        .cap_add
        .iter()
        .filter(|name| !LEAST.contains(&name.as_str()))
        .collect();
    if !more.is_empty() {
        words.push(format!("services.{name}.cap_add = {more:?}"));
    }
    if let (Some(memory), Some(base)) = (limits.memory, base.memory)
        && memory > base
    {
        let memory = show_size(memory);
        words.push(format!(
            "services.{name}.resources.limits.memory = \"{memory}\""
        ));
    }
    if limits.pids > base.pids {
        let pids = limits.pids.unwrap_or_default();
        words.push(format!("services.{name}.resources.limits.pids = {pids}"));
    }
    if let Some(size) = limits.shm_size {
        let size = show_size(size);
        words.push(format!("services.{name}.shm_size = \"{size}\""));
    }
    words
}
