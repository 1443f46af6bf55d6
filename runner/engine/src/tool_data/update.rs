//! A tool's data that the tool fetches itself: a container of its image, with a network and without
//! an input, fills a new volume at most once in a while. Where that fails and older data is there,
//! the older is used, loudly.

use std::collections::BTreeMap;

use hoist_model::reason::{FailureReason, Trouble};
use hoist_model::unit::{Network, Security, StopPlan, ToolData};
use jiff::Timestamp;

use super::{Ready, Work, volumes};
use crate::backend::{Attachment, BackendError, BackendErrorKind, ContainerSpec, VolumeInfo};
use crate::context::UnitContext;
use crate::unit::container::{Litter, Place, bare, live, owner_of};
use crate::unit::halt::Halt;
use crate::walk::entries::{Entry, tar_of};

/// A volume that is whole, and whether it is new enough.
struct Found {
    ready: Ready,
    fresh: bool,
    age: String,
}

pub(super) async fn ready(
    work: &Work<'_>,
    command: &[String],
    environment: &BTreeMap<String, String>,
    litter: &Litter,
) -> Result<Ready, Halt> {
    let prefix = prefix(work.data, command, environment);
    let lock = format!("{prefix}update");
    loop {
        let found = newest(work, &prefix, litter).await?;
        let older = match found {
            Some(Found {
                ready, fresh: true, ..
            }) => return Ok(ready),
            older => older,
        };
        if let Some(failure) = work.context.made.updates.failure(&work.data.name) {
            return fall_back(work, older, failure);
        }
        let volume = format!("{prefix}{}", uuid::Uuid::now_v7().simple());
        let made = lock_and_make(work, &lock, &volume, command, environment).await;
        let updater = match made {
            Ok(updater) => updater,
            Err(error) if error.kind == BackendErrorKind::Conflict => {
                let _ = work.backend().remove_volume(&volume).await;
                release(work, older, litter).await;
                work.wait_for(&lock, None).await?;
                continue;
            }
            Err(error) => return Err(Halt::surroundings(work.failed(), &error)),
        };
        // Noted by its ID: under its name may be another run's.
        litter.container(&updater);
        // Another run may have come to its end with it just before.
        release(work, older, litter).await;
        let older = match newest(work, &prefix, litter).await? {
            Some(Found {
                ready, fresh: true, ..
            }) => {
                litter.remove_container(work.backend(), &updater).await;
                let _ = work.backend().remove_volume(&volume).await;
                return Ok(ready);
            }
            older => older,
        };
        return match update(work, &updater).await {
            Ok(()) => {
                let holder = work.hold(&volume, litter).await?;
                litter.remove_container(work.backend(), &updater).await;
                release(work, older, litter).await;
                work.remove_others(&prefix, &volume).await;
                Ok(Ready { volume, holder })
            }
            Err(halt) => {
                // While nobody else fills one: what a killed update left is no data, and would pass
                // for the newest with whoever only looks at names.
                let whole = older.as_ref().map_or("", |older| &older.ready.volume);
                work.remove_others(&prefix, whole).await;
                litter.remove_container(work.backend(), &updater).await;
                let _ = work.backend().remove_volume(&volume).await;
                let failure = match halt {
                    Halt::Stopped => return Err(Halt::Stopped),
                    Halt::Failed(FailureReason::Surroundings(trouble)) => trouble,
                    Halt::Failed(reason) => return Err(Halt::Failed(reason)),
                };
                work.context
                    .made
                    .updates
                    .fail(&work.data.name, failure.clone());
                fall_back(work, older, failure)
            }
        };
    }
}

/// What the names of volumes begin with that are filled in this very way: data from elsewhere is
/// other data.
fn prefix(data: &ToolData, command: &[String], environment: &BTreeMap<String, String>) -> String {
    let mut hash = blake3::Hasher::new();
    let pairs = environment.iter().flat_map(|(name, value)| [name, value]);
    for text in command.iter().chain(pairs) {
        hash.update(&text.len().to_le_bytes())
            .update(text.as_bytes());
    }
    let hash = hash.finalize().to_hex();
    format!("hoist-{}-{}-", data.name, hash.get(..8).unwrap_or(&hash))
}

/// Goes on with older data where there is any.
fn fall_back(work: &Work<'_>, older: Option<Found>, failure: Trouble) -> Result<Ready, Halt> {
    match older {
        Some(Found { ready, age, .. }) => {
            let cause = failure.cause.unwrap_or(failure.what);
            work.context.warn(
                format!(
                    "{} is {age} old and could not be brought up to date: {cause}",
                    work.data.title
                ),
                Some(
                    "what became known since is not seen; see that the network is there".to_owned(),
                ),
            );
            Ok(ready)
        }
        None => Err(Halt::trouble(failure)),
    }
}

async fn release(work: &Work<'_>, found: Option<Found>, litter: &Litter) {
    if let Some(found) = found {
        litter
            .remove_container(work.backend(), &found.ready.holder)
            .await;
    }
}

