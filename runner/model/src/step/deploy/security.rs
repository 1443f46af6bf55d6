//! What a deployed service may do beyond what `cap_add` says: profiles of the kernel and the user
//! namespace. It refuses to take any of them away; a profile takes the place of the engine's own.

use serde_json::Value;

use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::{At, ServiceSpec};
use crate::unit::Security;

const OPTIONS: &str =
    "it can be `seccomp=FILE` with a profile of the project, or `apparmor=PROFILE`";
const ALWAYS: &str = "a container of hoist is never without one; leave it out for the engine's own";

/// Adds to `security`, in which capabilities already stand.
pub(super) fn lower(cx: &mut Cx<'_>, spec: &ServiceSpec, security: &mut Security) {
    for at in cx.literals(spec.security_opt.as_ref()) {
        option(cx, &at, security);
    }
    let Some(at) = spec.userns_mode.as_ref().and_then(|at| cx.literal_at(at)) else {
        return;
    };
    if at.value == "host" {
        let fault = Diagnostic::error("`userns_mode` cannot be `host`", at.span);
        let why = "root in the container would be root of the machine; a file alone cannot open the sealing this far";
        cx.fault(fault.help(why));
    } else if !at.value.is_empty() {
        security.userns = Some(at.value);
    }
}

/// What the file relaxes by these, in words.
pub(super) fn relaxations(
    cx: &mut Cx<'_>,
    name: &str,
    spec: &ServiceSpec,
    security: &Security,
) -> Vec<String> {
    let options = cx.literals(spec.security_opt.as_ref()).into_iter();
    let mut words: Vec<String> = options
        .filter(|at| !at.value.starts_with("no-new-privileges"))
        .map(|at| format!("services.{name}.security_opt = [\"{}\"]", at.value))
        .collect();
    if spec.network_mode.is_some() {
        words.push(format!("services.{name}.network_mode = \"host\""));
    }
    if let Some(userns) = &security.userns {
        words.push(format!("services.{name}.userns_mode = \"{userns}\""));
    }
    words
}

fn option(cx: &mut Cx<'_>, at: &At<String>, security: &mut Security) {
    // Docker takes both, and Compose's files have both.
    let (key, value) = match at.value.split_once(['=', ':']) {
        Some((key, value)) => (key, Some(value)),
        None => (at.value.as_str(), None),
    };
    let fault = |message: String| Diagnostic::error(message, at.span.clone());
    let twice = || fault(format!("`{key}` stands here twice"));
    match (key, value) {
        ("no-new-privileges", None | Some("true")) => {}
        ("no-new-privileges", Some("false")) => {
            let message = "`no-new-privileges` cannot be `false`".to_owned();
            cx.fault(fault(message).help("no container of hoist can get new privileges"));
        }
        ("seccomp" | "apparmor", Some("unconfined")) => {
            let message = format!("`{key}` cannot be `unconfined`");
            cx.fault(fault(message).help(ALWAYS));
        }
        ("seccomp", Some(path)) if !path.is_empty() => {
            let profile = seccomp(cx, at, path);
            if security.seccomp.is_some() {
                cx.fault(twice());
            }
            security.seccomp = profile.or(security.seccomp.take());
        }
        ("apparmor", Some(profile)) if !profile.is_empty() => {
            if security.apparmor.is_some() {
                cx.fault(twice());
            }
            security.apparmor = Some(profile.to_owned());
        }
        _ => {
            let message = format!("`security_opt` cannot be `{}`", at.value);
            cx.fault(fault(message).help(OPTIONS));
        }
    }
}

/// A profile of the project, without its spaces.
fn seccomp(cx: &mut Cx<'_>, at: &At<String>, path: &str) -> Option<String> {
    let named = At {
        span: at.span.clone(),
        value: path.to_owned(),
    };
    let path = cx.clean_path(named)?;
    if !cx.file("seccomp profile", &path.value, at.span.clone()) {
        return None;
    }
    let wrong = |why: String| {
        let message = format!("`{}` is not a seccomp profile: {why}", path.value);
        Diagnostic::error(message, at.span.clone())
    };
    let content = cx.content(&path.value);
    let profile: Value = match serde_json::from_slice(&content) {
        Ok(profile) => profile,
        Err(error) => {
            cx.fault(wrong(error.to_string()).help(PROFILE));
            return None;
        }
    };
    let Some(default) = profile.get("defaultAction").and_then(Value::as_str) else {
        cx.fault(wrong("it has no `defaultAction`".to_owned()).help(PROFILE));
        return None;
    };
    let rules = profile.get("syscalls").and_then(Value::as_array);
    if matches!(default, "SCMP_ACT_ALLOW" | "SCMP_ACT_LOG") && rules.is_none_or(Vec::is_empty) {
        let message = format!("`{}` allows every system call", path.value);
        cx.fault(Diagnostic::error(message, at.span.clone()).help(ALWAYS));
        return None;
    }
    Some(profile.to_string())
}

const PROFILE: &str = "it is a JSON file as Docker takes it, with `defaultAction` and `syscalls`";
