//! What a release takes away once it is in place. Nothing of it is taken back.

use std::collections::BTreeSet;

use hoist_model::unit::Restart;

use super::Planner;
use crate::release::gate::Gate;
use crate::release::plan::{Action, Change, Member, Which};
use crate::release::state::{Generation, Life, dependents_first};

impl Planner<'_> {
    /// What gave way stops. Of each service as many earlier generations stay as are to be kept.
    pub(super) fn clear(&mut self) {
        let mut going: Vec<&Generation> = Vec::new();
        for old in &self.deployed.generations {
            let stays = match self.changes.get(&old.service) {
                None => false,
                Some(change) => {
                    change.all().contains(&Which::Old(old.id.clone())) || self.is_kept(old, change)
                }
            };
            if !stays {
                going.push(old);
            } else if old.life == Life::Running && self.is_leaving(old) {
                // One that the engine starts with itself would come back beside the new.
                if old.restart == Restart::Always || old.restart == Restart::OnFailure {
                    let retired =
                        Action::SetRestart(Which::Old(old.id.clone()), Restart::UnlessStopped);
                    self.afterwards.push(retired);
                }
                if !self.stopped.contains(&old.id) {
                    self.afterwards
                        .push(Action::Stop(Which::Old(old.id.clone())));
                }
            }
        }
        let wanted: BTreeSet<&Gate> = self
            .goal
            .services
            .iter()
            .flat_map(|want| want.gates.keys())
            .collect();
        let gates = self.deployed.gates.iter().map(|gate| &gate.gate);
        for gate in gates.filter(|gate| !wanted.contains(gate)) {
            self.afterwards.push(Action::CloseGate(gate.clone()));
        }
        for old in dependents_first(&going) {
            let which = Which::Old(old.id.clone());
            if old.life == Life::Running && !self.stopped.contains(&old.id) {
                self.afterwards.push(Action::Stop(which.clone()));
            }
            self.afterwards.push(Action::Remove(which));
        }
        for want in &self.goal.services {
            let running = self.deployed.gates_that_run();
            for gate in running.filter(|gate| want.to_share.contains(gate)) {
                let share = Action::ShareGate {
                    service: want.name.clone(),
                    gate: gate.clone(),
                };
                let is_known = self.afterwards.iter().any(
                    |action| matches!(action, Action::ShareGate { gate: known, .. } if known == gate),
                );
                if !is_known {
                    self.afterwards.push(share);
                }
            }
        }
        let used = |network: &&String| {
            let mut services = self.goal.services.iter();
            services.any(|want| want.networks.contains(network))
        };
        let unused = self.deployed.networks.keys().filter(|name| !used(name));
        self.afterwards
            .extend(unused.cloned().map(Action::RemoveNetwork));
    }

    fn is_leaving(&self, old: &Generation) -> bool {
        let change = self.changes.get(&old.service);
        change.is_some_and(|change| change.leaving.contains(&old.id))
    }

    /// It belongs to one of the earlier generations that stay.
    fn is_kept(&self, old: &Generation, change: &Change) -> bool {
        let serving = change.members.values().find_map(|member| match member {
            Member::New(slot) => Some(slot.sequence),
            Member::Kept(id) | Member::Stopped(id) => Some(self.deployed.generation(id)?.sequence),
        });
        if serving == Some(old.sequence) || matches!(old.life, Life::Created | Life::Other) {
            return false;
        }
        let mut earlier: Vec<u64> = self
            .deployed
            .generations
            .iter()
            .filter(|other| other.service == old.service && Some(other.sequence) != serving)
            .map(|other| other.sequence)
            .collect();
        earlier.sort_unstable_by(|a, b| b.cmp(a));
        earlier.dedup();
        earlier
            .iter()
            .take(self.goal.keep)
            .any(|kept| *kept == old.sequence)
    }
}
