//! What a build takes from outside of its contexts: the images and addresses that the instructions
//! name on the way to its target. Stages that the target does not reach are left out, as BuildKit
//! leaves them out.

use std::collections::{BTreeMap, BTreeSet};

use super::words::{expand, joined, split};
use super::{Dockerfile, Instruction, stage_name};

/// Something that a build takes from outside of its contexts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Elsewhere {
    /// An image, by `FROM`, `COPY --from` or `RUN --mount`.
    Image {
        /// As the builder looks for it, variables filled in.
        name: String,
        /// What it is asked for, where that is another platform than the target's.
        platform: Option<String>,
    },
    /// What `ADD` fetches from an address and nothing pins.
    Address(String),
    /// An instruction whose variables are not for hoist to fill in.
    Unclear {
        /// Its line, from 1.
        line: usize,
        /// As written.
        text: String,
    },
}

/// Platforms as a Dockerfile may ask for them.
#[derive(Clone, Copy, Debug)]
pub struct Platforms<'a> {
    /// What is built on: `BUILDPLATFORM`.
    pub build: &'a str,
    /// What is built for: `TARGETPLATFORM`.
    pub target: &'a str,
}

/// How the stages are walked.
pub(super) struct Walk<'a> {
    file: &'a Dockerfile,
    names: Vec<Option<String>>,
    /// Those that hold in `FROM`.
    variables: BTreeMap<String, String>,
    /// Those of all stages: enough to tell an address from a path.
    everywhere: BTreeMap<String, String>,
    contexts: &'a BTreeSet<&'a str>,
    platforms: Platforms<'a>,
    pub(super) visited: BTreeSet<usize>,
    todo: Vec<usize>,
    found: BTreeSet<Elsewhere>,
}

impl Dockerfile {
    /// What the build of `target` takes from elsewhere; the last stage where there is none of that
    /// name. `args` are the build's arguments, `contexts` the names of its further contexts, which
    /// stand for stages and images of the same name.
    #[must_use]
    pub fn elsewhere(
        &self,
        target: Option<&str>,
        args: &BTreeMap<String, String>,
        contexts: &BTreeSet<&str>,
        platforms: Platforms<'_>,
    ) -> BTreeSet<Elsewhere> {
        self.walk(target, args, contexts, platforms).found
    }

    /// Goes through the stages that `target` reaches.
    pub(super) fn walk<'a>(
        &'a self,
        target: Option<&str>,
        args: &BTreeMap<String, String>,
        contexts: &'a BTreeSet<&'a str>,
        platforms: Platforms<'a>,
    ) -> Walk<'a> {
        let names: Vec<_> = self.froms().map(stage_name).collect();
        let target = target.map(str::to_lowercase);
        let at = target.as_ref().and_then(|target| {
            let named = names.iter().position(|name| name.as_ref() == Some(target));
            named.or_else(|| target.parse().ok().filter(|number| *number < names.len()))
        });
        let variables = self.globals(args, platforms);
        let mut everywhere = variables.clone();
        let sets = |one: &&Instruction| matches!(one.keyword.as_str(), "ARG" | "ENV");
        for one in self.instructions.iter().filter(sets) {
            self.set(one, args, &mut everywhere);
        }
        let mut walk = Walk {
            variables,
            everywhere,
            file: self,
            todo: at.or(names.len().checked_sub(1)).into_iter().collect(),
            names,
            contexts,
            platforms,
            visited: BTreeSet::new(),
            found: BTreeSet::new(),
        };
        while let Some(stage) = walk.todo.pop() {
            walk.stage(stage);
        }
        walk
    }

    /// The variables that hold in `FROM`: those of the platforms, and of each `ARG` before the
    /// first stage what the build says, or its default.
    fn globals(
        &self,
        args: &BTreeMap<String, String>,
        platforms: Platforms<'_>,
    ) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        for (prefix, platform) in [("BUILD", platforms.build), ("TARGET", platforms.target)] {
            let mut parts = platform.splitn(3, '/');
            variables.insert(format!("{prefix}PLATFORM"), platform.to_owned());
            for part in ["OS", "ARCH", "VARIANT"] {
                let value = parts.next().unwrap_or_default();
                variables.insert(format!("{prefix}{part}"), value.to_owned());
            }
        }
        let before = self.instructions.iter().filter(|one| one.stage.is_none());
        for one in before.filter(|one| one.keyword == "ARG") {
            self.set(one, args, &mut variables);
        }
        variables
    }

    /// Sets what `ARG` or `ENV` sets.
    fn set(
        &self,
        one: &Instruction,
        args: &BTreeMap<String, String>,
        variables: &mut BTreeMap<String, String>,
    ) {
        for word in split(&joined(&one.text), self.escape).iter().skip(1) {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, expand(value, self.escape, variables)),
                None => (word.as_str(), None),
            };
            let said = args.get(name).filter(|_| one.keyword == "ARG").cloned();
            if let Some(value) = said.or(value) {
                variables.insert(name.to_owned(), value);
            }
        }
    }
}

