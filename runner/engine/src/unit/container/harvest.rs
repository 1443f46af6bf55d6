//! What a step leaves: artifacts, JUnit files, a report. It is fetched from the ended container,
//! whether the step did well or not. Nothing found there is trusted, see [`crate::archive`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hoist_model::event::EventKind;
use hoist_model::ids::StepId;
use hoist_model::reason::Trouble;
use hoist_model::results::{Artifact, TestCase, junit};
use hoist_model::unit::ContainerUnit;

use crate::archive::{self, Bounds, Unpacked};
use crate::backend::{BackendErrorKind, ByteStream};
use crate::context::UnitContext;

/// What one artifact may hold: 8 GiB in 200,000 entries.
const ARTIFACT: Bounds = Bounds {
    bytes: 8 << 30,
    entries: 200_000,
};
/// What the folder of a JUnit pattern may hold, matching or not: 512 MiB in 50,000 entries.
const JUNIT: Bounds = Bounds {
    bytes: 512 << 20,
    entries: 50_000,
};
/// Bytes of the largest JUnit file that is read.
const JUNIT_FILE: u64 = 64 << 20;
/// Bytes of the largest report that is read.
const REPORT: u64 = 512 << 20;

/// Fetches artifacts and test results and says what there is.
pub(super) async fn gather(
    context: &UnitContext,
    unit: &ContainerUnit,
    container: &str,
) -> Result<(), Trouble> {
    let harvest = &unit.harvest;
    if harvest.paths.is_empty() && harvest.junit.is_empty() {
        return Ok(());
    }
    context.phase("fetching results");
    for (name, path) in &harvest.paths {
        artifact(context, container, name, path).await?;
    }
    if !harvest.junit.is_empty() {
        tests(context, container, &harvest.junit).await?;
    }
    Ok(())
}

/// Fetches the report that the step kind reads itself.
pub(super) async fn report(
    context: &UnitContext,
    unit: &ContainerUnit,
    container: &str,
) -> Result<Option<Vec<u8>>, Trouble> {
    let Some(path) = &unit.harvest.report else {
        return Ok(None);
    };
    let what = "the report could not be fetched";
    let Some(archive) = download(context, container, path, what).await? else {
        return Ok(None);
    };
    let read = archive::first_file(archive, REPORT).await;
    read.map_err(|error| error.trouble(what))
}

async fn artifact(
    context: &UnitContext,
    container: &str,
    name: &str,
    path: &str,
) -> Result<(), Trouble> {
    let what = format!("the artifact `{name}` could not be kept");
    let Some(archive) = download(context, container, path, &what).await? else {
        context.warn(
            format!("the artifact `{name}` is missing: the step left no {path}"),
            Some("a path on a tmpfs cannot be fetched".to_owned()),
        );
        return Ok(());
    };
    let to = context.artifacts.join(StepId::from(name).slug());
    let taken = unpack(context, archive, &to, ARTIFACT, &what, |_| true).await?;
    let of = format!("the artifact `{name}`");
    if !taken.left_out.is_empty() {
        let hint = "only plain files and folders are taken".to_owned();
        let message = format!("{of} was not taken whole: {}", taken.left_out.join(", "));
        context.warn(message, Some(hint));
    }
    say_what_changed(context, &of, &taken);
    // A single file is shown by its own path.
    let kept = match taken.files.as_slice() {
        [file] if !path.ends_with('/') && file.components().count() == 1 => to.join(file),
        _ => to,
    };
    let relative = kept.strip_prefix(&context.run_folder).unwrap_or(&kept);
    let artifact = Artifact {
        name: name.to_owned(),
        path: relative.to_string_lossy().into_owned(),
        files: u64::try_from(taken.files.len()).unwrap_or(u64::MAX),
        bytes: taken.bytes,
    };
    context.events.send(EventKind::ArtifactKept {
        step: context.id(),
        artifact,
    });
    Ok(())
}

/// Fetches JUnit files, keeps them beside the artifacts and reads them.
async fn tests(context: &UnitContext, container: &str, patterns: &[String]) -> Result<(), Trouble> {
    // A folder is fetched once, for all patterns in it.
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for pattern in patterns {
        let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        folders.entry(folder).or_default().push(name);
    }
    let step = context
        .artifacts
        .file_name()
        .map(PathBuf::from)
        .unwrap_or_default();
    let kept = context.run_folder.join("junit").join(step);
    let mut cases = Vec::new();
    for (number, (folder, names)) in folders.into_iter().enumerate() {
        let to = kept.join(number.to_string());
        let files = junit_files(context, container, folder, &names, &to).await?;
        for name in names {
            if !files.iter().any(|file| matches(name, file)) {
                context.warn(
                    format!("no file matches {folder}/{name}: the step left no test results there"),
                    Some("check the pattern, and where the tests write their results".to_owned()),
                );
            }
        }
        for file in files {
            cases.extend(read(context, folder, &file, &to.join(&file)).await?);
        }
    }
    if !cases.is_empty() {
        context.events.send(EventKind::TestsFound {
            step: context.id(),
            attempt: 1,
            cases,
        });
    }
    Ok(())
}

