//! `hoist events`: what happened to the containers of an environment, one line each.

use std::io::Write;

use futures_util::StreamExt as _;
use hoist_engine::release;
use hoist_model::reason::Verdict;
use hoist_model::seen::{Happening, Names};
use hoist_report::seen::events as report;

use super::{Outcome, until_signal};
use crate::args::{self, Format};
use crate::exit::CliError;
use crate::options::Options;

pub(super) async fn execute(args: &args::Events, options: &Options) -> Outcome {
    until_signal(tell(args, options)).await
}

async fn tell(args: &args::Events, options: &Options) -> Outcome {
    let (project, backend) = super::environment(options, &args.environment).await?;
    let events = release::Events::of(backend.as_ref(), &project.plan.name, &args.environment);
    let events = events.await.map_err(CliError::trouble)?;
    let mut names = Names::default();
    let mut show = |happening: &Happening| {
        names.learn(&happening.instance);
        let mut out = std::io::stdout().lock();
        let line = match args.format {
            Format::Text => report::text(happening, &names, options.colour_out),
            Format::Json => report::json(happening),
        };
        out.write_all(line.as_bytes())?;
        out.flush()
    };
    if args.follow {
        let mut following = events.follow(args.since).await.map_err(CliError::trouble)?;
        while let Some(happening) = following.next().await {
            show(&happening.map_err(CliError::trouble)?)?;
        }
    } else {
        for happening in events.past(args.since).await.map_err(CliError::trouble)? {
            show(&happening)?;
        }
    }
    Ok(Verdict::Passed)
}
