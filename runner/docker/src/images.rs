//! Images: looking, names, and the ways in and out of the engine. It refuses to resolve anything
//! that the engine does not know.

use bollard::models::{CreateImageInfo, ImageInspect, ImageSummary, PushImageInfo};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptionsBuilder, ListImagesOptionsBuilder,
    PushImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use hoist_engine::backend::{
    BackendError, BackendErrorKind as Kind, ByteStream, ImageInfo, LabelFilter, Login,
};
use hoist_model::image::ImageIdentity;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::DockerBackend;
use crate::call::{self, CHANGE, IDLE, LOOK, Pulse};
use crate::containers::{has_all, label_filters};
use crate::errors::Result;
use crate::names;
use crate::streams;

/// What some engines list for an image without a name.
const NAMELESS: &str = "<none>:<none>";

impl DockerBackend {
    pub(crate) async fn image_inspect(&self, reference: &str) -> Result<Option<ImageIdentity>> {
        let reference = names::image(reference)?;
        let answer = call::within(LOOK, self.docker.inspect_image(reference)).await;
        Ok(call::found(answer)?.map(identity))
    }

    pub(crate) async fn image_config_user(&self, image: &str) -> Result<Option<String>> {
        let image = names::image(image)?;
        let found = call::within(LOOK, self.docker.inspect_image(image)).await?;
        Ok(Some(
            found
                .config
                .and_then(|config| config.user)
                .unwrap_or_default(),
        ))
    }

    pub(crate) async fn image_config_working_dir(&self, image: &str) -> Result<String> {
        let image = names::image(image)?;
        let found = call::within(LOOK, self.docker.inspect_image(image)).await?;
        let folder = found.config.and_then(|config| config.working_dir);
        Ok(folder.unwrap_or_default())
    }

    pub(crate) async fn image_pull(
        &self,
        reference: &str,
        logins: &[Login],
        progress: mpsc::Sender<Bytes>,
    ) -> Result<()> {
        let reference = names::image(reference)?;
        let (name, tag) = names::split(reference);
        let credentials = self
            .auth
            .credentials(names::registry(reference), logins)
            .await?;
        let options = CreateImageOptionsBuilder::default()
            .from_image(name)
            .tag(tag)
            .build();
        let steps = self.docker.create_image(Some(options), None, credentials);
        let mut steps = call::lively(IDLE, steps);
        while let Some(step) = steps.next().await {
            tell(&progress, pull_line(step?)).await;
        }
        Ok(())
    }

    pub(crate) async fn image_tag(&self, image: &str, tag: &str) -> Result<()> {
        let image = names::image(image)?;
        let (repo, tag) = names::split(names::image(tag)?);
        let options = TagImageOptionsBuilder::default()
            .repo(repo)
            .tag(tag)
            .build();
        call::within(LOOK, self.docker.tag_image(image, Some(options))).await
    }

    pub(crate) async fn image_untag(&self, tag: &str) -> Result<()> {
        let tag = names::image(tag)?;
        let options = RemoveImageOptionsBuilder::default().build();
        let call = self.docker.remove_image(tag, Some(options), None);
        call::found(call::within(CHANGE, call).await).map(|_| ())
    }

    pub(crate) async fn image_list(&self, labels: LabelFilter<'_>) -> Result<Vec<ImageInfo>> {
        let options = ListImagesOptionsBuilder::default()
            .filters(&label_filters(labels))
            .shared_size(true)
            .build();
        let listed = call::within(CHANGE, self.docker.list_images(Some(options))).await?;
        let listed = listed.into_iter().map(listed_image);
        Ok(listed
            .filter(|image| has_all(&image.labels, labels))
            .collect())
    }

