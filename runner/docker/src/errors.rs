//! What bollard and the engines say, as the kinds that hoist knows. Engines tell most things only
//! in prose, so this is the one place that reads it; it refuses to reword what they say.

use std::error::Error as StdError;
use std::io;

use bollard::errors::Error;
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind};

/// A result of a call to the engine.
pub(crate) type Result<T> = std::result::Result<T, BackendError>;

/// Phrases of the engines (20.10 and current) and of registries behind them, in lower case, and
/// what they come to. The first that occurs counts, so the special ones stand first.
const PHRASES: &[(&str, Kind)] = &[
    ("no space left on device", Kind::DiskFull),
    ("disk quota exceeded", Kind::DiskFull),
    ("port is already allocated", Kind::PortTaken),
    ("bind: address already in use", Kind::PortTaken),
    ("failed to bind host port", Kind::PortTaken),
    ("ports are not available", Kind::PortTaken),
    ("address already in use", Kind::AddressTaken),
    ("pool overlaps with other one", Kind::SubnetOverlap),
    ("conflicts with existing route", Kind::SubnetOverlap),
    (
        "is already used on the host or by another config",
        Kind::SubnetOverlap,
    ),
    ("networks have overlapping ipv", Kind::SubnetOverlap),
    (
        "could not find an available, non-overlapping",
        Kind::NoAddresses,
    ),
    (
        "predefined address pools have been fully subnetted",
        Kind::NoAddresses,
    ),
    ("has active endpoints", Kind::Conflict),
    ("is already in use by", Kind::Conflict),
    ("container state improper", Kind::Conflict),
    ("in private (none) mode", Kind::Conflict),
    ("already exists in network", Kind::Conflict),
    ("is not connected to", Kind::NotFound),
    // Of the files of a container that is just being removed.
    ("is unexpectedly nil", Kind::NotFound),
    ("no basic auth credentials", Kind::Unauthorized),
    ("authentication required", Kind::Unauthorized),
    ("incorrect username or password", Kind::Unauthorized),
    ("unauthorized", Kind::Unauthorized),
    // Public registries say so of what does not exist, whoever asks.
    ("pull access denied", Kind::NotFound),
    ("manifest unknown", Kind::NotFound),
    ("name unknown", Kind::NotFound),
    ("no such image", Kind::NotFound),
    ("an image does not exist locally", Kind::NotFound),
    (
        "requested access to the resource is denied",
        Kind::Unauthorized,
    ),
    ("authorization failed", Kind::Unauthorized),
    ("insufficient_scope", Kind::Unauthorized),
    ("403 forbidden", Kind::Unauthorized),
    ("toomanyrequests", Kind::Registry),
    ("too many requests", Kind::Registry),
    ("unexpected http status", Kind::Registry),
    ("unexpected status from", Kind::Registry),
    ("unexpected status code", Kind::Registry),
    ("tls handshake timeout", Kind::Registry),
    ("server gave http response to https client", Kind::Registry),
    ("dial tcp", Kind::Registry),
    ("client.timeout exceeded", Kind::Registry),
];

/// The error of a call.
pub(crate) fn of(error: Error) -> BackendError {
    match error {
        Error::DockerResponseServerError {
            status_code,
            message,
        } => BackendError::new(of_answer(status_code, &message), message),
        Error::DockerStreamError { error } => BackendError::new(of_words(&error), error),
        Error::RequestTimeoutError => {
            BackendError::new(Kind::Timeout, "the engine did not answer in time")
        }
        Error::SocketNotFoundError(path) => {
            BackendError::new(Kind::Unreachable, format!("there is no socket at {path}"))
        }
        Error::JsonDataError { message, .. } => BackendError::new(
            Kind::Engine,
            format!("the engine's answer could not be read: {message}"),
        ),
        Error::HyperLegacyError { err } => of_transport(&err, err.is_connect()),
        Error::HyperResponseError { err } => of_transport(&err, false),
        Error::IOError { err } => of_transport(&err, false),
        other => BackendError::new(Kind::Engine, other.to_string()),
    }
}

