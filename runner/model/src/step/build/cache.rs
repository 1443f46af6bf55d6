//! Where a builder's results are kept beside itself, as Docker writes it:
//! `type=registry,ref=NAME,mode=max` (docs.docker.com, "Cache storage backends"). Kinds that would
//! need another service or a folder of this machine are refused.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, list, near};
use crate::plan::{Cx, Reference};
use crate::spec::At;
use crate::text::{Piece, StepValue, Text};
use crate::unit::BuildCache;

const HELP: &str = "caches are written like `registry.example.com/shop:cache` or `type=registry,ref=registry.example.com/shop:cache`";

/// Kinds that `BuildKit` has, and what to do without them.
const REFUSED: [(&str, &str); 4] = [
    (
        "local",
        "a folder of this machine would have to be sent with each build; the engine keeps its own cache",
    ),
    (
        "gha",
        "the cache of GitHub Actions is not acted upon by this version; use a registry",
    ),
    ("s3", "S3 is not acted upon by this version; use a registry"),
    (
        "azblob",
        "Azure's blobs are not acted upon by this version; use a registry",
    ),
];

/// Attributes of a cache in a registry that is read.
const READ: [&str; 2] = ["ref", "registry.insecure"];

/// Attributes of a cache in a registry that is written.
const WRITTEN: [&str; 9] = [
    "ref",
    "mode",
    "compression",
    "compression-level",
    "force-compression",
    "ignore-error",
    "image-manifest",
    "oci-mediatypes",
    "registry.insecure",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    From,
    To,
}

/// Where earlier results may be taken from.
pub(super) fn from(cx: &mut Cx<'_>, all: Option<&Vec<At<String>>>) -> Vec<BuildCache> {
    caches(cx, all, Way::From)
}

/// Where results are kept for others.
pub(super) fn to(cx: &mut Cx<'_>, all: Option<&Vec<At<String>>>) -> Vec<BuildCache> {
    caches(cx, all, Way::To)
}

fn caches(cx: &mut Cx<'_>, all: Option<&Vec<At<String>>>, way: Way) -> Vec<BuildCache> {
    let mut caches: Vec<BuildCache> = Vec::new();
    for at in all.into_iter().flatten() {
        let Some(text) = cx.text(at) else { continue };
        match cache(&text, way) {
            Ok(cache) if caches.contains(&cache) => {
                let message = format!("`{}` stands here twice", at.value);
                cx.fault(Diagnostic::error(message, at.span.clone()));
            }
            Ok(cache) => caches.push(cache),
            Err((message, help)) => {
                cx.fault(Diagnostic::error(message, at.span.clone()).help(help));
            }
        }
    }
    caches
}

/// What is wrong, and what to try.
type Wrong = (String, String);

fn cache(text: &Text, way: Way) -> Result<BuildCache, Wrong> {
    let shown = text.to_string();
    if shown.contains('"') {
        return Err((format!("`{shown}` has quotes in it"), HELP.into()));
    }
    let fields = split(text);
    let mut attributes: BTreeMap<String, Text> = BTreeMap::new();
    if let [name] = fields.as_slice()
        && named(name).is_none()
    {
        attributes.insert("ref".into(), name.clone());
        return registry(attributes, way);
    }
    for field in &fields {
        let Some((key, value)) = named(field) else {
            let message = format!("`{field}` in `{shown}` is not `NAME=VALUE`");
            return Err((message, HELP.into()));
        };
        if attributes.insert(key.clone(), value).is_some() {
            return Err((format!("`{key}` stands twice in `{shown}`"), HELP.into()));
        }
    }
    let Some(kind) = attributes.remove("type").and_then(|kind| kind.as_literal()) else {
        return Err((format!("`{shown}` does not say its `type`"), HELP.into()));
    };
    match (kind.as_str(), way) {
        ("registry", _) => registry(attributes, way),
        ("inline", Way::To) => match attributes.keys().next() {
            None => Ok(BuildCache { kind, attributes }),
            Some(key) => Err((
                format!("a cache of the type `inline` has no `{key}`"),
                "it is in the image itself: write `type=inline`".into(),
            )),
        },
        ("inline", Way::From) => Err((
            "a cache of the type `inline` cannot be read by that name".into(),
            "it is in an image: name that, such as `registry.example.com/shop:latest`".into(),
        )),
        _ => Err(unknown(&kind, way)),
    }
}

