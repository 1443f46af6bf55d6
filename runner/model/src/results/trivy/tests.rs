use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn report(value: &Value) -> Report {
    parse(value.to_string().as_bytes()).unwrap()
}

/// A report as Trivy 0.74 writes it of an archive, with what hoist does not read left in.
fn full() -> Value {
    json!({
        "SchemaVersion": 2,
        "Trivy": {"Version": "0.74.0"},
        "ReportID": "01a208fb", "CreatedAt": "2026-03-01T10:00:00.157364478Z",
        "ArtifactID": "sha256:c068", "ArtifactName": "/scan/image.tar", "ArtifactType": "container_image",
        "Metadata": {"Size": 10240, "OS": {"Family": "debian", "Name": "12.5"}, "ImageConfig": {"os": "linux"}},
        "Results": [
            {
                "Target": "/scan/image.tar (debian 12.5)", "Class": "os-pkgs", "Type": "debian",
                "Packages": [{"ID": "perl-base@5.36.0-7", "Name": "perl-base", "SrcName": "perl"}],
                "Vulnerabilities": [
                    vulnerability("CVE-2023-1", "perl-base", "5.36.0-7", Some("5.36.0-8"), "fixed", "MEDIUM"),
                    vulnerability("CVE-2023-2", "perl-base", "5.36.0-7", None, "affected", "CRITICAL"),
                    vulnerability("CVE-2023-2", "zlib1g", "1.2", None, "will_not_fix", "HIGH"),
                ],
            },
            {
                "Target": "Node.js", "Class": "lang-pkgs", "Type": "node-pkg",
                "Vulnerabilities": [
                    at_path("app/node_modules/z/node_modules/debug/package.json"),
                    at_path("app/node_modules/debug/package.json"),
                    at_path("app/node_modules/debug/package.json"),
                ],
            },
            {
                "Target": "/app/deploy.sh", "Class": "secret",
                "Secrets": [secret("github-pat", 2, "CRITICAL"), secret("github-pat", 2, "CRITICAL"),
                            secret("github-pat", 12, "CRITICAL"), secret("private-key", 3, "HIGH")],
            },
            {"Target": "/scan/image.tar", "Class": "secret",
             "Secrets": [secret("github-pat", 20, "CRITICAL"), secret("github-pat", 21, "CRITICAL")]},
            {"Target": "", "Class": "custom", "CustomResources": [{"Data": [1, {"x": null}]}]},
        ],
        "NewInTomorrowsTrivy": {"Results": 7},
    })
}

fn vulnerability(
    id: &str,
    package: &str,
    version: &str,
    fixed: Option<&str>,
    status: &str,
    severity: &str,
) -> Value {
    let mut found = json!({
        "VulnerabilityID": id, "PkgID": format!("{package}@{version}"), "PkgName": package,
        "PkgIdentifier": {"PURL": "pkg:deb/debian/x", "UID": "1"}, "InstalledVersion": version, "Status": status,
        "Layer": {"DiffID": "sha256:9cc2"}, "SeveritySource": "nvd", "PrimaryURL": format!("https://avd.example/{id}"),
        "Title": format!("{package}: something\n  is wrong\u{1b}[31m"), "Description": "Long.", "Severity": severity,
        "CVSS": {"nvd": {"V3Score": 7.5}}, "VendorSeverity": {"nvd": 3},
    });
    if let Some(fixed) = fixed {
        found["FixedVersion"] = fixed.into();
    }
    found
}

fn at_path(path: &str) -> Value {
    let mut found = vulnerability(
        "CVE-2017-1",
        "debug",
        "3.0.1",
        Some("3.1.0, 2.6.9"),
        "fixed",
        "HIGH",
    );
    found["PkgPath"] = path.into();
    found
}

fn secret(rule: &str, line: usize, severity: &str) -> Value {
    json!({
        "RuleID": rule, "Category": "GitHub", "Severity": severity, "Title": "GitHub Personal Access Token",
        "StartLine": line, "EndLine": line, "Match": "export PAT=*****VISIBLE-BESIDE",
        "Code": {"Lines": [{"Number": 1, "Content": "export OTHER=VISIBLE-IN-CONTEXT", "IsCause": false}]},
        "Layer": {"DiffID": "sha256:9cc2"},
    })
}

