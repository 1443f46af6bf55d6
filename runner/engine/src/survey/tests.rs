//! Surveys of real folders.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use hoist_model::step::StepKind;
use hoist_model::unit::{BuildUnit, Unit};
use tempfile::TempDir;

use super::signs::MUCH;
use super::*;
use crate::unit::testing::Stage;

/// A project with these files, each as long as it says.
fn project(files: &[(&str, usize)]) -> Stage {
    let unit = BuildUnit {
        context: ".".into(),
        ..BuildUnit::default()
    };
    let stage = Stage::new(StepKind::Build, Unit::Build(Box::new(unit)));
    for (path, bytes) in files {
        stage.file(path, &"x".repeat(*bytes));
    }
    stage
}

fn look_at(stage: &Stage, left_out: bool) -> Result<Survey, Trouble> {
    let step = stage.context.step().unwrap();
    survey(&stage.context.root, &stage.context.plan, step, left_out)
}

fn paths(folder: &SurveyedFolder) -> Vec<&str> {
    folder
        .entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect()
}

#[test]
fn what_is_sent_comes_in_the_order_of_the_walk() {
    let stage = project(&[("b", 3), ("a/z", 2), ("a.b", 1), ("a/b/c", 5), ("x/y", 1)]);
    stage.file(".dockerignore", "x\n.dockerignore\n");
    symlink("a/z", stage.folder.path().join("link")).unwrap();
    let found = look_at(&stage, false).unwrap();
    let folder = &found.folders[0];
    assert_eq!(
        paths(folder),
        ["a", "a/b", "a/b/c", "a/z", "a.b", "b", "link"]
    );
    assert_eq!(folder.ignorefile.as_deref(), Some(".dockerignore"));
    assert_eq!((folder.weight().bytes, folder.weight().files), (11, 4));
    let target = "a/z".to_owned();
    assert_eq!(folder.entries[6].kind, EntryKind::Link { target });
    assert!(folder.left_out.is_empty() && folder.hints.is_empty());
}

#[test]
fn what_is_left_out_says_by_which_rule() {
    let stage = project(&[
        ("node_modules/a/b", 7),
        ("node_modules/c", 3),
        ("a.log", 2),
        ("keep.log", 1),
        ("never/x", 4),
        (".hoist/runs/1", 9),
    ]);
    stage.file(
        ".dockerignore",
        "# what machines make\n*.log\n!keep.log\nnode_modules/\n",
    );
    let pipe = stage.folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let found = look_at(&stage, true).unwrap();
    let left_out: BTreeMap<_, _> = found.folders[0]
        .left_out
        .iter()
        .map(|left| {
            (
                left.path.as_str(),
                (left.folder, left.bytes, left.why.clone()),
            )
        })
        .collect();
    let rule = |line, pattern: &str| Why::Rule {
        line,
        pattern: pattern.to_owned(),
    };
    let never = |why: &str| Why::Never(why.to_owned());
    assert_eq!(
        left_out,
        BTreeMap::from([
            (".hoist", (true, Some(9), never("hoist's own folder"))),
            ("a.log", (false, Some(2), rule(2, "*.log"))),
            (
                "never",
                (true, Some(4), never("named in [secrets] or [reports]"))
            ),
            ("node_modules", (true, Some(10), rule(4, "node_modules/"))),
            ("pipe", (false, None, Why::Special)),
        ])
    );
    // Not asked for, only what nobody asked to leave out is told.
    let brief = look_at(&stage, false).unwrap();
    assert_eq!(brief.folders[0].left_out.len(), 1);
}

#[test]
fn sizes_of_folders_are_given_up_where_they_take_long() {
    let folder = TempDir::new().unwrap();
    for name in ["a", "b", "c"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let found = Found {
        path: Path::new("x"),
        shown: "x",
        at: folder.path(),
        kind: Kind::Folder,
    };
    let (mut enough, mut little) = (4, 3);
    assert_eq!(size(&found, &mut enough), Some(3));
    assert_eq!(size(&found, &mut little), None);
}

#[test]
fn refusals_are_those_of_a_build() {
    let outside = project(&[]);
    symlink("../elsewhere", outside.folder.path().join("out")).unwrap();
    let circle = project(&[]);
    symlink("circle", circle.folder.path().join("circle")).unwrap();
    let broken = project(&[]);
    broken.file(".dockerignore", "a[\n");
    for (stage, what) in [
        (outside, "the link `out` leads out of the folder"),
        (circle, "the link `circle` leads in a circle"),
        (broken, "`.dockerignore` cannot be used"),
    ] {
        assert_eq!(look_at(&stage, false).unwrap_err().what, what);
    }
}

fn signs(files: &[(&str, Kind, u64)]) -> Vec<String> {
    let mut signs = Signs::default();
    for (path, kind, bytes) in files {
        signs.see(path, *kind, *bytes);
    }
    let hints = signs.hints("the context `.`", None);
    hints.into_iter().map(|hint| hint.message).collect()
}

#[test]
fn what_seldom_belongs_in_a_context_is_told_once() {
    use Kind::{File, Folder};
    let hints = signs(&[
        (".env", File, 10),
        (".git", Folder, 0),
        (".git/HEAD", File, 3 << 20),
        (".git/node_modules", Folder, 0),
        ("Cargo.toml", File, 1),
        ("a/.env", File, 1),
        ("a/.envrc", File, 1),
        ("a/Cargo.toml", File, 1),
        ("a/b/target", Folder, 0),
        ("a/target", Folder, 0),
        ("a/target/debug/x", File, 2 << 20),
        ("target", Folder, 0),
        ("target/x", File, 1 << 20),
    ]);
    assert_eq!(
        hints,
        [
            "`.git` is part of the context `.` (3 MiB)",
            "`a/target` and 1 more like it are part of the context `.` (3 MiB)",
            "`.env` and 1 more like it are part of the context `.`",
        ]
    );
}

#[test]
fn a_name_in_a_hint_cannot_act_on_a_terminal() {
    let hints = signs(&[("a\u{1b}[2J\n/.env", Kind::File, 1)]);
    assert_eq!(hints, ["`a\\u{1b}[2J\\n/.env` is part of the context `.`"]);
}

#[test]
fn much_is_told_and_a_little_is_not() {
    assert!(signs(&[("a", Kind::File, MUCH), ("target", Kind::File, 0)]).is_empty());
    let much = signs(&[("a", Kind::File, MUCH), ("b", Kind::File, 1 << 20)]);
    assert_eq!(much, ["the context `.` holds 477 MiB"]);
}
