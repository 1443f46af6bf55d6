//! What a deploy takes over from another, merged as Compose merges files: tables by their keys,
//! lists one after the other with each element once, anything else is the nearer one's. Commands,
//! the test of a health check, a canary's weights and routes are taken whole. Every value keeps the
//! place where it is written.

use std::collections::BTreeMap;

use super::hook::HookSpec;
use super::leaf::{At, OneOrMany, Scalar};
use super::service::{DependsOnSpec, HealthcheckSpec, ServiceSpec};
use super::step::{DeploySpec, LimitsSpec, ReservationsSpec, Resources};
use super::traffic::TlsSpec;
use super::update::{CanarySpec, UpdateConfigSpec};

/// What can stand over another.
pub(crate) trait Over: Sized {
    /// This one, with what only `base` says.
    fn over(self, base: Self) -> Self;
}

fn merged<T: Over>(own: Option<T>, base: Option<T>) -> Option<T> {
    match (own, base) {
        (Some(own), Some(base)) => Some(own.over(base)),
        (own, base) => own.or(base),
    }
}

impl<T> Over for BTreeMap<At<String>, T> {
    fn over(mut self, base: Self) -> Self {
        for (key, value) in base {
            self.entry(key).or_insert(value);
        }
        self
    }
}

impl<T: PartialEq> Over for Vec<At<T>> {
    fn over(self, mut base: Self) -> Self {
        base.retain(|at| !self.contains(at));
        base.extend(self);
        base
    }
}

impl Over for OneOrMany {
    fn over(self, base: Self) -> Self {
        Self(self.0.over(base.0))
    }
}

impl Over for DependsOnSpec {
    fn over(self, mut base: Self) -> Self {
        base.0
            .retain(|(name, _)| !self.0.iter().any(|(own, _)| own == name));
        base.0.extend(self.0);
        base
    }
}

/// What is mounted where something is mounted already takes its place. `name:/target:mode` and
/// `/target:options` are how mounts are written.
fn mounts(
    own: Option<Vec<At<String>>>,
    base: Option<Vec<At<String>>>,
    target: fn(&str) -> Option<&str>,
) -> Option<Vec<At<String>>> {
    let taken = |mount: &At<String>| {
        let mut own = own.iter().flatten();
        own.any(|own| target(own.as_str()) == target(mount.as_str()))
    };
    let base = base.map(|base| base.into_iter().filter(|mount| !taken(mount)).collect());
    merged(own.clone(), base)
}

fn by_target(
    own: Option<Vec<At<String>>>,
    base: Option<Vec<At<String>>>,
) -> Option<Vec<At<String>>> {
    mounts(own, base, |mount| mount.split(':').nth(1))
}

fn memory_by_target(own: Option<OneOrMany>, base: Option<OneOrMany>) -> Option<OneOrMany> {
    let (own, base) = (own.map(|own| own.0), base.map(|base| base.0));
    mounts(own, base, |mount| mount.split(':').next()).map(OneOrMany)
}

/// Each field of a table with the function that merges it. None can be forgotten.
macro_rules! fields {
    ($spec:ident { $($field:ident: $merge:expr),+ $(,)? }) => {
        impl Over for $spec {
            fn over(self, base: Self) -> Self {
                let Self { $($field,)+ } = self;
                Self { $($field: ($merge)($field, base.$field),)+ }
            }
        }
    };
}

fields!(HookSpec {
    image: Option::or,
    command: Option::or,
    entrypoint: Option::or,
    environment: merged,
    env_file: merged,
    working_dir: Option::or,
    user: Option::or,
    secrets: merged,
    volumes: by_target,
    networks: merged,
    depends_on: merged,
    resources: merged,
    read_only: Option::or,
    tmpfs: memory_by_target,
    cap_add: merged,
    cap_drop: merged,
    shm_size: Option::or,
    labels: merged,
    timeout: Option::or,
});

fields!(ServiceSpec {
    image: Option::or,
    command: Option::or,
    entrypoint: Option::or,
    environment: merged,
    env_file: merged,
    working_dir: Option::or,
    user: Option::or,
    secrets: merged,
    secrets_storage: Option::or,
    volumes: by_target,
    ports: merged,
    networks: merged,
    network_mode: Option::or,
    healthcheck: check,
    restart: Option::or,
    depends_on: merged,
    resources: merged,
    read_only: Option::or,
    tmpfs: memory_by_target,
    cap_add: merged,
    cap_drop: merged,
    shm_size: Option::or,
    security_opt: Option::or,
    userns_mode: Option::or,
    memswap_limit: Option::or,
    mem_swappiness: Option::or,
    cpu_shares: Option::or,
    cpu_quota: Option::or,
    cpu_period: Option::or,
    cpuset: Option::or,
    blkio_config: Option::or,
    ulimits: merged,
    pids_limit: Option::or,
    oom_score_adj: Option::or,
    labels: merged,
    stop_grace_period: Option::or,
    strategy: Option::or,
    replicas: Option::or,
    update_config: merged,
    canary: merged,
    expose: merged,
    app_protocol: Option::or,
    drain: Option::or,
    sticky: Option::or,
    routes: Option::or,
    tls: merged,
    proxy_protocol: Option::or,
    maintenance: Option::or,
});

