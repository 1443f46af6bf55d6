//! Output, archives and events.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind};

use crate::support::{BASE, all, files_of, on_engine, once, tar_of};

#[tokio::test]
async fn four_hundred_thousand_lines_come_whole_and_in_order() {
    on_engine("lines", &[BASE], async |bed| {
        let begun = Instant::now();
        let ran = bed.run(&bed.shell("seq 1 400000; echo done >&2")).await;
        println!("400,000 lines in {:?}", begun.elapsed());
        let expected: String = (1..=400_000).map(|n| format!("{n}\n")).collect();
        assert!(
            ran.stdout == expected.as_bytes(),
            "{} bytes came",
            ran.stdout.len()
        );
        assert_eq!(ran.stderr, b"done\n");
        assert_eq!(ran.code, 0);
    })
    .await;
}

#[tokio::test]
async fn bytes_come_as_they_are() {
    on_engine("bytes", &[BASE], async |bed| {
        // Every byte there is, and a long line without an end.
        let script =
            "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %o $i)\"; i=$((i+1)); done
            head -c 3000000 /dev/zero | tr '\\0' x";
        let ran = bed.run(&bed.shell(script)).await;
        let every: Vec<u8> = (0..=255).collect();
        assert_eq!(ran.stdout[..256], every);
        assert_eq!(ran.stdout.len(), 256 + 3_000_000);
    })
    .await;
}

#[tokio::test]
async fn files_of_what_is_being_removed_are_there_or_not() {
    on_engine("removing", &[BASE], async |bed| {
        let engine = &bed.engine;
        let mut answers = 0;
        for _ in 0..10 {
            let id = engine.create_container(&bed.shell("true")).await.unwrap();
            let removal = engine.remove_container(&id);
            // A file system that goes away just then fails in ways of its own, but not twice.
            let mut failed = false;
            let looks = async {
                loop {
                    answers += 1;
                    match engine.download(&id, "/etc/hostname").await {
                        Ok(tar) => drop(all(tar).await),
                        Err(error) if error.kind == Kind::Engine && !failed => failed = true,
                        Err(error) => return error,
                    }
                }
            };
            let (removed, refusal) = tokio::join!(removal, looks);
            removed.unwrap();
            assert_eq!(refusal.kind, Kind::NotFound, "{refusal:?}");
        }
        println!("{answers} answers");
    })
    .await;
}

#[tokio::test]
async fn files_go_in_and_come_out() {
    on_engine("archive", &[BASE], async |bed| {
        let engine = &bed.engine;
        let id = engine
            .create_container(&bed.shell("cat /srv/in/a; echo made >/srv/in/b; rm /srv/in/a"))
            .await
            .unwrap();
        let big = vec![7_u8; 5 << 20];
        let tar = tar_of(&[("in/a", b"hello\n"), ("in/big", &big)]);
        let pieces: Vec<Result<Bytes, BackendError>> = tar
            .chunks(10_000)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        engine
            .upload(&id, "/srv", stream::iter(pieces).boxed())
            .await
            .unwrap();
        engine.start_container(&id).await.unwrap();
        assert_eq!(engine.wait_container(&id).await.unwrap(), 0);
        let files = files_of(
            &all(engine.download(&id, "/srv/in").await.unwrap())
                .await
                .unwrap(),
        );
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["in/b", "in/big"]);
        assert_eq!(files["in/b"], b"made\n");
        assert_eq!(files["in/big"], big);

        let missing = engine
            .download(&id, "/srv/nowhere")
            .await
            .err()
            .expect("it is not there");
        assert_eq!(missing.kind, Kind::NotFound);
        let missing = engine
            .upload(&id, "/nowhere", once(tar_of(&[])))
            .await
            .unwrap_err();
        assert_eq!(missing.kind, Kind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_says_why() {
    on_engine("broken-upload", &[BASE], async |bed| {
        let engine = &bed.engine;
        let id = engine.create_container(&bed.shell("true")).await.unwrap();
        let tar = tar_of(&[("a", &[0; 100_000])]);
        let broken = BackendError::new(Kind::Engine, "the file changed");
        let pieces = vec![Ok(Bytes::copy_from_slice(&tar[..50_000])), Err(broken)];
        let error = engine
            .upload(&id, "/srv", stream::iter(pieces).boxed())
            .await
            .unwrap_err();
        assert_eq!(error.message, "the file changed");
    })
    .await;
}

#[tokio::test]
async fn events_tell_who_was_killed() {
    on_engine("events", &[BASE], async |bed| {
        let engine = &bed.engine;
        let filter = bed.filter();
        let mut events = engine.events(&filter, None).await.unwrap();
        let id = engine
            .create_container(&bed.shell("sleep 60"))
            .await
            .unwrap();
        engine.start_container(&id).await.unwrap();
        engine.kill_container(&id, "KILL").await.unwrap();
        let mut seen = Vec::new();
        while !seen.iter().any(|(action, _)| action == "die") {
            let event = tokio::time::timeout(Duration::from_secs(20), events.next())
                .await
                .expect("in time")
                .expect("not at its end")
                .unwrap();
            assert_eq!(event.container, id);
            if event.action == "kill" {
                assert_eq!(event.signal.as_deref(), Some("9"));
            }
            seen.push((event.action, event.at));
        }
        for action in ["create", "start", "kill"] {
            assert!(seen.iter().any(|(one, _)| one == action), "{seen:?}");
        }
        // Who comes late is told what was, from the very event on whose time is named.
        let (_, started) = seen.iter().find(|(one, _)| one == "start").unwrap();
        let mut again = engine.events(&filter, Some(*started)).await.unwrap();
        let first = tokio::time::timeout(Duration::from_secs(20), again.next());
        let first = first.await.expect("in time").unwrap().unwrap();
        assert_eq!((first.action.as_str(), first.at), ("start", *started));
    })
    .await;
}
