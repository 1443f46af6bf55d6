//! Bounds of single processes: those of a build's instructions and those of services.

use std::collections::BTreeMap;

use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::{At, Scalar, UlimitSpec};
use crate::unit::Ulimit;

/// Bounds of a process by Docker's names (github.com/docker/go-units, ulimit.go).
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Bounds of processes. `table` is the path of their table.
pub(super) fn ulimits(
    cx: &mut Cx<'_>,
    table: &[&str],
    all: Option<&BTreeMap<At<String>, At<UlimitSpec>>>,
) -> BTreeMap<String, Ulimit> {
    let mut ulimits = BTreeMap::new();
    for (name, spec) in all.into_iter().flatten() {
        if !ULIMITS.contains(&name.as_str()) {
            let message = format!("there is no bound `{}` of a process", name.value);
            cx.unknown_name(name, message, ULIMITS);
            continue;
        }
        let (soft, hard) = match &spec.value {
            UlimitSpec::Both(value) => {
                let value = At {
                    span: spec.span.clone(),
                    value: value.clone(),
                };
                let value = bound(cx, name, &value);
                (value, value)
            }
            UlimitSpec::Each(bounds) => {
                let path = |key| [table, &[name.as_str(), key]].concat();
                let soft = cx.required(bounds.soft.as_ref(), &path("soft"));
                let soft = soft.and_then(|at| bound(cx, name, at));
                let hard = cx.required(bounds.hard.as_ref(), &path("hard"));
                let hard = hard.and_then(|at| bound(cx, name, at));
                (soft, hard)
            }
        };
        let (Some(soft), Some(hard)) = (soft, hard) else {
            continue;
        };
        if hard != -1 && (soft == -1 || soft > hard) {
            let message = format!("`{}` has a `soft` above its `hard`", name.value);
            let fault = Diagnostic::error(message, spec.span.clone());
            cx.fault(fault.help("`soft` is what a process has, `hard` what it may ask for"));
            continue;
        }
        ulimits.insert(name.value.clone(), Ulimit { soft, hard });
    }
    ulimits
}

fn bound(cx: &mut Cx<'_>, name: &At<String>, at: &At<Scalar>) -> Option<i64> {
    let text = cx.literal(at)?;
    match text.parse() {
        Ok(bound) if bound >= -1 => Some(bound),
        _ => {
            let message = format!("`{}` cannot be `{text}`", name.value);
            let fault = Diagnostic::error(message, at.span.clone());
            cx.fault(fault.help("it is a whole number; -1 is no bound"));
            None
        }
    }
}
