//! Expressions of `when`: comparisons of names with texts by `==`, `!=` and `matches`, put together
//! with `and`, `or`, `not` and parentheses. There is nothing else, and there are no numbers. A name
//! that is not set is the empty text.

use std::ops::Range;

use crate::glob;
use crate::interpolate::Fault;

/// Parentheses and `not` deeper than this in one another are refused.
const DEPTH: usize = 32;

const HELP: &str =
    "an expression is like `git.branch == \"main\" and not env.DRAFT matches \"?*\"`";

/// What other languages write, and what it is here.
const ELSEWHERE: [(&str, &str); 6] = [
    ("&&", "and"),
    ("||", "or"),
    ("=~", "matches"),
    ("!~", "not ... matches"),
    ("!", "not"),
    ("=", "=="),
];

/// Gives the value of a name; `Err(None)` is a fault that was told already.
type Lookup<'a> = dyn FnMut(&str, Range<usize>) -> Result<String, Option<Fault>> + 'a;

/// Whether an expression holds. Every name in it is looked up, whatever the others come to.
///
/// # Errors
/// What is wrong with it; `None` if that was told already.
pub(super) fn holds(text: &str, lookup: &mut Lookup<'_>) -> Result<bool, Option<Fault>> {
    let tokens = tokens(text).map_err(Some)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        end: text.len(),
        lookup,
    };
    let holds = parser.or(0)?;
    match parser.next() {
        None => Ok(holds),
        Some((token, range)) => Err(Some(unexpected(&token, range))),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A name or a word such as `and`.
    Word(String),
    Text(String),
    /// `(`, `)`, `==` or `!=`.
    Sign(&'static str),
}

fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, Fault> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.get(at..).unwrap_or_default();
        let signs = ["(", ")", "==", "!="];
        let sign = signs.into_iter().find(|sign| rest.starts_with(sign));
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let (token, length) = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if let Some(sign) = sign.filter(|sign| !(*sign == "==" && rest.starts_with("==="))) {
            (Token::Sign(sign), sign.len())
        } else if matches!(first, '"' | '\'') {
            let inner = rest.get(1..).unwrap_or_default();
            let Some(end) = inner.find(first) else {
                return Err(Fault::new(at..text.len(), "this text has no end").help(HELP));
            };
            let inner = inner.get(..end).unwrap_or_default();
            (Token::Text(inner.to_owned()), end + 2)
        } else if word(first) {
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            let name = rest.get(..end).unwrap_or_default();
            (Token::Word(name.to_owned()), end)
        } else {
            return Err(stray(rest, first, at));
        };
        tokens.push((token, at..at + length));
        at += length;
    }
    Ok(tokens)
}

/// Characters that begin nothing here.
fn stray(rest: &str, first: char, at: usize) -> Fault {
    if let Some(inner) = rest.strip_prefix("${") {
        let name = inner.split(['}', ':', '-']).next().unwrap_or_default();
        let end = inner.find('}').map_or(rest.len(), |end| end + 3);
        return Fault::new(at..at + end, "an expression is never interpolated")
            .help(format!("write the name alone: `{name}`"))
            .suggest(at..at + end, name);
    }
    let known = ELSEWHERE.iter().find(|(sign, _)| rest.starts_with(sign));
    match known {
        Some((sign, here)) => Fault::new(at..at + sign.len(), format!("there is no `{sign}` here"))
            .help(format!("write `{here}`")),
        None => {
            let range = at..at + first.len_utf8();
            Fault::new(range, format!("`{first}` cannot stand in an expression")).help(HELP)
        }
    }
}

struct Parser<'t, 'l, 'a> {
    tokens: &'t [(Token, Range<usize>)],
    at: usize,
    /// Where the text ends.
    end: usize,
    lookup: &'l mut Lookup<'a>,
}

