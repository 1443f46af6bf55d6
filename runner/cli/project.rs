//! The project on disk: its file, its commit, its files as the plan may see them. It reads and
//! never writes, and asks nothing of an engine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use hoist_model::diag::{Diagnostic, Severity, SourceFile};
use hoist_model::ids::StepId;
use hoist_model::plan::{
    self, Entry, Git, Plan, Planned, ProjectFiles, Selection, Surroundings, ToolSettings,
    UnknownStep,
};
use hoist_model::reason::Trouble;
use hoist_model::spec;

use crate::args;
use crate::exit::CliError;
use crate::options::{Environment, FILE, Options, size};

/// A plan, and what people should know of it.
pub(crate) struct Project {
    /// The plan, all of it.
    pub(crate) plan: Plan,
    /// By the name of a step: the files of the project whose content stands in the plan for it.
    pub(crate) sources: BTreeMap<String, BTreeSet<String>>,
    /// Rendered warnings; may be empty.
    pub(crate) warnings: String,
    /// The commit, where there is one.
    pub(crate) git: Git,
}

/// A plan as it was made, with the file that faults and warnings point into.
pub(crate) struct Loaded {
    /// The file.
    pub(crate) file: SourceFile,
    /// The plan and its warnings.
    pub(crate) planned: Planned,
    /// The commit, where there is one.
    pub(crate) git: Git,
}

/// Why there is no plan.
pub(crate) enum Unplanned {
    /// The file cannot be read.
    File(Trouble),
    /// It is not valid.
    Faults(SourceFile, Vec<Diagnostic>),
}

/// Reads the file and makes its plan.
pub(crate) fn read(options: &Options) -> Result<Project, CliError> {
    let render = |file: &SourceFile, diagnostics: &[Diagnostic]| {
        let (width, _) = size();
        hoist_report::diagnostics::render(file, diagnostics, width, options.colour_err)
    };
    let loaded = load(options).map_err(|unplanned| match unplanned {
        Unplanned::File(trouble) => CliError::usage(trouble),
        Unplanned::Faults(file, found) => CliError::diagnostics(render(&file, &found)),
    })?;
    let warnings = render(&loaded.file, &loaded.planned.warnings);
    Ok(Project {
        plan: loaded.planned.plan,
        sources: loaded.planned.sources,
        warnings,
        git: loaded.git,
    })
}

/// Reads the file and makes its plan, and renders nothing.
pub(crate) fn load(options: &Options) -> Result<Loaded, Unplanned> {
    let text = text(options).map_err(Unplanned::File)?;
    let file = SourceFile::new(&options.file_shown, &text);
    let spec = match spec::parse(&options.file_shown, &text) {
        Ok(spec) => spec,
        Err(found) => return Err(Unplanned::Faults(file, found)),
    };
    let git = git(&options.root);
    let files = Files {
        root: options.root.clone(),
    };
    let surroundings = Surroundings {
        env: options.environment.clone(),
        git: git.clone(),
        files: &files,
        tools: tools(&options.environment),
    };
    let planned = match plan::make(&spec, &surroundings) {
        Ok(planned) => planned,
        Err(found) => return Err(Unplanned::Faults(file, found)),
    };
    debug_assert!(
        planned
            .warnings
            .iter()
            .all(|warning| warning.severity == Severity::Warning)
    );
    Ok(Loaded { file, planned, git })
}

/// The part of the plan for these steps.
pub(crate) fn select(plan: &Plan, steps: &[String]) -> Result<Plan, CliError> {
    let steps = steps.to_vec();
    let asked = args::Selection {
        steps,
        ..args::Selection::default()
    };
    choose(plan, &asked)
}

/// The part of the plan that is asked for.
pub(crate) fn choose(plan: &Plan, asked: &args::Selection) -> Result<Plan, CliError> {
    choose_for(plan, asked, false)
}

/// The same; `unverified`, deploys go on without the gates that are left out.
pub(crate) fn choose_for(
    plan: &Plan,
    asked: &args::Selection,
    unverified: bool,
) -> Result<Plan, CliError> {
    let steps = asked.steps.iter().map(|step| StepId::from(step.as_str()));
    let selection = Selection {
        steps: steps.collect(),
        from: asked.from.clone(),
        only: asked.only.clone(),
        skip: asked.skip.clone(),
        unverified,
    };
    plan::choose(plan, &selection).map_err(|unknown| {
        let trouble = Trouble::new(unknown.to_string());
        let hint = match unknown {
            UnknownStep::Name {
                near: Some(near), ..
            } => format!("did you mean `{near}`? `hoist plan` shows all of them"),
            UnknownStep::Name { near: None, .. } | UnknownStep::Pattern(_) => {
                "`hoist plan` shows all of them".to_owned()
            }
        };
        CliError::usage(trouble.hint(hint))
    })
}

fn text(options: &Options) -> Result<String, Trouble> {
    let shown = &options.file_shown;
    let bytes = std::fs::read(&options.file).map_err(|error| {
        let what = if error.kind() == std::io::ErrorKind::NotFound {
            let folder = options.file.parent().unwrap_or(&options.root).display();
            if *shown == FILE {
                format!("there is no {FILE} in {folder} or above")
            } else {
                format!("there is no {shown}")
            }
        } else {
            format!("cannot read {shown}: {error}")
        };
        let hint = "write one with `hoist init`, or name another with -f or another folder with -C";
        Trouble::new(what).hint(hint)
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Trouble::new(format!("{shown} is not UTF-8 text"))
            .cause(format!("byte {at} is no part of a character"))
            .hint("save it as UTF-8")
    })
}

