//! Commands beside a running container's own. It refuses to know the terminal at the other end.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind, Chunk, ExecEnds, ExecSpec};
use hoist_model::event::Stream as OutputStream;

use crate::DockerBackend;
use crate::call::{self, LOOK};
use crate::errors::{self, Result};
use crate::{names, streams};

/// How often a terminal that is not there yet is told its size, and the pause between.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(50);

impl DockerBackend {
    pub(crate) async fn exec_start(&self, id: &str, spec: &ExecSpec) -> Result<ExecEnds> {
        let id = names::piece(id)?;
        let terminal = spec.terminal.is_some();
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(terminal),
            cmd: Some(spec.command.clone()),
            ..ExecConfig::default()
        };
        let made = call::within(LOOK, self.docker.create_exec(id, config)).await?;
        let options = StartExecOptions {
            tty: terminal,
            ..StartExecOptions::default()
        };
        let started = self.docker.start_exec(&made.id, Some(options));
        let StartExecResults::Attached { output, input } = call::within(LOOK, started).await?
        else {
            return Err(BackendError::new(
                Kind::Engine,
                "the engine started the command without its output",
            ));
        };
        if let Some(size) = spec.terminal {
            self.size_at_first(&made.id, size).await?;
        }
        let output = output.map(move |piece| match piece.map_err(errors::of)? {
            LogOutput::Console { message } if terminal => Ok(Chunk {
                stream: OutputStream::Stdout,
                bytes: message,
            }),
            framed => streams::chunk(framed),
        });
        Ok(ExecEnds {
            id: made.id,
            output: output.boxed(),
            input,
        })
    }

    /// The engine answers before the terminal is there, and refuses sizes until then. A command that
    /// has ended already needs none.
    async fn size_at_first(&self, exec: &str, size: (u16, u16)) -> Result<()> {
        let mut tries = 1;
        loop {
            match self.exec_resize(exec, size).await {
                Err(_) if tries < TRIES && self.exec_exit(exec).await?.is_none() => tries += 1,
                _ => return Ok(()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(crate) async fn exec_resize(&self, exec: &str, to: (u16, u16)) -> Result<()> {
        let (width, height) = to;
        let options = ResizeExecOptions { height, width };
        call::within(LOOK, self.docker.resize_exec(names::piece(exec)?, options)).await
    }

    pub(crate) async fn exec_exit(&self, exec: &str) -> Result<Option<i64>> {
        let found = call::within(LOOK, self.docker.inspect_exec(names::piece(exec)?)).await?;
        let running = found.running.unwrap_or_default();
        Ok(found.exit_code.filter(|_| !running))
    }
}
