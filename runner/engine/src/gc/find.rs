//! Finds what may go, and who uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hoist_model::gc::{Held, Item, Kind};
use hoist_model::ids::RunId;
use hoist_model::plan::Plan;
use hoist_model::reason::Trouble;
use hoist_model::state::{RunState, StepState};
use hoist_model::unit::Unit;
use jiff::Timestamp;
use walkdir::WalkDir;

use super::Scope;
use crate::backend::{BackendError, ContainerInfo, ImageInfo, LabelFilter, VolumeInfo};
use crate::caches::last_use;
use crate::labels;
use crate::store::{Store, StoredRun};

/// How long nothing must have been written of a run whose process cannot be looked at.
const SILENCE: Duration = Duration::from_secs(24 * 3600);
/// Names that hoist itself gives, besides those in the file.
const OWN_NAMES: &str = "hoist.local/";

/// All that may go.
pub(super) async fn items(scope: &Scope<'_>) -> Result<Vec<Item>, Trouble> {
    let (store, own) = (Store::new(scope.root), scope.own);
    let runs = tokio::task::spawn_blocking(move || runs(&store, own));
    let runs = runs.await.unwrap_or_else(|error| {
        Err(Trouble::new("the runs could not be looked at").cause(error.to_string()))
    })?;
    let objects = objects(scope).await;
    let objects =
        objects.map_err(|error| error.trouble("the engine's objects cannot be listed"))?;
    let mut items = images(scope, &runs, &objects);
    items.extend(caches(scope, &runs, &objects));
    items.extend(releases(scope, &objects.containers));
    items.extend(runs.into_iter().map(|run| run.item));
    Ok(items)
}

/// What an engine has.
struct Objects {
    /// All of them, whoever made them.
    containers: Vec<ContainerInfo>,
    images: Vec<ImageInfo>,
    caches: Vec<VolumeInfo>,
    sizes: BTreeMap<String, u64>,
}

async fn objects(scope: &Scope<'_>) -> Result<Objects, BackendError> {
    let backend = scope.backend.as_ref();
    let project = (!scope.all_projects).then_some(scope.plan.name.as_str());
    let images: LabelFilter<'_> = &[(labels::PROJECT, project)];
    let caches: LabelFilter<'_> = &[(labels::PROJECT, project), (labels::CACHE, None)];
    let (containers, images, caches) = tokio::try_join!(
        backend.list_containers(&[]),
        backend.list_images(images),
        backend.list_volumes(caches),
    )?;
    // An engine looks at every file for it.
    let sizes = match caches.is_empty() {
        true => BTreeMap::new(),
        false => backend.volume_sizes().await?,
    };
    Ok(Objects {
        containers,
        images,
        caches,
        sizes,
    })
}

/// A run folder.
struct Run {
    item: Item,
    /// The IDs of images that the run made or found made.
    images: BTreeSet<String>,
}

/// The run folders of the project.
fn runs(store: &Store, own: Option<RunId>) -> Result<Vec<Run>, Trouble> {
    let runs = store.list()?.into_iter();
    Ok(runs.map(|run| look(&run, own)).collect())
}

