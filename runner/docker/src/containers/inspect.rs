//! What the engine says of a container, in hoist's words. It refuses to judge it.

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerSummary, Health as EngineHealth,
    HealthStatusEnum, HostConfig, MountPoint, PortMap, PortSummary, RestartPolicyNameEnum,
};
use hoist_engine::backend::{Bounds, ContainerInfo, Health, HealthStatus, Mount};
use hoist_model::unit::Restart;

/// The container of an inspection.
pub(crate) fn inspected(container: ContainerInspectResponse) -> ContainerInfo {
    let state = container.state.unwrap_or_default();
    let settings = container.network_settings.unwrap_or_default();
    let host = container.host_config.unwrap_or_default();
    let bounds = bounds(&host);
    let restart = host.restart_policy;
    ContainerInfo {
        id: container.id.unwrap_or_default(),
        name: bare(container.name.unwrap_or_default()),
        image: container.image.unwrap_or_default(),
        labels: container
            .config
            .and_then(|config| config.labels)
            .unwrap_or_default()
            .into_iter()
            .collect(),
        status: state
            .status
            .map(|status| status.to_string())
            .unwrap_or_default(),
        exit_code: state.exit_code.unwrap_or_default(),
        oom_killed: state.oom_killed.unwrap_or_default(),
        error: state.error.clone().unwrap_or_default(),
        health: health(&state),
        started_at: state.started_at.unwrap_or_default(),
        restart_count: container.restart_count.map_or(0, count),
        addresses: settings
            .networks
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, endpoint)| Some((name, endpoint.ip_address?)))
            .filter(|(_, address)| !address.is_empty())
            .collect(),
        ports: settings.ports.map(bound_ports).unwrap_or_default(),
        restart: restart
            .and_then(|policy| policy.name)
            .map_or(Restart::No, restart_of),
        bounds,
        mounts: container
            .mounts
            .unwrap_or_default()
            .into_iter()
            .filter_map(mount)
            .collect(),
    }
}

/// The container of a listing.
pub(crate) fn listed(container: ContainerSummary) -> ContainerInfo {
    let name = container
        .names
        .unwrap_or_default()
        .into_iter()
        .next()
        .unwrap_or_default();
    let mut ports: Vec<String> = container
        .ports
        .unwrap_or_default()
        .iter()
        .filter_map(listed_port)
        .collect();
    ports.sort();
    ContainerInfo {
        id: container.id.unwrap_or_default(),
        name: bare(name),
        image: container.image_id.unwrap_or_default(),
        labels: container.labels.unwrap_or_default().into_iter().collect(),
        status: container
            .state
            .map(|state| state.to_string())
            .unwrap_or_default(),
        ports,
        restart: Restart::No,
        ..ContainerInfo::default()
    }
}

fn bare(name: String) -> String {
    name.strip_prefix('/').map_or(name.clone(), str::to_owned)
}

fn health(state: &ContainerState) -> Option<Health> {
    let EngineHealth {
        status,
        failing_streak,
        log,
    } = state.health.clone()?;
    let status = match status? {
        HealthStatusEnum::STARTING => HealthStatus::Starting,
        HealthStatusEnum::HEALTHY => HealthStatus::Healthy,
        HealthStatusEnum::UNHEALTHY => HealthStatus::Unhealthy,
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => return None,
    };
    let last = log.unwrap_or_default().pop().and_then(|probe| probe.output);
    Some(Health {
        status,
        failing_streak: failing_streak.map_or(0, count),
        last_output: last.unwrap_or_default(),
    })
}

/// An engine says 0, or less, of what is not bounded.
fn bounds(host: &HostConfig) -> Bounds {
    let some = |number: Option<i64>| {
        let number = number.and_then(|number| u64::try_from(number).ok());
        number.filter(|number| *number > 0)
    };
    let by_quota = Bounds::nano_cpus(some(host.cpu_quota), some(host.cpu_period));
    Bounds {
        memory: some(host.memory),
        nano_cpus: some(host.nano_cpus).or(by_quota),
        pids: some(host.pids_limit),
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn restart_of(name: RestartPolicyNameEnum) -> Restart {
    match name {
        RestartPolicyNameEnum::ALWAYS => Restart::Always,
        RestartPolicyNameEnum::ON_FAILURE => Restart::OnFailure,
        RestartPolicyNameEnum::UNLESS_STOPPED => Restart::UnlessStopped,
        RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO => Restart::No,
    }
}

fn bound_ports(ports: PortMap) -> Vec<String> {
    let mut shown: Vec<String> = ports
        .into_iter()
        .flat_map(|(target, bindings)| {
            bindings
                .unwrap_or_default()
                .into_iter()
                .filter_map(move |binding| {
                    let port = binding.host_port.filter(|port| !port.is_empty())?;
                    Some(shown_port(
                        &binding.host_ip.unwrap_or_default(),
                        &port,
                        &target,
                    ))
                })
        })
        .collect();
    shown.sort();
    shown
}

fn listed_port(port: &PortSummary) -> Option<String> {
    let public = port.public_port?.to_string();
    let protocol = port
        .typ
        .map_or_else(|| "tcp".to_owned(), |typ| typ.to_string());
    let target = format!("{}/{protocol}", port.private_port);
    Some(shown_port(
        port.ip.as_deref().unwrap_or_default(),
        &public,
        &target,
    ))
}

fn shown_port(address: &str, port: &str, target: &str) -> String {
    match address {
        "" => format!("0.0.0.0:{port}->{target}"),
        v6 if v6.contains(':') => format!("[{v6}]:{port}->{target}"),
        v4 => format!("{v4}:{port}->{target}"),
    }
}

fn mount(point: MountPoint) -> Option<Mount> {
    let volume = point.name.filter(|name| !name.is_empty())?;
    Some(Mount {
        volume,
        target: point.destination.unwrap_or_default(),
        read_only: !point.rw.unwrap_or(true),
        populate: false,
    })
}
