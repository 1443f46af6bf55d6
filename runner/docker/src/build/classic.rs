//! The builder of engines without BuildKit: the context goes to it whole, as a streamed tar. It
//! refuses what only BuildKit can do.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::BuildInfoAux;
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder};
use bytes::Bytes;
use futures_util::StreamExt as _;
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind, BuildRequest};
use hoist_engine::walk::{ExtraFile, Tally, TarOptions, tar_stream};
use hoist_model::unit::Network;

use super::progress::Progress;
use super::{Image, Lines, Stopped};
use crate::call::Pulse;
use crate::errors::Result;
use crate::streams::outgoing;
use crate::{DockerBackend, errors};

/// Builds an image.
pub(super) async fn build(
    backend: &DockerBackend,
    request: &BuildRequest,
    lines: Lines,
    progress: &mut Progress,
) -> std::result::Result<Image, Stopped> {
    check(request)?;
    let credentials = credentials(backend, request, &lines).await;
    let dockerfile = dockerfile(&request.dockerfile);
    let options = options(request, &dockerfile.name)?;
    let tally = Tally::default();
    let context = tar_stream(
        &request.context.path,
        Arc::clone(&request.context.ignore),
        TarOptions {
            extra: vec![dockerfile],
            buildable: true,
            tally: tally.clone(),
            ..TarOptions::default()
        },
    );
    let (body, _) = outgoing(context, Pulse::default());
    let body = bollard::body_try_stream(body);
    let mut answers = backend
        .docker
        .build_image(options, Some(credentials), Some(body));
    let mut id = None;
    while let Some(answer) = answers.next().await {
        let answer = answer.map_err(|error| stopped(error, &tally))?;
        if let Some(BuildInfoAux::Default(image)) = answer.aux {
            id = image.id.or(id);
        }
        if let Some(text) = answer.stream {
            progress.classic(&text).await;
        }
    }
    progress.flush().await;
    if let Some(trouble) = tally.failure() {
        return Err(Stopped::Context(trouble));
    }
    let id = id.or_else(|| progress.built()).ok_or_else(|| {
        BackendError::new(Kind::Broken, "the engine ended the build without an image")
    })?;
    for tag in request.tags.iter().skip(1) {
        backend.image_tag(&id, tag).await?;
    }
    Ok(Image { id, config: None })
}

/// Refuses what would be passed over.
fn check(request: &BuildRequest) -> Result<()> {
    let asked = [
        (!request.contexts.is_empty(), "contexts"),
        (!request.secrets.is_empty(), "secrets"),
        (!request.ssh.is_empty(), "ssh"),
        (!request.cache_from.is_empty(), "cache_from"),
        (!request.cache_to.is_empty(), "cache_to"),
        (!request.no_cache_filter.is_empty(), "no_cache_filter"),
        (request.platform.is_some(), "platforms"),
        (!request.extra_hosts.is_empty(), "extra_hosts"),
        (!request.ulimits.is_empty(), "ulimits"),
        (request.source_date_epoch.is_some(), "reproducible"),
    ];
    match asked.iter().find(|(asked, _)| *asked) {
        None => Ok(()),
        Some((_, name)) => Err(BackendError::new(
            Kind::Unsupported,
            format!(
                "`{name}` needs BuildKit, which this engine does not have or DOCKER_BUILDKIT=0 \
                 switches off"
            ),
        )),
    }
}

/// The Dockerfile as a file of the context: by a name that changes with its content only, so that
/// the engine's cache holds.
fn dockerfile(text: &str) -> ExtraFile {
    let hash = blake3::hash(text.as_bytes()).to_hex();
    ExtraFile {
        name: format!(".dockerfile.{}", hash.get(..20).unwrap_or_default()),
        content: Bytes::copy_from_slice(text.as_bytes()),
        mode: 0o644,
    }
}

fn options(request: &BuildRequest, dockerfile: &str) -> Result<BuildImageOptions> {
    let map = |map: &BTreeMap<String, String>| -> HashMap<String, String> {
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
    if let Some(bytes) = request.shm_size {
        let bytes = i32::try_from(bytes).map_err(|_| {
            BackendError::new(
                Kind::Unsupported,
                "a `shm_size` of 2 GiB and more needs BuildKit",
            )
        })?;
        options = options.shmsize(bytes);
    }
    options = match request.network {
        None => options,
        Some(Network::None) => options.networkmode("none"),
        Some(Network::Bridge) => options.networkmode("default"),
    };
    Ok(options.build())
}

/// Credentials by registry, sent beforehand since this builder cannot ask. Helpers are asked only
/// for registries that the build can come by, and a helper that fails is no reason not to try: most
/// base images need no password.
async fn credentials(
    backend: &DockerBackend,
    request: &BuildRequest,
    lines: &Lines,
) -> HashMap<String, DockerCredentials> {
    let mut found = HashMap::new();
    for registry in backend.auth.registries(&request.logins).await {
        let host = crate::auth::host(&registry);
        if !comes_by(request, host) {
            continue;
        }
        match backend.auth.credentials(host, &request.logins).await {
            Ok(Some(credentials)) => {
                found.insert(crate::auth::key(host).to_owned(), credentials);
            }
            Ok(None) => {}
            Err(error) => {
                let line = format!("WARNING: {}\n", error.message);
                lines.send(Bytes::from(line)).await.ok();
            }
        }
    }
    found
}

/// Whether the build may come by a registry.
fn comes_by(request: &BuildRequest, host: &str) -> bool {
    crate::auth::is_hub(host)
        || request.dockerfile.contains(host)
        || request.args.values().any(|value| value.contains(host))
}

/// What the end of the answers comes to.
fn stopped(error: Error, tally: &Tally) -> Stopped {
    if let Some(trouble) = tally.failure() {
        return Stopped::Context(trouble);
    }
    let said = matches!(
        error,
        Error::DockerStreamError { .. } | Error::DockerResponseServerError { .. }
    );
    let error = errors::of(error);
    match said {
        true => Stopped::Said(error),
        false => Stopped::Around(error),
    }
}
