//! The plan of a release: from what runs and what is wanted to an ordered list of actions, each
//! with its reverse. Pure. It knows no engine and refuses to decide how an action is done.
//!
//! Every strategy is the same thing said of other containers: the set of those behind a service's
//! gates becomes another one.

mod change;
mod fronts;
mod planner;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hoist_model::unit::{CanaryPlan, Dependency, PortMapping, Restart, UpdatePlan};

pub(crate) use change::{Change, IMAGE_CHANGED, Member};

use super::gate::Gate;
use super::proxy::{Front, Part, Refront};
use super::state::Deployed;

/// A container that an action is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    /// One that this release makes.
    New(Slot),
    /// One that was there before, by its ID.
    Old(String),
}

/// A container's place in its environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) service: String,
    /// Its generation: the release that made the first of it.
    pub(crate) sequence: u64,
    /// From 1.
    pub(crate) replica: u32,
}

/// What is behind a service's gates.
pub(crate) type Backends = Vec<(Which, Part)>;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
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
    /// Makes a container, with the secrets of its generation, and does not start it.
    Create(Slot),
    /// Starts a container.
    Start(Which),
    /// Stops a container with its grace.
    Stop(Which),
    /// Waits until a container is healthy.
    AwaitHealthy(Which),
    /// Says what the engine does when a container exits.
    SetRestart(Which, Restart),
    /// Removes a container, and the secrets of its generation with the last of it.
    Remove(Which),
    /// Makes a gate of a service and starts it.
    OpenGate { service: String, gate: Gate },
    /// Lets a gate's connections end, and removes it.
    CloseGate(Gate),
    /// Puts a gate of a service on another image, by the engine's ID: for a moment its port has no
    /// owner.
    ReplaceGate {
        service: String,
        gate: Gate,
        image: String,
    },
    /// Puts the one of the host in the place of a gate of a service: for a moment its port has no owner.
    ShareGate { service: String, gate: Gate },
    /// Makes what is behind a service's gates these.
    Route {
        service: String,
        to: Backends,
        from: Backends,
    },
    /// Has a service's gates do with what comes in what is `wanted`, or what they did before. They
    /// lead where they led.
    Front {
        service: String,
        to: Backends,
        wanted: bool,
    },
    /// Has a service's gates check what they are led to next, so that they can be led there at once.
    Check { service: String, to: Backends },
    /// Waits until no connection is left from before the last change of a service's gates.
    Drain(String),
    /// Waits until a service's gates have seen for themselves that a container answers.
    Prove(Which),
    /// Watches containers that have the traffic.
    Bake(Vec<Which>, Duration),
    /// Compares what the new containers of a service answer with what the old ones do.
    Judge {
        service: String,
        new: Vec<Which>,
        weight: u32,
        plan: CanaryPlan,
    },
    /// Waits.
    Pause(Duration),
    /// Runs a hook to its end.
    RunHook(String),
    /// Does nothing, and this on the way back.
    OnReturn(Box<Action>),
}

impl Action {
    /// What takes this action back; `None` where there is nothing to take back.
    pub(crate) fn reverse(&self) -> Option<Self> {
        match self {
            Self::CreateNetwork(name) => Some(Self::RemoveNetwork(name.clone())),
            Self::CreateVolume(name) => Some(Self::RemoveVolume(name.clone())),
            Self::Create(slot) => Some(Self::Remove(Which::New(slot.clone()))),
            Self::Start(which) => Some(Self::Stop(which.clone())),
            Self::Stop(which) => Some(Self::Start(which.clone())),
            Self::OpenGate { gate, .. } => Some(Self::CloseGate(gate.clone())),
            Self::Route { service, to, from } => Some(Self::Route {
                service: service.clone(),
                to: from.clone(),
                from: to.clone(),
            }),
            Self::Front {
                service,
                to,
                wanted,
            } => Some(Self::Front {
                service: service.clone(),
                to: to.clone(),
                wanted: !wanted,
            }),
            Self::OnReturn(action) => Some((**action).clone()),
            // Those that wait, and one that makes no difference to who comes back: a new container
            // goes, and an old one had this policy. What a hook did only its author could take back.
            // What removes comes only after the last way back. A gate on another image does the same,
            // and to replace it once more would be another gap.
            Self::AwaitHealthy(_)
            | Self::SetRestart(..)
            | Self::Check { .. }
            | Self::Drain(_)
            | Self::Prove(_)
            | Self::Bake(..)
            | Self::Judge { .. }
            | Self::Pause(_)
            | Self::RunHook(_)
            | Self::CloseGate(_)
            | Self::ReplaceGate { .. }
            | Self::ShareGate { .. }
            | Self::Remove(_)
            | Self::RemoveNetwork(_)
            | Self::RemoveVolume(_)
            | Self::RemoveSecrets(_) => None,
        }
    }