fn look(run: &StoredRun, own: Option<RunId>) -> Run {
    let (mut bytes, mut written) = (0_u64, SystemTime::UNIX_EPOCH);
    for entry in WalkDir::new(&run.folder).into_iter().flatten() {
        if let Ok(data) = entry.metadata() {
            bytes = bytes.saturating_add(if data.is_file() { data.len() } else { 0 });
            written = written.max(data.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        }
    }
    // Of a run that did not end well only its events tell.
    let ended = run.record().ok().map(|record| record.state);
    let ended = ended.filter(|state| state.verdict.is_some());
    let silent = SystemTime::now()
        .duration_since(written)
        .unwrap_or_default()
        > SILENCE;
    let over = ended.is_some()
        || own != Some(run.id)
            && run
                .is_alive()
                .unwrap_or(None)
                .map_or(silent, |alive| !alive);
    let state = ended.or_else(|| run.state().ok()).unwrap_or_default();
    let id = run.id.to_string();
    Run {
        item: Item {
            kind: Kind::Run,
            name: id.clone(),
            id,
            group: String::new(),
            bytes,
            budget: None,
            used: Timestamp::try_from(written).unwrap_or_default(),
            held: (!over).then_some(Held::Run),
            needed_by: Vec::new(),
        },
        images: images_of(&state),
    }
}

fn images_of(state: &RunState) -> BTreeSet<String> {
    let of_step = |step: &StepState| {
        let images = step.image.iter().chain(&step.further_images);
        images.cloned().collect::<Vec<_>>()
    };
    let images = state.steps.iter().flat_map(of_step);
    images.map(|image| image.id.clone()).collect()
}

/// A run of the project other than the own one goes on, perhaps: what it has found and not begun to
/// use cannot be told. Runs of other clones, or of other projects, are known by their containers.
fn goes_on(scope: &Scope<'_>, runs: &[Run], objects: &Objects, project: &str) -> bool {
    let own = scope.own.map(|run| run.to_string());
    let mut others = runs.iter().filter(|run| Some(&run.item.id) != own.as_ref());
    project == scope.plan.name && others.any(|run| run.item.held.is_some())
        || runs_elsewhere(scope, &objects.containers, project)
}

/// A container of a run of the project is there, other than of the own run.
pub(super) fn runs_elsewhere(
    scope: &Scope<'_>,
    containers: &[ContainerInfo],
    project: &str,
) -> bool {
    let own = scope.own.map(|run| run.to_string());
    containers.iter().any(|found| {
        let run = found.labels.get(labels::RUN);
        let of_project = found.labels.get(labels::PROJECT).map(String::as_str) == Some(project);
        run.is_some() && run != own.as_ref() && of_project
    })
}

fn is_own(scope: &Scope<'_>, project: Option<&String>) -> bool {
    project == Some(&scope.plan.name)
}

fn images(scope: &Scope<'_>, runs: &[Run], objects: &Objects) -> Vec<Item> {
    let given = given_names(scope.plan);
    let images = objects.images.iter().map(|image| {
        let project = image.labels.get(labels::PROJECT);
        let own = is_own(scope, project);
        let busy = project.is_some_and(|project| goes_on(scope, runs, objects, project));
        let user = objects
            .containers
            .iter()
            .find(|user| user.image == image.id);
        let foreign = image.tags.iter().find(|tag| {
            let given = own && given.contains(repository(tag));
            !given && !tag.starts_with(OWN_NAMES)
        });
        let held = match (user, foreign) {
            (Some(user), _) => Some(Held::Container(user.name.clone())),
            (None, _) if busy => Some(Held::Run),
            (None, Some(name)) => Some(Held::Name(name.clone())),
            (None, None) => None,
        };
        let needed_by = runs.iter().filter(|run| run.images.contains(&image.id));
        Item {
            kind: Kind::Image,
            id: image.id.clone(),
            name: image.tags.first().unwrap_or(&image.id).clone(),
            group: project.cloned().unwrap_or_default(),
            bytes: image.bytes,
            budget: None,
            used: Timestamp::from_second(image.created).unwrap_or_default(),
            held,
            needed_by: needed_by.map(|run| run.item.id.clone()).collect(),
        }
    });
    images.collect()
}

/// The repositories in which the file's builds and pushes name images.
fn given_names(plan: &Plan) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for step in &plan.steps {
        let tags = match &step.unit {
            Unit::Build(unit) => &unit.tags,
            Unit::Push(unit) => &unit.tags,
            Unit::Container(_) | Unit::Release(_) => continue,
        };
        names.extend(
            tags.iter()
                .map(|tag| repository(&tag.to_string()).to_owned()),
        );
    }
    names
}

