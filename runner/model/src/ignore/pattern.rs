//! One pattern of an ignore file, with the meaning that Docker's matcher gives it: it is turned into
//! a regular expression of Go's, character by character, with no regard for brackets; some forms
//! never become one. Both are kept here, and with them what is odd in it.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// A pattern, ready to be tried on paths.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    kind: Kind,
    /// What the folders are like in which it may match something: one for each depth, from 1.
    above: Vec<Kind>,
    /// It may match in folders deeper than `above` says.
    deeper: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    /// This path.
    Exact(String),
    /// What begins so.
    Prefix(String),
    /// What ends so; where it begins with `/`, also what is the rest of it.
    Suffix(String),
    /// What this matches.
    Regex(Regex),
}

impl Pattern {
    /// Understands a cleaned pattern without its `!`.
    ///
    /// # Errors
    /// Where Docker refuses it, in words.
    pub(super) fn new(pattern: &str, negated: bool) -> Result<Self, String> {
        check_syntax(pattern)?;
        let kind = Kind::new(pattern)?;
        if !negated {
            // Nobody asks where it may match.
            return Ok(Self {
                kind,
                above: Vec::new(),
                deeper: true,
            });
        }
        // Beyond a `**` any number of folders may come; a class may match a `/`; and alternatives
        // and repetitions go beyond the part in which they stand.
        let parts: Vec<&str> = pattern.split('/').collect();
        let boundless = match pattern.contains(['|', '{']) {
            true => Some(0),
            false => parts
                .iter()
                .position(|part| part.contains(['[', '\\']) || part.contains("**")),
        };
        let count = boundless.unwrap_or(parts.len().saturating_sub(1));
        let mut folder = String::new();
        let mut above = Vec::with_capacity(count);
        for part in parts.iter().take(count) {
            folder.push_str(part);
            above.push(Kind::new(&folder)?);
            folder.push('/');
        }
        Ok(Self {
            kind,
            above,
            deeper: boundless.is_some(),
        })
    }

    /// The path itself matches; what is above it is not looked at.
    pub(super) fn matches(&self, path: &str) -> bool {
        self.kind.matches(path)
    }

    /// Something in this folder may match. Where in doubt, it may.
    pub(super) fn may_match_below(&self, folder: &str) -> bool {
        let depth = folder.split('/').count();
        match self.above.get(depth - 1) {
            Some(above) => above.matches(folder),
            None if self.deeper => self.above.last().is_none_or(|above| {
                let parts: Vec<&str> = folder.split('/').take(self.above.len()).collect();
                above.matches(&parts.join("/"))
            }),
            None => false,
        }
    }
}

impl Kind {
    fn new(pattern: &str) -> Result<Self, String> {
        let (shape, go) = translate(pattern);
        Ok(match shape {
            Shape::Exact => Self::Exact(pattern.to_owned()),
            Shape::Prefix => Self::Prefix(pattern.strip_suffix("**").unwrap_or(pattern).to_owned()),
            Shape::Suffix => Self::Suffix(pattern.strip_prefix("**").unwrap_or(pattern).to_owned()),
            Shape::Regex => Self::Regex(go_regex(&go)?),
        })
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix),
            Self::Suffix(suffix) => {
                path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path)
            }
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

/// How Docker tries a pattern.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

/// How Docker tries a cleaned pattern, and the regular expression of Go's that it makes of it.
pub(super) fn translate(pattern: &str) -> (Shape, String) {
    let mut shape = Shape::Exact;
    let mut go = String::from("^");
    let mut rest = pattern.chars().peekable();
    let mut first = true;
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                // `**/` is the same as `**`.
                rest.next_if_eq(&'/');
                let last = rest.peek().is_none();
                go.push_str(if last { ".*" } else { "(.*/)?" });
                shape = match shape {
                    _ if first => Shape::Suffix,
                    Shape::Exact if last => Shape::Prefix,
                    _ => Shape::Regex,
                };
            }
            '*' => {
                go.push_str("[^/]*");
                shape = Shape::Regex;
            }
            '?' => {
                go.push_str("[^/]");
                shape = Shape::Regex;
            }
            // Not `|`, `{` and `}`: Docker means to escape them and, by a slip, does not.
            '.' | '+' | '(' | ')' | '$' => go.extend(['\\', c]),
            '\\' => {
                go.push(c);
                go.extend(rest.next());
                shape = Shape::Regex;
            }
            '[' | ']' => {
                go.push(c);
                shape = Shape::Regex;
            }
            _ => go.push(c),
        }
        first = false;
    }
    go.push('$');
    (shape, go)
}

