//! What was seen of a context's files, so that only what changed is read again: each entry with
//! what the file system said of it. A file like git's index, in the order of the walk, so that both
//! are gone through side by side and neither is held in memory.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::NamedTempFile;

use super::entry::{Entry, array};

/// What such a file begins with. Another version's is none.
const MAGIC: &[u8] = b"hoist files 1\n";
/// A hash of all before it, at the end.
const SEAL: u64 = 32;
/// The coarsest clock of a file system that hoist may be on: FAT's.
const RESOLUTION: Duration = Duration::from_secs(2);

/// What the file system says of something, by which a change is told without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    /// Nanoseconds since the epoch.
    modified: i64,
    changed: i64,
}

impl Stat {
    /// Bytes of a plain file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn of(data: &Metadata) -> Self {
        let nanos =
            |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Self {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            mode: data.mode(),
            modified: nanos(data.mtime(), data.mtime_nsec()),
            changed: nanos(data.ctime(), data.ctime_nsec()),
        }
    }

    /// What it is and its permissions, as `stat` tells.
    pub(super) fn mode(&self) -> u32 {
        self.mode
    }

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
        for number in [self.device, self.inode, self.size] {
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

/// Reads a list from its begin to its end.
pub(super) struct Reader {
    from: io::Take<BufReader<File>>,
    next: Option<Seen>,
    root: Stat,
    seal: [u8; 32],
}

impl Reader {
    /// Opens a list; none where there is none that is whole and of this version.
    pub(super) fn open(path: &Path) -> Option<Self> {
        Self::of(File::open(path).ok()?).ok()
    }

    pub(super) fn of(mut file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let body = length.checked_sub(SEAL).ok_or(ErrorKind::InvalidData)?;
        file.seek(SeekFrom::Start(0))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader((&mut file).take(body))?;
        let seal = array(&mut file)?;
        if hasher.finalize() != seal {
            return Err(ErrorKind::InvalidData.into());
        }
        file.seek(SeekFrom::Start(0))?;
        let mut from = BufReader::with_capacity(64 << 10, file).take(body);
        let magic: [u8; MAGIC.len()] = array(&mut from)?;
        if magic != *MAGIC {
            return Err(ErrorKind::InvalidData.into());
        }
        let root = Stat::decode(&mut from)?;
        let next = Seen::decode(&mut from)?;
        Ok(Self {
            from,
            next,
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
        while let Some(next) = &self.next {
            match Entry::order(&next.entry.path, path) {
                std::cmp::Ordering::Less => self.next = self.read(),
                std::cmp::Ordering::Equal => return self.take(),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    fn take(&mut self) -> Option<Seen> {
        let next = self.read();
        std::mem::replace(&mut self.next, next)
    }

    fn read(&mut self) -> Option<Seen> {
        Seen::decode(&mut self.from).ok().flatten()
    }
}

impl Iterator for Reader {
    type Item = Seen;

    fn next(&mut self) -> Option<Seen> {
        self.next.is_some().then(|| self.take()).flatten()
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