fields!(HealthcheckSpec {
    test: Option::or,
    interval: Option::or,
    timeout: Option::or,
    retries: Option::or,
    start_period: Option::or,
    disable: Option::or,
});

fields!(UpdateConfigSpec {
    parallelism: Option::or,
    delay: Option::or,
    order: Option::or,
    max_failure_ratio: Option::or,
    monitor: Option::or,
    failure_action: Option::or,
});

fields!(CanarySpec {
    weights: Option::or,
    step: Option::or,
    min_requests: Option::or,
    max_error_rate: Option::or,
    max_latency_ratio: Option::or,
});

fields!(TlsSpec {
    certificate: Option::or,
});

fields!(Resources {
    limits: merged,
    reservations: merged,
});

fields!(ReservationsSpec { memory: Option::or });

fields!(LimitsSpec {
    cpus: Option::or,
    memory: Option::or,
    pids: Option::or,
});

/// A test turns on a check that is off, and one that is turned off needs no test.
fn check(
    own: Option<HealthcheckSpec>,
    mut base: Option<HealthcheckSpec>,
) -> Option<HealthcheckSpec> {
    if let (Some(own), Some(base)) = (&own, &mut base) {
        if own.test.is_some() {
            base.disable = None;
        }
        if own.disable.as_ref().is_some_and(|at| at.value) {
            base.test = None;
        }
    }
    merged(own, base)
}

/// Takes out what the strategy of `base` alone has, where `own` has another: nothing that it says
/// could.
fn without_strategy(own: &ServiceSpec, mut base: ServiceSpec) -> ServiceSpec {
    if own.strategy.is_none() || own.strategy == base.strategy {
        return base;
    }
    base.canary = None;
    if let Some(update) = &mut base.update_config {
        *update = UpdateConfigSpec {
            monitor: update.monitor.take(),
            failure_action: update.failure_action.take(),
            ..UpdateConfigSpec::default()
        };
    }
    base
}

/// Tables by name, in the order of the file.
pub(crate) type Named<T> = Vec<(At<String>, T)>;

/// What a deploy says, and what it takes over.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) environment: Option<At<String>>,
    pub(crate) wait_timeout: Option<At<Scalar>>,
    pub(crate) keep: Option<At<u32>>,
    pub(crate) maintenance: Option<At<bool>>,
    pub(crate) services: Named<ServiceSpec>,
    pub(crate) pre_deploy: Named<HookSpec>,
    pub(crate) post_deploy: Named<HookSpec>,
}

impl From<&DeploySpec> for Merged {
    fn from(spec: &DeploySpec) -> Self {
        fn in_order<T: Clone>(tables: &BTreeMap<At<String>, T>) -> Named<T> {
            let tables = tables.iter();
            let mut named: Named<T> = tables
                .map(|(name, it)| (name.clone(), it.clone()))
                .collect();
            named.sort_by_key(|(name, _)| name.span.start);
            named
        }
        Self {
            environment: spec.environment.clone(),
            wait_timeout: spec.wait_timeout.clone(),
            keep: spec.keep.clone(),
            maintenance: spec.maintenance.clone(),
            services: in_order(&spec.services),
            pre_deploy: in_order(&spec.pre_deploy),
            post_deploy: in_order(&spec.post_deploy),
        }
    }
}

impl Over for Merged {
    fn over(self, base: Self) -> Self {
        let service = |own: ServiceSpec, base| {
            let base = without_strategy(&own, base);
            own.over(base)
        };
        Self {
            environment: self.environment.or(base.environment),
            wait_timeout: self.wait_timeout.or(base.wait_timeout),
            keep: self.keep.or(base.keep),
            maintenance: self.maintenance.or(base.maintenance),
            services: by_name(self.services, base.services, service),
            pre_deploy: by_name(self.pre_deploy, base.pre_deploy, Over::over),
            post_deploy: by_name(self.post_deploy, base.post_deploy, Over::over),
        }
    }
}

/// What `base` names keeps its order, and what it does not comes after.
fn by_name<T>(own: Named<T>, base: Named<T>, over: impl Fn(T, T) -> T) -> Named<T> {
    let mut own = own;
    let mut all: Named<T> = Vec::new();
    for (name, base) in base {
        match own.iter().position(|(other, _)| *other == name) {
            Some(at) => {
                let (name, own) = own.remove(at);
                all.push((name, over(own, base)));
            }
            None => all.push((name, base)),
        }
    }
    all.extend(own);
    all
}
