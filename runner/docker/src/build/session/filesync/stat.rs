//! What the engine is told of a file: modes are Go's, all belongs to root.

use std::path::Path;

use bollard::fsutil::types::Stat;
use hoist_engine::walk::{self, Kind};

/// Bits of Go's `fs.FileMode`, which it does not share with `st_mode`.
const FOLDER: u32 = 1 << 31;
const LINK: u32 = 1 << 27;
const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const STICKY: u32 = 1 << 20;

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;

/// The bytes that the capabilities of a file may take: `struct vfs_ns_cap_data`, with room.
const MOST_CAPABILITIES: usize = 64;

/// Of a file, folder or link on this machine, without where a link leads. Times after `clamp`,
/// seconds since the epoch, are told as it.
///
/// An engine asks for a file again when something of this differs from what it keeps. Where times
/// are clamped, a file that was changed may look like the one before; so all files get the number
/// of a device, which no file can keep, and are asked for every time.
pub(super) fn of(path: String, seen: &walk::Stat, clamp: Option<i64>) -> Stat {
    let kind = seen.kind();
    let latest = clamp.map_or(i64::MAX, |clamp| clamp.saturating_mul(SECOND));
    Stat {
        devminor: i64::from(clamp.is_some() && kind == Kind::File),
        path,
        mode: go_mode(seen),
        size: match kind {
            Kind::Folder => 0,
            _ => i64::try_from(seen.size).unwrap_or(i64::MAX),
        },
        mod_time: seen.modified.min(latest),
        ..Stat::default()
    }
}

/// Of a folder that is in memory only.
pub(super) fn of_folder(path: String) -> Stat {
    Stat {
        path,
        mode: FOLDER | 0o755,
        ..Stat::default()
    }
}

/// Of a file in memory. Its time is made from its content: by size and time alone the engine tells
/// whether it has the file already.
pub(super) fn of_bytes(path: String, content: &[u8]) -> Stat {
    // Some file systems know no time after 2038.
    const END: u64 = (1 << 31) * SECOND.unsigned_abs();
    let hash = blake3::hash(content);
    let bytes = hash.as_bytes().iter().take(8);
    let number = bytes.fold(0, |number, byte| number << 8 | u64::from(*byte));
    Stat {
        path,
        mode: 0o644,
        size: i64::try_from(content.len()).unwrap_or(i64::MAX),
        mod_time: i64::try_from(number % END).unwrap_or_default(),
        ..Stat::default()
    }
}

/// The capabilities that a program has from its file.
pub(super) fn capabilities(at: &Path, seen: &walk::Stat) -> Option<(String, Vec<u8>)> {
    const NAME: &str = "security.capability";
    if seen.mode & 0o111 == 0 {
        return None;
    }
    let mut value = [0; MOST_CAPABILITIES];
    // Most files have none, and some file systems know none.
    let length = rustix::fs::lgetxattr(at, NAME, &mut value).ok()?;
    Some((NAME.to_owned(), value.get(..length)?.to_vec()))
}

fn go_mode(seen: &walk::Stat) -> u32 {
    let mode = seen.mode;
    let bits = [(0o4000, SETUID), (0o2000, SETGID), (0o1000, STICKY)];
    let special = bits
        .iter()
        .filter(|(bit, _)| mode & bit != 0)
        .fold(0, |all, (_, go)| all | go);
    let kind = match seen.kind() {
        Kind::Folder => FOLDER,
        Kind::Link => LINK,
        Kind::File | Kind::Special => 0,
    };
    kind | special | mode & 0o777
}
