//! Named volumes in Compose's short syntax: those of deployed services, which hold data, and those of
//! run steps, which are caches. Folders of the host cannot be mounted.

use crate::diag::{Diagnostic, near};
use crate::plan::{Cx, is_within};
use crate::spec::{At, VolumeSpec};
use crate::unit::{CacheVolume, Tmpfs, VolumeMount};

/// The caches of a run step. `workspace` is the folder of its copy of the project.
pub(super) fn caches(
    cx: &mut Cx<'_>,
    all: Option<&Vec<At<String>>>,
    tmpfs: &[Tmpfs],
    workspace: Option<&str>,
) -> Vec<CacheVolume> {
    let spec = cx.spec;
    let mut caches: Vec<CacheVolume> = Vec::new();
    for at in all.into_iter().flatten() {
        let Some(mount) = volumes(cx, Some(&vec![at.clone()]), tmpfs).pop() else {
            continue;
        };
        let name = At {
            span: at.span.clone(),
            value: mount.name.clone(),
        };
        cx.name("a cache", &name);
        let target = &mount.target;
        let fault = |message: String| Diagnostic::error(message, at.span.clone());
        let system = ["/proc", "/sys", "/dev"];
        let fault = if caches.iter().any(|other| other.target == *target) {
            fault(format!("`{target}` is mounted twice"))
        } else if system.iter().any(|folder| is_within(target, folder)) {
            fault(format!("a volume cannot be mounted at `{target}`"))
        } else if workspace.is_some_and(|workspace| is_within(workspace, target)) {
            fault(format!("`{target}` holds the copy of the project")).help(
                "mount a folder in it, such as `cache:/workspace/.cache`, or set `source = false`",
            )
        } else {
            let declared = spec.volumes.get(mount.name.as_str());
            caches.push(CacheVolume {
                key_files: declared
                    .map(|declared| key_files(cx, declared))
                    .unwrap_or_default(),
                name: mount.name,
                target: mount.target,
                read_only: mount.read_only,
            });
            continue;
        };
        cx.fault(fault);
    }
    caches
}

/// The files whose contents tell one cache of a name from another.
fn key_files(cx: &mut Cx<'_>, volume: &VolumeSpec) -> Vec<String> {
    let key = volume.cache.as_ref().and_then(|cache| cache.key.as_ref());
    let files = key.and_then(|key| key.files.as_ref());
    let mut names: Vec<String> = Vec::new();
    for at in files.into_iter().flat_map(|files| &files.0) {
        let Some(path) = cx.project_path(at) else {
            continue;
        };
        if cx.file("file of the cache's key", &path.value, path.span.clone())
            && !names.contains(&path.value)
        {
            names.push(path.value);
        }
    }
    names
}

/// Warns of volumes that nothing has of which something is said: a misspelt name would else be a
/// cache without a key, or data that is not shared.
pub(crate) fn unused(cx: &mut Cx<'_>) {
    let spec = cx.spec;
    let of_steps = spec.steps.values().flat_map(|step| step.volumes.iter());
    let deploys = spec.steps.values().filter_map(|step| step.deploy.as_ref());
    let of_services = deploys.flat_map(|deploy| {
        let services = deploy.services.values();
        let hooks = deploy
            .pre_deploy
            .values()
            .chain(deploy.post_deploy.values());
        let services = services.flat_map(|service| service.volumes.iter());
        services.chain(hooks.flat_map(|hook| hook.volumes.iter()))
    });
    let names = |all: Vec<&'_ Vec<At<String>>>| -> Vec<String> {
        let all = all.into_iter().flatten();
        all.filter_map(|at| at.value.split(':').next().map(str::to_owned))
            .collect()
    };
    let caches = names(of_steps.collect());
    let data = names(of_services.collect());
    for (name, said) in &spec.volumes {
        // What is interpolated may be any of them.
        let is_in = |all: &[String]| {
            let mut all = all.iter();
            all.any(|used| used == name.as_str() || used.contains('$'))
        };
        let (used, who, example) = if said.shared.is_some() && !is_in(&data) {
            (&data, "service", "a service of a deploy")
        } else if said.cache.is_some() && !is_in(&caches) || !is_in(&caches) && !is_in(&data) {
            (&caches, "step", "a step")
        } else {
            continue;
        };
        let message = format!("no {who} has the volume `{}`", name.value);
        let fault = Diagnostic::warning(message, name.span.clone());
        cx.fault(match near(name.as_str(), used.iter().map(String::as_str)) {
            Some(meant) => fault.help(format!("{who}s have `{meant}`")),
            None => fault.help(format!(
                "give it to {example}: `volumes = [\"{}:/path\"]`",
                name.value
            )),
        });
    }
}

/// Named volumes: `name:/path` with `:ro` or `:rw`.
pub(super) fn volumes(
    cx: &mut Cx<'_>,
    all: Option<&Vec<At<String>>>,
    tmpfs: &[Tmpfs],
) -> Vec<VolumeMount> {
    let mut mounts: Vec<VolumeMount> = Vec::new();
    for at in cx.literals(all) {
        let Some(mount) = volume(cx, &at) else {
            continue;
        };
        let target = &mount.target;
        let taken = mounts.iter().any(|other| other.target == *target)
            || tmpfs.iter().any(|other| other.target == *target);
        let message = if taken {
            format!("`{target}` is mounted twice")
        } else if target == "/"
            || is_within(target, "/run/secrets")
            || is_within("/run/secrets", target)
        {
            format!("a volume cannot be mounted at `{target}`")
        } else {
            mounts.push(mount);
            continue;
        };
        cx.fault(Diagnostic::error(message, at.span));
    }
    mounts
}

fn volume(cx: &mut Cx<'_>, at: &At<String>) -> Option<VolumeMount> {
    let fault = |message: String| Diagnostic::error(message, at.span.clone());
    let mut parts = at.value.split(':');
    let (name, target, mode) = (
        parts.next().unwrap_or_default(),
        parts.next(),
        parts.next().unwrap_or("rw"),
    );
    let word = |c: char| c.is_ascii_alphanumeric();
    let is_name = name.starts_with(word)
        && name
            .chars()
            .all(|c| word(c) || matches!(c, '_' | '.' | '-'));
    let fault = if at.value.contains("docker.sock") {
        fault("the engine's socket cannot be mounted".into())
            .says("it would hand over the machine")
            .help("deploy with another step rather than from inside a container")
    } else if target.is_none() && name.starts_with('/') {
        fault(format!("the volume at `{name}` has no name"))
            .help("name it, so that its data is found again")
            .suggest(at.span.clone(), format!("\"data:{name}\""))
    } else if name.starts_with(['/', '.', '~']) {
        fault(format!("`{name}` is a folder of the host"))
            .says("only named volumes can be mounted")
            .help("put files into the image; keep data in a volume, such as `data:/var/lib/data`")
    } else if !is_name {
        fault(format!("`{name}` cannot be the name of a volume"))
            .help("volumes are written like `data:/var/lib/data` or `data:/data:ro`")
    } else if !matches!(mode, "ro" | "rw") || parts.next().is_some() {
        fault(format!("a volume cannot be `{mode}`")).help("it can be `ro` or `rw`")
    } else if let Some(target) = target {
        let target = cx.container_path(&At {
            span: at.span.clone(),
            value: target.to_owned(),
        })?;
        return Some(VolumeMount {
            name: name.to_owned(),
            target,
            read_only: mode == "ro",
        });
    } else {
        fault(format!("the volume `{name}` has no path"))
            .help("say where it is mounted, such as `data:/var/lib/data`")
    };
    cx.fault(fault);
    None
}
