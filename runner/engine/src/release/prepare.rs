//! What a release is made of, found out before it touches anything: images and values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use hoist_model::image::{ImageIdentity, ImageSource};
use hoist_model::reason::{FailureReason, Trouble};
use hoist_model::text::Text;
use hoist_model::unit::{HookUnit, ReleaseDeed, ReleaseUnit, ServiceUnit, Strategy};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::expiry;
use super::gate::{self, Gate, Opening};
use super::plan::{Goal, Hook, Wanted};
use super::proxy::Certificate;
use super::secrets::{self, Values};
use super::settings::hash_service;
use super::state::Deployed;
use super::target::{Origin, Target};
use crate::context::UnitContext;
use crate::images::{self, Resolved};

/// A service with all that a run had to find out.
pub(crate) struct Prepared<'a> {
    pub(crate) unit: &'a ServiceUnit,
    pub(crate) image: Resolved,
    /// `repository@sha256:...`, where a registry has the image.
    pub(crate) repo_digest: Option<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) values: Values<'a>,
    pub(crate) config_hash: String,
    /// By which TLS ends at its proxies.
    pub(crate) tls: Option<(Certificate, &'a SecretString)>,
    /// The gates of the release that are to be the host's.
    pub(crate) shared: BTreeSet<Gate>,
}

impl<'a> Prepared<'a> {
    /// As they are to be. `Deployed::settled` says how they are.
    pub(crate) fn openings(&self) -> Vec<Opening> {
        let tls = self.tls.as_ref().map(|(tls, _)| tls);
        gate::openings(self.unit, tls, &self.shared)
    }

    /// The text of a certificate, if it is the one at hand.
    pub(crate) fn pem_of(&self, certificate: &Certificate) -> Option<(String, &'a SecretString)> {
        let (known, text) = self.tls.as_ref()?;
        (known == certificate).then(|| (known.file(), *text))
    }
}

/// A hook with all that a run had to find out.
pub(crate) struct PreparedHook<'a> {
    pub(crate) service: Prepared<'a>,
    pub(crate) timeout: Duration,
}

/// All that was found out about a release.
pub(crate) struct All<'a> {
    pub(crate) unit: &'a ReleaseUnit,
    pub(crate) services: BTreeMap<String, Prepared<'a>>,
    pub(crate) hooks: BTreeMap<String, PreparedHook<'a>>,
    /// The engine's ID of the image of proxies.
    pub(crate) proxy: String,
    /// The generations that are to come back, by service.
    pub(crate) restored: BTreeMap<String, u64>,
    /// What people should know, whether anything changes or not.
    pub(crate) warnings: Vec<Trouble>,
}

/// Finds images and values; all that cannot be found, where anything cannot.
pub(crate) async fn all<'a>(
    context: &'a UnitContext,
    target: &Target,
    unit: &'a ReleaseUnit,
    restored: BTreeMap<String, u64>,
    origin: &Origin,
) -> Result<All<'a>, Vec<FailureReason>> {
    let hooks = || unit.pre_deploy.iter().chain(&unit.post_deploy);
    let containers = unit
        .services
        .iter()
        .chain(hooks().map(|hook| &hook.container));
    let images = containers
        .clone()
        .map(|service| target.image(context, &service.image, origin));
    let proxy = ImageSource::Name(Text::literal(unit.proxy.clone()));
    let (proxy, images) = tokio::join!(target.image(context, &proxy, origin), join_all(images));
    let (mut prepared, mut missing, mut warnings) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (service, image) in containers.zip(images) {
        // What was in memory is gone by now, but for what runs.
        let gone = service.secrets_in_memory && matches!(unit.deed, ReleaseDeed::Rollback { .. });
        let comes_back = restored.contains_key(&service.name) && !gone;
        let values = values(context, service, comes_back, &mut missing);
        let tls = tls(context, service, &mut missing, &mut warnings);
        match (environment(context, service), image) {
            (Ok(environment), Ok(image)) => {
                let config_hash = hash_service(service, &environment);
                let one = Prepared {
                    unit: service,
                    image,
                    repo_digest: origin.digest(context, &service.image),
                    environment,
                    values,
                    config_hash,
                    tls,
                    shared: gate::shared(&unit.services),
                };
                prepared.insert(service.name.clone(), one);
            }
            (Err(reason), _) => missing.push(reason),
            // Two services of one image lack it once.
            (_, Err(reason)) if missing.contains(&reason) => {}
            (_, Err(reason)) => missing.push(reason),
        }
    }
    let proxy = match proxy {
        Ok(proxy) if missing.is_empty() => proxy.image.id,
        Ok(_) => return Err(missing),
        Err(reason) => {
            missing.push(reason);
            return Err(missing);
        }
    };
    Ok(All {
        hooks: hooks_of(unit, &mut prepared),
        services: prepared,
        unit,
        proxy,
        restored,
        warnings,
    })
}

