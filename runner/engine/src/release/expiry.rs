//! Certificates that end: said while there is time to renew them, and refused when there is none, as
//! is one that is not valid yet. It renews nothing.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::reason::Trouble;
use jiff::Timestamp;

use super::names::Place;
use super::proxy::{Certificate, Expiry};
use super::read;
use crate::backend::{Backend, BackendError};

const RENEW: &str = "renew it, and run again: the proxy takes it up without a new release";

/// A service's certificate that expires soon.
pub(super) fn soon(service: &str, certificate: &Certificate, now: Timestamp) -> Option<Trouble> {
    let what = format!(
        "the certificate of {service} expires on {}",
        certificate.day()
    );
    let is_soon = certificate.expiry(now) == Expiry::Soon;
    is_soon.then(|| Trouble::new(what).hint(RENEW))
}

/// A certificate that is valid no longer.
pub(super) fn over(what: &str, certificate: &Certificate, now: Timestamp) -> Option<Trouble> {
    let what = format!("{what} expired on {}", certificate.day());
    let is_over = certificate.expiry(now) == Expiry::Over;
    is_over.then(|| Trouble::new(what).hint(RENEW))
}

/// A certificate that is not valid before a time to come.
pub(super) fn early(what: &str, begins: Timestamp, now: Timestamp) -> Option<Trouble> {
    let trouble = Trouble::new(format!("{what} is not valid before {begins:.0}"));
    let cause = format!("it is {now:.0} here, and no client would take it");
    let hint = "deploy it then, or see whether the clock of this machine is right";
    (begins > now).then(|| trouble.cause(cause).hint(hint))
}

/// What is wrong with the certificates that are in use in an environment, once a certificate: several
/// proxies and several services may have it.
pub(super) async fn in_use(
    backend: &dyn Backend,
    place: &Place,
    now: Timestamp,
) -> Result<Vec<Trouble>, BackendError> {
    let gates = read::gates(backend, place).await?;
    let used = gates.into_iter().flat_map(|gate| gate.fronts);
    let used = used.filter_map(|(service, front)| Some((service, front.tls?)));
    Ok(once_each(used)
        .into_iter()
        .filter_map(|(services, certificate)| {
            let what = format!("the certificate of {services}");
            over(&what, &certificate, now).or_else(|| soon(&services, &certificate, now))
        })
        .collect())
}

/// Each certificate with the services that it is of, sorted by these.
fn once_each(used: impl Iterator<Item = (String, Certificate)>) -> Vec<(String, Certificate)> {
    let mut all = BTreeMap::<String, (BTreeSet<String>, Certificate)>::new();
    for (service, certificate) in used {
        let known = all.entry(certificate.id.clone());
        let (services, _) = known.or_insert_with(|| (BTreeSet::new(), certificate));
        services.insert(service);
    }
    let named = |services: BTreeSet<String>| services.into_iter().collect::<Vec<_>>().join(", ");
    let all = all.into_values();
    let mut all: Vec<_> = all.map(|(services, it)| (named(services), it)).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_named_once_however_many_use_it() {
        let certificate = |id: &str| Certificate {
            id: id.to_owned(),
            expires: Timestamp::UNIX_EPOCH,
        };
        let used = [("web", "b"), ("shop", "a"), ("api", "b"), ("web", "b")];
        let used = used.map(|(service, id)| (service.to_owned(), certificate(id)));
        let found = once_each(used.into_iter());
        let named = found
            .iter()
            .map(|(services, it)| (services.as_str(), it.id.as_str()));
        assert_eq!(
            named.collect::<Vec<_>>(),
            [("api, web", "b"), ("shop", "a")]
        );
    }

    #[test]
    fn one_that_begins_later_is_said_until_it_has_begun() {
        let begins = Timestamp::UNIX_EPOCH;
        let hour = jiff::SignedDuration::from_hours(1);
        let said = early("the certificate", begins, begins - hour).expect("too early");
        assert_eq!(
            said.what,
            "the certificate is not valid before 1970-01-01T00:00:00Z"
        );
        assert_eq!(early("the certificate", begins, begins), None);
    }
}
