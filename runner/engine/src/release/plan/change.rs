//! What a release does to one service: which containers it has afterwards, and which leave.

use std::collections::BTreeMap;

use super::{Slot, Wanted, Which};
use crate::release::state::{Deployed, Generation, Life};

/// A container that a service has once the release is in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// It runs and is left alone. Its ID.
    Kept(String),
    /// It is as it is wanted, but stopped. Its ID.
    Stopped(String),
    /// It is made.
    New(Slot),
}

/// What a release does to a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// By replica, from 1.
    pub(crate) members: BTreeMap<u32, Member>,
    /// IDs of containers that serve or should, and give way.
    pub(crate) leaving: Vec<String>,
    /// Why another generation takes the place of the one that runs, for people.
    pub(crate) why: Option<&'static str>,
    /// No generation of it runs.
    pub(crate) is_new: bool,
}

impl Member {
    pub(crate) fn which(&self) -> Which {
        match self {
            Self::Kept(id) | Self::Stopped(id) => Which::Old(id.clone()),
            Self::New(slot) => Which::New(slot.clone()),
        }
    }
}

impl Change {
    /// Nothing is done.
    pub(crate) fn is_nothing(&self) -> bool {
        let kept = |member: &Member| matches!(member, Member::Kept(_));
        self.leaving.is_empty() && self.members.values().all(kept)
    }

    /// The containers that are started, in the order of replicas.
    pub(crate) fn starting(&self) -> Vec<Which> {
        let starts = |member: &&Member| !matches!(member, Member::Kept(_));
        let members = self.members.values().filter(starts);
        members.map(Member::which).collect()
    }

    /// The containers that go on running.
    pub(crate) fn kept(&self) -> Vec<Which> {
        let kept = |member: &&Member| matches!(member, Member::Kept(_));
        let members = self.members.values().filter(kept);
        members.map(Member::which).collect()
    }

    pub(crate) fn all(&self) -> Vec<Which> {
        self.members.values().map(Member::which).collect()
    }
}

/// Compares what runs of a service with what is wanted.
pub(super) fn change(deployed: &Deployed, want: &Wanted, sequence: u64) -> Change {
    let current = deployed.current(&want.name);
    let running: Option<&&Generation> = current.first();
    let has = |all: &[&Generation], is: fn(&Generation) -> bool| {
        let mut all = all.iter().filter(|old| old.replica <= want.replicas);
        all.any(|old| is(old))
    };
    let dead: fn(&Generation) -> bool = |old| matches!(old.life, Life::Created | Life::Other);
    let changed: fn(&Generation) -> bool = |old| !old.drift.is_empty();
    let why = match (want.restored, running) {
        (_, None) => None,
        (Some(restored), Some(running)) if running.sequence != restored => Some("on request"),
        (None, Some(running)) if differs(running, want).is_some() => differs(running, want),
        _ if has(&current, dead) => Some("its container cannot be started again"),
        _ => has(&current, changed).then_some("it was changed by hand"),
    };
    let mut base: Vec<&Generation> = match want.restored {
        Some(restored) => deployed.of(&want.name, restored),
        None if running.is_some() && why.is_none() => current.clone(),
        None => Vec::new(),
    };
    if has(&base, dead) || has(&base, changed) {
        base.clear();
    }
    let sequence = base.first().map_or(sequence, |old| old.sequence);
    let member = |replica: u32| {
        let found = base.iter().find(|old| old.replica == replica);
        match found.map(|old| (old.life, old.id.clone())) {
            Some((Life::Running, id)) => Member::Kept(id),
            Some((Life::Exited, id)) => Member::Stopped(id),
            // What is neither is not in a base.
            Some((Life::Created | Life::Other, _)) | None => Member::New(Slot {
                service: want.name.clone(),
                sequence,
                replica,
            }),
        }
    };
    let members: BTreeMap<u32, Member> = (1..=want.replicas)
        .map(|replica| (replica, member(replica)))
        .collect();
    let stays_in = |id: &String| {
        let mut members = members.values();
        members.any(|member| member.which() == Which::Old(id.clone()))
    };
    let mut leaving: Vec<String> = current.iter().map(|old| old.id.clone()).collect();
    // Of a generation that stays, also what cannot be started again.
    leaving.extend(base.iter().map(|old| old.id.clone()));
    leaving.retain(|id| !stays_in(id));
    leaving.sort();
    leaving.dedup();
    Change {
        members,
        leaving,
        why,
        is_new: running.is_none(),
    }
}

/// Why, where nothing but the image is another one.
pub(crate) const IMAGE_CHANGED: &str = "its image changed";

fn differs(running: &Generation, want: &Wanted) -> Option<&'static str> {
    let same_image = running.image == want.image
        || want.config_digest.is_some() && running.config_digest == want.config_digest;
    if running.config_hash != want.config_hash {
        Some("its settings changed")
    } else if !same_image {
        Some(IMAGE_CHANGED)
    } else if want.secrets_changed {
        Some("its secrets changed")
    } else {
        None
    }
}