/// `severity class target name installed fixed id line fixable` of each.
fn brief(report: &Report) -> Vec<String> {
    report
        .findings
        .iter()
        .map(|Reported { finding, fixable }| {
            let package = finding.package.clone().unwrap_or_default();
            format!(
                "{} {:?} {} | {} {} {} | {} {} {}",
                finding.severity.name(),
                finding.class,
                finding.target,
                package.name,
                package.installed,
                package.fixed.unwrap_or_else(|| "-".to_owned()),
                finding.id,
                finding
                    .line
                    .map_or_else(|| "-".to_owned(), |line| line.to_string()),
                if *fixable { "fixable" } else { "unfixed" },
            )
        })
        .collect()
}

#[test]
fn reads_what_trivy_writes() {
    let report = report(&full());
    assert!(report.recognised);
    assert_eq!(report.end_of_life, None);
    assert_eq!(
        brief(&report),
        [
            "CRITICAL Vulnerability debian 12.5 | perl-base 5.36.0-7 - | CVE-2023-2 - unfixed",
            "CRITICAL Secret /app/deploy.sh |   - | github-pat 2 fixable",
            "CRITICAL Secret /app/deploy.sh |   - | github-pat 12 fixable",
            "CRITICAL Secret image configuration |   - | github-pat - fixable",
            "CRITICAL Secret image configuration |   - | github-pat - fixable",
            "HIGH Vulnerability app/node_modules/debug/package.json and 1 more | debug 3.0.1 3.1.0, 2.6.9 | CVE-2017-1 - fixable",
            "HIGH Vulnerability debian 12.5 | zlib1g 1.2 - | CVE-2023-2 - unfixed",
            "HIGH Secret /app/deploy.sh |   - | private-key 3 fixable",
            "MEDIUM Vulnerability debian 12.5 | perl-base 5.36.0-7 5.36.0-8 | CVE-2023-1 - fixable",
        ]
    );
    let first = &report.findings[0].finding;
    assert_eq!(
        first.title, "perl-base: something is wrong [31m",
        "on one line, no escapes"
    );
    assert_eq!(first.url.as_deref(), Some("https://avd.example/CVE-2023-2"));
    assert!(
        report
            .findings
            .iter()
            .all(|reported| !reported.finding.failing)
    );
}

#[test]
fn keeps_nothing_of_what_surrounds_a_secret() {
    let report = report(&full());
    let findings: Vec<&Finding> = report.findings.iter().map(|found| &found.finding).collect();
    let kept = serde_json::to_string(&findings).unwrap() + &format!("{report:?}");
    assert!(kept.contains("github-pat"));
    assert!(
        !kept.contains("VISIBLE") && !kept.contains("PAT="),
        "{kept}"
    );
}

#[test]
fn the_order_of_the_report_makes_no_difference() {
    let mut turned = full();
    let results = turned["Results"].as_array_mut().unwrap();
    results.reverse();
    for result in results {
        for list in ["Vulnerabilities", "Secrets"] {
            if let Some(list) = result[list].as_array_mut() {
                list.reverse();
            }
        }
    }
    assert_eq!(report(&turned), report(&full()));
}

#[test]
fn every_field_may_be_absent_or_null() {
    let empty = json!({"SchemaVersion": 2, "Results": [
        {}, {"Vulnerabilities": null, "Secrets": null, "Packages": null, "Target": null},
        {"Vulnerabilities": [{}], "Secrets": [{}]},
    ], "Metadata": {"OS": null}, "ArtifactName": null});
    let report = report(&empty);
    assert_eq!(
        brief(&report),
        [
            "UNKNOWN Vulnerability image configuration |   - |  - unfixed",
            "UNKNOWN Secret image configuration |   - |  - fixable"
        ]
    );
    for (at, key) in [(0, "Vulnerabilities"), (2, "Secrets")] {
        let fields: Vec<String> = full()["Results"][at][key][0]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        for field in fields {
            let mut less = full();
            less["Results"][at][key][0]
                .as_object_mut()
                .unwrap()
                .remove(&field);
            assert!(
                parse(less.to_string().as_bytes()).is_ok(),
                "without {field}"
            );
        }
    }
}