    pub(crate) async fn image_delete(&self, id: &str) -> Result<()> {
        let id = names::image(id)?;
        let found = call::within(LOOK, self.docker.inspect_image(id)).await;
        let Some(image) = call::found(found)? else {
            return Ok(());
        };
        // Forced, an engine would take the image from containers, too.
        for tag in image.repo_tags.unwrap_or_default() {
            self.image_untag(&tag).await?;
        }
        self.image_untag(id).await
    }

    pub(crate) async fn image_export(&self, image: &str) -> Result<ByteStream> {
        let image = names::image(image)?;
        streams::opened(call::lively(IDLE, self.docker.export_image(image))).await
    }

    pub(crate) async fn image_load(&self, archive: ByteStream) -> Result<String> {
        let pulse = Pulse::default();
        let (body, trouble) = streams::outgoing(archive, pulse.clone());
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let body = bollard::body_try_stream(body);
        let said = self.docker.import_image(options, body, None);
        let said = said.try_filter_map(|step| std::future::ready(Ok(step.stream)));
        let answer = pulse.within(IDLE, said.try_collect::<String>()).await;
        // A stream that broke off is the reason for whatever the engine then said.
        let answer = trouble.take().map_or(answer, Err)?;
        loaded(&answer).map(str::to_owned).ok_or_else(|| {
            let message = format!("the engine does not say what it loaded: {}", answer.trim());
            BackendError::new(Kind::Engine, message)
        })
    }

    pub(crate) async fn image_content_of(&self, image: &str) -> Result<Value> {
        let image = names::image(image)?;
        let found = call::within(LOOK, self.docker.inspect_image(image)).await?;
        Ok(content(found))
    }

    pub(crate) async fn image_push(
        &self,
        tag: &str,
        logins: &[Login],
        progress: mpsc::Sender<Bytes>,
    ) -> Result<String> {
        let reference = names::image(tag)?;
        let (name, tag) = names::split(reference);
        let credentials = self
            .auth
            .credentials(names::registry(reference), logins)
            .await?;
        let options = PushImageOptionsBuilder::default().tag(tag).build();
        let steps = self.docker.push_image(name, Some(options), credentials);
        let mut steps = call::lively(IDLE, steps);
        let mut digest = None;
        while let Some(step) = steps.next().await {
            let step = step?;
            digest = step.status.as_deref().and_then(pushed_digest).or(digest);
            tell(&progress, push_line(step)).await;
        }
        match digest {
            Some(digest) => Ok(digest),
            None => self.repository_digest(reference, name).await,
        }
    }

    /// The digest by which the engine knows the image in that repository.
    async fn repository_digest(&self, reference: &str, name: &str) -> Result<String> {
        let image = call::within(LOOK, self.docker.inspect_image(reference)).await?;
        let known = image.repo_digests.unwrap_or_default();
        known
            .iter()
            .filter_map(|known| known.split_once('@'))
            .find(|(repository, _)| *repository == name)
            .map(|(_, digest)| digest.to_owned())
            .ok_or_else(|| {
                BackendError::new(Kind::Engine, format!("no digest came back for {reference}"))
            })
    }
}

/// An inspected image. On engines that keep images themselves its ID is its config's digest.
fn identity(image: ImageInspect) -> ImageIdentity {
    let id = image.id.unwrap_or_default();
    let in_containerd = image.descriptor.is_some();
    ImageIdentity {
        config_digest: (!in_containerd).then(|| id.clone()),
        id,
        tags: image.repo_tags.unwrap_or_default(),
        size: image
            .size
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or_default(),
    }
}

/// What an image consists of, without what an engine makes of it.
fn content(image: ImageInspect) -> Value {
    let settings = serde_json::to_value(image.config.unwrap_or_default());
    let mut settings = settings.unwrap_or_default();
    if let Some(settings) = settings.as_object_mut() {
        // Some engines leave out what is empty.
        settings.retain(|_, value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            Value::Bool(true) | Value::Number(_) => true,
        });
    }
    json!({
        "platform": [image.os, image.architecture],
        "layers": image.root_fs.and_then(|root| root.layers).unwrap_or_default(),
        "settings": settings,
    })
}

