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

use crate::archive::{self, Bounds, Unpacked};
use crate::artifacts;
use crate::backend::{BackendErrorKind, ByteStream};
use crate::context::UnitContext;

/// What one artifact may hold: 8 GiB in 200,000 entries.
const ARTIFACT: Bounds = Bounds {
    bytes: 8 << 30,
    entries: 200_000,
};
/// Bytes of the largest report that is read.
const REPORT: u64 = 512 << 20;

/// Fetches artifacts and test results and says what there is.
pub(super) async fn gather(
    context: &UnitContext,
    unit: &ContainerUnit,
    container: &str,
) -> Result<(), Trouble> {
    let harvest = &unit.harvest;
    // What counts is what the last attempt left.
    context.made.keep_nothing(&context.id());
    let is_empty = harvest.paths.is_empty() && harvest.outputs.is_none();
    if is_empty && harvest.test_results().next().is_none() {
        return Ok(());
    }
    context.phase("fetching results");
    for (name, path) in &harvest.paths {
        artifact(context, container, name, path).await?;
    }
    if let Some(path) = &harvest.outputs {
        outputs::gather(context, container, path).await?;
    }
    results::gather(context, container, harvest).await
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
        [file] if !taken.folder => to.join(file),
        _ => to,
    };
    let digest = artifacts::digest(kept.clone()).await;
    let digest = digest.map_err(|error| Trouble::new(what).cause(error.to_string()))?;
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
