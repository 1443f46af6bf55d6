//! Keeps secrets out of whatever people see: logs, reports, errors. One automaton knows each secret
//! in every spelling in which programs usually print one, and everything that overlaps one of them
//! is masked. It refuses to guess: text in which no secret stands is never changed.
//!
//! What it cannot see: a secret that a program scrambles in a way of its own, and a line of less
//! than [`Redactor::SHORTEST`] bytes of a longer secret where it is printed alone. Text is to be
//! masked before it is cut: half a secret is not recognised.

mod automaton;
mod spelling;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use automaton::{Automaton, Place};

/// A secret that cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmaskable {
    /// It would be found in innocent text everywhere.
    #[error(
        "it has {length} bytes, not counting white space around it; \
         at least {} are needed to mask a secret",
        Redactor::SHORTEST
    )]
    TooShort {
        /// Which of the given secrets, from 0.
        index: usize,
        /// Its length in bytes, white space around it not counted.
        length: usize,
    },
    /// All its spellings together would take too much memory.
    #[error("it has {length} bytes; at most {} can be masked", Redactor::LONGEST)]
    TooLong {
        /// Which of the given secrets, from 0.
        index: usize,
        /// Its length in bytes.
        length: usize,
    },
}

/// Masks secrets. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Absent where there are no secrets.
    automaton: Option<Arc<Automaton>>,
}

impl Redactor {
    /// What stands where a secret stood.
    pub const MASK: &'static str = "***";
    /// The least length of a secret, bytes.
    pub const SHORTEST: usize = 8;
    /// The greatest length of a secret, bytes: for each, its spellings take some KiB of memory.
    pub const LONGEST: usize = 64 << 10;

    /// Learns secrets: each as it is and trimmed, each of its lines from [`Redactor::SHORTEST`]
    /// bytes on, and all of them in hexadecimal, base64, percent-encoded, and as JSON, XML and
    /// shells escape them.
    ///
    /// # Errors
    /// When one is too short or too long.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, Unmaskable> {
        let mut patterns = spelling::Patterns::new();
        let mut last = (0, 0);
        for (index, secret) in secrets.into_iter().enumerate() {
            let secret = secret.as_ref();
            let length = secret.trim_ascii().len();
            if length < Self::SHORTEST {
                return Err(Unmaskable::TooShort { index, length });
            }
            last = (index, secret.len());
            if secret.len() > Self::LONGEST {
                return Err(Unmaskable::TooLong {
                    index,
                    length: secret.len(),
                });
            }
            spelling::collect(secret, &mut patterns);
        }
        if patterns.is_empty() {
            return Ok(Self::default());
        }
        let (index, length) = last;
        let automaton = Automaton::new(&patterns).ok_or(Unmaskable::TooLong { index, length })?;
        Ok(Self {
            automaton: Some(Arc::new(automaton)),
        })
    }

    /// The text with every secret masked.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.redact_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
                Ok(text) => text,
                // A secret that is no text itself may begin or end inside a character.
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        }
    }

    /// The bytes with every secret masked.
    #[must_use]
    pub fn redact_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(automaton) = &self.automaton else {
            return Cow::Borrowed(bytes);
        };
        let mut spans = Spans::default();
        automaton.scan(automaton.start(), bytes, |end, length| {
            spans.add(end - length..end)
        });
        if spans.0.is_empty() {
            return Cow::Borrowed(bytes);
        }
        Cow::Owned(spans.mask(bytes, 0))
    }

    /// Masks secrets in all strings and keys of a JSON value, and in numbers, which become strings
    /// then. Keys that become equal by it stay apart.
    pub fn redact_json(&self, value: &mut Value) {
        if self.automaton.is_none() {
            return;
        }
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                if let Cow::Owned(masked) = self.redact(&number.to_string()) {
                    *value = Value::String(masked);
                }
            }
            Value::String(text) => {
                if let Cow::Owned(masked) = self.redact(text) {
                    *text = masked;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(map) => {
                map.values_mut().for_each(|item| self.redact_json(item));
                if map
                    .keys()
                    .any(|key| matches!(self.redact(key), Cow::Owned(_)))
                {
                    for (key, item) in std::mem::take(map) {
                        let mut masked = self.redact(&key).into_owned();
                        while map.contains_key(&masked) {
                            masked.push('\'');
                        }
                        map.insert(masked, item);
                    }
                }
            }
        }
    }

    /// A masker for a stream that comes in chunks.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream {
            place: self
                .automaton
                .as_ref()
                .map_or_else(Place::default, |a| a.start()),
            automaton: self.automaton.clone(),
            held: Vec::new(),
            base: 0,
            floor: 0,
            spans: Spans::default(),
        }
    }
}

