//! What of a folder is told of: ignore rules, and patterns that the engine sends.

use super::*;

#[tokio::test]
async fn ignore_rules_and_excludes_both_leave_out() {
    let folder = folder(&[
        "a/b/keep", "a/b/drop", "a/x", "node/m/f", "other", "log.txt",
    ]);
    let service = serve(folder.path(), "a\nnode\n!a/b/keep\n");
    let paths = told(&service, &[("exclude-patterns", "*.txt")]).await;
    assert_eq!(paths, ["a", "a/b", "a/b/keep", "other"]);
    // The same rules from the engine as well, as it sends them.
    let ask = [
        ("exclude-patterns", "a"),
        ("exclude-patterns", "node"),
        ("exclude-patterns", "!a/b/keep"),
    ];
    let paths = told(&service, &ask).await;
    assert_eq!(paths, ["a", "a/b", "a/b/keep", "log.txt", "other"]);
    let paths = told(&serve(folder.path(), ""), &ask).await;
    assert_eq!(paths, ["a", "a/b", "a/b/keep", "log.txt", "other"]);
}

#[tokio::test]
async fn the_last_exclude_that_matches_decides() {
    let folder = folder(&["README.md", "README-secret.md", "x.md", "sub/y.md"]);
    let service = serve(folder.path(), "");
    let ask = [
        ("exclude-patterns", "**/*.md"),
        ("exclude-patterns", "!README*.md"),
        ("exclude-patterns", "README-secret.md"),
    ];
    assert_eq!(told(&service, &ask).await, ["README.md", "sub"]);
    let turned = [ask[0], ask[2], ask[1]];
    let paths = told(&service, &turned).await;
    assert_eq!(paths, ["README-secret.md", "README.md", "sub"]);
}

#[tokio::test]
async fn includes_have_parents_and_what_is_in_them() {
    let folder = folder(&["a/b/c", "a/b/d/e", "a/x", "b/c", "c"]);
    let service = serve(folder.path(), "");
    for (patterns, paths) in [
        (&["a/b"][..], &["a", "a/b", "a/b/c", "a/b/d", "a/b/d/e"][..]),
        (&["./a//x", "/c"], &["a", "a/x", "c"]),
        (&["*/c"], &["b", "b/c"]),
        (&["**/c"], &["a", "a/b", "a/b/c", "b", "b/c", "c"]),
        (
            &["?"],
            &[
                "a", "a/b", "a/b/c", "a/b/d", "a/b/d/e", "a/x", "b", "b/c", "c",
            ],
        ),
        (
            &["a", "!a/b", "a/b/d"],
            &["a", "a/b", "a/b/d", "a/b/d/e", "a/x"],
        ),
        (&["!a"], &[]),
        (&["nowhere/**"], &[]),
    ] {
        let ask: Vec<_> = patterns
            .iter()
            .map(|pattern| ("include-patterns", *pattern))
            .collect();
        assert_eq!(told(&service, &ask).await, paths, "{patterns:?}");
    }
    let both = [
        ("include-patterns", "a"),
        ("exclude-patterns", "a/b"),
        ("exclude-patterns", "!**/e"),
    ];
    assert_eq!(
        told(&service, &both).await,
        ["a", "a/b", "a/b/d", "a/b/d/e", "a/x"]
    );
}

#[tokio::test]
async fn paths_to_follow_are_paths_or_globs() {
    let folder = folder(&[
        "src/main.rs",
        "src/lib.rs",
        "src/deep/x.rs",
        "doc/a.md",
        "doc/b.txt",
        "a[1].txt",
        "a1.txt",
        "x{2}|y*",
        "!no",
    ]);
    let service = serve(folder.path(), "");
    for (paths, expected) in [
        (
            &["src"][..],
            &[
                "src",
                "src/deep",
                "src/deep/x.rs",
                "src/lib.rs",
                "src/main.rs",
            ][..],
        ),
        (
            &["src/main.rs", "doc"],
            &["doc", "doc/a.md", "doc/b.txt", "src", "src/main.rs"],
        ),
        (&["*/*.rs"], &["src", "src/lib.rs", "src/main.rs"]),
        (&["doc/?.md"], &["doc", "doc/a.md"]),
        (&["a[1].txt"], &["a1.txt"]),
        (&[r"a\[1].txt"], &["a[1].txt"]),
        (&["a[[]1].txt"], &["a[[]1].txt"].map(|_| "a[1].txt")),
        (&["x{2}|y[*]"], &[]),
        (&[r"x{2}|y\*"], &["x{2}|y*"]),
        (&["x{2}|?*"], &["x{2}|y*"]),
        (&["!no"], &["!no"]),
        (&["!n*"], &["!no"]),
        (&["missing", "none/*/x"], &[]),
        (&["src/../doc/a.md"], &["doc", "doc/a.md"]),
        (&["../../doc/a.md"], &["doc", "doc/a.md"]),
    ] {
        let ask: Vec<_> = paths.iter().map(|path| ("followpaths", *path)).collect();
        assert_eq!(told(&service, &ask).await, expected, "{paths:?}");
    }
    let all = told(&service, &[("followpaths", ".")]).await;
    assert_eq!(all, told(&service, &[]).await);
    let ask = [
        ("followpaths", "src"),
        ("exclude-patterns", "**/*.rs"),
        ("exclude-patterns", "!**/x.rs"),
    ];
    assert_eq!(
        told(&service, &ask).await,
        ["src", "src/deep", "src/deep/x.rs"]
    );
}

