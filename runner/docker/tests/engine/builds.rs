//! Builds on the engine's own builder.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use hoist_docker::{DockerConnector, Settings};
use hoist_engine::backend::{BackendErrorKind as Kind, BuildError, BuildRequest, ContextFolder};
use hoist_model::ignore::IgnoreFile;
use hoist_model::image::ImageIdentity;
use hoist_model::reason::Instruction;
use hoist_model::unit::Network;
use tempfile::TempDir;

mod ends;
mod options;
mod outside;
mod ways;

use crate::support::{BASE, Bed, all, env, files_of, locked_registry, on_engine, progress, with};

/// A project's folder with these files.
fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn request(bed: &Bed, folder: &Path) -> BuildRequest {
    let ignore = fs::read_to_string(folder.join(".dockerignore")).unwrap_or_default();
    BuildRequest {
        shared_key: folder.display().to_string(),
        context: ContextFolder::new(folder, IgnoreFile::parse(&ignore).unwrap()),
        dockerfile: fs::read_to_string(folder.join("Dockerfile")).unwrap_or_default(),
        dockerfile_shown: "app/Dockerfile".to_owned(),
        tags: vec![bed.tag("")],
        labels: bed.labels(),
        ..BuildRequest::default()
    }
}

async fn build(bed: &Bed, request: BuildRequest) -> (Result<ImageIdentity, BuildError>, String) {
    let (sender, said) = progress();
    let built = bed.engine.build_image(request, sender).await;
    let built = built.map(|built| built.image);
    if let Ok(image) = &built {
        bed.note(&image.id);
    }
    (built, said.await.unwrap())
}

async fn failure(bed: &Bed, dockerfile: &str) -> (String, Option<Instruction>, String) {
    let folder = project(&[("Dockerfile", dockerfile)]);
    let (built, said) = build(bed, request(bed, folder.path())).await;
    match built.expect_err("it fails") {
        BuildError::Failed {
            message,
            instruction,
        } => (message, instruction, said),
        other => panic!("{other:?}\n{said}"),
    }
}

const STAGES: &str = "\
FROM debian:bookworm-slim AS base
ARG FLAVOUR=plain
RUN echo $FLAVOUR >/flavour

FROM base AS test
COPY app.txt .
RUN cat app.txt && echo tested >/tested

FROM base AS production
COPY . /app
LABEL of=file
";

