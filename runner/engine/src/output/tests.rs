//! What is printed arrives whole, masked, in order, in few pieces and with a bound.

use std::io::{Read, Seek};
use std::sync::mpsc::Receiver;

use super::*;
use crate::recorder::{Message, queue};

struct Bench {
    writer: OutputWriter,
    log: File,
    inbox: Receiver<Message>,
}

fn bench(secrets: &[&str], limit: u64) -> Bench {
    let log = tempfile::tempfile().unwrap();
    let (_, lane, inbox) = queue();
    let redactor = Redactor::new(secrets).unwrap();
    let file = log.try_clone().unwrap();
    let writer = OutputWriter::with_limit("step".into(), file, &redactor, Some(lane), limit);
    Bench { writer, log, inbox }
}

impl Bench {
    fn log(&mut self) -> String {
        let mut text = String::new();
        self.log.rewind().unwrap();
        self.log.read_to_string(&mut text).unwrap();
        text
    }

    fn pieces(&self) -> Vec<Output> {
        let outputs = self.inbox.try_iter().map(|message| match message {
            Message::Output(output, _room) => output,
            _ => panic!("only output is sent"),
        });
        outputs.collect()
    }
}

fn text(pieces: &[Output], stream: Stream) -> String {
    let of = pieces.iter().filter(|piece| piece.stream == stream);
    String::from_utf8(of.flat_map(|piece| piece.bytes.clone()).collect()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_secret_across_pieces_is_masked_everywhere() {
    let mut bench = bench(&["hunter2hunter2"], LOG_LIMIT);
    for piece in ["pass: hunt", "er2hun", "ter2\nmore: hun", "ter\n"] {
        bench.writer.write(Stream::Stdout, piece.as_bytes()).await;
        bench.writer.flush().await;
    }
    bench.writer.close().await.unwrap();
    let shown = "pass: ***\nmore: hunter\n";
    assert_eq!(bench.log(), shown);
    assert_eq!(text(&bench.pieces(), Stream::Stdout), shown);
    assert_eq!(bench.writer.tail(), shown.trim_end());
}

#[tokio::test(start_paused = true)]
async fn many_short_lines_are_few_pieces() {
    let bench = bench(&["hunter2hunter2"], LOG_LIMIT);
    let (writer, mut printed) = (bench.writer.clone(), 0_usize);
    let mut pieces = Vec::new();
    for number in 0..400_000_u32 {
        let line = format!("line {number}\n");
        printed += line.len();
        writer.write(Stream::Stdout, line.as_bytes()).await;
        pieces.extend(bench.pieces());
    }
    writer.close().await.unwrap();
    pieces.extend(bench.pieces());
    assert!(pieces.len() < 200, "{}", pieces.len());
    assert_eq!(text(&pieces, Stream::Stdout).len(), printed);
    assert!(pieces.iter().all(|piece| piece.bytes.len() <= PIECE));
    assert!(writer.tail().ends_with("line 399998\nline 399999"));
    assert_eq!(writer.tail().lines().count(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reporter_holds_the_step_back() {
    let bench = bench(&[], LOG_LIMIT);
    let writer = bench.writer.clone();
    let printing = tokio::spawn(async move {
        for _ in 0..64 {
            writer.write(Stream::Stdout, &[b'x'; PIECE]).await;
        }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!printing.is_finished());
    let mut came = 0;
    while !printing.is_finished() {
        came += bench.pieces().len();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(came + bench.pieces().len(), 64);
}

#[tokio::test(start_paused = true)]
async fn the_log_has_a_limit_and_says_so() {
    let mut bench = bench(&[], 10);
    bench.writer.write(Stream::Stdout, b"12345678").await;
    bench.writer.write(Stream::Stderr, b"90abc").await;
    bench.writer.write(Stream::Stdout, b"def").await;
    bench.writer.close().await.unwrap();
    let log = bench.log();
    assert_eq!(
        log,
        "1234567890\n[hoist: the log ends here; 6 more bytes were printed]\n"
    );
    assert_eq!(text(&bench.pieces(), Stream::Stdout), "12345678def");
}

#[tokio::test(start_paused = true)]
async fn the_disk_has_it_within_a_second() {
    let mut bench = bench(&["hunter2hunter2"], LOG_LIMIT);
    bench.writer.write(Stream::Stdout, b"name? hu").await;
    assert_eq!(bench.log(), "");
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.writer.flush().await;
    assert_eq!(bench.log(), "name? hu");
    assert_eq!(text(&bench.pieces(), Stream::Stdout), "name? hu");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_refuses_is_said_at_the_end() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let (_, lane, inbox) = queue();
    let writer = OutputWriter::new("unit".into(), full, &Redactor::default(), lane);
    writer.line("hello").await;
    let trouble = writer.close().await.unwrap_err();
    assert_eq!(trouble.what, "the output of unit could not be kept");
    let shown = inbox
        .try_iter()
        .any(|m| matches!(m, Message::Output(o, _) if o.bytes == b"hello\n"));
    assert!(shown, "reporters have it all the same");
}