/// What an answer of that status comes to.
pub(crate) fn of_answer(status: u16, message: &str) -> Kind {
    match (of_words(message), status) {
        (Kind::Engine, 401) => Kind::Unauthorized,
        (Kind::Engine, 404) => Kind::NotFound,
        (Kind::Engine, 409) => Kind::Conflict,
        (Kind::Engine, 501) => Kind::Unsupported,
        (kind, _) => kind,
    }
}

/// What an engine's words alone come to.
pub(crate) fn of_words(message: &str) -> Kind {
    let lower = message.to_lowercase();
    if let Some(code) = exec_failure(&lower) {
        return Kind::CannotStart { code };
    }
    PHRASES
        .iter()
        .find(|(phrase, _)| lower.contains(phrase))
        .map_or(Kind::Engine, |(_, kind)| *kind)
}

/// 127 or 126 if these are the runtime's words for a command that it could not execute.
fn exec_failure(lower: &str) -> Option<i64> {
    let by_runtime = ["oci runtime", "runc", "crun", "starting container process"]
        .iter()
        .any(|word| lower.contains(word));
    if !by_runtime || !lower.contains("exec") {
        return None;
    }
    if lower.contains("executable file not found") || lower.contains("no such file or directory") {
        // A missing working directory or mount is not a missing command.
        return (!lower.contains("chdir to cwd") && !lower.contains("mount")).then_some(127);
    }
    let refused = ["permission denied", "exec format error", "is a directory"];
    refused
        .iter()
        .any(|phrase| lower.contains(phrase))
        .then_some(126)
}

