//! What is seen of an environment that runs: who its containers are, what they use, what happens to
//! them, and what a project has on an engine. It refuses to know where any of it comes from.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

/// A container of an environment, as people tell it from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Instance {
    /// The service; for what hoist runs itself, such as a proxy, a name of that.
    pub service: String,
    /// Which of the service's replicas, from 1.
    pub replica: u32,
    /// The sequence number of the release that made it, 0 where unknown.
    pub release: u64,
    /// The container's name.
    pub container: String,
}

/// What people call containers: the service, with the replica's number where it has several.
#[derive(Clone, Debug, Default)]
pub struct Names {
    replicas: BTreeMap<String, u32>,
}

impl Names {
    /// Names for these, and for those that are [`Names::learn`]ed later.
    pub fn new<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> Self {
        let mut names = Self::default();
        for instance in instances {
            names.learn(instance);
        }
        names
    }

    /// Takes one more into account.
    pub fn learn(&mut self, instance: &Instance) {
        let most = self.replicas.entry(instance.service.clone()).or_default();
        *most = instance.replica.max(*most);
    }

    /// `web`, or `web-2` where there are several.
    #[must_use]
    pub fn of(&self, instance: &Instance) -> String {
        match self.replicas.get(&instance.service) {
            Some(2..) => format!("{}-{}", instance.service, instance.replica),
            _ => instance.service.clone(),
        }
    }

    /// How many different names there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.replicas.values().sum()
    }
}

/// What a container uses at a moment; what is counted is counted from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// When, by the engine's clock, nanoseconds since the epoch.
    pub at: i64,
    /// Time on processors, all of them together.
    pub cpu: Duration,
    /// Bytes of memory, without what the kernel can take back at once.
    pub memory: u64,
    /// Bytes of memory that it may use, where known: its host's if it has no bound.
    pub memory_limit: Option<u64>,
    /// Bytes that came over its networks.
    pub received: u64,
    /// Bytes that left over its networks.
    pub sent: u64,
    /// Bytes read from block devices.
    pub read: u64,
    /// Bytes written to block devices.
    pub written: u64,
    /// Processes and threads.
    pub pids: u64,
}

impl Usage {
    /// Percent of one processor since an earlier moment; `None` where no time went by, or the
    /// container was started again between.
    #[must_use]
    pub fn cpu_percent(&self, earlier: &Self) -> Option<f64> {
        let nanos = u64::try_from(self.at.checked_sub(earlier.at)?).ok()?;
        let used = self.cpu.checked_sub(earlier.cpu)?;
        let elapsed = Duration::from_nanos(nanos);
        (!elapsed.is_zero()).then(|| 100.0 * used.as_secs_f64() / elapsed.as_secs_f64())
    }
}

/// A container, and what it uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Which.
    pub instance: Instance,
    /// What it uses.
    pub usage: Usage,
    /// Percent of one processor; `None` where it is not known yet.
    pub cpu_percent: Option<f64>,
}

/// Joins two looks: what containers use at the second, with the share of processors between. Those
/// that were not there at the first have no share.
#[must_use]
pub fn measured(first: &[(Instance, Usage)], second: Vec<(Instance, Usage)>) -> Vec<Measured> {
    let earlier: BTreeMap<&str, &Usage> = first
        .iter()
        .map(|(instance, usage)| (instance.container.as_str(), usage))
        .collect();
    let joined = second.into_iter().map(|(instance, usage)| Measured {
        cpu_percent: earlier
            .get(instance.container.as_str())
            .and_then(|earlier| usage.cpu_percent(earlier)),
        instance,
        usage,
    });
    joined.collect()
}

/// Something that happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When, by the engine's clock.
    pub at: Timestamp,
    /// To which.
    pub instance: Instance,
    /// What.
    pub what: What,
}

/// What can happen to a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum What {
    /// It was made.
    Create,
    /// It was started.
    Start,
    /// It ended.
    Die {
        /// Its exit code, where the engine says it.
        code: Option<i64>,
    },
    /// The kernel killed one of its processes for memory.
    Oom,
    /// Its health check came to another result.
    HealthStatus {
        /// `starting`, `healthy` or `unhealthy`.
        status: String,
    },
    /// It was sent a signal.
    Kill {
        /// Its number, or its name; empty where the engine does not say.
        signal: String,
    },
    /// It was paused.
    Pause,
    /// It goes on.
    Unpause,
    /// It was removed.
    Destroy,
}

/// What an object on an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

/// An object of a project on an engine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// The environment that it was deployed to.
    pub environment: Option<String>,
    /// Its name; an image's ID where it has none.
    pub name: String,
    /// What it is for: `service web`, `secrets`, `cache npm`, `run 0198...`.
    pub purpose: String,
    /// A container's state; `None` for all else.
    pub state: Option<String>,
    /// What it takes on the engine's disk, bytes, where known: of a container what it wrote, of an
    /// image what no other has.
    pub bytes: Option<u64>,
    /// It belongs to a run and not to an environment: it goes with the run, or is left over.
    pub run: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(service: &str, replica: u32) -> Instance {
        Instance {
            service: service.into(),
            replica,
            release: 1,
            container: format!("{service}-{replica}"),
        }
    }

    #[test]
    fn only_several_replicas_have_numbers() {
        let all = [instance("web", 1), instance("web", 2), instance("db", 1)];
        let mut names = Names::new(&all);
        assert_eq!(
            all.each_ref().map(|it| names.of(it)),
            ["web-1", "web-2", "db"]
        );
        assert_eq!(names.count(), 3);
        names.learn(&instance("db", 2));
        assert_eq!(names.of(&all[2]), "db-1");
        assert_eq!(names.of(&instance("new", 1)), "new");
    }

    fn usage(at: i64, cpu: u64) -> Usage {
        Usage {
            at,
            cpu: Duration::from_nanos(cpu),
            ..Usage::default()
        }
    }

    #[test]
    fn a_share_of_processors_is_of_one_of_them() {
        let second = 1_000_000_000;
        let first = usage(second, 500);
        assert_eq!(
            usage(3 * second, 500 + 4_000_000_000).cpu_percent(&first),
            Some(200.0)
        );
        assert_eq!(usage(second, 900).cpu_percent(&first), None, "no time");
        assert_eq!(
            usage(0, 900).cpu_percent(&first),
            None,
            "clocks can go back"
        );
        assert_eq!(
            usage(2 * second, 3).cpu_percent(&first),
            None,
            "started again"
        );
    }

    #[test]
    fn who_was_not_there_before_has_no_share_yet() {
        let second = 1_000_000_000;
        let first = [(instance("web", 1), usage(0, 0))];
        let then = vec![
            (instance("web", 1), usage(second, 250_000_000)),
            (instance("web", 2), usage(second, 250_000_000)),
        ];
        let shares: Vec<_> = measured(&first, then)
            .iter()
            .map(|it| it.cpu_percent)
            .collect();
        assert_eq!(shares, [Some(25.0), None]);
    }
}
