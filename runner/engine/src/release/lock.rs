//! Keeps two deploys to one environment apart, and two that change a proxy which is the host's: a running container with a fixed name, since an engine
//! gives a name once, whose input its owner holds. It ends with its owner, however that dies, and
//! whether it runs is all that counts: an owner is neither asked nor guessed at.
//!
//! It carries its run's labels, so the end of a run, or its reaper, takes it away after all else was
//! put right. A sweep spares it: it would take it from under a reaper that is still at work. Whoever
//! comes next and finds it dead gives that reaper a moment, and then removes it by its ID, since the
//! name may be another's by then.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::reason::Trouble;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::bare::{discard, waiting};
use super::gate::Gate;
use super::names::{self, Place};
use crate::backend::{
    Backend, BackendError, BackendErrorKind, ContainerInfo, ContainerSpec, HeldInput, Input, Labels,
};
use crate::labels::{self, LOCK};
use crate::owner::Owner;

/// How long a lock is waited for unless something else is said: as long as a small deploy takes.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How long a dead owner's reaper has to put things right and take the lock away.
const REAPING: Duration = Duration::from_secs(3);
/// How long an owner may take from making its lock to starting it.
const STARTING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

/// What can be locked.
#[derive(Clone, Copy)]
pub(crate) enum Of<'a> {
    /// An environment.
    Place(&'a Place),
    /// A gate that is the host's.
    Gate(&'a Gate),
}

impl<'a> From<&'a Place> for Of<'a> {
    fn from(place: &'a Place) -> Self {
        Self::Place(place)
    }
}

impl<'a> From<&'a Gate> for Of<'a> {
    fn from(gate: &'a Gate) -> Self {
        Self::Gate(gate)
    }
}

impl Of<'_> {
    fn name(self) -> String {
        match self {
            Self::Place(place) => place.lock(),
            Self::Gate(gate) => names::shared_lock(gate),
        }
    }

    fn labels(self) -> Labels {
        match self {
            Self::Place(place) => place.labels(LOCK),
            Self::Gate(gate) => {
                let mut all = names::shared_labels(gate);
                all.insert(labels::ROLE.to_owned(), LOCK.to_owned());
                all
            }
        }
    }

    /// The labels say that what carries them is the lock of this.
    fn owns(self, found: &Labels) -> bool {
        let is = |label: &str, value: &str| found.get(label).is_some_and(|found| found == value);
        match self {
            Self::Place(place) => place.owns(found, LOCK),
            Self::Gate(gate) => is(labels::ROLE, LOCK) && is(labels::GATE, &gate.to_string()),
        }
    }

    fn shown(self) -> String {
        match self {
            Self::Place(place) => place.environment.clone(),
            Self::Gate(gate) => format!("{gate:#}"),
        }
    }

    fn under_way(self) -> String {
        match self {
            Self::Place(place) => format!("another deploy to {} is under way", place.environment),
            Self::Gate(gate) => format!("another deploy changes {gate:#}"),
        }
    }
}

/// The right to change what is locked. Gone with this value, and with this process.
pub(crate) struct Lock {
    backend: Arc<dyn Backend>,
    id: String,
    input: HeldInput,
}

