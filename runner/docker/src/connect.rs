//! From an address to an engine: which one is meant, whether it answers, whether it is new enough.
//! It refuses to fall back to another engine than the one that was named.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hoist_engine::backend::{Backend, BackendError, BackendErrorKind as Kind, Connector};
use tokio::net::UnixStream;

use crate::DockerBackend;
use crate::auth::Auth;
use crate::call;
use crate::errors::{self, Result};
use crate::info::{self, Api};

mod dial;
mod ssh;
mod target;

pub(crate) use dial::Dialer;
pub use target::Settings;
use target::{Target, Tls};

/// How long an engine may take for its first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
/// The client's own bound is out of use: see [`call`].
const UNBOUNDED_SECONDS: u64 = 10 * 365 * 24 * 3600;

/// Connects to Docker Engines.
#[derive(Clone, Debug)]
pub struct DockerConnector {
    settings: Settings,
}

impl DockerConnector {
    /// Takes what the environment and the Docker configuration say.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

#[async_trait]
impl Connector for DockerConnector {
    async fn connect(&self, address: Option<&str>) -> Result<Arc<dyn Backend>> {
        let target = self.settings.resolve(address)?;
        let backend = open(&target, &self.settings).await.map_err(|error| {
            BackendError::new(error.kind, format!("{target}: {}", error.message))
        })?;
        Ok(Arc::new(backend))
    }
}

async fn open(target: &Target, settings: &Settings) -> Result<DockerBackend> {
    let (docker, dialer) = client(target).await?;
    let docker = docker.with_request_modifier(with_url_safe_credentials);
    // Asked at once: a run needs both before it can begin, and an engine takes its time over them.
    let (version, info) = tokio::try_join!(
        call::within(FIRST_ANSWER, docker.version()),
        call::within(FIRST_ANSWER, docker.info()),
    )?;
    let mut api = Api::read(version)?;
    api.classic |= settings.docker_buildkit.as_deref() == Some("0");
    let info = info::read(info, &api, &target.address);
    Ok(DockerBackend {
        docker,
        dialer,
        api,
        auth: Auth {
            config: settings.config_file(),
        },
        info,
    })
}

/// The client library's connections, and those of one's own, to the same engine.
async fn client(target: &Target) -> Result<(Docker, Dialer)> {
    let address = target.address.as_str();
    match address.split_once("://") {
        Some(("unix", path)) => {
            knock(Path::new(path)).await?;
            let docker = Docker::connect_with_unix(path, UNBOUNDED_SECONDS, API_DEFAULT_VERSION);
            Ok((docker.map_err(errors::of)?, Dialer::Unix(path.into())))
        }
        Some(("tcp" | "http" | "https", _)) => match &target.tls {
            Some(tls) => with_tls(&with_port(address, 2376), tls),
            None if address.starts_with("https") => Err(BackendError::new(
                Kind::Unsupported,
                "https needs certificates: set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH",
            )),
            None => {
                let address = with_port(address, 2375);
                let docker =
                    Docker::connect_with_http(&address, UNBOUNDED_SECONDS, API_DEFAULT_VERSION);
                Ok((docker.map_err(errors::of)?, Dialer::tcp(&address)))
            }
        },
        Some(("ssh", _)) => {
            let dial = ssh::Dial::new(address)?;
            let docker = ssh::client(dial.clone(), UNBOUNDED_SECONDS)?;
            Ok((docker, Dialer::Command(dial)))
        }
        _ => Err(BackendError::new(
            Kind::Unsupported,
            "an engine's address starts with unix://, tcp:// or ssh://, or is context:NAME",
        )),
    }
}

/// An address with the port that engines listen at where it names none.
fn with_port(address: &str, port: u16) -> String {
    let address = address.trim_end_matches('/');
    let host = address.rsplit(['/', ']']).next().unwrap_or(address);
    if host.contains(':') {
        address.to_owned()
    } else {
        format!("{address}:{port}")
    }
}

/// Tells the reasons apart for which a socket cannot be used; later they all look the same.
async fn knock(path: &Path) -> Result<()> {
    match tokio::time::timeout(FIRST_ANSWER, UnixStream::connect(path)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(errors::of_io(&error)),
        Err(_) => Err(BackendError::new(
            Kind::Timeout,
            "the engine's socket takes no connection",
        )),
    }
}

fn with_tls(address: &str, tls: &Tls) -> Result<(Docker, Dialer)> {
    let docker = Docker::connect_with_ssl(
        address,
        &tls.key,
        &tls.cert,
        &tls.ca,
        UNBOUNDED_SECONDS,
        API_DEFAULT_VERSION,
    )
    .map_err(|error| BackendError::new(Kind::Unreachable, error.to_string()))?;
    Ok((docker, Dialer::tls(address, tls)?))
}

/// bollard writes credentials in the standard alphabet of base64, engines read the URL-safe one:
/// <https://docs.docker.com/reference/api/engine/#section/Authentication>.
fn with_url_safe_credentials(mut request: BollardRequest) -> BollardRequest {
    for name in ["x-registry-auth", "x-registry-config"] {
        let Some(value) = request.headers_mut().get_mut(name) else {
            continue;
        };
        let safe = value
            .to_str()
            .ok()
            .map(|text| text.replace('+', "-").replace('/', "_"));
        if let Some(Ok(safe)) = safe.map(|text| text.parse()) {
            *value = safe;
        }
        value.set_sensitive(true);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_added_where_there_is_none() {
        for (address, expected) in [
            ("tcp://far", "tcp://far:2375"),
            ("tcp://far/", "tcp://far:2375"),
            ("tcp://far:80", "tcp://far:80"),
            ("tcp://[::1]", "tcp://[::1]:2375"),
            ("tcp://[::1]:80", "tcp://[::1]:80"),
        ] {
            assert_eq!(with_port(address, 2375), expected);
        }
    }
}
