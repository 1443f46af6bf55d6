//! What comes in to a service through a proxy: `expose`, `app_protocol`, `drain`, `sticky`, `routes`,
//! `tls`, `proxy_protocol` and `maintenance`.

use super::{Place, mounts};
use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::{At, RouteSpec, Scalar, ServiceSpec};
use crate::unit::{AppProtocol, Protocol, Route, Strategy, Traffic};

/// Lowers it. With a strategy that switches, HTTP is what is spoken if nothing is said.
pub(super) fn lower(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &ServiceSpec,
    strategy: Option<Strategy>,
) -> Traffic {
    let base = Traffic::default();
    let words = [("http", AppProtocol::Http), ("tcp", AppProtocol::Tcp)];
    let encrypted = "what is encrypted is handed on as it is: `tcp`";
    let refused = [
        ("https", encrypted),
        (
            "h2",
            "it is not supported by this version; `tcp` hands it on as it is",
        ),
        (
            "grpc",
            "it is not supported by this version; `tcp` hands it on as it is",
        ),
        (
            "udp",
            "a UDP port is said so in `ports`, such as `53:53/udp`",
        ),
    ];
    let said = spec.app_protocol.as_ref();
    let said = said.and_then(|at| cx.word("app_protocol", at, &words, &refused));
    let usual = match strategy {
        Some(Strategy::Recreate) | None => AppProtocol::Tcp,
        Some(Strategy::BlueGreen | Strategy::Rolling | Strategy::Canary) => AppProtocol::Http,
    };
    let app_protocol = said.unwrap_or(usual);
    let certificate = spec.tls.as_ref().and_then(|tls| {
        let at = tls.certificate.as_ref();
        let at = place.at.required(cx, at, &["tls", "certificate"])?;
        let at = cx.literal_at(at)?;
        cx.known_secret(&at);
        Some(at.value)
    });
    let is_true = |at: &Option<At<bool>>| at.as_ref().is_some_and(|at| at.value);
    Traffic {
        expose: exposed(cx, spec.expose.as_ref()),
        app_protocol,
        routes: routes(cx, place, spec.routes.as_ref()),
        tls: certificate,
        proxy_protocol: is_true(&spec.proxy_protocol),
        maintenance: match &spec.maintenance {
            Some(at) => at.value,
            None => {
                let published = spec.ports.as_ref().is_some_and(|ports| !ports.is_empty());
                place.maintenance && published && app_protocol == AppProtocol::Http
            }
        },
        drain: cx.duration(spec.drain.as_ref()).unwrap_or(base.drain),
        sticky: is_true(&spec.sticky),
    }
}

/// Ports of the container.
fn exposed(cx: &mut Cx<'_>, all: Option<&Vec<At<Scalar>>>) -> Vec<u16> {
    let mut ports: Vec<u16> = Vec::new();
    for at in all.into_iter().flatten() {
        let Some(text) = cx.literal(at) else { continue };
        let fault = |message: String| Diagnostic::error(message, at.span.clone());
        let fault = match mounts::port(&text) {
            Ok(port) if port.published.is_some() || port.host_ip.is_some() => {
                fault(format!("`{text}` names a port of the host")).help(format!(
                    "what is published stands in `ports`; here write `{}`",
                    port.target
                ))
            }
            Ok(port) if port.protocol == Protocol::Udp => fault(format!(
                "`{text}` is not a TCP port"
            ))
            .help("services of one network reach the UDP ports of one another; leave it out"),
            Ok(port) if ports.contains(&port.target) => {
                fault(format!("`{}` stands here twice", port.target))
            }
            Ok(port) => {
                ports.push(port.target);
                continue;
            }
            Err(message) => fault(message).help("ports of the container are written like `3000`"),
        };
        cx.fault(fault);
    }
    ports
}

/// Requests that are the service's.
fn routes(cx: &mut Cx<'_>, place: &Place<'_>, all: Option<&Vec<At<RouteSpec>>>) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    if all.is_some_and(Vec::is_empty) {
        let span = place.at.key_span(cx, &["routes"]);
        let fault = Diagnostic::error("`routes` is empty", span);
        cx.fault(fault.help("leave it out for all requests"));
    }
    for at in all.into_iter().flatten() {
        let route = Route {
            host: at.value.host.as_ref().and_then(|host| self::host(cx, host)),
            path: at.value.path.as_ref().and_then(|path| self::path(cx, path)),
        };
        let said = at.value.host.is_some() || at.value.path.is_some();
        if !said {
            let fault = Diagnostic::error("a route needs a `host` or a `path`", at.span.clone());
            cx.fault(fault.help("leave `routes` out for all requests"));
        } else if route != Route::default() && routes.contains(&route) {
            let message = format!("`{route}` stands here twice");
            cx.fault(Diagnostic::error(message, at.span.clone()));
        } else {
            routes.push(route);
        }
    }
    routes
}

/// The name of a host.
fn host(cx: &mut Cx<'_>, at: &At<String>) -> Option<String> {
    let host = cx.literal(at)?;
    let clean = clean_host(&host);
    if clean.is_none() {
        let message = format!("`{host}` is not the name of a host");
        let fault = Diagnostic::error(message, at.span.clone());
        cx.fault(match host.starts_with("*.") {
            true => fault.help("name each host; a pattern is not supported by this version"),
            false => {
                fault.help("hosts are written like `shop.example.com`, without scheme and port")
            }
        });
    }
    clean
}

/// The beginning of a URL's path.
fn path(cx: &mut Cx<'_>, at: &At<String>) -> Option<String> {
    let path = cx.literal(at)?;
    let clean = clean_path(&path);
    if clean.is_none() {
        let message = format!("`{path}` is not the beginning of a URL's path");
        let fault = Diagnostic::error(message, at.span.clone());
        cx.fault(fault.help("paths are written like `/api`, in ASCII, without query or pattern"));
    }
    clean
}

/// A host's name in small letters.
fn clean_host(host: &str) -> Option<String> {
    let is_label = |label: &str| {
        let holds = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(holds)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let ok = host.len() <= 253 && host.split('.').all(is_label);
    ok.then(|| host.to_ascii_lowercase())
}

/// An absolute path without a `/` at its end.
fn clean_path(path: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '"' | '\'' | '\\' | '*');
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let mut parts = trimmed.split('/');
    let ok = path.starts_with('/')
        && path.chars().all(plain)
        && parts.next() == Some("")
        && !parts.any(|part| matches!(part, "" | "." | ".."));
    ok.then(|| if trimmed.is_empty() { "/" } else { trimmed }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_of_plain_hosts_and_paths() {
        assert_eq!(
            clean_host("Shop.example.COM").as_deref(),
            Some("shop.example.com")
        );
        assert_eq!(clean_host("localhost").as_deref(), Some("localhost"));
        for host in [
            "", ".", "a..b", "-a", "a-", "*.a", "a:80", "http://a", "a b", "a_b", "é",
        ] {
            assert_eq!(clean_host(host), None, "{host}");
        }
        for (path, clean) in [("/", "/"), ("/api", "/api"), ("/api/v1/", "/api/v1")] {
            assert_eq!(clean_path(path).as_deref(), Some(clean));
        }
        for path in [
            "", "api", "//", "/a//b", "/a/../b", "/.", "/a?b", "/a*", "/a b", "/é",
        ] {
            assert_eq!(clean_path(path), None, "{path}");
        }
    }
}
