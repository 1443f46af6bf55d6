//! A plan as people and programs read it before anything runs: text, JSON, and Graphviz' dot. What
//! a step relaxes of its sealing is always said. Values of secrets are not in a plan and so not here.

mod build;
mod release;

use std::fmt::Write;

use hoist_model::attempts::{AllowFailure, Retry};
use hoist_model::gc::Policy;
use hoist_model::image::ImageSource;
use hoist_model::plan::{Edge, Plan, PlannedStep};
use hoist_model::quantity::show_duration;
use hoist_model::unit::{Command, ContainerUnit, StopPlan, Unit};

use crate::style::{BOLD, DIM, Paint, WARN};
use crate::words;

/// The plan as text, each step after those that it needs.
#[must_use]
pub fn text(plan: &Plan, colour: bool) -> String {
    let paint = Paint { colour };
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}: {}",
        plan.name,
        words::count(plan.steps.len(), "step")
    );
    if let Some(timeout) = plan.timeout {
        let _ = writeln!(out, "at most {}", words::duration(timeout));
    }
    for step in &plan.steps {
        let head = paint.paint(BOLD, step.id.as_str());
        let _ = writeln!(out, "\n{head} ({})", step.kind.name());
        for line in about(step) {
            let _ = writeln!(out, "  {line}");
        }
        if let Some(most) = step.cell.as_ref().and_then(|cell| cell.max_parallel) {
            let _ = writeln!(out, "  {most} of its cells at once");
        }
        if let Some(line) = condition(step) {
            let style = if step.skip.is_some() { WARN } else { DIM };
            let _ = writeln!(out, "  {}", paint.paint(style, &line));
        }
        if !step.needs.is_empty() {
            let needs: Vec<_> = step
                .needs
                .iter()
                .map(|need| name(plan, need.step, need.why))
                .collect();
            let _ = writeln!(out, "  after {}", paint.paint(DIM, &needs.join(", ")));
        }
        for line in attempts(step) {
            let _ = writeln!(out, "  {}", paint.paint(DIM, &line));
        }
        for relaxation in &step.relaxations {
            let _ = writeln!(out, "  {}", paint.paint(WARN, &format!("! {relaxation}")));
        }
    }
    for (name, most) in &plan.gc.caches {
        let line = format!("gc: the caches {name} take at most {}", words::bytes(*most));
        let _ = writeln!(out, "\n{}", paint.paint(DIM, &line));
    }
    if let Some(line) = collection(&plan.gc) {
        let _ = writeln!(out, "\n{}", paint.paint(DIM, &line));
    }
    out
}

/// What a run removes at its end, if it does.
fn collection(policy: &Policy) -> Option<String> {
    let every = show_duration(policy.every?);
    let size = policy
        .max_size
        .map(|most| format!(", or beyond {} in all", words::bytes(most)));
    Some(format!(
        "gc every {every}: what was not used for {}{}, but for the newest {}",
        show_duration(policy.max_age),
        size.unwrap_or_default(),
        policy.keep
    ))
}

/// What a failure of the step leads to, and of those before it.
fn attempts(step: &PlannedStep) -> Vec<String> {
    let mut lines = Vec::new();
    let codes = |codes: &[i64]| {
        let codes: Vec<_> = codes.iter().map(i64::to_string).collect();
        format!("exit {}", codes.join(", "))
    };
    let Retry {
        max,
        when,
        exit_codes,
        backoff,
    } = &step.retry;
    if *max > 0 {
        let mut after: Vec<String> = when.iter().map(|when| when.name().to_owned()).collect();
        if !exit_codes.is_empty() {
            after.push(codes(exit_codes));
        }
        let after = match after.is_empty() {
            true => String::new(),
            false => format!(" after {}", after.join(", ")),
        };
        let pause = match backoff.is_zero() {
            true => String::new(),
            false => format!(", first pause {}", words::duration(*backoff)),
        };
        let attempts = words::count(usize::try_from(*max).unwrap_or(usize::MAX), "more attempt");
        lines.push(format!("{attempts}{after}{pause}"));
    }
    match &step.allow_failure {
        AllowFailure::No => {}
        AllowFailure::Yes => lines.push("may fail".to_owned()),
        AllowFailure::ExitCodes(allowed) => lines.push(format!("may fail by {}", codes(allowed))),
    }
    if step.always {
        lines.push("runs however those before it ended".to_owned());
    }
    lines
}

