//! Walks over real folders, read back with the tar crate.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use futures_util::{StreamExt as _, TryStreamExt as _};
use tempfile::TempDir;

use super::*;
use crate::backend::BackendError;

/// An entry as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    kind: tar::EntryType,
    mode: u32,
    owner: (u64, u64),
    content: Vec<u8>,
    link: Option<PathBuf>,
}

fn folder(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name.as_bytes()).unwrap();
    }
    folder
}

fn ignore(text: &str) -> Arc<IgnoreFile> {
    Arc::new(IgnoreFile::parse(text).unwrap())
}

async fn bytes(stream: ByteStream) -> Result<Vec<u8>, BackendError> {
    let pieces: Vec<Bytes> = stream.try_collect().await?;
    Ok(pieces.concat())
}

async fn names_and_entries(stream: ByteStream) -> (Vec<String>, BTreeMap<String, Read>) {
    let bytes = bytes(stream).await.unwrap();
    let mut names = Vec::new();
    let mut entries = BTreeMap::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let header = entry.header();
        let mut read = Read {
            kind: header.entry_type(),
            mode: header.mode().unwrap(),
            owner: (header.uid().unwrap(), header.gid().unwrap()),
            content: Vec::new(),
            link: entry.link_name().unwrap().map(std::borrow::Cow::into_owned),
        };
        std::io::Read::read_to_end(&mut entry, &mut read.content).unwrap();
        names.push(name.clone());
        entries.insert(name, read);
    }
    (names, entries)
}

async fn names(root: &Path, rules: &str, options: TarOptions) -> Vec<String> {
    names_and_entries(tar_stream(root, ignore(rules), options))
        .await
        .0
}

#[tokio::test]
async fn order_is_by_parts_and_parents_come_first() {
    let folder = folder(&["a/z", "a.b", "a/b/c", "b"]);
    let names = names(folder.path(), "", TarOptions::default()).await;
    assert_eq!(names, ["a", "a/b", "a/b/c", "a/z", "a.b", "b"]);
}

