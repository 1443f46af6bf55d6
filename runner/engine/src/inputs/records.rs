//! Which image was built of which inputs, on which engine and by which run: one small file for
//! each, written whole, so that runs at the same time need not wait for each other. The clones of a
//! project share them.

use std::fmt;
use std::io::{self, Write};

use hoist_model::ids::{RunId, StepId};
use hoist_model::image::ImageIdentity;
use hoist_model::inputs::EarlierBuild;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::folder::{Cache, Shelf};

const FORMAT: u32 = 2;

/// The digest of a build's inputs, in two halves: files are read for the second only, and need not
/// be read at all before a build begins whose first half is not known.
pub(super) struct Digest {
    /// Of all parts but the contexts.
    pub(super) rest: String,
    /// Of the contexts.
    pub(super) contexts: String,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", half(&self.rest), half(&self.contexts))
    }
}

/// A build that was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    format: u32,
    /// Of its inputs.
    digest: String,
    /// The engine's ID and the project's name.
    place: String,
    /// What it made.
    pub(crate) image: ImageIdentity,
    /// The run that did it.
    pub(crate) run: RunId,
    /// The step that did it.
    step: StepId,
    /// When.
    at: Timestamp,
}

impl Record {
    /// A build done now.
    pub(crate) fn new(
        digest: &str,
        place: &str,
        image: ImageIdentity,
        run: RunId,
        step: StepId,
    ) -> Self {
        Self {
            format: FORMAT,
            digest: digest.to_owned(),
            place: place.to_owned(),
            image,
            run,
            step,
            at: Timestamp::now(),
        }
    }

    /// The project's build of these inputs on that engine, if one is known.
    pub(crate) fn find(cache: &Cache, digest: &str, place: &str) -> Option<Self> {
        let name = name(digest, place);
        let text = std::fs::read(cache.place(Shelf::Builds, &name)).ok()?;
        let record: Self = serde_json::from_slice(&text).ok()?;
        let fits = record.format == FORMAT && record.digest == digest && record.place == place;
        cache.touch(Shelf::Builds, &name);
        fits.then_some(record)
    }

    /// Whether any build is known whose inputs are these but for its contexts. What cannot be read
    /// may well be known.
    pub(super) fn any(cache: &Cache, rest: &str, place: &str) -> bool {
        let (begin, end) = (format!("{}-", half(rest)), of_place(place));
        let Ok(mut records) = std::fs::read_dir(cache.place(Shelf::Builds, "")) else {
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

    /// Keeps it, in place of an older one.
    pub(crate) fn keep(&self, cache: &Cache) -> io::Result<()> {
        let mut draft = cache.draft(Shelf::Builds)?;
        draft.write_all(&serde_json::to_vec(self)?)?;
        cache.put(Shelf::Builds, &name(&self.digest, &self.place), draft)
    }

    /// Where the image comes from.
    pub(crate) fn earlier(&self) -> EarlierBuild {
        EarlierBuild {
            run: self.run,
            at: self.at,
        }
    }
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
