//! What is kept of a step's output: a file with a limit, and its end in memory. Both take bytes
//! that are masked already.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};

/// What [`Tail`] keeps, bytes.
const TAIL: usize = 64 << 10;
/// What [`Tail::text`] gives, lines.
const TAIL_LINES: usize = 50;

/// A step's log: what comes until the limit, and then how much came after it.
pub(super) struct Log {
    file: BufWriter<File>,
    /// How many more bytes may come.
    room: u64,
    /// How many bytes came after that.
    cut: u64,
    error: Option<io::Error>,
}

impl Log {
    pub(super) fn new(file: File, limit: u64) -> Self {
        Self {
            file: BufWriter::with_capacity(TAIL, file),
            room: limit,
            cut: 0,
            error: None,
        }
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        let fits = bytes
            .len()
            .min(usize::try_from(self.room).unwrap_or(usize::MAX));
        let (kept, cut) = bytes.split_at_checked(fits).unwrap_or((bytes, &[]));
        self.room -= length(kept);
        self.cut += length(cut);
        self.attempt(|file| file.write_all(kept));
    }

    pub(super) fn flush(&mut self) {
        self.attempt(BufWriter::flush);
    }

    /// Writes all there is, and how much is missing; gives the first error that there was.
    pub(super) fn close(&mut self) -> io::Result<()> {
        if let cut @ 1.. = std::mem::take(&mut self.cut) {
            let mark = format!("\n[hoist: the log ends here; {cut} more bytes were printed]\n");
            self.attempt(|file| file.write_all(mark.as_bytes()));
        }
        self.flush();
        match &self.error {
            None => Ok(()),
            Some(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }

    /// A log with a hole would mislead: after an error nothing more is written.
    fn attempt(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        if self.error.is_none() {
            self.error = write(&mut self.file).err();
        }
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The end of what was printed.
#[derive(Default)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
}

impl Tail {
    pub(super) fn append(&mut self, bytes: &[u8]) {
        let skip = bytes.len().saturating_sub(TAIL);
        let last = bytes.get(skip..).unwrap_or_default();
        let over = (self.bytes.len() + last.len()).saturating_sub(TAIL);
        self.bytes.drain(..over);
        self.bytes.extend(last);
    }

    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.trim_end_matches(['\n', '\r']).split('\n').collect();
        lines
            .get(lines.len().saturating_sub(TAIL_LINES)..)
            .unwrap_or_default()
            .join("\n")
    }
}
