//! Interpolation in Compose's syntax: `${name}`, `${name:-default}`, `${name-default}`,
//! `${name:?message}`, `${name?message}`, `${name:+other}`, `${name+other}` and `$$`. What follows
//! an operator may hold references too. Names are looked up elsewhere; here is only the syntax.

use std::ops::Range;

use crate::ids::StepId;
use crate::text::{Piece, StepValue, Text};

/// References deeper than this in one another are refused.
const DEPTH: usize = 16;

/// The longest text that references may make, bytes.
const LONGEST: usize = 1 << 20;

/// What stands for a value that nobody will use.
const SPARE: &str = "unset";

const FORMS: &str =
    "a reference is `${name}`, `${name:-default}`, `${name:?message}` or `${name:+other}`";

/// A name found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its value.
    Value(String),
    /// It could have a value and has none.
    Unset,
    /// The same, and nothing will be done with the text.
    Spare,
    /// What a step will make; never empty.
    Step(StepId, StepValue),
}

/// What is wrong with a text, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Bytes of the text.
    pub(crate) range: Range<usize>,
    /// A sentence without a full stop.
    pub(crate) message: String,
    /// What to try.
    pub(crate) help: Option<String>,
    /// What could stand in another place of the text.
    pub(crate) suggestion: Option<(Range<usize>, String)>,
}

/// Gives the value of a name; the range is the name's in the text. `Err(None)` is a fault that was
/// told already.
pub(crate) type Lookup<'a> = dyn FnMut(&str, Range<usize>) -> Result<Found, Option<Fault>> + 'a;

/// Replaces the references in a text.
///
/// # Errors
/// All faults of the text. The list is empty if they were told already.
pub(crate) fn expand(text: &str, lookup: &mut Lookup<'_>) -> Result<Text, Vec<Fault>> {
    if !text.contains('$') {
        return Ok(Text::literal(text));
    }
    let mut parser = Parser { text, at: 0 };
    let nodes = parser.nodes(0).map_err(|fault| vec![fault])?;
    let mut expansion = Expansion {
        lookup,
        pieces: Vec::new(),
        faults: Vec::new(),
        failed: false,
        length: 0,
    };
    expansion.all(&nodes);
    if expansion.failed {
        return Err(expansion.faults);
    }
    Ok(Text(expansion.pieces))
}

impl Fault {
    pub(crate) fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            range,
            message: message.into(),
            help: None,
            suggestion: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn suggest(mut self, range: Range<usize>, instead: impl Into<String>) -> Self {
        self.suggestion = Some((range, instead.into()));
        self
    }
}

/// A piece of a text as written.
#[derive(Debug)]
enum Node<'t> {
    Literal(&'t str),
    Reference {
        name: &'t str,
        range: Range<usize>,
        then: Option<Then<'t>>,
    },
}

/// An operator and what follows it.
#[derive(Debug)]
struct Then<'t> {
    operator: Operator,
    /// The operator has a colon: empty counts as unset.
    colon: bool,
    rest: Vec<Node<'t>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Default,
    Require,
    Replace,
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, holds: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !holds(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn eat(&mut self, token: &str) -> bool {
        let eaten = self.rest().starts_with(token);
        if eaten {
            self.at += token.len();
        }
        eaten
    }

    /// Pieces up to the end, or up to the `}` that ends the reference which they are in.
    fn nodes(&mut self, depth: usize) -> Result<Vec<Node<'t>>, Fault> {
        let mut nodes = Vec::new();
        loop {
            let literal = self.take(|c| c != '$' && (depth == 0 || c != '}'));
            if !literal.is_empty() {
                nodes.push(Node::Literal(literal));
            }
            let start = self.at;
            if self.eat("$$") {
                nodes.push(Node::Literal("$"));
            } else if self.eat("${") {
                nodes.push(self.reference(start, depth)?);
            } else if self.eat("$") {
                return Err(self.stray(start));
            } else {
                return Ok(nodes);
            }
        }
    }

    /// The rest of a reference whose `${` was read.
    fn reference(&mut self, start: usize, depth: usize) -> Result<Node<'t>, Fault> {
        if depth >= DEPTH {
            return Err(Fault::new(
                start..self.at,
                "references are nested too deeply",
            ));
        }
        let from = self.at;
        let name = self.name();
        let range = from..self.at;
        if name.is_empty() {
            let fault = Fault::new(start..self.at, "a reference needs a name");
            return Err(fault.help("write `${name}`, or `$$` for a dollar sign"));
        }
        let colon_at = self.at;
        let colon = self.eat(":");
        let operator = if self.eat("-") {
            Some(Operator::Default)
        } else if self.eat("?") {
            Some(Operator::Require)
        } else if self.eat("+") {
            Some(Operator::Replace)
        } else {
            None
        };
        if colon && operator.is_none() {
            let fault = Fault::new(colon_at..self.at, "this colon begins no operator");
            return Err(fault.help(FORMS));
        }
        let then = match operator {
            Some(operator) => Some(Then {
                operator,
                colon,
                rest: self.nodes(depth + 1)?,
            }),
            None => None,
        };
        if self.eat("}") {
            return Ok(Node::Reference { name, range, then });
        }
        Err(match self.rest().chars().next() {
            None => Fault::new(start..self.text.len(), "this reference is not closed")
                .help("a reference ends with `}`; a dollar sign is written `$$`"),
            Some(next) => Fault::new(
                self.at..self.at + next.len_utf8(),
                format!("`{next}` cannot stand in a reference"),
            )
            .help(FORMS),
        })
    }

    /// A name: letters, digits, `_` and dots; a step's part may hold `-`, which elsewhere is an
    /// operator.
    fn name(&mut self) -> &'t str {
        let from = self.at;
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if self.eat("steps.") {
            self.take(|c| word(c) || c == '-');
            // A cell's values may be almost anything, but for what ends them.
            if self.eat("[") {
                self.take(|c| !matches!(c, ']' | '{' | '}'));
                self.eat("]");
            }
            // What it keeps may be named like steps are.
            if self.eat(".artifacts.") || self.eat(".outputs.") {
                self.take(|c| word(c) || c == '-');
            }
        }
        self.take(|c| word(c) || c == '.');
        self.text.get(from..self.at).unwrap_or_default()
    }

    /// A dollar sign that begins nothing.
    fn stray(&mut self, start: usize) -> Fault {
        let name = self.name().trim_end_matches('.');
        let end = start + 1 + name.len();
        let fault = Fault::new(start..end, "a dollar sign begins a reference");
        if name.is_empty() {
            return fault
                .help("write `$$` for a dollar sign")
                .suggest(start..start + 1, "$$");
        }
        fault
            .help(format!(
                "write `${{{name}}}` for a value, or `$${name}` for a dollar sign"
            ))
            .suggest(start..end, format!("${{{name}}}"))
    }
}

