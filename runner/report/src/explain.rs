//! Why a step ran or did not, for people: first what happened, then what was different, then what
//! would make it otherwise. It repeats no log.

use std::fmt::Write;

use hoist_model::ids::RunId;
use hoist_model::inputs::{
    BuildExplanation, Changed, Decision, Explanation, FileChange, FileChanges, Force, Part,
    PartChange, Told, Unsettled,
};
use hoist_model::reason::Ending;
use jiff::Timestamp;

use crate::lines::clean;
use crate::style::{BOLD, DIM, Paint};
use crate::words;

/// Hexadecimal digits of a digest that are shown.
const DIGITS: usize = 12;

/// The explanation as text.
#[must_use]
pub fn text(explanation: &Explanation, colour: bool) -> String {
    let paint = Paint { colour };
    let mut out = String::new();
    let ending = match &explanation.ending {
        None => "has not ended".to_owned(),
        Some(ending) => words::ending(ending),
    };
    let head = paint.paint(BOLD, explanation.step.as_str());
    let run = run(explanation.run, explanation.started_at);
    let _ = writeln!(out, "{head} in {run}: {ending}");
    if explanation.kind != "build" {
        let kind = &explanation.kind;
        line(
            &mut out,
            1,
            &format!(
                "a step of kind `{kind}` runs each time: only builds are cached in this version"
            ),
        );
    } else if explanation.builds.is_empty() {
        line(&mut out, 1, nothing(explanation.ending.as_ref()));
    }
    for build in &explanation.builds {
        about(&mut out, build, paint);
    }
    out
}

/// Why there is nothing to say of a build.
fn nothing(ending: Option<&Ending>) -> &'static str {
    match ending {
        None => "its inputs were not looked at yet",
        Some(Ending::Skipped(_) | Ending::Cancelled(_)) => "its inputs were not looked at",
        Some(Ending::Passed | Ending::Cached | Ending::Failed(_)) => {
            "its inputs were not written down"
        }
    }
}

fn about(out: &mut String, build: &BuildExplanation, paint: Paint) {
    if let Some(platform) = &build.platform {
        line(out, 1, &paint.paint(BOLD, &format!("for {platform}")));
    }
    let changes = build
        .changed
        .as_ref()
        .filter(|changed| !changed.parts.is_empty());
    for why in why(build) {
        line(out, 1, &why);
    }
    if let (Some(changed), false) = (changes, matches!(build.decision, Decision::Reused(_))) {
        let since = run(changed.since, changed.started_at);
        line(out, 1, &format!("different since {since}:"));
        for part in &changed.parts {
            different(out, part, changed, paint);
        }
    }
    if let Some(instruction) = &build.first_executed {
        let instruction = clean(instruction.as_bytes(), false);
        line(
            out,
            1,
            &format!("the first instruction that was not cached: {instruction}"),
        );
    }
    for hint in hints(&build.decision) {
        line(out, 1, &paint.paint(DIM, &format!("try: {hint}")));
    }
}

fn why(build: &BuildExplanation) -> Vec<String> {
    let changed = build.changed.as_ref();
    let same = changed.is_some_and(|changed| changed.parts.is_empty());
    match &build.decision {
        Decision::Reused(earlier) => vec![format!(
            "not built: {} made the image of the same inputs, and the engine still has it",
            run(earlier.run, Some(earlier.at))
        )],
        Decision::ImageGone(earlier) => vec![format!(
            "built: {} made the image of the same inputs, but the engine no longer has it",
            run(earlier.run, Some(earlier.at))
        )],
        Decision::New if same => vec![
            "built: nothing is different, but no image of these inputs is known on this engine"
                .to_owned(),
        ],
        Decision::New if changed.is_some() => vec!["built: its inputs changed".to_owned()],
        Decision::New => vec!["built: no earlier run has an image of this step".to_owned()],
        Decision::Forced(all) => all
            .iter()
            .map(|force| format!("built: {}", forced(*force)))
            .collect(),
        Decision::Unsettled(all) => {
            let mut why = vec!["built: whether it is the same as before cannot be told".to_owned()];
            why.extend(all.iter().map(|one| format!("  {}", unsettled(one))));
            why
        }
    }
}

fn forced(force: Force) -> &'static str {
    match force {
        Force::Pull => "`pull` asks for newer base images each time",
        Force::NoCache => "it was to run every instruction again (`no_cache` or --no-cache)",
        Force::NoCacheFilter => "`no_cache_filter` runs some stages again each time",
    }
}

