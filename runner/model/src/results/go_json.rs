//! The JSON lines of `go test -json`, as test2json writes them and gotestsum keeps them with
//! `--jsonfile`. A package that fails without a failing test, because it does not compile or ends
//! by itself, is an error of its own; a test that never ended failed. Lines that are no JSON come
//! from older toolchains and are let be; a file that has no other is refused.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Deserialize;

use super::format::{self, MAX_CASES, MAX_DEPTH, MAX_TEXT, capped, telling_line, too_many};
use super::{TestCase, TestFailure, TestOutcome, place};

/// The most of a test's output that is held while reading, bytes.
const HELD: usize = 4 * MAX_TEXT;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    #[serde(default)]
    package: String,
    #[serde(default)]
    test: String,
    #[serde(default)]
    elapsed: f64,
    #[serde(default)]
    output: String,
    /// What a build is of; it is no package's name.
    #[serde(default)]
    import_path: String,
    /// The build for which a package failed.
    #[serde(default)]
    failed_build: String,
}

/// A test, or a package by an empty name.
#[derive(Default)]
struct Told {
    package: String,
    test: String,
    end: Option<End>,
    elapsed: Duration,
    output: String,
    /// The build for which it failed.
    build: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Pass,
    Fail,
    Skip,
}

#[derive(Default)]
struct Reader {
    told: Vec<Told>,
    places: HashMap<(String, String), usize>,
    builds: HashMap<String, String>,
}

/// Reads the test cases of one file, in the order in which they began.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<TestCase>, String> {
    let text = format::text(bytes, None);
    let mut reader = Reader::default();
    let mut known = false;
    let mut wrong = None;
    for (number, line) in text.lines().enumerate() {
        if !line.trim_start().starts_with('{') {
            continue;
        }
        match serde_json::from_str::<Event>(line) {
            Ok(event) => {
                known = true;
                reader.take(event)?;
            }
            Err(error) => wrong = wrong.or(Some(format!("line {}: {error}", number + 1))),
        }
    }
    match wrong {
        // What was written last may be cut off; the tests that it left open say so.
        Some(wrong) if !known => Err(format!("it has no event of a test: {wrong}")),
        _ if !known => Err("it has no event of a test".to_owned()),
        _ => Ok(reader.end()),
    }
}

impl Reader {
    fn take(&mut self, event: Event) -> Result<(), String> {
        if event.action.starts_with("build-") {
            let output = self.builds.entry(event.import_path).or_default();
            hold(output, &event.output);
            return Ok(());
        }
        let end = match event.action.as_str() {
            "run" | "start" | "output" => None,
            "pass" | "bench" => Some(End::Pass),
            "fail" => Some(End::Fail),
            "skip" => Some(End::Skip),
            _ => return Ok(()),
        };
        let key = (event.package, event.test);
        let at = match self.places.get(&key) {
            Some(at) => *at,
            None if self.told.len() == MAX_CASES => return Err(too_many()),
            None => {
                self.told.push(Told {
                    package: key.0.clone(),
                    test: key.1.clone(),
                    ..Told::default()
                });
                let at = self.told.len() - 1;
                self.places.insert(key, at);
                at
            }
        };
        let Some(told) = self.told.get_mut(at) else {
            return Ok(());
        };
        hold(&mut told.output, &event.output);
        if end.is_some() {
            told.end = end;
            told.elapsed = Duration::try_from_secs_f64(event.elapsed).unwrap_or_default();
            told.build = event.failed_build;
        }
        Ok(())
    }

