//! Hashes with a key of the user's own, so that a digest tells nothing of a secret to those who
//! see it. The key is never shown, sent or part of a context.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use hoist_model::inputs::{Input, Part};

/// The file that holds the key, readable by its owner alone.
const FILE: &str = "key";
const MODE: u32 = 0o600;

/// A key for hashing.
#[derive(Clone)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// The keyed hash of a text that stands for `what`, in hexadecimal digits.
    pub(super) fn hash(&self, what: &str, text: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in [what, text] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            hasher.update(&length.to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

impl Key {
    /// A part of which nobody is to see the content.
    pub(super) fn hidden(&self, part: Part, text: &str) -> Input {
        let digest = self.hash(&part.to_string(), text);
        Input {
            part,
            digest,
            shown: None,
        }
    }

    /// A part with its content.
    pub(super) fn shown(&self, part: Part, text: &str) -> Input {
        Input {
            shown: Some(text.to_owned()),
            ..self.hidden(part, text)
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// The key that is kept in `folder`; a new one where there is none that can be used.
pub(super) fn load(folder: &Path) -> io::Result<Key> {
    let path = folder.join(FILE);
    if let Some(key) = read(&path) {
        return Ok(key);
    }
    let key = random()?;
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft
        .as_file()
        .set_permissions(fs::Permissions::from_mode(MODE))?;
    draft.write_all(&key)?;
    draft.as_file().sync_all()?;
    match draft.persist_noclobber(&path) {
        Ok(_) => Ok(Key(key)),
        // Another run was faster, or what is there is no key.
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => match read(&path) {
            Some(key) => Ok(key),
            None => {
                error.file.persist(&path)?;
                Ok(Key(key))
            }
        },
        Err(error) => Err(error.error),
    }
}

/// A key that others could read, or that is not this user's, is none.
fn read(path: &Path) -> Option<Key> {
    let data = fs::symlink_metadata(path).ok()?;
    let own = data.uid() == rustix::process::geteuid().as_raw();
    if !data.is_file() || data.mode() & 0o777 != MODE || !own || data.len() != 32 {
        return None;
    }
    let mut key = [0; 32];
    File::open(path).ok()?.read_exact(&mut key).ok()?;
    Some(Key(key))
}

fn random() -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let hash = || load(folder.path()).unwrap().hash("secret", "value");
        let first = hash();
        assert_eq!(hash(), first);
        let path = folder.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        // One that came along with the project is not taken.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let second = hash();
        assert_ne!(second, first);
        assert_eq!(hash(), second);
        fs::write(&path, "short").unwrap();
        assert_ne!(hash(), second);
    }

    #[test]
    fn what_is_hashed_cannot_be_shifted() {
        let folder = tempfile::tempdir().unwrap();
        let key = load(folder.path()).unwrap();
        assert_ne!(key.hash("ab", "c"), key.hash("a", "bc"));
        assert_eq!(format!("{key:?}"), "Key");
    }
}
