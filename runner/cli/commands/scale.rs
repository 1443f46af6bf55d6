//! `hoist scale`: changes how many containers services of an environment have, until the next deploy.

use hoist_model::unit::ReleaseDeed;

use super::{Outcome, rollback};
use crate::args;
use crate::options::Options;

pub(super) async fn execute(args: &args::Scale, options: &Options) -> Outcome {
    let replicas = args.services.iter().cloned().collect();
    let deed = ReleaseDeed::Scale { replicas };
    rollback::release(&args.environment, deed, &args.approve, options).await
}
