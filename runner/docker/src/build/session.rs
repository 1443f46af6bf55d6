//! A build by the engine's BuildKit over two connections of hoist's own: on one the engine asks for
//! files, secrets, agents and credentials, on the other it is asked for the image. All of it is the
//! one future of [`build`]: with that, both connections end, and with them the build on the engine.
//! It refuses to send anything that the engine did not ask for.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bollard::query_parameters::InspectNetworkOptions;
use bytes::Bytes;
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind, BuildRequest};
use hoist_model::inputs::Part;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioTimer;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::dockerfile::Dockerfile;
use super::progress::Progress;
use super::{Image, Lines, Stopped};
use crate::DockerBackend;
use crate::call::{self, LOOK};
use crate::errors::Result;

mod agents;
mod control;
mod credentials;
mod filesync;
mod hijack;
mod options;
mod secrets;
mod services;

use agents::Agents;
use control::Control;
use credentials::Credentials;
use filesync::{Dir, Failure, FileSync, Sent};
use options::{Abilities, Names};
use secrets::Secrets;
use services::Services;

/// A network that went silent is noticed by unanswered signs of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// How long one may stay unanswered.
const UNANSWERED: Duration = Duration::from_secs(60);

/// Bytes that the engine may send unread. It asks for each file by a message of its own, and those
/// that come faster than they are read may take half of this, at 256 bytes each, before the
/// connection takes them for an attack.
const UNREAD: u32 = 256 << 20;
/// Bytes of what the engine says of a call: the patterns of all that a build copies.
const LONGEST_HEADERS: u32 = 16 << 20;

/// Builds an image.
pub(super) async fn build(
    backend: &DockerBackend,
    request: &BuildRequest,
    lines: Lines,
    progress: &mut Progress,
) -> std::result::Result<Image, Stopped> {
    let failure = Failure::default();
    let made = attempt(backend, request, lines, progress, &failure).await;
    let trouble = failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match (made, trouble) {
        // The engine knows only that it did not get its files.
        (Err(_), Some(trouble)) => Err(Stopped::Context(trouble)),
        (made, _) => made,
    }
}

async fn attempt(
    backend: &DockerBackend,
    request: &BuildRequest,
    lines: Lines,
    progress: &mut Progress,
    failure: &Failure,
) -> std::result::Result<Image, Stopped> {
    let dockerfile = Dockerfile::parse(&request.dockerfile);
    let abilities = Abilities::of(&backend.api, backend.info.containerd_images);
    abilities.check(request, dockerfile.syntax.is_some())?;
    if request.source_date_epoch.is_some()
        && let Some(lacking) = abilities.not_reproducible()
    {
        let line = format!("WARNING: not the same from every clone: {lacking}\n");
        lines.send(Bytes::from(line)).await.ok();
    }
    let files = FileSync::new(dirs(request), Arc::clone(failure));
    let files = files.telling(request.uploads.clone());
    let sent = files.sent();
    let services = Services::new(
        files,
        Secrets(request.secrets.clone()),
        Agents(request.ssh.clone()),
        Credentials {
            auth: backend.auth.clone(),
            logins: request.logins.clone(),
            lines: lines.clone(),
        },
    );
    let (tasks, _end_with_this) = Tasks::new();
    let session = Uuid::new_v4().simple().to_string();
    let dialer = &backend.dialer;
    let (major, minor) = backend.api.version;
    let serving = format!("/v{major}.{minor}/session");
    let asking = format!("/v{major}.{minor}/grpc");
    let (serving, asking) = tokio::try_join!(
        hijack::hijack(
            dialer,
            &serving,
            introduction(&session, request, &dockerfile),
            &tasks
        ),
        hijack::hijack(dialer, &asking, HeaderMap::new(), &tasks),
    )?;
    let (sender, asking) = client(asking, tasks.clone(), dialer.over_network()).await?;
    let control = Control::new(sender);
    let building = async {
        let names = Names {
            session,
            build: Uuid::new_v4().simple().to_string(),
            host_gateway: host_gateway(backend, request, &control).await?,
        };
        let answer = control
            .solve(options::solve(request, names, abilities), progress)
            .await?;
        if sent.entries() > 0 {
            lines.send(told(&sent)).await.ok();
        }
        Ok(image(answer)?)
    };
    tokio::select! {
        biased;
        image = building => image,
        why = serve(serving, services, tasks) => Err(control::broken(&why).into()),
        why = asking => Err(control::broken(&why).into()),
    }
}

/// The folders that the engine may ask for, by the names that it knows. Each is filtered before the
/// engine sees anything of it, so the rules that it would look for beside the Dockerfile are none.
fn dirs(request: &BuildRequest) -> BTreeMap<String, Dir> {
    let clamp = request.source_date_epoch;
    let folder = |part: Part, folder: &hoist_engine::backend::ContextFolder| Dir::Folder {
        part,
        folder: folder.clone(),
        clamp,
    };
    let dockerfile = BTreeMap::from([
        (
            "Dockerfile".to_owned(),
            Bytes::from(request.dockerfile.clone()),
        ),
        (
            "Dockerfile.dockerignore".to_owned(),
            Bytes::from_static(b"# The context is sent without what is left out.\n"),
        ),
    ]);
    let mut dirs = BTreeMap::from([
        (options::DOCKERFILE.to_owned(), Dir::Files(dockerfile)),
        (
            options::CONTEXT.to_owned(),
            folder(Part::Context, &request.context),
        ),
    ]);
    for (name, context) in &request.contexts {
        let part = Part::NamedContext(name.clone());
        dirs.insert(options::named_context(name), folder(part, context));
    }
    dirs
}

