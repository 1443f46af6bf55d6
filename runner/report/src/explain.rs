//! Why a step ran or did not, for people: first what happened, then what was different, then what
//! would make it otherwise. It repeats no log.

use std::fmt::Write;

use hoist_model::ids::RunId;
use hoist_model::inputs::{
    Changed, Decision, Explained, Explanation, FileChange, FileChanges, Force, Part, PartChange,
    Told, Unsettled,
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
    let kind = explanation.kind.as_str();
    if explanation.decisions.is_empty() {
        let nothing = match kind {
            "push" | "deploy" => format!("a {kind} is never cached: it looks what is there"),
            _ => nothing(explanation.ending.as_ref()).to_owned(),
        };
        line(&mut out, 1, &nothing);
    }
    for explained in &explanation.decisions {
        about(&mut out, kind, explained, paint);
    }
    out
}

/// Why there is nothing to say of a step.
fn nothing(ending: Option<&Ending>) -> &'static str {
    match ending {
        None => "its inputs were not looked at yet",
        Some(Ending::Skipped(_) | Ending::Cancelled(_)) => "its inputs were not looked at",
        Some(Ending::Passed | Ending::Cached | Ending::Failed(_)) => {
            "its inputs were not written down"
        }
    }
}

fn about(out: &mut String, kind: &str, explained: &Explained, paint: Paint) {
    if let Some(platform) = &explained.platform {
        line(out, 1, &paint.paint(BOLD, &format!("for {platform}")));
    }
    let changes = explained
        .changed
        .as_ref()
        .filter(|changed| !changed.parts.is_empty());
    for why in why(kind, explained) {
        line(out, 1, &why);
    }
    if let (Some(changed), false) = (changes, matches!(explained.decision, Decision::Reused(_))) {
        let since = run(changed.since, changed.started_at);
        line(out, 1, &format!("different since {since}:"));
        for part in &changed.parts {
            different(out, part, changed, paint);
        }
    }
    if let Some(instruction) = &explained.first_executed {
        let instruction = clean(instruction.as_bytes(), false);
        line(
            out,
            1,
            &format!("the first instruction that was not cached: {instruction}"),
        );
    }
    for hint in hints(&explained.decision) {
        line(out, 1, &paint.paint(DIM, &format!("try: {hint}")));
    }
}

fn why(kind: &str, explained: &Explained) -> Vec<String> {
    let changed = explained.changed.as_ref();
    let same = changed.is_some_and(|changed| changed.parts.is_empty());
    let builds = kind == "build";
    let done = if builds { "built" } else { "ran" };
    match &explained.decision {
        Decision::Reused(earlier) => {
            let run = run(earlier.run, Some(earlier.at));
            vec![match builds {
                true => format!(
                    "not built: {run} made the image of the same inputs, and the engine still has it"
                ),
                false => format!("not run: {run} did the same and passed"),
            }]
        }
        Decision::Taken(earlier) => {
            let run = run(earlier.run, Some(earlier.at));
            vec![format!(
                "not {}: taken from {run}, which this run does again",
                if builds { "built" } else { "run" }
            )]
        }
        Decision::Gone(earlier) => {
            let run = run(earlier.run, Some(earlier.at));
            vec![match builds {
                true => format!(
                    "built: {run} made the image of the same inputs, but the engine no longer has it"
                ),
                false => format!("ran: {run} did the same, but what it left is no longer there"),
            }]
        }
        Decision::New if same => {
            let nothing = if builds { "no image" } else { "no run" };
            let known = "of these inputs is known on this engine";
            vec![format!(
                "{done}: nothing is different, but {nothing} {known}"
            )]
        }
        Decision::New if changed.is_some() => vec![format!("{done}: its inputs changed")],
        Decision::New if builds => {
            vec!["built: no earlier run has an image of this step".to_owned()]
        }
        Decision::New => vec!["ran: it passed in no earlier run".to_owned()],
        Decision::Forced(all) => all
            .iter()
            .map(|force| format!("{done}: {}", forced(kind, *force)))
            .collect(),
        Decision::Unsettled(all) => {
            let mut why = vec![format!(
                "{done}: whether it is the same as before cannot be told"
            )];
            why.extend(all.iter().map(|one| format!("  {}", unsettled(one))));
            why
        }
    }
}

