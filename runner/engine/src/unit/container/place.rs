//! Where a step runs: its container, created and filled but not started. What it may do is written
//! here once; nothing here can ask for more than the plan says.

mod inputs;
mod send;
mod volumes;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::BoxStream;
use hoist_model::ids::{RunId, StepId};
use hoist_model::reason::Trouble;
use hoist_model::unit::{ContainerUnit, Healthcheck, Limits, Network, Restart, Security};

use super::litter::Litter;
use super::user::{self, User};
use crate::backend::{
    Attachment, BackendError, BackendErrorKind, Chunk, ContainerSpec, Input, Labels, Logs, Mount,
};
use crate::context::UnitContext;
use crate::images::{self, Resolved};
use crate::unit::halt::Halt;
use crate::unit::names::distinct;
use crate::walk::entries::{Entry, tar_of};
use crate::{caches, labels, tool_data};
pub(crate) use inputs::kept;
pub(crate) use send::{folder, leads_out};
use volumes::Volumes;

/// A container that is ready to start.
pub(crate) struct Place {
    /// Its ID.
    pub(crate) container: String,
    /// Everything that it will print.
    pub(crate) output: BoxStream<'static, Result<Chunk, BackendError>>,
    /// Between the stop signal and the kill.
    pub(crate) grace: Duration,
    /// Its settings, where it can be looked into afterwards.
    pub(crate) spec: Option<Box<ContainerSpec>>,
}

/// What is common to the objects of one step.
pub(super) struct Names {
    prefix: String,
    pub(super) labels: Labels,
}

impl Names {
    /// Of this step.
    pub(super) fn new(context: &UnitContext) -> Self {
        let step = context.id();
        let mut labels = context.labels.clone();
        labels.insert(labels::STEP.to_owned(), step.to_string());
        Self {
            prefix: object_prefix(context.run, &step, context.attempt),
            labels,
        }
    }

    /// The name of one of its objects.
    pub(super) fn of(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }
}

/// What the names of a step's objects begin with. A run's ID begins with its time; its end is what
/// tells it from others. No attempt may find what an earlier one could not remove.
fn object_prefix(run: RunId, step: &StepId, attempt: u32) -> String {
    let run = run.0.simple().to_string();
    let run = run.get(24..).unwrap_or(&run);
    let slug: String = step.slug().chars().take(60).collect();
    let name = distinct(slug.trim_end_matches(['-', '.']), step.as_str());
    match attempt {
        0 | 1 => format!("hoist-{run}-{name}"),
        // No step's name ends so: one with a dot in it was told apart.
        later => format!("hoist-{run}-{name}.{later}"),
    }
}

/// Makes the container of a step, with all that it needs in it.
pub(super) async fn make(
    context: &UnitContext,
    unit: &ContainerUnit,
    image: &Resolved,
    names: &Names,
    network: Attachment,
    litter: &Litter,
) -> Result<Place, Halt> {
    let backend = context.backend.as_ref();
    let mut spec = spec(context, unit, image, names)?;
    spec.local_names = matches!(network, Attachment::Networks(_)) && unit.network == Network::None;
    spec.network = network;
    if let Some(data) = &unit.tool_data {
        let named = (names.prefix.clone(), &names.labels);
        let ready = tool_data::ready(context, unit, data, &image.image.id, named, litter).await?;
        spec.mounts.push(Mount {
            volume: ready,
            target: data.target.clone(),
            read_only: true,
            populate: false,
        });
    }
    let inputs = inputs::of(context, unit, image).await?;
    let mut kept = Vec::new();
    for volume in &unit.volumes {
        kept.push(caches::ready(context, volume).await?);
    }
    let volumes = Volumes::make(context, unit, image, (&inputs, &kept), names, litter).await?;
    spec.mounts.extend(volumes.mounts());
    spec.mounts.extend(kept.iter().cloned());
    // Whoever runs the step is to write to them.
    kept.retain(|mount| !mount.read_only);
    let direct = unit.source.as_ref().filter(|_| !volumes.hold_source());
    let is_empty = volumes.is_empty() && direct.is_none() && inputs.is_empty() && kept.is_empty();

    let made = made_ahead(context, &mut spec, litter).await;
    if made.is_none() {
        litter.container(&spec.name);
    }
    let asked = async {
        if is_empty {
            return Ok(None);
        }
        User::of(backend, unit, &image.image.id).await
    };
    let created = async {
        match made {
            Some(id) => Ok(id),
            None => create(context, &mut spec, litter).await,
        }
    };
    let (created, user) = tokio::join!(created, asked);
    let (container, user) = (created?, user?);
    let attached = async {
        let output = backend.attach(&container).await;
        output.map_err(|error| Halt::surroundings("the step's output cannot be read", &error))
    };
    let filled = async {
        if is_empty {
            return Ok(());
        }
        let owner = user::owner(backend, user.as_ref(), &container).await?;
        volumes.fill(context, unit, owner).await?;
        if let Some(source) = direct {
            send::source(context, source, owner, &container).await?;
        }
        // Nothing can be put into a read-only root; there all of them go to volumes.
        let to = match unit.security.read_only {
            true => volumes.loader(),
            false => &container,
        };
        if !kept.is_empty() {
            let folders = kept.iter();
            let folders = folders.map(|mount| Entry::folder(&mount.target, owner));
            let what = "the caches could not be provided";
            send::upload(context, to, tar_of(folders.collect()), what).await?;
        }
        for input in &inputs {
            inputs::send(context, unit, input, owner, to).await?;
        }
        Ok(())
    };
    let (output, ()) = tokio::try_join!(attached, filled)?;
    Ok(Place {
        container,
        output,
        grace: unit.stop.grace,
        spec: Some(Box::new(spec)),
    })
}

