//! A container that is made before its step's turn, while the steps before it run: making one takes
//! an engine as long as many a step. Only one that needs nothing but an image that is there is made
//! so. It refuses to start anything, to pull, and to say anything of a step that has not begun: what
//! cannot be made is made again when its turn comes, and told then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hoist_model::ids::StepId;
use hoist_model::unit::{ContainerUnit, Unit};
use tokio::task::JoinHandle;

use super::Litter;
use super::place::{self, Names};
use crate::backend::{Attachment, Backend, ContainerSpec};
use crate::context::UnitContext;
use crate::images;

/// A container that was made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// Its ID.
    pub(super) id: String,
    /// What it was made with.
    pub(super) spec: ContainerSpec,
}

/// A container that is made ahead, or perhaps will be.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// Whoever is first: the task, to make it, or the step, which does not wait for that then.
    claimed: Arc<AtomicBool>,
    task: Mutex<Option<JoinHandle<Option<Made>>>>,
}

impl Ahead {
    /// Makes the step's container as soon as all of `before` are at work; nothing where the step is
    /// not one whose container can be made ahead.
    pub(crate) fn begin(context: UnitContext, before: Vec<StepId>) -> Option<Self> {
        let step = context.step()?.clone();
        let Unit::Container(unit) = step.unit else {
            return None;
        };
        if !needs_only_an_image(&unit) {
            return None;
        }
        let claimed = Arc::new(AtomicBool::new(false));
        let claim = Arc::clone(&claimed);
        let task = tokio::spawn(async move {
            context.made.at_work(&before).await;
            if claim.swap(true, Ordering::SeqCst) {
                return None;
            }
            make(&context, &unit).await
        });
        Some(Self {
            claimed,
            task: Mutex::new(Some(task)),
        })
    }

    /// The container, if there is one; it is the caller's from now on.
    pub(crate) async fn take(&self) -> Option<Made> {
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        if !self.claimed.swap(true, Ordering::SeqCst) {
            task.abort();
            return None;
        }
        task.await.ok().flatten()
    }

    /// Removes the container, if there is one that nobody has taken.
    pub(crate) async fn discard(&self, backend: &dyn Backend) {
        if let Some(made) = self.take().await {
            let litter = Litter::default();
            litter.container(&made.spec.name);
            litter.remove(backend).await;
        }
    }
}

fn needs_only_an_image(unit: &ContainerUnit) -> bool {
    let ContainerUnit {
        secrets,
        source,
        inputs,
        image_archive,
        tool_data,
        services,
        volumes,
        harvest,
        ..
    } = unit;
    secrets.is_empty()
        && source.is_none()
        && inputs.is_empty()
        && image_archive.is_none()
        && tool_data.is_none()
        && services.is_empty()
        && volumes.is_empty()
        && harvest.report.is_none()
        && !unit.security.read_only
}

async fn make(context: &UnitContext, unit: &ContainerUnit) -> Option<Made> {
    let image = images::known(context, &unit.image).await?;
    let names = Names::new(context);
    let mut spec = place::spec(context, unit, &image, &names).ok()?;
    spec.network = Attachment::from(unit.network);
    let litter = Litter::default();
    let id = place::create(context, &mut spec, &litter).await.ok()?;
    Some(Made { id, spec })
}
