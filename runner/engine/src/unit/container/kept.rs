//! What a step left in its run folder, given to a later run as it was: its log and those of its
//! services, artifacts and test results. Files are linked rather than copied where the disk can, so
//! that a run which did nothing takes no room, and a run folder can go without those after it. What
//! was touched since is not given again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hoist_model::event::EventKind;
use hoist_model::ids::RunId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use crate::context::UnitContext;
use crate::inputs::{Outcome, Shelf};

/// What a step that passed left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The run in whose folder it lies.
    run: RunId,
    sum: Sum,
    /// No file of it was written to after this.
    at: Timestamp,
    /// What was told of it, masked.
    events: Vec<EventKind>,
}

impl Outcome for Kept {
    const SHELF: Shelf = Shelf::Steps;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    files: u64,
    bytes: u64,
}

impl Kept {
    /// What the step of `context` left, which is on the disk for good from here on.
    pub(super) async fn of(context: &UnitContext, events: Vec<EventKind>) -> io::Result<Self> {
        let (folder, name) = (context.run_folder.clone(), name(context));
        let sum = blocking(move || sync(&folder, &name)).await?;
        Ok(Self {
            run: context.run,
            sum,
            at: Timestamp::now(),
            events,
        })
    }

    /// Gives it to the step of `context`, and gives where it lies now; `None` if it is no longer
    /// there, whole and untouched.
    pub(super) async fn give(self, context: &UnitContext) -> Option<Self> {
        let to = context.run_folder.clone();
        let from = to.parent()?.join(self.run.to_string());
        let (name, until) = (name(context), SystemTime::from(self.at));
        let given = blocking(move || {
            let given = give(&from, &to, (&name, &name), Some(until));
            if !matches!(&given, Ok(sum) if *sum == self.sum) {
                for folder in folders(&to, &name) {
                    let _ = fs::remove_dir_all(folder);
                }
                return Ok(false);
            }
            // The last, for the step's own log would go on in it.
            take_over(&log(&from, &name), &log(&to, &name)).map(|()| true)
        });
        if !given.await.ok()? {
            return None;
        }
        for event in &self.events {
            match event {
                EventKind::ArtifactKept { artifact, .. } => {
                    context.made.keep(&context.id(), artifact.clone());
                }
                EventKind::OutputsFound { outputs, .. } => {
                    context.made.outputs(&context.id(), outputs.clone());
                }
                _ => {}
            }
            context.events.send(event.clone());
        }
        Some(Self {
            run: context.run,
            at: Timestamp::now(),
            ..self
        })
    }
}

/// Under which name the files of the step's attempt lie.
fn name(context: &UnitContext) -> PathBuf {
    let name = context.artifacts.file_name();
    name.map(PathBuf::from).unwrap_or_default()
}

/// The folders of a step in a run folder; they need not be there.
fn folders(run: &Path, name: &Path) -> [PathBuf; 3] {
    ["artifacts", "results", "logs"].map(|folder| run.join(folder).join(name))
}

fn log(run: &Path, name: &Path) -> PathBuf {
    let mut file = name.as_os_str().to_owned();
    file.push(".log");
    run.join("logs").join(file)
}

/// Goes through what a step left: each folder before what is in it.
fn each(
    run: &Path,
    name: &Path,
    mut entry: impl FnMut(&walkdir::DirEntry, &fs::Metadata) -> io::Result<()>,
) -> io::Result<Sum> {
    let mut sum = Sum::default();
    let there = folders(run, name).into_iter().filter(|path| path.exists());
    for path in there.chain([log(run, name)]) {
        for found in WalkDir::new(path) {
            let found = found.map_err(io::Error::from)?;
            let data = found.metadata().map_err(io::Error::from)?;
            if data.is_file() {
                sum.files += 1;
                sum.bytes = sum.bytes.saturating_add(data.len());
            }
            entry(&found, &data)?;
        }
    }
    Ok(sum)
}

/// Sees to it that what a step left outlives a crash.
fn sync(run: &Path, name: &Path) -> io::Result<Sum> {
    each(run, name, |entry, data| {
        if data.is_file() && data.len() > 0 {
            File::open(entry.path())?.sync_all()?;
        }
        Ok(())
    })
}

/// Lays down what a step left in another run, but for its log, which is only looked at.
fn give(
    from: &Path,
    to: &Path,
    (name, own): (&Path, &Path),
    until: Option<SystemTime>,
) -> io::Result<Sum> {
    let log = log(from, name);
    let places: Vec<_> = folders(from, name)
        .into_iter()
        .zip(folders(to, own))
        .collect();
    each(from, name, |entry, data| {
        let target = places.iter().find_map(|(from, to)| {
            let inside = entry.path().strip_prefix(from).ok()?;
            Some(to.join(inside))
        });
        let target = target.unwrap_or_else(|| to.join(own));
        if data.is_dir() {
            return fs::create_dir_all(target);
        }
        if !data.is_file() || until.is_some_and(|until| data.modified().is_ok_and(|at| at > until))
        {
            return Err(io::Error::other("it was touched"));
        }
        if entry.path() == log {
            return Ok(());
        }
        link(entry.path(), &target)
    })
}

/// Gives the step of `context` what lies in the folder of another run under that name.
pub(crate) async fn lay_down(context: &UnitContext, from: &Path, then: &str) -> io::Result<()> {
    let (from, to) = (from.to_owned(), context.run_folder.clone());
    let (own, then) = (name(context), PathBuf::from(then));
    blocking(move || {
        let laid = give(&from, &to, (&then, &own), None)
            .and_then(|_| take_over(&log(&from, &then), &log(&to, &own)));
        if laid.is_err() {
            for folder in folders(&to, &own) {
                let _ = fs::remove_dir_all(folder);
            }
        }
        laid
    })
    .await
}

/// Puts a file in the place of another, or leaves that as it is.
fn take_over(from: &Path, to: &Path) -> io::Result<()> {
    let beside = to.with_extension("log~");
    let _ = fs::remove_file(&beside);
    link(from, &beside)?;
    fs::rename(beside, to)
}

/// Another name for the file; a copy where there can be none. Never into a file that is there: it
/// may be the very same one.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    use io::ErrorKind as Kind;
    match fs::hard_link(from, to) {
        Err(error) if !matches!(error.kind(), Kind::NotFound | Kind::AlreadyExists) => {
            let mut copy = File::create_new(to)?;
            io::copy(&mut File::open(from)?, &mut copy).map(drop)
        }
        linked => linked,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)?
}
