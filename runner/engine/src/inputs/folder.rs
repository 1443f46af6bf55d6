//! What runs leave for later ones: in `.hoist/cache` what was seen of a clone's files, in the user's
//! own cache what all clones may know. Whatever is in it may be gone, broken or another
//! version's at any time; then it is made again. It refuses to follow links out of the project.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hoist_model::reason::Trouble;
use tempfile::NamedTempFile;

use super::key;

/// How long something is kept that nobody uses.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Between two notes that something is used.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// A kind of thing that is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shelf {
    /// What was seen of a context's files, one file a context.
    Files,
    /// What contexts held, by their digests.
    Contexts,
    /// Which image was built of which inputs.
    Builds,
    /// Which run did what a container of which inputs does. Run folders are the clone's own.
    Steps,
}

impl Shelf {
    const ALL: [Self; 4] = [Self::Files, Self::Contexts, Self::Builds, Self::Steps];

    fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Contexts => "contexts",
            Self::Builds => "builds",
            Self::Steps => "steps",
        }
    }

    /// Bytes that may be kept.
    fn budget(self) -> u64 {
        match self {
            Self::Files | Self::Contexts | Self::Steps => 128 << 20,
            Self::Builds => 8 << 20,
        }
    }
}

/// A project's cache.
#[derive(Debug)]
pub(crate) struct Cache {
    /// In the project.
    path: PathBuf,
    /// The user's own, or the project's where there is none.
    shared: PathBuf,
    key: key::Key,
}

impl Cache {
    /// Opens the cache, which is made where it is not there. `shared` is the user's own; where it
    /// cannot be used, the project's stands in.
    pub(crate) fn open(root: &Path, shared: Option<&Path>) -> Result<Self, Trouble> {
        let path = root.join(".hoist").join("cache");
        let opened = || -> io::Result<Self> {
            folder(&root.join(".hoist"))?;
            folder(&path)?;
            for shelf in Shelf::ALL {
                folder(&path.join(shelf.name()))?;
            }
            let users = shared.and_then(|shared| Some((open_shared(shared).ok()?, shared)));
            let (key, shared) = match users {
                Some((key, shared)) => (key, shared.to_owned()),
                None => (key::load(&path)?, path.clone()),
            };
            Ok(Self {
                path: path.clone(),
                shared,
                key,
            })
        };
        match opened() {
            Ok(cache) => Ok(cache),
            Err(error) => Err(Trouble::new("the cache of earlier runs cannot be used")
                .cause(format!("{}: {error}", path.display()))),
        }
    }

    /// Hashes what must not be guessed from its digest.
    pub(super) fn key(&self) -> &key::Key {
        &self.key
    }

    /// Where something is kept.
    pub(super) fn place(&self, shelf: Shelf, name: &str) -> PathBuf {
        self.shelf(shelf).join(name)
    }

    fn shelf(&self, shelf: Shelf) -> PathBuf {
        let cache = match shelf {
            Shelf::Files | Shelf::Contexts | Shelf::Steps => &self.path,
            Shelf::Builds => &self.shared,
        };
        cache.join(shelf.name())
    }

    /// A file that [`Cache::put`] takes.
    pub(super) fn draft(&self, shelf: Shelf) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.shelf(shelf))
    }

    /// Keeps a file whole, in place of what is there, and drops what is too old or too much.
    pub(super) fn put(&self, shelf: Shelf, name: &str, mut draft: NamedTempFile) -> io::Result<()> {
        draft.flush()?;
        draft.as_file().sync_all()?;
        draft.persist(self.place(shelf, name))?;
        prune(&self.shelf(shelf), shelf.budget());
        Ok(())
    }

    /// Whether it is there; from now on it counts as used.
    pub(super) fn touch(&self, shelf: Shelf, name: &str) -> bool {
        let Ok(file) = File::open(self.place(shelf, name)) else {
            return false;
        };
        let now = SystemTime::now();
        let used = file.metadata().and_then(|data| data.modified());
        if used.is_ok_and(|used| now.duration_since(used).unwrap_or_default() > FRESH) {
            let _ = file.set_modified(now);
        }
        true
    }
}

