//! What a build can be asked for: done, or refused by name on engines that would pass it over.

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::path::Path;

use hoist_docker::{DockerConnector, Settings};
use hoist_engine::backend::{BackendErrorKind as Kind, BuildError, BuildRequest, Built, CacheSpec};
use hoist_model::unit::Ulimit;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{build, project, request};
use crate::support::{BASE, Bed, all, answers, env, files_of, on_engine, progress, skipped, with};

const PYTHON: &str = "python:3.11-slim-bookworm";

/// The minor version of the engine's API: 41 is Docker 20.10.
async fn api(bed: &Bed) -> u32 {
    let api = bed.engine.info().await.unwrap().api;
    api.split('.').nth(1).unwrap().parse().unwrap()
}

/// What a build prints that must succeed.
async fn said(bed: &Bed, asked: BuildRequest) -> String {
    let (built, said) = build(bed, asked).await;
    built.unwrap_or_else(|error| panic!("{error}\n{said}"));
    said
}

/// That the engine refuses it, naming it.
async fn refused(bed: &Bed, asked: BuildRequest, words: &[&str]) {
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

fn dockerfile(bed: &Bed, folder: &Path, instructions: &str) -> BuildRequest {
    BuildRequest {
        dockerfile: format!("FROM {BASE}\n{instructions}\n"),
        ..request(bed, folder)
    }
}

#[tokio::test]
async fn a_secret_is_there_while_it_is_asked_for_and_nowhere_else() {
    on_engine("secret", &[BASE], async |bed| {
        let folder = project(&[]);
        let value = format!("hush-{}", uuid_like(&bed));
        let mut asked = dockerfile(
            &bed,
            folder.path(),
            "RUN --mount=type=secret,id=token tr a-z A-Z </run/secrets/token >/loud\n\
             RUN --mount=type=secret,id=other test ! -e /run/secrets/other && test ! -e /run/secrets/token",
        );
        asked.secrets = BTreeMap::from([("token".to_owned(), SecretString::from(value.clone()))]);
        // The value is no part of what the builder knows a result by.
        asked.no_cache = true;
        let (built, said) = build(&bed, asked.clone()).await;
        let image = built.unwrap_or_else(|error| panic!("{error}\n{said}"));
        assert!(!said.contains(&value), "{said}");
        let mut spec = bed.shell(&format!(
            "cat /loud; grep -rl --exclude-dir=proc --exclude-dir=sys {value} / && exit 1 || true"
        ));
        spec.image = image.id.clone();
        // The command line that looks for it holds it too.
        let ran = bed.run(&spec).await;
        assert_eq!(ran.text(), value.to_uppercase(), "{:?}", String::from_utf8_lossy(&ran.stderr));
        let archive = all(bed.engine.export_image(&image.id).await.unwrap()).await.unwrap();
        for (name, content) in files_of(&archive) {
            let found = content.windows(value.len()).any(|bytes| bytes == value.as_bytes());
            assert!(!found, "it is in {name}");
        }

        asked.dockerfile = format!(
            "FROM {BASE}\n\nRUN --mount=type=secret,id=missing,required=true cat /run/secrets/missing\n"
        );
        let (built, said) = build(&bed, asked).await;
        let error = built.expect_err(&said).to_string();
        assert!(error.contains("missing"), "{error}");
    })
    .await;
}

fn uuid_like(bed: &Bed) -> String {
    bed.unique().replace('-', "")
}

const ASKS: &str = r#"
import os, socket, struct
agent = socket.socket(socket.AF_UNIX)
agent.connect(os.environ["SSH_AUTH_SOCK"])
for number in (11, 19, 11):
    agent.sendall(struct.pack(">IB", 1, number))
    size, = struct.unpack(">I", agent.recv(4))
    print("asked", number, "got", agent.recv(size).hex())
"#;

#[tokio::test]
async fn an_ssh_agent_is_lent_for_signing_only() {
    on_engine("ssh", &[PYTHON], async |bed| {
        let folder = project(&[("asks.py", ASKS)]);
        let path = folder.path().join("agent.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        // It has no keys, and does all that it is told.
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u32().await {
                        let mut asked = vec![0; length as usize];
                        stream.read_exact(&mut asked).await.unwrap();
                        let answer: &[u8] = match asked[0] {
                            11 => &[0, 0, 0, 5, 12, 0, 0, 0, 0],
                            _ => &[0, 0, 0, 1, 6],
                        };
                        stream.write_all(answer).await.unwrap();
                    }
                });
            }
        });
        let mut asked = request(&bed, folder.path());
        asked.no_cache = true;
        asked.dockerfile =
            format!("FROM {PYTHON}\nCOPY asks.py /\nRUN --mount=type=ssh python3 /asks.py\n");
        asked.ssh = BTreeMap::from([("default".to_owned(), path)]);
        let said = said(&bed, asked.clone()).await;
        assert_eq!(said.matches("asked 11 got 0c00000000").count(), 2, "{said}");
        assert!(said.contains("asked 19 got 05"), "{said}");

        asked.ssh = BTreeMap::new();
        asked.dockerfile = asked
            .dockerfile
            .replace("type=ssh", "type=ssh,required=true");
        let (built, said) = build(&bed, asked.clone()).await;
        assert!(built.is_err(), "{said}");
        drop(UnixListener::bind(folder.path().join("dead.sock")).unwrap());
        asked.ssh = BTreeMap::from([("default".to_owned(), folder.path().join("dead.sock"))]);
        let (built, said) = build(&bed, asked).await;
        let error = built.expect_err(&said).to_string();
        assert!(error.contains("dead.sock"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn results_are_kept_and_found_where_the_engine_can() {
    on_engine("caches", &[BASE], async |bed| {
        let folder = project(&[]);
        let line = format!("RUN echo {} >/line", bed.name);
        let mut asked = dockerfile(&bed, folder.path(), &line);
        let cache = |kind: &str, reference: &str| CacheSpec {
            kind: kind.to_owned(),
            attributes: match reference {
                "" => BTreeMap::new(),
                reference => BTreeMap::from([("ref".to_owned(), reference.to_owned())]),
            },
        };
        asked.cache_to = vec![cache("inline", "")];
        let image = build(&bed, asked.clone()).await.0.unwrap();
        let archive = all(bed.engine.export_image(&image.id).await.unwrap())
            .await
            .unwrap();
        let kept = files_of(&archive).into_values().any(|content| {
            content.starts_with(b"{")
                && String::from_utf8_lossy(&content).contains("moby.buildkit.cache")
        });
        assert!(kept, "the image holds what its builder found out");

        asked.cache_to = vec![cache("local", "")];
        refused(&bed, asked.clone(), &["cache_to", "`local`", "`inline`"]).await;
        asked.cache_to = vec![];
        asked.cache_from = vec![cache("s3", "")];
        refused(&bed, asked.clone(), &["cache_from", "`s3`", "`registry`"]).await;
        let containerd = bed.engine.info().await.unwrap().containerd_images;
        if !containerd {
            asked.cache_from = vec![];
            asked.cache_to = vec![cache("registry", "127.0.0.1:5000/x")];
            refused(
                &bed,
                asked.clone(),
                &["cache_to", "`registry`", "`inline` only"],
            )
            .await;
        }

        let registry = env("HOIST_GROUND_REGISTRY").unwrap_or_else(|| "127.0.0.1:5000".to_owned());
        if containerd || !answers(&registry) {
            return skipped("caches: from a registry", "none that this engine reaches");
        }
        let tag = bed.tag(&registry);
        bed.engine.tag_image(&image.id, &tag).await.unwrap();
        let (sender, _said) = progress();
        bed.engine.push_image(&tag, &[], sender).await.unwrap();
        asked.cache_to = vec![];
        asked.cache_from = vec![cache("registry", &tag)];
        let said = said(&bed, asked).await;
        assert!(
            said.contains(&format!("importing cache manifest from {tag}")),
            "{said}"
        );
        assert!(said.contains("CACHED") && !said.contains("ERROR"), "{said}");
    })
    .await;
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
