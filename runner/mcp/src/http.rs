//! The server over HTTP, for many clients one after another: a port or a socket that outlives
//! them. Runs go on when a client goes; a signal cancels them and waits until they are cleaned up.
//!
//! It speaks HTTP/1.1 and no TLS, serves no page, and hands on nothing to a client that has not
//! shown the token.

mod gate;
mod listen;
mod token;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::reason::{Signal, Trouble};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::server::Server;
use gate::Gate;
pub use listen::{Listen, Listener};
pub use token::Token;

/// The most that a request may hold, bytes.
const BODY: usize = 1 << 20;
/// How many connections may be open at once; more wait.
const CONNECTIONS: usize = 256;
/// How long a session of a client lives that says nothing and hears nothing. Runs may be silent for
/// long, and a session that ends takes its calls along.
const SESSION: Duration = Duration::from_secs(24 * 3600);
/// How long answers may take once all runs have ended.
const FAREWELL: Duration = Duration::from_millis(500);
/// Between two tries when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Origins of pages that this machine itself serves.
const ORIGINS: [&str; 6] = [
    "http://localhost:*",
    "http://127.0.0.1:*",
    "http://[::1]:*",
    "https://localhost:*",
    "https://127.0.0.1:*",
    "https://[::1]:*",
];

type Service = StreamableHttpService<Server, LocalSessionManager>;

/// Serves clients until a signal comes, and ends all runs then; a second signal kills them.
///
/// # Errors
/// Never by what a client does.
pub async fn http(
    server: Server,
    listener: Listener,
    token: &Token,
    origins: &[String],
    mut signals: mpsc::Receiver<Signal>,
) -> Result<(), Trouble> {
    let over = CancellationToken::new();
    let closing = CancellationToken::new();
    let service = service(&server, &listener, origins, over.clone());
    let gate = Arc::new(Gate::new(token));
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            next = next => next,
            Some(_) = signals.recv() => break,
        };
        let Ok(stream) = accepted else {
            // No more files may be open; some will be closed.
            sleep(PAUSE).await;
            continue;
        };
        let (service, gate, closing) = (service.clone(), Arc::clone(&gate), closing.clone());
        open.spawn(async move {
            connection(stream, service, gate, closing).await;
            drop(place);
        });
    }
    drop(listener);
    server.end_as_asked(&mut signals).await;
    closing.cancel();
    let answered = async { while open.join_next().await.is_some() {} };
    let _ = timeout(FAREWELL, answered).await;
    over.cancel();
    Ok(())
}

fn service(
    server: &Server,
    listener: &Listener,
    origins: &[String],
    over: CancellationToken,
) -> Service {
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.keep_alive = Some(SESSION);
    let own = ORIGINS.iter().map(ToString::to_string);
    let config = StreamableHttpServerConfig::default()
        .with_allowed_origins(own.chain(origins.iter().cloned()))
        .with_max_request_body_bytes(BODY)
        .with_cancellation_token(over);
    let config = match listener.hosts() {
        Some(hosts) => config.with_allowed_hosts(hosts.iter().cloned()),
        None => config.disable_allowed_hosts(),
    };
    let server = server.clone();
    StreamableHttpService::new(move || Ok(server.clone()), Arc::new(sessions), config)
}

/// Serves one connection to its end.
async fn connection(
    stream: Box<dyn Stream>,
    service: Service,
    gate: Arc<Gate>,
    closing: CancellationToken,
) {
    let answer = service_fn(move |request| {
        let (service, gate) = (service.clone(), Arc::clone(&gate));
        async move {
            let answer = match gate.refuses(&request) {
                Some(refusal) => refusal,
                None => service.handle(request).await,
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = closing.cancelled() => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// A connection, over whatever it goes.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