/// Why a step is not run, or is.
fn condition(step: &PlannedStep) -> Option<String> {
    match (&step.skip, &step.when) {
        (Some(skip), _) => Some(format!("○ skipped: {}", words::skip(skip))),
        (None, Some(when)) => Some(format!("as {}", when.reason)),
        (None, None) => None,
    }
}

fn name(plan: &Plan, ix: usize, why: Edge) -> String {
    let id = plan
        .steps
        .get(ix)
        .map(|step| step.id.as_str())
        .unwrap_or_default();
    match why {
        Edge::Needs | Edge::Reference => id.to_owned(),
        Edge::Gate => format!("{id} (gate)"),
    }
}

fn about(step: &PlannedStep) -> Vec<String> {
    match &step.unit {
        Unit::Container(unit) => container(unit),
        Unit::Build(unit) => build::about(unit),
        Unit::Push(unit) => {
            let to = unit.tags.iter().map(|tag| format!("to {tag}"));
            std::iter::once(format!("image {}", image(&unit.image)))
                .chain(to)
                .collect()
        }
        Unit::Release(unit) => release::about(unit),
    }
}

fn image(image: &ImageSource) -> String {
    match image {
        ImageSource::Step(step) => format!("of {step}"),
        ImageSource::Name(name) => name.to_string(),
    }
}

fn container(unit: &ContainerUnit) -> Vec<String> {
    let mut out = vec![format!("image {}", image(&unit.image))];
    if let Some(archive) = &unit.image_archive {
        out.push(format!("scans image {}", image(&archive.image)));
    }
    out.push(match &unit.command {
        Command::Shell(script) => {
            let mut lines = script.trim().lines();
            let first = lines.next().unwrap_or_default();
            let more = if lines.next().is_some() { " ..." } else { "" };
            format!("$ {first}{more}")
        }
        Command::Exec(argv) => format!("$ {}", argv.join(" ")),
    });
    if !unit.secrets.is_empty() {
        out.push(format!("secrets {}", unit.secrets.join(", ")));
    }
    out.extend(stop(unit));
    for volume in &unit.volumes {
        let mut line = format!("cache {} at {}", volume.name, volume.target);
        if !volume.key_files.is_empty() {
            line += &format!(", keyed by {}", volume.key_files.join(", "));
        }
        out.push(line);
    }
    if let Some(path) = &unit.harvest.outputs {
        out.push(format!("outputs from {path}"));
    }
    for input in &unit.inputs {
        let what = format!("given {} of {}", input.artifact, input.step);
        out.push(format!("{what} at {}", input.target));
    }
    for service in &unit.services {
        let image = image(&service.image);
        out.push(format!("service {}: image {image}", service.name));
        if !service.secrets.is_empty() {
            out.push(format!("  secrets {}", service.secrets.join(", ")));
        }
    }
    out
}

/// How it is stopped, where the file says so.
fn stop(unit: &ContainerUnit) -> Option<String> {
    if unit.stop == StopPlan::default() {
        return None;
    }
    let signal = unit.stop.signal.as_deref();
    let signal = signal.unwrap_or("the image's stop signal");
    let grace = words::duration(unit.stop.grace);
    Some(format!("stopped by {signal}, killed after {grace}"))
}

/// The plan as JSON.
#[must_use]
pub fn json(plan: &Plan) -> String {
    serde_json::to_string_pretty(plan).unwrap_or_default() + "\n"
}

/// The plan's graph for Graphviz.
#[must_use]
pub fn dot(plan: &Plan) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut out = format!("digraph {} {{\n  rankdir=LR;\n", quoted(&plan.name));
    for step in &plan.steps {
        let label = quoted(&format!("{}\n{}", step.id, step.kind.name()));
        let style = if step.skip.is_some() {
            ", style=dashed"
        } else {
            ""
        };
        let relaxed = step.relaxations.iter().map(|words| format!("! {words}"));
        let about = about(step).into_iter().chain(condition(step));
        let about: Vec<String> = about.chain(relaxed).collect();
        let tooltip = quoted(&about.join("\n"));
        let _ = writeln!(
            out,
            "  {} [label={label}, tooltip={tooltip}{style}];",
            quoted(step.id.as_str())
        );
        for need in &step.needs {
            let Some(from) = plan.steps.get(need.step) else {
                continue;
            };
            let style = match need.why {
                Edge::Needs | Edge::Reference => "",
                Edge::Gate => " [style=dashed]",
            };
            let (from, to) = (quoted(from.id.as_str()), quoted(step.id.as_str()));
            let _ = writeln!(out, "  {from} -> {to}{style};");
        }
    }
    out.push_str("}\n");
    out
}
