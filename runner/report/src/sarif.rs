//! What scans found as SARIF 2.1.0, the form that code scanning reads. It holds findings and
//! nothing else of a run, and never the text around a secret. Places are of the image that was
//! scanned, for hoist does not know which line of a Dockerfile brought a package in.

use std::collections::BTreeMap;

use hoist_model::results::{Finding, FindingClass, Severity};
use hoist_model::state::RunState;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::lines;

/// The schema that the specification publishes.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// What the path of a URI encodes: all but what is unreserved (RFC 3986, section 2.3) and slashes.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The report of a run; one of no findings where nothing was scanned.
#[must_use]
pub fn text(state: &RunState) -> String {
    let found = || {
        let steps = state.steps.iter();
        steps.flat_map(|step| {
            step.findings
                .iter()
                .map(move |finding| (step.id(), finding))
        })
    };
    let mut rules: BTreeMap<&str, &Finding> = BTreeMap::new();
    for (_, finding) in found() {
        let rule = rules.entry(&finding.id).or_insert(finding);
        // One flaw may be rated by several sources.
        if finding.severity > rule.severity {
            *rule = finding;
        }
    }
    let places: BTreeMap<&str, usize> = rules.keys().copied().zip(0..).collect();
    let results = found().map(|(step, finding)| {
        let place = places.get(finding.id.as_str());
        result(step.as_str(), finding, place.copied().unwrap_or_default())
    });
    let report = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "hoist",
                "rules": rules.values().map(|finding| rule(finding)).collect::<Vec<_>>(),
            }},
            "results": results.collect::<Vec<_>>(),
        }],
    });
    format!("{report:#}\n")
}

fn rule(finding: &Finding) -> Value {
    let kind = kind(finding.class);
    let mut rule = json!({
        "id": finding.id,
        "shortDescription": {"text": title(finding)},
        "defaultConfiguration": {"level": level(finding.severity)},
        "properties": {
            // GitHub sorts by this number, on the scale of CVSS.
            "security-severity": score(finding.severity),
            "tags": ["security", kind, finding.severity.name()],
        },
    });
    if let (Some(url), Some(rule)) = (&finding.url, rule.as_object_mut()) {
        rule.insert("helpUri".to_owned(), json!(url));
    }
    rule
}

fn result(step: &str, finding: &Finding, rule: usize) -> Value {
    let uri = utf8_percent_encode(finding.target.trim_start_matches('/'), PATH).to_string();
    json!({
        "ruleId": finding.id,
        "ruleIndex": rule,
        "level": level(finding.severity),
        "message": {"text": message(step, finding)},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": uri},
                "region": {"startLine": finding.line.unwrap_or(1).max(1)},
            },
            "message": {"text": clean(&finding.target)},
        }],
        // Neither a new version that has the same flaw nor a line further down makes it a new one.
        "partialFingerprints": {"hoistFinding/v1": identity(step, finding)},
        "properties": {
            "step": step,
            "severity": finding.severity.name(),
            "failing": finding.failing,
        },
    })
}

fn message(step: &str, finding: &Finding) -> String {
    let severity = finding.severity.name();
    let title = title(finding);
    let Some(package) = &finding.package else {
        return format!("{severity}: {title}, found by step {step}");
    };
    let fixed = match &package.fixed {
        Some(fixed) => format!("fixed in {fixed}"),
        None => "no fixed version yet".to_owned(),
    };
    let (name, installed) = (&package.name, &package.installed);
    clean(&format!(
        "{severity}: {title}: {name} {installed}, {fixed}, found by step {step}"
    ))
}

fn title(finding: &Finding) -> String {
    let title = clean(&finding.title);
    if title.trim().is_empty() {
        clean(&finding.id)
    } else {
        title
    }
}

fn identity(step: &str, finding: &Finding) -> String {
    let package = finding.package.as_ref();
    let package = package.map_or("", |package| package.name.as_str());
    let kind = kind(finding.class);
    format!("{step}:{kind}:{}:{}:{package}", finding.id, finding.target)
}

