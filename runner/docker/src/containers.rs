//! Containers: their life, and what the engine says of them. It refuses automatic removal, which
//! races with waiting, and everything that would weaken a container beyond its spec.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerUpdateBody, HostConfig, RestartPolicy};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder,
    RestartContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
    WaitContainerOptions,
};
use futures_util::StreamExt;
use hoist_engine::backend::{
    BackendError, BackendErrorKind as Kind, ContainerInfo, ContainerSpec, LabelFilter, Labels,
};
use hoist_model::unit::Restart;

use crate::DockerBackend;
use crate::call::{self, CHANGE, LOOK};
use crate::errors::{self, Result};
use crate::names;

pub(crate) mod create;
mod dropped;
pub(crate) mod inspect;

impl DockerBackend {
    pub(crate) async fn container_create(&self, spec: &ContainerSpec) -> Result<String> {
        let several = self.api.several_networks_at_create();
        let body = create::body(spec, several);
        let options = CreateContainerOptionsBuilder::default()
            .name(&spec.name)
            .build();
        let made = call::within(CHANGE, self.docker.create_container(Some(options), body)).await?;
        if !several && let Err(error) = self.connect_others(&made.id, spec).await {
            // Half a container is of no use, and no one else knows its ID yet.
            self.container_remove(&made.id).await.ok();
            return Err(error);
        }
        Ok(made.id)
    }

    /// Connects a created container to all of its networks but the first.
    async fn connect_others(&self, id: &str, spec: &ContainerSpec) -> Result<()> {
        for endpoint in create::endpoints(spec).iter().skip(1) {
            self.network_connect(id, endpoint).await?;
        }
        Ok(())
    }

    pub(crate) async fn container_start(&self, id: &str) -> Result<()> {
        let id = names::piece(id)?;
        let call = self
            .docker
            .start_container(id, None::<StartContainerOptions>);
        call::within(CHANGE, call).await
    }

    pub(crate) async fn container_wait(&self, id: &str) -> Result<i64> {
        let id = names::piece(id)?;
        let mut answers = self
            .docker
            .wait_container(id, None::<WaitContainerOptions>)
            .boxed();
        match answers.next().await {
            Some(Ok(answer)) => Ok(answer.status_code),
            Some(Err(Error::DockerContainerWaitError { code, error })) if error.is_empty() => {
                Ok(code)
            }
            Some(Err(Error::DockerContainerWaitError { error, .. })) => {
                Err(BackendError::new(errors::of_words(&error), error))
            }
            Some(Err(error)) => Err(errors::of(error)),
            None => Err(BackendError::new(
                Kind::Broken,
                "the engine closed the connection while the container ran",
            )),
        }
    }

    pub(crate) async fn container_stop(&self, id: &str, grace: Duration) -> Result<()> {
        let id = names::piece(id)?;
        let seconds = create::whole_seconds(grace);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let call = self.docker.stop_container(id, Some(options));
        call::within(grace.saturating_add(CHANGE), call).await
    }

    pub(crate) async fn container_stop_and_start(&self, id: &str, grace: Duration) -> Result<()> {
        let id = names::piece(id)?;
        let seconds = create::whole_seconds(grace);
        let options = RestartContainerOptionsBuilder::default().t(seconds).build();
        let call = self.docker.restart_container(id, Some(options));
        call::within(grace.saturating_add(CHANGE), call).await
    }

    pub(crate) async fn container_kill(&self, id: &str, signal: &str) -> Result<()> {
        let id = names::piece(id)?;
        let options = KillContainerOptionsBuilder::default()
            .signal(signal)
            .build();
        match call::within(LOOK, self.docker.kill_container(id, Some(options))).await {
            Err(error) if error.kind == Kind::Conflict => Ok(()),
            answer => answer,
        }
    }

    pub(crate) async fn container_rename(&self, id: &str, name: &str) -> Result<()> {
        let id = names::piece(id)?;
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        call::within(LOOK, self.docker.rename_container(id, options)).await
    }