/// Trivy's settings from the environment.
pub(crate) fn tools(environment: &Environment) -> ToolSettings {
    let get = |name: &str| {
        environment
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned()
    };
    ToolSettings {
        trivy: get("HOIST_TOOLS_TRIVY"),
        trivy_db: get("HOIST_TOOLS_TRIVY_DB"),
        haproxy: get("HOIST_TOOLS_HAPROXY"),
    }
}

/// The project's files as the plan may see them.
struct Files {
    root: PathBuf,
}

impl Files {
    /// The path, if no part of it leads out of the root.
    fn resolve(&self, path: &str) -> Result<PathBuf, Entry> {
        let path = Path::new(path);
        if path.is_absolute() {
            return Ok(path.to_owned());
        }
        if path
            .components()
            .any(|part| matches!(part, Component::ParentDir))
        {
            return Err(Entry::Outside);
        }
        let full = self.root.join(path);
        let real = match full.canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Entry::Missing);
            }
            Err(_) => return Err(Entry::Unreadable),
        };
        let root = self.root.canonicalize().map_err(|_| Entry::Unreadable)?;
        if real.starts_with(root) {
            Ok(real)
        } else {
            Err(Entry::Outside)
        }
    }
}

impl ProjectFiles for Files {
    fn entry(&self, path: &str) -> Entry {
        let path = match self.resolve(path) {
            Ok(path) => path,
            Err(entry) => return entry,
        };
        match std::fs::metadata(&path) {
            Ok(data) if data.is_dir() => Entry::Folder,
            Ok(data) if data.is_file() => match std::fs::File::open(&path) {
                Ok(_) => Entry::File,
                Err(_) => Entry::Unreadable,
            },
            Ok(_) => Entry::Other,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Entry::Missing,
            Err(_) => Entry::Unreadable,
        }
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.resolve(path).ok()?).ok()
    }

    fn changes(&self, base: &str) -> Result<Vec<String>, String> {
        let root = &self.root;
        if ask(root, &["rev-parse", "--git-dir"]).is_none() {
            return Err("the project is in no git repository".to_owned());
        }
        let commit = format!("{base}^{{commit}}");
        let find = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &commit,
        ];
        let commit = ask(root, &find).ok_or_else(|| format!("there is no commit `{base}`"))?;
        // A shallow clone may not reach back to where the two went apart.
        let fork = ask(root, &["merge-base", &commit, "HEAD"]).unwrap_or(commit);
        let names = [
            "diff",
            "--name-only",
            "--no-renames",
            "--relative",
            "-z",
            &fork,
        ];
        let new = ["ls-files", "--others", "--exclude-standard", "-z"];
        let mut changes = Vec::new();
        for question in [&names[..], &new[..]] {
            let answer = git_output(root, question).ok_or("git did not answer")?;
            let paths = answer.split('\0').filter(|path| !path.is_empty());
            changes.extend(paths.map(str::to_owned));
        }
        Ok(changes)
    }
}

/// git's answer, if it has one.
fn ask(root: &Path, arguments: &[&str]) -> Option<String> {
    let text = git_output(root, arguments)?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// What git prints, if it succeeds.
fn git_output(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let succeeded = output.status.success();
    succeeded.then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What git says of the checked-out commit. Without git or outside a repository, nothing.
pub(crate) fn git(root: &Path) -> Git {
    // Outside a repository there is nothing to ask, and asking takes its time.
    if !root.ancestors().any(|folder| folder.join(".git").exists()) {
        return Git::default();
    }
    // Asked at once: each is a process of its own.
    let [head, branch, tag, describe, remote] = std::thread::scope(|scope| {
        let questions: [&[&str]; 5] = [
            &["log", "-1", "--format=%H%n%h%n%cI"],
            &["symbolic-ref", "--short", "-q", "HEAD"],
            &["describe", "--tags", "--exact-match"],
            &["describe", "--tags"],
            &["config", "--get", "remote.origin.url"],
        ];
        let asked = questions.map(|question| scope.spawn(move || ask(root, question)));
        asked.map(|answer| answer.join().ok().flatten())
    });
    let Some(head) = head else {
        return Git::default();
    };
    let mut lines = head.lines().map(str::to_owned);
    let (sha, short_sha) = (lines.next(), lines.next());
    let commit_time = lines.next().and_then(|time| time.parse().ok());
    Git {
        sha,
        short_sha,
        branch,
        tag,
        describe,
        commit_time,
        remote: remote.map(|url| without_login(&url)),
    }
}

/// The URL without a user's name and password, for it ends up in labels.
fn without_login(url: &str) -> String {
    match (
        url.split_once("://"),
        url.split_once("://")
            .and_then(|(_, rest)| rest.split_once('@')),
    ) {
        (Some((scheme, rest)), Some((login, host)))
            if !login.contains('/') && rest.contains('@') =>
        {
            format!("{scheme}://{host}")
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_never_leaves_in_a_url() {
        assert_eq!(
            without_login("https://u:p@host/a.git"),
            "https://host/a.git"
        );
        assert_eq!(
            without_login("https://host/a@b.git"),
            "https://host/a@b.git"
        );
        assert_eq!(without_login("git@host:a.git"), "git@host:a.git");
    }
}
