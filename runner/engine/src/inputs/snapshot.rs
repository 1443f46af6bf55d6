//! What a walk of a folder saw, gone through again by whoever sends it, so that a build walks its
//! context once. It refuses to stand in for a walk once it is old: who edits a file while the
//! engine fetches a base image wants it built, and not to hear that it changed.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hoist_model::reason::Trouble;

use super::list::Reader;
use crate::backend::ContextFolder;
use crate::walk::{Found, Kind, Stat, Visit, visit_some};

/// How long what was seen is as good as a look.
const FRESH: Duration = Duration::from_secs(1);

/// What a walk saw. It may be gone through by several at once.
#[derive(Clone, Debug)]
pub struct Snapshot {
    list: Arc<File>,
    /// When the walk began.
    begun: Instant,
}

impl Snapshot {
    pub(super) fn new(list: &Arc<File>, begun: Instant) -> Self {
        Self {
            list: Arc::clone(list),
            begun,
        }
    }

    fn visit<E: From<Trouble>>(
        list: Reader,
        root: &Path,
        mut enters: impl FnMut(&Found<'_>) -> bool,
        mut each: impl FnMut(&Found<'_>, Option<Stat>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = PathBuf::new();
        // The folder that was not entered last.
        let mut closed: Option<PathBuf> = None;
        for seen in list {
            let seen = seen.map_err(|error| unreadable(&error))?;
            let path = Path::new(OsStr::from_bytes(&seen.entry.path));
            if closed.as_ref().is_some_and(|it| path.starts_with(it)) {
                continue;
            }
            at.clear();
            at.push(root);
            at.push(path);
            let kind = seen.stat.kind();
            let found = Found {
                path,
                shown: &path.to_string_lossy(),
                at: &at,
                kind,
            };
            if kind == Kind::Folder && !enters(&found) {
                closed = Some(path.to_owned());
            }
            each(&found, Some(seen.stat))?;
        }
        Ok(())
    }
}

impl ContextFolder {
    /// Comes to all that is part of the folder's content, in the order of a walk, but only into
    /// folders that `enters` says yes to; they are told all the same. By what was just seen of it,
    /// if there is that: then what was seen comes along, and a file may have changed meanwhile.
    ///
    /// # Errors
    /// What `each` gives, and a [`Trouble`] that names whatever could not be read.
    pub fn visit<E: From<Trouble>>(
        &self,
        enters: impl FnMut(&Found<'_>) -> bool,
        mut each: impl FnMut(&Found<'_>, Option<Stat>) -> Result<(), E>,
    ) -> Result<(), E> {
        let seen = self.seen.as_ref();
        let seen = seen.filter(|seen| seen.begun.elapsed() < FRESH);
        match seen.and_then(|seen| Reader::of(&seen.list).ok()) {
            Some(list) => Snapshot::visit(list, &self.path, enters, each),
            None => visit_some(&self.path, &self.ignore, enters, |visit| match visit {
                Visit::Kept(found) => each(&found, None),
                Visit::LeftOut(..) | Visit::Special(_) => Ok(()),
            }),
        }
    }
}

fn unreadable(error: &io::Error) -> Trouble {
    Trouble::new("what was seen of a folder cannot be read again").cause(error.to_string())
}

#[cfg(test)]
mod tests;