    fn end(self) -> Vec<TestCase> {
        let mut packages: HashMap<&str, Package> = HashMap::new();
        for told in &self.told {
            let package = packages.entry(&told.package).or_default();
            match (told.test.is_empty(), told.end) {
                (true, end) => package.end = end,
                (false, None | Some(End::Fail)) => package.tells = true,
                (false, Some(End::Pass | End::Skip)) => {}
            }
        }
        let failed = self.told.iter().filter(|told| told.end == Some(End::Fail));
        let by_subtest: HashSet<usize> = failed.filter_map(|sub| self.parent(sub)).collect();
        let mut cases = Vec::new();
        for (at, told) in self.told.iter().enumerate() {
            let package = packages.get(told.package.as_str()).copied();
            let package = package.unwrap_or_default();
            if !told.test.is_empty() {
                cases.push(told.case(package, by_subtest.contains(&at)));
            } else if matches!(told.end, None | Some(End::Fail)) && !package.tells {
                cases.push(told.package_error(&self.builds));
            }
        }
        cases
    }

    /// The test of which this is a subtest. A subtest's own name may hold slashes.
    fn parent(&self, sub: &Told) -> Option<usize> {
        let mut name = sub.test.as_str();
        for _ in 0..MAX_DEPTH {
            name = name.rsplit_once('/')?.0;
            let key = (sub.package.clone(), name.to_owned());
            if let Some(at) = self.places.get(&key) {
                return Some(*at);
            }
        }
        None
    }
}

/// A package as a whole.
#[derive(Clone, Copy, Default)]
struct Package {
    end: Option<End>,
    /// A test of it says why it did not pass.
    tells: bool,
}

impl Told {
    fn case(&self, package: Package, by_subtest: bool) -> TestCase {
        let output = self.output.trim_end();
        let failure = |message: &str| TestFailure {
            message: telling_line(output).unwrap_or(message).to_owned(),
            kind: String::new(),
            text: capped(output.to_owned()),
        };
        // Benchmarks that pass are not told to have ended.
        let measured = self.test.starts_with("Benchmark") && output.contains(" ns/op");
        let outcome = match self.end {
            Some(End::Pass) => TestOutcome::Passed,
            Some(End::Skip) => TestOutcome::Skipped {
                message: telling_line(output).map(str::to_owned),
            },
            Some(End::Fail) if by_subtest => TestOutcome::Failed(failure("a subtest failed")),
            Some(End::Fail) => TestOutcome::Failed(failure("no message")),
            None if measured || package.end == Some(End::Pass) => TestOutcome::Passed,
            None => TestOutcome::Errored(failure("it did not end")),
        };
        let mut case = TestCase {
            suite: self.package.clone(),
            class: self.package.clone(),
            name: self.test.clone(),
            duration: self.elapsed,
            output: (outcome == TestOutcome::Passed)
                .then(|| self.printed())
                .flatten(),
            outcome,
            ..TestCase::default()
        };
        place::fill(&mut case);
        case
    }

    /// What the test itself printed.
    fn printed(&self) -> Option<String> {
        let markers = ["=== ", "--- "];
        let own = |line: &&str| {
            !markers
                .iter()
                .any(|mark| line.trim_start().starts_with(mark))
        };
        let lines: Vec<&str> = self.output.lines().filter(own).collect();
        let text = lines.join("\n").trim_end().to_owned();
        (!text.is_empty()).then(|| capped(text))
    }

    /// The case of a package that failed for none of its tests.
    fn package_error(&self, builds: &HashMap<String, String>) -> TestCase {
        let build = builds.get(&self.build).map(|output| output.trim_end());
        let text = build.unwrap_or(self.output.trim_end());
        let mut lines = text.lines().map(str::trim);
        let message = lines.find(|line| !line.is_empty() && !line.starts_with("# "));
        let failure = TestFailure {
            message: message.unwrap_or("it did not end").to_owned(),
            kind: String::new(),
            text: capped(text.to_owned()),
        };
        let mut case = TestCase {
            suite: self.package.clone(),
            class: self.package.clone(),
            name: if build.is_some() { "build" } else { "package" }.to_owned(),
            outcome: TestOutcome::Errored(failure),
            duration: self.elapsed,
            ..TestCase::default()
        };
        place::fill(&mut case);
        case
    }
}

/// Adds to what is held of an output, unless there is enough of it.
fn hold(held: &mut String, more: &str) {
    if held.len() < HELD {
        held.push_str(&format::without_colours(more));
    }
}
