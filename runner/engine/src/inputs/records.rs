//! What came of which inputs, on which engine and in which run, such as an image: one small file for
//! each, written whole, so that runs at the same time need not wait for each other. The clones of a
//! project share them.

use std::fmt;
use std::io::{self, Write};

use hoist_model::ids::{RunId, StepId};
use hoist_model::image::ImageIdentity;
use hoist_model::inputs::EarlierRun;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::folder::{Cache, Shelf};

const FORMAT: u32 = 3;

/// The digest of a step's inputs, in two halves: files are read for the second only, and need not
/// be read at all before a step begins whose first half is not known.
pub(super) struct Digest {
    /// Of all parts but the folders.
    pub(super) rest: String,
    /// Of the folders.
    pub(super) folders: String,
}

impl Digest {
    /// Under which is kept what is the same whatever the folders hold.
    pub(super) fn whatever_folders(rest: &str) -> String {
        format!("{}-whatever", half(rest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", half(&self.rest), half(&self.folders))
    }
}

/// What a step comes to that can stand for a later one.
pub(crate) trait Outcome: Serialize + DeserializeOwned {
    /// Where records of it are kept.
    const SHELF: Shelf;
}

impl Outcome for ImageIdentity {
    const SHELF: Shelf = Shelf::Builds;
}

/// A step that was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record<T> {
    format: u32,
    /// Of its inputs.
    digest: String,
    /// The engine's ID and the project's name.
    place: String,
    /// What it came to.
    pub(crate) outcome: T,
    /// The run that did it.
    pub(crate) run: RunId,
    /// The step that did it.
    step: StepId,
    /// When.
    at: Timestamp,
}

impl<T: Outcome> Record<T> {
    /// A step done now.
    pub(crate) fn new(digest: &str, place: &str, outcome: T, run: RunId, step: StepId) -> Self {
        Self {
            format: FORMAT,
            digest: digest.to_owned(),
            place: place.to_owned(),
            outcome,
            run,
            step,
            at: Timestamp::now(),
        }
    }

    /// What the project came to with these inputs on that engine, if that is known.
    pub(crate) fn find(cache: &Cache, digest: &str, place: &str) -> Option<Self> {
        let name = name(digest, place);
        let text = std::fs::read(cache.place(T::SHELF, &name)).ok()?;
        let record: Self = serde_json::from_slice(&text).ok()?;
        let fits = record.format == FORMAT && record.digest == digest && record.place == place;
        cache.touch(T::SHELF, &name);
        fits.then_some(record)
    }

    /// Keeps it, in place of an older one.
    pub(crate) fn keep(&self, cache: &Cache) -> io::Result<()> {
        let mut draft = cache.draft(T::SHELF)?;
        draft.write_all(&serde_json::to_vec(self)?)?;
        cache.put(T::SHELF, &name(&self.digest, &self.place), draft)
    }

    /// Where it comes from.
    pub(crate) fn earlier(&self) -> EarlierRun {
        EarlierRun {
            run: self.run,
            at: self.at,
        }
    }
}

/// Whether anything is known whose inputs are these but for its folders. What cannot be read
/// may well be known.
pub(super) fn any(cache: &Cache, shelf: Shelf, rest: &str, place: &str) -> bool {
    let (begin, end) = (format!("{}-", half(rest)), of_place(place));
    let Ok(mut records) = std::fs::read_dir(cache.place(shelf, "")) else {
        return true;
    };
    records.any(|record| {
        let name = record.map(|record| record.file_name());
        name.is_ok_and(|name| {
            let name = name.to_string_lossy();
            name.starts_with(&begin) && name.ends_with(&end)
        })
    })
}

fn name(digest: &str, place: &str) -> String {
    format!("{digest}-{}", of_place(place))
}

fn of_place(place: &str) -> String {
    let place = blake3::hash(place.as_bytes()).to_hex();
    format!("{}.json", place.chars().take(16).collect::<String>())
}

/// 160 bits of a digest.
fn half(digest: &str) -> &str {
    digest.get(..40).unwrap_or(digest)
}
