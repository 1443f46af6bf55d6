//! `hoist exec`: runs a command in a container of a service, on the terminal where there is one, and
//! hands its exit code on. What goes through it is its user's own and not masked, as in a shell.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use hoist_engine::backend::{Backend, BackendError, BackendErrorKind, ExecEnds, ExecSpec};
use hoist_engine::release;
use hoist_engine::shell::Session;
use hoist_model::event::Stream;
use hoist_model::reason::Trouble;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;

use crate::args;
use crate::exit::{self, CliError};
use crate::options::Options;
use crate::visitor;

/// How often the engine is asked how a command ended whose output has, and the pause between.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn execute(args: &args::Exec, options: &Options) -> Result<ExitCode, CliError> {
    let (project, backend) = super::environment(options, &args.environment).await?;
    let (service, environment) = (args.service.as_str(), args.environment.as_str());
    let name = &project.plan.name;
    let id = release::running(backend.as_ref(), name, environment, service, args.replica).await?;
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let spec = ExecSpec {
        command: args.command.clone(),
        terminal: terminal.then(visitor::size),
    };
    let failed = |error: BackendError| {
        let what = format!("the command cannot be run in {service}");
        CliError::trouble(error.trouble(what))
    };
    let ends = match backend.exec_attached(&id, &spec).await {
        Ok(ends) => ends,
        Err(error) => {
            let code = match error.kind {
                BackendErrorKind::CannotStart { code } => code,
                _ => return Err(failed(error)),
            };
            exit::report(&failed(error), options.colour_err);
            return Ok(exit::handed_on(code));
        }
    };
    let exec = ends.id.clone();
    match terminal {
        true => on_terminal(&backend, ends).await?,
        false => through_pipes(ends).await?,
    }
    for _ in 0..TRIES {
        if let Some(code) = backend.exec_code(&exec).await.map_err(failed)? {
            return Ok(exit::handed_on(code));
        }
        tokio::time::sleep(PAUSE).await;
    }
    let trouble = Trouble::new("the connection to the command broke off, and it still runs");
    Err(CliError::trouble(trouble))
}

async fn on_terminal(backend: &Arc<dyn Backend>, ends: ExecEnds) -> Result<(), CliError> {
    let (size, mut changed) = watch::channel(visitor::size());
    let output = ends.output.map(|piece| piece.map(|piece| piece.bytes));
    let session = Session {
        output: output.boxed(),
        input: ends.input,
        size,
    };
    let resizing = async {
        while changed.changed().await.is_ok() {
            let to = *changed.borrow_and_update();
            // A terminal of another size is no reason to end.
            let _ = backend.resize_exec(&ends.id, to).await;
        }
        std::future::pending::<()>().await;
    };
    let show = |bytes: &[u8]| {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(bytes);
        let _ = out.flush();
    };
    tokio::select! {
        lent = visitor::lend(session, show) => lent.map_err(|error| {
            CliError::surroundings("the terminal cannot be lent to a command", error.to_string())
        }),
        () = resizing => Ok(()),
    }
}

/// Standard input goes in until its end, and both streams come out.
async fn through_pipes(ends: ExecEnds) -> Result<(), CliError> {
    let ExecEnds {
        mut output,
        mut input,
        ..
    } = ends;
    // One that takes no more input may go on: it ends with its output.
    let giving = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut input).await;
        let _ = input.shutdown().await;
        // Dropped, some transports would close the way back, too.
        std::future::pending::<()>().await;
    });
    while let Some(piece) = output.next().await {
        let Ok(piece) = piece else { break };
        match piece.stream {
            Stream::Stdout => write(std::io::stdout().lock(), &piece.bytes)?,
            Stream::Stderr => write(std::io::stderr().lock(), &piece.bytes)?,
        }
    }
    giving.abort();
    Ok(())
}

fn write(mut to: impl Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}
