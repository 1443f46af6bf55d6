//! Names that an image has on the engine for a while: a builder's base, a reference to be pushed.
//! Whatever had the name before has it again afterwards.

use hoist_model::ids::RunId;
use hoist_model::image::ImageIdentity;

use super::names::distinct;
use crate::backend::BackendError;
use crate::context::UnitContext;
use crate::reaper::{Undo, UndoTicket};

/// A name that an image has for a while.
#[must_use]
pub(crate) struct Borrowed {
    name: String,
    /// The image that had it before, by the engine's ID.
    before: Option<String>,
    ticket: Option<UndoTicket>,
}

impl Borrowed {
    /// Gives the image the name. Should this process die, the name goes.
    pub(crate) async fn borrow(
        context: &UnitContext,
        image: &str,
        name: &str,
    ) -> Result<Self, BackendError> {
        let before = context
            .backend
            .inspect_image(name)
            .await?
            .map(|image| image.id);
        let mut borrowed = Self {
            name: name.to_owned(),
            before,
            ticket: None,
        };
        if borrowed.before.as_deref() == Some(image) {
            return Ok(borrowed);
        }
        let undo = Undo::Untag {
            engine: None,
            tag: name.to_owned(),
        };
        borrowed.ticket = Some(context.undo.push(undo).await);
        match context.backend.tag_image(image, name).await {
            Ok(()) => Ok(borrowed),
            Err(error) => {
                borrowed.give_back(context).await;
                Err(error)
            }
        }
    }

    /// Takes the name from the image, unless it had it before.
    pub(crate) async fn give_back(mut self, context: &UnitContext) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let backend = context.backend.as_ref();
        let _alone = context.made.untagging.lock().await;
        let done = match &self.before {
            Some(before) => backend.tag_image(before, &self.name).await,
            None => match self.keep(context).await {
                Ok(()) => backend.untag_image(&self.name).await,
                Err(error) => Err(error),
            },
        };
        // An entry that stays is undone when the run closes.
        match done {
            Ok(()) => context.undo.take_back(ticket).await,
            Err(error) => {
                let message = format!(
                    "the name {} could not be taken back yet: {error}",
                    self.name
                );
                context.output.line(&message).await;
            }
        }
    }
}

impl Borrowed {
    /// An image goes with its last name: one that has no other gets a local one that stays.
    async fn keep(&self, context: &UnitContext) -> Result<(), BackendError> {
        let backend = context.backend.as_ref();
        match backend.inspect_image(&self.name).await? {
            Some(image) if image.tags.len() <= 1 => {
                let name = local_name(&context.plan.name, &image);
                backend.tag_image(&image.id, &name).await
            }
            _ => Ok(()),
        }
    }
}

/// A local name that an image of a project can keep: no other image ever has it.
pub(crate) fn local_name(project: &str, image: &ImageIdentity) -> String {
    format!("hoist.local/{}:{}", part(project), image.short())
}

/// Characters of a tag: engines allow 128, and nine may come after them.
const LONGEST_TAG: usize = 119;

/// A local name for an image that a build stands on. Builders take an image by name only: an ID
/// would be looked for in a registry.
pub(crate) fn base_name(project: &str, run: RunId, base: &str, step: &str) -> String {
    let run = run.0.simple().to_string();
    let run = run.get(24..).unwrap_or(&run);
    let tag: String = format!("{}-for-{}", part(base), part(step))
        .chars()
        .take(LONGEST_TAG)
        .collect();
    let tag = distinct(&tag, &format!("{base}-for-{step}"));
    format!("hoist.local/{}-{run}:{tag}", part(project))
}

/// Text as a part of an image's name: small letters, digits, and single dashes between them.
fn part(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    let out = out.trim_end_matches('-');
    if out.is_empty() {
        "x".to_owned()
    } else {
        out.chars().take(60).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_names_are_names_that_engines_take() {
        let run = RunId("0197f3a0-0000-7000-8000-0123456789ab".parse().unwrap());
        let name = base_name("My Shop_!", run, "test-image", "app");
        assert_eq!(name, "hoist.local/my-shop-456789ab:test-image-for-app");
        let name = base_name("ü", run, "", "a");
        assert!(
            name.starts_with("hoist.local/x-456789ab:x-for-a-"),
            "{name}"
        );
        let cell = |base: &str| base_name("shop", run, base, "app");
        assert_ne!(cell("it[py=3.12]"), cell("it[py=3-12]"));
        let long = "x".repeat(70);
        let name = base_name("shop", run, &format!("{long}-a"), &long);
        assert_ne!(name, base_name("shop", run, &format!("{long}-b"), &long));
        let tag = name.rsplit_once(':').unwrap().1;
        assert!(tag.len() <= 128, "{tag}");
    }
}
