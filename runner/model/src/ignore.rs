//! .dockerignore by Docker's rules. It answers questions about paths and refuses to walk folders.

/// A line of an ignore file that is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{pattern}`: {why}")]
pub struct IgnoreError {
    /// Its line, from 1; 0 if it came from elsewhere.
    pub line: usize,
    /// As written.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The pattern as written, `!` included.
    pub pattern: String,
    /// Its line, from 1; 0 if it came from elsewhere.
    pub line: usize,
    /// It takes back what earlier rules leave out.
    pub negated: bool,
}

/// The rules of an ignore file, in their order.
#[derive(Clone, Debug, Default)]
pub struct IgnoreFile {
    rules: Vec<Rule>,
}

impl IgnoreFile {
    /// Reads an ignore file.
    ///
    /// # Errors
    /// For the first line that is not a pattern.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let _ = text;
        Ok(Self::default())
    }

    /// Adds a rule after all others.
    ///
    /// # Errors
    /// When it is not a pattern.
    pub fn append(&mut self, pattern: &str) -> Result<(), IgnoreError> {
        let _ = pattern;
        Ok(())
    }

    /// The rules, in their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule that decides about a path relative to the context, with `/` between its parts.
    #[must_use]
    pub fn matches(&self, path: &str) -> Option<&Rule> {
        let _ = path;
        None
    }

    /// The path is left out.
    #[must_use]
    pub fn is_ignored(&self, path: &str) -> bool {
        self.matches(path).is_some_and(|rule| !rule.negated)
    }

    /// A matcher for a walk that visits folders before what is in them.
    #[must_use]
    pub fn matcher(&self) -> Matcher<'_> {
        Matcher { file: self }
    }
}

/// Answers for the paths of a walk, each faster than [`IgnoreFile::is_ignored`].
#[derive(Clone, Debug)]
pub struct Matcher<'a> {
    file: &'a IgnoreFile,
}

impl Matcher<'_> {
    /// The path is left out.
    pub fn is_ignored(&mut self, path: &str) -> bool {
        self.file.is_ignored(path)
    }

    /// Something under this folder may be part of the context. Where not, a walk can leave it out
    /// whole.
    pub fn may_descend(&mut self, folder: &str) -> bool {
        let _ = folder;
        true
    }
}
