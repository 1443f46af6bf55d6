//! What a build copies out of its own context, as far as that can be told without looking at it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Dockerfile, Instruction, Platforms};

/// The whole context.
const ALL: &str = ".";

impl Dockerfile {
    /// The paths of the context that the stages on the way to `target` copy or mount, as written;
    /// `.` alone where they take all of it. `contexts` are the names of further contexts.
    #[must_use]
    pub fn sources(&self, target: Option<&str>, contexts: &BTreeSet<&str>) -> BTreeSet<String> {
        let platforms = Platforms {
            build: "",
            target: "",
        };
        let args = BTreeMap::new();
        let walk = self.walk(target, &args, contexts, platforms);
        let reached = |one: &&Instruction| one.stage.is_some_and(|at| walk.visited.contains(&at));
        let sources: BTreeSet<String> = self
            .instructions
            .iter()
            .filter(reached)
            .flat_map(|one| match one.keyword.as_str() {
                "COPY" | "ADD" => copied(walk.words(&without_texts(one))),
                "RUN" => mounted(walk.words(&without_texts(one))),
                _ => Vec::new(),
            })
            .map(|source| clean(&source).to_owned())
            .collect();
        match sources.contains(ALL) {
            true => BTreeSet::from([ALL.to_owned()]),
            false => sources,
        }
    }
}

/// The instruction without the texts that follow it.
fn without_texts(one: &Instruction) -> Instruction {
    let mut one = one.clone();
    if one.heredoc {
        one.text = one.text.lines().next().unwrap_or_default().to_owned();
    }
    one
}

/// All but the flags, and the last, which is where to.
fn copied(words: Vec<String>) -> Vec<String> {
    let flag = |word: &String| word.starts_with("--");
    if words
        .iter()
        .take_while(|word| flag(word))
        .any(|word| word.starts_with("--from="))
    {
        return Vec::new();
    }
    let mut sources: Vec<String> = words.into_iter().skip_while(flag).collect();
    sources.pop();
    // Texts from the file itself are no paths.
    sources.retain(|source| !source.starts_with("<<"));
    sources
}

fn mounted(words: Vec<String>) -> Vec<String> {
    let flags = words.iter().take_while(|word| word.starts_with("--"));
    let mounts = flags.filter_map(|flag| flag.strip_prefix("--mount="));
    let source = |mount: &str| {
        let (mut source, mut binds) = (ALL.to_owned(), true);
        for (key, value) in mount.split(',').filter_map(|part| part.split_once('=')) {
            match key {
                "type" => binds &= value == "bind",
                "from" => binds = false,
                "source" | "src" => source = value.to_owned(),
                _ => {}
            }
        }
        binds.then_some(source)
    };
    mounts.filter_map(source).collect()
}

/// A path without what means nothing in it.
fn clean(source: &str) -> &str {
    let bare = source.trim_matches(['[', ']', ',', '"', '\'']);
    let bare = bare.trim_start_matches("./").trim_matches('/');
    if bare.is_empty() { ALL } else { bare }
}
