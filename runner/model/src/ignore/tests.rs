mod moby;

use proptest::prelude::*;

use super::*;

/// Each rule file with paths that it leaves out and paths that it keeps.
const VECTORS: &[(&str, &[&str], &[&str])] = &[
    ("", &[], &["a", "a/b"]),
    ("a", &["a", "a/b", "a/b/c"], &["b", "ab", "b/a", "A"]),
    ("/a", &["a", "a/b"], &["b/a"]),
    ("a/", &["a", "a/b"], &["b"]),
    ("./a/../b//c", &["b/c", "b/c/d"], &["a", "b"]),
    ("  a  \n\t\nb\r\n", &["a", "b"], &["c"]),
    ("\u{feff}a", &["a"], &["\u{feff}a"]),
    ("\u{feff}# a\r\nb\r\n", &["b"], &["a", "# a"]),
    ("\u{feff}\u{feff}a", &["\u{feff}a"], &["a"]),
    ("a\n\u{feff}b", &["a", "\u{feff}b"], &["b"]),
    (
        "*\r\n!a b\r\n\r\na b/c\r\n",
        &["x", "a b/c"],
        &["a b", "a b/d"],
    ),
    ("a\rb", &["a\rb"], &["a", "b"]),
    ("# a\n#b\n \\#c", &["#c"], &["a", "b", "#b", " a"]),
    (" #c", &["#c"], &["c"]),
    ("*", &["a", "a/b", ".a"], &[]),
    (
        "*.md",
        &["x.md", ".md", "x.md/y"],
        &["d/x.md", "xmd", "x.mdx"],
    ),
    ("*/*.md", &["d/x.md"], &["x.md", "d/e/x.md"]),
    ("**", &["a", "a/b"], &[]),
    ("**/a", &["a", "b/a", "b/c/a", "a/d"], &["ab", "ba"]),
    ("**a", &["a", "ba", "b/a", "b/ca"], &["ab"]),
    (
        "**/*.md",
        &["x.md", "d/x.md", "d/e/x.md"],
        &["x.txt", "d/md"],
    ),
    ("a/**", &["a/b", "a/b/c"], &["a", "ab"]),
    ("a**", &["a", "ab", "a/b"], &["b"]),
    (
        "a/**/b",
        &["a/b", "a/x/b", "a/x/y/b", "a/b/c"],
        &["a", "ab", "b", "xa/b"],
    ),
    ("**/a/**", &["a/b", "x/a/b"], &["a", "x/a"]),
    ("a?c", &["abc", "aéc"], &["ac", "a/c", "abbc"]),
    ("[a-c]x", &["ax", "cx"], &["dx", "x", "-x"]),
    ("[^a-c]x", &["dx", "éx"], &["ax"]),
    (r"\*a", &["*a"], &["ba", "a"]),
    (r"a\-[\]\-]", &["a-]", "a--"], &["a-", "ab"]),
    // Characters that Rust's classes would take for operators.
    ("[a&&b]", &["a", "b", "&"], &["c"]),
    ("[a~~b]", &["~"], &["c"]),
    ("[[]x", &["[x"], &["x"]),
    ("a.b+c(d)|{e}$^", &["a.b+c(d)|{e}$^"], &["axb+c(d)|{e}$^"]),
    ("a.?", &["a.b"], &["axb"]),
    // Docker does not check what is after a star.
    ("b*/[-_]c", &["bx/-c"], &["b/c"]),
    // Docker turns a star into text before it knows of the class.
    ("[*]", &["[]", "/]", "^^]", "]"], &["*", "a"]),
    // Characters that Docker forgets to escape.
    ("a|b*", &["a", "ax/y", "x/b"], &["xa"]),
    ("a{2}?", &["aab"], &["a{2}b", "aaab"]),
    ("a{b}?", &["a{b}c"], &["abc"]),
    ("a{2}", &["a{2}"], &["aa"]),
    (r"\d", &["7"], &["d", "a"]),
    ("[[:digit:]]", &["7"], &["a", ":"]),
    ("*\n!keep", &["a", "b/keep"], &["keep", "keep/a"]),
    ("*\n!d/e", &["a", "d", "d/f"], &["d/e", "d/e/f"]),
    (
        "*.md\n!README*.md\nREADME-secret.md",
        &["x.md", "README-secret.md"],
        &["README.md"],
    ),
    (
        "*.md\nREADME-secret.md\n!README*.md",
        &["x.md"],
        &["README.md", "README-secret.md"],
    ),
    ("a\n! a/b\na/b/c", &["a", "a/x", "a/b/c"], &["a/b", "a/b/d"]),
    ("a\n!a", &[], &["a", "a/b"]),
    // The rule was not tried on `a`, since nothing leaves it out, so it takes back nothing there.
    ("a/b\n!a", &["a/b", "a/b/c"], &["a", "a/x"]),
    ("**/m\n!v", &["m", "v/m"], &["v", "v/x"]),
    ("!a", &[], &["a"]),
    // Cleaning goes over the mark too, and `..` takes it away with the part in which it stands.
    ("!../../a", &["a"], &["b"]),
    ("..\n../a", &[], &["a"]),
    (".", &[], &["a"]),
    ("/", &[], &["a"]),
    (".git", &[".git", ".git/config"], &[".gitignore", "a/.git"]),
    ("é*", &["é", "éa/b"], &["e"]),
];

