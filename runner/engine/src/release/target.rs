//! The engine that a release goes to, and the images there. An image is deployed only if it is the
//! very one that was built, recorded or named. Where the engine has it not, it gets there through a
//! registry, or else from an engine that has it. It refuses names that mean another image there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use hoist_model::image::{ImageIdentity, ImageSource};
use hoist_model::reason::{FailureReason, Trouble};
use hoist_model::text::Text;
use hoist_model::unit::Unit;

use super::journal::ServiceRecord;
use super::send::Sending;
use crate::backend::{Backend, BackendError, BackendErrorKind};
use crate::context::{Made, UnitContext};
use crate::images::{self, ImageCache, Resolved};
use crate::unit::tags::local_name;

/// The engine that a release goes to.
pub(crate) struct Target {
    pub(crate) backend: Arc<dyn Backend>,
    /// Its address for the reaper; absent for the engine in use.
    pub(crate) engine: Option<String>,
    /// What names stand for there.
    made: Arc<Made>,
    /// What was looked for there and found or brought, by the ID that it was known by.
    brought: ImageCache,
}

/// An image that is to be there as it is, whatever names stand for.
struct Exact {
    image: ImageIdentity,
    /// For messages.
    shown: String,
    /// `repository@sha256:...`, where a registry has it.
    digest: Option<String>,
    /// Another engine, which has it.
    from: Option<Arc<dyn Backend>>,
    /// An ID that the engine may have for it.
    known: Option<String>,
}

/// Services of a history, whose images are named by an engine's IDs.
#[derive(Default)]
pub(crate) struct Origin {
    pub(crate) services: Vec<ServiceRecord>,
    /// The engine that has them, where that is another one.
    pub(crate) from: Option<Arc<dyn Backend>>,
    /// The engine's IDs of what was deployed before, by the digests of their configs.
    pub(crate) before: BTreeMap<String, String>,
}

impl Origin {
    fn record(&self, id: &str) -> Option<&ServiceRecord> {
        self.services.iter().find(|record| record.image == id)
    }

    fn exact(&self, id: &str) -> Option<Exact> {
        let record = self.record(id)?;
        Some(Exact {
            image: ImageIdentity {
                id: record.image.clone(),
                config_digest: record.config_digest.clone(),
                tags: Vec::new(),
                size: 0,
            },
            shown: record.shown.clone(),
            digest: record.repo_digest.clone(),
            from: self.from.clone(),
            known: record
                .config_digest
                .as_ref()
                .and_then(|digest| self.before.get(digest))
                .cloned(),
        })
    }

    /// `repository@sha256:...` of a service's image, where a registry has it that other engines
    /// reach too.
    pub(crate) fn digest(&self, context: &UnitContext, source: &ImageSource) -> Option<String> {
        let digest = match source {
            ImageSource::Step(_) => pushed(context, source),
            ImageSource::Name(name) => {
                let name = images::text(context, name).ok()?;
                match self.record(&name) {
                    Some(record) => record.repo_digest.clone(),
                    None => name.contains("@sha256:").then_some(name),
                }
            }
        };
        digest.filter(|digest| !is_of_own_host(digest))
    }
}

