//! What may go of all that runs leave behind: a policy with a floor, a ceiling and an age, and what
//! it comes to for things that are there. Pure: finding things and removing them are others' parts.
//!
//! It refuses to let go what is in use, whatever the policy says.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What stays and what goes: `[gc]` of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The floor: so many of the newest of each group stay, whatever else is said.
    pub keep: usize,
    /// What has not been used for longer goes.
    #[serde(rename = "max_age_ms", with = "crate::millis")]
    pub max_age: Duration,
    /// The ceiling, bytes: beyond it the oldest go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// What each cache of such a name may take, bytes, in all its generations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub caches: BTreeMap<String, u64>,
    /// How often a run does it at its end; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
}

impl Default for Policy {
    /// The newest five, and what was used in the last 30 days.
    fn default() -> Self {
        Self {
            keep: 5,
            max_age: Duration::from_secs(30 * 24 * 3600),
            max_size: None,
            caches: BTreeMap::new(),
            every: None,
        }
    }
}

/// What a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A run folder.
    Run,
    /// An image that a build made.
    Image,
    /// A volume that steps use as a cache.
    Cache,
    /// A stopped container of an earlier release.
    Release,
}

/// Something that may go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// By what it is known: a run's ID, an image's ID, a volume's name, a container's ID.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Of what it is one of several generations; the floor is counted in each group.
    pub group: String,
    /// What it takes, bytes, as far as known.
    pub bytes: u64,
    /// What its group may take, bytes, where it has a budget of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// When it was last used, as far as known; else when it was made.
    pub used: Timestamp,
    /// Who uses it, if somebody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// The IDs of runs that refer to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<String>,
}

/// Who uses something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// This container.
    Container(String),
    /// A run that goes on, perhaps.
    Run,
    /// A deploy to this environment that is under way.
    Deploy(String),
    /// Whoever gave it this name.
    Name(String),
}

/// What becomes of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It goes.
    Goes(Reason),
    /// It stays.
    Stays(Stay),
}

/// Why something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It was not used for longer than `max_age`.
    Age,
    /// All together took more than `max_size`, and nothing older could go.
    Size,
    /// Its group took more than its own budget, and nothing older of it could go.
    Budget,
}

/// Why something stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stay {
    /// It is in use.
    Held(Held),
    /// It is one of the newest of its group.
    Newest,
    /// This run, which stays, refers to it.
    Needed(String),
    /// Nothing speaks against it.
    Within,
}

/// What becomes of each thing, those longest unused first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// The things.
    pub items: Vec<(Item, Decision)>,
}

impl Collection {
    /// What goes, and why, in the order in which it should: runs before what they refer to.
    pub fn going(&self) -> impl Iterator<Item = (&Item, Reason)> {
        self.items.iter().filter_map(|(item, decision)| {
            if let Decision::Goes(reason) = decision {
                Some((item, *reason))
            } else {
                None
            }
        })
    }

    /// What all things take, bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        sum(self.items.iter().map(|(item, _)| item))
    }

    /// What is freed, bytes.
    #[must_use]
    pub fn freed(&self) -> u64 {
        sum(self.going().map(|(item, _)| item))
    }
}

/// What went, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many of each kind.
    pub kinds: BTreeMap<Kind, usize>,
    /// What they took, bytes.
    pub bytes: u64,
}

impl Tally {
    /// Of these.
    pub fn of<'a>(items: impl IntoIterator<Item = &'a Item>) -> Self {
        let mut tally = Self::default();
        for item in items {
            *tally.kinds.entry(item.kind).or_default() += 1;
            tally.bytes = tally.bytes.saturating_add(item.bytes);
        }
        tally
    }
}

/// Decides what becomes of each thing.
#[must_use]
pub fn collect(items: Vec<Item>, policy: &Policy, now: Timestamp) -> Collection {
    let items = in_order(items);
    let newest = newest(&items, policy.keep);
    let mut left = sum(items.iter());
    let mut groups = sums(&items);
    let mut staying = BTreeSet::new();
    let mut decided = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let group = groups.entry((item.kind, item.group.clone())).or_default();
        let decision = if let Some(held) = &item.held {
            Decision::Stays(Stay::Held(held.clone()))
        } else if let Some(run) = item.needed_by.iter().find(|run| staying.contains(*run)) {
            Decision::Stays(Stay::Needed(run.clone()))
        } else if item.budget.is_some_and(|most| *group > most) {
            // The floor does not spare it: a budget is said of this very cache.
            Decision::Goes(Reason::Budget)
        } else if newest.contains(&at) {
            Decision::Stays(Stay::Newest)
        } else if age(&item, now) > policy.max_age {
            Decision::Goes(Reason::Age)
        } else if policy.max_size.is_some_and(|most| left > most) {
            Decision::Goes(Reason::Size)
        } else {
            Decision::Stays(Stay::Within)
        };
        match decision {
            Decision::Goes(_) => {
                left = left.saturating_sub(item.bytes);
                *group = group.saturating_sub(item.bytes);
            }
            Decision::Stays(_) if item.kind == Kind::Run => {
                staying.insert(item.id.clone());
            }
            Decision::Stays(_) => {}
        }
        decided.push((item, decision));
    }
    Collection { items: decided }
}

/// Those longest unused first, runs before all that was last used when they were. What a run refers
/// to was used by it, so that it comes after all such runs.
fn in_order(mut items: Vec<Item>) -> Vec<Item> {
    let runs = items.iter().filter(|item| item.kind == Kind::Run);
    let runs: BTreeMap<String, Timestamp> = runs.map(|run| (run.id.clone(), run.used)).collect();
    for item in &mut items {
        let uses = item.needed_by.iter().filter_map(|run| runs.get(run));
        item.used = uses.copied().fold(item.used, Timestamp::max);
    }
    items.sort_by(|left, right| {
        let key = |item: &Item| (item.used, item.kind);
        key(left)
            .cmp(&key(right))
            .then_with(|| left.id.cmp(&right.id))
    });
    items
}

/// The places of the newest of each group.
fn newest(items: &[Item], keep: usize) -> BTreeSet<usize> {
    let mut seen: BTreeMap<(Kind, &str), usize> = BTreeMap::new();
    let newest = items.iter().enumerate().rev().filter(|(_, item)| {
        let seen = seen.entry((item.kind, item.group.as_str())).or_default();
        *seen += 1;
        *seen <= keep
    });
    newest.map(|(at, _)| at).collect()
}

fn age(item: &Item, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(item.used)).unwrap_or_default()
}

/// What each group takes, bytes.
fn sums(items: &[Item]) -> BTreeMap<(Kind, String), u64> {
    let mut sums: BTreeMap<_, u64> = BTreeMap::new();
    for item in items {
        let sum = sums.entry((item.kind, item.group.clone())).or_default();
        *sum = sum.saturating_add(item.bytes);
    }
    sums
}

fn sum<'a>(items: impl Iterator<Item = &'a Item>) -> u64 {
    items.fold(0, |sum, item| sum.saturating_add(item.bytes))
}
