//! An index over images that are in a registry already, which no engine's API can make: the one
//! thing for which hoist speaks to a registry itself. It refuses to move layers, and to send
//! credentials anywhere but to the registry and to the token service that it names.
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bytes::Bytes;
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind, Login};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::DockerBackend;
use crate::auth;
use crate::errors::Result;
use crate::names;

/// An index of images.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// What a registry may answer with: manifests, and indexes in both spellings.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";
/// How long a registry may take for an answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read; manifests are bounded to 4 MiB by the specification.
const LONGEST: usize = 4 << 20;

/// An image in an index.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    platform: Platform,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Platform {
    os: String,
    architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
}

impl Platform {
    /// Reads `linux/arm/v7`.
    fn read(text: &str) -> Self {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        Self {
            os: parts.next().unwrap_or_default(),
            architecture: parts.next().unwrap_or_default(),
            variant: parts.next(),
        }
    }
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

impl DockerBackend {
    /// Puts an index under `reference`; `images` are digests in the same repository by platform.
    pub(crate) async fn index_push(
        &self,
        reference: &str,
        images: &BTreeMap<String, String>,
        logins: &[Login],
    ) -> Result<String> {
        let host = names::registry(reference);
        let credentials = self.auth.credentials(host, logins).await?;
        let mut registry = Registry::new(reference, credentials)?;
        let mut manifests = Vec::new();
        for (platform, digest) in images {
            manifests.extend(registry.descriptors(platform, digest).await?);
        }
        let index = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": manifests,
        });
        registry
            .put(names::split(reference).1, index.to_string())
            .await
    }
}

/// A repository in a registry.
struct Registry {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Before the name of a manifest.
    manifests: String,
    credentials: Option<DockerCredentials>,
    /// The challenge that was answered last, and the answer.
    answered: Option<(String, Option<HeaderValue>)>,
}

