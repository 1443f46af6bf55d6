//! The step kind `run`: a command in a sealed container. Each key that relaxes the sealing is put
//! into words, for the plan and the report.

use std::collections::BTreeMap;

use super::StepKind;
use super::lowered::Lowered;
use super::services::beside;
use super::volumes::caches;
use crate::diag::Diagnostic;
use crate::image::ImageSource;
use crate::inputs::Force;
use crate::plan::{Cx, Inside, is_within};
use crate::quantity::show_size;
use crate::results::TestFormat;
use crate::spec::{Artifacts, At, CommandSpec, OneOrMany, StepSpec};
use crate::text::Text;
use crate::unit::{
    CacheVolume, Command, ContainerUnit, Harvest, Limits, Network, Security, SourceCopy, StopPlan,
    Tmpfs, Unit,
};

/// Where the copy of the project goes.
const WORKSPACE: &str = "/workspace";

/// Lowers a `run` step.
pub(crate) fn lower(cx: &mut Cx<'_>, id: &str, spec: &StepSpec) -> Option<Lowered> {
    let image = cx.required(spec.image.as_ref(), &["steps", id, "image"]);
    let image = image.and_then(|at| cx.image(at));
    let command = spec.run.as_ref().and_then(|run| command(cx, id, run));
    let mut environment = cx.texts(spec.environment.as_ref());
    for (axis, value) in cx.cell_values() {
        let name = format!("MATRIX_{}", axis.to_uppercase());
        let value = Text::literal(value.as_str());
        environment.entry(name).or_insert(value);
    }
    let working_dir = spec.working_dir.as_ref().and_then(|at| cx.literal_at(at));
    let working_dir = working_dir.and_then(|at| cx.container_path(&at));
    let user = cx.literal_opt(spec.user.as_ref());
    let tmpfs = cx.tmpfs(spec.tmpfs.as_ref());
    let network = cx.network(spec.network.as_ref()).unwrap_or_default();
    let security = Security {
        cap_add: cx.capabilities(spec.cap_add.as_ref()),
        read_only: spec.read_only.as_ref().is_some_and(|at| at.value),
        ..Security::default()
    };
    let mut limits = cx.limits(spec.resources.as_ref(), cx.run_limits.clone());
    limits.shm_size = cx.size(spec.shm_size.as_ref());
    let source = source(cx, spec, image.as_ref());
    let secrets = cx.secrets(spec.secrets.as_ref());
    let workspace = source.as_ref().map(|source| source.target.as_str());
    let volumes = caches(cx, spec.volumes.as_ref(), &tmpfs, workspace);
    let always_runs = always_runs(network, &volumes, spec.cache.as_ref());
    let inputs = cx.inputs(
        spec.inputs.as_ref(),
        &Inside {
            base: working_dir
                .as_deref()
                .or(source.as_ref().map(|source| source.target.as_str())),
            read_only: security.read_only,
            tmpfs: &tmpfs,
            volumes: &volumes,
        },
    );
    let mut harvest = harvest(cx, spec.artifacts.as_ref(), &tmpfs);
    harvest.outputs = spec.outputs.as_ref().and_then(|at| outputs(cx, at, &tmpfs));
    let grace = cx.duration(spec.stop_grace_period.as_ref());
    let stop = StopPlan {
        signal: cx.signal(spec.stop_signal.as_ref()),
        grace: grace.unwrap_or(StopPlan::GRACE),
    };
    let services = beside::lower(cx, id, &spec.services);
    let mut relaxations = relaxations(network, &security, &limits);
    relaxations.extend(services.iter().flatten().flat_map(beside::relaxations));
    relaxations.extend(volumes.iter().map(|volume| {
        let mode = if volume.read_only { ":ro" } else { "" };
        format!("volumes = [\"{}:{}{mode}\"]", volume.name, volume.target)
    }));
    let unit = ContainerUnit {
        image: image?,
        command: command?,
        environment,
        working_dir,
        user,
        network,
        security,
        limits,
        tmpfs,
        secrets,
        source,
        inputs,
        volumes,
        image_archive: None,
        tool_data: None,
        services: services?,
        stop,
        harvest,
        always_runs,
    };
    let unit = Unit::Container(Box::new(unit));
    Some(Lowered {
        kind: StepKind::Run,
        unit,
        relaxations,
        images: Vec::new(),
    })
}

