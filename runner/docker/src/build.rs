//! Builds: the one function [`build`]. Through the engine's BuildKit where it has one, which asks
//! for the files that it lacks; else through its classic builder with the context as a streamed
//! tar. It refuses to hold a context in memory, and what it began on the engine ends with its
//! future.

use bytes::Bytes;
use hoist_engine::backend::{
    BackendError, BackendErrorKind as Kind, BuildError, BuildRequest, Built,
};
use hoist_model::image::ImageIdentity;
use hoist_model::reason::Trouble;
use tokio::sync::mpsc;

use crate::DockerBackend;
use crate::errors::Result;

mod classic;
mod dockerfile;
mod failure;
mod progress;
mod session;

use dockerfile::Dockerfile;
use progress::Progress;

/// How long a line of progress may wait for whoever reads it does not matter to the engine: it is
/// the engine that then waits.
type Lines = mpsc::Sender<Bytes>;

/// What a builder made.
struct Image {
    /// The engine's ID of it.
    id: String,
    /// Its config's digest, where the builder tells.
    config: Option<String>,
}

/// Why a builder made nothing.
enum Stopped {
    /// The context cannot be sent.
    Context(Trouble),
    /// The builder's own words on what it was asked to do.
    Said(BackendError),
    /// It could not be asked, or the engine went away.
    Around(BackendError),
}

impl From<BackendError> for Stopped {
    fn from(error: BackendError) -> Self {
        Self::Around(error)
    }
}

/// Builds an image.
pub(crate) async fn build(
    backend: &DockerBackend,
    request: BuildRequest,
    lines: Lines,
) -> std::result::Result<Built, BuildError> {
    let mut progress = Progress::new(lines.clone());
    let made = match backend.api.buildkit() {
        true => session::build(backend, &request, lines, &mut progress).await,
        false => classic::build(backend, &request, lines, &mut progress).await,
    };
    progress.flush().await;
    let seen = progress.into_seen();
    let dockerfile = Dockerfile::parse(&request.dockerfile);
    match made {
        Ok(made) => {
            let first = dockerfile.first(&seen.executed).map(str::to_owned);
            Ok(Built {
                image: identity(backend, made, seen.config).await?,
                first_executed: first,
            })
        }
        Err(Stopped::Context(trouble)) => Err(BuildError::Context(trouble)),
        Err(Stopped::Around(error)) => Err(error.into()),
        Err(Stopped::Said(error)) => Err(failure::explain(&failure::Case {
            error,
            seen: &seen,
            dockerfile: &dockerfile,
            ignore: &request.context.ignore,
            shown: &request.dockerfile_shown,
            modern: backend.api.modern_builder(),
            buildkit: backend.api.buildkit(),
        })),
    }
}

/// Reads an image's identity back. Engines with containerd's store tell the digest of its config
/// nowhere but while they write it.
async fn identity(
    backend: &DockerBackend,
    made: Image,
    config: Option<String>,
) -> Result<ImageIdentity> {
    let found = backend.image_inspect(&made.id).await?;
    let mut image = found.ok_or_else(|| {
        BackendError::new(
            Kind::NotFound,
            format!("the built image {} is gone again", made.id),
        )
    })?;
    image.config_digest = image.config_digest.or(made.config).or(config);
    Ok(image)
}
