//! Bytes to and from containers: output, archives, and what happens to them. Output keeps its order
//! within a stream and nothing of it is dropped; it refuses to split it into lines.

use std::io;
use std::sync::{Arc, Mutex};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, EventsOptions,
    EventsOptionsBuilder, LogsOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use hoist_engine::backend::{
    BackendError, BackendErrorKind as Kind, ByteStream, Chunk, EngineEvent, LabelFilter,
};
use hoist_model::event::Stream as OutputStream;

use crate::DockerBackend;
use crate::call::{self, CHANGE, IDLE, LOOK, Pulse};
use crate::containers::label_filters;
use crate::errors::{self, Result};
use crate::names;

/// How many of the engine's small pieces are joined at most, when so many have come.
const JOINED: usize = 512;
/// Nanoseconds of a second.
pub(crate) const NANOS: i64 = 1_000_000_000;

impl DockerBackend {
    pub(crate) async fn container_attach(
        &self,
        id: &str,
    ) -> Result<BoxStream<'static, Result<Chunk>>> {
        let id = names::piece(id)?;
        let options = AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = call::within(LOOK, self.docker.attach_container(id, Some(options))).await?;
        let joined = attached.output.ready_chunks(JOINED).flat_map(|pieces| {
            stream::iter(join(
                pieces
                    .into_iter()
                    .map(|piece| piece.map_err(errors::of).and_then(chunk)),
            ))
        });
        Ok(joined.boxed())
    }

    pub(crate) async fn container_logs(&self, id: &str, tail: Option<usize>) -> Result<Vec<Chunk>> {
        let id = names::piece(id)?;
        let tail = tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail(&tail)
            .build();
        let pieces = call::lively(CHANGE, self.docker.logs(id, Some(options)));
        let pieces: Vec<Result<Chunk>> = pieces.map(|piece| piece.and_then(chunk)).collect().await;
        join(pieces.into_iter()).into_iter().collect()
    }

    pub(crate) async fn container_upload(
        &self,
        id: &str,
        folder: &str,
        tar: ByteStream,
    ) -> Result<()> {
        let id = names::piece(id)?;
        let options = UploadToContainerOptionsBuilder::default()
            .path(folder)
            .build();
        let pulse = Pulse::default();
        let (body, trouble) = outgoing(tar, pulse.clone());
        let call =
            self.docker
                .upload_to_container(id, Some(options), bollard::body_try_stream(body));
        let answer = pulse.within(IDLE, call).await;
        // A stream that broke off is the reason for whatever the engine then said.
        trouble.take().map_or(answer, Err)
    }

    pub(crate) async fn container_download(&self, id: &str, path: &str) -> Result<ByteStream> {
        let id = names::piece(id)?;
        let options = DownloadFromContainerOptionsBuilder::default()
            .path(path)
            .build();
        let body = self.docker.download_from_container(id, Some(options));
        opened(call::lively(IDLE, body)).await
    }

    pub(crate) async fn engine_events(
        &self,
        labels: LabelFilter<'_>,
        since: Option<i64>,
    ) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        // The connection is made when the stream is first polled; what happens before that is told
        // afterwards.
        let since = since.unwrap_or_else(|| {
            i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default()
        });
        let options = about_containers(labels).since(&time(since)).build();
        Ok(self.container_events(options).map_err(errors::of).boxed())
    }

    pub(crate) async fn remembered_events(
        &self,
        labels: LabelFilter<'_>,
        since: i64,
        until: i64,
    ) -> Result<Vec<EngineEvent>> {
        let options = about_containers(labels).since(&time(since));
        let options = options.until(&time(until)).build();
        let events = call::lively(LOOK, self.container_events(options));
        events.try_collect().await
    }

    fn container_events(
        &self,
        options: EventsOptions,
    ) -> impl Stream<Item = std::result::Result<EngineEvent, Error>> + Send + 'static {
        let events = self.docker.events(Some(options));
        events.try_filter_map(|event| async move {
            let Some(actor) = event.actor else {
                return Ok(None);
            };
            let attributes = actor.attributes.unwrap_or_default();
            Ok(Some(EngineEvent {
                container: actor.id.unwrap_or_default(),
                name: attributes.get("name").cloned().unwrap_or_default(),
                action: event.action.unwrap_or_default(),
                signal: attributes.get("signal").cloned(),
                exit_code: attributes
                    .get("exitCode")
                    .and_then(|code| code.parse().ok()),
                at: event.time_nano.unwrap_or_default(),
                labels: attributes.into_iter().collect(),
            }))
        })
    }
}

