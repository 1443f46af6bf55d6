//! How a new generation of a service takes the place of the one before: `strategy`,
//! `update_config` and `canary`. What goes with a service's ports and volumes is in `fit`.

use std::time::Duration;

use super::Place;
use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::quantity::show_duration;
use crate::spec::{At, CanarySpec, Number, ServiceSpec, UpdateConfigSpec};
use crate::unit::{CanaryPlan, FailureAction, Strategy, UpdateOrder, UpdatePlan};

const STRATEGIES: [(&str, Strategy); 4] = [
    ("recreate", Strategy::Recreate),
    ("blue-green", Strategy::BlueGreen),
    ("rolling", Strategy::Rolling),
    ("canary", Strategy::Canary),
];

/// The most containers that a service has.
const MOST_REPLICAS: u32 = 100;

/// The word that the file has for a strategy.
pub(super) fn word(strategy: Strategy) -> &'static str {
    let known = STRATEGIES.iter().find(|(_, known)| *known == strategy);
    known.map_or("", |(word, _)| word)
}

/// The strategy; nothing if what the file says is none, which was told then.
pub(super) fn strategy(cx: &mut Cx<'_>, spec: &ServiceSpec) -> Option<Strategy> {
    match &spec.strategy {
        Some(at) => cx.word("strategy", at, &STRATEGIES, &[]),
        None => Some(Strategy::default()),
    }
}

/// How many containers.
pub(super) fn replicas(cx: &mut Cx<'_>, spec: &ServiceSpec) -> u32 {
    let Some(at) = &spec.replicas else { return 1 };
    if !(1..=MOST_REPLICAS).contains(&at.value) {
        let message = format!("`replicas` cannot be {}", at.value);
        let fault = Diagnostic::error(message, at.span.clone());
        cx.fault(fault.help(format!("it can be 1 to {MOST_REPLICAS}")));
    }
    at.value
}

/// How an update goes on.
pub(super) fn lower(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &ServiceSpec,
    strategy: Option<Strategy>,
) -> UpdatePlan {
    only_where_acted_upon(cx, place, spec, strategy);
    let base = UpdatePlan::default();
    let strategy = strategy.unwrap_or_default();
    let canary = canary(cx, place, spec.canary.as_ref());
    let none = UpdateConfigSpec::default();
    let said = spec.update_config.as_ref().unwrap_or(&none);
    let orders = [
        ("start-first", UpdateOrder::StartFirst),
        ("stop-first", UpdateOrder::StopFirst),
    ];
    let order = said.order.as_ref();
    let order = order.and_then(|at| cx.word("order", at, &orders, &[]));
    let actions = [
        ("rollback", FailureAction::Rollback),
        ("pause", FailureAction::Pause),
    ];
    let on = "a release that failed cannot go on; it can go back, or stay as it is";
    let action = said.failure_action.as_ref();
    let action = action.and_then(|at| cx.word("failure_action", at, &actions, &[("continue", on)]));
    UpdatePlan {
        strategy,
        parallelism: said
            .parallelism
            .as_ref()
            .map_or(base.parallelism, |at| at.value),
        delay: cx.duration(said.delay.as_ref()).unwrap_or(base.delay),
        order: order.unwrap_or(base.order),
        max_failure_ratio: share(cx, "max_failure_ratio", said.max_failure_ratio.as_ref())
            .unwrap_or(base.max_failure_ratio),
        monitor: cx.duration(said.monitor.as_ref()).unwrap_or(base.monitor),
        failure_action: action.unwrap_or(base.failure_action),
        canary: (strategy == Strategy::Canary).then_some(canary),
    }
}

/// Notes a fault if the step ends before the update can.
pub(super) fn ends_in_time(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &ServiceSpec,
    update: &UpdatePlan,
    replicas: u32,
) {
    let pauses = match (&update.canary, update.strategy, update.parallelism) {
        (Some(canary), ..) => {
            let steps = u32::try_from(canary.weights.len()).unwrap_or(u32::MAX);
            canary.step.saturating_mul(steps)
        }
        (None, Strategy::Rolling, at_once @ 1..) => {
            let groups = replicas.div_ceil(at_once);
            update.delay.saturating_mul(groups.saturating_sub(1))
        }
        _ => Duration::ZERO,
    };
    let least = pauses.saturating_add(update.monitor);
    if least <= place.timeout {
        return;
    }
    let name = &place.at.name.value;
    let message = format!(
        "the update of `{name}` takes {} at least, and the step ends after {}",
        show_duration(least),
        show_duration(place.timeout)
    );
    let said = spec.update_config.as_ref();
    let delay = said.and_then(|said| said.delay.as_ref().or(said.monitor.as_ref()));
    let step = spec.canary.as_ref().and_then(|canary| canary.step.as_ref());
    let span = step.or(delay).map(|at| at.span.clone());
    let span = span.or_else(|| spec.strategy.as_ref().map(|at| at.span.clone()));
    let fault = Diagnostic::error(message, span.unwrap_or_else(|| place.at.name.span.clone()));
    cx.fault(fault.help("give the step a longer `timeout`, or the update less time"));
}

