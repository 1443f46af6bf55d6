//! An HAProxy configuration from data, for HAProxy 2.6 and later in master-worker mode. It asks for
//! nothing that can be written to, no privilege and no user. It refuses to know names that a resolver
//! would have to look up: servers have addresses.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use hoist_model::unit::{AppProtocol, Route};
use serde::{Deserialize, Serialize};

use super::front::Front;

/// One proxy's configuration; its text is what [`fmt::Display`] writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// By the port in the proxy's container. HAProxy does not start without any.
    pub(crate) listens: BTreeMap<u16, Services>,
}

/// What is behind a port, by service: each has its routes, and one may have what is left.
pub(crate) type Services = BTreeMap<String, Listen>;

/// What a service has behind a port that a proxy listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listen {
    /// What is done with what comes in.
    pub(crate) front: Front,
    /// Each request is logged, for [`super::log::requests`]. HTTP only.
    pub(crate) log_requests: bool,
    /// Where the traffic goes. Without any, HTTP clients get 503 and others are hung up on.
    pub(crate) servers: BTreeMap<ServerName, Server>,
}

/// What traffic can go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) part: Part,
    /// It is told the client's address by the PROXY protocol, with each connection, and checks are
    /// no exception.
    pub(crate) proxy_protocol: bool,
}

/// What a server gets of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// Its share.
    Active {
        /// Against the weights of the other active servers: 1 to 256, what is outside counts as the
        /// nearest.
        weight: u32,
    },
    /// All of it, with the other such servers, while no active one is up. It has no cookie, since a
    /// client that comes with one is sent to its server even so.
    Backup,
    /// None. It is checked, so that the log tells whether it answers.
    Probing,
}

/// The name of a server, such as `web-7-1`. It holds nothing that could end a word or a line of the
/// configuration or of the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ServerName(String);

impl TryFrom<String> for ServerName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(name).ok_or("it is not the name of a server")
    }
}

