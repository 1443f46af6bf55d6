//! What a failed build comes to, from the builder's words, the step that failed and the Dockerfile.
//! It names the line where it can, and refuses to hide what the builder said.

use hoist_engine::backend::{BackendError, BackendErrorKind as Kind, BuildError};
use hoist_model::ignore::IgnoreFile;
use hoist_model::reason::Instruction as Shown;

use super::dockerfile::{Dockerfile, Instruction};
use super::progress::{Failed, Seen};

/// What builders put before what they have to say.
const PREAMBLES: &[&str] = &[
    "rpc error: code = Unknown desc = ",
    "failed to solve with frontend dockerfile.v0: ",
    "failed to solve with frontend gateway.v0: ",
    "failed to solve: ",
    "failed to create LLB definition: ",
    "failed to build LLB: ",
    "failed to read dockerfile: ",
    "failed to compute cache key: ",
];

/// Flags of instructions that came after Docker 20.10.
const NEWER_FLAGS: &[&str] = &[
    "link",
    "network",
    "security",
    "checksum",
    "keep-git-dir",
    "exclude",
    "parents",
    "unpack",
    "start-interval",
    "mount",
];

/// A build that failed.
pub(crate) struct Case<'a> {
    /// The engine's error.
    pub(crate) error: BackendError,
    pub(crate) seen: &'a Seen,
    pub(crate) dockerfile: &'a Dockerfile,
    /// What was left out of the context.
    pub(crate) ignore: &'a IgnoreFile,
    /// How messages name the Dockerfile.
    pub(crate) shown: &'a str,
    /// The builder knows what Docker 23 brought.
    pub(crate) modern: bool,
    /// It is BuildKit.
    pub(crate) buildkit: bool,
}

/// The failure for people.
pub(crate) fn explain(case: &Case<'_>) -> BuildError {
    let said = bare(&case.error.message);
    if let Some(error) = syntax_image(case, said) {
        return error.into();
    }
    let by_line = parse_error_line(said).and_then(|line| {
        let found = case.dockerfile.at_line(line);
        Some((line, found?))
    });
    if let Some((line, instruction)) = by_line {
        let message = newer_syntax(case, said, Some(instruction)).unwrap_or(said.to_owned());
        return failed(message, Some(show(case, instruction, line)));
    }
    let step = case.seen.failed.as_ref();
    let instruction = step.and_then(|step| find(case, step));
    let by_command = step.is_some_and(|step| ran_a_command(&step.name)) && exited(said);
    if !by_command && !is_builders_own(case.error.kind) {
        let place = instruction.map(|at| format!("{}:{}: ", case.shown, at.line));
        let message = format!("{}{said}", place.unwrap_or_default());
        return BackendError::new(case.error.kind, message).into();
    }
    let mut message = newer_syntax(case, said, instruction).unwrap_or_else(|| said.to_owned());
    if let Some(why) = left_out(case, said) {
        message = format!("{message}; {why}");
    }
    if by_command && let Some(step) = step {
        for line in &step.output {
            message.push('\n');
            message.push_str(line);
        }
    }
    let shown = instruction.map(|instruction| show(case, instruction, instruction.line));
    failed(message, shown)
}

fn failed(message: String, instruction: Option<Shown>) -> BuildError {
    BuildError::Failed {
        message,
        instruction,
    }
}

fn show(case: &Case<'_>, instruction: &Instruction, line: usize) -> Shown {
    Shown {
        file: case.shown.to_owned(),
        line: Some(line),
        text: instruction.text.clone(),
    }
}

/// The builder's words without what says only that it failed.
fn bare(message: &str) -> &str {
    let mut said = message.trim();
    loop {
        let rest = PREAMBLES
            .iter()
            .find_map(|preamble| said.strip_prefix(preamble))
            .or_else(|| {
                let rest = said.strip_prefix("failed to calculate checksum of ref ")?;
                Some(rest.split_once(": ")?.1)
            });
        match rest {
            Some(rest) => said = rest,
            None => return said,
        }
    }
}

