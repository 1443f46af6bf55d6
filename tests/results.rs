//! The corpus of test results: each file under `results/` was made by the tool whose folder it is
//! in (`results/README.md` says how), and what is read of it is compared with the `.expected` file
//! beside it. `HOIST_BLESS=1` writes what is expected.

#![expect(clippy::disallowed_methods, reason = "the test's own switch")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use hoist_model::results::{TestCase, TestFailure, TestFormat, TestOutcome};

use crate::support::repository;

fn folder() -> PathBuf {
    repository().join("tests/results")
}

/// The files of the corpus, with their formats.
fn corpus() -> Vec<(PathBuf, TestFormat)> {
    let mut found = Vec::new();
    for tool in fs::read_dir(folder()).unwrap() {
        let tool = tool.unwrap().path();
        if !tool.is_dir() {
            continue;
        }
        for file in fs::read_dir(tool).unwrap() {
            let file = file.unwrap().path();
            let format = match file.extension().and_then(|extension| extension.to_str()) {
                Some("xml") => TestFormat::Junit,
                Some("tap") => TestFormat::Tap,
                Some("json") => TestFormat::GoJson,
                _ => continue,
            };
            found.push((file, format));
        }
    }
    found.sort();
    found
}

fn lines(to: &mut String, name: &str, text: &str) {
    let _ = writeln!(to, "    {name}:");
    for line in text.lines() {
        let _ = writeln!(to, "{}", format!("      | {line}").trim_end());
    }
}

fn failure(to: &mut String, what: &str, failure: &TestFailure) {
    let _ = writeln!(to, "    {what}: {}", failure.message);
    if !failure.kind.is_empty() {
        let _ = writeln!(to, "    kind: {}", failure.kind);
    }
    lines(to, "text", &failure.text);
}

fn told(case: &TestCase) -> String {
    let state = match &case.outcome {
        TestOutcome::Passed => "passed",
        TestOutcome::Failed(_) => "failed",
        TestOutcome::Errored(_) => "errored",
        TestOutcome::Skipped { .. } => "skipped",
    };
    let mut text = format!("{state}  {} | {} | {}", case.suite, case.class, case.name);
    let _ = writeln!(text, "  {}ms", case.duration.as_millis());
    if let Some(file) = &case.file {
        let line = case.line.map(|line| format!(":{line}"));
        let _ = writeln!(text, "    place: {file}{}", line.unwrap_or_default());
    }
    match &case.outcome {
        TestOutcome::Failed(why) | TestOutcome::Errored(why) => failure(&mut text, "message", why),
        TestOutcome::Skipped { message: Some(message) } => {
            let _ = writeln!(text, "    message: {message}");
        }
        TestOutcome::Passed | TestOutcome::Skipped { message: None } => {}
    }
    if let Some(output) = &case.output {
        lines(&mut text, "output", output);
    }
    for earlier in &case.earlier {
        failure(&mut text, "failed before", earlier);
    }
    text
}

fn read(path: &Path, format: TestFormat) -> String {
    let shown = path.strip_prefix(folder()).unwrap().display().to_string();
    let cases = format.read(&shown, &fs::read(path).unwrap());
    let cases = cases.unwrap_or_else(|why| panic!("{why}"));
    let all: Vec<String> = cases.iter().map(told).collect();
    format!("{} tests\n\n{}", cases.len(), all.join("\n"))
}

#[test]
fn each_file_is_read_as_expected() {
    let bless = std::env::var_os("HOIST_BLESS").is_some();
    let mut wrong = Vec::new();
    let corpus = corpus();
    for (path, format) in &corpus {
        let read = read(path, *format);
        let expected = path.with_added_extension("expected");
        if bless {
            fs::write(&expected, &read).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != read {
            wrong.push(format!("--- {}\n{read}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
    assert!(corpus.len() >= 25, "there are only {} files", corpus.len());
}

#[test]
fn the_corpus_says_where_it_is_from_and_nothing_of_a_machine() {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    for (path, _) in corpus() {
        let tool = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("`{tool}/`")), "README.md does not tell of {tool}");
        let text = fs::read_to_string(&path).unwrap();
        for word in ["/root/", "/home/", "/tmp/", "localhost"] {
            assert!(!text.contains(word), "{} holds {word}", path.display());
        }
    }
}
