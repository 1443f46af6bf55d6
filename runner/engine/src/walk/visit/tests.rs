use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// What each of these links, made in the folder `in/a`, comes to.
fn judged(target: &str) -> Result<PathBuf, String> {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("in");
    fs::create_dir_all(inside.join("a/deep")).unwrap();
    fs::create_dir_all(inside.join("top")).unwrap();
    fs::write(folder.path().join("secret"), "s").unwrap();
    fs::write(inside.join("file"), "f").unwrap();
    symlink("../../top", inside.join("a/deep/to-top")).unwrap();
    symlink("/etc", inside.join("a/absolute")).unwrap();
    symlink("to", inside.join("a/fro")).unwrap();
    symlink("fro", inside.join("a/to")).unwrap();
    let at = inside.join("a/link");
    symlink(target, &at).unwrap();
    let found = Found {
        path: Path::new("a/link"),
        shown: "a/link",
        at: &at,
        kind: Kind::Link,
    };
    buildable_link(&found).map_err(|trouble| format!("{}: {:?}", trouble.what, trouble.cause))
}

#[test]
fn links_that_stay_in_the_folder_can_be_built_with() {
    for target in [
        "../file",
        "./deep/../../file",
        "..",
        ".",
        "nowhere/at/all",
        "../missing",
        "deep/to-top/../file",
        "/etc/passwd",
        "/../../x",
        "absolute/../../../x",
        "../file/below/a/file",
    ] {
        assert_eq!(judged(target), Ok(PathBuf::from(target)));
    }
}

#[test]
fn links_that_lead_out_or_in_a_circle_are_named() {
    for target in [
        "../../secret",
        "../..",
        "deep/../../../in/file",
        // By text alone it stays: `deep/to-top` is two folders deep, what it leads to is one.
        "deep/to-top/../../secret",
        "nowhere/../../../secret",
    ] {
        let error = judged(target).unwrap_err();
        assert!(
            error.starts_with("the link `a/link` leads out of the folder"),
            "{target}: {error}"
        );
        assert!(error.contains(target), "{error}");
    }
    for target in ["link", "to", "../a/link", "to/x", "./link/../link"] {
        let error = judged(target).unwrap_err();
        assert!(
            error.starts_with("the link `a/link` leads in a circle"),
            "{target}: {error}"
        );
    }
}

#[test]
fn goes_only_into_folders_that_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["a/x", "b/c/y", "b/z", "d"] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let walk = |rules: &str| {
        let ignore = IgnoreFile::parse(rules).unwrap();
        let mut told = Vec::new();
        let enters = |found: &Found<'_>| found.shown != "a" && found.shown != "b/c";
        let walked: Result<(), Trouble> = visit_some(folder.path(), &ignore, enters, |visit| {
            told.push(match visit {
                Visit::Kept(found) => found.shown.to_owned(),
                Visit::LeftOut(found, _) => format!("-{}", found.shown),
                Visit::Special(found) => format!("?{}", found.shown),
            });
            Ok(())
        });
        walked.unwrap();
        told
    };
    assert_eq!(walk(""), ["a", "b", "b/c", "b/z", "d"]);
    assert_eq!(walk("*\n!a/x\n!b/z"), ["-a", "-b/c", "b", "b/z", "-d"]);
}
