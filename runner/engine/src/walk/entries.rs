//! A tar of entries that hoist makes up: folders, secrets, an image's archive.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use hoist_model::reason::Trouble;
use tar::{EntryType, Header};

use super::Owner;
use super::pieces::{Halt, produce};
use crate::backend::ByteStream;

/// An entry of such a tar.
pub(crate) struct Entry {
    /// Its path; a slash at its start does not count.
    pub(crate) path: String,
    /// Whose it is.
    pub(crate) owner: Owner,
    /// Its permissions, taken as they are.
    pub(crate) mode: u32,
    /// What it is.
    pub(crate) content: Content,
}

/// What an entry is.
pub(crate) enum Content {
    /// A folder.
    Folder,
    /// A file with these bytes.
    Bytes(Vec<u8>),
    /// A file with the first bytes, so many of them, of an open file.
    File(File, u64),
}

impl Entry {
    /// A folder. With an owner who is not known it is open to all.
    pub(crate) fn folder(path: &str, owner: Owner) -> Self {
        let mode = owner.mode(0o755);
        Self {
            path: path.to_owned(),
            owner,
            mode,
            content: Content::Folder,
        }
    }
}

/// The tar of these entries, in their order.
pub(crate) fn tar_of(entries: Vec<Entry>) -> ByteStream {
    produce(
        move |tar| {
            for entry in entries {
                let mut header = Header::new_gnu();
                header.set_mode(entry.mode);
                header.set_uid(entry.owner.uid);
                header.set_gid(entry.owner.gid);
                header.set_mtime(0);
                let path = Path::new(entry.path.trim_matches('/'));
                let written = match entry.content {
                    Content::Folder => {
                        header.set_entry_type(EntryType::Directory);
                        header.set_size(0);
                        tar.append_data(&mut header, path, io::empty())
                    }
                    Content::Bytes(bytes) => {
                        header.set_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                        tar.append_data(&mut header, path, bytes.as_slice())
                    }
                    Content::File(file, size) => {
                        header.set_size(size);
                        tar.append_data(&mut header, path, file.take(size))
                    }
                };
                if let Err(error) = written {
                    if tar.get_ref().is_unwanted() {
                        return Err(Halt::Unwanted);
                    }
                    let what = format!("`{}` cannot be sent", path.display());
                    return Err(Trouble::new(what).cause(error.to_string()).into());
                }
            }
            Ok(())
        },
        |_| {},
    )
}
