//! What a deploy that was cut off left behind, and how it is put right before the next one plans:
//! either the generation that it meant to put in place is kept, or the one before serves again. Pure.
//!
//! The marks are those that a deploy leaves as it goes: a container that was never started, the
//! restart policy, which one only gets when the whole release was healthy, and the number of the last
//! release that came to an end.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::unit::Restart;

use super::plan::{Action, Backends, Which};
use super::proxy::Part;
use super::state::{Deployed, Generation, Life};
use crate::backend::HealthStatus;

/// What is put right.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mending {
    pub(crate) actions: Vec<Action>,
    /// What is said of it.
    pub(crate) notes: Vec<String>,
    /// The generation of each service that serves afterwards.
    pub(crate) serving: BTreeMap<String, u64>,
}

impl Mending {
    pub(crate) fn is_nothing(&self) -> bool {
        self.actions.is_empty() && self.notes.is_empty()
    }
}

/// Finds what a deploy that was cut off left behind. Afterwards no container is left that was never
/// started, and of each service no more than one generation runs.
pub(crate) fn mend(deployed: &Deployed) -> Mending {
    let mut mending = Mending::default();
    let services: BTreeSet<&String> = deployed
        .generations
        .iter()
        .map(|old| &old.service)
        .collect();
    for service in services {
        Service::of(deployed, service).mend(&mut mending);
    }
    let used: BTreeSet<&String> = deployed
        .generations
        .iter()
        .filter_map(|generation| generation.secrets.as_ref())
        .collect();
    for stray in deployed
        .secrets
        .iter()
        .filter(|volume| !used.contains(volume))
    {
        mending.actions.push(Action::RemoveSecrets(stray.clone()));
    }
    mending
}

/// All that there is of one service.
struct Service<'a> {
    deployed: &'a Deployed,
    name: &'a str,
    /// Containers by generation.
    generations: BTreeMap<u64, Vec<&'a Generation>>,
}

impl<'a> Service<'a> {
    fn of(deployed: &'a Deployed, name: &'a str) -> Self {
        let mut generations: BTreeMap<u64, Vec<&Generation>> = BTreeMap::new();
        for old in deployed
            .generations
            .iter()
            .filter(|old| old.service == name)
        {
            generations.entry(old.sequence).or_default().push(old);
        }
        Self {
            deployed,
            name,
            generations,
        }
    }

    fn mend(&self, mending: &mut Mending) {
        let unfinished = self.unfinished();
        let before = self.before(unfinished);
        let stays = match (unfinished, before) {
            (None, before) => before,
            (Some(new), None) => {
                Some(new).filter(|new| self.has(*new, |old| old.life != Life::Created))
            }
            (Some(new), Some(before)) => {
                let (was_whole, is_proven) = (
                    self.all(before, Generation::serves),
                    self.all(new, is_proven),
                );
                let runs = |old: &Generation| old.life == Life::Running;
                // One that had its place and ended since gives way to what runs.
                let is_over = !self.has(new, runs) && self.has(before, runs);
                let stays = self.all(new, is_settled) && !is_over || !was_whole && is_proven;
                Some(if stays { new } else { before })
            }
        };
        if let Some(stays) = stays {
            mending.serving.insert(self.name.to_owned(), stays);
        }
        let back = unfinished.filter(|new| stays != Some(*new));
        match (back, stays) {
            (Some(new), Some(before)) => self.go_back(new, before, mending),
            (Some(new), None) => {
                self.take_away(new, mending);
                mending
                    .notes
                    .push(format!("{}: taken away", self.what(new)));
            }
            (None, Some(stays)) => self.go_on(stays, unfinished, mending),
            (None, None) => {}
        }
        self.never_started(back, mending);
    }

    /// The newest generation of a release that did not come to an end.
    fn unfinished(&self) -> Option<u64> {
        let (newest, containers) = self.generations.last_key_value()?;
        let ended = self.deployed.ended;
        let unsettled = containers.iter().any(|old| !is_settled(old));
        let alone =
            self.generations.len() == 1 && containers.iter().all(|old| old.life != Life::Created);
        match ended {
            // Nothing is known of releases: then only a restart policy tells, and of one that is
            // alone it tells nothing.
            0 => (unsettled && !alone).then_some(*newest),
            ended => (*newest > ended).then_some(*newest),
        }
    }

