//! `hoist promote`: releases to an environment the very images that serve in another one, with the
//! environment's own settings. It builds and scans nothing.

use hoist_model::unit::ReleaseDeed;

use super::{Outcome, ps, rollback};
use crate::args;
use crate::options::Options;
use crate::project;

pub(super) async fn execute(args: &args::Promote, options: &Options) -> Outcome {
    let from = args.from.clone();
    ps::environment(&project::read(options)?.plan, &from)?;
    let deed = ReleaseDeed::Promote { from };
    let asked = args::Run {
        approve: args.approve.clone(),
        force_unverified: args.force_unverified,
        allow_host_network: args.allow_host_network,
        ..args::Run::default()
    };
    rollback::release(&args.environment, deed, &asked, options).await
}
