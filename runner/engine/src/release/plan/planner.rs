//! Orders the actions of a release.

mod clear;

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::unit::{CanaryPlan, Condition, Restart, Strategy, UpdateOrder};

use super::fronts::{is_maintained, refront};
use super::{Action, Backends, Change, Goal, Hook, Member, Program, Wanted, Which};
use crate::release::gate::Gate;
use crate::release::ports::HostPort;
use crate::release::proxy::{Part, Refront, canary};
use crate::release::state::{Deployed, Generation, Life};

/// The part of one of several equal servers.
const EQUAL: u32 = 100;

pub(super) struct Planner<'a> {
    deployed: &'a Deployed,
    goal: &'a Goal,
    refronts: BTreeMap<String, Refront>,
    changes: BTreeMap<String, Change>,
    forward: Vec<Action>,
    afterwards: Vec<Action>,
    /// Services that something runs for, old or new.
    started: BTreeSet<String>,
    placed: BTreeSet<String>,
    awaited: BTreeSet<Which>,
    /// IDs of old containers.
    stopped: BTreeSet<String>,
    opened: BTreeSet<Gate>,
    /// Services whose gates still do with what comes in what they did before.
    to_front: BTreeMap<String, Refront>,
    /// What is behind each service's gates by now.
    routes: BTreeMap<String, Backends>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(deployed: &'a Deployed, goal: &'a Goal) -> Self {
        let change = |want: &Wanted| super::change::change(deployed, want, goal.sequence);
        let services = goal.services.iter();
        let changes = services.map(|want| (want.name.clone(), change(want)));
        let running = |want: &&Wanted| {
            let mut current = deployed.current(&want.name).into_iter();
            current.any(|old| old.life == Life::Running)
        };
        let route = |want: &Wanted| {
            let current = deployed.current(&want.name).into_iter();
            let running = current.filter(|old| old.life == Life::Running);
            let running = running.map(|old| Which::Old(old.id.clone()));
            (want.name.clone(), active(running))
        };
        let refront = |want: &Wanted| (want.name.clone(), refront(deployed, goal, want));
        let refronts = goal.services.iter().map(refront);
        let refronts: BTreeMap<String, Refront> =
            refronts.filter(|(_, one)| !one.is_nothing()).collect();
        Self {
            changes: changes.collect(),
            forward: Vec::new(),
            afterwards: Vec::new(),
            started: goal
                .services
                .iter()
                .filter(running)
                .map(|want| want.name.clone())
                .collect(),
            placed: BTreeSet::new(),
            awaited: BTreeSet::new(),
            stopped: BTreeSet::new(),
            to_front: refronts.clone(),
            refronts,
            opened: deployed.gates_that_run().cloned().collect(),
            routes: goal.services.iter().map(route).collect(),
            deployed,
            goal,
        }
    }

    pub(super) fn plan(mut self) -> Program {
        let goal = self.goal;
        self.prepare();
        if self.touches_something() {
            for hook in &goal.pre_deploy {
                self.place_what_is_missing(&hook.depends_on);
                self.forward.push(Action::RunHook(hook.name.clone()));
            }
        }
        for want in &goal.services {
            self.put_in_place(want);
        }
        for want in &goal.services {
            self.await_healthy(&want.name);
            self.route_recreated(want);
            self.front(want);
        }
        if self.touches_something() {
            let hooks = goal.post_deploy.iter();
            let hooks = hooks.map(|hook| Action::RunHook(hook.name.clone()));
            self.forward.extend(hooks);
        }
        self.replace_gates();
        self.settle();
        self.clear();
        Program {
            changes: self.changes,
            refronts: self.refronts,
            forward: self.forward,
            afterwards: self.afterwards,
        }
    }

    fn touches_something(&self) -> bool {
        let all = |want: &Wanted| want.gates.keys().all(|gate| self.opened.contains(gate));
        self.changes.values().any(|change| !change.is_nothing())
            || !self.goal.services.iter().all(all)
    }

    fn change(&self, service: &str) -> Change {
        self.changes.get(service).cloned().unwrap_or_default()
    }

    /// All that can fail without a moment's outage comes first.
    fn prepare(&mut self) {
        let services = self.goal.services.iter();
        let hooks = || self.goal.pre_deploy.iter().chain(&self.goal.post_deploy);
        let hooked = self.touches_something();
        let of_hooks = |of: fn(&Hook) -> &Vec<String>| -> BTreeSet<String> {
            let names = hooks().filter(|_| hooked).flat_map(of);
            names.cloned().collect()
        };
        let mut networks = of_hooks(|hook| &hook.networks);
        let mut volumes = of_hooks(|hook| &hook.volumes);
        for want in services {
            networks.extend(want.networks.iter().cloned());
            volumes.extend(want.volumes.iter().cloned());
        }
        networks.retain(|name| !self.deployed.networks.contains_key(name));
        volumes.retain(|name| !self.deployed.volumes.contains_key(name));
        self.forward
            .extend(networks.into_iter().map(Action::CreateNetwork));
        self.forward
            .extend(volumes.into_iter().map(Action::CreateVolume));
        for want in &self.goal.services {
            for member in self.change(&want.name).members.into_values() {
                if let Member::New(slot) = member {
                    self.forward.push(Action::Create(slot));
                }
            }
        }
    }

    /// Puts services in place that do not run yet, and what they need; those that run are left for
    /// their own turn.
    fn place_what_is_missing(&mut self, names: &[String]) {
        let goal = self.goal;
        for name in names {
            let Some(want) = goal.services.iter().find(|want| want.name == *name) else {
                continue;
            };
            if !self.started.contains(name) {
                let needs: Vec<String> = want
                    .depends_on
                    .iter()
                    .map(|need| need.service.clone())
                    .collect();
                self.place_what_is_missing(&needs);
                self.put_in_place(want);
            }
            self.await_healthy(name);
        }
    }

    fn put_in_place(&mut self, want: &Wanted) {
        if !self.placed.insert(want.name.clone()) {
            return;
        }
        let change = self.change(&want.name);
        if change.is_nothing() {
            self.open_missing_gates(want, &change);
            self.front(want);
            return;
        }
        for need in &want.depends_on {
            if need.condition == Condition::ServiceHealthy {
                self.await_healthy(&need.service);
            }
        }
        // Whoever gets a page now gets it until what is new serves.
        let ends = self
            .to_front
            .get(&want.name)
            .and_then(|one| one.maintenance)
            == Some(false);
        if !ends {
            self.front(want);
        }
        let (starting, leaving) = (change.starting(), old(&change.leaving));
        let replaces = !starting.is_empty() && !leaving.is_empty();
        match want.update.strategy {
            Strategy::Recreate if replaces || want.gates.is_empty() => self.recreate(want, &change),
            Strategy::Rolling if replaces => self.roll(want, &change),
            Strategy::Recreate | Strategy::Rolling | Strategy::BlueGreen | Strategy::Canary => {
                let canary = want.update.canary.as_ref();
                let canary = canary.filter(|_| replaces && !is_maintained(want));
                self.switch(want, starting, leaving, change.kept(), canary);
            }
        }
        self.started.insert(want.name.clone());
    }

    /// All at once, with an outage.
    fn recreate(&mut self, want: &Wanted, change: &Change) {
        for id in &change.leaving {
            self.stop(id);
        }
        self.free_ports(want);
        for which in change.starting() {
            self.forward.push(Action::Start(which));
        }
        self.started.insert(want.name.clone());
        // Where all others run too, a service that fails is met before the next is touched. Where
        // some do not run yet, it may need one of them without saying so, and waits till the end.
        let mut all = self.goal.services.iter();
        if all.all(|other| self.started.contains(&other.name)) {
            self.await_healthy(&want.name);
        }
    }

    /// Gates of what was recreated, once it is healthy. Where its containers have the addresses of
    /// those before, the gates led there already.
    fn route_recreated(&mut self, want: &Wanted) {
        let change = self.change(&want.name);
        if want.update.strategy == Strategy::Recreate && !change.is_nothing() {
            self.route(want, active(change.all().into_iter()));
            let gates = !want.gates.is_empty();
            let starting = change.starting().into_iter().filter(|_| gates);
            self.forward.extend(starting.map(Action::Prove));
        }
    }

    /// A few at a time.
    fn roll(&mut self, want: &Wanted, change: &Change) {
        let mut starting = change.starting();
        let mut leaving = old(&change.leaving);
        let at_once = match want.update.parallelism {
            0 => starting.len().max(leaving.len()),
            some => usize::try_from(some).unwrap_or(usize::MAX),
        };
        let mut serving = change.kept();
        while !starting.is_empty() || !leaving.is_empty() {
            let new: Vec<Which> = starting.drain(..at_once.min(starting.len())).collect();
            // With the last of the new goes all that is left of the old.
            let count = if starting.is_empty() {
                leaving.len()
            } else {
                at_once.min(leaving.len())
            };
            let go: Vec<Which> = leaving.drain(..count).collect();
            let others: Vec<Which> = serving.iter().chain(&leaving).cloned().collect();
            match want.update.order {
                UpdateOrder::StartFirst => {
                    self.switch(want, new.clone(), go.clone(), others, None);
                    self.stop_behind_gates(&go);
                }
                UpdateOrder::StopFirst => {
                    self.switch(want, Vec::new(), go.clone(), others.clone(), None);
                    self.stop_behind_gates(&go);
                    self.switch(want, new.clone(), Vec::new(), others, None);
                }
            }
            serving.extend(new);
            if !want.update.delay.is_zero() && !starting.is_empty() {
                self.forward.push(Action::Pause(want.update.delay));
            }
        }
    }

    /// Makes what is behind the gates `others` and `starting` instead of `others` and `leaving`, and
    /// loses nothing on the way. What leaves still runs afterwards.
    fn switch(
        &mut self,
        want: &Wanted,
        starting: Vec<Which>,
        leaving: Vec<Which>,
        others: Vec<Which>,
        canary: Option<&CanaryPlan>,
    ) {
        let service = &want.name;
        let serving: Vec<Which> = others.iter().chain(&leaving).cloned().collect();
        for which in &starting {
            self.forward.push(Action::Start(which.clone()));
        }
        if want.gates.is_empty() {
            self.await_all(&starting);
            return;
        }
        if !starting.is_empty() && !serving.is_empty() {
            self.forward.push(on_return(Action::Drain(service.clone())));
            let mut to = active(serving.iter().cloned());
            to.extend(starting.iter().map(|which| (which.clone(), Part::Probing)));
            self.route(want, to);
        }
        let after: Vec<Which> = others.iter().chain(&starting).cloned().collect();
        let after = active(after.into_iter());
        let bakes = !starting.is_empty() && !leaving.is_empty() && !want.update.monitor.is_zero();
        let mut baking = after.clone();
        if bakes {
            baking.extend(leaving.iter().map(|which| (which.clone(), Part::Backup)));
        }
        if !starting.is_empty() && !serving.is_empty() {
            // While they start there is time for it.
            if canary.is_none() {
                self.check(want, &baking);
            }
            self.await_all(&starting);
            let prove = starting.iter().cloned().map(Action::Prove);
            self.forward.extend(prove);
        } else {
            self.await_all(&starting);
        }
        if let Some(canary) = canary {
            self.canary(want, &starting, &serving, canary);
        }
        if bakes {
            self.route(want, baking);
            self.check(want, &after);
            self.forward
                .push(Action::Bake(starting.clone(), want.update.monitor));
        }
        self.route(want, after);
        if serving.is_empty() {
            self.forward.extend(starting.into_iter().map(Action::Prove));
        } else {
            self.forward.push(Action::Drain(service.clone()));
        }
    }

    fn canary(&mut self, want: &Wanted, new: &[Which], stable: &[Which], plan: &CanaryPlan) {
        for weight in &plan.weights {
            let (to_stable, to_new) = canary::weights(*weight, count(stable), count(new));
            let part = |which: &Which, weight| (which.clone(), Part::Active { weight });
            let stable = stable.iter().map(|which| part(which, to_stable));
            let to = stable.chain(new.iter().map(|which| part(which, to_new)));
            self.route(want, to.collect());
            self.forward.push(Action::Judge {
                service: want.name.clone(),
                new: new.to_vec(),
                weight: *weight,
                plan: plan.clone(),
            });
        }
    }

    /// Gates that are missing are opened, and containers that an earlier release left out get their
    /// part once they are well: until then they have no restart policy.
    fn open_missing_gates(&mut self, want: &Wanted, change: &Change) {
        let has_none = |which: &Which| match which {
            Which::Old(id) => {
                self.deployed.generation(id).map(|old| old.restart) == Some(Restart::No)
            }
            Which::New(_) => false,
        };
        let may_fail = want.update.max_failure_ratio > 0.0 && want.restart != Restart::No;
        let unsettled = may_fail && change.all().iter().any(has_none);
        if unsettled {
            self.await_healthy(&want.name);
        }
        if unsettled || !want.gates.keys().all(|gate| self.opened.contains(gate)) {
            self.route(want, active(change.all().into_iter()));
        }
    }

    fn route(&mut self, want: &Wanted, to: Backends) {
        if want.gates.is_empty() {
            return;
        }
        let from = self
            .routes
            .insert(want.name.clone(), to.clone())
            .unwrap_or_default();
        for gate in want.gates.keys() {
            if self.opened.insert(gate.clone()) {
                self.forward.push(Action::OpenGate {
                    service: want.name.clone(),
                    gate: gate.clone(),
                });
            }
        }
        self.forward.push(Action::Route {
            service: want.name.clone(),
            to,
            from,
        });
    }

    fn check(&mut self, want: &Wanted, to: &Backends) {
        self.forward.push(Action::Check {
            service: want.name.clone(),
            to: to.clone(),
        });
    }

    /// Has the gates of a service do what is wanted with what comes in. Where a page takes the place
    /// of the service, nobody is left who still reaches it.
    fn front(&mut self, want: &Wanted) {
        let Some(refront) = self.to_front.remove(&want.name) else {
            return;
        };
        let to = self.routes.get(&want.name).cloned().unwrap_or_default();
        self.forward.push(Action::Front {
            service: want.name.clone(),
            to,
            wanted: true,
        });
        if refront.maintenance == Some(true) {
            self.forward.push(Action::Drain(want.name.clone()));
        }
    }

    /// Stops what has no traffic any more. On the way back it gets it again, so it is to be healthy
    /// by then.
    fn stop_behind_gates(&mut self, leaving: &[Which]) {
        for which in leaving {
            let Which::Old(id) = which else { continue };
            let old = self.deployed.generation(id);
            if old.is_some_and(|old| old.life == Life::Running) {
                self.forward
                    .push(on_return(Action::AwaitHealthy(which.clone())));
            }
            self.stop(id);
        }
    }

    /// Stops those that hold a port which this service wants, and that go anyway.
    fn free_ports(&mut self, want: &Wanted) {
        let ports: Vec<HostPort> = want.ports.iter().filter_map(HostPort::wanted).collect();
        let holds = |old: &&Generation| {
            let mut held = old.ports.iter();
            // What one on the host's network holds there is not known.
            let may =
                want.host_network && old.host_network && !self.changes.contains_key(&old.service);
            let clashes = held.any(|held| ports.iter().any(|p| p.clashes(held)));
            old.service != want.name && (may || clashes)
        };
        let goes = |old: &&Generation| match self.changes.get(&old.service) {
            None => true,
            Some(change) => change.leaving.contains(&old.id),
        };
        let holders = self.deployed.generations.iter().filter(holds).filter(goes);
        let holders: Vec<String> = holders.map(|old| old.id.clone()).collect();
        for holder in holders {
            self.stop(&holder);
        }
    }

    fn stop(&mut self, id: &str) {
        let old = self.deployed.generation(id);
        let runs = old.is_some_and(|old| old.life == Life::Running);
        if runs && self.stopped.insert(id.to_owned()) {
            self.forward.push(Action::Stop(Which::Old(id.to_owned())));
        }
    }

    fn await_healthy(&mut self, service: &str) {
        let all = self.change(service).all();
        self.await_all(&all);
    }

    fn await_all(&mut self, all: &[Which]) {
        for which in all {
            if self.awaited.insert(which.clone()) {
                self.forward.push(Action::AwaitHealthy(which.clone()));
            }
        }
    }

    /// One gate after the other, so that no two ports are without an owner at once.
    fn replace_gates(&mut self) {
        let Some(image) = &self.goal.proxy else {
            return;
        };
        for known in &self.deployed.gates {
            let mut services = self.goal.services.iter();
            let owner = services.find(|want| want.gates.contains_key(&known.gate));
            if let Some(owner) = owner.filter(|_| known.image != *image) {
                self.forward.push(Action::ReplaceGate {
                    service: owner.name.clone(),
                    gate: known.gate.clone(),
                    image: image.clone(),
                });
            }
        }
    }

    /// Only what is healthy gets its restart policy: until then a crash is to be seen as one.
    fn settle(&mut self) {
        for want in &self.goal.services {
            for member in self.change(&want.name).members.values() {
                let has = match member {
                    Member::New(_) => Some(Restart::No),
                    Member::Kept(id) | Member::Stopped(id) => {
                        self.deployed.generation(id).map(|old| old.restart)
                    }
                };
                if has != Some(want.restart) {
                    let which = member.which();
                    self.forward.push(Action::SetRestart(which, want.restart));
                }
            }
        }
    }
}

fn on_return(action: Action) -> Action {
    Action::OnReturn(Box::new(action))
}

fn old(ids: &[String]) -> Vec<Which> {
    ids.iter().cloned().map(Which::Old).collect()
}

fn active(all: impl Iterator<Item = Which>) -> Backends {
    all.map(|which| (which, Part::Active { weight: EQUAL }))
        .collect()
}

fn count(all: &[Which]) -> u32 {
    u32::try_from(all.len()).unwrap_or(u32::MAX)
}
