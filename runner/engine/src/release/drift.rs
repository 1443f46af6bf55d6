//! What of a container is not as its release made it, because someone changed it by hand. Pure. It
//! judges by the history alone: of a release that is not in it nothing is known, and nothing is said.

use std::fmt;

use hoist_model::quantity::show_size;
use hoist_model::unit::{Limits, Restart};

use super::journal::{Known, ServiceRecord};
use crate::backend::{Bounds, ContainerInfo, Enforces};
use crate::labels;

/// Something that is not as it was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// It does not run.
    Stopped,
    /// It is not there.
    Missing,
    /// It was not well when it was released, and its proxy leaves it out.
    Failed,
    /// It is of another image.
    Image,
    /// It has other bounds; what they are and should be, each.
    Limits(Vec<String>),
    /// The engine does something else when it exits.
    Restart {
        /// What it does.
        is: Restart,
        /// What it should do.
        wanted: Restart,
    },
}

impl Drift {
    /// A word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Missing => "missing",
            Self::Failed => "failed",
            Self::Image => "image",
            Self::Limits(_) => "limits",
            Self::Restart { .. } => "restart",
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("it does not run"),
            Self::Missing => f.write_str("it is not there"),
            Self::Failed => f.write_str("it was not well when it was released, and is left out"),
            Self::Image => f.write_str("it is of another image than its release"),
            Self::Limits(said) => f.write_str(&said.join(", ")),
            Self::Restart { is, wanted } => {
                write!(
                    f,
                    "its restart policy is {} and not {}",
                    word(*is),
                    word(*wanted)
                )
            }
        }
    }
}

fn word(restart: Restart) -> &'static str {
    match restart {
        Restart::No => "no",
        Restart::Always => "always",
        Restart::OnFailure => "on-failure",
        Restart::UnlessStopped => "unless-stopped",
    }
}

/// What the history has of the release that made a container.
pub(crate) fn record<'h>(
    history: &'h Known,
    service: &str,
    sequence: u64,
) -> Option<&'h ServiceRecord> {
    let mut services = history.release(sequence)?.services.iter();
    services.find(|record| record.unit.name == service)
}

/// What only another container can put right.
pub(crate) fn of(
    info: &ContainerInfo,
    record: Option<&ServiceRecord>,
    enforces: &Enforces,
) -> Vec<Drift> {
    let Some(record) = record else {
        return Vec::new();
    };
    let digest = info.labels.get(labels::CONFIG_DIGEST);
    let is_same = info.image == record.image
        || record.config_digest.is_some() && digest == record.config_digest.as_ref();
    let limits = limits(&info.bounds, &record.unit.limits, enforces);
    let mut drift = Vec::new();
    if !is_same {
        drift.push(Drift::Image);
    }
    if !limits.is_empty() {
        drift.push(Drift::Limits(limits));
    }
    drift
}

/// Bounds that are others. What an engine cannot hold it does not keep either, and engines have a
/// bound of processes where none is said.
fn limits(is: &Bounds, wanted: &Limits, enforces: &Enforces) -> Vec<String> {
    let cpus = wanted
        .cpus
        .map(nano)
        .or(Bounds::nano_cpus(wanted.cpu_quota, wanted.cpu_period));
    let pids = wanted.pids.map(u64::from);
    let size = |bytes: Option<u64>| bytes.map_or("unbounded".to_owned(), show_size);
    let number = |number: Option<u64>| number.map_or("unbounded".to_owned(), |it| it.to_string());
    let mut said = Vec::new();
    if enforces.memory && is.memory != wanted.memory {
        let (is, wanted) = (size(is.memory), size(wanted.memory));
        said.push(format!("memory is {is} and not {wanted}"));
    }
    if enforces.cpus && is.nano_cpus != cpus {
        let (is, wanted) = (processors(is.nano_cpus), processors(cpus));
        said.push(format!("cpus is {is} and not {wanted}"));
    }
    if enforces.pids && pids.is_some() && is.pids != pids {
        said.push(format!(
            "pids is {} and not {}",
            number(is.pids),
            number(pids)
        ));
    }
    said
}

fn nano(cpus: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to a range that u64 holds"
    )]
    let nano = (cpus * 1e9).round().clamp(0.0, 1e15) as u64;
    nano
}

fn processors(nano: Option<u64>) -> String {
    let Some(nano) = nano else {
        return "unbounded".to_owned();
    };
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Enforces = Enforces {
        memory: true,
        swap: true,
        cpus: true,
        cpu_shares: true,
        cpuset: true,
        pids: true,
    };

    #[test]
    fn bounds_are_compared_as_the_engine_has_them() {
        let wanted = Limits {
            memory: Some(256 << 20),
            cpus: Some(1.5),
            ..Limits::SERVICE
        };
        let is = Bounds {
            memory: Some(256 << 20),
            nano_cpus: Some(1_500_000_000),
            pids: Some(512),
        };
        assert_eq!(limits(&is, &wanted, &ALL), [""; 0]);
        let other = Bounds {
            memory: Some(512 << 20),
            nano_cpus: None,
            pids: Some(9),
        };
        assert_eq!(
            limits(&other, &wanted, &ALL),
            [
                "memory is 512m and not 256m",
                "cpus is unbounded and not 1.5",
                "pids is 9 and not 512"
            ]
        );
        // An engine that holds none of them keeps none of them.
        assert_eq!(limits(&other, &wanted, &Enforces::default()), [""; 0]);
    }

    #[test]
    fn a_quota_is_processors_too() {
        let wanted = Limits {
            cpu_quota: Some(50_000),
            ..Limits::SERVICE
        };
        let is = Bounds {
            nano_cpus: Some(500_000_000),
            pids: Some(512),
            memory: None,
        };
        assert_eq!(limits(&is, &wanted, &ALL), [""; 0]);
        let unsaid = Limits {
            pids: None,
            ..Limits::SERVICE
        };
        let said = limits(&is, &unsaid, &ALL);
        assert_eq!(said, ["cpus is 0.5 and not unbounded"]);
    }
}
