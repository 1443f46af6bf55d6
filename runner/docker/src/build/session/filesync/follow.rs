//! The paths that an engine wants together with what the links in them lead to, found by looking:
//! what `COPY` copies is what a link leads to, so that must be sent too. It refuses links that lead
//! out of the folder or in a circle.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path};

use hoist_engine::walk::{Found, Kind, buildable_link};
use hoist_model::ignore::IgnoreFile;
use hoist_model::reason::Trouble;

/// Links that may follow upon each other.
const MOST_LINKS: usize = 40;

/// What paths to follow come to.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// One of them is the folder itself.
    pub(super) all: bool,
    /// Paths as they are.
    pub(super) paths: BTreeSet<String>,
    /// Paths with globs in them.
    pub(super) globs: BTreeSet<String>,
}

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Name(String),
    Glob(String),
}

impl Part {
    fn is_glob(&self) -> bool {
        matches!(self, Self::Glob(_))
    }
}

/// Follows `paths` below `root`. A link that `left_out` says yes to is not sent and so not followed.
///
/// # Errors
/// When a link leads out or in a circle, or a glob cannot be used.
pub(super) fn follow(
    paths: &[String],
    root: &Path,
    left_out: impl Fn(&str) -> bool,
) -> Result<Followed, Trouble> {
    let mut follower = Follower {
        root,
        left_out,
        followed: Followed::default(),
        links: HashMap::new(),
    };
    for path in paths {
        follower.go(Vec::new(), &parts(path), false, 0)?;
    }
    Ok(follower.followed)
}

/// `paths` where nothing is a link.
pub(super) fn as_they_are(paths: &[String]) -> Followed {
    let mut followed = Followed::default();
    for path in paths {
        followed.add(&parts(path));
    }
    followed
}

impl Followed {
    fn add(&mut self, parts: &[Part]) {
        if parts.is_empty() {
            self.all = true;
        } else if parts.iter().any(Part::is_glob) {
            let parts: Vec<_> = parts.iter().map(pattern).collect();
            self.globs.insert(parts.join("/"));
        } else {
            let parts: Vec<_> = parts.iter().map(text).collect();
            self.paths.insert(parts.join("/"));
        }
    }
}

struct Follower<'a, F> {
    root: &'a Path,
    left_out: F,
    followed: Followed,
    /// Links with what was to be followed after them, and whether that is done.
    links: HashMap<(Vec<String>, Vec<Part>), bool>,
}

