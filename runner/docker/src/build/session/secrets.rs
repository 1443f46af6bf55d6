//! Secrets, handed out when an instruction asks for one. They are never logged.

use std::collections::BTreeMap;

use bollard::moby::buildkit::secrets::v1::secrets_server::Secrets as Service;
use bollard::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{Request, Response, Status};

/// The secrets of one build, by ID.
pub(super) struct Secrets(pub(super) BTreeMap<String, SecretString>);

#[tonic::async_trait]
impl Service for Secrets {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        match self.0.get(&id) {
            Some(secret) => Ok(Response::new(GetSecretResponse {
                data: secret.expose_secret().as_bytes().to_vec(),
            })),
            // The builder lets an instruction go on without it unless it is required.
            None => Err(Status::not_found(format!("the step has no secret `{id}`"))),
        }
    }
}
