//! What the engine is told of an entry.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::time::UNIX_EPOCH;

use super::*;

fn of<'a>(engine: &'a Engine, path: &str) -> &'a Stat {
    let found = engine.stats.iter().find(|stat| stat.path == path);
    found.unwrap_or_else(|| panic!("nothing is told of {path}"))
}

fn set_mtime(path: &Path, seconds: u64, nanos: u32) {
    let time = UNIX_EPOCH + Duration::new(seconds, nanos);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

#[tokio::test]
async fn all_comes_in_the_order_of_parts_with_its_content() {
    let folder = folder(&["a/z", "a.b", "a/b/c", "b", "empty/", "a-b", "nothing"]);
    fs::write(folder.path().join("nothing"), "").unwrap();
    fs::write(folder.path().join("b"), vec![7; (128 << 10) + 1]).unwrap();
    let service = serve(folder.path(), "");
    let engine = sync(&service, &[]).await;
    let paths = [
        "a", "a/b", "a/b/c", "a/z", "a-b", "a.b", "b", "empty", "nothing",
    ];
    assert_eq!(engine.paths(), paths);
    assert_eq!(engine.files.len(), 6);
    assert_eq!(engine.files["a/b/c"], b"a/b/c");
    assert_eq!(engine.files["b"], vec![7; (128 << 10) + 1]);
    assert_eq!(engine.files["nothing"], b"");
    let sent = service.sent();
    assert_eq!((sent.entries(), sent.files()), (9, 6));
    let bytes: usize = engine.files.values().map(Vec::len).sum();
    assert_eq!(sent.bytes(), u64::try_from(bytes).unwrap());
}

#[tokio::test]
async fn what_the_engine_has_is_not_sent() {
    let folder = folder(&["a/b", "c", "d"]);
    let service = serve(folder.path(), "");
    for (wanted, bytes) in [(None, 0), (Some("c"), 1)] {
        let before = service.sent().bytes();
        let mut engine = Engine::call(&service, &[]).await.unwrap();
        engine.hear().await.unwrap();
        engine
            .take(|stat| Some(stat.path.as_str()) == wanted)
            .await
            .unwrap();
        assert_eq!(service.sent().bytes() - before, bytes);
    }
}

#[tokio::test]
async fn modes_are_those_of_go_and_owners_root() {
    let folder = folder(&["file", "program", "shared/", "plain/"]);
    let at = |name: &str| folder.path().join(name);
    for (name, mode) in [
        ("file", 0o640),
        ("program", 0o6755),
        ("shared", 0o1777),
        ("plain", 0o2750),
    ] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("file", at("link")).unwrap();
    // Where this is not allowed the owner is whoever runs the test, which is as good.
    let _ = std::os::unix::fs::chown(at("file"), Some(1234), Some(1234));
    let engine = sync(&serve(folder.path(), ""), &[]).await;
    for (path, mode) in [
        ("file", 0o640),
        ("program", 1 << 23 | 1 << 22 | 0o755),
        ("shared", 1 << 31 | 1 << 20 | 0o777),
        ("plain", 1 << 31 | 1 << 22 | 0o750),
        ("link", 1 << 27 | 0o777),
    ] {
        let stat = of(&engine, path);
        assert_eq!(stat.mode, mode, "{path}: {:o}", stat.mode);
        assert_eq!((stat.uid, stat.gid), (0, 0));
        assert_eq!(stat.linkname, if path == "link" { "file" } else { "" });
    }
    assert_eq!(of(&engine, "plain").size, 0);
    assert_eq!(of(&engine, "file").size, 4);
    assert_eq!(of(&engine, "link").size, 4);
}

#[tokio::test]
async fn times_are_nanoseconds_and_clamped_where_asked() {
    let folder = folder(&["old", "new", "sub/"]);
    set_mtime(&folder.path().join("old"), 999, 5);
    set_mtime(&folder.path().join("new"), 1_000, 1);
    set_mtime(&folder.path().join("sub"), 2_000, 0);
    let times = |engine: &Engine| ["old", "new", "sub"].map(|path| of(engine, path).mod_time);
    let engine = sync(&serve(folder.path(), ""), &[]).await;
    assert_eq!(
        times(&engine),
        [999_000_000_005, 1_000_000_000_001, 2_000_000_000_000]
    );
    let engine = sync(&serve_clamped(folder.path(), "", Some(1_000)), &[]).await;
    assert_eq!(
        times(&engine),
        [999_000_000_005, 1_000_000_000_000, 1_000_000_000_000]
    );
}

/// What an engine that has the one need not ask for to have the other, by the rules of engines.
fn looks_like(one: &Stat, other: &Stat) -> bool {
    let kept = Stat {
        // A file on a disk has none.
        devmajor: 0,
        devminor: 0,
        ..one.clone()
    };
    kept == *other
}

#[tokio::test]
async fn a_changed_file_never_looks_like_the_one_before() {
    let folder = folder(&["file"]);
    let file = folder.path().join("file");
    for (clamp, same) in [(None, true), (Some(1_000), false)] {
        let service = serve_clamped(folder.path(), "", clamp);
        set_mtime(&file, 2_000, 0);
        let before = sync(&service, &[]).await;
        let again = sync(&service, &[]).await;
        assert_eq!(looks_like(&before.stats[0], &again.stats[0]), same);
        set_mtime(&file, 2_000, 1);
        let after = sync(&service, &[]).await;
        assert!(!looks_like(&before.stats[0], &after.stats[0]));
    }
}

#[tokio::test]
async fn sockets_and_pipes_are_left_out() {
    let folder = folder(&["a", "z"]);
    let _listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let pipe = rustix::fs::CWD;
    rustix::fs::mkfifoat(pipe, folder.path().join("pipe"), 0o644.into()).unwrap();
    let service = serve(folder.path(), "");
    assert_eq!(told(&service, &[]).await, ["a", "z"]);
    let named = [("followpaths", "socket"), ("include-patterns", "pipe")];
    assert_eq!(told(&service, &named).await, [""; 0]);
}

#[tokio::test]
async fn names_may_be_odd() {
    let long = "l".repeat(255);
    let names = [
        " spaces ",
        "\"quotes'",
        "new\nline",
        "ünï/çødé 雪",
        "back\\slash",
        "*",
        "!not",
        "#no",
        &long,
        "-dash",
        "tab\t",
    ];
    let folder = folder(&names);
    let service = serve(folder.path(), "");
    let engine = sync(&service, &[]).await;
    for name in names {
        assert_eq!(engine.files[name], name.as_bytes());
    }
    for name in [
        " spaces ",
        "\"quotes'",
        "ünï/çødé 雪",
        "!not",
        "#no",
        &long,
        "-dash",
    ] {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let ask = [
            ("followpaths", encoded.as_str()),
            ("followpaths-encoded", "1"),
        ];
        let engine = sync(&service, &ask).await;
        assert_eq!(engine.files.keys().collect::<Vec<_>>(), [name]);
    }
}

#[tokio::test]
async fn names_that_no_packet_can_hold_are_named() {
    use std::os::unix::ffi::OsStrExt as _;
    let bad = std::ffi::OsStr::from_bytes(b"bad-\xff");
    let by_name = folder(&["a", "out/x"]);
    fs::write(by_name.path().join("out").join(bad), "").unwrap();
    let text = refused(&serve(by_name.path(), ""), &[]).await;
    assert!(
        text.starts_with("`out/bad-\u{fffd}` cannot be sent: its name is not UTF-8"),
        "{text}"
    );
    let left = told(&serve(by_name.path(), "out/bad*"), &[]).await;
    assert_eq!(left, ["a", "out", "out/x"]);

    let by_target = folder(&["a"]);
    symlink(bad, by_target.path().join("link")).unwrap();
    let text = refused(&serve(by_target.path(), ""), &[]).await;
    assert!(
        text.starts_with("`link` cannot be sent: what it leads to is not UTF-8"),
        "{text}"
    );
}

#[tokio::test]
async fn a_file_of_several_names_is_sent_once() {
    let folder = folder(&["a/first", "b/c"]);
    let at = |name: &str| folder.path().join(name);
    fs::hard_link(at("a/first"), at("b/again")).unwrap();
    fs::hard_link(at("a/first"), at("z")).unwrap();
    let service = serve(folder.path(), "");
    let engine = sync(&service, &[]).await;
    let links = ["a/first", "b/again", "b/c", "z"].map(|path| {
        let stat = of(&engine, path);
        (stat.linkname.as_str(), stat.size)
    });
    assert_eq!(links, [("", 7), ("a/first", 0), ("", 3), ("a/first", 0)]);
    assert_eq!(engine.files.keys().collect::<Vec<_>>(), ["a/first", "b/c"]);
    // The first of those that are sent.
    let engine = sync(&serve(folder.path(), "a"), &[]).await;
    assert_eq!(engine.files["b/again"], b"a/first");
    assert_eq!(of(&engine, "z").linkname, "b/again");
}

#[tokio::test]
async fn capabilities_of_programs_are_sent() {
    const NAME: &str = "security.capability";
    let folder = folder(&["plain", "program"]);
    let program = folder.path().join("program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // Version 2, permitted and effective: CAP_NET_BIND_SERVICE.
    let mut value = [0_u8; 20];
    value[..8].copy_from_slice(&[1, 0, 0, 2, 0, 4, 0, 0]);
    let flags = rustix::fs::XattrFlags::empty();
    if let Err(error) = rustix::fs::setxattr(&program, NAME, &value, flags) {
        eprintln!("SKIPPED capabilities_of_programs_are_sent: they cannot be set here: {error}");
        return;
    }
    let engine = sync(&serve(folder.path(), ""), &[]).await;
    assert_eq!(of(&engine, "program").xattrs[NAME], value);
    assert!(of(&engine, "plain").xattrs.is_empty());
}

#[tokio::test]
async fn files_in_memory_are_known_by_their_content() {
    let stats = async |content: &'static str| {
        let files = [("Dockerfile", content), ("sub/a", "1"), ("sub.a", "2")];
        let files = files.map(|(name, content)| (name.to_owned(), Bytes::from(content)));
        let service = service(Dir::Files(BTreeMap::from(files)));
        let engine = sync(&service, &[]).await;
        assert_eq!(engine.paths(), ["Dockerfile", "sub", "sub/a", "sub.a"]);
        assert_eq!(engine.files["Dockerfile"], content.as_bytes());
        assert_eq!(engine.files["sub/a"], b"1");
        let some = told(
            &service,
            &[("include-patterns", "Docker*"), ("followpaths", "/sub/a")],
        )
        .await;
        assert_eq!(some, ["Dockerfile", "sub", "sub/a"]);
        assert_eq!(service.sent().bytes(), 0);
        engine.stats
    };
    let first = stats("FROM a").await;
    assert_eq!(first, stats("FROM a").await);
    let other = stats("FROM b").await;
    assert_eq!(first[0].size, other[0].size);
    assert_ne!(first[0].mod_time, other[0].mod_time);
    assert!(first[0].mod_time > 0 && first[0].mod_time < (1 << 31) * 1_000_000_000);
}

#[tokio::test]
async fn a_walk_changes_nothing() {
    let folder = folder(&["a"]);
    let times = || {
        let metadata = fs::metadata(folder.path().join("a")).unwrap();
        (metadata.mtime_nsec(), metadata.ctime_nsec(), metadata.ino())
    };
    let before = times();
    sync(&serve(folder.path(), ""), &[]).await;
    assert_eq!(times(), before);
}
