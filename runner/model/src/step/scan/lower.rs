//! How a scan becomes a container: no network, no engine's socket, an archive of the image and the
//! database to read, and one folder to write to. What Trivy finds is all asked for; the gate is
//! applied to the report afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Gate;
use crate::diag::Diagnostic;
use crate::image::ImageSource;
use crate::plan::{Cx, Scanner, TrivyDb};
use crate::quantity::show_duration;
use crate::results::Severity;
use crate::spec::ScanSpec;
use crate::step::StepKind;
use crate::step::lowered::Lowered;
use crate::text::Text;
use crate::unit::{
    Command, ContainerUnit, Harvest, ImageArchive, Limits, Network, Security, StopPlan, ToolData,
    ToolDataSource, Unit,
};

const INPUT: &str = "/scan";
const ARCHIVE: &str = "image.tar";
/// The only folder that Trivy can write to: the engine gives the report's folder to the user. It is
/// not in memory, since big layers are unpacked there and the report is fetched from it.
const OUTPUT: &str = "/out";
const REPORT: &str = "/out/report.json";
/// Trivy's cache folder; the database is in its folder `db`.
const CACHE: &str = "/trivy";
const DATABASE: &str = "/trivy/db";
/// Trivy publishes a new database every six hours; one a day is asked for.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Nobody, as most distributions number it. The official image would run as root.
const USER: &str = "65534:65534";
/// Analysing big images takes more than a test's 1 GiB.
const MEMORY: u64 = 4 << 30;

/// Lowers a `scan` step.
pub(crate) fn lower(
    cx: &mut Cx<'_>,
    id: &str,
    spec: &ScanSpec,
    scanner: Option<&Scanner>,
    timeout: Duration,
) -> Option<Lowered> {
    let at = cx.required(spec.image.as_ref(), &["steps", id, "scan", "image"]);
    let image = at.and_then(|at| cx.image(at));
    let scanners = scanners(cx, id, spec);
    let gate = Gate {
        severity: severity(cx, id, spec),
        ignore_unfixed: spec.ignore_unfixed.as_ref().is_some_and(|at| at.value),
    };
    let (image, scanner) = (image?, scanner?);
    let span = at.map(|at| at.span.clone()).unwrap_or_default();
    let images = vec![(image.clone(), span)];
    let unit = Unit::Container(Box::new(container(image, &scanners, scanner, timeout)));
    Some(Lowered {
        kind: StepKind::Scan(gate),
        unit,
        relaxations: Vec::new(),
        images,
    })
}

