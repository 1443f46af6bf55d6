//! Data of a tool that is kept between runs in a volume of hoist's own, such as a scanner's
//! database. A volume is filled once, marked when it is whole, and never written to again; newer
//! data goes into another. Runs that come at once share what is there, and only one of them fills.
//! Nothing that is not whole is ever given to a step.

mod folder;
mod update;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hoist_model::ignore::IgnoreFile;
use hoist_model::reason::Trouble;
use hoist_model::unit::{ContainerUnit, ToolData, ToolDataSource};
use tokio::time::Instant;

use crate::backend::{
    Backend, BackendError, BackendErrorKind, ContextFolder, Labels, Mount, VolumeInfo,
};
use crate::context::UnitContext;
use crate::labels;
use crate::unit::container::{Litter, bare};
use crate::unit::halt::{Halt, unless_stopped};
use crate::walk::Owner;
use crate::walk::entries::{Content, Entry, tar_of};

/// The file that says that a volume is whole.
const MARKER: &str = ".hoist-complete";
/// Between two looks at what another run does.
const PAUSE: Duration = Duration::from_millis(500);
/// How long another run may take to fill a volume.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// A volume that is whole.
struct Ready {
    volume: String,
    /// A container that keeps it in use until the step's own does.
    holder: String,
}

/// Updates that failed in this run: they are not tried again.
#[derive(Debug, Default)]
pub(crate) struct Updates(Mutex<BTreeMap<String, Trouble>>);

impl Updates {
    fn failure(&self, name: &str) -> Option<Trouble> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    fn fail(&self, name: &str, failure: Trouble) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), failure);
    }
}

/// What is common to the work on one tool's data for one step.
struct Work<'a> {
    context: &'a UnitContext,
    unit: &'a ContainerUnit,
    data: &'a ToolData,
    /// The image of the step, by the engine's ID.
    image: &'a str,
    /// For containers; they go with the run.
    labels: &'a Labels,
    /// What the names of this step's containers begin with.
    prefix: String,
}

/// Provides the volume with a tool's data and gives its name. Noted litter keeps it in use.
pub(crate) async fn ready(
    context: &UnitContext,
    unit: &ContainerUnit,
    data: &ToolData,
    image: &str,
    (prefix, labels): (String, &Labels),
    litter: &Litter,
) -> Result<String, Halt> {
    let work = Work {
        context,
        unit,
        data,
        image,
        labels,
        prefix,
    };
    let ready = match &data.source {
        ToolDataSource::Folder(folder) => folder::ready(&work, folder, litter).await?,
        ToolDataSource::Update {
            command,
            environment,
        } => update::ready(&work, command, environment, litter).await?,
    };
    Ok(ready.volume)
}

/// The data of a folder of this machine.
pub(crate) fn folder(context: &UnitContext, folder: &str) -> ContextFolder {
    ContextFolder::new(context.root.join(folder), IgnoreFile::default())
}

/// What identifies the data that a tool would be given now; `None` where it would be brought up to
/// date first.
pub(crate) async fn current(
    context: &UnitContext,
    data: &ToolData,
) -> Result<Option<String>, Halt> {
    match &data.source {
        ToolDataSource::Folder(_) => Ok(None),
        ToolDataSource::Update {
            command,
            environment,
        } => update::current(context, data, command, environment).await,
    }
}