/// A path without `.`, `..` where a part is before it, empty parts and a `/` at its end; `.` if
/// nothing is left. What Go's `filepath.Clean` does.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(".."),
            },
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// What Docker checks a pattern for before it is used: whether Go's `filepath.Match` takes it for
/// the name `.`. That looks at what is before the first star, or else after it, and goes on only
/// where that much is `.` already.
fn check_syntax(pattern: &str) -> Result<(), String> {
    let mut rest = pattern.chars().peekable();
    for _ in 0..2 {
        while rest.next_if_eq(&'*').is_some() {}
        let (mut count, mut dot) = (0, false);
        while rest.peek().is_some_and(|c| *c != '*') {
            count += 1;
            dot = match rest.next() {
                Some('\\') => rest.next().ok_or("it ends in a backslash")? == '.',
                Some('[') => check_class(&mut rest)?,
                Some(c) => matches!(c, '.' | '?'),
                None => false,
            };
        }
        if count != 1 || !dot {
            break;
        }
    }
    Ok(())
}

/// Checks a class after its `[`; gives whether `.` is in it.
fn check_class(rest: &mut Peekable<Chars<'_>>) -> Result<bool, String> {
    let negated = rest.next_if_eq(&'^').is_some();
    let (mut first, mut found) = (true, false);
    while first || rest.next_if_eq(&']').is_none() {
        first = false;
        let low = check_range_end(rest)?;
        let high = match rest.next_if_eq(&'-') {
            Some(_) => check_range_end(rest)?,
            None => low,
        };
        found |= (low..=high).contains(&'.');
    }
    Ok(found != negated)
}

fn check_range_end(rest: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    let c = match rest.next() {
        Some('-' | ']') => {
            return Err(
                "a range in `[` and `]` lacks an end; write `\\-` and `\\]` for the \
                        characters"
                    .to_owned(),
            );
        }
        Some('\\') => rest.next(),
        c => c,
    };
    // Something must follow, at least the `]`.
    c.filter(|_| rest.peek().is_some())
        .ok_or_else(|| OPEN.to_owned())
}

const OPEN: &str = "a `[` has no `]`; write `\\[` for the character itself";

/// Compiles a regular expression of Go's, as far as patterns become one: with text, `^ $ . * ? |`,
/// groups, repetitions, escapes and classes.
fn go_regex(go: &str) -> Result<Regex, String> {
    let mut rust = String::with_capacity(go.len());
    let mut rest = go.chars().peekable();
    let mut repeated = false;
    while let Some(c) = rest.next() {
        let repeats = matches!(c, '*' | '?');
        match c {
            '\\' => rust.push_str(&go_escape(&mut rest)?.in_text()),
            '[' => go_class(&mut rest, &mut rust)?,
            '{' => match repetition(&mut rest) {
                Some(_) if repeated => {
                    return Err(
                        "a `{n}` repeats a repetition; write `\\{` for the character".to_owned(),
                    );
                }
                Some(repetition) => {
                    let repetition = repetition?;
                    rust.push_str(&repetition);
                    repeated = true;
                    continue;
                }
                None => rust.push_str(&literal(c)),
            },
            '^' | '$' | '.' | '*' | '?' | '(' | ')' | '|' => rust.push(c),
            _ => rust.push_str(&literal(c)),
        }
        repeated = repeats;
    }
    Regex::new(&rust).map_err(|_| "it has no meaning to Docker".to_owned())
}

