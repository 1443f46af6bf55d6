//! How things are said to people: durations, sizes, endings. One place, so that terminal, JUnit and
//! later pages say the same. It knows no colour and no layout.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use hoist_model::event::{Question, ReleasedService};
use hoist_model::reason::{
    CancelReason, Ending, FailureReason, Fallback, Signal, SkipReason, Trouble, Verdict,
};
use hoist_model::results::{Counts, Severity, TestCase};
use hoist_model::state::{StepState, StepStatus};

/// How many last lines are quoted of what something printed.
const QUOTED: usize = 10;

/// A duration with three digits at the most: `0.04s`, `4.2s`, `1m12s`, `2h05m`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let whole = duration.as_secs();
    match whole {
        0 => format!("{seconds:.2}s"),
        1..60 => format!("{seconds:.1}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}

/// Bytes in binary units: `512 B`, `1.5 KiB`, `180 MiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for larger in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if value < 10.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// `1 test`, `3 tests`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// The sign and the colour of a step's state.
#[must_use]
pub fn sign(status: &StepStatus) -> (&'static str, Style) {
    let colour = |colour: AnsiColor| colour.on_default();
    match status {
        StepStatus::Pending => ("·", Style::new().dimmed()),
        StepStatus::Running { .. } => ("•", colour(AnsiColor::Cyan)),
        StepStatus::Ended(Ending::Passed) => ("✓", colour(AnsiColor::Green)),
        StepStatus::Ended(Ending::Cached) => ("✓", colour(AnsiColor::Green).dimmed()),
        StepStatus::Ended(Ending::Failed(_)) => ("✗", colour(AnsiColor::Red).bold()),
        StepStatus::Ended(Ending::Skipped(_)) => ("○", Style::new().dimmed()),
        StepStatus::Ended(Ending::Cancelled(_)) => ("○", colour(AnsiColor::Yellow)),
    }
}

/// The sign and the colour of a step: those of its state, but that a failure that is let pass is
/// none to worry about.
#[must_use]
pub fn sign_of(step: &StepState) -> (&'static str, Style) {
    if step.allowed {
        ("!", AnsiColor::Yellow.on_default())
    } else {
        sign(&step.status)
    }
}

/// How a step ended, in a few words and without its time.
#[must_use]
pub fn ending(ending: &Ending) -> String {
    match ending {
        Ending::Passed => "passed".to_owned(),
        Ending::Cached => "cached".to_owned(),
        Ending::Failed(reason) => failure(reason),
        Ending::Skipped(reason) => format!("skipped: {}", skip(reason)),
        Ending::Cancelled(reason) => format!("cancelled: {}", cancel(reason)),
    }
}

/// How a step ended, with what it took and whether it counts.
#[must_use]
pub fn ended(step: &StepState, how: &Ending) -> String {
    let mut text = ending(how);
    if !step.failed_attempts.is_empty() {
        let attempts = step.failed_attempts.len() + 1;
        text.push_str(&format!(", attempt {attempts}"));
    }
    if step.allowed {
        text.push_str(" (allowed)");
    }
    text
}

/// An attempt that failed and has another one after it.
#[must_use]
pub fn attempt(attempt: u32, reason: &FailureReason, next_after: Duration) -> String {
    let next = if next_after.is_zero() {
        "trying again".to_owned()
    } else {
        format!("trying again in {}", duration(next_after))
    };
    format!("attempt {attempt}: {}, {next}", failure(reason))
}

/// Why a step was never tried, in a few words.
#[must_use]
pub fn skip(reason: &SkipReason) -> String {
    match reason {
        SkipReason::NeedFailed { step } => format!("needs {step}"),
        SkipReason::When { reason } => reason.clone(),
        SkipReason::LeftOut => "left out on the command line".to_owned(),
        SkipReason::NeedSkipped { step } => format!("needs {step}, which is skipped"),
    }
}

/// Why a step failed, in a few words.
#[must_use]
pub fn failure(reason: &FailureReason) -> String {
    match reason {
        FailureReason::Exit { code } => format!("exit {code}"),
        FailureReason::OutOfMemory { code, limit } => {
            let bound = limit
                .map(|l| format!(" (limit {})", bytes(l)))
                .unwrap_or_default();
            format!("out of memory{bound}, exit {code}")
        }
        FailureReason::TimedOut { after } => format!("timed out after {}", duration(*after)),
        FailureReason::CannotStart { code, .. } => match code {
            126 => "the command cannot be executed".to_owned(),
            _ => "the command was not found".to_owned(),
        },
        FailureReason::Build { instruction, .. } => match instruction {
            Some(at) => match at.line {
                Some(line) => format!("build failed at {}:{line}", at.file),
                None => format!("build failed in {}", at.file),
            },
            None => "build failed".to_owned(),
        },
        FailureReason::Gate { failing } => {
            let counts: Vec<_> = failing
                .iter()
                .map(|(severity, n)| format!("{n} {}", severity.name()))
                .collect();
            format!("gate failed: {}", counts.join(", "))
        }
        FailureReason::Deploy {
            fallback: after, ..
        } => {
            format!("deploy failed, {}", fallback(after))
        }
        FailureReason::NotApproved {
            environment,
            denied,
            ..
        } => match denied {
            true => format!("the deploy to {environment} was denied"),
            false => format!("the deploy to {environment} needs approval"),
        },
        FailureReason::Unverified { environment, .. } => {
            format!("{environment} takes no image that was not verified")
        }
        FailureReason::Service {
            service, message, ..
        } => format!("service {service} {message}"),
        FailureReason::Configuration(trouble) | FailureReason::Surroundings(trouble) => {
            trouble.what.clone()
        }
    }
}

/// The lines that ask whoever sits there to approve.
#[must_use]
pub fn question(question: &Question) -> Vec<String> {
    let Question {
        environment,
        digest,
        changes,
    } = question;
    let mut lines = vec![format!("a deploy to {environment} would change:")];
    lines.extend(changes.iter().map(|change| format!("    {change}")));
    lines.push(format!("    digest {digest}"));
    lines.push(format!(
        "type `{environment}` and Enter to approve, anything else to deny"
    ));
    lines
}

/// What serves after a failed deploy.
#[must_use]
pub fn fallback(fallback: &Fallback) -> String {
    match fallback {
        Fallback::NothingBefore => "nothing had been deployed before".to_owned(),
        Fallback::Untouched => "nothing was changed".to_owned(),
        Fallback::RolledBack { release } => format!("release {release} serves again"),
        Fallback::AsItIs => "it stays as it is, and nothing was taken back".to_owned(),
        Fallback::Broken { message } => {
            format!("and the release before could not be brought back: {message}")
        }
    }
}

/// The sentences behind a failure: what its few words leave out.
#[must_use]
pub fn details(reason: &FailureReason) -> Vec<String> {
    match reason {
        FailureReason::Exit { .. }
        | FailureReason::TimedOut { .. }
        | FailureReason::Gate { .. } => Vec::new(),
        FailureReason::OutOfMemory { .. } => {
            vec!["try: raise resources.limits.memory of the step".to_owned()]
        }
        FailureReason::CannotStart { message, .. } => vec![message.clone()],
        FailureReason::Build {
            message,
            instruction,
        } => {
            let instruction = instruction.iter().map(|at| at.text.clone());
            instruction
                .chain(message.lines().map(str::to_owned))
                .collect()
        }
        FailureReason::NotApproved { denied: true, .. } => vec!["nothing was changed".to_owned()],
        FailureReason::NotApproved { digest, .. } => vec![
            "nothing was changed; its output says what would have been".to_owned(),
            format!("try: hoist run --approve {digest}"),
        ],
        FailureReason::Unverified { missing, .. } => {
            let mut lines = vec!["nothing was changed".to_owned()];
            lines.extend(missing.iter().map(ToString::to_string));
            let hint = "try: run these steps too; --force-unverified goes on without, and the history says so";
            lines.push(hint.to_owned());
            lines
        }
        FailureReason::Deploy { message, .. } => message.lines().map(str::to_owned).collect(),
        FailureReason::Service { probe, tail, .. } => {
            let quoted = |what: &str, text: &str| {
                let lines: Vec<&str> = text.lines().collect();
                let last = lines.get(lines.len().saturating_sub(QUOTED)..);
                let last = last.unwrap_or_default().iter();
                let head = (!lines.is_empty()).then(|| what.to_owned());
                let lines = last.map(|line| format!("    {line}"));
                head.into_iter().chain(lines).collect::<Vec<_>>()
            };
            let mut out = quoted("its health check printed:", probe);
            out.extend(quoted("its last lines:", tail));
            out
        }
        FailureReason::Configuration(trouble) | FailureReason::Surroundings(trouble) => {
            trouble_details(trouble)
        }
    }
}

/// The lines under a trouble's sentence.
#[must_use]
pub fn trouble_details(trouble: &Trouble) -> Vec<String> {
    let cause = trouble.cause.iter().flat_map(|cause| {
        cause.lines().enumerate().map(|(i, line)| {
            if i == 0 {
                format!("cause: {line}")
            } else {
                format!("       {line}")
            }
        })
    });
    cause
        .chain(trouble.hint.iter().map(|hint| format!("try:   {hint}")))
        .collect()
}

/// Why something was stopped.
#[must_use]
pub fn cancel(reason: &CancelReason) -> String {
    match reason {
        CancelReason::FailFast { step } => format!("{step} failed"),
        CancelReason::RunTimedOut => "the run timed out".to_owned(),
        CancelReason::Requested => "asked for".to_owned(),
        CancelReason::Interrupted(Signal::Interrupt) => "interrupted".to_owned(),
        CancelReason::Interrupted(Signal::Terminate) => "terminated".to_owned(),
    }
}

/// The one word for how a run ended.
#[must_use]
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "PASSED",
        Verdict::StepFailed
        | Verdict::GateFailed
        | Verdict::Configuration
        | Verdict::Surroundings
        | Verdict::DeployFailed => "FAILED",
        Verdict::NotApproved => "NOT APPROVED",
        Verdict::TimedOut => "TIMED OUT",
        Verdict::Interrupted(Signal::Interrupt) => "INTERRUPTED",
        Verdict::Interrupted(Signal::Terminate) => "TERMINATED",
    }
}

