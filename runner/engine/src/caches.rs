//! Volumes that steps keep between runs. Each is named by its project, its name in the file and the
//! contents of the files that it is keyed by; it carries no run's label, so neither reaper nor sweep
//! takes it. Nothing here is a lock: who shares a cache shares it as two terminals do.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hoist_model::reason::Trouble;
use hoist_model::unit::CacheVolume;
use jiff::Timestamp;

use crate::backend::{Labels, Mount};
use crate::context::UnitContext;
use crate::labels;
use crate::unit::halt::Halt;

/// Bytes of a digest that make part of a name.
const SHORT: usize = 6;

/// Makes the volume where it is not there yet, and says where it is mounted.
pub(crate) async fn ready(context: &UnitContext, cache: &CacheVolume) -> Result<Mount, Halt> {
    let name = name(context, cache).await?;
    let failed = |error| {
        let what = format!("the cache `{}` could not be provided", cache.name);
        Halt::surroundings(what, &error)
    };
    let backend = context.backend.as_ref();
    match backend.inspect_volume(&name).await.map_err(failed)? {
        Some(volume) if volume.labels.get(labels::CACHE) != Some(&cache.name) => {
            let what = format!("the cache `{}` could not be provided", cache.name);
            let trouble = Trouble::new(what)
                .cause(format!(
                    "the volume {name} is there, and not of hoist's making"
                ))
                .hint("remove it, or name the cache otherwise");
            return Err(Halt::configuration(trouble));
        }
        Some(_) => {}
        None => {
            context.phase(format!("starting an empty cache {}", cache.name));
            let labels = Labels::from([
                (labels::PROJECT.to_owned(), context.plan.name.clone()),
                (labels::CACHE.to_owned(), cache.name.clone()),
            ]);
            let created = backend.create_volume(&name, &labels).await;
            created.map_err(failed)?;
        }
    }
    note_use(&context.root, &name);
    Ok(Mount {
        volume: name,
        target: cache.target.clone(),
        read_only: cache.read_only,
        // What an image has there is where its cache begins.
        populate: true,
    })
}

/// The volume's name. No part of it can have a dot in it, so that no two caches have one.
async fn name(context: &UnitContext, cache: &CacheVolume) -> Result<String, Halt> {
    let name = format!("hoist-cache.{}.{}", context.plan.name, cache.name);
    if cache.key_files.is_empty() {
        return Ok(name);
    }
    let (root, files) = (context.root.clone(), cache.key_files.clone());
    let key = tokio::task::spawn_blocking(move || key(&root, &files)).await;
    let key = key.unwrap_or_else(|error| Err(Trouble::new(error.to_string())));
    Ok(format!("{name}.{}", key.map_err(Halt::configuration)?))
}

/// What tells the contents of files from others, in hexadecimal digits.
fn key(root: &Path, files: &[String]) -> Result<String, Trouble> {
    let mut key = blake3::Hasher::new();
    for file in files {
        let mut content = blake3::Hasher::new();
        let read =
            File::open(root.join(file)).and_then(|file| content.update_reader(file).map(drop));
        read.map_err(|error| {
            Trouble::new(format!(
                "`{file}` cannot be read, by which a cache is keyed"
            ))
            .cause(error.to_string())
        })?;
        key.update(file.as_bytes()).update(&[0]);
        key.update(content.finalize().as_bytes());
    }
    let mut hex = key.finalize().to_hex().to_string();
    hex.truncate(2 * SHORT);
    Ok(hex)
}

/// Notes that a volume is in use now. Where that cannot be written, it counts as used when it was
/// made.
fn note_use(root: &Path, volume: &str) {
    let path = stamp(root, volume);
    let written = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written: io::Result<()> = written.and_then(|()| {
        let file = File::options().create(true).append(true).open(&path)?;
        file.set_modified(SystemTime::now())
    });
    drop(written);
}

/// When a run of this clone of the project last used a cache's volume, if one did.
pub(crate) fn last_use(root: &Path, volume: &str) -> Option<Timestamp> {
    let used = fs::metadata(stamp(root, volume)).and_then(|data| data.modified());
    used.ok().and_then(|used| used.try_into().ok())
}

fn stamp(root: &Path, volume: &str) -> PathBuf {
    root.join(".hoist")
        .join("cache")
        .join("volumes")
        .join(volume)
}
