//! An image from a Dockerfile: what the builder is asked for, and what it made of it. It refuses to
//! begin with files that are not in the project.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hoist_model::event::EventKind;
use hoist_model::ids::StepId;
use hoist_model::image::ImageIdentity;
use hoist_model::plan::PlannedStep;
use hoist_model::reason::{Ending, FailureReason, Trouble};
use hoist_model::text::StepValue;
use hoist_model::unit::{BuildUnit, DockerfileSource};

use super::halt::{self, Halt, unless_stopped};
use super::progress;
use super::tags::{Borrowed, base_name};
use crate::backend::{BuildError, BuildRequest, ContextFolder};
use crate::context::UnitContext;
use crate::images;
use crate::walk::{IgnoreSource, rules};

/// Executes the unit.
pub async fn execute(context: &UnitContext, step: &PlannedStep, unit: &BuildUnit) -> Ending {
    let mut bases = BTreeMap::new();
    let result = attempt(context, step, unit, &mut bases).await;
    for (_, base) in bases {
        base.give_back(context).await;
    }
    halt::ending(result)
}

async fn attempt(
    context: &UnitContext,
    step: &PlannedStep,
    unit: &BuildUnit,
    bases: &mut BTreeMap<StepId, Borrowed>,
) -> Result<Ending, Halt> {
    let places = Places::find(&context.root, unit).map_err(Halt::configuration)?;
    let ignore = IgnoreSource::FirstOf(vec![
        format!("{}.dockerignore", unit.dockerfile.shown()),
        joined(&unit.context, ".dockerignore"),
    ]);
    let ignore = rules(
        &context.root,
        &unit.context,
        &ignore,
        &context.plan.never_sent,
    );
    let ignore = ignore.map_err(Halt::configuration)?;
    let mut tags = Vec::new();
    for tag in &unit.tags {
        tags.push(images::text(context, tag)?);
    }
    let args = args(context, step, unit, bases).await?;
    let request = BuildRequest {
        shared_key: format!("{}/{}", context.root.display(), unit.context),
        context: ContextFolder {
            path: places.context,
            ignore: Arc::new(ignore),
        },
        dockerfile: places.dockerfile,
        dockerfile_shown: unit.dockerfile.shown().to_owned(),
        target: unit.target.clone(),
        args,
        tags,
        labels: unit.labels.clone(),
        pull: unit.pull,
        no_cache: unit.no_cache,
        network: unit.network,
        logins: context.logins.as_ref().clone(),
        ..BuildRequest::default()
    };
    context.phase("building");
    let build = progress::forward(context, |progress| {
        context.backend.build_image(request, progress)
    });
    // Dropping a build stops it on the engine.
    let made = unless_stopped(context, async { build.await.map_err(failed) }).await?;
    built(context, step, made.image);
    Ok(Ending::Passed)
}

fn built(context: &UnitContext, step: &PlannedStep, image: ImageIdentity) {
    context.made.image(&step.id, image.clone());
    context.events.send(EventKind::ImageBuilt {
        step: step.id.clone(),
        image,
    });
}

fn failed(error: BuildError) -> Halt {
    match error {
        BuildError::Failed {
            message,
            instruction,
        } => FailureReason::Build {
            message,
            instruction,
        }
        .into(),
        BuildError::Context(trouble) => Halt::configuration(trouble),
        BuildError::Backend(error) => Halt::surroundings("the image could not be built", &error),
    }
}

