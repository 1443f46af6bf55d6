//! The step kind `scan`: the real Trivy over what was built, and our own gate.

use crate::support::{Project, engine, left_of, skip};

/// Whether the set-up's Trivy and database are named; without them a scan would want a network.
fn trivy(test: &str) -> bool {
    let named = ["HOIST_TOOLS_TRIVY", "HOIST_TOOLS_TRIVY_DB"]
        .iter()
        .all(|name| crate::support::variable(name).is_some());
    engine(test)
        && (named
            || skip(
                test,
                "HOIST_TOOLS_TRIVY and HOIST_TOOLS_TRIVY_DB are not set",
            ))
}

const PIPELINE: &str = r#"
name = "kind-scan"
[steps.image.build]
[steps.cve.scan]
image = "${steps.image.image}"
scanners = ["vuln", "secret"]
severity = ["LOW", "MEDIUM", "HIGH", "CRITICAL", "UNKNOWN"]
[steps.after]
needs = ["cve"]
image = "${steps.image.image}"
run = "true"
[reports]
junit = "reports/junit.xml"
"#;

/// Makes a private key's outline at run time, so that none stands in this repository.
fn key() -> String {
    let body = "MIIEpAIBAAKCAQEA".repeat(48);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line))
        .collect();
    let word = "RSA PRIVATE KEY";
    format!(
        "-----BEGIN {word}-----\n{}\n-----END {word}-----\n",
        lines.join("\n")
    )
}

#[test]
fn a_planted_key_fails_the_gate_and_what_needs_it_is_skipped() {
    if !trivy("kinds::scan::a_planted_key_fails_the_gate_and_what_needs_it_is_skipped") {
        return;
    }
    let pipeline = PIPELINE.replace("\"vuln\", \"secret\"", "\"secret\"");
    let project = Project::new(&pipeline)
        .file(
            "Dockerfile",
            "FROM debian:bookworm-slim\nCOPY id_rsa /root/id_rsa\n",
        )
        .file("id_rsa", key());
    let ended = project
        .hoist(&["run"])
        .expect(3)
        .says("gate failed")
        .says("id_rsa");
    let ended = ended.says("after  skipped: needs cve");
    assert!(
        !ended.stderr.contains("MIIEpAIBAAKCAQEA"),
        "the key itself is never shown"
    );
    let junit = project.read("reports/junit.xml");
    assert!(
        junit.contains("private-key") && !junit.contains("MIIEpAIBAAKCAQEA"),
        "{junit}"
    );
    let run = project.run_json().to_string();
    assert!(run.contains("id_rsa") && !run.contains("MIIEpAIBAAKCAQEA"));
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}

#[test]
fn a_clean_image_passes_and_vulnerabilities_are_found() {
    if !trivy("kinds::scan::a_clean_image_passes_and_vulnerabilities_are_found") {
        return;
    }
    let clean = PIPELINE.replace("\"vuln\", \"secret\"", "\"secret\"");
    Project::new(&clean)
        .file("Dockerfile", "FROM debian:bookworm-slim\n")
        .hoist(&["run"])
        .expect(0);
    let vulnerable = PIPELINE.replace("\"vuln\", \"secret\"", "\"vuln\"");
    let project = Project::new(&vulnerable).file("Dockerfile", "FROM debian:bookworm-slim\n");
    let ended = project.hoist(&["run"]).expect(3).says("CVE-");
    let counted = ended.stderr.matches("CVE-").count();
    assert!(counted > 0, "{}", ended.stderr);
    let tolerant = vulnerable.replace(
        "severity = [\"LOW\", \"MEDIUM\", \"HIGH\", \"CRITICAL\", \"UNKNOWN\"]",
        "severity = [\"CRITICAL\"]\nignore_unfixed = true",
    );
    let project = Project::new(&tolerant).file("Dockerfile", "FROM debian:bookworm-slim\n");
    let ended = project.hoist(&["run"]);
    assert!(
        ended.stderr.contains("CVE-"),
        "all findings are told, whatever the gate: {}",
        ended.stderr
    );
}

#[test]
fn a_scanner_that_breaks_is_neither_clean_nor_vulnerable() {
    if !trivy("kinds::scan::a_scanner_that_breaks_is_neither_clean_nor_vulnerable") {
        return;
    }
    // An image that is no Trivy at all.
    let project = Project::new(PIPELINE)
        .file("Dockerfile", "FROM debian:bookworm-slim\n")
        .variable("HOIST_TOOLS_TRIVY", "debian:bookworm-slim");
    let ended = project.hoist(&["run"]).expect(4);
    assert!(!ended.stderr.contains("gate failed"), "{}", ended.stderr);
    // A database that is none.
    let project = Project::new(PIPELINE)
        .file("Dockerfile", "FROM debian:bookworm-slim\n")
        .file("db/trivy.db", "this is no database")
        .file("db/metadata.json", "{}");
    let folder = project.path().join("db");
    let project = project.variable("HOIST_TOOLS_TRIVY_DB", folder.to_str().unwrap());
    project.hoist(&["run"]).expect(4);
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}
