//! Bounds that containers are to have and an engine says that it cannot enforce. Engines take them
//! all the same, so it has to be said here.

use hoist_model::unit::Limits;

use crate::backend::Enforces;

/// What of these bounds the engine cannot enforce, in words.
pub(crate) fn unenforced(limits: &[&Limits], enforces: &Enforces) -> Vec<&'static str> {
    let any = |holds: fn(&Limits) -> bool| limits.iter().any(|limits| holds(limits));
    let memory = any(|limits| limits.memory.is_some());
    let cpus = any(|limits| limits.cpus.is_some() || limits.cpu_quota.is_some());
    let bounds = [
        ("memory", memory && !enforces.memory),
        (
            "swap beside memory",
            memory && enforces.memory && !enforces.swap,
        ),
        ("processors", cpus && !enforces.cpus),
        (
            "shares of processors",
            any(|limits| limits.cpu_shares.is_some()) && !enforces.cpu_shares,
        ),
        (
            "sets of processors",
            any(|limits| limits.cpuset.is_some()) && !enforces.cpuset,
        ),
        (
            "processes",
            any(|limits| limits.pids.is_some()) && !enforces.pids,
        ),
    ];
    let missing = bounds.into_iter().filter(|(_, missing)| *missing);
    missing.map(|(what, _)| what).collect()
}
