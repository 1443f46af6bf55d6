//! A look at a context. First it is walked as it would be sent, and what the file system says of
//! each thing is compared with the last look; then the files are read of which that was not enough.
//! What it comes to is a digest, and a list by which can be told later whether anything was touched.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use hoist_model::reason::Trouble;
use tempfile::NamedTempFile;

use super::entry::{Content, Entry};
use super::folder::{Cache, Shelf};
pub(super) use super::hashing::Stop;
use super::hashing::{Line, hash_now};
use super::list::{Reader, Seen, State, Writer};
use super::manifest;
use super::snapshot::Snapshot;
use crate::backend::ContextFolder;
use crate::survey::Signs;
use crate::walk::{Found, Kind, Stat, Visit, unreadable, visit};

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
    list: List,
    seal: [u8; 32],
    /// When it began.
    begun: Instant,
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
    list: Arc<File>,
    begun: Instant,
    unkept: Option<Unkept>,
}

/// What a walk saw, in a file that is yet to be kept.
#[derive(Debug)]
struct List {
    draft: NamedTempFile,
    /// The same, for whoever reads it, also once it is kept or gone.
    file: Arc<File>,
}

/// What a look leaves for later ones, once it is kept.
#[derive(Debug)]
pub(super) struct Unkept {
    digest: String,
    name: String,
    list: List,
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
        let (name, begun) = (name(folder), Instant::now());
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
                if seen.state == State::Unread && few > 0 && seen.stat.size <= SMALL {
                    few -= 1;
                    hash_now(found.at, found.shown, &mut seen, stop)?;
                }
                unread |= seen.state == State::Unread;
                let bytes = match found.kind {
                    Kind::File => seen.stat.size,
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
            begun,
            before,
            digest: (!unread).then_some(digest),
            signs,
        })
    }

    /// What it saw.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot::new(&self.list.file, self.begun)
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
        Ok(Survey {
            root: self.root,
            list: Arc::clone(&self.list.file),
            begun: self.begun,
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
        let list = Reader::of(&self.list.file).map_err(unwritten)?;
        let mut sheet = Sheet::new(cache, list.root())?;
        let mut line = Line::new(stop);
        for seen in list {
            stop.check()?;
            let seen = seen.map_err(unwritten)?;
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
            && let Ok(list) = Reader::of(&self.list.file)
        {
            let _ = manifest::write(cache, &self.digest, list);
        }
        if self.is_same {
            cache.touch(Shelf::Files, &self.name);
        } else {
            let _ = cache.put(Shelf::Files, &self.name, self.list.draft);
        }
    }
}

impl Survey {
    /// What the walk saw.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot::new(&self.list, self.begun)
    }

    /// All that the walk saw.
    pub(super) fn list(&self) -> io::Result<Reader> {
        Reader::of(&self.list)
    }

    /// What is to be kept, which nobody has to wait for.
    pub(super) fn unkept(&mut self) -> Option<Unkept> {
        self.unkept.take()
    }

    /// Whether nothing was touched since the walk. Also false where something came and went.
    pub(super) fn holds(&self) -> bool {
        std::thread::scope(|scope| {
            let lookers = 0..LOOKERS;
            let lookers = lookers.map(|first| scope.spawn(move || self.untouched(first)));
            let lookers: Vec<_> = lookers.collect();
            let mut all = lookers.into_iter();
            all.all(|looker| looker.join().unwrap_or_default())
        })
    }

    /// Looks at the folder, and at each of so many of what is in it, from the `first` on.
    fn untouched(&self, first: usize) -> bool {
        let same = |path: &Path, stat: &Stat| {
            fs::symlink_metadata(path).is_ok_and(|data| Stat::of(&data) == *stat)
        };
        let Ok(list) = Reader::of(&self.list) else {
            return false;
        };
        let mut path = self.root.clone();
        same(&path, &list.root())
            && list.skip(first).step_by(LOOKERS).all(|seen| {
                let Ok(seen) = seen else { return false };
                path.clear();
                path.push(&self.root);
                path.push(std::ffi::OsStr::from_bytes(&seen.entry.path));
                same(&path, &seen.stat)
            })
    }
}

/// What is seen of something without reading it.
fn look(found: &Found<'_>, known: Option<&mut Reader>) -> Result<Option<Seen>, Trouble> {
    let stat = Stat::of(&found.metadata()?);
    let path = found.path.as_os_str().as_bytes().to_vec();
    let (mode, content, state) = match found.kind {
        Kind::Special => return Ok(None),
        Kind::Folder => (stat.mode & MODE, Content::Folder, State::Settled),
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
            (stat.mode & MODE, Content::File([0; 32]), State::Unread)
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

    fn finish(self) -> Result<(List, [u8; 32], String), Trouble> {
        let (draft, seal) = self.list.finish().map_err(unwritten)?;
        let file = Arc::new(draft.reopen().map_err(unwritten)?);
        Ok((List { draft, file }, seal, self.manifest.finish()))
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
