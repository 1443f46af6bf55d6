//! Signs that more is sent than was meant: much of it, or folders and files that hardly ever belong
//! into an image. Fed by whichever walk goes over a context anyway; it looks at nothing itself.

use std::collections::{BTreeMap, HashSet};

use hoist_model::survey::Hint;

use crate::walk::Kind;

/// Bytes of a context beyond which people are told: 500 MB.
pub(super) const MUCH: u64 = 500 * 1000 * 1000;

/// What a walk over a context has come to so far.
#[derive(Debug, Default)]
pub struct Signs {
    bytes: u64,
    found: BTreeMap<Sign, Seen>,
    /// The sign in whose folder the walk is.
    within: Option<(String, Sign)>,
    /// Folders in which a tool makes `target`.
    crates: HashSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Git,
    NodeModules,
    Target,
    Env,
}

/// Where a sign was seen.
#[derive(Debug, Default)]
struct Seen {
    first: String,
    times: usize,
    bytes: u64,
}

impl Signs {
    /// Takes something that is part of the context, in the order of the walk. `bytes` are those of
    /// a plain file, else 0.
    pub fn see(&mut self, path: &str, kind: Kind, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some((folder, sign)) = &self.within {
            if is_in(path, folder) {
                if let Some(seen) = self.found.get_mut(sign) {
                    seen.bytes = seen.bytes.saturating_add(bytes);
                }
                return;
            }
            self.within = None;
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let sign = match (name, kind) {
            // In a worktree or a submodule it is a file.
            (".git", Kind::Folder | Kind::File) => Sign::Git,
            ("node_modules", Kind::Folder) => Sign::NodeModules,
            // Deeper down it may be any folder of that name.
            ("target", Kind::Folder) if above.is_empty() || self.crates.contains(above) => {
                Sign::Target
            }
            (".env", Kind::File) => Sign::Env,
            // They sort before `target`.
            ("Cargo.toml" | "pom.xml", _) => {
                self.crates.insert(above.to_owned());
                return;
            }
            _ => return,
        };
        let seen = self.found.entry(sign).or_default();
        if seen.times == 0 {
            path.clone_into(&mut seen.first);
        }
        seen.times += 1;
        seen.bytes = seen.bytes.saturating_add(bytes);
        if kind == Kind::Folder {
            self.within = Some((path.to_owned(), sign));
        }
    }

    /// What people should know. `what` is how they know the context, such as ``the context `.` ``,
    /// and its rules are those of `ignorefile`.
    #[must_use]
    pub fn hints(&self, what: &str, ignorefile: Option<&str>) -> Vec<Hint> {
        let size = (self.bytes > MUCH).then(|| Hint {
            message: format!("{what} holds {} MiB", self.bytes >> 20),
            hint: "`hoist context top` shows what weighs most; leave out what is not needed with \
                   .dockerignore"
                .to_owned(),
        });
        let ignorefile = ignorefile.unwrap_or(".dockerignore");
        let signs = self.found.iter();
        size.into_iter()
            .chain(signs.map(|(sign, seen)| hint(*sign, seen, what, ignorefile)))
            .collect()
    }
}

fn hint(sign: Sign, seen: &Seen, what: &str, ignorefile: &str) -> Hint {
    let (pattern, why) = match sign {
        Sign::Git => (
            "**/.git",
            "it changes with every commit, and what copies it is built again",
        ),
        Sign::NodeModules => (
            "**/node_modules",
            "what this machine installed seldom fits the image: install it in the Dockerfile",
        ),
        Sign::Target => (
            "**/target",
            "what this machine built seldom fits the image: build it in the Dockerfile",
        ),
        Sign::Env => (
            "**/.env",
            "whoever has an image can read what was copied into it: hand secrets over with the \
             key `secrets`",
        ),
    };
    let is = match seen.times {
        0 | 1 => "is".to_owned(),
        times => format!("and {} more like it are", times - 1),
    };
    let size = match seen.bytes >> 20 {
        0 => String::new(),
        mebibytes => format!(" ({mebibytes} MiB)"),
    };
    // Names are for terminals here.
    let first = match seen.first.contains(char::is_control) {
        true => seen.first.escape_debug().to_string(),
        false => seen.first.clone(),
    };
    Hint {
        message: format!("`{first}` {is} part of {what}{size}"),
        hint: format!("leave it out with a line `{pattern}` in {ignorefile}: {why}"),
    }
}

fn is_in(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.starts_with('/'))
}
