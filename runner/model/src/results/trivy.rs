//! Trivy's JSON report, `SchemaVersion` 2. Every field may be absent and unknown ones are let be;
//! only a report that does not say its version is refused. What surrounds a secret in its file is
//! never read, masked or not: the lines beside it may hold others.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Finding, FindingClass, FoundPackage, Severity};

/// What hoist takes from a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Worst first, each once.
    pub findings: Vec<Reported>,
    /// Trivy knew an operating system, a package or anything else in what it looked at.
    pub recognised: bool,
    /// The operating system, where it gets no fixes any more: `alpine 3.9.4`.
    pub end_of_life: Option<String>,
}

/// A finding that no gate has judged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// What was found; not failing.
    pub finding: Finding,
    /// It can be mended: there is a fixed version, or it is a secret.
    pub fixable: bool,
}

/// Reads a report.
///
/// # Errors
/// When it is not a report of a version that hoist knows; the text says why.
pub fn parse(report: &[u8]) -> Result<Report, String> {
    if report.trim_ascii().is_empty() {
        return Err("it is empty".to_owned());
    }
    let file: File = serde_json::from_slice(report).map_err(|error| error.to_string())?;
    match file.schema_version {
        Some(2) => {}
        Some(other) => {
            return Err(format!(
                "it has the SchemaVersion {other} where 2 is expected"
            ));
        }
        None => return Err("it has no SchemaVersion".to_owned()),
    }
    let os = file.metadata.and_then(|metadata| metadata.os).filter(|os| {
        os.family
            .as_deref()
            .is_some_and(|family| !family.is_empty() && family != "none")
    });
    let results = file.results.unwrap_or_default();
    let recognised = os.is_some() || results.iter().any(Outcome::is_anything);
    let mut unique = BTreeMap::new();
    for result in results {
        result.collect(
            file.artifact_name.as_deref().unwrap_or_default(),
            &mut unique,
        );
    }
    let mut findings: Vec<Reported> = unique.into_values().map(Merged::into_reported).collect();
    // The map's order, by class, name and place, is kept among those that are equally bad.
    findings.sort_by_key(|reported| Reverse(reported.finding.severity));
    let end_of_life = os.filter(|os| os.eosl == Some(true)).map(|os| {
        let [family, name] = [os.family, os.name].map(Option::unwrap_or_default);
        one_line(&format!("{family} {name}"))
    });
    Ok(Report {
        findings,
        recognised,
        end_of_life,
    })
}

/// What makes two findings one: class, target, package or rule, version or line, ID.
type Key = (FindingClass, String, String, String, String);

struct Merged {
    reported: Reported,
    /// Where in the target the package stands, where Trivy says so.
    paths: Vec<String>,
}

impl Merged {
    fn into_reported(self) -> Reported {
        let Self {
            mut reported,
            mut paths,
        } = self;
        if reported.finding.target == CONFIGURATION {
            // A line of a file that nobody has.
            reported.finding.line = None;
        }
        paths.sort_unstable();
        paths.dedup();
        if let Some(first) = paths.first() {
            reported.finding.target = match paths.len() {
                1 => first.clone(),
                count => format!("{first} and {} more", count - 1),
            };
        }
        reported
    }
}

impl Outcome {
    fn is_anything(&self) -> bool {
        let Self {
            class,
            packages,
            vulnerabilities,
            secrets,
            ..
        } = self;
        matches!(class.as_deref(), Some("os-pkgs" | "lang-pkgs"))
            || packages
                .as_ref()
                .is_some_and(|packages| !packages.is_empty())
            || vulnerabilities
                .as_ref()
                .is_some_and(|found| !found.is_empty())
            || secrets.as_ref().is_some_and(|found| !found.is_empty())
    }

    fn collect(self, artifact: &str, to: &mut BTreeMap<Key, Merged>) {
        let target = shown_target(&self.target.unwrap_or_default(), artifact);
        for found in self.vulnerabilities.unwrap_or_default() {
            let path = found.pkg_path.clone();
            add(found.reported(&target), path, to);
        }
        for found in self.secrets.unwrap_or_default() {
            add(found.reported(&target), None, to);
        }
    }
}

fn add(reported: Reported, path: Option<String>, to: &mut BTreeMap<Key, Merged>) {
    let finding = &reported.finding;
    let (name, place) = match &finding.package {
        Some(package) => (package.name.clone(), package.installed.clone()),
        None => (
            String::new(),
            format!("{:09}", finding.line.unwrap_or_default()),
        ),
    };
    let key = (
        finding.class,
        finding.target.clone(),
        name,
        place,
        finding.id.clone(),
    );
    let path = path
        .map(|path| one_line(&path))
        .filter(|path| !path.is_empty());
    match to.get_mut(&key) {
        Some(merged) => {
            let (old, new) = (&mut merged.reported, reported);
            old.fixable |= new.fixable;
            old.finding.severity = old.finding.severity.max(new.finding.severity);
            if let (Some(old), Some(new)) = (&mut old.finding.package, new.finding.package) {
                old.fixed = old.fixed.take().or(new.fixed);
            }
            merged.paths.extend(path);
        }
        None => {
            to.insert(
                key,
                Merged {
                    reported,
                    paths: path.into_iter().collect(),
                },
            );
        }
    }
}

