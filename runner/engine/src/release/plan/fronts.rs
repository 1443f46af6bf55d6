//! What becomes other about what gates do with what comes in: what their configurations say of now,
//! compared with what is wanted.

use super::{Goal, Wanted};
use crate::release::gate::Gate;
use crate::release::proxy::Refront;
use crate::release::state::{Deployed, Life};

/// What becomes other about what the gates of a service do with what comes in.
pub(super) fn refront(deployed: &Deployed, goal: &Goal, want: &Wanted) -> Refront {
    let is_led_to = |service: &String, gate: &Gate| {
        let mut services = goal.services.iter();
        services.any(|one| one.name == *service && one.gates.contains_key(gate))
    };
    let running = deployed
        .gates
        .iter()
        .filter(|gate| gate.life == Life::Running);
    let known = running.filter_map(|known| {
        let after = want.gates.get(&known.gate)?;
        let before = known.fronts.get(&want.name);
        // One that others share leads no more to who left it.
        let left = known
            .fronts
            .keys()
            .any(|other| !is_led_to(other, &known.gate));
        let left = Refront {
            other: left,
            back: known.aside.contains(&want.name),
            ..Refront::default()
        };
        Some(Refront::between(before, after).and(left))
    });
    known.fold(Refront::default(), Refront::and)
}

/// No request reaches it from outside.
pub(super) fn is_maintained(want: &Wanted) -> bool {
    want.gates.values().any(|front| front.maintenance)
}
