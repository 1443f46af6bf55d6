//! What the file system says of something, as far as a look at a folder goes by it. It refuses to
//! know owners and the time of the last access.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use super::Kind;

/// The bits that say what it is, and those of a folder, of a link and of a plain file.
const KIND: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
const FILE: u32 = 0o100_000;

/// What the file system says of something; of a link, of the link itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The file system that it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// The names that it has.
    pub links: u64,
    /// Bytes of a plain file.
    pub size: u64,
    /// What it is and its permissions, as in `st_mode`.
    pub mode: u32,
    /// When its content was changed last, in nanoseconds since the epoch.
    pub modified: i64,
    /// When anything of it was changed last, in nanoseconds since the epoch.
    pub changed: i64,
}

impl Stat {
    /// As far as it is told here.
    #[must_use]
    pub fn of(data: &Metadata) -> Self {
        let nanos =
            |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Self {
            device: data.dev(),
            inode: data.ino(),
            links: data.nlink(),
            size: data.size(),
            mode: data.mode(),
            modified: nanos(data.mtime(), data.mtime_nsec()),
            changed: nanos(data.ctime(), data.ctime_nsec()),
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.mode & KIND {
            FOLDER => Kind::Folder,
            LINK => Kind::Link,
            FILE => Kind::File,
            _ => Kind::Special,
        }
    }
}
