//! Services beside a step.

use std::collections::BTreeMap;

use super::{Home, Owner, Place, health};
use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::{At, HealthcheckSpec, StepServiceSpec};
use crate::unit::{Healthcheck, Limits, StepService};

/// Lowers the services beside a step; nothing if one of them has a fault.
pub(in crate::step) fn lower(
    cx: &mut Cx<'_>,
    step: &str,
    services: &BTreeMap<At<String>, StepServiceSpec>,
) -> Option<Vec<StepService>> {
    let owner = Owner { step, bases: &[] };
    let mut written: Vec<(&At<String>, &StepServiceSpec)> = services.iter().collect();
    written.sort_by_key(|(name, _)| name.span.start);
    let all = services.keys().map(At::as_str);
    let mut units = Vec::new();
    for (name, spec) in &written {
        cx.name("a service", name);
        let place = Place {
            home: Home::Step,
            owner,
            name,
        };
        units.push(service(cx, &place, spec, all.clone()));
    }
    let written = written
        .iter()
        .map(|(name, spec)| (*name, spec.depends_on.as_ref()));
    let written: Vec<_> = written.collect();
    super::in_order(cx, Home::Step, owner, &written, units)
}

fn service<'n>(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &StepServiceSpec,
    all: impl Iterator<Item = &'n str> + Clone,
) -> Option<StepService> {
    let common = super::lower(cx, place, &spec.keys(), Limits::SEALED, all);
    let healthcheck = healthcheck(cx, place, spec.healthcheck.as_ref());
    let grace = cx.duration(spec.stop_grace_period.as_ref());
    let stop_signal = cx.signal(spec.stop_signal.as_ref());
    if let Some(at) = &spec.stop_signal
        && spec.stop_grace_period.is_none()
    {
        let fault = Diagnostic::error(
            "`stop_signal` goes with a `stop_grace_period`",
            at.span.clone(),
        );
        cx.fault(fault.help("without one, a service is killed when its step has ended"));
    }
    Some(StepService {
        name: place.name.value.clone(),
        image: common.image?,
        command: common.command,
        entrypoint: common.entrypoint,
        environment: common.environment,
        working_dir: common.working_dir,
        user: common.user,
        security: common.security,
        limits: common.limits,
        tmpfs: common.tmpfs,
        secrets: common.secrets,
        healthcheck: healthcheck?,
        depends_on: common.depends_on,
        stop_grace_period: grace.unwrap_or_default(),
        stop_signal,
    })
}

/// A service's own check, else its image's.
fn healthcheck(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: Option<&HealthcheckSpec>,
) -> Option<Healthcheck> {
    match spec {
        Some(said) => health::lower(cx, place, said, true),
        None => Some(Healthcheck::default()),
    }
}

/// What the file relaxes of a service's default sealing, in words.
pub(in crate::step) fn relaxations(service: &StepService) -> Vec<String> {
    super::relaxations(
        super::Home::Step,
        &service.name,
        &service.security,
        &service.limits,
        &Limits::SEALED,
    )
}
