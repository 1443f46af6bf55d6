//! `hoist down`: removes what hoist has deployed to an environment, and nothing else.

use hoist_engine::{labels, release};
use hoist_model::reason::Verdict;

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
