//! What the fake engine has, looked up as an engine does: by ID or by name.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::image::ImageIdentity;

use super::container::FakeContainer;
use super::{Program, State};
use crate::backend::{BackendError, BackendErrorKind as Kind, ContainerSpec};

impl State {
    pub(super) fn names_of(&self, id: &str) -> Vec<String> {
        let names = self.names.iter().filter(|(_, image)| *image == id);
        names.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn image(&self, reference: &str) -> Option<ImageIdentity> {
        let id = self.names.get(reference).map_or(reference, String::as_str);
        self.images.get(id).cloned()
    }

    /// A container by ID or name.
    pub(super) fn find(&mut self, id: &str) -> Option<&mut FakeContainer> {
        let mut all = self.containers.values_mut();
        all.find(|container| container.id == id || container.name == id)
    }

    /// What a running container was made with, and what it does.
    pub(super) fn running(&mut self, id: &str) -> Result<(ContainerSpec, Program), BackendError> {
        let container = self.find(id).ok_or_else(|| missing("container", id))?;
        if container.status != "running" {
            let message = format!("container {id} is not running");
            return Err(BackendError::new(Kind::Conflict, message));
        }
        Ok((container.spec.clone(), container.program.clone()))
    }

    /// What an engine stops it by: an image of the fake names no signal.
    pub(super) fn stop_signal(&mut self, id: &str) -> String {
        let signal = self.find(id).and_then(|it| it.spec.stop_signal.clone());
        signal.unwrap_or_else(|| "15".to_owned())
    }

    /// Empties the volumes in memory that no container runs with.
    pub(super) fn forget_memory(&mut self) {
        let running = self.containers.values();
        let running = running.filter(|container| container.status == "running");
        let mounts = running.flat_map(|container| &container.spec.mounts);
        let held: BTreeSet<&String> = mounts.map(|mount| &mount.volume).collect();
        let in_memory = &self.in_memory;
        self.contents
            .retain(|volume, _| held.contains(volume) || !in_memory.contains(volume));
    }

    /// Puts what lies in a container's mounts into their volumes.
    pub(super) fn fill_volumes(
        &mut self,
        id: &str,
        folder: &str,
        files: &BTreeMap<String, Vec<u8>>,
    ) {
        let Some(container) = self.containers.get(id) else {
            return;
        };
        for (path, content) in files {
            let path = format!("{}/{path}", folder.trim_end_matches('/'));
            for mount in &container.spec.mounts {
                if let Some(inside) = path.strip_prefix(&format!("{}/", mount.target)) {
                    let volume = self.contents.entry(mount.volume.clone()).or_default();
                    volume.insert(inside.to_owned(), content.clone());
                }
            }
        }
    }

    /// A container's files by their path, those in volumes too; a mount is a folder.
    pub(super) fn files_of(&self, id: &str) -> BTreeMap<String, Vec<u8>> {
        let Some(container) = self.containers.get(id) else {
            return BTreeMap::new();
        };
        let mut files = container.program.files.clone();
        for mount in &container.spec.mounts {
            files.insert(format!("{}/", mount.target), Vec::new());
            for (path, content) in self.contents.get(&mount.volume).into_iter().flatten() {
                files.insert(format!("{}/{path}", mount.target), content.clone());
            }
        }
        files
    }

    pub(super) fn id_of(&mut self, id: &str) -> Result<String, BackendError> {
        let found = self.find(id).map(|container| container.id.clone());
        found.ok_or_else(|| missing("container", id))
    }
}

pub(super) fn missing(what: &str, name: &str) -> BackendError {
    BackendError::new(Kind::NotFound, format!("no such {what}: {name}"))
}
