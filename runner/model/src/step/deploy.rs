//! The step kind `deploy`: a release to an environment. Its services are put in the order of their
//! dependencies here; how a release takes the place of another is the engine's.

mod mounts;
mod service;

use std::time::Duration;

use super::StepKind;
use super::lowered::Lowered;
use super::services::{self, Home};
use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::quantity::show_duration;
use crate::spec::{At, DeploySpec, ServiceSpec};
use crate::unit::{EnvironmentPlan, Limits, ReleaseUnit, Unit};

/// How long a release may take to become healthy if nothing is said.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How many earlier generations stay if nothing is said.
const KEEP: u32 = 2;

/// Where a service is written, and where it goes.
pub(super) struct Place<'s> {
    at: services::Place<'s>,
    environment: Option<&'s EnvironmentPlan>,
}

/// Lowers a `deploy` step.
pub(crate) fn lower(
    cx: &mut Cx<'_>,
    id: &str,
    spec: &DeploySpec,
    timeout: Duration,
) -> Option<Lowered> {
    let environment = environment(cx, id, spec);
    let healthy_within = wait_timeout(cx, spec, timeout);
    if spec.services.is_empty() && !cx.is_told(&["steps", id, "deploy", "services"]) {
        let span = cx.key_span(&["steps", id, "deploy"]);
        let fault = Diagnostic::error("a deploy needs a service", span);
        cx.fault(fault.help(format!("name one: `[steps.{id}.deploy.services.web]`")));
    }
    let mut written: Vec<(&At<String>, &ServiceSpec)> = spec.services.iter().collect();
    written.sort_by_key(|(name, _)| name.span.start);
    let mut units = Vec::new();
    let mut images = Vec::new();
    let mut relaxations = Vec::new();
    let all = spec.services.keys().map(At::as_str);
    for (name, service) in &written {
        cx.name("a service", name);
        let place = Place {
            at: services::Place {
                home: Home::Deploy,
                step: id,
                name,
            },
            environment: environment.as_ref(),
        };
        let unit = service::lower(cx, &place, service, all.clone());
        if let (Some(unit), Some(at)) = (&unit, &service.image) {
            images.push((unit.image.clone(), at.span.clone()));
            relaxations.extend(services::relaxations(
                &unit.name,
                &unit.security,
                &unit.limits,
                &Limits::SERVICE,
            ));
        }
        units.push(unit);
    }
    let written = written
        .iter()
        .map(|(name, service)| (*name, service.depends_on.as_ref()));
    let written: Vec<_> = written.collect();
    let services = services::in_order(cx, Home::Deploy, id, &written, units)?;
    let unit = ReleaseUnit {
        environment: environment?,
        services,
        healthy_within,
        pre_deploy: Vec::new(),
        post_deploy: Vec::new(),
        keep: KEEP,
        proxy: String::new(),
    };
    let unit = Unit::Release(Box::new(unit));
    Some(Lowered {
        kind: StepKind::Deploy,
        unit,
        relaxations,
        images,
    })
}

fn environment(cx: &mut Cx<'_>, id: &str, spec: &DeploySpec) -> Option<EnvironmentPlan> {
    let at = cx.required(
        spec.environment.as_ref(),
        &["steps", id, "deploy", "environment"],
    )?;
    let at = cx.literal_at(at)?;
    if let Some(environment) = cx.environments.get(&at.value).cloned() {
        cx.claim_environment(&at.value, &at.span);
        return Some(environment);
    }
    let known = cx.spec;
    let message = format!("there is no environment `{}`", at.value);
    if known.environments.is_empty() {
        let fault = Diagnostic::error(message, at.span.clone());
        cx.fault(fault.help(format!("add it: `[environments.{}]`", at.value)));
    } else {
        cx.unknown_name(&at, message, known.environments.keys().map(At::as_str));
    }
    None
}

fn wait_timeout(cx: &mut Cx<'_>, spec: &DeploySpec, timeout: Duration) -> Duration {
    let Some(at) = &spec.wait_timeout else {
        return WAIT_TIMEOUT.min(timeout);
    };
    let Some(wait) = cx.some_time("wait_timeout", Some(at)) else {
        return WAIT_TIMEOUT;
    };
    if wait > timeout {
        cx.fault(
            Diagnostic::error(
                format!(
                    "the step ends after {} and would not wait this long",
                    show_duration(timeout)
                ),
                at.span.clone(),
            )
            .help("give the step a longer `timeout`"),
        );
    }
    wait
}
