//! What is known of artifacts that the run folder keeps: a digest by which two of them are the same.
//! It is one of names, contents and execute bits, all that passing an artifact on preserves.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The digest of a file or folder, as `blake3:<hex>`. Its own name does not count.
///
/// # Errors
/// When it cannot be read.
pub(crate) async fn digest(path: PathBuf) -> io::Result<String> {
    let digest = tokio::task::spawn_blocking(move || of(&path));
    digest.await.map_err(io::Error::other)?
}

fn of(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut waiting = VecDeque::from([OsString::new()]);
    while let Some(name) = waiting.pop_front() {
        let at = if name.is_empty() {
            path.to_owned()
        } else {
            path.join(&name)
        };
        let meta = fs::symlink_metadata(&at)?;
        hasher.update(name.as_bytes());
        if meta.is_dir() {
            hasher.update(b"\0d");
            let mut names = Vec::new();
            for entry in fs::read_dir(&at)? {
                names.push(Path::new(&name).join(entry?.file_name()).into_os_string());
            }
            names.sort();
            waiting.extend(names);
        } else {
            let executable = meta.permissions().mode() & 0o100 != 0;
            hasher.update(if executable { b"\0x" } else { b"\0f" });
            let mut content = blake3::Hasher::new();
            content.update_reader(File::open(&at)?)?;
            hasher.update(content.finalize().as_bytes());
        }
    }
    Ok(format!("blake3:{}", hasher.finalize().to_hex()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_contents_and_execute_bits_count_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let tree = |name: &str, files: &[(&str, &str, u32)]| {
            let root = folder.path().join(name);
            for (file, content, mode) in files {
                let at = root.join(file);
                fs::create_dir_all(at.parent().unwrap()).unwrap();
                fs::write(&at, content).unwrap();
                fs::set_permissions(&at, fs::Permissions::from_mode(*mode)).unwrap();
            }
            of(&root).unwrap()
        };
        let first = tree("1", &[("a", "x", 0o644), ("b/c", "y", 0o755)]);
        assert_eq!(first, tree("2", &[("b/c", "y", 0o700), ("a", "x", 0o600)]));
        let others = [
            tree("3", &[("a", "z", 0o644), ("b/c", "y", 0o755)]),
            tree("4", &[("a", "x", 0o755), ("b/c", "y", 0o755)]),
            tree("5", &[("a", "x", 0o644), ("c", "y", 0o755)]),
            tree("6", &[("a", "x", 0o644)]),
        ];
        for other in others {
            assert_ne!(first, other);
        }
    }
}