#[tokio::test]
async fn content_modes_owner_and_prefix_arrive() {
    let folder = folder(&["run.sh", "plain"]);
    fs::set_permissions(
        folder.path().join("run.sh"),
        fs::Permissions::from_mode(0o750),
    )
    .unwrap();
    fs::set_permissions(
        folder.path().join("plain"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let owner = Owner {
        uid: 1000,
        gid: 1001,
        for_all: false,
    };
    let options = TarOptions {
        prefix: "workspace/".into(),
        owner,
        ..TarOptions::default()
    };
    let tally = options.tally.clone();
    let stream = tar_stream(folder.path(), ignore(""), options);
    let (names, entries) = names_and_entries(stream).await;
    assert_eq!(names, ["workspace", "workspace/plain", "workspace/run.sh"]);
    assert!(entries.values().all(|entry| entry.owner == (1000, 1001)));
    assert_eq!(entries["workspace/run.sh"].mode, 0o750);
    assert_eq!(entries["workspace/plain"].mode, 0o600);
    assert_eq!(entries["workspace/plain"].content, b"plain");
    assert_eq!((tally.files(), tally.bytes()), (2, 11));

    let owner = Owner {
        for_all: true,
        ..Owner::ROOT
    };
    let options = TarOptions {
        prefix: "w/".into(),
        owner,
        ..TarOptions::default()
    };
    let (_, entries) = names_and_entries(tar_stream(folder.path(), ignore(""), options)).await;
    assert_eq!(entries["w"].mode, 0o777);
    assert_eq!(entries["w/run.sh"].mode, 0o777);
    assert_eq!(entries["w/plain"].mode, 0o666);
}

#[tokio::test]
async fn links_stay_links_and_are_never_followed() {
    let folder = folder(&["real/file"]);
    let at = |name: &str| folder.path().join(name);
    symlink("real", at("inside")).unwrap();
    symlink("/etc/passwd", at("absolute")).unwrap();
    symlink("../outside", at("leaves")).unwrap();
    symlink("../real/../real", at("real/within")).unwrap();
    symlink(".", at("real/loop")).unwrap();
    let options = TarOptions::default();
    let tally = options.tally.clone();
    let (names, entries) = names_and_entries(tar_stream(folder.path(), ignore(""), options)).await;
    let expected = [
        "absolute",
        "inside",
        "leaves",
        "real",
        "real/file",
        "real/loop",
        "real/within",
    ];
    assert_eq!(names, expected);
    assert_eq!(entries["absolute"].link, Some(PathBuf::from("/etc/passwd")));
    assert_eq!(entries["leaves"].kind, tar::EntryType::Symlink);
    assert_eq!(tally.outside(), ["leaves"]);
}

#[tokio::test]
async fn a_build_gets_no_link_that_leads_out_or_in_a_circle() {
    for (name, target, why) in [
        ("leaves", "../outside", "out of"),
        ("round", "round", "circle"),
    ] {
        let folder = folder(&["real/file"]);
        symlink("real/file", folder.path().join("inside")).unwrap();
        let sent = || {
            let options = TarOptions {
                buildable: true,
                ..TarOptions::default()
            };
            bytes(tar_stream(folder.path(), ignore(""), options))
        };
        sent().await.unwrap();
        symlink(target, folder.path().join(name)).unwrap();
        let refused = sent().await.unwrap_err().to_string();
        assert!(refused.contains(name) && refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn pipes_and_sockets_are_left_out() {
    let folder = folder(&["file"]);
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    assert_eq!(
        names(folder.path(), "", TarOptions::default()).await,
        ["file"]
    );
}

#[tokio::test]
async fn names_may_be_long_and_need_not_be_utf8() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("{0}/{0}/{0}", "d".repeat(120));
    fs::create_dir_all(folder.path().join(&long)).unwrap();
    fs::write(folder.path().join(&long).join("e".repeat(200)), "x").unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff");
    fs::write(folder.path().join(odd), "y").unwrap();
    symlink("t".repeat(300), folder.path().join("link")).unwrap();
    let bytes = bytes(tar_stream(folder.path(), ignore(""), TarOptions::default()))
        .await
        .unwrap();
    let mut found = Vec::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        found.push(entry.path_bytes().into_owned());
        if entry.path_bytes().as_ref() == b"link" {
            assert_eq!(entry.link_name_bytes().unwrap().len(), 300);
        }
    }
    assert!(found.contains(&b"odd\xff".to_vec()));
    assert!(found.contains(&format!("{long}/{}", "e".repeat(200)).into_bytes()));
}

#[tokio::test]
async fn extra_files_replace_those_of_their_name() {
    let folder = folder(&["Dockerfile", "a"]);
    let extra = ExtraFile {
        name: "Dockerfile".into(),
        content: "FROM x".into(),
        mode: 0o644,
    };
    let options = TarOptions {
        extra: vec![extra],
        ..TarOptions::default()
    };
    let (names, entries) = names_and_entries(tar_stream(folder.path(), ignore(""), options)).await;
    assert_eq!(names, ["a", "Dockerfile"]);
    assert_eq!(entries["Dockerfile"].content, b"FROM x");
}

#[tokio::test]
async fn a_folder_over_the_bound_is_refused_by_the_name_of_the_file() {
    let folder = folder(&["small"]);
    let big = fs::File::create(folder.path().join("sparse.img")).unwrap();
    big.set_len(50 << 30).unwrap();
    let options = TarOptions::default();
    let tally = options.tally.clone();
    let error = bytes(tar_stream(folder.path(), ignore(""), options))
        .await
        .unwrap_err();
    assert!(error.message.contains("`sparse.img` (50 GiB)"), "{error}");
    assert!(
        tally
            .failure()
            .unwrap()
            .hint
            .unwrap()
            .contains(".dockerignore")
    );
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let folder = folder(&[]);
    let gone = folder.path().join("gone");
    let error = bytes(tar_stream(&gone, ignore(""), TarOptions::default()))
        .await
        .unwrap_err();
    assert!(error.message.contains("gone"), "{error}");
}

#[tokio::test]
async fn an_unreadable_file_is_named() {
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED an_unreadable_file_is_named: root can read everything");
        return;
    }
    let folder = folder(&["closed", "sub/file"]);
    fs::set_permissions(
        folder.path().join("closed"),
        fs::Permissions::from_mode(0o000),
    )
    .unwrap();
    let stream = tar_stream(folder.path(), ignore(""), TarOptions::default());
    let error = bytes(stream).await.unwrap_err();
    assert!(error.message.contains("`closed` cannot be read"), "{error}");
    fs::remove_file(folder.path().join("closed")).unwrap();
    fs::set_permissions(folder.path().join("sub"), fs::Permissions::from_mode(0o000)).unwrap();
    let stream = tar_stream(folder.path(), ignore(""), TarOptions::default());
    let error = bytes(stream).await.unwrap_err();
    assert!(error.message.contains("`sub` cannot be read"), "{error}");
}

/// Lets the walk run until its channel is full, changes `victim`, and gives how it ends.
async fn changed_midway(victim: &str, change: impl FnOnce(&Path)) -> Result<Vec<u8>, BackendError> {
    let folder = folder(&["z/later"]);
    let size = 4 * pieces::PIECES * (128 << 10);
    fs::write(folder.path().join("big"), vec![1; size]).unwrap();
    let mut stream = tar_stream(folder.path(), ignore(""), TarOptions::default());
    let first = stream.next().await.unwrap().unwrap();
    assert!(!first.is_empty());
    change(&folder.path().join(victim));
    bytes(stream).await
}

#[tokio::test]
async fn a_file_that_shrinks_grows_or_vanishes_midway_is_an_error() {
    let shrunk = changed_midway("big", |path| {
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(10)
            .unwrap();
    });
    let error = shrunk.await.unwrap_err();
    assert!(
        error.message.contains("`big` changed: it shrank"),
        "{error}"
    );
    let grown = changed_midway("big", |path| {
        let mut file = fs::File::options().append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, b"more").unwrap();
    });
    let error = grown.await.unwrap_err();
    assert!(error.message.contains("`big` changed: it grew"), "{error}");
    let swapped = changed_midway("z/later", |path| {
        fs::remove_file(path).unwrap();
    });
    // Whether the walk had listed the folder by then is up to the machine; it never looks whole
    // with the file in it.
    match swapped.await {
        Ok(bytes) => assert!(!bytes.windows(7).any(|window| window == b"z/later")),
        Err(error) => assert!(error.message.contains("`z/later` changed"), "{error}"),
    }
}

#[tokio::test]
async fn a_dropped_stream_ends_its_walk() {
    let folder = folder(&["a"]);
    fs::write(folder.path().join("big"), vec![0; 8 << 20]).unwrap();
    let options = TarOptions::default();
    let tally = options.tally.clone();
    drop(tar_stream(folder.path(), ignore(""), options));
    let left = async {
        while Arc::strong_count(&tally.0) > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), left)
        .await
        .unwrap();
    assert_eq!(tally.failure(), None);
}

