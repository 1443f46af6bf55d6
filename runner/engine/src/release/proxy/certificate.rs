//! A certificate as a proxy takes it: one PEM text with the certificate, its chain and its key. Until
//! when it is valid is read from it, and whether the key is its own. Who signed it is for clients to
//! judge, and nothing of the key is kept here.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use serde::{Deserialize, Serialize};

/// With less time left people are told.
const LITTLE: jiff::SignedDuration = jiff::SignedDuration::from_hours(21 * 24);
/// Digits of an ID.
const DIGITS: usize = 32;

/// Which certificate it is. It tells nothing that a client is not told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    /// A hash of the certificate and its chain.
    pub(crate) id: String,
    pub(crate) expires: Timestamp,
}

/// How much time a certificate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Far,
    Soon,
    Over,
}

impl Certificate {
    /// Reads a PEM text. What it says on failure holds nothing of the text.
    pub(crate) fn read(pem: &str) -> Result<Self, String> {
        let chain: Result<Vec<CertificateDer<'_>>, _> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let chain = chain.map_err(|_| "it is no PEM".to_owned())?;
        let first = chain.first().ok_or("there is no certificate in it")?;
        let (_, expires) = validity(first).ok_or("the certificate in it cannot be read")?;
        let mut hasher = blake3::Hasher::new();
        for der in &chain {
            hasher.update(&u64::try_from(der.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(der);
        }
        let id = hasher.finalize().to_hex();
        let id = id.chars().take(DIGITS).collect();
        fits(&chain, pem)?;
        Ok(Self { id, expires })
    }

    /// From when on the first certificate of a PEM text is valid.
    pub(crate) fn begins(pem: &str) -> Option<Timestamp> {
        let first = CertificateDer::pem_slice_iter(pem.as_bytes()).next()?;
        let (begins, _) = validity(&first.ok()?)?;
        Some(begins)
    }

    pub(crate) fn expiry(&self, now: Timestamp) -> Expiry {
        match self.expires.duration_since(now) {
            left if left.is_negative() || left.is_zero() => Expiry::Over,
            left if left < LITTLE => Expiry::Soon,
            _ => Expiry::Far,
        }
    }

    /// The file in a proxy's folder that holds it.
    pub(crate) fn file(&self) -> String {
        format!("{}.pem", self.id)
    }

    /// The day on which it expires.
    pub(crate) fn day(&self) -> String {
        let date = self.expires.to_zoned(TimeZone::UTC).date();
        date.to_string()
    }
}

/// The key is in the text, and the first certificate's.
fn fits(chain: &[CertificateDer<'_>], pem: &str) -> Result<(), String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        match pem.contains("ENCRYPTED") {
            true => "its key is encrypted, and nobody could be asked for the password",
            false => "there is no key in it: certificate, chain and key stand in one text",
        }
    })?;
    // A kind of key that is not known here is left to the proxy to judge.
    let Ok(key) = any_supported_type(&key) else {
        return Ok(());
    };
    let chain = chain.iter().cloned().map(CertificateDer::into_owned);
    match CertifiedKey::new(chain.collect(), key).keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(
            "its key is not the first certificate's: the service's own comes first, then its chain"
                .to_owned(),
        ),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The beginning and the end of a certificate's validity.
fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (certificate, _) = part(der, SEQUENCE)?;
    let (mut left, _) = part(certificate, SEQUENCE)?;
    // The version stands only where it is not the first.
    if let Some((_, rest)) = part(left, VERSION) {
        left = rest;
    }
    // Its number, the algorithm and who signed it.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, left) = part(left, tag)?;
    }
    let (validity, _) = part(left, SEQUENCE)?;
    let (tag, begin, rest) = element(validity)?;
    let begin = time(tag, std::str::from_utf8(begin).ok()?)?;
    let (tag, end, _) = element(rest)?;
    Some((begin, time(tag, std::str::from_utf8(end).ok()?)?))
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The content of the first element, if that has this tag, and what comes after it.
fn part(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(der)?;
    (tag == wanted).then_some((content, rest))
}

