//! `hoist ps`: shows what hoist has deployed, as the engines have it now; with `--all`, all that the
//! project has there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use hoist_engine::backend::HealthStatus;
use hoist_engine::inventory;
use hoist_engine::release::{self, DeployedService, Drift};
use hoist_model::plan::Plan;
use hoist_model::reason::{Trouble, Verdict};
use hoist_report::seen::inventory as report;
use hoist_report::words;
use serde_json::{Value, json};

use super::{Outcome, connect, print, table};
use crate::args::{self, Format};
use crate::exit::CliError;
use crate::options::Options;
use crate::project;

pub(super) async fn execute(args: &args::Ps, options: &Options) -> Outcome {
    let plan = project::read(options)?.plan;
    if args.all {
        return all(&plan, args.format, options).await;
    }
    let wanted = args.environment.as_deref();
    let mut services = Vec::new();
    for (address, environments) in engines(&plan, wanted)? {
        let backend = connect(options, address.as_deref()).await?;
        let found = release::ps(&backend, &plan.name, &environments).await;
        services.extend(found.map_err(CliError::trouble)?);
    }
    print(&match args.format {
        Format::Text => text(&services),
        Format::Json => json_text(&services),
    })?;
    Ok(Verdict::Passed)
}

/// All that the project has on the engines of its environments, and on the one in use, where runs
/// are.
async fn all(plan: &Plan, format: Format, options: &Options) -> Outcome {
    let mut addresses: BTreeSet<_> = engines(plan, None)?.into_keys().collect();
    addresses.insert(None);
    let (mut objects, mut seen) = (Vec::new(), BTreeSet::new());
    for address in addresses {
        let backend = connect(options, address.as_deref()).await?;
        let info = backend.info().await;
        let info =
            info.map_err(|error| CliError::trouble(error.trouble("the engine does not answer")))?;
        // Several addresses can lead to one engine.
        if seen.insert(info.id) {
            let found = inventory::of_project(backend.as_ref(), &plan.name).await;
            objects.extend(found.map_err(CliError::trouble)?);
        }
    }
    objects.sort();
    print(&match format {
        Format::Json => report::json(&objects),
        Format::Text if objects.is_empty() => format!("{} has nothing on its engines\n", plan.name),
        Format::Text => table(&report::rows(&objects)) + &report::total(&objects),
    })?;
    Ok(Verdict::Passed)
}

/// The engines on which the file's environments are, or the one that was named.
fn engines(
    plan: &Plan,
    wanted: Option<&str>,
) -> Result<BTreeMap<Option<String>, BTreeSet<String>>, CliError> {
    if let Some(name) = wanted {
        environment(plan, name)?;
    }
    let mut engines: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (name, environment) in &plan.environments {
        if wanted.is_none_or(|wanted| wanted == name) {
            engines
                .entry(environment.engine.clone())
                .or_default()
                .insert(name.clone());
        }
    }
    Ok(engines)
}

/// The address of an environment's engine, if there is an environment of that name.
pub(super) fn environment(plan: &Plan, name: &str) -> Result<Option<String>, CliError> {
    let found = plan.environments.get(name).ok_or_else(|| {
        let all: Vec<_> = plan.environments.keys().map(String::as_str).collect();
        let hint = match all.as_slice() {
            [] => "the file has no [environments]".to_owned(),
            all => format!("the file has {}", all.join(", ")),
        };
        CliError::usage(Trouble::new(format!("there is no environment `{name}`")).hint(hint))
    })?;
    Ok(found.engine.clone())
}

fn text(services: &[DeployedService]) -> String {
    if services.is_empty() {
        return "nothing is deployed\n".to_owned();
    }
    let head = [
        "ENVIRONMENT",
        "SERVICE",
        "REPLICA",
        "RELEASE",
        "STATE",
        "DRIFT",
        "SINCE",
        "IMAGE",
        "PORTS",
        "CERTIFICATE",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(services.iter().map(|service| {
        let state = match service.health {
            Some(health) if service.state == "running" => word(health).to_owned(),
            _ if service.state == "exited" && !service.serving => "kept".to_owned(),
            _ => service.state.clone(),
        };
        let drift: Vec<&str> = service.drift.iter().map(Drift::word).collect();
        let drift = match drift.as_slice() {
            [] => "-".to_owned(),
            drift => drift.join(","),
        };
        let since = service.since.map_or_else(
            || "-".to_owned(),
            |since| {
                let span = jiff::Timestamp::now().duration_since(since);
                words::duration(span.try_into().unwrap_or_default())
            },
        );
        vec![
            service.environment.clone(),
            service.service.clone(),
            service.replica.to_string(),
            service.release.to_string(),
            state,
            drift,
            since,
            service.image.clone(),
            ports(service),
            certificate(service),
        ]
    }));
    // Where there is none, a column of nothing would only be in the way.
    if services
        .iter()
        .all(|service| service.certificate_expires.is_none())
    {
        rows.iter_mut().for_each(|row| row.truncate(head.len() - 1));
    }
    table(&rows) + &shared(services) + &hints(services)
}

/// With whom ports are shared, a line each.
fn shared(services: &[DeployedService]) -> String {
    let all = services.iter().flat_map(|service| {
        let shared = service.shared_with.iter();
        shared.map(|(port, others)| {
            let DeployedService {
                environment,
                service,
                ..
            } = service;
            let others = others.join(", ");
            format!("{service} of {environment} shares {port} with {others}\n")
        })
    });
    // Replicas have the same ports.
    all.collect::<BTreeSet<String>>().into_iter().collect()
}

/// What was changed by hand, a line each, and what puts it right.
fn hints(services: &[DeployedService]) -> String {
    let mut out = String::new();
    for service in services {
        for drift in &service.drift {
            let _ = writeln!(out, "{}: {drift}", service.container);
        }
    }
    if !out.is_empty() {
        out.push_str("  try: `hoist run` puts right what is not as it was released\n");
    }
    out
}

fn ports(service: &DeployedService) -> String {
    match service.host_network {
        true => "the host's".to_owned(),
        false => service.ports.join(" "),
    }
}

/// Until when it is valid.
fn certificate(service: &DeployedService) -> String {
    let Some(expires) = service.certificate_expires else {
        return "-".to_owned();
    };
    let day = expires.to_zoned(jiff::tz::TimeZone::UTC).date();
    match expires <= jiff::Timestamp::now() {
        true => format!("expired {day}"),
        false => format!("until {day}"),
    }
}

fn word(health: HealthStatus) -> &'static str {
    match health {
        HealthStatus::Starting => "starting",
        HealthStatus::Healthy => "healthy",
        HealthStatus::Unhealthy => "unhealthy",
    }
}

fn json_text(services: &[DeployedService]) -> String {
    let services: Vec<_> = services
        .iter()
        .map(|service| {
            json!({
                "environment": service.environment,
                "service": service.service,
                "replica": service.replica,
                "container": service.container,
                "state": service.state,
                "serving": service.serving,
                "drift": service.drift.iter().map(drift).collect::<Vec<_>>(),
                "health": service.health.map(word),
                "release": service.release,
                "since": service.since.map(|since| since.to_string()),
                "image": service.image,
                "image_id": service.image_id,
                "ports": service.ports,
                "host_network": service.host_network,
                "shared_with": service.shared_with,
                "certificate_expires": service.certificate_expires.map(|at| at.to_string()),
            })
        })
        .collect();
    serde_json::to_string_pretty(&services).unwrap_or_default() + "\n"
}

fn drift(drift: &Drift) -> Value {
    json!({ "kind": drift.word(), "message": drift.to_string() })
}