#[test]
fn vectors() {
    for (file, ignored, kept) in VECTORS {
        let rules = IgnoreFile::parse(file).unwrap();
        for path in *ignored {
            assert!(rules.is_ignored(path), "{file:?} must leave out {path:?}");
        }
        for path in *kept {
            assert!(!rules.is_ignored(path), "{file:?} must keep {path:?}");
        }
    }
}

#[test]
fn faults_have_lines() {
    for (file, line, pattern, why) in [
        ("a\n!\n", 2, "!", "after the `!`"),
        ("# x\n\n!  \r\n", 3, "!", "after the `!`"),
        ("a\nb[", 2, "b[", "no `]`"),
        ("[]a]", 1, "[]a]", "lacks an end"),
        ("[-a]", 1, "[-a]", "lacks an end"),
        ("[a-]", 1, "[a-]", "lacks an end"),
        ("a\\", 1, "a\\", "backslash"),
        ("[z-a]", 1, "[z-a]", "upside down"),
        ("bin\\obj", 1, "bin\\obj", "`\\o` is not `o`"),
        ("*{2}", 1, "*{2}", "repeats a repetition"),
        ("a{3,2}?", 1, "a{3,2}?", "no meaning"),
        ("a{1001}?", 1, "a{1001}?", "too often"),
        ("[[:nope:]]", 1, "[[:nope:]]", "no class"),
    ] {
        let error = IgnoreFile::parse(file).unwrap_err();
        assert_eq!(
            (error.line, error.pattern.as_str()),
            (line, pattern),
            "{file:?}"
        );
        assert!(error.why.contains(why), "{file:?}: {error}");
        assert!(
            error.to_string().starts_with(&format!("line {line}: `")),
            "{error}"
        );
    }
}

#[test]
fn says_which_rule_decides() {
    let mut file = IgnoreFile::parse("# all\n*\n!src\nsrc/*.o\n").unwrap();
    file.append("src/.hoist").unwrap();
    let decides = |path| {
        file.matches(path)
            .map(|rule| (rule.line, rule.pattern.as_str()))
    };
    assert_eq!(decides("x"), Some((2, "*")));
    assert_eq!(decides("src/a.c"), Some((3, "!src")));
    assert_eq!(decides("src/a.o"), Some((4, "src/*.o")));
    assert_eq!(decides("src/.hoist/runs"), Some((0, "src/.hoist")));
    assert_eq!(decides("."), None);
    assert_eq!(decides(""), None);
    assert_eq!(
        file.append("[").unwrap_err().to_string().split(':').next(),
        Some("`[`")
    );
}

#[test]
fn what_is_never_sent_says_why() {
    let mut file = IgnoreFile::parse("a\n").unwrap().named(".dockerignore");
    file.never("b", "hoist's own folder").unwrap();
    let why = |path| file.matches(path).unwrap().why.as_deref();
    assert_eq!((why("a"), why("b/c")), (None, Some("hoist's own folder")));
    assert_eq!(file.name(), Some(".dockerignore"));
    assert!(file.never("[", "").is_err());
    assert_eq!(IgnoreFile::default().name(), None);
}

#[test]
fn appended_rules_stand_over_the_file() {
    let mut file = IgnoreFile::parse("!.hoist\n!**/*\n").unwrap();
    file.append(".hoist").unwrap();
    assert!(file.is_ignored(".hoist") && file.is_ignored(".hoist/runs/1"));
    assert!(!file.matcher().may_descend(".hoist"));
}

#[test]
fn paths_are_cleaned() {
    let file = IgnoreFile::parse("a/b").unwrap();
    for path in ["a/b", "./a/b", "a//b/", "/a/b", "a/x/../b/c"] {
        assert!(file.is_ignored(path), "{path}");
    }
}

