//! What an environment has of a gate that is the host's, and how one that was its own becomes that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::Instant;

use super::gates::shown;
use super::lead::{get, lead, runs};
use super::{Failure, Performer, failed};
use crate::backend::BackendError;
use crate::reaper::Undo;
use crate::release::bare::discard;
use crate::release::gate::Gate;
use crate::release::lock::Lock;
use crate::release::plan::Action;
use crate::release::proxy::{Services, Share};
use crate::release::shared::{Shared, give_back};
use crate::release::state::DeployedGate;

/// How long what goes may take for the requests that it had begun. Nobody new gets through meanwhile.
pub(super) const LAST: Duration = Duration::from_secs(1);

impl Performer<'_> {
    pub(super) fn shared<'s>(&'s self, gate: &'s Gate) -> Shared<'s> {
        Shared {
            backend: &self.target.backend,
            gate,
            image: self.proxy,
            labels: &self.context.labels,
        }
    }

    /// Chooses fixed addresses for a gate that is the host's, where it has none yet.
    pub(super) fn reserve(&mut self, gate: &Gate) -> Result<(), Failure> {
        if !gate.is_shared() || self.progress.reserved.contains_key(gate) {
            return Ok(());
        }
        let known = self.deployed.gate(gate);
        let had = known.map(|known| known.addresses.clone());
        let addresses = self.beside(gate, &had.unwrap_or_default())?;
        self.progress.reserved.insert(gate.clone(), addresses);
        Ok(())
    }

    /// These addresses, and free ones in the networks of a gate's services where they name none. What an
    /// earlier deploy left is put right without looking at networks.
    fn beside(
        &mut self,
        gate: &Gate,
        had: &BTreeMap<String, Ipv4Addr>,
    ) -> Result<BTreeMap<String, Ipv4Addr>, Failure> {
        if self.progress.networks.is_empty() {
            return Ok(had.clone());
        }
        let behind = self.services.values().filter(|one| {
            let mut openings = self.openings(one).into_iter();
            openings.any(|one| one.gate == *gate)
        });
        let networks = behind.flat_map(|one| &one.unit.networks);
        let networks: BTreeSet<String> = networks.chain(had.keys()).cloned().collect();
        let networks: Vec<String> = networks.into_iter().collect();
        let addresses = self.free_addresses(&networks, had);
        addresses.map_err(failed(format!("opening {}", shown(gate))))
    }

    /// What the environment has of a gate.
    pub(super) fn share(&self, gate: &Gate, listens: BTreeMap<u16, Services>) -> Share {
        let addresses = self.progress.reserved.get(gate).cloned();
        Share {
            place: self.place.clone(),
            addresses: addresses.unwrap_or_default(),
            // It listens on one port.
            services: listens.into_values().flatten().collect(),
        }
    }

    /// Puts the gate of the host in the place of one that is the environment's own. Where that does not
    /// come to serve, the old one does again.
    pub(super) async fn share_gate(&mut self, service: &str, gate: &Gate) -> Result<(), Failure> {
        let known = self.deployed.gate(gate).cloned();
        let Some((old, next)) = known.zip(gate.as_shared()) else {
            return Ok(());
        };
        let what = format!("sharing {}", shown(gate));
        self.context.phase(&what);
        let addresses = self.beside(gate, &old.addresses)?;
        self.progress.reserved.insert(next.clone(), addresses);
        let lock = self.shared(&next).lock().await;
        let lock = lock.map_err(failed(what.clone()))?;
        let shared = self.take_over(&lock, service, &old, &next).await;
        give_back(lock).await;
        let gap = shared.map_err(failed(what))?;
        let line = format!(
            "{} can be shared by other projects from now on; nobody got through it for {:.1}s",
            shown(gate),
            gap.as_secs_f64()
        );
        self.context.output.line(&line).await;
        Ok(())
    }

    /// Gives for how long the port had no owner.
    async fn take_over(
        &mut self,
        lock: &Lock,
        service: &str,
        old: &DeployedGate,
        next: &Gate,
    ) -> Result<Duration, BackendError> {
        let backend = self.target.backend.clone();
        let (name, before) = (
            self.place.gate(&old.gate),
            get(backend.as_ref(), &old.id).await,
        );
        let (listens, _) = self.listens(&old.gate, next);
        let share = self.share(next, listens);
        let id = self.shared(next).find_or_make().await?;
        self.shared(next).join(&id, &share).await?;
        let action = Action::ShareGate {
            service: service.to_owned(),
            gate: old.gate.clone(),
        };
        let engine = self.target.engine.clone();
        let restore = Undo::Restore {
            engine: engine.clone(),
            container: old.id.clone(),
            name: name.clone(),
        };
        let remove = Undo::RemoveContainer {
            engine,
            container: id.clone(),
        };
        // Undone in the other order: the new one is gone before the old one has its port again.
        self.hold(action.clone(), restore).await;
        self.hold(action.clone(), remove).await;
        let since = Instant::now();
        let switched = async {
            if runs(backend.as_ref(), &old.id).await {
                backend.stop_container(&old.id, LAST).await?;
            }
            let (_, pems) = self.listens(&old.gate, next);
            let shared = self.shared(next);
            shared.lead_locked(lock, &id, &share, &pems).await
        };
        if let Err(error) = switched.await {
            self.shared(next).give_up(&id, self.place).await?;
            if let Some(before) = before {
                lead(backend.as_ref(), &old.id, &before, &[]).await?;
            }
            self.void(&action).await;
            return Err(error);
        }
        let gap = since.elapsed();
        self.progress.gates.insert(old.gate.clone(), id);
        self.void(&action).await;
        discard(backend.as_ref(), &old.id).await?;
        backend.remove_volume(&name).await?;
        Ok(gap)
    }
}
