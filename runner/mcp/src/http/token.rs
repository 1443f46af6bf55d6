//! The word that opens the server: given by people, or made once and kept where only its owner may
//! read it. It is never shown, by `Debug` neither.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use hoist_model::reason::Trouble;
use uuid::Uuid;

/// The fewest characters of a token: fewer could be guessed.
const LEAST: usize = 16;
/// The most bytes of a file that a token is read from.
const MOST: u64 = 4096;

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// A token that came from `place`, without the blanks around it.
    ///
    /// # Errors
    /// When it is too short, or holds what a header cannot.
    pub fn new(text: &str, place: &str) -> Result<Self, Trouble> {
        let text = text.trim();
        if text.len() < LEAST {
            return Err(Trouble::new(format!("the token in {place} is too short"))
                .hint(format!("give it at least {LEAST} characters")));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Trouble::new(format!("the token in {place} cannot be sent"))
                .cause("it holds something else than letters, digits and signs of ASCII")
                .hint("`openssl rand -hex 32` makes a good one"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The token in a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no token.
    pub fn read(path: &Path) -> Result<Self, Trouble> {
        let shown = path.display().to_string();
        let failed = |cause: String| {
            Trouble::new(format!("cannot read the token in {shown}"))
                .cause(cause)
                .hint("name a file that holds nothing else with --token-file")
        };
        let about = path.metadata().map_err(|error| failed(error.to_string()))?;
        if !about.is_file() || about.len() > MOST {
            return Err(failed("it is no small file".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        Self::new(&text, &shown)
    }

    /// The token that hoist keeps in this file; made if there is none yet.
    ///
    /// # Errors
    /// When it cannot be read or written, or others may read it.
    pub fn kept(path: &Path) -> Result<Self, Trouble> {
        if !path.exists() {
            make(path).map_err(|error| {
                Trouble::new(format!("cannot write a token to {}", path.display()))
                    .cause(error.to_string())
                    .hint("name a file that holds one with --token-file")
            })?;
        }
        let mode = path.metadata().map(|about| about.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o077 != 0) {
            return Err(
                Trouble::new(format!("others may read the token in {}", path.display()))
                    .hint("remove the file: the next start makes another token"),
            );
        }
        Self::read(path)
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// Writes a new token, whole or not at all; one that somebody else wrote meanwhile stays.
fn make(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    // Only its owner may read what `tempfile` makes.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    // 244 bits of chance.
    let (a, b) = (Uuid::new_v4().simple(), Uuid::new_v4().simple());
    writeln!(file, "{a}{b}")?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/hoist/token");
        let first = Token::kept(&path).unwrap();
        assert_eq!(first.text().len(), 64);
        assert_eq!(Token::kept(&path).unwrap(), first);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Token::kept(&path).unwrap_err().what.contains("others"));
        assert!(!format!("{first:?}").contains(first.text()));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for wrong in [
            "",
            "short",
            "with a blank between",
            "ünicode-is-not-sent-so",
        ] {
            assert!(Token::new(wrong, "here").is_err(), "{wrong}");
        }
        assert!(Token::read(Path::new("/dev/zero")).is_err());
    }
}
