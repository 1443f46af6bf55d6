//! `hoist watch`: runs the pipeline again whenever a file changes that matters to it. A change
//! while a run goes on stops that run with grace and begins another: what it would have said is of
//! a state that is no more.

mod changes;
mod interest;

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::pin::pin;

use hoist_engine::run::RunSummary;
use hoist_model::reason::{Signal, Trouble, Verdict};
use tokio::sync::mpsc;

use self::changes::Changes;
use self::interest::Interest;
use super::{Outcome, run, say};
use crate::args::{self, Progress};
use crate::exit::{self, CliError};
use crate::options::Options;
use crate::project;
use crate::terminal::WithoutEcho;

/// Clears the screen and goes to its first line; what was scrolled away stays.
const CLEAR: &str = "\x1b[2J\x1b[H";
/// So many changed files are named.
const NAMED: usize = 3;

pub(super) async fn execute(args: &args::Watch, options: &Options) -> Outcome {
    if args.run.dry_run {
        let trouble = Trouble::new("`hoist watch` has no --dry-run");
        return Err(CliError::usage(
            trouble.hint("`hoist plan` shows what would be run"),
        ));
    }
    if args.run.shell_on_failure {
        let trouble = Trouble::new("`hoist watch` has no --shell-on-failure");
        return Err(CliError::usage(trouble.hint(
            "a change would end the shell; `hoist run --shell-on-failure` has time",
        )));
    }
    let clears =
        !args.no_clear && options.progress == Progress::Tty && std::io::stderr().is_terminal();
    let mut watch = Watch::new(args, options)?;
    let _echo = (options.progress == Progress::Tty).then(WithoutEcho::start);
    let mut changed = BTreeSet::new();
    loop {
        if clears {
            say(CLEAR);
        }
        say(&watch.heading(&changed));
        changed = match watch.round(changed.is_empty()).await? {
            Round::Changed(paths) => paths,
            Round::Over => {
                say("watching for changes; Ctrl-C ends\n");
                tokio::select! {
                    biased;
                    Some(signal) = watch.signals.recv() => {
                        return Ok(Verdict::Interrupted(signal));
                    }
                    paths = watch.changes.next() => paths.map_err(CliError::trouble)?,
                }
            }
            Round::Ended(verdict) => return Ok(verdict),
        };
    }
}

/// What is watched.
struct Watch<'a> {
    args: &'a args::Watch,
    options: &'a Options,
    /// The project's root and its file, links followed.
    root: PathBuf,
    file: PathBuf,
    changes: Changes,
    signals: mpsc::Receiver<Signal>,
}

/// How a run under watch ended.
enum Round {
    /// By itself.
    Over,
    /// These changed meanwhile.
    Changed(BTreeSet<PathBuf>),
    /// The command is to end.
    Ended(Verdict),
}

impl<'a> Watch<'a> {
    fn new(args: &'a args::Watch, options: &'a Options) -> Result<Self, CliError> {
        // Without a file there is nothing to come back to.
        if !options.file.is_file() {
            project::read(options)?;
        }
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (root, file) = (real(&options.root), real(&options.file));
        let everything = Interest::everything(&root, &file);
        let changes = Changes::new(&root, everything).map_err(CliError::trouble)?;
        Ok(Self {
            args,
            options,
            root,
            file,
            changes,
            signals: run::signals()?,
        })
    }

    /// Reads the file and runs what it says. Faults of the file are told, and a change may mend
    /// them; those of the command line are not.
    async fn round(&mut self, first: bool) -> Result<Round, CliError> {
        let (options, args) = (self.options, &self.args.run);
        let project = match project::read(options) {
            Ok(project) => project,
            Err(error) => {
                exit::report(&error, options.colour_err);
                let everything = Interest::everything(&self.root, &self.file);
                self.look_at(everything)?;
                return Ok(Round::Over);
            }
        };
        say(&project.warnings);
        let (send, signals) = mpsc::channel(8);
        let prepared = run::chosen(&project.plan, args).and_then(|plan| {
            let interest = Interest::of(&self.root, &self.file, &plan, &project.sources);
            let interest = interest.map_err(CliError::usage)?;
            let request = run::request(plan, project.git.sha, args, options, signals)?;
            Ok((interest, request))
        });
        let (interest, request) = match prepared {
            Ok(prepared) => prepared,
            Err(error) if first => return Err(error),
            Err(error) => {
                exit::report(&error, options.colour_err);
                return Ok(Round::Over);
            }
        };
        self.look_at(interest)?;
        let (ended, seen) = self.attend(run::go(request), &send).await?;
        match (ended, seen.signal) {
            (Ok(summary), Some(signal)) => Ok(Round::Ended(match summary.verdict {
                verdict @ Verdict::Interrupted(_) => verdict,
                _ => Verdict::Interrupted(signal),
            })),
            (Err(_), Some(signal)) => Ok(Round::Ended(Verdict::Interrupted(signal))),
            (Ok(_) | Err(_), None) if !seen.changed.is_empty() => Ok(Round::Changed(seen.changed)),
            (Ok(_), None) => Ok(Round::Over),
            (Err(error), None) if first => Err(error),
            (Err(error), None) => {
                exit::report(&error, options.colour_err);
                Ok(Round::Over)
            }
        }
    }

    /// Waits for the end of a run, and stops it when files change or a signal comes.
    async fn attend(
        &mut self,
        work: impl Future<Output = Result<RunSummary, CliError>>,
        stop: &mpsc::Sender<Signal>,
    ) -> Result<(Result<RunSummary, CliError>, Attended), CliError> {
        let mut seen = Attended::default();
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                ended = &mut work => return Ok((ended, seen)),
                Some(signal) = self.signals.recv() => {
                    seen.signal = Some(signal);
                    // The run counts them, and may have ended meanwhile.
                    let _ = stop.send(signal).await;
                }
                paths = self.changes.next() => {
                    let paths = paths.map_err(CliError::trouble)?;
                    if seen.changed.is_empty() && seen.signal.is_none() {
                        let _ = stop.send(Signal::Interrupt).await;
                    }
                    seen.changed.extend(paths);
                }
            }
        }
    }

    fn look_at(&mut self, interest: Interest) -> Result<(), CliError> {
        self.changes
            .set(&self.root, interest)
            .map_err(CliError::trouble)
    }

    /// Says what changed.
    fn heading(&self, changed: &BTreeSet<PathBuf>) -> String {
        let shown = changed.iter().take(NAMED).map(|path| {
            let below = path.strip_prefix(&self.root).unwrap_or(path);
            below.display().to_string()
        });
        let shown: Vec<String> = shown.collect();
        match changed.len().saturating_sub(NAMED) {
            _ if shown.is_empty() => String::new(),
            0 => format!("changed: {}\n", shown.join(", ")),
            more => format!("changed: {} and {more} more\n", shown.join(", ")),
        }
    }
}

/// What came while a run went on.
#[derive(Default)]
struct Attended {
    signal: Option<Signal>,
    changed: BTreeSet<PathBuf>,
}
