//! The folder of a run that goes on, for its own process alone.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use hoist_model::ids::{RunId, StepId, StepIx};
use hoist_model::reason::Trouble;

use super::{
    ARTIFACTS, CANCEL, EVENTS, LOGS, PLAN, RECORD, REPORTS, RunRecord, attempt_name, file_names,
    trouble,
};

/// The folder of a run.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Of each step's files.
    names: Vec<String>,
}

impl RunFolder {
    /// Makes the folder. No other run can have it: its name is the run's ID.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn create<'a>(
        root: &Path,
        run: RunId,
        steps: impl IntoIterator<Item = &'a StepId>,
    ) -> Result<Self, Trouble> {
        let hoist = root.join(".hoist");
        let path = hoist.join("runs").join(run.to_string());
        make(&hoist, &path).map_err(|error| {
            trouble("the run folder cannot be made", &path, &error)
                .hint("hoist keeps its runs in the project's folder, which must be writable")
        })?;
        Ok(Self {
            path,
            names: file_names(steps),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins the file of its events.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn journal(&self) -> Result<File, Trouble> {
        self.new_file(&self.path.join(EVENTS))
    }

    /// Keeps the plan, for whoever does the run again.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keep_plan(&self, plan: &str) -> Result<(), Trouble> {
        let path = self.path.join(PLAN);
        let mut file = self.new_file(&path)?;
        let written = file.write_all(plan.as_bytes());
        written.map_err(|error| trouble("the plan cannot be written down", &path, &error))
    }

    /// Begins the log of an attempt at a step.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn log(&self, step: StepIx, attempt: u32) -> Result<File, Trouble> {
        let name = attempt_name(self.name(step), attempt);
        self.new_file(&self.path.join(LOGS).join(format!("{name}.log")))
    }

    /// The folder of what is kept of an attempt at a step.
    pub(crate) fn artifacts(&self, step: StepIx, attempt: u32) -> PathBuf {
        let name = attempt_name(self.name(step), attempt);
        self.path.join(ARTIFACTS).join(name)
    }

    /// Whether somebody asks the run to stop.
    pub(crate) fn cancel_requested(&self) -> bool {
        self.path.join(CANCEL).exists()
    }

    /// Writes `run.json` whole, or leaves the old one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, record: &RunRecord) -> Result<(), Trouble> {
        let path = self.path.join(RECORD);
        let written = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            file.write_all(&serde_json::to_vec_pretty(record)?)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        written().map_err(|error| trouble("the run's record cannot be written", &path, &error))
    }

    fn name(&self, step: StepIx) -> &str {
        self.names.get(step).map_or("step", String::as_str)
    }

    fn new_file(&self, path: &Path) -> Result<File, Trouble> {
        File::create_new(path)
            .map_err(|error| trouble("the run cannot be written down", path, &error))
    }
}

/// Begins the log of a service beside an attempt at a step, whose files have the name `attempt`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn service_log(run: &Path, attempt: &OsStr, service: &str) -> Result<File, Trouble> {
    // Logs of steps are files, so that no two names can meet.
    let folder = run.join(LOGS).join(attempt);
    let path = folder.join(format!("{service}.log"));
    fs::create_dir_all(&folder)
        .and_then(|()| File::create_new(&path))
        .map_err(|error| trouble("a service's output cannot be kept", &path, &error))
}

fn make(hoist: &Path, path: &Path) -> std::io::Result<()> {
    refuse_link(hoist)?;
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    refuse_link(&hoist.join("runs"))?;
    match File::create_new(hoist.join(".gitignore")) {
        Ok(mut file) => file.write_all(b"*\n")?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    fs::create_dir(path)?;
    for folder in [LOGS, ARTIFACTS, REPORTS] {
        fs::create_dir(path.join(folder))?;
    }
    Ok(())
}

/// A project could bring a link along that makes a run write anywhere.
fn refuse_link(path: &Path) -> std::io::Result<()> {
    let link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    if link {
        return Err(std::io::Error::other(format!(
            "{} is a symbolic link",
            path.display()
        )));
    }
    Ok(())
}