/// Takes the hooks out of all that was prepared.
fn hooks_of<'a>(
    unit: &'a ReleaseUnit,
    prepared: &mut BTreeMap<String, Prepared<'a>>,
) -> BTreeMap<String, PreparedHook<'a>> {
    let hooks = unit.pre_deploy.iter().chain(&unit.post_deploy);
    let hooks = hooks.filter_map(|hook| {
        let service = prepared.remove(&hook.container.name)?;
        let timeout = hook.timeout;
        Some((
            hook.container.name.clone(),
            PreparedHook { service, timeout },
        ))
    });
    hooks.collect()
}

/// Finds what is known of a release before its run, and pulls, builds and changes nothing. What is
/// not known has an image without an ID; why not is said, by service and hook.
pub(crate) async fn known<'a>(
    context: &'a UnitContext,
    target: &Target,
    unit: &'a ReleaseUnit,
) -> Result<(All<'a>, BTreeMap<String, String>), Vec<FailureReason>> {
    let (mut prepared, mut unknown) = (BTreeMap::new(), BTreeMap::new());
    let (mut missing, mut warnings) = (Vec::new(), Vec::new());
    for service in unit.containers() {
        let values = values(context, service, false, &mut missing);
        let image = target.known(context, &service.image).await;
        let environment = environment(context, service);
        if image.is_none() {
            unknown.insert(service.name.clone(), made_by(&service.image));
        } else if environment.is_err() {
            let why = "its variables are given by steps of the run".to_owned();
            unknown.insert(service.name.clone(), why);
        }
        let image = image.unwrap_or_else(|| Resolved {
            image: ImageIdentity::default(),
            shown: service.image.to_string(),
            built: matches!(service.image, ImageSource::Step(_)),
        });
        let environment = environment.unwrap_or_else(|_| unresolved(service));
        let config_hash = hash_service(service, &environment);
        let one = Prepared {
            unit: service,
            image,
            repo_digest: None,
            environment,
            values,
            config_hash,
            tls: tls(context, service, &mut missing, &mut warnings),
            shared: gate::shared(&unit.services),
        };
        prepared.insert(service.name.clone(), one);
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    let all = All {
        hooks: hooks_of(unit, &mut prepared),
        services: prepared,
        unit,
        proxy: String::new(),
        restored: BTreeMap::new(),
        warnings,
    };
    Ok((all, unknown))
}

/// Where an image comes from that is not known before the run.
fn made_by(source: &ImageSource) -> String {
    match source {
        ImageSource::Step(step) => format!("its image is built by the step `{step}`"),
        ImageSource::Name(name) => match name.references().next() {
            Some((step, _)) => format!("its image is made by the step `{step}`"),
            None => format!("the engine does not have its image {name}, which is pulled"),
        },
    }
}

/// Variables as the file has them, those with references too.
fn unresolved(service: &ServiceUnit) -> BTreeMap<String, String> {
    let texts = service.environment.iter();
    let texts = texts.map(|(name, text)| (name.clone(), text.to_string()));
    texts.collect()
}

fn environment(
    context: &UnitContext,
    service: &ServiceUnit,
) -> Result<BTreeMap<String, String>, FailureReason> {
    let texts = service.environment.iter();
    let values = texts.map(|(name, text)| Ok((name.clone(), images::text(context, text)?)));
    values.collect()
}

/// The values of a service's secrets. What comes back as it was has its own.
fn values<'a>(
    context: &'a UnitContext,
    service: &'a ServiceUnit,
    comes_back: bool,
    missing: &mut Vec<FailureReason>,
) -> Values<'a> {
    let mut values = Values::new();
    for name in &service.secrets {
        match context.secrets.get(name) {
            Some(value) => {
                values.insert(name, value);
            }
            None if comes_back => {}
            None => {
                let what = format!("the secret {name} of {} has no value", service.name);
                missing.push(FailureReason::Configuration(Trouble::new(what)));
            }
        }
    }
    values
}

/// The certificate of a service, with what stands in its way and what people should know.
fn tls<'a>(
    context: &'a UnitContext,
    service: &ServiceUnit,
    missing: &mut Vec<FailureReason>,
    warnings: &mut Vec<Trouble>,
) -> Option<(Certificate, &'a SecretString)> {
    match certificate(context, service) {
        Ok(found) => {
            let now = Timestamp::now();
            let soon = |(tls, _): &(Certificate, _)| expiry::soon(&service.name, tls, now);
            warnings.extend(found.iter().filter_map(soon));
            found
        }
        Err(trouble) => {
            missing.push(FailureReason::Configuration(trouble));
            None
        }
    }
}

