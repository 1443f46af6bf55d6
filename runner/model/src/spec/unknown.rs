//! Keys that no version of the file has, and keys that this version does not act upon. What a key
//! would do is then said, rather than left out without a word.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::shape::{FILE, Shape};
use crate::diag::{Diagnostic, list, near};

/// Keys that are known and not acted upon: the table they belong to (`*` is any name, `**` at the
/// start any tables above), the key, and what to do without it.
const UNSUPPORTED: &[(&str, &str, &str)] = &[
    (
        "",
        "artifacts",
        "artifacts are named by the steps that make them",
    ),
    (
        "",
        "inputs",
        "use `[vars]` with `${env.NAME}` for values from outside",
    ),
    (
        "",
        "services",
        "services are part of a step, `[steps.NAME.services.NAME]`, or of a deploy, `[steps.NAME.deploy.services.NAME]`",
    ),
    (
        "defaults",
        "retry",
        "say for each step whether it is tried again: most failures do not pass by themselves",
    ),
    (
        "environments.*.networks.*",
        "driver",
        "networks are bridges of the engine",
    ),
    (
        "environments.*.networks.*",
        "external",
        "hoist makes the networks of an environment itself",
    ),
    (
        "environments.*.networks.*.ipam",
        "driver",
        "the engine's own driver is used",
    ),
    (
        "environments.*.networks.*.ipam.config.*",
        "ip_range",
        "hoist chooses it",
    ),
    (
        "reports",
        "html",
        "this version writes only `junit` and `sarif`",
    ),
    ("steps.*", "gpus", "steps run on processors only"),
    (
        "steps.*.build",
        "services",
        "a RUN instruction reaches none; test in a `run` step that has them",
    ),
    (
        "steps.*.build",
        "additional_contexts",
        "folders of the project are named in `contexts`",
    ),
    (
        "steps.*.build",
        "privileged",
        "instructions run without privileges",
    ),
    (
        "steps.*.build",
        "entitlements",
        "instructions run without privileges",
    ),
    (
        "steps.*.build",
        "isolation",
        "the engine's own isolation is used",
    ),
    (
        "steps.*.build",
        "sbom",
        "a list of packages cannot be made yet",
    ),
    (
        "steps.*.build",
        "provenance",
        "a provenance cannot be made yet",
    ),
    (
        "steps.*.scan",
        "ignorefile",
        "use `ignore_unfixed`, or a higher `severity`",
    ),
    (
        "steps.*.scan",
        "sbom",
        "a list of packages cannot be made yet",
    ),
    (
        "steps.*.scan",
        "vex",
        "use `ignore_unfixed`, or a higher `severity`",
    ),
    (
        "steps.*.scan",
        "exit_on_eol",
        "the age of a distribution does not fail the gate",
    ),
    (
        "steps.*.artifacts.reports",
        "sarif",
        "this version reads only `junit`, `tap` and `go_json`",
    ),
    (
        "steps.*.artifacts.reports",
        "coverage",
        "keep it with `artifacts.paths`",
    ),
    (
        "steps.*.services.*",
        "volumes",
        "nothing of it outlives the step; `tmpfs` keeps its data in memory",
    ),
    (
        "steps.*.services.*",
        "ports",
        "the step reaches it by its name, on any port",
    ),
    (
        "steps.*.services.*",
        "expose",
        "the step reaches it by its name, on any port",
    ),
    (
        "steps.*.services.*",
        "networks",
        "it is on a network with its step, and on no other",
    ),
    (
        "steps.*.services.*",
        "network",
        "it has no way out; put what it fetches into its image",
    ),
    (
        "steps.*.services.*",
        "restart",
        "it is started once; one that ends fails the step",
    ),
    (
        "steps.*.services.*",
        "labels",
        "hoist labels what it takes away with the step",
    ),
    (
        "steps.*.services.*",
        "replicas",
        "each service beside a step is one container",
    ),
    (
        "steps.*.services.*",
        "profiles",
        "a step has all of its services",
    ),
    (
        "steps.*.services.*",
        "hostname",
        "the step reaches it by its name",
    ),
    (
        "steps.*.deploy",
        "approval",
        "it is the environment's: `[environments.NAME]`",
    ),
    (
        "steps.*.deploy.*.*",
        "build",
        "build it in a step, and name that: `${steps.NAME.image}`",
    ),
    (
        "steps.*.deploy.*.*",
        "ports",
        "nothing comes in to what runs once",
    ),
    (
        "steps.*.deploy.*.*",
        "expose",
        "nothing comes in to what runs once",
    ),
    (
        "steps.*.deploy.*.*",
        "restart",
        "it runs once; a failure ends the release",
    ),
    (
        "steps.*.deploy.*.*",
        "secrets_storage",
        "a hook's secrets are on the engine's disk as long as it runs",
    ),
    (
        "steps.*.deploy.*.*",
        "network_mode",
        "a hook is on networks of the environment, named in `networks`",
    ),
    (
        "steps.*.deploy.*.*",
        "healthcheck",
        "it runs to its end, and its exit code says how it went",
    ),
    (
        "steps.*.deploy.services.*",
        "rollback_config",
        "going back takes what is still there, and switches at once",
    ),
    (
        "**.services.*",
        "build",
        "build it in a step, and name that: `${steps.NAME.image}`",
    ),
    (
        "**.services.*",
        "container_name",
        "hoist names containers itself",
    ),
    (
        "steps.*.services.*",
        "env_file",
        "write the variables into `environment`",
    ),
    (
        "**.services.*",
        "extra_hosts",
        "names are found as the engine finds them",
    ),
    (
        "**.services.*",
        "deploy",
        "limits are in `resources.limits`",
    ),
    ("**.services.*", "configs", "put files into the image"),
    (
        "steps.*.deploy.services.*",
        "profiles",
        "a deploy has all of its services",
    ),
    (
        "**.services.*",
        "pull_policy",
        "an image is pulled where the engine has none",
    ),
    (
        "**.services.*",
        "logging",
        "the engine's own logging is used",
    ),
    ("**.services.*", "init", "there is always an init process"),
    (
        "steps.*.deploy.services.*",
        "stop_signal",
        "the image's own is used",
    ),
    ("**.services.*", "gpus", "services run on processors only"),
    (
        "**.services.*.healthcheck",
        "start_interval",
        "use `interval`",
    ),
    (
        "**.services.*.depends_on.*",
        "restart",
        "a service is restarted on its own",
    ),
    (
        "**.services.*.depends_on.*",
        "required",
        "a service always needs those it names",
    ),
    (
        "**.resources.reservations",
        "cpus",
        "an engine reserves no processors; `cpu_shares` weighs services where they are short",
    ),
    (
        "**.resources.reservations",
        "devices",
        "a container has no devices of the machine",
    ),
    (
        "steps.*.deploy.services.*",
        "mem_limit",
        "it is `resources.limits.memory`",
    ),
    (
        "steps.*.deploy.services.*",
        "mem_reservation",
        "it is `resources.reservations.memory`",
    ),
    (
        "steps.*.deploy.services.*",
        "cpus",
        "it is `resources.limits.cpus`",
    ),
];

