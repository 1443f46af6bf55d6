//! What a build is made of: its contexts, the Dockerfile with its stages, the ignore files. All of
//! them are the project's own; nothing is taken from outside of it.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::diag::{Diagnostic, list, near};
use crate::dockerfile::Stage;
use crate::plan::{Cx, Entry, join};
use crate::spec::{At, BuildSpec};
use crate::unit::DockerfileSource;

/// Names by which the builder asks for the context and the Dockerfile themselves.
const TAKEN: [&str; 2] = ["context", "dockerfile"];

/// The folder that is sent.
pub(super) fn context(cx: &mut Cx<'_>, id: &str, spec: &BuildSpec) -> Option<At<String>> {
    let context = match &spec.context {
        Some(at) => cx.project_path(at)?,
        None => At {
            span: cx.key_span(&["steps", id, "build"]),
            value: ".".into(),
        },
    };
    cx.folder("build context", &context.value, context.span.clone())
        .then_some(context)
}

/// Further folders, by name.
pub(super) fn contexts(
    cx: &mut Cx<'_>,
    id: &str,
    all: Option<&BTreeMap<At<String>, At<String>>>,
) -> BTreeMap<String, String> {
    let mut contexts = BTreeMap::new();
    for (name, path) in all.into_iter().flatten() {
        check_name(cx, name);
        let Some(path) = cx.literal_at(path) else {
            continue;
        };
        if path.value.contains("://") || path.value.starts_with("target:") {
            let message = format!(
                "the context `{}` is not a folder of the project",
                name.value
            );
            let fault = Diagnostic::error(message, path.span);
            cx.fault(fault.help("images and archives are named in the Dockerfile itself: `FROM`, `COPY --from` and `ADD` take them"));
            continue;
        }
        let Some(path) = cx.project_path(&path) else {
            continue;
        };
        if !cx.folder("build context", &path.value, path.span.clone()) {
            continue;
        }
        let ignore = join(&path.value, ".dockerignore");
        let why = format!("it filters the context `{}` of `{id}`", name.value);
        cx.ignore_file(&ignore, path.span, &why);
        contexts.insert(name.value.clone(), path.value);
    }
    contexts
}

fn check_name(cx: &mut Cx<'_>, name: &At<String>) {
    let fault = |message: String| Diagnostic::error(message, name.span.clone());
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let holds = |c: char| word(c) || matches!(c, '-' | '_' | '.');
    if TAKEN.contains(&name.as_str()) {
        let message = format!("a further context cannot be called `{}`", name.value);
        cx.fault(match name.as_str() {
            "context" => fault(message).help("the build's own folder is `build.context`"),
            _ => fault(message).help("the Dockerfile is named by `build.dockerfile`"),
        });
    } else if !name.value.starts_with(word) || !name.value.chars().all(holds) {
        let message = format!("`{}` cannot be the name of a context", name.value);
        cx.fault(fault(message).help(
            "names are of small letters, digits, `-`, `_` and `.`, and begin with a letter or digit",
        ));
    }
}

/// Where the instructions are, if they and the context are there.
pub(super) fn dockerfile(
    cx: &mut Cx<'_>,
    id: &str,
    spec: &BuildSpec,
    context: &At<String>,
) -> Option<DockerfileSource> {
    let Some(inline) = &spec.dockerfile_inline else {
        return file(cx, id, spec, context).map(DockerfileSource::File);
    };
    if let Some(named) = &spec.dockerfile {
        let message = "a build has one Dockerfile: a file, or its text";
        cx.fault(
            Diagnostic::error(message, inline.span.clone())
                .context(named.span.clone(), "the other one")
                .help("keep one of `dockerfile` and `dockerfile_inline`"),
        );
        return None;
    }
    cx.never_interpolated("dockerfile_inline", inline);
    let source = DockerfileSource::Inline(inline.value.clone());
    if cx.stages(&source).is_none_or(|stages| stages.is_empty()) {
        let fault = Diagnostic::error("`dockerfile_inline` has no `FROM`", inline.span.clone());
        cx.fault(fault.help("a Dockerfile begins with an image: `FROM debian:bookworm-slim`"));
        return None;
    }
    Some(source)
}

