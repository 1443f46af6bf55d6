//! The step kind `push`: an image to a registry, the very one that was built.

use super::StepKind;
use super::lowered::Lowered;
use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::PushSpec;
use crate::unit::{PushUnit, Unit};

/// Lowers a `push` step.
pub(crate) fn lower(cx: &mut Cx<'_>, id: &str, spec: &PushSpec) -> Option<Lowered> {
    let at = cx.required(spec.image.as_ref(), &["steps", id, "push", "image"]);
    let image = at.and_then(|at| cx.image(at));
    let tags = cx.required(spec.tags.as_ref(), &["steps", id, "push", "tags"]);
    if tags.is_some_and(Vec::is_empty) {
        let span = cx.key_span(&["steps", id, "push", "tags"]);
        cx.fault(Diagnostic::error("`tags` names nothing to push to", span));
    }
    for tag in cx.literals(tags) {
        // Anything may be wrong with it; that is told when it is claimed below.
        if !tag.value.contains('/') {
            let message = format!("`{}` names no registry", tag.value);
            cx.fault(Diagnostic::error(message, tag.span).help(
                "name it in full, such as `registry.example.com/shop:1.2`; Docker Hub is `docker.io/USER/shop`",
            ));
        }
    }
    let image = image?;
    let tags = cx.tags(tags, &image);
    let span = at.map(|at| at.span.clone()).unwrap_or_default();
    let images = vec![(image.clone(), span)];
    let unit = Unit::Push(Box::new(PushUnit { image, tags }));
    Some(Lowered {
        kind: StepKind::Push,
        unit,
        relaxations: Vec::new(),
        images,
    })
}
