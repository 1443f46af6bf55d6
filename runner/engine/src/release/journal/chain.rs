//! The bytes of entries: how one is written after another, and what a look at all of them tells.
//! Pure; it trusts nothing that it reads, and refuses to mend anything.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::record::{Intent, Outcome, Record};

/// The version of what an entry holds. It goes up when an older hoist could not read a newer entry,
/// or a newer hoist an older one as it is.
const VERSION: u32 = 2;

/// What stands before an entry's own hash, between that and what is hashed, and after it.
const FRAME: [&str; 3] = ["{\"blake3\":\"", "\",\"entry\":", "}\n"];

/// An entry, as it stands in its frame.
#[derive(Debug, Serialize, Deserialize)]
struct Body<R = Record> {
    version: u32,
    number: u64,
    /// The hash of the bytes of the entry before; absent in the first.
    previous: Option<String>,
    record: R,
}

/// The same of any version.
#[derive(Debug, Deserialize)]
struct Any {
    version: u32,
}

/// An entry that could be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Its place in the history, from 1.
    pub(crate) number: u64,
    pub(crate) record: Record,
}

/// What the history tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    /// All that could be read, in order.
    pub(crate) entries: Vec<Entry>,
    /// What is wrong with it.
    pub(crate) faults: Vec<Fault>,
    /// The last place that is taken, and the hash of what is there.
    pub(super) last: Option<(u64, String)>,
}

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The last entry cannot be read: its writing was cut off, or it was changed.
    BrokenLast(u64),
    /// The entry cannot be read, and the one after it was written when it was so: its writing was
    /// cut off.
    CutOff(u64),
    /// The entry is not what it was when the one after it was written.
    Changed(u64),
    /// These are not there, the first and the last of them.
    Missing(u64, u64),
    /// What stands in a place is the entry of another place.
    Misplaced { place: u64, number: u64 },
    /// The entry was not written after the one before it.
    Unlinked(u64),
    /// A newer hoist wrote it, in this version.
    Newer { number: u64, version: u32 },
}

impl Fault {
    /// It is an honest sign of a write that was cut off: nothing was changed.
    pub(crate) fn is_harmless(&self) -> bool {
        matches!(self, Self::CutOff(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BrokenLast(number) => write!(
                f,
                "entry {number}, the last, is broken: its writing was cut off, or it was changed"
            ),
            Self::CutOff(number) => {
                write!(f, "entry {number} cannot be read: its writing was cut off")
            }
            Self::Changed(number) => write!(f, "entry {number} was changed after it was written"),
            Self::Missing(from, to) if from == to => write!(f, "entry {from} is missing"),
            Self::Missing(from, to) => write!(f, "entries {from} to {to} are missing"),
            Self::Misplaced { place, number } => {
                write!(f, "entry {number} stands in the place of entry {place}")
            }
            Self::Unlinked(number) => {
                write!(f, "entry {number} was not written after the one before it")
            }
            Self::Newer { number, version } => write!(
                f,
                "entry {number} was written by a newer hoist, in version {version} of the history"
            ),
        }
    }
}

impl Known {
    /// The newest release that came to be, with how it ended.
    pub(crate) fn last_passed(&self) -> Option<(&Intent, &Outcome)> {
        let mut outcomes = self.outcomes().rev();
        let passed = outcomes.find(|outcome| outcome.result == super::Conclusion::Passed)?;
        Some((self.release(passed.sequence)?, passed))
    }

    /// The newest release, if it has not ended.
    pub(crate) fn open(&self) -> Option<&Intent> {
        let newest = self.intents().next_back()?;
        self.outcome(newest.sequence).is_none().then_some(newest)
    }

    /// The highest number that a release ever had, 0 where there was none.
    pub(crate) fn sequence(&self) -> u64 {
        let intents = self.intents().map(|intent| intent.sequence);
        let outcomes = self.outcomes().map(|outcome| outcome.sequence);
        intents.chain(outcomes).max().unwrap_or(0)
    }

    /// The highest number of a release that came to an end, 0 where none did.
    pub(crate) fn ended(&self) -> u64 {
        let outcomes = self.outcomes().map(|outcome| outcome.sequence);
        outcomes.max().unwrap_or(0)
    }

    /// By service: the release whose containers served when the last one ended.
    pub(crate) fn serving(&self) -> BTreeMap<String, u64> {
        let last = self.outcomes().next_back();
        last.map(|outcome| outcome.serving.clone())
            .unwrap_or_default()
    }

    /// By service: the numbers of the containers that the last release left out.
    pub(crate) fn left_out(&self) -> BTreeMap<String, Vec<u32>> {
        let last = self.outcomes().next_back();
        last.map(|outcome| outcome.left_out.clone())
            .unwrap_or_default()
    }

    /// The release of that number.
    pub(crate) fn release(&self, sequence: u64) -> Option<&Intent> {
        self.intents()
            .rev()
            .find(|intent| intent.sequence == sequence)
    }

