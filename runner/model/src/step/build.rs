//! The step kind `build`: an image from a Dockerfile. The Dockerfile's instructions are the
//! engine's to read; here only its stages are.

use std::rc::Rc;

use super::StepKind;
use super::lowered::Lowered;
use crate::diag::{Diagnostic, list, near};
use crate::ids::StepId;
use crate::image::ImageSource;
use crate::plan::{Cx, Entry, Stage, join};
use crate::spec::{At, BuildSpec};
use crate::unit::{BuildUnit, DockerfileSource, Unit};

/// Lowers a `build` step.
pub(crate) fn lower(cx: &mut Cx<'_>, id: &str, spec: &BuildSpec) -> Option<Lowered> {
    let image = ImageSource::Step(StepId::from(id));
    let context = match &spec.context {
        Some(at) => cx.project_path(at),
        None => Some(At {
            span: 0..0,
            value: ".".into(),
        }),
    };
    let dockerfile = context
        .as_ref()
        .and_then(|context| dockerfile(cx, id, spec, context));
    let target = spec.target.as_ref().and_then(|at| cx.literal_at(at));
    if let (Some(target), Some(path)) = (&target, &dockerfile)
        && let Some(stages) = cx.stages(path)
    {
        check_target(cx, target, path, &stages);
    }
    if let (Some(context), Some(path)) = (&context, &dockerfile) {
        let own = format!("{path}.dockerignore");
        let ignore = match cx.entry(&own) {
            Entry::File => own,
            _ => join(&context.value, ".dockerignore"),
        };
        if cx.entry(&ignore) == Entry::File {
            let span = build_key(cx, id, spec.context.as_ref());
            cx.ignore_file(&ignore, span, "it filters this build's context");
        }
    }
    let args = cx.texts(spec.args.as_ref());
    let tags = cx.tags(spec.tags.as_ref(), &image);
    let mut labels = cx.image_labels.clone();
    labels.extend(cx.labels(spec.labels.as_ref()));
    let unit = BuildUnit {
        network: cx.network(spec.network.as_ref()),
        context: context?.value,
        dockerfile: DockerfileSource::File(dockerfile?),
        target: target.map(|at| at.value),
        args,
        tags,
        labels,
        pull: spec.pull.as_ref().is_some_and(|at| at.value),
        no_cache: spec.no_cache.as_ref().is_some_and(|at| at.value),
        ..BuildUnit::default()
    };
    let unit = Unit::Build(Box::new(unit));
    Some(Lowered {
        kind: StepKind::Build,
        unit,
        relaxations: Vec::new(),
        images: Vec::new(),
    })
}

/// The place of a value, or of the step's `build` where nothing is said.
fn build_key(cx: &Cx<'_>, id: &str, at: Option<&At<String>>) -> std::ops::Range<usize> {
    at.map_or_else(
        || cx.key_span(&["steps", id, "build"]),
        |at| at.span.clone(),
    )
}

/// The Dockerfile's path, if it and the context are there.
fn dockerfile(cx: &mut Cx<'_>, id: &str, spec: &BuildSpec, context: &At<String>) -> Option<String> {
    if cx.entry(&context.value) != Entry::Folder {
        let span = build_key(cx, id, spec.context.as_ref());
        cx.folder("build context", &context.value, span);
        return None;
    }
    let named = match &spec.dockerfile {
        Some(at) => Some(cx.project_path(at)?),
        None => None,
    };
    let path = named
        .as_ref()
        .map_or_else(|| join(&context.value, "Dockerfile"), |at| at.value.clone());
    if cx.entry(&path) == Entry::File {
        return Some(path);
    }
    let in_context = join(&context.value, &path);
    match named {
        // Compose takes the path from the context.
        Some(at) if cx.entry(&in_context) == Entry::File => {
            let message = format!("the Dockerfile `{path}` does not exist");
            let fault = Diagnostic::error(message, at.span.clone());
            let fault = fault.help("paths are relative to the project's root, not to the context");
            cx.fault(fault.suggest(at.span, format!("\"{in_context}\"")));
        }
        Some(at) => {
            cx.file("Dockerfile", &path, at.span);
        }
        None if cx.entry(&path) == Entry::Missing => {
            let span = cx.key_span(&["steps", id, "build"]);
            cx.fault(
                Diagnostic::error(format!("the Dockerfile `{path}` does not exist"), span)
                    .help("write one, or name another with `dockerfile`"),
            );
        }
        None => {
            let span = cx.key_span(&["steps", id, "build"]);
            cx.file("Dockerfile", &path, span);
        }
    }
    None
}

/// Docker takes a stage's name in any case, or its number from 0.
fn check_target(cx: &mut Cx<'_>, target: &At<String>, path: &str, stages: &Rc<Vec<Stage>>) {
    let wanted = target.value.to_lowercase();
    let is_number = wanted
        .parse()
        .is_ok_and(|number: usize| number < stages.len());
    let names: Vec<&str> = stages
        .iter()
        .filter_map(|stage| stage.name.as_deref())
        .collect();
    if is_number || names.contains(&wanted.as_str()) {
        return;
    }
    let message = format!("`{path}` has no stage `{}`", target.value);
    let fault = Diagnostic::error(message, target.span.clone());
    cx.fault(match near(&wanted, names.iter().copied()) {
        Some(meant) => fault
            .help(format!("did you mean `{meant}`?"))
            .suggest(target.span.clone(), format!("\"{meant}\"")),
        None if names.is_empty() => {
            fault.help("none of its stages has a name: `FROM image AS name` gives one")
        }
        None => fault.help(format!("its stages are {}", list(&names))),
    });
}
