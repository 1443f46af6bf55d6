//! The step kind `deploy`: a release to an environment. Its services are put in the order of their
//! dependencies here; how a release takes the place of another is the engine's.

mod bounds;
mod extends;
mod fit;
mod hook;
mod host_network;
mod mounts;
mod security;
mod service;
mod sharing;
mod traffic;
mod update;

use std::ops::Range;
use std::time::Duration;

use super::StepKind;
use super::lowered::Lowered;
use super::services::{self, Home, Owner};
use crate::diag::Diagnostic;
use crate::image::ImageSource;
use crate::plan::Cx;
use crate::quantity::show_duration;
use crate::spec::{At, DeploySpec, HookSpec, Merged, Named, Scalar};
use crate::unit::{EnvironmentPlan, HookUnit, Limits, ReleaseDeed, ReleaseUnit, ServiceUnit, Unit};

/// How long a release may take to become healthy if nothing is said.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How many earlier generations stay if nothing is said.
const KEEP: u32 = 2;
/// And at most.
const MOST_KEPT: u32 = 10;

/// The image of proxies, and of what holds lock and state, where nothing else is said: the official
/// one.
pub const HAPROXY: &str =
    "haproxy:2.8.29-alpine@sha256:beffc7b55d4fcd3207629513b9fe2c9d278505366300f872fe117efce73997f6";

/// Where a service is written, and where it goes.
pub(super) struct Place<'s> {
    at: services::Place<'s>,
    environment: Option<&'s EnvironmentPlan>,
    /// The longest that the step may take.
    timeout: Duration,
    /// Requests get a page instead of services.
    maintenance: bool,
}

/// What is the same for all containers of a release.
struct Around<'s> {
    owner: Owner<'s>,
    environment: Option<&'s EnvironmentPlan>,
    timeout: Duration,
    maintenance: bool,
}

impl Around<'_> {
    fn place<'p>(&'p self, home: Home, name: &'p At<String>) -> Place<'p> {
        Place {
            at: services::Place {
                home,
                owner: self.owner,
                name,
            },
            environment: self.environment,
            timeout: self.timeout,
            maintenance: self.maintenance,
        }
    }
}

/// What is collected of all containers of a release.
#[derive(Default)]
struct Collected {
    images: Vec<(ImageSource, Range<usize>)>,
    relaxations: Vec<String>,
}

impl Collected {
    fn take(&mut self, home: Home, unit: &ServiceUnit, image: Option<&At<String>>) {
        let span = image.map(|at| at.span.clone()).unwrap_or_default();
        self.images.push((unit.image.clone(), span));
        let (security, limits) = (&unit.security, &unit.limits);
        let words = services::relaxations(home, &unit.name, security, limits, &Limits::SERVICE);
        self.relaxations.extend(words);
    }
}

/// Lowers a `deploy` step.
pub(crate) fn lower(
    cx: &mut Cx<'_>,
    id: &str,
    spec: &DeploySpec,
    proxy: Option<&str>,
    timeout: Duration,
) -> Option<Lowered> {
    let inherited = spec.extends.as_ref().filter(|_| spec.environment.is_none());
    let inherited = inherited.map(|at| at.span.clone());
    let (spec, bases) = extends::merged(cx, id, spec)?;
    let environment = environment(cx, id, &spec, inherited);
    let healthy_within = within(cx, "wait_timeout", spec.wait_timeout.as_ref(), timeout);
    let keep = keep(cx, &spec);
    if spec.services.is_empty() && !cx.is_told(&["steps", id, "deploy", "services"]) {
        let span = cx.key_span(&["steps", id, "deploy"]);
        let fault = Diagnostic::error("a deploy needs a service", span);
        cx.fault(fault.help(format!("name one: `[steps.{id}.deploy.services.web]`")));
    }
    each_name_once(cx, &spec);
    let owner = Owner {
        step: id,
        bases: &bases,
    };
    let around = Around {
        owner,
        environment: environment.as_ref(),
        timeout,
        maintenance: spec.maintenance.as_ref().is_some_and(|at| at.value),
    };
    let mut collected = Collected::default();
    let all = spec.services.iter().map(|(name, _)| name.as_str());
    let mut units = Vec::new();
    for (name, service) in &spec.services {
        cx.name("a service", name);
        let unit = service::lower(cx, &around.place(Home::Deploy, name), service, all.clone());
        if let Some(unit) = &unit {
            collected.take(Home::Deploy, unit, service.image.as_ref());
            let bounds = bounds::relaxations(&unit.name, &unit.limits);
            let security = security::relaxations(cx, &unit.name, service, &unit.security);
            collected
                .relaxations
                .extend(bounds.into_iter().chain(security));
        }
        units.push(unit);
    }
    sharing::check(cx, id, &spec, &units);
    if let Some(at) = spec.maintenance.as_ref().filter(|at| at.value) {
        maintained(cx, at, &units);
    }
    let mut hooks =
        |cx: &mut _, home, written| hooks(cx, &around, home, written, all.clone(), &mut collected);
    let pre_deploy = hooks(cx, Home::PreDeploy, &spec.pre_deploy);
    let post_deploy = hooks(cx, Home::PostDeploy, &spec.post_deploy);
    let written = spec.services.iter();
    let written = written.map(|(name, service)| (name, service.depends_on.as_ref()));
    let written: Vec<_> = written.collect();
    let services = services::in_order(cx, Home::Deploy, owner, &written, units)?;
    let (pre_deploy, post_deploy) = (pre_deploy?, post_deploy?);
    for (home, hooks) in [
        (Home::PreDeploy, &pre_deploy),
        (Home::PostDeploy, &post_deploy),
    ] {
        for hook in hooks {
            services::check_health_of_needs(cx, home, owner, &hook.container, &services);
        }
    }
    let unit = ReleaseUnit {
        environment: environment?,
        services,
        healthy_within: healthy_within.unwrap_or(WAIT_TIMEOUT.min(timeout)),
        pre_deploy,
        post_deploy,
        keep,
        proxy: proxy?.to_owned(),
        deed: ReleaseDeed::Deploy,
        gates: Vec::new(),
    };
    Some(Lowered {
        kind: StepKind::Deploy,
        unit: Unit::Release(Box::new(unit)),
        relaxations: collected.relaxations,
        images: collected.images,
    })
}

