//! Tells the engine of everything in a folder that it wants to know of, on a blocking thread. It
//! refuses names that are not UTF-8, which no packet can hold.

use std::collections::BTreeMap;
use std::path::Path;

use bollard::fsutil::types::packet::PacketType;
use bollard::fsutil::types::{self, Packet};
use bytes::Bytes;
use hoist_engine::backend::ContextFolder;
use hoist_engine::walk::{Found, Kind, Stat, buildable_link, changed};
use hoist_model::reason::Trouble;

use super::super::filter::{Filter, Wanted};
use super::super::follow::{as_they_are, follow};
use super::super::{Dir, stat};
use super::{Call, Halt, packet};

/// Entries told at once: one at a time would wake the other side for each.
const BATCH: usize = 64;

impl Call {
    /// Tells of all, and that this was all.
    pub(super) fn tell(&self) -> Result<(), Halt> {
        let asked = &self.transfer.asked;
        let mut wanted = Wanted::new(asked)?;
        let batch = Vec::with_capacity(BATCH);
        let mut teller = Teller { call: self, batch };
        match &*self.transfer.dir {
            Dir::Folder { folder, clamp, .. } => {
                let left_out = |path: &str| folder.ignore.is_ignored(path) || wanted.excludes(path);
                let followed = follow(&asked.follow, &folder.path, left_out)?;
                wanted.add(followed)?;
                if let Some(upload) = &self.transfer.upload {
                    upload.wants(wanted.within().as_ref());
                }
                teller.folder(folder, *clamp, &wanted)?;
            }
            Dir::Files(files) => {
                wanted.add(as_they_are(&asked.follow))?;
                teller.files(files, &wanted)?;
            }
        }
        teller.batch.push(packet(PacketType::PacketStat));
        teller.flush()
    }
}

struct Teller<'a> {
    call: &'a Call,
    batch: Vec<Packet>,
}

impl Teller<'_> {
    fn folder(
        &mut self,
        folder: &ContextFolder,
        clamp: Option<i64>,
        wanted: &Wanted,
    ) -> Result<(), Halt> {
        // Both closures need it, never at once.
        let filter = std::cell::RefCell::new(Filter::new(wanted));
        let enters = |found: &Found<'_>| filter.borrow_mut().may_descend(found.shown);
        folder.visit(enters, |found, seen| {
            if self.call.out.is_closed() {
                return Err(Halt::Unwanted);
            }
            let is_folder = found.kind == Kind::Folder;
            let admitted = filter
                .borrow_mut()
                .admit(found.path, found.shown, is_folder);
            let Some(above) = admitted else {
                return Ok(());
            };
            for path in above {
                self.entry(
                    &Found {
                        path: &path,
                        shown: &path.to_string_lossy(),
                        at: &folder.path.join(&path),
                        kind: Kind::Folder,
                    },
                    None,
                    clamp,
                )?;
            }
            self.entry(found, seen, clamp)
        })
    }

    fn entry(
        &mut self,
        found: &Found<'_>,
        seen: Option<Stat>,
        clamp: Option<i64>,
    ) -> Result<(), Halt> {
        let path = utf8(found.path, found.shown, "its name")?;
        let seen = match seen {
            Some(seen) => seen,
            None => Stat::of(&found.metadata()?),
        };
        if seen.kind() != found.kind {
            return Err(changed(found.shown, "it was replaced while the folder was read").into());
        }
        let mut stat = stat::of(path, &seen, clamp);
        self.call.transfer.sent.told();
        match found.kind {
            Kind::File => {
                stat.xattrs.extend(stat::capabilities(found.at, &seen));
                let inode = (seen.links > 1).then_some((seen.device, seen.inode));
                self.push(stat, Some(seen.size), inode)
            }
            Kind::Link => {
                let target = buildable_link(found)?;
                stat.linkname = utf8(&target, found.shown, "what it leads to")?;
                self.push(stat, None, None)
            }
            Kind::Folder => self.push(stat, None, None),
            Kind::Special => Ok(()),
        }
    }

    /// Files in memory, with the folders that they are in.
    fn files(&mut self, files: &BTreeMap<String, Bytes>, wanted: &Wanted) -> Result<(), Halt> {
        // In the order of a walk: by the parts of their names.
        let mut entries: BTreeMap<Vec<&str>, Option<&Bytes>> = BTreeMap::new();
        for (name, content) in files {
            let parts: Vec<&str> = name.split('/').collect();
            for depth in 1..parts.len() {
                entries.insert(parts.iter().take(depth).copied().collect(), None);
            }
            entries.insert(parts, Some(content));
        }
        let mut filter = Filter::new(wanted);
        for (parts, content) in entries {
            let name = parts.join("/");
            let Some(above) = filter.admit(Path::new(&name), &name, content.is_none()) else {
                continue;
            };
            for folder in above {
                let name = folder.to_string_lossy().into_owned();
                self.push(stat::of_folder(name), None, None)?;
            }
            match content {
                Some(content) => {
                    let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
                    self.push(stat::of_bytes(name, content), Some(size), None)?;
                }
                None => self.push(stat::of_folder(name), None, None)?,
            }
        }
        Ok(())
    }

    /// Tells of the next entry. `size` and `inode` as in [`Ledger::push`].
    ///
    /// [`Ledger::push`]: super::super::ledger::Ledger::push
    fn push(
        &mut self,
        mut stat: types::Stat,
        size: Option<u64>,
        inode: Option<(u64, u64)>,
    ) -> Result<(), Halt> {
        let before = self.call.ledger().push(&stat.path, size, inode)?;
        if let Some(before) = before {
            // A further name of a file that the engine has by then.
            stat.linkname = before;
            stat.size = 0;
        }
        self.batch.push(Packet {
            stat: Some(stat),
            ..packet(PacketType::PacketStat)
        });
        match self.batch.len() {
            BATCH.. => self.flush(),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Halt> {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.call.send(batch)
    }
}

/// A path as a packet can hold it.
fn utf8(path: &Path, shown: &str, what: &str) -> Result<String, Trouble> {
    let text = path.to_str().ok_or_else(|| {
        Trouble::new(format!("`{shown}` cannot be sent"))
            .cause(format!("{what} is not UTF-8"))
            .hint("rename it, or leave it out with .dockerignore")
    })?;
    Ok(text.to_owned())
}