#[test]
fn does_not_descend_for_nothing() {
    for (file, folder, descend) in [
        ("", "a", true),
        ("a", "a", false),
        ("a", "b", true),
        ("*\n!src", "src", true),
        ("*\n!src", "node_modules", false),
        ("*\n!src/main", "src", true),
        ("*\n!src/main", "srcs", false),
        ("*\n!src/main", "src/other", false),
        ("*\n!*.toml", "target", false),
        ("*\n!*/*.toml", "target", true),
        ("*\n!*/*.toml", "target/debug", false),
        ("*\n!**/*.toml", "target/debug", true),
        ("*\n!src/**/*.rs", "target", false),
        ("*\n!src/**/*.rs", "src/a/b", true),
        ("*\n!src/**", "src", true),
        ("*\n!src/**", "target", false),
        ("*\n!a[b]/c", "x", true),
        ("*\n!a/x|b*", "c", true),
        ("*\n!a/{0}b/c*", "ab", true),
        ("!a/b\na", "a", false),
    ] {
        let rules = IgnoreFile::parse(file).unwrap();
        assert_eq!(
            rules.matcher().may_descend(folder),
            descend,
            "{file:?} at {folder}"
        );
    }
}

#[test]
fn cleans_as_go_does() {
    for (path, cleaned) in [
        ("", "."),
        (".", "."),
        ("a/", "a"),
        ("//a", "/a"),
        ("a/..", "."),
        ("../..", "../.."),
        ("/..", "/"),
        ("a/./b/../c", "a/c"),
        ("./..", ".."),
        ("/", "/"),
        ("a/../../b", "../b"),
    ] {
        assert_eq!(pattern::clean(path), cleaned, "{path:?}");
    }
}

fn any_file() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        6 => "[abc]{1,2}",
        3 => prop::sample::select(vec!["*", "**", "?", "..", ".", "a*", "*b", "**a", "b**", "?c", "***"])
            .prop_map(str::to_owned),
        2 => r"[ab*?\[\]\\^.&~é|+{}2,-]{1,5}",
        1 => r"\[\^?[ab*?&~\[:.-]{1,3}\][abc]?",
        1 => prop::sample::select(vec![r"\d", r"\*", r"\-", "[[:alpha:]]", r"[\w-]", "[a-c]", "a.b", "$", "a{2}", "{b}", "a|b", "a{1,2}"])
            .prop_map(str::to_owned),
    ];
    let line = (
        prop::sample::select(vec!["", "", "", "!", "!", "! ", "/", "!/", "#", " "]),
        prop::collection::vec(part, 1..4),
        prop::sample::select(vec!["", "", "", "/", "/**", " ", "\r"]),
    )
        .prop_map(|(start, parts, end)| format!("{start}{}{end}", parts.join("/")));
    let mark = prop::sample::select(vec!["", "", "", "\u{feff}"]);
    let end = prop::sample::select(vec!["\n", "\n", "\r\n"]);
    (mark, prop::collection::vec(line, 1..5), end)
        .prop_map(|(mark, lines, end)| format!("{mark}{}", lines.join(end)))
}

fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            8 => "[abc]{1,2}",
            1 => r"[abc*\[\]^!.&~é7${}|]{1,3}".prop_filter("is no name", |s| s != "." && s != ".."),
        ],
        1..5,
    )
    .prop_map(|parts| parts.join("/"))
}

proptest! {
    #[test]
    fn any_order_of_questions_gives_the_same_answers(
        file in any_file(),
        paths in prop::collection::vec(any_path(), 1..12),
    ) {
        let Ok(file) = IgnoreFile::parse(&file) else { return Ok(()) };
        let mut matcher = file.matcher();
        for path in &paths {
            prop_assert_eq!(matcher.is_ignored(path), file.is_ignored(path));
        }
    }

    #[test]
    fn what_is_pruned_holds_nothing_that_is_kept(file in any_file(), path in any_path()) {
        let Ok(file) = IgnoreFile::parse(&file) else { return Ok(()) };
        let mut matcher = file.matcher();
        let folders = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        let pruned = folders.into_iter().any(|folder| !matcher.may_descend(folder));
        prop_assert!(!pruned || file.is_ignored(&path));
    }

    #[test]
    fn any_text_is_understood_or_refused(file in any::<String>(), path in any::<String>()) {
        if let Ok(file) = IgnoreFile::parse(&file) {
            let _ = (file.is_ignored(&path), file.matcher().may_descend(&path));
        }
    }
}