#[test]
fn whole_folders_are_passed_by() {
    let asked = |include: &[&str], exclude: &[&str], follow: &[&str]| {
        let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let asked = Asked {
            dir: String::new(),
            include: strings(include),
            exclude: strings(exclude),
            follow: strings(follow),
        };
        let mut wanted = filter::Wanted::new(&asked).unwrap();
        wanted.add(follow::as_they_are(&asked.follow)).unwrap();
        move |folder: &str| filter::Filter::new(&wanted).may_descend(folder)
    };
    let all = asked(&[], &[], &[]);
    assert!(all("a") && all("a/b"));
    let followed = asked(&[], &[], &["a/b/c", "x/*/y"]);
    assert!(followed("a") && followed("a/b") && followed("a/b/c") && followed("a/b/c/d"));
    assert!(followed("x") && followed("x/q") && followed("x/q/y/z"));
    assert!(!followed("b") && !followed("a/c") && !followed("a/bb") && !followed("x/q/z"));
    let both = asked(&["a"], &["a/b", "!a/b/c", "d"], &["d", "e"]);
    assert!(both("a") && both("a/b") && both("a/b/c") && both("e/f"));
    assert!(!both("a/b/d") && !both("d") && !both("f"));
}

#[test]
fn all_that_is_wanted_is_within_a_few_paths() {
    let within = |include: &[&str], follow: &[&str]| {
        let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let asked = Asked {
            include: strings(include),
            exclude: strings(&["**/*.rs"]),
            follow: strings(follow),
            ..Asked::default()
        };
        let mut wanted = filter::Wanted::new(&asked).unwrap();
        wanted.add(follow::as_they_are(&asked.follow)).unwrap();
        let within = wanted.within()?;
        Some(within.into_iter().collect::<Vec<String>>())
    };
    let some = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect());
    assert_eq!(within(&[], &["src", "a/b.txt"]), some(&["a/b.txt", "src"]));
    assert_eq!(within(&["src"], &["a"]), some(&["a", "src"]));
    // What a glob matches may be anywhere below what is plain before it.
    assert_eq!(within(&[], &["src/*.rs", "a"]), some(&["a", "src"]));
    assert_eq!(within(&["src/**/x"], &[]), some(&["src"]));
    for (include, follow) in [
        (&[][..], &[][..]),
        (&[], &["."]),
        (&[], &["src", "*.json"]),
        (&["**"], &["src"]),
        (&["."], &[]),
    ] {
        assert_eq!(within(include, follow), None, "{include:?} {follow:?}");
    }
}

#[tokio::test]
async fn metadata_may_be_encoded() {
    let folder = folder(&["ä b+c%", "a%20b", "plain", "x y"]);
    let service = serve(folder.path(), "");
    let encoded = [
        ("followpaths", "%C3%A4+b%2Bc%25"),
        ("followpaths", "plain"),
        ("followpaths-encoded", "1"),
    ];
    assert_eq!(told(&service, &encoded).await, ["plain", "ä b+c%"]);
    // Only the key that says so is.
    let one = [
        ("followpaths", "a%20b"),
        ("exclude-patterns", "x+y"),
        ("exclude-patterns-encoded", "true"),
        ("dir-name-encoded", "0"),
    ];
    assert_eq!(told(&service, &one).await, ["a%20b"]);
    // Older engines send the bytes.
    assert_eq!(
        told(&service, &[("followpaths", "ä b+c%")]).await,
        ["ä b+c%"]
    );
    let bytes = [
        ("dir-name", b"context".to_vec()),
        ("followpaths", b"\xff".to_vec()),
    ];
    let refused = Engine::call_raw(&service, bytes).await.err().unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("not UTF-8"), "{refused}");
    assert!(service.failure.lock().unwrap().is_some());
}

#[tokio::test]
async fn patterns_that_cannot_be_used_are_named() {
    let folder = folder(&["a"]);
    for ask in [
        ("exclude-patterns", "b["),
        ("include-patterns", "[]a]"),
        ("followpaths", "x/b["),
    ] {
        let text = refused(&serve(folder.path(), ""), &[ask]).await;
        assert!(text.contains("pattern that cannot be used"), "{text}");
        assert!(text.contains('['), "{text}");
    }
}

#[test]
fn an_ignore_file_alone_is_not_what_a_builder_is_after() {
    let asks = |follow: &[&str], include: &[&str]| {
        let all = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
        let asked = Asked {
            follow: all(follow),
            include: all(include),
            ..Asked::default()
        };
        asked.is_for_rules()
    };
    assert!(asks(&[".dockerignore"], &[]));
    assert!(!asks(&[], &[]), "that is all");
    assert!(!asks(&["a"], &[]));
    assert!(!asks(&[".dockerignore", "a"], &[]));
    assert!(!asks(&[".dockerignore"], &["a"]));
}
