//! The network that a step and its services are alone on. It has no way out, and none to the host
//! that it is on either: an internal network alone would still let its containers reach what
//! listens on the host.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::unit::{ContainerUnit, Network};
use tokio::time::Instant;

use crate::backend::{Attachment, BackendErrorKind, Endpoint, EngineInfo, NetworkSpec};
use crate::context::UnitContext;
use crate::unit::container::Litter;
use crate::unit::container::place::Names;
use crate::unit::halt::{Halt, unless_stopped};

/// The version of the API from which on engines know of networks whose gateway is isolated: Docker
/// 28.
const ISOLATED: (u32, u32) = (1, 48);
/// How long an engine may have no addresses for another network. Those of other steps become free.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries to get some.
const PAUSE: Duration = Duration::from_millis(500);

/// A step's own network.
pub(in crate::unit::container) struct Own {
    /// Its ID.
    pub(in crate::unit::container) id: String,
    /// What the engine says of itself.
    pub(in crate::unit::container) info: EngineInfo,
}

/// Makes the network of a step that has services.
pub(in crate::unit::container) async fn make(
    context: &UnitContext,
    unit: &ContainerUnit,
    names: &Names,
    litter: &Litter,
) -> Result<Option<Own>, Halt> {
    if unit.services.is_empty() {
        return Ok(None);
    }
    let what = "the network of the services could not be created";
    let info = context.backend.info().await;
    let info = info.map_err(|error| Halt::surroundings(what, &error))?;
    let spec = NetworkSpec {
        name: names.of("services"),
        labels: names.labels.clone(),
        internal: true,
        options: options(&info),
        ..NetworkSpec::default()
    };
    litter.network(&spec.name);
    let until = Instant::now() + PATIENCE;
    let made = async {
        loop {
            match context.backend.create_network(&spec).await {
                Err(error)
                    if error.kind == BackendErrorKind::NoAddresses && Instant::now() < until =>
                {
                    context.phase("waiting for addresses of other networks");
                    tokio::time::sleep(PAUSE).await;
                }
                result => return result.map_err(|error| Halt::surroundings(what, &error)),
            }
        }
    };
    let id = unless_stopped(context, made).await?;
    litter.network_is(&spec.name, &id);
    Ok(Some(Own { id, info }))
}

/// What keeps the host out of a network, by the engine's words. What an engine does not know it
/// takes without a word and does not do.
fn options(info: &EngineInfo) -> BTreeMap<String, String> {
    let options: &[(&str, &str)] = if info.speaks(ISOLATED) {
        &[
            ("gateway_mode_ipv4", "isolated"),
            ("gateway_mode_ipv6", "isolated"),
        ]
    } else {
        &[("inhibit_ipv4", "true")]
    };
    let named = |(name, value): &(&str, &str)| {
        let name = format!("com.docker.network.bridge.{name}");
        (name, (*value).to_owned())
    };
    options.iter().map(named).collect()
}

/// The networks of the step's own container. With a bridge beside its services it is on both.
pub(in crate::unit::container) fn attachment(way_out: Network, own: Option<&Own>) -> Attachment {
    let Some(own) = own else {
        return way_out.into();
    };
    let bridge = match way_out {
        Network::None => None,
        Network::Bridge => Some("bridge"),
    };
    let networks = std::iter::once(own.id.as_str()).chain(bridge);
    Attachment::Networks(
        networks
            .map(|network| endpoint(network, Vec::new()))
            .collect(),
    )
}

/// A place in a network, under these names.
pub(super) fn endpoint(network: &str, aliases: Vec<String>) -> Endpoint {
    Endpoint {
        network: network.to_owned(),
        aliases,
        address: None,
        gateway: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(api: &str) -> String {
        let info = EngineInfo {
            api: api.to_owned(),
            ..EngineInfo::default()
        };
        format!("{:?}", options(&info))
    }

    #[test]
    fn engines_are_told_in_words_that_they_know() {
        for (api, word) in [
            ("1.41", "inhibit_ipv4"),
            ("1.47", "inhibit_ipv4"),
            ("1.48", "isolated"),
            ("2.0", "isolated"),
            ("odd", "inhibit_ipv4"),
        ] {
            assert!(words(api).contains(word), "{api}: {}", words(api));
        }
    }

    #[test]
    fn a_way_out_is_only_where_it_is_asked_for() {
        let own = Own {
            id: "n".to_owned(),
            info: EngineInfo::default(),
        };
        let named = |way_out, own| match attachment(way_out, own) {
            Attachment::Nothing | Attachment::None => vec!["none".to_owned()],
            Attachment::Bridge => vec!["default".to_owned()],
            Attachment::Host => vec!["host".to_owned()],
            Attachment::Networks(all) => all.into_iter().map(|end| end.network).collect(),
        };
        assert_eq!(named(Network::None, None), ["none"]);
        assert_eq!(named(Network::Bridge, None), ["default"]);
        assert_eq!(named(Network::None, Some(&own)), ["n"]);
        assert_eq!(named(Network::Bridge, Some(&own)), ["n", "bridge"]);
    }
}
