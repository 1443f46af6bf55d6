//! Runs what runs once in a release. A hook may be in the middle of a migration, so it is not
//! interrupted lightly: the first Ctrl-C waits for its end, the second kills it, and one whose hoist
//! was killed runs on and is waited for by the next command.

use std::time::Duration;

use futures_util::StreamExt as _;
use hoist_model::unit::Restart;
use tokio::time::{Instant, sleep};

use super::{Failure, Performer, failed};
use crate::backend::{Attachment, Backend, BackendError};
use crate::context::Stop;
use crate::labels;
use crate::release::make;
use crate::release::names::{HOOK, Place};
use crate::release::secrets;

/// Between two looks at a hook whose end is waited for.
const PAUSE: Duration = Duration::from_millis(200);
/// How long one is waited for that an earlier command left.
const LEFT: Duration = Duration::from_secs(10 * 60);

impl Performer<'_> {
    pub(super) async fn run_hook(&mut self, name: &str) -> Result<(), Failure> {
        let Some(hook) = self.hooks.get(name) else {
            return Ok(());
        };
        self.context.phase(format!("running {name}"));
        let failed = |error| failed(format!("running {name}"))(error);
        let container = self.place.hook(name, self.sequence);
        let volume = format!("{container}-secrets");
        let prepared = &hook.service;
        let unit = prepared.unit;
        let networks = &self.progress.networks;
        let mut spec = make::spec(prepared, self.place, &Default::default(), networks);
        spec.name.clone_from(&container);
        if let Attachment::Networks(endpoints) = &mut spec.network {
            endpoints
                .iter_mut()
                .for_each(|endpoint| endpoint.aliases.clear());
        }
        spec.restart = Restart::No;
        spec.labels.extend(self.place.labels(HOOK));
        spec.labels.insert(labels::NAME.to_owned(), name.to_owned());
        spec.labels
            .insert(labels::SEQUENCE.to_owned(), self.sequence.to_string());
        let backend = self.target.backend.clone();
        if !prepared.values.is_empty() {
            let all = self.place.labels(HOOK);
            backend.create_volume(&volume, &all).await.map_err(failed)?;
            let (image, user) = (&prepared.image.image.id, unit.user.as_deref());
            let filled = secrets::fill(
                self.context,
                backend.as_ref(),
                &volume,
                image,
                user,
                &unit.secrets,
            );
            filled.await.map_err(failed)?;
            spec.mounts.push(secrets::mount(&volume, true));
        }
        let result = self.end_of(name, &spec, hook.timeout).await;
        let removed = backend.remove_container(&container).await;
        let removed = removed.and(backend.remove_volume(&volume).await);
        if let Err(error) = removed {
            let message = format!("what {name} ran in is left over: {error}");
            self.context.warn(message, None);
        }
        if result.is_ok() {
            self.progress.hooks.push(name.to_owned());
        }
        result
    }

    async fn end_of(
        &mut self,
        name: &str,
        spec: &crate::backend::ContainerSpec,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let failed = |error| failed(format!("running {name}"))(error);
        let backend = self.target.backend.clone();
        let started = Instant::now();
        let id = backend.create_container(spec).await.map_err(failed)?;
        let mut output = backend.attach(&id).await.map_err(failed)?;
        backend.start_container(&id).await.map_err(failed)?;
        let ended = async {
            while let Some(Ok(chunk)) = output.next().await {
                self.context.output.write(chunk.stream, &chunk.bytes).await;
            }
            backend.wait_container(&id).await
        };
        let code = tokio::select! {
            ended = ended => ended.map_err(failed)?,
            () = sleep(timeout) => {
                return Err(Failure::Hook(format!("{name} did not end within {timeout:?}")));
            }
            _ = self.context.stopped(Stop::Kill) => return Err(Failure::Stopped),
        };
        self.extend_deadline(started.elapsed());
        match code {
            0 => Ok(()),
            code => Err(Failure::Hook(format!("{name} exited with code {code}"))),
        }
    }
}

/// Waits for hooks that an earlier command left running, and takes away what is left of them. Gives
/// the names of those that were there.
pub(crate) async fn left_over(
    backend: &dyn Backend,
    place: &Place,
) -> Result<Vec<String>, BackendError> {
    let mut names = Vec::new();
    for found in backend.list_containers(&place.filter(HOOK)).await? {
        let until = Instant::now() + LEFT;
        while Instant::now() < until {
            let info = backend.inspect_container(&found.id).await?;
            if !info.is_some_and(|info| info.is_running()) {
                break;
            }
            sleep(PAUSE).await;
        }
        backend.remove_container(&found.id).await?;
        names.extend(found.labels.get(labels::NAME).cloned());
    }
    for volume in backend.list_volumes(&place.filter(HOOK)).await? {
        backend.remove_volume(&volume.name).await?;
    }
    Ok(names)
}