impl Walk<'_> {
    fn stage(&mut self, at: usize) {
        if !self.visited.insert(at) {
            return;
        }
        let name = self.names.get(at).and_then(Option::as_ref);
        if name.is_some_and(|name| self.is_context(name)) {
            return;
        }
        let file = self.file;
        for one in file.instructions.iter().filter(|one| one.stage == Some(at)) {
            match one.keyword.as_str() {
                "FROM" => self.from(one, at),
                "COPY" => self.copy(one),
                "RUN" => self.run(one),
                "ADD" => self.add(one),
                _ => {}
            }
        }
    }

    fn from(&mut self, one: &Instruction, at: usize) {
        let words = self.words(one);
        let platform = words
            .iter()
            .find_map(|word| word.strip_prefix("--platform="));
        let platform = match platform.map(|platform| self.expand(platform)) {
            None => None,
            Some(Some(platform)) => Some(platform).filter(|p| p != self.platforms.target),
            Some(None) => return self.unclear(one),
        };
        let base = words.iter().find(|word| !word.starts_with("--"));
        match base.map(|base| self.expand(base)) {
            Some(Some(base)) if self.is_context(&base) => {}
            Some(Some(base)) => match self.named(&base, at) {
                Some(stage) => self.todo.push(stage),
                None => self.image(&base, platform),
            },
            Some(None) => self.unclear(one),
            None => {}
        }
    }

    fn copy(&mut self, one: &Instruction) {
        for flag in self.flags(one) {
            if let Some(from) = flag.strip_prefix("--from=") {
                self.plain(one, from);
            }
        }
    }

    fn run(&mut self, one: &Instruction) {
        for flag in self.flags(one) {
            let from = flag.strip_prefix("--mount=").and_then(|mount| {
                let mut parts = mount.split(',');
                parts.find_map(|part| part.trim_matches('"').strip_prefix("from="))
            });
            if let Some(from) = from {
                self.plain(one, from);
            }
        }
    }

    /// A name in which builders fill in no variables, or only newer ones do. Unlike a base, it may
    /// be that of a later stage, or a number.
    fn plain(&mut self, one: &Instruction, name: &str) {
        if name.contains('$') {
            return self.unclear(one);
        }
        if self.is_context(name) {
            return;
        }
        let all = self.names.len();
        let number = || name.parse().ok().filter(|number| *number < all);
        match self.named(name, all).or_else(number) {
            Some(stage) => self.todo.push(stage),
            None => self.image(name, None),
        }
    }

    fn add(&mut self, one: &Instruction) {
        let flags = self.flags(one);
        if flags.iter().any(|flag| flag.starts_with("--checksum=")) {
            return;
        }
        for source in self.words(one).iter().skip(flags.len()) {
            // An array is quoted word by word.
            let written = source.trim_matches(['[', ']', ',']);
            let source = expand(written, self.file.escape, &self.everywhere);
            let source = source.unwrap_or_else(|| written.to_owned());
            if is_address(&source) && !is_pinned(&source) {
                self.found.insert(Elsewhere::Address(source));
            }
        }
    }

    /// The last of the first `before` stages that has this name.
    fn named(&self, name: &str, before: usize) -> Option<usize> {
        let name = name.to_lowercase();
        let mut stages = self.names.iter().take(before);
        stages.rposition(|other| other.as_ref() == Some(&name))
    }

    fn is_context(&self, name: &str) -> bool {
        let familiar = name.strip_suffix(":latest").unwrap_or(name);
        self.contexts.contains(familiar)
    }

    fn image(&mut self, name: &str, platform: Option<String>) {
        if name != "scratch" {
            self.found.insert(Elsewhere::Image {
                name: name.to_owned(),
                platform,
            });
        }
    }

    fn unclear(&mut self, one: &Instruction) {
        let text = one.text.lines().next().unwrap_or_default().trim();
        self.found.insert(Elsewhere::Unclear {
            line: one.line,
            text: text.to_owned(),
        });
    }

    fn expand(&self, word: &str) -> Option<String> {
        expand(word, self.file.escape, &self.variables)
    }

    /// All words but the keyword.
    pub(super) fn words(&self, one: &Instruction) -> Vec<String> {
        let mut words = split(&joined(&one.text), self.file.escape);
        if !words.is_empty() {
            words.remove(0);
        }
        words
    }

    /// The words before the first that is no flag.
    fn flags(&self, one: &Instruction) -> Vec<String> {
        let words = self.words(one).into_iter();
        words.take_while(|word| word.starts_with("--")).collect()
    }
}

fn is_address(source: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@"]
        .iter()
        .any(|scheme| source.starts_with(scheme))
}

/// It ends in a whole commit of git.
fn is_pinned(source: &str) -> bool {
    source.rsplit_once('#').is_some_and(|(_, commit)| {
        let commit = commit.split(':').next().unwrap_or_default();
        commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