struct Expansion<'l, 'a> {
    lookup: &'l mut Lookup<'a>,
    pieces: Vec<Piece>,
    faults: Vec<Fault>,
    failed: bool,
    /// Bytes so far.
    length: usize,
}

impl Expansion<'_, '_> {
    fn all(&mut self, nodes: &[Node<'_>]) {
        for node in nodes {
            match node {
                Node::Literal(text) => self.literal(text),
                Node::Reference { name, range, then } => {
                    self.reference(name, range.clone(), then.as_ref());
                }
            }
        }
    }

    fn literal(&mut self, text: &str) {
        self.length = self.length.saturating_add(text.len());
        match self.pieces.last_mut() {
            Some(Piece::Literal(before)) => before.push_str(text),
            _ => self.pieces.push(Piece::Literal(text.to_owned())),
        }
    }

    fn fail(&mut self, fault: Option<Fault>) {
        self.failed = true;
        self.faults.extend(fault);
    }

    fn reference(&mut self, name: &str, range: Range<usize>, then: Option<&Then<'_>>) {
        let found = match (self.lookup)(name, range.clone()) {
            Ok(found) => found,
            Err(fault) => return self.fail(fault),
        };
        let Some(then) = then else {
            return match found {
                Found::Unset => self.fail(Some(unset(name, range))),
                Found::Spare => self.literal(SPARE),
                found => self.put(found, range),
            };
        };
        if matches!(found, Found::Step(_, StepValue::Output(_))) {
            let message =
                format!("whether `{name}` is there is known only while the pipeline runs");
            let fault = Fault::new(range, message);
            return self.fail(Some(fault.help("let the step itself write a default")));
        }
        let there = match &found {
            Found::Value(value) => !(then.colon && value.is_empty()),
            Found::Step(..) => true,
            Found::Unset | Found::Spare => false,
        };
        match (then.operator, there) {
            (Operator::Default | Operator::Require, true) => self.put(found, range),
            (Operator::Default, false) | (Operator::Replace, true) => self.all(&then.rest),
            (Operator::Replace, false) => {}
            (Operator::Require, false) if found == Found::Spare => self.literal(SPARE),
            (Operator::Require, false) => {
                let message = self.message(&then.rest).unwrap_or_else(|| {
                    format!(
                        "`{name}` is {}",
                        if then.colon {
                            "unset or empty"
                        } else {
                            "unset"
                        }
                    )
                });
                self.fail(Some(Fault::new(range, message)));
            }
        }
    }

    fn put(&mut self, found: Found, range: Range<usize>) {
        match found {
            // A few variables that name one another twice would else fill the memory.
            // Said once; what follows is too long as well.
            Found::Value(_) if self.length > LONGEST => {}
            Found::Value(value) if self.length.saturating_add(value.len()) > LONGEST => {
                self.length = usize::MAX;
                let fault = Fault::new(range, "the text would be longer than 1 MiB");
                self.fail(Some(fault.help("name shorter values, or fewer of them")));
            }
            Found::Value(value) => self.literal(&value),
            Found::Step(step, value) => self.pieces.push(Piece::Step { step, value }),
            Found::Unset | Found::Spare => {}
        }
    }

    /// The text that a `?` asks to be said, if there is one.
    fn message(&mut self, nodes: &[Node<'_>]) -> Option<String> {
        let mut inner = Expansion {
            lookup: self.lookup,
            pieces: Vec::new(),
            faults: Vec::new(),
            failed: false,
            length: self.length,
        };
        inner.all(nodes);
        let text = Text(inner.pieces).to_string();
        (!text.trim().is_empty()).then(|| text.trim().to_owned())
    }
}

fn unset(name: &str, range: Range<usize>) -> Fault {
    let help = match name.strip_prefix("env.") {
        Some(variable) => {
            format!("set the variable {variable}, or give it a default with `${{{name}:-default}}`")
        }
        None => format!("give it a default with `${{{name}:-default}}`"),
    };
    Fault::new(range, format!("`{name}` is unset")).help(help)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look(name: &str, range: Range<usize>) -> Result<Found, Option<Fault>> {
        Ok(match name {
            "full" => Found::Value("value".into()),
            "empty" => Found::Value(String::new()),
            "env.none" => Found::Unset,
            "steps.my-image.image" => Found::Step("my-image".into(), StepValue::Image),
            _ => return Err(Some(Fault::new(range, format!("no {name}")))),
        })
    }

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, &mut look)
            .map(|text| text.to_string())
            .map_err(|faults| {
                faults
                    .iter()
                    .map(|f| f.message.clone())
                    .collect::<Vec<_>>()
                    .join("; ")
            })
    }

