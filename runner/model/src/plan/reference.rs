//! Names of images as Docker reads them: `[host[:port]/]path[:tag][@digest]`.

/// The registry of names without one.
const DOCKER_HUB: &str = "docker.io";

/// An image's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The registry; `docker.io` where none is named.
    pub(crate) host: String,
    /// The repository, with `library/` where Docker adds it.
    pub(crate) path: String,
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<String>,
}

impl Reference {
    /// Reads a name; or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if let Some(digest) = digest {
            let hex = digest.strip_prefix("sha256:").unwrap_or_default();
            if hex.len() != 64 || !hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
                return Err(format!(
                    "`{digest}` is not a digest: `sha256:` and 64 hexadecimal digits"
                ));
            }
        }
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        if tag == Some("") {
            return Err("the tag is empty".into());
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(format!(
                "`{tag}` is not a tag: letters, digits, `_`, `.` and `-`, 128 at most"
            ));
        }
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
                (Some(host), path)
            }
            _ => (None, name),
        };
        if let Some(host) = host.filter(|host| !is_host(host)) {
            return Err(format!("`{host}` is not the host of a registry"));
        }
        if path.is_empty() {
            return Err("the name of an image is empty".into());
        }
        if let Some(capital) = path.chars().find(char::is_ascii_uppercase) {
            return Err(format!(
                "the name of an image has no capital letters, such as `{capital}`"
            ));
        }
        if let Some(part) = path.split('/').find(|part| !is_part(part)) {
            return Err(format!("`{part}` cannot be part of an image's name"));
        }
        let host = host
            .filter(|host| *host != "index.docker.io")
            .unwrap_or(DOCKER_HUB);
        let path = if host == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        Ok(Self {
            host: host.to_owned(),
            path,
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// The name in full, the same for all ways to write it.
    pub(crate) fn canonical(&self) -> String {
        let Self {
            host,
            path,
            tag,
            digest,
            ..
        } = self;
        match (tag, digest) {
            (_, Some(digest)) => format!("{host}/{path}@{digest}"),
            (Some(tag), None) => format!("{host}/{path}:{tag}"),
            (None, None) => format!("{host}/{path}:latest"),
        }
    }
}

/// A name or an address, with or without a port.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, "0"),
    };
    let word = |c: char| c.is_ascii_alphanumeric();
    let is_name = name.starts_with(word) && name.chars().all(|c| word(c) || matches!(c, '.' | '-'));
    let is_address = name.starts_with('[') && name.ends_with(']');
    (is_name || is_address) && port.parse::<u16>().is_ok()
}

fn is_tag(tag: &str) -> bool {
    !tag.is_empty()
        && tag.len() <= 128
        && !tag.starts_with(['.', '-'])
        && tag
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// Letters and digits, with one `.`, one or two `_`, or any `-` between them.
fn is_part(part: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separators = part.split(word).filter(|between| !between.is_empty());
    part.starts_with(word)
        && part.ends_with(word)
        && separators.all(|s| matches!(s, "." | "_" | "__") || s.chars().all(|c| c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_does() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (text, canonical) in [
            ("redis", "docker.io/library/redis:latest".to_owned()),
            (
                "redis:7-bookworm",
                "docker.io/library/redis:7-bookworm".to_owned(),
            ),
            ("docker.io/redis:7", "docker.io/library/redis:7".to_owned()),
            ("me/shop", "docker.io/me/shop:latest".to_owned()),
            ("localhost:5000/shop:1", "localhost:5000/shop:1".to_owned()),
            (
                "localhost/a__b/c--d",
                "localhost/a__b/c--d:latest".to_owned(),
            ),
            (
                &format!("redis:7@{digest}"),
                format!("docker.io/library/redis@{digest}"),
            ),
        ] {
            assert_eq!(
                Reference::parse(text).unwrap().canonical(),
                canonical,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_name_says_why() {
        for text in [
            "",
            "a b",
            "Shop",
            "a:",
            "a:b:c d",
            "a@sha256:12",
            "a//b",
            "a/",
            "-a",
            "a___b",
            "é",
            "shop:feature/x",
            "a.b:99999/c",
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