impl Target {
    /// Connects to an environment's engine.
    pub(crate) async fn connect(
        context: &UnitContext,
        engine: Option<&str>,
    ) -> Result<Self, FailureReason> {
        let in_use = || Self {
            backend: Arc::clone(&context.backend),
            engine: None,
            made: Arc::clone(&context.made),
            brought: ImageCache::default(),
        };
        let Some(address) = engine else {
            return Ok(in_use());
        };
        let unreachable = |error: BackendError| {
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
        if here.is_that_of(&there) {
            return Ok(in_use());
        }
        let engine = Some(address.to_owned());
        Ok(Self {
            backend,
            made: Arc::new(context.made.elsewhere(engine.clone())),
            engine,
            brought: ImageCache::default(),
        })
    }

    /// The image of a service, on this engine.
    pub(crate) async fn image(
        &self,
        context: &UnitContext,
        source: &ImageSource,
        origin: &Origin,
    ) -> Result<Resolved, FailureReason> {
        match source {
            ImageSource::Name(name) => {
                let name = images::text(context, name)?;
                if let Some(exact) = origin.exact(&name) {
                    return self.exact(context, exact).await;
                }
                self.require_meaning(&name).await?;
                images::resolve(&self.there(context), &named(name)).await
            }
            ImageSource::Step(_) => {
                let built = images::resolve(context, source).await?;
                let exact = Exact {
                    image: built.image,
                    shown: built.shown,
                    digest: pushed(context, source),
                    from: self.engine.as_ref().map(|_| Arc::clone(&context.backend)),
                    known: None,
                };
                self.exact(context, exact).await
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
            let there = self.backend.inspect_image(&resolved.image.id).await;
            return there.ok()?.map(|_| resolved);
        }
        match source {
            ImageSource::Name(name) => {
                let name = images::text(context, name).ok()?;
                images::known(&self.there(context), &named(name)).await
            }
            ImageSource::Step(_) => {
                let built = images::known(context, source).await?;
                built.image.config_digest.is_some().then_some(built)
            }
        }
    }

    /// It is the engine of another target.
    pub(crate) async fn is_that_of(&self, other: &Self) -> bool {
        let (own, other) = tokio::join!(self.backend.info(), other.backend.info());
        matches!((own, other), (Ok(own), Ok(other)) if own.is_that_of(&other))
    }

    async fn exact(&self, context: &UnitContext, exact: Exact) -> Result<Resolved, FailureReason> {
        let cell = self.brought.cell(&exact.image.id);
        let obtain = || self.obtain(context, &exact);
        let image = cell.get_or_try_init(obtain).await?.clone();
        // Some engines do not tell it, and it is the same image.
        let config_digest = image.config_digest.or(exact.image.config_digest);
        Ok(Resolved {
            image: ImageIdentity {
                config_digest,
                ..image
            },
            shown: exact.shown,
            built: true,
        })
    }

    async fn obtain(
        &self,
        context: &UnitContext,
        exact: &Exact,
    ) -> Result<ImageIdentity, FailureReason> {
        let kept = local_name(&context.plan.name, &exact.image);
        if let Some(image) = self.find(exact, &kept).await? {
            return Ok(image);
        }
        if let Some(digest) = self.reachable(exact.digest.as_ref()).await {
            let pulled = images::resolve(&self.there(context), &named(digest)).await?;
            return match self.is(&pulled.image, exact).await? {
                true => Ok(pulled.image),
                false => Err(self.another("pulled", &pulled.image, exact)),
            };
        }
        let Some(from) = &exact.from else {
            return Err(gone(&exact.shown));
        };
        let sending = Sending {
            from: from.as_ref(),
            to: self.backend.as_ref(),
            image: &exact.image,
            shown: &exact.shown,
            engine: self.shown(),
        };
        let arrived = sending.send(context).await?;
        if !self.is(&arrived.image, exact).await? {
            let another = self.another("took in", &arrived.image, exact);
            return Err(arrived.discard(context, another).await);
        }
        // A name by which it is found again, whatever ID this engine gives it, and `gc` knows it.
        let tagged = self.backend.tag_image(&arrived.image.id, &kept).await;
        tagged.map_err(|error| {
            let what = format!("{} cannot be kept on {}", exact.shown, self.shown());
            FailureReason::Surroundings(error.trouble(what))
        })?;
        Ok(arrived.image)
    }

    /// The image, if this engine has it already.
    async fn find(
        &self,
        exact: &Exact,
        kept: &str,
    ) -> Result<Option<ImageIdentity>, FailureReason> {
        let wanted = &exact.image;
        let (digest, known) = (wanted.config_digest.as_deref(), exact.known.as_deref());
        for name in [Some(wanted.id.as_str()), digest, known, Some(kept)]
            .into_iter()
            .flatten()
        {
            let found = self.backend.inspect_image(name).await;
            let found = found.map_err(|error| unknown(&exact.shown, &error))?;
            if let Some(found) = found
                && self.is(&found, exact).await?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What is there is the image that is meant. Engines give one image different IDs: then its
    /// config says it, and where an engine does not tell that, all that it consists of.
    async fn is(&self, found: &ImageIdentity, exact: &Exact) -> Result<bool, FailureReason> {
        let wanted = &exact.image;
        if found.id == wanted.id {
            return Ok(true);
        }
        if let (Some(found), Some(wanted)) = (&found.config_digest, &wanted.config_digest) {
            return Ok(found == wanted);
        }
        let Some(from) = &exact.from else {
            return Ok(false);
        };
        let contents = tokio::try_join!(
            self.backend.image_content(&found.id),
            from.image_content(&wanted.id)
        );
        match contents {
            Ok((there, here)) => Ok(there == here),
            Err(error) if error.kind == BackendErrorKind::NotFound => Ok(false),
            Err(error) => Err(unknown(&exact.shown, &error)),
        }
    }

    /// A digest in a registry that this engine reaches.
    async fn reachable(&self, digest: Option<&String>) -> Option<String> {
        let digest = digest?;
        let here = !is_of_own_host(digest) || !self.is_remote().await;
        here.then(|| digest.clone())
    }

    /// A name means the same there as to whoever wrote it.
    async fn require_meaning(&self, name: &str) -> Result<(), FailureReason> {
        if !is_of_own_host(name) || !self.is_remote().await {
            return Ok(());
        }
        let engine = self.shown();
        let what = format!("the image {name} means another one to the engine {engine}");
        let trouble = Trouble::new(what)
            .cause("its registry is on the host of whoever asks for it, and that engine is on another one")
            .hint("name a registry that both reach, or a step that builds the image: then it is sent there");
        Err(FailureReason::Configuration(trouble))
    }

    /// It is another engine than the one in use, on another host perhaps.
    async fn is_remote(&self) -> bool {
        let info = self.backend.info().await;
        self.engine.is_some() && !info.is_ok_and(|info| info.is_here())
    }

    /// A context whose images are this engine's.
    fn there(&self, context: &UnitContext) -> UnitContext {
        UnitContext {
            backend: Arc::clone(&self.backend),
            made: Arc::clone(&self.made),
            ..context.clone()
        }
    }

    fn shown(&self) -> &str {
        self.engine.as_deref().unwrap_or("the engine in use")
    }

    fn another(&self, did: &str, found: &ImageIdentity, exact: &Exact) -> FailureReason {
        let what = format!("{} {did} another image than {}", self.shown(), exact.shown);
        let cause = format!("{} is not {}", found.short(), exact.image.short());
        FailureReason::Surroundings(Trouble::new(what).cause(cause))
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

/// The registry in an image's name is on the host of whoever asks for it.
fn is_of_own_host(name: &str) -> bool {
    let Some((registry, _)) = name.split_once('/') else {
        return false;
    };
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => registry.split(':').next(),
    };
    let host = host.unwrap_or_default().to_ascii_lowercase();
    let loopback = |address: IpAddr| address.is_loopback();
    host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(loopback)
}

fn unknown(image: &str, error: &BackendError) -> FailureReason {
    FailureReason::Surroundings(error.trouble(format!("the image {image} cannot be looked up")))
}

fn gone(image: &str) -> FailureReason {
    FailureReason::Surroundings(
        Trouble::new(format!("{image} is no longer on the engine"))
            .cause("someone removed the image since it was built or deployed")
            .hint("run again"),
    )
}

#[cfg(test)]
mod tests {
    use super::is_of_own_host;
    use crate::backend::EngineInfo;

    #[test]
    fn a_copied_host_has_another_engine() {
        let engine = |id: &str, host: &str| EngineInfo {
            id: id.to_owned(),
            host: host.to_owned(),
            ..EngineInfo::default()
        };
        let own = engine("A:B", "one");
        assert!(own.is_that_of(&engine("A:B", "one")));
        assert!(!own.is_that_of(&engine("A:B", "two")));
        assert!(!own.is_that_of(&engine("A:C", "one")));
        assert!(!engine("", "one").is_that_of(&engine("", "one")));
    }

    #[test]
    fn a_registry_of_the_own_host_is_told_from_others() {
        for name in [
            "localhost/app",
            "localhost:5000/app:1",
            "LOCALHOST:5000/app",
            "registry.localhost/app",
            "127.0.0.1:5000/team/app@sha256:00",
            "127.1.2.3/app",
            "[::1]:5000/app",
        ] {
            assert!(is_of_own_host(name), "{name}");
        }
        for name in [
            "app",
            "localhost",
            "library/app",
            "ghcr.io/localhost/app",
            "10.0.0.1:5000/app",
            "localhost.example/app",
        ] {
            assert!(!is_of_own_host(name), "{name}");
        }
    }
}