impl Registry {
    fn new(reference: &str, credentials: Option<DockerCredentials>) -> Result<Self> {
        let provider = tokio_rustls::rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| registry_error(format!("no certificates to trust: {error}")))?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            manifests: address(reference),
            credentials,
            answered: None,
        })
    }

    /// What an index says of an image that was pushed for a platform. An engine may have pushed an
    /// index of its own: then it is what that holds for the platform.
    async fn descriptors(&mut self, platform: &str, digest: &str) -> Result<Vec<Descriptor>> {
        let (media_type, body) = self.get(digest).await?;
        let wanted = Platform::read(platform);
        if media_type.contains("index") || media_type.contains("manifest.list") {
            let index: Index = serde_json::from_slice(&body)
                .map_err(|error| registry_error(format!("{digest} is no index: {error}")))?;
            let fits = |one: &Descriptor| {
                one.platform.os == wanted.os && one.platform.architecture == wanted.architecture
            };
            return Ok(index.manifests.into_iter().filter(fits).collect());
        }
        Ok(vec![Descriptor {
            media_type,
            digest: digest.to_owned(),
            size: u64::try_from(body.len()).unwrap_or(u64::MAX),
            platform: wanted,
        }])
    }

    async fn get(&mut self, name: &str) -> Result<(String, Bytes)> {
        let answer = self.call(Method::GET, name, Bytes::new()).await?;
        Ok((answer.header(CONTENT_TYPE.as_str()), answer.body))
    }

    /// Gives the digest by which the registry knows what was put.
    async fn put(&mut self, name: &str, content: String) -> Result<String> {
        let answer = self.call(Method::PUT, name, content.into()).await?;
        let digest = answer.header("docker-content-digest");
        if digest.starts_with("sha256:") {
            return Ok(digest);
        }
        Err(registry_error(
            "the registry gave no digest for the index".to_owned(),
        ))
    }

    /// A call, with a second try once the registry has said how it wants to know who calls. It may
    /// say so again: what may read need not be what may write.
    async fn call(&mut self, method: Method, name: &str, body: Bytes) -> Result<Answer> {
        let url = format!("{}{name}", self.manifests);
        let mut answer = self.send(&method, &url, body.clone()).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            let challenge = answer.header(WWW_AUTHENTICATE.as_str());
            let known = self.answered.as_ref().map(|(challenge, _)| challenge);
            if known != Some(&challenge) {
                let authorization = self.authorize(&challenge).await?;
                self.answered = Some((challenge, authorization));
                answer = self.send(&method, &url, body).await?;
            }
        }
        if answer.status.is_success() {
            return Ok(answer);
        }
        let kind = match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Unauthorized,
            StatusCode::NOT_FOUND => Kind::NotFound,
            _ => Kind::Registry,
        };
        let said = String::from_utf8_lossy(&answer.body);
        let said: String = said.chars().take(400).collect();
        Err(BackendError::new(
            kind,
            format!("{method} {url}: {} {}", answer.status, said.trim()),
        ))
    }

    /// What stands for the caller, by the registry's challenge.
    async fn authorize(&self, challenge: &str) -> Result<Option<HeaderValue>> {
        let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok(self.basic());
        }
        let asked = parameters(rest);
        let Some(realm) = asked
            .get("realm")
            .filter(|_| scheme.eq_ignore_ascii_case("bearer"))
        else {
            return Ok(None);
        };
        let query: Vec<String> = asked
            .iter()
            .filter(|(name, _)| matches!(name.as_str(), "service" | "scope"))
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        let url = format!("{realm}?{}", query.join("&"));
        let safe = url.starts_with("https://") || self.manifests.starts_with("http://");
        if !safe {
            let message = format!("{realm} would get the password in the clear");
            return Err(registry_error(message));
        }
        let request = Request::get(&url);
        let request = match self.basic() {
            Some(basic) => request.header(AUTHORIZATION, basic),
            None => request,
        };
        let answer = self.answer(request, Bytes::new(), &url).await?;
        if !answer.status.is_success() {
            return Err(BackendError::new(
                Kind::Unauthorized,
                format!("{realm} gives no token: {}", answer.status),
            ));
        }
        let token: Token = serde_json::from_slice(&answer.body)
            .map_err(|error| registry_error(format!("{realm} gives no token: {error}")))?;
        let token = token.token.or(token.access_token);
        Ok(token.and_then(|token| secret(&format!("Bearer {}", token.expose_secret()))))
    }

    fn basic(&self) -> Option<HeaderValue> {
        use base64::Engine as _;
        let credentials = self.credentials.as_ref()?;
        let name = credentials.username.as_deref()?;
        let password = credentials.password.as_deref()?;
        let both = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        secret(&format!("Basic {both}"))
    }

    async fn send(&self, method: &Method, url: &str, body: Bytes) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(ACCEPT, MANIFESTS);
        if *method == Method::PUT {
            request = request.header(CONTENT_TYPE, INDEX);
        }
        if let Some((_, Some(authorization))) = &self.answered {
            request = request.header(AUTHORIZATION, authorization);
        }
        self.answer(request, body, url).await
    }

    async fn answer(
        &self,
        request: http::request::Builder,
        body: Bytes,
        url: &str,
    ) -> Result<Answer> {
        let request = request
            .body(Full::new(body))
            .map_err(|error| registry_error(format!("{url}: {error}")))?;
        let answered = async {
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|error| registry_error(format!("{url}: {error}")))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LONGEST).collect().await;
            let body = body.map_err(|error| registry_error(format!("{url}: {error}")))?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            })
        };
        tokio::time::timeout(ANSWER, answered)
            .await
            .unwrap_or_else(|_| {
                let seconds = ANSWER.as_secs();
                Err(registry_error(format!(
                    "{url}: no answer within {seconds} s"
                )))
            })
    }
}

/// A registry's answer.
struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
}

/// Where the manifests of a reference's repository are. Like engines, it speaks plainly to a
/// registry on this machine only.
fn address(reference: &str) -> String {
    let (name, _) = names::split(reference);
    let registry = names::registry(reference);
    let path = name
        .strip_prefix(registry)
        .map_or(name, |rest| rest.trim_start_matches('/'));
    if auth::is_hub(registry) {
        let library = if path.contains('/') { "" } else { "library/" };
        return format!("https://registry-1.docker.io/v2/{library}{path}/manifests/");
    }
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let here = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    let scheme = if here { "http" } else { "https" };
    format!("{scheme}://{registry}/v2/{path}/manifests/")
}

/// The parameters of a challenge: `realm="...",service="..."`.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        found.insert(name, value.to_owned());
        rest = next;
    }
    found
}

fn escaped(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn secret(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn registry_error(message: String) -> BackendError {
    BackendError::new(Kind::Registry, message)
}

#[cfg(test)]
mod tests;