/// What a step was given by others and keeps for them.
pub(crate) fn passed_on(step: &StepState) -> Vec<String> {
    let digest = |digest: &str| {
        let (name, hex) = digest.split_once(':').unwrap_or(("", digest));
        format!("{name}:{}", hex.chars().take(12).collect::<String>())
    };
    let given = step.inputs.iter().map(|input| {
        let (name, from) = (&input.artifact.name, &input.from);
        let digest = digest(&input.artifact.digest);
        format!("given {name} of {from} at {}, {digest}", input.target)
    });
    let kept = step.artifacts.iter().map(|kept| {
        let files = count(usize::try_from(kept.files).unwrap_or(usize::MAX), "file");
        format!("kept {}, {files}, {}", kept.name, digest(&kept.digest))
    });
    let outputs = step.outputs.iter();
    let outputs = outputs.map(|(key, value)| format!("output {key}={value}"));
    given.chain(kept).chain(outputs).collect()
}

/// What a step brought home, in a few words, most telling first; empty if nothing.
#[must_use]
pub fn results(step: &StepState) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(earlier) = &step.earlier {
        let by = if step.outline.kind == "build" {
            "built by"
        } else {
            "from"
        };
        words.push(format!("{by} run {}", earlier.run.short()));
    }
    if !step.tests.is_empty() {
        words.push(tests(&step.tests));
    }
    if !step.findings.is_empty() {
        let severities = step.findings.iter().map(|finding| finding.severity);
        words.push(format!("found {}", findings(severities)));
    }
    if let Some(image) = &step.image {
        let name = image
            .tags
            .first()
            .map_or_else(|| image.short().to_owned(), Clone::clone);
        words.push(format!("{name} ({})", bytes(image.size)));
    }
    words.extend(step.pushed.iter().map(|(reference, digest)| {
        let digest = digest.get(..19).unwrap_or(digest);
        format!("{reference} @ {digest}")
    }));
    words.extend(step.released.iter().map(released));
    words
}

