//! The history of an environment, on its engine: an entry before anything is touched, another when
//! it ended, each a new file that names the hash of the one before. It says what was meant and what
//! came of it; what is under way is read from the objects. It refuses to write over an entry, and
//! holds no secret's value. Only whoever has the environment's lock may write.

mod chain;
mod holder;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::time::sleep;

use super::bare::{PAUSE, TRIES};
use super::names::Place;
use crate::backend::{Backend, BackendError, BackendErrorKind};
use crate::walk::Owner;
use crate::walk::entries::{Content, Entry as TarEntry, tar_of};

pub(crate) use chain::{Fault, Known};
pub(crate) use holder::{image, remove};
use record::Record;
pub(crate) use record::{Conclusion, Deed, GateRecord, Intent, Outcome, ServiceRecord};

/// The way to an environment's history.
pub(crate) struct Journal {
    backend: Arc<dyn Backend>,
    place: Place,
    /// What the holder runs on, if it is known already.
    image: Option<String>,
    /// The last place that is taken, and the hash of what is there.
    last: Option<(u64, String)>,
    /// Whether an entry was written is not known.
    unsure: bool,
}

impl Journal {
    /// Reads the history; where there is none, it is empty. Nothing is made on the engine.
    ///
    /// # Errors
    /// The engine's; [`BackendErrorKind::Unsupported`] where a newer hoist wrote it.
    pub(crate) async fn read(
        backend: &Arc<dyn Backend>,
        place: &Place,
    ) -> Result<(Self, Known), BackendError> {
        let found = holder::read(backend.as_ref(), place).await?;
        let known = chain::read(&found.files);
        let mut faults = known.faults.iter();
        if let Some(newer) = faults.find(|fault| matches!(fault, Fault::Newer { .. })) {
            let message = format!("{newer}; use that one");
            return Err(BackendError::new(BackendErrorKind::Unsupported, message));
        }
        let journal = Self {
            backend: Arc::clone(backend),
            place: place.clone(),
            image: found.image,
            last: known.last.clone(),
            unsure: false,
        };
        Ok((journal, known))
    }

    /// Writes what is to be, before anything is touched. The first time, the volume and its holder
    /// are made, of an image that has the proxy.
    ///
    /// # Errors
    /// The engine's. Nothing may be touched then.
    pub(crate) async fn begin(&mut self, image: &str, intent: &Intent) -> Result<(), BackendError> {
        self.image = Some(image.to_owned());
        self.write(&Record::Intent(intent.clone())).await
    }

    /// Writes what came of it.
    ///
    /// # Errors
    /// The engine's: the next who reads finds an intent that did not end.
    pub(crate) async fn end(&mut self, outcome: &Outcome) -> Result<(), BackendError> {
        self.write(&Record::Outcome(outcome.clone())).await
    }

    async fn write(&mut self, record: &Record) -> Result<(), BackendError> {
        if self.unsure {
            let (read, _) = Self::read(&self.backend, &self.place).await?;
            self.last = read.last;
        }
        let (before, previous) = match &self.last {
            Some((number, hash)) => (*number, Some(hash.as_str())),
            None => (0, None),
        };
        let number = before.saturating_add(1);
        let bytes = chain::write(number, previous, record)
            .map_err(|error| BackendError::new(BackendErrorKind::Engine, error.to_string()))?;
        // An answer that is lost leaves behind what another try writes again, byte by byte.
        self.unsure = true;
        self.upload(number, &bytes).await?;
        self.unsure = false;
        self.last = Some((number, chain::hash(&bytes)));
        Ok(())
    }

    async fn upload(&self, number: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let backend = self.backend.as_ref();
        let mut tries = 1;
        loop {
            let holder = holder::ensure(backend, &self.place, self.image.as_deref()).await?;
            let entry = TarEntry {
                path: chain::name(number),
                owner: Owner::ROOT,
                mode: 0o444,
                content: Content::Bytes(bytes.to_vec()),
            };
            let written = backend
                .upload(&holder, holder::FOLDER, tar_of(vec![entry]))
                .await;
            match written {
                Err(_) if tries < TRIES => tries += 1,
                written => return written,
            }
            sleep(PAUSE).await;
        }
    }
}
