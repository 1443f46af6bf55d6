use serde_json::{Value, json};

use super::*;
use crate::results::Severity::{Critical, High, Low, Medium};

fn gate(severity: &[Severity], ignore_unfixed: bool) -> Gate {
    Gate {
        severity: severity.to_vec(),
        ignore_unfixed,
    }
}

fn outcome(report: Option<&Value>) -> ContainerOutcome {
    let report = report.map(|report| report.to_string().into_bytes());
    ContainerOutcome {
        report,
        ..ContainerOutcome::default()
    }
}

fn found() -> Value {
    let vulnerability = |id: &str, severity: &str, fixed: &str| json!({"VulnerabilityID": id, "PkgName": "p", "InstalledVersion": "1", "Severity": severity, "FixedVersion": fixed});
    json!({
        "SchemaVersion": 2, "ArtifactName": "/scan/image.tar",
        "Metadata": {"OS": {"Family": "debian", "Name": "12.5"}},
        "Results": [
            {"Target": "/scan/image.tar (debian 12.5)", "Class": "os-pkgs", "Vulnerabilities": [
                vulnerability("CVE-1", "LOW", "2"), vulnerability("CVE-2", "CRITICAL", ""),
                vulnerability("CVE-3", "HIGH", "2"), vulnerability("CVE-4", "CRITICAL", "2"),
            ]},
            {"Target": "/app/id_rsa", "Class": "secret", "Secrets": [
                {"RuleID": "private-key", "Severity": "HIGH", "Title": "Private key", "StartLine": 1}]},
        ],
    })
}

fn failing(reading: &Reading) -> Vec<&str> {
    reading
        .findings
        .iter()
        .filter(|f| f.failing)
        .map(|f| f.id.as_str())
        .collect()
}

fn trouble(outcome: &ContainerOutcome) -> Trouble {
    let reading = read(&gate(&[Critical], false), outcome);
    assert!(reading.findings.is_empty() && reading.warnings.is_empty());
    match reading.ending {
        Ending::Failed(FailureReason::Surroundings(trouble)) => trouble,
        other => panic!("{other:?} is no trouble"),
    }
}

#[test]
fn the_gate_is_by_severity() {
    for (severities, ids, counts) in [
        (
            &[Critical, High][..],
            &["CVE-2", "CVE-4", "CVE-3", "private-key"][..],
            vec![(Critical, 2), (High, 2)],
        ),
        (&[Critical], &["CVE-2", "CVE-4"], vec![(Critical, 2)]),
        (&[Low], &["CVE-1"], vec![(Low, 1)]),
        (
            &[Low, High],
            &["CVE-3", "private-key", "CVE-1"],
            vec![(High, 2), (Low, 1)],
        ),
    ] {
        let reading = read(&gate(severities, false), &outcome(Some(&found())));
        assert_eq!(failing(&reading), ids);
        assert_eq!(
            reading.ending,
            Ending::Failed(FailureReason::Gate { failing: counts })
        );
        assert_eq!(reading.findings.len(), 5, "everything found is reported");
        assert!(reading.warnings.is_empty());
    }
    let reading = read(&gate(&[Medium], false), &outcome(Some(&found())));
    assert_eq!(
        (reading.ending, reading.findings.len()),
        (Ending::Passed, 5)
    );
}

#[test]
fn what_cannot_be_fixed_can_be_let_through() {
    let reading = read(&gate(&[Critical, High], true), &outcome(Some(&found())));
    assert_eq!(failing(&reading), ["CVE-4", "CVE-3", "private-key"]);
    let counts = vec![(Critical, 1), (High, 2)];
    assert_eq!(
        reading.ending,
        Ending::Failed(FailureReason::Gate { failing: counts })
    );
}

#[test]
fn a_clean_image_passes() {
    let clean = json!({"SchemaVersion": 2, "Metadata": {"OS": {"Family": "debian", "Name": "12.5"}},
        "Results": [{"Target": "x (debian 12.5)", "Class": "os-pkgs"}]});
    let reading = read(&gate(&[Critical], false), &outcome(Some(&clean)));
    assert_eq!(
        reading,
        Reading {
            ending: Ending::Passed,
            findings: vec![],
            warnings: vec![]
        }
    );
}

