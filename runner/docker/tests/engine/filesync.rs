//! What of a folder arrives in an image, and what of it is sent again: through the engine's own
//! BuildKit, which is skipped by name where the engine has none.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use hoist_engine::backend::{BuildError, BuildRequest, ContextFolder};
use hoist_model::ignore::IgnoreFile;
use tempfile::TempDir;

use crate::support::{BASE, Bed, on_engine, progress, skipped};

/// A folder with these files, each with its name as content; a name that ends in `/` is a folder.
fn folder(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let path = folder.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name.as_bytes()).unwrap();
        }
    }
    folder
}

fn request(bed: &Bed, folder: &Path, rules: &str, copies: &str) -> BuildRequest {
    BuildRequest {
        shared_key: folder.display().to_string(),
        context: ContextFolder::new(folder, IgnoreFile::parse(rules).unwrap()),
        dockerfile: format!("FROM {BASE}\n{copies}\n"),
        dockerfile_shown: "Dockerfile".to_owned(),
        tags: vec![bed.tag("")],
        labels: bed.labels(),
        ..BuildRequest::default()
    }
}

/// Runs a test on the engine in use, if it has BuildKit.
async fn with_buildkit<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Arc<Bed>) -> F) {
    on_engine(name, &[BASE], async |bed| {
        match bed.engine.info().await.unwrap().buildkit {
            true => test(bed).await,
            false => skipped(name, "the engine has no BuildKit"),
        }
    })
    .await;
}

/// Builds, and gives what a shell script says in the image.
async fn build_and_run(bed: &Bed, request: BuildRequest, script: &str) -> String {
    let (sender, said) = progress();
    let built = bed.engine.build_image(request, sender).await;
    let said = said.await.unwrap();
    let image = built
        .unwrap_or_else(|error| panic!("{error}\n{said}"))
        .image;
    bed.note(&image.id);
    let mut spec = bed.shell(script);
    spec.image = image.id;
    let ran = bed.run(&spec).await;
    assert_eq!(ran.code, 0, "{}", String::from_utf8_lossy(&ran.stderr));
    ran.text()
}

/// The trouble with a folder that cannot be sent.
async fn refused(bed: &Bed, request: BuildRequest) -> String {
    let (sender, said) = progress();
    let built = bed.engine.build_image(request, sender).await;
    let said = said.await.unwrap();
    match built.map(|built| built.image.id) {
        Err(BuildError::Context(trouble)) => trouble.to_string(),
        other => panic!("{other:?}\n{said}"),
    }
}

/// Paths with kind, permissions and where links lead, folders with a slash.
const LIST: &str =
    r"cd /out && find . -mindepth 1 -printf '%P %y %m %l\0' | sort -z | tr '\0' '\n'";

