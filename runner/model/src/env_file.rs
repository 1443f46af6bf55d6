//! Files of variables as Compose's `env_file` has them: `KEY=VALUE` lines, with comments and quotes.
//! Nothing in them is interpolated, and nothing is taken from anyone's environment.

use std::collections::BTreeMap;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EnvFile {
    /// The values; of a key that stands there twice the later one.
    pub(crate) values: BTreeMap<String, String>,
    /// What is wrong, without any value.
    pub(crate) wrong: Vec<Line>,
    /// What Compose would interpolate and stays as it is.
    pub(crate) kept: Vec<Line>,
}

/// Something to be said of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: usize,
    /// A sentence without a full stop.
    pub(crate) text: String,
}

/// What is left of a text, and how far that is.
struct Rest<'t> {
    text: &'t str,
    number: usize,
}

/// Reads a file.
pub(crate) fn read(text: &str) -> EnvFile {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut file = EnvFile::default();
    let mut rest = Rest { text, number: 1 };
    while !rest.text.is_empty() {
        let number = rest.number;
        match entry(&mut rest) {
            Ok(None) => {}
            Ok(Some((key, value, literal))) => {
                if let Some(name) = reference(&value).filter(|_| !literal) {
                    let text = format!("`{name}` stays as it is: nothing is interpolated there");
                    file.kept.push(Line { number, text });
                }
                file.values.insert(key, value);
            }
            Err(text) => {
                file.wrong.push(Line { number, text });
                rest.line();
            }
        }
    }
    file
}

impl<'t> Rest<'t> {
    /// Takes so many bytes.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, left) = self.text.split_at_checked(bytes).unwrap_or((self.text, ""));
        self.number += taken.matches('\n').count();
        self.text = left;
        taken
    }

    /// Takes what is left of the line, and its end.
    fn line(&mut self) -> &'t str {
        let end = self.text.find('\n').map_or(self.text.len(), |at| at + 1);
        let line = self.take(end);
        let line = line.strip_suffix('\n').unwrap_or(line);
        line.strip_suffix('\r').unwrap_or(line)
    }
}

/// The next key with its value, and whether that is in single quotes; nothing of an empty line or a
/// comment. A line with a fault is not taken to its end.
fn entry(rest: &mut Rest<'_>) -> Result<Option<(String, String, bool)>, String> {
    let blank = |text: &str| text.len() - text.trim_start_matches([' ', '\t']).len();
    rest.take(blank(rest.text));
    if rest.text.starts_with(['#', '\n']) || rest.text.starts_with("\r\n") || rest.text.is_empty() {
        rest.line();
        return Ok(None);
    }
    if let Some(after) = rest
        .text
        .strip_prefix("export")
        .filter(|after| blank(after) > 0)
    {
        rest.take("export".len() + blank(after));
    }
    let is_end = |c: char| matches!(c, '=' | ':' | '\n' | '#');
    let end = rest.text.find(is_end).unwrap_or(rest.text.len());
    let key = rest.text.get(..end).unwrap_or_default().trim_end();
    let is_key = !key.is_empty() && !key.contains(|c: char| c.is_whitespace() || c.is_control());
    if !is_key {
        return Err("it is not written `KEY=VALUE`".into());
    }
    let key = key.to_owned();
    if !rest
        .text
        .get(end..)
        .unwrap_or_default()
        .starts_with(['=', ':'])
    {
        return Err(format!("`{key}` has no value"));
    }
    rest.take(end + 1);
    rest.take(blank(rest.text));
    let quote = rest.text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        return Ok(Some((key, plain(rest.line()), false)));
    };
    let value = quoted(rest, quote).ok_or_else(|| format!("the quote of `{key}` is not closed"))?;
    let after = rest.text.lines().next().unwrap_or_default().trim();
    if !after.is_empty() && !after.starts_with('#') {
        return Err(format!("after the quote of `{key}` there is more"));
    }
    rest.line();
    Ok(Some((key, value, quote == '\'')))
}

/// A value without quotes: a comment begins with ` #`.
fn plain(line: &str) -> String {
    if line.starts_with('#') {
        return String::new();
    }
    let comment = line.match_indices('#').find(|(at, _)| {
        line.get(..*at)
            .is_some_and(|before| before.ends_with([' ', '\t']))
    });
    let end = comment.map_or(line.len(), |(at, _)| at);
    line.get(..end).unwrap_or_default().trim().to_owned()
}

/// A value in quotes, which may go on over lines. Nothing of it is taken if the quote is not closed.
fn quoted(rest: &mut Rest<'_>, quote: char) -> Option<String> {
    let mut value = String::new();
    let mut chars = rest.text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => {
                rest.take(at + 1);
                return Some(value);
            }
            '\\' if quote == '"' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                c @ ('"' | '\\' | '$') => value.push(c),
                c => value.extend(['\\', c]),
            },
            '\\' if rest
                .text
                .get(at + 1..)
                .is_some_and(|after| after.starts_with('\'')) =>
            {
                value.push('\'');
                chars.next();
            }
            c => value.push(c),
        }
    }
    None
}

/// What looks as if it should be interpolated.
fn reference(value: &str) -> Option<&str> {
    let start = value.find("${")?;
    let after = value.get(start..)?;
    after.get(..=after.find('}')?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let file = read(text);
        assert_eq!(file.wrong, [], "{text}");
        file.values.into_iter().collect()
    }

    #[test]
    fn values_are_composes() {
        for (text, value) in [
            ("A=b", "b"),
            ("A = b c ", "b c"),
            ("A: b", "b"),
            ("export A=b", "b"),
            ("\u{feff}A=b\r\n", "b"),
            ("A=", ""),
            ("A= # none", ""),
            ("A=b#c", "b#c"),
            ("A=b # c", "b"),
            ("A=b=c", "b=c"),
            ("A='b # c' # d", "b # c"),
            (r"A='b\n\'c'", r"b\n'c"),
            (r#"A="b\n\"c\" \$d \e""#, "b\n\"c\" $d \\e"),
            ("A=\"b\nc\"", "b\nc"),
            ("A=\"http://x/?a=b\"", "http://x/?a=b"),
            ("A=1\nA=2", "2"),
        ] {
            assert_eq!(values(text), [("A".to_owned(), value.to_owned())], "{text}");
        }
        assert_eq!(values("# a\n\n  \n\t# b\n"), []);
        assert_eq!(values("exported=1")[0].0, "exported");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_the_rest_is_read() {
        let file = read("A=1\nno value\nB\n=c\nC='x' y\nD=\"open\nE=5\n");
        let told: Vec<_> = file
            .wrong
            .iter()
            .map(|line| (line.number, &*line.text))
            .collect();
        assert_eq!(
            told,
            [
                (2, "it is not written `KEY=VALUE`"),
                (3, "`B` has no value"),
                (4, "it is not written `KEY=VALUE`"),
                (5, "after the quote of `C` there is more"),
                (6, "the quote of `D` is not closed"),
            ]
        );
        assert_eq!(file.values.keys().collect::<Vec<_>>(), ["A", "E"]);
    }

    #[test]
    fn what_is_not_interpolated_is_told() {
        let file = read("A=${B}\nC='${D}'\nE=\"x ${F} $g\"");
        let lines: Vec<_> = file.kept.iter().map(|line| line.number).collect();
        assert_eq!(lines, [1, 3]);
        assert_eq!(file.values.get("A").map(String::as_str), Some("${B}"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[A-B=:#'\"\\\\ \\n\\r${}é]{0,40}") {
            let file = read(&text);
            prop_assert!(file.values.keys().all(|key| !key.is_empty()));
        }
    }
}