impl Parser<'_, '_, '_> {
    fn next(&mut self) -> Option<(Token, Range<usize>)> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = match self.tokens.get(self.at) {
            Some((Token::Word(found), _)) => found == word,
            Some((Token::Sign(found), _)) => *found == word,
            Some((Token::Text(_), _)) | None => false,
        };
        self.at += usize::from(found);
        found
    }

    fn or(&mut self, depth: usize) -> Result<bool, Option<Fault>> {
        let mut holds = self.and(depth)?;
        while self.eat("or") {
            holds |= self.and(depth)?;
        }
        Ok(holds)
    }

    fn and(&mut self, depth: usize) -> Result<bool, Option<Fault>> {
        let mut holds = self.not(depth)?;
        while self.eat("and") {
            holds &= self.not(depth)?;
        }
        Ok(holds)
    }

    fn not(&mut self, depth: usize) -> Result<bool, Option<Fault>> {
        if depth > DEPTH {
            let fault = Fault::new(0..self.end, "this expression is nested too deeply");
            return Err(Some(
                fault.help("split it over several steps, or name it in a variable"),
            ));
        }
        if self.eat("not") {
            return Ok(!self.not(depth + 1)?);
        }
        if self.eat("(") {
            let holds = self.or(depth + 1)?;
            return if self.eat(")") {
                Ok(holds)
            } else {
                Err(Some(self.missing("a `)` is missing")))
            };
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<bool, Option<Fault>> {
        let left = self.value()?;
        let (equal, like) = (self.eat("=="), self.eat("matches"));
        if !equal && !like && !self.eat("!=") {
            let fault = self.missing("a comparison is missing");
            return Err(Some(fault.help(
                "compare by `==`, `!=` or `matches`; `NAME != \"\"` holds for all that is set",
            )));
        }
        let right = self.value()?;
        if !like {
            return Ok((left == right) == equal);
        }
        Ok(glob::matches(&right, &left))
    }

    fn value(&mut self) -> Result<String, Option<Fault>> {
        match self.next() {
            Some((Token::Text(text), _)) => Ok(text),
            Some((Token::Word(name), range)) if !is_taken(&name) => (self.lookup)(&name, range),
            Some((token, range)) => Err(Some(unexpected(&token, range))),
            None => Err(Some(self.missing("a name or a text is missing"))),
        }
    }

    /// What is not there, at the place where it should be.
    fn missing(&self, message: &str) -> Fault {
        let place = self.tokens.get(self.at).map(|(_, range)| range.clone());
        Fault::new(place.unwrap_or(self.end..self.end), message).help(HELP)
    }
}

fn is_taken(word: &str) -> bool {
    matches!(word, "and" | "or" | "not" | "matches")
}

fn unexpected(token: &Token, range: Range<usize>) -> Fault {
    let shown = match token {
        Token::Word(word) => word.clone(),
        Token::Text(text) => format!("\"{text}\""),
        Token::Sign(sign) => (*sign).to_owned(),
    };
    Fault::new(range, format!("`{shown}` cannot stand here")).help(HELP)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(text: &str) -> Result<bool, String> {
        let mut lookup = |name: &str, range: Range<usize>| match name {
            "git.branch" => Ok("main".to_owned()),
            "env.EMPTY" => Ok(String::new()),
            _ => Err(Some(Fault::new(range, format!("there is no `{name}`")))),
        };
        holds(text, &mut lookup).map_err(|fault| fault.expect("it was not told before").message)
    }

    #[test]
    fn it_means_what_it_says() {
        for (text, expected) in [
            ("git.branch == \"main\"", true),
            ("git.branch == 'main'", true),
            ("'main' == git.branch", true),
            ("git.branch != \"main\"", false),
            ("git.branch matches 'm*'", true),
            ("not git.branch matches 'm*'", false),
            ("not not git.branch matches 'm*'", true),
            ("env.EMPTY == ''", true),
            ("env.EMPTY matches '?*'", false),
            // `and` binds more tightly than `or`, and `not` than both.
            ("'a' == 'a' or 'a' == 'a' and 'a' == 'b'", true),
            ("('a' == 'a' or 'a' == 'a') and 'a' == 'b'", false),
            ("not 'a' == 'b' and 'a' == 'b'", false),
            ("not ('a' == 'b' and 'a' == 'b')", true),
        ] {
            assert_eq!(said(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_says_why() {
        for (text, message) in [
            ("", "a name or a text is missing"),
            ("git.branch", "a comparison is missing"),
            ("git.branch ==", "a name or a text is missing"),
            ("git.branch == 'main", "this text has no end"),
            ("git.branch = 'main'", "there is no `=` here"),
            ("git.branch === 'main'", "there is no `=` here"),
            ("git.branch == 'a' && 'a' == 'a'", "there is no `&&` here"),
            ("!git.branch == 'a'", "there is no `!` here"),
            ("(git.branch == 'a'", "a `)` is missing"),
            ("git.branch == 'a')", "`)` cannot stand here"),
            ("git.branch == 'a' 'b'", "`\"b\"` cannot stand here"),
            ("and == 'a'", "`and` cannot stand here"),
            (
                "${git.branch} == 'a'",
                "an expression is never interpolated",
            ),
            ("é == 'a'", "`é` cannot stand in an expression"),
            // Whatever the rest comes to.
            ("'a' == 'a' or branch == 'a'", "there is no `branch`"),
        ] {
            assert_eq!(said(text), Err(message.to_owned()), "{text}");
        }
        let deep = format!("{}'a' == 'a'", "not ".repeat(10_000));
        assert_eq!(
            said(&deep),
            Err("this expression is nested too deeply".to_owned())
        );
    }

    proptest! {
        #[test]
        fn nothing_panics_and_faults_are_in_the_text(
            text in prop::collection::vec(prop::sample::select(vec![
                "a", "git.branch", "==", "!=", "matches", "and", "or", "not", "(", ")", "'é*'", "\"", "${", "é", " ",
            ]), 0..20)
        ) {
            let text = text.concat();
            let mut lookup = |_: &str, _: Range<usize>| Ok(String::new());
            if let Err(Some(fault)) = holds(&text, &mut lookup) {
                prop_assert!(text.get(fault.range).is_some());
            }
        }
    }
}
