//! Builds: the one function [`build`]. Through the engine's BuildKit where it has one, with the
//! context as a streamed tar; else through its classic builder with the same tar. It refuses to
//! hold a context in memory, and what it began on the engine ends with its future.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::BuildInfoAux;
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion};
use bytes::Bytes;
use futures_util::StreamExt;
use hoist_engine::backend::{
    BackendError, BackendErrorKind as Kind, BuildError, BuildRequest, Built,
};
use hoist_engine::walk::{ExtraFile, Tally, TarOptions, tar_stream};
use hoist_model::unit::Network;
use tokio::sync::mpsc;

use crate::call::Pulse;
use crate::streams::outgoing;
use crate::{DockerBackend, errors};

mod dockerfile;
mod failure;
mod isolated;
mod progress;
mod session;

use dockerfile::Dockerfile;
use progress::{Progress, Seen};

/// How long a line of progress may wait for whoever reads it does not matter to the engine: it is
/// the engine that then waits.
type Lines = mpsc::Sender<Bytes>;

/// Builds an image.
pub(crate) async fn build(
    backend: &DockerBackend,
    request: BuildRequest,
    progress: Lines,
) -> Result<Built, BuildError> {
    let text = request.dockerfile.clone();
    let credentials = credentials(backend, &request, &text, &progress).await;
    let job = Job {
        backend: backend.clone(),
        buildkit: backend.api.buildkit(),
        dockerfile: Dockerfile::parse(&text),
        text,
        request,
        credentials,
    };
    isolated::run(move || job.run(progress)).await?
}

/// Credentials by registry. Helpers are asked only for registries that the build can come by, and
/// a helper that fails is no reason not to try: most base images need no password.
async fn credentials(
    backend: &DockerBackend,
    request: &BuildRequest,
    dockerfile: &str,
    progress: &Lines,
) -> HashMap<String, DockerCredentials> {
    let mut found = HashMap::new();
    for registry in backend.auth.registries(&request.logins).await {
        let host = crate::auth::host(&registry);
        let named = crate::auth::is_hub(host)
            || dockerfile.contains(host)
            || request.args.values().any(|value| value.contains(host));
        if !named {
            continue;
        }
        match backend.auth.credentials(host, &request.logins).await {
            Ok(Some(credentials)) => {
                found.insert(crate::auth::key(host).to_owned(), credentials);
            }
            Ok(None) => {}
            Err(error) => {
                let line = format!("WARNING: {}\n", error.message);
                progress.send(Bytes::from(line)).await.ok();
            }
        }
    }
    found
}

/// A build with all that it needs.
struct Job {
    backend: DockerBackend,
    buildkit: bool,
    dockerfile: Dockerfile,
    text: String,
    request: BuildRequest,
    credentials: HashMap<String, DockerCredentials>,
}

impl Job {
    async fn run(self, lines: Lines) -> Result<Built, BuildError> {
        let (dockerfile, extra) = self.dockerfile_in_context();
        let tally = Tally::default();
        let context = tar_stream(
            &self.request.context.path,
            Arc::clone(&self.request.context.ignore),
            TarOptions {
                extra,
                tally: tally.clone(),
                ..TarOptions::default()
            },
        );
        let (body, _) = outgoing(context, Pulse::default());
        let session = uuid::Uuid::new_v4().to_string();
        let options = self.options(&dockerfile, session);
        let credentials = Some(self.credentials.clone());
        let body = bollard::body_try_stream(body);
        let mut answers = self
            .backend
            .docker
            .build_image(options, credentials, Some(body));
        let mut progress = Progress::new(lines);
        let mut id = None;
        while let Some(answer) = answers.next().await {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    progress.flush().await;
                    return Err(self.failed(error, &tally, &progress.into_seen()));
                }
            };
            match answer.aux {
                Some(BuildInfoAux::BuildKit(status)) => progress.status(status).await,
                Some(BuildInfoAux::Default(image)) => id = image.id.or(id),
                None => {}
            }
            if let Some(text) = answer.stream {
                progress.classic(&text).await;
            }
        }
        progress.flush().await;
        let seen = progress.into_seen();
        if let Some(trouble) = tally.failure() {
            return Err(BuildError::Context(trouble));
        }
        let id = id.or(seen.built.clone()).ok_or_else(|| {
            BackendError::new(Kind::Broken, "the engine ended the build without an image")
        })?;
        self.finish(&id, &seen).await
    }

    /// The Dockerfile's name in the context: it is added by a name that changes with its content
    /// only, so that the engine's cache holds.
    fn dockerfile_in_context(&self) -> (String, Vec<ExtraFile>) {
        let hash = blake3::hash(self.text.as_bytes()).to_hex();
        let name = format!(".dockerfile.{}", hash.get(..20).unwrap_or_default());
        let content = Bytes::copy_from_slice(self.text.as_bytes());
        (
            name.clone(),
            vec![ExtraFile {
                name,
                content,
                mode: 0o644,
            }],
        )
    }

    fn options(&self, dockerfile: &str, session: String) -> BuildImageOptions {
        let request = &self.request;
        let map = |map: &std::collections::BTreeMap<String, String>| -> HashMap<String, String> {
            map.clone().into_iter().collect()
        };
        let mut options = BuildImageOptionsBuilder::default()
            .dockerfile(dockerfile)
            .buildargs(&map(&request.args))
            .labels(&map(&request.labels))
            .nocache(request.no_cache)
            .rm(true)
            .forcerm(true);
        if let Some(tag) = request.tags.first() {
            options = options.t(tag);
        }
        if let Some(target) = &request.target {
            options = options.target(target);
        }
        if request.pull {
            options = options.pull("1");
        }
        options = match request.network {
            None => options,
            Some(Network::None) => options.networkmode("none"),
            Some(Network::Bridge) => options.networkmode("default"),
        };
        if self.buildkit {
            options = options
                .version(BuilderVersion::BuilderBuildKit)
                .session(&session);
        }
        options.build()
    }

    /// Names the image and reads its identity back.
    async fn finish(&self, id: &str, seen: &Seen) -> Result<Built, BuildError> {
        for tag in self.request.tags.iter().skip(1) {
            self.backend.image_tag(id, tag).await?;
        }
        let found = self.backend.image_inspect(id).await?;
        let mut image = found.ok_or_else(|| {
            BackendError::new(
                Kind::NotFound,
                format!("the built image {id} is gone again"),
            )
        })?;
        // Engines with containerd's store tell it nowhere but while they write it.
        image.config_digest = image.config_digest.or_else(|| seen.config.clone());
        Ok(Built {
            image,
            first_executed: None,
        })
    }

    fn failed(&self, error: Error, tally: &Tally, seen: &Seen) -> BuildError {
        if let Some(trouble) = tally.failure() {
            return BuildError::Context(trouble);
        }
        let told = matches!(
            error,
            Error::DockerStreamError { .. } | Error::DockerResponseServerError { .. }
        );
        let error = errors::of(error);
        if !told {
            return error.into();
        }
        failure::explain(&failure::Case {
            error,
            seen,
            dockerfile: &self.dockerfile,
            ignore: &self.request.context.ignore,
            shown: &self.request.dockerfile_shown,
            modern: self.backend.api.modern_builder(),
            buildkit: self.buildkit,
        })
    }
}