impl Lock {
    /// Takes the lock; waits for it so long, unless `stopped` ends. `image` is the engine's ID of an
    /// image that has the proxy, `labels` are those of the run that asks.
    pub(crate) async fn take<'a>(
        backend: &Arc<dyn Backend>,
        of: impl Into<Of<'a>>,
        image: &str,
        labels: &Labels,
        wait: Duration,
        stopped: impl Future,
    ) -> Result<Self, Trouble> {
        let look = || ready(());
        let taken = Self::take_and_look(backend, of, image, labels, wait, stopped, look).await;
        taken.map(|(lock, ())| lock)
    }

    /// The same, and what a `look` at the environment gave. It was looked at while the lock was being
    /// started, which takes an engine its time: whoever else came would have found the name taken.
    pub(crate) async fn take_and_look<'a, F: Future>(
        backend: &Arc<dyn Backend>,
        of: impl Into<Of<'a>>,
        image: &str,
        labels: &Labels,
        wait: Duration,
        stopped: impl Future,
        look: impl Fn() -> F,
    ) -> Result<(Self, F::Output), Trouble> {
        let (of, mut stopped) = (of.into(), pin!(stopped));
        let mut all = labels.clone();
        all.extend(of.labels());
        let spec = waiting(&of.name(), image, all, Input::Held);
        let failed = |error: BackendError| {
            error.trouble(format!("the lock of {} cannot be taken", of.shown()))
        };
        let until = Instant::now() + wait;
        let mut suspect = Suspect::default();
        loop {
            if let Some(taken) = Self::create(backend, &spec, &look).await.map_err(failed)? {
                return Ok(taken);
            }
            let found = find(backend.as_ref(), of).await.map_err(failed)?;
            if let Some(found) = &found {
                require(of, found)?;
            }
            let trouble = match &found {
                Some(found) if suspect.is_dead(found) => {
                    discard(backend.as_ref(), &found.id).await.map_err(failed)?;
                    continue;
                }
                // As good as free, as long as that does not go on for ever.
                None => (Instant::now() >= until + STARTING).then(|| busy(of)),
                Some(found) if patience(found).is_some() => None,
                Some(found) => (Instant::now() >= until).then(|| held(of, found)),
            };
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
            tokio::select! {
                biased;
                _ = &mut stopped => return Err(found.map_or_else(|| busy(of), |found| held(of, &found))),
                () = sleep(PAUSE) => {}
            }
        }
    }

    /// Makes the lock and starts it, unless someone else has the name.
    async fn create<F: Future>(
        backend: &Arc<dyn Backend>,
        spec: &ContainerSpec,
        look: impl Fn() -> F,
    ) -> Result<Option<(Self, F::Output)>, BackendError> {
        let id = match backend.create_container(spec).await {
            Ok(id) => id,
            Err(error) if error.kind == BackendErrorKind::Conflict => return Ok(None),
            Err(error) => return Err(error),
        };
        let started = async {
            let input = backend.hold_input(&id).await?;
            backend.start_container(&id).await.map(|()| input)
        };
        let (started, seen) = tokio::join!(started, look());
        match started {
            Ok(input) => {
                let backend = Arc::clone(backend);
                Ok(Some((Self { backend, id, input }, seen)))
            }
            // It took so long that another took the lock for dead.
            Err(error) if error.kind == BackendErrorKind::NotFound => Ok(None),
            Err(error) => {
                let _ = discard(backend.as_ref(), &id).await;
                Err(error)
            }
        }
    }

    /// The lock is still held. To be asked before each thing that others would see: someone may have
    /// removed it, or the engine was restarted.
    pub(crate) fn held(&self) -> bool {
        !self.input.ended().is_cancelled()
    }

    /// Gives the lock back.
    pub(crate) async fn release(self) -> Result<(), BackendError> {
        discard(self.backend.as_ref(), &self.id).await
    }
}

/// A lock that does not run, and since when it is seen so.
#[derive(Default)]
struct Suspect(Option<(String, Instant)>);

impl Suspect {
    /// The lock did not run for as long as it may.
    fn is_dead(&mut self, found: &ContainerInfo) -> bool {
        let Some(patience) = patience(found) else {
            self.0 = None;
            return false;
        };
        match &self.0 {
            Some((id, since)) if *id == found.id => since.elapsed() >= patience,
            _ => {
                self.0 = Some((found.id.clone(), Instant::now()));
                false
            }
        }
    }
}

/// How long a lock may stay as it is before it counts as dead; `None` where it lives.
fn patience(found: &ContainerInfo) -> Option<Duration> {
    match found.status.as_str() {
        "created" => Some(STARTING),
        "exited" | "dead" | "removing" => Some(REAPING),
        _ => None,
    }
}

async fn find(
    backend: &dyn Backend,
    of: impl Into<Of<'_>>,
) -> Result<Option<ContainerInfo>, BackendError> {
    backend.inspect_container(&of.into().name()).await
}

/// Someone has the lock of an environment and lives.
pub(crate) async fn is_held(backend: &dyn Backend, place: &Place) -> Result<bool, BackendError> {
    let found = find(backend, place).await?;
    Ok(found.is_some_and(|found| place.owns(&found.labels, LOCK) && patience(&found).is_none()))
}

