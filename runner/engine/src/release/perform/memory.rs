//! Secrets in memory through a release: they are there when a container is started, and what is
//! stopped keeps its own until the release is in place, since it may have to come back.

use secrecy::ExposeSecret as _;

use super::{Failure, Performer, failed};
use crate::backend::BackendError;
use crate::release::memory::{Empty, Held, Memory, lost};
use crate::release::plan::{Action, Which};
use crate::release::prepare::Prepared;
use crate::release::secrets;

/// The least that a volume in memory may hold.
const LEAST: u64 = 1 << 20;
/// What a file takes at least.
const PAGE: usize = 4096;

impl Performer<'_> {
    /// The secrets of a new container, in that volume.
    pub(crate) async fn memory_of(
        &self,
        prepared: &Prepared<'_>,
        volume: String,
    ) -> Result<Memory, BackendError> {
        let backend = self.target.backend.as_ref();
        let (image, user) = (&prepared.image.image.id, prepared.unit.user.as_deref());
        Ok(Memory {
            volume,
            names: prepared.unit.secrets.clone(),
            owner: secrets::owner(backend, image, user).await?,
        })
    }

    fn memory(&self, which: &Which) -> Option<&Memory> {
        match which {
            Which::New(slot) => self.progress.memories.get(slot),
            Which::Old(id) => self.deployed.generation(id)?.memory.as_ref(),
        }
    }

    /// Before something is stopped that may come back, what is in its memory is held.
    pub(super) async fn hold_memory(&mut self, action: &Action) -> Result<(), Failure> {
        let Action::Stop(which @ Which::Old(_)) = action else {
            return Ok(());
        };
        let Some(memory) = self.memory(which).cloned() else {
            return Ok(());
        };
        if self.progress.held.contains_key(&memory.volume) {
            return Ok(());
        }
        let held = self.held(&memory).await?;
        self.progress.held.insert(memory.volume, held);
        Ok(())
    }

    /// Sees to it that a container finds its secrets when it is started; gives what holds them until
    /// it is.
    pub(super) async fn with_secrets(&self, which: &Which) -> Result<Option<Held>, Failure> {
        let Some(memory) = self.memory(which) else {
            return Ok(None);
        };
        if self.progress.held.contains_key(&memory.volume) {
            return Ok(None);
        }
        let held = self.held(memory).await?;
        let backend = self.target.backend.as_ref();
        let filled = memory.fill(backend, &held, &self.context.secrets).await;
        let Err(empty) = filled else {
            return Ok(Some(held));
        };
        self.let_go_of(&held).await;
        Err(match empty {
            Empty::Unknown(names) => {
                let trouble = lost(self.service(which), &names);
                let cause = trouble.cause.unwrap_or_default();
                Failure::Unwell(format!("{}: {cause}", trouble.what))
            }
            Empty::Engine(error) => {
                failed(format!("writing the secrets of {}", memory.volume))(error)
            }
        })
    }

    async fn held(&self, memory: &Memory) -> Result<Held, Failure> {
        let (backend, labels) = (self.target.backend.as_ref(), &self.context.labels);
        let held = memory.hold(backend, self.proxy, labels).await;
        held.map_err(failed(format!("holding the secrets of {}", memory.volume)))
    }

    /// From here on only what runs holds its secrets.
    pub(super) async fn let_go_of_memory(&mut self) {
        for held in std::mem::take(&mut self.progress.held).into_values() {
            self.let_go_of(&held).await;
        }
    }

    pub(super) async fn let_go_of(&self, held: &Held) {
        if let Err(error) = held.let_go(self.target.backend.as_ref()).await {
            let message = format!("what held secrets in memory is left over: {error}");
            let hint = "the end of the run tries again".to_owned();
            self.context.warn(message, Some(hint));
        }
    }
}

/// How many bytes a volume for these secrets may hold: they may be longer when they are written again.
pub(crate) fn room(prepared: &Prepared<'_>) -> u64 {
    let values = prepared.values.values();
    let all = values.map(|value| value.expose_secret().len().next_multiple_of(PAGE));
    let all = u64::try_from(all.sum::<usize>()).unwrap_or(u64::MAX);
    all.saturating_mul(2).max(LEAST)
}
