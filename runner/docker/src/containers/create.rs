//! A container's spec in the engine's words. The sealing that every container has is written here
//! once; nothing here can ask for privileges, devices, host paths or no seccomp profile.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig,
    HostConfigLogConfig, Mount as EngineMount, MountType, MountVolumeOptions, NetworkingConfig,
    PortBinding, PortMap, ResourcesBlkioWeightDevice, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum, ThrottleDevice,
};
use hoist_engine::backend::{Attachment, ContainerSpec, Endpoint, Input, Logs};
use hoist_model::unit::{
    BlkioLimits, DeviceRate, Healthcheck, PortMapping, Protocol, Restart, Security, Ulimit,
};

/// What the engine keeps of a service's output: two files of this size.
const KEPT_LOG: &str = "10m";

/// The body of the call that creates a container. With `several`, all networks are in it; else only
/// the first.
pub(crate) fn body(spec: &ContainerSpec, several: bool) -> ContainerCreateBody {
    let ports = !spec.ports.is_empty();
    let terminal = spec.input == Input::Terminal;
    // Whoever holds the input holds the container: when hoist goes, it ends.
    let held = terminal || spec.input == Input::Held;
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entrypoint.clone().map(cleared),
        cmd: spec.command.clone(),
        env: Some(
            spec.environment
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        working_dir: spec.working_dir.clone(),
        user: spec.user.clone(),
        labels: Some(spec.labels.clone().into_iter().collect()),
        attach_stdin: Some(held),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(terminal),
        open_stdin: Some(spec.input != Input::None),
        stdin_once: Some(held),
        exposed_ports: ports.then(|| spec.ports.iter().map(port_name).collect()),
        healthcheck: spec.healthcheck.as_ref().map(health),
        stop_timeout: spec
            .stop_grace_period
            .map(|grace| i64::from(whole_seconds(grace))),
        stop_signal: spec.stop_signal.clone(),
        network_disabled: (spec.network == Attachment::Nothing).then_some(true),
        host_config: Some(host_config(spec)),
        networking_config: networking(spec, several),
        ..ContainerCreateBody::default()
    }
}

/// An empty entrypoint as engines understand it: Podman takes an empty list for none at all.
fn cleared(entrypoint: Vec<String>) -> Vec<String> {
    if entrypoint.is_empty() {
        vec![String::new()]
    } else {
        entrypoint
    }
}

fn host_config(spec: &ContainerSpec) -> HostConfig {
    let limits = &spec.limits;
    let memory = limits.memory.map(signed);
    HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(spec.security.cap_add.clone()),
        security_opt: Some(security_opt(&spec.security)),
        userns_mode: spec.security.userns.clone(),
        privileged: Some(false),
        readonly_rootfs: Some(spec.security.read_only),
        init: Some(true),
        auto_remove: Some(false),
        memory,
        // The engine's own default is twice the memory.
        memory_swap: limits.memory_swap.or(memory),
        memory_reservation: limits.memory_reservation.map(signed),
        memory_swappiness: limits.memory_swappiness.map(i64::from),
        nano_cpus: limits.cpus.map(nano_cpus),
        cpu_shares: limits.cpu_shares.map(i64::from),
        cpu_quota: limits.cpu_quota.map(signed),
        cpu_period: limits.cpu_period.map(signed),
        cpuset_cpus: limits.cpuset.clone(),
        pids_limit: limits.pids.map(i64::from),
        oom_score_adj: limits.oom_score_adj.map(i64::from),
        ulimits: (!limits.ulimits.is_empty()).then(|| ulimits(&limits.ulimits)),
        shm_size: limits.shm_size.map(signed),
        tmpfs: Some(
            spec.tmpfs
                .iter()
                .map(|t| (t.target.clone(), t.options.clone()))
                .collect(),
        ),
        mounts: Some(spec.mounts.iter().map(mount).collect()),
        port_bindings: (!spec.ports.is_empty()).then(|| port_bindings(&spec.ports)),
        restart_policy: Some(RestartPolicy {
            name: Some(restart_name(spec.restart)),
            maximum_retry_count: None,
        }),
        log_config: Some(log_config(spec.logs)),
        network_mode: network_mode(spec),
        // A resolver that is nowhere: not in the container either.
        dns: spec.local_names.then(|| vec!["127.0.0.1".to_owned()]),
        dns_options: spec
            .local_names
            .then(|| ["timeout:1", "attempts:1"].map(str::to_owned).into()),
        ..disks(&limits.blkio)
    }
}

/// The part of a spec that bounds the use of disks, and no more.
fn disks(blkio: &BlkioLimits) -> HostConfig {
    let weight = |device: &DeviceRate| ResourcesBlkioWeightDevice {
        path: Some(device.path.clone()),
        weight: usize::try_from(device.rate).ok(),
    };
    let throttle = |device: &DeviceRate| ThrottleDevice {
        path: Some(device.path.clone()),
        rate: Some(signed(device.rate)),
    };
    let throttles = |all: &[DeviceRate]| {
        (!all.is_empty()).then(|| all.iter().map(throttle).collect::<Vec<_>>())
    };
    let weights = &blkio.weight_device;
    HostConfig {
        blkio_weight: blkio.weight,
        blkio_weight_device: (!weights.is_empty()).then(|| weights.iter().map(weight).collect()),
        blkio_device_read_bps: throttles(&blkio.device_read_bps),
        blkio_device_write_bps: throttles(&blkio.device_write_bps),
        blkio_device_read_iops: throttles(&blkio.device_read_iops),
        blkio_device_write_iops: throttles(&blkio.device_write_iops),
        ..HostConfig::default()
    }
}