/// What is asked of an engine's events.
fn about_containers(labels: LabelFilter<'_>) -> EventsOptionsBuilder {
    let mut filters = label_filters(labels);
    filters.insert("type".to_owned(), vec!["container".to_owned()]);
    EventsOptionsBuilder::default().filters(&filters)
}

/// Nanoseconds since the epoch as the engine reads them.
fn time(nanos: i64) -> String {
    let nanos = nanos.max(0);
    format!("{}.{:09}", nanos / NANOS, nanos % NANOS)
}

/// The engine's piece of output.
pub(crate) fn chunk(piece: LogOutput) -> Result<Chunk> {
    let (stream, bytes) = match piece {
        LogOutput::StdOut { message } => (OutputStream::Stdout, message),
        LogOutput::StdErr { message } => (OutputStream::Stderr, message),
        // Containers have no terminal, so bytes outside of the framing are a frame cut short.
        LogOutput::StdIn { .. } | LogOutput::Console { .. } => {
            return Err(BackendError::new(
                Kind::Broken,
                "the output broke off in its middle",
            ));
        }
    };
    Ok(Chunk { stream, bytes })
}

/// Neighbours of one stream as one chunk. The engine sends a piece for each write of the process,
/// which is often one a line.
fn join(pieces: impl Iterator<Item = Result<Chunk>>) -> Vec<Result<Chunk>> {
    let mut joined = Vec::new();
    let mut open: Option<(OutputStream, BytesMut)> = None;
    for piece in pieces {
        match (piece, &mut open) {
            (Ok(piece), Some((stream, bytes))) if *stream == piece.stream => {
                bytes.extend_from_slice(&piece.bytes);
            }
            (Ok(piece), _) => {
                joined.extend(close(open.take()));
                open = Some((piece.stream, BytesMut::from(piece.bytes)));
            }
            (Err(error), _) => {
                joined.extend(close(open.take()));
                joined.push(Err(error));
            }
        }
    }
    joined.extend(close(open));
    joined
}

fn close(open: Option<(OutputStream, BytesMut)>) -> Option<Result<Chunk>> {
    open.map(|(stream, bytes)| {
        Ok(Chunk {
            stream,
            bytes: bytes.freeze(),
        })
    })
}

/// Why a body that hoist sends broke off.
#[derive(Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<BackendError>>>);

impl Trouble {
    /// The reason, if it broke off.
    pub(crate) fn take(&self) -> Option<BackendError> {
        self.0.lock().ok()?.take()
    }
}

/// A stream as the body of a request, and where its error goes: the connection can only break off.
pub(crate) fn outgoing(
    bytes: ByteStream,
    pulse: Pulse,
) -> (
    impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    Trouble,
) {
    let trouble = Trouble::default();
    let slot = trouble.clone();
    let body = bytes.map(move |piece| {
        pulse.beat();
        piece.map_err(|error| {
            let told = io::Error::other(error.message.clone());
            if let Ok(mut slot) = slot.0.lock() {
                slot.get_or_insert(error);
            }
            told
        })
    });
    (body, trouble)
}

/// A body whose beginning has come, so that a refusal is an error of the call.
pub(crate) async fn opened(mut body: ByteStream) -> Result<ByteStream> {
    match body.next().await {
        Some(Ok(first)) => Ok(stream::once(std::future::ready(Ok(first)))
            .chain(body)
            .boxed()),
        Some(Err(error)) => Err(error),
        None => Ok(stream::empty().boxed()),
    }
}
