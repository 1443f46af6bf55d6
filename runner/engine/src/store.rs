//! The run folder: what a run leaves on disk, and the one source for what it was.
//!
//! `.hoist/runs/<run>/` holds `run.json` (what the run is, written whole at its start and its end),
//! `events.jsonl` (each event as it happened), one log a step in `logs/` with those of its services
//! in a folder beside it, and `artifacts/` and `reports/`. Readers fold the events; they refuse to trust that a run has ended well, or at all.

mod folder;
mod names;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use hoist_model::event::RunEvent;
use hoist_model::ids::{RunId, StepId};
use hoist_model::plan::Plan;
use hoist_model::reason::Trouble;
use hoist_model::state::RunState;
use serde::{Deserialize, Serialize};

use crate::owner::{self, Life, Owner};
pub(crate) use folder::{RunFolder, service_log};
pub use names::{attempt_name, file_names};

/// The file whose presence asks the run's process to stop it.
const CANCEL: &str = "cancel";
const EVENTS: &str = "events.jsonl";
const RECORD: &str = "run.json";
const PLAN: &str = "plan.json";
const LOGS: &str = "logs";
const ARTIFACTS: &str = "artifacts";
const REPORTS: &str = "reports";

/// A project's runs, `.hoist/runs` under its root.
#[derive(Clone, Debug)]
pub struct Store {
    runs: PathBuf,
}

/// A run that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRun {
    /// Its ID.
    pub id: RunId,
    /// Its folder.
    pub folder: PathBuf,
}

/// What `run.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of this form: 1.
    pub format: u32,
    /// hoist's version.
    pub version: String,
    /// The process that runs it, as [`Owner`] writes itself.
    pub owner: String,
    /// The run as it was when this was written; only its end is whole.
    pub state: RunState,
}

impl Store {
    /// The runs of the project with that root. Touches nothing.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            runs: root.join(".hoist").join("runs"),
        }
    }

    /// All runs, the newest first; none where there is no folder yet.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<StoredRun>, Trouble> {
        let unreadable = |error| trouble("the runs cannot be listed", &self.runs, &error);
        let entries = match fs::read_dir(&self.runs) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut runs = Vec::new();
        for entry in entries {
            let entry = entry.map_err(unreadable)?;
            // What is named otherwise is no run's.
            if let Some(id) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                runs.push(StoredRun {
                    id,
                    folder: entry.path(),
                });
            }
        }
        // IDs begin with the time at which they were given.
        runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.id));
        Ok(runs)
    }

    /// The newest run, if there is one.
    ///
    /// # Errors
    /// As for [`Store::list`].
    pub fn latest(&self) -> Result<Option<StoredRun>, Trouble> {
        Ok(self.list()?.into_iter().next())
    }

    /// The run whose ID begins or ends with `id`.
    ///
    /// # Errors
    /// When there is none, or more than one; as for [`Store::list`].
    pub fn find(&self, id: &str) -> Result<StoredRun, Trouble> {
        let wanted = id.to_ascii_lowercase();
        let mut found = self.list()?;
        // IDs of the same day begin alike; their ends differ.
        found.retain(|run| {
            let id = run.id.to_string();
            !wanted.is_empty() && (id.starts_with(&wanted) || id.ends_with(&wanted))
        });
        let many = found.len();
        match found.pop() {
            Some(run) if many == 1 => Ok(run),
            Some(_) => Err(Trouble::new(format!("{many} runs are called {id}"))
                .hint("write more of its ID; .hoist/runs has a folder for each")),
            None => Err(Trouble::new(format!("there is no run {id}"))
                .hint(".hoist/runs has a folder for each run")),
        }
    }
}