/// A released service.
#[must_use]
pub fn released(service: &ReleasedService) -> String {
    let state = if service.unchanged { " unchanged" } else { "" };
    let ports = service
        .ports
        .iter()
        .map(|port| format!(" {port}"))
        .collect::<String>();
    let network = match service.host_network {
        true => " on the host's network",
        false => "",
    };
    format!("{}{state}{ports}{network}", service.service)
}

/// `1 of 12 tests failed`, `12 tests passed`, `12 tests passed, 1 flaky, 1 skipped`.
#[must_use]
pub fn tests(cases: &[TestCase]) -> String {
    let counts = Counts::of(cases);
    let failed = counts.failed + counts.errored;
    let mut words = if failed > 0 {
        format!("{failed} of {} failed", count(counts.tests, "test"))
    } else {
        format!("{} passed", count(counts.passed, "test"))
    };
    for (count, word) in [(counts.flaky, "flaky"), (counts.skipped, "skipped")] {
        if count > 0 {
            words.push_str(&format!(", {count} {word}"));
        }
    }
    words
}

/// `failed once before it passed: timeout`.
#[must_use]
pub fn flaky(case: &TestCase) -> String {
    let times = match case.earlier.len() {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        times => format!("{times} times"),
    };
    let why = case.earlier.last().map(|why| why.message.as_str());
    let why = why
        .filter(|why| !why.is_empty())
        .map(|why| format!(": {why}"));
    format!(
        "flaky: failed {times} before it passed{}",
        why.unwrap_or_default()
    )
}

