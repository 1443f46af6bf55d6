//! Builds.
use bytes::Bytes;
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind, BuildError, BuildRequest};
use hoist_model::image::ImageIdentity;
use tokio::sync::mpsc;

use crate::DockerBackend;

pub(crate) async fn build(
    _backend: &DockerBackend,
    _request: BuildRequest,
    _progress: mpsc::Sender<Bytes>,
) -> std::result::Result<ImageIdentity, BuildError> {
    Err(BackendError::new(Kind::Unsupported, "builds are on their way").into())
}
