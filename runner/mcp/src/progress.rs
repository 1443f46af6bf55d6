//! Tells a client how a run goes on while it waits. Whatever the client does, or does not read, the
//! run and the call never wait for it: a task of its own sends, and only the newest.

use std::time::Duration;

use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext, RoleServer};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::runs::Glance;

/// Between two messages: often enough for clients that give up on silence.
const PAUSE: Duration = Duration::from_secs(5);
/// By how much the number grows while no step ends: it must always grow.
const STIR: f64 = 0.001;

/// Who asked for progress, and by which token.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    peer: Peer<RoleServer>,
    token: ProgressToken,
}

/// Stops telling when it is dropped.
pub(crate) struct Telling(JoinHandle<()>);

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Wanted {
    /// By whoever made the request, if it is wanted.
    pub(crate) fn by(context: &RequestContext<RoleServer>) -> Option<Self> {
        let token = context.meta.get_progress_token()?;
        Some(Self {
            peer: context.peer.clone(),
            token,
        })
    }

    /// Tells, from now on, until what comes back is dropped.
    pub(crate) fn tell(self, seen: watch::Receiver<Glance>) -> Telling {
        Telling(tokio::spawn(async move {
            let mut ticks = interval(PAUSE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut last = -STIR;
            loop {
                ticks.tick().await;
                let glance = seen.borrow().clone();
                let (ended, steps) = (number(glance.ended), number(glance.steps));
                last = ended.max(last + STIR);
                let params = ProgressNotificationParam::new(self.token.clone(), last)
                    .with_total(steps.max(last))
                    .with_message(glance.message);
                if self.peer.notify_progress(params).await.is_err() {
                    return;
                }
            }
        }))
    }
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
