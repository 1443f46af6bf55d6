//! A tool's data from a folder of this machine. The volume is named by the folder's content, so
//! that it is copied only when that changed.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hoist_model::ignore::IgnoreFile;
use hoist_model::reason::Trouble;
use walkdir::WalkDir;

use super::{Ready, Work};
use crate::backend::BackendErrorKind;
use crate::labels;
use crate::unit::container::{Litter, bare};
use crate::unit::halt::{Halt, unless_stopped};
use crate::walk::{Owner, Tally, TarOptions, tar_stream};

pub(super) async fn ready(work: &Work<'_>, folder: &str, litter: &Litter) -> Result<Ready, Halt> {
    let path = work.context.root.join(folder);
    let digest = digest(path.clone()).await.map_err(|error| {
        let trouble = Trouble::new(format!(
            "the folder `{folder}` for {} cannot be read",
            work.data.title
        ));
        Halt::configuration(trouble.cause(error.to_string()))
    })?;
    let prefix = format!("hoist-{}-folder-", work.data.name);
    let volume = format!("{prefix}{}", digest.get(..16).unwrap_or(&digest));
    let lock = format!("{volume}-filler");
    loop {
        let holder = work.hold(&volume, litter).await?;
        if work.is_whole(&holder).await? {
            return Ok(Ready { volume, holder });
        }
        // Another run may have removed the volume just before it was held: then it is a new one
        // that the engine made by itself, without labels, and nobody would ever remove it.
        if !is_labelled(work, &volume).await? {
            litter.remove_container(work.backend(), &holder).await;
            let _ = work.backend().remove_volume(&volume).await;
            continue;
        }
        let mut spec = bare(lock.clone(), work.image, work.labels.clone());
        spec.mounts.push(work.mount(&volume));
        match work.backend().create_container(&spec).await {
            Ok(filler) => {
                litter.container(&filler);
                if !work.is_whole(&filler).await? {
                    fill(work, &path, &filler).await?;
                    work.mark(&filler).await?;
                    work.remove_others(&prefix, &volume).await;
                }
                litter.remove_container(work.backend(), &filler).await;
                return Ok(Ready { volume, holder });
            }
            Err(error) if error.kind == BackendErrorKind::Conflict => {
                work.wait_for(&lock, Some(&holder)).await?;
                litter.remove_container(work.backend(), &holder).await;
            }
            Err(error) => return Err(Halt::surroundings(work.failed(), &error)),
        }
    }
}

async fn is_labelled(work: &Work<'_>, volume: &str) -> Result<bool, Halt> {
    let found = work.backend().inspect_volume(volume).await;
    let found = found.map_err(|error| Halt::surroundings(work.failed(), &error))?;
    Ok(found.is_some_and(|found| found.labels.contains_key(labels::KEPT)))
}

async fn fill(work: &Work<'_>, path: &Path, container: &str) -> Result<(), Halt> {
    work.context.phase(format!("copying {}", work.data.title));
    let tally = Tally::default();
    let options = TarOptions {
        prefix: format!("{}/", work.data.target.trim_matches('/')),
        // Mounted read-only, for whatever user.
        owner: Owner {
            for_all: true,
            ..Owner::ROOT
        },
        tally: tally.clone(),
        ..TarOptions::default()
    };
    let tar = tar_stream(path, Arc::new(IgnoreFile::default()), options);
    let sent = async {
        let sent = work.backend().upload(container, "/", tar).await;
        sent.map_err(|error| match tally.failure() {
            Some(failure) => Halt::configuration(failure),
            None => Halt::surroundings(work.failed(), &error),
        })
    };
    unless_stopped(work.context, sent).await
}

/// A digest of the names and contents of all files below a folder.
async fn digest(folder: PathBuf) -> io::Result<String> {
    tokio::task::spawn_blocking(move || {
        let mut hash = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 20];
        for entry in WalkDir::new(&folder).sort_by_file_name() {
            let entry = entry.map_err(io::Error::other)?;
            let name = entry.path().strip_prefix(&folder).unwrap_or(entry.path());
            let name = name.as_os_str().as_encoded_bytes();
            hash.update(&name.len().to_le_bytes()).update(name);
            if entry.file_type().is_file() {
                let mut file = File::open(entry.path())?;
                let mut content = blake3::Hasher::new();
                loop {
                    match file.read(&mut buffer)? {
                        0 => break,
                        count => content.update(buffer.get(..count).unwrap_or_default()),
                    };
                }
                hash.update(content.finalize().as_bytes());
            }
        }
        Ok(hash.finalize().to_hex().to_string())
    })
    .await
    .map_err(io::Error::other)?
}