#[tokio::test]
async fn copies_are_what_the_dockerfile_says() {
    with_buildkit("copies", async |bed| {
        let long = "l".repeat(255);
        let folder = folder(&[
            "src/a.txt",
            "src/b.md",
            "src/c.txt",
            "src/deep/d.txt",
            "unused/x",
            "empty/inner/",
            "links/real",
            "tool",
            "odd/ spaces ",
            "odd/quotes\"'",
            "odd/ünï 雪",
            "odd/new\nline",
            "odd/[x]*",
            &format!("odd/{long}"),
        ]);
        let at = |name: &str| folder.path().join(name);
        symlink("real", at("links/soft")).unwrap();
        symlink("../src", at("links/up")).unwrap();
        symlink("/etc/hostname", at("links/absolute")).unwrap();
        symlink("src/a.txt", at("to-file")).unwrap();
        symlink("src", at("to-folder")).unwrap();
        fs::set_permissions(at("tool"), fs::Permissions::from_mode(0o4751)).unwrap();
        fs::set_permissions(at("empty/inner"), fs::Permissions::from_mode(0o1770)).unwrap();
        fs::set_permissions(at("src/b.md"), fs::Permissions::from_mode(0o600)).unwrap();
        let copies = r#"
COPY src/*.txt /out/globs/
COPY to-file tool /out/files/
COPY to-folder/deep /out/through/
COPY links /out/links/
COPY empty /out/empty/
COPY odd /out/odd/
COPY ["odd/ spaces ", "odd/ünï 雪", "odd/[[]x]*", "/out/named/"]
"#;
        let script = format!("{LIST}; cat /out/files/to-file '/out/odd/[x]*'");
        let listed = build_and_run(&bed, request(&bed, folder.path(), "", copies), &script).await;
        let mut expected = vec![
            "empty d 755 ".to_owned(),
            "empty/inner d 1770 ".to_owned(),
            "files d 755 ".to_owned(),
            "files/to-file f 644 ".to_owned(),
            "files/tool f 4751 ".to_owned(),
            "globs d 755 ".to_owned(),
            "globs/a.txt f 644 ".to_owned(),
            "globs/c.txt f 644 ".to_owned(),
            "links d 755 ".to_owned(),
            "links/absolute l 777 /etc/hostname".to_owned(),
            "links/real f 644 ".to_owned(),
            "links/soft l 777 real".to_owned(),
            "links/up l 777 ../src".to_owned(),
            "named d 755 ".to_owned(),
            "named/ spaces  f 644 ".to_owned(),
            "named/[x]* f 644 ".to_owned(),
            "named/ünï 雪 f 644 ".to_owned(),
            "odd d 755 ".to_owned(),
            "odd/ spaces  f 644 ".to_owned(),
            "odd/[x]* f 644 ".to_owned(),
            format!("odd/{long} f 644 "),
            "odd/new\nline f 644 ".to_owned(),
            "odd/quotes\"' f 644 ".to_owned(),
            "odd/ünï 雪 f 644 ".to_owned(),
            "through d 755 ".to_owned(),
            "through/d.txt f 644 ".to_owned(),
        ];
        expected.sort();
        let expected = format!("{}\nsrc/a.txtodd/[x]*", expected.join("\n"));
        assert_eq!(listed, expected);
    })
    .await;
}

#[tokio::test]
async fn ignore_rules_and_what_they_take_back() {
    with_buildkit("taken-back", async |bed| {
        let folder = folder(&[
            "a/b/keep",
            "a/b/drop",
            "a/x",
            "docs/README.md",
            "docs/other.md",
            "top.md",
            "bin/tool",
            ".dockerignore",
        ]);
        let rules = "**/*.md\n!docs/README.md\na\n!a/b/keep\nbin\n";
        let request = request(&bed, folder.path(), rules, "COPY . /out/");
        let listed = build_and_run(&bed, request, LIST).await;
        let expected = [
            ".dockerignore f 644 ",
            "a d 755 ",
            "a/b d 755 ",
            "a/b/keep f 644 ",
            "docs d 755 ",
            "docs/README.md f 644 ",
            "",
        ];
        assert_eq!(listed, expected.join("\n"));
    })
    .await;
}

#[tokio::test]
async fn many_files_are_asked_for_at_once() {
    with_buildkit("many", async |bed| {
        let names: Vec<String> = (0..12_000)
            .map(|name| format!("{}/{name}", name % 100))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let folder = folder(&names);
        let request = request(&bed, folder.path(), "", "COPY . /out/");
        let script = "find /out -type f | wc -l; cat $(find /out -type f) | wc -c";
        let counted = build_and_run(&bed, request, script).await;
        let bytes: usize = names.iter().map(|name| name.len()).sum();
        assert_eq!(counted, format!("12000\n{bytes}\n"));
    })
    .await;
}

