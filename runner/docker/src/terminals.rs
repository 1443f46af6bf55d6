//! Containers with a terminal: what they print comes unframed, and they take input. It refuses to
//! know the terminal at the other end.

use bollard::models::ContainerConfig;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CommitContainerOptionsBuilder, ResizeContainerTTYOptionsBuilder,
};
use futures_util::StreamExt;
use hoist_engine::backend::TerminalEnds;

use crate::DockerBackend;
use crate::call::{self, IDLE, LOOK};
use crate::errors::{self, Result};
use crate::names;

impl DockerBackend {
    /// A container's file system may be large, so this may take as long as a transfer.
    pub(crate) async fn container_commit(&self, id: &str, name: &str) -> Result<()> {
        let (repository, tag) = names::split(names::image(name)?);
        let options = CommitContainerOptionsBuilder::default()
            .container(names::piece(id)?)
            .repo(repository)
            .tag(tag)
            .build();
        let call = self
            .docker
            .commit_container(options, ContainerConfig::default());
        call::within(IDLE, call).await.map(|_| ())
    }

    pub(crate) async fn terminal_attach(&self, id: &str) -> Result<TerminalEnds> {
        let id = names::piece(id)?;
        let options = AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = call::within(LOOK, self.docker.attach_container(id, Some(options))).await?;
        let output = attached.output.map(|piece| {
            piece
                .map(bollard::container::LogOutput::into_bytes)
                .map_err(errors::of)
        });
        Ok(TerminalEnds {
            output: output.boxed(),
            input: attached.input,
        })
    }

    pub(crate) async fn terminal_resize(&self, id: &str, columns: u16, rows: u16) -> Result<()> {
        let id = names::piece(id)?;
        let options = ResizeContainerTTYOptionsBuilder::default()
            .w(i32::from(columns))
            .h(i32::from(rows))
            .build();
        call::within(LOOK, self.docker.resize_container_tty(id, options)).await
    }
}