fn clean(text: &str) -> String {
    lines::clean(text.as_bytes(), false)
}

fn kind(class: FindingClass) -> &'static str {
    match class {
        FindingClass::Vulnerability => "vulnerability",
        FindingClass::Secret => "secret",
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Unknown => "note",
    }
}

/// A number within the range that CVSS 3.1 (section 5) gives the same word.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        Severity::Unknown => "0.0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_model::results::FoundPackage;

    use crate::sample::Sample;

    fn vulnerability(severity: Severity) -> Finding {
        Finding {
            class: FindingClass::Vulnerability,
            id: "CVE-2026-1".into(),
            severity,
            title: "a flaw".into(),
            target: "app (debian 12.5)".into(),
            package: Some(FoundPackage {
                name: "perl-base".into(),
                installed: "5.36.0-7".into(),
                fixed: Some("5.36.0-8".into()),
            }),
            line: None,
            url: Some("https://example.com/CVE-2026-1".into()),
            failing: true,
        }
    }

    fn report(findings: Vec<Finding>) -> Value {
        let (mut sample, started) = Sample::of(&["cve"]);
        sample.apply(0, started);
        sample.state.steps.first_mut().unwrap().findings = findings;
        serde_json::from_str(&text(&sample.state)).unwrap()
    }

    #[test]
    fn each_finding_is_a_result_of_its_rule_and_a_rule_is_told_once() {
        let secret = Finding {
            class: FindingClass::Secret,
            id: "aws-key".into(),
            title: String::new(),
            target: "/srv/a b.txt".into(),
            package: None,
            line: Some(7),
            url: None,
            failing: false,
            ..vulnerability(Severity::Low)
        };
        let found = vec![
            vulnerability(Severity::Medium),
            secret,
            vulnerability(Severity::Critical),
        ];
        let report = report(found);
        assert_eq!(report["version"], "2.1.0");
        let run = &report["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let ids: Vec<_> = rules.iter().map(|rule| &rule["id"]).collect();
        assert_eq!(ids, ["CVE-2026-1", "aws-key"]);
        assert_eq!(rules[0]["properties"]["security-severity"], "9.5");
        assert_eq!(rules[0]["helpUri"], "https://example.com/CVE-2026-1");
        assert!(rules[1].get("helpUri").is_none());
        let results = run["results"].as_array().unwrap();
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
        }
        let levels: Vec<_> = results.iter().map(|result| &result["level"]).collect();
        assert_eq!(levels, ["warning", "note", "error"]);
        let place = &results[1]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "srv/a%20b.txt");
        assert_eq!(place["region"]["startLine"], 7);
        assert!(
            !results[1]["message"]["text"]
                .as_str()
                .unwrap()
                .contains(": ,")
        );
        assert_eq!(results[1]["properties"]["failing"], false);
        let said = results[0]["message"]["text"].as_str().unwrap();
        assert!(
            said.contains("perl-base 5.36.0-7, fixed in 5.36.0-8"),
            "{said}"
        );
    }

    #[test]
    fn an_update_that_does_not_mend_a_flaw_makes_it_no_new_one() {
        let mut later = vulnerability(Severity::High);
        later.package.as_mut().unwrap().installed = "5.36.0-9".into();
        later.line = Some(3);
        let prints = |finding| {
            let report = report(vec![finding]);
            report["runs"][0]["results"][0]["partialFingerprints"].clone()
        };
        let before = prints(vulnerability(Severity::High));
        assert_eq!(before, prints(later.clone()));
        later.package.as_mut().unwrap().name = "perl".into();
        assert_ne!(before, prints(later));
    }

    #[test]
    fn a_run_without_scans_is_a_report_of_nothing() {
        let report = report(Vec::new());
        assert_eq!(report["runs"][0]["results"], json!([]));
        assert_eq!(report["runs"][0]["tool"]["driver"]["rules"], json!([]));
    }
}
