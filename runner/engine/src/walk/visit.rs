//! The one walk over a folder: what its ignore file leaves, parents first, ordered by the parts of
//! their names. It follows no link and opens no file; it refuses to judge what it finds.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

use hoist_model::ignore::{IgnoreFile, Rule};
use hoist_model::reason::Trouble;
use walkdir::WalkDir;

/// Links that a path may lead through: as many as Linux follows.
const MOST_LINKS: usize = 40;

/// What a walk comes to.
#[derive(Debug)]
pub enum Visit<'a> {
    /// It is part of the folder's content.
    Kept(Found<'a>),
    /// An ignore rule leaves it out. Of a folder that is left out whole only the folder is told.
    LeftOut(Found<'a>, &'a Rule),
    /// A socket, a pipe or a device, which nobody can send.
    Special(Found<'a>),
}

/// Something in the folder.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// Below the folder, byte for byte.
    pub path: &'a Path,
    /// The same with `/` between its parts; what is not UTF-8 is replaced.
    pub shown: &'a str,
    /// On this machine.
    pub at: &'a Path,
    /// What it is; of a link, the link.
    pub kind: Kind,
}

/// What something in a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, not followed.
    Link,
    /// A socket, a pipe or a device.
    Special,
}

impl Kind {
    fn of(kind: FileType) -> Self {
        if kind.is_dir() {
            Self::Folder
        } else if kind.is_symlink() {
            Self::Link
        } else if kind.is_socket()
            || kind.is_fifo()
            || kind.is_block_device()
            || kind.is_char_device()
        {
            Self::Special
        } else {
            Self::File
        }
    }
}

impl Found<'_> {
    /// What the file system says of it; of a link, of the link.
    ///
    /// # Errors
    /// When it vanished or cannot be looked at.
    pub fn metadata(&self) -> Result<Metadata, Trouble> {
        std::fs::symlink_metadata(self.at).map_err(|error| unreadable(self.shown, &error))
    }

    /// What a link leads to.
    ///
    /// # Errors
    /// When it vanished or is no link any more.
    pub fn link(&self) -> Result<PathBuf, Trouble> {
        std::fs::read_link(self.at).map_err(|error| unreadable(self.shown, &error))
    }
}

