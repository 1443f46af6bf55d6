//! Builds on engines that are reached in other ways than by a socket of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use hoist_docker::{DockerConnector, Settings};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::ends::socket;
use super::{build, project, request};
use crate::support::{BASE, Bed, env, on_engine, skipped, with};

/// A build that asks for files and names what it made.
async fn builds(bed: &Bed) {
    let word = format!("the word of {}", bed.name);
    let dockerfile = format!("FROM {BASE}\nCOPY word.txt /\nRUN cat /word.txt\n");
    let folder = project(&[("Dockerfile", &dockerfile), ("word.txt", &word)]);
    let (built, said) = build(bed, request(bed, folder.path())).await;
    built.unwrap_or_else(|error| panic!("{error}\n{said}"));
    assert!(said.contains(&word), "{said}");
}

async fn pass(mut near: impl AsyncRead + AsyncWrite + Unpin, socket: PathBuf) {
    let mut far = UnixStream::connect(socket).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}

#[tokio::test]
async fn over_tcp() {
    let name = "tcp";
    let Some(socket) = socket() else {
        return skipped(name, "the engine in use is not reached by a socket");
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(pass(near, socket.clone()));
        }
    });
    let settings = Settings {
        docker_host: Some(format!("tcp://{address}")),
        ..Settings::read(env)
    };
    with(DockerConnector::new(settings), name, &[BASE], async |bed| {
        builds(&bed).await;
    })
    .await;
}

/// An authority, and what it vouches for: a server and a client.
fn certificates(folder: &Path) -> Option<()> {
    let run = |arguments: &str| {
        let mut openssl = Command::new("openssl");
        let openssl = openssl.args(arguments.split(' ')).current_dir(folder);
        openssl.output().ok()?.status.success().then_some(())
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    run(&format!(
        "req -x509 {key} -keyout ca-key.pem -out ca.pem -subj /CN=authority -days 2"
    ))?;
    std::fs::write(
        folder.join("names"),
        "subjectAltName=IP:127.0.0.1,DNS:localhost\n",
    )
    .ok()?;
    for name in ["server", "client"] {
        run(&format!(
            "req {key} -keyout {name}-key.pem -out {name}.csr -subj /CN={name}"
        ))?;
        run(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial \
             -out {name}.pem -days 2 -extfile names"
        ))?;
    }
    std::fs::rename(folder.join("client.pem"), folder.join("cert.pem")).ok()?;
    std::fs::rename(folder.join("client-key.pem"), folder.join("key.pem")).ok()
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let certificates = |name: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(&read(name))
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates("ca.pem"));
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
        .build()
        .unwrap();
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            certificates("server.pem"),
            PrivateKeyDer::from_pem_slice(&read("server-key.pem")).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn over_tls_with_certificates_of_both_sides() {
    let name = "tls";
    let Some(socket) = socket() else {
        return skipped(name, "the engine in use is not reached by a socket");
    };
    let folder = tempfile::tempdir().unwrap();
    if certificates(folder.path()).is_none() {
        return skipped(name, "no openssl makes certificates here");
    }
    let acceptor = acceptor(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                if let Ok(near) = acceptor.accept(near).await {
                    pass(near, socket).await;
                }
            });
        }
    });
    let settings = Settings {
        docker_host: Some(format!("tcp://{address}")),
        docker_tls_verify: Some("1".to_owned()),
        docker_cert_path: Some(folder.path().display().to_string()),
        ..Settings::read(env)
    };
    with(DockerConnector::new(settings), name, &[BASE], async |bed| {
        builds(&bed).await;
    })
    .await;
}

#[tokio::test]
async fn what_stands_before_an_engine_and_opens_no_session_is_explained() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let name = "filtered";
    let Some(socket) = socket() else {
        return skipped(name, "the engine in use is not reached by a socket");
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("filter.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut first = [0; 4096];
                let read = near.read(&mut first).await.unwrap();
                if first.starts_with(b"POST /v1.") {
                    let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nnot so";
                    near.write_all(refusal).await.unwrap();
                    return;
                }
                let mut far = UnixStream::connect(socket).await.unwrap();
                far.write_all(&first[..read]).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    on_engine(name, &[BASE], async |bed| {
        let settings = Settings {
            docker_host: Some(format!("unix://{}", path.display())),
            ..Settings::read(env)
        };
        let connector = DockerConnector::new(settings);
        let engine = hoist_engine::backend::Connector::connect(&connector, None).await;
        let engine = engine.unwrap_or_else(|error| panic!("{error}"));
        let folder = project(&[]);
        let mut asked = request(&bed, folder.path());
        asked.dockerfile = format!("FROM {BASE}\n");
        let (sender, _said) = crate::support::progress();
        let error = engine
            .build_image(asked, sender)
            .await
            .unwrap_err()
            .to_string();
        for word in ["403", "not so", "DOCKER_BUILDKIT=0"] {
            assert!(error.contains(word), "{error}");
        }
    })
    .await;
}