/// What a failure of the connection comes to: before it stood, or in its middle.
pub(crate) fn of_transport(error: &(dyn StdError + 'static), connecting: bool) -> BackendError {
    let cause = innermost(error);
    let kind = match io_kind(error) {
        Some(io::ErrorKind::PermissionDenied) => Kind::Permission,
        Some(
            io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected,
        ) => Kind::Unreachable,
        Some(io::ErrorKind::TimedOut) => Kind::Timeout,
        _ if connecting => Kind::Unreachable,
        _ => Kind::Broken,
    };
    let message = match kind {
        Kind::Broken => format!("the connection to the engine broke: {cause}"),
        _ => format!("no connection to the engine: {cause}"),
    };
    BackendError::new(kind, message)
}

/// An error of one's own reading or writing on a connection that stood.
pub(crate) fn of_io(error: &io::Error) -> BackendError {
    of_transport(error, false)
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(u16, &str, Kind)] = &[
        // Docker 20.10.
        (
            500,
            "driver failed programming external connectivity on endpoint web (4f0c): Bind for 127.0.0.1:8080 failed: port is already allocated",
            Kind::PortTaken,
        ),
        (
            500,
            "driver failed programming external connectivity on endpoint web (4f0c): Error starting userland proxy: listen tcp4 127.0.0.1:8080: bind: address already in use",
            Kind::PortTaken,
        ),
        (
            403,
            "Pool overlaps with other one on this address space",
            Kind::SubnetOverlap,
        ),
        (
            400,
            "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"nope\": executable file not found in $PATH: unknown",
            Kind::CannotStart { code: 127 },
        ),
        (
            400,
            "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"/etc/passwd\": permission denied: unknown",
            Kind::CannotStart { code: 126 },
        ),
        (
            400,
            "OCI runtime create failed: container_linux.go:380: starting container process caused: chdir to cwd (\"/root\") set in config.json failed: permission denied: unknown",
            Kind::Engine,
        ),
        (
            409,
            "Conflict. The container name \"/web\" is already in use by container \"0a1b\". You have to remove (or rename) that container to be able to reuse that name.",
            Kind::Conflict,
        ),
        (
            409,
            "remove data: volume is in use - [0a1b]",
            Kind::Conflict,
        ),
        (
            403,
            "error while removing network: network web id 0a1b has active endpoints",
            Kind::Conflict,
        ),
        (403, "Address already in use", Kind::AddressTaken),
        (
            403,
            "endpoint with name web already exists in network front",
            Kind::Conflict,
        ),
        (
            400,
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            Kind::Conflict,
        ),
        (
            500,
            "container 0a1b is not connected to the network front",
            Kind::NotFound,
        ),
        (
            500,
            "RWLayer of container 0a1b is unexpectedly nil",
            Kind::NotFound,
        ),
        (404, "No such image: web:1", Kind::NotFound),
        (404, "No such container: web", Kind::NotFound),
        (
            404,
            "manifest for 127.0.0.1:5000/web:never not found: manifest unknown: manifest unknown",
            Kind::NotFound,
        ),
        (
            404,
            "pull access denied for wbe, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
            Kind::NotFound,
        ),
        (
            500,
            "Head \"http://127.0.0.1:5001/v2/web/manifests/1\": no basic auth credentials",
            Kind::Unauthorized,
        ),
        (
            500,
            "Get \"https://registry.example.com/v2/\": unauthorized: authentication required",
            Kind::Unauthorized,
        ),
        (
            500,
            "denied: requested access to the resource is denied",
            Kind::Unauthorized,
        ),
        (
            500,
            "toomanyrequests: You have reached your pull rate limit",
            Kind::Registry,
        ),
        (
            500,
            "Get \"https://registry.example.com/v2/\": dial tcp: lookup registry.example.com: no such host",
            Kind::Registry,
        ),
        (
            500,
            "Get \"https://10.0.0.1:5000/v2/\": http: server gave HTTP response to HTTPS client",
            Kind::Registry,
        ),
        (
            500,
            "received unexpected HTTP status: 503 Service Unavailable",
            Kind::Registry,
        ),
        (
            500,
            "write /var/lib/docker/tmp/layer: no space left on device",
            Kind::DiskFull,
        ),
        (
            400,
            "unable to find user nobody-here: no matching entries in passwd file",
            Kind::Engine,
        ),
        // The current one.
        (
            500,
            "failed to set up container networking: driver failed programming external connectivity on endpoint web (4f0c): failed to bind host port 127.0.0.1:8080/tcp: address already in use",
            Kind::PortTaken,
        ),
        (
            403,
            "invalid pool request: Pool overlaps with other one on this address space",
            Kind::SubnetOverlap,
        ),
        (
            400,
            "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: \"nope\": executable file not found in $PATH",
            Kind::CannotStart { code: 127 },
        ),
        (
            400,
            "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: \"/nope\": stat /nope: no such file or directory",
            Kind::CannotStart { code: 127 },
        ),
        (
            400,
            "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: error mounting \"/nowhere\" to rootfs at \"/exec\": no such file or directory",
            Kind::Engine,
        ),
        (
            404,
            "failed to resolve reference \"127.0.0.1:5000/web:never\": 127.0.0.1:5000/web:never: not found",
            Kind::NotFound,
        ),
        (
            404,
            "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
            Kind::NotFound,
        ),
        (
            404,
            "failed to resolve reference \"127.0.0.1:5001/web:1\": pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
            Kind::Unauthorized,
        ),
        (404, "network web not found", Kind::NotFound),
        // Podman.
        (
            500,
            "subnet 10.1.2.0/24 is already used on the host or by another config",
            Kind::SubnetOverlap,
        ),
        (
            500,
            "creating container storage: the container name \"web\" is already in use by 0a1b. You have to remove that container to be able to reuse that name: that name is already in use",
            Kind::Conflict,
        ),
        (401, "nothing that is known", Kind::Unauthorized),
        (501, "nothing that is known", Kind::Unsupported),
        (500, "nothing that is known", Kind::Engine),
    ];

    #[test]
    fn what_engines_say_is_understood() {
        for (status, message, kind) in CASES {
            assert_eq!(of_answer(*status, message), *kind, "{message}");
        }
    }

    #[test]
    fn what_breaks_on_the_way_is_told_apart() {
        for (io, kind) in [
            (io::ErrorKind::PermissionDenied, Kind::Permission),
            (io::ErrorKind::NotFound, Kind::Unreachable),
            (io::ErrorKind::ConnectionRefused, Kind::Unreachable),
            (io::ErrorKind::ConnectionReset, Kind::Broken),
            (io::ErrorKind::UnexpectedEof, Kind::Broken),
            (io::ErrorKind::TimedOut, Kind::Timeout),
        ] {
            assert_eq!(of(Error::IOError { err: io.into() }).kind, kind, "{io}");
        }
        assert_eq!(of(Error::RequestTimeoutError).kind, Kind::Timeout);
    }

    #[test]
    fn phrases_are_in_lower_case() {
        for (phrase, _) in PHRASES {
            assert_eq!(*phrase, phrase.to_lowercase());
        }
    }
}
