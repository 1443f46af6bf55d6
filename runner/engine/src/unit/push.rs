//! An image to a registry: the very image, by its ID, under each of its references. It refuses to
//! push whatever a name happens to stand for.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::event::EventKind;
use hoist_model::image::{ImageIdentity, ImageSource};
use hoist_model::plan::PlannedStep;
use hoist_model::reason::Ending;
use hoist_model::unit::PushUnit;

use super::halt::{self, Halt, unless_stopped};
use super::progress;
use super::tags::Borrowed;
use crate::backend::BackendError;
use crate::context::UnitContext;
use crate::images;

/// Before each further try.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];

/// Executes the unit.
pub async fn execute(context: &UnitContext, step: &PlannedStep, unit: &PushUnit) -> Ending {
    halt::ending(attempt(context, step, unit).await)
}

async fn attempt(
    context: &UnitContext,
    step: &PlannedStep,
    unit: &PushUnit,
) -> Result<Ending, Halt> {
    let image = unless_stopped(context, images::resolve(context, &unit.image)).await?;
    let platforms = match &unit.image {
        ImageSource::Step(step) => context.made.get(step).map(|made| made.platforms),
        ImageSource::Name(_) => None,
    };
    let platforms = platforms.unwrap_or_default();
    let mut references = Vec::new();
    for tag in &unit.tags {
        references.push(images::text(context, tag)?);
    }
    for (number, reference) in references.into_iter().enumerate() {
        context.phase(format!("pushing {reference}"));
        let digest = match platforms.len() {
            0 | 1 => push(context, &image.image.id, &reference).await?,
            _ => push_all(context, &platforms, &reference).await?,
        };
        if number == 0 {
            let digest = format!("{}@{digest}", repository(&reference));
            context.made.digest(&step.id, digest);
        }
        let step = step.id.clone();
        context.events.send(EventKind::ImagePushed {
            step,
            reference,
            digest,
        });
    }
    Ok(Ending::Passed)
}

/// Pushes an image for each platform under a name of its own, and then an index of them all: whoever
/// pulls the reference gets the one for their machine.
async fn push_all(
    context: &UnitContext,
    platforms: &BTreeMap<String, ImageIdentity>,
    reference: &str,
) -> Result<String, Halt> {
    let mut digests = BTreeMap::new();
    for (platform, image) in platforms {
        let name = format!("{reference}-{}", platform.replace('/', "-"));
        let digest = push(context, &image.id, &name).await?;
        digests.insert(platform.clone(), digest);
    }
    let backend = &context.backend;
    let pushed = backend.push_index(reference, &digests, &context.logins);
    let what = || format!("the index {reference} could not be pushed");
    unless_stopped(context, async {
        pushed
            .await
            .map_err(|error| Halt::surroundings(what(), &error))
    })
    .await
}

/// Pushes one reference; the name is the image's only for that time, unless it was before.
async fn push(context: &UnitContext, image: &str, reference: &str) -> Result<String, Halt> {
    let what = || format!("{reference} could not be pushed");
    let borrowed = Borrowed::borrow(context, image, reference).await;
    let borrowed = borrowed.map_err(|error| Halt::surroundings(what(), &error))?;
    let pushed = async {
        let pushed = persist(context, reference).await;
        pushed.map_err(|error| Halt::surroundings(what(), &error))
    };
    let pushed = unless_stopped(context, pushed).await;
    borrowed.give_back(context).await;
    pushed
}

async fn persist(context: &UnitContext, reference: &str) -> Result<String, BackendError> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let result = progress::forward(context, |progress| {
            context
                .backend
                .push_image(reference, &context.logins, progress)
        })
        .await;
        let error = match result {
            Ok(digest) => return Ok(digest),
            Err(error) => error,
        };
        match pauses.next() {
            Some(pause) if images::is_transient(error.kind) => {
                let message = format!("pushing {reference} failed and is tried again: {error}");
                context.output.line(&message).await;
                tokio::time::sleep(pause).await;
            }
            _ => return Err(error),
        }
    }
}

/// A reference without its tag or digest. A colon before the last slash is a registry's port.
pub(crate) fn repository(reference: &str) -> &str {
    let name = reference
        .split_once('@')
        .map_or(reference, |(name, _)| name);
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    let tag = name.get(path..).and_then(|last| last.find(':'));
    tag.and_then(|colon| name.get(..path + colon))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests;
