//! Takes a container out of its proxies for a while, so that it loses nothing when it is started
//! again, and puts it back. What its proxies do besides stays as it is: of their configuration only
//! the lines of that container change. It refuses to take out the last that serves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::names::Place;
use super::perform::gates::BEYOND;
use super::perform::lead::{ended, get, lead};
use super::proxy::qualified;
use super::shared::{Shared, give_back};
use super::state::DeployedGate;
use crate::backend::{Backend, BackendError, Labels};

/// What ends a line of a server that is out.
const OUT: &str = " disabled";
/// How long connections may go on where the configuration does not say.
const DRAIN: Duration = Duration::from_secs(60);

/// The proxies of an environment.
pub(super) struct Proxies<'a> {
    pub(super) backend: &'a Arc<dyn Backend>,
    pub(super) place: &'a Place,
    pub(super) gates: &'a [DeployedGate],
    /// The labels of whoever asks, for the locks of those that are the host's.
    pub(super) labels: &'a Labels,
}

impl Proxies<'_> {
    /// Leads the proxies around a server, and waits until none of them has anything under way there.
    ///
    /// # Errors
    /// The engine's, or that of a proxy which would not.
    pub(super) async fn take_out(&self, server: &str) -> Result<(), BackendError> {
        let mut draining = Vec::new();
        for gate in self.gates {
            let next = |text: &str, prefix: &str| {
                let server = format!("{prefix}{server}");
                has_another(text, &server).then(|| with(text, &server, true))
            };
            if let Some((before, drain)) = self.lead(gate, next).await? {
                draining.push((&gate.id, before, drain));
            }
        }
        for (id, before, drain) in draining {
            let until = Instant::now() + drain + BEYOND;
            ended(self.backend.as_ref(), id, &before, until).await;
        }
        Ok(())
    }

    /// Leads the proxies to the server again.
    ///
    /// # Errors
    /// The engine's, or that of a proxy which would not.
    pub(super) async fn put_back(&self, server: &str) -> Result<(), BackendError> {
        for gate in self.gates {
            let next = |text: &str, prefix: &str| {
                let server = format!("{prefix}{server}");
                Some(with(text, &server, false))
            };
            self.lead(gate, next).await?;
        }
        Ok(())
    }

    /// Leads the proxies to all that someone took out and did not live to put back. Only who has the
    /// environment's lock knows that nobody is about to.
    ///
    /// # Errors
    /// The engine's, or that of a proxy which would not.
    pub(super) async fn put_all_back(&self) -> Result<(), BackendError> {
        for gate in self.gates {
            let next = |text: &str, prefix: &str| {
                let out = text.lines().filter(|line| line.ends_with(OUT));
                let own = out
                    .filter_map(server_of)
                    .filter(|name| name.starts_with(prefix));
                let all = own.fold(text.to_owned(), |text, server| with(&text, server, false));
                (all != text).then_some(all)
            };
            self.lead(gate, next).await?;
        }
        Ok(())
    }

    /// Has a proxy do what `next` makes of what it does now and of how the names of the environment's
    /// servers begin there. Gives the workers with what was begun, and how long they may take; nothing
    /// where it stays as it is.
    async fn lead(
        &self,
        gate: &DeployedGate,
        next: impl Fn(&str, &str) -> Option<String> + Send + Sync,
    ) -> Result<Option<(BTreeSet<u64>, Duration)>, BackendError> {
        let backend = self.backend.as_ref();
        if !gate.gate.is_shared() {
            let text = get(backend, &gate.id).await;
            let next = text.as_ref().and_then(|text| next(text, ""));
            return change(backend, &gate.id, next).await;
        }
        let shared = Shared {
            backend: self.backend,
            gate: &gate.gate,
            image: &gate.image,
            labels: self.labels,
        };
        let lock = shared.lock().await?;
        let changed = async {
            let (_, text) = shared.read(&gate.id).await?;
            change(backend, &gate.id, next(&text, &qualified(self.place, ""))).await
        };
        let changed = changed.await;
        give_back(lock).await;
        changed
    }
}