/// Keys that are refused in steps and services since they would hand over the machine.
const REFUSED: &[(&str, &str)] = &[
    (
        "privileged",
        "name the capabilities that it needs with `cap_add`",
    ),
    ("network_mode", "`network` can be \"none\" or \"bridge\""),
    ("pid", "a container has processes of its own"),
    (
        "ipc",
        "a container has memory of its own; `shm_size` sets how much it may share",
    ),
    ("userns_mode", "a container has users of its own"),
    ("uts", "a container has a name of its own"),
    ("cgroup", "a container is bounded by `resources.limits`"),
    (
        "cgroup_parent",
        "a container is bounded by `resources.limits`",
    ),
    ("devices", "a container has no devices of the machine"),
    (
        "security_opt",
        "the engine's default profiles and no-new-privileges always hold",
    ),
    (
        "cap_drop",
        "all capabilities are dropped but those of `cap_add`",
    ),
    ("sysctls", "the kernel's settings are the machine's"),
];

/// What was found of keys that the file's types do not have.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    /// What is wrong with each.
    pub(super) faults: Vec<Diagnostic>,
    /// The keys that were probably meant; that they are missing need not be said too.
    pub(super) meant: Vec<Vec<String>>,
}

impl Unknown {
    /// Looks at all keys of a file.
    pub(super) fn find(table: &DeTable<'_>) -> Self {
        let mut unknown = Self::default();
        unknown.walk(table, &FILE, &mut Vec::new());
        unknown
    }

