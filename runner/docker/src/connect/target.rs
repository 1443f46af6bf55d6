//! Which engine is meant, by the rules of the docker command: an explicit address, DOCKER_HOST, a
//! context, the default socket. It reads only files of the Docker configuration and refuses
//! contexts that give up on verifying certificates.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hoist_engine::backend::{BackendError, BackendErrorKind as Kind};
use serde::Deserialize;

use crate::errors::Result;

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// What decides which engine is meant; a snapshot of the environment variables of these names.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub docker_context: Option<String>,
    /// `DOCKER_TLS_VERIFY`; any text but the empty one asks for TLS.
    pub docker_tls_verify: Option<String>,
    /// `DOCKER_CERT_PATH`: the folder of `ca.pem`, `cert.pem` and `key.pem`.
    pub docker_cert_path: Option<String>,
    /// `DOCKER_CONFIG`: the folder of the Docker configuration, else `~/.docker`.
    pub docker_config: Option<String>,
    /// `HOME`.
    pub home: Option<String>,
    /// `DOCKER_BUILDKIT`; `0` asks for the classic builder where there is BuildKit too.
    pub docker_buildkit: Option<String>,
    /// `XDG_RUNTIME_DIR`, where engines of users have their sockets.
    pub xdg_runtime_dir: Option<String>,
}

/// An engine's address, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) tls: Option<Tls>,
    /// Words for messages: `from DOCKER_HOST`.
    pub(crate) origin: String,
}

/// The files of a TLS connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Tls {
    fn in_folder(folder: &Path) -> Self {
        Self {
            ca: folder.join("ca.pem"),
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, self.origin)
    }
}

