//! What is found in Dockerfiles, and that anything can be read.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const FILE: &str = "\
# syntax=docker/dockerfile:1
# a comment
ARG VERSION=1
FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS Deps
RUN apt-get update \\
    # a comment in between
    && apt-get install -y \\

       make
WORKDIR /src

FROM deps as test
COPY . .
RUN <<EOF
make test
EOF
env X=$VERSION
run make $X
FROM scratch
COPY --from=test /a /b
";

fn line(name: &str) -> Option<usize> {
    Dockerfile::parse(FILE).named(name).map(|one| one.line)
}

#[test]
fn builders_names_lead_to_lines() {
    assert_eq!(
        line("[deps 1/3] FROM docker.io/library/debian:bookworm-slim"),
        Some(4)
    );
    assert_eq!(
        line("[deps 2/3] RUN apt-get update     && apt-get install -y        make"),
        Some(5)
    );
    assert_eq!(line("[deps 3/3] WORKDIR /src"), Some(10));
    assert_eq!(line("[test 1/3] COPY . ."), Some(13));
    assert_eq!(line("[test 2/3] RUN <<EOF (make test)"), Some(14));
    // Its variables are filled in, so only its place tells.
    assert_eq!(line("[linux/amd64 test 3/3] RUN make 1"), Some(18));
    assert_eq!(line("[stage-2 1/1] COPY --from=test /a /b"), Some(20));
}

#[test]
fn the_first_instruction_of_several_is_found() {
    let file = Dockerfile::parse(FILE);
    let names = [
        "[internal] load build context",
        "[test 3/3] RUN make 1",
        "[deps 1/3] FROM docker.io/library/debian:bookworm-slim",
        "[test 1/3] COPY . .",
        "exporting to image",
    ]
    .map(str::to_owned);
    assert_eq!(file.first(&names), Some("[test 1/3] COPY . ."));
    assert_eq!(file.first(&[]), None);
}

#[test]
fn names_without_a_place_are_found_by_their_words() {
    assert_eq!(line("RUN make $X"), Some(18));
    assert_eq!(
        line("RUN apt-get update && apt-get install -y make"),
        Some(5)
    );
    assert_eq!(line("[test 1/3] RUN other"), None);
    assert_eq!(
        line("[internal] load metadata for docker.io/library/debian"),
        None
    );
    assert_eq!(line("[test 0/3] COPY x"), None);
    // As another file calls a step that both share.
    assert_eq!(line("[elsewhere 7/9] COPY . ."), Some(13));
    assert_eq!(line("[test 1/3] COPY . /other"), None);
    assert_eq!(line(""), None);
}

#[test]
fn instructions_keep_their_text_and_span() {
    let file = Dockerfile::parse(FILE);
    assert_eq!(file.syntax.as_deref(), Some("docker/dockerfile:1"));
    let run = file.at_line(15).unwrap();
    assert!(run.heredoc);
    assert_eq!(run.text, "RUN <<EOF\nmake test\nEOF");
    assert_eq!(file.at_line(8).map(|one| one.line), Some(5));
    assert_eq!(
        file.from("debian:bookworm-slim").map(|one| one.line),
        Some(4)
    );
    assert!(file.at_line(1).is_none() && file.at_line(99).is_none());
}

#[test]
fn anything_can_be_read() {
    for text in [
        "",
        "\\",
        "RUN <<EOF",
        "FROM",
        "FROM --x",
        "\u{0}[ / ]",
        "RUN \\\n\\\n# x",
        "FROM a AS a\nFROM a AS a\nCOPY --from=a x y\nCOPY --from=9 x y\nFROM b AS c\nCOPY --from=c",
        "ARG\nARG =\nENV\nFROM $\nFROM ${\nFROM \"\nADD\nADD --x\nCOPY --from=\nRUN --mount=",
    ] {
        let file = Dockerfile::parse(text);
        for name in [
            "[",
            "[]",
            "[x] ",
            "[/] RUN",
            "[9/9] RUN x",
            "[stage-x 1/1] RUN",
        ] {
            assert!(file.named(name).is_none_or(|one| one.line == 1));
            let platforms = Platforms {
                build: "",
                target: "",
            };
            let (args, contexts) = (BTreeMap::new(), BTreeSet::new());
            let found = file.elsewhere(Some(name), &args, &contexts, platforms);
            assert!(found.len() < 8);
        }
    }
}