/// Build arguments. A reference to a step's image becomes a name that the image has for the time of
/// the build.
async fn args(
    context: &UnitContext,
    step: &PlannedStep,
    unit: &BuildUnit,
    bases: &mut BTreeMap<StepId, Borrowed>,
) -> Result<BTreeMap<String, String>, Halt> {
    let referred: BTreeSet<&StepId> = unit
        .args
        .values()
        .flat_map(|text| text.references())
        .filter(|(_, value)| *value == StepValue::Image)
        .map(|(base, _)| base)
        .collect();
    if unit.pull
        && let Some(base) = referred.first()
    {
        let trouble = Trouble::new("`pull` cannot be had here")
            .cause(format!(
                "the build stands on the image of the step `{base}`, which is in no registry"
            ))
            .hint("set `pull` on that step instead");
        return Err(Halt::configuration(trouble));
    }
    for base in referred {
        let Some(image) = context.made.get(base).and_then(|made| made.image) else {
            continue;
        };
        let name = name_of(context, step, base);
        let borrowed = Borrowed::borrow(context, &image.id, &name).await;
        let borrowed = borrowed.map_err(|error| {
            Halt::surroundings(
                format!("the image of {base} could not be given a name"),
                &error,
            )
        })?;
        bases.insert(base.clone(), borrowed);
    }
    let mut args = BTreeMap::new();
    for (name, text) in &unit.args {
        let value = text.resolve(|base, value| match value {
            StepValue::Image => bases
                .contains_key(base)
                .then(|| name_of(context, step, base)),
            StepValue::Digest => context.made.get(base)?.digest,
        });
        let value = value.ok_or_else(|| {
            let trouble = Trouble::new(format!("the build argument `{name}` cannot be resolved"));
            Halt::configuration(
                trouble.cause(format!("`{text}`: that step made nothing in this run")),
            )
        })?;
        args.insert(name.clone(), value);
    }
    Ok(args)
}

fn name_of(context: &UnitContext, step: &PlannedStep, base: &StepId) -> String {
    base_name(
        &context.plan.name,
        context.run,
        base.as_str(),
        step.id.as_str(),
    )
}

/// Where a build's files are, links followed.
struct Places {
    context: PathBuf,
    /// The Dockerfile's text.
    dockerfile: String,
}

impl Places {
    fn find(root: &Path, unit: &BuildUnit) -> Result<Self, Trouble> {
        let context = inside(root, &unit.context, "the build context")?;
        if !context.is_dir() {
            return Err(Trouble::new(format!(
                "the build context `{}` is no folder",
                unit.context
            )));
        }
        let dockerfile = match &unit.dockerfile {
            DockerfileSource::Inline(text) => text.clone(),
            DockerfileSource::File(path) => read(root, path)?,
        };
        Ok(Self {
            context,
            dockerfile,
        })
    }
}

fn read(root: &Path, path: &str) -> Result<String, Trouble> {
    let file = inside(root, path, "the Dockerfile")?;
    if !file.is_file() {
        return Err(Trouble::new(format!("the Dockerfile `{path}` is no file")));
    }
    let unreadable = |error: io::Error| {
        Trouble::new(format!("{path} cannot be read"))
            .cause(error.to_string())
            .hint("name another with the key `dockerfile`, or create it")
    };
    let bytes = std::fs::read(&file).map_err(unreadable)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A path of the project as it really is.
fn inside(root: &Path, path: &str, what: &str) -> Result<PathBuf, Trouble> {
    let unreadable = |error: io::Error| {
        Trouble::new(format!("{what} `{path}` cannot be read")).cause(error.to_string())
    };
    let real = match root.join(path).canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Trouble::new(format!("{what} `{path}` is not there"))
                .cause(format!("it was looked for in {}", root.display()))
                .hint("create it, or name another in pipeline.toml"));
        }
        Err(error) => return Err(unreadable(error)),
    };
    let root = root.canonicalize().map_err(unreadable)?;
    if real.starts_with(&root) {
        return Ok(real);
    }
    Err(
        Trouble::new(format!("{what} `{path}` leads out of the project"))
            .cause(format!("it is {}", real.display()))
            .hint("only what is below the folder of pipeline.toml can be used"),
    )
}

/// A path below a folder of the project.
fn joined(folder: &str, name: &str) -> String {
    match folder.trim_end_matches('/') {
        "" | "." => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

#[cfg(test)]
mod tests;
