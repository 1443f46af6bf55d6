//! Walks a folder and writes its tar, on a blocking thread. It refuses to go on when what it reads
//! is not what it saw.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

use hoist_model::ignore::IgnoreFile;
use hoist_model::reason::Trouble;
use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};

use super::pieces::{Halt, Pieces};
use super::visit::{
    Found, Kind, Visit, buildable_link, changed, leads_out, slashed, unreadable, visit,
};
use super::{ExtraFile, Owner, TarOptions};

/// Writes the whole tar but its end.
pub(super) fn write(
    root: &Path,
    ignore: &IgnoreFile,
    options: &TarOptions,
    tar: &mut Builder<Pieces>,
) -> Result<(), Halt> {
    Walk { root, options, tar }.all(ignore)
}

struct Walk<'a> {
    root: &'a Path,
    options: &'a TarOptions,
    tar: &'a mut Builder<Pieces>,
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
        let extra = &self.options.extra;
        let replaced: BTreeSet<&str> = extra.iter().map(|extra| extra.name.as_str()).collect();
        visit(self.root, ignore, |visit| match visit {
            Visit::Kept(found) if !replaced.contains(found.shown) => self.entry(&found),
            Visit::Kept(_) | Visit::LeftOut(..) | Visit::Special(_) => Ok(()),
        })?;
        for extra in extra {
            self.extra(extra)?;
        }
        Ok(())
    }

    fn entry(&mut self, found: &Found<'_>) -> Result<(), Halt> {
        match found.kind {
            Kind::File => self.file(found.at, found.path, found.shown),
            Kind::Folder => self.folder(found.path, &found.metadata()?),
            Kind::Link => self.link(found),
            Kind::Special => Ok(()),
        }
    }

    fn folder(&mut self, path: &Path, metadata: &Metadata) -> Result<(), Halt> {
        let mut header = self.header(EntryType::Directory, metadata.mode(), 0, mtime(metadata));
        let name = Path::new(&self.options.prefix).join(path);
        self.append(&mut header, &name, io::empty())
    }

    fn link(&mut self, found: &Found<'_>) -> Result<(), Halt> {
        let target = match self.options.buildable {
            true => buildable_link(found)?,
            false => found.link()?,
        };
        if leads_out(found.path, &target) {
            self.options.tally.leads_out(found.shown);
        }
        let mtime = mtime(&found.metadata()?);
        let mut header = self.header(EntryType::Symlink, 0o777, 0, mtime);
        let name = Path::new(&self.options.prefix).join(found.path);
        let result = self.tar.append_link(&mut header, &name, &target);
        result.map_err(|error| self.unwritten(found.shown, &error))
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

fn mtime(metadata: &Metadata) -> u64 {
    let since = metadata
        .modified()
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}
