//! Takes objects off an engine by their labels: containers, then networks and volumes, until none
//! of them is left. It touches only what the engine lists under a label of hoist's and the caller
//! means, and refuses to judge whose an object is.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use hoist_model::ids::RunId;

use crate::backend::{Backend, BackendError, BackendErrorKind, LabelFilter, Labels};
use crate::labels;

/// Removals that go on at once; see [`crate::chores`] for why these are many.
const AT_ONCE: usize = 16;
/// Between two listings. What was being created when its owner died may appear a little later.
const PAUSE: Duration = Duration::from_millis(250);

/// Objects found on an engine: IDs of containers and networks, names of volumes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    containers: Vec<String>,
    networks: Vec<String>,
    volumes: Vec<String>,
}

impl Found {
    /// Lists what carries the labels and is meant.
    pub(crate) async fn list(
        backend: &dyn Backend,
        filter: LabelFilter<'_>,
        meant: impl Fn(&Labels) -> bool,
    ) -> Result<Self, BackendError> {
        let (containers, networks, volumes) = tokio::try_join!(
            backend.list_containers(filter),
            backend.list_networks(filter),
            backend.list_volumes(filter),
        )?;
        let containers = containers.into_iter().filter(|found| meant(&found.labels));
        let networks = networks.into_iter().filter(|found| meant(&found.labels));
        let volumes = volumes.into_iter().filter(|found| meant(&found.labels));
        Ok(Self {
            containers: containers.map(|found| found.id).collect(),
            networks: networks.map(|found| found.id).collect(),
            volumes: volumes.map(|found| found.name).collect(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.networks.is_empty() && self.volumes.is_empty()
    }

    /// Removes them, and gives the first error that is more than a sign of bad timing.
    async fn remove(&self, backend: &dyn Backend) -> Result<(), BackendError> {
        each(&self.containers, |id| backend.remove_container(id)).await?;
        each(&self.networks, |id| backend.remove_network(id)).await?;
        each(&self.volumes, |name| backend.remove_volume(name)).await
    }
}

async fn each<'a, F>(names: &'a [String], remove: impl Fn(&'a str) -> F) -> Result<(), BackendError>
where
    F: Future<Output = Result<(), BackendError>>,
{
    let removals = stream::iter(names)
        .map(|name| remove(name))
        .buffer_unordered(AT_ONCE);
    let results: Vec<_> = removals.collect().await;
    results
        .into_iter()
        .find(|result| result.as_ref().is_err_and(|e| !is_timing(e)))
        .unwrap_or(Ok(()))
}

/// Somebody else is removing it, or what uses it is not gone yet: the next round tells.
fn is_timing(error: &BackendError) -> bool {
    matches!(
        error.kind,
        BackendErrorKind::Conflict | BackendErrorKind::NotFound
    )
}

/// Removes what carries the labels and is meant until so many listings in a row are empty. Has no
/// time limit: the caller bounds it.
///
/// # Errors
/// The engine's, when it refuses three times in a row.
pub(crate) async fn remove_until_empty(
    backend: &dyn Backend,
    filter: LabelFilter<'_>,
    meant: impl Fn(&Labels) -> bool,
    listings: usize,
) -> Result<(), BackendError> {
    let (mut empty, mut refused) = (0, 0);
    loop {
        let round = match Found::list(backend, filter, &meant).await {
            Ok(found) if found.is_empty() => {
                empty += 1;
                if empty >= listings {
                    return Ok(());
                }
                Ok(())
            }
            Ok(found) => {
                empty = 0;
                found.remove(backend).await
            }
            Err(error) => Err(error),
        };
        match round {
            Ok(()) => refused = 0,
            Err(error) => {
                refused += 1;
                if refused >= 3 {
                    return Err(error);
                }
            }
        }
        if empty > 0 || refused > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Removes what a run has on an engine until so many listings in a row are empty.
///
/// # Errors
/// As for [`remove_until_empty`].
pub(crate) async fn remove_run(
    backend: &dyn Backend,
    run: RunId,
    listings: usize,
) -> Result<(), BackendError> {
    let run = run.to_string();
    let filter = [(labels::RUN, Some(run.as_str()))];
    let meant = |found: &Labels| found.get(labels::RUN) == Some(&run);
    remove_until_empty(backend, &filter, meant, listings).await
}

#[cfg(test)]
mod tests {
    use hoist_model::ids::RunId;
    use uuid::Uuid;

    use super::*;
    use crate::backend::{ContainerSpec, Mount, NetworkSpec};
    use crate::fake::{FakeBackend, Program, tests::spec};

    const RUN: RunId = RunId(Uuid::max());

    fn mine() -> Labels {
        Labels::from([(labels::RUN.to_owned(), RUN.to_string())])
    }

    async fn fill(engine: &FakeBackend) {
        let others = Labels::from([(labels::RUN.to_owned(), Uuid::nil().to_string())]);
        engine.add_image("base");
        engine.program(|_| true, Program::forever());
        for (name, labels) in [
            ("mine", mine()),
            ("other", others),
            ("foreign", Labels::new()),
        ] {
            engine.create_volume(name, &labels).await.unwrap();
            let network = NetworkSpec {
                name: name.into(),
                labels: labels.clone(),
                ..Default::default()
            };
            engine.create_network(&network).await.unwrap();
            let mount = Mount {
                volume: name.into(),
                target: "/v".into(),
                read_only: true,
                populate: false,
            };
            let spec = ContainerSpec {
                labels,
                mounts: vec![mount],
                ..spec(name)
            };
            let id = engine.create_container(&spec).await.unwrap();
            engine.start_container(&id).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_of_the_run_goes_and_nothing_else() {
        let engine = FakeBackend::new();
        fill(&engine).await;
        remove_run(&engine, RUN, 1).await.unwrap();
        let left = ["other", "foreign"];
        assert_eq!(
            engine
                .containers()
                .iter()
                .map(|c| c.name.clone())
                .collect::<Vec<_>>(),
            left
        );
        assert_eq!(
            engine
                .networks()
                .iter()
                .map(|n| n.name.clone())
                .collect::<Vec<_>>(),
            left
        );
        assert_eq!(
            engine
                .volumes()
                .iter()
                .map(|v| v.name.clone())
                .collect::<Vec<_>>(),
            ["foreign", "other"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_appears_between_two_listings_goes_too() {
        let engine = FakeBackend::new();
        let late = engine.clone();
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE / 2).await;
            late.create_volume("late", &mine()).await
        });
        remove_run(&engine, RUN, 2).await.unwrap();
        assert!(engine.volumes().is_empty());
        assert!(engine.calls().contains(&"remove_volume late".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_away_for_a_moment_is_asked_again() {
        let engine = FakeBackend::new();
        fill(&engine).await;
        let broken = BackendError::new(BackendErrorKind::Broken, "reset");
        engine.fail_next("list_networks", broken.clone());
        engine.fail_next("remove_container", broken);
        remove_run(&engine, RUN, 1).await.unwrap();
        engine.go_away();
        let error = remove_run(&engine, RUN, 1).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unreachable);
    }
}
