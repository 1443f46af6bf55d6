//! Puts a gate on another image. Nothing else ever replaces one, and this only because someone asked
//! for it: between the old container and the new one the port has no owner. Where the new one does not
//! come to serve, the old one does again. The volume with what the gate does stays as it is.

use hoist_model::unit::{PortMapping, Protocol};
use tokio::time::Instant;

use super::gates::{configuration, shown};
use super::lead::{CONFIG, USER, get, lead, runs, text_of};
use super::share::LAST;
use super::{Failure, Performer, failed};
use crate::backend::{BackendError, BackendErrorKind, ContainerSpec, Labels, Logs};
use crate::reaper::Undo;
use crate::release::bare::{bare, discard};
use crate::release::gate::Gate;
use crate::release::names::PROXY;
use crate::release::plan::Action;
use crate::release::ports::HostPort;
use crate::release::proxy::FOLDER;
use crate::release::shared::give_back;
use crate::release::state::DeployedGate;

impl Performer<'_> {
    /// Puts a gate on the image that is configured.
    pub(super) async fn replace_gate(&mut self, service: &str, gate: &Gate) -> Result<(), Failure> {
        let Some(old) = self.deployed.gate(gate).cloned() else {
            return Ok(());
        };
        let what = format!("replacing {}", shown(gate));
        self.context.phase(&what);
        if !gate.is_shared() {
            return self.replace(service, gate, old, what).await;
        }
        let lock = self.shared(gate).lock().await;
        let lock = lock.map_err(failed(what.clone()))?;
        let replaced = self.replace(service, gate, old, what).await;
        give_back(lock).await;
        replaced
    }

    /// The same for who has the lock of a gate that is the host's.
    async fn replace(
        &mut self,
        service: &str,
        gate: &Gate,
        old: DeployedGate,
        what: String,
    ) -> Result<(), Failure> {
        let name = self.place.gate(gate);
        let next = format!("{name}-next");
        let backend = self.target.backend.clone();
        let cleared = self.clear(&next, &old).await;
        cleared.map_err(failed(what.clone()))?;
        if old.image == self.proxy {
            return Ok(());
        }
        let prepared = async {
            let text = get(backend.as_ref(), &old.id).await;
            let text = text.ok_or_else(|| refused("its configuration cannot be read"))?;
            self.image_takes(&name).await?;
            Ok(text)
        };
        let text = prepared.await.map_err(failed(what.clone()))?;

        let action = Action::ReplaceGate {
            service: service.to_owned(),
            gate: gate.clone(),
            image: self.proxy.to_owned(),
        };
        let (engine, container) = (self.target.engine.clone(), old.id.clone());
        let (removed, at) = (next.clone(), engine.clone());
        let undo = Undo::Restore {
            engine,
            container,
            name: name.clone(),
        };
        let remove = Undo::RemoveContainer {
            engine: at,
            container: removed,
        };
        // Undone in the other order: the new one is gone before the old one has its port again. The
        // old one is stopped only when the new one is there.
        let made = self.make_next(&next, service, gate, &old).await;
        let id = made.map_err(failed(what.clone()))?;
        self.hold(action.clone(), undo).await;
        self.hold(action.clone(), remove).await;
        let since = Instant::now();
        let switched = async {
            if runs(backend.as_ref(), &old.id).await {
                backend.stop_container(&old.id, LAST).await?;
            }
            lead(backend.as_ref(), &id, &text, &[]).await.map(|_| ())
        };
        if let Err(error) = switched.await {
            let back = async {
                backend.remove_container(&id).await?;
                lead(backend.as_ref(), &old.id, &text, &[]).await
            };
            // The reaper tries again where it cannot be done.
            back.await
                .map_err(failed(format!("going back to the old {}", shown(gate))))?;
            self.void(&action).await;
            return Err(failed(what)(error));
        }
        let gap = since.elapsed();
        self.progress.gates.insert(gate.clone(), id.clone());
        self.void(&action).await;
        let tidied = async {
            backend.remove_container(&old.id).await?;
            backend.rename_container(&id, &name).await
        };
        tidied.await.map_err(failed(what))?;
        let line = format!(
            "{} is replaced; nobody got through it for {:.1}s",
            shown(gate),
            gap.as_secs_f64()
        );
        self.context.output.line(&line).await;
        Ok(())
    }

    async fn make_next(
        &self,
        next: &str,
        service: &str,
        gate: &Gate,
        old: &DeployedGate,
    ) -> Result<String, BackendError> {
        if gate.is_shared() {
            return self.shared(gate).make(next).await;
        }
        let spec = self.gate_container(next, service, gate, &old.addresses);
        let spec = spec.ok_or_else(|| refused("its service is not known"))?;
        let backend = self.target.backend.as_ref();
        backend.create_container(&with_ports_of(spec, old)).await
    }

    /// Takes away what an attempt left that was cut off, which may have come so far that the new one
    /// serves.
    async fn clear(&self, next: &str, old: &DeployedGate) -> Result<(), BackendError> {
        let backend = self.target.backend.as_ref();
        let same = self.deployed.gates.iter();
        let same = same.filter(|other| other.gate == old.gate && other.id != old.id);
        for other in same {
            discard(backend, &other.id).await?;
        }
        match backend.inspect_container(next).await? {
            Some(found) if self.is_gate(&found.labels, &old.gate) && found.id != old.id => {
                discard(backend, &found.id).await
            }
            Some(found) if found.id == old.id => {
                backend
                    .rename_container(&old.id, &self.place.gate(&old.gate))
                    .await
            }
            Some(_) => Err(refused(&format!("something else is called {next}"))),
            None => Ok(()),
        }
    }

    fn is_gate(&self, found: &Labels, gate: &Gate) -> bool {
        match gate.is_shared() {
            true => self.shared(gate).owns(found),
            false => self.place.owns(found, PROXY),
        }
    }

    /// The new image takes the configuration as it is.
    async fn image_takes(&self, volume: &str) -> Result<(), BackendError> {
        let backend = self.target.backend.as_ref();
        let name = format!("{volume}-check-{}", self.release.simple());
        let file = format!("{FOLDER}/{CONFIG}");
        let command = ["haproxy", "-c", "-f", &file];
        let labels: Labels = self.context.labels.clone();
        let spec = ContainerSpec {
            entrypoint: Some(Vec::new()),
            command: Some(command.map(str::to_owned).into()),
            user: Some(format!("{}:{}", USER.uid, USER.gid)),
            mounts: vec![configuration(volume, true)],
            logs: Logs::Keep,
            ..bare(&name, self.proxy, labels)
        };
        let id = backend.create_container(&spec).await?;
        let checked = async {
            backend.start_container(&id).await?;
            let code = backend.wait_container(&id).await?;
            let said = backend.logs(&id, Some(10)).await?;
            Ok((code, text_of(&said)))
        };
        let checked: Result<_, BackendError> = checked.await;
        discard(backend, &id).await?;
        match checked? {
            (0, _) => Ok(()),
            (_, said) => Err(refused(&format!(
                "the new image refuses the configuration, and the old proxy goes on: {}",
                said.trim()
            ))),
        }
    }
}

/// A port that the engine chose stays the one that clients know, and the one inside is the one that the
/// configuration names.
fn with_ports_of(spec: ContainerSpec, old: &DeployedGate) -> ContainerSpec {
    let held = old.ports.iter().find_map(|text| {
        let host = HostPort::read(text)?;
        let (_, number, protocol) = host.parts();
        let (inside, _) = text.split_once("->")?.1.split_once('/')?;
        (protocol == Protocol::Tcp).then_some((number, inside.parse().ok()?))
    });
    let port = |wanted: &PortMapping| match held {
        Some((published, target)) => PortMapping {
            published: Some(published),
            target,
            ..wanted.clone()
        },
        None => wanted.clone(),
    };
    ContainerSpec {
        ports: spec.ports.iter().map(port).collect(),
        ..spec
    }
}

fn refused(why: &str) -> BackendError {
    BackendError::new(BackendErrorKind::Engine, why)
}
