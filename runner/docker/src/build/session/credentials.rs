//! Credentials for the registries that a build comes by, looked up when the builder asks.

use bollard::moby::filesync::v1::auth_server::Auth as Service;
use bollard::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
    GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
    VerifyTokenAuthorityResponse,
};
use bytes::Bytes;
use hoist_engine::backend::Login;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use crate::auth::Auth;

/// Where one build's credentials come from.
pub(super) struct Credentials {
    pub(super) auth: Auth,
    pub(super) logins: Vec<Login>,
    /// Where warnings go.
    pub(super) lines: mpsc::Sender<Bytes>,
}

#[tonic::async_trait]
impl Service for Credentials {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        let mut answer = CredentialsResponse::default();
        match self.auth.credentials(&host, &self.logins).await {
            // A token stands without a name, as from the docker command.
            Ok(Some(found)) => match found.identitytoken {
                Some(token) => answer.secret = token,
                None => {
                    answer.username = found.username.unwrap_or_default();
                    answer.secret = found.password.unwrap_or_default();
                }
            },
            Ok(None) => {}
            // Most images need no password, so it goes on without.
            Err(error) => {
                let line = format!("WARNING: {}\n", error.message);
                self.lines.send(Bytes::from(line)).await.ok();
            }
        }
        Ok(Response::new(answer))
    }

    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(only_credentials())
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(only_credentials())
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(only_credentials())
    }
}

/// The builder then fetches tokens by itself.
fn only_credentials() -> Status {
    Status::unimplemented("credentials are handed out, tokens are not")
}
