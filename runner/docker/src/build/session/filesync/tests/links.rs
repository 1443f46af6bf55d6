//! Links: what they lead to is sent where the engine follows them.

use super::*;

#[tokio::test]
async fn what_a_link_leads_to_comes_with_it() {
    let folder = folder(&[
        "real/one",
        "real/two",
        "lib/v1/file",
        "lib/v1/more",
        "other",
        "top",
    ]);
    let link = |target: &str, at: &str| symlink(target, folder.path().join(at)).unwrap();
    link("real", "by-name");
    link("by-name", "chain");
    link("../lib/v1", "real/inner");
    link("/real/one", "absolute");
    link("lib/current/file", "through");
    link("v1", "lib/current");
    link("/etc/none", "elsewhere");
    link("nowhere", "dangling");
    let service = serve(folder.path(), "");
    for (path, expected) in [
        ("by-name/one", &["by-name", "real", "real/one"][..]),
        ("chain/two", &["by-name", "chain", "real", "real/two"]),
        (
            "chain/inner/file",
            &[
                "by-name",
                "chain",
                "lib",
                "lib/v1",
                "lib/v1/file",
                "real",
                "real/inner",
            ],
        ),
        ("absolute", &["absolute", "real", "real/one"]),
        (
            "through",
            &["lib", "lib/current", "lib/v1", "lib/v1/file", "through"],
        ),
        ("elsewhere", &["elsewhere"]),
        ("dangling", &["dangling"]),
        ("dangling/x", &["dangling"]),
        (
            "lib/c*",
            &["lib", "lib/current", "lib/v1", "lib/v1/file", "lib/v1/more"],
        ),
        (
            "lib/*/file",
            &["lib", "lib/current", "lib/v1", "lib/v1/file"],
        ),
        ("ab*", &["absolute", "real", "real/one"]),
        (
            "real/in*/m*",
            &["lib", "lib/v1", "lib/v1/more", "real", "real/inner"],
        ),
    ] {
        assert_eq!(
            told(&service, &[("followpaths", path)]).await,
            expected,
            "{path}"
        );
    }
    let all = told(&service, &[]).await;
    assert!(
        all.iter().any(|path| path == "elsewhere") && all.iter().any(|path| path == "dangling")
    );
}

#[tokio::test]
async fn links_are_followed_once_and_from_everywhere() {
    let folder = folder(&["packages/a/x", "packages/b/y"]);
    let link = |target: &str, at: &str| {
        let at = folder.path().join(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, at).unwrap();
    };
    // Packages that know each other, as package managers lay them out.
    link("../../b", "packages/a/mods/b");
    link("../../a", "packages/b/mods/a");
    link("..", "packages/a/up");
    let service = serve(folder.path(), "");
    let all = told(&service, &[]).await;
    assert_eq!(told(&service, &[("followpaths", "packages")]).await, all);
    assert_eq!(
        told(&service, &[("followpaths", "packages/a/mods/*/mods/*/x")]).await,
        [
            "packages",
            "packages/a",
            "packages/a/mods",
            "packages/a/mods/b",
            "packages/a/x",
            "packages/b",
            "packages/b/mods",
            "packages/b/mods/a"
        ]
    );
    let up = told(&service, &[("followpaths", "packages/a/up/*/up/*/up/b/y")]).await;
    assert_eq!(
        up,
        [
            "packages",
            "packages/a",
            "packages/a/up",
            "packages/b",
            "packages/b/y"
        ]
    );
}

#[tokio::test]
async fn links_that_lead_out_are_refused_by_name() {
    let folder = folder(&["in/a/file", "secret"]);
    let inside = folder.path().join("in");
    symlink("../../secret", inside.join("a/leak")).unwrap();
    let service = || serve(&inside, "");
    for ask in [
        &[][..],
        &[("followpaths", "a/leak")],
        &[("followpaths", "a/leak/deeper")],
        &[("followpaths", "*/l*")],
        &[("include-patterns", "a")],
    ] {
        let text = refused(&service(), ask).await;
        let expected = "the link `a/leak` leads out of the folder: it is a link to `../../secret`";
        assert_eq!(text, expected);
    }
    // Nobody asks for it.
    assert_eq!(
        told(&service(), &[("followpaths", "a/file")]).await,
        ["a", "a/file"]
    );
    let excluded = [("followpaths", "a/*"), ("exclude-patterns", "a/leak")];
    assert_eq!(told(&service(), &excluded).await, ["a", "a/file"]);
    assert_eq!(told(&serve(&inside, "**/leak"), &[]).await, ["a", "a/file"]);
}

#[tokio::test]
async fn links_in_a_circle_are_refused_by_name() {
    let relative = folder(&["a"]);
    symlink("fro", relative.path().join("to")).unwrap();
    symlink("to", relative.path().join("fro")).unwrap();
    let text = refused(&serve(relative.path(), ""), &[]).await;
    assert!(
        text.starts_with("the link `fro` leads in a circle"),
        "{text}"
    );
    let text = refused(&serve(relative.path(), ""), &[("followpaths", "to/x")]).await;
    assert!(
        text.starts_with("the link `to` leads in a circle"),
        "{text}"
    );

    let absolute = folder(&["a"]);
    symlink("/fro", absolute.path().join("to")).unwrap();
    symlink("/to", absolute.path().join("fro")).unwrap();
    symlink("/grows/x", absolute.path().join("grows")).unwrap();
    // As such it is the container's business.
    let service = || serve(absolute.path(), "");
    assert_eq!(told(&service(), &[]).await, ["a", "fro", "grows", "to"]);
    for (path, named) in [("to", "to"), ("f*", "fro"), ("grows", "grows")] {
        let text = refused(&service(), &[("followpaths", path)]).await;
        assert!(
            text.starts_with(&format!("the link `{named}` leads in a circle")),
            "{text}"
        );
    }
}
