//! Networks: plain calls. It refuses to choose subnets.

use std::collections::HashMap;

use bollard::models::{
    Ipam, IpamConfig, Network, NetworkConnectRequest, NetworkCreateRequest,
    NetworkDisconnectRequest,
};
use bollard::query_parameters::ListNetworksOptionsBuilder;
use hoist_engine::backend::{Endpoint, LabelFilter, NetworkInfo, NetworkSpec};

use crate::DockerBackend;
use crate::call::{self, CHANGE, LOOK};
use crate::containers::{create, has_all, label_filters};
use crate::errors::Result;
use crate::names;

impl DockerBackend {
    pub(crate) async fn network_create(&self, spec: &NetworkSpec) -> Result<String> {
        let addresses = IpamConfig {
            subnet: spec.subnet.clone(),
            gateway: spec.gateway.clone(),
            ip_range: spec.ip_range.clone(),
            auxiliary_addresses: None,
        };
        let chosen = addresses != IpamConfig::default();
        let request = NetworkCreateRequest {
            name: spec.name.clone(),
            driver: Some("bridge".to_owned()),
            internal: Some(spec.internal),
            ipam: chosen.then(|| Ipam {
                config: Some(vec![addresses]),
                ..Ipam::default()
            }),
            options: (!spec.options.is_empty()).then(|| spec.options.clone().into_iter().collect()),
            labels: Some(spec.labels.clone().into_iter().collect()),
            ..NetworkCreateRequest::default()
        };
        let made = call::within(CHANGE, self.docker.create_network(request)).await?;
        Ok(made.id)
    }

    pub(crate) async fn network_remove(&self, id: &str) -> Result<()> {
        let id = names::piece(id)?;
        call::gone_is_fine(call::within(CHANGE, self.docker.remove_network(id)).await)
    }

    pub(crate) async fn network_connect(&self, container: &str, endpoint: &Endpoint) -> Result<()> {
        let network = names::piece(&endpoint.network)?;
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(create::endpoint(endpoint)),
        };
        call::within(CHANGE, self.docker.connect_network(network, request)).await
    }

    pub(crate) async fn network_disconnect(&self, container: &str, network: &str) -> Result<()> {
        let network = names::piece(network)?;
        let request = NetworkDisconnectRequest {
            container: container.to_owned(),
            force: Some(true),
        };
        let call = self.docker.disconnect_network(network, request);
        call::gone_is_fine(call::within(CHANGE, call).await)
    }

    pub(crate) async fn network_list(&self, labels: LabelFilter<'_>) -> Result<Vec<NetworkInfo>> {
        let mut options = ListNetworksOptionsBuilder::default();
        let filters: HashMap<String, Vec<String>> = label_filters(labels);
        if !filters.is_empty() {
            options = options.filters(&filters);
        }
        let listed = call::within(LOOK, self.docker.list_networks(Some(options.build()))).await?;
        let listed = listed.into_iter().map(info);
        Ok(listed
            .filter(|network| has_all(&network.labels, labels))
            .collect())
    }
}

fn info(network: Network) -> NetworkInfo {
    let configs = network
        .ipam
        .and_then(|ipam| ipam.config)
        .unwrap_or_default();
    NetworkInfo {
        id: network.id.unwrap_or_default(),
        name: network.name.unwrap_or_default(),
        labels: network.labels.unwrap_or_default().into_iter().collect(),
        subnets: configs
            .iter()
            .filter_map(|config| config.subnet.clone())
            .collect(),
        ip_range: configs
            .iter()
            .find_map(|config| config.ip_range.clone())
            .filter(|range| !range.is_empty()),
        internal: network.internal.unwrap_or_default(),
    }
}
