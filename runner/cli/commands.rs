//! The commands, one file each, and the words they share.

mod cancel;
mod completions;
mod context;
mod doctor;
mod down;
mod explain;
mod gc;
mod init;
mod logs;
mod mcp;
mod plan;
mod ps;
mod reap;
mod rerun;
mod run;
mod runs;
mod schema;
mod shell;
mod tests;
mod validate;
mod watch;

use std::io::Write;
use std::sync::Arc;

use hoist_docker::{DockerConnector, Settings};
use hoist_engine::backend::{Backend, Connector};
use hoist_model::reason::Verdict;

use crate::args::Command;
use crate::exit::CliError;
use crate::options::Options;

/// How a command ends.
pub(crate) type Outcome = Result<Verdict, CliError>;

/// Executes a command.
pub(crate) async fn execute(command: Command, options: &Options) -> Outcome {
    match command {
        Command::Run(args) => run::execute(&args, options).await,
        Command::Watch(args) => watch::execute(&args, options).await,
        Command::Shell(args) => shell::execute(&args, options).await,
        Command::Validate => validate::execute(options),
        Command::Plan(args) => plan::execute(&args, options),
        Command::Context(args) => context::execute(&args, options),
        Command::Explain(args) => explain::execute(&args, options),
        Command::Logs(args) => logs::execute(&args, options),
        Command::Mcp(args) => mcp::execute(&args, options).await,
        Command::Tests(args) => tests::execute(&args, options),
        Command::Rerun(args) => rerun::execute(&args, options).await,
        Command::Runs(args) => runs::execute(&args, options),
        Command::Cancel(args) => cancel::execute(&args, options),
        Command::Ps(args) => ps::execute(&args, options).await,
        Command::Down(args) => down::execute(&args, options).await,
        Command::Gc(args) => gc::execute(&args, options).await,
        Command::Init(args) => init::execute(&args, options),
        Command::Doctor(args) => doctor::execute(&args, options).await,
        Command::Schema => schema::execute(),
        Command::Completions(args) => completions::execute(&args),
        Command::Reap => reap::execute(options).await,
    }
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
