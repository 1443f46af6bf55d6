//! `hoist down`: removes what hoist has deployed to an environment, and nothing else.

use hoist_engine::{labels, release};
use hoist_model::plan::Plan;
use hoist_model::reason::Verdict;
use hoist_model::unit::Unit;

use super::{Outcome, connect, ps, say};
use crate::args;
use crate::exit::CliError;
use crate::options::Options;
use crate::project;

pub(super) async fn execute(args: &args::Down, options: &Options) -> Outcome {
    let plan = project::read(options)?.plan;
    let address = ps::environment(&plan, &args.environment)?;
    let backend = connect(options, address.as_deref()).await?;
    let info = backend
        .info()
        .await
        .map_err(|error| CliError::trouble(error.trouble("the engine does not answer")))?;
    let labels = labels::of_command(&plan.name, info.time);
    let removed = release::down(
        &backend,
        &plan.name,
        &args.environment,
        args.volumes,
        proxy(&plan, &args.environment),
        &labels,
    )
    .await
    .map_err(CliError::trouble)?;
    for (what, names) in [
        ("container", &removed.containers),
        ("network", &removed.networks),
        ("volume", &removed.volumes),
    ] {
        for name in names {
            say(&format!("removed {what} {name}\n"));
        }
    }
    for name in &removed.kept {
        say(&format!(
            "kept volume {name}; --volumes removes it with its data\n"
        ));
    }
    if removed == release::Removed::default() {
        say(&format!("nothing is deployed to {}\n", args.environment));
    }
    Ok(Verdict::Passed)
}

/// The image of the proxy of deploys to an environment; empty where there is none.
fn proxy<'a>(plan: &'a Plan, environment: &str) -> &'a str {
    let mut units = plan.steps.iter().map(|step| &step.unit);
    let proxy = units.find_map(|unit| match unit {
        Unit::Release(unit) if unit.environment.name == environment => Some(&unit.proxy),
        Unit::Release(_) | Unit::Container(_) | Unit::Build(_) | Unit::Push(_) => None,
    });
    proxy.map_or("", String::as_str)
}
