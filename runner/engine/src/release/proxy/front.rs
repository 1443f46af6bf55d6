//! What a proxy does with what comes in for a service, whichever of its containers that goes to. It
//! stands in the configuration as a comment and is read from there, so that what a proxy does now can
//! be compared with what it should. Refused here: anything secret.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::unit::{AppProtocol, Route, Traffic};
use serde::{Deserialize, Serialize};

use super::certificate::Certificate;

/// How a line of the configuration begins that holds one: the service's name follows, and then it.
const MARK: &str = "    # front ";

/// What is done with what comes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Front {
    /// What is spoken.
    pub(crate) app_protocol: AppProtocol,
    /// How long connections may go on after a reload. A proxy has one bound: the longest of its
    /// ports.
    pub(crate) drain: Duration,
    /// One client stays with one server: in HTTP by a cookie, else by the client's address.
    #[serde(default)]
    pub(crate) sticky: bool,
    /// Requests get a page that says so instead of a server. HTTP only.
    #[serde(default)]
    pub(crate) maintenance: bool,
    /// TLS ends here, by this certificate.
    #[serde(default)]
    pub(crate) tls: Option<Certificate>,
    /// Which requests are the service's; what is left where empty.
    #[serde(default)]
    pub(crate) routes: Vec<Route>,
}

/// What becomes other between two fronts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refront {
    /// A page from now on, or no longer.
    pub(crate) maintenance: Option<bool>,
    /// Another certificate than the one before.
    pub(crate) renewed: bool,
    /// Containers have their part again that a restart took from them and did not give back.
    pub(crate) back: bool,
    /// Anything else.
    pub(crate) other: bool,
}

impl Front {
    /// That of a service's proxy, which has a port of the host or the service's name. What is for
    /// clients outside alone is done on ports of the host.
    pub(crate) fn of(traffic: &Traffic, is_published: bool, tls: Option<&Certificate>) -> Self {
        Self {
            app_protocol: traffic.app_protocol,
            drain: traffic.drain,
            sticky: traffic.sticky,
            maintenance: traffic.maintenance
                && is_published
                && traffic.app_protocol == AppProtocol::Http,
            tls: tls.filter(|_| is_published).cloned(),
            routes: match is_published {
                true => traffic.routes.clone(),
                false => Vec::new(),
            },
        }
    }

    /// Those in a configuration's text, by service.
    pub(crate) fn read(config: &str) -> BTreeMap<String, Self> {
        let lines = config.lines().filter_map(|line| line.strip_prefix(MARK));
        let read = lines.filter_map(|line| {
            let (service, front) = line.split_once(' ')?;
            Some((service.to_owned(), serde_json::from_str(front).ok()?))
        });
        read.collect()
    }

    /// The line of the configuration that holds it.
    pub(super) fn line(&self, service: &str) -> String {
        let front = serde_json::to_string(self).unwrap_or_default();
        format!("{MARK}{service} {front}")
    }
}

impl Refront {
    /// What becomes other; where nothing is known of what was, all of it may be.
    pub(crate) fn between(before: Option<&Front>, after: &Front) -> Self {
        let Some(before) = before else {
            return Self {
                other: true,
                ..Self::default()
            };
        };
        let maintenance = after.maintenance;
        let renewed = matches!((&before.tls, &after.tls), (Some(old), Some(new)) if old != new);
        let tls = match renewed {
            true => after.tls.clone(),
            false => before.tls.clone(),
        };
        let same = Front {
            maintenance,
            tls,
            ..before.clone()
        };
        Self {
            maintenance: (before.maintenance != maintenance).then_some(maintenance),
            renewed,
            back: false,
            other: same != *after,
        }
    }

    /// This and what becomes other elsewhere.
    pub(crate) fn and(self, more: Self) -> Self {
        Self {
            maintenance: self.maintenance.or(more.maintenance),
            renewed: self.renewed || more.renewed,
            back: self.back || more.back,
            other: self.other || more.other,
        }
    }

    /// A certificate was renewed, or what a restart left is put right, and that is all.
    pub(crate) fn only_renews(self) -> bool {
        let rest = Self {
            renewed: false,
            back: false,
            ..self
        };
        rest.is_nothing() && !self.is_nothing()
    }

    pub(crate) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::proxy::Config;
    use crate::release::proxy::config::Listen;

    fn certificate(id: &str) -> Certificate {
        Certificate {
            id: id.to_owned(),
            expires: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn front() -> Front {
        Front::of(&Traffic::default(), true, None)
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        for maintenance in [false, true] {
            let front = Front {
                tls: maintenance.then(|| certificate("a")),
                app_protocol: AppProtocol::Http,
                sticky: true,
                maintenance,
                ..front()
            };
            let listen = Listen {
                front: front.clone(),
                log_requests: false,
                servers: [].into(),
            };
            let text = Config {
                listens: [(80, [("web".to_owned(), listen)].into())].into(),
            }
            .to_string();
            assert_eq!(Front::read(&text), [("web".to_owned(), front)].into());
        }
        for text in ["", "frontend port-80\n", "    # front web {}\n"] {
            assert_eq!(Front::read(text), BTreeMap::new(), "{text}");
        }
    }

    #[test]
    fn what_is_for_clients_outside_is_done_on_ports_of_the_host() {
        let traffic = Traffic {
            app_protocol: AppProtocol::Http,
            maintenance: true,
            ..Traffic::default()
        };
        let tls = certificate("a");
        let outside = Front::of(&traffic, true, Some(&tls));
        assert!(outside.maintenance && outside.tls == Some(tls.clone()));
        let inside = Front::of(&traffic, false, Some(&tls));
        assert!(!inside.maintenance && inside.tls.is_none());
    }

    #[test]
    fn what_becomes_other_is_told_apart() {
        let page = Front {
            maintenance: true,
            ..front()
        };
        let sticky = Front {
            sticky: true,
            ..front()
        };
        let between = |before: &Front, after: &Front| {
            let found = Refront::between(Some(before), after);
            (found.maintenance, found.renewed, found.other)
        };
        assert_eq!(between(&front(), &front()), (None, false, false));
        assert_eq!(between(&front(), &page), (Some(true), false, false));
        assert_eq!(between(&page, &front()), (Some(false), false, false));
        assert_eq!(between(&page, &sticky), (Some(false), false, true));
        let by = |id: &str| Front {
            tls: Some(certificate(id)),
            ..front()
        };
        assert_eq!(between(&by("a"), &by("b")), (None, true, false));
        assert_eq!(between(&front(), &by("a")), (None, false, true));
        assert_eq!(between(&by("a"), &front()), (None, false, true));
        assert!(Refront::between(Some(&by("a")), &by("b")).only_renews());
        assert!(Refront::between(None, &front()).other);
        let back = Refront {
            back: true,
            ..Refront::default()
        };
        assert!(back.only_renews() && !Refront::default().only_renews());
        assert!(!back.and(Refront::between(None, &front())).only_renews());
    }
}
