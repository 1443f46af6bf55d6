//! The step kind `build`: an image from a Dockerfile. The Dockerfile's instructions are the
//! engine's to read; here only its stages are.

mod cache;
mod files;
mod settings;

use super::StepKind;
use super::lowered::Lowered;
use super::ulimits::ulimits;
use crate::diag::Diagnostic;
use crate::ids::StepId;
use crate::image::ImageSource;
use crate::plan::Cx;
use crate::spec::BuildSpec;
use crate::unit::{BuildUnit, Unit};

/// Lowers a `build` step.
pub(crate) fn lower(cx: &mut Cx<'_>, id: &str, spec: &BuildSpec) -> Option<Lowered> {
    let image = ImageSource::Step(StepId::from(cx.step_name()));
    let context = files::context(cx, id, spec);
    let dockerfile = context
        .as_ref()
        .and_then(|context| files::dockerfile(cx, id, spec, context));
    let contexts = files::contexts(cx, id, spec.contexts.as_ref());
    if let (Some(context), Some(dockerfile)) = (&context, &dockerfile) {
        files::check_ignore_file(cx, id, spec, context, dockerfile);
    }
    let target = spec.target.as_ref().and_then(|at| cx.literal_at(at));
    let no_cache = spec.no_cache.as_ref().is_some_and(|at| at.value);
    let no_cache_filter = cx.literals(spec.no_cache_filter.as_ref());
    if let (true, Some(first)) = (no_cache, no_cache_filter.first()) {
        let message = "`no_cache` leaves nothing to `no_cache_filter`";
        let fault = Diagnostic::error(message, first.span.clone());
        cx.fault(fault.help("keep one of the two"));
    }
    if let Some(dockerfile) = &dockerfile
        && let Some(stages) = cx.stages(dockerfile)
    {
        let stages = files::Stages {
            of: dockerfile.shown(),
            stages: &stages,
        };
        if let Some(target) = &target {
            stages.check(cx, target, files::Number::Allowed);
        }
        for stage in &no_cache_filter {
            stages.check(cx, stage, files::Number::Refused);
        }
    }
    let args = cx.texts(spec.args.as_ref());
    let tags = cx.tags(spec.tags.as_ref(), &image);
    let mut labels = cx.image_labels.clone();
    let own = cx.labels(spec.labels.as_ref());
    labels.retain(|name, _| !own.contains_key(name));
    let added_labels = labels.keys().cloned().collect();
    labels.extend(own);
    let ssh = settings::ssh(cx, spec.ssh.as_ref());
    let relaxations = match ssh.is_empty() {
        true => Vec::new(),
        false => vec![format!("ssh = {:?}", ssh.keys().collect::<Vec<_>>())],
    };
    let unit = BuildUnit {
        secrets: cx.secrets(spec.secrets.as_ref()),
        cache_from: cache::from(cx, spec.cache_from.as_ref()),
        cache_to: cache::to(cx, spec.cache_to.as_ref()),
        network: cx.network(spec.network.as_ref()),
        platforms: settings::platforms(cx, spec.platforms.as_ref()),
        shm_size: settings::shm_size(cx, spec.shm_size.as_ref()),
        extra_hosts: settings::extra_hosts(cx, spec.extra_hosts.as_ref()),
        ulimits: ulimits(
            cx,
            &["steps", id, "build", "ulimits"],
            spec.ulimits.as_ref(),
        ),
        source_date_epoch: settings::source_date_epoch(cx, spec.reproducible.as_ref()),
        context: context?.value,
        contexts,
        dockerfile: dockerfile?,
        target: target.map(|at| at.value),
        args,
        tags,
        labels,
        added_labels,
        ssh,
        pull: spec.pull.as_ref().is_some_and(|at| at.value),
        no_cache,
        no_cache_filter: no_cache_filter.into_iter().map(|at| at.value).collect(),
    };
    Some(Lowered {
        kind: StepKind::Build,
        unit: Unit::Build(Box::new(unit)),
        relaxations,
        images: Vec::new(),
    })
}
