//! The bounds of a deployed service beyond those that every container has. It refuses what an
//! engine would refuse in the middle of a release.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::quantity::{duration, show_size};
use crate::spec::{At, BlkioSpec, DeviceRateSpec, DeviceWeightSpec, Scalar, ServiceSpec};
use crate::step::services::Place;
use crate::step::ulimits::ulimits;
use crate::unit::{BlkioLimits, DeviceRate, Limits};

/// The most processors that a set may name.
const MOST_PROCESSORS: u16 = 8192;

/// Adds to `limits`, in which what `resources` says already stands.
pub(super) fn lower(cx: &mut Cx<'_>, place: &Place<'_>, spec: &ServiceSpec, limits: &mut Limits) {
    limits.memory_swap = memory_swap(cx, spec.memswap_limit.as_ref(), limits.memory);
    limits.memory_swappiness = within(cx, "mem_swappiness", &spec.mem_swappiness, 0..=100);
    limits.cpu_shares = within(cx, "cpu_shares", &spec.cpu_shares, 2..=262_144);
    quota(cx, spec, limits);
    limits.cpuset = spec.cpuset.as_ref().and_then(|at| cpuset(cx, at));
    if let Some(said) = &spec.blkio_config {
        limits.blkio = blkio(cx, place, said);
    }
    let table = place.path(&["ulimits"]);
    limits.ulimits = ulimits(cx, &table, spec.ulimits.as_ref());
    limits.oom_score_adj = within(cx, "oom_score_adj", &spec.oom_score_adj, -1000..=1000);
    pids(cx, spec, limits);
}

/// What the file relaxes by these bounds, in words.
pub(super) fn relaxations(name: &str, limits: &Limits) -> Vec<String> {
    let mut words = Vec::new();
    match limits.memory_swap {
        Some(-1) => words.push(format!("services.{name}.memswap_limit = -1")),
        Some(bytes) if u64::try_from(bytes).ok() > limits.memory => {
            let bytes = show_size(u64::try_from(bytes).unwrap_or_default());
            words.push(format!("services.{name}.memswap_limit = \"{bytes}\""));
        }
        Some(_) | None => {}
    }
    for (bound, ulimit) in &limits.ulimits {
        let (soft, hard) = (ulimit.soft, ulimit.hard);
        words.push(format!(
            "services.{name}.ulimits.{bound} = {{ soft = {soft}, hard = {hard} }}"
        ));
    }
    if let Some(score) = limits.oom_score_adj.filter(|score| *score < 0) {
        words.push(format!("services.{name}.oom_score_adj = {score}"));
    }
    words
}

fn memory_swap(cx: &mut Cx<'_>, at: Option<&At<Scalar>>, memory: Option<u64>) -> Option<i64> {
    let at = at?;
    let text = cx.literal(at)?;
    let fault = |message: &str, help: &str| {
        Diagnostic::error(message, at.span.clone()).help(help.to_owned())
    };
    let Some(memory) = memory else {
        let message = "`memswap_limit` goes with `resources.limits.memory`";
        cx.fault(fault(
            message,
            "it is the bound on memory and swap together",
        ));
        return None;
    };
    if text == "-1" {
        return Some(-1);
    }
    let bytes = cx.size(Some(at))?;
    if bytes < memory {
        let message = format!("this is less than memory alone, {}", show_size(memory));
        let help =
            "it is the bound on memory and swap together; with the same number there is no swap";
        cx.fault(fault(&message, help));
    }
    i64::try_from(bytes).ok()
}

/// Processor time in a period, which an engine has either so or as a number of processors.
fn quota(cx: &mut Cx<'_>, spec: &ServiceSpec, limits: &mut Limits) {
    let quota = spec.cpu_quota.as_ref();
    let period = spec.cpu_period.as_ref();
    limits.cpu_quota = quota.and_then(|at| micros(cx, "cpu_quota", at, 1000..=u64::MAX));
    limits.cpu_period = period.and_then(|at| micros(cx, "cpu_period", at, 1000..=1_000_000));
    if let (Some(at), None) = (period, quota) {
        let fault = Diagnostic::error("`cpu_period` goes with a `cpu_quota`", at.span.clone());
        cx.fault(fault.help("the quota is the processor time in each period"));
    }
    let limit = spec.resources.as_ref().and_then(|r| r.limits.as_ref());
    if let (Some(at), Some(cpus)) = (quota, limit.and_then(|limit| limit.cpus.as_ref())) {
        let message = "`cpu_quota` and `resources.limits.cpus` are two ways to say one thing";
        let fault = Diagnostic::error(message, at.span.clone());
        let fault = fault.context(cpus.span.clone(), "here too");
        cx.fault(fault.help("keep one of the two"));
    }
}

fn micros(cx: &mut Cx<'_>, key: &str, at: &At<Scalar>, range: RangeInclusive<u64>) -> Option<u64> {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let read = |text: &str| text.parse().or_else(|_| duration(text).map(micros));
    let time = cx.quantity(at, read)?;
    if range.contains(&time) {
        return Some(time);
    }
    let help = match range.end() {
        &u64::MAX => "it is `1ms` at least".to_owned(),
        _ => "it lies between `1ms` and `1s`".to_owned(),
    };
    let message = format!("`{key}` cannot be {time} microseconds");
    cx.fault(Diagnostic::error(message, at.span.clone()).help(help));
    None
}

