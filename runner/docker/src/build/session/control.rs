//! The engine's side of a build: its BuildKit is asked for an image, and tells how it goes. It
//! refuses to take a connection that broke for an answer.

use std::error::Error as _;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::moby::buildkit::v1::control_client::ControlClient;
use bollard::moby::buildkit::v1::{ListWorkersRequest, SolveRequest, StatusRequest};
use futures_util::future::{BoxFuture, FutureExt as _};
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tower_service::Service;

use crate::build::Stopped;
use crate::build::progress::Progress;
use crate::errors;

/// How long the engine may be silent about a build that has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Bytes of a message from the engine.
const LONGEST_MESSAGE: usize = 64 << 20;
/// The label under which newer engines tell the address of their machine.
const HOST_GATEWAY: &str = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";

/// What the exporter answered, by its own names.
pub(super) type Answer = std::collections::HashMap<String, String>;

/// Calls to the engine's BuildKit.
#[derive(Clone)]
pub(super) struct Control(ControlClient<Channel>);

impl Control {
    pub(super) fn new(sender: SendRequest<Body>) -> Self {
        let origin = http::Uri::from_static("http://docker");
        let client = ControlClient::with_origin(Channel(sender), origin);
        Self(client.max_decoding_message_size(LONGEST_MESSAGE))
    }

    /// Builds.
    pub(super) async fn solve(
        &self,
        request: SolveRequest,
        progress: &mut Progress,
    ) -> Result<Answer, Stopped> {
        let build = request.r#ref.clone();
        let ended = CancellationToken::new();
        let mut client = self.0.clone();
        let end = ended.clone().drop_guard();
        let solving = async move {
            let answer = client.solve(request).await;
            drop(end);
            answer
        };
        // Asked for first, so that nothing is missed; in this order they are polled.
        let watching = watch(self.0.clone(), build, ended, progress);
        let ((), answer) = tokio::join!(watching, solving);
        match answer {
            Ok(answer) => Ok(answer.into_inner().exporter_response),
            Err(status) => Err(stopped(&status)),
        }
    }

    /// The address of the engine's machine as its builds see it, where it tells.
    pub(super) async fn host_gateway(&self) -> Option<String> {
        let request = ListWorkersRequest::default();
        let workers = self.0.clone().list_workers(request).await.ok()?;
        let mut workers = workers.into_inner().record.into_iter();
        workers.find_map(|mut worker| worker.labels.remove(HOST_GATEWAY))
    }
}

/// Tells how a build goes until the engine has said all of it. That it could not be told is no
/// failure of the build.
async fn watch(
    mut client: ControlClient<Channel>,
    build: String,
    ended: CancellationToken,
    progress: &mut Progress,
) {
    let request = StatusRequest { r#ref: build };
    let stream = tokio::select! {
        stream = client.status(request) => stream,
        () = silent(&ended) => return,
    };
    let Ok(stream) = stream else { return };
    let mut stream = stream.into_inner();
    loop {
        let message = tokio::select! {
            message = stream.message() => message,
            () = silent(&ended) => return,
        };
        match message {
            Ok(Some(status)) => progress.status(status).await,
            Ok(None) | Err(_) => return,
        }
    }
}

/// Waits for the end of the build, and then for as long as the engine may be silent.
async fn silent(ended: &CancellationToken) {
    ended.cancelled().await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// What a build's failure comes to.
fn stopped(status: &Status) -> Stopped {
    let said = status.message();
    // Only what does not come from the other end has a source.
    if status.source().is_some() {
        return Stopped::Around(broken(said));
    }
    // Nobody here cancels a build and then waits for its answer: the engine is being stopped.
    if status.code() == Code::Cancelled || said.ends_with("context canceled") {
        return Stopped::Around(BackendError::new(
            Kind::Broken,
            format!("the engine gave the build up: {said}"),
        ));
    }
    Stopped::Said(BackendError::new(errors::of_words(said), said))
}

/// The engine went away.
pub(super) fn broken(why: &str) -> BackendError {
    BackendError::new(
        Kind::Broken,
        format!("the connection to the engine broke in the middle of the build: {why}"),
    )
}

/// A connection as the generated client wants it.
#[derive(Clone)]
struct Channel(SendRequest<Body>);

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.send_request(request).boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_an_engine_says_is_told_from_its_going_away() {
        let mut broke = Status::unknown("h2 protocol error");
        broke.set_source(Arc::new(io::Error::from(io::ErrorKind::BrokenPipe)));
        for status in [
            broke,
            Status::cancelled("x"),
            Status::unknown("failed to solve: context canceled"),
        ] {
            match stopped(&status) {
                Stopped::Around(error) => assert_eq!(error.kind, Kind::Broken, "{status}"),
                _ => panic!("{status}"),
            }
        }
        let full = "write /x: no space left on device";
        for (said, kind) in [("exit code: 1", Kind::Engine), (full, Kind::DiskFull)] {
            match stopped(&Status::unknown(said)) {
                Stopped::Said(error) => {
                    assert_eq!((error.kind, error.message.as_str()), (kind, said));
                }
                _ => panic!("{said}"),
            }
        }
    }
}
