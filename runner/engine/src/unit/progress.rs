//! What builders and registries say on the way, put into the step's output.

use bytes::Bytes;
use hoist_model::event::Stream;
use tokio::sync::mpsc;

use crate::context::UnitContext;

/// Does `work`, passing on what it says until it is done.
pub(crate) async fn forward<T, F: Future<Output = T>>(
    context: &UnitContext,
    work: impl FnOnce(mpsc::Sender<Bytes>) -> F,
) -> T {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(64);
    let work = work(sender);
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => {
                while let Ok(bytes) = receiver.try_recv() {
                    context.output.write(Stream::Stderr, &bytes).await;
                }
                return result;
            }
            Some(bytes) = receiver.recv() => context.output.write(Stream::Stderr, &bytes).await,
        }
    }
}
