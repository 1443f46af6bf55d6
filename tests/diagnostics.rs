//! The corpus of wrong files: each `diagnostics/cases/NAME.toml` is put into the same small project
//! as its pipeline.toml, and what `hoist validate` says of it is compared with `NAME.expected`.
//! `HOIST_BLESS=1` writes what is expected.

#![expect(clippy::disallowed_methods, reason = "the test's own switch")]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::support::{Project, repository};

/// What the cases are put into: two Dockerfiles, an ignore file that is none, variables
/// that are none, and a link out.
const FILES: [(&str, &str); 7] = [
    (
        "Dockerfile",
        "FROM debian:bookworm-slim AS deps\nFROM deps AS test\nFROM deps AS production\n",
    ),
    (".dockerignore", ".git\n"),
    ("web/Containerfile", "FROM debian:bookworm-slim\n"),
    ("broken/Dockerfile", "FROM debian:bookworm-slim\n"),
    ("broken/.dockerignore", "*.pyc\n\n[a\n"),
    ("data/notes.txt", "notes\n"),
    (
        "variables/bad.env",
        "# more lines\nA=1\nB\nC='open\nD=\"x\" y\nhello there\nE=${F}\n",
    ),
];

/// Variables of the environment that a case may set in comments at its top.
const VARIABLES: [&str; 3] = [
    "HOIST_TOOLS_TRIVY",
    "HOIST_TOOLS_TRIVY_DB",
    "HOIST_TOOLS_HAPROXY",
];

fn cases() -> Vec<PathBuf> {
    let folder = repository().join("tests/diagnostics/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    cases.sort();
    cases
}

/// What `hoist validate` says of a case, its exit code first.
fn said(case: &str) -> String {
    let mut project = Project::new(case);
    for (path, content) in FILES {
        project = project.file(path, content);
    }
    std::os::unix::fs::symlink("/usr", project.path().join("link")).unwrap();
    for name in VARIABLES {
        let start = format!("# {name}=");
        let value = case.lines().find_map(|line| line.strip_prefix(&start));
        // An empty value counts as none, whatever the test's own environment says.
        project = project.variable(name, value.unwrap_or_default());
    }
    let ended = project.hoist(&["validate"]);
    let mut said = format!("exit code {}\n", ended.code);
    for text in [ended.stdout, ended.stderr] {
        if !text.is_empty() {
            let _ = write!(said, "\n{}\n", text.trim_end());
        }
    }
    said
}

/// The tests' own switch.
fn bless() -> bool {
    std::env::var_os("HOIST_BLESS").is_some()
}

/// What a wrong file is told has a place in it, unless it is of something that is not there.
fn has_its_places(name: &str, said: &str) -> bool {
    match name {
        "warnings" => said.starts_with("exit code 0\n"),
        "empty-file" | "no-name" | "no-steps" | "latest-tools" => {
            said.starts_with("exit code 2\n") && !said.contains("-->")
        }
        _ => said.starts_with("exit code 2\n") && said.contains("--> pipeline.toml:"),
    }
}

#[test]
fn each_case_says_what_is_expected() {
    let mut wrong = Vec::new();
    let cases = cases();
    for path in &cases {
        let said = said(&fs::read_to_string(path).unwrap());
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(has_its_places(name, &said), "{name}:\n{said}");
        let expected = path.with_extension("expected");
        if bless() {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("--- {name}\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
    assert!(cases.len() >= 40, "there are only {} cases", cases.len());
}

#[test]
fn an_expectation_has_a_case() {
    for entry in fs::read_dir(repository().join("tests/diagnostics/cases")).unwrap() {
        let case = entry.unwrap().path().with_extension("toml");
        assert!(case.exists(), "{} is missing", case.display());
    }
}
