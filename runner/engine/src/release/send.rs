//! Sends an image from one engine to another as the archive that `docker save` writes, piece by
//! piece: it is never whole in memory or on this machine's disk. It refuses to judge what arrives.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use hoist_model::image::ImageIdentity;
use hoist_model::reason::{FailureReason, Trouble};
use tokio::time::{Instant, interval_at};

use crate::backend::{Backend, BackendError, BackendErrorKind, ByteStream};
use crate::context::UnitContext;

/// How often it is said how much was sent.
const EVERY: Duration = Duration::from_secs(5);

/// An image that is to be sent.
pub(super) struct Sending<'a> {
    pub(super) from: &'a dyn Backend,
    pub(super) to: &'a dyn Backend,
    pub(super) image: &'a ImageIdentity,
    /// For messages.
    pub(super) shown: &'a str,
    /// Where it goes, for messages.
    pub(super) engine: &'a str,
}

/// What came of it.
pub(super) struct Arrived<'a> {
    pub(super) image: ImageIdentity,
    /// The engine did not have it before.
    is_new: bool,
    to: &'a dyn Backend,
}

impl<'a> Sending<'a> {
    /// Sends it, and says how much.
    pub(super) async fn send(&self, context: &UnitContext) -> Result<Arrived<'a>, FailureReason> {
        let before = self
            .to
            .list_images(&[])
            .await
            .map_err(|error| self.failed(&error))?;
        let sent = Arc::new(AtomicU64::new(0));
        let archive = self.from.export_image(&self.image.id).await;
        let archive = archive.map_err(|error| self.lacking(&error))?;
        let reference = self.load(context, counted(archive, &sent), &sent).await?;
        let arrived = self.to.inspect_image(&reference).await;
        let arrived = arrived.map_err(|error| self.failed(&error))?;
        let image = arrived.ok_or_else(|| {
            let message = format!("the engine took in {reference} and does not have it");
            self.failed(&BackendError::new(BackendErrorKind::Engine, message))
        })?;
        let (shown, engine) = (self.shown, self.engine);
        let line = format!("sent {shown} to {engine}: {}", mebibytes(&sent));
        context.output.line(&line).await;
        Ok(Arrived {
            is_new: !before.iter().any(|known| known.id == image.id),
            image,
            to: self.to,
        })
    }

    async fn load(
        &self,
        context: &UnitContext,
        archive: ByteStream,
        sent: &AtomicU64,
    ) -> Result<String, FailureReason> {
        let (shown, engine) = (self.shown, self.engine);
        context.phase(format!("sending {shown} to {engine}"));
        let mut loading = pin!(self.to.load_image(archive));
        let mut next = interval_at(Instant::now() + EVERY, EVERY);
        loop {
            tokio::select! {
                loaded = &mut loading => return loaded.map_err(|error| self.failed(&error)),
                _ = next.tick() => {
                    let so_far = mebibytes(sent);
                    context.phase(format!("sending {shown} to {engine}: {so_far} so far"));
                }
            }
        }
    }

    fn failed(&self, error: &BackendError) -> FailureReason {
        let what = format!("{} could not be sent to {}", self.shown, self.engine);
        FailureReason::Surroundings(error.trouble(what))
    }

    fn lacking(&self, error: &BackendError) -> FailureReason {
        if error.kind != BackendErrorKind::NotFound {
            return self.failed(error);
        }
        let what = format!("{} could not be sent to {}", self.shown, self.engine);
        let trouble = Trouble::new(what).cause("the engine that had it does not have it any more");
        FailureReason::Surroundings(trouble.hint("deploy it there again, or build it"))
    }
}

impl Arrived<'_> {
    /// Takes away what came instead of the image that was meant, unless it was there before.
    pub(super) async fn discard(&self, context: &UnitContext, why: FailureReason) -> FailureReason {
        if self.is_new
            && let Err(error) = self.to.delete_image(&self.image.id).await
        {
            let message = format!("the image {} is left over: {error}", self.image.short());
            context.warn(message, None);
        }
        why
    }
}

fn counted(archive: ByteStream, sent: &Arc<AtomicU64>) -> ByteStream {
    let sent = Arc::clone(sent);
    let count = move |piece: &bytes::Bytes| {
        let bytes = u64::try_from(piece.len()).unwrap_or_default();
        sent.fetch_add(bytes, Ordering::Relaxed);
    };
    archive.inspect_ok(count).boxed()
}

/// With one decimal.
fn mebibytes(bytes: &AtomicU64) -> String {
    let tenths = bytes.load(Ordering::Relaxed).saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
