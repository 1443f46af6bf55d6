//! Faults of a pipeline's file, each with its place. A diagnostic says what is wrong and what to
//! try; how it is drawn is a renderer's part, and nothing here knows colours or widths.

use std::ops::Range;

/// A file as it was read, for showing places in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFile {
    /// The name that people know it by, such as `pipeline.toml`.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// How much a diagnostic weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// People should know; the file works.
    Warning,
    /// The file cannot be used.
    Error,
}

/// A fault, or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What it weighs.
    pub severity: Severity,
    /// One sentence without a full stop: what is wrong.
    pub message: String,
    /// Places in the file, the one to blame first. Without a place (a missing key of the file's
    /// root, a variable of the environment) there is none, and no snippet to show.
    pub labels: Vec<Label>,
    /// What to try, a sentence or two.
    pub help: Option<String>,
    /// What could stand there instead.
    pub suggestion: Option<Suggestion>,
}

/// A place in the file and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Bytes of the file.
    pub span: Range<usize>,
    /// A few words; may be empty.
    pub text: String,
    /// This is what is wrong; the other places only explain it.
    pub primary: bool,
}

/// A replacement for a piece of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// Bytes of the file that it replaces.
    pub span: Range<usize>,
    /// What to put there.
    pub replacement: String,
}

impl SourceFile {
    /// A file of that name and content.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// Line and column of a byte, both from 1; a column is a character. A place after the end is
    /// the end.
    #[must_use]
    pub fn line_col(&self, offset: usize) -> (usize, usize) {
        let before: &[u8] = self
            .text
            .as_bytes()
            .get(..offset)
            .unwrap_or(self.text.as_bytes());
        let start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before
            .iter()
            .skip(start)
            .filter(|byte| (**byte & 0xC0) != 0x80)
            .count()
            + 1;
        (line, column)
    }
}

impl Diagnostic {
    /// A fault at a place.
    #[must_use]
    pub fn error(message: impl Into<String>, span: Range<usize>) -> Self {
        Self::error_without_place(message).label(span, "", true)
    }

    /// A fault without a place.
    #[must_use]
    pub fn error_without_place(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            labels: Vec::new(),
            help: None,
            suggestion: None,
        }
    }

    /// A warning at a place.
    #[must_use]
    pub fn warning(message: impl Into<String>, span: Range<usize>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message, span)
        }
    }

    /// Says something of the place to blame.
    #[must_use]
    pub fn says(mut self, text: impl Into<String>) -> Self {
        if let Some(label) = self.labels.first_mut() {
            label.text = text.into();
        }
        self
    }

    /// Points at another place that explains it.
    #[must_use]
    pub fn context(self, span: Range<usize>, text: impl Into<String>) -> Self {
        self.label(span, text, false)
    }

    /// Says what to try.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Offers a replacement.
    #[must_use]
    pub fn suggest(mut self, span: Range<usize>, replacement: impl Into<String>) -> Self {
        self.suggestion = Some(Suggestion {
            span,
            replacement: replacement.into(),
        });
        self
    }

    /// Where it is, if anywhere: the start of the first label.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        self.labels.first().map(|label| label.span.start)
    }

    fn label(mut self, span: Range<usize>, text: impl Into<String>, primary: bool) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
            primary,
        });
        self
    }
}

/// The candidate that is most like a word, if one is like it at all: for "did you mean".
pub fn near<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| {
            (
                strsim::jaro_winkler(&lower, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(likeness, _)| *likeness >= 0.84)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Names as a sentence has them: `` `a`, `b` and `c` ``.
pub fn list(names: &[impl AsRef<str>]) -> String {
    listed(names, "and")
}

/// The same where one of them is meant: `` `a`, `b` or `c` ``.
pub(crate) fn either(names: &[impl AsRef<str>]) -> String {
    listed(names, "or")
}

fn listed(names: &[impl AsRef<str>], word: &str) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} {word} {last}", first.join(", ")),
    }
}
