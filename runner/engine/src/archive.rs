//! Tars that come out of containers: nothing in them is trusted. Plain files and folders are taken,
//! under names made harmless, up to a bound that is held while bytes flow; devices, pipes, names that
//! lead out, owners and set-uid bits are not, and no link is ever made: at most copies of what it
//! leads to within the archive.

mod links;
mod source;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use hoist_model::reason::Trouble;
use hoist_model::redact::Redactor;
use tar::{Archive, Entry};

use crate::backend::{BackendError, ByteStream};
use links::Links;
use source::{Source, blocking};

/// How deep a folder may lie.
const DEPTH: usize = 64;

/// How many things that were left out are named.
const NAMED: usize = 5;

/// What may be taken from one archive.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of everything that flows, taken or not.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// What is taken from an archive.
pub enum Wanted {
    /// Everything. Links within are kept as copies of what they lead to in the archive.
    Whole {
        /// The path in the container that it is an archive of, absolute.
        of: String,
    },
    /// Plain files and folders that it says yes to, by their paths below the archive's own. Links
    /// are left out.
    Matching(Box<dyn Fn(&Path) -> bool + Send>),
}

/// What was taken from an archive.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// Plain files, relative to the target, in the archive's order.
    pub files: Vec<PathBuf>,
    /// Bytes in them.
    pub bytes: u64,
    /// What was left out and why, one sentence each; the last may be a count.
    pub left_out: Vec<String>,
    /// The bound was reached: the rest of the archive was not even looked at.
    pub cut: Option<String>,
    /// The archive is one of a folder, not of a single file.
    pub folder: bool,
    /// The archive is one of a link alone: where that leads, from its own folder or absolute.
    pub link: Option<PathBuf>,
    /// Files in which a secret was masked.
    pub masked: u64,
    unnamed: u64,
    entries: u64,
    flowed: u64,
}

impl Unpacked {
    fn leave_out(&mut self, name: &str, why: &str) {
        if self.left_out.len() < NAMED {
            self.left_out.push(format!("`{name}` {why}"));
        } else {
            self.unnamed += 1;
        }
    }

    /// Counts an entry of so many bytes. One that there is no room for is where the rest is cut.
    fn has_room(&mut self, bounds: Bounds, bytes: u64, name: &str) -> bool {
        self.entries += 1;
        self.flowed = self.flowed.saturating_add(bytes);
        if self.entries > bounds.entries {
            self.cut = Some(format!("it holds more than {} entries", bounds.entries));
        } else if self.flowed > bounds.bytes {
            let (bytes, bound) = (size(bytes), size(bounds.bytes));
            self.cut = Some(format!("with `{name}` ({bytes}) it is over {bound}"));
        }
        self.cut.is_none()
    }
}

/// Why an archive could not be taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The engine did not give all of it.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// What the engine gave is no archive.
    #[error("the engine gave a broken archive: {0}")]
    Broken(String),
    /// It could not be written here.
    #[error("{path} cannot be written: {cause}", path = .path.display())]
    Disk {
        /// What was being written.
        path: PathBuf,
        /// The system's words.
        cause: String,
    },
}

impl ArchiveError {
    /// The error as a sentence for people: `what` is what was being tried.
    #[must_use]
    pub fn trouble(&self, what: impl Into<String>) -> Trouble {
        match self {
            Self::Backend(error) => error.trouble(what),
            Self::Broken(_) => Trouble::new(what).cause(self.to_string()),
            Self::Disk { .. } => Trouble::new(what)
                .cause(self.to_string())
                .hint("see that the folder .hoist can be written to and that its disk is not full"),
        }
    }
}

