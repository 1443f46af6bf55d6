//! `hoist releases`: what was released to an environment, as its engine has it, and whether that is
//! what was written. It changes nothing.

use hoist_engine::release::{self, History, ReleaseEnd, ReleaseEntry};
use hoist_model::reason::Verdict;
use hoist_report::lines::clean;
use hoist_report::words;
use serde_json::{Value, json};

use super::{Outcome, connect, print, ps, say, table};
use crate::args::{self, Format};
use crate::exit::CliError;
use crate::options::Options;
use crate::project;

pub(super) async fn execute(args: &args::Releases, options: &Options) -> Outcome {
    let environment = &args.environment;
    let plan = project::read(options)?.plan;
    let address = ps::environment(&plan, environment)?;
    let backend = connect(options, address.as_deref()).await?;
    let history = release::history(&backend, &plan.name, environment).await;
    let history = history.map_err(CliError::trouble)?;
    match args.format {
        Format::Text if args.verify => {}
        Format::Text => print(&text(&history, environment))?,
        Format::Json => print(&json_text(&history, environment))?,
    }
    for note in &history.notes {
        say(&format!("note: {note}\n"));
    }
    for fault in &history.faults {
        let word = if args.verify { "error" } else { "warning" };
        say(&format!("{word}: {fault}\n"));
    }
    if !args.verify {
        return Ok(Verdict::Passed);
    }
    if !history.faults.is_empty() {
        return Ok(Verdict::StepFailed);
    }
    let releases = words::count(history.releases.len(), "release");
    say(&format!(
        "the history of {environment} is as it was written: {releases}\n"
    ));
    Ok(Verdict::Passed)
}

fn text(history: &History, environment: &str) -> String {
    if history.releases.is_empty() {
        return format!("nothing was released to {environment}\n");
    }
    let head = ["RELEASE", "BEGAN", "RESULT", "ACTION", "BY", "SERVICES"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(history.releases.iter().map(|release| {
        let row = [
            release.release.to_string(),
            format!("{:.0}", release.at),
            result(&release.end).to_owned(),
            action(release),
            release.by.clone(),
            services(release),
        ];
        row.map(|cell| clean(cell.as_bytes(), false)).to_vec()
    }));
    let mut out = table(&rows);
    for release in &history.releases {
        for (service, replicas) in &release.left_out {
            let replicas: Vec<_> = replicas.iter().map(u32::to_string).collect();
            let (release, which) = (release.release, replicas.join(", "));
            let line = format!("release {release}: {service} ({which}) was not well and left out");
            out.push_str(&clean(line.as_bytes(), false));
            out.push('\n');
        }
        if let ReleaseEnd::Failed { message, fallback } = &release.end {
            let line = format!("release {}: {message}; {fallback}", release.release);
            out.push_str(&clean(line.as_bytes(), false));
            out.push('\n');
        }
    }
    out
}

fn result(end: &ReleaseEnd) -> &'static str {
    match end {
        ReleaseEnd::Passed => "passed",
        ReleaseEnd::Failed { .. } => "failed",
        ReleaseEnd::UnderWay => "under way",
        ReleaseEnd::CutOff => "cut off",
    }
}

fn action(release: &ReleaseEntry) -> String {
    match release.forced {
        true => format!("{}, forced", release.action),
        false => release.action.clone(),
    }
}

/// Each with its image; a star marks what serves.
fn services(release: &ReleaseEntry) -> String {
    let services = release.services.iter().map(|service| {
        let star = if service.serves { "*" } else { "" };
        let network = match service.host_network {
            true => " (host's network)",
            false => "",
        };
        format!("{}{star}={}{network}", service.name, service.image)
    });
    services.collect::<Vec<_>>().join(" ")
}

fn json_text(history: &History, environment: &str) -> String {
    let releases: Vec<_> = history.releases.iter().map(release_json).collect();
    let text = json!({
        "environment": environment,
        "releases": releases,
        "entries": history.entries,
        "faults": history.faults,
        "notes": history.notes,
    });
    serde_json::to_string_pretty(&text).unwrap_or_default() + "\n"
}

fn release_json(release: &ReleaseEntry) -> Value {
    let services = release.services.iter().map(|service| {
        json!({
            "service": service.name,
            "image": service.image,
            "image_id": service.image_id,
            "config_digest": service.config_digest,
            "repo_digest": service.repo_digest,
            "replicas": service.replicas,
            "host_network": service.host_network,
            "serves": service.serves,
        })
    });
    let gates = release.gates.iter();
    let gates = gates.map(|(step, identity)| json!({ "step": step, "identity": identity }));
    let (message, fallback) = match &release.end {
        ReleaseEnd::Failed { message, fallback } => (Some(message), Some(fallback)),
        ReleaseEnd::Passed | ReleaseEnd::UnderWay | ReleaseEnd::CutOff => (None, None),
    };
    json!({
        "release": release.release,
        "id": release.id.to_string(),
        "action": release.action,
        "at": release.at.to_string(),
        "by": release.by,
        "run": release.run.map(|run| run.to_string()),
        "services": services.collect::<Vec<_>>(),
        "hooks": release.hooks,
        "hooks_run": release.hooks_run,
        "gates": gates.collect::<Vec<_>>(),
        "forced": release.forced,
        "left_out": release.left_out,
        "result": result(&release.end).replace(' ', "_"),
        "message": message,
        "fallback": fallback,
        "ended_at": release.ended_at.map(|at| at.to_string()),
    })
}
