//! A look at a context: walked as it would be sent, files read only where they may have changed
//! since the last look. What it comes to is a digest, and a list for the next look.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use hoist_model::reason::Trouble;
use tempfile::NamedTempFile;

use super::entry::{Content, Entry};
use super::folder::{Cache, Shelf};
use super::hashing::Line;
pub(super) use super::hashing::Stop;
use super::list::{Reader, Seen, Stat, Writer};
use super::manifest;
use crate::backend::ContextFolder;
use crate::walk::{Found, Kind, Visit, visit};

/// The permissions and what stands above them: set-user-ID, set-group-ID and sticky.
const MODE: u32 = 0o7777;

/// What a look at a context came to.
#[derive(Debug)]
pub(super) struct Survey {
    /// Of all that the context holds.
    pub(super) digest: String,
    /// The name under which its list is kept.
    name: String,
    list: NamedTempFile,
    /// The list says something else than the one that is kept.
    news: bool,
}

impl Survey {
    /// Looks at a context.
    ///
    /// # Errors
    /// When something cannot be read or changes meanwhile, or `stop` says so.
    pub(super) fn take(
        cache: &Cache,
        folder: &ContextFolder,
        stop: &Stop,
    ) -> Result<Self, Trouble> {
        let name = name(folder);
        let known = Reader::open(&cache.place(Shelf::Files, &name));
        let before = known.as_ref().map(Reader::seal);
        let mut taking = Taking {
            known,
            line: Line::new(stop),
            manifest: manifest::Hasher::new(),
            list: cache
                .draft(Shelf::Files)
                .and_then(Writer::new)
                .map_err(unwritten)?,
        };
        visit::<Trouble>(&folder.path, &folder.ignore, |visit| {
            stop.check()?;
            match visit {
                Visit::Kept(found) => taking.add(&found),
                Visit::LeftOut(..) | Visit::Special(_) => Ok(()),
            }
        })?;
        taking.pass(true)?;
        let (list, seal) = taking.list.finish().map_err(unwritten)?;
        Ok(Self {
            digest: taking.manifest.finish(),
            name,
            list,
            news: before != Some(seal),
        })
    }

    /// Keeps what was seen: for the next look, and for whoever asks later what was different.
    pub(super) fn keep(self, cache: &Cache) -> io::Result<()> {
        if !cache.touch(Shelf::Contexts, &self.digest) {
            let list = Reader::of(self.list.reopen()?)?;
            manifest::write(cache, &self.digest, list)?;
        }
        if self.news {
            return cache.put(Shelf::Files, &self.name, self.list);
        }
        cache.touch(Shelf::Files, &self.name);
        Ok(())
    }
}

/// A look that is being taken.
struct Taking {
    known: Option<Reader>,
    line: Line,
    manifest: manifest::Hasher,
    list: Writer,
}

impl Taking {
    fn add(&mut self, found: &Found<'_>) -> Result<(), Trouble> {
        let path = found.path.as_os_str().as_bytes().to_vec();
        match found.kind {
            Kind::Special => return Ok(()),
            Kind::Folder => {
                let mode = found.metadata()?.mode() & MODE;
                let content = Content::Folder;
                self.line.ready(Seen::from(Entry {
                    path,
                    mode,
                    content,
                }));
            }
            Kind::Link => {
                let target = found.link()?.into_os_string().as_bytes().to_vec();
                let content = Content::Link(target);
                let mode = 0;
                self.line.ready(Seen::from(Entry {
                    path,
                    mode,
                    content,
                }));
            }
            Kind::File => {
                let stat = Stat::of(&found.metadata()?);
                let known = self.known.as_mut().and_then(|known| known.find(&path));
                match known.filter(|known| known.stat == Some(stat)) {
                    Some(known) => self.line.ready(known),
                    None => {
                        let mode = stat.mode() & MODE;
                        self.line.hash(path, mode, stat, found.at, found.shown)?;
                    }
                }
            }
        }
        self.pass(false)
    }

    /// Passes on what is whole, in order.
    fn pass(&mut self, all: bool) -> Result<(), Trouble> {
        while let Some(seen) = self.line.next(all)? {
            self.manifest.add(&seen.entry);
            self.list.add(&seen).map_err(unwritten)?;
        }
        Ok(())
    }
}

/// A name for a folder seen through its rules: other rules show other files.
fn name(folder: &ContextFolder) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(folder.path.as_os_str().as_bytes());
    for rule in folder.ignore.rules() {
        hasher.update(b"\0");
        hasher.update(rule.pattern.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(32).collect()
}

fn unwritten(error: io::Error) -> Trouble {
    Trouble::new("what was seen of a folder cannot be written down").cause(error.to_string())
}
