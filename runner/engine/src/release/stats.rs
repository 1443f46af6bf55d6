//! What the containers of an environment use. It refuses to average: two looks make a share.

use futures_util::future::try_join_all;
use hoist_model::reason::Trouble;
use hoist_model::seen::{Instance, Usage};

use super::instances::{Found, find};
use super::names::Place;
use crate::backend::{Backend, BackendError};

/// What each running container of an environment uses at this moment: services and what leads to
/// them.
///
/// # Errors
/// When the engine does not say.
pub async fn usage(
    backend: &dyn Backend,
    project: &str,
    environment: &str,
) -> Result<Vec<(Instance, Usage)>, Trouble> {
    let failed = |error: BackendError| error.trouble("what containers use cannot be read");
    let place = Place::new(project, environment);
    let mut found = find(backend, &place).await.map_err(failed)?;
    found.retain(|found| found.serves() && found.info.is_running());
    let ids = found.iter().map(|found| backend.usage(&found.info.id));
    let used = try_join_all(ids).await.map_err(failed)?;
    let instances = found.into_iter().map(|Found { instance, .. }| instance);
    // One that ended between uses nothing.
    let known = instances.zip(used);
    Ok(known
        .filter_map(|(instance, used)| Some((instance, used?)))
        .collect())
}
