//! `extends`: what a deploy takes over from that of another step. Only the file is asked, so whether
//! the other step is run is no matter.

use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::{At, DeploySpec, Merged, Over};

/// A deploy with all that it takes over, and the steps that it takes it from, the nearest first;
/// nothing if one of them is none, which was told then.
pub(super) fn merged(
    cx: &mut Cx<'_>,
    id: &str,
    spec: &DeploySpec,
) -> Option<(Merged, Vec<String>)> {
    let mut chain: Vec<(String, At<String>)> = Vec::new();
    let mut parts = vec![Merged::from(spec)];
    let mut own = id.to_owned();
    let mut next = spec.extends.as_ref();
    while let Some(at) = next {
        let base = cx.literal_at(at)?;
        let deploy = deploy(cx, &own, &base)?;
        chain.push((own, base.clone()));
        if base.value == id {
            circle(cx, &chain);
            return None;
        }
        // A circle that this deploy only leads to is told of those that are in it.
        if chain.iter().any(|(step, _)| *step == base.value) {
            return None;
        }
        parts.push(Merged::from(deploy));
        next = deploy.extends.as_ref();
        own = base.value;
    }
    let bases = chain.into_iter().map(|(_, base)| base.value).collect();
    let merged = parts.into_iter().rev().reduce(|base, own| own.over(base))?;
    Some((merged, bases))
}

/// The deploy of another step.
fn deploy<'a>(cx: &mut Cx<'a>, own: &str, base: &At<String>) -> Option<&'a DeploySpec> {
    let file = cx.spec;
    let deploys = file.steps.iter().filter(|(_, step)| step.deploy.is_some());
    let Some(step) = file.steps.get(base.as_str()) else {
        let message = format!("there is no step `{}`", base.value);
        let others = deploys.map(|(name, _)| name.as_str());
        cx.unknown_name(base, message, others.filter(|name| *name != own));
        return None;
    };
    if step.deploy.is_none() {
        let message = format!("the step `{}` deploys nothing", base.value);
        let fault = Diagnostic::error(message, base.span.clone());
        cx.fault(fault.help("name a step with `deploy`"));
    }
    step.deploy.as_deref()
}

/// Told once, of the step that is written first.
fn circle(cx: &mut Cx<'_>, chain: &[(String, At<String>)]) {
    let first = chain.iter().min_by_key(|(_, base)| base.span.start);
    let (Some((own, at)), Some((start, _))) = (first, chain.first()) else {
        return;
    };
    if own != start {
        return;
    }
    let fault = match chain {
        [_] => Diagnostic::error("a deploy cannot extend itself", at.span.clone()),
        _ => {
            let names: Vec<&str> = chain.iter().map(|(own, _)| own.as_str()).collect();
            let message = format!(
                "deploys extend one another in a circle: {} -> {start}",
                names.join(" -> ")
            );
            let fault = Diagnostic::error(message, at.span.clone());
            let rest = chain.iter().skip(1);
            rest.fold(fault, |fault, (own, at)| {
                fault.context(at.span.clone(), format!("`{own}` extends `{}`", at.value))
            })
        }
    };
    cx.fault(fault.help("put what they share into one that extends none"));
}
