//! What a release does, in a few lines: where it goes, what runs there, and how each service is
//! updated. What runs there already is not known here.

use hoist_model::quantity::show_duration;
use hoist_model::unit::{
    AppProtocol, Command, FailureAction, HookUnit, ReleaseUnit, ServiceUnit, Strategy, Traffic,
    UpdateOrder, UpdatePlan,
};

use super::image;
use crate::words;

/// The lines of a release.
pub(super) fn about(unit: &ReleaseUnit) -> Vec<String> {
    let asks = match unit.environment.approval {
        true => ", when someone approves",
        false => "",
    };
    let mut out = vec![format!("to environment {}{asks}", unit.environment.name)];
    for hook in &unit.pre_deploy {
        out.extend(once("first", hook));
    }
    for service in &unit.services {
        let ports = service.ports.iter().map(|port| {
            let ip = port
                .host_ip
                .as_ref()
                .map(|ip| format!("{ip}:"))
                .unwrap_or_default();
            let published = port
                .published
                .map_or_else(|| "free".to_owned(), |p| p.to_string());
            format!(" {ip}{published}->{}", port.target)
        });
        let ports = ports.collect::<String>();
        out.push(format!(
            "service {}: image {}{ports}",
            service.name,
            image(&service.image)
        ));
        out.push(format!("  {}", update(service)));
        out.extend(secrets(service));
    }
    for hook in &unit.post_deploy {
        out.extend(once("then", hook));
    }
    out.push(match unit.keep {
        0 => "keeps no earlier generation to go back to".to_owned(),
        keep => {
            let keep = usize::try_from(keep).unwrap_or(usize::MAX);
            let kept = words::count(keep, "earlier generation");
            format!("keeps {kept} to go back to")
        }
    });
    out
}

/// What runs once, before or after the services.
fn once(when: &str, hook: &HookUnit) -> Vec<String> {
    let container = &hook.container;
    let argv = container.command.as_ref().map(Command::argv);
    let mut out = vec![
        format!(
            "{when} {}: image {}",
            container.name,
            image(&container.image)
        ),
        format!(
            "  $ {}, at most {}",
            argv.unwrap_or_default().join(" "),
            show_duration(hook.timeout)
        ),
    ];
    out.extend(secrets(container));
    out
}

fn secrets(container: &ServiceUnit) -> Option<String> {
    let names = container.secrets.join(", ");
    let kept = match container.secrets_in_memory {
        true => "kept in the engine's memory: gone when the service ends by itself",
        false => "kept in a volume on the engine's disk",
    };
    (!names.is_empty()).then(|| format!("  secrets {names}, {kept}"))
}

/// How a service is updated, with how many containers, and whether it is down meanwhile.
fn update(service: &ServiceUnit) -> String {
    let UpdatePlan {
        strategy,
        parallelism,
        delay,
        order,
        max_failure_ratio,
        monitor: _,
        failure_action,
        canary,
    } = &service.update;
    let mut parts = vec![
        match strategy {
            Strategy::Recreate => "recreate",
            Strategy::BlueGreen => "blue-green",
            Strategy::Rolling => "rolling",
            Strategy::Canary => "canary",
        }
        .to_owned(),
    ];
    if service.replicas > 1 {
        let replicas = usize::try_from(service.replicas).unwrap_or(usize::MAX);
        parts.push(words::count(replicas, "container"));
    }
    if *strategy == Strategy::Rolling {
        parts.push(match parallelism {
            0 => "all at once".to_owned(),
            at_once => format!("{at_once} at a time"),
        });
        if !delay.is_zero() {
            parts.push(format!("{} apart", show_duration(*delay)));
        }
        if *order == UpdateOrder::StopFirst {
            parts.push("the old stopped first".to_owned());
        }
        if *max_failure_ratio > 0.0 {
            parts.push(format!("{} % may fail", max_failure_ratio * 100.0));
        }
    }
    if let Some(canary) = canary {
        let weights: Vec<String> = canary
            .weights
            .iter()
            .map(|weight| format!("{weight} %"))
            .collect();
        let step = show_duration(canary.step);
        parts.push(format!("{} for {step} each", weights.join(", ")));
    }
    if *strategy != Strategy::Recreate && service.traffic.app_protocol == AppProtocol::Tcp {
        parts.push("over TCP".to_owned());
    }
    if service.host_network {
        parts.push("on the host's network".to_owned());
    }
    parts.extend(traffic(&service.traffic));
    if *failure_action == FailureAction::Pause {
        parts.push("a failure leaves it as it is".to_owned());
    }
    if service.update.has_downtime(service.replicas) {
        parts.push("down while it is changed".to_owned());
    }
    parts.join(", ")
}

/// What is done with requests beside handing them on.
fn traffic(traffic: &Traffic) -> Vec<String> {
    let mut parts: Vec<String> = traffic.routes.iter().map(|it| format!("at {it}")).collect();
    if let Some(secret) = &traffic.tls {
        parts.push(format!("TLS by {secret}"));
    }
    if traffic.proxy_protocol {
        parts.push("told the client by the PROXY protocol".to_owned());
    }
    if traffic.sticky {
        parts.push("one client stays with one container".to_owned());
    }
    if traffic.maintenance {
        parts.push("a maintenance page instead of it".to_owned());
    }
    parts
}
