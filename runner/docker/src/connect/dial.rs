//! Connections of one's own to an engine, for what the client library cannot carry: a build's
//! session takes over whole connections. They go the same ways as the library's. It refuses to
//! speak any protocol on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use hoist_engine::backend::{BackendError, BackendErrorKind as Kind};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::ssh;
use super::target::Tls;
use crate::errors::{self, Result};

/// A connection.
pub(crate) trait Io: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Io for T {}

/// Makes connections to one engine.
#[derive(Clone)]
pub(crate) enum Dialer {
    /// A socket of this machine.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
    /// The same, with certificates.
    Tls(String, ServerName<'static>, TlsConnector),
    /// The input and output of a command.
    Command(ssh::Dial),
}

impl Dialer {
    /// Over TCP to an address with a port, such as `tcp://far:2375`.
    pub(crate) fn tcp(address: &str) -> Self {
        Self::Tcp(authority(address).to_owned())
    }

    /// The same with certificates.
    pub(crate) fn tls(address: &str, tls: &Tls) -> Result<Self> {
        let authority = authority(address);
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            BackendError::new(
                Kind::Unsupported,
                format!("`{host}` is no name of a host: {error}"),
            )
        })?;
        let connector = TlsConnector::from(Arc::new(client_config(tls)?));
        Ok(Self::Tls(authority.to_owned(), name, connector))
    }

    /// Whether the other end is reached over a network, which may go silent.
    pub(crate) fn over_network(&self) -> bool {
        !matches!(self, Self::Unix(_))
    }

    /// A new connection.
    pub(crate) async fn dial(&self) -> io::Result<Box<dyn Io>> {
        Ok(match self {
            Self::Unix(path) => Box::new(TokioIo::new(UnixStream::connect(path).await?)),
            Self::Tcp(address) => Box::new(TokioIo::new(tcp(address).await?)),
            Self::Tls(address, name, connector) => {
                let stream = tcp(address).await?;
                Box::new(TokioIo::new(connector.connect(name.clone(), stream).await?))
            }
            Self::Command(dial) => Box::new(dial.start()?),
        })
    }

    /// The reason of an error on a connection that was just made, where the way there tells more.
    pub(crate) async fn explain(&self, error: BackendError) -> BackendError {
        if let Self::Command(dial) = self
            && let Some(words) = dial.last_words().await
        {
            return errors::of_io(&io::Error::new(io::ErrorKind::NotConnected, words));
        }
        error
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "Unix({})", path.display()),
            Self::Tcp(address) => write!(f, "Tcp({address})"),
            Self::Tls(address, ..) => write!(f, "Tls({address})"),
            Self::Command(_) => f.write_str("Command"),
        }
    }
}

async fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// `host:port` of an address.
fn authority(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Only who is vouched for by the given authority is spoken to, as by the docker command.
fn client_config(tls: &Tls) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(&tls.ca, &error))?;
    }
    let key =
        PrivateKeyDer::from_pem_slice(&read(&tls.key)?).map_err(|e| unusable(&tls.key, &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&tls.cert, &error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&tls.cert)?, key)
        .map_err(|error| unusable(&tls.cert, &error))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(&read(file)?)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| unusable(file, &error))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| unusable(file, &error))
}

fn unusable(file: &Path, why: &dyn fmt::Display) -> BackendError {
    BackendError::new(
        Kind::Unreachable,
        format!("{} cannot be used for TLS: {why}", file.display()),
    )
}
