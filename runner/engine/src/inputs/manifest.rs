//! What a context held, kept under its digest, which is the hash of that very file: so that what
//! changed between two runs can be named long after. A file that is not what its name says is none.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use hoist_model::inputs::FileChange;

use super::entry::{Content, Entry, array};
use super::folder::{self, Cache, Shelf};
use super::list;

/// What such a file begins with.
const MAGIC: &[u8] = b"hoist context 1\n";

/// Hashes entries as they would be written.
pub(super) struct Hasher {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Hasher {
    pub(super) fn new() -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            buffer: MAGIC.to_vec(),
        }
    }

    pub(super) fn add(&mut self, entry: &Entry) {
        entry.encode(&mut self.buffer);
        if self.buffer.len() >= 64 << 10 {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    /// In hexadecimal digits.
    pub(super) fn finish(mut self) -> String {
        self.hasher.update(&self.buffer);
        self.hasher.finalize().to_hex().to_string()
    }
}

/// Writes down what a context holds.
pub(super) fn write(cache: &Cache, digest: &str, list: list::Reader) -> io::Result<()> {
    let mut to = io::BufWriter::with_capacity(64 << 10, cache.draft(Shelf::Contexts)?);
    let mut buffer = MAGIC.to_vec();
    for seen in list {
        seen?.entry.encode(&mut buffer);
        to.write_all(&buffer)?;
        buffer.clear();
    }
    to.write_all(&buffer)?;
    let draft = to.into_inner().map_err(io::IntoInnerError::into_error)?;
    cache.put(Shelf::Contexts, digest, draft)
}

/// The entries of a context, if they are still kept.
fn entries(root: &Path, digest: &str) -> io::Result<impl Iterator<Item = Entry>> {
    let plain = digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !plain {
        return Err(ErrorKind::InvalidInput.into());
    }
    let mut file = File::open(folder::manifest(root, digest))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file)?;
    if hasher.finalize().to_hex().as_str() != digest {
        return Err(ErrorKind::InvalidData.into());
    }
    file.seek(SeekFrom::Start(0))?;
    let mut from = BufReader::with_capacity(64 << 10, file);
    let magic: [u8; MAGIC.len()] = array(&mut from)?;
    if magic != *MAGIC {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok(std::iter::from_fn(move || {
        Entry::decode(from.by_ref()).ok().flatten()
    }))
}

/// What is different between two contexts, in the order of a walk.
///
/// # Errors
/// When one of them is no longer kept.
pub(super) fn compare(
    root: &Path,
    before: &str,
    now: &str,
    mut each: impl FnMut(String, FileChange),
) -> io::Result<()> {
    let mut before = entries(root, before)?.peekable();
    let mut now = entries(root, now)?.peekable();
    let shown = |entry: Entry| String::from_utf8_lossy(&entry.path).into_owned();
    loop {
        let order = match (before.peek(), now.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(now)) => Entry::order(&before.path, &now.path),
        };
        let gone = (order != Ordering::Greater)
            .then(|| before.next())
            .flatten();
        let come = (order != Ordering::Less).then(|| now.next()).flatten();
        match (gone, come) {
            (Some(gone), None) => each(shown(gone), FileChange::Removed),
            (None, Some(come)) => each(shown(come), FileChange::Added),
            (Some(gone), Some(come)) if gone != come => {
                let change = change(&gone, &come);
                each(shown(come), change);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

fn change(before: &Entry, now: &Entry) -> FileChange {
    match (&before.content, &now.content) {
        (before, now) if before == now => FileChange::Mode,
        (Content::File(_), Content::File(_)) | (Content::Link(_), Content::Link(_)) => {
            FileChange::Changed
        }
        _ => FileChange::Kind,
    }
}