impl ServerName {
    /// `None` where the name is empty or holds more than ASCII letters, digits, `-`, `_` and `.`.
    pub(crate) fn new(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        let holds = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (!name.is_empty() && name.chars().all(holds)).then_some(Self(name))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The port that a proxy listens on, as the text of its configuration says; of several the first.
pub(crate) fn listened(config: &str) -> Option<u16> {
    let line = |line: &str| line.strip_prefix(FRONTEND)?.parse().ok();
    config.lines().find_map(line)
}

/// How the line begins that names a port.
const FRONTEND: &str = "frontend port-";

/// The name of what a service has behind a port. Since HAProxy 3.3 it has to be another than that of
/// the port.
fn backend(port: u16, service: &str) -> String {
    format!("{}{service}", backends(port))
}

/// How the names of all that is behind a port begin.
pub(super) fn backends(port: u16) -> String {
    format!("servers-{port}-")
}

/// The name of what is behind a port where no service is.
fn nobodys(port: u16) -> String {
    format!("nobody-{port}")
}

/// Where a proxy's files are in its container.
pub(crate) const FOLDER: &str = "/etc/hoist";

/// How many connections a proxy takes at once: each needs two files and little memory. Without a number
/// HAProxy makes room for as many as it may open files, which is more than the memory holds where an
/// engine sets no limit.
const MAX_CONNECTIONS: u32 = 8_000;

/// The longest time that HAProxy takes: a 32-bit number of milliseconds.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// What all ports share. A program behind no proxy has no bound on how long it thinks or how long a
/// connection is silent, so these are wide: 1 hour in a request, 24 in a WebSocket or anything on
/// TCP. Idle connections are kept longer than the 60 seconds that load balancers keep theirs, which
/// would else send a request into one that was just closed.
///
/// A server starts as up and is down after its first failed check; later it takes two. A connection
/// that is not made is tried with the next server at once, or with the same a second later, when its
/// checks have found it down and the backups are there.
const DEFAULTS: &str = "\
defaults
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout tunnel 24h
    timeout http-request 30s
    timeout http-keep-alive 75s
    option tcpka
    retries 3
    option redispatch 1
    option allbackups
    option log-health-checks
    default-server check inter 1s fastinter 250ms downinter 250ms fall 2 rise 1
";

/// An idle connection is closed with its next response and not before, so no client writes into a
/// closed one in a reload. What an outer proxy said of the client stays and is added to.
///
/// A server that took a request and hung up may have done what was asked, so only requests that
/// change nothing are sent again.
const HTTP_FRONTEND: &str = "    mode http
    option idle-close-on-response
    option http-ignore-probes
    option forwardfor
    http-request set-header X-Forwarded-Host %[req.hdr(Host)] unless { req.hdr(X-Forwarded-Host) -m found }
    http-request disable-l7-retry unless { method GET HEAD OPTIONS }
";

/// Where nothing is encrypted, an outer proxy may have had it encrypted and says so.
const PLAIN: &str = "    http-request set-header X-Forwarded-Proto http unless { req.hdr(X-Forwarded-Proto) -m found }
";

/// What requests get instead of a server. Nobody keeps it, and who asks by program knows when to ask
/// again.
const MAINTENANCE: &str = r#"    http-request return status 503 content-type "text/html; charset=utf-8" string '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Maintenance</title></head><body><h1>Down for maintenance</h1><p>We will be back soon.</p></body></html>' hdr Retry-After 60 hdr Cache-Control no-store
"#;

/// Nothing in it is a client's. The fields are those of [`super::log::Request`].
const LOG_FORMAT: &str = r#"    log global
    log-format '{"server":"%s","status":%ST,"millis":%Ta,"termination":"%ts","retries":"%rc"}'
"#;

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.listens.values().flat_map(BTreeMap::values);
        let drain = all.map(|listen| listen.front.drain).max();
        // 0 would be no bound at all.
        let drain = drain.unwrap_or_default().min(LONGEST).as_millis().max(1);
        writeln!(
            f,
            "# Written by hoist, which writes it anew with each change."
        )?;
        writeln!(f, "global")?;
        writeln!(f, "    log stdout format raw local0")?;
        writeln!(f, "    maxconn {MAX_CONNECTIONS}")?;
        // Where it may open fewer files, it starts all the same and takes fewer connections.
        writeln!(f, "    no strict-limits")?;
        writeln!(f, "    hard-stop-after {drain}ms")?;
        write!(f, "\n{DEFAULTS}")?;
        for (&port, services) in &self.listens {
            frontend(f, port, services)?;
            for (service, listen) in services {
                listen.backend(f, port, service)?;
            }
            if rest(services).is_none() {
                writeln!(f, "\nbackend {}", nobodys(port))?;
                writeln!(f, "    mode http")?;
                writeln!(f, "    http-request return status 404")?;
            }
        }
        Ok(())
    }
}

/// What is done on a port for all services behind it. They speak the same.
fn frontend(f: &mut fmt::Formatter<'_>, port: u16, services: &Services) -> fmt::Result {
    writeln!(f, "\n{FRONTEND}{port}")?;
    let fronts = || services.values().map(|listen| &listen.front);
    let certificates: BTreeSet<String> = fronts()
        .filter_map(|front| Some(front.tls.as_ref()?.file()))
        .collect();
    let is_http = fronts().any(|front| front.app_protocol == AppProtocol::Http);
    write!(f, "    bind *:{port}")?;
    if !certificates.is_empty() {
        write!(f, " ssl")?;
        for file in &certificates {
            write!(f, " crt {FOLDER}/{file}")?;
        }
        write!(f, " ssl-min-ver TLSv1.2")?;
        if is_http {
            write!(f, " alpn http/1.1")?;
        }
    }
    writeln!(f)?;
    if is_http {
        f.write_str(HTTP_FRONTEND)?;
        f.write_str(match certificates.is_empty() {
            false => "    http-request set-header X-Forwarded-Proto https\n",
            true => PLAIN,
        })?;
        if services.values().any(|listen| listen.log_requests) {
            f.write_str(LOG_FORMAT)?;
        }
    } else {
        writeln!(f, "    mode tcp")?;
    }
    for (route, service) in routes(services) {
        choose(f, route, &backend(port, service))?;
    }
    let rest = rest(services).map_or_else(|| nobodys(port), |service| backend(port, service));
    writeln!(f, "    default_backend {rest}")
}

