//! Where a step runs: its container, created and filled but not started, with its volumes. What a
//! container cannot be given itself (a read-only root, read-only mounts) is put into volumes through
//! a loader: a container of the same image that is never started.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use hoist_model::ids::{RunId, StepId};
use hoist_model::reason::Trouble;
use hoist_model::unit::{
    ContainerUnit, Healthcheck, ImageArchive, Limits, Restart, Security, SourceCopy,
};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use super::litter::Litter;
use super::user::{self, User};
use crate::backend::{
    Attachment, BackendError, BackendErrorKind, ByteStream, Chunk, ContainerSpec, Labels, Logs,
    Mount,
};
use crate::context::UnitContext;
use crate::images::{self, Resolved};
use crate::unit::halt::{Halt, unless_stopped};
use crate::walk::entries::{Content, Entry, tar_of};
use crate::walk::{self, IgnoreSource, Owner, Tally, TarOptions, tar_stream};
use crate::{labels, tool_data, vault};

/// A container that is ready to start.
pub(crate) struct Place {
    /// Its ID.
    pub(crate) container: String,
    /// Everything that it will print.
    pub(crate) output: BoxStream<'static, Result<Chunk, BackendError>>,
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
    Source(SourceCopy),
    Secrets,
    Archive(ImageArchive),
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
            prefix: object_prefix(context.run, &step),
            labels,
        }
    }

    /// The name of one of its objects.
    pub(super) fn of(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }
}

/// What the names of a step's objects begin with. A run's ID begins with its time; its end is what
/// tells it from others.
fn object_prefix(run: RunId, step: &StepId) -> String {
    let run = run.0.simple().to_string();
    let run = run.get(24..).unwrap_or(&run).to_owned();
    let slug: String = step.slug().chars().take(60).collect();
    format!("hoist-{run}-{}", slug.trim_end_matches(['-', '.']))
}

/// Makes the container of a step, with all that it needs in it.
pub(super) async fn make(
    context: &UnitContext,
    unit: &ContainerUnit,
    image: &Resolved,
    names: &Names,
    litter: &mut Litter,
) -> Result<Place, Halt> {
    let backend = context.backend.as_ref();
    let mut spec = spec(context, unit, image, names)?;
    let volumes = volumes(unit, names);
    let in_volume = |source: &SourceCopy| volumes.iter().any(|v| v.mount.target == source.target);
    let direct = unit.source.as_ref().filter(|source| !in_volume(source));

    let mut holder = None;
    if let Some(data) = &unit.tool_data {
        let named = (names.prefix.clone(), &names.labels);
        let ready = tool_data::ready(context, unit, data, &image.image.id, named, litter).await?;
        spec.mounts.push(Mount {
            volume: ready.volume,
            target: data.target.clone(),
            read_only: true,
        });
        holder = Some(ready.holder);
    }
    let mut loader = None;
    let mut owner = None;
    if !volumes.is_empty() {
        let made = load(context, unit, image, names, &volumes, litter).await?;
        loader = Some(made.0);
        owner = Some(made.1);
        spec.mounts
            .extend(volumes.into_iter().map(|volume| volume.mount));
    }

    litter.container(&spec.name);
    let asked = async {
        match (direct, owner) {
            (Some(_), None) => User::of(backend, unit, &image.image.id).await.map(Some),
            _ => Ok(None),
        }
    };
    let (created, user) = tokio::join!(create(context, &mut spec, litter), asked);
    let (container, user) = (created?, user?);
    for spent in [loader, holder].into_iter().flatten() {
        litter.remove_container(backend, &spent).await;
    }

    let attached = async {
        let output = backend.attach(&container).await;
        output.map_err(|error| Halt::surroundings("the step's output cannot be read", &error))
    };
    let filled = async {
        let Some(source) = direct else { return Ok(()) };
        let owner = match (owner, user) {
            (Some(owner), _) => owner,
            (None, user) => user::owner(backend, user.flatten().as_ref(), &container).await?,
        };
        context.phase("copying the source");
        send_source(context, source, owner, &container).await
    };
    let (output, ()) = tokio::try_join!(attached, filled)?;
    Ok(Place { container, output })
}