/// Fetches the files of a folder that match a pattern. Gives their names, sorted.
async fn junit_files(
    context: &UnitContext,
    container: &str,
    folder: &str,
    names: &[&str],
    to: &Path,
) -> Result<Vec<String>, Trouble> {
    let what = format!("the test results in {folder}/ could not be fetched");
    // Without a wildcard there is no need for the whole folder.
    let single = match names {
        [name] if !name.contains(['*', '?']) => Some(*name),
        _ => None,
    };
    let path = single.map_or_else(|| format!("{folder}/"), |name| format!("{folder}/{name}"));
    let Some(archive) = download(context, container, &path, &what).await? else {
        return Ok(Vec::new());
    };
    let patterns: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let wanted = move |path: &Path| {
        let name = path.to_str().filter(|_| path.components().count() == 1);
        name.is_some_and(|name| patterns.iter().any(|pattern| matches(pattern, name)))
    };
    let taken = unpack(context, archive, to, JUNIT, &what, wanted).await?;
    say_what_changed(context, &path, &taken);
    let mut files: Vec<String> = taken
        .files
        .iter()
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    files.sort();
    Ok(files)
}

async fn read(
    context: &UnitContext,
    folder: &str,
    file: &str,
    at: &Path,
) -> Result<Vec<TestCase>, Trouble> {
    let shown = format!("{folder}/{file}");
    let at = at.to_owned();
    let content = tokio::task::spawn_blocking(move || {
        let length = std::fs::metadata(&at)?.len();
        if length > JUNIT_FILE {
            Ok(None)
        } else {
            std::fs::read(&at).map(Some)
        }
    });
    let content = content
        .await
        .map_err(std::io::Error::other)
        .and_then(|read| read);
    let content = content.map_err(|error| {
        Trouble::new(format!("{shown} cannot be read")).cause(error.to_string())
    })?;
    let read = match content {
        Some(content) => junit::read(&shown, &content).map_err(|unreadable| unreadable.to_string()),
        None => Err(format!("{shown} is longer than {} MiB", JUNIT_FILE >> 20)),
    };
    Ok(read.unwrap_or_else(|why| {
        context.warn(format!("test results cannot be read: {why}"), None);
        Vec::new()
    }))
}

/// An archive of a path in the container; `None` if it is not there.
async fn download(
    context: &UnitContext,
    container: &str,
    path: &str,
    what: &str,
) -> Result<Option<ByteStream>, Trouble> {
    match context.backend.download(container, path).await {
        Ok(archive) => Ok(Some(archive)),
        Err(error) if error.kind == BackendErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.trouble(what)),
    }
}

async fn unpack(
    context: &UnitContext,
    archive: ByteStream,
    to: &Path,
    bounds: Bounds,
    what: &str,
    wanted: impl Fn(&Path) -> bool + Send + 'static,
) -> Result<Unpacked, Trouble> {
    // An attempt before this one may have left something.
    match tokio::fs::remove_dir_all(to).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let trouble = Trouble::new(what).cause(format!("{}: {error}", to.display()));
            return Err(trouble);
        }
        _ => {}
    }
    let redactor = context.secrets.redactor();
    let taken = archive::unpack(archive, to.to_owned(), bounds, redactor, wanted).await;
    taken.map_err(|error| error.trouble(what))
}

fn say_what_changed(context: &UnitContext, of: &str, taken: &Unpacked) {
    if let Some(cut) = &taken.cut {
        let hint = "name a smaller folder".to_owned();
        context.warn(format!("{of} was not taken whole: {cut}"), Some(hint));
    }
    if taken.masked > 0 {
        let message = format!(
            "{of} held secrets: they were masked in {} files",
            taken.masked
        );
        context.warn(message, None);
    }
}

/// A name matches a pattern in which `*` stands for any text and `?` for one character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Where to go on if it does not match: after the last star, with one character more in it.
    let mut retry = None;
    while let Some(have) = name.get(at) {
        match pattern.get(of) {
            Some('*') => {
                retry = Some((of, at));
                of += 1;
            }
            Some(want) if *want == '?' || want == have => {
                at += 1;
                of += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (of, at) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(of).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests_of_patterns {
    use super::matches;

    #[test]
    fn stars_and_question_marks_match() {
        for (pattern, name) in [
            ("*.xml", "a.xml"),
            ("*.xml", ".xml"),
            ("TEST-*.xml", "TEST-a.b.xml"),
            ("*a*b", "xaab"),
            ("?.xml", "ü.xml"),
            ("a", "a"),
            ("**", "anything"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.xml", "a.xml.bak"),
            ("?.xml", ".xml"),
            ("a", "ab"),
            ("", "a"),
            ("*a*b", "xba"),
            ("[a]", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&"*a".repeat(100), &"ab".repeat(99)));
        assert!(matches(&"*a".repeat(100), &"ba".repeat(1000)));
    }
}
