//! Credentials for registries: the file's logins first, then the Docker configuration and its
//! helpers. They are never logged, and it refuses to keep them longer than a call.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;

use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError as Trouble, DockerCredential};
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind, Login};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::IgnoredAny;

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
    /// The registries for which there may be credentials, as logins and the configuration name
    /// them.
    pub(crate) async fn registries(&self, logins: &[Login]) -> BTreeSet<String> {
        let mut known: BTreeSet<String> =
            logins.iter().map(|login| login.registry.clone()).collect();
        let Some(config) = &self.config else {
            return known;
        };
        let Ok(text) = tokio::fs::read(config).await else {
            return known;
        };
        let config: Known = serde_json::from_slice(&text).unwrap_or_default();
        known.extend(
            config
                .auths
                .into_keys()
                .chain(config.cred_helpers.into_keys()),
        );
        known
    }

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
    if is_hub(registry) { HUB_KEY } else { registry }
}

/// The name stands for Docker's own registry.
pub(crate) fn is_hub(registry: &str) -> bool {
    matches!(
        registry,
        "docker.io" | "index.docker.io" | "registry-1.docker.io"
    )
}

/// The host in a key of the Docker configuration, which may be an address.
pub(crate) fn host(key: &str) -> &str {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    bare.map_or(key, |bare| bare.split('/').next().unwrap_or(bare))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Known {
    auths: BTreeMap<String, IgnoredAny>,
    cred_helpers: BTreeMap<String, IgnoredAny>,
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

#[cfg(test)]
mod tests {
    use std::fs;

    use secrecy::SecretString;

    use super::*;

    fn auth(folder: &tempfile::TempDir, config: &str) -> Auth {
        let file = folder.path().join("config.json");
        fs::write(&file, config).unwrap();
        Auth { config: Some(file) }
    }

    #[tokio::test]
    async fn logins_come_before_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        // `dXNlcjpwYXNz` is `user:pass`.
        let config = r#"{"auths":{"registry.example.com":{"auth":"dXNlcjpwYXNz"},
            "https://index.docker.io/v1/":{"auth":"aHViOnBhc3M="},
            "token.example.com":{"identitytoken":"abc"}}}"#;
        let auth = auth(&folder, config);
        let login = Login {
            registry: "registry.example.com".to_owned(),
            username: "ci".to_owned(),
            password: SecretString::from("secret"),
        };
        let found = auth
            .credentials("registry.example.com", &[login])
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.username.as_deref(), Some("ci"));
        assert_eq!(found.password.as_deref(), Some("secret"));
        assert_eq!(found.serveraddress.as_deref(), Some("registry.example.com"));

        let found = auth
            .credentials("registry.example.com", &[])
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.username.as_deref(), found.password.as_deref()),
            (Some("user"), Some("pass"))
        );
        for hub in ["docker.io", "registry-1.docker.io"] {
            let found = auth.credentials(hub, &[]).await.unwrap().unwrap();
            assert_eq!(found.username.as_deref(), Some("hub"));
            assert_eq!(found.serveraddress.as_deref(), Some(HUB_KEY));
        }
        let found = auth
            .credentials("token.example.com", &[])
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.identitytoken.as_deref(), Some("abc"));
        assert!(
            auth.credentials("other.example.com", &[])
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(auth.registries(&[]).await.len(), 3);
    }

    #[tokio::test]
    async fn no_configuration_is_no_credentials_and_a_broken_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let none = Auth {
            config: Some(folder.path().join("none.json")),
        };
        assert!(
            none.credentials("r.example.com", &[])
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            Auth::default()
                .credentials("r.example.com", &[])
                .await
                .unwrap()
                .is_none()
        );
        for broken in ["{", r#"{"auths":{"r.example.com":{"auth":"!"}}}"#] {
            let error = auth(&folder, broken)
                .credentials("r.example.com", &[])
                .await
                .unwrap_err();
            assert_eq!(error.kind, Kind::Unauthorized);
            assert!(error.message.contains("config.json"), "{error}");
        }
        let missing = auth(
            &folder,
            r#"{"credHelpers":{"r.example.com":"hoist-test-no-such-helper"}}"#,
        );
        assert_eq!(
            missing
                .credentials("r.example.com", &[])
                .await
                .unwrap_err()
                .kind,
            Kind::Unauthorized
        );
    }

    #[test]
    fn hosts_are_told_from_addresses() {
        assert_eq!(host(HUB_KEY), "index.docker.io");
        assert_eq!(host("localhost:5000"), "localhost:5000");
        assert_eq!(host("http://a.example.com"), "a.example.com");
    }
}