/// Where the manifest of a context is kept, for readers, who make nothing.
pub(super) fn manifest(root: &Path, name: &str) -> PathBuf {
    let cache = root.join(".hoist").join("cache");
    cache.join(Shelf::Contexts.name()).join(name)
}

/// Opens the user's own cache.
fn open_shared(shared: &Path) -> io::Result<key::Key> {
    fs::create_dir_all(shared)?;
    folder(&shared.join(Shelf::Builds.name()))?;
    key::load(shared)
}

/// Makes a folder. A project could bring a link along that makes a run write anywhere.
fn folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match fs::symlink_metadata(path)?.is_dir() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{} is not a folder",
            path.display()
        ))),
    }
}

/// Drops what is too old, and of the rest what goes beyond the budget, the oldest first. What
/// another run drops at the same time is fine.
fn prune(folder: &Path, budget: u64) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let files = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let data = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some((data.modified().ok()?, data.len(), entry.path()))
    });
    let mut files: Vec<_> = files.collect();
    files.sort_unstable_by(|left, right| right.cmp(left));
    let (now, mut sum) = (SystemTime::now(), 0u64);
    for (used, size, path) in files {
        sum = sum.saturating_add(size);
        let old = now.duration_since(used).unwrap_or_default() > MAX_AGE;
        if old || sum > budget {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str, size: usize, age: Duration) {
        fs::write(folder.join(name), vec![0; size]).unwrap();
        let file = File::options().write(true).open(folder.join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn what_is_old_or_too_much_goes_and_the_newest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let day = Duration::from_secs(24 * 3600);
        file(folder.path(), "ancient", 1, 31 * day);
        file(folder.path(), "old", 60, 2 * day);
        file(folder.path(), "recent", 60, day);
        file(folder.path(), "new", 30, Duration::ZERO);
        prune(folder.path(), 100);
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["new", "recent"]);
    }

    #[test]
    fn links_that_lead_elsewhere_are_refused() {
        let elsewhere = tempfile::tempdir().unwrap();
        for link in [".hoist", ".hoist/cache", ".hoist/cache/builds"] {
            let root = tempfile::tempdir().unwrap();
            let link = root.path().join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();
            let refused = Cache::open(root.path(), None).unwrap_err();
            assert!(refused.cause.unwrap().contains("is not a folder"));
        }
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn clones_share_what_was_built_and_its_key_and_nothing_of_their_files() {
        let shared = tempfile::tempdir().unwrap();
        let users = shared.path().join("caches/hoist");
        let [one, two] = [(), ()].map(|()| {
            let root = tempfile::tempdir().unwrap();
            Cache::open(root.path(), Some(&users)).unwrap()
        });
        let same = |shelf| one.place(shelf, "a") == two.place(shelf, "a");
        assert!(same(Shelf::Builds) && !same(Shelf::Files) && !same(Shelf::Contexts));
        assert_eq!(one.key().hash("a", "b"), two.key().hash("a", "b"));
    }

    #[test]
    fn the_projects_own_stands_in_for_a_users_cache_that_cannot_be_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path(), Some(file.path())).unwrap();
        let place = cache.place(Shelf::Builds, "a");
        assert!(place.starts_with(root.path()));
    }

    #[test]
    fn what_is_used_counts_as_new() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path(), None).unwrap();
        assert!(!cache.touch(Shelf::Contexts, "a"));
        let folder = root.path().join(".hoist/cache/contexts");
        file(&folder, "a", 1, 10 * FRESH);
        assert!(cache.touch(Shelf::Contexts, "a"));
        let used = fs::metadata(folder.join("a")).unwrap().modified().unwrap();
        assert!(used.elapsed().unwrap() < FRESH);
    }
}
