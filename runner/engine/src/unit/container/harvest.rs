//! What a step leaves: artifacts, test results, a report. It is fetched from the ended container,
//! whether the step did well or not. Nothing found there is trusted, see [`crate::archive`].

mod outputs;
mod results;

use std::path::Path;

use hoist_model::event::EventKind;
use hoist_model::ids::StepId;
use hoist_model::reason::Trouble;
use hoist_model::results::Artifact;
use hoist_model::unit::ContainerUnit;

use crate::archive::{self, Bounds, Unpacked, Wanted};
use crate::artifacts;
use crate::backend::{BackendErrorKind, ByteStream};
use crate::context::UnitContext;
use crate::unit::halt::Halt;

/// What one artifact may hold: 8 GiB in 200,000 entries.
const ARTIFACT: Bounds = Bounds {
    bytes: 8 << 30,
    entries: 200_000,
};
/// How many links may lead from an artifact's path to what is kept.
const HOPS: usize = 8;
/// Bytes of the largest report that is read.
const REPORT: u64 = 512 << 20;

/// Fetches artifacts and test results and says what there is.
///
/// # Errors
/// When something was left that cannot be kept. What else was left is kept nevertheless.
pub(super) async fn gather(
    context: &UnitContext,
    unit: &ContainerUnit,
    container: &str,
) -> Result<(), Halt> {
    let harvest = &unit.harvest;
    // What counts is what the last attempt left.
    context.made.keep_nothing(&context.id());
    let is_empty = harvest.paths.is_empty() && harvest.outputs.is_none();
    if is_empty && harvest.test_results().next().is_none() {
        return Ok(());
    }
    context.phase("fetching results");
    let mut gathered = Ok(());
    for (name, path) in &harvest.paths {
        gathered = gathered.and(artifact(context, container, name, path).await);
    }
    if let Some(path) = &harvest.outputs {
        let outputs = outputs::gather(context, container, path).await;
        gathered = gathered.and(outputs.map_err(Halt::trouble));
    }
    let results = results::gather(context, container, harvest).await;
    gathered.and(results.map_err(Halt::trouble))
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
) -> Result<(), Halt> {
    let what = format!("the artifact `{name}` could not be kept");
    let to = context.artifacts.join(StepId::from(name).slug());
    let fetched = fetch(context, container, path, &to, &what).await;
    let Some((found, taken)) = fetched.map_err(Halt::trouble)? else {
        context.warn(
            format!("the artifact `{name}` is missing: the step left no {path}"),
            Some("a path on a tmpfs cannot be fetched".to_owned()),
        );
        return Ok(());
    };
    let of = format!("the artifact `{name}`");
    if let Some(cut) = taken.cut {
        // A part of it would be taken for the whole.
        let _ = tokio::fs::remove_dir_all(&to).await;
        let trouble = Trouble::new(format!("{of} is too large to be kept"));
        let trouble = trouble.cause(format!("{path}: {cut}"));
        return Err(Halt::configuration(trouble.hint("name a smaller folder")));
    }
    if !taken.left_out.is_empty() {
        let hint = "plain files and folders are kept, and copies of what links in it lead to in it";
        let message = format!("{of} was not taken whole: {}", taken.left_out.join(", "));
        context.warn(message, Some(hint.to_owned()));
    }
    say_what_was_masked(context, &of, &taken);
    let lost = |error: std::io::Error| {
        let trouble = Trouble::new(what.clone());
        Halt::trouble(trouble.cause(format!("{}: {error}", to.display())))
    };
    // A single file is shown by its own path.
    let kept = match taken.files.as_slice() {
        [file] if !taken.folder => {
            let from = to.join(file);
            match Path::new(path).file_name() {
                // What a link led to has the link's name.
                Some(name) if found != path => {
                    let kept = to.join(name);
                    let renamed = tokio::fs::rename(from, &kept).await;
                    renamed.map(|()| kept).map_err(lost)?
                }
                _ => from,
            }
        }
        _ => to.clone(),
    };
    let digest = artifacts::digest(kept.clone()).await.map_err(lost)?;
    let relative = kept.strip_prefix(&context.run_folder).unwrap_or(&kept);
    let artifact = Artifact {
        name: name.to_owned(),
        path: relative.to_string_lossy().into_owned(),
        files: u64::try_from(taken.files.len()).unwrap_or(u64::MAX),
        bytes: taken.bytes,
        digest,
    };
    context.made.keep(&context.id(), artifact.clone());
    context.events.send(EventKind::ArtifactKept {
        step: context.id(),
        artifact,
    });
    Ok(())
}

/// Unpacks what is at a path of the container, or where a link there leads, and says where that is;
/// `None` if there is nothing.
async fn fetch(
    context: &UnitContext,
    container: &str,
    path: &str,
    to: &Path,
    what: &str,
) -> Result<Option<(String, Unpacked)>, Trouble> {
    let mut at = path.to_owned();
    for _ in 0..=HOPS {
        let Some(archive) = download(context, container, &at, what).await? else {
            return Ok(None);
        };
        let wanted = Wanted::Whole { of: at.clone() };
        let taken = unpack(context, archive, to, ARTIFACT, what, wanted).await?;
        let Some(target) = &taken.link else {
            return Ok(Some((at, taken)));
        };
        let folder = Path::new(&at).parent().unwrap_or(Path::new("/"));
        at = folder.join(target).to_string_lossy().into_owned();
    }
    let cause = format!("{path} is a link that leads on and on");
    Err(Trouble::new(what).cause(cause))
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
    wanted: Wanted,
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

fn say_what_was_masked(context: &UnitContext, of: &str, taken: &Unpacked) {
    if taken.masked > 0 {
        let message = format!(
            "{of} held secrets: they were masked in {} files",
            taken.masked
        );
        context.warn(message, None);
    }
}
