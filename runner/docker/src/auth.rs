//! Credentials for registries: the file's logins first, then the Docker configuration and its
//! helpers. They are never logged, and it refuses to keep them longer than a call.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError as Trouble, DockerCredential};
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind, Login};
use secrecy::ExposeSecret;

use crate::errors::Result;

/// The key under which Docker's own registry stands in its configuration.
pub(crate) const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Where credentials come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Auth {
    /// The Docker configuration's `config.json`, where there is a place for one.
    pub(crate) config: Option<PathBuf>,
}

impl Auth {
    /// Credentials for a registry, or `None` for going there without.
    pub(crate) async fn credentials(
        &self,
        registry: &str,
        logins: &[Login],
    ) -> Result<Option<DockerCredentials>> {
        if let Some(login) = logins
            .iter()
            .find(|login| key(&login.registry) == key(registry))
        {
            return Ok(Some(DockerCredentials {
                username: Some(login.username.clone()),
                password: Some(login.password.expose_secret().to_owned()),
                serveraddress: Some(key(registry).to_owned()),
                ..DockerCredentials::default()
            }));
        }
        let Some(config) = self.config.clone() else {
            return Ok(None);
        };
        let server = key(registry).to_owned();
        // A helper is a process of its own.
        let found = tokio::task::spawn_blocking(move || configured(&config, &server)).await;
        match found {
            Ok(answer) => answer,
            Err(error) => Err(BackendError::new(Kind::Engine, error.to_string())),
        }
    }
}

/// A registry's key in the Docker configuration.
pub(crate) fn key(registry: &str) -> &str {
    match registry {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB_KEY,
        other => other,
    }
}

fn configured(config: &PathBuf, server: &str) -> Result<Option<DockerCredentials>> {
    let file = match File::open(config) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(config, server, &error.to_string())),
    };
    let credentials = match docker_credential::get_credential_from_reader(file, server) {
        Ok(credentials) => credentials,
        Err(Trouble::NoCredentialConfigured | Trouble::ConfigNotFound) => return Ok(None),
        // Helpers have no other way to say that they know of none.
        Err(Trouble::HelperFailure { stdout, stderr, .. })
            if format!("{stdout}{stderr}").contains("credentials not found") =>
        {
            return Ok(None);
        }
        Err(error) => return Err(unusable(config, server, &error.to_string())),
    };
    let mut found = DockerCredentials {
        serveraddress: Some(server.to_owned()),
        ..DockerCredentials::default()
    };
    match credentials {
        DockerCredential::IdentityToken(token) => found.identitytoken = Some(token),
        DockerCredential::UsernamePassword(username, password) => {
            found.username = Some(username);
            found.password = Some(password);
        }
    }
    Ok(Some(found))
}

fn unusable(config: &std::path::Path, server: &str, why: &str) -> BackendError {
    let why = why.trim();
    BackendError::new(
        Kind::Unauthorized,
        format!(
            "the credentials for {server} could not be read by {}: {why}",
            config.display()
        ),
    )
}
