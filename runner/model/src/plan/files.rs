//! Paths of the file: those of the project, which must not leave it and have to be there, and
//! those in containers, which must be absolute. What was looked up is kept, since many steps share
//! a context.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::rc::Rc;

use super::Entry;
use super::cx::Cx;
use crate::diag::Diagnostic;
use crate::dockerfile::{Dockerfile, Stage};
use crate::env_file;
use crate::ignore::IgnoreFile;
use crate::spec::{At, OneOrMany, SecretSpec};
use crate::unit::DockerfileSource;

/// The files that changed since a commit; or why that cannot be told.
type Changes = Result<Rc<Vec<String>>, String>;

/// What was looked up already.
#[derive(Default)]
pub(crate) struct FileCache {
    entries: HashMap<String, Entry>,
    stages: HashMap<String, Option<Rc<Vec<Stage>>>>,
    /// What is wrong with an ignore file, if anything.
    ignores: HashMap<String, Option<String>>,
    changes: HashMap<String, Changes>,
}

impl Cx<'_> {
    /// A path of the project, clean; its first value is one of the file.
    pub(crate) fn project_path(&mut self, at: &At<String>) -> Option<At<String>> {
        let at = self.literal_at(at)?;
        self.clean_path(at)
    }

    /// The same of what is known already.
    pub(crate) fn clean_path(&mut self, at: At<String>) -> Option<At<String>> {
        match clean(&at.value) {
            Ok(value) => Some(At {
                span: at.span,
                value,
            }),
            Err((message, help)) => {
                self.fault(Diagnostic::error(message, at.span).help(help));
                None
            }
        }
    }

    /// What is at a path of the project.
    pub(crate) fn entry(&mut self, path: &str) -> Entry {
        let files = self.world.files;
        *self
            .files
            .entries
            .entry(path.to_owned())
            .or_insert_with(|| files.entry(path))
    }

    /// The files that changed since a commit.
    pub(super) fn changes(&mut self, base: &str) -> Changes {
        let files = self.world.files;
        self.files
            .changes
            .entry(base.to_owned())
            .or_insert_with(|| files.changes(base).map(Rc::new))
            .clone()
    }

    /// Notes a fault if there is no folder. `what` is what it is for, such as `build context`.
    pub(crate) fn folder(&mut self, what: &str, path: &str, span: Range<usize>) -> bool {
        let problem = match self.entry(path) {
            Entry::Folder => return true,
            Entry::Missing => "does not exist",
            Entry::File | Entry::Other => "is not a folder",
            Entry::Outside => "is a link that leaves the project",
            Entry::Unreadable => "cannot be read",
        };
        let fault = Diagnostic::error(format!("the {what} `{path}` {problem}"), span);
        self.fault(fault.help("paths are relative to the project's root"));
        false
    }

    /// Notes a fault if there is no file.
    pub(crate) fn file(&mut self, what: &str, path: &str, span: Range<usize>) -> bool {
        let problem = match self.entry(path) {
            Entry::File => return true,
            Entry::Missing => "does not exist",
            Entry::Folder | Entry::Other => "is not a file",
            Entry::Outside => "is a link that leaves the project",
            Entry::Unreadable => "cannot be read",
        };
        let fault = Diagnostic::error(format!("the {what} `{path}` {problem}"), span);
        self.fault(fault.help("paths are relative to the project's root"));
        false
    }

    /// What stands in a file of the project, for the step whose keys are being read.
    pub(crate) fn content(&mut self, path: &str) -> Vec<u8> {
        let step = self.step_name().to_owned();
        self.sources
            .entry(step)
            .or_default()
            .insert(path.to_owned());
        self.world.files.read(path).unwrap_or_default()
    }

    /// The variables of files of the project, a later file's over an earlier one's.
    pub(crate) fn env_files(&mut self, all: Option<&OneOrMany>) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for at in all.into_iter().flat_map(|all| &all.0) {
            let Some(path) = self.project_path(at) else {
                continue;
            };
            let secrets = &self.spec.secrets;
            let of_secret = |secret: &&SecretSpec| {
                let file = secret.file.as_ref().map(|file| clean(file.as_str()));
                file.is_some_and(|file| file.as_ref() == Ok(&path.value))
            };
            if secrets.values().any(|secret| of_secret(&secret)) {
                let message = format!("`{}` is the file of a secret", path.value);
                let fault = Diagnostic::error(message, path.span);
                self.fault(fault.help(
                    "its values would stand in the plan; give it to the container with `secrets`",
                ));
            } else if self.file("env_file", &path.value, path.span.clone()) {
                values.extend(self.env_file(&path));
            }
        }
        values
    }

    fn env_file(&mut self, path: &At<String>) -> BTreeMap<String, String> {
        let content = self.content(&path.value);
        let Ok(text) = String::from_utf8(content) else {
            let message = format!("the env_file `{}` is not UTF-8", path.value);
            self.fault(Diagnostic::error(message, path.span.clone()));
            return BTreeMap::new();
        };
        let file = env_file::read(&text);
        let words = |line: &env_file::Line| {
            format!("`{}`, line {}: {}", path.value, line.number, line.text)
        };
        for line in &file.wrong {
            let fault = Diagnostic::error(words(line), path.span.clone());
            self.fault(fault.help("lines of an env_file are written `KEY=VALUE`"));
        }
        for line in &file.kept {
            let fault = Diagnostic::warning(words(line), path.span.clone());
            self.fault(fault.help(
                "put what is interpolated into `environment`, or the value into single quotes",
            ));
        }
        file.values
    }

    /// The stages of a Dockerfile that is there.
    pub(crate) fn stages(&mut self, dockerfile: &DockerfileSource) -> Option<Rc<Vec<Stage>>> {
        let path = match dockerfile {
            DockerfileSource::File(path) => path,
            DockerfileSource::Inline(text) => {
                return Some(Rc::new(Dockerfile::parse(text).stages()));
            }
        };
        let files = self.world.files;
        let read = || {
            let content = files.read(path)?;
            let text = String::from_utf8_lossy(&content);
            Some(Rc::new(Dockerfile::parse(&text).stages()))
        };
        self.files
            .stages
            .entry(path.clone())
            .or_insert_with(read)
            .clone()
    }

    /// Notes a fault if an ignore file is there and not one. `why` says what it is used for, at
    /// `span`.
    pub(crate) fn ignore_file(&mut self, path: &str, span: Range<usize>, why: &str) {
        if self.entry(path) != Entry::File {
            return;
        }
        let files = self.world.files;
        let read = || {
            let content = files.read(path).unwrap_or_default();
            let error = IgnoreFile::parse(&String::from_utf8_lossy(&content)).err()?;
            Some(error.to_string())
        };
        let wrong = self
            .files
            .ignores
            .entry(path.to_owned())
            .or_insert_with(read)
            .clone();
        if let Some(wrong) = wrong {
            let fault = Diagnostic::error(format!("`{path}`, {wrong}"), span).says(why);
            self.fault(fault.help("the rules of an ignore file are those of `.dockerignore`"));
        }
    }

    /// An absolute path in a container, clean and without a slash at its end.
    pub(crate) fn container_path(&mut self, at: &At<String>) -> Option<String> {
        let path = &at.value;
        let fault = |message: String| Diagnostic::error(message, at.span.clone());
        let fault = if !path.starts_with('/') {
            fault(format!("`{path}` is not an absolute path"))
                .help("paths in a container begin with `/`; the project's copy is in `/workspace`")
        } else if path.split('/').any(|part| part == "..") {
            fault(format!("`{path}` has a `..`"))
        } else if path.contains(|c: char| c.is_control()) {
            fault("a path cannot hold control characters".into())
        } else {
            let parts: Vec<&str> = path
                .split('/')
                .filter(|part| !part.is_empty() && *part != ".")
                .collect();
            return Some(format!("/{}", parts.join("/")));
        };
        self.fault(fault);
        None
    }
}