/// A kind that is not acted upon.
fn unknown(kind: &str, way: Way) -> Wrong {
    let message = format!("a cache cannot be of the type `{kind}`");
    let known: &[&str] = match way {
        Way::From => &["registry"],
        Way::To => &["registry", "inline"],
    };
    let help = match REFUSED.iter().find(|(name, _)| *name == kind) {
        Some((_, help)) => (*help).to_owned(),
        None => match near(kind, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("there is {}", list(known)),
        },
    };
    (message, help)
}

fn registry(attributes: BTreeMap<String, Text>, way: Way) -> Result<BuildCache, Wrong> {
    let known: &[&str] = match way {
        Way::From => &READ,
        Way::To => &WRITTEN,
    };
    if let Some(key) = attributes.keys().find(|key| !known.contains(&key.as_str())) {
        let help = match near(key, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("it has {}", list(known)),
        };
        let message = format!("a cache of the type `registry` has no `{key}` here");
        return Err((message, help));
    }
    let Some(reference) = attributes.get("ref") else {
        let message = "a cache of the type `registry` needs a `ref`".to_owned();
        return Err((message, HELP.into()));
    };
    check_reference(reference, way)?;
    let mode = attributes.get("mode").map(Text::to_string);
    if let Some(mode) = mode.filter(|mode| !matches!(mode.as_str(), "min" | "max")) {
        let help = "`min` keeps the layers of the image, `max` those of all stages";
        return Err((format!("`mode` cannot be `{mode}`"), help.into()));
    }
    Ok(BuildCache {
        kind: "registry".into(),
        attributes,
    })
}

fn check_reference(text: &Text, way: Way) -> Result<(), Wrong> {
    let values: Vec<&StepValue> = text.references().map(|(_, value)| value).collect();
    if values.contains(&&StepValue::Image) {
        return Err((
            format!("`{text}` is in no registry"),
            "name what a push made of it: `${steps.NAME.digest}`".into(),
        ));
    }
    if values
        .iter()
        .any(|value| matches!(value, StepValue::Output(_)))
    {
        return Err((
            format!("`{text}` is known only while the pipeline runs"),
            "name the cache itself".into(),
        ));
    }
    let fixed = (
        format!("a cache cannot be written to `{text}`"),
        "a digest follows from what is in it; name a tag".to_owned(),
    );
    let Some(name) = text.as_literal() else {
        let whole = matches!(text.0.as_slice(), [Piece::Step { .. }]);
        return match way {
            Way::To => Err(fixed),
            Way::From if whole => Ok(()),
            Way::From => Err((
                format!("`{text}` is not an image"),
                "a step's digest is a name of its own: write nothing beside it".into(),
            )),
        };
    };
    match Reference::parse(&name) {
        Err(why) => Err((format!("`{name}` is not an image: {why}"), HELP.into())),
        Ok(reference) if way == Way::To && reference.digest.is_some() => Err(fixed),
        Ok(_) => Ok(()),
    }
}

/// The parts between commas.
fn split(text: &Text) -> Vec<Text> {
    let mut fields = vec![Text::default()];
    let mut put = |piece: Piece, begins: bool| {
        if begins {
            fields.push(Text::default());
        }
        if let Some(field) = fields.last_mut() {
            field.0.push(piece);
        }
    };
    for piece in &text.0 {
        match piece {
            Piece::Literal(text) => {
                for (at, part) in text.split(',').enumerate() {
                    put(Piece::Literal(part.to_owned()), at > 0);
                }
            }
            Piece::Step { .. } => put(piece.clone(), false),
        }
    }
    fields.iter_mut().for_each(|field| {
        field
            .0
            .retain(|piece| *piece != Piece::Literal(String::new()))
    });
    fields
}

/// A field's name and value.
fn named(field: &Text) -> Option<(String, Text)> {
    let (first, rest) = field.0.split_first()?;
    let Piece::Literal(first) = first else {
        return None;
    };
    let (key, start) = first.split_once('=')?;
    let start = (!start.is_empty()).then(|| Piece::Literal(start.to_owned()));
    let value = start.into_iter().chain(rest.iter().cloned()).collect();
    Some((key.trim().to_lowercase(), Text(value)))
}
