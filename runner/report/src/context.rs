//! What a step would be sent, as people and programs read it: listed, left out with its rule, or by
//! weight. A line holds one name whatever the name holds. It refuses to cut names: they are data.

use std::borrow::Cow;
use std::fmt::Write;

use hoist_model::survey::{Entry, EntryKind, LeftOut, Role, Survey, SurveyedFolder, Weight, Why};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use crate::style::{BOLD, DIM, Paint, WARN};
use crate::{lines, words};

/// Columns that sizes need.
const SIZE: usize = 8;
/// Columns after which what follows a name is no longer lined up.
const NAME: usize = 48;

/// All that is sent, in the order of the walk.
#[must_use]
pub fn list(survey: &Survey, colour: bool) -> String {
    let paint = Paint { colour };
    folders(survey, |out, folder| {
        heading(out, &about(survey, folder), paint);
        for entry in &folder.entries {
            let (size, link) = match &entry.kind {
                EntryKind::File { bytes } => (Some(*bytes), None),
                EntryKind::Folder => (None, None),
                EntryKind::Link { target } => (None, Some(target)),
            };
            let name = name(&entry.path, entry.kind == EntryKind::Folder);
            let _ = write!(out, "{}  {name}", size_column(size));
            if let Some(target) = link {
                let arrow = format!(" -> {}", self::name(target, false));
                out.push_str(&paint.paint(DIM, &arrow));
            }
            out.push('\n');
        }
        for special in &folder.left_out {
            if special.why == Why::Special {
                left_out_line(out, special, 0, folder, paint);
            }
        }
        let _ = writeln!(out, "{}", totals(folder));
    })
}

/// All that is left out, each with what keeps it out.
#[must_use]
pub fn left_out(survey: &Survey, colour: bool) -> String {
    let paint = Paint { colour };
    folders(survey, |out, folder| {
        let head = format!("left out of {}", about(survey, folder));
        heading(out, &head, paint);
        let widths = folder
            .left_out
            .iter()
            .map(|left| name(&left.path, left.folder).width())
            .filter(|width| *width <= NAME);
        let column = widths.max().unwrap_or(0);
        for left in &folder.left_out {
            left_out_line(out, left, column, folder, paint);
        }
        let sizes: Vec<_> = folder.left_out.iter().map(|left| left.bytes).collect();
        let known: u64 = sizes.iter().flatten().sum();
        let more = if sizes.contains(&None) {
            " and more"
        } else {
            ""
        };
        let _ = match sizes.len() {
            0 => writeln!(out, "nothing"),
            count => writeln!(out, "{count} left out, {}{more}", words::bytes(known)),
        };
    })
}

/// The heaviest folders, with all that is in them, and the heaviest files.
#[must_use]
pub fn top(survey: &Survey, most: usize, colour: bool) -> String {
    let paint = Paint { colour };
    folders(survey, |out, folder| {
        heading(out, &about(survey, folder), paint);
        let heavy = folder.heaviest_folders(most);
        if !heavy.is_empty() {
            let _ = writeln!(out, "{}", paint.paint(DIM, "heaviest folders"));
        }
        let counts: Vec<_> = heavy
            .iter()
            .map(|(_, weight)| words::count(weight.files, "file"))
            .collect();
        let column = counts.iter().map(String::len).max().unwrap_or(0);
        for ((path, weight), count) in heavy.iter().zip(&counts) {
            let size = size_column(Some(weight.bytes));
            let _ = writeln!(out, "{size}  {count:>column$}  {}", name(path, true));
        }
        let files = folder.heaviest_files(most);
        if !files.is_empty() {
            let _ = writeln!(out, "{}", paint.paint(DIM, "heaviest files"));
        }
        for (path, bytes) in files {
            let size = size_column(Some(bytes));
            let _ = writeln!(out, "{size}  {}", name(path, false));
        }
        let _ = writeln!(out, "{}", totals(folder));
    })
}

/// What people should know of what is sent.
#[must_use]
pub fn hints(survey: &Survey, colour: bool) -> String {
    let word = Paint { colour }.paint(WARN, "warning:");
    let mut out = String::new();
    for hint in survey.folders.iter().flat_map(|folder| &folder.hints) {
        let clean = |text: &str| lines::clean(text.as_bytes(), false);
        let (message, hint) = (clean(&hint.message), clean(&hint.hint));
        let _ = writeln!(out, "{word} {message}\n  try:   {hint}");
    }
    out
}

/// All that is sent, for programs; where it was looked at, also what is left out.
#[must_use]
pub fn list_json(survey: &Survey, with_left_out: bool) -> String {
    json_of(survey, |folder| {
        let mut value = json!({ "entries": folder.entries });
        if let (true, Some(value)) = (with_left_out, value.as_object_mut()) {
            let left_out = folder.left_out.iter();
            let left_out = left_out.map(|left| left_out_json(left, folder)).collect();
            value.insert("left_out".to_owned(), left_out);
        }
        value
    })
}

/// The heaviest folders and files, for programs.
#[must_use]
pub fn top_json(survey: &Survey, most: usize) -> String {
    json_of(survey, |folder| {
        let folders = folder.heaviest_folders(most).into_iter().map(
            |(path, Weight { bytes, files })| json!({"path": path, "bytes": bytes, "files": files}),
        );
        let files = folder.heaviest_files(most).into_iter();
        json!({
            "heaviest_folders": folders.collect::<Vec<_>>(),
            "heaviest_files": files
                .map(|(path, bytes)| json!({"path": path, "bytes": bytes}))
                .collect::<Vec<_>>(),
        })
    })
}

