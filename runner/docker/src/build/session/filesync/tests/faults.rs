//! What goes wrong while a folder is told of and sent.

use super::*;

/// A call whose engine does this to the folder when it has heard of all, and then asks for all.
async fn changed(names: &[&str], change: impl FnOnce(&Path)) -> String {
    let folder = folder(names);
    let service = serve(folder.path(), "");
    let mut engine = Engine::call(&service, &[]).await.unwrap();
    engine.hear().await.unwrap();
    change(folder.path());
    let status = engine.take(|_| true).await.unwrap_err();
    assert_broken(&service, &engine, &status)
}

#[tokio::test]
async fn a_file_that_changes_before_it_is_sent_is_named() {
    let text = changed(&["a", "sub/gone"], |at| {
        fs::remove_file(at.join("sub/gone")).unwrap()
    })
    .await;
    assert!(
        text.starts_with("`sub/gone` changed: it vanished"),
        "{text}"
    );
    let text = changed(&["sub/gone"], |at| {
        fs::remove_dir_all(at.join("sub")).unwrap()
    })
    .await;
    assert!(
        text.starts_with("`sub/gone` changed: it vanished"),
        "{text}"
    );
    let text = changed(&["less"], |at| fs::write(at.join("less"), "").unwrap()).await;
    assert!(text.starts_with("`less` changed: it shrank"), "{text}");
    let text = changed(&["more"], |at| {
        fs::write(at.join("more"), "more and more").unwrap()
    })
    .await;
    assert!(text.starts_with("`more` changed: it grew"), "{text}");
    let text = changed(&["file"], |at| {
        fs::remove_file(at.join("file")).unwrap();
        symlink("/etc/passwd", at.join("file")).unwrap();
    });
    let text = text.await;
    assert!(
        text.starts_with("`file` changed: it is no plain file any more"),
        "{text}"
    );
    let text = changed(&["file"], |at| {
        fs::remove_file(at.join("file")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at.join("file"), 0o644.into()).unwrap();
    });
    let text = text.await;
    assert!(
        text.starts_with("`file` changed: it is no plain file any more"),
        "{text}"
    );
}