    #[test]
    fn the_operators_are_composes() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a ${full} b", "a value b"),
            ("$$${full}$$", "$value$"),
            (
                "${env.none:-d}${env.none-d}${empty:-d}${empty-d}${full:-d}",
                "dddvalue",
            ),
            ("${env.none:+o}${empty:+o}${empty+o}${full:+o}", "oo"),
            ("${full:?m}${full?m}${empty?m}", "valuevalue"),
            ("${env.none:-${empty:-${full}}}", "value"),
            ("${full:-${nothing}}", "value"),
            ("x ${steps.my-image.image}", "x ${steps.my-image.image}"),
            ("${steps.my-image.image:-d}", "${steps.my-image.image}"),
            ("${env.none:-a-b:c?d}", "a-b:c?d"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_text_does_not_grow_without_end() {
        let long = "x".repeat(LONGEST / 2 + 1);
        let mut look = |_: &str, _: Range<usize>| Ok(Found::Value(long.clone()));
        assert!(expand("${a}", &mut look).is_ok());
        let faults = expand("${a}${a}", &mut look).unwrap_err();
        assert_eq!(faults[0].message, "the text would be longer than 1 MiB");
    }

    #[test]
    fn faults_say_what_and_where() {
        for (text, expected) in [
            ("${env.none}", "`env.none` is unset"),
            ("${env.none:?set it}", "set it"),
            ("${env.none?}", "`env.none` is unset"),
            ("${empty:?}", "`empty` is unset or empty"),
            ("${a} ${b}", "no a; no b"),
            ("${full", "this reference is not closed"),
            ("${full:-x", "this reference is not closed"),
            ("${}", "a reference needs a name"),
            ("${full!}", "`!` cannot stand in a reference"),
            ("${full:}", "this colon begins no operator"),
            ("$full.", "a dollar sign begins a reference"),
            ("5$", "a dollar sign begins a reference"),
        ] {
            assert_eq!(expanded(text).unwrap_err(), expected, "{text}");
        }
        let faults = expand("é ${full} ${b}", &mut look).unwrap_err();
        assert_eq!(faults[0].range, 13..14);
    }

    proptest! {
        #[test]
        fn a_text_with_its_dollars_doubled_stays(text in "\\PC*") {
            let escaped = text.replace('$', "$$");
            prop_assert_eq!(expanded(&escaped), Ok(text));
        }

        #[test]
        fn a_reference_alone_is_its_value(name in "[a-z]{1,8}", value in "\\PC*") {
            let mut give = |_: &str, _: Range<usize>| Ok(Found::Value(value.clone()));
            let text = expand(&format!("${{{name}}}"), &mut give).unwrap();
            prop_assert_eq!(text.as_literal(), Some(value));
        }

        #[test]
        fn nothing_panics_and_faults_lie_within(text in "([$]|[$][{]|[}]|:|-|[?+]|full|steps[.]|é|[.])*") {
            if let Err(faults) = expand(&text, &mut look) {
                for fault in faults {
                    prop_assert!(text.get(fault.range).is_some());
                }
            }
        }
    }
}
