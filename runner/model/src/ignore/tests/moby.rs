//! Docker's matcher is moby's: its own test vectors (those of github.com/moby/patternmatcher v0.6.1,
//! under the licence beside them), and itself, asked the same questions.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

use super::super::pattern::{Shape, clean, translate};
use super::*;

/// Where what is moby's lies.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/patternmatcher")
}

fn vectors(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join("moby").join(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn mobys_own_vectors_hold() {
    let vectors = vectors("matches.jsonl");
    assert_eq!(vectors.len(), 137);
    // The context as a whole is what these two ask about; a walk asks about what is in it.
    let whole = |vector: &&Value| vector["path"] == "/";
    assert_eq!(vectors.iter().filter(whole).count(), 2);
    for vector in vectors.iter().filter(|vector| !whole(vector)) {
        let mut file = IgnoreFile::default();
        let patterns = vector["patterns"].as_array().unwrap();
        let refused = patterns
            .iter()
            .any(|pattern| file.append(pattern.as_str().unwrap()).is_err());
        assert_eq!(refused, vector["error"] == true, "{vector}");
        if !refused {
            let ignored = file.is_ignored(vector["path"].as_str().unwrap());
            assert_eq!(ignored, vector["ignored"].as_bool().unwrap(), "{vector}");
        }
    }
}

#[test]
fn patterns_become_what_moby_makes_of_them() {
    let vectors = vectors("compiled.jsonl");
    assert_eq!(vectors.len(), 21);
    for vector in vectors {
        let (shape, regexp) = translate(&clean(vector["pattern"].as_str().unwrap()));
        let kind = match shape {
            Shape::Exact => "exact",
            Shape::Prefix => "prefix",
            Shape::Suffix => "suffix",
            Shape::Regex => "regexp",
        };
        assert_eq!(kind, vector["kind"], "{vector}");
        if kind == "regexp" {
            assert_eq!(regexp, vector["regexp"], "{vector}");
        }
    }
}

/// Docker's own matcher, where Go is at hand: 100,000 questions at least.
#[test]
fn agrees_with_docker() {
    let oracle = folder();
    let mut modules = Command::new("go");
    modules.args(["mod", "download"]).current_dir(&oracle);
    if !modules.output().is_ok_and(|out| out.status.success()) {
        // Not `eprintln`, which is shown of failing tests only.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED ignore::tests::agrees_with_docker: it needs Go and the modules of tests/patternmatcher"
        );
        return;
    }
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let strategy = (any_file(), prop::collection::vec(any_path(), 25));
    let mut cases: Vec<(String, Vec<String>)> = (0..6_000)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect();
    cases.extend(VECTORS.iter().map(|(file, ignored, kept)| {
        (
            (*file).to_owned(),
            ignored
                .iter()
                .chain(*kept)
                .map(|path| (*path).to_owned())
                .collect(),
        )
    }));

    let questions: String = cases
        .iter()
        .map(|(file, paths)| serde_json::json!({"file": file, "paths": paths}).to_string() + "\n")
        .collect();
    let mut go = Command::new("go")
        .args(["run", "."])
        .current_dir(oracle)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = go.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(questions.as_bytes()));
    let answers = go.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(answers.status.success());
    let answers = String::from_utf8(answers.stdout).unwrap();
    assert_eq!(answers.lines().count(), cases.len());

    let (mut refused, mut compared, mut out) = (0, 0, 0);
    for ((file, paths), answer) in cases.iter().zip(answers.lines()) {
        let answer: Value = serde_json::from_str(answer).unwrap();
        let rules = IgnoreFile::parse(file);
        if let Some(error) = answer["error"].as_str() {
            assert!(rules.is_err(), "Docker refuses {file:?}: {error}");
            refused += 1;
            continue;
        }
        let rules = match rules {
            Ok(rules) => rules,
            // On purpose: to Go these are word boundaries and the like.
            Err(error) if error.why.contains("leave the backslash out") => continue,
            Err(error) => panic!("Docker takes {file:?}: {error}"),
        };
        let mut matcher = rules.matcher();
        for (path, ignored) in paths.iter().zip(answer["ignored"].as_array().unwrap()) {
            let ours = matcher.is_ignored(path);
            assert_eq!(ours, ignored.as_bool().unwrap(), "{path:?} by {file:?}");
            compared += 1;
            out += usize::from(ours);
        }
    }
    // Else they would agree on little but what is refused, or kept.
    assert!(
        compared >= 100_000 && out >= 10_000,
        "{refused} refused, {compared} compared, {out} left out"
    );
}