/// The routes of a port, the most specific first: those of a host before those of all, and the
/// longer path before the shorter.
fn routes(services: &Services) -> Vec<(&Route, &str)> {
    let mut routes: Vec<(&Route, &str)> = services
        .iter()
        .flat_map(|(service, listen)| {
            let routes = listen.front.routes.iter();
            routes.map(|route| (route, service.as_str()))
        })
        .collect();
    let length = |route: &Route| route.path.as_ref().map_or(0, String::len);
    routes.sort_by_key(|(route, _)| (route.host.is_none(), Reverse(length(route))));
    routes
}

/// The service that has what no route leads elsewhere.
fn rest(services: &Services) -> Option<&str> {
    let mut all = services.iter();
    let found = all.find(|(_, listen)| listen.front.routes.is_empty());
    found.map(|(service, _)| service.as_str())
}

/// Sends what a route says to a service.
fn choose(f: &mut fmt::Formatter<'_>, route: &Route, backend: &str) -> fmt::Result {
    let host = route.host.as_ref().map_or_else(String::new, |host| {
        format!(" {{ req.hdr(Host),field(1,:),lower -m str {host} }}")
    });
    let path = route.path.as_ref().filter(|path| *path != "/");
    let Some(path) = path else {
        return match host.is_empty() {
            true => writeln!(f, "    use_backend {backend}"),
            false => writeln!(f, "    use_backend {backend} if{host}"),
        };
    };
    let itself = format!("{host} {{ path -m str {path} }}");
    writeln!(
        f,
        "    use_backend {backend} if{itself} or{host} {{ path_beg {path}/ }}"
    )
}

impl Listen {
    fn backend(&self, f: &mut fmt::Formatter<'_>, port: u16, service: &str) -> fmt::Result {
        writeln!(f, "\nbackend {}", backend(port, service))?;
        writeln!(f, "{}", self.front.line(service))?;
        // Here and not in the frontend: of checks, and not of connections.
        writeln!(f, "    log global")?;
        match self.front.app_protocol {
            AppProtocol::Http => {
                writeln!(f, "    mode http")?;
                if self.front.maintenance {
                    f.write_str(MAINTENANCE)?;
                }
                writeln!(f, "    balance roundrobin")?;
                writeln!(f, "    retry-on conn-failure empty-response")?;
                if self.front.sticky {
                    // Cookies know no ports.
                    let options = "insert indirect nocache httponly";
                    writeln!(f, "    cookie hoist-{port} {options}")?;
                }
            }
            AppProtocol::Tcp => {
                writeln!(f, "    mode tcp")?;
                if self.front.sticky {
                    writeln!(f, "    balance source")?;
                    writeln!(f, "    hash-type consistent")?;
                } else {
                    writeln!(f, "    balance leastconn")?;
                }
                // In HTTP a client has its answer or an error sooner or later, and a server that is
                // too busy for a check may well finish what it has. Here connections have no end.
                writeln!(f, "    default-server on-marked-down shutdown-sessions")?;
            }
        }
        for (name, server) in &self.servers {
            server.line(f, name, self)?;
        }
        Ok(())
    }
}

impl Server {
    fn line(&self, f: &mut fmt::Formatter<'_>, name: &ServerName, listen: &Listen) -> fmt::Result {
        write!(f, "    server {name} {}:{}", self.address, self.port)?;
        match self.part {
            Part::Active { weight } => {
                write!(f, " weight {}", weight.clamp(1, 256))?;
                if listen.front.sticky && listen.front.app_protocol == AppProtocol::Http {
                    write!(f, " cookie {name}")?;
                }
            }
            Part::Backup => write!(f, " backup")?,
            Part::Probing => write!(f, " weight 0")?,
        }
        if self.proxy_protocol {
            write!(f, " send-proxy-v2 check-send-proxy")?;
        }
        writeln!(f)
    }
}