    pub(crate) async fn container_restart(&self, id: &str, restart: Restart) -> Result<()> {
        let id = names::piece(id)?;
        let policy = RestartPolicy {
            name: Some(create::restart_name(restart)),
            maximum_retry_count: None,
        };
        let body = ContainerUpdateBody {
            restart_policy: Some(policy),
            ..ContainerUpdateBody::default()
        };
        let answer = call::within(LOOK, self.docker.update_container(id, body)).await;
        answer.map_err(|error| match error.kind {
            Kind::NotFound if self.api.podman => BackendError::new(
                Kind::Unsupported,
                "this version of Podman cannot change what happens when a container exits",
            ),
            _ => error,
        })
    }

    pub(crate) async fn container_remove(&self, id: &str) -> Result<()> {
        let id = names::piece(id)?;
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        let call = self.docker.remove_container(id, Some(options));
        match call::within(CHANGE, call).await {
            // Someone else is at it already.
            Err(error) if being_removed(&error) => Ok(()),
            answer => call::gone_is_fine(answer),
        }
    }

    pub(crate) async fn container_inspect(&self, id: &str) -> Result<Option<ContainerInfo>> {
        let id = names::piece(id)?;
        let call = self
            .docker
            .inspect_container(id, None::<InspectContainerOptions>);
        Ok(call::found(call::within(LOOK, call).await)?.map(inspect::inspected))
    }

    pub(crate) async fn container_dropped_bounds(
        &self,
        id: &str,
        spec: &ContainerSpec,
    ) -> Result<Vec<String>> {
        // Docker takes any word for a user namespace and knows only the host's.
        let userns = spec.security.userns.is_some() && !self.api.podman;
        let userns = userns.then(|| "userns_mode".to_owned());
        let wanted = create::body(spec, false).host_config.unwrap_or_default();
        if dropped::between(&wanted, &HostConfig::default()).is_empty() {
            return Ok(userns.into_iter().collect());
        }
        let id = names::piece(id)?;
        let call = self
            .docker
            .inspect_container(id, None::<InspectContainerOptions>);
        let has = call::within(LOOK, call).await?.host_config;
        let dropped = dropped::between(&wanted, &has.unwrap_or_default());
        Ok(dropped.into_iter().chain(userns).collect())
    }

    pub(crate) async fn container_list(
        &self,
        labels: LabelFilter<'_>,
    ) -> Result<Vec<ContainerInfo>> {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&label_filters(labels))
            .build();
        let listed = call::within(LOOK, self.docker.list_containers(Some(options))).await?;
        let listed = listed.into_iter().map(inspect::listed);
        Ok(listed
            .filter(|container| has_all(&container.labels, labels))
            .collect())
    }
}

fn being_removed(error: &BackendError) -> bool {
    error.kind == Kind::Conflict && error.message.contains("already in progress")
}

/// Labels as the engine filters by them.
pub(crate) fn label_filters(labels: LabelFilter<'_>) -> HashMap<String, Vec<String>> {
    let terms: Vec<String> = labels
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => (*name).to_owned(),
        })
        .collect();
    if terms.is_empty() {
        HashMap::new()
    } else {
        HashMap::from([("label".to_owned(), terms)])
    }
}

/// Whether an object has all of these labels. Some versions of Podman list what has any of them,
/// and lists are what is removed by.
pub(crate) fn has_all(labels: &Labels, filter: LabelFilter<'_>) -> bool {
    filter.iter().all(|(name, value)| {
        let found = labels.get(*name);
        found.is_some() && (value.is_none() || found.map(String::as_str) == *value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_labels_count() {
        let labels = Labels::from([("a".to_owned(), "1".to_owned())]);
        for (filter, has) in [
            (vec![], true),
            (vec![("a", None)], true),
            (vec![("a", Some("1"))], true),
            (vec![("a", Some("2"))], false),
            (vec![("a", Some("1")), ("b", None)], false),
        ] {
            assert_eq!(has_all(&labels, &filter), has, "{filter:?}");
        }
        assert_eq!(
            label_filters(&[("a", None), ("b", Some("c"))])["label"],
            ["a", "b=c"]
        );
        assert!(label_filters(&[]).is_empty());
    }
}