#[test]
fn people_are_warned() {
    let reading = read(
        &gate(&[Critical], false),
        &outcome(Some(&json!({"SchemaVersion": 2}))),
    );
    assert_eq!(reading.ending, Ending::Passed);
    assert!(
        reading.warnings.len() == 1 && reading.warnings[0].contains("recognised nothing"),
        "{reading:?}"
    );

    let old = json!({"SchemaVersion": 2, "Metadata": {"OS": {"Family": "alpine", "Name": "3.9.4", "EOSL": true}}});
    let reading = read(&gate(&[Critical], false), &outcome(Some(&old)));
    assert!(
        reading.warnings[0].starts_with("alpine 3.9.4 gets no security fixes"),
        "{reading:?}"
    );
}

#[test]
fn a_trivy_that_failed_is_trouble_even_with_a_report() {
    let mut failed = outcome(Some(&found()));
    failed.code = 1;
    failed.tail = "2026-03-01T10:00:00Z\tINFO\t[vuln] Vulnerability scanning is enabled\n\
        2026-03-01T10:00:00Z\tFATAL\tFatal error\trun error: init error: DB error: failed to open db: invalid database\n"
        .to_owned();
    let trouble = trouble(&failed);
    assert_eq!(trouble.what, "Trivy failed with exit code 1");
    assert_eq!(
        trouble.cause.as_deref(),
        Some("DB error: failed to open db: invalid database")
    );
    assert!(trouble.hint.unwrap().contains("trivy_db"));
}

#[test]
fn out_of_memory_is_trouble_even_with_exit_0_and_a_report() {
    let mut killed = outcome(Some(&json!({"SchemaVersion": 2})));
    killed.oom_killed = true;
    killed.memory_limit = Some(4 << 30);
    assert!(trouble(&killed).what.contains("memory of 4096 MiB"));
}

#[test]
fn a_report_that_is_missing_or_broken_is_never_clean() {
    let missing = trouble(&outcome(None));
    assert_eq!(
        (missing.what.as_str(), missing.cause),
        ("Trivy ended without a report", None)
    );
    for broken in [&b""[..], b"{", b"{}", b"{\"SchemaVersion\": 1}"] {
        let outcome = ContainerOutcome {
            report: Some(broken.to_vec()),
            ..ContainerOutcome::default()
        };
        let trouble = trouble(&outcome);
        assert_eq!(trouble.what, "Trivy's report cannot be read");
        assert!(trouble.cause.is_some() && trouble.hint.is_some());
    }
}

#[test]
fn the_last_words_are_found() {
    for (tail, words) in [
        ("", None),
        ("\n \n", None),
        ("exec format error\n", Some("exec format error")),
        (
            "2026-03-01T10:00:00Z\tERROR\t[vulndb] The first run cannot skip downloading DB\n\
             2026-03-01T10:00:00Z\tFATAL\tFatal error\trun error: init error: DB error: database error: --skip-db-update cannot be specified on the first run\n",
            Some("DB error: database error: --skip-db-update cannot be specified on the first run"),
        ),
        (
            "2026-03-01T10:00:00Z\tFATAL\tFatal error\trun error: image scan error: scan error: unable to initialize archive image: 2 errors occurred:\n\
             \t* unable to open image.tar as a Docker image: unexpected EOF\n\t* unable to open image.tar as an OCI Image: not a directory\n\n\n",
            Some(
                "unable to initialize archive image: 2 errors occurred: unable to open image.tar as a Docker image: unexpected EOF",
            ),
        ),
        (
            "2026-03-01T10:00:00Z\tFATAL\tFatal error\n  - no space left on device",
            Some("no space left on device"),
        ),
        (
            "2026-03-01T10:00:00Z\tFATAL\tFatal error\tunknown flag: --x\n\nUsage:\n",
            Some("unknown flag: --x"),
        ),
        (
            "2026-03-01T10:00:00Z\tERROR\tfirst\n2026-03-01T10:00:00Z\tERROR\tsecond\nbye",
            Some("second"),
        ),
    ] {
        assert_eq!(last_words(tail).as_deref(), words, "{tail}");
    }
}

#[test]
fn known_troubles_have_hints() {
    for (tail, part) in [
        ("FATAL no space left on device", "free some space"),
        ("FATAL cannot be specified on the first run", "is missing"),
        ("FATAL context deadline exceeded", "timeout"),
    ] {
        let failed = ContainerOutcome {
            code: 1,
            tail: tail.to_owned(),
            ..ContainerOutcome::default()
        };
        assert!(trouble(&failed).hint.unwrap().contains(part), "{tail}");
    }
    let failed = ContainerOutcome {
        code: 2,
        tail: "FATAL something new".to_owned(),
        ..ContainerOutcome::default()
    };
    assert_eq!(trouble(&failed).hint, None);
}
