//! From addresses to engines.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use hoist_docker::{DockerConnector, Settings};
use hoist_engine::backend::{BackendErrorKind as Kind, Connector};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::support::{connector, on_engine, skipped};

#[tokio::test]
async fn an_engine_says_what_it_is() {
    on_engine("info", &[], async |bed| {
        let info = bed.engine.info().await.unwrap();
        assert!(!info.id.is_empty() && !info.version.is_empty() && info.api.starts_with("1."));
        assert!(info.platform.starts_with("linux/"), "{}", info.platform);
        assert!(info.memory > 0 && info.cpus > 0 && info.data_root.starts_with('/'));
        let now = jiff::Timestamp::now().as_second();
        assert!((info.time - now).abs() < 3600, "{} is not now", info.time);
    })
    .await;
}

#[tokio::test]
async fn nothing_there_names_the_address_and_where_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix://{}/none.sock", folder.path().display());
    let settings = Settings {
        docker_host: Some(address.clone()),
        ..Settings::default()
    };
    let error = DockerConnector::new(settings)
        .connect(None)
        .await
        .err()
        .expect("nothing is there");
    assert_eq!(error.kind, Kind::Unreachable);
    assert!(
        error.message.contains(&address) && error.message.contains("DOCKER_HOST"),
        "{error}"
    );

    // A socket that nobody listens at any more.
    let path = folder.path().join("dead.sock");
    drop(UnixListener::bind(&path).unwrap());
    let address = format!("unix://{}", path.display());
    let error = connector()
        .connect(Some(&address))
        .await
        .err()
        .expect("nobody listens");
    assert_eq!(error.kind, Kind::Unreachable);

    let error = connector()
        .connect(Some("tcp://127.0.0.1:1"))
        .await
        .err()
        .expect("nobody listens");
    assert_eq!(error.kind, Kind::Unreachable);
    let error = connector()
        .connect(Some("carrier-pigeon"))
        .await
        .err()
        .expect("no such way");
    assert_eq!(error.kind, Kind::Unsupported);
}

#[tokio::test]
async fn a_socket_that_may_not_be_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if std::os::unix::net::UnixStream::connect(&path).is_ok() {
        return skipped(
            "a_socket_that_may_not_be_used_is_told",
            "root may use every socket",
        );
    }
    let address = format!("unix://{}", path.display());
    let error = connector()
        .connect(Some(&address))
        .await
        .err()
        .expect("it is forbidden");
    assert_eq!(error.kind, Kind::Permission);
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let body = r#"{"Version":"18.09.1","ApiVersion":"1.39","Os":"linux","Arch":"amd64"}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let address = format!("unix://{}", path.display());
    let error = connector()
        .connect(Some(&address))
        .await
        .err()
        .expect("it is too old");
    assert_eq!(error.kind, Kind::TooOld);
    assert!(
        error.message.contains("1.39") && error.message.contains("18.09.1"),
        "{error}"
    );
}
