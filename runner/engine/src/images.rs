//! Images by the engine's ID: a name is looked up once a run, pulled where the engine lacks it, and
//! is that image for every step from then on, whatever happens to the name. It refuses to guess:
//! what is not there is an error with a hint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hoist_model::event::EventKind;
use hoist_model::image::{ImageIdentity, ImageSource};
use hoist_model::reason::{FailureReason, Trouble};
use hoist_model::text::Text;
use tokio::sync::OnceCell;

use crate::backend::{BackendError, BackendErrorKind};
use crate::context::UnitContext;
use crate::unit::progress;

/// How often a registry is asked, and how long to wait before each further try.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];

/// The images that names stand for in this run, on one engine.
#[derive(Debug, Default)]
pub struct ImageCache {
    cells: Mutex<BTreeMap<String, Arc<OnceCell<ImageIdentity>>>>,
    /// The engine's address, if it is not the run's own.
    engine: Option<String>,
}

impl ImageCache {
    /// Nothing yet of another engine than the run's own.
    pub(crate) fn of(engine: Option<String>) -> Self {
        Self {
            engine,
            ..Self::default()
        }
    }

    /// Where what a name stands for is kept; whoever comes first finds it out.
    pub(crate) fn cell(&self, name: &str) -> Arc<OnceCell<ImageIdentity>> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cells.entry(name.to_owned()).or_default())
    }
}

/// The engine's ID of the image that the name stood for in the run that is done again.
fn pinned<'a>(context: &'a UnitContext, name: &str) -> Option<&'a String> {
    let engine = context.made.images.engine.as_deref();
    context.made.rerun.as_ref()?.image(engine, name)
}

/// Tells what a name stands for, so that the run can be done again on the same.
fn tell(context: &UnitContext, name: &str, image: &ImageIdentity) {
    context.events.send(EventKind::ImageResolved {
        engine: context.made.images.engine.clone(),
        name: name.to_owned(),
        id: image.id.clone(),
    });
}

/// An image, and the name by which people know it.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The image.
    pub image: ImageIdentity,
    /// For messages.
    pub shown: String,
    /// It comes from a step of this plan.
    pub built: bool,
}

/// The image that a step names. The first step to name it pulls it if it must; others wait for that.
///
/// # Errors
/// When the image is nowhere, or the engine or a registry fails.
pub async fn resolve(
    context: &UnitContext,
    source: &ImageSource,
) -> Result<Resolved, FailureReason> {
    match source {
        ImageSource::Step(step) => {
            let image = context
                .made
                .get(step)
                .and_then(|made| made.image)
                .ok_or_else(|| {
                    FailureReason::Configuration(
                        Trouble::new(format!("there is no image of the step `{step}`"))
                            .cause("the step built none in this run"),
                    )
                })?;
            let shown = image.tags.first().cloned();
            let shown = shown.unwrap_or_else(|| format!("the image of {step}"));
            Ok(Resolved {
                image,
                shown,
                built: true,
            })
        }
        ImageSource::Name(name) => {
            let name = text(context, name)?;
            let cell = context.made.images.cell(&name);
            let find = async || {
                let image = find(context, &name).await?;
                tell(context, &name, &image);
                Ok::<_, FailureReason>(image)
            };
            let image = cell.get_or_try_init(find).await?.clone();
            Ok(Resolved {
                image,
                shown: name,
                built: false,
            })
        }
    }
}

/// The image that a step names, if it is on the engine. Pulls nothing and warns of nothing.
pub(crate) async fn known(context: &UnitContext, source: &ImageSource) -> Option<Resolved> {
    if let ImageSource::Name(name) = source {
        let name = text(context, name).ok()?;
        let cell = context.made.images.cell(&name);
        let wanted = pinned(context, &name).unwrap_or(&name);
        let find = async || match context.backend.inspect_image(wanted).await {
            Ok(Some(image)) => {
                tell(context, &name, &image);
                Ok(image)
            }
            Ok(None) | Err(_) => Err(()),
        };
        cell.get_or_try_init(find).await.ok()?;
    }
    resolve(context, source).await.ok()
}

/// Text with its references resolved.
///
/// # Errors
/// When a step that it refers to made nothing.
pub fn text(context: &UnitContext, text: &Text) -> Result<String, FailureReason> {
    let resolved = context.made.resolve(text);
    resolved.ok_or_else(|| FailureReason::Configuration(context.made.missing(text)))
}

async fn find(context: &UnitContext, name: &str) -> Result<ImageIdentity, FailureReason> {
    let looking = |error: BackendError| {
        FailureReason::Surroundings(error.trouble(format!("the image {name} cannot be looked up")))
    };
    // A run that is done again has the images that it had.
    if let Some(rerun) = &context.made.rerun
        && let Some(id) = pinned(context, name)
    {
        let found = context.backend.inspect_image(id).await.map_err(looking)?;
        if let Some(image) = found.filter(|found| found.id == *id) {
            return Ok(image);
        }
        let message = format!(
            "the engine no longer has the {name} of run {}",
            rerun.run.short()
        );
        context.warn(
            message,
            Some("what the name stands for now is taken".to_owned()),
        );
    }
    if let Some(image) = context.backend.inspect_image(name).await.map_err(looking)? {
        return Ok(image);
    }
    context.phase(format!("pulling {name}"));
    pull(context, name)
        .await
        .map_err(|error| FailureReason::Surroundings(unpulled(name, &error)))?;
    context
        .backend
        .inspect_image(name)
        .await
        .map_err(looking)?
        .ok_or_else(|| {
            FailureReason::Surroundings(
                Trouble::new(format!("the image {name} is not on the engine"))
                    .cause("the engine pulled it and does not have it"),
            )
        })
}

async fn pull(context: &UnitContext, name: &str) -> Result<(), BackendError> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let result = progress::forward(context, |progress| {
            context.backend.pull_image(name, &context.logins, progress)
        })
        .await;
        let Err(error) = result else { return Ok(()) };
        match pauses.next() {
            Some(pause) if is_transient(error.kind) => {
                let message = format!("pulling {name} failed and is tried again: {error}");
                context.output.line(&message).await;
                tokio::time::sleep(pause).await;
            }
            _ => return Err(error),
        }
    }
}

/// Another try may well succeed.
pub(crate) fn is_transient(kind: BackendErrorKind) -> bool {
    use BackendErrorKind as K;
    match kind {
        K::Registry | K::Timeout => true,
        K::Unreachable
        | K::Permission
        | K::TooOld
        | K::NotFound
        | K::Conflict
        | K::Unauthorized
        | K::PortTaken
        | K::AddressTaken
        | K::SubnetOverlap
        | K::NoAddresses
        | K::DiskFull
        | K::CannotStart { .. }
        | K::Broken
        | K::Unsupported
        | K::Engine => false,
    }
}

fn unpulled(name: &str, error: &BackendError) -> Trouble {
    match error.kind {
        BackendErrorKind::NotFound => Trouble::new(format!("the image {name} was not found"))
            .cause(&error.message)
            .hint("check its name and tag; a private one may need `docker login` or [registries]"),
        _ => error.trouble(format!("the image {name} could not be pulled")),
    }
}
