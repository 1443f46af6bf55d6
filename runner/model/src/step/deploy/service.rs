//! One service of a release.

use std::time::Duration;

use super::fit::{self, Fit};
use super::{Place, bounds, host_network, mounts, security, traffic, update};
use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::{At, ServiceSpec};
use crate::step::services::{self, health};
use crate::unit::{Limits, Restart, ServiceUnit};

/// Docker's own grace.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Lowers a service; `all` are the names of the release's.
pub(super) fn lower<'n>(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &ServiceSpec,
    all: impl Iterator<Item = &'n str> + Clone,
) -> Option<ServiceUnit> {
    let mut common = services::lower(cx, &place.at, &spec.keys(), Limits::SERVICE, all);
    bounds::lower(cx, &place.at, spec, &mut common.limits);
    security::lower(cx, spec, &mut common.security);
    let strategy = update::strategy(cx, spec);
    let replicas = update::replicas(cx, spec);
    let update = update::lower(cx, place, spec, strategy);
    update::ends_in_time(cx, place, spec, &update, replicas);
    let traffic = traffic::lower(cx, place, spec, strategy);
    let ports = mounts::ports(cx, place, spec.ports.as_ref(), &traffic.routes);
    let volumes = crate::step::volumes::volumes(cx, spec.volumes.as_ref(), &common.tmpfs);
    let host_network = host_network::lower(cx, spec);
    if host_network {
        host_network::check(cx, place, spec, strategy);
    } else {
        let fit = Fit {
            strategy,
            volumes: &volumes,
            ports: &ports,
            traffic: &traffic,
        };
        fit::check(cx, place, spec, &fit);
    }
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
        secrets_in_memory: in_memory(cx, place, spec),
        secrets: common.secrets,
        volumes,
        ports,
        networks: match host_network {
            true => Vec::new(),
            false => networks(cx, place, spec.networks.as_ref()),
        },
        host_network,
        healthcheck: spec
            .healthcheck
            .as_ref()
            .and_then(|said| health::lower(cx, &place.at, said, false)),
        restart: restart.unwrap_or_default(),
        depends_on: common.depends_on,
        labels: cx.labels(spec.labels.as_ref()),
        stop_grace_period: grace.unwrap_or(GRACE),
        replicas,
        update,
        traffic,
        image: common.image?,
    };
    Some(unit)
}

/// Its secrets are kept in memory.
fn in_memory(cx: &mut Cx<'_>, place: &Place<'_>, spec: &ServiceSpec) -> bool {
    let Some(at) = &spec.secrets_storage else {
        return false;
    };
    if spec.secrets.as_ref().is_none_or(Vec::is_empty) {
        let span = place.at.key_span(cx, &["secrets_storage"]);
        let fault = Diagnostic::error("the service has no `secrets` to be kept", span);
        cx.fault(fault.help("name them in `secrets`, or leave `secrets_storage` out"));
    }
    let words = [("disk", false), ("memory", true)];
    cx.word("secrets_storage", at, &words, &[]).unwrap_or(false)
}

/// Names of the environment's networks.
pub(super) fn networks(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    all: Option<&Vec<At<String>>>,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for at in cx.literals(all) {
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