fn json_of(survey: &Survey, each: impl Fn(&SurveyedFolder) -> Value) -> String {
    let folders = survey.folders.iter().map(|folder| {
        let (role, name) = match &folder.role {
            Role::Context => ("context", None),
            Role::Named(name) => ("named", Some(name)),
            Role::Source => ("source", None),
        };
        let weight = folder.weight();
        let mut value = json!({
            "role": role,
            "name": name,
            "path": folder.path,
            "ignorefile": folder.ignorefile,
            "files": weight.files,
            "bytes": weight.bytes,
            "hints": folder.hints,
        });
        if let (Some(value), Value::Object(more)) = (value.as_object_mut(), each(folder)) {
            value.extend(more);
        }
        value
    });
    let value = json!({"step": survey.step, "folders": folders.collect::<Vec<_>>()});
    serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"
}

fn left_out_json(left: &LeftOut, folder: &SurveyedFolder) -> Value {
    let mut value = json!({"path": left.path, "folder": left.folder, "bytes": left.bytes});
    let (key, why) = match &left.why {
        Why::Rule { line, pattern } => (
            "rule",
            json!({"file": folder.ignorefile, "line": line, "pattern": pattern}),
        ),
        Why::Never(why) => ("never", json!(why)),
        Why::Special => ("never", json!(SPECIAL)),
    };
    if let Some(value) = value.as_object_mut() {
        value.insert(key.to_owned(), why);
    }
    value
}

const SPECIAL: &str = "a socket, a pipe or a device";

fn folders(survey: &Survey, each: impl Fn(&mut String, &SurveyedFolder)) -> String {
    let mut out = String::new();
    for folder in &survey.folders {
        if !out.is_empty() {
            out.push('\n');
        }
        each(&mut out, folder);
    }
    out
}

fn heading(out: &mut String, text: &str, paint: Paint) {
    let _ = writeln!(out, "{}", paint.paint(BOLD, text));
}

/// Which folder it is, and whose rules hold.
fn about(survey: &Survey, folder: &SurveyedFolder) -> String {
    let (step, path) = (&survey.step, name(&folder.path, false));
    let what = match &folder.role {
        Role::Context => format!("context {path} of {step}"),
        Role::Named(named) => format!("context {named} ({path}) of {step}"),
        Role::Source => format!("the project's copy for {step}"),
    };
    match &folder.ignorefile {
        Some(file) => format!("{what}, rules of {}", name(file, false)),
        None => format!("{what}, no .dockerignore"),
    }
}

fn left_out_line(
    out: &mut String,
    left: &LeftOut,
    column: usize,
    folder: &SurveyedFolder,
    paint: Paint,
) {
    let name = name(&left.path, left.folder);
    let why = match &left.why {
        Why::Rule { line, pattern } => {
            let file = folder.ignorefile.as_deref().unwrap_or_default();
            format!("{}:{line}  {}", self::name(file, false), escaped(pattern))
        }
        Why::Never(why) => format!("never sent: {why}"),
        Why::Special => format!("cannot be sent: {SPECIAL}"),
    };
    let blanks = " ".repeat(column.saturating_sub(name.width()));
    let size = size_column(left.bytes);
    let _ = writeln!(out, "{size}  {name}{blanks}  {}", paint.paint(DIM, &why));
}

fn size_column(bytes: Option<u64>) -> String {
    let size = bytes.map_or_else(|| "-".to_owned(), words::bytes);
    format!("{size:>SIZE$}")
}

/// `3 files, 1 folder, 1 link: 1.2 KiB`.
fn totals(folder: &SurveyedFolder) -> String {
    let weight = folder.weight();
    let count = |is: fn(&Entry) -> bool| folder.entries.iter().filter(|entry| is(entry)).count();
    let folders = count(|entry| entry.kind == EntryKind::Folder);
    let links = count(|entry| matches!(entry.kind, EntryKind::Link { .. }));
    let mut counts = vec![words::count(weight.files, "file")];
    for (number, noun) in [(folders, "folder"), (links, "link")] {
        if number > 0 {
            counts.push(words::count(number, noun));
        }
    }
    format!("{}: {}", counts.join(", "), words::bytes(weight.bytes))
}

/// A name on one line, as it is or, where it would not read as what it is, in quotes.
fn name(path: &str, folder: bool) -> Cow<'_, str> {
    let shown = escaped(path);
    match (folder, shown) {
        (false, shown) => shown,
        (true, shown) => Cow::Owned(format!("{shown}/")),
    }
}

/// Text without what a terminal acts upon. In quotes where anything was changed, or where it would
/// read as if it was.
fn escaped(text: &str) -> Cow<'_, str> {
    let plain = |byte: &u8| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
    if text.as_bytes().iter().all(plain) {
        return Cow::Borrowed(text);
    }
    let escaped = text.escape_debug().to_string().replace("\\'", "'");
    if escaped == text && text.trim() == text {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("\"{escaped}\""))
}

#[cfg(test)]
mod tests;