/// Creates the step's container. Its name may be taken by a step whose name looks the same there.
async fn create(
    context: &UnitContext,
    spec: &mut ContainerSpec,
    litter: &mut Litter,
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

fn spec(
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
        network: Attachment::from(unit.network),
        security: unit.security.clone(),
        limits: unit.limits.clone(),
        tmpfs: unit.tmpfs.clone(),
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
        }),
        restart: Restart::No,
        logs: Logs::Discard,
        stop_grace_period: None,
    }
}

/// The volumes that a step needs: for secrets, for an image's archive, for the folder of a report,
/// and, as nothing can be put into a read-only root, for the source and what is fetched.
fn volumes(unit: &ContainerUnit, names: &Names) -> Vec<Volume> {
    let volume = |what: &str, target: &str, read_only, filling| Volume {
        mount: Mount {
            volume: names.of(what),
            target: target.to_owned(),
            read_only,
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
        .map(|tmpfs| tmpfs.target.clone())
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
    let fetched = harvest.paths.values().chain(&harvest.junit);
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

/// Makes and fills the volumes. Gives the loader's name, which keeps them in use until it is
/// removed, and whose the files are.
async fn load(
    context: &UnitContext,
    unit: &ContainerUnit,
    image: &Resolved,
    names: &Names,
    volumes: &[Volume],
    litter: &mut Litter,
) -> Result<(String, Owner), Halt> {
    let backend = context.backend.as_ref();
    for volume in volumes {
        let name = &volume.mount.volume;
        litter.volume(name);
        let made = backend.create_volume(name, &names.labels).await;
        made.map_err(|error| Halt::surroundings("a volume could not be created", &error))?;
    }
    let loader = names.of("loader");
    litter.container(&loader);
    let mut spec = bare(loader.clone(), &image.image.id, names.labels.clone());
    let mounts = volumes.iter().map(|volume| Mount {
        read_only: false,
        ..volume.mount.clone()
    });
    spec.mounts = mounts.collect();
    let (created, user) = tokio::join!(
        backend.create_container(&spec),
        User::of(backend, unit, &image.image.id)
    );
    created.map_err(|error| Halt::surroundings("a container could not be created", &error))?;
    let owner = user::owner(backend, user?.as_ref(), &loader).await?;
    // One upload for what is small; folders come before what is in them.
    let mut entries = Vec::new();
    for volume in volumes {
        match &volume.filling {
            Filling::Folder => entries.push(Entry::folder(&volume.mount.target, owner)),
            Filling::Secrets => {
                let secrets = vault::entries(&context.secrets, &unit.secrets, owner);
                entries.extend(secrets.map_err(Halt::configuration)?);
            }
            Filling::Source(_) | Filling::Archive(_) => {}
        }
    }
    if !entries.is_empty() {
        upload(
            context,
            &loader,
            tar_of(entries),
            "the volumes could not be filled",
        )
        .await?;
    }
    for volume in volumes {
        match &volume.filling {
            Filling::Source(source) => {
                context.phase("copying the source");
                send_source(context, source, owner, &loader).await?;
            }
            Filling::Archive(archive) => send_archive(context, archive, owner, &loader).await?,
            Filling::Folder | Filling::Secrets => {}
        }
    }
    Ok((loader, owner))
}

async fn upload(
    context: &UnitContext,
    container: &str,
    tar: ByteStream,
    what: &str,
) -> Result<(), Halt> {
    let sent = async {
        let sent = context.backend.upload(container, "/", tar).await;
        sent.map_err(|error| Halt::surroundings(what, &error))
    };
    unless_stopped(context, sent).await
}

/// Sends a copy of the project. It comes as a folder at the root, so that the folder has its owner.
async fn send_source(
    context: &UnitContext,
    source: &SourceCopy,
    owner: Owner,
    container: &str,
) -> Result<(), Halt> {
    let ignore = match &source.ignorefile {
        Some(name) => IgnoreSource::Named(name.clone()),
        None => IgnoreSource::FirstOf(vec![".dockerignore".to_owned()]),
    };
    let rules = walk::rules(&context.root, ".", &ignore, &context.plan.never_sent);
    let rules = rules.map_err(Halt::configuration)?;
    let tally = Tally::default();
    let options = TarOptions {
        prefix: format!("{}/", source.target.trim_matches('/')),
        owner,
        tally: tally.clone(),
        ..TarOptions::default()
    };
    let tar = tar_stream(&context.root, Arc::new(rules), options);
    let sent = upload(context, container, tar, "the source could not be copied").await;
    // Where the walk failed, the engine only knows that the upload broke.
    match (sent, tally.failure()) {
        (Err(Halt::Stopped), _) => Err(Halt::Stopped),
        (_, Some(failure)) => Err(Halt::configuration(failure)),
        (Err(halt), None) => Err(halt),
        (Ok(()), None) => {
            warn_of_links(context, &tally);
            Ok(())
        }
    }
}

/// Says which links lead out of what was sent.
fn warn_of_links(context: &UnitContext, tally: &Tally) {
    for link in tally.outside() {
        context.warn(
            format!(
                "`{link}` is a link that leads out of the folder; what it leads to was not sent"
            ),
            Some("put a copy in its place, or leave it out with .dockerignore".to_owned()),
        );
    }
}

/// Sends the archive of an image. A tar needs its length beforehand and engines do not tell it, so
/// it rests on disk in between, in a file without a name.
async fn send_archive(
    context: &UnitContext,
    archive: &ImageArchive,
    owner: Owner,
    loader: &str,
) -> Result<(), Halt> {
    let image = unless_stopped(context, images::resolve(context, &archive.image)).await?;
    context.phase(format!("exporting {}", image.shown));
    let folder = context.run_folder.clone();
    let spooled = unless_stopped(context, async {
        let what = format!("{} could not be exported", image.shown);
        let stream = context.backend.export_image(&image.image.id).await;
        let stream = stream.map_err(|error| Halt::surroundings(&what, &error))?;
        spool(stream, folder, &what).await
    });
    let (file, size) = spooled.await?;
    let path = format!("{}/{}", archive.folder.trim_end_matches('/'), archive.file);
    let content = Content::File(file, size);
    let entries = vec![
        Entry::folder(&archive.folder, owner),
        Entry {
            path,
            owner,
            mode: 0o444,
            content,
        },
    ];
    upload(
        context,
        loader,
        tar_of(entries),
        "the image's archive could not be laid down",
    )
    .await
}

async fn spool(mut stream: ByteStream, folder: PathBuf, what: &str) -> Result<(File, u64), Halt> {
    let disk = |error: std::io::Error| {
        Halt::trouble(
            Trouble::new(what)
                .cause(format!(
                    "it cannot be written to {}: {error}",
                    folder.display()
                ))
                .hint("the whole image has to fit there for a while"),
        )
    };
    let file = tempfile::tempfile_in(&folder).map_err(disk)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut size = 0_u64;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| Halt::surroundings(what, &error))?;
        size = size.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        file.write_all(&piece).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    file.rewind().await.map_err(disk)?;
    Ok((file.into_std().await, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_tell_runs_and_steps_apart() {
        let run = |text: &str| RunId(text.parse().unwrap());
        let one = run("0197f3a0-0000-7000-8000-0123456789ab");
        let two = run("0197f3a0-0000-7000-8000-0123ffffffff");
        assert_eq!(object_prefix(one, &"unit".into()), "hoist-456789ab-unit");
        assert_ne!(
            object_prefix(one, &"unit".into()),
            object_prefix(two, &"unit".into())
        );
        let cell = "unit[python=3.12]";
        assert_eq!(
            object_prefix(one, &cell.into()),
            "hoist-456789ab-unit-python-3.12"
        );
    }

    #[test]
    fn folders_are_in_themselves_and_above() {
        assert!(is_in("/a/b", "/a"));
        assert!(is_in("/a", "/a/"));
        assert!(!is_in("/ab", "/a"));
    }
}
