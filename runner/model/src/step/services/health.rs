//! Health checks, as Compose has them.

use super::Place;
use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::{CommandSpec, HealthcheckSpec};
use crate::unit::Healthcheck;

/// Lowers a health check. What it runs is never interpolated. Without a test it is a fault, unless
/// `inherits` lets the image's stand for it.
pub(in crate::step) fn lower(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &HealthcheckSpec,
    inherits: bool,
) -> Option<Healthcheck> {
    let off = spec.disable.as_ref().filter(|at| at.value);
    let test = match (&spec.test, off) {
        (Some(_), Some(off)) => {
            let fault = Diagnostic::error(
                "a health check that is off cannot have a test",
                off.span.clone(),
            );
            cx.fault(fault.context(place.key_span(cx, &["healthcheck", "test"]), "the test"));
            None
        }
        (None, Some(_)) => Some(vec!["NONE".into()]),
        (Some(said), None) => test(cx, place, said),
        (None, None) if inherits => Some(Vec::new()),
        (None, None) => {
            place.required(cx, None::<&()>, &["healthcheck", "test"]);
            None
        }
    };
    if let Some(at) = spec.retries.as_ref().filter(|at| at.value == 0) {
        cx.fault(Diagnostic::error("`retries` cannot be 0", at.span.clone()));
    }
    let check = Healthcheck {
        interval: cx.some_time("interval", spec.interval.as_ref()),
        timeout: cx.some_time("timeout", spec.timeout.as_ref()),
        retries: spec.retries.as_ref().map(|at| at.value),
        start_period: cx.duration(spec.start_period.as_ref()),
        start_interval: None,
        test: test?,
    };
    Some(check)
}

fn test(cx: &mut Cx<'_>, place: &Place<'_>, spec: &CommandSpec) -> Option<Vec<String>> {
    let help = "an array begins with `CMD`, or with `CMD-SHELL` and has one string after it";
    let span = place.key_span(cx, &["healthcheck", "test"]);
    spec.strings()
        .iter()
        .for_each(|at| cx.never_interpolated("test", at));
    let words = match spec {
        CommandSpec::Line(line) if line.value.trim().is_empty() => {
            cx.fault(Diagnostic::error("`test` is empty", span));
            return None;
        }
        CommandSpec::Line(line) => return Some(vec!["CMD-SHELL".into(), line.value.clone()]),
        CommandSpec::Words(words) => words,
    };
    let fault = match words
        .iter()
        .map(|word| word.value.as_str())
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["NONE"] | ["CMD-SHELL", _] => None,
        ["CMD", rest @ ..] if !rest.is_empty() => None,
        [] | ["CMD" | "CMD-SHELL"] => Some(Diagnostic::error("`test` is empty", span).help(help)),
        ["CMD-SHELL" | "NONE", ..] => {
            Some(Diagnostic::error("`test` has too many words", span).help(help))
        }
        [first, ..] => {
            let fault = Diagnostic::error(format!("`test` cannot begin with `{first}`"), span);
            let at = words.first().map(|word| word.span.start..word.span.start);
            Some(
                fault
                    .help(help)
                    .suggest(at.unwrap_or_default(), "\"CMD\", "),
            )
        }
    };
    match fault {
        Some(fault) => {
            cx.fault(fault);
            None
        }
        None => Some(words.iter().map(|word| word.value.clone()).collect()),
    }
}