fn scanners(cx: &mut Cx<'_>, id: &str, spec: &ScanSpec) -> Vec<&'static str> {
    let words = [("vuln", "vuln"), ("secret", "secret")];
    let later = "it is not supported by this version, which has `vuln` and `secret`";
    let refused = [("misconfig", later), ("license", later), ("config", later)];
    let Some(all) = &spec.scanners else {
        return vec!["vuln", "secret"];
    };
    if all.is_empty() {
        let span = cx.key_span(&["steps", id, "scan", "scanners"]);
        let fault = Diagnostic::error("`scanners` names nothing to look for", span);
        cx.fault(fault.help("leave it out to look for vulnerabilities and secrets"));
    }
    let mut scanners = Vec::new();
    for at in all {
        if let Some(word) = cx.word("scanners", at, &words, &refused)
            && !scanners.contains(&word)
        {
            scanners.push(word);
        }
    }
    scanners
}

fn severity(cx: &mut Cx<'_>, id: &str, spec: &ScanSpec) -> Vec<Severity> {
    use Severity::{Critical, High, Low, Medium, Unknown};
    let words = [Unknown, Low, Medium, High, Critical].map(|severity| (severity.name(), severity));
    let Some(all) = &spec.severity else {
        return vec![High, Critical];
    };
    if all.is_empty() {
        let span = cx.key_span(&["steps", id, "scan", "severity"]);
        let fault = Diagnostic::error("a gate without a severity lets everything through", span);
        cx.fault(fault.help("name what fails it, such as `[\"HIGH\", \"CRITICAL\"]`"));
    }
    let mut severity: Vec<Severity> = all
        .iter()
        .filter_map(|at| cx.word("severity", at, &words, &[]))
        .collect();
    severity.sort_unstable();
    severity.dedup();
    severity
}

fn container(
    image: ImageSource,
    scanners: &[&str],
    scanner: &Scanner,
    timeout: Duration,
) -> ContainerUnit {
    let input = format!("{INPUT}/{ARCHIVE}");
    let scanners_list = scanners.join(",");
    let arguments = [
        "trivy",
        "image",
        "--input",
        &input,
        "--format",
        "json",
        "--output",
        REPORT,
        "--scanners",
        &scanners_list,
        "--skip-db-update",
        "--skip-java-db-update",
        "--offline-scan",
        "--exit-code",
        "0",
        "--cache-dir",
        CACHE,
        "--cache-backend",
        "memory",
    ];
    let database = scanners
        .contains(&"vuln")
        .then(|| database(&scanner.trivy_db));
    ContainerUnit {
        image: ImageSource::Name(Text::literal(&scanner.trivy)),
        command: Command::Exec(arguments.map(str::to_owned).into()),
        environment: variables(OUTPUT, timeout)
            .into_iter()
            .map(|(name, value)| (name, Text::literal(value)))
            .collect(),
        // Trivy reads settings from where it starts: never from what the project holds.
        working_dir: Some(OUTPUT.into()),
        user: Some(USER.into()),
        network: Network::None,
        security: Security {
            read_only: true,
            ..Security::default()
        },
        limits: Limits {
            memory: Some(MEMORY),
            ..Limits::SEALED
        },
        tmpfs: Vec::new(),
        secrets: Vec::new(),
        source: None,
        inputs: Vec::new(),
        volumes: Vec::new(),
        image_archive: Some(ImageArchive {
            image,
            folder: INPUT.into(),
            file: ARCHIVE.into(),
        }),
        tool_data: database,
        stop: StopPlan::default(),
        services: Vec::new(),
        harvest: Harvest {
            report: Some(REPORT.into()),
            ..Harvest::default()
        },
        always_runs: None,
    }
}

/// Settings that go as variables: one that some version of Trivy does not know is ignored, where
/// an unknown option ends it.
fn variables(writable: &str, timeout: Duration) -> BTreeMap<String, String> {
    // Telemetry is off only if the check for versions is too.
    let all = [
        ("HOME", writable.to_owned()),
        ("TMPDIR", writable.to_owned()),
        ("TRIVY_DISABLE_TELEMETRY", "true".into()),
        ("TRIVY_DISABLE_VEX_NOTICE", "true".into()),
        ("TRIVY_NO_PROGRESS", "true".into()),
        ("TRIVY_SKIP_VERSION_CHECK", "true".into()),
        ("TRIVY_TIMEOUT", show_duration(timeout)),
    ];
    all.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn database(from: &TrivyDb) -> ToolData {
    let update = |repository: Option<&String>| {
        // Not the database's own folder, which Trivy empties before it unpacks what it fetched.
        let mut environment = variables(CACHE, Duration::from_secs(10 * 60));
        if let Some(repository) = repository {
            environment.insert("TRIVY_DB_REPOSITORY".into(), repository.clone());
        }
        let command = ["trivy", "image", "--download-db-only", "--cache-dir", CACHE];
        ToolDataSource::Update {
            command: command.map(str::to_owned).into(),
            environment,
        }
    };
    ToolData {
        title: "Trivy's vulnerability database".into(),
        name: "trivy-db".into(),
        target: DATABASE.into(),
        source: match from {
            TrivyDb::Default => update(None),
            TrivyDb::Repository(repository) => update(Some(repository)),
            TrivyDb::Folder(folder) => ToolDataSource::Folder(folder.clone()),
        },
        max_age: MAX_AGE,
    }
}