#[tokio::test]
async fn stages_arguments_labels_and_names() {
    on_engine("stages", &[BASE], async |bed| {
        let app = format!("the app of {}\n", bed.name);
        let folder = project(&[("Dockerfile", STAGES), ("app.txt", &app)]);
        let mut asked = request(&bed, folder.path());
        asked.target = Some("test".to_owned());
        asked
            .args
            .insert("FLAVOUR".to_owned(), "a b & c".to_owned());
        asked.tags.push(bed.tag(""));
        asked
            .labels
            .insert("dev.hoist.test.more".to_owned(), "x=y \"z\"".to_owned());
        let (built, said) = build(&bed, asked.clone()).await;
        let image = built.unwrap_or_else(|error| panic!("{error}\n{said}"));
        for tag in &asked.tags {
            let named = bed.engine.inspect_image(tag).await.unwrap().unwrap();
            assert_eq!(named.id, image.id);
            assert!(image.tags.contains(tag), "{:?}", image.tags);
        }
        assert!(
            image
                .config_digest
                .as_ref()
                .is_some_and(|digest| digest.starts_with("sha256:"))
        );
        assert!(said.contains("the app"), "{said}");
        assert!(
            !said.contains('\u{1b}') && !said.contains("COPY . /app"),
            "{said}"
        );

        let mut spec = bed.shell("cat /flavour /tested");
        spec.image = image.id.clone();
        let ran = bed.run(&spec).await;
        assert_eq!(ran.text(), "a b & c\ntested\n");
        let info = bed
            .engine
            .inspect_container(&ran.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(info.image, image.id);
        assert_eq!(info.labels["dev.hoist.test.more"], "x=y \"z\"");

        // The digest is the one that the image's archive names.
        let digest = image.config_digest.clone().expect("it is known");
        let archive = all(bed.engine.export_image(&image.id).await.unwrap()).await;
        let files = files_of(&archive.unwrap());
        let manifest = String::from_utf8_lossy(&files["manifest.json"]);
        assert!(
            manifest.contains(digest.trim_start_matches("sha256:")),
            "{digest}: {manifest}"
        );

        // Again: nothing runs, and the image is the same.
        let (again, said) = build(&bed, asked).await;
        let again = again.unwrap();
        assert_eq!(again.id, image.id, "{said}");
        assert_eq!(again.config_digest, image.config_digest, "{said}");
        assert!(said.to_lowercase().contains("cache"), "{said}");
        assert!(!said.contains("the app"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn an_entrypoint_holds_unless_it_is_cleared() {
    on_engine("entrypoint", &[BASE], async |bed| {
        let dockerfile = format!("FROM {BASE}\nENTRYPOINT [\"echo\", \"entry\"]\nCMD [\"own\"]\n");
        let folder = project(&[("Dockerfile", &dockerfile)]);
        let image = build(&bed, request(&bed, folder.path())).await.0.unwrap();
        for (entrypoint, command, text) in [
            (None, None, "entry own\n"),
            (None, Some(vec!["given"]), "entry given\n"),
            (Some(vec![]), Some(vec!["echo", "bare"]), "bare\n"),
            (Some(vec!["echo", "other"]), None, "other\n"),
        ] {
            let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
            let mut spec = bed.shell("");
            spec.image = image.id.clone();
            spec.entrypoint = entrypoint.map(owned);
            spec.command = command.map(owned);
            assert_eq!(bed.run(&spec).await.text(), text);
        }
    })
    .await;
}

#[tokio::test]
async fn bases_come_from_registries_when_asked_to_and_with_a_password() {
    let name = "bases";
    let Some(locked) = locked_registry(name) else {
        return;
    };
    on_engine(name, &[BASE], async |bed| {
        let engine = &bed.engine;
        let logins = [locked.clone()];
        let base = bed.tag(&locked.registry);
        let push = async |marker: &str| {
            let folder = project(&[(
                "Dockerfile",
                &format!("FROM {BASE}\nRUN echo {marker} >/which\n"),
            )]);
            let image = build(&bed, request(&bed, folder.path())).await.0.unwrap();
            engine.tag_image(&image.id, &base).await.unwrap();
            let (sender, _said) = progress();
            engine.push_image(&base, &logins, sender).await.unwrap();
            image
        };
        let (old, new) = (format!("old-{}", bed.name), format!("new-{}", bed.name));
        let first = push(&old).await;
        push(&new).await;
        // The name stands for the old one here and for the new one there.
        engine.tag_image(&first.id, &base).await.unwrap();
        let folder = project(&[("Dockerfile", &format!("FROM {base}\nRUN cat /which\n"))]);
        let mut asked = request(&bed, folder.path());
        let (built, said) = build(&bed, asked.clone()).await;
        assert!(built.is_ok() && said.contains(&old), "{said}");

        asked.pull = true;
        let error = build(&bed, asked.clone()).await.0.unwrap_err();
        assert!(
            matches!(&error, BuildError::Backend(error) if error.kind == Kind::Unauthorized),
            "{error:?}"
        );
        asked.logins = logins.to_vec();
        let (built, said) = build(&bed, asked).await;
        assert!(built.is_ok() && said.contains(&new), "{said}");
    })
    .await;
}

#[tokio::test]
async fn a_build_can_begin_anew_and_without_a_network() {
    on_engine("no-cache", &[BASE], async |bed| {
        let dockerfile = format!("FROM {BASE}\nRUN ls /sys/class/net; date +%N >/once\n");
        let folder = project(&[("Dockerfile", &dockerfile)]);
        let mut asked = request(&bed, folder.path());
        let (first, _) = build(&bed, asked.clone()).await;
        asked.no_cache = true;
        asked.network = Some(Network::None);
        let (second, said) = build(&bed, asked.clone()).await;
        assert_ne!(first.unwrap().id, second.unwrap().id);
        assert!(said.contains(" lo\n") && !said.contains("eth0"), "{said}");
        asked.network = Some(Network::Bridge);
        let (third, said) = build(&bed, asked).await;
        assert!(third.is_ok() && said.contains("eth0"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn ignored_files_stay_out_and_the_dockerfile_is_none_of_them() {
    on_engine("ignore", &[BASE], async |bed| {
        let dockerfile =
            format!("FROM {BASE}\nCOPY . /app\nRUN cd /app && find . -type f | sort\n");
        let folder = project(&[
            ("Dockerfile", &dockerfile),
            (".dockerignore", "*.log\nsecret\n!keep.log\nDockerfile\n"),
            ("a.txt", "a"),
            ("b.log", "b"),
            ("keep.log", "k"),
            ("secret/key", "s"),
        ]);
        let mut asked = request(&bed, folder.path());
        asked.no_cache = true;
        let (built, said) = build(&bed, asked).await;
        assert!(built.is_ok(), "{said}");
        for (file, there) in [
            ("./a.txt", true),
            ("./keep.log", true),
            ("./b.log", false),
            ("./secret/key", false),
            ("./Dockerfile", false),
        ] {
            assert_eq!(said.contains(file), there, "{file}: {said}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_context_that_cannot_be_sent_is_explained() {
    on_engine("unsendable", &[BASE], async |bed| {
        let folder = project(&[("Dockerfile", &format!("FROM {BASE}\nCOPY . /app\n"))]);
        let name = std::ffi::OsStr::from_bytes(b"no-text-\xff");
        fs::write(folder.path().join(name), "x").unwrap();
        let (built, said) = build(&bed, request(&bed, folder.path())).await;
        let BuildError::Context(trouble) = built.unwrap_err() else {
            panic!("{said}");
        };
        assert!(trouble.what.contains("no-text-"), "{trouble:?}");
    })
    .await;
}

#[tokio::test]
async fn the_classic_builder_builds_the_same() {
    let settings = Settings {
        docker_buildkit: Some("0".to_owned()),
        ..Settings::read(env)
    };
    let connector = DockerConnector::new(settings);
    with(connector, "classic", &[BASE], async |bed| {
        assert!(!bed.engine.info().await.unwrap().buildkit);
        let app = format!("the app of {}\n", bed.name);
        let folder = project(&[
            ("Dockerfile", STAGES),
            ("app.txt", &app),
            (".dockerignore", "Dockerfile\n"),
        ]);
        let mut asked = request(&bed, folder.path());
        asked.args.insert("FLAVOUR".to_owned(), bed.name.clone());
        asked.tags.push(bed.tag(""));
        let (built, said) = build(&bed, asked.clone()).await;
        let image = built.unwrap_or_else(|error| panic!("{error}\n{said}"));
        for tag in &asked.tags {
            assert!(image.tags.contains(tag), "{:?}", image.tags);
        }
        assert!(said.contains(&app), "{said}");
        let mut spec = bed.shell("cat /flavour; ls /app");
        spec.image = image.id.clone();
        assert_eq!(
            bed.run(&spec).await.text(),
            format!("{}\napp.txt\n", bed.name)
        );

        let dockerfile = format!(
            "FROM {BASE}\n\nRUN echo the part {} && \\\n    exit 3\n",
            bed.name
        );
        let (message, instruction, said) = failure(&bed, &dockerfile).await;
        let instruction = instruction.unwrap_or_else(|| panic!("{message}\n{said}"));
        assert_eq!(instruction.line, Some(3), "{message}");
        assert!(
            message.contains('3') && message.contains("the part"),
            "{message}"
        );
        let (message, instruction, _) = failure(&bed, &format!("FROM {BASE}\nRUM x\n")).await;
        assert_eq!(instruction.expect(&message).line, Some(2), "{message}");
        let dockerfile = format!("FROM {BASE}\nRUN --mount=type=cache,target=/x true\n");
        let (message, _, _) = failure(&bed, &dockerfile).await;
        assert!(message.contains("needs"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn a_failing_instruction_is_found_with_its_last_output() {
    on_engine("failing", &[BASE], async |bed| {
        let dockerfile = format!(
            "FROM {BASE} AS one\nRUN true\n\nFROM one\nARG WORD=broken\n\
             RUN echo before && \\\n    echo the part is $WORD >&2 && exit 3\nRUN true\n"
        );
        let (message, instruction, said) = failure(&bed, &dockerfile).await;
        let instruction = instruction.unwrap_or_else(|| panic!("{message}\n{said}"));
        assert_eq!(
            (instruction.file.as_str(), instruction.line),
            ("app/Dockerfile", Some(6))
        );
        assert!(
            instruction.text.starts_with("RUN echo before && \\\n"),
            "{instruction:?}"
        );
        assert!(
            message.contains('3') && message.contains("the part is broken"),
            "{message}"
        );
        assert!(!message.starts_with("failed to solve"), "{message}");
        assert!(said.contains("before"), "{said}");

        let (message, instruction, said) = failure(
            &bed,
            &format!("FROM {BASE}\nWORKDIR /x\nCOPY missing.txt /\n"),
        )
        .await;
        let instruction = instruction.unwrap_or_else(|| panic!("{message}\n{said}"));
        assert_eq!(instruction.line, Some(3), "{message}");
        assert!(message.contains("missing.txt"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn a_dockerfile_that_is_none_is_refused_with_its_line() {
    on_engine("parse-error", &[BASE], async |bed| {
        let (message, instruction, _) = failure(&bed, &format!("FROM {BASE}\n\nRUM true\n")).await;
        assert_eq!(instruction.expect(&message).line, Some(3), "{message}");
        assert!(message.to_lowercase().contains("rum"), "{message}");
        let (message, _, _) = failure(&bed, "").await;
        assert!(message.contains("empty"), "{message}");
        // Without a registry that is as much the surroundings' fault as the file's.
        let dockerfile = format!("FROM {BASE}\nCOPY --from=nowhere /a /b\n");
        let folder = project(&[("Dockerfile", &dockerfile)]);
        let error = build(&bed, request(&bed, folder.path()))
            .await
            .0
            .unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn newer_syntax_works_or_is_said_to_be_newer() {
    on_engine("newer-syntax", &[BASE], async |bed| {
        let api: Vec<u32> = bed
            .engine
            .info()
            .await
            .unwrap()
            .api
            .split('.')
            .map(|n| n.parse().unwrap())
            .collect();
        for instruction in [
            "RUN <<DONE\necho several\necho lines\nDONE",
            "COPY --link Dockerfile /x",
            "COPY <<DONE /text\nsome text\nDONE",
        ] {
            let folder = project(&[("Dockerfile", &format!("FROM {BASE}\n{instruction}\n"))]);
            let (built, said) = build(&bed, request(&bed, folder.path())).await;
            match built {
                Ok(_) => assert!(api[1] > 41, "{said}"),
                Err(BuildError::Failed {
                    message,
                    instruction,
                }) => {
                    assert_eq!(api[1], 41, "{message}");
                    assert!(message.contains("needs a newer Docker"), "{message}");
                    assert!(
                        instruction.is_some_and(|one| one.line >= Some(2)),
                        "{message}"
                    );
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_syntax_line_that_cannot_be_followed_is_explained() {
    on_engine("syntax-line", &[BASE], async |bed| {
        let dockerfile = format!("# syntax=127.0.0.1:1/dockerfile:1\nFROM {BASE}\n");
        let folder = project(&[("Dockerfile", &dockerfile)]);
        let error = build(&bed, request(&bed, folder.path()))
            .await
            .0
            .unwrap_err();
        let BuildError::Backend(error) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.kind, Kind::Registry, "{error}");
        assert!(error.message.contains("without that line"), "{error}");
    })
    .await;
}
