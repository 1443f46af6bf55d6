//! What runs once in a release: `pre_deploy` and `post_deploy`. A hook is a container like that of
//! a service, but nothing comes in to it and it is not started again.

use std::time::Duration;

use super::{Place, service, within};
use crate::plan::Cx;
use crate::spec::HookSpec;
use crate::step::services;
use crate::unit::{HookUnit, Limits, Restart, ServiceUnit, Traffic, UpdatePlan};

/// How long a hook may take if nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Lowers a hook; `all` are the names of the release's services.
pub(super) fn lower<'n>(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &HookSpec,
    all: impl Iterator<Item = &'n str> + Clone,
) -> Option<HookUnit> {
    let common = services::lower(cx, &place.at, &spec.keys(), Limits::SERVICE, all);
    place.at.required(cx, spec.command.as_ref(), &["command"]);
    let volumes = crate::step::volumes::volumes(cx, spec.volumes.as_ref(), &common.tmpfs);
    let networks = service::networks(cx, place, spec.networks.as_ref());
    let labels = cx.labels(spec.labels.as_ref());
    let timeout = within(cx, "timeout", spec.timeout.as_ref(), place.timeout);
    let container = ServiceUnit {
        name: place.at.name.value.clone(),
        command: Some(common.command?),
        entrypoint: common.entrypoint,
        environment: common.environment,
        working_dir: common.working_dir,
        user: common.user,
        security: common.security,
        limits: common.limits,
        tmpfs: common.tmpfs,
        secrets: common.secrets,
        secrets_in_memory: false,
        volumes,
        ports: Vec::new(),
        networks,
        host_network: false,
        healthcheck: None,
        restart: Restart::No,
        depends_on: common.depends_on,
        labels,
        stop_grace_period: service::GRACE,
        replicas: 1,
        update: UpdatePlan::default(),
        traffic: Traffic::default(),
        image: common.image?,
    };
    Some(HookUnit {
        container,
        timeout: timeout.unwrap_or(TIMEOUT.min(place.timeout)),
    })
}