/// Why no earlier run stands for the step. What a step finds in a network or in a volume may be
/// another thing each time.
fn always_runs(
    network: Network,
    volumes: &[CacheVolume],
    cache: Option<&At<bool>>,
) -> Option<Force> {
    match (cache.map(|at| at.value), network) {
        (Some(true), _) => None,
        (Some(false), _) => Some(Force::Off),
        (None, Network::Bridge) => Some(Force::Network),
        (None, Network::None) => (!volumes.is_empty()).then_some(Force::Volume),
    }
}

fn command(cx: &mut Cx<'_>, id: &str, spec: &CommandSpec) -> Option<Command> {
    spec.strings()
        .iter()
        .for_each(|at| cx.never_interpolated("run", at));
    match spec {
        CommandSpec::Line(line) if line.value.trim().is_empty() => {
            cx.fault(Diagnostic::error("`run` is empty", line.span.clone()));
            None
        }
        CommandSpec::Line(line) => Some(Command::Shell(line.value.clone())),
        CommandSpec::Words(words) if words.first().is_none_or(|word| word.value.is_empty()) => {
            let span = cx.key_span(&["steps", id, "run"]);
            cx.fault(Diagnostic::error("`run` is empty", span));
            None
        }
        CommandSpec::Words(words) => Some(Command::Exec(
            words.iter().map(|word| word.value.clone()).collect(),
        )),
    }
}

fn source(cx: &mut Cx<'_>, spec: &StepSpec, image: Option<&ImageSource>) -> Option<SourceCopy> {
    let is_built = match image {
        Some(ImageSource::Step(_)) => true,
        Some(ImageSource::Name(text)) => text.references().next().is_some(),
        None => return None,
    };
    let wanted = spec.source.as_ref().map_or(!is_built, |at| at.value);
    let ignorefile = spec
        .source_ignorefile
        .as_ref()
        .and_then(|at| cx.project_path(at));
    if !wanted {
        if let Some(file) = ignorefile {
            let fault =
                Diagnostic::error("there is no copy of the project to be filtered", file.span);
            cx.fault(
                fault.help("a step on an image of this pipeline gets one with `source = true`"),
            );
        }
        return None;
    }
    match &ignorefile {
        Some(file) if cx.file("ignore file", &file.value, file.span.clone()) => {
            cx.ignore_file(
                &file.value,
                file.span.clone(),
                "it filters this step's copy of the project",
            );
        }
        Some(_) => {}
        None => {
            let span = spec
                .image
                .as_ref()
                .map(|at| at.span.clone())
                .unwrap_or_default();
            cx.ignore_file(
                ".dockerignore",
                span,
                "it filters this step's copy of the project",
            );
        }
    }
    let ignorefile = ignorefile.map(|file| file.value);
    Some(SourceCopy {
        ignorefile,
        target: WORKSPACE.into(),
    })
}

/// What is fetched of what the command leaves.
fn harvest(cx: &mut Cx<'_>, spec: Option<&Artifacts>, tmpfs: &[Tmpfs]) -> Harvest {
    let mut harvest = Harvest::default();
    let Some(spec) = spec else { return harvest };
    let mut seen: BTreeMap<String, &At<String>> = BTreeMap::new();
    for (name, path) in spec.paths.iter().flatten() {
        cx.name("an artifact", name);
        let Some(at) = cx.literal_at(path) else {
            continue;
        };
        let Some(clean) = fetched(cx, &at, tmpfs) else {
            continue;
        };
        if let Some(before) = seen.insert(clean.clone(), path) {
            cx.fault(
                Diagnostic::error(format!("`{clean}` is kept twice"), at.span.clone())
                    .context(before.span.clone(), "first here"),
            );
        }
        let slash = if at.value.ends_with('/') { "/" } else { "" };
        harvest
            .paths
            .insert(name.value.clone(), format!("{clean}{slash}"));
    }
    if let Some(reports) = &spec.reports {
        for (format, patterns) in [
            (TestFormat::Junit, &reports.junit),
            (TestFormat::Tap, &reports.tap),
            (TestFormat::GoJson, &reports.go_json),
        ] {
            let found = test_results(cx, format, patterns.as_ref(), tmpfs);
            harvest.patterns(format).extend(found);
        }
    }
    harvest
}

