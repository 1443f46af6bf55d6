//! A step's own volumes, for what its container cannot be given itself: what is mounted read-only,
//! and what a read-only root keeps out. They are filled through a loader: a container of the same
//! image that is never started.

use hoist_model::unit::{ContainerUnit, ImageArchive, SourceCopy};

use super::inputs::Ready;
use super::{Names, bare, send};
use crate::backend::Mount;
use crate::context::UnitContext;
use crate::images::Resolved;
use crate::unit::container::Litter;
use crate::unit::halt::Halt;
use crate::vault;
use crate::walk::Owner;
use crate::walk::entries::{Entry, tar_of};

/// A step's volumes, and the loader's name.
pub(super) struct Volumes {
    all: Vec<Volume>,
    loader: String,
}

/// A volume of the step's own.
struct Volume {
    mount: Mount,
    filling: Filling,
}

/// What goes into a volume before the start.
enum Filling {
    /// Nothing: a folder that the step may write to.
    Folder,
    /// What comes later, when its owner is known and the source is there.
    Inputs,
    Source(SourceCopy),
    Secrets,
    Archive(ImageArchive),
}

impl Volumes {
    /// Makes the volumes that a step needs, empty, and the loader where there are any.
    pub(super) async fn make(
        context: &UnitContext,
        unit: &ContainerUnit,
        image: &Resolved,
        (inputs, kept): (&[Ready], &[Mount]),
        names: &Names,
        litter: &Litter,
    ) -> Result<Self, Halt> {
        let all = wanted(unit, inputs, kept, names);
        let loader = names.of("loader");
        let kept = kept.iter().filter(|_| unit.security.read_only);
        if all.is_empty() && kept.clone().next().is_none() {
            return Ok(Self { all, loader });
        }
        let backend = context.backend.as_ref();
        for volume in &all {
            let name = &volume.mount.volume;
            litter.volume(name);
            let made = backend.create_volume(name, &names.labels).await;
            made.map_err(|error| Halt::surroundings("a volume could not be created", &error))?;
        }
        litter.container(&loader);
        let mut spec = bare(loader.clone(), &image.image.id, names.labels.clone());
        let mounts = all.iter().map(|volume| Mount {
            read_only: false,
            ..volume.mount.clone()
        });
        let kept = kept.map(|mount| Mount {
            read_only: false,
            ..mount.clone()
        });
        spec.mounts = mounts.chain(kept).collect();
        let created = backend.create_container(&spec).await;
        created.map_err(|error| Halt::surroundings("a container could not be created", &error))?;
        Ok(Self { all, loader })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The container through which they are filled.
    pub(super) fn loader(&self) -> &str {
        &self.loader
    }

    /// The source goes into one of them.
    pub(super) fn hold_source(&self) -> bool {
        self.all
            .iter()
            .any(|volume| matches!(volume.filling, Filling::Source(_)))
    }

    /// Where the step's container has them.
    pub(super) fn mounts(&self) -> impl Iterator<Item = Mount> {
        self.all.iter().map(|volume| volume.mount.clone())
    }

    /// Fills them.
    pub(super) async fn fill(
        &self,
        context: &UnitContext,
        unit: &ContainerUnit,
        owner: Owner,
    ) -> Result<(), Halt> {
        // One upload for what is small; folders come before what is in them.
        let mut entries = Vec::new();
        for volume in &self.all {
            match &volume.filling {
                Filling::Folder => entries.push(Entry::folder(&volume.mount.target, owner)),
                Filling::Secrets => {
                    let secrets = vault::entries(&context.secrets, &unit.secrets, owner);
                    entries.extend(secrets.map_err(Halt::configuration)?);
                }
                Filling::Inputs | Filling::Source(_) | Filling::Archive(_) => {}
            }
        }
        if !entries.is_empty() {
            let what = "the volumes could not be filled";
            send::upload(context, &self.loader, tar_of(entries), what).await?;
        }
        for volume in &self.all {
            match &volume.filling {
                Filling::Source(source) => {
                    send::source(context, source, owner, &self.loader).await?;
                }
                Filling::Archive(archive) => {
                    send::archive(context, archive, owner, &self.loader).await?;
                }
                Filling::Folder | Filling::Inputs | Filling::Secrets => {}
            }
        }
        Ok(())
    }
}

/// The volumes that a step needs: for secrets, for an image's archive, for the folder of a report,
/// and, as nothing can be put into a read-only root, for the source, inputs and what is fetched.
fn wanted(unit: &ContainerUnit, inputs: &[Ready], kept: &[Mount], names: &Names) -> Vec<Volume> {
    let volume = |what: &str, target: &str, read_only, filling| Volume {
        mount: Mount {
            volume: names.of(what),
            target: target.to_owned(),
            read_only,
            populate: false,
        },
        filling,
    };
    let mut volumes = Vec::new();
    if !unit.secrets.is_empty() {
        volumes.push(volume("secrets", vault::FOLDER, true, Filling::Secrets));
    }
    if let Some(archive) = &unit.image_archive {
        let filling = Filling::Archive(archive.clone());
        volumes.push(volume("image", &archive.folder, true, filling));
    }
    let mut covered: Vec<String> = unit
        .tmpfs
        .iter()
        .map(|tmpfs| &tmpfs.target)
        .chain(kept.iter().map(|mount| &mount.target))
        .cloned()
        .collect();
    if let Some(source) = unit.source.as_ref().filter(|_| unit.security.read_only) {
        covered.push(source.target.clone());
        volumes.push(volume(
            "source",
            &source.target,
            false,
            Filling::Source(source.clone()),
        ));
    }
    for input in inputs.iter().filter(|_| unit.security.read_only) {
        let folder = input.folder();
        if !covered.iter().any(|above| is_in(folder, above)) {
            let what = format!("input-{}", covered.len());
            let mut volume = volume(&what, folder, false, Filling::Inputs);
            // What the image has there stays, as it would without `read_only`.
            volume.mount.populate = true;
            volumes.push(volume);
            covered.push(folder.to_owned());
        }
    }
    for folder in written(unit) {
        if !covered.iter().any(|above| is_in(&folder, above)) {
            let what = format!("output-{}", covered.len());
            volumes.push(volume(&what, &folder, false, Filling::Folder));
            covered.push(folder);
        }
    }
    volumes
}

/// The folders that the step's user must be able to write to, shortest first: that of the report,
/// and with a read-only root those of all that is fetched. The root is none of them.
fn written(unit: &ContainerUnit) -> Vec<String> {
    let harvest = &unit.harvest;
    let parent = |path: &String| path.rsplit_once('/').map(|(parent, _)| parent.to_owned());
    let results = harvest.test_results().map(|(_, pattern)| pattern);
    let fetched = harvest
        .paths
        .values()
        .chain(results)
        .chain(&harvest.outputs);
    let mut folders: Vec<String> = fetched
        .filter(|_| unit.security.read_only)
        .chain(&harvest.report)
        .filter_map(parent)
        .filter(|folder| !folder.is_empty())
        .collect();
    folders.sort_by_key(|folder| folder.matches('/').count());
    folders
}

fn is_in(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::is_in;

    #[test]
    fn folders_are_in_themselves_and_above() {
        assert!(is_in("/a/b", "/a"));
        assert!(is_in("/a", "/a/"));
        assert!(!is_in("/ab", "/a"));
    }
}
