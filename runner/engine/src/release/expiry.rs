//! Certificates that end: said while there is time to renew them, and refused when there is none. It
//! renews nothing.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use hoist_model::reason::Trouble;
use jiff::Timestamp;

use super::names::{PROXY, Place};
use super::perform::lead;
use super::proxy::{Certificate, Expiry, Front};
use crate::backend::{Backend, BackendError, ContainerInfo};

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

/// The services that a proxy leads to, with the certificates that it uses for them.
pub(super) async fn of_proxy(
    backend: &dyn Backend,
    proxy: &ContainerInfo,
) -> BTreeMap<String, Option<Certificate>> {
    let fronts = lead::get(backend, &proxy.id).await;
    let fronts = Front::read(&fronts.unwrap_or_default()).into_iter();
    fronts
        .map(|(service, front)| (service, front.tls))
        .collect()
}

/// What is wrong with the certificates that are in use in an environment, once a service.
pub(super) async fn in_use(
    backend: &dyn Backend,
    place: &Place,
    now: Timestamp,
) -> Result<Vec<Trouble>, BackendError> {
    let proxies = backend.list_containers(&place.filter(PROXY)).await?;
    let found = proxies.iter().map(|proxy| of_proxy(backend, proxy));
    let found = join_all(found).await.into_iter().flatten();
    let mut troubles: Vec<Trouble> = found
        .filter_map(|(service, certificate)| {
            let certificate = certificate?;
            let what = format!("the certificate of {service}");
            over(&what, &certificate, now).or_else(|| soon(&service, &certificate, now))
        })
        .collect();
    troubles.dedup();
    Ok(troubles)
}
