//! `hoist unlock`: frees the lock of an environment whose owner is dead, or, when forced, of any.

use hoist_engine::release::{self, Unlocked};
use hoist_model::reason::Verdict;

use super::{Outcome, connect, ps, say};
use crate::args;
use crate::exit::CliError;
use crate::options::Options;
use crate::project;

pub(super) async fn execute(args: &args::Unlock, options: &Options) -> Outcome {
    let environment = &args.environment;
    let plan = project::read(options)?.plan;
    let address = ps::environment(&plan, environment)?;
    let backend = connect(options, address.as_deref()).await?;
    let unlocked = release::unlock(backend.as_ref(), &plan.name, environment, args.force);
    say(&match unlocked.await.map_err(CliError::trouble)? {
        Unlocked::Free => format!("{environment} is not locked\n"),
        Unlocked::Dead(holder) => format!("{environment} is unlocked: {holder} is dead\n"),
        Unlocked::Taken(holder) => format!("{environment} is unlocked: {holder} had it\n"),
    });
    Ok(Verdict::Passed)
}
