//! Links of an archive, each kept as a copy of what it leads to. It refuses to make a link on this
//! machine and to follow one: where a link leads is looked up by name among what was unpacked, so
//! what lies outside of the archive can be reached by none.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::{ArchiveError, Bounds, Unpacked, disk, is_name_refused, make_folder, printable, shown};

/// How many links of one archive are looked at.
const MOST: usize = 20_000;
/// Bytes of the longest path that a link may hold, as the kernel has it.
const LONGEST: usize = 4096;
/// How many links may lead to one another, as the kernel has it.
const HOPS: usize = 40;
/// How many folders with links in them may be copied into one another.
const NESTED: usize = 16;

/// The links of one archive.
pub(super) struct Links {
    /// The path that the archive is one of, absolute and in the container.
    root: PathBuf,
    /// Where each leads, by its path below the root: absolute, or from the link's own folder.
    targets: BTreeMap<PathBuf, PathBuf>,
}

impl Links {
    pub(super) fn below(root: &str) -> Self {
        Self {
            root: Path::new(root).components().collect(),
            targets: BTreeMap::new(),
        }
    }

    /// Notes where the symbolic link at `path`, which is below the root, leads.
    pub(super) fn note(&mut self, path: &Path, target: &[u8], taken: &mut Unpacked) {
        let name = path.to_string_lossy();
        if target.len() > LONGEST {
            taken.leave_out(&name, "is a link with too long a path");
        } else if self.targets.len() == MOST {
            taken.leave_out(&name, &format!("is one of more than {MOST} links"));
        } else {
            self.targets
                .entry(path.to_owned())
                .or_insert_with(|| clean(target));
        }
    }

    /// Notes that `path` is another name of the file at `target`; both are below the root.
    pub(super) fn note_hard(&mut self, path: &Path, target: &Path, taken: &mut Unpacked) {
        let target = self.root.join(target);
        self.note(path, target.as_os_str().as_encoded_bytes(), taken);
    }

    /// Puts copies in the places of the links, `to` being where the rest was unpacked.
    pub(super) fn keep(
        &self,
        to: &Path,
        bounds: Bounds,
        taken: &mut Unpacked,
    ) -> Result<(), ArchiveError> {
        let mut search = Search {
            links: self,
            to,
            bounds,
            taken,
            copies: Vec::new(),
        };
        for link in self.targets.keys() {
            let folder = link.parent().unwrap_or(Path::new(""));
            search.follow(link, link.clone(), &mut vec![folder.to_owned()])?;
        }
        // Only now, for what is a copy is not copied again.
        let Search { copies, taken, .. } = search;
        copies.iter().try_for_each(|copy| copy.make(to, taken))
    }

    /// The path below the root at which a link ends; else why there is none, for people.
    fn end(&self, link: &Path) -> Result<PathBuf, String> {
        let mut at = PathBuf::from("/");
        let mut ahead = parts(&self.root.join(link));
        let mut hops = 0;
        while let Some(part) = ahead.pop() {
            if part == ".." {
                at.pop();
                continue;
            }
            at.push(part);
            let inside = at.strip_prefix(&self.root).ok();
            let Some(target) = inside.and_then(|inside| self.targets.get(inside)) else {
                continue;
            };
            hops += 1;
            if hops > HOPS {
                return Err("is a link that leads in a circle".to_owned());
            }
            at.pop();
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            ahead.extend(parts(target));
        }
        match at.strip_prefix(&self.root) {
            Ok(inside) => Ok(inside.to_owned()),
            Err(_) => Err(format!("is a link that leads out, to {}", told(&at))),
        }
    }
}

/// What is to be copied, as paths below the root.
struct Copy {
    from: PathBuf,
    at: PathBuf,
    is_folder: bool,
}

impl Copy {
    fn make(&self, to: &Path, taken: &mut Unpacked) -> Result<(), ArchiveError> {
        let at = to.join(&self.at);
        if self.is_folder {
            return make_folder(&at);
        }
        // What has the name already is not written over.
        let made = match fs::symlink_metadata(&at) {
            Ok(_) => None,
            Err(_) => match fs::copy(to.join(&self.from), &at) {
                Ok(bytes) => Some(bytes),
                Err(error) if is_name_refused(&error) => None,
                Err(error) => return Err(disk(&at, &error)),
            },
        };
        if let Some(bytes) = made {
            taken.bytes += bytes;
            taken.files.push(self.at.clone());
        } else {
            taken.leave_out(&self.at.to_string_lossy(), "cannot have its name here");
        }
        Ok(())
    }
}

