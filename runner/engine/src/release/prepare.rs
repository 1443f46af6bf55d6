//! All that can be found out before a release touches anything: images, values, what the file asks
//! for and cannot have.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use hoist_model::reason::{FailureReason, Trouble};
use hoist_model::unit::{ReleaseUnit, ServiceUnit};
use ipnet::Ipv4Net;

use super::names::Place;
use super::plan::{Action, Change, Program, Wanted, Which};
use super::ports::HostPort;
use super::secrets::{self, Values};
use super::settings::{hash_network, hash_service};
use super::state::Deployed;
use super::subnet::Layout;
use super::target::Target;
use crate::backend::ContainerInfo;
use crate::context::UnitContext;
use crate::images::{self, Resolved};

/// A service with all that a run had to find out.
pub(crate) struct Prepared<'a> {
    pub(crate) unit: &'a ServiceUnit,
    pub(crate) image: Resolved,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) values: Values<'a>,
    pub(crate) config_hash: String,
}

/// Finds each service's image and values.
pub(crate) async fn services<'a>(
    context: &'a UnitContext,
    target: &Target,
    unit: &'a ReleaseUnit,
) -> Result<BTreeMap<String, Prepared<'a>>, FailureReason> {
    let mut prepared = BTreeMap::new();
    let images = unit.services.iter();
    let images = images.map(|service| target.image(context, &service.image));
    let images = try_join_all(images).await?;
    for (service, image) in unit.services.iter().zip(images) {
        let mut environment = BTreeMap::new();
        for (name, value) in &service.environment {
            environment.insert(name.clone(), images::text(context, value)?);
        }
        let mut values = Values::new();
        for name in &service.secrets {
            let value = context.secrets.get(name).ok_or_else(|| {
                let what = format!("the secret {name} of {} has no value", service.name);
                FailureReason::Configuration(Trouble::new(what))
            })?;
            values.insert(name, value);
        }
        let config_hash = hash_service(service, &environment);
        let service = Prepared {
            unit: service,
            image,
            environment,
            values,
            config_hash,
        };
        prepared.insert(service.unit.name.clone(), service);
    }
    Ok(prepared)
}

/// What is wanted, beside what runs.
pub(crate) async fn wanted(
    target: &Target,
    deployed: &Deployed,
    unit: &ReleaseUnit,
    services: &BTreeMap<String, Prepared<'_>>,
) -> Result<Vec<Wanted>, FailureReason> {
    let mut wanted = Vec::new();
    for service in &unit.services {
        let Some(prepared) = services.get(&service.name) else {
            continue;
        };
        let compared = deployed.current(&service.name).filter(|current| {
            !prepared.values.is_empty() && current.config_hash == prepared.config_hash
        });
        let secrets_changed = match compared {
            None => false,
            Some(current) => {
                let same =
                    secrets::same(target.backend.as_ref(), &current.id, &prepared.values).await;
                !same.map_err(|error| {
                    let what = format!("the secrets of {} cannot be compared", service.name);
                    FailureReason::Surroundings(error.trouble(what))
                })?
            }
        };
        wanted.push(Wanted {
            name: service.name.clone(),
            image: prepared.image.image.id.clone(),
            config_digest: prepared.image.image.config_digest.clone(),
            config_hash: prepared.config_hash.clone(),
            secrets_changed,
            networks: service.networks.clone(),
            volumes: service
                .volumes
                .iter()
                .map(|volume| volume.name.clone())
                .collect(),
            ports: service.ports.clone(),
            depends_on: service.depends_on.clone(),
            restart: service.restart,
        });
    }
    Ok(wanted)
}

/// The networks of the file can be had beside those that are there.
pub(crate) fn check_networks(
    place: &Place,
    deployed: &Deployed,
    unit: &ReleaseUnit,
) -> Result<(), Trouble> {
    let environment = &place.environment;
    for (name, plan) in &unit.environment.networks {
        let wrong = |why: String| {
            Trouble::new(format!(
                "the network {name} of {environment} cannot be made"
            ))
            .cause(why)
        };
        if let Some(network) = deployed.networks.get(name)
            && network.config_hash != hash_network(plan)
        {
            let what =
                format!("the network {name} of {environment} has other settings than the file");
            let subnet = network
                .subnet
                .map_or("unknown".to_owned(), |subnet| subnet.to_string());
            let hint = format!(
                "`hoist down {environment}` takes it away, volumes stay, and the next deploy makes it anew"
            );
            return Err(Trouble::new(what)
                .cause(format!("its subnet is {subnet}"))
                .hint(hint));
        }
        let gateway = match &plan.gateway {
            None => None,
            Some(text) => Some(
                text.parse()
                    .map_err(|_| wrong(format!("{text} is no address for a gateway")))?,
            ),
        };
        if let Some(text) = &plan.subnet {
            let subnet: Ipv4Net = text
                .parse()
                .map_err(|_| wrong(format!("{text} is no subnet of IPv4")))?;
            Layout::new(subnet, gateway).map_err(wrong)?;
        }
    }
    Ok(())
}

/// No port that the release wants is held by a container that stays.
pub(crate) fn check_ports(
    unit: &ReleaseUnit,
    program: &Program,
    running: &[ContainerInfo],
) -> Result<(), Trouble> {
    let goes = |id: &str| {
        let stop = Action::Stop(Which::Old(id.to_owned()));
        program.forward.contains(&stop)
    };
    for service in &unit.services {
        if matches!(
            program.changes.get(&service.name),
            Some(Change::Unchanged(_)) | None
        ) {
            continue;
        }
        for wanted in service.ports.iter().filter_map(HostPort::wanted) {
            let holds = |container: &&ContainerInfo| {
                let held = container
                    .ports
                    .iter()
                    .filter_map(|text| HostPort::read(text));
                container.is_running()
                    && !goes(&container.id)
                    && held.into_iter().any(|h| h.clashes(&wanted))
            };
            if let Some(holder) = running.iter().find(holds) {
                return Err(Trouble::new(format!(
                    "the port {wanted} of {} is taken",
                    service.name
                ))
                .cause(format!("the container {} holds it", holder.name))
                .hint("stop that container, or publish another port"));
            }
        }
    }
    Ok(())
}