/// The tag and content of the first element, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            let length = digits.iter().try_fold(0_usize, |length, digit| {
                length.checked_mul(256)?.checked_add(usize::from(*digit))
            });
            (length?, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, or with four digits of the year.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z')?;
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) if is_number => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            // As the profile of the internet has it.
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, 14) if is_number => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let day = jiff::civil::Date::new(year, two(0)?, two(2)?).ok()?;
    let time = jiff::civil::Time::new(two(4)?, two(6)?, two(8)?, 0).ok()?;
    let zoned = day.to_datetime(time).to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    /// A certificate that ends in that year, and its key.
    fn made(year: i32) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["shop.test".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 2);
        params.not_after = date_time_ymd(year, 2, 3);
        (params.self_signed(&key).unwrap(), key)
    }

    #[test]
    fn a_certificate_is_known_by_itself_and_until_when_it_is_valid() {
        // Dates are written with two digits of the year, and with four from 2050 on.
        for year in [2031, 2049, 2050, 2101] {
            let (certificate, key) = made(year);
            let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
            let read = Certificate::read(&pem).unwrap();
            assert_eq!(read.day(), format!("{year}-02-03"));
            let begins = Certificate::begins(&pem).map(|begins| begins.to_string());
            assert_eq!(begins.as_deref(), Some("2020-01-02T00:00:00Z"));
            // The order is no matter to the proxy.
            let other = format!("{}{}", key.serialize_pem(), certificate.pem());
            assert_eq!(Certificate::read(&other).unwrap(), read);
            assert_eq!(read.file(), format!("{}.pem", read.id));
            let (another, key) = made(year);
            let pem = format!("{}{}", another.pem(), key.serialize_pem());
            assert_ne!(Certificate::read(&pem).unwrap().id, read.id);
        }
    }

    #[test]
    fn what_will_not_do_is_said_without_any_of_it() {
        let (certificate, key) = made(2040);
        let (_, other) = made(2040);
        let (certificate, key, other) = (
            certificate.pem(),
            key.serialize_pem(),
            other.serialize_pem(),
        );
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (pem, expected) in [
            (String::new(), "no certificate"),
            ("hello".to_owned(), "no certificate"),
            (key.clone(), "no certificate"),
            (certificate.clone(), "no key"),
            (
                format!("{certificate}{other}"),
                "not the first certificate's",
            ),
            (format!("{certificate}{encrypted}"), "encrypted"),
            (
                format!("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n{key}"),
                "cannot be read",
            ),
        ] {
            let said = Certificate::read(&pem).unwrap_err();
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }

    #[test]
    fn people_are_told_in_time() {
        let expires = Timestamp::UNIX_EPOCH;
        let certificate = Certificate {
            id: "a".to_owned(),
            expires,
        };
        let day = jiff::SignedDuration::from_hours(24);
        for (days_left, expiry) in [
            (22, Expiry::Far),
            (20, Expiry::Soon),
            (0, Expiry::Over),
            (-1, Expiry::Over),
        ] {
            let now = expires - day * days_left;
            assert_eq!(certificate.expiry(now), expiry, "{days_left}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut der in prop::collection::vec(any::<u8>(), 0..200), at: u8) {
            let _ = validity(&der);
            // Nor those of a certificate with one that is wrong.
            let (certificate, _) = made(2040);
            der = certificate.der().to_vec();
            if let Some(byte) = der.get_mut(usize::from(at)) {
                *byte = byte.wrapping_add(at | 1);
            }
            let _ = validity(&der);
        }

        #[test]
        fn no_text_is_a_time_by_chance(text in "[0-9Z\u{e9}]{0,16}", tag in 0x16_u8..0x1a) {
            let _ = time(tag, &text);
        }
    }
}
