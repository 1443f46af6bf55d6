//! From a unit to what the builder is asked for: places found, rules read, texts resolved, values of
//! secrets at hand. It asks nothing of the engine, and refuses whatever is not in the project.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use hoist_model::ids::StepId;
use hoist_model::reason::Trouble;
use hoist_model::text::{StepValue, Text};
use hoist_model::unit::{BuildCache, BuildUnit, DockerfileSource};

use crate::backend::{BuildRequest, CacheSpec, ContextFolder};
use crate::context::UnitContext;
use crate::images;
use crate::unit::halt::Halt;
use crate::uploads::Uploads;
use crate::walk::{IgnoreSource, rules};

/// The request for one platform, but for the build arguments, which [`args`] gives.
pub(super) fn request(
    context: &UnitContext,
    unit: &BuildUnit,
    platform: Option<&str>,
) -> Result<BuildRequest, Halt> {
    let never = &context.plan.never_sent;
    let (folder, contexts) = folders(&context.root, never, unit).map_err(Halt::configuration)?;
    let mut tags = Vec::new();
    for tag in &unit.tags {
        tags.push(images::text(context, tag)?);
    }
    Ok(BuildRequest {
        shared_key: format!("{}/{}", context.root.display(), unit.context),
        context: folder,
        contexts,
        dockerfile: dockerfile(&context.root, unit).map_err(Halt::configuration)?,
        dockerfile_shown: unit.dockerfile.shown().to_owned(),
        target: unit.target.clone(),
        args: BTreeMap::new(),
        tags,
        labels: unit.labels.clone(),
        secrets: secrets(context, unit)?,
        ssh: unit
            .ssh
            .iter()
            .map(|(id, socket)| (id.clone(), PathBuf::from(socket)))
            .collect(),
        cache_from: caches(context, &unit.cache_from)?,
        cache_to: caches(context, &unit.cache_to)?,
        pull: unit.pull,
        no_cache: unit.no_cache,
        no_cache_filter: unit.no_cache_filter.clone(),
        network: unit.network,
        platform: platform.map(str::to_owned),
        shm_size: unit.shm_size,
        extra_hosts: unit.extra_hosts.clone(),
        ulimits: unit.ulimits.clone(),
        source_date_epoch: unit.source_date_epoch,
        logins: context.logins.as_ref().clone(),
        uploads: Uploads::default(),
    })
}

/// Build arguments, each reference to a step's image replaced by what `image` gives for it.
pub(super) fn args(
    context: &UnitContext,
    unit: &BuildUnit,
    image: impl Fn(&StepId) -> Option<String>,
) -> Result<BTreeMap<String, String>, Halt> {
    let mut args = BTreeMap::new();
    for (name, text) in &unit.args {
        let value = text.resolve(|step, value| match value {
            StepValue::Image => image(step),
            value => context.made.value(step, value),
        });
        let value = value.ok_or_else(|| Halt::configuration(context.made.missing(text)))?;
        args.insert(name.clone(), value);
    }
    Ok(args)
}

/// The steps on whose images the build may stand. What is in no registry cannot be pulled.
pub(super) fn bases(unit: &BuildUnit) -> Result<BTreeSet<&StepId>, Halt> {
    let referred: BTreeSet<&StepId> = unit
        .args
        .values()
        .flat_map(Text::references)
        .filter(|(_, value)| **value == StepValue::Image)
        .map(|(base, _)| base)
        .collect();
    match referred.first() {
        Some(base) if unit.pull => {
            let trouble = Trouble::new("`pull` cannot be had here")
                .cause(format!(
                    "the build stands on the image of the step `{base}`, which is in no registry"
                ))
                .hint("set `pull` on that step instead");
            Err(Halt::configuration(trouble))
        }
        _ => Ok(referred),
    }
}

fn secrets(
    context: &UnitContext,
    unit: &BuildUnit,
) -> Result<BTreeMap<String, secrecy::SecretString>, Halt> {
    let value = |name: &String| {
        let value = context.secrets.get(name).cloned().ok_or_else(|| {
            Halt::configuration(
                Trouble::new(format!("the secret `{name}` has no value"))
                    .hint("name its source in [secrets]"),
            )
        })?;
        Ok((name.clone(), value))
    };
    unit.secrets.iter().map(value).collect()
}

fn caches(context: &UnitContext, caches: &[BuildCache]) -> Result<Vec<CacheSpec>, Halt> {
    let resolved = |cache: &BuildCache| {
        let mut attributes = BTreeMap::new();
        for (name, text) in &cache.attributes {
            attributes.insert(name.clone(), images::text(context, text)?);
        }
        Ok(CacheSpec {
            kind: cache.kind.clone(),
            attributes,
        })
    };
    caches.iter().map(resolved).collect()
}

/// The ignore files of a build's own context: the Dockerfile's comes before the folder's.
fn own_rules(unit: &BuildUnit) -> Vec<String> {
    let folder = joined(&unit.context, ".dockerignore");
    match &unit.dockerfile {
        DockerfileSource::File(path) => vec![format!("{path}.dockerignore"), folder],
        DockerfileSource::Inline(_) => vec![folder],
    }
}

/// The folders that a build may read: its context, and the further ones by their names.
///
/// # Errors
/// When one is not in the project, or its ignore file cannot be used.
pub(crate) fn folders(
    root: &Path,
    never: &[String],
    unit: &BuildUnit,
) -> Result<(ContextFolder, BTreeMap<String, ContextFolder>), Trouble> {
    let what = "the build context";
    let context = folder(root, never, &unit.context, what, own_rules(unit))?;
    let mut contexts = BTreeMap::new();
    for (name, path) in &unit.contexts {
        let what = format!("the context `{name}`");
        let ignore = vec![joined(path, ".dockerignore")];
        contexts.insert(name.clone(), folder(root, never, path, &what, ignore)?);
    }
    Ok((context, contexts))
}

fn folder(
    root: &Path,
    never: &[String],
    path: &str,
    what: &str,
    ignore: Vec<String>,
) -> Result<ContextFolder, Trouble> {
    let found = inside(root, path, what)?;
    if !found.is_dir() {
        return Err(Trouble::new(format!("{what} `{path}` is no folder")));
    }
    let ignore = rules(root, path, &IgnoreSource::FirstOf(ignore), never)?;
    Ok(ContextFolder::new(found, ignore))
}

/// The Dockerfile's text.
fn dockerfile(root: &Path, unit: &BuildUnit) -> Result<String, Trouble> {
    let path = match &unit.dockerfile {
        DockerfileSource::Inline(text) => return Ok(text.clone()),
        DockerfileSource::File(path) => path,
    };
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
