//! What goes on inside a running container: commands, processes, and an input that is held open. It
//! refuses more privileges for a command than its container has.

use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{AttachContainerOptionsBuilder, TopOptionsBuilder};
use futures_util::StreamExt;
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind, Executed, HeldInput, Process};
use tokio_util::sync::CancellationToken;

use crate::DockerBackend;
use crate::call::{self, LOOK};
use crate::errors::{self, Result};
use crate::names;

/// How much of a command's output is kept, in bytes.
const KEPT: usize = 1 << 20;
/// How often it is asked for the exit code, which may come after the output's end.
const POLL: Duration = Duration::from_millis(20);
/// What is asked of the `ps` of the engine's host, in this order.
const COLUMNS: &str = "-eo pid,ppid,args";

impl DockerBackend {
    pub(crate) async fn container_exec(
        &self,
        id: &str,
        command: &[String],
        within: Duration,
    ) -> Result<Executed> {
        let answer = tokio::time::timeout(within, self.execute(names::piece(id)?, command));
        match answer.await.map_err(|_| call::late(within))? {
            // Some engines refuse what others report as the command's end.
            Err(BackendError {
                kind: Kind::CannotStart { code },
                message,
            }) => Ok(Executed {
                code,
                output: message,
            }),
            answer => answer,
        }
    }

    async fn execute(&self, id: &str, command: &[String]) -> Result<Executed> {
        let options = CreateExecOptions {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let created = self.docker.create_exec(id, options).await;
        let exec = created.map_err(errors::of)?.id;
        let started = self.docker.start_exec(&exec, None::<StartExecOptions>);
        let mut kept = Vec::new();
        if let StartExecResults::Attached { mut output, .. } = started.await.map_err(errors::of)? {
            while let Some(piece) = output.next().await {
                let piece = piece.map_err(errors::of)?.into_bytes();
                let room = KEPT.saturating_sub(kept.len());
                kept.extend(piece.into_iter().take(room));
            }
        }
        let output = String::from_utf8_lossy(&kept).into_owned();
        loop {
            let state = self.docker.inspect_exec(&exec).await.map_err(errors::of)?;
            if let (Some(false), Some(code)) = (state.running, state.exit_code) {
                return Ok(Executed { code, output });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(crate) async fn container_processes(&self, id: &str) -> Result<Vec<Process>> {
        let id = names::piece(id)?;
        let options = TopOptionsBuilder::default().ps_args(COLUMNS).build();
        let call = self.docker.top_processes(id, Some(options));
        let told = call::within(LOOK, call).await?.processes;
        told.unwrap_or_default()
            .iter()
            .map(|row| process(row))
            .collect()
    }

    pub(crate) async fn input_hold(&self, id: &str) -> Result<HeldInput> {
        let id = names::piece(id)?;
        // Only the end of the output tells that the container is gone.
        let options = AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = call::within(LOOK, self.docker.attach_container(id, Some(options))).await?;
        let ended = CancellationToken::new();
        let released = ended.clone();
        tokio::spawn(async move {
            let _input = attached.input;
            let output = attached.output.for_each(|_| std::future::ready(()));
            tokio::select! {
                () = released.cancelled() => {}
                () = output => released.cancel(),
            }
        });
        Ok(HeldInput::new(ended))
    }
}

fn process(row: &[String]) -> Result<Process> {
    let read = || {
        let [pid, parent, command] = row else {
            return None;
        };
        Some(Process {
            pid: pid.parse().ok()?,
            parent: parent.parse().ok()?,
            command: command.clone(),
        })
    };
    read().ok_or_else(|| {
        let row = row.join(" ");
        let message = format!("the engine's list of processes could not be read: {row}");
        BackendError::new(Kind::Engine, message)
    })
}