/// Walks `root`. Folders that are left out but hold what is not come just before the first of it.
///
/// # Errors
/// What `each` gives, and a [`Trouble`] that names whatever could not be read.
pub fn visit<E: From<Trouble>>(
    root: &Path,
    ignore: &IgnoreFile,
    each: impl FnMut(Visit<'_>) -> Result<(), E>,
) -> Result<(), E> {
    visit_some(root, ignore, |_| true, each)
}

/// As [`visit`], but goes only into folders that `enters` says yes to; they are told all the same.
///
/// # Errors
/// As [`visit`].
pub fn visit_some<E: From<Trouble>>(
    root: &Path,
    ignore: &IgnoreFile,
    mut enters: impl FnMut(&Found<'_>) -> bool,
    mut each: impl FnMut(Visit<'_>) -> Result<(), E>,
) -> Result<(), E> {
    // Folders that are left out themselves but may hold what is not, outermost first.
    let mut waiting: Vec<PathBuf> = Vec::new();
    let mut matcher = ignore.matcher();
    let mut entries = WalkDir::new(root)
        .min_depth(1)
        .follow_links(false)
        // They lie in one folder, so this is the order of their names, which would each have to be
        // found in its path.
        .sort_by(|left, right| left.path().as_os_str().cmp(right.path().as_os_str()))
        .into_iter();
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|error| unwalkable(root, &error))?;
        let at = entry.path();
        let path = at.strip_prefix(root).unwrap_or(at);
        let shown = slashed(path);
        let kind = Kind::of(entry.file_type());
        let found = Found {
            path,
            shown: &shown,
            at,
            kind,
        };
        let enter = kind == Kind::Folder && enters(&found);
        if let Some(rule) = matcher.matches(&shown).filter(|rule| !rule.negated) {
            if enter && matcher.may_descend(&shown) {
                waiting.retain(|above| path.starts_with(above));
                waiting.push(path.to_owned());
                continue;
            }
            if kind == Kind::Folder {
                entries.skip_current_dir();
            }
            each(Visit::LeftOut(found, rule))?;
            continue;
        }
        if kind == Kind::Folder && !enter {
            entries.skip_current_dir();
        }
        for folder in std::mem::take(&mut waiting) {
            if path.starts_with(&folder) {
                each(Visit::Kept(Found {
                    shown: &slashed(&folder),
                    at: &root.join(&folder),
                    path: &folder,
                    kind: Kind::Folder,
                }))?;
            }
        }
        each(match kind {
            Kind::Special => Visit::Special(found),
            Kind::File | Kind::Folder | Kind::Link => Visit::Kept(found),
        })?;
    }
    Ok(())
}

/// A path with `/` between its parts; what is not UTF-8 is replaced.
pub(super) fn slashed(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

/// A link at `path` leads out by `..`. An absolute one may well be meant for the container.
#[must_use]
pub fn leads_out(path: &Path, target: &Path) -> bool {
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

/// What a link leads to, if an image can hold it: a relative one must stay in the folder on all of
/// its way, other links included, and not come back to where it was. What is not there is no
/// matter. An absolute one is meant for the container, and is not followed.
///
/// # Errors
/// When it leads out or in a circle, or vanished; each names it.
pub fn buildable_link(found: &Found<'_>) -> Result<PathBuf, Trouble> {
    let target = found.link()?;
    let root = found.at.ancestors().nth(found.path.iter().count());
    let root = root.unwrap_or(found.at);
    let mut inside = found.path.parent().unwrap_or(Path::new("")).to_owned();
    let mut ahead = Vec::new();
    let mut next = target.clone();
    for _ in 0..MOST_LINKS {
        if next.is_absolute() {
            return Ok(target);
        }
        ahead.extend(next.iter().rev().map(OsString::from));
        next = loop {
            let Some(part) = ahead.pop() else {
                return Ok(target);
            };
            if part == ".." {
                if !inside.pop() {
                    return Err(not_buildable(found, &target, "out of the folder"));
                }
                continue;
            }
            match std::fs::read_link(root.join(&inside).join(&part)) {
                Ok(further) => break further,
                Err(_) if part == "." => {}
                Err(_) => inside.push(part),
            }
        };
    }
    Err(not_buildable(found, &target, "in a circle"))
}

fn not_buildable(found: &Found<'_>, target: &Path, whereto: &str) -> Trouble {
    Trouble::new(format!("the link `{}` leads {whereto}", found.shown))
        .cause(format!("it is a link to `{}`", target.display()))
        .hint("link to something in the folder, or leave the link out with .dockerignore")
}

/// What an error while something is read comes to.
#[must_use]
pub fn unreadable(shown: &str, error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::NotFound => changed(shown, "it vanished while the folder was read"),
        _ => Trouble::new(format!("`{shown}` cannot be read"))
            .cause(error.to_string())
            .hint("make it readable, or leave it out with .dockerignore"),
    }
}

/// Something is not what it was when the walk came to it.
#[must_use]
pub fn changed(shown: &str, how: &str) -> Trouble {
    Trouble::new(format!("`{shown}` changed"))
        .cause(how)
        .hint("stop what writes to it, or leave it out with .dockerignore, and run again")
}

/// What an error of the walk itself comes to.
fn unwalkable(root: &Path, error: &walkdir::Error) -> Trouble {
    let path = error.path().unwrap_or(root);
    let shown = match path.strip_prefix(root) {
        Ok(inside) if inside.as_os_str().is_empty() => path.display().to_string(),
        Ok(inside) => slashed(inside).into_owned(),
        Err(_) => path.display().to_string(),
    };
    match error.io_error() {
        Some(error) => unreadable(&shown, error),
        None => Trouble::new(format!("`{shown}` cannot be read")).cause(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
