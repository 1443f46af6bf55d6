//! What was seen of a context's files, so that only what changed is read again: each entry with
//! what the file system said of it. A file like git's index, in the order of the walk, so that both
//! are gone through side by side and neither is held in memory.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::NamedTempFile;

use super::entry::{Entry, array};
use crate::walk::Stat;

/// What such a file begins with. Another version's is none.
const MAGIC: &[u8] = b"hoist files 2\n";
/// A hash of all before it, at the end.
const SEAL: u64 = 32;
/// The coarsest clock of a file system that hoist may be on: FAT's.
const RESOLUTION: Duration = Duration::from_secs(2);

impl Stat {
    /// The file was changed so shortly before it was read that another change might leave the same
    /// times behind. git calls such a file racy.
    pub(super) fn is_racy(&self, read_at: SystemTime) -> bool {
        let nanos = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
        };
        let from = nanos(read_at.checked_sub(RESOLUTION).unwrap_or(UNIX_EPOCH));
        let to = nanos(read_at.checked_add(RESOLUTION).unwrap_or(read_at));
        // Whoever sets a file's time to some future day has done so before now.
        self.changed >= from || (from..=to).contains(&self.modified)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.device, self.inode, self.links, self.size] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.mode.to_le_bytes());
        for time in [self.modified, self.changed] {
            out.extend(time.to_le_bytes());
        }
    }

    fn decode(from: &mut impl Read) -> io::Result<Self> {
        Ok(Self {
            device: u64::from_le_bytes(array(from)?),
            inode: u64::from_le_bytes(array(from)?),
            links: u64::from_le_bytes(array(from)?),
            size: u64::from_le_bytes(array(from)?),
            mode: u32::from_le_bytes(array(from)?),
            modified: i64::from_le_bytes(array(from)?),
            changed: i64::from_le_bytes(array(from)?),
        })
    }
}

/// An entry as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) entry: Entry,
    pub(super) stat: Stat,
    pub(super) state: State,
}

/// What an entry's content is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It holds as long as the file system says the same.
    Settled,
    /// The file was racy when it was read: the next look reads it again.
    Racy,
    /// The file was not read.
    Unread,
}

impl Seen {
    fn encode(&self, out: &mut Vec<u8>) {
        self.entry.encode(out);
        self.stat.encode(out);
        out.push(match self.state {
            State::Settled => 0,
            State::Racy => 1,
            State::Unread => 2,
        });
    }

    fn decode(from: &mut impl Read) -> io::Result<Option<Self>> {
        let Some(entry) = Entry::decode(from)? else {
            return Ok(None);
        };
        let stat = Stat::decode(from)?;
        let [state] = array(from)?;
        let state = match state {
            0 => State::Settled,
            1 => State::Racy,
            2 => State::Unread,
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        Ok(Some(Self { entry, stat, state }))
    }
}

/// A file read from a place of its own: several may be read at once through one.
struct Place {
    file: Arc<File>,
    offset: u64,
}

impl Read for Place {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += u64::try_from(count).unwrap_or_default();
        Ok(count)
    }
}

/// Reads a list from its begin to its end.
pub(super) struct Reader {
    from: BufReader<io::Take<Place>>,
    /// Read already, and not wanted yet.
    ahead: Option<Seen>,
    root: Stat,
    seal: [u8; 32],
}

impl Reader {
    /// Opens a list; none where there is none that is whole and of this version.
    pub(super) fn open(path: &Path) -> Option<Self> {
        Self::of(&Arc::new(File::open(path).ok()?)).ok()
    }

    pub(super) fn of(file: &Arc<File>) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let body = length.checked_sub(SEAL).ok_or(ErrorKind::InvalidData)?;
        let at = |offset| Place {
            file: Arc::clone(file),
            offset,
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(at(0).take(body))?;
        let seal = array(&mut at(body))?;
        if hasher.finalize() != seal {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut from = BufReader::with_capacity(64 << 10, at(0).take(body));
        let magic: [u8; MAGIC.len()] = array(&mut from)?;
        if magic != *MAGIC {
            return Err(ErrorKind::InvalidData.into());
        }
        let root = Stat::decode(&mut from)?;
        Ok(Self {
            from,
            ahead: None,
            root,
            seal,
        })
    }

    /// The folder itself.
    pub(super) fn root(&self) -> Stat {
        self.root
    }

    /// What identifies the list.
    pub(super) fn seal(&self) -> [u8; 32] {
        self.seal
    }

    /// The entry of that path, if it is there; those before it are passed over.
    pub(super) fn find(&mut self, path: &[u8]) -> Option<Seen> {
        loop {
            // What cannot be read is not known.
            let next = self.next()?.ok()?;
            match Entry::order(&next.entry.path, path) {
                Ordering::Less => {}
                Ordering::Equal => return Some(next),
                Ordering::Greater => {
                    self.ahead = Some(next);
                    return None;
                }
            }
        }
    }
}

impl Iterator for Reader {
    type Item = io::Result<Seen>;

    fn next(&mut self) -> Option<io::Result<Seen>> {
        match self.ahead.take() {
            Some(next) => Some(Ok(next)),
            None => Seen::decode(&mut self.from).transpose(),
        }
    }
}

/// Writes a list.
pub(super) struct Writer {
    to: BufWriter<NamedTempFile>,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Writer {
    /// Begins a list of what is in a folder.
    pub(super) fn new(draft: NamedTempFile, root: Stat) -> Self {
        let mut buffer = MAGIC.to_vec();
        root.encode(&mut buffer);
        Self {
            to: BufWriter::with_capacity(64 << 10, draft),
            hasher: blake3::Hasher::new(),
            buffer,
        }
    }

    pub(super) fn add(&mut self, seen: &Seen) -> io::Result<()> {
        seen.encode(&mut self.buffer);
        if self.buffer.len() >= 64 << 10 {
            self.flush()?;
        }
        Ok(())
    }

    /// The whole list, and what identifies it.
    pub(super) fn finish(mut self) -> io::Result<(NamedTempFile, [u8; 32])> {
        self.flush()?;
        let seal = *self.hasher.finalize().as_bytes();
        self.to.write_all(&seal)?;
        let draft = self
            .to
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        Ok((draft, seal))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.to.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