    fn walk<'t>(&mut self, table: &'t DeTable<'_>, shape: &Shape, path: &mut Vec<&'t str>) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            let Some(inner) = shape.child(name) else {
                let fault = diagnose(name, key.span(), shape, path);
                if let Some(meant) = &fault.suggestion {
                    let path = path.iter().copied().chain([meant.replacement.as_str()]);
                    self.meant.push(path.map(str::to_owned).collect());
                }
                self.faults.push(fault);
                continue;
            };
            path.push(name);
            self.inside(value.get_ref(), inner, path);
            path.pop();
        }
    }

    /// Goes on behind a key. What is no table there, or where none belongs, is a fault of types
    /// and found with those.
    fn inside<'t>(&mut self, value: &'t DeValue<'_>, shape: &Shape, path: &mut Vec<&'t str>) {
        let leaf = shape.keys.is_empty() && shape.any.is_none();
        match value {
            DeValue::Table(table) if !leaf => self.walk(table, shape, path),
            DeValue::Array(elements) => {
                path.push("*");
                for element in elements.iter() {
                    if let Some(each) = &shape.any {
                        self.inside(element.get_ref(), each, path);
                    }
                }
                path.pop();
            }
            _ => {}
        }
    }
}

fn diagnose(key: &str, span: Range<usize>, shape: &Shape, table: &[&str]) -> Diagnostic {
    let known = |(pattern, name, _): &&(&str, &str, &str)| *name == key && matches(pattern, table);
    if let Some((_, _, help)) = UNSUPPORTED.iter().find(known) {
        let fault = Diagnostic::error(format!("`{key}` is not supported by this version"), span);
        return fault.help(*help);
    }
    let container = ["steps.*", "**.services.*", "steps.*.deploy.*.*"];
    let container = container.iter().any(|pattern| matches(pattern, table));
    if let Some((_, help)) = REFUSED.iter().find(|(name, _)| container && *name == key) {
        let fault = Diagnostic::error(format!("`{key}` is refused"), span);
        return fault
            .says("a file alone cannot open the sealing this far")
            .help(*help);
    }
    let place = match table {
        [] => String::new(),
        table => format!(" in `{}`", table.join(".").trim_end_matches(".*")),
    };
    let fault = Diagnostic::error(format!("unknown key `{key}`{place}"), span.clone());
    let names: Vec<&str> = shape.keys.keys().map(String::as_str).collect();
    if let Some(meant) = near(key, names.iter().copied()) {
        fault
            .help(format!("did you mean `{meant}`?"))
            .suggest(span, meant)
    } else if let Some(home) = home(shape, table, key) {
        fault.help(home)
    } else {
        fault.help(format!("the keys here are {}", list(&names)))
    }
}

fn matches(pattern: &str, table: &[&str]) -> bool {
    if let Some(end) = pattern.strip_prefix("**.") {
        let above = table.len().checked_sub(end.split('.').count());
        return above
            .and_then(|above| table.get(above..))
            .is_some_and(|table| matches(end, table));
    }
    let mut parts = pattern.split('.').filter(|part| !part.is_empty());
    table.iter().all(|name| {
        parts
            .next()
            .is_some_and(|part| part == "*" || part == *name)
    }) && parts.next().is_none()
}

/// Where a key that is unknown in one table would be known: above it, or in a table of it.
fn home(shape: &Shape, table: &[&str], key: &str) -> Option<String> {
    for up in (0..table.len()).rev() {
        let above = table.get(..up)?;
        if FILE.at(above)?.keys.contains_key(key) {
            return Some(match above {
                [] => format!("`{key}` belongs to the top of the file, before the first table"),
                above => format!("`{key}` belongs to `[{}]`", above.join(".")),
            });
        }
    }
    let below = shape
        .keys
        .iter()
        .find(|(_, child)| child.keys.contains_key(key));
    below.map(|(child, _)| {
        let path: Vec<&str> = table.iter().copied().chain([child.as_str()]).collect();
        format!("`{key}` belongs to `[{}]`", path.join("."))
    })
}
