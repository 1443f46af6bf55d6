//! What is gone through again is what a walk saw, for as long as that is as good as a look.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;

use hoist_model::ignore::IgnoreFile;
use tempfile::TempDir;

use super::*;
use crate::inputs::Cache;
use crate::inputs::survey::{Stop, Walked};

const FILES: [&str; 7] = [
    "a",
    "b/deep/file",
    "b/file",
    "b-c",
    "out/kept",
    "out/gone",
    "x.log",
];

fn project() -> (TempDir, ContextFolder) {
    let root = tempfile::tempdir().unwrap();
    for name in FILES {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    symlink("b/file", root.path().join("link")).unwrap();
    fs::hard_link(root.path().join("a"), root.path().join("z")).unwrap();
    fs::create_dir(root.path().join("empty")).unwrap();
    let rules = "**/*.log\nout\n!out/kept\n.hoist\n";
    let folder = ContextFolder::new(root.path(), IgnoreFile::parse(rules).unwrap());
    (root, folder)
}

/// The same folder, just walked.
fn walked(folder: &ContextFolder) -> ContextFolder {
    let cache = Cache::open(&folder.path, None).unwrap();
    let walked = Walked::walk(&cache, folder, &Stop::default()).unwrap();
    ContextFolder {
        seen: Some(walked.snapshot()),
        ..folder.clone()
    }
}

type All = Vec<(PathBuf, Kind, Stat)>;

fn visited(folder: &ContextFolder, enters: fn(&Found<'_>) -> bool) -> All {
    let mut all = Vec::new();
    folder
        .visit::<Trouble>(enters, |found, seen| {
            assert_eq!(found.at, folder.path.join(found.path));
            assert_eq!(Path::new(found.shown), found.path);
            let stat = seen.unwrap_or_else(|| Stat::of(&found.metadata().unwrap()));
            all.push((found.path.to_owned(), found.kind, stat));
            Ok(())
        })
        .unwrap();
    all
}

#[test]
fn it_shows_what_a_walk_would() {
    let (_root, folder) = project();
    let seen = walked(&folder);
    let into: [fn(&Found<'_>) -> bool; 3] = [
        |_| true,
        |found| found.path != Path::new("b"),
        |found| found.path != Path::new("b/deep"),
    ];
    for (number, enters) in into.into_iter().enumerate() {
        let walked = visited(&folder, enters);
        assert!(walked.len() >= 5, "{walked:?}");
        assert_eq!(visited(&seen, enters), walked, "{number}");
    }
    let paths = visited(&seen, |_| true);
    let paths: Vec<_> = paths.iter().map(|(path, ..)| path.to_str()).collect();
    let expected = [
        "a",
        "b",
        "b/deep",
        "b/deep/file",
        "b/file",
        "b-c",
        "empty",
        "link",
        "out",
        "out/kept",
        "z",
    ];
    assert_eq!(paths, expected.map(Some));
}

#[test]
fn several_go_through_it_at_once_and_after_the_list_is_gone() {
    let (root, folder) = project();
    let seen = walked(&folder);
    fs::remove_dir_all(root.path().join(".hoist")).unwrap();
    let mut inner = Vec::new();
    let mut outer = 0;
    seen.visit::<Trouble>(
        |_| true,
        |_, _| {
            outer += 1;
            inner.push(visited(&seen, |_| true).len());
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(inner, vec![outer; outer]);
}

#[test]
fn what_was_seen_long_ago_is_looked_at_anew() {
    let (root, folder) = project();
    let mut seen = walked(&folder);
    fs::write(root.path().join("new"), "x").unwrap();
    let has = |folder: &ContextFolder| {
        let all = visited(folder, |_| true);
        all.iter().any(|(path, ..)| path == Path::new("new"))
    };
    assert!(!has(&seen));
    let snapshot = seen.seen.as_mut().unwrap();
    snapshot.begun = Instant::now().checked_sub(FRESH).unwrap();
    assert!(has(&seen));
}

#[test]
fn a_list_that_breaks_off_is_no_end() {
    let (root, folder) = project();
    // More than is read ahead.
    for number in 0..1500 {
        fs::write(root.path().join(format!("file-{number}")), "").unwrap();
    }
    let seen = walked(&folder);
    let list = &seen.seen.as_ref().unwrap().list;
    let reader = Reader::of(list).unwrap();
    // It is shortened after its seal was looked at.
    let path = format!("/proc/self/fd/{}", list.as_raw_fd());
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(70_001).unwrap();
    let ended: Result<(), Trouble> = Snapshot::visit(reader, &folder.path, |_| true, |_, _| Ok(()));
    let trouble = ended.unwrap_err();
    assert!(trouble.what.contains("cannot be read again"), "{trouble:?}");
}