/// What Trivy says of the archive itself, where it is no package: secrets in ENV and the history.
const CONFIGURATION: &str = "image configuration";

/// The target without the archive in which it is: of `/scan/image.tar (debian 12.5)` the words in
/// brackets.
fn shown_target(target: &str, artifact: &str) -> String {
    let rest = match target.strip_prefix(artifact) {
        Some(rest) if !artifact.is_empty() && (rest.is_empty() || rest.starts_with(" (")) => {
            rest.trim().trim_start_matches('(').trim_end_matches(')')
        }
        _ => target,
    };
    match rest.trim() {
        "" => CONFIGURATION.to_owned(),
        rest => one_line(rest),
    }
}

impl Vulnerability {
    fn reported(self, target: &str) -> Reported {
        let fixed = self.fixed_version.map(|version| one_line(&version));
        let fixed = fixed.filter(|version| !version.is_empty());
        let fixable = match self.status.as_deref() {
            None | Some("" | "unknown") => fixed.is_some(),
            Some(status) => status == "fixed",
        };
        let text = |text: Option<String>| one_line(&text.unwrap_or_default());
        let id = text(self.vulnerability_id);
        let title = [self.title, self.description]
            .into_iter()
            .map(text)
            .find(|t| !t.is_empty());
        let finding = Finding {
            class: FindingClass::Vulnerability,
            severity: severity(self.severity.as_deref()),
            title: title.unwrap_or_else(|| id.clone()),
            id,
            target: target.to_owned(),
            package: Some(FoundPackage {
                name: text(self.pkg_name),
                installed: text(self.installed_version),
                fixed,
            }),
            line: None,
            url: self
                .primary_url
                .map(|url| one_line(&url))
                .filter(|url| url.starts_with("https://") || url.starts_with("http://")),
            failing: false,
        };
        Reported { finding, fixable }
    }
}

impl Secret {
    fn reported(self, target: &str) -> Reported {
        let text = |text: Option<String>| one_line(&text.unwrap_or_default());
        let id = text(self.rule_id);
        let title = [self.title, self.category]
            .into_iter()
            .map(text)
            .find(|t| !t.is_empty());
        let finding = Finding {
            class: FindingClass::Secret,
            severity: severity(self.severity.as_deref()),
            title: title.unwrap_or_else(|| id.clone()),
            id,
            target: target.to_owned(),
            package: None,
            line: self.start_line.filter(|line| *line > 0),
            url: None,
            failing: false,
        };
        Reported {
            finding,
            fixable: true,
        }
    }
}

fn severity(word: Option<&str>) -> Severity {
    use Severity::{Critical, High, Low, Medium, Unknown};
    let word = word.unwrap_or_default();
    [Critical, High, Medium, Low]
        .into_iter()
        .find(|severity| severity.name().eq_ignore_ascii_case(word))
        .unwrap_or(Unknown)
}

/// The text on one line, without control characters, and not endless. What people of all the world
/// wrote into advisories and file names comes to terminals from here.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut words = String::new();
    for word in clean.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    match words.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()),
        None => words,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    schema_version: Option<i64>,
    artifact_name: Option<String>,
    metadata: Option<Metadata>,
    results: Option<Vec<Outcome>>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "OS")]
    os: Option<Os>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Os {
    family: Option<String>,
    name: Option<String>,
    #[serde(rename = "EOSL")]
    eosl: Option<bool>,
}

/// One of `Results`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    target: Option<String>,
    class: Option<String>,
    packages: Option<Vec<serde::de::IgnoredAny>>,
    vulnerabilities: Option<Vec<Vulnerability>>,
    secrets: Option<Vec<Secret>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    vulnerability_id: Option<String>,
    pkg_name: Option<String>,
    pkg_path: Option<String>,
    installed_version: Option<String>,
    fixed_version: Option<String>,
    status: Option<String>,
    severity: Option<String>,
    title: Option<String>,
    description: Option<String>,
    #[serde(rename = "PrimaryURL")]
    primary_url: Option<String>,
}

/// `Match` and `Code` are left out on purpose.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    #[serde(rename = "RuleID")]
    rule_id: Option<String>,
    category: Option<String>,
    severity: Option<String>,
    title: Option<String>,
    start_line: Option<usize>,
}
