//! Services on the host's network: whoever starts such a release has to allow it. A file alone cannot,
//! and neither can a history. It refuses nothing that runs already.

use hoist_model::reason::Trouble;
use hoist_model::unit::{ReleaseDeed, ReleaseUnit, ServiceUnit};

/// The flag that allows it.
const FLAG: &str = "--allow-host-network";

/// Why a release cannot be done unless someone allows it. What a file wants can be asked before
/// anything else is done for it; which services an earlier release had, only the history says.
#[must_use]
pub fn host_network_refused(unit: &ReleaseUnit) -> Option<Trouble> {
    match &unit.deed {
        ReleaseDeed::Deploy | ReleaseDeed::Promote { .. } | ReleaseDeed::Rollback { .. } => {
            refused(&unit.services)
        }
        // It was allowed when it was released.
        ReleaseDeed::Scale { .. } | ReleaseDeed::UpgradeProxies => None,
    }
}

fn refused(services: &[ServiceUnit]) -> Option<Trouble> {
    let on_it = services.iter().filter(|service| service.host_network);
    let names: Vec<&str> = on_it.map(|service| service.name.as_str()).collect();
    let names = names.join(", ");
    let what = format!("the host's network is not allowed for {names}");
    let cause = "with `network_mode = \"host\"` a service sees all of the host's network, what \
                 listens on loopback alone included, and takes its ports directly";
    let hint = format!("if that is meant, say so: {FLAG}");
    (!names.is_empty()).then(|| Trouble::new(what).cause(cause).hint(hint))
}
