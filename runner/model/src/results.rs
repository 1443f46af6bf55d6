//! What steps bring home: test cases, findings, artifacts. Every reader of a foreign format is a
//! module below; here are only the shapes that all renderers see.

pub(crate) mod attempts;
mod format;
mod go_json;
mod history;
mod junit;
mod list;
mod place;
mod tap;
pub mod trivy;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::StepId;

pub use format::{MAX_BYTES, MAX_CASES, MAX_NAME, MAX_TEXT, TestFormat, Unreadable};
pub use history::{History, Past, PastCounts, TestKey};
pub use list::{Counts, Listed, TestState, list};

/// One test that ran inside a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TestCase {
    /// The suite that holds it; may be empty.
    pub suite: String,
    /// The class, module or file by which its framework groups it; may be empty.
    pub class: String,
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: TestOutcome,
    /// How long it took.
    #[serde(rename = "duration_ms", with = "crate::millis")]
    pub duration: Duration,
    /// Where it is written, or else where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What it printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Why it failed in tries before this one, the first try first: attempts of the step, and what
    /// a framework that tries again by itself tells of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<TestFailure>,
}

/// How a test ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// It passed.
    #[default]
    Passed,
    /// An assertion did not hold.
    Failed(TestFailure),
    /// It broke before it could tell.
    Errored(TestFailure),
    /// It was not tried.
    Skipped {
        /// Why, where said.
        message: Option<String>,
    },
}

/// Why a test failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestFailure {
    /// One line.
    pub message: String,
    /// The exception or assertion type; may be empty.
    pub kind: String,
    /// The whole text.
    pub text: String,
}

impl TestCase {
    /// The test stands against its step.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.failure().is_some()
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&TestFailure> {
        match &self.outcome {
            TestOutcome::Failed(failure) | TestOutcome::Errored(failure) => Some(failure),
            TestOutcome::Passed | TestOutcome::Skipped { .. } => None,
        }
    }

    /// It passed, after it had failed on the same code.
    #[must_use]
    pub fn is_flaky(&self) -> bool {
        self.outcome == TestOutcome::Passed && !self.earlier.is_empty()
    }
}

/// How bad a finding is. Ordered, `Critical` the greatest; Trivy's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Not rated.
    Unknown,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// Trivy's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }
}

/// Something that a scan found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is.
    pub class: FindingClass,
    /// `CVE-...`, or the rule's ID.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// What was looked at: a distribution, a lock file, a path in the image.
    pub target: String,
    /// The package, for a vulnerability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<FoundPackage>,
    /// The line in `target`, from 1, for a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// It stands against the gate.
    pub failing: bool,
}

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingClass {
    /// A known vulnerability of a package.
    Vulnerability,
    /// A secret in a file.
    Secret,
}

/// The package of a vulnerability.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPackage {
    /// Its name.
    pub name: String,
    /// The installed version.
    pub installed: String,
    /// The version without the vulnerability, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
}

/// A file or folder that a step left and the run folder keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name in the file.
    pub name: String,
    /// Where it is, relative to the run folder.
    pub path: String,
    /// Plain files in it.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// `blake3:` and the digest of the names, contents and execute bits in it; empty in runs of
    /// before it was kept.
    #[serde(default)]
    pub digest: String,
}

/// An artifact of an earlier step that was put into a step's container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenInput {
    /// Where it went, an absolute path.
    pub target: String,
    /// The step that kept it.
    pub from: StepId,
    /// What it was.
    pub artifact: Artifact,
}
