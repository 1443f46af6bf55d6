//! What becomes of engines that stall, break off or talk nonsense. The engine here is a socket that
//! says what a test wants; no real one is needed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hoist_engine::backend::{Backend, BackendErrorKind as Kind, Connector};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::support::{all, connector, once};

const VERSION: &str = r#"{"Version":"28.0.0","ApiVersion":"1.48","Os":"linux","Arch":"amd64"}"#;
const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What the engine does with every call but the first two, for what it is.
#[derive(Clone)]
enum Does {
    /// Says this and closes the connection.
    Says(Vec<u8>),
    /// Says this and nothing more, ever.
    Stalls(&'static str),
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

async fn serve(mut stream: UnixStream, does: Does) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let says = match does {
        _ if request.starts_with(b"GET /version ") => answer("200 OK", VERSION),
        _ if request.starts_with(b"GET /info ") => answer("200 OK", "{}"),
        Does::Says(says) => says,
        Does::Stalls(says) => {
            stream.write_all(says.as_bytes()).await.unwrap();
            return std::future::pending().await;
        }
    };
    stream.write_all(&says).await.unwrap();
}

async fn engine(does: Does) -> (TempDir, Arc<dyn Backend>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, does.clone()));
        }
    });
    let address = format!("unix://{}", path.display());
    let engine = connector()
        .connect(Some(&address))
        .await
        .expect("it answers");
    (folder, engine)
}

fn says(text: &str) -> Does {
    Does::Says(text.as_bytes().to_vec())
}

#[tokio::test]
async fn an_engine_that_goes_away_is_not_a_result() {
    let (_folder, gone) = engine(says(CHUNKED)).await;
    assert_eq!(
        gone.wait_container("x").await.unwrap_err().kind,
        Kind::Broken
    );
    let mut events = gone.events(&[], None).await.unwrap();
    assert!(!matches!(events.next().await, Some(Ok(_))));
    let (_folder, gone) = engine(says("")).await;
    assert_eq!(
        gone.wait_container("x").await.unwrap_err().kind,
        Kind::Broken
    );
    assert_eq!(
        gone.start_container("x").await.unwrap_err().kind,
        Kind::Broken
    );
    assert_eq!(
        gone.inspect_container("x").await.unwrap_err().kind,
        Kind::Broken
    );
    assert_eq!(
        gone.remove_container("x").await.unwrap_err().kind,
        Kind::Broken
    );
}

#[tokio::test]
async fn output_that_breaks_off_inside_a_piece_is_an_error() {
    let mut said = UPGRADED.as_bytes().to_vec();
    said.extend_from_slice(b"\x01\0\0\0\0\0\0\x05hello\x02\0\0\0\0\0\0\x09cut o");
    let (_folder, engine) = engine(Does::Says(said)).await;
    let chunks: Vec<_> = engine.attach("x").await.unwrap().collect().await;
    let [Ok(whole), Err(error)] = chunks.as_slice() else {
        panic!("{chunks:?}");
    };
    assert_eq!(whole.bytes, "hello");
    assert_eq!(error.kind, Kind::Broken);
}

#[tokio::test]
async fn an_archive_that_breaks_off_is_an_error() {
    let said = format!("{CHUNKED}5\r\nhello\r\n9\r\ncut o");
    let (_folder, engine) = engine(says(&said)).await;
    for body in [
        engine.download("x", "/y").await,
        engine.export_image("x").await,
    ] {
        assert_eq!(all(body.unwrap()).await.unwrap_err().kind, Kind::Broken);
    }
}

#[tokio::test]
async fn errors_in_the_middle_of_a_transfer_are_errors() {
    let lines = "{\"status\":\"Preparing\"}\r\n\
                 {\"errorDetail\":{\"message\":\"toomanyrequests: slow down\"},\"error\":\"x\"}\r\n";
    let (_folder, engine) = engine(Does::Says(answer("200 OK", lines))).await;
    let (sender, _said) = crate::support::progress();
    let error = engine
        .push_image("r.example.com/x:1", &[], sender)
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Registry);
    let (sender, _said) = crate::support::progress();
    let error = engine
        .pull_image("r.example.com/x:1", &[], sender)
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Registry);
}

#[tokio::test]
async fn nonsense_is_an_error() {
    for said in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{{{",
        "what?\r\n\r\n",
    ] {
        let (_folder, engine) = engine(says(said)).await;
        assert!(engine.inspect_container("x").await.is_err());
        assert!(engine.inspect_image("x").await.is_err());
        assert!(engine.list_networks(&[]).await.is_err());
        assert!(engine.list_volumes(&[]).await.is_err());
        assert!(engine.wait_container("x").await.is_err());
        assert!(engine.attach("x").await.is_err());
    }
}

#[tokio::test]
async fn an_engine_that_fails_is_quoted() {
    let body = r#"{"message":"devmapper: something deep is wrong"}"#;
    let (_folder, engine) = engine(Does::Says(answer("500 Internal Server Error", body))).await;
    let error = engine.start_container("x").await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (Kind::Engine, "devmapper: something deep is wrong")
    );
}

// Time stands still in these, and leaps when all wait.
#[tokio::test(start_paused = true)]
async fn an_engine_that_stalls_is_given_up() {
    for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"] {
        let (_folder, engine) = engine(Does::Stalls(said)).await;
        assert_eq!(
            engine.inspect_container("x").await.unwrap_err().kind,
            Kind::Timeout
        );
        assert_eq!(
            engine.list_volumes(&[]).await.unwrap_err().kind,
            Kind::Timeout
        );
        assert_eq!(
            engine.list_containers(&[]).await.unwrap_err().kind,
            Kind::Timeout
        );
    }
    let (_folder, engine) = engine(Does::Stalls("")).await;
    let begun = tokio::time::Instant::now();
    let grace = Duration::from_secs(300);
    assert_eq!(
        engine.stop_container("x", grace).await.unwrap_err().kind,
        Kind::Timeout
    );
    assert!(begun.elapsed() > grace, "a stop may take its grace");
    assert_eq!(
        engine.attach("x").await.err().map(|error| error.kind),
        Some(Kind::Timeout)
    );
    let error = engine.upload("x", "/", once("tar")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_container_may_be_silent_and_run_for_as_long_as_it_likes() {
    let (_folder, engine) = engine(Does::Stalls(CHUNKED)).await;
    let week = Duration::from_secs(7 * 24 * 3600);
    assert!(
        tokio::time::timeout(week, engine.wait_container("x"))
            .await
            .is_err()
    );
    let mut events = engine.events(&[], None).await.unwrap();
    assert!(tokio::time::timeout(week, events.next()).await.is_err());
}
