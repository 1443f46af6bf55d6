//! Takes a container out of its proxies for a while, so that it loses nothing when it is started
//! again, and puts it back. What its proxies do besides stays as it is: of their configuration only
//! the lines of that container change. It refuses to take out the last that serves.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::perform::gates::BEYOND;
use super::perform::lead::{ended, get, lead};
use crate::backend::{Backend, BackendError};

/// What ends a line of a server that is out.
const OUT: &str = " disabled";
/// How long connections may go on where the configuration does not say.
const DRAIN: Duration = Duration::from_secs(60);

/// Leads the proxies of these IDs around a server, and waits until none of them has anything under
/// way there.
///
/// # Errors
/// The engine's, or that of a proxy which would not.
pub(super) async fn take_out(
    backend: &dyn Backend,
    proxies: &[String],
    server: &str,
) -> Result<(), BackendError> {
    let mut draining = Vec::new();
    for proxy in proxies {
        let Some(text) = get(backend, proxy).await else {
            continue;
        };
        if has_another(&text, server) {
            let before = lead(backend, proxy, &with(&text, server, true), &[]).await?;
            draining.push((proxy, before, drain(&text)));
        }
    }
    for (proxy, before, drain) in draining {
        ended(backend, proxy, &before, Instant::now() + drain + BEYOND).await;
    }
    Ok(())
}

/// Leads the proxies to the server again, also where someone else took it out and did not live to
/// put it back.
///
/// # Errors
/// The engine's, or that of a proxy which would not.
pub(super) async fn put_back(
    backend: &dyn Backend,
    proxies: &[String],
    server: &str,
) -> Result<(), BackendError> {
    for proxy in proxies {
        if let Some(text) = get(backend, proxy).await {
            lead(backend, proxy, &with(&text, server, false), &[]).await?;
        }
    }
    Ok(())
}

/// Leads the proxies to all that someone took out and did not live to put back. Only who has the
/// environment's lock knows that nobody is about to.
///
/// # Errors
/// The engine's, or that of a proxy which would not.
pub(super) async fn put_all_back(
    backend: &dyn Backend,
    proxies: &[String],
) -> Result<(), BackendError> {
    for proxy in proxies {
        let text = get(backend, proxy).await.unwrap_or_default();
        let out = text.lines().filter(|line| line.ends_with(OUT));
        let servers = out.filter_map(server_of);
        let all = servers.fold(text.clone(), |text, server| with(&text, server, false));
        if all != text {
            lead(backend, proxy, &all, &[]).await?;
        }
    }
    Ok(())
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
