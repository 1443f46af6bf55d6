//! How a scan's outcome reads: Trivy's report, and the gate over it. What Trivy found is never
//! judged by its exit code, and a Trivy that failed is never taken for a clean image.

#[cfg(test)]
mod tests;

use super::Gate;
use crate::reason::{Ending, FailureReason, Trouble};
use crate::results::trivy::{self, Reported};
use crate::results::{Finding, Severity};
use crate::step::{ContainerOutcome, Reading};

/// Reads Trivy's report and judges what it found. A Trivy that failed is trouble in the
/// surroundings, never a finding and never a clean image.
#[must_use]
pub fn read(gate: &Gate, outcome: &ContainerOutcome) -> Reading {
    let report = match report(outcome) {
        Ok(report) => report,
        Err(trouble) => {
            return Reading {
                ending: Ending::Failed(FailureReason::Surroundings(trouble)),
                findings: Vec::new(),
                warnings: Vec::new(),
            };
        }
    };
    let mut warnings = Vec::new();
    if !report.recognised {
        warnings.push(
            "Trivy recognised nothing in this image, no operating system and no packages: \
             it cannot know of vulnerabilities in it"
                .to_owned(),
        );
    }
    if let Some(os) = &report.end_of_life {
        warnings.push(format!(
            "{os} gets no security fixes any more: what was found in it since is not reported; \
             move to a newer release"
        ));
    }
    let findings: Vec<Finding> = report
        .findings
        .into_iter()
        .map(|reported| judge(gate, reported))
        .collect();
    Reading {
        ending: ending(&findings),
        findings,
        warnings,
    }
}

fn judge(gate: &Gate, reported: Reported) -> Finding {
    let Reported {
        mut finding,
        fixable,
    } = reported;
    finding.failing =
        gate.severity.contains(&finding.severity) && (fixable || !gate.ignore_unfixed);
    finding
}

fn ending(findings: &[Finding]) -> Ending {
    let mut failing: Vec<(Severity, usize)> = Vec::new();
    // They come worst first.
    for finding in findings.iter().filter(|finding| finding.failing) {
        match failing.last_mut() {
            Some((severity, count)) if *severity == finding.severity => *count += 1,
            _ => failing.push((finding.severity, 1)),
        }
    }
    match failing.is_empty() {
        true => Ending::Passed,
        false => Ending::Failed(FailureReason::Gate { failing }),
    }
}

/// The report of a Trivy that did its work.
fn report(outcome: &ContainerOutcome) -> Result<trivy::Report, Trouble> {
    let trouble = |what: String| {
        let trouble = Trouble::new(what);
        match last_words(&outcome.tail) {
            Some(words) => with_hint(trouble, &words),
            None => trouble,
        }
    };
    if outcome.oom_killed {
        let bound = outcome
            .memory_limit
            .map(|bytes| format!(" of {} MiB", bytes >> 20));
        let bound = bound.unwrap_or_default();
        return Err(
            Trouble::new(format!("Trivy ran out of its memory{bound} on this image"))
                .hint("scan a smaller image, or for less: `scanners = [\"vuln\"]`"),
        );
    }
    if outcome.code != 0 {
        return Err(trouble(format!(
            "Trivy failed with exit code {}",
            outcome.code
        )));
    }
    let Some(report) = &outcome.report else {
        return Err(trouble("Trivy ended without a report".to_owned()));
    };
    trivy::parse(report).map_err(|why| {
        Trouble::new("Trivy's report cannot be read")
            .cause(why)
            .hint("set `[tools] trivy` to the version that hoist names by default")
    })
}

fn with_hint(trouble: Trouble, words: &str) -> Trouble {
    const HINTS: [(&str, &str); 4] = [
        (
            "no space left",
            "free some space where the engine keeps its data; `docker system df` shows what takes it",
        ),
        (
            "on the first run",
            "the vulnerability database is missing: name one in `[tools] trivy_db`, a folder or an \
             OCI repository",
        ),
        (
            "database",
            "the vulnerability database seems broken: name another in `[tools] trivy_db`, a folder \
             or an OCI repository",
        ),
        ("deadline exceeded", "raise the step's `timeout`"),
    ];
    let known = words.to_ascii_lowercase();
    let hint = HINTS.iter().find(|(sign, _)| known.contains(sign));
    let trouble = trouble.cause(words);
    match hint {
        Some((_, hint)) => trouble.hint(*hint),
        None => trouble,
    }
}

/// What Trivy's log says last of why it failed: its `FATAL` line, else the last `ERROR`, else the
/// last line. It is given without its time, its level and the names of Trivy's own layers.
fn last_words(tail: &str) -> Option<String> {
    let lines: Vec<&str> = tail
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let has = |line: &&str, level| line.split_whitespace().take(3).any(|word| word == level);
    let found = ["FATAL", "ERROR"].into_iter().find_map(|level| {
        let at = lines.iter().rposition(|line| has(line, level))?;
        Some((at, lines.get(at)?.split_once(level)?.1))
    });
    let Some((at, words)) = found else {
        return lines.last().map(|line| (*line).to_owned());
    };
    let mut words = words.trim();
    const LAYERS: [&str; 5] = [
        "Fatal error",
        "run error:",
        "init error:",
        "image scan error:",
        "scan error:",
    ];
    while let Some(rest) = LAYERS.iter().find_map(|layer| words.strip_prefix(layer)) {
        words = rest.trim_start();
    }
    // Several reasons stand on lines of their own below; the first is that of the form that hoist
    // hands over.
    let below = lines
        .get(at + 1)
        .map(|line| line.trim_start_matches(['*', '-', ' ']));
    match below {
        Some(below) if words.is_empty() => Some(below.to_owned()),
        Some(below) if words.ends_with(':') => Some(format!("{words} {below}")),
        _ => Some(words.to_owned()).filter(|words| !words.is_empty()),
    }
}