/// Masks secrets in a stream, wherever its chunks split them. It holds back only the longest end
/// that may be the beginning of a secret: what comes out of all [`Stream::push`]es and the
/// [`Stream::flush`] is what [`Redactor::redact_bytes`] makes of the whole.
pub struct Stream {
    automaton: Option<Arc<Automaton>>,
    place: Place,
    /// The end of what came, not shown yet.
    held: Vec<u8>,
    /// Where `held` begins. All positions are bytes since the stream's start.
    base: usize,
    /// What came before this was shown by [`Stream::idle`].
    floor: usize,
    /// Secrets that reach into `held`. Where one begins before it, its mask was shown.
    spans: Spans,
}

impl Stream {
    /// How many bytes that may be the beginning of a secret [`Stream::idle`] shows.
    pub const IDLE: usize = 3;

    /// Takes the next chunk and gives what can be shown of all that came. Where there is no secret,
    /// that is the chunk itself, not copied.
    pub fn push<'a>(&mut self, chunk: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(automaton) = &self.automaton else {
            return Cow::Borrowed(chunk);
        };
        let (spans, floor) = (&mut self.spans, self.floor);
        let before = self.base + self.held.len();
        self.place = automaton.scan(self.place, chunk, |end, length| {
            let end = before + end;
            spans.add(end.saturating_sub(length).max(floor)..end);
        });
        // A secret that is not complete yet begins here or later.
        let safe = (before + chunk.len()).saturating_sub(automaton.depth(self.place));
        let shown = safe.saturating_sub(self.base);
        if self.held.is_empty()
            && self.spans.0.is_empty()
            && let Some((clear, rest)) = chunk.split_at_checked(shown)
        {
            self.held.extend_from_slice(rest);
            self.base += clear.len();
            return Cow::Borrowed(clear);
        }
        self.held.extend_from_slice(chunk);
        Cow::Owned(self.show(shown))
    }

    /// Gives what is held back when nothing has come for a while, so that a prompt without an end
    /// of line shows.
    ///
    /// The risk: where a secret comes in two pieces with a pause between, its beginning is shown.
    /// So at most [`Stream::IDLE`] bytes that no mask covers are given; more wait for what follows.
    /// The rest of such a secret is masked all the same.
    pub fn idle(&mut self) -> Vec<u8> {
        let Some(automaton) = &self.automaton else {
            return Vec::new();
        };
        let covered = |span: &Range<usize>| span.end - span.start.max(self.base);
        let masked: usize = self.spans.0.iter().map(covered).sum();
        // This counts what was shown before, too: no secret comes out byte by byte.
        let begun = automaton.depth(self.place);
        if begun > masked + Self::IDLE {
            return Vec::new();
        }
        let out = self.show(self.held.len());
        self.floor = self.base;
        out
    }

    /// Gives all that is held back, at the stream's end; what comes after is a new stream. A secret
    /// that the end cuts off is not recognised.
    pub fn flush(&mut self) -> Vec<u8> {
        let out = self.show(self.held.len());
        self.floor = self.base;
        self.place = self
            .automaton
            .as_ref()
            .map_or_else(Place::default, |a| a.start());
        out
    }

    /// Takes so many bytes of what is held back and masks them.
    fn show(&mut self, length: usize) -> Vec<u8> {
        let rest = self.held.split_off(length.min(self.held.len()));
        let clear = std::mem::replace(&mut self.held, rest);
        let out = self.spans.mask(&clear, self.base);
        self.base += clear.len();
        self.spans.0.retain(|span| span.end > self.base);
        out
    }
}

/// Where secrets stand: ranges in their order that do not overlap.
#[derive(Default)]
struct Spans(Vec<Range<usize>>);

impl Spans {
    /// Adds a range that ends after all others, and makes one of those that overlap.
    fn add(&mut self, mut span: Range<usize>) {
        while let Some(last) = self.0.pop_if(|last| last.end > span.start) {
            span.start = span.start.min(last.start);
        }
        self.0.push(span);
    }

    /// The bytes, of which the first is at `base`, with a mask where a range begins and nothing
    /// where it goes on.
    fn mask(&self, bytes: &[u8], base: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut done = 0;
        for span in &self.0 {
            let start = span.start.saturating_sub(base);
            if start >= bytes.len() {
                break;
            }
            out.extend_from_slice(bytes.get(done..start).unwrap_or_default());
            if span.start >= base {
                out.extend_from_slice(Redactor::MASK.as_bytes());
            }
            done = (span.end - base).min(bytes.len());
        }
        out.extend_from_slice(bytes.get(done..).unwrap_or_default());
        out
    }
}

impl fmt::Debug for Redactor {
    /// Never what it masks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl fmt::Debug for Stream {
    /// Never what it masks or holds back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
