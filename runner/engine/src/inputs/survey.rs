//! A look at a context. First it is walked as it would be sent, and what the file system says of
//! each thing is compared with the last look; then the files are read of which that was not enough.
//! What it comes to is a digest, and a list by which can be told later whether anything was touched.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use hoist_model::reason::Trouble;
use tempfile::NamedTempFile;

use super::entry::{Content, Entry};
use super::folder::{Cache, Shelf};
pub(super) use super::hashing::Stop;
use super::hashing::{Line, hash_now};
use super::list::{Reader, Seen, Stat, State, Writer};
use super::manifest;
use crate::backend::ContextFolder;
use crate::survey::Signs;
use crate::walk::{Found, Kind, Visit, unreadable, visit};

/// The permissions and what stands above them: set-user-ID, set-group-ID and sticky.
const MODE: u32 = 0o7777;
/// Threads that look whether anything was touched.
const LOOKERS: usize = 2;

/// Changed files that the walk reads itself, and the bytes of the largest of them: what is known of
/// all others need not be gone through again for those few.
const FEW: usize = 64;
const SMALL: u64 = 64 << 10;

/// A context that was walked.
#[derive(Debug)]
pub(super) struct Walked {
    root: PathBuf,
    /// The name under which its list is kept.
    name: String,
    list: NamedTempFile,
    seal: [u8; 32],
    /// What identifies the list that is kept.
    before: Option<[u8; 32]>,
    /// The digest, where no file has to be read for it.
    digest: Option<String>,
    /// What of it people should know.
    pub(super) signs: Signs,
}

/// What a look at a context came to.
#[derive(Debug)]
pub(super) struct Survey {
    /// Of all that the context holds.
    pub(super) digest: String,
    root: PathBuf,
    /// The list, opened once for each thread that goes through it.
    lists: Vec<File>,
    unkept: Option<Unkept>,
}

/// What a look leaves for later ones, once it is kept.
#[derive(Debug)]
pub(super) struct Unkept {
    digest: String,
    name: String,
    list: NamedTempFile,
    /// The list that is kept already is the same.
    is_same: bool,
}

impl Walked {
    /// Walks a context.
    ///
    /// # Errors
    /// When something cannot be looked at, or `stop` says so.
    pub(super) fn walk(
        cache: &Cache,
        folder: &ContextFolder,
        stop: &Stop,
    ) -> Result<Self, Trouble> {
        let name = name(folder);
        let mut known = Reader::open(&cache.place(Shelf::Files, &name));
        let before = known.as_ref().map(Reader::seal);
        let root = fs::symlink_metadata(&folder.path);
        let root = root.map_err(|error| unreadable(&folder.path.to_string_lossy(), &error))?;
        let mut sheet = Sheet::new(cache, Stat::of(&root))?;
        let (mut unread, mut signs) = (false, Signs::default());
        let mut few = known.as_ref().map_or(0, |_| FEW);
        visit::<Trouble>(&folder.path, &folder.ignore, |visit| {
            stop.check()?;
            let found = match visit {
                Visit::Kept(found) => found,
                Visit::LeftOut(..) | Visit::Special(_) => return Ok(()),
            };
            if let Some(mut seen) = look(&found, known.as_mut())? {
                if seen.state == State::Unread && few > 0 && seen.stat.size() <= SMALL {
                    few -= 1;
                    hash_now(found.at, found.shown, &mut seen, stop)?;
                }
                unread |= seen.state == State::Unread;
                let bytes = match found.kind {
                    Kind::File => seen.stat.size(),
                    Kind::Folder | Kind::Link | Kind::Special => 0,
                };
                signs.see(found.shown, found.kind, bytes);
                sheet.add(&seen)?;
            }
            Ok(())
        })?;
        let (list, seal, digest) = sheet.finish()?;
        Ok(Self {
            root: folder.path.clone(),
            name,
            list,
            seal,
            before,
            digest: (!unread).then_some(digest),
            signs,
        })
    }

    /// Files have to be read.
    pub(super) fn is_unread(&self) -> bool {
        self.digest.is_none()
    }

    /// Reads what has to be read.
    ///
    /// # Errors
    /// When a file cannot be read or is no longer what the walk saw, or `stop` says so.
    pub(super) fn read(mut self, cache: &Cache, stop: &Stop) -> Result<Survey, Trouble> {
        let digest = match self.digest.take() {
            Some(digest) => digest,
            None => self.hash(cache, stop)?,
        };
        let lists = (0..LOOKERS).map(|_| self.list.reopen());
        Ok(Survey {
            root: self.root,
            lists: lists.collect::<io::Result<_>>().map_err(unwritten)?,
            unkept: Some(Unkept {
                digest: digest.clone(),
                name: self.name,
                is_same: self.before == Some(self.seal),
                list: self.list,
            }),
            digest,
        })
    }

