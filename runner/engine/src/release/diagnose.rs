//! What is wrong in an environment, and what to do about it: [`judge`] is pure, and all that it
//! knows is gathered before. It changes nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener};

use hoist_model::reason::Trouble;
use hoist_model::seen::Names;
use hoist_model::unit::{PortMapping, Protocol};
use jiff::Timestamp;

use super::expiry;
use super::health::tail;
use super::instances::{Found, find, in_use, inspect};
use super::names::Place;
use super::ports::HostPort;
use crate::backend::{Backend, BackendError, ContainerInfo, EngineInfo, HealthStatus};
use crate::labels;

/// Free space under which databases and builds begin to fail.
const LITTLE_DISK: u64 = 5 << 30;

/// What a look at an environment came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// How many containers were looked at.
    pub containers: usize,
    /// What is wrong: what, why, and what to do.
    pub found: Vec<Trouble>,
}

/// A port of the file and the service that publishes it.
pub type WantedPort<'a> = (&'a str, &'a PortMapping);

/// Looks at an environment: its containers, who holds the ports that its services want, and the
/// engine's disk where that is on this machine.
///
/// # Errors
/// When the engine does not say.
pub async fn diagnose(
    backend: &dyn Backend,
    project: &str,
    environment: &str,
    wanted: &[WantedPort<'_>],
) -> Result<Diagnosis, Trouble> {
    let failed = |error: BackendError| error.trouble("what is deployed cannot be read");
    let place = Place::new(project, environment);
    let info = backend.info().await.map_err(failed)?;
    let mut found = in_use(find(backend, &place).await.map_err(failed)?);
    found.retain(Found::serves);
    let found = inspect(backend, found).await.map_err(failed)?;
    let past = past(backend, &place, info.time).await;
    let others = backend.list_containers(&[]).await.map_err(failed)?;
    let mut containers = Vec::new();
    for found in found {
        let quoted = found.info.restart_count > 0 || !found.info.is_running();
        containers.push(Seen {
            tail: match quoted {
                true => tail(backend, &found.info.id).await,
                false => String::new(),
            },
            past: past.get(&found.info.id).copied().unwrap_or_default(),
            found,
        });
    }
    let wanted: Vec<_> = wanted
        .iter()
        .filter_map(|(service, port)| Some(((*service).to_owned(), HostPort::wanted(port)?)))
        .collect();
    let facts = Facts {
        taken: match info.is_here() {
            true => wanted.iter().map(|(_, port)| is_taken(port)).collect(),
            false => Vec::new(),
        },
        free: free_disk(&info),
        data_root: info.data_root,
        place,
        containers,
        others,
        wanted,
    };
    let certificates = expiry::in_use(backend, &facts.place, Timestamp::now()).await;
    let mut found = judge(&facts);
    found.extend(certificates.map_err(failed)?);
    Ok(Diagnosis {
        containers: facts.containers.len(),
        found,
    })
}

/// Bytes that are free where an engine keeps its data, if that is on this machine.
#[must_use]
pub fn free_disk(info: &EngineInfo) -> Option<u64> {
    if !info.is_here() || info.data_root.is_empty() {
        return None;
    }
    let stat = rustix::fs::statvfs(info.data_root.as_str()).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// What the engine remembers of a container.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    /// How often it ran out of memory.
    ooms: usize,
    /// How it ended last.
    code: Option<i64>,
}

/// What the engine remembers, by container; nothing where it does not say.
async fn past(backend: &dyn Backend, place: &Place, now: i64) -> BTreeMap<String, Past> {
    let filter = [
        (labels::PROJECT, Some(place.project.as_str())),
        (labels::ENVIRONMENT, Some(place.environment.as_str())),
    ];
    let until = (now + 1).saturating_mul(1_000_000_000);
    let events = backend.past_events(&filter, 1, until).await;
    let mut past = BTreeMap::<String, Past>::new();
    for event in events.unwrap_or_default() {
        let past = past.entry(event.container).or_default();
        match event.action.as_str() {
            "oom" => past.ooms += 1,
            "die" => past.code = event.exit_code,
            _ => {}
        }
    }
    past
}

/// Whether a process of this machine has the port. What cannot be told counts as free.
fn is_taken(port: &HostPort) -> bool {
    let (address, number, protocol) = port.parts();
    let address: IpAddr = match address.map(str::parse) {
        None => IpAddr::from([0, 0, 0, 0]),
        Some(Ok(address)) => address,
        Some(Err(_)) => return false,
    };
    let bound = match protocol {
        Protocol::Tcp => TcpListener::bind((address, number)).map(drop),
        Protocol::Udp => std::net::UdpSocket::bind((address, number)).map(drop),
    };
    bound.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

/// A container of the environment.
struct Seen {
    found: Found,
    past: Past,
    /// The last lines that it printed, where they may say something.
    tail: String,
}

/// All that a judgement stands on.
struct Facts {
    place: Place,
    containers: Vec<Seen>,
    /// All containers of the engine.
    others: Vec<ContainerInfo>,
    /// Ports of the file, each with its service.
    wanted: Vec<(String, HostPort)>,
    /// For each of those whether it cannot be had on this machine; empty where that is not known.
    taken: Vec<bool>,
    /// Bytes, where known.
    free: Option<u64>,
    data_root: String,
}

/// What is wrong.
fn judge(facts: &Facts) -> Vec<Trouble> {
    let instances = facts.containers.iter().map(|seen| &seen.found.instance);
    let names = Names::new(instances);
    let environment = &facts.place.environment;
    let containers = facts.containers.iter();
    let containers = containers.filter_map(|seen| {
        let subject = Subject {
            name: names.of(&seen.found.instance),
            service: &seen.found.instance.service,
            environment,
            seen,
        };
        subject.judge()
    });
    let ports = facts.wanted.iter().enumerate();
    let ports = ports.filter_map(|(ix, (service, port))| {
        let taken = facts.taken.get(ix).copied().unwrap_or_default();
        clash(facts, service, port, taken)
    });
    containers.chain(ports).chain(disk(facts)).collect()
}

/// A container that is judged.
struct Subject<'a> {
    name: String,
    service: &'a str,
    environment: &'a str,
    seen: &'a Seen,
}

impl Subject<'_> {
    /// The one thing that is most wrong with it.
    fn judge(&self) -> Option<Trouble> {
        let info = &self.seen.found.info;
        if info.oom_killed || self.seen.past.ooms > 0 {
            return Some(self.out_of_memory());
        }
        match info.status.as_str() {
            "running" => self.unhealthy().or_else(|| self.restarted()),
            "restarting" => Some(self.again_and_again()),
            "paused" => Some(
                Trouble::new(format!("{} is paused", self.name))
                    .hint(format!("`docker unpause {}` lets it go on", info.name)),
            ),
            "created" => Some(self.never_started()),
            _ => Some(self.exited()),
        }
    }

    fn out_of_memory(&self) -> Trouble {
        let info = &self.seen.found.info;
        let times = match self.seen.past.ooms {
            0 | 1 => String::new(),
            times => format!(" {times} times"),
        };
        let after = match info.is_running() {
            true => String::new(),
            false => format!(" and exited with code {}", info.exit_code),
        };
        let what = format!("{} ran out of memory{times}{after}", self.name);
        let (environment, service) = (self.environment, self.service);
        self.with_tail(what).hint(format!(
            "raise resources.limits.memory of {service}; `hoist stats {environment}` shows what it uses"
        ))
    }

    fn unhealthy(&self) -> Option<Trouble> {
        let health = self.seen.found.info.health.as_ref()?;
        if health.status != HealthStatus::Unhealthy {
            return None;
        }
        let times = match health.failing_streak {
            0 | 1 => String::new(),
            times => format!(": its health check failed {times} times in a row"),
        };
        let trouble = Trouble::new(format!("{} is unhealthy{times}", self.name));
        let said = health.last_output.trim();
        let trouble = match said {
            "" => trouble,
            said => trouble.cause(format!("the check printed\n{said}")),
        };
        Some(trouble.hint(self.look()))
    }

    fn restarted(&self) -> Option<Trouble> {
        let count = self.seen.found.info.restart_count;
        if count == 0 {
            return None;
        }
        let times = match count {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        let code = self.last_code();
        let what = format!("{} ended and was started again {times}{code}", self.name);
        let (environment, service) = (self.environment, self.service);
        Some(self.with_tail(what).hint(format!(
            "{}; `hoist restart {environment} {service}` sets the count back",
            self.look()
        )))
    }

    fn again_and_again(&self) -> Trouble {
        let (name, code) = (&self.name, self.last_code());
        let what = format!("{name} ends again and again{code}");
        self.with_tail(what).hint(self.look())
    }

    /// How it ended before it was started again.
    fn last_code(&self) -> String {
        let code = self.seen.past.code;
        code.map_or_else(String::new, |code| {
            format!(", the last time with exit code {code}")
        })
    }

    fn never_started(&self) -> Trouble {
        let trouble = Trouble::new(format!("{} was never started", self.name));
        let error = &self.seen.found.info.error;
        let trouble = match error.is_empty() {
            true => trouble,
            false => trouble.cause(error),
        };
        trouble.hint("`hoist run` puts right what a deploy that was cut off left behind")
    }

    fn exited(&self) -> Trouble {
        let info = &self.seen.found.info;
        let what = format!("{} exited with code {}", self.name, info.exit_code);
        let (environment, service) = (self.environment, self.service);
        let trouble = match info.error.is_empty() {
            true => self.with_tail(what),
            false => Trouble::new(what).cause(&info.error),
        };
        trouble.hint(format!(
            "`hoist logs --env {environment} {service}` shows all that it said, \
             `hoist restart {environment} {service}` starts it again"
        ))
    }

    fn look(&self) -> String {
        let (environment, service) = (self.environment, self.service);
        format!("`hoist logs --env {environment} {service}` shows what it said")
    }

    fn with_tail(&self, what: String) -> Trouble {
        match self.seen.tail.as_str() {
            "" => Trouble::new(what),
            tail => Trouble::new(what).cause(format!("its last lines\n{tail}")),
        }
    }
}

/// Who has a port that a service wants.
fn clash(facts: &Facts, service: &str, port: &HostPort, taken: bool) -> Option<Trouble> {
    let held = |info: &&ContainerInfo| {
        let held = info.ports.iter().filter_map(|text| HostPort::read(text));
        matches!(info.status.as_str(), "running" | "paused")
            && held.into_iter().any(|held| held.clashes(port))
    };
    let holders: Vec<&ContainerInfo> = facts.others.iter().filter(held).collect();
    let of_environment = |info: &&ContainerInfo| {
        let label = |key: &str| info.labels.get(key).map(String::as_str);
        label(labels::PROJECT) == Some(&facts.place.project)
            && label(labels::ENVIRONMENT) == Some(&facts.place.environment)
    };
    // Who has a part of what the host shares is told by a deploy that wants one.
    let is_shared = |info: &&ContainerInfo| info.labels.contains_key(labels::SHARED);
    if holders
        .iter()
        .any(|info| of_environment(info) || is_shared(info))
    {
        return None;
    }
    if let Some(holder) = holders.first() {
        let name = &holder.name;
        let what = format!("port {port}, which {service} wants, is held by the container {name}");
        let trouble = Trouble::new(what);
        let label = |key: &str| holder.labels.get(key);
        let trouble = match (label(labels::PROJECT), label(labels::ENVIRONMENT)) {
            (Some(project), Some(environment)) => {
                trouble.cause(format!("it is deployed by {project} to {environment}"))
            }
            _ => trouble,
        };
        return Some(trouble.hint(format!(
            "`docker stop {name}` frees it, or let {service} publish another port"
        )));
    }
    taken.then(|| {
        let what = format!("port {port}, which {service} wants, is held by a process of this machine");
        let (_, number, _) = port.parts();
        Trouble::new(what).hint(format!(
            "`ss -lnp 'sport = :{number}'` says by which; stop it, or let {service} publish another port"
        ))
    })
}

fn disk(facts: &Facts) -> Option<Trouble> {
    let free = facts.free.filter(|free| *free < LITTLE_DISK)?;
    let mebibytes = free >> 20;
    let what = format!("only {mebibytes} MiB are free at {}", facts.data_root);
    Some(Trouble::new(what).hint(
        "`hoist gc` removes what runs left behind, `docker system df` shows what else takes space",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Health, Labels};
    use crate::release::instances::{instance, role};
    use crate::release::names::SERVICE;

    fn seen(change: impl FnOnce(&mut Seen)) -> Seen {
        let place = Place::new("shop", "live");
        let mut all = place.labels(SERVICE);
        all.insert(labels::SERVICE.to_owned(), "web".to_owned());
        let info = ContainerInfo {
            id: "1".into(),
            name: "shop-live-web-1".into(),
            status: "running".into(),
            labels: all.clone(),
            ..ContainerInfo::default()
        };
        let mut seen = Seen {
            found: Found {
                instance: instance(&place, &info.name, &all),
                role: role(&all),
                info,
            },
            past: Past::default(),
            tail: "the last line".into(),
        };
        change(&mut seen);
        seen
    }

    fn facts(containers: Vec<Seen>) -> Facts {
        Facts {
            place: Place::new("shop", "live"),
            containers,
            others: Vec::new(),
            wanted: Vec::new(),
            taken: Vec::new(),
            free: Some(100 << 30),
            data_root: "/var/lib/docker".into(),
        }
    }

    /// What is said of a container.
    fn said(change: impl FnOnce(&mut Seen)) -> Vec<String> {
        let found = judge(&facts(vec![seen(change)])).into_iter();
        let text = |trouble: Trouble| {
            assert!(trouble.hint.is_some(), "{trouble:?}");
            format!("{}|{}", trouble.what, trouble.cause.unwrap_or_default())
        };
        found.map(text).collect()
    }

    #[test]
    fn one_that_is_well_is_not_spoken_of() {
        assert_eq!(said(|_| {}), Vec::<String>::new());
        let healthy = |seen: &mut Seen| {
            seen.found.info.health = Some(Health {
                status: HealthStatus::Healthy,
                failing_streak: 0,
                last_output: "ok".into(),
            });
        };
        assert_eq!(said(healthy), Vec::<String>::new());
    }

    #[test]
    fn each_way_of_being_unwell_has_its_words() {
        let is = |status: &'static str| {
            move |seen: &mut Seen| {
                seen.found.info.status = status.into();
                seen.found.info.exit_code = 3;
                seen.past.code = Some(3);
            }
        };
        let tail = "its last lines\nthe last line";
        assert_eq!(
            said(is("exited")),
            [format!("web exited with code 3|{tail}")]
        );
        let again = format!("web ends again and again, the last time with exit code 3|{tail}");
        assert_eq!(said(is("restarting")), [again]);
        assert_eq!(said(is("paused")), ["web is paused|"]);
        assert_eq!(said(is("created")), ["web was never started|"]);
        let restarted = |seen: &mut Seen| {
            seen.found.info.restart_count = 2;
            seen.past.code = Some(1);
        };
        let words = "web ended and was started again 2 times, the last time with exit code 1";
        assert_eq!(said(restarted), [format!("{words}|{tail}")]);
        let unhealthy = |seen: &mut Seen| {
            seen.found.info.health = Some(Health {
                status: HealthStatus::Unhealthy,
                failing_streak: 7,
                last_output: "refused\n".into(),
            });
        };
        let words = "web is unhealthy: its health check failed 7 times in a row";
        assert_eq!(
            said(unhealthy),
            [format!("{words}|the check printed\nrefused")]
        );
        let oom = |seen: &mut Seen| {
            seen.past.ooms = 3;
            seen.found.info.restart_count = 3;
        };
        let words = "web ran out of memory 3 times";
        assert_eq!(said(oom), [format!("{words}|{tail}")]);
    }

    fn port(text: &str) -> HostPort {
        HostPort::read(text).expect("a port")
    }

    #[test]
    fn who_holds_a_wanted_port_is_named() {
        let holding = |labels: Labels| {
            let mut facts = facts(Vec::new());
            facts.wanted = vec![("web".into(), port("127.0.0.1:8080->80/tcp"))];
            facts.others = vec![ContainerInfo {
                name: "other".into(),
                status: "running".into(),
                ports: vec!["0.0.0.0:8080->80/tcp".into()],
                labels,
                ..ContainerInfo::default()
            }];
            judge(&facts)
        };
        let found = holding(Labels::new());
        let what = "port 127.0.0.1:8080, which web wants, is held by the container other";
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, what);
        let found = holding(Place::new("blog", "live").labels(SERVICE));
        let cause = found[0].cause.as_deref();
        assert_eq!(cause, Some("it is deployed by blog to live"));
        assert!(
            holding(Place::new("shop", "live").labels("proxy")).is_empty(),
            "its own"
        );

        let mut facts = facts(Vec::new());
        facts.wanted = vec![("web".into(), port("127.0.0.1:8080->80/tcp"))];
        facts.taken = vec![true];
        let found = judge(&facts);
        assert!(
            found[0]
                .what
                .ends_with("is held by a process of this machine")
        );
        facts.taken = vec![false];
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn a_full_disk_is_said() {
        let mut facts = facts(Vec::new());
        facts.free = Some(300 << 20);
        assert_eq!(
            judge(&facts)[0].what,
            "only 300 MiB are free at /var/lib/docker"
        );
        facts.free = None;
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn a_port_that_a_process_listens_at_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let number = listener.local_addr().expect("an address").port();
        let wanted = port(&format!("127.0.0.1:{number}->80/tcp"));
        assert!(is_taken(&wanted));
        drop(listener);
        assert!(!is_taken(&wanted));
    }
}
