//! Who answers for a run's objects: a process, named so that another one can tell whether it is
//! gone. It reads this machine's /proc and nothing else, and refuses to guess: an owner that cannot
//! be looked at from here is neither alive nor dead.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::str::FromStr;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

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

/// What a process of this namespace looks like from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It runs, and started then, in clock ticks since the boot.
    Started(u64),
    /// There is none of that number, or only its remains.
    Gone,
    /// There is one, and nothing more can be learnt of it.
    Hidden,
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
            started: match look(pid) {
                Look::Started(at) => at,
                Look::Gone | Look::Hidden => 0,
            },
        }
    }

    /// Whether this owner lives, as seen from `here`; `look` looks a process up by its number.
    #[must_use]
    pub fn life(&self, here: &Self, look: impl Fn(u32) -> Look) -> Life {
        let known = |one: &str, other: &str| !one.is_empty() && one == other;
        if known(&self.boot, &here.boot) {
            // The inode of a namespace may come again, but then the old one's processes are gone.
            if self.namespace == 0 || self.namespace != here.namespace || self.started == 0 {
                return Life::Unknown;
            }
            return match look(self.pid) {
                Look::Started(at) if at == self.started => Life::Alive,
                Look::Started(_) | Look::Gone => Life::Dead,
                Look::Hidden => Life::Unknown,
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

/// Looks a process of this namespace up.
#[must_use]
pub fn look(pid: u32) -> Look {
    seen(std::fs::read_to_string(format!("/proc/{pid}/stat")), || {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        number.map_or(Err(Errno::SRCH), test_kill_process)
    })
}

/// `proc(5)`: mounted with `hidepid`, /proc denies other users' processes or keeps still about
/// them. Whether there is one, `answers` tells: a signal that is not sent, as `kill(2)` has it.
fn seen(stat: io::Result<String>, answers: impl FnOnce() -> Result<(), Errno>) -> Look {
    match stat {
        Ok(stat) => parse_stat(&stat),
        // It may be gone by the time of the question, or not be asked about at all.
        Err(error) if is_absent(&error) => match answers() {
            Err(Errno::SRCH) => Look::Gone,
            Ok(()) | Err(_) => Look::Hidden,
        },
        Err(_) => Look::Hidden,
    }
}

/// A process that ends while it is read of is told by the second error.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// After the name in brackets, which may hold anything, come the state and, as the 22nd field of
/// all, the start.
fn parse_stat(stat: &str) -> Look {
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return Look::Hidden;
    };
    let mut fields = rest.split_whitespace();
    match fields.next() {
        Some("Z" | "X" | "x") => return Look::Gone,
        Some(_) => {}
        None => return Look::Hidden,
    }
    let started = fields.nth(18).and_then(|field| field.parse().ok());
    started.map_or(Look::Hidden, Look::Started)
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
        // Of all processes, only 7 runs, since 70, and 9, of which nothing can be learnt.
        of.life(seen_from, |pid| match pid {
            7 => Look::Started(70),
            9 => Look::Hidden,
            _ => Look::Gone,
        })
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
        assert_eq!(
            life(&owner("m", "b", OUT, 9, 90), &here),
            Life::Unknown,
            "another user's, under hidepid"
        );
    }

    #[test]
    fn a_process_that_is_hidden_is_not_taken_for_gone() {
        let error = |kind: ErrorKind| Err(io::Error::from(kind));
        let never = || panic!("there is nothing to ask");
        assert_eq!(
            seen(error(ErrorKind::PermissionDenied), never),
            Look::Hidden
        );
        for (answer, look) in [
            (Err(Errno::PERM), Look::Hidden),
            (Ok(()), Look::Hidden),
            (Err(Errno::SRCH), Look::Gone),
        ] {
            assert_eq!(seen(error(ErrorKind::NotFound), || answer), look);
            let ended = io::Error::from_raw_os_error(Errno::SRCH.raw_os_error());
            assert_eq!(seen(Err(ended), || answer), look);
        }
    }

    #[test]
    fn a_number_that_no_process_has_is_gone() {
        // More than Linux ever gives: `kernel.pid_max` is 2^22 at the most.
        for pid in [1 << 23, u32::MAX, 0] {
            assert_eq!(look(pid), Look::Gone, "{pid}");
        }
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
        assert_eq!(parse_stat(stat), Look::Started(4242));
        assert_eq!(
            parse_stat(&stat.replace(") R ", ") Z ")),
            Look::Gone,
            "what is left of a process"
        );
        assert_eq!(parse_stat("7 (a) R 1"), Look::Hidden);
        assert_eq!(parse_stat(""), Look::Hidden);
    }

    #[test]
    fn this_process_lives() {
        if !Path::new("/proc/self/stat").exists() {
            eprintln!("skipped: there is no /proc here");
            return;
        }
        let here = Owner::here();
        assert_eq!(here.life(&here, look), Life::Alive);
    }
}