/// The Dockerfile's path, if it is there.
fn file(cx: &mut Cx<'_>, id: &str, spec: &BuildSpec, context: &At<String>) -> Option<String> {
    let named = match &spec.dockerfile {
        Some(at) => Some(cx.project_path(at)?),
        None => None,
    };
    let path = named
        .as_ref()
        .map_or_else(|| join(&context.value, "Dockerfile"), |at| at.value.clone());
    if cx.entry(&path) == Entry::File {
        return Some(path);
    }
    let in_context = join(&context.value, &path);
    match named {
        // Compose takes the path from the context.
        Some(at) if cx.entry(&in_context) == Entry::File => {
            let message = format!("the Dockerfile `{path}` does not exist");
            let fault = Diagnostic::error(message, at.span.clone());
            let fault = fault.help("paths are relative to the project's root, not to the context");
            cx.fault(fault.suggest(at.span, format!("\"{in_context}\"")));
        }
        Some(at) => {
            cx.file("Dockerfile", &path, at.span);
        }
        None if cx.entry(&path) == Entry::Missing => {
            let span = cx.key_span(&["steps", id, "build"]);
            cx.fault(
                Diagnostic::error(format!("the Dockerfile `{path}` does not exist"), span)
                    .help("write one, or name another with `dockerfile`"),
            );
        }
        None => {
            let span = cx.key_span(&["steps", id, "build"]);
            cx.file("Dockerfile", &path, span);
        }
    }
    None
}

/// Checks what filters the context: the Dockerfile's own ignore file stands over the context's.
pub(super) fn check_ignore_file(
    cx: &mut Cx<'_>,
    id: &str,
    spec: &BuildSpec,
    context: &At<String>,
    dockerfile: &DockerfileSource,
) {
    let own = match dockerfile {
        DockerfileSource::File(path) => Some(format!("{path}.dockerignore")),
        DockerfileSource::Inline(_) => None,
    };
    let own = own.filter(|own| cx.entry(own) == Entry::File);
    let ignore = own.unwrap_or_else(|| join(&context.value, ".dockerignore"));
    let span = build_key(cx, id, spec.context.as_ref());
    cx.ignore_file(&ignore, span, "it filters this build's context");
}

/// The place of a value, or of the step's `build` where nothing is said.
fn build_key(cx: &Cx<'_>, id: &str, at: Option<&At<String>>) -> Range<usize> {
    at.map_or_else(
        || cx.key_span(&["steps", id, "build"]),
        |at| at.span.clone(),
    )
}

/// Whether a stage may be named by its number, from 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Allowed,
    Refused,
}

/// The stages of a Dockerfile.
pub(super) struct Stages<'a> {
    /// How messages name the Dockerfile.
    pub(super) of: &'a str,
    pub(super) stages: &'a [Stage],
}

impl Stages<'_> {
    /// Notes a fault if there is no such stage. Docker takes a stage's name in any case.
    pub(super) fn check(&self, cx: &mut Cx<'_>, stage: &At<String>, number: Number) {
        let wanted = stage.value.to_lowercase();
        let is_number = wanted
            .parse()
            .is_ok_and(|number: usize| number < self.stages.len());
        let names: Vec<&str> = self
            .stages
            .iter()
            .filter_map(|stage| stage.name.as_deref())
            .collect();
        if is_number && number == Number::Allowed || names.contains(&wanted.as_str()) {
            return;
        }
        let message = format!("`{}` has no stage `{}`", self.of, stage.value);
        let fault = Diagnostic::error(message, stage.span.clone());
        cx.fault(match near(&wanted, names.iter().copied()) {
            Some(meant) => fault
                .help(format!("did you mean `{meant}`?"))
                .suggest(stage.span.clone(), format!("\"{meant}\"")),
            None if names.is_empty() => {
                fault.help("none of its stages has a name: `FROM image AS name` gives one")
            }
            None => fault.help(format!("its stages are {}", list(&names))),
        });
    }
}
