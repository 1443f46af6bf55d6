//! The order of services: each after those that it depends on, and no circles.

use std::collections::HashMap;

use super::{Home, Owner};
use crate::diag::Diagnostic;
use crate::graph;
use crate::plan::Cx;
use crate::spec::{At, DependsOnSpec};
use crate::unit::{Condition, Dependency, Healthcheck, ServiceUnit, StepService};

/// A service that has a place among others.
pub(in crate::step) trait Ordered {
    fn name(&self) -> &str;
    fn depends_on(&self) -> &[Dependency];
    fn healthcheck(&self) -> Option<&Healthcheck>;
}

impl Ordered for ServiceUnit {
    fn name(&self) -> &str {
        &self.name
    }
    fn depends_on(&self) -> &[Dependency] {
        &self.depends_on
    }
    fn healthcheck(&self) -> Option<&Healthcheck> {
        self.healthcheck.as_ref()
    }
}

impl Ordered for StepService {
    fn name(&self) -> &str {
        &self.name
    }
    fn depends_on(&self) -> &[Dependency] {
        &self.depends_on
    }
    fn healthcheck(&self) -> Option<&Healthcheck> {
        Some(&self.healthcheck)
    }
}

/// A service's name, and what it says of others.
type Written<'s> = (&'s At<String>, Option<&'s DependsOnSpec>);

/// The services, each after those that it depends on; nothing if one of them has a fault or some
/// depend on one another in a circle.
pub(in crate::step) fn in_order<U: Ordered>(
    cx: &mut Cx<'_>,
    home: Home,
    owner: Owner<'_>,
    written: &[Written<'_>],
    mut services: Vec<Option<U>>,
) -> Option<Vec<U>> {
    let place: HashMap<&str, usize> = written
        .iter()
        .enumerate()
        .map(|(at, (name, _))| (name.as_str(), at))
        .collect();
    let needs: Vec<Vec<usize>> = written
        .iter()
        .enumerate()
        .map(|(from, (_, depends_on))| {
            let names = depends_on.iter().flat_map(|depends_on| &depends_on.0);
            let places = names.filter_map(|(name, _)| place.get(name.as_str()).copied());
            places.filter(|to| *to != from).collect()
        })
        .collect();
    let order = match graph::order(&needs) {
        Ok(order) => order,
        Err(circles) => {
            for circle in circles {
                let fault = circle_fault(cx, home, owner, written, &circle);
                cx.fault(fault);
            }
            return None;
        }
    };
    let ordered: Option<Vec<U>> = order
        .into_iter()
        .map(|at| services.get_mut(at).and_then(Option::take))
        .collect();
    let ordered = ordered?;
    for service in &ordered {
        check_health_of_needs(cx, home, owner, service, &ordered);
    }
    Some(ordered)
}

fn circle_fault(
    cx: &Cx<'_>,
    home: Home,
    owner: Owner<'_>,
    written: &[Written<'_>],
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
        let named = at.1.iter().flat_map(|depends_on| &depends_on.0);
        let span = named
            .map(|(name, _)| name)
            .find(|name| name.as_str() == *to)?
            .span
            .clone();
        Some((span, format!("`{from}` depends on `{to}`")))
    });
    let Some((span, text)) = labels.next() else {
        return Diagnostic::error(message, owner.key_span(cx, home, &[]));
    };
    labels.fold(
        Diagnostic::error(message, span).says(text),
        |fault, (span, text)| fault.context(span, text),
    )
}

/// A service that waits for another's health would wait for ever if that one has no check.
pub(in crate::step) fn check_health_of_needs<U: Ordered>(
    cx: &mut Cx<'_>,
    home: Home,
    owner: Owner<'_>,
    service: &U,
    all: &[U],
) {
    let needs = service.depends_on().iter();
    for need in needs.filter(|need| need.condition == Condition::ServiceHealthy) {
        let other = all.iter().find(|other| other.name() == need.service);
        let off = other.and_then(|other| other.healthcheck());
        if off.is_some_and(|check| check.test == ["NONE"]) {
            let key = [service.name(), "depends_on", &need.service];
            let span = owner.key_span(cx, home, &key);
            let message = format!("`{}` has its health check turned off", need.service);
            let fault = Diagnostic::error(message, span).says("it would never be healthy");
            cx.fault(fault.help("wait for `service_started`, or give it a `healthcheck`"));
        }
    }
}