    fn hash(&mut self, cache: &Cache, stop: &Stop) -> Result<String, Trouble> {
        let list = self.list.reopen().and_then(Reader::of).map_err(unwritten)?;
        let mut sheet = Sheet::new(cache, list.root())?;
        let mut line = Line::new(stop);
        for seen in list {
            stop.check()?;
            match seen.state {
                State::Unread => line.hash(&self.root, seen)?,
                State::Settled | State::Racy => line.ready(seen),
            }
            while let Some(seen) = line.next(false)? {
                sheet.add(&seen)?;
            }
        }
        while let Some(seen) = line.next(true)? {
            sheet.add(&seen)?;
        }
        let (list, seal, digest) = sheet.finish()?;
        (self.list, self.seal) = (list, seal);
        Ok(digest)
    }
}

impl Unkept {
    /// Keeps it. Without it the next look takes longer and explains less, and nothing else.
    pub(super) fn keep(self, cache: &Cache) {
        if !cache.touch(Shelf::Contexts, &self.digest)
            && let Ok(list) = self.list.reopen().and_then(Reader::of)
        {
            let _ = manifest::write(cache, &self.digest, list);
        }
        if self.is_same {
            cache.touch(Shelf::Files, &self.name);
        } else {
            let _ = cache.put(Shelf::Files, &self.name, self.list);
        }
    }
}

impl Survey {
    /// What is to be kept, which nobody has to wait for.
    pub(super) fn unkept(&mut self) -> Option<Unkept> {
        self.unkept.take()
    }

    /// Whether nothing was touched since the walk. Also false where something came and went.
    pub(super) fn holds(&self) -> bool {
        let root = &self.root;
        std::thread::scope(|scope| {
            let lookers = self.lists.iter().enumerate();
            let lookers =
                lookers.map(|(first, list)| scope.spawn(move || untouched(root, list, first)));
            let lookers: Vec<_> = lookers.collect();
            let mut all = lookers.into_iter();
            all.all(|looker| looker.join().unwrap_or_default())
        })
    }
}

/// Looks at the folder, and at each of so many of what is in it, from the `first` on.
fn untouched(root: &Path, list: &File, first: usize) -> bool {
    let same = |path: &Path, stat: &Stat| {
        fs::symlink_metadata(path).is_ok_and(|data| Stat::of(&data) == *stat)
    };
    let Ok(list) = list.try_clone().and_then(Reader::of) else {
        return false;
    };
    let mut path = root.to_owned();
    same(&path, &list.root())
        && list.skip(first).step_by(LOOKERS).all(|seen| {
            path.clear();
            path.push(root);
            path.push(std::ffi::OsStr::from_bytes(&seen.entry.path));
            same(&path, &seen.stat)
        })
}

/// What is seen of something without reading it.
fn look(found: &Found<'_>, known: Option<&mut Reader>) -> Result<Option<Seen>, Trouble> {
    let stat = Stat::of(&found.metadata()?);
    let path = found.path.as_os_str().as_bytes().to_vec();
    let (mode, content, state) = match found.kind {
        Kind::Special => return Ok(None),
        Kind::Folder => (stat.mode() & MODE, Content::Folder, State::Settled),
        Kind::Link => {
            let target = found.link()?.into_os_string().as_bytes().to_vec();
            (0, Content::Link(target), State::Settled)
        }
        Kind::File => {
            let known = known.and_then(|known| known.find(&path));
            let fits = |known: &Seen| known.state == State::Settled && known.stat == stat;
            if let Some(known) = known.filter(fits) {
                return Ok(Some(known));
            }
            (stat.mode() & MODE, Content::File([0; 32]), State::Unread)
        }
    };
    let entry = Entry {
        path,
        mode,
        content,
    };
    Ok(Some(Seen { entry, stat, state }))
}

/// A list that is being written, and the digest of what is in it.
struct Sheet {
    list: Writer,
    manifest: manifest::Hasher,
}

impl Sheet {
    fn new(cache: &Cache, root: Stat) -> Result<Self, Trouble> {
        let draft = cache.draft(Shelf::Files).map_err(unwritten)?;
        Ok(Self {
            list: Writer::new(draft, root),
            manifest: manifest::Hasher::new(),
        })
    }

    fn add(&mut self, seen: &Seen) -> Result<(), Trouble> {
        self.manifest.add(&seen.entry);
        self.list.add(seen).map_err(unwritten)
    }

    fn finish(self) -> Result<(NamedTempFile, [u8; 32], String), Trouble> {
        let (list, seal) = self.list.finish().map_err(unwritten)?;
        Ok((list, seal, self.manifest.finish()))
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