/// The certificate by which TLS ends at a service's proxies.
fn certificate<'a>(
    context: &'a UnitContext,
    service: &ServiceUnit,
) -> Result<Option<(Certificate, &'a SecretString)>, Trouble> {
    let Some(name) = &service.traffic.tls else {
        return Ok(None);
    };
    let of = format!("the certificate {name} of {}", service.name);
    let text = context.secrets.get(name).ok_or_else(|| {
        Trouble::new(format!("{of} has no value"))
            .hint("see where [secrets] in pipeline.toml takes it from")
    })?;
    let read = Certificate::read(text.expose_secret());
    let certificate = read.map_err(|why| {
        Trouble::new(format!("{of} cannot be used"))
            .cause(why)
            .hint("the secret is a PEM text: the service's certificate, its chain, and its key")
    })?;
    let now = Timestamp::now();
    let early = Certificate::begins(text.expose_secret());
    let early = early.and_then(|begins| expiry::early(&of, begins, now));
    match expiry::over(&of, &certificate, now).or(early) {
        Some(trouble) => Err(trouble),
        None => Ok(Some((certificate, text))),
    }
}

/// What the release is to come to, beside what runs.
pub(crate) async fn goal(
    target: &Target,
    deployed: &Deployed,
    all: &All<'_>,
    sequence: u64,
) -> Result<Goal, FailureReason> {
    let unit = all.unit;
    let mut services = Vec::new();
    for service in &unit.services {
        if let Some(prepared) = all.services.get(&service.name) {
            let restored = all.restored.get(&service.name).copied();
            services.push(wanted(target, deployed, prepared, restored).await?);
        }
    }
    let hook = |hook: &HookUnit| {
        let container = &hook.container;
        let needs = container.depends_on.iter();
        let prepared = all.hooks.get(&container.name).map(|hook| &hook.service);
        let image = prepared.map(|one| one.image.image.identity().to_owned());
        let config_hash = prepared.map(|one| one.config_hash.clone());
        Hook {
            name: container.name.clone(),
            image: image.unwrap_or_default(),
            config_hash: config_hash.unwrap_or_default(),
            networks: container.networks.clone(),
            volumes: volumes(container),
            depends_on: needs.map(|need| need.service.clone()).collect(),
        }
    };
    Ok(Goal {
        services,
        pre_deploy: unit.pre_deploy.iter().map(hook).collect(),
        post_deploy: unit.post_deploy.iter().map(hook).collect(),
        keep: usize::try_from(unit.keep).unwrap_or(usize::MAX),
        proxy: (unit.deed == ReleaseDeed::UpgradeProxies).then(|| all.proxy.clone()),
        sequence,
        unverified: Vec::new(),
    })
}

fn volumes(service: &ServiceUnit) -> Vec<String> {
    let volumes = service.volumes.iter();
    volumes.map(|volume| volume.name.clone()).collect()
}

async fn wanted(
    target: &Target,
    deployed: &Deployed,
    prepared: &Prepared<'_>,
    restored: Option<u64>,
) -> Result<Wanted, FailureReason> {
    let service = prepared.unit;
    let compared = deployed.current(&service.name).into_iter().next();
    let compared = compared.filter(|current| {
        !prepared.values.is_empty() && current.config_hash == prepared.config_hash
    });
    let secrets_changed = match compared.filter(|_| restored.is_none()) {
        None => false,
        Some(current) => {
            let same = secrets::same(target.backend.as_ref(), &current.id, &prepared.values).await;
            !same.map_err(|error| {
                let what = format!("the secrets of {} cannot be compared", service.name);
                FailureReason::Surroundings(error.trouble(what))
            })?
        }
    };
    let mut update = service.update.clone();
    let mut current = deployed.current(&service.name).into_iter();
    if current.any(|old| old.host_network) {
        // It may hold what the new would open, and no proxy leads away from it.
        update.strategy = Strategy::Recreate;
    }
    let gates = deployed.settled(prepared.openings());
    let to_share = |gate: &Gate| {
        let shared = gate.as_shared();
        !gate.is_shared() && shared.is_some_and(|gate| prepared.shared.contains(&gate))
    };
    let to_share = gates
        .iter()
        .map(|one| &one.gate)
        .filter(|one| to_share(one));
    Ok(Wanted {
        name: service.name.clone(),
        image: prepared.image.image.id.clone(),
        config_digest: prepared.image.image.config_digest.clone(),
        config_hash: prepared.config_hash.clone(),
        secrets_changed,
        restored,
        networks: service.networks.clone(),
        host_network: service.host_network,
        volumes: volumes(service),
        ports: service.ports.clone(),
        to_share: to_share.cloned().collect(),
        gates: gates.into_iter().map(|one| (one.gate, one.front)).collect(),
        depends_on: service.depends_on.clone(),
        restart: service.restart,
        replicas: service.replicas,
        update,
    })
}
