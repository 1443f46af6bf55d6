//! Archives as hostile containers would make them.

use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::backend::BackendErrorKind;

const BOUNDS: Bounds = Bounds {
    bytes: 1 << 20,
    entries: 1000,
};

/// An archive written entry by entry, names unchecked.
struct Made(Builder<Vec<u8>>);

impl Made {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn entry(mut self, kind: EntryType, name: &[u8], mode: u32, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_uid(0);
        header.set_gid(0);
        if kind.is_gnu_sparse() {
            header.as_gnu_mut().unwrap().set_real_size(0);
        }
        // The crate refuses the names that matter here.
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.entry(
            EntryType::Regular,
            name.as_bytes(),
            0o644,
            content.as_bytes(),
        )
    }

    fn link(mut self, name: &str, target: &str) -> Self {
        self.links(EntryType::Symlink, name, target);
        self
    }

    fn hard(mut self, name: &str, target: &str) -> Self {
        self.links(EntryType::Link, name, target);
        self
    }

    fn links(&mut self, kind: EntryType, name: &str, target: &str) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o777);
        header.set_size(0);
        self.0.append_link(&mut header, name, target).unwrap();
    }

    fn folder(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name.as_bytes(), 0o755, b"")
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// The bytes in pieces of a size that fits nothing.
fn stream_of(bytes: Vec<u8>) -> ByteStream {
    let pieces: Vec<_> = bytes
        .chunks(333)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    stream::iter(pieces).boxed()
}

async fn unpacked(bytes: Vec<u8>, bounds: Bounds) -> (TempDir, Result<Unpacked, ArchiveError>) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("out");
    let redactor = Redactor::default();
    let taken = unpack(stream_of(bytes), to, bounds, redactor, everything()).await;
    (folder, taken)
}

fn everything() -> Wanted {
    Wanted::Matching(Box::new(|_| true))
}

/// All of `/srv/r`, with its links.
async fn whole(made: Made, bounds: Bounds) -> (TempDir, Unpacked) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("out");
    let of = "/srv/r".to_owned();
    let archive = stream_of(made.bytes());
    let taken = unpack(
        archive,
        to,
        bounds,
        Redactor::default(),
        Wanted::Whole { of },
    )
    .await;
    let links = walkdir::WalkDir::new(folder.path()).into_iter();
    let links = links.filter(|entry| entry.as_ref().unwrap().path_is_symlink());
    assert_eq!(links.count(), 0, "no link is ever made");
    (folder, taken.unwrap())
}

fn content(at: &TempDir, path: &str) -> String {
    std::fs::read_to_string(at.path().join("out").join(path)).unwrap()
}