#[test]
fn a_fix_is_told_by_status_and_version() {
    for (status, fixed, fixable) in [
        (Some("fixed"), Some("1.1"), true),
        (Some("fixed"), None, true),
        (Some("affected"), None, false),
        (Some("will_not_fix"), Some("1.1"), false),
        (Some("end_of_life"), None, false),
        (Some("unknown"), Some("1.1"), true),
        (None, Some("1.1"), true),
        (None, Some("  "), false),
        (None, None, false),
    ] {
        let value = json!({"SchemaVersion": 2, "Results": [{"Vulnerabilities": [
            {"VulnerabilityID": "CVE-1", "Status": status, "FixedVersion": fixed}]}]});
        assert_eq!(
            report(&value).findings[0].fixable,
            fixable,
            "{status:?} {fixed:?}"
        );
    }
}

#[test]
fn the_same_twice_is_one_and_keeps_the_worse() {
    let value = json!({"SchemaVersion": 2, "Results": [{"Target": "a", "Vulnerabilities": [
        {"VulnerabilityID": "CVE-1", "PkgName": "p", "Severity": "LOW"},
        {"VulnerabilityID": "CVE-1", "PkgName": "p", "Severity": "HIGH", "FixedVersion": "2"},
        {"VulnerabilityID": "CVE-1", "PkgName": "q", "Severity": "LOW"},
    ]}]});
    assert_eq!(
        brief(&report(&value)),
        [
            "HIGH Vulnerability a | p  2 | CVE-1 - fixable",
            "LOW Vulnerability a | q  - | CVE-1 - unfixed"
        ]
    );
}

#[test]
fn targets_lose_the_archive() {
    for (target, artifact, shown) in [
        (
            "/scan/image.tar (alpine 3.9.4)",
            "/scan/image.tar",
            "alpine 3.9.4",
        ),
        ("/scan/image.tar", "/scan/image.tar", "image configuration"),
        (
            "/scan/image.tarball",
            "/scan/image.tar",
            "/scan/image.tarball",
        ),
        ("/app/key.pem", "/scan/image.tar", "/app/key.pem"),
        ("Cargo.lock", "", "Cargo.lock"),
        ("a\u{1b}]0;x\u{7}\nb", "", "a ]0;x b"),
    ] {
        assert_eq!(shown_target(target, artifact), shown);
    }
}

#[test]
fn nothing_recognised() {
    for (value, recognised) in [
        (json!({"SchemaVersion": 2}), false),
        (
            json!({"SchemaVersion": 2, "Metadata": {"OS": {"Family": "none", "Name": ""}}}),
            false,
        ),
        (
            json!({"SchemaVersion": 2, "Metadata": {"Size": 1}, "Results": []}),
            false,
        ),
        (
            json!({"SchemaVersion": 2, "Results": [{"Target": "x", "Class": "custom"}]}),
            false,
        ),
        (
            json!({"SchemaVersion": 2, "Metadata": {"OS": {"Family": "debian"}}}),
            true,
        ),
        (
            json!({"SchemaVersion": 2, "Results": [{"Class": "lang-pkgs"}]}),
            true,
        ),
        (
            json!({"SchemaVersion": 2, "Results": [{"Class": "secret", "Secrets": [{}]}]}),
            true,
        ),
    ] {
        assert_eq!(report(&value).recognised, recognised, "{value}");
    }
}

