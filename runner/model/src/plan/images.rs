//! Images that steps name. Whichever way an image of this pipeline is named, by its step, by a tag
//! that a step gives it or by what was pushed, it is the same image, so that one scan guards it
//! everywhere.

use std::ops::Range;

use super::Edge;
use super::cx::{Cx, EdgeAt, FileIx, KindKey};
use super::reference::Reference;
use crate::diag::Diagnostic;
use crate::image::ImageSource;
use crate::spec::At;
use crate::text::{Piece, StepValue, Text};

/// A name that a step gives to an image.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) by: FileIx,
    pub(crate) image: ImageSource,
    pub(crate) span: Range<usize>,
    /// The step is not run, so that another one may give the name.
    pub(crate) spared: bool,
}

impl Cx<'_> {
    /// An image that a step or a service names.
    pub(crate) fn image(&mut self, at: &At<String>) -> Option<ImageSource> {
        let text = self.text(at)?;
        match text.0.as_slice() {
            [
                Piece::Step {
                    step,
                    value: StepValue::Image,
                },
            ] => {
                return Some(ImageSource::Step(step.clone()));
            }
            [
                Piece::Step {
                    value: StepValue::Digest,
                    ..
                },
            ] => return Some(ImageSource::Name(text)),
            _ => {}
        }
        let is_output = |(_, value): (_, &StepValue)| matches!(value, StepValue::Output(_));
        if text.references().any(is_output) {
            let fault = Diagnostic::error("an output cannot name an image", at.span.clone());
            self.fault(fault.help("which image is used has to be known before anything runs, so that its scans can be waited for"));
            return None;
        }
        let Some(name) = text.as_literal() else {
            let fault =
                Diagnostic::error("a step's image cannot be a part of a name", at.span.clone());
            self.fault(fault.help("write `${steps.NAME.image}` and nothing else"));
            return None;
        };
        let reference = self.reference(&At {
            span: at.span.clone(),
            value: name,
        })?;
        let named = (!self.made.is_empty()).then(|| reference.canonical());
        let made = named.and_then(|name| self.made.get(&name).cloned());
        let Some(made) = made else {
            return Some(ImageSource::Name(text));
        };
        if let Some(from) = self.current.filter(|from| *from != made.by) {
            let edge = EdgeAt {
                from,
                to: made.by,
                why: Edge::Reference,
                span: at.span.clone(),
            };
            self.edges.push(edge);
        }
        Some(made.image)
    }

    /// An image's name, taken apart.
    pub(crate) fn reference(&mut self, at: &At<String>) -> Option<Reference> {
        let lower = at.value.to_lowercase();
        Reference::parse(&at.value)
            .map_err(|why| {
                let fault =
                    Diagnostic::error(format!("`{}` is not an image", at.value), at.span.clone());
                let fault = fault.says(why);
                self.fault(match Reference::parse(&lower) {
                    Ok(_) => fault.suggest(at.span.clone(), format!("\"{lower}\"")),
                    Err(_) => fault
                        .help("images are named like `redis:7` or `registry.example.com/shop:1.2`"),
                });
            })
            .ok()
    }

    /// Names that a step gives to an image. Two steps cannot give one name to two images.
    pub(crate) fn tags(&mut self, all: Option<&Vec<At<String>>>, image: &ImageSource) -> Vec<Text> {
        let mut tags = Vec::new();
        for at in self.literals(all) {
            let Some(reference) = self.reference(&at) else {
                continue;
            };
            if reference.digest.is_some() {
                let fault = Diagnostic::error("a tag cannot have a digest", at.span.clone());
                self.fault(fault.help("the digest follows from the image"));
                continue;
            }
            self.claim_tag(&at, reference.canonical(), image);
            tags.push(Text::literal(at.value));
        }
        tags
    }

    fn claim_tag(&mut self, at: &At<String>, name: String, image: &ImageSource) {
        let Some(by) = self.current else { return };
        let before = self.made.get(&name).filter(|made| !made.spared).cloned();
        let Some(before) = before else {
            let made = Made {
                by,
                image: image.clone(),
                span: at.span.clone(),
                spared: self.spared,
            };
            self.made.insert(name, made);
            return;
        };
        if self.spared {
            return;
        }
        let fault = if before.by == by {
            Diagnostic::error(
                format!("the tag `{}` stands here twice", at.value),
                at.span.clone(),
            )
        } else if before.image != *image {
            let other = self.name_of(before.by);
            let message = format!(
                "`{}` and `{other}` give the tag `{}` to two images",
                self.step_name(),
                at.value
            );
            let help = match before.span == at.span {
                true => "put a value of the matrix into it, such as `${matrix.NAME}`",
                false => "the later one would take it from the other; give each a tag of its own",
            };
            Diagnostic::error(message, at.span.clone()).help(help)
        } else {
            return;
        };
        self.fault(match before.span == at.span {
            true => fault,
            false => fault.context(before.span, "first here"),
        });
    }

    /// The kind of a step, if it is clear.
    pub(crate) fn kind_of(&self, step: FileIx) -> Option<KindKey> {
        self.steps.get(step).and_then(|step| step.kind)
    }
}