impl Settings {
    /// Reads the variables through a function, such as one over the process's environment.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        Self {
            docker_host: set("DOCKER_HOST"),
            docker_context: set("DOCKER_CONTEXT"),
            docker_tls_verify: set("DOCKER_TLS_VERIFY"),
            docker_cert_path: set("DOCKER_CERT_PATH"),
            docker_config: set("DOCKER_CONFIG"),
            docker_buildkit: set("DOCKER_BUILDKIT"),
            home: set("HOME"),
            xdg_runtime_dir: set("XDG_RUNTIME_DIR"),
        }
    }

    /// The engine that is meant.
    pub(crate) fn resolve(&self, address: Option<&str>) -> Result<Target> {
        match address {
            Some(address) => match address.strip_prefix("context:") {
                Some(name) => self.context(name, "as asked"),
                None => Ok(self.at(address, "as asked")),
            },
            None => self.in_use(),
        }
    }

    fn in_use(&self) -> Result<Target> {
        if let Some(host) = &self.docker_host {
            return Ok(self.at(host, "from DOCKER_HOST"));
        }
        if let Some(name) = &self.docker_context {
            return self.context(name, "from DOCKER_CONTEXT");
        }
        match self.current_context()? {
            Some(name) => self.context(&name, "the current context"),
            None => Ok(self.default_socket()),
        }
    }

    fn at(&self, address: &str, origin: &str) -> Target {
        let over_network = address.starts_with("tcp://") || address.starts_with("https://");
        let tls = self
            .docker_tls_verify
            .as_ref()
            .filter(|_| over_network)
            .and_then(|_| {
                let folder = self.docker_cert_path.as_ref().map(PathBuf::from);
                folder
                    .or_else(|| self.config_folder())
                    .map(|folder| Tls::in_folder(&folder))
            });
        Target {
            address: address.to_owned(),
            tls,
            origin: origin.to_owned(),
        }
    }

    /// The Docker configuration's `config.json`.
    pub(crate) fn config_file(&self) -> Option<PathBuf> {
        Some(self.config_folder()?.join("config.json"))
    }

    fn config_folder(&self) -> Option<PathBuf> {
        let set = self.docker_config.as_ref().map(PathBuf::from);
        set.or_else(|| Some(Path::new(self.home.as_ref()?).join(".docker")))
    }

    fn current_context(&self) -> Result<Option<String>> {
        let Some(file) = self.config_file() else {
            return Ok(None);
        };
        let config: Option<ConfigFile> = read_json(&file)?;
        Ok(config
            .and_then(|config| config.current_context)
            .filter(|name| !name.is_empty()))
    }

    fn context(&self, name: &str, origin: &str) -> Result<Target> {
        if name == "default" {
            let host = self.docker_host.as_ref();
            return Ok(host.map_or_else(
                || self.default_socket(),
                |host| self.at(host, "from DOCKER_HOST"),
            ));
        }
        let origin = format!("context {name}, {origin}");
        let contexts = self.config_folder().map(|folder| folder.join("contexts"));
        let found = match &contexts {
            Some(contexts) => find_context(&contexts.join("meta"), name)?,
            None => None,
        };
        let (Some(contexts), Some((folder, meta))) = (contexts, found) else {
            return Err(BackendError::new(
                Kind::Unreachable,
                format!("there is no Docker context {name} ({origin}); see `docker context ls`"),
            ));
        };
        let Some(endpoint) = meta.endpoints.docker else {
            return Err(BackendError::new(
                Kind::Unsupported,
                format!("{origin}: names no engine"),
            ));
        };
        if endpoint.skip_tls_verify {
            return Err(BackendError::new(
                Kind::Unsupported,
                format!("{origin}: it skips the verification of certificates, hoist does not"),
            ));
        }
        let certificates = contexts.join("tls").join(folder).join("docker");
        let tls = certificates.is_dir().then(|| Tls::in_folder(&certificates));
        Ok(Target {
            address: endpoint.host,
            tls,
            origin,
        })
    }

    /// The first socket that is there, else Docker's own, to be named in the message.
    fn default_socket(&self) -> Target {
        let of_user = self.xdg_runtime_dir.as_ref().map(Path::new);
        let candidates = [
            Some((PathBuf::from(DEFAULT_SOCKET), "the default socket")),
            of_user.map(|dir| (dir.join("docker.sock"), "the user's own engine")),
            of_user.map(|dir| (dir.join("podman/podman.sock"), "the user's own Podman")),
            Some((PathBuf::from(PODMAN_SOCKET), "Podman's socket")),
        ];
        let found = candidates
            .into_iter()
            .flatten()
            .find(|(path, _)| path.exists());
        let (path, origin) =
            found.unwrap_or_else(|| (PathBuf::from(DEFAULT_SOCKET), "the default socket"));
        Target {
            address: format!("unix://{}", path.display()),
            tls: None,
            origin: origin.to_owned(),
        }
    }
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(rename = "currentContext")]
    current_context: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextMeta {
    name: String,
    #[serde(default)]
    endpoints: ContextEndpoints,
}

#[derive(Default, Deserialize)]
struct ContextEndpoints {
    docker: Option<ContextEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEndpoint {
    #[serde(default)]
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

/// The folder's name and the description of the context of that name.
fn find_context(meta: &Path, name: &str) -> Result<Option<(PathBuf, ContextMeta)>> {
    let entries = match fs::read_dir(meta) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(meta, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(meta, &error))?;
        let found: Option<ContextMeta> = read_json(&entry.path().join("meta.json"))?;
        if let Some(found) = found
            && found.name == name
        {
            return Ok(Some((PathBuf::from(entry.file_name()), found)));
        }
    }
    Ok(None)
}

/// The file's content; `None` where there is no such file.
fn read_json<T: for<'a> Deserialize<'a>>(file: &Path) -> Result<Option<T>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(file, &error)),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, why: &dyn fmt::Display) -> BackendError {
    BackendError::new(
        Kind::Unreachable,
        format!(
            "the Docker configuration {} cannot be read: {why}",
            file.display()
        ),
    )
}

#[cfg(test)]
mod tests;
