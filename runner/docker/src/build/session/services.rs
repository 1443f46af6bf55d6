//! What an engine may ask for while it builds, by gRPC: the session's table of services. It refuses
//! every call that is not in the table, which is also what the engine is told of.

use std::convert::Infallible;

use bollard::health::health_check_response::ServingStatus;
use bollard::health::health_server::{Health, HealthServer};
use bollard::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use bollard::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard::moby::filesync::packet::file_sync_server::FileSyncServer;
use bollard::moby::filesync::v1::auth_server::AuthServer;
use bollard::moby::sshforward::v1::ssh_server::SshServer;
use futures_util::future::{self, BoxFuture};
use futures_util::stream::BoxStream;
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tower_service::Service;

use super::agents::Agents;
use super::credentials::Credentials;
use super::filesync::FileSync;
use super::secrets::Secrets;

/// Bytes of a message from the engine.
const LONGEST_MESSAGE: usize = 16 << 20;

/// An answer of a service.
type Answer = Result<http::Response<Body>, Infallible>;

/// The services of one build.
#[derive(Clone)]
pub(super) struct Services {
    files: FileSyncServer<FileSync>,
    secrets: SecretsServer<Secrets>,
    agents: SshServer<Agents>,
    credentials: AuthServer<Credentials>,
    health: HealthServer<Well>,
}

impl Services {
    pub(super) fn new(
        files: FileSync,
        secrets: Secrets,
        agents: Agents,
        credentials: Credentials,
    ) -> Self {
        Self {
            files: FileSyncServer::new(files).max_decoding_message_size(LONGEST_MESSAGE),
            secrets: SecretsServer::new(secrets),
            agents: SshServer::new(agents),
            credentials: AuthServer::new(credentials),
            health: HealthServer::new(Well),
        }
    }

    /// The methods that the engine may call.
    pub(super) fn methods() -> impl Iterator<Item = String> {
        [
            (name::<FileSyncServer<FileSync>>(), "DiffCopy"),
            (name::<SecretsServer<Secrets>>(), "GetSecret"),
            (name::<SshServer<Agents>>(), "CheckAgent"),
            (name::<SshServer<Agents>>(), "ForwardAgent"),
            (name::<AuthServer<Credentials>>(), "Credentials"),
            (name::<HealthServer<Well>>(), "Check"),
        ]
        .into_iter()
        .map(|(service, method)| format!("/{service}/{method}"))
    }

    /// Answers a call.
    pub(super) fn answer(&self, call: http::Request<Incoming>) -> BoxFuture<'static, Answer> {
        let service = call.uri().path().split('/').nth(1).unwrap_or_default();
        if service == name::<FileSyncServer<FileSync>>() {
            self.files.clone().call(call)
        } else if service == name::<SecretsServer<Secrets>>() {
            self.secrets.clone().call(call)
        } else if service == name::<SshServer<Agents>>() {
            self.agents.clone().call(call)
        } else if service == name::<AuthServer<Credentials>>() {
            self.credentials.clone().call(call)
        } else if service == name::<HealthServer<Well>>() {
            self.health.clone().call(call)
        } else {
            let unknown = Status::unimplemented(format!("{service} is not served"));
            Box::pin(future::ready(Ok(unknown.into_http())))
        }
    }
}

fn name<S: NamedService>() -> &'static str {
    S::NAME
}

/// As long as hoist answers, it is well.
struct Well;

#[tonic::async_trait]
impl Health for Well {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse {
            status: ServingStatus::Serving.into(),
        }))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("only checks are answered"))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only checks are answered"))
    }
}
