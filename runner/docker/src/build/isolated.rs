//! A build's own small runtime. bollard serves the build's session in a task that it lets go of;
//! here that task, its connections and the build itself end with the future that waits for them.
//! It refuses to outlive its caller.

use std::future::Future;

use hoist_engine::backend::{BackendError, BackendErrorKind as Kind};
use tokio::sync::oneshot;

use crate::errors::Result;

/// Runs what `work` makes to its end, or until the future is dropped.
pub(crate) async fn run<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (wanted, mut unwanted) = oneshot::channel::<()>();
    let done = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let answer = runtime.block_on(async {
            tokio::select! {
                answer = work() => Some(answer),
                _ = &mut unwanted => None,
            }
        });
        // Its threads for files may wait for a disk; nothing of theirs is needed any more.
        runtime.shutdown_background();
        Ok(answer)
    })
    .await;
    drop(wanted);
    let failed = |why: String| BackendError::new(Kind::Engine, format!("the build ended: {why}"));
    match done {
        Ok(Ok(Some(answer))) => Ok(answer),
        Ok(Ok(None)) => Err(failed("nobody waits for it".to_owned())),
        Ok(Err::<_, std::io::Error>(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}
