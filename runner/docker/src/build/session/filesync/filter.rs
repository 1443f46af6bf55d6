//! Which of a folder's content an engine wants. It refuses patterns that Docker would refuse.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hoist_model::ignore::{IgnoreFile, Matcher};
use hoist_model::reason::Trouble;

use super::asked::Asked;
use super::follow::Followed;

/// What an engine wants.
#[derive(Debug)]
pub(super) struct Wanted {
    /// All, but for what is excluded.
    all: bool,
    /// These and what is in them.
    paths: BTreeSet<String>,
    /// What this does not leave out.
    patterns: IgnoreFile,
    exclude: IgnoreFile,
}

impl Wanted {
    /// Without the paths to follow.
    ///
    /// # Errors
    /// When a pattern cannot be used.
    pub(super) fn new(asked: &Asked) -> Result<Self, Trouble> {
        let mut exclude = IgnoreFile::default();
        for pattern in &asked.exclude {
            append(&mut exclude, pattern)?;
        }
        let mut wanted = Self {
            all: asked.include.is_empty() && asked.follow.is_empty(),
            paths: BTreeSet::new(),
            patterns: IgnoreFile::default(),
            exclude,
        };
        append(&mut wanted.patterns, "**")?;
        for pattern in &asked.include {
            wanted.include(pattern)?;
        }
        Ok(wanted)
    }

    /// Adds what the paths to follow came to.
    ///
    /// # Errors
    /// When a pattern cannot be used.
    pub(super) fn add(&mut self, followed: Followed) -> Result<(), Trouble> {
        self.all |= followed.all;
        self.paths.extend(followed.paths);
        for pattern in &followed.globs {
            append(&mut self.patterns, &format!("!{pattern}"))?;
        }
        Ok(())
    }

    /// Paths in which is all that is wanted, and perhaps more; `None` where that may be anywhere.
    pub(super) fn within(&self) -> Option<BTreeSet<String>> {
        let rules = self.patterns.rules().iter();
        let included = rules.filter_map(|rule| rule.pattern.strip_prefix('!'));
        let mut within = self.paths.clone();
        within.extend(included.map(before_glob));
        (!self.all && !within.contains("")).then_some(within)
    }

    /// The engine does not want to see this path, whatever it includes.
    pub(super) fn excludes(&self, path: &str) -> bool {
        self.exclude.is_ignored(path)
    }

    /// To include is to take back what is left out, and the other way round.
    fn include(&mut self, pattern: &str) -> Result<(), Trouble> {
        let pattern = pattern.trim();
        let (mark, pattern) = match pattern.strip_prefix('!') {
            Some(pattern) => ("", pattern),
            None => ("!", pattern),
        };
        let parts: Vec<&str> = pattern
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        match parts.is_empty() {
            true => self.all |= !mark.is_empty(),
            false => append(&mut self.patterns, &format!("{mark}{}", parts.join("/")))?,
        }
        Ok(())
    }

    fn has(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at);
        let mut above = ends.chain([path.len()]).filter_map(|end| path.get(..end));
        !self.paths.is_empty() && above.any(|path| self.paths.contains(path))
    }

    fn has_below(&self, folder: &str) -> bool {
        let folder = format!("{folder}/");
        let mut from = self.paths.range(folder.clone()..);
        from.next().is_some_and(|path| path.starts_with(&folder))
    }
}

/// The folders and the name with which a pattern begins, as far as they are plain.
fn before_glob(pattern: &str) -> String {
    let plain = |part: &&str| !part.contains(['*', '?', '[', '\\', '{', '|']);
    let parts: Vec<&str> = pattern.split('/').take_while(plain).collect();
    parts.join("/")
}

fn append(rules: &mut IgnoreFile, pattern: &str) -> Result<(), Trouble> {
    rules.append(pattern).map_err(|error| {
        Trouble::new("the engine asks for files by a pattern that cannot be used")
            .cause(error.to_string())
            .hint("it comes from a COPY or an ADD of the Dockerfile, or from .dockerignore")
    })
}

/// Answers for a walk that visits folders before what is in them.
pub(super) struct Filter<'a> {
    wanted: &'a Wanted,
    patterns: Matcher<'a>,
    exclude: Matcher<'a>,
    /// Folders that are not wanted themselves but may hold what is, outermost first.
    waiting: Vec<PathBuf>,
}

impl<'a> Filter<'a> {
    pub(super) fn new(wanted: &'a Wanted) -> Self {
        Self {
            wanted,
            patterns: wanted.patterns.matcher(),
            exclude: wanted.exclude.matcher(),
            waiting: Vec::new(),
        }
    }

    /// Something in this folder may be wanted.
    pub(super) fn may_descend(&mut self, folder: &str) -> bool {
        let wanted = self.wanted;
        let included = wanted.all
            || wanted.has(folder)
            || wanted.has_below(folder)
            || self.patterns.may_descend(folder);
        included && self.exclude.may_descend(folder)
    }

    /// Whether a path is wanted: if so, the folders above it that were not sent yet. `path` and
    /// `shown` are the same.
    pub(super) fn admit(&mut self, path: &Path, shown: &str, folder: bool) -> Option<Vec<PathBuf>> {
        let wanted = self.wanted;
        let included = wanted.all || wanted.has(shown) || !self.patterns.is_ignored(shown);
        if included && !self.exclude.is_ignored(shown) {
            let mut above = std::mem::take(&mut self.waiting);
            above.retain(|above| path.starts_with(above));
            return Some(above);
        }
        if folder {
            self.waiting.retain(|above| path.starts_with(above));
            self.waiting.push(path.to_owned());
        }
        None
    }
}
