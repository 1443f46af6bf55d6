//! Outputs of a step: the file of `KEY=VALUE` lines that it leaves. A value is of one line and taken
//! as it is. What is no output is told of and left out, and never the end of anything: whoever needs
//! a key that is not there fails for that.

use std::collections::BTreeMap;

/// Bytes of the largest file that is read.
pub const MAX_BYTES: usize = 64 << 10;
/// Lines that are read.
pub const MAX_LINES: usize = 1_000;
/// Characters of the longest key.
pub const MAX_KEY: usize = 100;
/// Lines of which it is told that they were left out.
const TOLD: usize = 5;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// The values; of a key that stands there twice the later one.
    pub values: BTreeMap<String, String>,
    /// What was left out and why, one sentence each, without any text of the file.
    pub left_out: Vec<String>,
}

/// Whether a step can have an output of that name: letters, digits, `_` and `-`, no digit or `-` at
/// its start.
#[must_use]
pub fn is_key(key: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    key.starts_with(begins)
        && key.len() <= MAX_KEY
        && key
            .chars()
            .all(|c| begins(c) || c.is_ascii_digit() || c == '-')
}

/// Reads the lines of a file.
#[must_use]
pub fn read(file: &[u8]) -> Outputs {
    let mut outputs = Outputs::default();
    let mut more = 0;
    for (number, line) in (1..).zip(file.split(|byte| *byte == b'\n')) {
        if number > MAX_LINES {
            if !file.ends_with(b"\n") || !line.is_empty() {
                let why = format!("all after line {MAX_LINES}: it is too much");
                outputs.left_out.push(why);
            }
            break;
        }
        match read_line(line) {
            Ok(Some((key, value))) => {
                outputs.values.insert(key, value);
            }
            Ok(None) => {}
            Err(why) if outputs.left_out.len() < TOLD => {
                outputs.left_out.push(format!("line {number}: {why}"));
            }
            Err(_) => more += 1,
        }
    }
    if more > 0 {
        outputs.left_out.push(format!("{more} more lines"));
    }
    outputs
}

/// The key and value of a line; `None` of an empty one.
fn read_line(line: &[u8]) -> Result<Option<(String, String)>, &'static str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    if line.trim().is_empty() {
        return Ok(None);
    }
    let (key, value) = line.split_once('=').ok_or("it has no `=`")?;
    if !is_key(key) {
        return Err("its key is not of letters, digits, `_` and `-`");
    }
    if value.contains('\0') {
        return Err("its value has a NUL, which no variable can hold");
    }
    Ok(Some((key.to_owned(), value.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_taken_as_they_are() {
        let read = read(b"A=1\n\nb-c= x = \"y\" \r\n_d=\nA=2");
        let values: Vec<_> = read.values.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(values, [("A", "2"), ("_d", ""), ("b-c", " x = \"y\" ")]);
        assert_eq!(read.left_out, [""; 0]);
    }

    #[test]
    fn what_is_no_output_is_left_out_and_told() {
        let long = format!("{}=1", "k".repeat(MAX_KEY + 1));
        let file = format!("plain\n1A=x\n=x\n a=x\n{long}\nb=\0\nok=yes");
        let read = read(file.as_bytes());
        assert_eq!(read.values.len(), 1);
        assert_eq!(read.left_out.len(), TOLD + 1);
        assert_eq!(read.left_out[0], "line 1: it has no `=`");
        assert_eq!(read.left_out[TOLD], "1 more lines");
        assert_eq!(super::read(b"a=\xff").left_out, ["line 1: it is not UTF-8"]);
    }

    #[test]
    fn lines_are_bounded() {
        let whole = "a=1\n".repeat(MAX_LINES);
        assert_eq!(read(whole.as_bytes()).left_out, [""; 0]);
        let read = read(format!("{whole}b=2").as_bytes());
        assert!(!read.values.contains_key("b"));
        assert_eq!(read.left_out.len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(file in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = read(&file);
            prop_assert!(read.values.keys().all(|key| is_key(key)));
        }
    }
}