/// Unpacks into the folder `to`, which is made if needed and must be hoist's alone. The archive is
/// one of a path: what the path's folder holds is at the top of `to`; a single file keeps its name.
/// Secrets in files are masked.
///
/// # Errors
/// When the engine breaks off, the archive is broken, or the disk refuses.
pub async fn unpack(
    archive: ByteStream,
    to: PathBuf,
    bounds: Bounds,
    redactor: Redactor,
    wanted: Wanted,
) -> Result<Unpacked, ArchiveError> {
    blocking(archive, move |source| {
        let mut taken = Unpacked::default();
        fs::create_dir_all(&to).map_err(|error| disk(&to, &error))?;
        let (mut links, matching) = match wanted {
            Wanted::Whole { of } => (Some(Links::below(&of)), None),
            Wanted::Matching(matching) => (None, Some(matching)),
        };
        let wanted = |path: &Path| matching.as_ref().is_none_or(|matching| matching(path));
        each(
            source,
            bounds,
            &mut taken,
            links.as_mut(),
            |path, entry, taken| {
                if !wanted(path) {
                    Ok(())
                } else if entry.header().entry_type().is_dir() {
                    make_folder(&to.join(path))
                } else {
                    keep(&to, path, entry, &redactor, taken)
                }
            },
        )?;
        if let (Some(links), None) = (links, &taken.cut) {
            links.keep(&to, bounds, &mut taken)?;
        }
        if taken.unnamed > 0 {
            taken.left_out.push(format!("{} more", taken.unnamed));
        }
        Ok(taken)
    })
    .await
}

/// The content of the first plain file of an archive; `None` if there is none, or if it is longer
/// than `most` bytes.
///
/// # Errors
/// When the engine breaks off or the archive is broken.
pub async fn first_file(archive: ByteStream, most: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
    blocking(archive, move |source| {
        let mut content = None;
        let bounds = Bounds {
            bytes: most,
            entries: 16,
        };
        each(
            source,
            bounds,
            &mut Unpacked::default(),
            None,
            |_, entry, _| {
                if content.is_none() && !entry.header().entry_type().is_dir() {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).map_err(broken)?;
                    content = Some(bytes);
                }
                Ok(())
            },
        )?;
        Ok(content)
    })
    .await
}

/// The plain files of an archive of a folder, by their path below it; `None` if they are more than
/// the bounds allow.
///
/// # Errors
/// When the engine breaks off or the archive is broken.
pub(crate) async fn files(
    archive: ByteStream,
    bounds: Bounds,
) -> Result<Option<BTreeMap<PathBuf, Vec<u8>>>, ArchiveError> {
    blocking(archive, move |source| {
        let (mut files, mut taken) = (BTreeMap::new(), Unpacked::default());
        each(source, bounds, &mut taken, None, |path, entry, _| {
            if !entry.header().entry_type().is_dir() {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(broken)?;
                files.insert(path.to_owned(), bytes);
            }
            Ok(())
        })?;
        Ok(taken.cut.is_none().then_some(files))
    })
    .await
}

/// Visits what can be taken: plain files and folders under harmless paths without the archive's top
/// folder. Notes links where they are asked for, and the rest.
fn each(
    source: Source,
    bounds: Bounds,
    taken: &mut Unpacked,
    mut links: Option<&mut Links>,
    mut visit: impl FnMut(&Path, &mut Entry<'_, Source>, &mut Unpacked) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut archive = Archive::new(source);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let shown = shown(&entry.path_bytes());
        let kind = entry.header().entry_type();
        let flowing = match kind {
            kind if kind.is_gnu_sparse() => entry.header().entry_size().map_err(broken)?,
            _ => entry.size(),
        };
        if !taken.has_room(bounds, flowing, &shown) {
            return Ok(());
        }
        let folder = kind.is_dir();
        let path = harmless(&entry.path_bytes(), folder);
        if !folder && !kind.is_file() && !kind.is_contiguous() {
            let what = match (kind, &mut links, &path) {
                (kind, Some(links), Some(path)) if kind.is_symlink() || kind.is_hard_link() => {
                    link(links, path, &entry, taken);
                    continue;
                }
                (kind, ..) if kind.is_symlink() => "is a link",
                (kind, ..) if kind.is_hard_link() => "is a hard link",
                (kind, ..) if kind.is_gnu_sparse() => "is stored sparsely",
                _ => "is no plain file",
            };
            taken.leave_out(&shown, what);
            continue;
        }
        match path {
            Some(path) if path.as_os_str().is_empty() => taken.folder = true,
            Some(path) => visit(&path, &mut entry, taken)?,
            None => taken.leave_out(&shown, "has a name that leads elsewhere"),
        }
    }
    Ok(())
}