fn unsettled(unsettled: &Unsettled) -> String {
    match unsettled {
        Unsettled::Base(image) => {
            format!("the engine has no image {image}, so the builder asked the registry for it")
        }
        Unsettled::ForeignBase { image, platform } => {
            format!("{image} is wanted for {platform}, which is not the engine's own platform")
        }
        Unsettled::Address(address) => format!("ADD fetches {address}, which nothing pins"),
        Unsettled::Instruction { line, text } => {
            format!("line {line} takes from an image that only the builder can name: {text}")
        }
        Unsettled::Trouble(trouble) => match &trouble.cause {
            Some(cause) => format!("{}: {cause}", trouble.what),
            None => trouble.what.clone(),
        },
    }
}

fn hints(decision: &Decision) -> Vec<String> {
    let Decision::Unsettled(all) = decision else {
        return Vec::new();
    };
    let hint = |one: &Unsettled| match one {
        Unsettled::Base(image) => Some(format!(
            "pin it as {image}@sha256:..., or `docker pull {image}`"
        )),
        Unsettled::ForeignBase { image, .. } => Some(format!("pin it as {image}@sha256:...")),
        Unsettled::Address(_) => Some("pin it with ADD --checksum=sha256:...".to_owned()),
        Unsettled::Instruction { .. } => {
            Some("give the image a stage of its own: FROM takes variables".to_owned())
        }
        Unsettled::Trouble(trouble) => trouble.hint.clone(),
    };
    all.iter().filter_map(hint).collect()
}

fn different(out: &mut String, part: &PartChange, changed: &Changed, paint: Paint) {
    let context = match &part.part {
        Part::Context => Some(None),
        Part::NamedContext(name) => Some(Some(name)),
        _ => None,
    };
    let files = context.and_then(|context| {
        let mut all = changed.files.iter();
        all.find(|files| files.context.as_ref() == context)
    });
    let what = match (&part.before, &part.now) {
        (Some(before), Some(now)) => between(before, now),
        (None, Some(now)) => format!("is new{}", value(now)),
        (Some(_), None) => "is gone".to_owned(),
        (None, None) => String::new(),
    };
    match files {
        None => line(out, 2, &format!("{} {what}", part.part)),
        Some(files) => listed(out, &part.part, files, paint),
    }
}

fn listed(out: &mut String, part: &Part, files: &FileChanges, paint: Paint) {
    let Some(count) = files.count else {
        return line(out, 2, &format!("{part}; which files is no longer known"));
    };
    line(out, 2, &format!("{part}: {}", words::count(count, "file")));
    for (path, change) in &files.first {
        let word = match change {
            FileChange::Added => "added",
            FileChange::Removed => "removed",
            FileChange::Changed => "changed",
            FileChange::Mode => "mode",
            FileChange::Kind => "kind",
        };
        let word = paint.paint(DIM, &format!("{word:<8}"));
        line(out, 3, &format!("{word} {}", clean(path.as_bytes(), false)));
    }
    if let Some(more) = count
        .checked_sub(files.first.len())
        .filter(|more| *more > 0)
    {
        line(out, 3, &format!("and {more} more"));
    }
}

fn between(before: &Told, now: &Told) -> String {
    match (&before.shown, &now.shown) {
        (Some(before), Some(now)) => format!("is {}, was {}", short(now), short(before)),
        _ => "changed".to_owned(),
    }
}

fn value(told: &Told) -> String {
    let shown = told.shown.as_ref();
    shown
        .map(|shown| format!(": {}", short(shown)))
        .unwrap_or_default()
}

/// A digest is cut, as Docker shows it.
fn short(text: &str) -> String {
    let text = clean(text.as_bytes(), false);
    match text
        .strip_prefix("sha256:")
        .and_then(|hex| hex.get(..DIGITS))
    {
        Some(digits) => digits.to_owned(),
        None => text,
    }
}

fn run(run: RunId, at: Option<Timestamp>) -> String {
    let at = at.map(|at| format!(" ({at:.0})")).unwrap_or_default();
    format!("run {}{at}", run.short())
}

fn line(out: &mut String, depth: usize, text: &str) {
    let _ = writeln!(out, "{:depth$}{text}", "", depth = 2 * depth);
}
