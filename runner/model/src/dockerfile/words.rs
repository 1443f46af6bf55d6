//! The words of an instruction: lines joined, quotes taken off, variables filled in. What a shell
//! could do beyond that is refused by saying that it is not known.

use std::collections::BTreeMap;

/// An instruction's lines as one, without what continues them.
pub(super) fn joined(text: &str) -> String {
    let lines = text.lines().filter(|line| !super::is_comment(line));
    lines
        .map(|line| line.trim_end().trim_end_matches(['\\', '`']))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The words of a line, split where a blank stands outside of quotes; quotes and escapes stay.
pub(super) fn split(line: &str, escape: char) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (c, None | Some('"')) if c == escape => {
                word.push(c);
                word.extend(chars.next());
                continue;
            }
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A word with its quotes taken off and its variables filled in; an unset one is empty. `None`
/// where it asks for more than plain substitution and defaults.
pub(super) fn expand(
    word: &str,
    escape: char,
    variables: &BTreeMap<String, String>,
) -> Option<String> {
    let (mut out, mut quote) = (String::new(), None);
    let mut rest = word;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..)?;
        rest = after;
        match (c, quote) {
            ('\'', None) | ('"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, Some('\'')) => out.push(c),
            (c, _) if c == escape => {
                let escaped = after.chars().next()?;
                out.push(escaped);
                rest = after.get(escaped.len_utf8()..)?;
            }
            ('$', _) => {
                let (value, left) = variable(after, escape, variables)?;
                out.push_str(&value);
                rest = left;
            }
            (c, _) => out.push(c),
        }
    }
    quote.is_none().then_some(out)
}

/// What a `$` stands for, and what comes after it.
fn variable<'t>(
    text: &'t str,
    escape: char,
    variables: &BTreeMap<String, String>,
) -> Option<(String, &'t str)> {
    let get = |name: &str| variables.get(name).map(String::as_str).unwrap_or_default();
    let Some(inside) = text.strip_prefix('{') else {
        let name = name(text);
        let rest = text.get(name.len()..)?;
        return match name {
            "" => Some(("$".to_owned(), rest)),
            name => Some((get(name).to_owned(), rest)),
        };
    };
    let end = closing(inside)?;
    let (inside, rest) = (inside.get(..end)?, inside.get(end + 1..)?);
    let name = name(inside);
    if name.is_empty() {
        return None;
    }
    let set = variables.contains_key(name);
    let filled = !get(name).is_empty();
    let modifier = inside.get(name.len()..)?;
    let word = |from: usize| expand(modifier.get(from..)?, escape, variables);
    let value = if modifier.is_empty() || filled && modifier.starts_with(":-") {
        get(name).to_owned()
    } else if modifier.starts_with(":-") {
        word(2)?
    } else if modifier.starts_with(":+") {
        if filled { word(2)? } else { String::new() }
    } else if modifier.starts_with('-') {
        if set { get(name).to_owned() } else { word(1)? }
    } else if modifier.starts_with('+') {
        if set { word(1)? } else { String::new() }
    } else {
        return None;
    };
    Some((value, rest))
}

fn name(text: &str) -> &str {
    let end = text
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_alphabetic() || *c == '_' || *at > 0 && c.is_ascii_digit()))
        .map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

/// Where the brace is that closes one which is open already.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}
