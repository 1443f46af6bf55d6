//! The engine that a release goes to, and the images there. An image is deployed only if it is the
//! very one that was built or named; where the engine is another one, it gets there through a
//! registry. It refuses to send images between engines itself.

use std::sync::Arc;

use hoist_model::image::{ImageIdentity, ImageSource};
use hoist_model::reason::{FailureReason, Trouble};
use hoist_model::text::Text;
use hoist_model::unit::Unit;

use crate::backend::Backend;
use crate::context::UnitContext;
use crate::images::{self, Resolved};

/// The engine that a release goes to.
pub(crate) struct Target {
    pub(crate) backend: Arc<dyn Backend>,
    /// Its address for the reaper; absent for the engine in use.
    pub(crate) engine: Option<String>,
}

impl Target {
    /// Connects to an environment's engine.
    pub(crate) async fn connect(
        context: &UnitContext,
        engine: Option<&str>,
    ) -> Result<Self, FailureReason> {
        let in_use = Self {
            backend: Arc::clone(&context.backend),
            engine: None,
        };
        let Some(address) = engine else {
            return Ok(in_use);
        };
        let unreachable = |error: crate::backend::BackendError| {
            FailureReason::Surroundings(
                error.trouble(format!("the engine {address} does not answer")),
            )
        };
        let backend = context
            .connector
            .connect(Some(address))
            .await
            .map_err(unreachable)?;
        let there = backend.info().await.map_err(unreachable)?;
        let here = context.backend.info().await.map_err(unreachable)?;
        if !here.id.is_empty() && here.id == there.id {
            return Ok(in_use);
        }
        Ok(Self {
            backend,
            engine: Some(address.to_owned()),
        })
    }

    /// The image of a service, on this engine.
    pub(crate) async fn image(
        &self,
        context: &UnitContext,
        source: &ImageSource,
    ) -> Result<Resolved, FailureReason> {
        let Some(engine) = &self.engine else {
            let resolved = images::resolve(context, source).await?;
            self.require(&resolved).await?;
            return Ok(resolved);
        };
        match source {
            ImageSource::Name(name) => {
                let name = images::text(context, name)?;
                images::resolve(&self.elsewhere(context), &named(name)).await
            }
            ImageSource::Step(_) => {
                let built = images::resolve(context, source).await?;
                if let Some(image) = self.find(&built.image.id).await? {
                    return Ok(Resolved { image, ..built });
                }
                let Some(digest) = pushed(context, source) else {
                    return Err(absent(&built.shown, engine));
                };
                let pulled = images::resolve(&self.elsewhere(context), &named(digest)).await?;
                if !pulled.image.is_same(&built.image) {
                    return Err(FailureReason::Surroundings(
                        Trouble::new(format!(
                            "{engine} pulled another image than {}",
                            built.shown
                        ))
                        .cause(format!(
                            "{} is not {}",
                            pulled.image.short(),
                            built.image.short()
                        )),
                    ));
                }
                Ok(Resolved {
                    shown: built.shown,
                    built: true,
                    ..pulled
                })
            }
        }
    }

    /// The image of a service as far as it is known before a run. Nothing is pulled, and what is built
    /// on another engine counts as known by its config.
    pub(crate) async fn known(
        &self,
        context: &UnitContext,
        source: &ImageSource,
    ) -> Option<Resolved> {
        if self.engine.is_none() {
            let resolved = images::known(context, source).await?;
            return self.require(&resolved).await.is_ok().then_some(resolved);
        }
        match source {
            ImageSource::Name(name) => {
                let name = images::text(context, name).ok()?;
                images::known(&self.elsewhere(context), &named(name)).await
            }
            ImageSource::Step(_) => {
                let built = images::known(context, source).await?;
                built.image.config_digest.is_some().then_some(built)
            }
        }
    }

    /// A context whose images are this engine's.
    fn elsewhere(&self, context: &UnitContext) -> UnitContext {
        UnitContext {
            backend: Arc::clone(&self.backend),
            made: Arc::new(context.made.elsewhere(self.engine.clone())),
            ..context.clone()
        }
    }

    async fn require(&self, resolved: &Resolved) -> Result<(), FailureReason> {
        match self.find(&resolved.image.id).await? {
            Some(_) => Ok(()),
            None => Err(FailureReason::Surroundings(
                Trouble::new(format!("{} is no longer on the engine", resolved.shown))
                    .cause("someone removed the image since this run made or found it")
                    .hint("run again"),
            )),
        }
    }

    async fn find(&self, id: &str) -> Result<Option<ImageIdentity>, FailureReason> {
        self.backend.inspect_image(id).await.map_err(|error| {
            FailureReason::Surroundings(
                error.trouble(format!("the image {id} cannot be looked up")),
            )
        })
    }
}

fn named(name: String) -> ImageSource {
    ImageSource::Name(Text::literal(name))
}

/// `repository@sha256:...` of an image that a step of this run pushed.
fn pushed(context: &UnitContext, source: &ImageSource) -> Option<String> {
    context.plan.steps.iter().find_map(|step| match &step.unit {
        Unit::Push(push) if push.image == *source => context.made.get(&step.id)?.digest,
        Unit::Push(_) | Unit::Container(_) | Unit::Build(_) | Unit::Release(_) => None,
    })
}

fn absent(image: &str, engine: &str) -> FailureReason {
    FailureReason::Surroundings(
        Trouble::new(format!("{image} is not on the engine {engine}"))
            .cause("it was built on another engine, and no step of this run pushed it")
            .hint("push it in a step that this one needs; the engine then pulls it by its digest"),
    )
}