/// The image in the engine's last word on an archive: `Loaded image: NAME`, or, of one without a
/// name, `Loaded image ID: sha256:...`.
fn loaded(said: &str) -> Option<&str> {
    let mut lines = said.lines().rev();
    lines.find_map(|line| {
        let line = line.strip_prefix("Loaded image")?;
        let line = line.strip_prefix(" ID").unwrap_or(line);
        line.strip_prefix(": ").map(str::trim)
    })
}

fn listed_image(image: ImageSummary) -> ImageInfo {
    let own = match image.shared_size {
        // Where the engine did not work it out.
        ..0 => image.size,
        shared => image.size.saturating_sub(shared),
    };
    ImageInfo {
        id: image.id,
        tags: image
            .repo_tags
            .into_iter()
            .filter(|tag| tag != NAMELESS)
            .collect(),
        labels: image.labels.into_iter().collect(),
        created: image.created,
        bytes: u64::try_from(own).unwrap_or_default(),
    }
}

/// Sends a line to whoever watches; when no one does any more, the work goes on.
async fn tell(progress: &mpsc::Sender<Bytes>, line: Option<String>) {
    if let Some(mut line) = line {
        line.push('\n');
        progress.send(Bytes::from(line)).await.ok();
    }
}

/// The digest in the engine's last word on a push: `TAG: digest: sha256:... size: N`.
fn pushed_digest(status: &str) -> Option<String> {
    let (_, rest) = status.split_once("digest: ")?;
    let digest = rest.split_whitespace().next()?;
    digest.starts_with("sha256:").then(|| digest.to_owned())
}

fn pull_line(step: CreateImageInfo) -> Option<String> {
    line(
        step.id,
        step.status?,
        step.progress_detail
            .is_some_and(|detail| detail.total.is_some()),
    )
}

fn push_line(step: PushImageInfo) -> Option<String> {
    line(
        None,
        step.status?,
        step.progress_detail
            .is_some_and(|detail| detail.total.is_some()),
    )
}

/// A line for people; none for what comes many times a second.
fn line(id: Option<String>, status: String, counting: bool) -> Option<String> {
    if counting || status.is_empty() {
        return None;
    }
    Some(match id {
        Some(id) => format!("{id}: {status}"),
        None => status,
    })
}

#[cfg(test)]
mod tests {
    use bollard::models::{ImageConfig, ImageInspectRootFs};

    use super::*;

    #[test]
    fn the_last_word_on_an_archive_names_the_image() {
        for (said, image) in [
            ("Loaded image ID: sha256:00ff\n", Some("sha256:00ff")),
            ("Loading layer\nLoaded image: app:1\n", Some("app:1")),
            (
                "Loaded image: localhost:5000/app:1",
                Some("localhost:5000/app:1"),
            ),
            ("unexpected EOF", None),
            ("", None),
        ] {
            assert_eq!(loaded(said), image, "{said}");
        }
    }

    #[test]
    fn what_one_engine_leaves_out_and_another_says_empty_is_the_same() {
        let image = |config| ImageInspect {
            config: Some(config),
            os: Some("linux".to_owned()),
            root_fs: Some(ImageInspectRootFs {
                typ: "layers".to_owned(),
                layers: Some(vec!["sha256:1".to_owned()]),
            }),
            ..ImageInspect::default()
        };
        let with = |user: &str| ImageConfig {
            user: Some(user.to_owned()),
            cmd: Some(vec!["sh".to_owned()]),
            env: Some(Vec::new()),
            ..ImageConfig::default()
        };
        let without = ImageConfig {
            cmd: Some(vec!["sh".to_owned()]),
            ..ImageConfig::default()
        };
        assert_eq!(content(image(with(""))), content(image(without.clone())));
        assert_ne!(content(image(with("1000"))), content(image(without)));
    }
}
