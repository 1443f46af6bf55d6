//! The lines of a log, of whatever size the log and its lines are: no more than a bounded piece is
//! held at any time.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::ops::ControlFlow;
use std::path::Path;

use hoist_model::reason::Trouble;

/// What is kept of a line before it is cleaned, bytes; what follows is dropped.
const KEPT: usize = 16 << 10;

/// Calls `each` with the number, from 1, and the clean text of each line; gives how many there
/// were. A log that is not there has none.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn each(
    path: &Path,
    mut each: impl FnMut(usize, String) -> ControlFlow<()>,
) -> Result<usize, Trouble> {
    let failed = |error: std::io::Error| {
        Trouble::new("the log cannot be read").cause(format!("{}: {error}", path.display()))
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed(error)),
    };
    let mut reader = BufReader::new(file);
    let (mut line, mut number, mut begun) = (Vec::new(), 0, false);
    loop {
        let piece = reader.fill_buf().map_err(failed)?;
        if piece.is_empty() && !begun {
            return Ok(number);
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let text = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
        let room = KEPT.saturating_sub(line.len()).min(text.len());
        line.extend_from_slice(text.get(..room).unwrap_or_default());
        let (over, taken) = (piece.is_empty(), end.map_or(piece.len(), |end| end + 1));
        begun = true;
        reader.consume(taken);
        if end.is_none() && !over {
            continue;
        }
        number += 1;
        let shown = crate::text::line(&String::from_utf8_lossy(&line));
        if each(number, shown).is_break() {
            return Ok(number);
        }
        line.clear();
        begun = false;
        if over {
            return Ok(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<(usize, String)> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut all = Vec::new();
        let counted = each(file.path(), |number, text| {
            all.push((number, text));
            ControlFlow::Continue(())
        });
        assert_eq!(counted.unwrap(), all.len());
        all
    }

    #[test]
    fn lines_are_numbered_from_one() {
        assert_eq!(read(b""), []);
        assert_eq!(read(b"a\n"), [(1, "a".to_owned())]);
        let three = [(1, "a".to_owned()), (2, String::new()), (3, "b".to_owned())];
        assert_eq!(read(b"a\n\nb"), three);
    }

    #[test]
    fn a_long_line_is_cut_and_takes_no_memory() {
        let mut bytes = vec![b'x'; 1 << 20];
        bytes.extend_from_slice(b"\nafter\n");
        let all = read(&bytes);
        assert!(all[0].1.ends_with("characters cut]") && all[0].1.len() < 2_100);
        assert_eq!(all[1].1, "after");
    }

    #[test]
    fn what_is_no_text_is_read_all_the_same() {
        assert_eq!(read(b"\xff\xfe\x00a\n").len(), 1);
    }
}