/// The newest volume that is whole, held.
async fn newest(work: &Work<'_>, prefix: &str, litter: &Litter) -> Result<Option<Found>, Halt> {
    let listed = work.volumes(prefix).await;
    let listed = listed.map_err(|error| Halt::surroundings(work.failed(), &error))?;
    for volume in newest_first(listed) {
        let holder = work.hold(&volume.name, litter).await?;
        if work.is_whole(&holder).await? {
            let seconds = age(work.context, &volume).await;
            return Ok(Some(Found {
                ready: Ready {
                    volume: volume.name,
                    holder,
                },
                fresh: seconds < work.data.max_age.as_secs(),
                age: shown(seconds),
            }));
        }
        litter.remove_container(work.backend(), &holder).await;
    }
    Ok(None)
}

fn newest_first(mut volumes: Vec<VolumeInfo>) -> Vec<VolumeInfo> {
    volumes.sort_by(|a, b| {
        created(b)
            .cmp(&created(a))
            .then_with(|| b.name.cmp(&a.name))
    });
    volumes
}

/// The newest volume, if it is new enough.
pub(super) async fn current(
    context: &UnitContext,
    data: &ToolData,
    command: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<Option<String>, Halt> {
    let prefix = prefix(data, command, environment);
    let listed = volumes(context.backend.as_ref(), data, &prefix).await;
    let listed = listed
        .map_err(|error| Halt::surroundings(format!("{} is not known", data.title), &error))?;
    let Some(newest) = newest_first(listed).into_iter().next() else {
        return Ok(None);
    };
    let fresh = age(context, &newest).await < data.max_age.as_secs();
    Ok(fresh.then_some(newest.name))
}

fn created(volume: &VolumeInfo) -> Option<Timestamp> {
    volume.created_at.parse().ok()
}

/// Seconds since a volume was made, by the engine's clock where it tells it.
async fn age(context: &UnitContext, volume: &VolumeInfo) -> u64 {
    let now = match context.backend.info().await {
        Ok(info) if info.time > 0 => info.time,
        _ => Timestamp::now().as_second(),
    };
    let Some(created) = created(volume) else {
        return u64::MAX;
    };
    u64::try_from(now.saturating_sub(created.as_second())).unwrap_or(0)
}

fn shown(seconds: u64) -> String {
    match seconds / 3600 {
        0 => "less than an hour".to_owned(),
        hours @ 1..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}

/// Creates the container that fills a new volume; its name is the lock. Gives its ID.
async fn lock_and_make(
    work: &Work<'_>,
    lock: &str,
    volume: &str,
    command: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<String, BackendError> {
    work.backend()
        .create_volume(volume, &work.kept_labels())
        .await?;
    let spec = ContainerSpec {
        command: Some(command.to_vec()),
        environment: environment.clone(),
        user: work.unit.user.clone(),
        network: Attachment::from(Network::Bridge),
        security: Security::default(),
        limits: work.unit.limits.clone(),
        mounts: vec![work.mount(volume)],
        ..bare(lock.to_owned(), work.image, work.labels.clone())
    };
    work.backend().create_container(&spec).await
}

/// Runs the container that fills the volume, and marks the volume when it did.
async fn update(work: &Work<'_>, container: &str) -> Result<(), Halt> {
    let context = work.context;
    context.phase(format!("updating {}", work.data.title));
    let owner = owner_of(context, work.unit, work.image, container).await?;
    // The tool may write beside its data, too.
    let target = work.data.target.trim_end_matches('/');
    let above = target
        .rsplit_once('/')
        .map(|(above, _)| above)
        .filter(|above| !above.is_empty());
    let entries = above
        .into_iter()
        .chain([target])
        .map(|path| Entry::folder(path, owner))
        .collect();
    let filled = work.backend().upload(container, "/", tar_of(entries)).await;
    filled.map_err(|error| Halt::surroundings(work.failed(), &error))?;
    let output = work.backend().attach(container).await;
    let output = output.map_err(|error| Halt::surroundings(work.failed(), &error))?;
    let ticket = context
        .made
        .watch
        .listen(&context.backend, context.run)
        .await;
    let exit = live(
        context,
        Place {
            container: container.to_owned(),
            output,
            grace: StopPlan::GRACE,
            spec: None,
        },
        &ticket,
    )
    .await?;
    if exit.stopped {
        return Err(Halt::Stopped);
    }
    if exit.info.exit_code != 0 {
        let trouble = Trouble::new(work.failed())
            .cause(format!("its update ended with exit code {}: {}", exit.info.exit_code, last_line(&context.output.tail())))
            .hint("see that the network is there, or name another source under [tools] in pipeline.toml");
        return Err(Halt::trouble(trouble));
    }
    work.mark(container).await
}

fn last_line(tail: &str) -> String {
    let line = tail.lines().rev().find(|line| !line.trim().is_empty());
    line.unwrap_or("it said nothing").trim().to_owned()
}
