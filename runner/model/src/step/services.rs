//! What services have in common, those of a release and those beside a step: the keys of their
//! containers and the order in which they come. What one kind alone has is in its own file.

pub(super) mod beside;
pub(super) mod health;
mod order;
mod place;

use std::collections::BTreeMap;

pub(super) use order::{check_health_of_needs, in_order};
pub(super) use place::{Home, Owner, Place};

use crate::diag::Diagnostic;
use crate::image::ImageSource;
use crate::plan::Cx;
use crate::quantity::show_size;
use crate::spec::{At, CommandSpec, ServiceKeys};
use crate::text::Text;
use crate::unit::{Command, Condition, Dependency, Limits, Security, Tmpfs};

/// Without these beside no-new-privileges the official database images cannot start.
const LEAST: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];

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
    let image = place.required(cx, keys.image, &["image"]);
    let image = image.and_then(|at| cx.image(at));
    let cap_add = capabilities(cx, keys);
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
        environment: environment(cx, keys),
        working_dir: working_dir.and_then(|at| cx.container_path(&at)),
        user: cx.literal_opt(keys.user),
        security: Security {
            cap_add,
            read_only: keys.read_only.is_some_and(|at| at.value),
            ..Security::default()
        },
        limits,
        tmpfs: cx.tmpfs(keys.tmpfs),
        secrets: cx.secrets(keys.secrets),
        depends_on: depends_on(cx, place, keys, all),
    }
}

/// The capabilities that a service keeps: the least without those that it drops, and those that it
/// adds.
fn capabilities(cx: &mut Cx<'_>, keys: &ServiceKeys<'_>) -> Vec<String> {
    let added = cx.capabilities(keys.cap_add);
    let mut kept: Vec<String> = LEAST.map(str::to_owned).into();
    for at in cx.literals(keys.cap_drop) {
        if at.value.eq_ignore_ascii_case("ALL") {
            kept.clear();
        } else if let Some(name) = cx.capability(&at) {
            if added.contains(&name) {
                let message = format!("`{name}` stands in `cap_add` and in `cap_drop`");
                cx.fault(Diagnostic::error(message, at.span).help("keep one of the two"));
            }
            kept.retain(|kept| *kept != name);
        }
    }
    for name in added {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    kept
}

/// Variables: those of files, and over them those that the file names itself.
fn environment(cx: &mut Cx<'_>, keys: &ServiceKeys<'_>) -> BTreeMap<String, Text> {
    let files = cx.env_files(keys.env_file);
    let files = files.into_iter();
    let mut all: BTreeMap<String, Text> = files
        .map(|(name, value)| (name, Text::literal(value)))
        .collect();
    all.extend(cx.texts(keys.environment));
    all
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
        cx.fault(match place.home {
            Home::PreDeploy | Home::PostDeploy if key == "command" => {
                fault.help("say what it runs")
            }
            _ => fault.help("leave it out to use the image's own"),
        });
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
    let (here, later) = match place.home {
        Home::Deploy | Home::PreDeploy | Home::PostDeploy => (
            "in this deploy",
            "it is not supported by this version; what has to end before services start is run in `pre_deploy`",
        ),
        Home::Step => (
            "beside this step",
            "it is not supported by this version; run what ends as a step before this one",
        ),
    };
    let refused = [("service_completed_successfully", later)];
    let mut needs: Vec<Dependency> = Vec::new();
    for (name, said) in keys.depends_on.iter().flat_map(|depends_on| &depends_on.0) {
        let condition = said.condition.as_ref();
        let condition = condition.and_then(|at| cx.word("condition", at, &words, &refused));
        if name.value == place.name.value {
            cx.fault(Diagnostic::error(
                "a service cannot depend on itself",
                name.span.clone(),
            ));
        } else if is_hook(cx, place, name) {
            let message = format!("`{}` is a hook, not a service", name.value);
            let fault = Diagnostic::error(message, name.span.clone());
            cx.fault(fault.help("leave it out: all of `pre_deploy` has ended before a service is touched, and `post_deploy` comes after all of them"));
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

/// A deploy runs something once under that name.
fn is_hook(cx: &Cx<'_>, place: &Place<'_>, name: &At<String>) -> bool {
    let mut hooks = [Home::PreDeploy, Home::PostDeploy].into_iter();
    !matches!(place.home, Home::Step)
        && hooks.any(|home| place.owner.has(cx, home, &[name.as_str()]))
}

/// What the file relaxes of a service's default sealing, in words. `base` are the bounds of one that
/// says nothing.
pub(super) fn relaxations(
    home: Home,
    name: &str,
    security: &Security,
    limits: &Limits,
    base: &Limits,
) -> Vec<String> {
    let table = match home {
        Home::Deploy | Home::Step => "services",
        Home::PreDeploy => "pre_deploy",
        Home::PostDeploy => "post_deploy",
    };
    let mut words = Vec::new();
    let more: Vec<&String> = security
        .cap_add
        .iter()
        .filter(|name| !LEAST.contains(&name.as_str()))
        .collect();
    if !more.is_empty() {
        words.push(format!("{table}.{name}.cap_add = {more:?}"));
    }
    if let (Some(memory), Some(base)) = (limits.memory, base.memory)
        && memory > base
    {
        let memory = show_size(memory);
        words.push(format!(
            "{table}.{name}.resources.limits.memory = \"{memory}\""
        ));
    }
    if limits.pids > base.pids {
        let pids = limits.pids.unwrap_or_default();
        words.push(format!("{table}.{name}.resources.limits.pids = {pids}"));
    }
    if let Some(size) = limits.shm_size {
        let size = show_size(size);
        words.push(format!("{table}.{name}.shm_size = \"{size}\""));
    }
    words
}