fn names(text: &str) -> Vec<String> {
    let stages = Dockerfile::parse(text).stages();
    let names = stages.into_iter().map(|stage| stage.name);
    names.map(Option::unwrap_or_default).collect()
}

#[test]
fn stages_are_found_and_nothing_else() {
    let text = "# syntax=docker/dockerfile:1\n\
        ARG X=1\n\
        FROM --platform=$X debian AS Deps\n\
        RUN echo \\\n  # a comment\n\n  FROM nothing AS none\n\
        RUN <<EOF cat\nFROM nothing AS inside\nEOF\n\
        from deps\n\
        FROM scratch \\\n  as prod\n";
    assert_eq!(names(text), ["deps", "", "prod"]);
    assert_eq!(names("\u{feff}FROM a AS b\n"), ["b"]);
}

#[test]
fn another_escape() {
    assert_eq!(
        names("# escape=`\nFROM a `\n AS x\nRUN dir c:\\\nFROM b AS y\n"),
        ["x", "y"]
    );
    assert_eq!(names("RUN a \\"), Vec::<String>::new());
}

/// What a build takes from elsewhere: an image's name, with the platform where it is another one,
/// an address, or the line of what is not clear.
fn elsewhere(text: &str, target: Option<&str>, args: &[(&str, &str)]) -> Vec<String> {
    let args: BTreeMap<String, String> = args
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let platforms = Platforms {
        build: "linux/amd64",
        target: "linux/arm64/v8",
    };
    let contexts = BTreeSet::from(["docs", "replaced"]);
    let found = Dockerfile::parse(text).elsewhere(target, &args, &contexts, platforms);
    let shown = found.into_iter().map(|one| match one {
        Elsewhere::Image { name, platform } => match platform {
            Some(platform) => format!("{name} for {platform}"),
            None => name,
        },
        Elsewhere::Address(address) => address,
        Elsewhere::Unclear { line, .. } => format!("line {line}"),
    });
    shown.collect()
}

#[test]
fn only_what_the_target_reaches_counts() {
    let text = "FROM debian:12 AS deps\n\
        FROM deps AS test\n\
        COPY --from=redis:7 /a /a\n\
        FROM --platform=linux/arm64/v8 alpine AS tools\n\
        RUN --mount=type=cache,target=/c --mount=type=bind,from=busybox,target=/b true\n\
        FROM scratch AS production\n\
        COPY --chown=1 --from=tools /a /a\n\
        COPY --from=0 /b /b\n\
        COPY --from=Later /c /c\n\
        FROM later-image AS later\n";
    assert_eq!(elsewhere(text, Some("DEPS"), &[]), ["debian:12"]);
    assert_eq!(elsewhere(text, Some("test"), &[]), ["debian:12", "redis:7"]);
    assert_eq!(elsewhere(text, Some("1"), &[]), ["debian:12", "redis:7"]);
    let all = ["alpine", "busybox", "debian:12", "later-image"];
    assert_eq!(elsewhere(text, Some("production"), &[]), all);
    assert_eq!(elsewhere(text, None, &[]), ["later-image"]);
    assert!(elsewhere("RUN true\n", None, &[]).is_empty());
}