#[test]
fn what_is_no_report_is_refused() {
    for (bytes, part) in [
        (&b""[..], "it is empty"),
        (b" \n", "it is empty"),
        (b"not json", "expected"),
        (b"{\"SchemaVersion\": 2", "EOF"),
        (b"[]", "expected"),
        (b"{}", "no SchemaVersion"),
        (b"{\"SchemaVersion\": 1}", "SchemaVersion 1 "),
        (
            b"{\"SchemaVersion\": 3, \"Results\": []}",
            "SchemaVersion 3 ",
        ),
        (b"{\"SchemaVersion\": 2, \"Results\": 7}", "invalid type"),
        (
            b"{\"SchemaVersion\": 2, \"Results\": [{\"Vulnerabilities\": [{\"Severity\": 4}]}]}",
            "invalid type",
        ),
    ] {
        let why = parse(bytes).unwrap_err();
        assert!(
            why.contains(part),
            "{}: {why}",
            String::from_utf8_lossy(bytes)
        );
    }
    let deep = "[".repeat(100_000);
    assert!(parse(format!("{{\"SchemaVersion\":2,\"x\":{deep}").as_bytes()).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn one_line_is_short_and_clean(text in any::<String>()) {
        let line = one_line(&text);
        prop_assert!(line.chars().count() <= 301 && !line.chars().any(char::is_control));
    }
}

/// The folder of upstream's own reports, where it is at hand.
fn golden(test: &str) -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test has no command line to be told by"
    )]
    let named = std::env::var_os("HOIST_TRIVY_GOLDEN").map(PathBuf::from);
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/trivy-golden");
    let folder = named.unwrap_or_else(beside);
    if folder.join("alpine-39.json.golden").is_file() {
        return Some(folder);
    }
    // Not `eprintln`, which is shown of failing tests only.
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("SKIPPED results::trivy::tests::{test}: no reports in {}; HOIST_TRIVY_GOLDEN names their folder\n", folder.display()).as_bytes(),
    );
    None
}

#[test]
fn upstreams_own_reports() {
    let Some(folder) = golden("upstreams_own_reports") else {
        return;
    };
    let read = |name: &str| {
        let bytes = std::fs::read(folder.join(format!("{name}.json.golden"))).unwrap();
        parse(&bytes).unwrap_or_else(|why| panic!("{name}: {why}"))
    };
    // Critical, high, medium, low, unknown; those without a fix; recognised.
    let counts = |report: &Report| {
        use Severity::{Critical, High, Low, Medium, Unknown};
        let of = |severity| {
            report
                .findings
                .iter()
                .filter(|f| f.finding.severity == severity)
                .count()
        };
        let unfixed = report
            .findings
            .iter()
            .filter(|found| !found.fixable)
            .count();
        (
            [Critical, High, Medium, Low, Unknown].map(of),
            unfixed,
            report.recognised,
        )
    };
    for (name, expected) in [
        ("alpine-310", ([0, 0, 4, 0, 0], 0, true)),
        ("alpine-39", ([2, 0, 4, 0, 0], 0, true)),
        ("alpine-39-skip", ([0, 0, 0, 0, 0], 0, false)),
        ("busybox-with-lockfile", ([0, 1, 1, 0, 0], 0, true)),
        ("dockerfile", ([0, 0, 0, 0, 0], 0, false)),
        ("helm_badname", ([0, 0, 0, 0, 0], 0, false)),
        ("sl-micro-rancher5.4", ([0, 0, 0, 0, 0], 0, true)),
    ] {
        assert_eq!(counts(&read(name)), expected, "{name}");
    }
    assert_eq!(
        read("alpine-310").end_of_life.as_deref(),
        Some("alpine 3.10.2")
    );
    assert!(
        read("alpine-39")
            .findings
            .iter()
            .all(|f| f.finding.target == "alpine 3.9.4")
    );

    // One CVE in four binary packages is four packages to update.
    let stretch = brief(&read("debian-stretch"));
    assert_eq!(
        stretch
            .iter()
            .filter(|line| line.contains("CVE-2019-5094"))
            .count(),
        4
    );
    assert!(
        stretch
            .iter()
            .any(|line| line.contains("bash 4.4-5 - | CVE-2019-18276 - unfixed"))
    );

    let secrets = read("secrets");
    assert_eq!(
        brief(&secrets),
        [
            "CRITICAL Secret deploy.sh |   - | aws-access-key-id 3 fixable",
            "HIGH Secret deploy.sh |   - | mysecret 7 fixable"
        ]
    );
    assert!(
        !format!("{secrets:?}").contains("ghp_"),
        "the lines beside a secret are let be"
    );

    let gems = read("fluentd-gems");
    assert!(
        gems.findings
            .iter()
            .any(|f| f.finding.target.ends_with(".gemspec"))
    );
}

#[test]
fn every_report_of_upstream_is_read() {
    let Some(folder) = golden("every_report_of_upstream_is_read") else {
        return;
    };
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with(".json.golden") {
            parse(&std::fs::read(&path).unwrap()).unwrap_or_else(|why| panic!("{path:?}: {why}"));
            count += 1;
        }
    }
    assert!(count >= 15, "{count}");
}
