//! One service of a release.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Place, health, mounts};
use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::quantity::show_size;
use crate::spec::{At, CommandSpec, ServiceSpec};
use crate::unit::{Command, Condition, Dependency, Limits, Restart, Security, ServiceUnit};

/// Without these beside no-new-privileges the official database images cannot start.
const LEAST: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];

/// Docker's own grace.
const GRACE: Duration = Duration::from_secs(10);

/// Lowers a service.
pub(super) fn lower(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &ServiceSpec,
    all: &BTreeMap<At<String>, ServiceSpec>,
) -> Option<ServiceUnit> {
    let path = [
        "steps",
        place.step,
        "deploy",
        "services",
        place.name.as_str(),
        "image",
    ];
    let image = cx
        .required(spec.image.as_ref(), &path)
        .and_then(|at| cx.image(at));
    strategy(cx, spec);
    let mut cap_add: Vec<String> = LEAST.map(str::to_owned).into();
    for capability in cx.capabilities(spec.cap_add.as_ref()) {
        if !cap_add.contains(&capability) {
            cap_add.push(capability);
        }
    }
    let mut limits = cx.limits(spec.resources.as_ref(), Limits::SERVICE);
    limits.shm_size = cx.size(spec.shm_size.as_ref());
    let working_dir = spec.working_dir.as_ref().and_then(|at| cx.literal_at(at));
    let working_dir = working_dir.and_then(|at| cx.container_path(&at));
    let tmpfs = cx.tmpfs(spec.tmpfs.as_ref());
    let volumes = mounts::volumes(cx, spec.volumes.as_ref(), &tmpfs);
    let restart = [
        ("no", Restart::No),
        ("always", Restart::Always),
        ("on-failure", Restart::OnFailure),
        ("unless-stopped", Restart::UnlessStopped),
    ];
    let restart = spec
        .restart
        .as_ref()
        .and_then(|at| cx.word("restart", at, &restart, &[]));
    let grace = cx.duration(spec.stop_grace_period.as_ref());
    let command = spec
        .command
        .as_ref()
        .and_then(|said| words(cx, place, "command", said));
    let entrypoint = spec
        .entrypoint
        .as_ref()
        .and_then(|said| words(cx, place, "entrypoint", said));
    let unit = ServiceUnit {
        name: place.name.value.clone(),
        command: command.map(Command::Exec),
        entrypoint,
        environment: cx.texts(spec.environment.as_ref()),
        working_dir,
        user: cx.literal_opt(spec.user.as_ref()),
        security: Security {
            cap_add,
            read_only: spec.read_only.as_ref().is_some_and(|at| at.value),
        },
        limits,
        tmpfs,
        secrets: cx.secrets(spec.secrets.as_ref()),
        volumes,
        ports: mounts::ports(cx, place, spec.ports.as_ref()),
        networks: networks(cx, place, spec),
        healthcheck: spec
            .healthcheck
            .as_ref()
            .and_then(|said| health::lower(cx, place, said)),
        restart: restart.unwrap_or_default(),
        depends_on: depends_on(cx, place, spec, all),
        labels: cx.labels(spec.labels.as_ref()),
        stop_grace_period: grace.unwrap_or(GRACE),
        image: image?,
    };
    Some(unit)
}

fn strategy(cx: &mut Cx<'_>, spec: &ServiceSpec) {
    let later = "it is not supported by this version, which has `recreate`";
    let refused = [("blue-green", later), ("rolling", later), ("canary", later)];
    if let Some(at) = &spec.strategy {
        cx.word("strategy", at, &[("recreate", ())], &refused);
    }
    if let Some(at) = spec.replicas.as_ref().filter(|at| at.value != 1) {
        let message = format!("`replicas` cannot be {}", at.value);
        let fault = Diagnostic::error(message, at.span.clone());
        cx.fault(fault.help("more than one is not supported by this version"));
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

fn networks(cx: &mut Cx<'_>, place: &Place<'_>, spec: &ServiceSpec) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for at in cx.literals(spec.networks.as_ref()) {
        if let Some(environment) = place.environment
            && !environment.networks.contains_key(&at.value)
        {
            let message = format!(
                "the environment `{}` has no network `{}`",
                environment.name, at.value
            );
            cx.unknown_name(
                &at,
                message,
                environment.networks.keys().map(String::as_str),
            );
        }
        if names.contains(&at.value) {
            cx.fault(Diagnostic::error(
                format!("`{}` stands here twice", at.value),
                at.span,
            ));
        } else {
            names.push(at.value);
        }
    }
    if names.is_empty() {
        vec!["default".into()]
    } else {
        names
    }
}

fn depends_on(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &ServiceSpec,
    all: &BTreeMap<At<String>, ServiceSpec>,
) -> Vec<Dependency> {
    let words = [
        ("service_started", Condition::ServiceStarted),
        ("service_healthy", Condition::ServiceHealthy),
    ];
    let later = "it is not supported by this version; run what ends as a step before the deploy";
    let refused = [("service_completed_successfully", later)];
    let mut needs: Vec<Dependency> = Vec::new();
    for (name, said) in spec.depends_on.iter().flat_map(|depends_on| &depends_on.0) {
        let condition = said.condition.as_ref();
        let condition = condition.and_then(|at| cx.word("condition", at, &words, &refused));
        if name.value == place.name.value {
            cx.fault(Diagnostic::error(
                "a service cannot depend on itself",
                name.span.clone(),
            ));
        } else if !all.contains_key(name.as_str()) {
            let message = format!("there is no service `{}` in this deploy", name.value);
            cx.unknown_name(name, message, all.keys().map(At::as_str));
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

/// What the file relaxes of a service's default sealing, in words.
pub(super) fn relaxations(unit: &ServiceUnit) -> Vec<String> {
    let mut words = Vec::new();
    let more: Vec<&String> = unit
        .security
        .cap_add
        .iter()
        .filter(|name| !LEAST.contains(&name.as_str()))
        .collect();
    if !more.is_empty() {
        words.push(format!("services.{}.cap_add = {more:?}", unit.name));
    }
    if unit.limits.pids > Limits::SERVICE.pids {
        let pids = unit.limits.pids.unwrap_or_default();
        words.push(format!(
            "services.{}.resources.limits.pids = {pids}",
            unit.name
        ));
    }
    if let Some(size) = unit.limits.shm_size {
        words.push(format!(
            "services.{}.shm_size = \"{}\"",
            unit.name,
            show_size(size)
        ));
    }
    words
}