/// `2026-03-01 10:00:00 UTC`.
#[must_use]
pub fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `2 CRITICAL, 1 HIGH`, worst first.
#[must_use]
pub fn findings(severities: impl Iterator<Item = Severity>) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for severity in severities {
        *counts.entry(severity).or_insert(0usize) += 1;
    }
    let counts: Vec<_> = counts
        .iter()
        .rev()
        .map(|(severity, n)| format!("{n} {}", severity.name()))
        .collect();
    counts.join(", ")
}

/// The name by which people find a test: its class or suite, then its own.
#[must_use]
pub fn test_name(case: &TestCase) -> String {
    named(case.group(), &case.name)
}

/// A group and a name, either of which may be empty.
#[must_use]
pub fn named(group: &str, name: &str) -> String {
    match (group, name) {
        ("", name) => name.to_owned(),
        (group, "") => group.to_owned(),
        (group, name) => format!("{group}::{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_three_digits() {
        let said: Vec<_> = [4, 999, 4_230, 72_000, 7_500_000]
            .map(|ms| duration(Duration::from_millis(ms)))
            .to_vec();
        assert_eq!(said, ["0.00s", "1.00s", "4.2s", "1m12s", "2h05m"]);
    }

    #[test]
    fn sizes_use_binary_units() {
        let said: Vec<_> = [0, 1023, 1536, 180 << 20, 5 << 40].map(bytes).to_vec();
        assert_eq!(said, ["0 B", "1023 B", "1.5 KiB", "180 MiB", "5.0 TiB"]);
    }
}