impl Work<'_> {
    fn backend(&self) -> &dyn Backend {
        self.context.backend.as_ref()
    }

    fn failed(&self) -> String {
        format!("{} could not be provided", self.data.title)
    }

    fn kept_labels(&self) -> Labels {
        Labels::from([(labels::KEPT.to_owned(), self.data.name.clone())])
    }

    /// Makes the volume, unless it is there, and a container that keeps it in use and through which
    /// it can be looked into.
    async fn hold(&self, volume: &str, litter: &Litter) -> Result<String, Halt> {
        let error = |error| Halt::surroundings(self.failed(), &error);
        self.backend()
            .create_volume(volume, &self.kept_labels())
            .await
            .map_err(error)?;
        let holder = format!("{}-{volume}", self.prefix);
        litter.container(&holder);
        let mut spec = bare(holder.clone(), self.image, self.labels.clone());
        spec.mounts.push(self.mount(volume));
        self.backend()
            .create_container(&spec)
            .await
            .map_err(error)?;
        Ok(holder)
    }

    fn mount(&self, volume: &str) -> Mount {
        Mount {
            volume: volume.to_owned(),
            target: self.data.target.clone(),
            read_only: false,
            populate: false,
        }
    }

    /// The volume that a container holds is whole.
    async fn is_whole(&self, container: &str) -> Result<bool, Halt> {
        let marker = format!("{}/{MARKER}", self.data.target.trim_end_matches('/'));
        match self.backend().download(container, &marker).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == BackendErrorKind::NotFound => Ok(false),
            Err(error) => Err(Halt::surroundings(self.failed(), &error)),
        }
    }

    /// Says that the volume which a container holds is whole.
    async fn mark(&self, container: &str) -> Result<(), Halt> {
        let entry = Entry {
            path: format!("{}/{MARKER}", self.data.target.trim_end_matches('/')),
            owner: Owner::ROOT,
            mode: 0o444,
            content: Content::Bytes(b"Filled by hoist.\n".to_vec()),
        };
        let marked = self
            .backend()
            .upload(container, "/", tar_of(vec![entry]))
            .await;
        marked.map_err(|error| Halt::surroundings(self.failed(), &error))
    }

    /// Volumes of the tool whose names begin so.
    async fn volumes(&self, prefix: &str) -> Result<Vec<VolumeInfo>, BackendError> {
        volumes(self.backend(), self.data, prefix).await
    }

    /// Removes the other volumes whose names begin so, unless someone uses them.
    async fn remove_others(&self, prefix: &str, current: &str) {
        for volume in self.volumes(prefix).await.unwrap_or_default() {
            if volume.name != current {
                // In use, or gone by now: either is as it should be.
                let _ = self.backend().remove_volume(&volume.name).await;
            }
        }
    }

    async fn is_made(&self, made: Option<&str>) -> Result<bool, Halt> {
        match made {
            Some(holder) => self.is_whole(holder).await,
            None => Ok(false),
        }
    }

    /// Waits until a container whose name is a lock is gone, or what `made` mounts is whole. An
    /// asynchronous closure would say it more freely, but a future that calls one is not `Send`.
    async fn wait_for(&self, lock: &str, made: Option<&str>) -> Result<(), Halt> {
        self.context.phase(format!(
            "waiting for another run to provide {}",
            self.data.title
        ));
        let deadline = Instant::now() + PATIENCE;
        let gone = |error| Halt::surroundings(self.failed(), &error);
        loop {
            if self
                .backend()
                .inspect_container(lock)
                .await
                .map_err(gone)?
                .is_none()
                || self.is_made(made).await?
            {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let trouble = Trouble::new(self.failed())
                    .cause(format!(
                        "another run has been at it for {} minutes",
                        PATIENCE.as_secs() / 60
                    ))
                    .hint(format!(
                        "if no other run is under way, remove the container {lock}"
                    ));
                return Err(Halt::trouble(trouble));
            }
            let pause = async {
                tokio::time::sleep(PAUSE).await;
                Ok::<(), Halt>(())
            };
            unless_stopped(self.context, pause).await?;
        }
    }
}

async fn volumes(
    backend: &dyn Backend,
    data: &ToolData,
    prefix: &str,
) -> Result<Vec<VolumeInfo>, BackendError> {
    let filter = [(labels::KEPT, Some(data.name.as_str()))];
    let mut volumes = backend.list_volumes(&filter).await?;
    volumes.retain(|volume| volume.name.starts_with(prefix));
    Ok(volumes)
}

#[cfg(test)]
mod tests;