impl<F: Fn(&str) -> bool> Follower<'_, F> {
    /// Goes on from the folder `at`, which no link is part of. Where `covered`, what is there is
    /// wanted already, and only links matter.
    fn go(
        &mut self,
        mut at: Vec<String>,
        ahead: &[Part],
        covered: bool,
        links: usize,
    ) -> Result<(), Trouble> {
        for (index, part) in ahead.iter().enumerate() {
            let rest = ahead.get(index + 1..).unwrap_or_default();
            let name = match part {
                Part::Name(name) if name == ".." => {
                    at.pop();
                    continue;
                }
                Part::Name(name) => name,
                Part::Glob(glob) => {
                    if !covered {
                        self.add(&at, ahead.get(index..).unwrap_or_default());
                    }
                    return self.glob(&at, glob, rest, links);
                }
            };
            at.push(name.clone());
            match std::fs::symlink_metadata(self.root.join(at.join("/"))) {
                Ok(metadata) if metadata.is_symlink() => {
                    return self.link(at, rest, covered && rest.is_empty(), links);
                }
                Ok(_) => {}
                // It may still be there when the walk comes by, or never; `COPY` will tell.
                Err(_) if covered => return Ok(()),
                Err(_) => {
                    self.add(&at, rest);
                    return Ok(());
                }
            }
        }
        if !covered {
            self.add(&at, &[]);
        }
        Ok(())
    }

    /// Goes on with all that a glob in the folder `at` matches.
    fn glob(
        &mut self,
        at: &[String],
        glob: &str,
        rest: &[Part],
        links: usize,
    ) -> Result<(), Trouble> {
        let mut matching = IgnoreFile::default();
        matching
            .append(&pattern(&Part::Glob(glob.to_owned())))
            .map_err(|error| {
                Trouble::new("the Dockerfile copies by a pattern that cannot be used")
                    .cause(error.to_string())
            })?;
        let Ok(entries) = std::fs::read_dir(self.root.join(at.join("/"))) else {
            // As with a path that is not there.
            return Ok(());
        };
        for entry in entries.flatten() {
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else {
                continue;
            };
            let wanted = kind.is_symlink() || kind.is_dir() && !rest.is_empty();
            if !wanted || !matching.is_ignored(&name) {
                continue;
            }
            let mut inside = at.to_vec();
            inside.push(name);
            if kind.is_symlink() {
                self.link(inside, rest, rest.is_empty(), links)?;
            } else {
                self.go(inside, rest, true, links)?;
            }
        }
        Ok(())
    }

    /// Goes on with what the link `at` leads to. Where `covered`, the link itself is wanted already.
    fn link(
        &mut self,
        at: Vec<String>,
        rest: &[Part],
        covered: bool,
        links: usize,
    ) -> Result<(), Trouble> {
        let shown = at.join("/");
        if (self.left_out)(&shown) {
            return Ok(());
        }
        let key = (at, rest.to_vec());
        let done = self.links.get(&key).copied();
        if done == Some(true) {
            return Ok(());
        }
        let path = Path::new(&shown);
        let target = buildable_link(&Found {
            path,
            shown: &shown,
            at: &self.root.join(path),
            kind: Kind::Link,
        })?;
        if done.is_some() || links >= MOST_LINKS {
            return Err(
                Trouble::new(format!("the link `{shown}` leads in a circle"))
                    .cause(format!("it is a link to `{}`", target.display()))
                    .hint("link to something in the folder, or do not copy it"),
            );
        }
        if !covered {
            self.followed.add(&names(&key.0));
        }
        self.links.insert(key.clone(), false);
        // In the container an absolute link begins at its root, which is this folder by then.
        let mut from = key.0.clone();
        from.pop();
        let mut ahead = Vec::new();
        for part in target.components() {
            match part {
                Component::RootDir | Component::Prefix(_) => from.clear(),
                Component::CurDir => {}
                Component::ParentDir => ahead.push(Part::Name("..".to_owned())),
                Component::Normal(name) => match name.to_str() {
                    Some(name) => ahead.push(Part::Name(name.to_owned())),
                    // No engine can ask for it, and the walk names the link.
                    None => return Ok(()),
                },
            }
        }
        ahead.extend_from_slice(rest);
        self.go(from, &ahead, false, links + 1)?;
        self.links.insert(key, true);
        Ok(())
    }

    fn add(&mut self, at: &[String], ahead: &[Part]) {
        let mut parts = names(at);
        parts.extend_from_slice(ahead);
        self.followed.add(&parts);
    }
}

fn names(names: &[String]) -> Vec<Part> {
    names.iter().cloned().map(Part::Name).collect()
}

/// The parts of a path as the engine sends it. It cannot lead out: the engine cleans it.
fn parts(path: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ if part.contains(['*', '?', '[', '\\']) => parts.push(Part::Glob(part.to_owned())),
            _ => parts.push(Part::Name(part.to_owned())),
        }
    }
    parts
}

fn text(part: &Part) -> &str {
    match part {
        Part::Name(text) | Part::Glob(text) => text,
    }
}

/// The part in a pattern of ignore rules. A name means itself there. In a glob only what is special
/// in globs is special; to the rules some more characters are.
fn pattern(part: &Part) -> String {
    let (text, special): (_, fn(char) -> bool) = match part {
        Part::Name(text) => (text, |c| c.is_ascii_punctuation()),
        Part::Glob(text) => (text, |c| matches!(c, '{' | '}' | '|')),
    };
    let mut pattern = String::with_capacity(text.len());
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        // A `!` at the start would take back instead.
        if (special(c) || at == 0 && c == '!') && !(escaped && part.is_glob()) {
            pattern.push('\\');
        }
        pattern.push(c);
        escaped = c == '\\' && !escaped;
    }
    pattern
}
