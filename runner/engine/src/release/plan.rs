//! The plan of a release: from what runs and what is wanted to an ordered list of actions, each
//! with its reverse. Pure. It knows no engine and refuses to decide how an action is done.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::unit::{Condition, Dependency, PortMapping, Restart};

use super::ports::HostPort;
use super::state::{Deployed, Generation, Life, dependents_first};

/// A container that an action is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    /// The one that this release makes for a service.
    New(String),
    /// One that was there before, by its ID.
    Old(String),
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Makes a network of the file.
    CreateNetwork(String),
    /// Removes a network by the name that the file had for it.
    RemoveNetwork(String),
    /// Makes a data volume of the file.
    CreateVolume(String),
    /// Removes a data volume by the name that the file had for it, with all that is in it.
    RemoveVolume(String),
    /// Removes a volume with secrets by the engine's name.
    RemoveSecrets(String),
    /// Makes a service's container and its secrets, and does not start it.
    Create(String),
    /// Starts a container.
    Start(Which),
    /// Stops a container with its grace.
    Stop(Which),
    /// Waits until a container is healthy.
    AwaitHealthy(Which),
    /// Says what the engine does when a container exits.
    SetRestart(Which, Restart),
    /// Removes a container and its secrets.
    Remove(Which),
}

impl Action {
    /// What takes this action back; `None` where there is nothing to take back.
    pub(crate) fn reverse(&self) -> Option<Self> {
        match self {
            Self::CreateNetwork(name) => Some(Self::RemoveNetwork(name.clone())),
            Self::CreateVolume(name) => Some(Self::RemoveVolume(name.clone())),
            Self::Create(service) => Some(Self::Remove(Which::New(service.clone()))),
            Self::Start(which) => Some(Self::Stop(which.clone())),
            Self::Stop(which) => Some(Self::Start(which.clone())),
            // The first two wait or make no difference to who comes back: a new container goes, and
            // an old one had this policy. What removes comes only after the last way back.
            Self::AwaitHealthy(_)
            | Self::SetRestart(..)
            | Self::Remove(_)
            | Self::RemoveNetwork(_)
            | Self::RemoveVolume(_)
            | Self::RemoveSecrets(_) => None,
        }
    }
}

/// A service as it is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// The engine's ID of its image.
    pub(crate) image: String,
    pub(crate) config_digest: Option<String>,
    pub(crate) config_hash: String,
    /// Its secrets are not those of the container that runs.
    pub(crate) secrets_changed: bool,
    pub(crate) networks: Vec<String>,
    pub(crate) volumes: Vec<String>,
    pub(crate) ports: Vec<PortMapping>,
    pub(crate) depends_on: Vec<Dependency>,
    pub(crate) restart: Restart,
}

/// What a release does to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is new.
    New,
    /// It runs as it is wanted: it is left alone. Its container's ID.
    Unchanged(String),
    /// It is as it is wanted, but stopped. Its container's ID.
    Stopped(String),
    /// Another container takes its place.
    Recreated {
        /// The container that goes.
        old: String,
        /// Why, for people.
        why: &'static str,
    },
}

/// What a release does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program {
    /// By service, for those that are wanted.
    pub(crate) changes: BTreeMap<String, Change>,
    /// In this order; if one fails, the reverses in the other.
    pub(crate) forward: Vec<Action>,
    /// Once all of it is healthy. Nothing here is taken back, and what fails here fails nothing.
    pub(crate) afterwards: Vec<Action>,
}

/// Plans a release with the strategy `recreate`. `deployed` holds at most one container a service
/// (see `mend`); `wanted` is in the order of dependencies.
pub(crate) fn recreate(deployed: &Deployed, wanted: &[Wanted]) -> Program {
    let changes = wanted
        .iter()
        .map(|want| (want.name.clone(), change(deployed, want)))
        .collect();
    let mut planner = Planner {
        deployed,
        changes,
        forward: Vec::new(),
        afterwards: Vec::new(),
        started: BTreeSet::new(),
        awaited: BTreeSet::new(),
        stopped: BTreeSet::new(),
    };
    planner.prepare(wanted);
    for want in wanted {
        planner.put_in_place(want, wanted);
    }
    for want in wanted {
        planner.await_healthy(&want.name);
    }
    planner.settle(wanted);
    planner.clear(wanted);
    Program {
        changes: planner.changes,
        forward: planner.forward,
        afterwards: planner.afterwards,
    }
}

fn change(deployed: &Deployed, want: &Wanted) -> Change {
    let Some(current) = deployed.current(&want.name) else {
        return Change::New;
    };
    let same_image = current.image == want.image
        || want.config_digest.is_some() && current.config_digest == want.config_digest;
    let recreated = |why| Change::Recreated {
        old: current.id.clone(),
        why,
    };
    if current.config_hash != want.config_hash {
        return recreated("its settings changed");
    }
    if !same_image {
        return recreated("its image changed");
    }
    if want.secrets_changed {
        return recreated("its secrets changed");
    }
    match current.life {
        Life::Running => Change::Unchanged(current.id.clone()),
        Life::Exited => Change::Stopped(current.id.clone()),
        Life::Created | Life::Other => recreated("its container cannot be started again"),
    }
}

struct Planner<'a> {
    deployed: &'a Deployed,
    changes: BTreeMap<String, Change>,
    forward: Vec<Action>,
    afterwards: Vec<Action>,
    /// Services that something runs for, old or new.
    started: BTreeSet<String>,
    awaited: BTreeSet<String>,
    /// IDs of old containers.
    stopped: BTreeSet<String>,
}