/// The container that was made ahead, if it is the one that is wanted.
async fn made_ahead(
    context: &UnitContext,
    spec: &mut ContainerSpec,
    litter: &Litter,
) -> Option<String> {
    let made = context.ahead.as_ref()?.take().await?;
    litter.container(&made.spec.name);
    let wanted = ContainerSpec {
        name: made.spec.name.clone(),
        ..spec.clone()
    };
    if wanted != made.spec {
        return None;
    }
    *spec = wanted;
    Some(made.id)
}

/// Creates a container of the step. Its name may be taken by what someone else put there.
pub(super) async fn create(
    context: &UnitContext,
    spec: &mut ContainerSpec,
    litter: &Litter,
) -> Result<String, Halt> {
    let name = spec.name.clone();
    for number in 2..10 {
        match context.backend.create_container(spec).await {
            Ok(id) => return Ok(id),
            Err(error) if error.kind == BackendErrorKind::Conflict => {
                // Whose it is, is not known: it stays.
                litter.forget_container(&spec.name);
                spec.name = format!("{name}-{number}");
                litter.container(&spec.name);
            }
            Err(error) => {
                return Err(Halt::surroundings(
                    "the container could not be created",
                    &error,
                ));
            }
        }
    }
    let trouble = Trouble::new("the container could not be created");
    Err(Halt::trouble(
        trouble.cause(format!("{name} and names like it are taken")),
    ))
}

pub(super) fn spec(
    context: &UnitContext,
    unit: &ContainerUnit,
    image: &Resolved,
    names: &Names,
) -> Result<ContainerSpec, Halt> {
    let mut environment = BTreeMap::from([("CI".to_owned(), "true".to_owned())]);
    for (name, value) in &unit.environment {
        environment.insert(name.clone(), images::text(context, value)?);
    }
    let source = unit.source.as_ref().map(|source| source.target.clone());
    Ok(ContainerSpec {
        name: names.prefix.clone(),
        command: Some(unit.command.argv()),
        environment,
        working_dir: unit.working_dir.clone().or(source),
        user: unit.user.clone(),
        security: unit.security.clone(),
        limits: unit.limits.clone(),
        tmpfs: unit.tmpfs.clone(),
        stop_grace_period: Some(unit.stop.grace),
        stop_signal: unit.stop.signal.clone(),
        ..bare(names.prefix.clone(), &image.image.id, names.labels.clone())
    })
}

/// A container of an image that does nothing and has no way out.
pub(crate) fn bare(name: String, image: &str, labels: Labels) -> ContainerSpec {
    ContainerSpec {
        name,
        image: image.to_owned(),
        entrypoint: Some(Vec::new()),
        command: Some(vec!["true".to_owned()]),
        environment: BTreeMap::new(),
        working_dir: None,
        user: None,
        labels,
        network: Attachment::None,
        local_names: false,
        security: Security::default(),
        limits: Limits::SEALED,
        tmpfs: Vec::new(),
        mounts: Vec::new(),
        ports: Vec::new(),
        // What the image says of its health is for services.
        healthcheck: Some(Healthcheck {
            test: vec!["NONE".to_owned()],
            interval: None,
            timeout: None,
            retries: None,
            start_period: None,
            start_interval: None,
        }),
        restart: Restart::No,
        logs: Logs::Discard,
        stop_grace_period: None,
        stop_signal: None,
        input: Input::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_tell_runs_and_steps_apart() {
        let run = |text: &str| RunId(text.parse().unwrap());
        let one = run("0197f3a0-0000-7000-8000-0123456789ab");
        let two = run("0197f3a0-0000-7000-8000-0123ffffffff");
        let prefix = |run, step: &str, attempt| object_prefix(run, &step.into(), attempt);
        assert_eq!(prefix(one, "unit", 1), "hoist-456789ab-unit");
        assert_eq!(prefix(one, "unit", 2), "hoist-456789ab-unit.2");
        assert_ne!(prefix(one, "unit", 1), prefix(two, "unit", 1));
        let cell = prefix(one, "unit[python=3.12]", 1);
        assert!(
            cell.starts_with("hoist-456789ab-unit-python-3.12-"),
            "{cell}"
        );
        assert_ne!(cell, prefix(one, "unit[python-3.12]", 1));
        let long = "x".repeat(60);
        let (a, b) = (format!("{long}-a"), format!("{long}-b"));
        assert_ne!(prefix(one, &a, 1), prefix(one, &b, 1));
        assert_eq!(prefix(one, &long, 1), format!("hoist-456789ab-{long}"));
    }
}