    /// How the release of that number ended, if it did.
    pub(crate) fn outcome(&self, sequence: u64) -> Option<&Outcome> {
        self.outcomes()
            .rev()
            .find(|outcome| outcome.sequence == sequence)
    }

    /// All releases, the oldest first.
    pub(crate) fn intents(&self) -> impl DoubleEndedIterator<Item = &Intent> {
        self.entries.iter().filter_map(|entry| match &entry.record {
            Record::Intent(intent) => Some(intent),
            Record::Outcome(_) => None,
        })
    }

    fn outcomes(&self) -> impl DoubleEndedIterator<Item = &Outcome> {
        self.entries.iter().filter_map(|entry| match &entry.record {
            Record::Outcome(outcome) => Some(outcome),
            Record::Intent(_) => None,
        })
    }
}

/// The name of an entry's file.
pub(super) fn name(number: u64) -> String {
    format!("{number:06}.json")
}

/// The place that a file's name stands for, if it is an entry's.
fn place(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".json")?.parse().ok()?;
    (number > 0 && self::name(number) == name).then_some(number)
}

/// The bytes of the entry that comes after those that are known.
pub(super) fn write(
    number: u64,
    previous: Option<&str>,
    record: &Record,
) -> Result<Vec<u8>, serde_json::Error> {
    let body = Body {
        version: VERSION,
        number,
        previous: previous.map(str::to_owned),
        record,
    };
    let body = serde_json::to_string(&body)?;
    let [before, between, after] = FRAME;
    let own = hash(body.as_bytes());
    Ok(format!("{before}{own}{between}{body}{after}").into_bytes())
}

pub(super) fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Takes an entry out of its frame, if every byte of it is as it was written.
fn open(bytes: &[u8]) -> Option<&[u8]> {
    let [before, between, after] = FRAME.map(str::as_bytes);
    let rest = bytes.strip_prefix(before)?.strip_suffix(after)?;
    let (own, rest) = rest.split_at_checked(blake3::OUT_LEN * 2)?;
    let body = rest.strip_prefix(between)?;
    (hash(body).as_bytes() == own).then_some(body)
}

/// What stands in a place.
enum Found {
    Whole(Box<Body>),
    Newer(u32),
    Broken,
}

fn look(bytes: &[u8]) -> Found {
    let Some(body) = open(bytes) else {
        return Found::Broken;
    };
    match serde_json::from_slice::<Any>(body) {
        Ok(any) if any.version > VERSION => return Found::Newer(any.version),
        _ => {}
    }
    serde_json::from_slice(body).map_or(Found::Broken, |body| Found::Whole(Box::new(body)))
}

/// A place that was looked at.
#[derive(Default)]
struct Before {
    place: u64,
    /// Absent before the first.
    hash: Option<String>,
    broken: bool,
}

/// Reads a history from its files.
pub(super) fn read(files: &BTreeMap<String, Vec<u8>>) -> Known {
    let places: BTreeMap<u64, &[u8]> = files
        .iter()
        .filter_map(|(name, bytes)| Some((place(name)?, bytes.as_slice())))
        .collect();
    let mut known = Known::default();
    let mut before = Before::default();
    for (place, bytes) in places {
        let found = look(bytes);
        known.judge(&before, place, &found);
        before = Before {
            place,
            hash: Some(hash(bytes)),
            broken: matches!(found, Found::Broken),
        };
        if let Found::Whole(body) = found
            && body.number == place
        {
            let (number, record) = (place, body.record);
            known.entries.push(Entry { number, record });
        }
    }
    if before.broken {
        known.faults.push(Fault::BrokenLast(before.place));
    }
    known.last = before.hash.map(|hash| (before.place, hash));
    known
}

impl Known {
    /// Notes what is wrong with the place before, with this one, or between them.
    fn judge(&mut self, before: &Before, place: u64, found: &Found) {
        let gap = place > before.place + 1;
        let body = match found {
            Found::Whole(body) => Some(body),
            Found::Newer(_) | Found::Broken => None,
        };
        let linked = body.is_some_and(|body| body.previous == before.hash);
        if before.broken {
            self.faults.push(match linked && !gap {
                true => Fault::CutOff(before.place),
                false => Fault::Changed(before.place),
            });
        }
        if gap {
            self.faults
                .push(Fault::Missing(before.place + 1, place - 1));
        }
        match found {
            Found::Whole(body) if body.number != place => {
                let number = body.number;
                self.faults.push(Fault::Misplaced { place, number });
            }
            Found::Whole(_) if !linked && !gap && !before.broken => {
                self.faults.push(Fault::Unlinked(place));
            }
            Found::Newer(version) => {
                let (number, version) = (place, *version);
                self.faults.push(Fault::Newer { number, version });
            }
            Found::Whole(_) | Found::Broken => {}
        }
    }
}

#[cfg(test)]
mod tests;
