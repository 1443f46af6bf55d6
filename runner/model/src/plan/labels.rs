//! Labels that every built image gets: its project, by which hoist knows what it built, and what the
//! OCI image specification (opencontainers/image-spec, annotations.md) has names for. `created` is
//! the commit's time, so that building a commit again gives the same image.

use std::collections::BTreeMap;

use super::Git;

/// The label that names the project of whatever hoist makes.
pub const PROJECT_LABEL: &str = "dev.hoist.project";

/// What git knows, as labels.
pub(super) fn of(git: &Git) -> BTreeMap<String, String> {
    let version = git
        .tag
        .clone()
        .or_else(|| git.describe.clone())
        .or_else(|| git.short_sha.clone());
    let all = [
        ("created", git.commit_time.map(|time| time.to_string())),
        ("revision", git.sha.clone()),
        ("source", git.remote.as_deref().and_then(public_url)),
        ("version", version),
    ];
    let known = all
        .into_iter()
        .filter_map(|(name, value)| Some((format!("org.opencontainers.image.{name}"), value?)));
    known.collect()
}

/// A remote's URL without what logs in; `None` for a folder of this machine.
fn public_url(remote: &str) -> Option<String> {
    let trim = |path: &str| {
        path.trim_end_matches('/')
            .trim_end_matches(".git")
            .to_owned()
    };
    if let Some((scheme, rest)) = remote.split_once("://") {
        if !matches!(scheme, "https" | "http" | "ssh" | "git") {
            return None;
        }
        let (host, path) = rest.split_once('/')?;
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        return Some(format!("{scheme}://{host}/{}", trim(path)));
    }
    // git's short form for ssh, `git@host:path`, is no URL.
    let (host, path) = remote.split_once(':')?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let is_host = host.len() > 1 && !host.contains('/');
    is_host.then(|| format!("https://{host}/{}", trim(path.trim_start_matches('/'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_lose_their_passwords() {
        for (remote, url) in [
            (
                "https://me:secret@example.com/a/b.git",
                Some("https://example.com/a/b"),
            ),
            ("git@example.com:a/b.git", Some("https://example.com/a/b")),
            (
                "ssh://git@example.com:22/a/b",
                Some("ssh://example.com:22/a/b"),
            ),
            ("/srv/git/b.git", None),
            ("file:///srv/b", None),
            ("../b", None),
            ("C:\\b", None),
        ] {
            assert_eq!(public_url(remote).as_deref(), url, "{remote}");
        }
    }
}