/// A path of the project without `.` and doubled slashes; or what is wrong with it, and what to do.
fn clean(path: &str) -> Result<String, (String, &'static str)> {
    let relative = "paths are relative to the project's root";
    if path.is_empty() {
        return Err(("a path cannot be empty".into(), relative));
    }
    if path.starts_with('/') || path.starts_with('~') {
        return Err((format!("`{path}` is not a path of the project"), relative));
    }
    if path.contains(|c: char| c.is_control()) {
        return Err(("a path cannot hold control characters".into(), relative));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
    {
        if part != ".." {
            parts.push(part);
        } else if parts.pop().is_none() {
            return Err((
                format!("`{path}` leaves the project"),
                "only what is in the project can be used",
            ));
        }
    }
    if parts.first() == Some(&".hoist") {
        return Err((
            format!("`{path}` is in hoist's own folder"),
            "choose a place outside of `.hoist`",
        ));
    }
    Ok(if parts.is_empty() {
        ".".into()
    } else {
        parts.join("/")
    })
}

/// A path in a folder of the project.
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder == "." {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// A path is another or lies in it; both are absolute and clean.
pub(crate) fn is_within(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_paths_stay_in_the_project() {
        for (path, expected) in [
            (".", Some(".")),
            ("./a//b/", Some("a/b")),
            ("a/../b", Some("b")),
            ("a/..", Some(".")),
            ("..", None),
            ("a/../../b", None),
            ("/etc", None),
            ("~/x", None),
            ("", None),
            (".hoist/runs", None),
            ("./a/../.hoist", None),
            (".hoister", Some(".hoister")),
        ] {
            assert_eq!(clean(path).ok().as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn folders_hold_what_is_below_them() {
        assert!(is_within("/a/b", "/a") && is_within("/a", "/a") && is_within("/a", "/"));
        assert!(!is_within("/ab", "/a") && !is_within("/", "/a"));
    }
}
