//! Test results that a step leaves: fetched by the patterns of the file, kept in the run folder as
//! they were, and read. What cannot be read is a warning, never the end of a step; what there is too
//! much of is not read, and that is said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hoist_model::event::EventKind;
use hoist_model::glob::matches;
use hoist_model::reason::Trouble;
use hoist_model::results::{MAX_BYTES, MAX_CASES, TestCase, TestFormat};
use hoist_model::unit::Harvest;

use super::{download, say_what_was_masked, unpack};
use crate::archive::{Bounds, Wanted};
use crate::context::UnitContext;

/// What the folder of a pattern may hold, matching or not: 512 MiB in 50,000 entries.
const FOLDER: Bounds = Bounds {
    bytes: 512 << 20,
    entries: 50_000,
};
/// Bytes of all files that are read of an attempt.
const ALL_BYTES: usize = 4 * MAX_BYTES;

/// The name at the end of a pattern, and the format of what it matches.
type Name<'a> = (TestFormat, &'a str);

/// Fetches the files, keeps them beside the artifacts and tells of the cases in them.
pub(super) async fn gather(
    context: &UnitContext,
    container: &str,
    harvest: &Harvest,
) -> Result<(), Trouble> {
    // A folder is fetched once, for all patterns in it.
    let mut folders: BTreeMap<&str, Vec<Name<'_>>> = BTreeMap::new();
    for (format, pattern) in harvest.test_results() {
        let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        folders.entry(folder).or_default().push((format, name));
    }
    let kept = kept(context);
    let mut reading = Reading::default();
    for (number, (folder, names)) in folders.into_iter().enumerate() {
        let to = kept.join(number.to_string());
        let files = fetch(context, container, folder, &names, &to).await?;
        for (format, name) in names {
            let found = files.iter().filter(|file| matches(name, file));
            let found: Vec<&String> = found.collect();
            if found.is_empty() {
                context.warn(
                    format!("no file matches {folder}/{name}: the step left no test results there"),
                    Some("check the pattern, and where the tests write their results".to_owned()),
                );
            }
            for file in found {
                let shown = format!("{folder}/{file}");
                reading.read(context, format, shown, to.join(file)).await?;
            }
        }
    }
    reading.tell(context);
    Ok(())
}

/// Where the files of this attempt are kept: under the name that its artifacts have.
fn kept(context: &UnitContext) -> PathBuf {
    let attempt = context.artifacts.file_name().map(PathBuf::from);
    context
        .run_folder
        .join("results")
        .join(attempt.unwrap_or_default())
}

/// Fetches the files of a folder that match a pattern. Gives their names, sorted.
async fn fetch(
    context: &UnitContext,
    container: &str,
    folder: &str,
    names: &[Name<'_>],
    to: &Path,
) -> Result<Vec<String>, Trouble> {
    let what = format!("the test results in {folder}/ could not be fetched");
    // Without a wildcard there is no need for the whole folder.
    let single = match names {
        [(_, name)] if !name.contains(['*', '?']) => Some(*name),
        _ => None,
    };
    let path = single.map_or_else(|| format!("{folder}/"), |name| format!("{folder}/{name}"));
    let Some(archive) = download(context, container, &path, &what).await? else {
        return Ok(Vec::new());
    };
    let patterns: Vec<String> = names.iter().map(|(_, name)| (*name).to_owned()).collect();
    let wanted = move |path: &Path| {
        let name = path.to_str().filter(|_| path.components().count() == 1);
        name.is_some_and(|name| patterns.iter().any(|pattern| matches(pattern, name)))
    };
    let wanted = Wanted::Matching(Box::new(wanted));
    let taken = unpack(context, archive, to, FOLDER, &what, wanted).await?;
    if let Some(cut) = &taken.cut {
        let hint = "name a smaller folder".to_owned();
        context.warn(format!("{path} was not read whole: {cut}"), Some(hint));
    }
    say_what_was_masked(context, &path, &taken);
    let mut files: Vec<String> = taken
        .files
        .iter()
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    files.sort();
    Ok(files)
}

/// What was read of the files so far.
#[derive(Default)]
struct Reading {
    cases: Vec<TestCase>,
    bytes: usize,
    /// Files that were not read since there was enough.
    left_out: usize,
    cut: bool,
}

impl Reading {
    async fn read(
        &mut self,
        context: &UnitContext,
        format: TestFormat,
        shown: String,
        at: PathBuf,
    ) -> Result<(), Trouble> {
        if self.cut || self.bytes >= ALL_BYTES {
            self.left_out += 1;
            return Ok(());
        }
        let trouble = |error: std::io::Error| {
            Trouble::new("test results cannot be read").cause(error.to_string())
        };
        let name = shown.clone();
        let read = tokio::task::spawn_blocking(move || {
            let length = std::fs::metadata(&at)?.len();
            if length > MAX_BYTES as u64 {
                let most = MAX_BYTES >> 20;
                return Ok((0, Err(format!("{name} is longer than {most} MiB"))));
            }
            let content = std::fs::read(&at)?;
            let cases = format.read(&name, &content);
            let cases = cases.map_err(|unreadable| unreadable.to_string());
            Ok((content.len(), cases))
        });
        let read = read.await.map_err(std::io::Error::other).map_err(trouble)?;
        let (bytes, cases) = read.map_err(trouble)?;
        self.bytes += bytes;
        match cases {
            Ok(mut cases) => {
                let room = MAX_CASES - self.cases.len();
                self.cut = cases.len() > room;
                cases.truncate(room);
                self.cases.append(&mut cases);
            }
            Err(why) => context.warn(format!("test results cannot be read: {why}"), None),
        }
        Ok(())
    }

    fn tell(self, context: &UnitContext) {
        if self.cut {
            let message =
                format!("there are more than {MAX_CASES} test cases; the rest is left out");
            context.warn(message, None);
        } else if self.left_out > 0 {
            let most = ALL_BYTES >> 20;
            let message = format!(
                "there are more than {most} MiB of test results; {} files were not read",
                self.left_out
            );
            context.warn(message, Some("name fewer files".to_owned()));
        }
        if !self.cases.is_empty() {
            context.events.send(EventKind::TestsFound {
                step: context.id(),
                attempt: context.attempt,
                cases: self.cases,
            });
        }
    }
}
