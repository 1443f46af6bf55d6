//! `hoist doctor`: looks whether all is there that hoist needs, and says what to do about what is
//! not. It changes nothing.

use hoist_engine::backend::{Backend, EngineInfo};
use hoist_model::reason::{Trouble, Verdict};
use hoist_model::step::{deploy, scan};
use serde_json::json;

use super::{Outcome, connector, print};
use crate::args::{self, Format};
use crate::options::Options;
use crate::project;

/// Free space under which builds and scans of usual images fail.
const LITTLE_DISK: u64 = 5 << 30;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// hoist works, but something will be missed.
    Poor,
    Bad,
}

/// One check.
#[derive(Debug)]
struct Check {
    state: State,
    name: &'static str,
    found: String,
    hint: Option<String>,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            state: State::Good,
            name,
            found: found.into(),
            hint: None,
        }
    }

    fn lacking(state: State, name: &'static str, found: impl Into<String>, hint: &str) -> Self {
        Self {
            state,
            name,
            found: found.into(),
            hint: Some(hint.to_owned()),
        }
    }
}

pub(super) async fn execute(args: &args::Doctor, options: &Options) -> Outcome {
    let mut checks = Vec::new();
    match connector(options).connect(None).await {
        Ok(backend) => match backend.info().await {
            Ok(info) => {
                engine(&info, &mut checks);
                checks.push(disk(&info));
                checks.extend(tools(backend.as_ref(), options).await);
            }
            Err(error) => checks.push(unreachable(&error.trouble("the engine does not answer"))),
        },
        Err(error) => checks.push(unreachable(
            &error.trouble("no engine could be connected to"),
        )),
    }
    checks.push(git(options));
    print(&match args.format {
        Format::Text => text(&checks),
        Format::Json => json_text(&checks),
    })?;
    let bad = checks.iter().any(|check| check.state == State::Bad);
    Ok(if bad {
        Verdict::Surroundings
    } else {
        Verdict::Passed
    })
}

fn unreachable(trouble: &Trouble) -> Check {
    let cause = trouble
        .cause
        .as_ref()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    Check {
        state: State::Bad,
        name: "engine",
        found: format!("{}{cause}", trouble.what),
        hint: trouble.hint.clone(),
    }
}

fn engine(info: &EngineInfo, checks: &mut Vec<Check>) {
    let (version, platform) = (&info.version, &info.platform);
    checks.push(Check::good(
        "engine",
        format!("{version} at {} ({platform})", info.address),
    ));
    checks.push(Check::good(
        "api",
        format!("{} (1.41 or newer is needed)", info.api),
    ));
    checks.push(if info.buildkit {
        Check::good("buildkit", "the engine builds with it")
    } else {
        let hint =
            "builds use the classic builder: no build cache mounts, slower; update the engine";
        Check::lacking(State::Poor, "buildkit", "the engine does not have it", hint)
    });
    let enforces = [
        ("memory", info.enforces.memory),
        ("swap", info.enforces.swap),
        ("cpus", info.enforces.cpus),
        ("cpu shares", info.enforces.cpu_shares),
        ("cpu sets", info.enforces.cpuset),
        ("pids", info.enforces.pids),
    ];
    let missing: Vec<_> = enforces
        .iter()
        .filter(|(_, is)| !is)
        .map(|(name, _)| *name)
        .collect();
    checks.push(if missing.is_empty() {
        Check::good("limits", "memory, swap, cpus and pids can be bounded")
    } else {
        let found = format!("the engine cannot bound {}", missing.join(", "));
        let hint =
            "the kernel or the engine lacks these control groups; steps run without the bound";
        Check::lacking(State::Poor, "limits", found, hint)
    });
    let seccomp = info
        .security_options
        .iter()
        .any(|option| option.contains("seccomp"));
    checks.push(if seccomp {
        Check::good("seccomp", "the engine's default profile holds")
    } else {
        let hint = "the engine was built or started without it; containers are sealed less";
        Check::lacking(
            State::Poor,
            "seccomp",
            "the engine has no seccomp profile",
            hint,
        )
    });
}

/// Only an engine on this machine has its data where this process can look.
fn disk(info: &EngineInfo) -> Check {
    let Some(free) = hoist_engine::release::free_disk(info) else {
        let found = format!("{} cannot be looked at from here", info.data_root);
        return Check::good("disk", found);
    };
    let found = format!(
        "{} free at {}",
        hoist_report::words::bytes(free),
        info.data_root
    );
    if free < LITTLE_DISK {
        let hint = "free some; `docker system df` shows what takes it";
        return Check::lacking(State::Poor, "disk", found, hint);
    }
    Check::good("disk", found)
}

async fn tools(backend: &dyn Backend, options: &Options) -> [Check; 2] {
    // The project's file has a say too, if there is one that can be read.
    let settings = project::tools(&options.environment);
    let trivy = settings.trivy.as_deref().unwrap_or(scan::TRIVY);
    let trivy_hint =
        "the first scan pulls it; without a registry, name a local image in HOIST_TOOLS_TRIVY";
    let haproxy = settings.haproxy.as_deref().unwrap_or(deploy::HAPROXY);
    let haproxy_hint =
        "the first deploy pulls it; without a registry, name a local image in HOIST_TOOLS_HAPROXY";
    [
        tool(backend, "trivy", trivy, trivy_hint).await,
        tool(backend, "haproxy", haproxy, haproxy_hint).await,
    ]
}

async fn tool(backend: &dyn Backend, name: &'static str, image: &str, hint: &str) -> Check {
    match backend.inspect_image(image).await {
        Ok(Some(found)) => Check::good(
            name,
            format!("{image} is on the engine ({})", found.short()),
        ),
        Ok(None) => {
            let found = format!("{image} is not on the engine");
            Check::lacking(State::Poor, name, found, hint)
        }
        Err(error) => {
            let trouble = error.trouble("the engine could not say");
            let hint = trouble.hint.unwrap_or_default();
            Check::lacking(State::Poor, name, error.to_string(), &hint)
        }
    }
}

fn git(options: &Options) -> Check {
    match project::git(&options.root).short_sha {
        Some(sha) => Check::good("git", format!("the project is at {sha}")),
        None => {
            let hint =
                "without a commit, ${git.sha} and its like are unset and images carry no revision";
            Check::lacking(
                State::Poor,
                "git",
                "the project has no commit, or git is not there",
                hint,
            )
        }
    }
}

fn text(checks: &[Check]) -> String {
    let mut out = String::new();
    for check in checks {
        let sign = match check.state {
            State::Good => '✓',
            State::Poor => '!',
            State::Bad => '✗',
        };
        out.push_str(&format!("{sign} {:<9} {}\n", check.name, check.found));
        if let Some(hint) = &check.hint {
            out.push_str(&format!("            try: {hint}\n"));
        }
    }
    out
}

fn json_text(checks: &[Check]) -> String {
    let checks: Vec<_> = checks
        .iter()
        .map(|check| {
            let state = match check.state {
                State::Good => "good",
                State::Poor => "poor",
                State::Bad => "bad",
            };
            json!({ "name": check.name, "state": state, "found": check.found, "hint": check.hint })
        })
        .collect();
    serde_json::to_string_pretty(&checks).unwrap_or_default() + "\n"
}
