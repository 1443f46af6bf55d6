//! `hoist scale`: changes how many containers services of an environment have, until the next deploy.

use hoist_model::unit::ReleaseDeed;

use super::{Outcome, rollback};
use crate::args;
use crate::options::Options;

pub(super) async fn execute(args: &args::Scale, options: &Options) -> Outcome {
    let replicas = args.services.iter().cloned().collect();
    let deed = ReleaseDeed::Scale { replicas };
    let asked = args::Run {
        approve: args.approve.clone(),
        ..args::Run::default()
    };
    rollback::release(&args.environment, deed, &asked, options).await
}
