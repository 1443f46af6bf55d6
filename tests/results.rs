//! The corpus of test results: each file under `results/` was made by the tool whose folder it is
//! in (`results/README.md` says how), and what is read of it is compared with the `.expected` file
//! beside it. `HOIST_BLESS=1` writes what is expected. Then `hoist tests`, over run folders that are
//! written here, and of a run whose attempts differ.

#![expect(clippy::disallowed_methods, reason = "the test's own switch")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hoist_model::results::{TestCase, TestFailure, TestFormat, TestOutcome};

use crate::support::{Project, ended, engine, left_of, repository, skip, variable};

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
        TestOutcome::Skipped {
            message: Some(message),
        } => {
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

/// What a reader that no one here wrote says of each file: tests that passed, failed, are errors and
/// were skipped, in this order, and the names of all.
const OTHER_READER: &str = r"
import json, sys
from junitparser import JUnitXml, TestSuite, Error, Failure, Skipped
for path in sys.argv[1:]:
    try:
        root = JUnitXml.fromfile(path)
    except SyntaxError as error:
        print(json.dumps([path, str(error)]))
        continue
    suites = [root] if isinstance(root, TestSuite) else list(root)
    counts, names = [0, 0, 0, 0], []
    for case in (case for suite in suites for case in suite):
        kinds = [type(result) for result in case.result]
        at = next((at for at, kind in ((2, Error), (1, Failure), (3, Skipped)) if kind in kinds), 0)
        counts[at] += 1
        names.append(case.name or '')
    print(json.dumps([path, counts, sorted(names)]))
";

#[test]
fn another_reader_counts_the_same() {
    let test = "results::another_reader_counts_the_same";
    let Some(python) = variable("HOIST_GROUND_PYTHON") else {
        let _ = skip(test, "HOIST_GROUND_PYTHON is not set");
        return;
    };
    let mut files = corpus();
    files.retain(|(_, format)| *format == TestFormat::Junit);
    let paths = files.iter().map(|(path, _)| path);
    let told = std::process::Command::new(python)
        .args(["-c", OTHER_READER])
        .args(paths)
        .output()
        .unwrap();
    let told = ended(told).expect(0).stdout;
    assert_eq!(told.lines().count(), files.len(), "{told}");
    let mut refused = Vec::new();
    for ((path, format), told) in files.iter().zip(told.lines()) {
        let cases = format.read("it", &fs::read(path).unwrap()).unwrap();
        let (mut counts, mut names) = ([0; 4], Vec::new());
        for case in &cases {
            counts[match &case.outcome {
                TestOutcome::Passed => 0,
                TestOutcome::Failed(_) => 1,
                TestOutcome::Errored(_) => 2,
                TestOutcome::Skipped { .. } => 3,
            }] += 1;
            names.push(case.name.clone());
        }
        names.sort();
        let expected: serde_json::Value = serde_json::from_str(told).unwrap();
        if expected[1].is_string() {
            refused.push(expected);
            continue;
        }
        // With these an attribute says of a test that it was not run, of which the other reader
        // knows nothing.
        let tool = path.parent().unwrap();
        if tool.ends_with("ctest") || tool.ends_with("googletest") {
            assert_eq!(serde_json::json!(names), expected[2]);
            continue;
        }
        let read = serde_json::json!([path, counts, names]);
        assert_eq!(read, expected);
    }
    // Tests printed characters that no XML may hold, and their tools wrote them down.
    assert_eq!(refused.len(), 2, "{refused:?}");
    for told in &refused {
        assert!(told[1].as_str().unwrap().contains("invalid"), "{told}");
    }
}

#[test]
fn the_corpus_says_where_it_is_from_and_nothing_of_a_machine() {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    for (path, _) in corpus() {
        let tool = path
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap();
        assert!(
            readme.contains(&format!("`{tool}/`")),
            "README.md does not tell of {tool}"
        );
        let text = fs::read_to_string(&path).unwrap();
        for word in ["/root/", "/home/", "/tmp/", "localhost"] {
            assert!(!text.contains(word), "{} holds {word}", path.display());
        }
    }
}

/// A project with runs as their folders have them: the older one failed, the newer is flaky.
fn with_runs() -> Project {
    let event = |run: &str, seq: u32, rest: &str| {
        format!(
            r#"{{"run":"{run}","seq":{seq},"at":"2026-03-01T10:00:0{seq}Z","elapsed_ms":{seq},{rest}}}"#
        )
    };
    let started = r#""event":"run_started","project":"shop","version":"0","jobs":1,
        "steps":[{"id":"unit","kind":"run","needs":[]}]"#
        .replace('\n', " ");
    let case = |name: &str, outcome: &str, millis: u32| {
        format!(
            r#"{{"suite":"s","class":"cart","name":"{name}","outcome":{outcome},"duration_ms":{millis}}}"#
        )
    };
    let failed = r#"{"failed":{"message":"no answer","kind":"E","text":"line 1\nno answer"}}"#;
    let found = |attempt: u32, cases: &[String]| {
        let cases = cases.join(",");
        format!(r#""event":"tests_found","step":"unit","attempt":{attempt},"cases":[{cases}]"#)
    };
    let first = [
        case("test_net", failed, 900),
        case("test_add", r#""passed""#, 5),
    ];
    let second = [
        case("test_net", r#""passed""#, 30),
        case("test_add", r#""passed""#, 7),
    ];
    let older = [started.clone(), found(1, &first)];
    let newer = [started, found(1, &first), found(2, &second)];
    let mut project = Project::empty();
    for (run, events) in [(OLDER, older.as_slice()), (NEWER, &newer)] {
        let lines = events
            .iter()
            .zip(0..)
            .map(|(rest, seq)| event(run, seq, rest) + "\n");
        let path = format!(".hoist/runs/{run}/events.jsonl");
        project = project.file(&path, lines.collect::<String>());
    }
    project
}

const OLDER: &str = "019c0000-0000-7000-8000-00000000aaaa";
const NEWER: &str = "019c0000-0001-7000-8000-00000000bbbb";

#[test]
fn tests_of_the_newest_run_or_a_given_one_are_shown() {
    let project = with_runs();
    let newest = project.hoist(&["tests"]).expect(0);
    assert!(
        newest.stdout.starts_with(&format!("run {NEWER}  shop")),
        "{}",
        newest.stdout
    );
    assert!(
        newest.stdout.contains("~ unit  cart::test_net"),
        "{}",
        newest.stdout
    );
    assert_eq!(newest.stderr, "");
    // How they ended is no matter of the exit code.
    let older = project
        .hoist(&["tests", "aaaa", "--failed"])
        .expect(0)
        .stdout;
    assert!(older.contains("✗ unit  cart::test_net  0.90s"), "{older}");
    assert!(!older.contains("test_add"), "{older}");
    let json = project
        .hoist(&["tests", "--format", "json", "-n", "1"])
        .expect(0)
        .stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["tests"][0]["flaky"], true);
    assert_eq!(json["tests"].as_array().unwrap().len(), 1);
    let junit = project
        .hoist(&["tests", "--format", "junit"])
        .expect(0)
        .stdout;
    assert_eq!(
        TestFormat::Junit.read("x", junit.as_bytes()).unwrap().len(),
        2
    );
    let markdown = project
        .hoist(&["tests", "--format", "markdown"])
        .expect(0)
        .stdout;
    assert!(markdown.starts_with("## Tests of shop\n"), "{markdown}");
}

#[test]
fn one_test_is_followed_over_the_runs() {
    let project = with_runs();
    let past = project
        .hoist(&["tests", "--history", "test_n"])
        .expect(0)
        .stdout;
    let lines: Vec<&str> = past.lines().map(str::trim).collect();
    assert_eq!(lines[0], "unit  cart::test_net");
    assert!(
        lines[1].starts_with("00000000bbbb") && lines[1].contains("flaky"),
        "{past}"
    );
    assert!(
        lines[2].starts_with("00000000aaaa") && lines[2].contains("failed"),
        "{past}"
    );
    assert!(
        lines[3].starts_with("failed in 1 of 2 runs, flaky in 1;"),
        "{past}"
    );
    let one = project
        .hoist(&["tests", "--history", "test_?et", "-n", "1"])
        .expect(0)
        .stdout;
    assert!(one.contains("never failed in 1 run, flaky in 1"), "{one}");
    // A run that is broken hides no other.
    let project = project.file(
        ".hoist/runs/019c0000-0002-7000-8000-00000000cccc/events.jsonl",
        "broken\n",
    );
    let ended = project
        .hoist(&["tests", "--history", "test_net"])
        .expect(0)
        .says("it is left out");
    assert!(
        ended.stdout.contains("failed in 1 of 2 runs"),
        "{}",
        ended.stdout
    );
}

#[test]
fn what_is_not_there_is_told_with_exit_code_2() {
    Project::empty()
        .hoist(&["tests"])
        .expect(2)
        .says("there is no run yet");
    let project = with_runs();
    project
        .hoist(&["tests", "dead"])
        .expect(2)
        .says("there is no run dead");
    project
        .hoist(&["tests", "019c"])
        .expect(2)
        .says("2 runs are called 019c");
    project
        .hoist(&["tests", "--history", "nobody"])
        .expect(2)
        .says("no test in 2 runs is called `nobody`");
    let history = ["tests", "--history", "test", "--format", "junit"];
    project
        .hoist(&history)
        .expect(2)
        .says("a history cannot be written as JUnit");
    project
        .hoist(&["tests", "aaaa", "--history", "test"])
        .expect(2);
}

/// The first attempt fails one test of two; what it waits for is then there.
const FLAKY: &str = r#"
name = "flaky"
[steps.unit]
image = "debian:bookworm-slim"
retry = { max = 5, backoff = "1s" }
artifacts.reports.tap = ["/r/*.tap"]
run = '''
mkdir /r
if test -e mended; then word=ok; else word="not ok"; fi
printf '1..2\nok 1 - steady\n%s 2 - shaky\n' "$word" > /r/unit.tap
test -e mended
'''
[reports]
junit = "reports/junit.xml"
"#;

#[test]
fn a_test_that_passes_at_the_second_attempt_is_flaky_everywhere() {
    if !engine("results::a_test_that_passes_at_the_second_attempt_is_flaky_everywhere") {
        return;
    }
    let project = Project::new(FLAKY);
    let mut run = project.start(&["--progress", "plain", "run"]);
    run.wait_for("trying again");
    let project = project.file("mended", "");
    let ended = run.end(Duration::from_secs(120)).expect(0);
    assert!(
        ended.last().ends_with("1 step, 1 flaky test"),
        "{}",
        ended.stderr
    );
    let listed = project.hoist(&["tests"]).expect(0).stdout;
    assert!(listed.contains("~ unit  unit::shaky"), "{listed}");
    assert!(listed.contains("2 tests: 1 flaky, 1 passed"), "{listed}");
    assert!(project.read("reports/junit.xml").contains("flaky: failed "));
    let past = project
        .hoist(&["tests", "--history", "shaky"])
        .expect(0)
        .stdout;
    assert!(past.contains("never failed in 1 run, flaky in 1"), "{past}");
    let kept = |path: &str| {
        project.read(&format!(
            ".hoist/runs/{}/results/{path}/0/unit.tap",
            project.runs()[0]
        ))
    };
    assert!(
        kept("unit").contains("not ok 2"),
        "each attempt keeps its results"
    );
    assert!(kept("unit~a2").contains("2 - shaky"));
    assert_eq!(left_of(&project.runs()[0]), "");
}
