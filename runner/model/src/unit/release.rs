//! What a deploy lowers to. It says what is wanted and refuses to know what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Command, Dependency, Healthcheck, Limits, Security, Tmpfs};
use crate::ids::StepId;
use crate::image::ImageSource;
use crate::text::Text;

/// A release put on an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseUnit {
    /// Where it goes.
    pub environment: EnvironmentPlan,
    /// In the order of their dependencies.
    pub services: Vec<ServiceUnit>,
    /// How long the release may take to become healthy, all services together.
    #[serde(rename = "healthy_within_ms", with = "crate::millis")]
    pub healthy_within: Duration,
    /// What runs once before anything that serves is touched, in this order.
    #[serde(default)]
    pub pre_deploy: Vec<HookUnit>,
    /// What runs once when the release is in place, in this order.
    #[serde(default)]
    pub post_deploy: Vec<HookUnit>,
    /// How many earlier generations of each service stay, stopped, to go back to.
    pub keep: u32,
    /// The image of the proxies in front of services, and of what holds lock and state.
    pub proxy: String,
    /// What is released.
    #[serde(default)]
    pub deed: ReleaseDeed,
    /// The scans and tests of the very images that are deployed, for which the step waits.
    #[serde(default)]
    pub gates: Vec<RequiredGate>,
}

/// A step that an image has to pass before it is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequiredGate {
    /// The step.
    pub step: StepId,
    /// The service or hook whose image it looks at.
    pub service: String,
}

/// What is released.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseDeed {
    /// The services of the unit.
    #[default]
    Deploy,
    /// Those of an earlier release, as the environment's history has them.
    Rollback {
        /// Its number; the one before the one that serves where absent.
        to: Option<u64>,
    },
    /// The services of the unit, on the very images that serve in another environment.
    Promote {
        /// The other environment.
        from: String,
    },
    /// Those that serve, in another number.
    Scale {
        /// By service.
        replicas: BTreeMap<String, u32>,
    },
    /// Those that serve, as they are, behind proxies of the image that is configured now.
    UpgradeProxies,
}

impl ReleaseUnit {
    /// All containers: those of services and of what runs once.
    pub fn containers(&self) -> impl Iterator<Item = &ServiceUnit> {
        let hooks = self.pre_deploy.iter().chain(&self.post_deploy);
        self.services
            .iter()
            .chain(hooks.map(|hook| &hook.container))
    }
}

/// Where a release goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentPlan {
    /// Its name.
    pub name: String,
    /// An engine's address, or `context:NAME`; the engine in use where absent.
    pub engine: Option<String>,
    /// Someone must approve of what is to change.
    #[serde(default)]
    pub approval: bool,
    /// Networks by name. There is always one called `default`.
    pub networks: BTreeMap<String, NetworkPlan>,
}

/// A network of an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// In CIDR form; chosen free where absent.
    pub subnet: Option<String>,
    /// Of the subnet; the first address where absent.
    pub gateway: Option<String>,
    /// No way out.
    pub internal: bool,
    /// Labels that the file gives it.
    pub labels: BTreeMap<String, String>,
}

/// One service of a release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceUnit {
    /// Its name, under which others reach it.
    pub name: String,
    /// What it runs on.
    pub image: ImageSource,
    /// The image's own where absent.
    pub command: Option<Command>,
    /// The image's own where absent.
    pub entrypoint: Option<Vec<String>>,
    /// Variables.
    pub environment: BTreeMap<String, Text>,
    /// The image's own where absent.
    pub working_dir: Option<String>,
    /// The image's own where absent.
    pub user: Option<String>,
    /// What it may do; the minimum of a service (CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID) is
    /// already in `cap_add`.
    pub security: Security,
    /// Its bounds.
    pub limits: Limits,
    /// Memory file systems.
    pub tmpfs: Vec<Tmpfs>,
    /// Names of secrets, each a file under /run/secrets.
    pub secrets: Vec<String>,
    /// They are kept in memory alone, and gone when the service ends.
    #[serde(default)]
    pub secrets_in_memory: bool,
    /// Named volumes.
    pub volumes: Vec<VolumeMount>,
    /// Ports published on the host.
    pub ports: Vec<PortMapping>,
    /// Names of the environment's networks; `default` where the file names none, and none on the
    /// host's network.
    pub networks: Vec<String>,
    /// It has all of the host's network, and none of its own.
    #[serde(default)]
    pub host_network: bool,
    /// How its health is told.
    pub healthcheck: Option<Healthcheck>,
    /// What the engine does when it exits.
    pub restart: Restart,
    /// Services that come first.
    pub depends_on: Vec<Dependency>,
    /// Labels that the file gives it.
    pub labels: BTreeMap<String, String>,
    /// Grace between the stop signal and the kill.
    #[serde(rename = "stop_grace_period_ms", with = "crate::millis")]
    pub stop_grace_period: Duration,
    /// How many containers.
    pub replicas: u32,
    /// How a new generation takes the place of the one that runs.
    pub update: UpdatePlan,
    /// What comes in through a proxy.
    pub traffic: Traffic,
}

impl ServiceUnit {
    /// The TCP ports of the container that a proxy hands on to, each once, in order.
    #[must_use]
    pub fn proxied(&self) -> BTreeSet<u16> {
        let published = self.ports.iter();
        let published = published.filter(|port| port.protocol == Protocol::Tcp);
        let published = published.map(|port| port.target);
        published
            .chain(self.traffic.expose.iter().copied())
            .collect()
    }
}

