//! Secrets that are kept in memory and never on the engine's disk. Their volume is empty again once
//! the last container that uses it has ended: whoever starts one holds the volume meanwhile, by a
//! container that only waits, and fills it where it is empty. What the engine starts again by itself
//! finds it empty; that cannot be mended from here.

use hoist_model::reason::Trouble;
use uuid::Uuid;

use super::bare::{discard, waiting};
use super::secrets;
use crate::backend::{Backend, BackendError, ContainerInfo, Input, Labels};
use crate::labels;
use crate::secrets::Secrets;
use crate::vault;
use crate::walk::Owner;
use crate::walk::entries::tar_of;

/// A volume with secrets in memory, as a container that has it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// The engine's name of the volume.
    pub(crate) volume: String,
    pub(crate) names: Vec<String>,
    pub(crate) owner: Owner,
}

/// A container that holds such a volume.
pub(crate) struct Held(String);

/// Why a volume has no secrets.
pub(crate) enum Empty {
    /// They are gone, and these have no value here.
    Unknown(Vec<String>),
    /// The engine would not.
    Engine(BackendError),
}

impl Memory {
    /// What a container's label and mounts say; `None` where its secrets are on disk.
    pub(crate) fn read(info: &ContainerInfo) -> Option<Self> {
        let text = info.labels.get(labels::SECRETS_IN_MEMORY)?;
        let (owner, names) = text.split_once(' ')?;
        let mut mounts = info.mounts.iter();
        let mount = mounts.find(|mount| mount.target == vault::FOLDER)?;
        Some(Self {
            volume: mount.volume.clone(),
            names: names.split(',').map(str::to_owned).collect(),
            owner: read_owner(owner)?,
        })
    }

    /// What the label of a container is to say.
    pub(crate) fn label(&self) -> String {
        let Owner { uid, gid, for_all } = self.owner;
        let owner = match for_all {
            true => "all".to_owned(),
            false => format!("{uid}:{gid}"),
        };
        format!("{owner} {}", self.names.join(","))
    }

    /// Holds the volume, so that what is in it stays, whoever ends.
    pub(crate) async fn hold(
        &self,
        backend: &dyn Backend,
        image: &str,
        labels: &Labels,
    ) -> Result<Held, BackendError> {
        let name = format!("{}-{}", self.volume, Uuid::now_v7().simple());
        let mut spec = waiting(&name, image, labels.clone(), Input::Open);
        // An engine puts no files into a container that cannot be written to.
        spec.security.read_only = false;
        spec.mounts = vec![secrets::mount(&self.volume, false)];
        let held = Held(name);
        let started = async {
            let id = backend.create_container(&spec).await?;
            backend.start_container(&id).await
        };
        match started.await {
            Ok(()) => Ok(held),
            Err(error) => {
                let _ = held.let_go(backend).await;
                Err(error)
            }
        }
    }

    /// Sees to it that the secrets are in a volume that is held: with the values that are known now,
    /// where those that were in it are gone.
    pub(crate) async fn fill(
        &self,
        backend: &dyn Backend,
        held: &Held,
        values: &Secrets,
    ) -> Result<(), Empty> {
        let found = secrets::names(backend, &held.0).await;
        let found = found.map_err(Empty::Engine)?;
        if self.names.iter().all(|name| found.contains(name)) {
            return Ok(());
        }
        let unknown = self.names.iter().filter(|name| values.get(name).is_none());
        let unknown: Vec<String> = unknown.cloned().collect();
        let Ok(entries) = vault::entries(values, &self.names, self.owner) else {
            return Err(Empty::Unknown(unknown));
        };
        let filled = backend.upload(&held.0, "/", tar_of(entries)).await;
        filled.map_err(Empty::Engine)
    }
}

impl Held {
    /// Lets go of the volume.
    pub(crate) async fn let_go(&self, backend: &dyn Backend) -> Result<(), BackendError> {
        discard(backend, &self.0).await
    }
}

/// What is said of a service whose secrets are gone.
pub(crate) fn lost(service: &str, unknown: &[String]) -> Trouble {
    let names = unknown.join(", ");
    Trouble::new(format!("the secrets of {service} are gone from memory"))
        .cause(format!(
            "they cannot be written again: {names} has no value here"
        ))
        .hint("see where [secrets] in pipeline.toml takes it from; `hoist run` deploys anew")
}

fn read_owner(text: &str) -> Option<Owner> {
    if text == "all" {
        return Some(Owner {
            for_all: true,
            ..Owner::ROOT
        });
    }
    let (uid, gid) = text.split_once(':')?;
    Some(Owner {
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        for_all: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Mount;

    #[test]
    fn a_label_is_read_as_it_was_written() {
        let one = Owner {
            uid: 1000,
            gid: 20,
            for_all: false,
        };
        let all = Owner {
            for_all: true,
            ..Owner::ROOT
        };
        for owner in [one, all] {
            let memory = Memory {
                volume: "v".to_owned(),
                names: vec!["a".to_owned(), "b".to_owned()],
                owner,
            };
            let info = |label: String| ContainerInfo {
                labels: [(labels::SECRETS_IN_MEMORY.to_owned(), label)].into(),
                mounts: vec![Mount {
                    volume: "v".to_owned(),
                    target: vault::FOLDER.to_owned(),
                    read_only: true,
                    populate: false,
                }],
                ..ContainerInfo::default()
            };
            assert_eq!(Memory::read(&info(memory.label())), Some(memory));
            for odd in ["", "all", "1 a", "x:y a"] {
                assert_eq!(Memory::read(&info(odd.to_owned())), None, "{odd}");
            }
        }
    }
}
