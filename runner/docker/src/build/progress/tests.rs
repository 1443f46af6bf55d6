//! Progress from messages as BuildKit sends them.

use super::*;

/// A point in time. The message's type is not named outside of bollard.
macro_rules! at {
    ($tenths:expr) => {{
        let mut vertex = Vertex::default();
        let time = vertex.started.get_or_insert_default();
        time.seconds = $tenths / 10;
        time.nanos = i32::try_from($tenths % 10).unwrap() * 100_000_000;
        vertex.started
    }};
}

fn vertex(name: &str) -> Vertex {
    Vertex {
        digest: format!("sha256:{name}"),
        name: name.to_owned(),
        ..Vertex::default()
    }
}

fn started(name: &str) -> StatusResponse {
    let vertex = Vertex {
        started: at!(10),
        ..vertex(name)
    };
    StatusResponse {
        vertexes: vec![vertex],
        ..StatusResponse::default()
    }
}

fn ended(name: &str, error: &str) -> StatusResponse {
    let vertex = Vertex {
        started: at!(10),
        completed: at!(33),
        error: error.to_owned(),
        ..vertex(name)
    };
    StatusResponse {
        vertexes: vec![vertex],
        ..StatusResponse::default()
    }
}

fn output(name: &str, bytes: &[u8]) -> StatusResponse {
    let log = VertexLog {
        vertex: format!("sha256:{name}"),
        msg: bytes.to_vec(),
        stream: 1,
        ..VertexLog::default()
    };
    StatusResponse {
        logs: vec![log],
        ..StatusResponse::default()
    }
}

async fn told(messages: Vec<StatusResponse>) -> (String, Seen) {
    let (sender, mut receiver) = mpsc::channel(1000);
    let mut progress = Progress::new(sender);
    for message in messages {
        progress.status(message).await;
    }
    progress.flush().await;
    let seen = progress.into_seen();
    let mut text = Vec::new();
    while let Some(piece) = receiver.recv().await {
        text.extend_from_slice(&piece);
    }
    (String::from_utf8(text).unwrap(), seen)
}

#[tokio::test]
async fn each_step_is_told_once_and_lines_are_whole() {
    let cached = Vertex {
        cached: true,
        started: at!(10),
        completed: at!(10),
        ..vertex("FROM base")
    };
    let (text, seen) = told(vec![
        StatusResponse {
            vertexes: vec![vertex("RUN make"), cached],
            ..StatusResponse::default()
        },
        started("RUN make"),
        started("RUN make"),
        output("RUN make", b"one\ntw"),
        output("RUN make", b"o\n\x1b[31mred\x1b[0m\n10%\r100%\nlast"),
        ended("RUN make", ""),
        ended("RUN make", ""),
    ])
    .await;
    let expected = "#1 FROM base\n#1 CACHED\n#2 RUN make\n#2 one\n#2 two\n#2 red\n#2 100%\n\
                    #2 last\n#2 DONE 2.3s\n";
    assert_eq!(text, expected);
    assert!(seen.failed.is_none());
}

#[tokio::test]
async fn the_step_that_failed_is_kept_with_its_last_output() {
    let mut last = ended("RUN make", "exit code: 2");
    last.logs = output("RUN make", b"the reason\n").logs;
    let lines: String = (0..100).map(|n| format!("line {n}\n")).collect();
    let (text, seen) = told(vec![
        started("RUN make"),
        started("RUN other"),
        output("RUN make", lines.as_bytes()),
        last,
        ended("RUN other", "context canceled"),
    ])
    .await;
    assert!(text.contains("#1 ERROR: exit code: 2\n"), "{text}");
    assert!(text.ends_with("#2 CANCELED\n"), "{text}");
    let failed = seen.failed.unwrap();
    assert_eq!(failed.name, "RUN make");
    assert_eq!(failed.output.len(), KEPT_LINES);
    assert_eq!(failed.output.last().map(String::as_str), Some("the reason"));
}

#[tokio::test]
async fn a_line_without_an_end_is_told_in_pieces() {
    let endless = vec![b'x'; LONGEST_LINE];
    let (text, _) = told(vec![
        started("RUN make"),
        output("RUN make", &endless),
        output("RUN make", b"rest\n"),
    ])
    .await;
    assert_eq!(text.lines().count(), 3);
    assert!(text.ends_with("x\n#1 rest\n"));
}

#[tokio::test]
async fn the_digest_of_the_config_is_taken_from_the_export() {
    let part = |id: &str| VertexStatus {
        id: id.to_owned(),
        vertex: "sha256:exporting to image".to_owned(),
        completed: at!(33),
        ..VertexStatus::default()
    };
    let mut export = started("exporting to image");
    export.statuses = vec![
        part("exporting manifest sha256:aa"),
        part("exporting config sha256:bb"),
    ];
    let (text, seen) = told(vec![export]).await;
    assert_eq!(seen.config.as_deref(), Some("sha256:bb"));
    assert!(
        text.contains("#1 exporting config sha256:bb done\n"),
        "{text}"
    );
}

#[tokio::test]
async fn the_classic_builder_names_its_step_before_its_output() {
    let (sender, mut receiver) = mpsc::channel(1000);
    let mut progress = Progress::new(sender);
    for piece in [
        "Step 1/2 : FROM x\n",
        " ---> 0a1b\nStep 2/2 : RU",
        "N make\n",
        "no ru",
        "le",
    ] {
        progress.classic(piece).await;
    }
    progress.flush().await;
    let failed = progress.into_seen().failed.unwrap();
    assert_eq!(
        (failed.name.as_str(), failed.output),
        ("RUN make", vec!["no rule".to_owned()])
    );
    let mut text = Vec::new();
    while let Some(piece) = receiver.recv().await {
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8(text).unwrap();
    assert_eq!(
        text,
        "Step 1/2 : FROM x\n ---> 0a1b\nStep 2/2 : RUN make\nno rule\n"
    );
    assert_eq!(classic_step("STEP 1/3: FROM x"), Some("FROM x"));
    assert_eq!(classic_step("[2/2] STEP 1/3: RUN x: y"), Some("RUN x: y"));
    assert_eq!(classic_step("Step by step: x"), None);
}
