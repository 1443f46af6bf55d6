//! Who answers for a run's objects: a process, named so that another one can tell whether it is
//! gone. It reads this machine's /proc and nothing else, and refuses to guess: an owner that cannot
//! be looked at from here is neither alive nor dead.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// The inode of the first PID namespace of every Linux kernel: a process in it is in no container.
const INIT_NAMESPACE: u64 = 0xEFFF_FFFC;

/// A process of some machine. Parts that could not be learnt are empty or 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The machine's ID.
    pub machine: String,
    /// The ID of its boot.
    pub boot: String,
    /// The inode of the process's PID namespace.
    pub namespace: u64,
    /// Its number there.
    pub pid: u32,
    /// When it started, in clock ticks since the boot.
    pub started: u64,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Alive,
    /// It does not, and never will again.
    Dead,
    /// That cannot be told from here.
    Unknown,
}

impl Owner {
    /// This process.
    #[must_use]
    pub fn here() -> Self {
        let read = |path: &str| {
            std::fs::read_to_string(path)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let pid = std::process::id();
        Self {
            machine: read("/etc/machine-id"),
            boot: read("/proc/sys/kernel/random/boot_id"),
            namespace: namespace(Path::new("/proc/self/ns/pid")).unwrap_or(0),
            pid,
            started: started(pid).unwrap_or(0),
        }
    }

    /// Whether this owner lives, as seen from `here`; `started` looks a process up by its number
    /// and gives when it started.
    #[must_use]
    pub fn life(&self, here: &Self, started: impl Fn(u32) -> Option<u64>) -> Life {
        let known = |one: &str, other: &str| !one.is_empty() && one == other;
        if known(&self.boot, &here.boot) {
            // The inode of a namespace may come again, but then the old one's processes are gone.
            if self.namespace == 0 || self.namespace != here.namespace || self.started == 0 {
                return Life::Unknown;
            }
            return if started(self.pid) == Some(self.started) {
                Life::Alive
            } else {
                Life::Dead
            };
        }
        // Images of containers may carry a machine ID, so that many machines seem to be one.
        let outside = self.namespace == INIT_NAMESPACE && here.namespace == INIT_NAMESPACE;
        let booted = !self.boot.is_empty() && !here.boot.is_empty();
        if outside && booted && known(&self.machine, &here.machine) {
            Life::Dead
        } else {
            Life::Unknown
        }
    }
}

/// When a process of this namespace started; nothing if there is none, or only its remains.
#[must_use]
pub fn started(pid: u32) -> Option<u64> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `proc(5)`: after the name in brackets, which may hold anything, come the state and, as the 22nd
/// field of all, the start.
fn parse_stat(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn namespace(link: &Path) -> Option<u64> {
    let target = std::fs::read_link(link).ok()?;
    let inode = target.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

impl fmt::Display for Owner {
    /// As it stands in labels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            boot,
            namespace,
            pid,
            started,
        } = self;
        write!(f, "{machine}/{boot}/{namespace}/{pid}/{started}")
    }
}

/// A label that names no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it names no owner")]
pub struct NoOwner;

impl FromStr for Owner {
    type Err = NoOwner;

    fn from_str(text: &str) -> Result<Self, NoOwner> {
        let parts: Vec<&str> = text.split('/').collect();
        let [machine, boot, namespace, pid, started] = parts.as_slice() else {
            return Err(NoOwner);
        };
        Ok(Self {
            machine: (*machine).to_owned(),
            boot: (*boot).to_owned(),
            namespace: namespace.parse().map_err(|_| NoOwner)?,
            pid: pid.parse().map_err(|_| NoOwner)?,
            started: started.parse().map_err(|_| NoOwner)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(machine: &str, boot: &str, namespace: u64, pid: u32, started: u64) -> Owner {
        Owner {
            machine: machine.into(),
            boot: boot.into(),
            namespace,
            pid,
            started,
        }
    }

    fn life(of: &Owner, seen_from: &Owner) -> Life {
        // Of all processes, only 7 runs, since 70.
        of.life(seen_from, |pid| (pid == 7).then_some(70))
    }

    const OUT: u64 = INIT_NAMESPACE;

    #[test]
    fn a_process_of_this_boot_and_namespace_is_looked_up() {
        let here = owner("m", "b", OUT, 1, 10);
        assert_eq!(life(&owner("m", "b", OUT, 7, 70), &here), Life::Alive);
        assert_eq!(
            life(&owner("m", "b", OUT, 7, 69), &here),
            Life::Dead,
            "its number came again"
        );
        assert_eq!(life(&owner("m", "b", OUT, 8, 80), &here), Life::Dead);
        assert_eq!(
            life(&owner("", "b", 5, 8, 80), &owner("", "b", 5, 1, 1)),
            Life::Dead
        );
    }

    #[test]
    fn what_is_elsewhere_cannot_be_judged() {
        let here = owner("m", "b", OUT, 1, 10);
        assert_eq!(
            life(&owner("m", "b", 5, 8, 80), &here),
            Life::Unknown,
            "in a container"
        );
        assert_eq!(
            life(&owner("other", "c", OUT, 8, 80), &here),
            Life::Unknown,
            "another machine"
        );
        assert_eq!(life(&owner("", "", 0, 8, 0), &here), Life::Unknown);
        assert_eq!(
            life(&owner("m", "b", OUT, 8, 0), &here),
            Life::Unknown,
            "no start"
        );
        let blind = owner("", "", 0, 1, 0);
        assert_eq!(
            life(&owner("", "", 0, 8, 0), &blind),
            Life::Unknown,
            "not on Linux"
        );
    }

    #[test]
    fn after_a_reboot_all_are_dead_where_the_machine_is_known_for_sure() {
        let here = owner("m", "b", OUT, 1, 10);
        assert_eq!(life(&owner("m", "a", OUT, 7, 70), &here), Life::Dead);
        assert_eq!(life(&owner("m", "a", 5, 7, 70), &here), Life::Unknown);
        assert_eq!(
            life(&owner("m", "a", OUT, 7, 70), &owner("m", "b", 5, 1, 1)),
            Life::Unknown
        );
        assert_eq!(
            life(&owner("", "a", OUT, 7, 70), &owner("", "b", OUT, 1, 1)),
            Life::Unknown
        );
    }

    #[test]
    fn labels_are_read_back() {
        let owner = owner("m", "b", OUT, 7, 70);
        assert_eq!(owner.to_string().parse(), Ok(owner));
        assert_eq!(Owner::default().to_string().parse(), Ok(Owner::default()));
        for wrong in ["", "m/b/1/2", "m/b/1/2/3/4", "m/b/x/2/3", "m/b/1/-2/3"] {
            assert_eq!(wrong.parse::<Owner>(), Err(NoOwner), "{wrong}");
        }
    }

    #[test]
    fn the_start_is_found_behind_any_name() {
        let stat = "7 (a) S (b c) R 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert_eq!(parse_stat(stat), Some(4242));
        assert_eq!(
            parse_stat(&stat.replace(") R ", ") Z ")),
            None,
            "what is left of a process"
        );
        assert_eq!(parse_stat("7 (a) R 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn this_process_lives() {
        if !Path::new("/proc/self/stat").exists() {
            eprintln!("skipped: there is no /proc here");
            return;
        }
        let here = Owner::here();
        assert_eq!(here.life(&here, started), Life::Alive);
    }
}
