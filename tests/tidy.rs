//! House rules that a test can hold: see runner/ARCHITECTURE.md. Each says what it found and where.

use std::path::{Path, PathBuf};

use crate::support::repository;

/// A source file of the workspace.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The room that it is in: `model`, `cli`, ...
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix(repository().join("runner")).unwrap();
        inside
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap()
    }

    fn shown(&self) -> String {
        self.path
            .strip_prefix(repository())
            .unwrap()
            .display()
            .to_string()
    }

    /// It is compiled for tests only.
    fn is_test(&self) -> bool {
        let inside = self.path.strip_prefix(repository().join("runner")).unwrap();
        let folders = ["tests", "benches", "fake"];
        let files = [
            "tests.rs",
            "fake.rs",
            "testing.rs",
            "fixtures.rs",
            "sample.rs",
        ];
        inside
            .components()
            .any(|part| folders.iter().any(|folder| part.as_os_str() == *folder))
            || files.iter().any(|file| inside.ends_with(file))
            || inside.to_string_lossy().ends_with("_tests.rs")
    }

    /// Its lines outside of tests and comments, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let inline = self.text.find("#[cfg(test)]\nmod tests {");
        let end = if self.is_test() {
            0
        } else {
            inline.unwrap_or(self.text.len())
        };
        let code = self.text.get(..end).unwrap_or_default();
        let lines = code
            .lines()
            .enumerate()
            .map(|(number, line)| (number + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&repository().join("runner"), &mut found);
    assert!(
        found.len() > 40,
        "only {} files: was the house moved?",
        found.len()
    );
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(Source { path, text });
        }
    }
}

/// Every place outside of `rooms` where the code holds one of the words.
#[track_caller]
fn only_in(rooms: &[&str], words: &[&str]) {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !rooms.contains(&source.room()))
    {
        for (number, line) in source.code() {
            wrong.extend(
                words
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{}:{number}: {word}", source.shown())),
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "only {rooms:?} may:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn bollard_is_named_in_docker_only() {
    only_in(&["docker"], &["bollard"]);
}

#[test]
fn rmcp_is_named_in_mcp_only() {
    only_in(&["mcp"], &["rmcp"]);
}

#[test]
fn only_the_command_line_prints_or_ends_the_process() {
    only_in(
        &["cli"],
        &[
            "println!",
            "print!(",
            "std::process::exit",
            "process::abort",
        ],
    );
}

#[test]
fn only_the_command_line_reads_the_environment() {
    only_in(&["cli"], &["std::env::var", "env::vars"]);
}

#[test]
fn the_model_is_pure() {
    let impure = [
        "std::fs",
        "TcpStream",
        "UdpSocket",
        "std::process",
        "tokio",
        "async fn",
        "SystemTime",
        "Instant::now",
    ];
    let rooms = ["engine", "docker", "report", "mcp", "cli"];
    only_in(&rooms, &impure);
}

#[test]
fn renderers_know_no_engine() {
    for source in sources().iter().filter(|source| source.room() == "report") {
        for word in ["hoist_engine", "hoist_docker", "tokio"] {
            assert!(
                !source.text.contains(word),
                "{} names {word}",
                source.shown()
            );
        }
    }
}

#[test]
fn the_engine_matches_units_and_never_kinds() {
    let names = ["StepKind::"];
    let rooms = ["model", "docker", "report", "mcp", "cli"];
    only_in(&rooms, &names);
}

#[test]
fn every_module_says_what_it_is_for() {
    let sources = sources();
    let silent: Vec<_> = sources
        .iter()
        .filter(|source| !source.is_test() && !source.text.starts_with("//!"))
        .map(Source::shown)
        .collect();
    assert!(
        silent.is_empty(),
        "no //! at the top of:\n{}",
        silent.join("\n")
    );
}

#[test]
fn files_stay_small_enough_to_be_one_room() {
    const MOST: usize = 800;
    let sources = sources();
    let large: Vec<_> = sources
        .iter()
        .map(|source| (source.text.lines().count(), source.shown()))
        .filter(|(lines, _)| *lines > MOST)
        .collect();
    assert!(large.is_empty(), "over {MOST} lines: {large:?}");
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [
        "TODO",
        "FIXME",
        "XXX",
        "todo!(",
        "unimplemented!(",
        "placeholder",
    ];
    only_in(&[], &marks);
}
