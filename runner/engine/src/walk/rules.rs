//! Which ignore file holds for a folder, and what of a project is never sent whatever it says. It
//! refuses ignore files that lie outside the project.

use std::io;
use std::path::{Path, PathBuf};

use hoist_model::ignore::IgnoreFile;
use hoist_model::reason::Trouble;

/// An ignore file, relative to the project's root.
#[derive(Clone, Debug)]
pub enum IgnoreSource {
    /// It must be there.
    Named(String),
    /// The first of these that is there; without any, nothing is left out.
    FirstOf(Vec<String>),
}

/// The rules for sending `folder`, which is relative to the project's root, as the ignore file is.
/// `.hoist` and the paths of `never` are left out besides, whatever the file takes back.
///
/// # Errors
/// When the ignore file is missing though named, cannot be read, lies outside the project, or holds
/// a line that is no pattern.
pub fn rules(
    root: &Path,
    folder: &str,
    source: &IgnoreSource,
    never: &[String],
) -> Result<IgnoreFile, Trouble> {
    let mut rules = match source {
        IgnoreSource::Named(name) => {
            let missing = || {
                Trouble::new(format!("the ignore file `{name}` is not there"))
                    .hint("create it, or take the key that names it out of pipeline.toml")
            };
            parse(name, &read(root, name)?.ok_or_else(missing)?)?
        }
        IgnoreSource::FirstOf(names) => first_of(root, names)?,
    };
    let folder = root.join(folder);
    let folder = folder.canonicalize().unwrap_or(folder);
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    for name in std::iter::once(".hoist").chain(never.iter().map(String::as_str)) {
        let written = root.join(name);
        let real = written.canonicalize().ok();
        for path in std::iter::once(normal(&written)).chain(real) {
            let Ok(inside) = path.strip_prefix(&folder) else {
                continue;
            };
            let Some(pattern) = pattern(inside) else {
                continue;
            };
            let why = match name {
                ".hoist" => "hoist's own folder",
                _ => "named in [secrets] or [reports]",
            };
            rules.never(&pattern, why).map_err(|error| {
                Trouble::new(format!("`{name}` cannot be left out")).cause(error.to_string())
            })?;
        }
    }
    Ok(rules)
}

fn first_of(root: &Path, names: &[String]) -> Result<IgnoreFile, Trouble> {
    for name in names {
        if let Some(text) = read(root, name)? {
            return parse(name, &text);
        }
    }
    Ok(IgnoreFile::default())
}

fn parse(name: &str, text: &str) -> Result<IgnoreFile, Trouble> {
    let parsed = IgnoreFile::parse(text).map(|file| file.named(name));
    parsed.map_err(|error| {
        Trouble::new(format!("`{name}` cannot be used"))
            .cause(error.to_string())
            .hint("its lines are patterns as in .dockerignore")
    })
}

fn read(root: &Path, name: &str) -> Result<Option<String>, Trouble> {
    let unreadable = |error: io::Error| {
        Trouble::new(format!("`{name}` cannot be read")).cause(error.to_string())
    };
    let path = match root.join(name).canonicalize() {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let root = root.canonicalize().map_err(unreadable)?;
    if !path.starts_with(&root) {
        return Err(Trouble::new(format!("`{name}` leads out of the project"))
            .cause(format!("it is a link to {}", path.display()))
            .hint("put the file itself there"));
    }
    let bytes = std::fs::read(&path).map_err(unreadable)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Trouble::new(format!("`{name}` cannot be read")).cause("it is not UTF-8"))?;
    Ok(Some(text))
}

/// The path without `.` and `..`, as text has it.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// A pattern that matches exactly this path; `None` for the folder itself and for names that are
/// not UTF-8, which no rule can name.
fn pattern(inside: &Path) -> Option<String> {
    let mut pattern = String::new();
    for part in inside {
        if !pattern.is_empty() {
            pattern.push('/');
        }
        for c in part.to_str()?.chars() {
            // A leading `!` would take back instead.
            if matches!(c, '*' | '?' | '[' | ']' | '\\') || (c == '!' && pattern.is_empty()) {
                pattern.push('\\');
            }
            pattern.push(c);
        }
    }
    (!pattern.is_empty()).then_some(pattern)
}
