//! Tells of changes to the files that matter, once they have settled. Only folders in which
//! something may matter are watched, as each takes a little of what the system has for that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hoist_model::reason::Trouble;
use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::interest::Interest;

/// How long no more may change for the changes to be taken as one.
const SETTLE: Duration = Duration::from_millis(100);
/// How long that is waited for.
const LONGEST: Duration = Duration::from_secs(5);

/// Changes to the files of a project.
pub(super) struct Changes {
    watcher: RecommendedWatcher,
    events: mpsc::UnboundedReceiver<notify::Result<Event>>,
    watched: BTreeSet<PathBuf>,
    interest: Interest,
    /// What changed and is not told yet.
    changed: BTreeSet<PathBuf>,
}

impl Changes {
    /// Watches what matters below a root.
    pub(super) fn new(root: &Path, interest: Interest) -> Result<Self, Trouble> {
        let (send, events) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event| {
            // Nobody listens any more once hoist ends.
            let _ = send.send(event);
        });
        let mut changes = Self {
            watcher: watcher.map_err(|error| trouble(&error))?,
            events,
            watched: BTreeSet::new(),
            interest,
            changed: BTreeSet::new(),
        };
        changes.watch(root)?;
        Ok(changes)
    }

    /// From now on something else matters.
    pub(super) fn set(&mut self, root: &Path, interest: Interest) -> Result<(), Trouble> {
        self.interest = interest;
        let gone: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|path| !self.interest.descends(path))
            .cloned()
            .collect();
        for path in gone {
            // It may be gone itself.
            let _ = self.watcher.unwatch(&path);
            self.watched.remove(&path);
        }
        self.watch(root)
    }

    /// Waits for a change that matters, and until no more follow; gives the paths. It can be dropped
    /// and called again at any time.
    pub(super) async fn next(&mut self) -> Result<BTreeSet<PathBuf>, Trouble> {
        while self.changed.is_empty() {
            match self.events.recv().await {
                Some(event) => self.take(event)?,
                None => std::future::pending::<()>().await,
            }
        }
        let last = Instant::now() + LONGEST;
        let mut settled = Instant::now() + SETTLE;
        while let Ok(Some(event)) = timeout_at(settled.min(last), self.events.recv()).await {
            let before = self.changed.len();
            self.take(event)?;
            if self.changed.len() > before {
                settled = Instant::now() + SETTLE;
            }
        }
        Ok(std::mem::take(&mut self.changed))
    }

    /// Notes the paths of an event that matter. New folders are watched, too.
    fn take(&mut self, event: notify::Result<Event>) -> Result<(), Trouble> {
        let event = event.map_err(|error| trouble(&error))?;
        let changes = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Access(_) => false,
            _ => true,
        };
        if !changes {
            return Ok(());
        }
        let (create, modify) = (event.kind.is_create(), event.kind.is_modify());
        for path in event.paths {
            if event.kind.is_remove() {
                self.watched.remove(&path);
            } else if (create || modify) && path.is_dir() && self.interest.descends(&path) {
                self.watch(&path)?;
            }
            if self.interest.holds(&path) {
                self.changed.insert(path);
            }
        }
        Ok(())
    }

    /// Watches a folder and those in it.
    fn watch(&mut self, folder: &Path) -> Result<(), Trouble> {
        let mut left = vec![folder.to_owned()];
        while let Some(folder) = left.pop() {
            if self.watched.insert(folder.clone()) {
                match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                    Ok(()) => {}
                    // What is gone or closed by now is nothing to watch.
                    Err(error) if is_gone(&error) => {
                        self.watched.remove(&folder);
                        continue;
                    }
                    Err(error) => return Err(trouble(&error)),
                }
            }
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            let folders = entries.flatten().filter_map(|entry| {
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                is_folder.then(|| entry.path())
            });
            left.extend(folders.filter(|path| self.interest.descends(path)));
        }
        Ok(())
    }
}

fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound | ErrorKind::WatchNotFound => true,
        ErrorKind::Io(error) => matches!(
            error.kind(),
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied
        ),
        _ => false,
    }
}

fn trouble(error: &notify::Error) -> Trouble {
    let trouble = Trouble::new("the project's files cannot be watched").cause(error.to_string());
    match &error.kind {
        ErrorKind::MaxFilesWatch => trouble.hint(
            "raise `fs.inotify.max_user_watches`, or leave large folders out in .dockerignore",
        ),
        _ => trouble.hint("run again by hand with `hoist run`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes in a folder, all of which matters, and the folder.
    fn changes() -> (tempfile::TempDir, PathBuf, Changes) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("src/deep")).unwrap();
        std::fs::create_dir_all(root.join(".git")).unwrap();
        let interest = Interest::everything(&root, &root.join("pipeline.toml"));
        let changes = Changes::new(&root, interest).unwrap();
        (folder, root, changes)
    }

    #[tokio::test]
    async fn changes_are_told_together_and_new_folders_are_watched() {
        let (_folder, root, mut changes) = changes();
        std::fs::write(root.join(".git/index"), "no").unwrap();
        std::fs::write(root.join("src/a"), "1").unwrap();
        std::fs::write(root.join("src/deep/b"), "1").unwrap();
        let told = changes.next().await.unwrap();
        let all = BTreeSet::from([root.join("src/a"), root.join("src/deep/b")]);
        assert_eq!(told, all);
        std::fs::create_dir(root.join("src/new")).unwrap();
        changes.next().await.unwrap();
        std::fs::write(root.join("src/new/c"), "1").unwrap();
        assert_eq!(
            changes.next().await.unwrap(),
            BTreeSet::from([root.join("src/new/c")])
        );
        std::fs::remove_file(root.join("src/a")).unwrap();
        assert_eq!(
            changes.next().await.unwrap(),
            BTreeSet::from([root.join("src/a")])
        );
    }
}