    /// The generation that served before that.
    fn before(&self, unfinished: Option<u64>) -> Option<u64> {
        let left = self.deployed.serving.get(self.name).copied();
        let others = || {
            let others = self.generations.iter().rev();
            others.filter(move |(sequence, _)| Some(**sequence) != unfinished)
        };
        let newest = |is: fn(&Generation) -> bool| {
            let mut others = others();
            let found = others.find(|(_, all)| all.iter().any(|old| is(old)));
            found.map(|(sequence, _)| *sequence)
        };
        left.filter(|left| self.generations.contains_key(left))
            .or_else(|| newest(|old| old.life == Life::Running && is_settled(old)))
            .or_else(|| newest(|old| old.life == Life::Running))
            .or_else(|| newest(|old| old.life != Life::Created))
    }

    fn go_back(&self, new: u64, before: u64, mending: &mut Mending) {
        let before_all = self.containers(before);
        // First away, then up, where they share an address or ports; else nobody is without an answer.
        let shares = self.containers(new).iter().any(|new| {
            let mut before = before_all.iter();
            before.any(|old| {
                let mut addresses = old.addresses.iter();
                let same = addresses.any(|at| new.addresses.get(at.0) == Some(at.1));
                same || old.host_network || new.host_network
            })
        });
        if shares || self.deployed.gates.is_empty() {
            self.take_away(new, mending);
        }
        let stopped: Vec<&Generation> = before_all
            .into_iter()
            .filter(|old| old.life == Life::Exited)
            .collect();
        for old in &stopped {
            mending
                .actions
                .push(Action::Start(Which::Old(old.id.clone())));
        }
        self.lead_to(before, &stopped, mending);
        if !shares && !self.deployed.gates.is_empty() {
            self.take_away(new, mending);
        }
        let serves = if stopped.is_empty() {
            "serves"
        } else {
            "is started again"
        };
        let what = self.what(new);
        mending
            .notes
            .push(format!("{what}: taken away, release {before} {serves}"));
    }

    /// What leaves is stopped, and stays as an earlier generation until a release clears it away.
    fn go_on(&self, stays: u64, unfinished: Option<u64>, mending: &mut Mending) {
        let others = self
            .generations
            .iter()
            .filter(|(sequence, _)| **sequence != stays);
        let running: Vec<&Generation> = others
            .flat_map(|(_, all)| all.iter().copied())
            .filter(|old| old.life == Life::Running)
            .collect();
        if unfinished == Some(stays) || !running.is_empty() {
            self.lead_to(stays, &[], mending);
        }
        for old in &running {
            mending
                .actions
                .push(Action::Stop(Which::Old(old.id.clone())));
        }
        if unfinished == Some(stays) || !running.is_empty() {
            let name = self.name;
            let note =
                format!("release {stays} of {name} is in place, and what it left is cleared up");
            mending.notes.push(note);
        }
    }

    /// Makes a generation the only one behind the service's gates.
    fn lead_to(&self, sequence: u64, started: &[&Generation], mending: &mut Mending) {
        if self.deployed.gates.is_empty() {
            return;
        }
        let which = |old: &&Generation| Which::Old(old.id.clone());
        let awaits = started.iter().map(which).map(Action::AwaitHealthy);
        mending.actions.extend(awaits);
        let all = self.containers(sequence);
        let part = Part::Active { weight: 100 };
        let to: Backends = all.iter().map(|old| (which(old), part)).collect();
        let service = self.name.to_owned();
        let from = to.clone();
        mending.actions.push(Action::Route {
            service: service.clone(),
            to,
            from,
        });
        mending.actions.push(Action::Drain(service));
    }

    fn take_away(&self, sequence: u64, mending: &mut Mending) {
        for other in self.containers(sequence) {
            let which = Which::Old(other.id.clone());
            if other.life == Life::Running {
                mending.actions.push(Action::Stop(which.clone()));
            }
            mending.actions.push(Action::Remove(which));
        }
    }

    fn never_started(&self, taken: Option<u64>, mending: &mut Mending) {
        let others = self
            .generations
            .iter()
            .filter(|(sequence, _)| Some(**sequence) != taken);
        let left = others
            .flat_map(|(_, all)| all.iter())
            .filter(|old| old.life == Life::Created);
        for old in left {
            mending
                .actions
                .push(Action::Remove(Which::Old(old.id.clone())));
        }
    }

    fn containers(&self, sequence: u64) -> Vec<&'a Generation> {
        self.generations.get(&sequence).cloned().unwrap_or_default()
    }

    fn has(&self, sequence: u64, is: fn(&Generation) -> bool) -> bool {
        self.containers(sequence).iter().any(|old| is(old))
    }

    fn all(&self, sequence: u64, is: fn(&Generation) -> bool) -> bool {
        let all = self.containers(sequence);
        !all.is_empty() && all.iter().all(|old| is(old))
    }

    fn what(&self, sequence: u64) -> String {
        format!("release {sequence} of {} was not finished", self.name)
    }
}

