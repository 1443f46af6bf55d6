//! What a build's instructions run with: agents, platforms, names, and the time that stands for the
//! commit's.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use crate::diag::Diagnostic;
use crate::plan::{Cx, Entry};
use crate::spec::{At, ExtraHostsSpec, Scalar};

/// Other words for a processor, by the one that images have.
const PROCESSORS: [(&str, &str); 8] = [
    ("x86_64", "amd64"),
    ("x86-64", "amd64"),
    ("x64", "amd64"),
    ("aarch64", "arm64"),
    ("armhf", "arm/v7"),
    ("armv7", "arm/v7"),
    ("i386", "386"),
    ("i686", "386"),
];

/// Agents by ID: `default`, or `ID=/path/of/a/socket`.
pub(super) fn ssh(cx: &mut Cx<'_>, all: Option<&Vec<At<String>>>) -> BTreeMap<String, String> {
    let mut agents = BTreeMap::new();
    for at in cx.literals(all) {
        let (id, path) = match at.value.split_once('=') {
            Some((id, path)) => (id, Some(path.to_owned())),
            None => (at.value.as_str(), None),
        };
        let fault = |message: String| Diagnostic::error(message, at.span.clone());
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if id.is_empty() || !id.chars().all(word) {
            let fault = fault(format!("`{id}` cannot be the ID of an agent"));
            cx.fault(fault.help(SSH_HELP));
            continue;
        }
        if agents.contains_key(id) {
            cx.fault(fault(format!("the agent `{id}` stands here twice")));
            continue;
        }
        let own = cx.world.env.get("SSH_AUTH_SOCK");
        let own = own.filter(|socket| !socket.is_empty()).cloned();
        let Some(path) = path.or_else(|| own.filter(|_| id == "default")) else {
            // A step that is not run needs no agent.
            if cx.spared {
                continue;
            }
            let fault = match id {
                "default" => fault("there is no ssh agent: SSH_AUTH_SOCK is not set".into())
                    .help("start one with `eval $(ssh-agent)` and `ssh-add`, or name a socket: `default=/path`"),
                _ => fault(format!("`{id}` does not say where its agent listens")).help(SSH_HELP),
            };
            cx.fault(fault);
            continue;
        };
        if let Some(fault) = bad_socket(cx, &path, &at.span) {
            cx.fault(fault);
            continue;
        }
        agents.insert(id.to_owned(), path);
    }
    agents
}

const SSH_HELP: &str = "agents are written `default`, or `ID=/path/of/a/socket` as `RUN --mount=type=ssh,id=ID` names it";

/// What cannot be the socket of an agent. One that is not there yet can.
fn bad_socket(cx: &mut Cx<'_>, path: &str, span: &Range<usize>) -> Option<Diagnostic> {
    let fault = |message: String| Diagnostic::error(message, span.clone());
    if !path.starts_with('/') {
        let fault = fault(format!("`{path}` is not an absolute path"));
        return Some(fault.help("sockets are outside of the project: write `${env.HOME}/...`"));
    }
    match cx.entry(path) {
        Entry::File | Entry::Unreadable => Some(
            fault(format!("`{path}` is not a socket"))
                .help("keys are not read: `ssh-add` gives a key to an agent, and the agent's socket is named here"),
        ),
        Entry::Folder => Some(fault(format!("`{path}` is a folder, not a socket"))),
        Entry::Other | Entry::Missing | Entry::Outside => None,
    }
}

/// What the image is for: `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`, each once.
pub(super) fn platforms(cx: &mut Cx<'_>, all: Option<&Vec<At<String>>>) -> Vec<String> {
    let mut platforms: Vec<(String, Range<usize>)> = Vec::new();
    for at in cx.literals(all) {
        let parts: Vec<&str> = at.value.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        let other = parts.get(1).and_then(|processor| {
            let mut words = PROCESSORS.iter();
            words.find(|(word, _)| word.eq_ignore_ascii_case(processor))
        });
        let fault = |message: String| Diagnostic::error(message, at.span.clone());
        let fault = if let Some((word, meant)) = other {
            let os = parts.first().copied().unwrap_or_default();
            fault(format!("images have no processor `{word}`"))
                .help(format!("did you mean `{os}/{meant}`?"))
                .suggest(at.span.clone(), format!("\"{os}/{meant}\""))
        } else if !(2..=3).contains(&parts.len()) || !parts.iter().all(word) {
            fault(format!("`{}` is not a platform", at.value))
                .help("platforms are written like `linux/amd64` or `linux/arm/v7`")
        } else if let Some((_, first)) = platforms
            .iter()
            .find(|(known, _)| plain(known) == plain(&at.value))
        {
            fault(format!("the platform `{}` stands here twice", at.value))
                .context(first.clone(), "first here")
        } else {
            platforms.push((at.value, at.span));
            continue;
        };
        cx.fault(fault);
    }
    platforms.into_iter().map(|(name, _)| name).collect()
}

