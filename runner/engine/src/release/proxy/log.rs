//! What a proxy's standard output tells: whether servers answer, and how requests ended. Lines that say
//! neither are passed over, and so is what HAProxy repeats on its standard error. No line holds
//! anything that a client chose, so none can be made up from outside.

use serde::Deserialize;

use super::config::{ServerName, backends};
use super::share::qualified;
use crate::release::names::Place;

/// The last verdict of the proxy's checks on a server behind a port; `None` while there is none.
/// HAProxy tells the first one after each start and then what changes.
pub(crate) fn proved(log: &str, port: u16, server: &ServerName) -> Option<bool> {
    let name = format!("server {}", backends(port));
    log.lines().rev().find_map(|line| {
        let of = line.strip_prefix("Health check for ")?;
        let of = of.strip_prefix("backup ").unwrap_or(of);
        let (service, rest) = of.strip_prefix(&name)?.split_once('/')?;
        let verdict = rest.strip_prefix(server.as_str())?.strip_prefix(' ')?;
        if service.contains(' ') {
            return None;
        }
        match verdict.split([',', ' ']).next()? {
            "succeeded" => Some(true),
            "failed" => Some(false),
            _ => None,
        }
    })
}

/// Of the requests of a proxy that several environments share, those that one of them had, with the
/// names of servers as it has them.
pub(crate) fn unqualified(log: &str, place: &Place) -> String {
    let begins = r#"{"server":""#;
    let own = format!("{begins}{}", qualified(place, ""));
    let lines = log.lines().filter_map(|line| line.strip_prefix(&own));
    lines.map(|rest| format!("{begins}{rest}\n")).collect()
}

/// How a request went.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Request {
    /// The server that had it last; no server's name where none had it.
    pub(crate) server: String,
    /// Of the answer; -1 where there was none.
    pub(crate) status: i32,
    /// From its first byte to the answer's last, in milliseconds; -1 where it never came in whole.
    pub(crate) millis: i64,
    /// Who ended it in which state, in HAProxy's letters; `--` where all was well.
    termination: String,
    /// How often it was tried again, with a `+` before where another server had it in the end.
    retries: String,
}

impl Request {
    /// The server did not answer, broke off, took too long or says that it failed.
    pub(crate) fn failed(&self) -> bool {
        self.status >= 500 || self.termination.starts_with(['S', 's', 'D'])
    }

    /// Another server, which the log does not name, failed it first.
    pub(crate) fn passed_on(&self) -> bool {
        self.retries.starts_with('+')
    }
}

/// The requests of a log, in the order in which they ended.
pub(crate) fn requests(log: &str) -> impl Iterator<Item = Request> {
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What HAProxy 2.6.12 wrote.
    const LOG: &str = include_str!("tests/log-2.6.txt");

    #[test]
    fn the_last_verdict_on_a_server_counts() {
        let of = |log: &str, port, server: &str| {
            let server = ServerName::new(server).unwrap();
            proved(log, port, &server)
        };
        assert_eq!(of(LOG, 80, "web-7-1"), Some(true));
        assert_eq!(of(LOG, 80, "web-8-1"), Some(true));
        assert_eq!(of(LOG, 80, "web-6-1"), Some(true));
        assert_eq!(of(LOG, 81, "web-7-1"), Some(false));
        assert_eq!(of(LOG, 80, "web-7"), None);
        assert_eq!(of(LOG, 8, "web-7-1"), None);
        let start = LOG.split("Backup Server").next().unwrap();
        assert_eq!(of(start, 80, "web-6-1"), Some(false));
        // What is repeated on the standard error may come late.
        let late = format!(
            "{LOG}[WARNING]  (7) : Health check for server servers-80-web/web-7-1 failed, reason: Layer4 timeout, status: 0/1 DOWN.\n"
        );
        assert_eq!(of(&late, 80, "web-7-1"), Some(true));
    }

    #[test]
    fn requests_are_told_from_all_else() {
        let all: Vec<_> = requests(LOG).collect();
        let told = |one: &Request| {
            let server = one.server.clone();
            (server, one.status, one.failed(), one.passed_on())
        };
        let told: Vec<_> = all.iter().map(told).collect();
        let expected = [
            ("web-7-1", 200, false, false),
            ("web-8-1", 200, false, false),
            ("web-7-1", 500, true, false),
            ("web-7-1", 200, false, true),
            ("web-8-1", 502, true, false),
            ("web-8-1", 200, true, false),
            ("web-7-1", 504, true, false),
        ];
        let expected = expected.map(|(server, status, failed, passed_on)| {
            (server.to_owned(), status, failed, passed_on)
        });
        assert_eq!(told, expected);
        assert_eq!(all.iter().map(|one| one.millis).max(), Some(1001));
    }

    #[test]
    fn each_has_its_own_requests_of_a_proxy_that_is_shared() {
        let line = |server: &str| {
            format!(
                "{{\"server\":\"{server}\",\"status\":200,\"millis\":1,\"termination\":\"--\",\"retries\":\"0\"}}\n"
            )
        };
        let log = line("shop.live.web-1-1") + &line("blog.live.web-1-1") + &line("<NOSRV>");
        let own = unqualified(&log, &Place::new("shop", "live"));
        let servers: Vec<String> = requests(&own).map(|one| one.server).collect();
        assert_eq!(servers, ["web-1-1"]);
    }

    #[test]
    fn a_client_that_goes_away_is_no_failure_of_the_server() {
        let line =
            r#"{"server":"web-8-1","status":400,"millis":299,"termination":"CH","retries":"0"}"#;
        assert!(requests(line).all(|one| !one.failed()));
        assert_eq!(requests(line).count(), 1);
    }
}
