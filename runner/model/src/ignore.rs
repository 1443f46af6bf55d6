//! `.dockerignore` by Docker's rules: which paths of a folder are not part of a build context. Says
//! what Docker's own matcher says, odd corners included, where it walks a folder: a rule that
//! matched a folder also holds for all that is in it, and the last rule that matches decides. It
//! answers questions about paths and refuses to walk folders itself.
//!
//! The one corner in which walking and looking at a single path differ in Docker: a `!` rule is not
//! even tried on a folder that no earlier rule leaves out, and so takes back nothing in it unless
//! it also matches what is in it. Contexts are made by walking, so that is what counts here.

mod pattern;
#[cfg(test)]
mod tests;

use pattern::Pattern;

/// A line of an ignore file that Docker would refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct IgnoreError {
    /// Its line, from 1; 0 if it came from elsewhere.
    pub line: usize,
    /// As written.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

impl std::fmt::Display for IgnoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "`{}`: {}", self.pattern, self.why)
    }
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
    /// Why it holds, where it came from elsewhere and that was said.
    pub why: Option<String>,
    compiled: Pattern,
}

/// The rules of an ignore file, in their order.
#[derive(Clone, Debug, Default)]
pub struct IgnoreFile {
    name: Option<String>,
    rules: Vec<Rule>,
}

impl IgnoreFile {
    /// Reads an ignore file.
    ///
    /// # Errors
    /// For the first line that Docker would refuse.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let mut file = Self::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.split('\n').enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let written = line.trim();
            let (mark, pattern) = match written.strip_prefix('!') {
                Some(pattern) => ("!", pattern.trim()),
                None => ("", written),
            };
            if mark.is_empty() && pattern.is_empty() {
                continue;
            }
            let mut cleaned = if pattern.is_empty() {
                String::new()
            } else {
                pattern::clean(pattern)
            };
            if cleaned.len() > 1 && cleaned.starts_with('/') {
                cleaned.remove(0);
            }
            file.push(&format!("{mark}{cleaned}"), written, index + 1)?;
        }
        Ok(file)
    }

    /// With the name by which people know the file.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name by which people know the file; `None` where there is no file.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Adds a rule after all others, as a builder gets it: a leading `/` is not removed.
    ///
    /// # Errors
    /// When Docker would refuse it.
    pub fn append(&mut self, pattern: &str) -> Result<(), IgnoreError> {
        self.push(pattern, pattern, 0)
    }

    /// As [`IgnoreFile::append`], for what is left out whatever the file says, and the reason in a
    /// few words.
    ///
    /// # Errors
    /// When Docker would refuse it.
    pub fn never(&mut self, pattern: &str, why: impl Into<String>) -> Result<(), IgnoreError> {
        let before = self.rules.len();
        self.append(pattern)?;
        if let Some(rule) = self.rules.get_mut(before) {
            rule.why = Some(why.into());
        }
        Ok(())
    }

    fn push(&mut self, pattern: &str, written: &str, line: usize) -> Result<(), IgnoreError> {
        let fault = |why| IgnoreError {
            line,
            pattern: written.to_owned(),
            why,
        };
        let pattern = pattern.trim();
        if pattern.is_empty() {
            return Ok(());
        }
        // In this order: a `..` may take the `!` away.
        let cleaned = pattern::clean(pattern);
        let (negated, cleaned) = match cleaned.strip_prefix('!') {
            Some("") => return Err(fault("there is no pattern after the `!`".to_owned())),
            Some(rest) => (true, rest),
            None => (false, cleaned.as_str()),
        };
        let compiled = Pattern::new(cleaned, negated).map_err(fault)?;
        self.rules.push(Rule {
            pattern: written.to_owned(),
            line,
            negated,
            why: None,
            compiled,
        });
        Ok(())
    }

    /// The rules, in their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule that decides about a path: the last that matches it or a folder that holds it. The
    /// path is relative to the context and has `/` between its parts.
    #[must_use]
    pub fn matches(&self, path: &str) -> Option<&Rule> {
        self.matcher().matches(path)
    }

    /// The path is left out.
    #[must_use]
    pub fn is_ignored(&self, path: &str) -> bool {
        self.matches(path).is_some_and(|rule| !rule.negated)
    }

    /// A matcher for a walk.
    #[must_use]
    pub fn matcher(&self) -> Matcher<'_> {
        Matcher {
            rules: &self.rules,
            trail: Vec::new(),
        }
    }
}

/// Answers for the paths of a walk that visits folders before what is in them: it remembers what
/// matched the folders above. The answers are the same in any other order, only slower.
#[derive(Clone, Debug)]
pub struct Matcher<'a> {
    rules: &'a [Rule],
    /// The path asked for last, part by part.
    trail: Vec<Visited>,
}

/// A path and the rules that matched it or a folder above it.
#[derive(Clone, Debug)]
struct Visited {
    path: String,
    matched: Vec<bool>,
}

impl<'a> Matcher<'a> {
    /// As [`IgnoreFile::matches`].
    pub fn matches(&mut self, path: &str) -> Option<&'a Rule> {
        self.deciding(path).and_then(|index| self.rules.get(index))
    }

    /// The path is left out.
    pub fn is_ignored(&mut self, path: &str) -> bool {
        self.matches(path).is_some_and(|rule| !rule.negated)
    }

    /// Something in this folder may not be left out. Where not, a walk need not go into it.
    pub fn may_descend(&mut self, folder: &str) -> bool {
        match self.deciding(folder) {
            Some(index) if self.rules.get(index).is_some_and(|rule| !rule.negated) => {
                let folder = self
                    .trail
                    .last()
                    .map_or("", |visited| visited.path.as_str());
                self.rules
                    .iter()
                    .skip(index + 1)
                    .any(|rule| rule.negated && rule.compiled.may_match_below(folder))
            }
            _ => true,
        }
    }

    fn deciding(&mut self, path: &str) -> Option<usize> {
        let path = pattern::clean(path);
        let path = path.trim_start_matches('/');
        if path.is_empty() || path == "." {
            self.trail.clear();
            return None;
        }
        while self
            .trail
            .pop_if(|visited| !holds(&visited.path, path))
            .is_some()
        {}
        let mut known = self.trail.last().map_or(0, |visited| visited.path.len());
        while known < path.len() {
            let end = path
                .bytes()
                .enumerate()
                .skip(known + 1)
                .find(|(_, byte)| *byte == b'/')
                .map_or(path.len(), |(at, _)| at);
            let part = path.get(..end).unwrap_or(path);
            let visited = self.visit(part);
            self.trail.push(visited);
            known = end;
        }
        self.trail
            .last()?
            .matched
            .iter()
            .rposition(|matched| *matched)
    }

    fn visit(&self, path: &str) -> Visited {
        let above = self
            .trail
            .last()
            .map(|visited| visited.matched.as_slice())
            .unwrap_or_default();
        let mut ignored = false;
        let mut matched = Vec::with_capacity(self.rules.len());
        for (index, rule) in self.rules.iter().enumerate() {
            let from_above = above.get(index).copied().unwrap_or(false);
            // A rule that could change nothing is not tried, and so counts as not matching for
            // what is in this folder, too.
            let matches = from_above || rule.negated == ignored && rule.compiled.matches(path);
            if matches {
                ignored = !rule.negated;
            }
            matched.push(matches);
        }
        Visited {
            path: path.to_owned(),
            matched,
        }
    }
}

/// The path is this folder or in it.
fn holds(folder: &str, path: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
