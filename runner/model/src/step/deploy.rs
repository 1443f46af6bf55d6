//! The step kind `deploy`: a release to an environment. Its services are put in the order of their
//! dependencies here; how a release takes the place of another is the engine's.

mod health;
mod mounts;
mod service;

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use super::StepKind;
use super::lowered::Lowered;
use crate::diag::Diagnostic;
use crate::graph;
use crate::plan::Cx;
use crate::quantity::show_duration;
use crate::spec::{At, DeploySpec, ServiceSpec};
use crate::unit::{Condition, EnvironmentPlan, ReleaseUnit, ServiceUnit, Unit};

/// How long a release may take to become healthy if nothing is said.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Where a service is written, for messages.
pub(super) struct Place<'s> {
    /// The step.
    step: &'s str,
    /// The service.
    name: &'s At<String>,
    environment: Option<&'s EnvironmentPlan>,
}

impl Place<'_> {
    /// The place of one of the service's keys.
    fn key_span(&self, cx: &Cx<'_>, key: &[&str]) -> Range<usize> {
        let service = ["steps", self.step, "deploy", "services", self.name.as_str()];
        let path: Vec<&str> = service.into_iter().chain(key.iter().copied()).collect();
        cx.key_span(&path)
    }
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
    let mut services = Vec::new();
    let mut images = Vec::new();
    let mut relaxations = Vec::new();
    for (name, service) in &written {
        cx.name("a service", name);
        let place = Place {
            step: id,
            name,
            environment: environment.as_ref(),
        };
        let unit = service::lower(cx, &place, service, &spec.services);
        if let (Some(unit), Some(at)) = (&unit, &service.image) {
            images.push((unit.image.clone(), at.span.clone()));
            relaxations.extend(service::relaxations(unit));
        }
        services.push(unit);
    }
    let services = in_order(cx, id, &written, services)?;
    for service in &services {
        check_health_of_needs(cx, id, service, &services);
    }
    let unit = ReleaseUnit {
        environment: environment?,
        services,
        healthy_within,
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

/// The services, each after those that it depends on.
fn in_order(
    cx: &mut Cx<'_>,
    id: &str,
    written: &[(&At<String>, &ServiceSpec)],
    mut services: Vec<Option<ServiceUnit>>,
) -> Option<Vec<ServiceUnit>> {
    let place: HashMap<&str, usize> = written
        .iter()
        .enumerate()
        .map(|(at, (name, _))| (name.as_str(), at))
        .collect();
    let needs: Vec<Vec<usize>> = written
        .iter()
        .enumerate()
        .map(|(from, (_, service))| {
            let names = service
                .depends_on
                .iter()
                .flat_map(|depends_on| &depends_on.0);
            let places = names.filter_map(|(name, _)| place.get(name.as_str()).copied());
            places.filter(|to| *to != from).collect()
        })
        .collect();
    let order = match graph::order(&needs) {
        Ok(order) => order,
        Err(circles) => {
            for circle in circles {
                let fault = circle_fault(cx, id, written, &circle);
                cx.fault(fault);
            }
            return None;
        }
    };
    order
        .into_iter()
        .map(|at| services.get_mut(at).and_then(Option::take))
        .collect()
}

fn circle_fault(
    cx: &Cx<'_>,
    id: &str,
    written: &[(&At<String>, &ServiceSpec)],
    circle: &[usize],
) -> Diagnostic {
    let names: Vec<&str> = circle
        .iter()
        .filter_map(|at| written.get(*at))
        .map(|(name, _)| name.as_str())
        .collect();
    let ends: Vec<&str> = names
        .iter()
        .copied()
        .chain(names.first().copied())
        .collect();
    let message = format!(
        "services depend on one another in a circle: {}",
        ends.join(" -> ")
    );
    let mut labels = ends.windows(2).filter_map(|pair| {
        let [from, to] = pair else { return None };
        let at = written.iter().find(|(name, _)| name.as_str() == *from)?;
        let named = at.1.depends_on.iter().flat_map(|depends_on| &depends_on.0);
        let span = named
            .map(|(name, _)| name)
            .find(|name| name.as_str() == *to)?
            .span
            .clone();
        Some((span, format!("`{from}` depends on `{to}`")))
    });
    let Some((span, text)) = labels.next() else {
        return Diagnostic::error(message, cx.key_span(&["steps", id, "deploy", "services"]));
    };
    labels.fold(
        Diagnostic::error(message, span).says(text),
        |fault, (span, text)| fault.context(span, text),
    )
}

/// A service that waits for another's health would wait for ever if that one has no check.
fn check_health_of_needs(cx: &mut Cx<'_>, id: &str, service: &ServiceUnit, all: &[ServiceUnit]) {
    for need in service
        .depends_on
        .iter()
        .filter(|need| need.condition == Condition::ServiceHealthy)
    {
        let other = all.iter().find(|other| other.name == need.service);
        let off = other.and_then(|other| other.healthcheck.as_ref());
        if off.is_some_and(|check| check.test == ["NONE"]) {
            let path = [
                "steps",
                id,
                "deploy",
                "services",
                &service.name,
                "depends_on",
                &need.service,
            ];
            let span = cx.key_span(&path);
            let message = format!("`{}` has its health check turned off", need.service);
            let fault = Diagnostic::error(message, span).says("it would never be healthy");
            cx.fault(fault.help("wait for `service_started`, or give it a `healthcheck`"));
        }
    }
}