#[tokio::test]
async fn ignored_folders_are_left_out_and_their_exceptions_have_parents() {
    let folder = folder(&["a/b/keep", "a/b/drop", "a/x", "node/m/f", "other"]);
    let names = names(folder.path(), "a\nnode\n!a/b/keep\n", TarOptions::default()).await;
    assert_eq!(names, ["a", "a/b", "a/b/keep", "other"]);
}

#[test]
fn what_is_never_sent_stays_out_whatever_the_file_takes_back() {
    let folder = folder(&[".dockerignore", "s/[k]*y", "real/k", "!odd", "sub/f"]);
    fs::write(folder.path().join(".dockerignore"), "tmp\n!s/**\n").unwrap();
    symlink("real", folder.path().join("by-link")).unwrap();
    let source = IgnoreSource::FirstOf(vec!["none".into(), ".dockerignore".into()]);
    let never = [
        "s/[k]*y".to_owned(),
        "by-link/k".to_owned(),
        "!odd".to_owned(),
        "sub/f".to_owned(),
    ];
    let whole = rules(folder.path(), ".", &source, &never).unwrap();
    for path in [
        ".hoist",
        ".hoist/runs/x",
        "s/[k]*y",
        "by-link/k",
        "real/k",
        "!odd",
        "tmp",
        "sub/f",
    ] {
        assert!(whole.is_ignored(path), "{path}");
    }
    assert!(!whole.is_ignored("s/kxy"));
    let part = rules(folder.path(), "sub", &source, &never).unwrap();
    assert!(part.is_ignored("f"));
    assert!(!part.is_ignored("g"));
}

#[test]
fn ignore_files_are_refused_when_missing_broken_or_outside() {
    let folder = folder(&[]);
    let named = |name: &str| rules(folder.path(), ".", &IgnoreSource::Named(name.into()), &[]);
    assert!(
        named("none")
            .unwrap_err()
            .what
            .contains("`none` is not there")
    );
    fs::write(folder.path().join("bad"), "ok\n!\n").unwrap();
    assert!(named("bad").unwrap_err().cause.unwrap().contains("line 2"));
    symlink("/etc/hostname", folder.path().join("link")).unwrap();
    assert!(
        named("link")
            .unwrap_err()
            .what
            .contains("leads out of the project")
    );
    fs::write(folder.path().join("binary"), b"\xff").unwrap();
    assert!(
        named("binary")
            .unwrap_err()
            .cause
            .unwrap()
            .contains("UTF-8")
    );
}
