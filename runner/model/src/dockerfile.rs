//! Dockerfiles as far as hoist reads them: where instructions stand, which stages there are, what a
//! build takes from elsewhere, and which instruction a builder means by a name. It refuses to judge
//! a file or to execute it, which is the builder's to do.
//!
//! The form is that of <https://docs.docker.com/reference/dockerfile/>.

mod elsewhere;
mod named;
mod sources;
#[cfg(test)]
mod tests;
mod words;

pub use elsewhere::{Elsewhere, Platforms};

use words::joined;

/// A Dockerfile's instructions.
#[derive(Debug, Default)]
pub struct Dockerfile {
    /// The image that its `# syntax=` line names.
    pub syntax: Option<String>,
    instructions: Vec<Instruction>,
    escape: char,
}

/// An instruction as it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// From 1.
    pub line: usize,
    /// Of its last line.
    pub last: usize,
    /// In capitals.
    pub keyword: String,
    /// As written, all of its lines.
    pub text: String,
    /// It takes text from the lines after it.
    pub heredoc: bool,
    /// Of its stage, from 0; `None` before the first.
    stage: Option<usize>,
}

/// A stage: what can be named as `target`, beside its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// As after `AS`, in small letters; absent for a stage without a name.
    pub name: Option<String>,
}

impl Dockerfile {
    /// Reads the text; there is none that cannot be read.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<&str> = text.lines().collect();
        let (syntax, escape) = directives(&lines);
        let mut instructions = Vec::new();
        let mut stage = None;
        let mut at = 0;
        while let Some(first) = lines.get(at) {
            let start = at;
            at += 1;
            if is_blank(first) || is_comment(first) {
                continue;
            }
            let mut logical = vec![*first];
            while continues(logical.last().copied().unwrap_or_default(), escape) {
                let Some(next) = lines.get(at) else { break };
                at += 1;
                if !is_comment(next) && !is_blank(next) {
                    logical.push(next);
                }
            }
            let keyword = first
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_uppercase();
            let mut heredoc = false;
            if matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") {
                for (word, tabs) in heredocs(&logical.join(" ")) {
                    let rest = lines.get(at..).unwrap_or_default();
                    let ends = |line: &&str| {
                        let line = if tabs {
                            line.trim_start_matches('\t')
                        } else {
                            line
                        };
                        line == word
                    };
                    if let Some(length) = rest.iter().position(ends) {
                        at += length + 1;
                        heredoc = true;
                    }
                }
            }
            if keyword == "FROM" {
                stage = Some(stage.map_or(0, |stage| stage + 1));
            }
            instructions.push(Instruction {
                line: start + 1,
                last: at,
                keyword,
                text: lines.get(start..at).unwrap_or_default().join("\n"),
                heredoc,
                stage,
            });
        }
        Self {
            syntax,
            instructions,
            escape,
        }
    }

    /// The instruction at a line.
    #[must_use]
    pub fn at_line(&self, line: usize) -> Option<&Instruction> {
        self.instructions
            .iter()
            .find(|one| (one.line..=one.last).contains(&line))
    }

    /// The instruction that takes an image of that name as its base.
    #[must_use]
    pub fn from(&self, image: &str) -> Option<&Instruction> {
        self.instructions
            .iter()
            .find(|one| one.keyword == "FROM" && base(one).is_some_and(|base| base == image))
    }

    /// The stages, in order.
    #[must_use]
    pub fn stages(&self) -> Vec<Stage> {
        self.froms()
            .map(|from| Stage {
                name: stage_name(from),
            })
            .collect()
    }

    fn froms(&self) -> impl Iterator<Item = &Instruction> {
        self.instructions.iter().filter(|one| one.keyword == "FROM")
    }
}

/// The image or stage that a FROM names.
fn base(from: &Instruction) -> Option<String> {
    let text = joined(&from.text);
    let base = text
        .split_whitespace()
        .skip(1)
        .find(|word| !word.starts_with("--"));
    base.map(str::to_owned)
}

fn stage_name(from: &Instruction) -> Option<String> {
    let text = joined(&from.text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words
        .iter()
        .position(|word| word.eq_ignore_ascii_case("as"))?;
    words.get(at + 1).map(|name| name.to_lowercase())
}

/// The parser directives at a Dockerfile's top.
fn directives(lines: &[&str]) -> (Option<String>, char) {
    let (mut syntax, mut escape) = (None, '\\');
    for line in lines {
        let Some(comment) = line.trim_start().strip_prefix('#') else {
            break;
        };
        let Some((name, value)) = comment.split_once('=') else {
            break;
        };
        match name.trim().to_lowercase().as_str() {
            "syntax" => syntax = Some(value.trim().to_owned()),
            "escape" if value.trim() == "`" => escape = '`',
            "escape" | "check" => {}
            _ => break,
        }
    }
    (syntax, escape)
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn continues(line: &str, escape: char) -> bool {
    !is_comment(line) && line.trim_end().ends_with(escape)
}

/// The words that end the texts which an instruction takes from the lines after it, and whether
/// tabs may stand before them.
fn heredocs(text: &str) -> Vec<(&str, bool)> {
    text.split_whitespace()
        .filter_map(|word| {
            let rest = word
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .strip_prefix("<<")?;
            let (rest, tabs) = match rest.strip_prefix('-') {
                Some(rest) => (rest, true),
                None => (rest, false),
            };
            let end = rest.trim_matches(['"', '\'']);
            let plain = end.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            (!end.is_empty() && plain).then_some((end, tabs))
        })
        .collect()
}