/// A set of processors: numbers and ranges.
fn cpuset(cx: &mut Cx<'_>, at: &At<Scalar>) -> Option<String> {
    let text = cx.literal(at)?;
    let number = |text: &str| {
        u16::from_str(text)
            .ok()
            .filter(|number| *number < MOST_PROCESSORS)
    };
    let fits = text.split(',').all(|part| match part.split_once('-') {
        Some((first, last)) => matches!(
            (number(first), number(last)),
            (Some(first), Some(last)) if first <= last
        ),
        None => number(part).is_some(),
    });
    if !fits {
        let message = format!("`{text}` is not a set of processors");
        let fault = Diagnostic::error(message, at.span.clone());
        cx.fault(fault.help("processors are counted from 0 and written like `0-2,4`"));
        return None;
    }
    Some(text)
}

fn blkio(cx: &mut Cx<'_>, place: &Place<'_>, said: &BlkioSpec) -> BlkioLimits {
    let mut weighed = Vec::new();
    for spec in said.weight_device.iter().flatten() {
        let DeviceWeightSpec { path, weight } = spec;
        let path = device(cx, place, "weight_device", path.as_ref());
        let weight = cx.required(weight.as_ref(), &table(place, "weight_device", "weight"));
        let weight = weight.and_then(|at| within(cx, "weight", &Some(at.clone()), WEIGHTS));
        if let (Some(path), Some(rate)) = (path, weight) {
            weighed.push(DeviceRate { path, rate });
        }
    }
    BlkioLimits {
        weight: within(cx, "weight", &said.weight, WEIGHTS),
        weight_device: weighed,
        device_read_bps: rates(cx, place, "device_read_bps", &said.device_read_bps, BYTES),
        device_write_bps: rates(cx, place, "device_write_bps", &said.device_write_bps, BYTES),
        device_read_iops: rates(cx, place, "device_read_iops", &said.device_read_iops, TIMES),
        device_write_iops: rates(
            cx,
            place,
            "device_write_iops",
            &said.device_write_iops,
            TIMES,
        ),
    }
}

/// What engines take as a weight.
const WEIGHTS: RangeInclusive<i64> = 10..=1000;

/// How a rate is written.
type Rate = fn(&mut Cx<'_>, &At<Scalar>) -> Option<u64>;
const BYTES: Rate = |cx, at| cx.size_on_disk(Some(at));
const TIMES: Rate = |cx, at| {
    let text = cx.literal(at)?;
    let count = text.parse().ok();
    if count.is_none() {
        let message = format!("`{text}` is not a number of operations in a second");
        cx.fault(Diagnostic::error(message, at.span.clone()).help("it is a whole number"));
    }
    count
};

fn rates(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    key: &str,
    all: &Option<Vec<DeviceRateSpec>>,
    read: Rate,
) -> Vec<DeviceRate> {
    let mut rates = Vec::new();
    for DeviceRateSpec { path, rate } in all.iter().flatten() {
        let path = device(cx, place, key, path.as_ref());
        let at = cx.required(rate.as_ref(), &table(place, key, "rate"));
        let Some((at, rate)) = at.and_then(|at| Some((at, read(cx, at)?))) else {
            continue;
        };
        if rate == 0 {
            let fault = Diagnostic::error("a rate cannot be 0", at.span.clone());
            cx.fault(fault.help("leave the device out to set no bound"));
        } else if let Some(path) = path {
            rates.push(DeviceRate { path, rate });
        }
    }
    rates
}

/// A device of the engine's host by its path.
fn device(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    key: &str,
    path: Option<&At<String>>,
) -> Option<String> {
    let at = cx.required(path, &table(place, key, "path"))?;
    let at = cx.literal_at(at)?;
    if !at.value.starts_with("/dev/") || at.value.split('/').any(|part| part == "..") {
        let message = format!("`{}` is not a device", at.value);
        let fault = Diagnostic::error(message, at.span);
        cx.fault(fault.help("devices are those of the engine's host, such as `/dev/sda`"));
        return None;
    }
    Some(at.value)
}

fn table<'p>(place: &'p Place<'p>, table: &'p str, key: &'p str) -> Vec<&'p str> {
    place.path(&["blkio_config", table, key])
}

fn pids(cx: &mut Cx<'_>, spec: &ServiceSpec, limits: &mut Limits) {
    let Some(at) = &spec.pids_limit else { return };
    if at.value == 0 {
        cx.fault(Diagnostic::error(
            "`pids_limit` cannot be 0",
            at.span.clone(),
        ));
    }
    let limit = spec.resources.as_ref().and_then(|r| r.limits.as_ref());
    let other = limit.and_then(|limit| limit.pids.as_ref());
    if let Some(other) = other.filter(|other| other.value != at.value) {
        let message = format!(
            "`pids_limit` is {}, and `resources.limits.pids` is {}",
            at.value, other.value
        );
        let fault = Diagnostic::error(message, at.span.clone());
        let fault = fault.context(other.span.clone(), "the other");
        cx.fault(fault.help("they are one bound: keep one of the two"));
    }
    limits.pids = Some(at.value);
}

/// A number that has to lie in a range.
fn within<N, T>(
    cx: &mut Cx<'_>,
    key: &str,
    at: &Option<At<N>>,
    range: RangeInclusive<i64>,
) -> Option<T>
where
    N: Copy + Into<i64>,
    T: TryFrom<i64>,
{
    let at = at.as_ref()?;
    let number = at.value.into();
    if range.contains(&number) {
        return T::try_from(number).ok();
    }
    let message = format!("`{key}` cannot be {number}");
    let (least, most) = (range.start(), range.end());
    let fault = Diagnostic::error(message, at.span.clone());
    cx.fault(fault.help(format!("it lies between {least} and {most}")));
    None
}