/// What the engine is told of the session: its ID, what it may ask for, and the key under which it
/// finds what it was sent before.
fn introduction(session: &str, request: &BuildRequest, dockerfile: &Dockerfile) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let key = shared_key(request, dockerfile);
    let mut add = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    };
    add("x-docker-expose-session-uuid", session);
    add("x-docker-expose-session-name", "hoist");
    add("x-docker-expose-session-sharedkey", &key);
    for method in Services::methods() {
        add("x-docker-expose-session-grpc-method", &method);
    }
    headers
}

/// The key under which the engine keeps what it was sent. It then does away with what a build does
/// not ask for, so builds that copy other files of the same context have another key: else each
/// would send again what the one before it did not need.
fn shared_key(request: &BuildRequest, dockerfile: &Dockerfile) -> String {
    let contexts = request.contexts.keys().map(String::as_str).collect();
    let mut key = blake3::Hasher::new();
    key.update(request.shared_key.as_bytes());
    for source in dockerfile.sources(request.target.as_deref(), &contexts) {
        key.update(&[0]).update(source.as_bytes());
    }
    key.finalize().to_hex().to_string()
}

/// How much of the contexts the engine did not have yet.
fn told(sent: &Sent) -> Bytes {
    let (files, entries) = (sent.files(), sent.entries());
    let megabytes = sent.bytes() as f64 / 1e6;
    Bytes::from(format!(
        "sent {files} of {entries} files and folders, {megabytes:.1} MB\n"
    ))
}

/// The address of the engine's machine, where the build asks for it.
async fn host_gateway(
    backend: &DockerBackend,
    request: &BuildRequest,
    control: &Control,
) -> Result<Option<String>> {
    if !options::asks_for_host_gateway(request) {
        return Ok(None);
    }
    if let Some(address) = control.host_gateway().await {
        return Ok(Some(address));
    }
    // Engines that do not tell use the gateway of their default bridge.
    match bridge_gateway(backend).await? {
        Some(address) => Ok(Some(address)),
        None => Err(BackendError::new(
            Kind::Unsupported,
            format!(
                "this engine does not tell what `{}` is",
                options::HOST_GATEWAY
            ),
        )),
    }
}

async fn bridge_gateway(backend: &DockerBackend) -> Result<Option<String>> {
    let asked = backend
        .docker
        .inspect_network("bridge", None::<InspectNetworkOptions>);
    let bridge = call::found(call::within(LOOK, asked).await)?;
    let configs = bridge.and_then(|bridge| bridge.ipam?.config);
    let mut gateways = configs.into_iter().flatten().filter_map(|one| one.gateway);
    Ok(gateways.next())
}

/// What the exporter's answer says.
fn image(mut answer: control::Answer) -> Result<Image> {
    match answer.remove("containerimage.digest") {
        Some(id) => Ok(Image {
            id,
            config: answer.remove("containerimage.config.digest"),
        }),
        None => Err(BackendError::new(
            Kind::Broken,
            "the engine ended the build without an image",
        )),
    }
}

/// Answers the engine until it closes the connection. Gives why it ended.
async fn serve(connection: Upgraded, services: Services, tasks: Tasks) -> String {
    let service = service_fn(move |call| services.answer(call));
    let serving = hyper::server::conn::http2::Builder::new(tasks)
        .timer(TokioTimer::new())
        .initial_connection_window_size(UNREAD)
        .max_header_list_size(LONGEST_HEADERS)
        .serve_connection(connection, service);
    why(serving.await)
}

/// A client of the engine, and what drives it; that gives why it ended.
async fn client(
    connection: Upgraded,
    tasks: Tasks,
    over_network: bool,
) -> Result<(
    hyper::client::conn::http2::SendRequest<tonic::body::Body>,
    impl Future<Output = String>,
)> {
    let mut builder = hyper::client::conn::http2::Builder::new(tasks);
    builder.timer(TokioTimer::new());
    if over_network {
        builder
            .keep_alive_interval(SIGN_OF_LIFE)
            .keep_alive_timeout(UNANSWERED);
    }
    let (sender, connection) = builder
        .handshake(connection)
        .await
        .map_err(|error| control::broken(&error.to_string()))?;
    Ok((sender, async { why(connection.await) }))
}

fn why(ended: hyper::Result<()>) -> String {
    match ended {
        Ok(()) => "the engine closed it".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Where the connections' work goes that they do beside each other. It all ends with its guard.
#[derive(Clone)]
struct Tasks(CancellationToken);

impl Tasks {
    fn new() -> (Self, DropGuard) {
        let token = CancellationToken::new();
        let guard = token.clone().drop_guard();
        (Self(token), guard)
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, work: F) {
        let token = self.0.clone();
        tokio::spawn(async move { token.run_until_cancelled(work).await });
    }
}