/// Why a file that an instruction names is not in the context, where the ignore file is the reason.
fn left_out(case: &Case<'_>, said: &str) -> Option<String> {
    if !said.contains("not found") && !said.contains("no such file") {
        return None;
    }
    let quoted = said.split('"').skip(1).step_by(2);
    quoted
        .filter_map(|path| path.strip_prefix('/'))
        .find_map(|path| {
            let rule = case.ignore.matches(path).filter(|rule| !rule.negated)?;
            Some(format!(
                "`{path}` is left out by the ignore file's `{}`",
                rule.pattern
            ))
        })
}

/// The line that a parse error names: `dockerfile parse error on line 3: ...`, also without `on`.
fn parse_error_line(said: &str) -> Option<usize> {
    let lower = said.to_lowercase();
    let (_, rest) = lower.split_once("parse error")?;
    let (_, rest) = rest.split_once("line ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The instruction of a failed step. Looking for a base image is a step without a place.
fn find<'a>(case: &Case<'a>, step: &Failed) -> Option<&'a Instruction> {
    if let Some(image) = step.name.strip_prefix("[internal] load metadata for ") {
        let short = image.strip_prefix("docker.io/").unwrap_or(image);
        let shortest = short.strip_prefix("library/").unwrap_or(short);
        let names = [image, short, shortest];
        let untagged = names.iter().filter_map(|name| name.strip_suffix(":latest"));
        return names
            .iter()
            .copied()
            .chain(untagged)
            .find_map(|name| case.dockerfile.from(name));
    }
    case.dockerfile.named(&step.name)
}

fn ran_a_command(name: &str) -> bool {
    name.rsplit("] ")
        .next()
        .is_some_and(|said| said.to_uppercase().starts_with("RUN"))
}

fn exited(said: &str) -> bool {
    ["exit code", "non-zero code", "exit status"]
        .iter()
        .any(|words| said.contains(words))
}

/// The Dockerfile or what it asks for is at fault, not what is around the build.
fn is_builders_own(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Unreachable
            | Kind::Permission
            | Kind::Unauthorized
            | Kind::DiskFull
            | Kind::Timeout
            | Kind::Broken
            | Kind::Registry
    )
}

/// A `# syntax=` line sends the engine to a registry before anything else.
fn syntax_image(case: &Case<'_>, said: &str) -> Option<BackendError> {
    let image = case.dockerfile.syntax.as_deref()?;
    let name = image.split(['@', ':']).next().unwrap_or(image);
    let about_it = said.contains(name)
        || case
            .seen
            .failed
            .as_ref()
            .is_some_and(|step| step.name.contains(name));
    let at_fault = !is_builders_own(case.error.kind) || case.error.kind == Kind::NotFound;
    (about_it && at_fault).then(|| {
        BackendError::new(
            case.error.kind,
            format!(
                "the first line of {} makes the engine fetch {image} from a registry, which \
                 failed ({said}); without that line the engine's own builder is used",
                case.shown
            ),
        )
    })
}

/// A sentence for syntax that this builder does not know and newer ones do.
fn newer_syntax(case: &Case<'_>, said: &str, at: Option<&Instruction>) -> Option<String> {
    if case.modern && case.buildkit {
        return None;
    }
    let lower = said.to_lowercase();
    let flag = lower.split_once("unknown flag: ").map(|(_, rest)| {
        rest.split(|c: char| c.is_whitespace() || c == '=')
            .next()
            .unwrap_or_default()
    });
    let what = match flag {
        Some(flag) if NEWER_FLAGS.contains(&flag.trim_start_matches('-')) => {
            format!("the flag --{}", flag.trim_start_matches('-'))
        }
        _ if at.is_some_and(|at| at.heredoc) => "text that follows an instruction (<<)".to_owned(),
        _ if lower.contains("requires buildkit") => "this instruction".to_owned(),
        _ => return None,
    };
    Some(format!(
        "{what} needs a newer Docker than this engine: {said}"
    ))
}

#[cfg(test)]
mod tests;