#[test]
fn variables_of_from_are_filled_in() {
    let text = "ARG NAME=debian TAG=\"12\"\nARG BASE=${NAME}:${TAG:-none}\nARG UNSET\n\
        FROM ${BASE}${UNSET:+x}$UNSET\n";
    assert_eq!(elsewhere(text, None, &[]), ["debian:12"]);
    assert_eq!(elsewhere(text, None, &[("TAG", "13")]), ["debian:13"]);
    assert_eq!(elsewhere(text, None, &[("BASE", "sha256:a")]), ["sha256:a"]);
    assert_eq!(elsewhere(text, None, &[("UNSET", "y")]), ["debian:12xy"]);
    // An argument that the file does not know changes nothing.
    assert_eq!(elsewhere("FROM a$X\n", None, &[("X", "y")]), ["a"]);
    let text = "FROM --platform=$BUILDPLATFORM a\nCOPY --from=b:$TARGETARCH /x /x\n";
    assert_eq!(elsewhere(text, None, &[]), ["a for linux/amd64", "line 2"]);
    let text = "FROM x-$TARGETARCH-${TARGETVARIANT}\n";
    assert_eq!(elsewhere(text, None, &[]), ["x-arm64-v8"]);
    assert_eq!(elsewhere("ARG A=b\nFROM ${A#c}\n", None, &[]), ["line 2"]);
    assert_eq!(elsewhere("ARG A=b\nFROM ${A\n", None, &[]), ["line 2"]);
    assert_eq!(elsewhere("ARG A=b\nFROM '$A'\n", None, &[]), ["$A"]);
}

#[test]
fn further_contexts_stand_for_stages_and_images() {
    let text = "FROM replaced:latest\nCOPY --from=docs / /\nRUN --mount=from=docs,target=/d x\n\
        COPY --from=docs:1 / /\n";
    assert_eq!(elsewhere(text, None, &[]), ["docs:1"]);
    let text = "FROM debian AS docs\nFROM scratch\nCOPY --from=docs / /\n";
    assert!(elsewhere(text, None, &[]).is_empty());
    assert!(elsewhere(text, Some("docs"), &[]).is_empty());
}

#[test]
fn addresses_that_nothing_pins_are_named() {
    let commit = "#0123456789012345678901234567890123456789";
    let text = format!(
        "FROM scratch\nARG V=1\nENV SITE=https://example.com\n\
         ADD https://example.com/a.tar /a/\n\
         ADD --checksum=sha256:00 https://example.com/b.tar /b/\n\
         ADD --chown=1 file.txt git@example.com:x.git /c\n\
         ADD https://example.com/y.git{commit}:sub /y\n\
         ADD [\"https://example.com/d\", \"/d\"]\n\
         ADD ${{SITE}}/$V ./plain /e\n"
    );
    assert_eq!(
        elsewhere(&text, None, &[]),
        [
            "git@example.com:x.git",
            "https://example.com/1",
            "https://example.com/a.tar",
            "https://example.com/d"
        ]
    );
}

#[test]
fn what_a_target_copies_of_its_context_is_told() {
    let text = "FROM a AS deps\nCOPY package.json ./package-lock.json /app/\n\
        RUN --mount=type=cache,target=/c --mount=type=secret,id=x npm ci\n\
        FROM deps AS test\nCOPY --chown=1:1 [\"a b\", \"tests/\", \"/app/\"]\n\
        RUN --mount=target=/t,source=tools,ro true\n\
        FROM deps AS image\nCOPY <<EOF /x\ntext\nEOF\nCOPY --from=test /app /app\n\
        FROM deps AS all\nADD . /app\n\
        FROM deps AS mounts\nRUN --mount=type=bind,target=/all true\n\
        FROM scratch AS none\nCOPY --from=docs / /\n";
    let file = Dockerfile::parse(text);
    let contexts = BTreeSet::from(["docs"]);
    let sources = |target: &str| {
        let sources = file.sources(Some(target), &contexts);
        sources.into_iter().collect::<Vec<_>>().join(" | ")
    };
    assert_eq!(sources("deps"), "package-lock.json | package.json");
    let test = "a b | package-lock.json | package.json | tests | tools";
    assert_eq!(sources("test"), test);
    assert_eq!(sources("image"), test, "it reaches the other one");
    assert_eq!(sources("all"), ".");
    assert_eq!(sources("mounts"), ".");
    assert_eq!(sources("none"), "");
}