/// A name without its tag.
fn repository(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

fn caches(scope: &Scope<'_>, runs: &[Run], objects: &Objects) -> Vec<Item> {
    let caches = objects.caches.iter().map(|volume| {
        let label = |name| volume.labels.get(name).cloned();
        let project = label(labels::PROJECT);
        let name = label(labels::CACHE);
        let own = is_own(scope, project.as_ref());
        let budget = name.as_ref().filter(|_| own);
        let budget = budget.and_then(|name| scope.plan.gc.caches.get(name));
        let busy = goes_on(scope, runs, objects, project.as_deref().unwrap_or_default());
        let held = busy.then_some(Held::Run);
        let group = [project, name].map(Option::unwrap_or_default);
        Item {
            kind: Kind::Cache,
            id: volume.name.clone(),
            name: volume.name.clone(),
            group: group.join("/"),
            bytes: objects.sizes.get(&volume.name).copied().unwrap_or_default(),
            budget: budget.copied(),
            used: last_use(scope.root, &volume.name)
                .max(volume.created_at.parse().ok())
                .unwrap_or_default(),
            held,
            needed_by: Vec::new(),
        }
    });
    caches.collect()
}

/// Stopped containers of releases before the one that serves. What nothing newer of its service
/// runs beside is left: it may be what is to serve.
fn releases(scope: &Scope<'_>, containers: &[ContainerInfo]) -> Vec<Item> {
    let label = |found: &ContainerInfo, name| found.labels.get(name).cloned().unwrap_or_default();
    let of_place = |found: &&ContainerInfo| {
        is_own(scope, found.labels.get(labels::PROJECT))
            && found.labels.contains_key(labels::ENVIRONMENT)
    };
    let mine: Vec<&ContainerInfo> = containers.iter().filter(of_place).collect();
    let locked: BTreeSet<String> = mine
        .iter()
        .filter(|found| label(found, labels::ROLE) == labels::LOCK)
        .map(|found| label(found, labels::ENVIRONMENT))
        .collect();
    let stopped = mine.iter().filter(|found| is_superseded(found, &mine));
    let stopped = stopped.map(|found| {
        let environment = label(found, labels::ENVIRONMENT);
        let release = label(found, labels::RELEASE).parse::<RunId>().ok();
        let held = locked.contains(&environment);
        Item {
            kind: Kind::Release,
            id: found.id.clone(),
            name: found.name.clone(),
            group: format!("{environment}/{}", label(found, labels::SERVICE)),
            bytes: 0,
            budget: None,
            // Without a time in its ID it counts as new.
            used: release.and_then(made).unwrap_or_else(Timestamp::now),
            held: held.then_some(Held::Deploy(environment)),
            needed_by: Vec::new(),
        }
    });
    stopped.collect()
}

/// It is stopped, and a container of a newer release of its service runs.
pub(super) fn is_superseded(found: &ContainerInfo, all: &[&ContainerInfo]) -> bool {
    let key = |found: &ContainerInfo| {
        let names = [labels::ROLE, labels::ENVIRONMENT, labels::SERVICE];
        names.map(|name| found.labels.get(name).cloned())
    };
    let sequence =
        |found: &ContainerInfo| -> Option<u64> { found.labels.get(labels::SEQUENCE)?.parse().ok() };
    let stopped = matches!(found.status.as_str(), "exited" | "dead");
    let newer = |other: &&&ContainerInfo| {
        other.is_running() && key(other) == key(found) && sequence(other) > sequence(found)
    };
    stopped && sequence(found).is_some() && all.iter().any(|other| newer(&other))
}

/// The time in an ID, where it is of a version that has one.
fn made(id: RunId) -> Option<Timestamp> {
    let (seconds, nanos) = id.0.get_timestamp()?.to_unix();
    let (seconds, nanos) = (i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?);
    Timestamp::new(seconds, nanos).ok()
}

/// Folders of runs whose removal was begun.
pub(super) fn half_gone(root: &Path) -> Vec<std::path::PathBuf> {
    let runs = std::fs::read_dir(root.join(".hoist").join("runs"));
    let entries = runs.into_iter().flatten().flatten();
    let going = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with(super::remove::GOING)
    });
    going.map(|entry| entry.path()).collect()
}
