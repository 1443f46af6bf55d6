//! What goes of all that runs left behind, and why: for people and for programs. It refuses to judge
//! what may go.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hoist_model::gc::{Collection, Decision, Held, Item, Kind, Reason, Stay, Tally};
use jiff::Timestamp;
use serde_json::json;
use unicode_width::UnicodeWidthStr as _;

use crate::lines::clean;
use crate::style::{BAD, BOLD, DIM, Paint};
use crate::words;

/// What is shown.
pub struct Shown {
    /// Nothing was removed.
    pub dry_run: bool,
    /// What stays, too.
    pub all: bool,
    /// Paint.
    pub colour: bool,
    /// The time, for ages.
    pub now: Timestamp,
}

/// As text: what goes, why, and what that frees. `failed` are the IDs of what was to go and did not,
/// with the reasons.
#[must_use]
pub fn text(collection: &Collection, failed: &[(String, String)], shown: &Shown) -> String {
    let paint = Paint {
        colour: shown.colour,
    };
    let failed: BTreeMap<&str, &str> = failed
        .iter()
        .map(|(id, why)| (id.as_str(), why.as_str()))
        .collect();
    let mut rows = Vec::new();
    for (item, decision) in &collection.items {
        let (why, style) = match (decision, failed.get(item.id.as_str())) {
            (Decision::Goes(_), Some(why)) => (format!("still there: {why}"), BAD),
            (Decision::Goes(reason), None) => (reason_words(*reason).to_owned(), BOLD),
            (Decision::Stays(stay), _) if shown.all => (stay_words(stay), DIM),
            (Decision::Stays(_), _) => continue,
        };
        rows.push((row(item, shown.now, why), style));
    }
    let mut widths = [0; 4];
    for (cells, _) in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.width().max(*width);
        }
    }
    let mut out = String::new();
    for (cells, style) in rows {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate() {
            let width = widths.get(at).copied().unwrap_or_default();
            let pad = " ".repeat(width.saturating_sub(cell.width()));
            let _ = write!(line, "{cell}{pad}  ");
        }
        let _ = writeln!(out, "{}", paint.paint(style, line.trim_end()));
    }
    let going = collection.going().map(|(item, _)| item);
    let gone = Tally::of(going.filter(|item| !failed.contains_key(item.id.as_str())));
    let verb = if shown.dry_run {
        "would remove"
    } else {
        "removed"
    };
    let left = collection.bytes().saturating_sub(gone.bytes);
    let stays = collection.items.len() - gone.kinds.values().sum::<usize>();
    let more = match shown.all || stays == 0 {
        true => "",
        false => "; -v shows what",
    };
    let stays = words::count(stays, "thing");
    let _ = writeln!(
        out,
        "{}; {stays} ({}) stay{more}",
        tally(verb, &gone),
        words::bytes(left)
    );
    out
}

/// For programs: each thing and what becomes of it.
#[must_use]
pub fn json(collection: &Collection, failed: &[(String, String)], dry_run: bool) -> String {
    let failed: BTreeMap<&String, &String> = failed.iter().map(|(id, why)| (id, why)).collect();
    let items = collection.items.iter().map(|(item, decision)| {
        let (goes, why) = match decision {
            Decision::Goes(reason) => (true, reason_words(*reason).to_owned()),
            Decision::Stays(stay) => (false, stay_words(stay)),
        };
        json!({
            "kind": item.kind,
            "id": item.id,
            "name": item.name,
            "bytes": item.bytes,
            "used": item.used,
            "goes": goes,
            "reason": why,
            "error": failed.get(&item.id),
        })
    });
    let all = json!({
        "dry_run": dry_run,
        "bytes": collection.bytes(),
        "freed": collection.freed(),
        "items": items.collect::<Vec<_>>(),
    });
    format!("{all:#}\n")
}

/// `removed 2 runs, 1 image (210 MiB)`.
#[must_use]
pub fn tally(verb: &str, tally: &Tally) -> String {
    let kinds = tally.kinds.iter();
    let kinds: Vec<_> = kinds
        .map(|(kind, count)| words::count(*count, name(*kind)))
        .collect();
    match kinds.as_slice() {
        [] => format!("{verb} nothing"),
        kinds => format!(
            "{verb} {} ({})",
            kinds.join(", "),
            words::bytes(tally.bytes)
        ),
    }
}

fn row(item: &Item, now: Timestamp, why: String) -> [String; 5] {
    let age = Duration::try_from(now.duration_since(item.used)).unwrap_or_default();
    let id = item.name.strip_prefix("sha256:");
    let known = id.and_then(|id| id.get(..12)).unwrap_or(&item.name);
    [
        name(item.kind).to_owned(),
        clean(known.as_bytes(), false),
        words::bytes(item.bytes),
        days(age),
        why,
    ]
}

/// `3 days`, `5h02m`.
fn days(age: Duration) -> String {
    match usize::try_from(age.as_secs() / (24 * 3600)) {
        Ok(days @ 2..) => words::count(days, "day"),
        _ => words::duration(age),
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Run => "run",
        Kind::Image => "image",
        Kind::Cache => "cache",
        Kind::Release => "release",
    }
}

fn reason_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Age => "not used for longer than max_age",
        Reason::Size => "all takes more than max_size",
        Reason::Budget => "the caches of its name take more than their max_size",
    }
}

fn stay_words(stay: &Stay) -> String {
    match stay {
        Stay::Held(Held::Container(name)) => format!("in use by the container {name}"),
        Stay::Held(Held::Run) => "a run goes on that may use it".to_owned(),
        Stay::Held(Held::Deploy(environment)) => {
            format!("a deploy to {environment} is under way")
        }
        Stay::Held(Held::Name(name)) => format!("has a name that the file does not give: {name}"),
        Stay::Newest => "one of the newest".to_owned(),
        Stay::Needed(run) => format!("the run {run} refers to it"),
        Stay::Within => "neither too old nor too much".to_owned(),
    }
}