fn is_settled(generation: &Generation) -> bool {
    generation.restart != Restart::No && generation.life != Life::Created
}

/// One that was cut off before its check said anything may never be well.
fn is_proven(generation: &Generation) -> bool {
    generation.serves() && generation.health != Some(HealthStatus::Starting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::tests::fixtures::{deployed, generation};

    fn old() -> Generation {
        generation("web", 2)
    }

    /// As a deploy has it before the whole release was healthy.
    fn unfinished(life: Life) -> Generation {
        Generation {
            life,
            restart: Restart::No,
            ..generation("web", 3)
        }
    }

    fn stopped(generation: Generation) -> Generation {
        Generation {
            life: Life::Exited,
            ..generation
        }
    }

    fn actions(generations: Vec<Generation>) -> Vec<Action> {
        mend(&deployed(generations)).actions
    }

    fn remove(id: &str) -> Action {
        Action::Remove(Which::Old(id.to_owned()))
    }

    fn start(id: &str) -> Action {
        Action::Start(Which::Old(id.to_owned()))
    }

    fn stop(id: &str) -> Action {
        Action::Stop(Which::Old(id.to_owned()))
    }

    #[test]
    fn a_sound_environment_needs_nothing() {
        let mending = mend(&deployed(vec![old(), generation("db", 1)]));
        assert!(mending.is_nothing());
        let serving = [("web".to_owned(), 2), ("db".to_owned(), 1)];
        assert_eq!(mending.serving, serving.into());
        assert_eq!(mend(&Deployed::default()), Mending::default());
    }

    #[test]
    fn one_that_someone_stopped_is_left_as_it_is() {
        assert_eq!(actions(vec![stopped(old())]), []);
    }

    #[test]
    fn cut_off_before_the_switch_the_new_one_goes() {
        assert_eq!(
            actions(vec![old(), unfinished(Life::Created)]),
            [remove("web-3")]
        );
    }

    #[test]
    fn cut_off_in_the_switch_the_old_one_comes_back() {
        assert_eq!(
            actions(vec![unfinished(Life::Created), stopped(old())]),
            [remove("web-3"), start("web-2")]
        );
    }

    #[test]
    fn two_on_the_hosts_network_are_never_up_at_once() {
        let sick = Generation {
            health: Some(HealthStatus::Unhealthy),
            host_network: true,
            ..unfinished(Life::Running)
        };
        let mut all = deployed(vec![stopped(old()), sick]);
        all.gates.push(gate());
        let actions = mend(&all).actions;
        let first = [stop("web-3"), remove("web-3"), start("web-2")];
        assert_eq!(actions.get(..3), Some(first.as_slice()), "{actions:?}");
    }

    #[test]
    fn cut_off_after_the_start_the_new_one_is_kept_if_it_serves() {
        let mending = mend(&deployed(vec![stopped(old()), unfinished(Life::Running)]));
        assert_eq!(mending.actions, []);
        assert_eq!(mending.serving["web"], 3);
        assert_eq!(mending.notes.len(), 1);
    }

    #[test]
    fn one_that_is_not_healthy_gives_way_to_the_old() {
        let sick = Generation {
            health: Some(HealthStatus::Unhealthy),
            ..unfinished(Life::Running)
        };
        assert_eq!(
            actions(vec![stopped(old()), sick]),
            [stop("web-3"), remove("web-3"), start("web-2")]
        );
    }

    #[test]
    fn one_whose_check_said_nothing_yet_gives_way_unless_it_was_finished() {
        let starting = || Generation {
            health: Some(HealthStatus::Starting),
            ..unfinished(Life::Running)
        };
        assert_eq!(
            actions(vec![stopped(old()), starting()]),
            [stop("web-3"), remove("web-3"), start("web-2")]
        );
        let older = Generation {
            restart: Restart::No,
            ..stopped(old())
        };
        assert_eq!(
            actions(vec![older, starting()]),
            [stop("web-3"), remove("web-3"), start("web-2")]
        );
        let finished = Generation {
            restart: Restart::Always,
            ..starting()
        };
        assert_eq!(actions(vec![stopped(old()), finished]), []);
    }

    #[test]
    fn after_a_crash_of_the_machine_the_old_one_comes_back() {
        assert_eq!(
            actions(vec![stopped(old()), unfinished(Life::Exited)]),
            [remove("web-3"), start("web-2")]
        );
    }

    #[test]
    fn a_finished_release_stays_even_if_it_is_stopped_or_sick() {
        let finished = generation("web", 3);
        assert_eq!(
            actions(vec![stopped(old()), stopped(finished.clone())]),
            [],
            "the next release starts it"
        );
        let sick = Generation {
            health: Some(HealthStatus::Unhealthy),
            ..finished
        };
        assert_eq!(actions(vec![stopped(old()), sick]), []);
    }

    #[test]
    fn a_first_release_that_never_started_goes() {
        let mending = mend(&deployed(vec![unfinished(Life::Created)]));
        assert_eq!(mending.actions, [remove("web-3")]);
        assert_eq!(
            mending.notes,
            ["release 3 of web was not finished: taken away"]
        );
    }

    #[test]
    fn secrets_of_no_container_go() {
        let mut state = deployed(vec![Generation {
            secrets: Some("a".into()),
            ..old()
        }]);
        state.secrets = vec!["a".into(), "b".into()];
        assert_eq!(mend(&state).actions, [Action::RemoveSecrets("b".into())]);
    }

    /// With the history of a first release that came to its end.
    fn with_history(generations: Vec<Generation>) -> Deployed {
        Deployed {
            serving: [("web".to_owned(), 2)].into(),
            ended: 2,
            ..deployed(generations)
        }
    }

    #[test]
    fn an_earlier_generation_that_was_gone_back_to_stays_the_one_that_serves() {
        let later = stopped(generation("web", 5));
        let found = Deployed {
            ended: 6,
            ..with_history(vec![old(), later])
        };
        let mending = mend(&found);
        assert!(mending.is_nothing(), "{mending:?}");
        assert_eq!(mending.serving["web"], 2);
    }

    #[test]
    fn what_did_not_stop_after_its_successor_was_in_place_stops() {
        let found = Deployed {
            serving: [("web".to_owned(), 3)].into(),
            ended: 3,
            ..deployed(vec![old(), generation("web", 3)])
        };
        assert_eq!(mend(&found).actions, [stop("web-2")]);
    }

    fn gate() -> crate::release::state::DeployedGate {
        crate::release::state::DeployedGate {
            image: "sha256:proxy".to_owned(),
            gate: crate::release::gate::Gate::Name("web".into()),
            id: "gate".into(),
            life: Life::Running,
            addresses: BTreeMap::new(),
            ports: Vec::new(),
            fronts: BTreeMap::new(),
            aside: BTreeSet::new(),
            inner: None,
            others: Vec::new(),
        }
    }

    #[test]
    fn behind_a_gate_the_old_has_the_traffic_before_the_new_goes() {
        let mut found = with_history(vec![old(), unfinished(Life::Running)]);
        found.gates.push(gate());
        let actions = mend(&found).actions;
        let to = vec![(Which::Old("web-2".into()), Part::Active { weight: 100 })];
        assert!(
            matches!(&actions[0], Action::Route { to: led, .. } if *led == to),
            "{actions:?}"
        );
        assert_eq!(
            actions[1..],
            [Action::Drain("web".into()), stop("web-3"), remove("web-3")]
        );
    }

    #[test]
    fn no_more_than_one_generation_runs_whatever_was_found() {
        let lives = [Life::Created, Life::Running, Life::Exited, Life::Other];
        let restarts = [Restart::No, Restart::Always];
        let one = |sequence, life, restart| Generation {
            life,
            restart,
            ..generation("web", sequence)
        };
        for (a, b) in lives
            .iter()
            .flat_map(|a| lives.iter().map(move |b| (*a, *b)))
        {
            for (x, y) in restarts
                .iter()
                .flat_map(|x| restarts.iter().map(move |y| (*x, *y)))
            {
                for history in [true, false] {
                    let found = vec![one(2, a, x), one(3, b, y)];
                    let found = if history {
                        with_history(found)
                    } else {
                        deployed(found)
                    };
                    let mut lives: BTreeMap<&str, Life> = found
                        .generations
                        .iter()
                        .map(|old| (old.id.as_str(), old.life))
                        .collect();
                    let mending = mend(&found);
                    for action in &mending.actions {
                        match action {
                            Action::Stop(Which::Old(id)) => drop(lives.insert(id, Life::Exited)),
                            Action::Start(Which::Old(id)) => drop(lives.insert(id, Life::Running)),
                            Action::Remove(Which::Old(id)) => drop(lives.remove(id.as_str())),
                            other => panic!("{other:?}"),
                        }
                    }
                    let count = |life| lives.values().filter(|has| **has == life).count();
                    assert!(count(Life::Running) <= 1, "{a:?} {b:?} {mending:?}");
                    assert_eq!(count(Life::Created), 0, "{a:?} {b:?} {mending:?}");
                    let ran = [a, b].contains(&Life::Running);
                    assert!(!ran || count(Life::Running) == 1, "{a:?} {b:?} {mending:?}");
                }
            }
        }
    }
}
