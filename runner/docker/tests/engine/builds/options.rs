//! What a build can be asked for: done, or refused by name on engines that would pass it over.

use std::collections::BTreeMap;
use std::path::Path;

use hoist_docker::{DockerConnector, Settings};
use hoist_engine::backend::{BackendErrorKind as Kind, BuildError, BuildRequest, Built, CacheSpec};
use hoist_model::unit::Ulimit;
use secrecy::SecretString;

use super::{build, project, request};
use crate::support::{BASE, Bed, all, env, files_of, on_engine, progress, with};

/// The minor version of the engine's API: 41 is Docker 20.10.
async fn api(bed: &Bed) -> u32 {
    let api = bed.engine.info().await.unwrap().api;
    api.split('.').nth(1).unwrap().parse().unwrap()
}

/// What a build prints that must succeed.
pub(super) async fn said(bed: &Bed, asked: BuildRequest) -> String {
    let (built, said) = build(bed, asked).await;
    built.unwrap_or_else(|error| panic!("{error}\n{said}"));
    said
}

/// That the engine refuses it, naming it.
pub(super) async fn refused(bed: &Bed, asked: BuildRequest, words: &[&str]) {
    let (built, said) = build(bed, asked).await;
    match built {
        Err(BuildError::Backend(error)) => {
            assert_eq!(error.kind, Kind::Unsupported, "{error}");
            for word in words {
                assert!(error.message.contains(word), "{error}");
            }
        }
        other => panic!("{other:?}\n{said}"),
    }
    assert_eq!(said, "", "nothing was begun");
}

pub(super) fn dockerfile(bed: &Bed, folder: &Path, instructions: &str) -> BuildRequest {
    BuildRequest {
        dockerfile: format!("FROM {BASE}\n{instructions}\n"),
        ..request(bed, folder)
    }
}

#[tokio::test]
async fn hosts_of_ones_own_are_known() {
    on_engine("hosts", &[BASE], async |bed| {
        let folder = project(&[]);
        let mut asked = dockerfile(&bed, folder.path(), "RUN getent hosts db six engine");
        asked.no_cache = true;
        let hosts = [
            ("db", "10.1.2.3"),
            ("six", "[2001:db8::1]"),
            ("engine", "host-gateway"),
        ];
        asked.extra_hosts = hosts
            .map(|(host, address)| (host.to_owned(), address.to_owned()))
            .into();
        let (built, said) = build(&bed, asked).await;
        match built {
            Ok(_) => {
                for found in ["10.1.2.3 ", "2001:db8::1 "] {
                    assert!(said.contains(found), "{said}");
                }
                let ends = |line: &&str| line.ends_with(" engine") && !line.contains("RUN");
                let engine = said.lines().find(ends);
                let engine = engine.unwrap_or_else(|| panic!("{said}"));
                assert!(
                    engine.contains('.') && !engine.contains("10.1.2.3"),
                    "{engine}"
                );
            }
            // An engine without a bridge of its own has no such address.
            Err(error) => assert!(
                error.to_string().contains("host-gateway"),
                "{error}\n{said}"
            ),
        }
    })
    .await;
}

