//! What earlier steps left, on its way into a container that has not started. It gives what the run
//! folder keeps and nothing else; what a step did not leave is the end of whoever needs it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hoist_model::event::EventKind;
use hoist_model::ignore::IgnoreFile;
use hoist_model::reason::Trouble;
use hoist_model::results::{Artifact, GivenInput};
use hoist_model::unit::{ContainerUnit, Input};

use super::send::upload;
use crate::context::UnitContext;
use crate::images::Resolved;
use crate::unit::halt::Halt;
use crate::walk::entries::{Content, Entry, tar_of};
use crate::walk::{Owner, Tally, TarOptions, tar_stream};

/// An input that is there and has its place.
pub(super) struct Ready {
    given: GivenInput,
    /// It on this machine.
    at: PathBuf,
    is_folder: bool,
}

impl Ready {
    /// The folder of the container that it goes into.
    pub(super) fn folder(&self) -> &str {
        let target = self.given.target.as_str();
        match target.rsplit_once('/') {
            Some((parent, _)) if !self.is_folder => parent,
            _ => target,
        }
    }
}

/// The step's inputs, each after the folder that it may lie in.
pub(super) async fn of(
    context: &UnitContext,
    unit: &ContainerUnit,
    image: &Resolved,
) -> Result<Vec<Ready>, Halt> {
    let mut inputs = Vec::new();
    let mut working_dir = None;
    for input in &unit.inputs {
        let mut target = input.target.clone();
        if !target.starts_with('/') {
            let base = match working_dir.take() {
                Some(base) => base,
                None => image_folder(context, image).await?,
            };
            target = format!("{}/{target}", base.trim_end_matches('/'));
            working_dir = Some(base);
        }
        inputs.push(ready(context, input, target)?);
    }
    Ok(inputs)
}

async fn image_folder(context: &UnitContext, image: &Resolved) -> Result<String, Halt> {
    let folder = context.backend.image_working_dir(&image.image.id).await;
    folder.map_err(|error| Halt::surroundings("the image cannot be looked at", &error))
}

/// What an input is made of.
///
/// # Errors
/// When the step did not leave it.
pub(crate) fn kept(context: &UnitContext, input: &Input) -> Result<Artifact, Halt> {
    let Input { step, artifact, .. } = input;
    let made = context.made.get(step);
    let kept = made.and_then(|mut made| made.artifacts.remove(artifact));
    kept.ok_or_else(|| {
        let what = format!("there is no artifact `{artifact}` of the step `{step}`");
        let trouble = Trouble::new(what)
            .cause("the step left nothing at its path in this run")
            .hint("see its `artifacts.paths`, and what its command writes");
        Halt::configuration(trouble)
    })
}

fn ready(context: &UnitContext, input: &Input, target: String) -> Result<Ready, Halt> {
    let kept = kept(context, input)?;
    let at = context.run_folder.join(&kept.path);
    let is_folder = at.is_dir();
    let target = match target.strip_suffix('/') {
        None => target,
        Some(folder) if is_folder => folder.strip_suffix("/.").unwrap_or(folder).to_owned(),
        Some(folder) => {
            let folder = folder.strip_suffix("/.").unwrap_or(folder);
            let name = at.file_name().unwrap_or_default().to_string_lossy();
            format!("{folder}/{name}")
        }
    };
    Ok(Ready {
        given: GivenInput {
            target,
            from: input.step.clone(),
            artifact: kept,
        },
        at,
        is_folder,
    })
}

/// Puts an input into a container. Like the copy of the project it belongs to the step's user.
pub(super) async fn send(
    context: &UnitContext,
    unit: &ContainerUnit,
    input: &Ready,
    owner: Owner,
    container: &str,
) -> Result<(), Halt> {
    let GivenInput {
        target,
        from,
        artifact,
    } = &input.given;
    let what = format!(
        "the artifact `{}` of {from} could not be given",
        artifact.name
    );
    context.phase(format!("copying {} of {from}", artifact.name));
    let parents = parents(context, unit, input, owner);
    if !parents.is_empty() {
        upload(context, container, tar_of(parents), &what).await?;
    }
    let (tar, tally) = if input.is_folder {
        let tally = Tally::default();
        let options = TarOptions {
            prefix: format!("{}/", target.trim_matches('/')),
            owner,
            tally: tally.clone(),
            ..TarOptions::default()
        };
        let all = Arc::new(IgnoreFile::default());
        (tar_stream(&input.at, all, options), Some(tally))
    } else {
        let entry = file(&input.at, target, owner);
        let entry = entry.map_err(|error| {
            Halt::trouble(Trouble::new(&what).cause(format!("{}: {error}", input.at.display())))
        })?;
        (tar_of(vec![entry]), None)
    };
    let sent = upload(context, container, tar, &what).await;
    match (sent, tally.and_then(|tally| tally.failure())) {
        (Err(Halt::Stopped), _) => return Err(Halt::Stopped),
        (_, Some(failure)) => return Err(Halt::trouble(failure)),
        (sent, None) => sent?,
    }
    context.events.send(EventKind::InputGiven {
        step: context.id(),
        input: input.given.clone(),
    });
    Ok(())
}

fn file(at: &Path, target: &str, owner: Owner) -> std::io::Result<Entry> {
    let file = std::fs::File::open(at)?;
    let meta = file.metadata()?;
    Ok(Entry {
        path: target.to_owned(),
        owner,
        mode: owner.mode(meta.permissions().mode() & 0o777),
        content: Content::File(file, meta.len()),
    })
}

/// Folders above the input in the copy of the project, as the copy has them or would: those that only
/// the input brings, the engine would make the superuser's.
fn parents(context: &UnitContext, unit: &ContainerUnit, input: &Ready, owner: Owner) -> Vec<Entry> {
    let Some(source) = &unit.source else {
        return Vec::new();
    };
    let target = Path::new(&input.given.target);
    let above = target.ancestors().skip(1);
    let mut parents: Vec<Entry> = above
        .filter_map(|folder| {
            let inside = folder.strip_prefix(&source.target).ok()?;
            inside.components().next()?;
            let entry = Entry::folder(&folder.to_string_lossy(), owner);
            // It may be there and left out of the copy.
            let there = std::fs::symlink_metadata(context.root.join(inside));
            let there = there.ok().filter(std::fs::Metadata::is_dir);
            let mode = there.map(|there| owner.mode(there.permissions().mode() & 0o7777));
            Some(Entry {
                mode: mode.unwrap_or(entry.mode),
                ..entry
            })
        })
        .collect();
    parents.reverse();
    parents
}