/// A repetition such as `{2}` or `{2,3}`, after its `{`; `None` where it is none, and so is text.
fn repetition(rest: &mut Peekable<Chars<'_>>) -> Option<Result<String, String>> {
    let ahead: String = rest.clone().take_while(|c| *c != '}').collect();
    let is_number = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'))
    };
    let (least, most) = ahead.split_once(',').unwrap_or((&ahead, ""));
    let closed = rest.clone().nth(ahead.chars().count()) == Some('}');
    if !closed || !is_number(least) || !(most.is_empty() || is_number(most)) {
        return None;
    }
    rest.by_ref().take(ahead.chars().count() + 1).for_each(drop);
    // As many as Go allows.
    let fits = |text: &str| text.is_empty() || text.parse::<u16>().is_ok_and(|n| n <= 1000);
    Some(match fits(least) && fits(most) {
        true => Ok(format!("{{{ahead}}}")),
        false => Err(format!(
            "`{{{ahead}}}` repeats too often; write `\\{{` for the character"
        )),
    })
}

/// A class, after its `[`. Go knows no operators in it, so every character is written as a number.
fn go_class(rest: &mut Peekable<Chars<'_>>, rust: &mut String) -> Result<(), String> {
    rust.push('[');
    if rest.next_if_eq(&'^').is_some() {
        rust.push('^');
    }
    let mut first = true;
    while first || rest.next_if_eq(&']').is_none() {
        first = false;
        let low = match rest.next().ok_or(OPEN)? {
            '[' if rest.peek() == Some(&':') => match posix_class(rest)? {
                Some(class) => {
                    rust.push_str(&class);
                    continue;
                }
                None => '[',
            },
            '\\' => match go_escape(rest)? {
                Escape::Character(c) => c,
                Escape::Class(class) => {
                    rust.push_str(class);
                    continue;
                }
            },
            c => c,
        };
        let mut ahead = rest.clone();
        let high = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(next)) if next != ']' => {
                rest.next();
                match rest.next().ok_or(OPEN)? {
                    '\\' => match go_escape(rest)? {
                        Escape::Character(c) => c,
                        Escape::Class(_) => return Err("a range has no end".to_owned()),
                    },
                    c => c,
                }
            }
            _ => low,
        };
        if high < low {
            return Err(format!("the range `{low}-{high}` is upside down"));
        }
        rust.push_str(&format!("{}-{}", literal(low), literal(high)));
    }
    rust.push(']');
    Ok(())
}

/// A class such as `[:alpha:]`, after its `[`; `None` where it is not closed, and so is none.
fn posix_class(rest: &mut Peekable<Chars<'_>>) -> Result<Option<String>, String> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    let ahead: String = rest.clone().collect();
    let Some((name, _)) = ahead
        .strip_prefix(':')
        .and_then(|ahead| ahead.split_once(":]"))
    else {
        return Ok(None);
    };
    if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err(format!("`[:{name}:]` is no class of characters"));
    }
    rest.by_ref().take(name.chars().count() + 3).for_each(drop);
    Ok(Some(format!("[:{name}:]")))
}

enum Escape {
    Character(char),
    Class(&'static str),
}

impl Escape {
    fn in_text(&self) -> String {
        match self {
            Self::Character(c) => literal(*c),
            Self::Class(class) => (*class).to_owned(),
        }
    }
}

/// An escape, after its backslash. Before a letter it is not the letter: `\d` is any digit.
fn go_escape(rest: &mut Peekable<Chars<'_>>) -> Result<Escape, String> {
    Ok(match rest.next() {
        Some('a') => Escape::Character('\x07'),
        Some('f') => Escape::Character('\x0c'),
        Some('n') => Escape::Character('\n'),
        Some('r') => Escape::Character('\r'),
        Some('t') => Escape::Character('\t'),
        Some('v') => Escape::Character('\x0b'),
        Some('d') => Escape::Class("[0-9]"),
        Some('D') => Escape::Class("[^0-9]"),
        Some('s') => Escape::Class(r"[\t\n\x0C\r ]"),
        Some('S') => Escape::Class(r"[^\t\n\x0C\r ]"),
        Some('w') => Escape::Class("[0-9A-Za-z_]"),
        Some('W') => Escape::Class("[^0-9A-Za-z_]"),
        Some(c) if c.is_ascii() && !c.is_ascii_alphanumeric() => Escape::Character(c),
        Some(c) => {
            return Err(format!(
                "`\\{c}` is not `{c}` to Docker; leave the backslash out"
            ));
        }
        None => return Err("it ends in a backslash".to_owned()),
    })
}

/// The character, as the number that it is.
fn literal(c: char) -> String {
    format!("\\x{{{:X}}}", u32::from(c))
}