/// Notes a link at a path below the archive's own, or that it is the archive's only entry.
fn link(links: &mut Links, path: &Path, entry: &Entry<'_, Source>, taken: &mut Unpacked) {
    let target = entry.link_name_bytes().unwrap_or_default();
    if entry.header().entry_type().is_hard_link() {
        match harmless(&target, false) {
            Some(target) => links.note_hard(path, &target, taken),
            None => taken.leave_out(&path.to_string_lossy(), "is a hard link that leads out"),
        }
    } else if !taken.folder && taken.entries == 1 {
        taken.link = Some(links::clean(&target));
    } else {
        links.note(path, &target, taken);
    }
}

/// Writes one file.
fn keep(
    to: &Path,
    path: &Path,
    entry: &mut Entry<'_, Source>,
    redactor: &Redactor,
    taken: &mut Unpacked,
) -> Result<(), ArchiveError> {
    let at = to.join(path);
    if let Some(parent) = at.parent() {
        make_folder(parent)?;
    }
    let executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
    let mode = if executable { 0o755 } else { 0o644 };
    let mut file = match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&at)
    {
        Ok(file) => file,
        Err(error) if is_name_refused(&error) => {
            taken.leave_out(&path.to_string_lossy(), "cannot have its name here");
            return Ok(());
        }
        Err(error) => return Err(disk(&at, &error)),
    };
    let (read, written) = copy_masked(entry, &mut file, &at, redactor)?;
    // Masking replaces a secret by something of another length.
    taken.masked += u64::from(read != written);
    taken.bytes += written;
    taken.files.push(path.to_owned());
    Ok(())
}

/// Copies, masking secrets. Gives the bytes read and written.
fn copy_masked(
    from: &mut Entry<'_, Source>,
    to: &mut File,
    at: &Path,
    redactor: &Redactor,
) -> Result<(u64, u64), ArchiveError> {
    let mut masked = redactor.stream();
    let mut buffer = vec![0; 64 << 10];
    let (mut read, mut written) = (0_u64, 0_u64);
    loop {
        let count = from.read(&mut buffer).map_err(broken)?;
        let last = count == 0;
        let piece = if last {
            masked.flush().into()
        } else {
            masked.push(buffer.get(..count).unwrap_or_default())
        };
        to.write_all(&piece).map_err(|error| disk(at, &error))?;
        read = read.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        written = written.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if last {
            return Ok((read, written));
        }
    }
}

fn make_folder(path: &Path) -> Result<(), ArchiveError> {
    match fs::create_dir_all(path) {
        Err(error) if !is_name_refused(&error) => Err(disk(path, &error)),
        // What then goes into it is left out by name.
        _ => Ok(()),
    }
}

/// The disk is well, but not with this name: taken, too long, or below a file.
fn is_name_refused(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::AlreadyExists | K::InvalidFilename | K::InvalidInput | K::NotADirectory | K::NotFound
    )
}

/// The path below the archive's top folder, every part made harmless; `None` if it leads elsewhere.
/// Empty for the top folder itself.
fn harmless(name: &[u8], folder: bool) -> Option<PathBuf> {
    let name = String::from_utf8_lossy(name);
    let mut parts = Vec::new();
    for part in Path::new(name.as_ref()).components() {
        match part {
            Component::Normal(part) => parts.push(printable(&part.to_string_lossy())),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    if parts.len() > DEPTH {
        return None;
    }
    let top = usize::from(folder || parts.len() > 1);
    Some(parts.into_iter().skip(top).collect())
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '_' } else { c })
        .collect()
}

fn shown(name: &[u8]) -> String {
    let mut shown = printable(&String::from_utf8_lossy(name));
    if let Some((end, _)) = shown.char_indices().nth(200) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{bytes} bytes"),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

fn broken(error: io::Error) -> ArchiveError {
    ArchiveError::Broken(error.to_string())
}

fn disk(path: &Path, error: &io::Error) -> ArchiveError {
    ArchiveError::Disk {
        path: path.to_owned(),
        cause: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
