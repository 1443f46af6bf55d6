//! A folder as a tar stream: what its ignore file leaves, in an order that does not change, in
//! bounded memory. It follows no link, opens nothing but plain files and folders, and refuses to
//! send anything that is not what it was when the walk came to it.

pub(crate) mod entries;
mod pieces;
mod rules;
mod stat;
mod visit;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hoist_model::ignore::IgnoreFile;
use hoist_model::reason::Trouble;

use crate::backend::ByteStream;

pub use rules::{IgnoreSource, rules};
pub use stat::Stat;
pub use visit::{
    Found, Kind, Visit, buildable_link, changed, leads_out, unreadable, visit, visit_some,
};

/// Bytes of plain files beyond which a folder is not sent unless told otherwise: 32 GiB.
pub const MAX_BYTES: u64 = 32 << 30;

/// How a folder is sent.
#[derive(Clone, Debug)]
pub struct TarOptions {
    /// Stands before every name, such as `workspace/`, and comes first as a folder of its own, so
    /// that it has the owner too. Empty for the folder's content alone.
    pub prefix: String,
    /// Whose everything is.
    pub owner: Owner,
    /// Files besides. One that has the name of a file in the folder replaces it.
    pub extra: Vec<ExtraFile>,
    /// Bytes of plain files that may be sent.
    pub max_bytes: u64,
    /// Refuse links that no build may have: see [`buildable_link`].
    pub buildable: bool,
    /// Where to look how far it is and what went wrong. A copy may be kept.
    pub tally: Tally,
}

impl Default for TarOptions {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            owner: Owner::ROOT,
            extra: Vec::new(),
            max_bytes: MAX_BYTES,
            buildable: false,
            tally: Tally::default(),
        }
    }
}

/// Whose the entries of a tar are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Everyone may read, write and, where anyone may, execute: for a user that is not known.
    pub for_all: bool,
}

impl Owner {
    /// The superuser, modes as they are.
    pub const ROOT: Self = Self {
        uid: 0,
        gid: 0,
        for_all: false,
    };

    /// Permissions of what is this owner's.
    pub(crate) fn mode(self, mode: u32) -> u32 {
        let execute = if mode & 0o111 == 0 { 0 } else { 0o111 };
        if self.for_all {
            mode | 0o666 | execute
        } else {
            mode
        }
    }
}

/// A file of a tar that does not come from its folder.
#[derive(Clone, Debug)]
pub struct ExtraFile {
    /// Its name, with `/` between its parts.
    pub name: String,
    /// Its content.
    pub content: Bytes,
    /// Its permissions.
    pub mode: u32,
}

/// What a walk has come to so far.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    files: AtomicU64,
    bytes: AtomicU64,
    failure: Mutex<Option<Trouble>>,
    outside: Mutex<Vec<String>>,
}

impl Tally {
    /// Plain files sent.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.0.files.load(Ordering::Relaxed)
    }

    /// Bytes in them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Why the stream ended with an error. An engine that was being sent to may say only that the
    /// upload broke; this says why.
    #[must_use]
    pub fn failure(&self) -> Option<Trouble> {
        self.0
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Links by `..` that lead out of the folder, the first few. They were sent as links; what they
    /// lead to was not.
    #[must_use]
    pub fn outside(&self) -> Vec<String> {
        self.0
            .outside
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn count(&self, bytes: u64) {
        self.0.files.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn leads_out(&self, link: &str) {
        let mut outside = self
            .0
            .outside
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if outside.len() < 5 {
            outside.push(link.to_owned());
        }
    }

    fn fail(&self, trouble: Trouble) {
        *self
            .0
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }
}

/// The folder as a tar. Entries are ordered by the parts of their names, folders before what is in
/// them. Links stay links; sockets, pipes and devices are left out. The walk begins at once, on a
/// thread of its own, and ends when the stream is dropped; a file that cannot be read or changes
/// while it is read ends it with an error that names the file.
///
/// Must be called within a tokio runtime.
pub fn tar_stream(root: &Path, ignore: Arc<IgnoreFile>, options: TarOptions) -> ByteStream {
    let root = root.to_owned();
    let tally = options.tally.clone();
    pieces::produce(
        move |tar| writer::write(&root, &ignore, &options, tar),
        move |trouble| tally.fail(trouble),
    )
}

#[cfg(test)]
mod tests;