/// Everything below a folder, links not followed.
fn listing(folder: &TempDir) -> Vec<String> {
    let root = folder.path().join("out");
    let mut names: Vec<_> = walkdir::WalkDir::new(&root)
        .min_depth(1)
        .into_iter()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .strip_prefix(&root)
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_folder_comes_without_its_top_and_a_file_with_its_name() {
    let folder = Made::new()
        .folder("cov/")
        .folder("cov/sub/")
        .file("cov/sub/a", "A")
        .bytes();
    let (at, taken) = unpacked(folder, BOUNDS).await;
    let taken = taken.unwrap();
    assert_eq!(listing(&at), ["sub", "sub/a"]);
    assert_eq!((taken.files.len(), taken.bytes), (1, 1));
    let (at, _) = unpacked(Made::new().file("app.bin", "x").bytes(), BOUNDS).await;
    assert_eq!(listing(&at), ["app.bin"]);
}

#[tokio::test]
async fn links_devices_and_pipes_are_left_out_by_name() {
    let bytes = Made::new()
        .folder("r/")
        .entry(EntryType::Symlink, b"r/root", 0o777, b"")
        .entry(EntryType::Link, b"r/hard", 0o644, b"")
        .entry(EntryType::Char, b"r/null", 0o666, b"")
        .entry(EntryType::Block, b"r/disk", 0o666, b"")
        .entry(EntryType::Fifo, b"r/pipe", 0o666, b"")
        .entry(EntryType::GNUSparse, b"r/holes", 0o644, b"")
        .file("r/good", "fine")
        .bytes();
    let (at, taken) = unpacked(bytes, BOUNDS).await;
    let taken = taken.unwrap();
    assert_eq!(listing(&at), ["good"]);
    assert_eq!(taken.left_out.len(), NAMED + 1);
    assert_eq!(taken.left_out[0], "`r/root` is a link");
    assert_eq!(taken.left_out[NAMED], "1 more");
}

#[tokio::test]
async fn a_file_below_a_link_goes_into_a_folder_of_that_name() {
    let bytes = Made::new()
        .entry(EntryType::Symlink, b"r/etc", 0o777, b"")
        .file("r/etc/passwd", "mine")
        .bytes();
    let (at, taken) = unpacked(bytes, BOUNDS).await;
    assert_eq!(taken.unwrap().files, [Path::new("etc/passwd")]);
    assert!(
        std::fs::symlink_metadata(at.path().join("out/etc"))
            .unwrap()
            .is_dir()
    );
}

#[tokio::test]
async fn links_within_are_copies_of_what_they_lead_to() {
    let made = Made::new()
        .folder("r/")
        .link("r/lib.so", "lib.so.1")
        .link("r/lib.so.1", "/srv/r/v1/../v1/lib.so.1.2")
        .link("r/current", "./v1")
        .folder("r/v1/")
        .entry(EntryType::Regular, b"r/v1/lib.so.1.2", 0o755, b"code")
        .folder("r/v1/empty/")
        .link("r/v1/up", "../note")
        .link("r/through", "current/lib.so.1.2")
        .file("r/note", "n")
        .hard("r/v1/twice", "r/note");
    let (at, taken) = whole(made, BOUNDS).await;
    assert_eq!(taken.left_out, [""; 0]);
    let copies = ["empty", "lib.so.1.2", "twice", "up"];
    let below = |folder: &str| copies.map(|name| format!("{folder}/{name}"));
    let mut expected = vec!["current".to_owned(), "v1".to_owned()];
    expected.extend(["lib.so", "lib.so.1", "note", "through"].map(str::to_owned));
    expected.extend([below("current"), below("v1")].concat());
    expected.sort();
    assert_eq!(listing(&at), expected);
    for path in ["lib.so", "lib.so.1", "through", "current/lib.so.1.2"] {
        assert_eq!(content(&at, path), "code", "{path}");
        let mode = std::fs::metadata(at.path().join("out").join(path)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o100, 0o100, "{path}");
    }
    for path in ["v1/up", "current/up", "v1/twice", "current/twice"] {
        assert_eq!(content(&at, path), "n", "{path}");
    }
    assert_eq!(taken.files.len(), 10);
    assert_eq!(taken.bytes, 5 * 4 + 5);
}

#[tokio::test]
async fn links_that_lead_out_or_nowhere_are_left_out_with_where_they_lead() {
    let secret = tempfile::tempdir().unwrap();
    let outside = secret.path().join("outside");
    std::fs::write(&outside, "not mine").unwrap();
    let outside = outside.to_str().unwrap();
    let lost = |made: Made| async {
        let (at, taken) = whole(made.file("r/good", "fine"), BOUNDS).await;
        assert_eq!(
            (listing(&at), taken.files.len()),
            (vec!["good".to_owned()], 1)
        );
        taken.left_out.join(", ")
    };
    assert_eq!(
        lost(Made::new().folder("r/").link("r/a", outside)).await,
        format!("`a` is a link that leads out, to {outside}")
    );
    for target in [
        "../../../etc/passwd",
        "../r/../../etc/passwd",
        "/etc/passwd",
    ] {
        assert_eq!(
            lost(Made::new().folder("r/").link("r/a", target)).await,
            "`a` is a link that leads out, to /etc/passwd"
        );
    }
    // The name of a folder beside it begins alike.
    assert_eq!(
        lost(Made::new().folder("r/").link("r/a", "/srv/root/x")).await,
        "`a` is a link that leads out, to /srv/root/x"
    );
    assert_eq!(
        lost(Made::new().folder("r/").link("r/a", "gone")).await,
        "`a` is a link to gone, which is not there"
    );
    assert_eq!(
        lost(Made::new().folder("r/").link("r/a", "b").link("r/b", "a")).await,
        "`a` is a link that leads in a circle, `b` is a link that leads in a circle"
    );
    assert_eq!(
        lost(Made::new().folder("r/").link("r/a", ".")).await,
        "`a` is a link to a folder that it lies in"
    );
    assert_eq!(
        lost(Made::new().folder("r/").hard("r/a", "r/../../etc/passwd")).await,
        "`a` is a hard link that leads out"
    );
    let long = "x/".repeat(3000);
    let told = lost(Made::new().folder("r/").link("r/a", &long)).await;
    assert_eq!(told, "`a` is a link with too long a path");
}

#[tokio::test]
async fn folders_that_lead_to_one_another_come_to_an_end() {
    let made = Made::new()
        .folder("r/")
        .folder("r/a/")
        .file("r/a/x", "x")
        .link("r/a/b", "../b")
        .folder("r/b/")
        .link("r/b/a", "../a");
    let (at, taken) = whole(made, BOUNDS).await;
    assert_eq!(listing(&at), ["a", "a/b", "a/x", "b", "b/a", "b/a/x"]);
    assert_eq!(
        taken.left_out,
        [
            "`a/b/a` is a link to a folder that it lies in",
            "`b/a/b` is a link to a folder that it lies in"
        ]
    );
    // Ten links in each of ten folders to the next one would be ten billion files.
    let mut many = Made::new().folder("r/");
    for level in 0..10 {
        many = many.folder(&format!("r/{level}/"));
        for link in 0..10 {
            let next = format!("../{}", level + 1);
            many = many.link(&format!("r/{level}/{link}"), &next);
        }
    }
    let many = many.folder("r/10/").file("r/10/x", "x");
    let (_at, taken) = whole(many, BOUNDS).await;
    assert_eq!(taken.cut.unwrap(), "it holds more than 1000 entries");
}

#[tokio::test]
async fn copies_count_in_what_an_archive_may_hold() {
    let bounds = Bounds {
        bytes: 2500,
        entries: 100,
    };
    let made = |links: usize| {
        let made = Made::new().folder("r/").file("r/a", &"x".repeat(1000));
        (0..links).fold(made, |made, link| made.link(&format!("r/{link}"), "a"))
    };
    let (at, taken) = whole(made(1), bounds).await;
    assert_eq!((listing(&at).len(), taken.cut), (2, None));
    let (_at, taken) = whole(made(2), bounds).await;
    assert_eq!(
        taken.cut.unwrap(),
        "with `1` (1000 bytes) it is over 2500 bytes"
    );
}

#[tokio::test]
async fn a_copy_is_written_over_nothing() {
    let made = Made::new()
        .folder("r/")
        .file("r/a", "first")
        .file("r/b", "second")
        .link("r/a", "b")
        .link("r/b/below", "a");
    let (at, taken) = whole(made, BOUNDS).await;
    assert_eq!(
        (listing(&at), content(&at, "a")),
        (vec!["a".to_owned(), "b".to_owned()], "first".to_owned())
    );
    assert_eq!(taken.left_out.len(), 2, "{:?}", taken.left_out);
}

#[tokio::test]
async fn secrets_are_masked_in_copies_too() {
    let secret = "correct-horse-battery";
    let made = Made::new()
        .folder("r/")
        .link("r/a", "b")
        .file("r/b", secret);
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("out");
    let redactor = Redactor::new([secret]).unwrap();
    let of = "/srv/r".to_owned();
    let archive = stream_of(made.bytes());
    let taken = unpack(archive, to, BOUNDS, redactor, Wanted::Whole { of });
    assert_eq!(taken.await.unwrap().files.len(), 2);
    assert_eq!(content(&folder, "a"), "***");
}

#[tokio::test]
async fn a_link_alone_is_told_and_not_taken() {
    let (at, taken) = whole(Made::new().link("r", "v1/app"), BOUNDS).await;
    assert_eq!(taken.link.unwrap(), Path::new("v1/app"));
    assert_eq!(listing(&at), [""; 0]);
}

#[tokio::test]
async fn names_that_lead_out_are_left_out() {
    let bytes = Made::new()
        .file("r/../../evil", "x")
        .file("/etc/evil", "x")
        .file("../evil", "x")
        .file(&format!("r/{}", "d/".repeat(40)), "x")
        .file("r/./fine", "x")
        .bytes();
    let (at, taken) = unpacked(bytes, BOUNDS).await;
    let taken = taken.unwrap();
    assert_eq!(taken.left_out.len(), 3);
    assert!(listing(&at).contains(&"fine".to_owned()));
    assert!(!at.path().join("evil").exists());
    let deep = Made::new().file(&format!("r/{}x", "d/".repeat(48)), "x");
    assert_eq!(
        unpacked(deep.bytes(), BOUNDS).await.1.unwrap().files.len(),
        1
    );
}

#[tokio::test]
async fn escapes_and_odd_bytes_in_names_are_replaced() {
    let bytes = Made::new()
        .entry(EntryType::Regular, b"r/\x1b]0;title\x07", 0o644, b"x")
        .entry(EntryType::Regular, b"r/odd\xff", 0o644, b"y")
        .bytes();
    let (at, _) = unpacked(bytes, BOUNDS).await;
    assert_eq!(listing(&at), ["_]0;title_", "odd\u{fffd}"]);
}

#[tokio::test]
async fn modes_are_stripped() {
    let bytes = Made::new()
        .entry(EntryType::Regular, b"r/suid", 0o6777, b"x")
        .entry(EntryType::Regular, b"r/plain", 0o666, b"x")
        .bytes();
    let (at, _) = unpacked(bytes, BOUNDS).await;
    let mode = |name: &str| {
        let path = at.path().join("out").join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode("suid") & !0o755, 0);
    assert_eq!(mode("suid") & 0o100, 0o100);
    assert_eq!(mode("plain") & !0o644, 0);
}

#[tokio::test]
async fn names_that_the_disk_refuses_are_left_out() {
    let mut twice = Made::new()
        .file("r/a", "first")
        .file("r/a", "second")
        .file("r/a/below", "x");
    let mut header = Header::new_gnu();
    header.set_size(0);
    let long = format!("r/{}", "n".repeat(300));
    twice.0.append_data(&mut header, long, io::empty()).unwrap();
    let (at, taken) = unpacked(twice.bytes(), BOUNDS).await;
    let taken = taken.unwrap();
    assert_eq!(taken.files, [Path::new("a")]);
    assert_eq!(taken.left_out.len(), 3);
    assert_eq!(std::fs::read(at.path().join("out/a")).unwrap(), b"first");
}

#[tokio::test]
async fn a_huge_file_is_stopped_at_by_what_it_says_of_itself() {
    let mut header = Header::new_gnu();
    header.set_path("r/sparse").unwrap();
    header.set_size(50 << 30);
    header.set_mode(0o644);
    header.set_cksum();
    let mut bytes = Made::new().file("r/small", "x").bytes();
    bytes.truncate(1024);
    bytes.extend_from_slice(header.as_bytes());
    // What would follow never comes: nobody asks for it.
    let endless = stream_of(bytes).chain(stream::pending()).boxed();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("out");
    let taken = unpack(endless, to, BOUNDS, Redactor::default(), everything())
        .await
        .unwrap();
    assert_eq!(listing(&folder), ["small"]);
    assert_eq!(
        taken.cut.unwrap(),
        "with `r/sparse` (50 GiB) it is over 1 MiB"
    );
}

#[tokio::test]
async fn too_many_entries_are_stopped_at() {
    let mut many = Made::new();
    for number in 0..100_000 {
        many = many.file(&format!("r/{number}"), "");
    }
    let (at, taken) = unpacked(many.bytes(), BOUNDS).await;
    assert!(
        taken
            .unwrap()
            .cut
            .unwrap()
            .contains("more than 1000 entries")
    );
    assert_eq!(listing(&at).len(), 1000);
}

#[tokio::test]
async fn archives_that_break_off_are_errors() {
    let whole = Made::new()
        .file("r/a", &"x".repeat(2000))
        .file("r/b", "y")
        .bytes();
    for length in [100, 700, 512 + 2048, 512 + 2048 + 512] {
        let (_at, taken) = unpacked(whole[..length].to_vec(), BOUNDS).await;
        assert!(
            matches!(taken, Err(ArchiveError::Backend(_))),
            "{length}: {taken:?}"
        );
    }
    let broken = BackendError::new(BackendErrorKind::Broken, "reset by peer");
    let pieces = [Ok(Bytes::copy_from_slice(&whole[..600])), Err(broken)];
    let folder = tempfile::tempdir().unwrap();
    let stream = stream::iter(pieces).boxed();
    let to = folder.path().join("out");
    let taken = unpack(stream, to, BOUNDS, Redactor::default(), everything()).await;
    assert_eq!(taken.unwrap_err().to_string(), "reset by peer");
    let (_at, taken) = unpacked(vec![b'x'; 2048], BOUNDS).await;
    assert!(matches!(taken, Err(ArchiveError::Broken(_))), "{taken:?}");
}

#[tokio::test]
async fn secrets_in_files_are_masked_across_pieces() {
    let secret = "correct-horse-battery";
    let text = format!("{}{secret}{}", "a".repeat(65_530), "b".repeat(1000));
    let bytes = Made::new()
        .file("r/log", &text)
        .file("r/clean", "nothing")
        .bytes();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("out");
    let redactor = Redactor::new([secret]).unwrap();
    let taken = unpack(stream_of(bytes), to, BOUNDS, redactor, everything())
        .await
        .unwrap();
    assert_eq!(taken.masked, 1);
    let kept = std::fs::read_to_string(folder.path().join("out/log")).unwrap();
    assert!(!kept.contains(secret) && kept.contains("a***b"));
}

#[tokio::test]
async fn only_what_is_wanted_is_taken() {
    let bytes = Made::new()
        .folder("r/")
        .file("r/a.xml", "1")
        .file("r/b.txt", "2")
        .bytes();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("out");
    let wanted = |path: &Path| path.extension().is_some_and(|end| end == "xml");
    let wanted = Wanted::Matching(Box::new(wanted));
    let taken = unpack(stream_of(bytes), to, BOUNDS, Redactor::default(), wanted)
        .await
        .unwrap();
    assert_eq!(taken.files, [Path::new("a.xml")]);
}

#[tokio::test]
async fn a_single_file_is_read_up_to_its_bound() {
    let bytes = || Made::new().file("report.json", "{}").bytes();
    assert_eq!(
        first_file(stream_of(bytes()), 100).await.unwrap(),
        Some(b"{}".to_vec())
    );
    assert_eq!(first_file(stream_of(bytes()), 1).await.unwrap(), None);
    let link = Made::new()
        .entry(EntryType::Symlink, b"report.json", 0o777, b"")
        .bytes();
    assert_eq!(first_file(stream_of(link), 100).await.unwrap(), None);
}

#[tokio::test]
async fn plain_files_are_read_whole_or_not_at_all() {
    let archive = Made::new()
        .folder("state/")
        .file("state/b", "two")
        .entry(EntryType::Symlink, b"state/link", 0o777, b"")
        .file("state/../../etc/passwd", "out")
        .file("state/a", "one")
        .bytes();
    let files = files(stream_of(archive.clone()), BOUNDS).await.unwrap();
    let expected = [("a", "one"), ("b", "two")];
    let expected = expected.map(|(name, text)| (PathBuf::from(name), text.into()));
    assert_eq!(files, Some(expected.into()));
    for bounds in [
        Bounds { bytes: 8, ..BOUNDS },
        Bounds {
            entries: 4,
            ..BOUNDS
        },
    ] {
        let files = super::files(stream_of(archive.clone()), bounds).await;
        assert_eq!(files.unwrap(), None);
    }
    let cut = archive[..1024].to_vec();
    assert!(super::files(stream_of(cut), BOUNDS).await.is_err());
}

#[tokio::test]
async fn a_disk_that_refuses_is_an_error_and_no_notice() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let bytes = Made::new().file("r/a", "x").bytes();
    let to = blocked.join("below");
    let taken = unpack(
        stream_of(bytes),
        to,
        BOUNDS,
        Redactor::default(),
        everything(),
    )
    .await;
    let trouble = taken.unwrap_err().trouble("the artifact could not be kept");
    assert!(trouble.cause.unwrap().contains("below cannot be written"));
    assert!(trouble.hint.is_some());
}