/// The search for what links lead to.
struct Search<'a> {
    links: &'a Links,
    to: &'a Path,
    bounds: Bounds,
    taken: &'a mut Unpacked,
    copies: Vec<Copy>,
}

impl Search<'_> {
    /// Finds what is to be copied from the end of `link` to `at`, which lies `within` those folders:
    /// where it begins, and what was followed on the way.
    fn follow(
        &mut self,
        link: &Path,
        at: PathBuf,
        within: &mut Vec<PathBuf>,
    ) -> Result<(), ArchiveError> {
        let name = at.to_string_lossy().into_owned();
        let end = match self.links.end(link) {
            Ok(end) => end,
            Err(why) => return self.leave_out(&name, &why),
        };
        let found = fs::symlink_metadata(self.to.join(&end));
        let is_folder = match found {
            Ok(found) if found.is_file() => return self.copy(end, at, Some(found.len())),
            found => found.is_ok_and(|found| found.is_dir()),
        };
        if !is_folder {
            let why = format!("is a link to {}, which is not there", told(&end));
            return self.leave_out(&name, &why);
        }
        if within.iter().any(|folder| folder.starts_with(&end)) {
            return self.leave_out(&name, "is a link to a folder that it lies in");
        }
        if within.len() > NESTED {
            return self.leave_out(&name, "is a link that lies too deep in others");
        }
        within.push(end.clone());
        let found = self.folder(&end, &at, within);
        within.pop();
        found
    }

    /// Finds what is in a folder, which holds no link on this machine, and what its links lead to.
    fn folder(
        &mut self,
        from: &Path,
        at: &Path,
        within: &mut Vec<PathBuf>,
    ) -> Result<(), ArchiveError> {
        let folder = self.to.join(from);
        for entry in WalkDir::new(&folder) {
            let entry = entry.map_err(|error| disk(&folder, &error.into()))?;
            let inside = entry.path().strip_prefix(&folder).unwrap_or(Path::new(""));
            let file = entry.file_type().is_file();
            let bytes = match entry.metadata() {
                Ok(data) if file => Some(data.len()),
                _ => None,
            };
            self.copy(from.join(inside), joined(at, inside), bytes)?;
            if self.taken.cut.is_some() {
                return Ok(());
            }
        }
        let links = self.links;
        let below = links.targets.range(from.to_owned()..);
        for (link, _) in below.take_while(|(link, _)| link.starts_with(from)) {
            let inside = link.strip_prefix(from).unwrap_or(link);
            self.follow(link, joined(at, inside), within)?;
        }
        Ok(())
    }

    /// Counts a copy, and takes it if there is room: a file of so many bytes, else a folder.
    fn copy(&mut self, from: PathBuf, at: PathBuf, bytes: Option<u64>) -> Result<(), ArchiveError> {
        let name = at.to_string_lossy().into_owned();
        if self.has_room(bytes.unwrap_or_default(), &name) {
            self.copies.push(Copy {
                from,
                at,
                is_folder: bytes.is_none(),
            });
        }
        Ok(())
    }

    fn leave_out(&mut self, name: &str, why: &str) -> Result<(), ArchiveError> {
        if self.has_room(0, name) {
            self.taken.leave_out(name, why);
        }
        Ok(())
    }

    /// Each step of the search counts like an entry of the archive, so that few links with much
    /// below them come to an end.
    fn has_room(&mut self, bytes: u64, name: &str) -> bool {
        self.taken.cut.is_none() && self.taken.has_room(self.bounds, bytes, name)
    }
}

/// A path without a slash at its end.
fn joined(at: &Path, inside: &Path) -> PathBuf {
    at.components().chain(inside.components()).collect()
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    parts.collect()
}

/// A path for people, no longer than they read.
fn told(path: &Path) -> String {
    shown(path.as_os_str().as_encoded_bytes())
}

/// Where a link leads, with its names made harmless as those of files are.
pub(super) fn clean(target: &[u8]) -> PathBuf {
    PathBuf::from(printable(&String::from_utf8_lossy(target)))
}
