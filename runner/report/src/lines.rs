//! From pieces of output to lines that a terminal may see. Bytes are split first and decoded last,
//! so that a character cut in two arrives whole. Escape sequences other than colours are taken out,
//! for a step's output must not be able to move the cursor or set the title. Nothing is dropped.

use std::collections::HashMap;

use hoist_model::event::{Output, Stream};
use hoist_model::ids::StepId;

/// The longest line that is held back for its end, bytes; a longer one is passed on in pieces.
const LONGEST: usize = 16 * 1024;

/// Puts pieces together to lines, each stream of each step for itself.
#[derive(Debug, Default)]
pub struct Lines {
    open: HashMap<(StepId, Stream), Vec<u8>>,
}

impl Lines {
    /// Takes a piece and gives each line that it completes, without its end.
    pub fn push(&mut self, output: &Output, mut line: impl FnMut(&[u8])) {
        let key = (output.step.clone(), output.stream);
        let open = self.open.entry(key).or_default();
        let mut rest = output.bytes.as_slice();
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = rest.split_at(at);
            if open.is_empty() {
                line(without_return(head));
            } else {
                open.extend_from_slice(head);
                line(without_return(open));
                open.clear();
            }
            rest = tail.get(1..).unwrap_or_default();
        }
        open.extend_from_slice(rest);
        if open.len() >= LONGEST {
            line(open);
            open.clear();
        }
    }

    /// Gives what is left of a step without a line's end, and forgets the step.
    pub fn end(&mut self, step: &StepId, mut line: impl FnMut(&[u8])) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(open) = self.open.remove(&(step.clone(), stream))
                && !open.is_empty()
            {
                line(without_return(&open));
            }
        }
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A line as a terminal may see it: valid text without control characters; colours are kept where
/// `colour` allows. Of text that was overwritten by carriage returns, what stood last is kept.
#[must_use]
pub fn clean(line: &[u8], colour: bool) -> String {
    let plain = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    if line.iter().all(plain) {
        return String::from_utf8_lossy(line).into_owned();
    }
    let text = String::from_utf8_lossy(line);
    let shown = text
        .rsplit('\r')
        .find(|part| !part.is_empty())
        .unwrap_or_default();
    let mut out = String::with_capacity(shown.len());
    let mut coloured = false;
    let mut chars = shown.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                if let Some(sgr) = escape(&mut chars)
                    && colour
                {
                    coloured = true;
                    out.push_str(&sgr);
                }
            }
            '\u{9b}' => {
                let _ = sequence(&mut chars);
            }
            '\t' => out.push('\t'),
            c if c.is_control() => {}
            // Bidirectional overrides can make a line read otherwise than it is.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c => out.push(c),
        }
    }
    if coloured {
        out.push_str("\u{1b}[0m");
    }
    out
}

/// Eats what follows an escape character; gives the whole sequence if it only sets colours.
fn escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    match chars.peek() {
        Some('[') => {
            chars.next();
            let (parameters, end) = sequence(chars)?;
            let sgr = end == 'm'
                && parameters
                    .chars()
                    .all(|c| matches!(c, '0'..='9' | ';' | ':'));
            sgr.then(|| format!("\u{1b}[{parameters}m"))
        }
        // Operating-system commands and their like run to a bell or a string terminator.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            while let Some(c) = chars.next() {
                if c == '\u{7}' || c == '\u{9c}' {
                    break;
                }
                if c == '\u{1b}' && chars.peek() == Some(&'\\') {
                    chars.next();
                    break;
                }
            }
            None
        }
        Some(_) => {
            chars.next();
            None
        }
        None => None,
    }
}

/// The parameters and the final character of a control sequence.
fn sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<(String, char)> {
    let mut parameters = String::new();
    for c in chars.by_ref() {
        match c {
            '\u{40}'..='\u{7e}' => return Some((parameters, c)),
            '\u{20}'..='\u{3f}' => parameters.push(c),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(bytes: &[u8]) -> Output {
        Output {
            step: StepId::from("a"),
            stream: Stream::Stdout,
            bytes: bytes.to_vec(),
        }
    }

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for bytes in pieces {
            lines.push(&piece(bytes), |line| out.push(clean(line, false)));
        }
        lines.end(&StepId::from("a"), |line| out.push(clean(line, false)));
        out
    }

    #[test]
    fn a_character_cut_in_two_arrives_whole() {
        assert_eq!(split(&[b"gr\xc3", b"\xbcn\r\nend"]), ["grün", "end"]);
    }

    #[test]
    fn a_line_without_an_end_is_passed_on_in_pieces_and_whole() {
        let long = vec![b'x'; 3 * LONGEST + 5];
        let out = split(&[&long]);
        assert_eq!(out.concat().len(), long.len());
    }

    #[test]
    fn only_colours_survive_and_only_if_wanted() {
        let hostile =
            b"\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m\x1b[5A \x1b]8;;x\x1b\\link\x08\x00";
        assert_eq!(clean(hostile, false), "red link");
        assert_eq!(clean(hostile, true), "\u{1b}[31mred\u{1b}[0m link\u{1b}[0m");
    }

    #[test]
    fn what_was_overwritten_is_not_shown() {
        assert_eq!(clean(b" 10%\r 50%\r100%", false), "100%");
        assert_eq!(clean(b"100%\r", false), "100%");
    }

    proptest! {
        #[test]
        fn cleaned_text_holds_no_control_character(bytes: Vec<u8>) {
            let text = clean(&bytes, false);
            prop_assert!(text.chars().all(|c| c == '\t' || !c.is_control()));
        }

        #[test]
        fn no_piece_of_a_line_is_lost(
            text in "[a-z\n]{0,300}", cuts in prop::collection::vec(0usize..300, 0..8)
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> =
                cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            let expected: Vec<String> = text.lines().map(str::to_owned).collect();
            prop_assert_eq!(split(&pieces), expected);
        }
    }
}