/// Notes the keys that another strategy has.
fn only_where_acted_upon(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &ServiceSpec,
    strategy: Option<Strategy>,
) {
    let Some(strategy) = strategy else { return };
    let said = spec.update_config.as_ref();
    let is_said = |key: fn(&UpdateConfigSpec) -> bool| said.is_some_and(key);
    let of_rolling = [
        ("parallelism", is_said(|said| said.parallelism.is_some())),
        ("delay", is_said(|said| said.delay.is_some())),
        ("order", is_said(|said| said.order.is_some())),
        (
            "max_failure_ratio",
            is_said(|said| said.max_failure_ratio.is_some()),
        ),
    ];
    let of_rolling = of_rolling
        .into_iter()
        .filter(|(_, is_said)| *is_said)
        .map(|(key, _)| (vec!["update_config", key], Strategy::Rolling));
    let of_canary = spec
        .canary
        .iter()
        .map(|_| (vec!["canary"], Strategy::Canary));
    for (path, owner) in of_rolling.chain(of_canary) {
        if owner == strategy {
            continue;
        }
        let key = path.last().copied().unwrap_or_default();
        let owner = word(owner);
        let message = format!("`{key}` goes with the strategy `{owner}`");
        let fault = Diagnostic::error(message, place.at.key_span(cx, &path));
        let fault = match &spec.strategy {
            Some(at) => fault.context(at.span.clone(), "this is another"),
            None => fault.says("nothing is said of one, so it is `recreate`"),
        };
        cx.fault(fault.help(format!("say `strategy = \"{owner}\"`, or leave it out")));
    }
}

fn canary(cx: &mut Cx<'_>, place: &Place<'_>, spec: Option<&CanarySpec>) -> CanaryPlan {
    let none = CanarySpec::default();
    let said = spec.unwrap_or(&none);
    if let Some(at) = said.min_requests.as_ref().filter(|at| at.value == 0) {
        let fault = Diagnostic::error("`min_requests` cannot be 0", at.span.clone());
        cx.fault(fault.help("of no requests nothing can be said"));
    }
    let factor = said.max_latency_ratio.as_ref();
    CanaryPlan {
        weights: match &said.weights {
            Some(weights) => shares(cx, place, weights),
            None => vec![10, 50],
        },
        step: cx
            .some_time("step", said.step.as_ref())
            .unwrap_or(Duration::from_secs(60)),
        min_requests: said.min_requests.as_ref().map_or(100, |at| at.value),
        max_error_rate: share(cx, "max_error_rate", said.max_error_rate.as_ref()).unwrap_or(0.01),
        max_latency_ratio: number(
            cx,
            "max_latency_ratio",
            factor,
            |factor| factor > 0.0,
            "it is a factor above 0, such as 1.5",
        ),
    }
}

/// Shares of the traffic in percent.
fn shares(cx: &mut Cx<'_>, place: &Place<'_>, weights: &[At<u32>]) -> Vec<u32> {
    let help = "they are percent, such as `[10, 50]`: each from 1 to 99 and above the one before";
    if weights.is_empty() {
        let span = place.at.key_span(cx, &["canary", "weights"]);
        cx.fault(Diagnostic::error("`weights` is empty", span).help(help));
    }
    let mut before: Option<&At<u32>> = None;
    for at in weights {
        if !(1..=99).contains(&at.value) {
            let message = format!("a canary cannot have {} % of the traffic", at.value);
            cx.fault(Diagnostic::error(message, at.span.clone()).help(help));
        } else if let Some(before) = before.filter(|before| before.value >= at.value) {
            let message = format!("{} % after {} % is no more", at.value, before.value);
            cx.fault(Diagnostic::error(message, at.span.clone()).help(help));
        }
        before = Some(at);
    }
    weights.iter().map(|at| at.value).collect()
}

/// A share, from 0 to 1.
fn share(cx: &mut Cx<'_>, key: &str, at: Option<&At<Number>>) -> Option<f64> {
    let help = "it is a share, from 0 to 1: 0.01 is one of a hundred";
    number(cx, key, at, |share| (0.0..=1.0).contains(&share), help)
}

fn number(
    cx: &mut Cx<'_>,
    key: &str,
    at: Option<&At<Number>>,
    holds: impl Fn(f64) -> bool,
    help: &str,
) -> Option<f64> {
    let at = at?;
    let text = cx.literal(at)?;
    let number = text.parse::<f64>().ok();
    let number = number.filter(|number| number.is_finite() && holds(*number));
    if number.is_none() {
        let message = format!("`{key}` cannot be `{text}`");
        cx.fault(Diagnostic::error(message, at.span.clone()).help(help));
    }
    number
}