fn forced(kind: &str, force: Force) -> &'static str {
    match force {
        Force::Pull => "`pull` asks for newer base images each time",
        Force::NoCache if kind == "build" => {
            "it was to run every instruction again (`no_cache` or --no-cache)"
        }
        Force::NoCache => "it was to run whatever is known (--no-cache)",
        Force::NoCacheFilter => "`no_cache_filter` runs some stages again each time",
        Force::Volume => "a step with volumes runs each time, unless it has `cache = true`",
        Force::Network => "a step with a network runs each time, unless it has `cache = true`",
        Force::Off => "it has `cache = false`",
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
        Unsettled::Data(title) => format!("{title} was to be brought up to date first"),
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
        Unsettled::Data(_) => None,
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
        Part::Context | Part::Source => Some(None),
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

#[cfg(test)]
mod tests {
    use hoist_model::inputs::EarlierRun;
    use hoist_model::reason::{FailureReason, SkipReason, Trouble};

    use super::*;

    fn id(end: u32) -> RunId {
        let text = format!("0197f3a0-0000-7000-8000-0000{end:08x}");
        text.parse().unwrap()
    }

    fn at() -> Timestamp {
        "2026-01-02T03:04:05.678Z".parse().unwrap()
    }

    fn explained(ending: Ending, builds: Vec<Explained>) -> String {
        let explanation = Explanation {
            run: id(2),
            started_at: Some(at()),
            step: "image".into(),
            kind: "build".into(),
            ending: Some(ending),
            decisions: builds,
        };
        text(&explanation, false)
    }

    fn build(decision: Decision, changed: Option<Changed>) -> Explained {
        Explained {
            platform: None,
            decision,
            first_executed: None,
            made: true,
            changed,
        }
    }

    fn changed(parts: Vec<PartChange>, files: Vec<FileChanges>) -> Option<Changed> {
        Some(Changed {
            since: id(1),
            started_at: None,
            parts,
            files,
        })
    }

    fn told(shown: Option<&str>) -> Option<Told> {
        Some(Told {
            digest: "d".into(),
            shown: shown.map(str::to_owned),
        })
    }

    fn part(part: Part, before: Option<Told>, now: Option<Told>) -> PartChange {
        PartChange { part, before, now }
    }

    #[test]
    fn what_was_not_built_says_where_its_image_comes_from() {
        let earlier = EarlierRun {
            run: id(1),
            at: at(),
        };
        let reused = build(Decision::Reused(earlier), changed(Vec::new(), Vec::new()));
        assert_eq!(
            explained(Ending::Cached, vec![reused]),
            "image in run 00000002 (2026-01-02T03:04:05Z): cached\n\
             \x20 not built: run 00000001 (2026-01-02T03:04:05Z) made the image of the same inputs, \
             and the engine still has it\n"
        );
    }

    #[test]
    fn every_difference_has_a_line() {
        let image = |digit: char| format!("sha256:{}", digit.to_string().repeat(64));
        let argument = |name: &str| Part::Argument(name.into());
        let parts = vec![
            part(Part::Context, told(None), told(None)),
            part(Part::NamedContext("docs".into()), told(None), told(None)),
            part(
                Part::Base("debian:12".into()),
                told(Some(&image('a'))),
                told(Some(&image('b'))),
            ),
            part(argument("VERSION"), told(None), told(None)),
            part(argument("GONE"), told(None), None),
            part(Part::Secret("token".into()), told(None), told(None)),
            part(Part::Target, None, told(Some("pro\u{1b}[2Jduction"))),
        ];
        let files = vec![
            FileChanges {
                context: None,
                count: Some(3),
                first: vec![
                    ("src/main.rs".into(), FileChange::Changed),
                    ("a\nb".into(), FileChange::Added),
                ],
            },
            FileChanges {
                context: Some("docs".into()),
                count: None,
                first: Vec::new(),
            },
        ];
        let mut build = build(Decision::New, changed(parts, files));
        build.first_executed = Some("[2/3] COPY . /src".into());
        build.platform = Some("linux/arm64".into());
        assert_eq!(
            explained(Ending::Passed, vec![build]),
            "image in run 00000002 (2026-01-02T03:04:05Z): passed\n\
             \x20 for linux/arm64\n\
             \x20 built: its inputs changed\n\
             \x20 different since run 00000001:\n\
             \x20   the context: 3 files\n\
             \x20     changed  src/main.rs\n\
             \x20     added    ab\n\
             \x20     and 1 more\n\
             \x20   the context docs; which files is no longer known\n\
             \x20   the image debian:12 is bbbbbbbbbbbb, was aaaaaaaaaaaa\n\
             \x20   the build argument VERSION changed\n\
             \x20   the build argument GONE is gone\n\
             \x20   the secret token changed\n\
             \x20   the target is new: production\n\
             \x20 the first instruction that was not cached: [2/3] COPY . /src\n"
        );
    }

    #[test]
    fn a_build_that_could_not_be_skipped_says_what_to_do() {
        let unsettled = vec![
            Unsettled::Base("debian:12".into()),
            Unsettled::Address("https://example.com/x".into()),
            Unsettled::Trouble(
                Trouble::new("`a` changed")
                    .cause("it was written to")
                    .hint("stop it"),
            ),
        ];
        let said = explained(
            Ending::Passed,
            vec![build(Decision::Unsettled(unsettled), None)],
        );
        for line in [
            "  built: whether it is the same as before cannot be told\n",
            "    the engine has no image debian:12, so the builder asked the registry for it\n",
            "    ADD fetches https://example.com/x, which nothing pins\n",
            "    `a` changed: it was written to\n",
            "  try: pin it as debian:12@sha256:..., or `docker pull debian:12`\n",
            "  try: pin it with ADD --checksum=sha256:...\n",
            "  try: stop it\n",
        ] {
            assert!(said.contains(line), "{line}{said}");
        }
        let forced = vec![Force::Pull, Force::NoCache];
        let said = explained(Ending::Passed, vec![build(Decision::Forced(forced), None)]);
        assert!(
            said.contains("`pull` asks") && said.contains("--no-cache"),
            "{said}"
        );
    }

    #[test]
    fn a_step_that_came_to_no_build_says_how_it_ended() {
        let skipped = Ending::Skipped(SkipReason::NeedFailed {
            step: "unit".into(),
        });
        assert_eq!(
            explained(skipped, Vec::new()),
            "image in run 00000002 (2026-01-02T03:04:05Z): skipped: needs unit\n\
             \x20 its inputs were not looked at\n"
        );
        let failed = Ending::Failed(FailureReason::Exit { code: 1 });
        assert!(explained(failed, Vec::new()).contains("were not written down"));
    }
}
