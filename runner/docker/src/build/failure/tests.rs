//! Failures from the words of both engines.

use super::*;

const FILE: &str = "\
FROM nosuchbase:1 AS deps
RUN make
FROM deps
COPY secret/key /
RUN <<DONE
make
DONE
";

fn case(said: &str, step: Option<(&str, &[&str])>, modern: bool) -> BuildError {
    let seen = Seen {
        failed: step.map(|(name, output)| Failed {
            name: name.to_owned(),
            output: output.iter().map(|line| (*line).to_owned()).collect(),
        }),
        ..Seen::default()
    };
    explain(&Case {
        error: BackendError::new(crate::errors::of_words(said), said),
        seen: &seen,
        dockerfile: &Dockerfile::parse(&format!("# syntax=docker/dockerfile:1\n{FILE}")),
        ignore: &IgnoreFile::parse("secret\n").unwrap(),
        shown: "Dockerfile",
        modern,
        buildkit: true,
    })
}

fn failed_at(error: BuildError) -> (String, Option<usize>) {
    match error {
        BuildError::Failed {
            message,
            instruction,
        } => (message, instruction.and_then(|one| one.line)),
        other => panic!("{other:?}"),
    }
}

fn surroundings(error: BuildError) -> BackendError {
    match error {
        BuildError::Backend(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_command_that_failed_shows_its_line_and_last_output() {
    let output: &[&str] = &["make: no rule"];
    for said in [
        "failed to solve with frontend dockerfile.v0: failed to build LLB: executor failed running [/bin/sh -c make]: exit code: 2",
        "process \"/bin/sh -c make\" did not complete successfully: exit code: 2",
        "The command '/bin/sh -c make' returned a non-zero code: 2",
    ] {
        let (message, line) = failed_at(case(said, Some(("[deps 2/2] RUN make", output)), true));
        assert_eq!(line, Some(3));
        assert!(message.ends_with("2\nmake: no rule"), "{message}");
        assert!(!message.starts_with("failed to"), "{message}");
    }
    // What a command prints is not what the engine says of itself.
    let output: &[&str] = &["write: no space left on device"];
    let said = "process \"/bin/sh -c make\" did not complete successfully: exit code: 2";
    failed_at(case(said, Some(("[deps 2/2] RUN make", output)), true));
}

#[test]
fn an_ignored_file_is_told_to_be_ignored() {
    for said in [
        "failed to compute cache key: \"/secret/key\" not found: not found",
        "failed to compute cache key: failed to calculate checksum of ref a::b: \"/secret/key\": not found",
    ] {
        let (message, line) = failed_at(case(
            said,
            Some(("[stage-1 1/2] COPY secret/key /", &[])),
            true,
        ));
        assert_eq!(line, Some(5));
        assert!(message.starts_with("\"/secret/key\""), "{message}");
        assert!(
            message.ends_with("left out by the ignore file's `secret`"),
            "{message}"
        );
    }
}

#[test]
fn what_is_around_a_build_is_not_its_fault() {
    for (said, kind) in [
        (
            "write /var/lib/docker/x: no space left on device",
            Kind::DiskFull,
        ),
        (
            "pulling from host r.example.com failed with status code [manifests 1]: 401 Unauthorized",
            Kind::Unauthorized,
        ),
        (
            "failed to do request: Head \"https://r.example.com/v2/\": dial tcp: lookup r.example.com: no such host",
            Kind::Registry,
        ),
    ] {
        let step = "[internal] load metadata for docker.io/library/nosuchbase:1";
        let error = surroundings(case(said, Some((step, &[])), true));
        assert_eq!(error.kind, kind);
        assert!(error.message.starts_with("Dockerfile:2: "), "{error}");
    }
    let said = "docker.io/library/nosuchbase:1: not found";
    let step = "[internal] load metadata for docker.io/library/nosuchbase:1";
    assert_eq!(failed_at(case(said, Some((step, &[])), true)).1, Some(2));
}

#[test]
fn newer_syntax_is_told_on_older_engines_only() {
    let said = "failed to solve: dockerfile parse error line 7: unknown instruction: MAKE";
    let (message, line) = failed_at(case(said, None, false));
    assert!(
        message.contains("needs a newer Docker") && line == Some(7),
        "{message}"
    );
    let (message, _) = failed_at(case(said, None, true));
    assert!(!message.contains("newer"), "{message}");
    let said = "dockerfile parse error line 5: Unknown flag: link";
    assert!(
        failed_at(case(said, None, false))
            .0
            .contains("--link needs a newer Docker")
    );
    let said = "dockerfile parse error line 5: Unknown flag: lnk";
    assert!(!failed_at(case(said, None, false)).0.contains("newer"));
}

#[test]
fn a_syntax_image_that_cannot_be_fetched_is_explained() {
    let said = "failed to do request: Head \"https://registry-1.docker.io/v2/docker/dockerfile/manifests/1\": dial tcp: lookup registry-1.docker.io: no such host";
    let step = "resolve image config for docker.io/docker/dockerfile:1";
    let error = surroundings(case(said, Some((step, &[])), true));
    assert_eq!(error.kind, Kind::Registry);
    assert!(error.message.contains("without that line"), "{error}");
}
