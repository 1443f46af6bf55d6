//! One service of a release.

use std::time::Duration;

use super::{Place, mounts};
use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::ServiceSpec;
use crate::step::services::{self, health};
use crate::unit::{Limits, Restart, ServiceUnit, Traffic, UpdatePlan};

/// Docker's own grace.
const GRACE: Duration = Duration::from_secs(10);

/// Lowers a service; `all` are the names of the release's.
pub(super) fn lower<'n>(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &ServiceSpec,
    all: impl Iterator<Item = &'n str> + Clone,
) -> Option<ServiceUnit> {
    let common = services::lower(cx, &place.at, &spec.keys(), Limits::SERVICE, all);
    strategy(cx, spec);
    let volumes = crate::step::volumes::volumes(cx, spec.volumes.as_ref(), &common.tmpfs);
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
    let unit = ServiceUnit {
        name: place.at.name.value.clone(),
        command: common.command,
        entrypoint: common.entrypoint,
        environment: common.environment,
        working_dir: common.working_dir,
        user: common.user,
        security: common.security,
        limits: common.limits,
        tmpfs: common.tmpfs,
        secrets: common.secrets,
        volumes,
        ports: mounts::ports(cx, place, spec.ports.as_ref()),
        networks: networks(cx, place, spec),
        healthcheck: spec
            .healthcheck
            .as_ref()
            .and_then(|said| health::lower(cx, &place.at, said, false)),
        restart: restart.unwrap_or_default(),
        depends_on: common.depends_on,
        labels: cx.labels(spec.labels.as_ref()),
        stop_grace_period: grace.unwrap_or(GRACE),
        replicas: 1,
        update: UpdatePlan::default(),
        traffic: Traffic::default(),
        image: common.image?,
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