async fn change(
    backend: &dyn Backend,
    id: &str,
    next: Option<String>,
) -> Result<Option<(BTreeSet<u64>, Duration)>, BackendError> {
    let Some(text) = next else {
        return Ok(None);
    };
    let before = lead(backend, id, &text, &[]).await?;
    Ok(Some((before, drain(&text))))
}

/// Of a proxy that several environments share, the same for one of them.
pub(super) fn services_of(text: &str, place: &Place) -> BTreeSet<String> {
    let own = qualified(place, "");
    let all = services(text).into_iter();
    all.filter_map(|name| Some(name.strip_prefix(&own)?.to_owned()))
        .collect()
}

/// The services of which a configuration leads around a container.
pub(super) fn services(text: &str) -> BTreeSet<String> {
    let out = text.lines().filter(|line| line.ends_with(OUT));
    let services = out.filter_map(server_of).filter_map(service_of);
    services.map(str::to_owned).collect()
}

/// The name of a line's server.
fn server_of(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    (words.next() == Some("server")).then(|| words.next())?
}

/// The server is there and another one has traffic beside it.
fn has_another(text: &str, server: &str) -> bool {
    let serves = |line: &&str| !line.ends_with(OUT) && !line.contains(" weight 0");
    let names = || text.lines().filter(serves).filter_map(server_of);
    let same = |name: &str| name != server && service_of(name) == service_of(server);
    names().any(|name| name == server) && names().any(same)
}

/// The service of a server, whose name ends with the numbers of its release and replica.
fn service_of(server: &str) -> Option<&str> {
    server.rsplitn(3, '-').nth(2)
}

/// The configuration with the server out or in.
fn with(text: &str, server: &str, out: bool) -> String {
    let line = |line: &str| {
        let mut line = line.to_owned();
        if server_of(&line) == Some(server) {
            line.truncate(line.trim_end_matches(OUT).len());
            if out {
                line.push_str(OUT);
            }
        }
        line + "\n"
    };
    text.lines().map(line).collect()
}

/// A configuration in which what others than an environment took out of the one before stays out.
pub(super) fn keep_out(text: &str, before: &str, place: &Place) -> String {
    let own = qualified(place, "");
    let out = before.lines().filter(|line| line.ends_with(OUT));
    let others = out
        .filter_map(server_of)
        .filter(|name| !name.starts_with(&own));
    others.fold(text.to_owned(), |text, server| with(&text, server, true))
}

/// How long the proxy lets connections go on.
fn drain(text: &str) -> Duration {
    let bound = |line: &str| {
        let millis = line.trim().strip_prefix("hard-stop-after ")?;
        millis.strip_suffix("ms")?.parse().ok()
    };
    let bound = text.lines().find_map(bound);
    bound.map_or(DRAIN, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
global
    hard-stop-after 1500ms

backend servers-80
    server web-1-1 10.0.0.2:80 weight 100
    server web-1-10 10.0.0.3:80 weight 100
    server web-2-1 10.0.0.4:80 weight 0
";

    #[test]
    fn only_the_lines_of_the_server_change_and_come_back_as_they_were() {
        let out = with(TEXT, "web-1-1", true);
        assert!(
            out.contains("web-1-1 10.0.0.2:80 weight 100 disabled\n"),
            "{out}"
        );
        assert_eq!(out.matches("disabled").count(), 1);
        assert_eq!(with(&out, "web-1-1", true), out);
        assert_eq!(with(&out, "web-1-1", false), TEXT);
        assert_eq!(services(&out), ["web".to_owned()].into());
        assert_eq!(services(TEXT), BTreeSet::new());
    }

    #[test]
    fn the_last_that_serves_stays() {
        assert!(has_another(TEXT, "web-1-1"));
        let out = with(TEXT, "web-1-10", true);
        assert!(
            !has_another(&out, "web-1-1"),
            "one is out, and one only probed"
        );
        assert!(!has_another(TEXT, "web-9-1"), "it is not there");
    }

    #[test]
    fn the_bound_is_that_of_the_proxy() {
        assert_eq!(drain(TEXT), Duration::from_millis(1500));
        assert_eq!(drain(""), DRAIN);
    }
}