impl StoredRun {
    /// Its events. A last line that is cut off is left out: the run may be going on, or its process
    /// was killed.
    ///
    /// # Errors
    /// When they cannot be read, or hold something else.
    pub fn events(&self) -> Result<Vec<RunEvent>, Trouble> {
        let path = self.folder.join(EVENTS);
        let what = format!("the events of run {} cannot be read", self.id);
        let file = fs::File::open(&path).map_err(|error| trouble(&what, &path, &error))?;
        let mut events = Vec::new();
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line);
            read.map_err(|error| trouble(&what, &path, &error))?;
            if line.pop() != Some(b'\n') {
                return Ok(events);
            }
            let event = serde_json::from_slice(&line).map_err(|error| {
                let at = events.len() + 1;
                Trouble::new(&what).cause(format!("{}, line {at}: {error}", path.display()))
            })?;
            events.push(event);
        }
    }

    /// What the run was, by its events.
    ///
    /// # Errors
    /// As for [`StoredRun::events`].
    pub fn state(&self) -> Result<RunState, Trouble> {
        let mut state = RunState::default();
        self.events()?.iter().for_each(|event| state.apply(event));
        Ok(state)
    }

    /// The plan that it had.
    ///
    /// # Errors
    /// When it was not kept, or cannot be read.
    pub fn plan(&self) -> Result<Plan, Trouble> {
        let path = self.folder.join(PLAN);
        let what = format!("the plan of run {} cannot be read", self.id);
        let text = fs::read(&path).map_err(|error| {
            let hint = "one that holds a secret is not kept; `hoist run` begins from pipeline.toml";
            trouble(&what, &path, &error).hint(hint)
        })?;
        serde_json::from_slice(&text)
            .map_err(|error| Trouble::new(what).cause(format!("{}: {error}", path.display())))
    }

    /// What `run.json` holds.
    ///
    /// # Errors
    /// When it cannot be read, or holds something else.
    pub fn record(&self) -> Result<RunRecord, Trouble> {
        let path = self.folder.join(RECORD);
        let what = format!("the record of run {} cannot be read", self.id);
        let text = fs::read(&path).map_err(|error| trouble(&what, &path, &error))?;
        serde_json::from_slice(&text)
            .map_err(|error| Trouble::new(what).cause(format!("{}: {error}", path.display())))
    }

    /// The raw log of the step's last attempt, or of the given one, masked; it is there once that
    /// has started.
    ///
    /// # Errors
    /// When the run has no such step or attempt, or its events cannot be read.
    pub fn log(&self, step: &StepId, attempt: Option<u32>) -> Result<PathBuf, Trouble> {
        let state = self.state()?;
        let ids: Vec<&StepId> = state.steps.iter().map(|step| step.id()).collect();
        let name = ids
            .iter()
            .position(|id| *id == step)
            .and_then(|at| file_names(ids.iter().copied()).into_iter().nth(at));
        let name = name.ok_or_else(|| {
            let known: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
            Trouble::new(format!("run {} has no step `{step}`", self.id))
                .hint(format!("its steps are: {}", known.join(", ")))
        })?;
        let failed = state
            .step(step)
            .map_or(0, |step| step.failed_attempts.len());
        let last = u32::try_from(failed).unwrap_or(u32::MAX).saturating_add(1);
        let attempt = attempt.unwrap_or(last);
        if !(1..=last).contains(&attempt) {
            return Err(Trouble::new(format!(
                "there was no attempt {attempt} at `{step}` in run {}",
                self.id
            ))
            .hint(format!("attempts are numbered from 1 to {last}")));
        }
        let name = attempt_name(&name, attempt);
        Ok(self.folder.join(LOGS).join(format!("{name}.log")))
    }

    /// The raw log of a service beside the step, masked, of the last attempt or of the given one.
    ///
    /// # Errors
    /// When no such service was started there; as for [`StoredRun::log`].
    pub fn service_log(
        &self,
        step: &StepId,
        attempt: Option<u32>,
        service: &str,
    ) -> Result<PathBuf, Trouble> {
        let folder = self.log(step, attempt)?.with_extension("");
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut known: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        known.sort();
        let name = |path: &PathBuf| path.file_stem().map(|name| name.to_string_lossy().into());
        let names: Vec<String> = known.iter().filter_map(name).collect();
        let found = names.iter().position(|name| name == service);
        found.and_then(|at| known.get(at).cloned()).ok_or_else(|| {
            let what = format!("no service `{service}` was started beside `{step}`");
            match names.as_slice() {
                [] => Trouble::new(what).hint("the step has no services in that run"),
                names => Trouble::new(what).hint(format!("its services are: {}", names.join(", "))),
            }
        })
    }

    /// Whether its process still runs; `None` where that cannot be told from here.
    ///
    /// # Errors
    /// As for [`StoredRun::record`].
    pub fn is_alive(&self) -> Result<Option<bool>, Trouble> {
        let owner = self.record()?.owner.parse::<Owner>();
        let life = owner.map_or(Life::Unknown, |owner| {
            owner.life(&Owner::here(), owner::look)
        });
        Ok(match life {
            Life::Alive => Some(true),
            Life::Dead => Some(false),
            Life::Unknown => None,
        })
    }

    /// Asks the run's process to stop it.
    ///
    /// # Errors
    /// When the request cannot be written.
    pub fn request_cancel(&self) -> Result<(), Trouble> {
        let path = self.folder.join(CANCEL);
        let what = format!("run {} cannot be asked to stop", self.id);
        fs::write(&path, []).map_err(|error| trouble(&what, &path, &error))
    }
}

fn trouble(what: &str, path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::new(what).cause(format!("{}: {error}", path.display()))
}