/// What runs once in a release, such as a migration: a container on the environment's networks that
/// ends by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookUnit {
    /// What runs. Of its `depends_on`, what does not run yet is put in place first.
    pub container: ServiceUnit,
    /// How long it may take.
    #[serde(rename = "timeout_ms", with = "crate::millis")]
    pub timeout: Duration,
}

/// How a new generation of a service takes the place of the one that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The old is stopped, then the new is started: the service is down meanwhile.
    #[default]
    Recreate,
    /// All of the new is started beside the old, then the proxy switches.
    BlueGreen,
    /// A few containers at a time.
    Rolling,
    /// A growing share of the traffic goes to the new, as long as it is no worse than the old.
    Canary,
}

/// How an update goes on. The names are those of Compose's `update_config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdatePlan {
    /// The strategy.
    pub strategy: Strategy,
    /// Of a rolling update: how many containers at once; 0 for all.
    pub parallelism: u32,
    /// Between two of those groups.
    #[serde(rename = "delay_ms", with = "crate::millis")]
    pub delay: Duration,
    /// Which goes first.
    pub order: UpdateOrder,
    /// The share of containers that may fail, 0 to 1.
    pub max_failure_ratio: f64,
    /// How long the new is watched once it has the traffic.
    #[serde(rename = "monitor_ms", with = "crate::millis")]
    pub monitor: Duration,
    /// What a failure leads to.
    pub failure_action: FailureAction,
    /// How a canary is judged; present where the strategy is one.
    pub canary: Option<CanaryPlan>,
}

impl UpdatePlan {
    /// Where one of so many containers is replaced, there is a moment in which none serves.
    #[must_use]
    pub fn has_downtime(&self, replicas: u32) -> bool {
        let all_at_once = self.parallelism == 0 || self.parallelism >= replicas;
        match self.strategy {
            Strategy::Recreate => true,
            Strategy::Rolling => self.order == UpdateOrder::StopFirst && all_at_once,
            Strategy::BlueGreen | Strategy::Canary => false,
        }
    }
}

impl Default for UpdatePlan {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            parallelism: 1,
            delay: Duration::ZERO,
            order: UpdateOrder::default(),
            max_failure_ratio: 0.0,
            monitor: Duration::from_secs(5),
            failure_action: FailureAction::default(),
            canary: None,
        }
    }
}

/// Which of the two containers goes first in a rolling update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// The new is started before the old is stopped.
    #[default]
    StartFirst,
    /// The old is stopped before the new is started.
    StopFirst,
}

/// What a failed update leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureAction {
    /// Back to what served before.
    #[default]
    Rollback,
    /// All stays as it is at that moment.
    Pause,
}

/// How a canary gets its share and is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CanaryPlan {
    /// Shares of the traffic in percent, growing, each below 100.
    pub weights: Vec<u32>,
    /// How long each share is kept.
    #[serde(rename = "step_ms", with = "crate::millis")]
    pub step: Duration,
    /// With fewer requests to the new, a share says nothing.
    pub min_requests: u64,
    /// By how much the new's share of failed requests may be above the old's, 0 to 1.
    pub max_error_rate: f64,
    /// By which factor the new's 95th percentile of latency may be above the old's; no bound where
    /// absent.
    pub max_latency_ratio: Option<f64>,
}

/// What comes in to a service through a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// TCP ports of the container that others of the environment use, beside the published ones.
    pub expose: Vec<u16>,
    /// What is spoken on the ports.
    pub app_protocol: AppProtocol,
    /// How long connections to what is replaced may go on.
    #[serde(rename = "drain_ms", with = "crate::millis")]
    pub drain: Duration,
    /// One client stays with one container.
    pub sticky: bool,
    /// Which requests to the published ports are the service's; all of them where empty.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// The name of a secret with a certificate, its chain and its key as PEM: TLS ends at the proxy,
    /// on the published ports.
    #[serde(default)]
    pub tls: Option<String>,
    /// The service is told the client's address by the PROXY protocol, version 2.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// A page with the status 503 is what requests get instead of the service.
    #[serde(default)]
    pub maintenance: bool,
}

/// Requests that are a service's. What is there has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// Those for this host, in small letters.
    pub host: Option<String>,
    /// Those whose path is this one or begins with it and a `/`: absolute, without a `/` at its end
    /// unless it is nothing else.
    pub path: Option<String>,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref().unwrap_or("*");
        let path = self.path.as_deref().unwrap_or_default();
        write!(f, "{host}{path}")
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            expose: Vec::new(),
            app_protocol: AppProtocol::default(),
            drain: Duration::from_secs(60),
            sticky: false,
            routes: Vec::new(),
            tls: None,
            proxy_protocol: false,
            maintenance: false,
        }
    }
}

/// What is spoken on a service's ports; the name is that of Compose's long syntax of ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppProtocol {
    /// HTTP/1: requests are told apart, so none is lost in a switch.
    Http,
    /// Anything on TCP: connections are.
    #[default]
    Tcp,
}

/// A named volume in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// The volume's name in the file.
    pub name: String,
    /// An absolute path in the container.
    pub target: String,
    /// Cannot be written to.
    pub read_only: bool,
}

/// A port published on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// An address of the host; all of them where absent.
    pub host_ip: Option<String>,
    /// On the host; chosen free where absent.
    pub published: Option<u16>,
    /// In the container.
    pub target: u16,
    /// `tcp` or `udp`.
    pub protocol: Protocol,
}

/// A port's protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// What the engine does when a service exits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Nothing.
    No,
    /// Starts it again, always.
    #[default]
    Always,
    /// Starts it again after an exit code other than 0.
    OnFailure,
    /// Starts it again unless someone stopped it. An engine that was killed takes what it finds
    /// running for stopped by someone.
    UnlessStopped,
}
