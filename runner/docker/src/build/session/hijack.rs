//! Connections that an engine hands over: an HTTP call that ends as a plain two-way stream. It
//! refuses to know what is spoken on them.

use bytes::Bytes;
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind};
use http::header::{CONNECTION, HOST, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::rt::Executor as _;
use hyper::upgrade::Upgraded;
use serde::Deserialize;

use super::Tasks;
use crate::call::{self, LOOK};
use crate::connect::Dialer;
use crate::errors::{self, Result};

/// Bytes of a refusal that are read.
const LONGEST_REFUSAL: usize = 64 << 10;

/// Takes over a new connection by calling `path`. Until that, `tasks` drive the call.
pub(super) async fn hijack(
    dialer: &Dialer,
    path: &str,
    headers: HeaderMap,
    tasks: &Tasks,
) -> Result<Upgraded> {
    let taking = taken_over(dialer, path, headers, tasks);
    match tokio::time::timeout(LOOK, taking).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(dialer.explain(error).await),
        Err(_) => Err(call::late(LOOK)),
    }
}

async fn taken_over(
    dialer: &Dialer,
    path: &str,
    headers: HeaderMap,
    tasks: &Tasks,
) -> Result<Upgraded> {
    let request = request(path, headers)?;
    let io = dialer.dial().await.map_err(|error| of_transport(&error))?;
    let (mut sender, connection) = http1::handshake(io)
        .await
        .map_err(|error| of_transport(&error))?;
    tasks.execute(async {
        // How it ends is of no interest: who waits for the answer is told.
        let _ = connection.with_upgrades().await;
    });
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| of_transport(&error))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(path, answer).await);
    }
    let connection = hyper::upgrade::on(answer).await;
    connection.map_err(|error| of_transport(&error))
}

fn of_transport(error: &(dyn std::error::Error + 'static)) -> BackendError {
    errors::of_transport(error, false)
}

fn request(path: &str, headers: HeaderMap) -> Result<Request<Empty<Bytes>>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().map_err(|error| {
        BackendError::new(
            Kind::Engine,
            format!("`{path}` is no path of a call: {error}"),
        )
    })?;
    *request.headers_mut() = headers;
    for (name, value) in [(HOST, "docker"), (CONNECTION, "Upgrade"), (UPGRADE, "h2c")] {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Ok(request)
}

/// What an answer that hands nothing over comes to. Something between hoist and the engine may
/// refuse what the engine itself can do.
async fn refusal(path: &str, answer: Response<Incoming>) -> BackendError {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST_REFUSAL)
        .collect()
        .await;
    let said = body.map(|body| body.to_bytes()).unwrap_or_default();
    let said = match serde_json::from_slice(&said) {
        Ok(Refusal { message }) => message,
        Err(_) => String::from_utf8_lossy(&said).trim().to_owned(),
    };
    let kind = errors::of_answer(status.as_u16(), &said);
    let said = format!("the engine does not open {path} ({status}: {said})");
    if status.is_server_error() {
        return BackendError::new(kind, said);
    }
    BackendError::new(
        Kind::Unsupported,
        format!("{said}; builds without BuildKit need none of it: set DOCKER_BUILDKIT=0"),
    )
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}
