//! How long a call may take. The client's own time-out ends with the headers of the answer, so it
//! is out of use; every bound is here. What runs as long as a container does has none.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::errors::Error;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind};

use crate::errors::{self, Result};

/// For what only looks.
pub(crate) const LOOK: Duration = Duration::from_secs(30);
/// For what changes something: an overloaded engine takes its time.
pub(crate) const CHANGE: Duration = Duration::from_secs(120);
/// Without a sign of life in the middle of a transfer. Some engines write a whole archive to their
/// own disk before its first byte.
pub(crate) const IDLE: Duration = Duration::from_secs(600);

/// A call that ends within a bound.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = std::result::Result<T, Error>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(errors::of),
        Err(_) => Err(late(limit)),
    }
}

/// `None` where the object is not there.
pub(crate) fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fine where the object is not there.
pub(crate) fn gone_is_fine(answer: Result<()>) -> Result<()> {
    found(answer).map(|_| ())
}

/// A stream whose items each come within a bound; it ends after the first error.
pub(crate) fn lively<T: Send + 'static>(
    limit: Duration,
    stream: impl Stream<Item = std::result::Result<T, Error>> + Send + 'static,
) -> BoxStream<'static, Result<T>> {
    let start = Some(stream.boxed());
    stream::unfold(start, move |stream| async move {
        let mut stream = stream?;
        match tokio::time::timeout(limit, stream.next()).await {
            Ok(Some(Ok(item))) => Some((Ok(item), Some(stream))),
            Ok(Some(Err(error))) => Some((Err(errors::of(error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(late(limit)), None)),
        }
    })
    .boxed()
}

/// Signs of life of an upload.
#[derive(Clone, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// The upload went on.
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// A call that may take any time as long as the pulse beats.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = std::result::Result<T, Error>>,
    ) -> Result<T> {
        tokio::pin!(call);
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            if let Ok(answer) = tokio::time::timeout(limit, &mut call).await {
                return answer.map_err(errors::of);
            }
            let now = self.0.load(Ordering::Relaxed);
            if now == seen {
                return Err(late(limit));
            }
            seen = now;
        }
    }
}

/// No answer within that time.
pub(crate) fn late(limit: Duration) -> BackendError {
    let seconds = limit.as_secs();
    BackendError::new(
        Kind::Timeout,
        format!("the engine did not answer within {seconds} s"),
    )
}
