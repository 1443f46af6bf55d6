//! `hoist context`, as people type it: what would be sent, what is left out and why, what weighs
//! most. None of it needs an engine.

use std::os::unix::fs::symlink;

use crate::support::{Project, docker, engine};

const ONE: &str = "name = \"one\"\n[steps.image.build]\n";

/// A project with one build, and no engine.
fn project() -> Project {
    Project::new(ONE)
        .file("Dockerfile", "FROM scratch\n")
        .variable("DOCKER_HOST", "unix:///nowhere.sock")
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_listing_is_what_the_build_would_be_sent() {
    let project = project()
        .file(".dockerignore", "*\n!src\nsrc/*.log\n")
        .file("src/b/deep", "12345")
        .file("src/a", "123")
        .file("src/x.log", "gone")
        .file("src/two\nlines\u{1b}[2J", "1");
    symlink("a", project.path().join("src/link")).unwrap();
    let ended = project.hoist(&["context", "ls"]).expect(0);
    assert_eq!(
        ended.stdout,
        "context . of image, rules of .dockerignore
       -  src/
     3 B  src/a
       -  src/b/
     5 B  src/b/deep
       -  src/link -> a
     1 B  \"src/two\\nlines\\u{1b}[2J\"
3 files, 2 folders, 1 link: 9 B
"
    );
    assert_eq!(ended.stderr, "");
    let arguments = ["context", "ls", "image", "--format", "json"];
    let listed = json(&project.hoist(&arguments).expect(0).stdout);
    let folder = &listed["folders"][0];
    assert_eq!(listed["step"], "image");
    assert_eq!(
        (&folder["path"], &folder["bytes"]),
        (&".".into(), &9.into())
    );
    assert_eq!(folder["entries"][5]["path"], "src/two\nlines\u{1b}[2J");
    assert!(project.runs().is_empty(), "looking leaves nothing");
}

#[test]
fn what_is_left_out_names_its_rule() {
    let project = Project::new(
        "name = \"one\"\n[secrets]\nkey = { file = \"private/key\" }\n[steps.image.build]\n",
    )
    .variable("DOCKER_HOST", "unix:///nowhere.sock")
    .file("private/key", "long-enough-to-be-masked")
    .file(".hoist/runs/x", "xx")
    .file("Dockerfile", "FROM scratch\n")
    // The Dockerfile's own file is the one that holds.
    .file(".dockerignore", "*\n")
    .file(
        "Dockerfile.dockerignore",
        "\u{feff}# windows was here\r\nnode_modules/\r\n**/*.log\r\n!keep.log\r\n",
    )
    .file("node_modules/a/b", "1234567")
    .file("a/x.log", "12")
    .file("keep.log", "1");
    let left_out = project.hoist(&["context", "ls", "--ignored"]).expect(0);
    assert_eq!(
        left_out.stdout,
        "left out of context . of image, rules of Dockerfile.dockerignore
     2 B  .hoist/        never sent: hoist's own folder
     2 B  a/x.log        Dockerfile.dockerignore:3  **/*.log
     7 B  node_modules/  Dockerfile.dockerignore:2  node_modules/
    24 B  private/key    never sent: named in [secrets] or [reports]
4 left out, 35 B
"
    );
    let arguments = ["context", "ls", "--ignored", "--format", "json"];
    let listed = json(&project.hoist(&arguments).expect(0).stdout);
    assert_eq!(listed["folders"][0]["left_out"][1]["rule"]["line"], 3);
    let kept = project.hoist(&["context", "ls"]).expect(0).stdout;
    assert!(
        kept.contains("keep.log") && !kept.contains("x.log"),
        "{kept}"
    );
}

#[test]
fn the_heaviest_are_shown() {
    let project = project()
        .file("data/raw/big", "x".repeat(5000))
        .file("data/small", "x".repeat(2000))
        .file("other/y", "x".repeat(3000));
    let top = project.hoist(&["context", "top", "-n", "2"]).expect(0);
    assert_eq!(
        top.stdout,
        "context . of image, no .dockerignore
heaviest folders
 6.8 KiB  2 files  data/
 4.9 KiB   1 file  data/raw/
heaviest files
 4.9 KiB  data/raw/big
 2.9 KiB  other/y
5 files, 3 folders: 9.8 KiB
"
    );
    let arguments = ["context", "top", "-n", "1", "--format", "json"];
    let top = json(&project.hoist(&arguments).expect(0).stdout);
    let heaviest = serde_json::json!([{"path": "data", "bytes": 7000, "files": 2}]);
    assert_eq!(top["folders"][0]["heaviest_folders"], heaviest);
    project.hoist(&["context", "top", "-n", "0"]).expect(2);
}

#[test]
fn what_seldom_belongs_in_a_context_is_a_hint() {
    let project = project()
        .file(".git/HEAD", "ref: x")
        .file("web/node_modules/a", "x")
        .file("target/x", "x")
        .file("web/.env", "KEY=value");
    for command in ["ls", "top"] {
        project
            .hoist(&["context", command])
            .expect(0)
            .says("warning: `.git` is part of the context `.`")
            .says("try:   leave it out with a line `**/.git` in .dockerignore")
            .says("`web/node_modules` is part of")
            .says("`target` is part of")
            .says("`web/.env` is part of");
    }
    let quiet = project.file(
        ".dockerignore",
        "**/.git\n**/node_modules\ntarget\n**/.env\n",
    );
    let ended = quiet.hoist(&["context", "ls"]).expect(0);
    assert_eq!(ended.stderr, "");
}

#[test]
fn much_is_a_hint_too() {
    let project = project();
    let big = std::fs::File::create(project.path().join("big")).unwrap();
    // Sparse: it takes no room on the disk.
    big.set_len(600_000_000).unwrap();
    project
        .hoist(&["context", "ls"])
        .expect(0)
        .says("the context `.` holds 572 MiB")
        .says("`hoist context top` shows what weighs most");
}

#[test]
fn the_step_must_be_clear() {
    let none =
        Project::new("name = \"none\"\n[steps.say]\nimage = \"a\"\nsource = false\nrun = \"b\"\n");
    none.hoist(&["context", "ls"])
        .expect(2)
        .says("no step builds an image")
        .says("no step of this file is sent anything");
    none.hoist(&["context", "ls", "say"])
        .expect(2)
        .says("`say` is sent nothing of the project");
    let two = Project::new(
        "name = \"two\"\n[steps.api.build]\n[steps.website.build]\n[steps.lint]\nimage = \"a\"\nrun = \"b\"\n",
    )
    .file("Dockerfile", "FROM scratch\n");
    two.hoist(&["context", "top"])
        .expect(2)
        .says("more than one step builds an image")
        .says("name one of api, website, lint");
    two.hoist(&["context", "ls", "webiste"])
        .expect(2)
        .says("there is no step `webiste`")
        .says("did you mean `website`?");
    two.hoist(&["context", "ls", "website"]).expect(0);
    let cells = Project::new(
        "name = \"cells\"\n[steps.image]\nmatrix.v = [\"1\", \"2\"]\n[steps.image.build]\nargs = { V = \"${matrix.v}\" }\n",
    )
    .file("Dockerfile", "FROM scratch\n");
    cells
        .hoist(&["context", "ls", "image"])
        .expect(2)
        .says("`image` is more than one step: it has a matrix")
        .says("name one of image[v=1], image[v=2]");
    cells.hoist(&["context", "ls", "image[v=2]"]).expect(0);
}

#[test]
fn the_copy_of_a_step_is_listed_by_its_own_rules() {
    let project = Project::new(
        "name = \"copy\"\n[steps.lint]\nimage = \"a\"\nrun = \"b\"\nsource_ignorefile = \".lintignore\"\n",
    )
    .file(".lintignore", "*.md\n")
    .file("a.md", "x")
    .file("a.rs", "x");
    symlink("../elsewhere", project.path().join("out")).unwrap();
    let listed = project.hoist(&["context", "ls", "lint"]).expect(0);
    assert_eq!(
        listed.stdout.lines().next(),
        Some("the project's copy for lint, rules of .lintignore")
    );
    assert!(listed.stdout.contains("a.rs") && !listed.stdout.contains("a.md"));
    // A copy holds such a link; only a build refuses it.
    listed.says("`out` is a link that leads out of the folder");
}

#[test]
fn further_contexts_have_their_names_and_rules() {
    let project = Project::new(
        "name = \"more\"\n[steps.image.build]\ncontexts = { assets = \"web/assets\" }\n",
    )
    .file("Dockerfile", "FROM scratch\n")
    .file(".dockerignore", "web\n")
    .file("web/assets/logo", "123")
    .file("web/assets/.dockerignore", "*.tmp\n")
    .file("web/assets/x.tmp", "1");
    let listed = project.hoist(&["context", "ls"]).expect(0).stdout;
    let expected = "
context assets (web/assets) of image, rules of web/assets/.dockerignore
     6 B  .dockerignore
     3 B  logo
2 files: 9 B
";
    assert!(listed.ends_with(expected), "{listed}");
}

#[test]
fn what_a_build_refuses_is_refused() {
    let out = project();
    symlink("../elsewhere", out.path().join("out")).unwrap();
    out.hoist(&["context", "ls"])
        .expect(2)
        .says("the link `out` leads out of the folder");
    // It is no part of the context once it is left out.
    out.file(".dockerignore", "out\n")
        .hoist(&["context", "ls"])
        .expect(0);
    let circle = project();
    symlink("b", circle.path().join("a")).unwrap();
    symlink("a", circle.path().join("b")).unwrap();
    circle
        .hoist(&["context", "top"])
        .expect(2)
        .says("the link `a` leads in a circle");
    let elsewhere = Project::empty();
    let outside = Project::new("name = \"one\"\n[steps.image.build]\ncontext = \"linked\"\n");
    symlink(elsewhere.path(), outside.path().join("linked")).unwrap();
    outside
        .hoist(&["context", "ls"])
        .expect(2)
        .says("leaves the project");
    project()
        .file(".dockerignore", "ok\na[\n")
        .hoist(&["context", "ls"])
        .expect(2)
        .says("`.dockerignore`, line 2: `a[`: a `[` has no `]`");
}

#[test]
fn colour_only_where_asked() {
    let project = project().file(".env", "x");
    let plain = project.hoist(&["context", "top"]).expect(0);
    assert!(!plain.stdout.contains('\u{1b}') && !plain.stderr.contains('\u{1b}'));
    let arguments = ["--color", "always", "context", "top"];
    let coloured = project.hoist(&arguments).expect(0);
    assert!(coloured.stdout.contains('\u{1b}') && coloured.stderr.contains('\u{1b}'));
}

#[test]
fn a_build_gives_the_same_hints_and_refuses_in_the_same_words() {
    if !engine("context::a_build_gives_the_same_hints_and_refuses_in_the_same_words") {
        return;
    }
    let project = Project::new(
        "name = \"hints\"\n[steps.image.build]\ntags = [\"hoist-test/context-hints:1\"]\n",
    )
    .file("Dockerfile", "FROM scratch\nCOPY . /\n")
    .file(".dockerignore", ".hoist\n")
    .file(".env", format!("NOW={:?}", std::time::SystemTime::now()));
    project
        .hoist(&["run"])
        .expect(0)
        .says("`.env` is part of the context `.`")
        .says("try:   leave it out with a line `**/.env` in .dockerignore");
    let again = project.hoist(&["run"]).expect(0);
    assert!(!again.stderr.contains("`.env` is part"), "{}", again.stderr);
    docker(&["image", "rm", "hoist-test/context-hints:1"]);

    symlink("../elsewhere", project.path().join("out")).unwrap();
    let words = "the link `out` leads out of the folder";
    project.hoist(&["context", "ls"]).expect(2).says(words);
    project.hoist(&["run"]).expect(2).says(words);
}
