//! `hoist gc`: removes what runs left behind and nobody uses.

use hoist_engine::gc::{self, Scope};
use hoist_model::gc::Policy;
use hoist_model::reason::{Trouble, Verdict};
use hoist_report::gc as report;

use super::{Outcome, connect, print, say};
use crate::args::{self, Format};
use crate::exit::CliError;
use crate::options::Options;
use crate::project;

pub(super) async fn execute(args: &args::Gc, options: &Options) -> Outcome {
    let project = project::read(options)?;
    say(&project.warnings);
    let file = &project.plan.gc;
    let keep = args
        .keep
        .map(|keep| usize::try_from(keep).unwrap_or(usize::MAX));
    let policy = Policy {
        keep: keep.unwrap_or(file.keep),
        max_age: args.max_age.unwrap_or(file.max_age),
        max_size: args.max_size.or(file.max_size),
        caches: file.caches.clone(),
        every: None,
    };
    let backend = connect(options, None).await?;
    let scope = Scope {
        backend: &backend,
        root: &options.root,
        plan: &project.plan,
        all_projects: args.all_projects,
        own: None,
    };
    let collection = gc::plan(&scope, &policy).await.map_err(CliError::trouble)?;
    let shown = report::Shown {
        dry_run: args.dry_run,
        all: options.verbose,
        colour: options.colour_out,
        now: jiff::Timestamp::now(),
    };
    let gone = match args.dry_run {
        true => Vec::new(),
        false => gc::remove(&scope, &collection).await,
    };
    let failed = gone
        .into_iter()
        .filter_map(|gone| Some((gone.item.id, gone.failure?)));
    let failed: Vec<_> = failed.collect();
    print(&match args.format {
        Format::Text => report::text(&collection, &failed, &shown),
        Format::Json => report::json(&collection, &failed, args.dry_run),
    })?;
    match failed.first() {
        None => Ok(Verdict::Passed),
        Some((id, why)) => {
            let trouble = Trouble::new("not all of it could be removed");
            let hint = "what is left is looked at again the next time";
            Err(CliError::trouble(
                trouble.cause(format!("{id}: {why}")).hint(hint),
            ))
        }
    }
}