/// Notes a maintenance that nobody would see.
fn maintained(cx: &mut Cx<'_>, at: &At<bool>, units: &[Option<ServiceUnit>]) {
    let mut units = units.iter();
    if units.any(|unit| unit.as_ref().is_none_or(|unit| unit.traffic.maintenance)) {
        return;
    }
    let message = "no service of this deploy would get a maintenance page";
    let fault = Diagnostic::error(message, at.span.clone());
    cx.fault(
        fault.help("it is what requests get on `ports` where HTTP is spoken: see `app_protocol`"),
    );
}

fn hooks<'n>(
    cx: &mut Cx<'_>,
    around: &Around<'_>,
    home: Home,
    hooks: &Named<HookSpec>,
    all: impl Iterator<Item = &'n str> + Clone,
    collected: &mut Collected,
) -> Option<Vec<HookUnit>> {
    let mut units = Vec::new();
    for (name, hook) in hooks {
        cx.name("a hook", name);
        let unit = hook::lower(cx, &around.place(home, name), hook, all.clone());
        if let Some(unit) = &unit {
            collected.take(home, &unit.container, hook.image.as_ref());
        }
        units.push(unit);
    }
    units.into_iter().collect()
}

/// All containers of a release have names of their own.
fn each_name_once(cx: &mut Cx<'_>, spec: &Merged) {
    let services = spec.services.iter().map(|(name, _)| name);
    let hooks = spec.pre_deploy.iter().chain(&spec.post_deploy);
    let hooks = hooks.map(|(name, _)| name);
    let mut names: Vec<&At<String>> = services.chain(hooks).collect();
    names.sort_by_key(|name| (name.as_str(), name.span.start));
    for pair in names.windows(2) {
        if let [first, later] = pair
            && first == later
        {
            let message = format!("`{}` stands for two containers of this deploy", later.value);
            let fault = Diagnostic::error(message, later.span.clone());
            let fault = fault.context(first.span.clone(), "the other one");
            cx.fault(fault.help("services and hooks have names of their own"));
        }
    }
}

fn environment(
    cx: &mut Cx<'_>,
    id: &str,
    spec: &Merged,
    inherited: Option<Range<usize>>,
) -> Option<EnvironmentPlan> {
    let at = cx.required(
        spec.environment.as_ref(),
        &["steps", id, "deploy", "environment"],
    )?;
    let at = cx.literal_at(at)?;
    if let Some(environment) = cx.environments.get(&at.value).cloned() {
        let is_inherited = inherited.is_some();
        let span = inherited.unwrap_or(at.span);
        cx.claim_environment(&at.value, &span, is_inherited);
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

fn keep(cx: &mut Cx<'_>, spec: &Merged) -> u32 {
    let Some(at) = &spec.keep else { return KEEP };
    if at.value > MOST_KEPT {
        let message = format!("`keep` cannot be {}", at.value);
        let fault = Diagnostic::error(message, at.span.clone());
        cx.fault(fault.help(format!("it can be 0 to {MOST_KEPT}")));
    }
    at.value
}

/// A time that cannot be longer than the step's; nothing if nothing is said.
fn within(
    cx: &mut Cx<'_>,
    key: &str,
    said: Option<&At<Scalar>>,
    timeout: Duration,
) -> Option<Duration> {
    let time = cx.some_time(key, said)?;
    if let Some(at) = said.filter(|_| time > timeout) {
        let message = format!(
            "the step ends after {} and would not wait this long",
            show_duration(timeout)
        );
        let fault = Diagnostic::error(message, at.span.clone());
        cx.fault(fault.help("give the step a longer `timeout`"));
    }
    Some(time)
}
