//! Names that become part of an address, and how image names are read. It refuses whatever could
//! lead a call to another place of the API.

use hoist_engine::backend::{BackendError, BackendErrorKind as Kind};

use crate::errors::Result;

/// A name or ID as a piece of a path.
pub(crate) fn piece(name: &str) -> Result<&str> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "_.-:".contains(c);
    if !name.is_empty() && name.chars().all(fine) && !name.starts_with('.') {
        return Ok(name);
    }
    Err(BackendError::new(
        Kind::Engine,
        format!("`{name}` is not a name that an engine knows"),
    ))
}

/// An image's name or ID as a part of a path: pieces between slashes.
pub(crate) fn image(reference: &str) -> Result<&str> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "_.-:@[]".contains(c);
    let piece = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(fine);
    if reference.split('/').all(piece) {
        return Ok(reference);
    }
    Err(BackendError::new(
        Kind::Engine,
        format!("`{reference}` is not the name of an image"),
    ))
}

/// A name without its tag and digest, and its tag or digest; `latest` where it has neither.
pub(crate) fn split(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        return (untagged(name).0, digest);
    }
    let (name, tag) = untagged(reference);
    (name, tag.unwrap_or("latest"))
}

fn untagged(reference: &str) -> (&str, Option<&str>) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (reference, None),
    }
}

/// The registry in an image's name; `docker.io` where it names none.
pub(crate) fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        for bad in [
            "",
            "..",
            "../info",
            "a/b",
            "a?force=1",
            "a#b",
            "a b",
            "a%2fb",
            "\n",
        ] {
            assert!(piece(bad).is_err(), "{bad:?}");
        }
        for bad in [
            "", "../x", "a//b", "/a", "a/", "a?x", "a b", "a/../b", "a\n", "a%",
        ] {
            assert!(image(bad).is_err(), "{bad:?}");
        }
        for good in [
            "sha256:00ff",
            "redis",
            "redis:7-bookworm",
            "localhost:5000/a/b:1@sha256:00",
        ] {
            assert!(image(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(split("localhost:5000/a"), ("localhost:5000/a", "latest"));
        assert_eq!(split("localhost:5000/a:1"), ("localhost:5000/a", "1"));
        assert_eq!(split("a:1@sha256:00"), ("a", "sha256:00"));
    }

    #[test]
    fn the_first_piece_is_a_registry_if_it_looks_like_a_host() {
        for (reference, host) in [
            ("redis", "docker.io"),
            ("library/redis", "docker.io"),
            ("localhost/redis", "localhost"),
            ("localhost:5000/redis", "localhost:5000"),
            ("ghcr.io/a/b", "ghcr.io"),
        ] {
            assert_eq!(registry(reference), host);
        }
    }
}