    /// It changes nothing that serves or is kept.
    pub(crate) fn only_looks(&self) -> bool {
        matches!(
            self,
            Self::AwaitHealthy(_) | Self::SetRestart(..) | Self::OnReturn(_)
        )
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
    /// Its secrets are not those of the containers that run.
    pub(crate) secrets_changed: bool,
    /// The kept generation that is to come back, as it was.
    pub(crate) restored: Option<u64>,
    pub(crate) networks: Vec<String>,
    /// It has the host's network, and takes its ports there.
    pub(crate) host_network: bool,
    pub(crate) volumes: Vec<String>,
    pub(crate) ports: Vec<PortMapping>,
    /// With what each does with what comes in.
    pub(crate) gates: BTreeMap<Gate, Front>,
    /// Those of them that are the environment's own, and are to be the host's.
    pub(crate) to_share: BTreeSet<Gate>,
    pub(crate) depends_on: Vec<Dependency>,
    pub(crate) restart: Restart,
    pub(crate) replicas: u32,
    pub(crate) update: UpdatePlan,
}

/// What runs once in a release.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hook {
    pub(crate) name: String,
    /// The engine's ID of its image, or the digest of the image's config.
    pub(crate) image: String,
    pub(crate) config_hash: String,
    pub(crate) networks: Vec<String>,
    pub(crate) volumes: Vec<String>,
    /// Services that are to run before it.
    pub(crate) depends_on: Vec<String>,
}

/// All that a release is to come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Goal {
    /// In the order of dependencies.
    pub(crate) services: Vec<Wanted>,
    pub(crate) pre_deploy: Vec<Hook>,
    pub(crate) post_deploy: Vec<Hook>,
    /// How many earlier generations of a service stay.
    pub(crate) keep: usize,
    /// The image that all gates are to have, by the engine's ID; absent, they stay as they are.
    pub(crate) proxy: Option<String>,
    /// The number of this release.
    pub(crate) sequence: u64,
    /// What its images did not pass, where it is done nevertheless: one sentence each.
    pub(crate) unverified: Vec<String>,
}

/// What a release does.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Program {
    /// By service, for those that are wanted.
    pub(crate) changes: BTreeMap<String, Change>,
    /// By service, for those whose gates do something else from then on.
    pub(crate) refronts: BTreeMap<String, Refront>,
    /// In this order; if one fails, the reverses in the other.
    pub(crate) forward: Vec<Action>,
    /// Once all of it is in place. Nothing here is taken back, and what fails here fails nothing.
    pub(crate) afterwards: Vec<Action>,
}

impl Program {
    /// Nothing that serves or is kept changes.
    pub(crate) fn is_in_place(&self) -> bool {
        let mut actions = self.forward.iter().chain(&self.afterwards);
        actions.all(|action| matches!(action, Action::AwaitHealthy(_)))
    }

    /// Nothing changes but certificates that were renewed, and what a restart left.
    pub(crate) fn only_renews(&self) -> bool {
        let mut actions = self.forward.iter().chain(&self.afterwards);
        let only =
            |action: &Action| matches!(action, Action::AwaitHealthy(_) | Action::Front { .. });
        let mut refronts = self.refronts.values();
        actions.all(only) && refronts.all(|refront| refront.only_renews())
    }

    /// The generation of each service that serves once the release is in place.
    pub(crate) fn serving(&self, deployed: &Deployed) -> BTreeMap<String, u64> {
        let of = |change: &Change| {
            change.members.values().find_map(|member| match member {
                Member::New(slot) => Some(slot.sequence),
                Member::Kept(id) | Member::Stopped(id) => Some(deployed.generation(id)?.sequence),
            })
        };
        let changes = self.changes.iter();
        changes
            .filter_map(|(name, change)| Some((name.clone(), of(change)?)))
            .collect()
    }
}

/// Plans a release. `deployed` holds no container of a release that was cut off (see `mend`).
pub(crate) fn plan(deployed: &Deployed, goal: &Goal) -> Program {
    planner::Planner::new(deployed, goal).plan()
}

#[cfg(test)]
mod tests;
