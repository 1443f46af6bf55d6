//! Places inside strings: from a byte of a string's value to the byte of the file that wrote it,
//! past quotes and escapes.

use std::ops::Range;

/// Where a range of a string's value stands in the file. `span` is the whole string with its
/// quotes; it is the answer itself where the two cannot be matched.
pub(crate) fn inside(
    text: &str,
    span: &Range<usize>,
    value: &str,
    range: &Range<usize>,
) -> Range<usize> {
    find(text, span, value, range).unwrap_or_else(|| span.clone())
}

fn find(
    text: &str,
    span: &Range<usize>,
    value: &str,
    range: &Range<usize>,
) -> Option<Range<usize>> {
    let raw = text.get(span.clone())?;
    let open = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|quote| raw.starts_with(quote));
    let open = open.unwrap_or_default();
    let escapes = open.starts_with('"');
    let mut at = open.len();
    if open.len() == 3 {
        let body = raw.get(at..)?;
        at += if body.starts_with("\r\n") {
            2
        } else {
            usize::from(body.starts_with('\n'))
        };
    }
    let mut start = None;
    for (index, character) in value.char_indices() {
        if index >= range.end {
            break;
        }
        at = if escapes { past_folds(raw, at)? } else { at };
        if index == range.start {
            start = Some(at);
        }
        at += written(raw.get(at..)?, character, escapes)?;
    }
    let end = span.start + at;
    Some(start.map_or(end..end, |start| span.start + start..end))
}

/// Past backslashes at the ends of lines, which write nothing.
fn past_folds(raw: &str, mut at: usize) -> Option<usize> {
    loop {
        let rest = raw.get(at..)?;
        let Some(after) = rest.strip_prefix('\\') else {
            return Some(at);
        };
        if !after
            .trim_start_matches([' ', '\t', '\r'])
            .starts_with('\n')
        {
            return Some(at);
        }
        at += 1 + after.len() - after.trim_start().len();
    }
}

/// How many bytes of the file write a character.
fn written(rest: &str, character: char, escapes: bool) -> Option<usize> {
    if escapes && let Some(escape) = rest.strip_prefix('\\') {
        return Some(match escape.chars().next()? {
            'x' => 4,
            'u' => 6,
            'U' => 10,
            _ => 2,
        });
    }
    if character == '\n' && rest.starts_with("\r\n") {
        return Some(2);
    }
    rest.starts_with(character).then_some(character.len_utf8())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::At;

    fn found(document: &str, needle: &str) -> String {
        #[derive(serde::Deserialize)]
        struct File {
            key: At<String>,
        }
        let file: File = toml::from_str(document).unwrap();
        let start = file.key.value.find(needle).unwrap();
        let range = start..start + needle.len();
        let place = inside(document, &file.key.span, &file.key.value, &range);
        document.get(place).unwrap().to_owned()
    }

    #[test]
    fn every_way_to_write_a_string() {
        assert_eq!(found("key = \"a ${x} b\"", "${x}"), "${x}");
        assert_eq!(found("key = 'é ${x} b'", "${x}"), "${x}");
        assert_eq!(
            found("key = \"\\t\\u00e9\\U0001F600 ${x}\"", "${x}"),
            "${x}"
        );
        assert_eq!(found("key = \"\\u0024{x}\"", "${x}"), "\\u0024{x}");
        assert_eq!(found("key = \"\"\"\nab\\\n   c${x}\"\"\"", "${x}"), "${x}");
        assert_eq!(found("key = '''\r\na\r\n${x}'''", "${x}"), "${x}");
        assert_eq!(found("key = \"\"\"\\\n  ${x}\"\"\"", "${x}"), "${x}");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,20}", value in "\\PC{0,20}", a in 0_usize..30, b in 0_usize..30) {
            let _ = inside(&text, &(0..text.len()), &value, &(a.min(b)..a.max(b)));
        }
    }
}
