//! Walks a folder and writes its tar, on a blocking thread. It refuses to go on when what it reads
//! is not what it saw.

use std::collections::BTreeSet;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use hoist_model::ignore::IgnoreFile;
use hoist_model::reason::Trouble;
use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};
use walkdir::{DirEntry, WalkDir};

use super::pieces::{Halt, Pieces};
use super::{ExtraFile, Owner, TarOptions};

/// Writes the whole tar but its end.
pub(super) fn write(
    root: &Path,
    ignore: &IgnoreFile,
    options: &TarOptions,
    tar: &mut Builder<Pieces>,
) -> Result<(), Halt> {
    let waiting = Vec::new();
    Walk {
        root,
        options,
        tar,
        waiting,
    }
    .all(ignore)
}

struct Walk<'a> {
    root: &'a Path,
    options: &'a TarOptions,
    tar: &'a mut Builder<Pieces>,
    /// Folders that are left out themselves but may hold what is not, outermost first.
    waiting: Vec<PathBuf>,
}

impl Walk<'_> {
    fn all(&mut self, ignore: &IgnoreFile) -> Result<(), Halt> {
        let prefix = self.options.prefix.trim_end_matches('/');
        if !prefix.is_empty() {
            let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.map_or(0, |since| since.as_secs());
            let mut header = self.header(EntryType::Directory, 0o755, 0, now);
            self.append(&mut header, Path::new(prefix), io::empty())?;
        }
        let replaced: BTreeSet<&str> = self
            .options
            .extra
            .iter()
            .map(|extra| extra.name.as_str())
            .collect();
        let mut matcher = ignore.matcher();
        let mut entries = WalkDir::new(self.root)
            .min_depth(1)
            .follow_links(false)
            .sort_by_file_name()
            .into_iter();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|error| self.unwalkable(&error))?;
            let path = entry
                .path()
                .strip_prefix(self.root)
                .unwrap_or(entry.path())
                .to_owned();
            let shown = slashed(&path);
            let folder = entry.file_type().is_dir();
            if matcher.is_ignored(&shown) {
                if folder && matcher.may_descend(&shown) {
                    self.waiting.retain(|above| path.starts_with(above));
                    self.waiting.push(path);
                } else if folder {
                    entries.skip_current_dir();
                }
            } else if !replaced.contains(shown.as_str()) {
                self.folders_above(&path)?;
                self.entry(&entry, &path, &shown)?;
            }
        }
        for extra in &self.options.extra {
            self.extra(extra)?;
        }
        Ok(())
    }

    /// Sends the folders above a path that were left out so far.
    fn folders_above(&mut self, path: &Path) -> Result<(), Halt> {
        for folder in std::mem::take(&mut self.waiting) {
            if path.starts_with(&folder) {
                let metadata = std::fs::symlink_metadata(self.root.join(&folder))
                    .map_err(|error| unreadable(&slashed(&folder), &error))?;
                self.folder(&folder, &metadata)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, path: &Path, shown: &str) -> Result<(), Halt> {
        let kind = entry.file_type();
        if kind.is_file() {
            return self.file(entry.path(), path, shown);
        }
        if is_special(kind) {
            return Ok(());
        }
        let metadata = entry.metadata().map_err(|error| self.unwalkable(&error))?;
        if kind.is_dir() {
            self.folder(path, &metadata)
        } else {
            self.link(path, shown, &metadata)
        }
    }

    fn folder(&mut self, path: &Path, metadata: &Metadata) -> Result<(), Halt> {
        let mut header = self.header(EntryType::Directory, metadata.mode(), 0, mtime(metadata));
        let name = Path::new(&self.options.prefix).join(path);
        self.append(&mut header, &name, io::empty())
    }

    fn link(&mut self, path: &Path, shown: &str, metadata: &Metadata) -> Result<(), Halt> {
        let target =
            std::fs::read_link(self.root.join(path)).map_err(|error| unreadable(shown, &error))?;
        if leads_out(path, &target) {
            self.options.tally.leads_out(shown);
        }
        let mut header = self.header(EntryType::Symlink, 0o777, 0, mtime(metadata));
        let name = Path::new(&self.options.prefix).join(path);
        let result = self.tar.append_link(&mut header, &name, &target);
        result.map_err(|error| self.unwritten(shown, &error))
    }

    fn file(&mut self, at: &Path, path: &Path, shown: &str) -> Result<(), Halt> {
        // A pipe that took the file's place would block an open that waits, a link lead elsewhere.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.cast_signed())
            .open(at);
        let mut file = opened.map_err(|error| unreadable(shown, &error))?;
        let metadata = file.metadata().map_err(|error| unreadable(shown, &error))?;
        if !metadata.is_file() {
            return Err(changed(shown, "it is no plain file any more").into());
        }
        let size = metadata.len();
        let before = self.options.tally.bytes();
        if before.saturating_add(size) > self.options.max_bytes {
            return Err(self.too_big(shown, size).into());
        }
        let mut header = self.header(EntryType::Regular, metadata.mode(), size, mtime(&metadata));
        let name = Path::new(&self.options.prefix).join(path);
        self.append(
            &mut header,
            &name,
            Exactly {
                file: &mut file,
                left: size,
            },
        )?;
        if matches!(file.read(&mut [0]), Ok(1)) {
            return Err(changed(shown, "it grew while it was read").into());
        }
        self.options.tally.count(size);
        Ok(())
    }

    fn extra(&mut self, extra: &ExtraFile) -> Result<(), Halt> {
        let size = u64::try_from(extra.content.len()).unwrap_or(u64::MAX);
        let mut header = self.header(EntryType::Regular, extra.mode, size, 0);
        let name = Path::new(&self.options.prefix).join(&extra.name);
        self.append(&mut header, &name, extra.content.as_ref())?;
        self.options.tally.count(size);
        Ok(())
    }

    /// A header without its name.
    fn header(&self, kind: EntryType, mode: u32, size: u64, mtime: u64) -> Header {
        let Owner { uid, gid, .. } = self.options.owner;
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(self.options.owner.mode(mode & 0o7777));
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_size(size);
        header.set_mtime(mtime);
        header
    }

    fn append(&mut self, header: &mut Header, name: &Path, data: impl Read) -> Result<(), Halt> {
        let result = self.tar.append_data(header, name, data);
        result.map_err(|error| self.unwritten(&slashed(name), &error))
    }

    /// What an error while an entry was written comes to.
    fn unwritten(&self, shown: &str, error: &io::Error) -> Halt {
        if self.tar.get_ref().is_unwanted() {
            return Halt::Unwanted;
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => changed(shown, "it shrank while it was read").into(),
            _ => unreadable(shown, error).into(),
        }
    }

    /// What an error of the walk itself comes to.
    fn unwalkable(&self, error: &walkdir::Error) -> Trouble {
        let path = error.path().unwrap_or(self.root);
        let shown = match path.strip_prefix(self.root) {
            Ok(inside) if inside.as_os_str().is_empty() => path.display().to_string(),
            Ok(inside) => slashed(inside),
            Err(_) => path.display().to_string(),
        };
        match error.io_error() {
            Some(error) => unreadable(&shown, error),
            None => Trouble::new(format!("`{shown}` cannot be read")).cause(error.to_string()),
        }
    }

    fn too_big(&self, shown: &str, size: u64) -> Trouble {
        let gib = |bytes: u64| bytes.div_ceil(1 << 30);
        Trouble::new(format!(
            "the folder `{}` is too big to be sent",
            self.root.display()
        ))
        .cause(format!(
            "with `{shown}` ({} GiB) it comes to more than {} GiB",
            gib(size),
            gib(self.options.max_bytes)
        ))
        .hint("leave out what is not needed with .dockerignore")
    }
}

/// A file that must give as many bytes as it said.
struct Exactly<'a> {
    file: &'a mut File,
    left: u64,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self.file.read(buffer.get_mut(..most).unwrap_or_default())?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self
            .left
            .saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

/// A path with `/` between its parts; what is not UTF-8 is replaced.
fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// Sockets, pipes and devices.
fn is_special(kind: FileType) -> bool {
    kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device()
}

/// A link at `path` leads out by `..`. An absolute one may well be meant for the container.
fn leads_out(path: &Path, target: &Path) -> bool {
    let mut depth = path.iter().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::RootDir | Component::Prefix(_) => return false,
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
        }
    }
    false
}

fn mtime(metadata: &Metadata) -> u64 {
    let since = metadata
        .modified()
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}

fn unreadable(shown: &str, error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::NotFound => changed(shown, "it vanished while the folder was read"),
        _ => Trouble::new(format!("`{shown}` cannot be read"))
            .cause(error.to_string())
            .hint("make it readable, or leave it out with .dockerignore"),
    }
}

fn changed(shown: &str, how: &str) -> Trouble {
    Trouble::new(format!("`{shown}` changed"))
        .cause(how)
        .hint("stop what writes to it, or leave it out with .dockerignore, and run again")
}
