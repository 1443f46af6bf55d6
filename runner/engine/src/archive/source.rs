//! An archive's bytes for code that blocks: with a bound on silence, and with the engine's error
//! where it breaks off.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use tokio::runtime::Handle;

use super::ArchiveError;
use crate::backend::{BackendError, BackendErrorKind, ByteStream};

/// How long an engine may send nothing before it is taken for dead.
const IDLE: Duration = Duration::from_secs(60);

/// Reads an archive on a thread of its own. The engine's error stands over what follows from it.
pub(super) async fn blocking<T: Send + 'static>(
    archive: ByteStream,
    read: impl FnOnce(Source) -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    let failure = Arc::new(Mutex::new(None));
    let source = Source {
        archive,
        piece: Bytes::new(),
        failure: Arc::clone(&failure),
        runtime: Handle::current(),
    };
    let result = tokio::task::spawn_blocking(move || read(source)).await;
    if let Some(error) = failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
    {
        return Err(ArchiveError::Backend(error));
    }
    result.unwrap_or_else(|error| Err(ArchiveError::Broken(error.to_string())))
}

/// The archive as blocking code reads it.
pub(super) struct Source {
    archive: ByteStream,
    piece: Bytes,
    failure: Arc<Mutex<Option<BackendError>>>,
    runtime: Handle,
}

impl Source {
    fn fail(&self, error: BackendError) -> io::Error {
        let message = error.message.clone();
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other(message)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let runtime = self.runtime.clone();
            let next =
                runtime.block_on(async { tokio::time::timeout(IDLE, self.archive.next()).await });
            self.piece = match next {
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(error))) => return Err(self.fail(error)),
                // A whole archive is not read to its end: its end marker comes before it.
                Ok(None) => {
                    let message = "the archive ended before its time";
                    return Err(self.fail(BackendError::new(BackendErrorKind::Broken, message)));
                }
                Err(_) => {
                    let message = format!("nothing came for {} s", IDLE.as_secs());
                    return Err(self.fail(BackendError::new(BackendErrorKind::Timeout, message)));
                }
            };
        }
        let count = self.piece.len().min(buffer.len());
        self.piece
            .copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