impl Planner<'_> {
    /// All that can fail without a moment's outage comes first.
    fn prepare(&mut self, wanted: &[Wanted]) {
        let networks: BTreeSet<&String> = wanted.iter().flat_map(|want| &want.networks).collect();
        for network in networks {
            if !self.deployed.networks.contains_key(network) {
                self.forward.push(Action::CreateNetwork(network.clone()));
            }
        }
        let volumes: BTreeSet<&String> = wanted.iter().flat_map(|want| &want.volumes).collect();
        for volume in volumes {
            if !self.deployed.volumes.contains_key(volume) {
                self.forward.push(Action::CreateVolume(volume.clone()));
            }
        }
        for want in wanted {
            if matches!(
                self.changes.get(&want.name),
                Some(Change::New | Change::Recreated { .. })
            ) {
                self.forward.push(Action::Create(want.name.clone()));
            }
            let runs = |old: &Generation| old.life == Life::Running;
            if self.deployed.current(&want.name).is_some_and(runs) {
                self.started.insert(want.name.clone());
            }
        }
    }

    fn put_in_place(&mut self, want: &Wanted, all: &[Wanted]) {
        let Some(change) = self.changes.get(&want.name).cloned() else {
            return;
        };
        if matches!(change, Change::Unchanged(_)) {
            return;
        }
        for need in &want.depends_on {
            if need.condition == Condition::ServiceHealthy {
                self.await_healthy(&need.service);
            }
        }
        let which = match change {
            Change::Recreated { old, .. } => {
                self.stop(&old);
                Which::New(want.name.clone())
            }
            Change::Stopped(id) => Which::Old(id),
            Change::New | Change::Unchanged(_) => Which::New(want.name.clone()),
        };
        self.free_ports(want);
        self.forward.push(Action::Start(which));
        self.started.insert(want.name.clone());
        // Where all others run too, a service that fails is met before the next is touched. Where
        // some do not run yet, it may need one of them without saying so, and waits till the end.
        if all.iter().all(|other| self.started.contains(&other.name)) {
            self.await_healthy(&want.name);
        }
    }

    /// Stops those that hold a port which this service wants, and that go anyway.
    fn free_ports(&mut self, want: &Wanted) {
        let ports: Vec<HostPort> = want.ports.iter().filter_map(HostPort::wanted).collect();
        let holds = |old: &&Generation| {
            old.service != want.name
                && old
                    .ports
                    .iter()
                    .any(|held| ports.iter().any(|p| p.clashes(held)))
        };
        let holders: Vec<String> = self
            .deployed
            .generations
            .iter()
            .filter(holds)
            .filter(|old| match self.changes.get(&old.service) {
                None | Some(Change::Recreated { .. }) => true,
                Some(Change::New | Change::Unchanged(_) | Change::Stopped(_)) => false,
            })
            .map(|old| old.id.clone())
            .collect();
        for holder in holders {
            self.stop(&holder);
        }
    }

    fn stop(&mut self, old: &str) {
        let runs = self
            .deployed
            .generation(old)
            .is_some_and(|old| old.life == Life::Running);
        if runs && self.stopped.insert(old.to_owned()) {
            self.forward.push(Action::Stop(Which::Old(old.to_owned())));
        }
    }

    fn await_healthy(&mut self, service: &str) {
        let which = self
            .changes
            .get(service)
            .map(|change| change.container(service));
        if let Some(which) = which.filter(|_| self.awaited.insert(service.to_owned())) {
            self.forward.push(Action::AwaitHealthy(which));
        }
    }

    /// Only what is healthy gets its restart policy: until then a crash is to be seen as one.
    fn settle(&mut self, wanted: &[Wanted]) {
        for want in wanted {
            let Some(change) = self.changes.get(&want.name) else {
                continue;
            };
            let has = match change {
                Change::New | Change::Recreated { .. } => Some(Restart::No),
                Change::Unchanged(id) | Change::Stopped(id) => {
                    self.deployed.generation(id).map(|old| old.restart)
                }
            };
            if has != Some(want.restart) {
                self.forward.push(Action::SetRestart(
                    change.container(&want.name),
                    want.restart,
                ));
            }
        }
    }

    fn clear(&mut self, wanted: &[Wanted]) {
        let goes = |old: &&Generation| match self.changes.get(&old.service) {
            None => true,
            Some(Change::Recreated { old: id, .. }) => *id == old.id,
            Some(Change::New | Change::Unchanged(_) | Change::Stopped(_)) => false,
        };
        let going: Vec<&Generation> = self.deployed.generations.iter().filter(goes).collect();
        for old in dependents_first(&going) {
            let which = Which::Old(old.id.clone());
            if old.life == Life::Running && !self.stopped.contains(&old.id) {
                self.afterwards.push(Action::Stop(which.clone()));
            }
            self.afterwards.push(Action::Remove(which));
        }
        for network in self.deployed.networks.keys() {
            if !wanted.iter().any(|want| want.networks.contains(network)) {
                self.afterwards.push(Action::RemoveNetwork(network.clone()));
            }
        }
    }
}

impl Change {
    /// The container that serves once the release is in place.
    fn container(&self, service: &str) -> Which {
        match self {
            Self::New | Self::Recreated { .. } => Which::New(service.to_owned()),
            Self::Unchanged(id) | Self::Stopped(id) => Which::Old(id.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
