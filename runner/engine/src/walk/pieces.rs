//! A tar on its way from the thread that writes it to whoever takes it, with back-pressure. A tar
//! that was not written to its end never looks as if it was.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use hoist_model::reason::Trouble;
use tar::Builder;
use tokio::sync::mpsc;

use crate::backend::{BackendError, BackendErrorKind, ByteStream};

/// Bytes of tar in one piece.
const PIECE: usize = 128 << 10;

/// Pieces that wait for whoever takes them.
pub(super) const PIECES: usize = 8;

/// Why a tar ends early.
pub(crate) enum Halt {
    /// Something cannot be sent.
    Trouble(Trouble),
    /// Nobody takes the tar any more.
    Unwanted,
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// What the writing thread says.
enum Message {
    Piece(Bytes),
    Failed(Trouble),
    Done,
}

/// The tar that `write` writes, on a blocking thread that ends when the stream is dropped.
/// `failed` hears of what ends it early.
pub(crate) fn produce(
    write: impl FnOnce(&mut Builder<Pieces>) -> Result<(), Halt> + Send + 'static,
    failed: impl Fn(Trouble) + Send + Sync + Clone + 'static,
) -> ByteStream {
    let (sender, receiver) = mpsc::channel(PIECES);
    let thread_failed = failed.clone();
    tokio::task::spawn_blocking(move || {
        let mut tar = Builder::new(Pieces {
            sender: Some(sender.clone()),
            buffer: BytesMut::new(),
        });
        let written = write(&mut tar).and_then(|()| {
            let finished = tar.finish().and_then(|()| tar.get_mut().flush());
            finished.map_err(|_| Halt::Unwanted)
        });
        if written.is_err() {
            // Dropping a builder ends its archive well; this one must not look as if it did.
            tar.get_mut().sender = None;
        }
        let last = match written {
            Ok(()) => Message::Done,
            Err(Halt::Trouble(trouble)) => {
                thread_failed(trouble.clone());
                Message::Failed(trouble)
            }
            Err(Halt::Unwanted) => return,
        };
        // Nobody listens any more: then nobody needs the last word either.
        let _ = sender.blocking_send(last);
    });
    futures_util::stream::unfold(Some(receiver), move |receiver| {
        let failed = failed.clone();
        async move {
            let mut receiver = receiver?;
            match receiver.recv().await {
                Some(Message::Piece(bytes)) => Some((Ok(bytes), Some(receiver))),
                Some(Message::Done) => None,
                Some(Message::Failed(trouble)) => Some((Err(error(&trouble)), None)),
                None => {
                    let trouble = Trouble::new("not everything could be sent")
                        .cause("the thread that read it ended before its time");
                    failed(trouble.clone());
                    Some((Err(error(&trouble)), None))
                }
            }
        }
    })
    .boxed()
}

fn error(trouble: &Trouble) -> BackendError {
    let message = match &trouble.cause {
        Some(cause) => format!("{}: {cause}", trouble.what),
        None => trouble.what.clone(),
    };
    BackendError::new(BackendErrorKind::Engine, message)
}

/// Cuts what is written into pieces and hands them over.
pub(crate) struct Pieces {
    /// Absent once nobody takes them any more.
    sender: Option<mpsc::Sender<Message>>,
    buffer: BytesMut,
}

impl Pieces {
    /// Nobody takes the tar any more.
    pub(super) fn is_unwanted(&self) -> bool {
        self.sender.is_none()
    }

    fn send(&mut self, piece: Bytes) -> io::Result<()> {
        let sent = self
            .sender
            .as_ref()
            .map(|to| to.blocking_send(Message::Piece(piece)));
        if let Some(Ok(())) = sent {
            return Ok(());
        }
        self.sender = None;
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.sender.is_none() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            let piece = self.buffer.split().freeze();
            self.send(piece)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = self.buffer.split().freeze();
        self.send(piece)
    }
}
