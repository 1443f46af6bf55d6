//! Whether a build is to run at all: the image that an earlier run made of the same inputs is taken
//! instead. What was built is remembered only if its inputs held still meanwhile. It refuses to skip
//! what the file or the user wants done anew.

#[cfg(test)]
mod tests;

use hoist_model::image::ImageIdentity;
use hoist_model::inputs::{Decision, EarlierRun, Force, Part};
use hoist_model::survey::Hint;
use hoist_model::unit::BuildUnit;

use crate::backend::BuildRequest;
use crate::context::UnitContext;
use crate::inputs::{Examined, Gaze, Glance, Record};
use crate::unit::halt::{Halt, unless_stopped};
use crate::unit::memory::{self, Memory, Outlook, Subject};

/// What a look at a build came to.
pub(super) enum Looked {
    /// Its image is there already.
    There(ImageIdentity, EarlierRun),
    /// It is to be built.
    Build(Outlook),
}

/// The build of a platform.
pub(super) fn subject(context: &UnitContext, request: &BuildRequest) -> Subject {
    let all = [
        (request.pull, Force::Pull),
        (request.no_cache, Force::NoCache),
        (!request.no_cache_filter.is_empty(), Force::NoCacheFilter),
    ];
    let forced = all.into_iter().filter(|(is, _)| *is);
    Subject {
        step: context.id(),
        platform: request.platform.clone(),
        forced: forced.map(|(_, force)| force).collect(),
    }
}

/// Looks at a build's inputs and says what they are, unless that can wait. In the request's
/// arguments images of steps stand by their IDs.
pub(super) async fn look(
    memory: &Memory,
    context: &UnitContext,
    subject: &Subject,
    unit: &BuildUnit,
    request: &BuildRequest,
) -> Result<Looked, Halt> {
    let Some(cache) = memory.cache(context, subject) else {
        return Ok(Looked::Build(Outlook::Told(None)));
    };
    let glance = Glance::of_build(context, cache, request, &unit.added_labels);
    let glance = unless_stopped(context, async { Ok::<_, Halt>(glance.await) }).await?;
    let hints = glance.hints(request, unit);
    let outlook = match memory.look(context, subject, glance).await? {
        memory::Looked::New(outlook) => outlook,
        memory::Looked::Known(record, examined) => {
            let (inputs, earlier) = (examined.inputs.clone(), record.earlier());
            if let Some(image) = find(context, &record).await? {
                subject.tell(context, inputs, Decision::Reused(earlier.clone()));
                return Ok(Looked::There(image, earlier));
            }
            subject.tell(context, inputs, Decision::Gone(earlier));
            Outlook::Told(Some(examined))
        }
    };
    warn(context, hints);
    Ok(Looked::Build(outlook))
}

/// Lets the builder go by what was just seen of the folders.
pub(super) fn lend(outlook: &Outlook, request: &mut BuildRequest) {
    for (part, snapshot) in outlook.snapshots() {
        let folder = match part {
            Part::NamedContext(name) => request.contexts.get_mut(name),
            _ => Some(&mut request.context),
        };
        if let Some(folder) = folder {
            folder.seen = Some(snapshot);
        }
    }
}

/// What a build that goes on is to be remembered by.
pub(super) struct Watched {
    /// The digest of its inputs.
    digest: String,
    /// What it looks at of its folders, and where, and the digest of its inputs where only that counts.
    narrowed: Option<(String, Gaze, String)>,
    /// They held still until they were read.
    held: bool,
}

/// Looks at a build's inputs while it goes on; `None` where it is to be remembered by nothing.
pub(super) async fn watch(examined: Option<Examined>, request: &BuildRequest) -> Option<Watched> {
    // Which bases a registry had is not known.
    let examined = examined.filter(|_| !request.pull)?;
    let digest = examined.inputs.digest.clone()?;
    let uploads = &request.uploads;
    let (held, narrowed) = tokio::join!(
        examined.hold_until_read(uploads),
        examined.narrowed(uploads)
    );
    let place = examined.gaze_digest();
    // What it came to look at later is not in that.
    let narrowed = narrowed.filter(|(gaze, _)| Gaze::new(&uploads.wanted()).as_ref() == Some(gaze));
    Some(Watched {
        digest,
        narrowed: narrowed.map(|(gaze, digest)| (place, gaze, digest)),
        held,
    })
}

/// Remembers what was built, if its inputs were what they were when they were looked at.
pub(super) async fn keep(
    memory: &Memory,
    context: &UnitContext,
    watched: Watched,
    image: &ImageIdentity,
) {
    if !watched.held {
        let line = "the context was written to during the build, which is not remembered";
        context.output.line(line).await;
        return;
    }
    memory.keep(context, &watched.digest, image.clone());
    if let Some((place, gaze, digest)) = watched.narrowed {
        memory.keep(context, &place, gaze);
        memory.keep(context, &digest, image.clone());
    }
}

/// Says what of the contexts is worth a hint, once for all builds that share one.
fn warn(context: &UnitContext, hints: Vec<Hint>) {
    for Hint { message, hint } in hints {
        if context.made.tell_once(&message) {
            context.warn(message, Some(hint));
        }
    }
}

/// The image of an earlier build, if the engine still has it.
async fn find(
    context: &UnitContext,
    record: &Record<ImageIdentity>,
) -> Result<Option<ImageIdentity>, Halt> {
    let image = &record.outcome;
    let found = unless_stopped(context, async {
        let found = context.backend.inspect_image(&image.id).await;
        let what = "the image of an earlier run could not be looked up";
        found.map_err(|error| Halt::surroundings(what, &error))
    });
    let found = found.await?.filter(|found| found.id == image.id);
    Ok(found.map(|found| ImageIdentity {
        // Some engines tell the config's digest only to who builds.
        config_digest: found.config_digest.or(image.config_digest.clone()),
        ..found
    }))
}

/// Gives an image that is there already the names that the build would have given it.
pub(super) async fn name(
    context: &UnitContext,
    image: &mut ImageIdentity,
    tags: &[String],
) -> Result<(), Halt> {
    for tag in tags.iter().filter(|tag| !image.tags.contains(tag)) {
        let named = context.backend.tag_image(&image.id, tag).await;
        named.map_err(|error| {
            Halt::surroundings(format!("the image could not be named {tag}"), &error)
        })?;
    }
    if !tags.is_empty() {
        image.tags = tags.to_vec();
    }
    Ok(())
}
