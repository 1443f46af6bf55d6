//! Pieces that the tests of releases are made of.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::image::ImageSource;
use hoist_model::text::Text;
use hoist_model::unit::{
    Limits, PortMapping, Protocol, Restart, Security, ServiceUnit, Traffic, UpdatePlan,
};

use crate::release::state::{Deployed, Generation, Life};

pub(crate) fn image(name: &str) -> ImageSource {
    ImageSource::Name(Text::literal(name))
}

pub(crate) fn service(name: &str) -> ServiceUnit {
    ServiceUnit {
        name: name.to_owned(),
        image: image("app:1"),
        command: None,
        entrypoint: None,
        environment: BTreeMap::new(),
        working_dir: None,
        user: None,
        security: Security::default(),
        limits: Limits::SERVICE,
        tmpfs: Vec::new(),
        secrets: Vec::new(),
        secrets_in_memory: false,
        volumes: Vec::new(),
        ports: Vec::new(),
        networks: vec!["default".to_owned()],
        host_network: false,
        healthcheck: None,
        restart: Restart::UnlessStopped,
        depends_on: Vec::new(),
        labels: BTreeMap::new(),
        stop_grace_period: Duration::from_secs(10),
        replicas: 1,
        update: UpdatePlan::default(),
        traffic: Traffic::default(),
    }
}

pub(crate) fn ports(published: u16) -> Vec<PortMapping> {
    vec![PortMapping {
        host_ip: None,
        published: Some(published),
        target: 80,
        protocol: Protocol::Tcp,
    }]
}

/// A container that runs and was released well; its ID is `service-sequence`.
pub(crate) fn generation(service: &str, sequence: u64) -> Generation {
    Generation {
        id: format!("{service}-{sequence}"),
        name: format!("shop-staging-{service}-{sequence}"),
        service: service.to_owned(),
        sequence,
        replica: 1,
        image: "sha256:1".to_owned(),
        config_digest: None,
        config_hash: "hash".to_owned(),
        secrets: None,
        memory: None,
        addresses: BTreeMap::new(),
        life: Life::Running,
        health: None,
        restart: Restart::UnlessStopped,
        ports: Vec::new(),
        grace: Duration::from_secs(10),
        proxy_protocol: false,
        host_network: false,
        depends_on: Vec::new(),
        drift: Vec::new(),
    }
}

pub(crate) fn deployed(generations: Vec<Generation>) -> Deployed {
    Deployed {
        generations,
        ..Deployed::default()
    }
}
