//! Which changes of a project's files matter to a plan: those of what its steps are sent, and of
//! what the plan itself is made from. It looks at paths only, and refuses to look at files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hoist_engine::backend::ContextFolder;
use hoist_engine::survey;
use hoist_model::ignore::IgnoreFile;
use hoist_model::plan::{Plan, SecretSource};
use hoist_model::reason::Trouble;
use hoist_model::unit::{DockerfileSource, Unit};

/// Folders that change while nothing is edited: hoist's own, and git's.
const NEVER: [&str; 2] = [".hoist", ".git"];

/// The paths that matter; absolute, links of the root followed.
#[derive(Debug)]
pub(super) struct Interest {
    root: PathBuf,
    folders: Vec<ContextFolder>,
    files: BTreeSet<PathBuf>,
}

impl Interest {
    /// Everything below the root: what matters while nothing is known of the plan.
    pub(super) fn everything(root: &Path, file: &Path) -> Self {
        let all = ContextFolder::new(root, IgnoreFile::default());
        Self {
            root: root.to_owned(),
            folders: vec![all],
            files: BTreeSet::from([file.to_owned()]),
        }
    }

    /// What matters to a plan that is read from `file`, and from these files by step.
    pub(super) fn of(
        root: &Path,
        file: &Path,
        plan: &Plan,
        sources: &BTreeMap<String, BTreeSet<String>>,
    ) -> Result<Self, Trouble> {
        let mut folders = Vec::new();
        let mut files = BTreeSet::from([file.to_owned()]);
        for step in plan.steps.iter().filter(|step| step.skip.is_none()) {
            folders.extend(survey::folders(root, plan, step)?);
            let sources = sources.get(step.id.as_str()).into_iter().flatten();
            files.extend(sources.map(|path| root.join(path)));
            match &step.unit {
                Unit::Build(unit) => {
                    if let DockerfileSource::File(path) = &unit.dockerfile {
                        files.insert(root.join(path));
                        files.insert(root.join(format!("{path}.dockerignore")));
                    }
                    let contexts = std::iter::once(&unit.context).chain(unit.contexts.values());
                    files.extend(contexts.map(|path| root.join(path).join(".dockerignore")));
                }
                Unit::Container(unit) => {
                    if let Some(source) = &unit.source {
                        let rules = source.ignorefile.as_deref().unwrap_or(".dockerignore");
                        files.insert(root.join(rules));
                    }
                }
                Unit::Push(_) | Unit::Release(_) => {}
            }
        }
        files.extend(plan.secrets.values().filter_map(|secret| match secret {
            SecretSource::File(path) => Some(root.join(path)),
            SecretSource::Environment(_) => None,
        }));
        // Joined paths may hold a `.`, which those of changes do not.
        let files = files.into_iter().map(|path| path.components().collect());
        Ok(Self {
            root: root.to_owned(),
            folders,
            files: files.collect(),
        })
    }

    /// A change of this path matters.
    pub(super) fn holds(&self, path: &Path) -> bool {
        if self.files.contains(path) {
            return true;
        }
        if self.is_never(path) || path.file_name().is_some_and(is_scratch) {
            return false;
        }
        self.folders.iter().any(|folder| {
            let Ok(below) = path.strip_prefix(&folder.path) else {
                return false;
            };
            !below.as_os_str().is_empty() && !folder.ignore.is_ignored(&below.to_string_lossy())
        })
    }

    /// Something in this folder may matter.
    pub(super) fn descends(&self, path: &Path) -> bool {
        if self.files.iter().any(|file| file.starts_with(path)) {
            return true;
        }
        if self.is_never(path) {
            return false;
        }
        self.folders
            .iter()
            .any(|folder| match path.strip_prefix(&folder.path) {
                Ok(below) => folder
                    .ignore
                    .matcher()
                    .may_descend(&below.to_string_lossy()),
                Err(_) => folder.path.starts_with(path),
            })
    }

    fn is_never(&self, path: &Path) -> bool {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        below
            .components()
            .any(|part| NEVER.iter().any(|name| part.as_os_str() == *name))
    }
}

/// What editors put beside a file while it is open or written.
fn is_scratch(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    let ends = ["~", ".swp", ".swx", ".swo", "___jb_tmp___", "___jb_old___"];
    // 4913 is vim's: it tries whether it may write there.
    name.starts_with(".#")
        || name == "4913"
        || name == ".DS_Store"
        || ends.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest() -> Interest {
        let ignore = IgnoreFile::parse("*.log\nout\nvendor/*\n!vendor/kept\n").unwrap();
        let folder = ContextFolder::new("/p/app", ignore);
        Interest {
            root: "/p".into(),
            folders: vec![folder],
            files: BTreeSet::from(["/p/pipeline.toml".into(), "/p/docker/Dockerfile".into()]),
        }
    }

    #[test]
    fn what_is_sent_and_what_the_plan_is_made_from_matters() {
        let interest = interest();
        for path in [
            "/p/pipeline.toml",
            "/p/docker/Dockerfile",
            "/p/app/src/main.py",
            "/p/app/vendor/kept",
        ] {
            assert!(interest.holds(Path::new(path)), "{path}");
        }
        for path in [
            "/p/README.md",
            "/p/docker/other",
            "/p/app",
            "/p/app/a.log",
            "/p/app/out/page.html",
            "/p/app/vendor/other",
            "/p/app/src/.main.py.swp",
            "/p/app/src/main.py~",
            "/p/app/.git/index",
            "/p/.hoist/runs/1/run.json",
        ] {
            assert!(!interest.holds(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn only_folders_are_watched_in_which_something_may_matter() {
        let interest = interest();
        let watched = ["/p", "/p/app", "/p/app/src", "/p/app/vendor", "/p/docker"];
        for path in watched {
            assert!(interest.descends(Path::new(path)), "{path}");
        }
        for path in ["/p/app/out", "/p/other", "/p/.git", "/p/.hoist/runs"] {
            assert!(!interest.descends(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn while_the_plan_is_unknown_everything_matters_but_bookkeeping() {
        let root = Path::new("/p");
        let interest = Interest::everything(root, Path::new("/p/pipeline.toml"));
        assert!(interest.holds(Path::new("/p/src/a")));
        assert!(interest.descends(root));
        assert!(!interest.holds(Path::new("/p/.hoist/runs/1/run.json")));
    }
}