#[tokio::test]
async fn many_files_that_vanish_are_one_error() {
    let names: Vec<String> = (0..4_000).map(|name| format!("sub/{name}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = changed(&names, |at| fs::remove_dir_all(at.join("sub")).unwrap()).await;
    assert!(text.starts_with("`sub/"), "{text}");
    assert!(text.contains("changed: it vanished"), "{text}");
}

/// A call whose engine does this to a big file when it has some of it.
async fn changed_midway(change: impl FnOnce(&Path)) -> String {
    let folder = folder(&["a"]);
    let big = folder.path().join("big");
    fs::File::create(&big).unwrap().set_len(64 << 20).unwrap();
    let service = serve(folder.path(), "");
    let mut engine = Engine::call(&service, &[]).await.unwrap();
    engine.hear().await.unwrap();
    engine.say(PacketType::PacketReq, 1);
    let first = engine.next().await.unwrap().unwrap();
    assert_eq!((first.id, first.r#type()), (1, PacketType::PacketData));
    change(&big);
    let status = loop {
        match engine.next().await {
            Ok(packet) => {
                let packet = packet.expect("an error at the end");
                if packet.r#type() == PacketType::PacketErr {
                    engine.error = Some(String::from_utf8(packet.data).unwrap());
                } else {
                    assert!(!packet.data.is_empty(), "the end of the file");
                }
            }
            Err(status) => break status,
        }
    };
    assert_broken(&service, &engine, &status)
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_named() {
    let text = changed_midway(|big| {
        fs::File::options()
            .write(true)
            .open(big)
            .unwrap()
            .set_len(32 << 20)
            .unwrap();
    });
    let text = text.await;
    assert!(text.starts_with("`big` changed: it shrank"), "{text}");
    let text = changed_midway(|big| {
        let mut file = fs::File::options().append(true).open(big).unwrap();
        std::io::Write::write_all(&mut file, b"more").unwrap();
    });
    let text = text.await;
    assert!(text.starts_with("`big` changed: it grew"), "{text}");
}

#[tokio::test]
async fn a_folder_that_vanishes_is_named() {
    let folder = folder(&["a/b"]);
    let path = folder.path().join("none");
    let text = refused(&serve(&path, ""), &[]).await;
    assert!(text.contains("none` changed: it vanished"), "{text}");
}

#[tokio::test]
async fn an_unreadable_file_is_named_only_where_it_is_asked_for() {
    if rustix::process::geteuid().is_root() {
        eprintln!(
            "SKIPPED an_unreadable_file_is_named_only_where_it_is_asked_for: root can read all"
        );
        return;
    }
    let folder = folder(&["a", "locked"]);
    let locked = fs::Permissions::from_mode(0o0);
    fs::set_permissions(folder.path().join("locked"), locked).unwrap();
    let service = serve(folder.path(), "");
    let mut engine = Engine::call(&service, &[]).await.unwrap();
    engine.hear().await.unwrap();
    engine.take(|stat| stat.path == "a").await.unwrap();
    let text = refused(&service, &[]).await;
    assert!(text.starts_with("`locked` cannot be read"), "{text}");
}

#[tokio::test]
async fn only_files_that_were_told_of_can_be_asked_for() {
    let folder = folder(&["a/b"]);
    for id in [0, 2, u32::MAX] {
        let service = serve(folder.path(), "");
        let mut engine = Engine::call(&service, &[]).await.unwrap();
        engine.hear().await.unwrap();
        engine.say(PacketType::PacketReq, id);
        let packet = engine.next().await.unwrap().unwrap();
        assert_eq!(packet.r#type(), PacketType::PacketErr);
        let text = String::from_utf8(packet.data).unwrap();
        assert!(text.contains(&format!("its number is {id}")), "{text}");
        assert_eq!(engine.next().await.unwrap_err().code(), Code::Aborted);
    }
}

/// Waits until nothing of the service's calls is under way.
async fn wait_for_rest(service: &FileSync) {
    let rest = async {
        while Arc::strong_count(&service.sent.0) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let rested = tokio::time::timeout(Duration::from_secs(10), rest).await;
    rested.expect("a call goes on");
}

/// Waits until the service sends no more, and gives what it has sent.
async fn wait_for_standstill(sent: &Sent) -> (u64, u64) {
    let now = || (sent.entries(), sent.bytes());
    let mut last = now();
    let mut still = 0;
    while still < 10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        still = if now() == last { still + 1 } else { 0 };
        last = now();
    }
    last
}

#[tokio::test]
async fn what_the_engine_does_not_take_waits_and_ends_with_the_call() {
    let folder = folder(&[]);
    for name in 0..6_000 {
        fs::write(folder.path().join(format!("{name}")), "").unwrap();
    }
    let service = serve(folder.path(), "");
    let engine = Engine::call(&service, &[]).await.unwrap();
    let (entries, _) = wait_for_standstill(&service.sent()).await;
    assert!(entries > 0 && entries < 2_000, "{entries} entries wait");
    drop(engine);
    wait_for_rest(&service).await;
    assert!(service.sent().entries() < 6_000);
    assert_eq!(*service.failure.lock().unwrap(), None);
}

#[tokio::test]
async fn files_that_the_engine_does_not_take_wait_and_end_with_the_call() {
    let folder = folder(&[]);
    for name in 0..8 {
        let file = fs::File::create(folder.path().join(format!("{name}"))).unwrap();
        file.set_len(64 << 20).unwrap();
    }
    let service = serve(folder.path(), "");
    let mut engine = Engine::call(&service, &[]).await.unwrap();
    engine.hear().await.unwrap();
    for id in 0..8 {
        engine.say(PacketType::PacketReq, id);
    }
    let (_, bytes) = wait_for_standstill(&service.sent()).await;
    assert!(bytes > 0 && bytes < 8 << 20, "{bytes} bytes wait");
    drop(engine);
    wait_for_rest(&service).await;
    assert_eq!(*service.failure.lock().unwrap(), None);
}

#[tokio::test]
async fn an_engine_that_gives_up_ends_the_call() {
    let folder = folder(&["a", "b"]);
    let service = serve(folder.path(), "");
    for give_up in [
        (|engine| engine.say(PacketType::PacketErr, 0)) as fn(&mut Engine),
        |engine| engine.requests = mpsc::unbounded_channel().0,
    ] {
        let mut engine = Engine::call(&service, &[]).await.unwrap();
        engine.hear().await.unwrap();
        give_up(&mut engine);
        let status = engine.next().await.unwrap_err();
        assert_eq!(status.code(), Code::Cancelled);
        wait_for_rest(&service).await;
    }
    assert_eq!(*service.failure.lock().unwrap(), None);
}

#[tokio::test]
async fn the_first_failure_is_kept() {
    let folder = folder(&["a", "b"]);
    let service = serve(folder.path(), "");
    for name in ["a", "b"] {
        let mut engine = Engine::call(&service, &[]).await.unwrap();
        engine.hear().await.unwrap();
        fs::remove_file(folder.path().join(name)).unwrap();
        engine.take(|stat| stat.path == name).await.unwrap_err();
    }
    let failure = service.failure.lock().unwrap().clone().unwrap();
    assert_eq!(failure.what, "`a` changed");
}
