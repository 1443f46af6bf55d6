//! What a build gets from outside of its contexts: secrets, agents, earlier results.

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;

use hoist_engine::backend::CacheSpec;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::options::{dockerfile, refused, said};
use super::{build, project, request};
use crate::support::{BASE, all, env, files_of, on_engine, progress, skipped};

const PYTHON: &str = "python:3.11-slim-bookworm";

#[tokio::test]
async fn a_secret_is_there_while_it_is_asked_for_and_nowhere_else() {
    on_engine("secret", &[BASE], async |bed| {
        let folder = project(&[]);
        let value = format!("hush-{}", bed.unique().replace('-', ""));
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
        let tag = bed.tag(&registry);
        bed.engine.tag_image(&image.id, &tag).await.unwrap();
        let (sender, _said) = progress();
        if let Err(error) = bed.engine.push_image(&tag, &[], sender).await {
            return skipped("caches: from a registry", &error.message);
        }
        asked.cache_to = vec![];
        asked.cache_from = vec![cache("registry", &tag)];
        let importing = format!("importing cache manifest from {tag}");
        let found = said(&bed, asked.clone()).await;
        assert!(found.contains(&importing), "{found}");
        assert!(
            found.contains("CACHED") && !found.contains("ERROR"),
            "{found}"
        );
        if containerd {
            let apart = tag.replace(":1", ":cache");
            asked.cache_to = vec![cache("registry", &apart)];
            asked.cache_from = vec![cache("registry", &apart)];
            let kept = said(&bed, asked).await;
            assert!(kept.contains("exporting cache to registry"), "{kept}");
        }
    })
    .await;
}