/// A platform without the variant that is meant anyway (github.com/containerd/platforms,
/// database.go).
fn plain(platform: &str) -> &str {
    [
        ("/arm64/v8", "/v8"),
        ("/arm/v7", "/v7"),
        ("/amd64/v1", "/v1"),
    ]
    .iter()
    .find(|(end, _)| platform.ends_with(end))
    .and_then(|(_, variant)| platform.strip_suffix(variant))
    .unwrap_or(platform)
}

/// Bytes of /dev/shm.
pub(super) fn shm_size(cx: &mut Cx<'_>, at: Option<&At<Scalar>>) -> Option<u64> {
    let size = cx.size(at)?;
    if size == 0 {
        let span = at.map(|at| at.span.clone()).unwrap_or_default();
        cx.fault(Diagnostic::error("`shm_size` cannot be zero", span));
    }
    Some(size)
}

/// Names beside those of the resolver.
pub(super) fn extra_hosts(
    cx: &mut Cx<'_>,
    spec: Option<&ExtraHostsSpec>,
) -> BTreeMap<String, String> {
    let mut pairs: Vec<(At<String>, At<String>)> = Vec::new();
    match spec {
        None => {}
        Some(ExtraHostsSpec::Table(table)) => {
            for (name, address) in table {
                pairs.extend(
                    cx.literal_at(address)
                        .map(|address| (name.clone(), address)),
                );
            }
        }
        Some(ExtraHostsSpec::Lines(lines)) => {
            for at in cx.literals(Some(lines)) {
                let part = |value: &str| At {
                    span: at.span.clone(),
                    value: value.to_owned(),
                };
                match at
                    .value
                    .split_once('=')
                    .or_else(|| at.value.split_once(':'))
                {
                    Some((name, address)) => pairs.push((part(name), part(address))),
                    None => {
                        let message = format!("`{}` has no address", at.value);
                        cx.fault(Diagnostic::error(message, at.span.clone()).help(HOSTS_HELP));
                    }
                }
            }
        }
    }
    let mut hosts = BTreeMap::new();
    for (name, address) in pairs {
        let bare = address.value.strip_prefix('[');
        let bare = bare.and_then(|rest| rest.strip_suffix(']'));
        let bare = bare.unwrap_or(&address.value);
        if !is_host(&name.value) {
            let message = format!("`{}` cannot be the name of a host", name.value);
            cx.fault(Diagnostic::error(message, name.span).help(HOSTS_HELP));
        } else if bare != "host-gateway" && bare.parse::<IpAddr>().is_err() {
            let message = format!("`{}` is not an address", address.value);
            cx.fault(Diagnostic::error(message, address.span).help(HOSTS_HELP));
        } else if hosts.insert(name.value.clone(), bare.to_owned()).is_some() {
            let message = format!("the host `{}` stands here twice", name.value);
            cx.fault(Diagnostic::error(message, name.span));
        }
    }
    hosts
}

const HOSTS_HELP: &str =
    "hosts are written like `db:10.0.0.2`; `host-gateway` is the address of the engine's machine";

fn is_host(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(word)
        && name.ends_with(word)
        && name.len() <= 253
        && name.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

/// The commit's time, where the image is to be the same from every clone.
pub(super) fn source_date_epoch(cx: &mut Cx<'_>, at: Option<&At<bool>>) -> Option<i64> {
    let at = at.filter(|at| at.value)?;
    let time = cx.world.git.commit_time;
    if time.is_none() && !cx.spared {
        let message = "`reproducible` needs a commit: its time stands for every later one";
        let fault = Diagnostic::error(message, at.span.clone());
        cx.fault(
            fault.help("put the project under git and commit it, or leave `reproducible` out"),
        );
    }
    time.map(|time| time.as_second())
}
