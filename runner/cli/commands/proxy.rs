//! `hoist proxy upgrade`: replaces the proxies of an environment by the image that is configured now.
//! What they lead to stays as it is.

use hoist_model::unit::ReleaseDeed;

use super::{Outcome, rollback};
use crate::args::{self, ProxyWhat};
use crate::options::Options;

pub(super) async fn execute(args: &args::Proxy, options: &Options) -> Outcome {
    match &args.what {
        ProxyWhat::Upgrade(args) => {
            let deed = ReleaseDeed::UpgradeProxies;
            let asked = args::Run {
                approve: args.approve.clone(),
                ..args::Run::default()
            };
            rollback::release(&args.environment, deed, &asked, options).await
        }
    }
}
