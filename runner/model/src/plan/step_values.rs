//! What a string may ask of a step that runs before: the image of a build, the digest of a push,
//! what a run left. Whoever asks waits for it.

use std::ops::Range;

use super::Edge;
use super::cx::{Cx, EdgeAt, FileIx, KindKey};
use super::vars::Steps;
use crate::diag::list;
use crate::ids::StepId;
use crate::interpolate::{Fault, Found};
use crate::outputs::is_key;
use crate::spec::{At, inside};
use crate::text::StepValue;

/// What an artifact is written as.
pub(super) const NAME_ONE: &str = "artifacts are written `${steps.STEP.artifacts.NAME}`, by the names of the step's `artifacts.paths`";

impl Cx<'_> {
    /// What is asked of a step, such as `image.image`.
    pub(super) fn find_step(
        &mut self,
        rest: &str,
        range: Range<usize>,
        at: &At<impl AsRef<str>>,
        steps: Steps,
    ) -> Result<Found, Fault> {
        let fault = |message: String| Fault::new(range.clone(), message);
        // Values of a cell may have dots in them.
        let cell = rest.find(']').map_or(0, |end| end + 1);
        let split = rest.split_at_checked(cell).and_then(|(cell, rest)| {
            let (id, value) = rest.split_once('.')?;
            Some((format!("{cell}{id}"), value))
        });
        let Some((name, value)) = split else {
            return Err(
                fault(format!("`steps.{rest}` does not say what of the step")).help(format!(
                    "write `${{steps.{rest}.image}}` for the image that it builds"
                )),
            );
        };
        let id = name.split('[').next().unwrap_or_default();
        let to = match self.bind_one(&name) {
            Ok(to) => to,
            Err(none) => {
                let missing = fault(none.message);
                return Err(match (none.meant, none.help) {
                    (Some(meant), _) => missing
                        .help(format!("did you mean `{meant}`?"))
                        .suggest(range.clone(), format!("steps.{meant}.{value}")),
                    (None, Some(help)) => missing.help(help),
                    (None, None) => missing,
                });
            }
        };
        let asked = self.step_value(id, to, value, &range)?;
        match (steps, &asked) {
            (Steps::Refused(reason), _) => {
                return Err(fault("what a step makes cannot be used here".into()).help(reason));
            }
            (Steps::Allowed, StepValue::Artifact(_)) => {
                let message = "an artifact is not text".to_owned();
                return Err(fault(message).help(format!(
                    "give it to a run step: `inputs = {{ \"path/\" = \"${{steps.{name}.{value}}}\" }}`"
                )));
            }
            (Steps::Artifact, StepValue::Image | StepValue::Digest | StepValue::Output(_)) => {
                let message = format!("`steps.{name}.{value}` is no artifact");
                return Err(fault(message).help(NAME_ONE));
            }
            (Steps::Allowed, StepValue::Image | StepValue::Digest | StepValue::Output(_))
            | (Steps::Artifact, StepValue::Artifact(_)) => {}
        }
        if self.step_key() == id {
            return Err(fault(format!("the step `{id}` refers to itself")));
        }
        if let Some(from) = self.current {
            let span = inside(&self.spec.file.text, &at.span, at.as_str(), &range);
            self.edges.push(EdgeAt {
                from,
                to,
                why: Edge::Reference,
                span,
            });
        }
        Ok(Found::Step(StepId::from(self.name_of(to)), asked))
    }

    /// What is asked of a step, where it has that.
    fn step_value(
        &self,
        id: &str,
        to: FileIx,
        value: &str,
        range: &Range<usize>,
    ) -> Result<StepValue, Fault> {
        let fault = |message: String| Fault::new(range.clone(), message);
        let step = self.steps.get(to);
        let (space, name) = value.split_once('.').unwrap_or((value, ""));
        match (space, step.and_then(|step| step.kind)) {
            ("image", Some(KindKey::Build) | None) if name.is_empty() => Ok(StepValue::Image),
            ("digest", Some(KindKey::Push) | None) if name.is_empty() => Ok(StepValue::Digest),
            ("artifacts", Some(KindKey::Run) | None) => {
                let artifacts = step.and_then(|step| step.spec.artifacts.as_ref());
                let kept = artifacts.and_then(|artifacts| artifacts.paths.as_ref());
                let kept = kept.into_iter().flatten().map(|(name, _)| name.as_str());
                let kept: Vec<&str> = kept.collect();
                if kept.contains(&name) {
                    return Ok(StepValue::Artifact(name.to_owned()));
                }
                Err(self.no_artifact(id, name, &kept, range))
            }
            ("outputs", Some(KindKey::Run) | None) => {
                let told = step.is_some_and(|step| step.spec.outputs.is_some());
                if told && is_key(name) {
                    return Ok(StepValue::Output(name.to_owned()));
                }
                Err(match (told, name) {
                    (false, _) => fault(format!("the step `{id}` has no outputs"))
                        .help("name the file that it writes them to: `outputs = \"/tmp/outputs\"`"),
                    (true, "") => fault(format!("`steps.{id}.outputs` does not say which output"))
                        .help(format!("write `${{steps.{id}.outputs.KEY}}`")),
                    (true, _) => fault(format!("`{name}` cannot be the key of an output")).help(
                        "keys are of letters, digits, `_` and `-`, and begin with a letter or `_`",
                    ),
                })
            }
            (_, Some(kind)) => Err(wrong_value(fault, id, value, kind, range)),
            (_, None) => Err(fault(format!("a step has no `{value}`"))),
        }
    }

    fn no_artifact(&self, id: &str, name: &str, kept: &[&str], range: &Range<usize>) -> Fault {
        let fault = |message: String| Fault::new(range.clone(), message);
        if kept.is_empty() {
            let example = if name.is_empty() { "dist" } else { name };
            return fault(format!("the step `{id}` keeps no artifacts")).help(format!(
                "name what it keeps: `artifacts.paths = {{ {example} = \"/path/in/the/container/\" }}`"
            ));
        }
        let fault = match name {
            "" => fault(format!(
                "`steps.{id}.artifacts` does not say which artifact"
            )),
            _ => fault(format!("the step `{id}` keeps no artifact `{name}`")),
        };
        match self.near(name, kept.iter().copied()) {
            Some(meant) => fault
                .help(format!("did you mean `{meant}`?"))
                .suggest(range.clone(), format!("steps.{id}.artifacts.{meant}")),
            None => fault.help(format!("it keeps {}", list(kept))),
        }
    }
}

/// A value that a step of this kind does not have.
fn wrong_value(
    fault: impl Fn(String) -> Fault,
    id: &str,
    value: &str,
    kind: KindKey,
    range: &Range<usize>,
) -> Fault {
    let has = match kind {
        KindKey::Build => Some("image"),
        KindKey::Push => Some("digest"),
        KindKey::Run | KindKey::Scan | KindKey::Deploy => None,
    };
    match (has, value) {
        (Some(has), _) => fault(format!(
            "the step `{id}` is a {}: it has no `{value}`",
            kind.name()
        ))
        .help(format!("did you mean `steps.{id}.{has}`?"))
        .suggest(range.clone(), format!("steps.{id}.{has}")),
        (None, "image") => fault(format!(
            "the step `{id}` is a {}: it builds no image",
            kind.name()
        ))
        .help("refer to a step with `build`"),
        (None, "digest") => fault(format!(
            "the step `{id}` is a {}: it pushes no image",
            kind.name()
        ))
        .help("refer to a step with `push`"),
        (None, _) => fault(format!(
            "the step `{id}` is a {}: it has no `{value}`",
            kind.name()
        ))
        .help("builds have `image`, pushes `digest`, and runs `artifacts.NAME` and `outputs.KEY`"),
    }
}