/// Together they are longer than what the headers of a call may be by default. They are few: BuildKit
/// of Docker 20.10 looks at all of them at once, and on a busy machine it gives up at sixty of them
/// ("flightcontrol: exceeded retry timeout") every other time.
#[tokio::test]
async fn long_names_are_asked_for() {
    with_buildkit("long", async |bed| {
        let deep = [&*"l".repeat(240); 5].join("/");
        let names: Vec<String> = (0..14).map(|name| format!("{deep}/{name}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let folder = folder(&names);
        let copies = format!("COPY {} /out/", names.join(" "));
        let request = request(&bed, folder.path(), "", &copies);
        let counted = build_and_run(&bed, request, "find /out -type f | wc -l").await;
        assert_eq!(counted, "14\n");
    })
    .await;
}

/// Writes a file as if nothing had happened: of the same size and with the same time.
fn write_unseen(path: &Path, content: &str) {
    let before = fs::metadata(path).unwrap();
    assert_eq!(before.len(), u64::try_from(content.len()).unwrap());
    fs::write(path, content).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
}

/// What the engine has it does not ask for: a change that does not show is not in the image.
#[tokio::test]
async fn only_what_changed_is_sent_again() {
    with_buildkit("again", async |bed| {
        let folder = folder(&["a", "b", "sub/c"]);
        let at = |name: &str| folder.path().join(name);
        let build = async |round: u32| {
            let copies = format!("COPY . /out/\nRUN : {round}");
            let request = request(&bed, folder.path(), "", &copies);
            build_and_run(&bed, request, "cat /out/a /out/b /out/sub/c").await
        };
        assert_eq!(build(1).await, "absub/c");
        write_unseen(&at("a"), "A");
        write_unseen(&at("b"), "B");
        write_unseen(&at("sub/c"), "SUB/C");
        assert_eq!(build(2).await, "absub/c");
        fs::write(at("b"), "B").unwrap();
        assert_eq!(build(3).await, "aBsub/c");
        fs::remove_file(at("a")).unwrap();
        fs::write(at("a"), "new").unwrap();
        assert_eq!(build(4).await, "newBsub/c");
    })
    .await;
}

#[tokio::test]
async fn clamped_files_are_never_old_ones() {
    with_buildkit("clamped", async |bed| {
        let folder = folder(&["file", "old"]);
        let old = fs::File::open(folder.path().join("old")).unwrap();
        old.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000))
            .unwrap();
        for content in ["one1", "two2"] {
            fs::write(folder.path().join("file"), content).unwrap();
            let mut request = request(&bed, folder.path(), "", "COPY . /out/");
            request.source_date_epoch = Some(1_500_000_000);
            let script = "cat /out/file; stat -c ' %Y' /out/file /out/old";
            let said = build_and_run(&bed, request, script).await;
            assert_eq!(said, format!("{content} 1500000000\n 1000000\n"));
        }
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_named() {
    with_buildkit("named", async |bed| {
        let out = folder(&["a/file"]);
        symlink("../../secret", out.path().join("a/leak")).unwrap();
        for copy in ["COPY . /out/", "COPY a/l* /out/"] {
            let text = refused(&bed, request(&bed, out.path(), "", copy)).await;
            assert!(
                text.contains("the link `a/leak` leads out of the folder"),
                "{text}"
            );
        }
        let circle = folder(&["a/file"]);
        symlink("a", circle.path().join("a/a")).unwrap();
        let text = refused(&bed, request(&bed, circle.path(), "", "COPY . /out/")).await;
        assert!(text.contains("the link `a/a` leads in a circle"), "{text}");

        let odd = folder(&["a/file"]);
        let name = std::ffi::OsStr::from_bytes(b"odd-\xff");
        fs::write(odd.path().join("a").join(name), "").unwrap();
        let text = refused(&bed, request(&bed, odd.path(), "", "COPY . /out/")).await;
        assert!(text.contains("a/odd-\u{fffd}` cannot be sent"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_grows_under_way_is_named() {
    with_buildkit("grows", async |bed| {
        let folder = folder(&["a", "log/growing"]);
        // It takes a while to send.
        let growing = fs::File::create(folder.path().join("log/growing")).unwrap();
        growing.set_len(512 << 20).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (stop, path) = (Arc::clone(&stop), folder.path().join("log/growing"));
            std::thread::spawn(move || {
                let mut file = fs::File::options().append(true).open(path).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    std::io::Write::write_all(&mut file, b"more\n").unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
            })
        };
        let text = refused(&bed, request(&bed, folder.path(), "", "COPY . /out/")).await;
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        assert!(text.contains("`log/growing` changed"), "{text}");
    })
    .await;
}