#[tokio::test]
async fn only_the_stages_that_are_named_run_again() {
    on_engine("no-cache-filter", &[BASE], async |bed| {
        let folder = project(&[]);
        let mut asked = request(&bed, folder.path());
        asked.dockerfile = format!(
            "FROM {BASE} AS kept\nRUN echo {0} >/kept\nFROM kept AS again\nRUN echo {0} >/again\n",
            bed.name
        );
        said(&bed, asked.clone()).await;
        asked.no_cache_filter = vec!["again".to_owned()];
        let (sender, said) = progress();
        let Built {
            image,
            first_executed,
        } = bed.engine.build_image(asked.clone(), sender).await.unwrap();
        bed.note(&image.id);
        let said = said.await.unwrap();
        assert!(said.contains("CACHED"), "{said}");
        let first = first_executed.expect(&said);
        assert!(first.contains("/again"), "{first}: {said}");

        asked.no_cache_filter = vec![];
        let (sender, said) = progress();
        let all_known = bed.engine.build_image(asked, sender).await.unwrap();
        bed.note(&all_known.image.id);
        assert_eq!(all_known.first_executed, None, "{}", said.await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn further_contexts_are_copied_from() {
    on_engine("contexts", &[BASE], async |bed| {
        let folder = project(&[("own.txt", "own\n")]);
        let other = project(&[
            ("theirs.txt", "theirs\n"),
            ("left.log", "x"),
            (".dockerignore", "*.log\n"),
        ]);
        let mut asked = dockerfile(
            &bed,
            folder.path(),
            "COPY own.txt /a/\nCOPY --from=other . /a/\nRUN cd /a && ls -A && cat *.txt",
        );
        asked.no_cache = true;
        asked
            .contexts
            .insert("other".to_owned(), request(&bed, other.path()).context);
        if api(&bed).await < 42 {
            return refused(&bed, asked, &["`contexts`", "Docker 23"]).await;
        }
        let said = said(&bed, asked).await;
        assert!(
            said.contains("theirs.txt") && !said.contains("left.log"),
            "{said}"
        );
    })
    .await;
}

#[tokio::test]
async fn bounds_of_instructions_hold() {
    on_engine("bounds", &[BASE], async |bed| {
        let folder = project(&[]);
        let mut memory = dockerfile(&bed, folder.path(), "RUN df -B1 --output=size /dev/shm");
        memory.no_cache = true;
        memory.shm_size = Some(96 << 20);
        let mut files = dockerfile(&bed, folder.path(), "RUN ulimit -Sn; ulimit -Hn");
        files.no_cache = true;
        let bound = Ulimit {
            soft: 321,
            hard: 654,
        };
        files.ulimits.insert("nofile".to_owned(), bound);
        if api(&bed).await < 42 {
            refused(&bed, memory, &["`shm_size`", "Docker 23"]).await;
            return refused(&bed, files, &["`ulimits`", "Docker 23"]).await;
        }
        let said_of_memory = said(&bed, memory).await;
        assert!(said_of_memory.contains("100663296"), "{said_of_memory}");
        let said_of_files = said(&bed, files).await;
        assert!(
            said_of_files.contains(" 321\n") && said_of_files.contains(" 654\n"),
            "{said_of_files}"
        );
    })
    .await;
}

#[tokio::test]
async fn the_platform_is_the_one_asked_for() {
    on_engine("platform", &[BASE], async |bed| {
        let folder = project(&[("file", "x")]);
        let own = bed.engine.info().await.unwrap().platform;
        let mut asked = dockerfile(
            &bed,
            folder.path(),
            "ARG TARGETPLATFORM\nRUN echo for $TARGETPLATFORM",
        );
        asked.no_cache = true;
        asked.platform = Some(own.clone());
        let said = said(&bed, asked.clone()).await;
        assert!(said.contains(&format!("for {own}")), "{said}");

        let other = match own.as_str() {
            "linux/arm64" => "amd64",
            _ => "arm64",
        };
        asked.dockerfile = "FROM scratch\nCOPY file /\n".to_owned();
        asked.platform = Some(format!("linux/{other}"));
        let (built, said) = build(&bed, asked).await;
        let image = built.unwrap_or_else(|error| panic!("{error}\n{said}"));
        let archive = all(bed.engine.export_image(&image.id).await.unwrap()).await;
        let for_other = files_of(&archive.unwrap()).into_values().any(|content| {
            let architecture = format!("\"architecture\":\"{other}\"");
            String::from_utf8_lossy(&content).contains(&architecture)
        });
        assert!(for_other, "{said}");
    })
    .await;
}

#[tokio::test]
async fn two_clones_give_one_image_where_the_engine_can() {
    on_engine("reproducible", &[BASE], async |bed| {
        let mut made = Vec::new();
        for _ in 0..2 {
            let folder = project(&[("a/b.txt", "b")]);
            let mut asked = dockerfile(
                &bed,
                folder.path(),
                "COPY . /src\nARG SOURCE_DATE_EPOCH\nRUN mkdir /made && touch /made/$SOURCE_DATE_EPOCH",
            );
            asked.no_cache = true;
            asked.source_date_epoch = Some(1_700_000_000);
            asked.labels = BTreeMap::new();
            let (built, said) = build(&bed, asked).await;
            let image = built.unwrap_or_else(|error| panic!("{error}\n{said}"));
            let mut spec = bed.shell("ls /made; stat -c %Y /src/a/b.txt /made");
            spec.image = image.id.clone();
            made.push((image, said, bed.run(&spec).await.text()));
            tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        }
        let [(first, said, printed), (second, ..)] = made.as_slice() else {
            panic!("two were made")
        };
        assert!(printed.starts_with("1700000000\n1700000000\n"), "{printed}");
        let info = bed.engine.info().await.unwrap();
        if api(&bed).await >= 45 && info.containerd_images {
            assert_eq!(first.id, second.id, "{said}");
            assert_eq!(printed, "1700000000\n1700000000\n1700000000\n");
        } else {
            assert!(said.contains("WARNING: not the same from every clone"), "{said}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_dockerfile_of_the_same_size_is_another_one() {
    on_engine("same-size", &[BASE], async |bed| {
        let folder = project(&[]);
        for word in ["first", "other"] {
            let mut asked = dockerfile(&bed, folder.path(), &format!("RUN echo the {word} one"));
            asked.no_cache = true;
            let said = said(&bed, asked).await;
            assert!(said.contains(&format!("the {word} one")), "{said}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_classic_builder_refuses_what_it_cannot_do() {
    let settings = Settings {
        docker_buildkit: Some("0".to_owned()),
        ..Settings::read(env)
    };
    let connector = DockerConnector::new(settings);
    with(connector, "classic-refuses", &[BASE], async |bed| {
        let folder = project(&[]);
        let plain = || dockerfile(&bed, folder.path(), "RUN true");
        let text = || "x".to_owned();
        let cache = || CacheSpec {
            kind: text(),
            attributes: BTreeMap::new(),
        };
        let bound = Ulimit { soft: 1, hard: 1 };
        let cases = [
            (
                "contexts",
                BuildRequest {
                    contexts: [(text(), plain().context)].into(),
                    ..plain()
                },
            ),
            (
                "secrets",
                BuildRequest {
                    secrets: [(text(), SecretString::from("x"))].into(),
                    ..plain()
                },
            ),
            (
                "ssh",
                BuildRequest {
                    ssh: [(text(), "/x".into())].into(),
                    ..plain()
                },
            ),
            (
                "cache_from",
                BuildRequest {
                    cache_from: vec![cache()],
                    ..plain()
                },
            ),
            (
                "cache_to",
                BuildRequest {
                    cache_to: vec![cache()],
                    ..plain()
                },
            ),
            (
                "no_cache_filter",
                BuildRequest {
                    no_cache_filter: vec![text()],
                    ..plain()
                },
            ),
            (
                "platforms",
                BuildRequest {
                    platform: Some(text()),
                    ..plain()
                },
            ),
            (
                "extra_hosts",
                BuildRequest {
                    extra_hosts: [(text(), text())].into(),
                    ..plain()
                },
            ),
            (
                "ulimits",
                BuildRequest {
                    ulimits: [(text(), bound)].into(),
                    ..plain()
                },
            ),
            (
                "reproducible",
                BuildRequest {
                    source_date_epoch: Some(1),
                    ..plain()
                },
            ),
        ];
        for (name, asked) in cases {
            refused(&bed, asked, &[&format!("`{name}`"), "BuildKit"]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_engine_has_is_not_sent_again() {
    on_engine("unchanged", &[BASE], async |bed| {
        let folder = project(&[("one.txt", "1"), ("two.txt", "2"), ("three/3.txt", "3")]);
        let all = || dockerfile(&bed, folder.path(), "COPY . /src");
        let one = || dockerfile(&bed, folder.path(), "COPY one.txt /src/");
        for (asked, expected) in [
            (all(), "sent 3 of 4 "),
            (all(), "sent 0 of 4 "),
            (one(), "sent 1 of 1 "),
            (one(), "sent 0 of 1 "),
            (all(), "sent 0 of 4 "),
        ] {
            let said = said(&bed, asked).await;
            assert!(said.contains(expected), "{expected}: {said}");
        }
        std::fs::write(folder.path().join("two.txt"), "other").unwrap();
        let said = said(&bed, all()).await;
        assert!(said.contains("sent 1 of 4 "), "{said}");
    })
    .await;
}