/// What has the name is the lock of this.
fn require<'a>(of: impl Into<Of<'a>>, found: &ContainerInfo) -> Result<(), Trouble> {
    let of = of.into();
    if of.owns(&found.labels) {
        return Ok(());
    }
    let name = of.name();
    let trouble = Trouble::new(format!("{} cannot be locked", of.shown())).cause(format!(
        "a container called {name} is there and is not hoist's lock for it"
    ));
    Err(trouble.hint(match of {
        Of::Place(_) => "rename that container, or the project or the environment",
        Of::Gate(_) => "rename that container",
    }))
}

fn busy(of: Of<'_>) -> Trouble {
    Trouble::new(of.under_way()).hint("try again")
}

fn held(of: Of<'_>, found: &ContainerInfo) -> Trouble {
    let trouble = Trouble::new(of.under_way());
    let trouble = trouble.cause(format!("{} has its lock", LockHolder::read(found)));
    trouble.hint(match of {
        Of::Place(Place { environment, .. }) => format!(
            "wait for it, as long as --lock-wait says; `hoist unlock {environment} --force` takes its lock from it"
        ),
        Of::Gate(_) => "wait for it, and try again".to_owned(),
    })
}

/// Who has, or had, an environment's lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// The run.
    pub run: String,
    /// Its process, in words.
    pub owner: String,
    /// Since when, by the engine's clock; absent where it never began.
    pub since: Option<Timestamp>,
}

impl LockHolder {
    fn read(found: &ContainerInfo) -> Self {
        let label = |key: &str| found.labels.get(key).cloned().unwrap_or_default();
        let since = found.started_at.parse::<Timestamp>().ok();
        Self {
            run: label(labels::RUN),
            owner: in_words(&label(labels::OWNER), &Owner::here()),
            // An engine says year 1 of one that never started.
            since: since.filter(|since| *since > Timestamp::UNIX_EPOCH),
        }
    }
}

impl std::fmt::Display for LockHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { run, owner, since } = self;
        write!(f, "run {run} ({owner}")?;
        match since {
            Some(since) => write!(f, ", since {})", since.strftime("%F %T UTC")),
            None => f.write_str(")"),
        }
    }
}

fn in_words(owner: &str, here: &Owner) -> String {
    let Ok(Owner { machine, pid, .. }) = owner.parse::<Owner>() else {
        return "a process that is not known".to_owned();
    };
    match machine.as_str() {
        "" => format!("process {pid} of a machine that is not known"),
        same if same == here.machine => format!("process {pid} of this machine"),
        other => format!("process {pid} of the machine {other}"),
    }
}

/// What became of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlocked {
    /// There was none.
    Free,
    /// It was left over from a run that is dead, and is gone.
    Dead(LockHolder),
    /// It was taken from a run that may still be at work.
    Taken(LockHolder),
}

/// Frees an environment's lock where its owner is dead, and with `force` where it lives. A run that
/// lives stops before it does anything else that others would see.
///
/// # Errors
/// When the owner lives and nothing is forced, or the engine would not.
pub async fn unlock(
    backend: &dyn Backend,
    project: &str,
    environment: &str,
    force: bool,
) -> Result<Unlocked, Trouble> {
    let place = Place::new(project, environment);
    let failed =
        |error: BackendError| error.trouble(format!("the lock of {environment} cannot be freed"));
    let Some(first) = find(backend, &place).await.map_err(failed)? else {
        return Ok(Unlocked::Free);
    };
    require(&place, &first)?;
    if !force {
        await_death(backend, &place, &first.id).await?;
    }
    // By its ID: whoever else takes the lock at this moment has another.
    discard(backend, &first.id).await.map_err(failed)?;
    let holder = LockHolder::read(&first);
    Ok(match patience(&first) {
        None => Unlocked::Taken(holder),
        Some(_) => Unlocked::Dead(holder),
    })
}

/// Waits until a lock is dead for sure, or gone.
async fn await_death(backend: &dyn Backend, place: &Place, id: &str) -> Result<(), Trouble> {
    let environment = &place.environment;
    let mut suspect = Suspect::default();
    loop {
        let found = find(backend, place).await.map_err(|error| {
            error.trouble(format!("the lock of {environment} cannot be looked at"))
        })?;
        let Some(found) = found else {
            return Ok(());
        };
        if patience(&found).is_none() {
            let what = format!("the lock of {environment} is held");
            let who = format!("{} has it and is alive", LockHolder::read(&found));
            let hint = "--force takes it from that run, which then stops";
            return Err(Trouble::new(what).cause(who).hint(hint));
        }
        if found.id != id || suspect.is_dead(&found) {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests;
