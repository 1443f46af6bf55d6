//! The shapes of the calls that look at what runs, and of commands beside it.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use hoist_model::event::Stream as OutputStream;
use tokio::io::AsyncWrite;

use super::{BackendError, Chunk};

/// Which of a container's kept output is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogQuery {
    /// What was printed from then on: nanoseconds since the epoch, by the engine's clock.
    pub since: Option<i64>,
    /// Only so many of the last lines.
    pub tail: Option<usize>,
    /// What will be printed, too, until the container ends.
    pub follow: bool,
}

/// A piece of kept output: a line with its end, or where a line is very long a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPiece {
    /// When it was printed, by the engine's clock, nanoseconds since the epoch; 0 where it does not
    /// say.
    pub at: i64,
    /// Which stream.
    pub stream: OutputStream,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A command beside a running container's own.
#[derive(Clone, Debug, Default)]
pub struct ExecSpec {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// It has a terminal of this size, columns and rows; its output is then one stream.
    pub terminal: Option<(u16, u16)>,
}

/// The ends of such a command.
pub struct ExecEnds {
    /// By what the engine knows it.
    pub id: String,
    /// All that it prints, until it ends.
    pub output: BoxStream<'static, Result<Chunk, BackendError>>,
    /// What it is given; shut down, it meets the end of its input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}