fn security_opt(security: &Security) -> Vec<String> {
    let mut options = vec!["no-new-privileges:true".to_owned()];
    let profiles = [
        ("seccomp", &security.seccomp),
        ("apparmor", &security.apparmor),
    ];
    for (kind, profile) in profiles {
        if let Some(profile) = profile {
            options.push(format!("{kind}={profile}"));
        }
    }
    options
}

fn ulimits(ulimits: &BTreeMap<String, Ulimit>) -> Vec<ResourcesUlimits> {
    let ulimit = |(name, bound): (&String, &Ulimit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(bound.soft),
        hard: Some(bound.hard),
    };
    ulimits.iter().map(ulimit).collect()
}

fn mount(mount: &hoist_engine::backend::Mount) -> EngineMount {
    EngineMount {
        typ: Some(MountType::VOLUME),
        source: Some(mount.volume.clone()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(!mount.populate),
            ..MountVolumeOptions::default()
        }),
        ..EngineMount::default()
    }
}

fn log_config(logs: Logs) -> HostConfigLogConfig {
    let (driver, options) = match logs {
        Logs::Discard => ("none", HashMap::new()),
        Logs::Keep => (
            "json-file",
            HashMap::from([
                ("max-size".to_owned(), KEPT_LOG.to_owned()),
                ("max-file".to_owned(), "2".to_owned()),
            ]),
        ),
    };
    HostConfigLogConfig {
        typ: Some(driver.to_owned()),
        config: Some(options),
    }
}

/// The networks that a spec names.
pub(crate) fn endpoints(spec: &ContainerSpec) -> &[Endpoint] {
    match &spec.network {
        Attachment::Networks(endpoints) => endpoints,
        Attachment::Nothing | Attachment::None | Attachment::Bridge | Attachment::Host => &[],
    }
}

/// `None` where networking is disabled, for which an engine takes no mode.
fn network_mode(spec: &ContainerSpec) -> Option<String> {
    Some(match &spec.network {
        Attachment::Nothing => return None,
        Attachment::Bridge => "bridge".to_owned(),
        Attachment::Host => "host".to_owned(),
        Attachment::None => "none".to_owned(),
        Attachment::Networks(endpoints) => endpoints
            .first()
            .map_or_else(|| "none".to_owned(), |first| first.network.clone()),
    })
}

fn networking(spec: &ContainerSpec, several: bool) -> Option<NetworkingConfig> {
    let endpoints = endpoints(spec);
    let count = if several { endpoints.len() } else { 1 };
    let configs: HashMap<String, EndpointSettings> = endpoints
        .iter()
        .take(count)
        .map(|one| (one.network.clone(), endpoint(one)))
        .collect();
    (!configs.is_empty()).then_some(NetworkingConfig {
        endpoints_config: Some(configs),
    })
}

/// A container's place in a network.
pub(crate) fn endpoint(endpoint: &Endpoint) -> EndpointSettings {
    EndpointSettings {
        aliases: (!endpoint.aliases.is_empty()).then(|| endpoint.aliases.clone()),
        ipam_config: endpoint.address.map(|address| EndpointIpamConfig {
            ipv4_address: Some(address.to_string()),
            ..EndpointIpamConfig::default()
        }),
        gw_priority: endpoint.gateway.then_some(1),
        ..EndpointSettings::default()
    }
}

fn port_name(port: &PortMapping) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("{}/{protocol}", port.target)
}

fn port_bindings(ports: &[PortMapping]) -> PortMap {
    let mut bindings = PortMap::new();
    for port in ports {
        let binding = PortBinding {
            host_ip: port.host_ip.clone(),
            // Empty is what the engine takes for one that it is to choose.
            host_port: Some(
                port.published
                    .map(|port| port.to_string())
                    .unwrap_or_default(),
            ),
        };
        bindings
            .entry(port_name(port))
            .or_default()
            .get_or_insert_default()
            .push(binding);
    }
    bindings
}

fn health(check: &Healthcheck) -> HealthConfig {
    HealthConfig {
        test: Some(check.test.clone()),
        interval: check.interval.map(nanoseconds),
        timeout: check.timeout.map(nanoseconds),
        retries: check.retries.map(i64::from),
        start_period: check.start_period.map(nanoseconds),
        start_interval: check.start_interval.map(nanoseconds),
    }
}

/// The engine's name of a restart policy.
pub(crate) fn restart_name(restart: Restart) -> RestartPolicyNameEnum {
    match restart {
        Restart::No => RestartPolicyNameEnum::NO,
        Restart::Always => RestartPolicyNameEnum::ALWAYS,
        Restart::OnFailure => RestartPolicyNameEnum::ON_FAILURE,
        Restart::UnlessStopped => RestartPolicyNameEnum::UNLESS_STOPPED,
    }
}

/// Seconds, rounded up: engines know no fractions, and no grace at all is another thing than
/// little.
pub(crate) fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration
        .as_secs()
        .saturating_add(u64::from(duration.subsec_nanos() > 0));
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn nano_cpus(cpus: f64) -> i64 {
    let nano = (cpus * 1e9).round().clamp(0.0, 1e15);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "clamped to a range that i64 holds"
    )]
    let nano = nano as i64;
    nano
}