/// The file that the command writes its outputs to.
fn outputs(cx: &mut Cx<'_>, at: &At<String>, tmpfs: &[Tmpfs]) -> Option<String> {
    let at = cx.literal_at(at)?;
    let path = fetched(cx, &at, tmpfs)?;
    if at.value.ends_with('/') {
        let fault = Diagnostic::error("`outputs` names a file, not a folder", at.span.clone());
        cx.fault(fault.suggest(at.span, format!("\"{path}\"")));
        return None;
    }
    Some(path)
}

/// The patterns of files with test results in a format.
fn test_results(
    cx: &mut Cx<'_>,
    format: TestFormat,
    patterns: Option<&OneOrMany>,
    tmpfs: &[Tmpfs],
) -> Vec<String> {
    let key = format.key();
    let ending = match format {
        TestFormat::Junit => "xml",
        TestFormat::Tap => "tap",
        TestFormat::GoJson => "json",
    };
    let mut found = Vec::new();
    for at in cx.literals(patterns.map(|all| &all.0)) {
        let Some(clean) = fetched(cx, &at, tmpfs) else {
            continue;
        };
        let (folder, _) = clean.rsplit_once('/').unwrap_or_default();
        if folder.contains(['*', '?']) {
            let fault = "only the last part of a path may be a pattern";
            let example = format!("\"/reports/a/*.{ending}\", \"/reports/b/*.{ending}\"");
            cx.fault(
                Diagnostic::error(fault, at.span.clone())
                    .help(format!("name each folder: `{key} = [{example}]`")),
            );
        } else if at.value.ends_with('/') {
            let what = format!("`{key}` names files, not a folder");
            let fault = Diagnostic::error(what, at.span.clone());
            cx.fault(fault.suggest(at.span, format!("\"{clean}/*.{ending}\"")));
        } else {
            found.push(clean);
        }
    }
    found
}

/// A path that can be fetched from a stopped container.
fn fetched(cx: &mut Cx<'_>, at: &At<String>, tmpfs: &[Tmpfs]) -> Option<String> {
    let path = cx.container_path(at)?;
    let fault = |message: String| Diagnostic::error(message, at.span.clone());
    let no = ["/proc", "/sys", "/dev"]
        .iter()
        .find(|folder| is_within(&path, folder));
    let fault = if path == "/" || no.is_some() {
        fault(format!("`{}` cannot be kept", at.value))
            .help("name a folder that the command writes to")
    } else if is_within(&path, "/run/secrets") {
        fault("secrets cannot be kept".into()).help("name a folder that the command writes to")
    } else if let Some(mount) = tmpfs.iter().find(|mount| is_within(&path, &mount.target)) {
        fault(format!(
            "`{}` is in memory, and gone when the command ends",
            at.value
        ))
        .help(format!("write to a folder outside of `{}`", mount.target))
    } else {
        return Some(path);
    };
    cx.fault(fault);
    None
}

fn relaxations(network: Network, security: &Security, limits: &Limits) -> Vec<String> {
    let mut words = Vec::new();
    if network == Network::Bridge {
        words.push("network = \"bridge\"".to_owned());
    }
    if !security.cap_add.is_empty() {
        words.push(format!("cap_add = {:?}", security.cap_add));
    }
    if limits.memory > Limits::SEALED.memory {
        let bytes = limits.memory.unwrap_or_default();
        words.push(format!(
            "resources.limits.memory = \"{}\"",
            show_size(bytes)
        ));
    }
    if limits.pids > Limits::SEALED.pids {
        words.push(format!(
            "resources.limits.pids = {}",
            limits.pids.unwrap_or_default()
        ));
    }
    words
}
