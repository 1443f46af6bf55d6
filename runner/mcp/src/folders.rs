//! Where the server may look: the folders that were named when it was started, and nothing that a
//! link leads to outside of them. What a client calls a root is not asked for.

use std::path::{Path, PathBuf};

use hoist_engine::store::{Store, StoredRun};
use hoist_model::reason::Trouble;

/// The file that a project is known by.
pub(crate) const FILE: &str = "pipeline.toml";
/// How deep below a root projects are looked for.
const DEPTH: usize = 3;
/// How many projects are looked at.
const PROJECTS: usize = 50;
/// Folders in which no project is looked for, besides those that begin with a dot.
const PASSED: [&str; 4] = ["node_modules", "target", "vendor", "venv"];

/// The folders that the server may look into.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    roots: Vec<PathBuf>,
}

impl Folders {
    /// These, with all links in their paths resolved.
    ///
    /// # Errors
    /// When one is no folder.
    pub(crate) fn new(roots: &[PathBuf]) -> Result<Self, Trouble> {
        let real = |root: &PathBuf| {
            let real = root.canonicalize().ok().filter(|real| real.is_dir());
            real.ok_or_else(|| {
                Trouble::new(format!("there is no folder {}", root.display()))
                    .hint("name a folder with --root")
            })
        };
        let roots = roots.iter().map(real).collect::<Result<_, _>>()?;
        Ok(Self { roots })
    }

    /// The folder of a project: the only root where none is named.
    ///
    /// # Errors
    /// When it is not there or not inside a root.
    pub(crate) fn workspace(&self, named: Option<&str>) -> Result<PathBuf, Trouble> {
        let Some(named) = named else {
            return match self.roots.as_slice() {
                [only] => Ok(only.clone()),
                _ => Err(Trouble::new("which workspace is meant?")
                    .hint("list_pipelines shows them: give one as `workspace`")),
            };
        };
        let found = self.roots.iter().find_map(|root| {
            let real = root.join(named).canonicalize().ok()?;
            (real.is_dir() && self.holds(&real)).then_some(real)
        });
        found.ok_or_else(|| {
            Trouble::new(format!(
                "there is no workspace {named} inside the server's roots"
            ))
            .hint("list_pipelines shows them; --root names more when the server is started")
        })
    }

    /// A file of a workspace, relative to it.
    ///
    /// # Errors
    /// When it is not there or not inside the workspace.
    pub(crate) fn file(&self, workspace: &Path, named: Option<&str>) -> Result<PathBuf, Trouble> {
        let named = named.unwrap_or(FILE);
        let real = workspace.join(named).canonicalize().ok();
        real.filter(|real| real.is_file() && real.starts_with(workspace))
            .ok_or_else(|| {
                let shown = workspace.display();
                Trouble::new(format!("there is no file {named} in {shown}"))
                    .hint("list_pipelines shows what there is; `hoist init` writes a file")
            })
    }

    /// Folders with a pipeline.toml, the roots first.
    pub(crate) fn projects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for root in &self.roots {
            look(root, DEPTH, &mut found);
        }
        found.dedup();
        found
    }

    /// The run whose ID begins or ends so, in any of the projects, and the project's folder;
    /// `latest` is the newest of them.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(crate) fn run(&self, id: &str) -> Result<(PathBuf, StoredRun), Trouble> {
        let mut found = Vec::new();
        let mut failure = None;
        for workspace in self.with_runs() {
            let store = Store::new(&workspace);
            let run = match id {
                "latest" => store.latest(),
                id => store.find(id).map(Some),
            };
            match run {
                Ok(run) => found.extend(run.map(|run| (workspace, run))),
                Err(trouble) => failure = Some(trouble),
            }
        }
        found.sort_by_key(|(_, run)| std::cmp::Reverse(run.id));
        let many = found.len();
        match found.into_iter().next() {
            Some(one) if many == 1 || id == "latest" => Ok(one),
            Some(_) => Err(Trouble::new(format!("{many} runs are called {id}"))
                .hint("give the whole run_id; list_runs shows them")),
            None => Err(failure.filter(|_| id != "latest").map_or_else(
                || Trouble::new("there is no run yet").hint("start one with run_pipeline"),
                |trouble| trouble.hint("list_runs shows the runs there are"),
            )),
        }
    }

    /// Folders whose runs may be read.
    pub(crate) fn with_runs(&self) -> Vec<PathBuf> {
        let mut folders = self.roots.clone();
        folders.extend(self.projects());
        folders.sort();
        folders.dedup();
        // A project could bring a link along that shows the runs of another.
        folders.retain(|folder| {
            let runs = folder.join(".hoist").join("runs");
            runs.canonicalize().is_ok_and(|real| real == runs)
        });
        folders
    }

    fn holds(&self, real: &Path) -> bool {
        self.roots.iter().any(|root| real.starts_with(root))
    }
}

fn look(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if found.len() >= PROJECTS {
        return;
    }
    if folder.join(FILE).is_file() {
        found.push(folder.to_owned());
    }
    if depth == 0 {
        return;
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut inner: Vec<PathBuf> = entries
        // Links are not followed.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            !name.starts_with('.') && !PASSED.contains(&&*name)
        })
        .map(|entry| entry.path())
        .collect();
    inner.sort();
    for folder in inner {
        look(&folder, depth - 1, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_roots() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join(FILE), "").unwrap();
        std::fs::create_dir(inside.path().join("a")).unwrap();
        std::fs::write(inside.path().join("a").join(FILE), "").unwrap();
        std::os::unix::fs::symlink(outside.path(), inside.path().join("link")).unwrap();
        let file = inside.path().join("linked.toml");
        std::os::unix::fs::symlink(outside.path().join(FILE), file).unwrap();
        let folders = Folders::new(&[inside.path().to_owned()]).unwrap();
        let root = folders.workspace(None).unwrap();
        assert_eq!(folders.workspace(Some("a")).unwrap(), root.join("a"));
        for wrong in ["link", "..", "/", "../../etc", "none"] {
            assert!(folders.workspace(Some(wrong)).is_err(), "{wrong}");
        }
        for wrong in [
            "linked.toml",
            "link/pipeline.toml",
            "/etc/hostname",
            "../x",
            "a",
        ] {
            assert!(folders.file(&root, Some(wrong)).is_err(), "{wrong}");
        }
        assert!(folders.file(&root, Some("a/pipeline.toml")).is_ok());
        assert_eq!(folders.projects(), [root.join("a")]);
    }

    #[test]
    fn runs_behind_a_link_are_not_read() {
        let outside = tempfile::tempdir().unwrap();
        let runs = outside.path().join("runs");
        std::fs::create_dir_all(runs.join("0190b5a4-0000-7000-8000-000000000000")).unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), inside.path().join(".hoist")).unwrap();
        let folders = Folders::new(&[inside.path().to_owned()]).unwrap();
        assert!(folders.run("0190b5a4").is_err());
        assert!(folders.run("latest").is_err());
    }
}
