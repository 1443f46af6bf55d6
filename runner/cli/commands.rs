//! The commands, one file each, and the words they share.

mod cancel;
mod completions;
mod context;
mod diagnose;
mod doctor;
mod down;
mod events;
mod exec;
mod explain;
mod gc;
mod init;
mod logs;
mod mcp;
mod plan;
mod promote;
mod proxy;
mod ps;
mod reap;
mod releases;
mod rerun;
mod restart;
mod rollback;
mod run;
mod runs;
mod scale;
mod schema;
mod shell;
mod stats;
mod tests;
mod unlock;
mod validate;
mod watch;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use hoist_docker::{DockerConnector, Settings};
use hoist_engine::backend::{Backend, Connector};
use hoist_engine::release::NotFound;
use hoist_model::reason::Verdict;

use crate::args::Command;
use crate::exit::{self, CliError};
use crate::options::Options;
use crate::project::{self, Project};

/// How a command ends.
pub(crate) type Outcome = Result<Verdict, CliError>;

/// Executes a command and gives the process's exit code.
pub(crate) async fn execute(command: Command, options: &Options) -> Result<ExitCode, CliError> {
    let ended = match command {
        Command::Run(args) => run::execute(&args, options).await,
        Command::Watch(args) => watch::execute(&args, options).await,
        Command::Shell(args) => shell::execute(&args, options).await,
        Command::Validate => validate::execute(options),
        Command::Plan(args) => plan::execute(&args, options).await,
        Command::Context(args) => context::execute(&args, options),
        Command::Explain(args) => explain::execute(&args, options),
        Command::Logs(args) => logs::execute(&args, options).await,
        Command::Mcp(args) => mcp::execute(&args, options).await,
        Command::Tests(args) => tests::execute(&args, options),
        Command::Rerun(args) => rerun::execute(&args, options).await,
        Command::Runs(args) => runs::execute(&args, options),
        Command::Cancel(args) => cancel::execute(&args, options),
        Command::Releases(args) => releases::execute(&args, options).await,
        Command::Unlock(args) => unlock::execute(&args, options).await,
        Command::Ps(args) => ps::execute(&args, options).await,
        Command::Rollback(args) => rollback::execute(&args, options).await,
        Command::Promote(args) => promote::execute(&args, options).await,
        Command::Proxy(args) => proxy::execute(&args, options).await,
        Command::Scale(args) => scale::execute(&args, options).await,
        Command::Stats(args) => stats::execute(&args, options).await,
        Command::Events(args) => events::execute(&args, options).await,
        Command::Diagnose(args) => diagnose::execute(&args, options).await,
        Command::Restart(args) => restart::execute(&args, options).await,
        Command::Exec(args) => return exec::execute(&args, options).await,
        Command::Down(args) => down::execute(&args, options).await,
        Command::Gc(args) => gc::execute(&args, options).await,
        Command::Init(args) => init::execute(&args, options),
        Command::Doctor(args) => doctor::execute(&args, options).await,
        Command::Schema => schema::execute(),
        Command::Completions(args) => completions::execute(&args),
        Command::Reap => reap::execute(options).await,
    };
    ended.map(exit::code)
}

/// Data, to standard output.
fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// A message, to standard error.
fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// The way to engines.
fn connector(options: &Options) -> Arc<dyn Connector> {
    let settings = Settings::read(|name| options.environment.get(name).cloned());
    Arc::new(DockerConnector::new(settings))
}

/// An engine, by address or the one in use.
async fn connect(options: &Options, address: Option<&str>) -> Result<Arc<dyn Backend>, CliError> {
    connector(options)
        .connect(address)
        .await
        .map_err(|error| CliError::trouble(error.trouble("no engine could be connected to")))
}

/// An environment of the file and its engine.
async fn environment(
    options: &Options,
    name: &str,
) -> Result<(Project, Arc<dyn Backend>), CliError> {
    let project = project::read(options)?;
    let address = ps::environment(&project.plan, name)?;
    let backend = connect(options, address.as_deref()).await?;
    Ok((project, backend))
}

impl From<NotFound> for CliError {
    fn from(error: NotFound) -> Self {
        match error {
            NotFound::Unknown(trouble) => Self::usage(trouble),
            NotFound::Surroundings(trouble) => Self::trouble(trouble),
        }
    }
}

/// What a command comes to, unless a signal ends it first.
async fn until_signal(work: impl Future<Output = Outcome>) -> Outcome {
    let mut signals = run::signals()?;
    tokio::select! {
        biased;
        Some(signal) = signals.recv() => Ok(Verdict::Interrupted(signal)),
        done = work => done,
    }
}

/// Rows as columns, two blanks apart, without blanks at a line's end.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<_> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}
