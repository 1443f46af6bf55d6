//! Approval of deploys: the environments that whoever started the server allows, and what is approved
//! of while a run waits for it. It refuses to take silence or a refusal for an answer: the question
//! stays open until it is approved of, the step's time is up, or the run is cancelled.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use hoist_engine::approval::Approver;
use hoist_model::event::Question;
use hoist_model::plan::Plan;
use hoist_model::unit::Unit;
use tokio::sync::watch;

/// Digits that a digest may be shortened to.
const SHORTEST: usize = 12;

/// Where the deploys of one run are approved of.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    /// Environments that need no asking.
    allowed: BTreeSet<String>,
    /// Environments with the digests that were approved of.
    approved: Arc<watch::Sender<BTreeSet<(String, String)>>>,
    /// Those that someone would not approve of when asked.
    declined: Arc<Mutex<BTreeSet<(String, String)>>>,
}

impl Desk {
    /// For deploys that are approved of beforehand to these environments.
    pub(crate) fn new(allowed: &BTreeSet<String>) -> Self {
        Self {
            allowed: allowed.clone(),
            approved: Arc::default(),
            declined: Arc::default(),
        }
    }

    /// Makes every deploy ask, whatever the file says of its environment: whoever wrote the file may
    /// be whoever runs it.
    pub(crate) fn guard(&self, plan: &mut Plan) {
        for step in &mut plan.steps {
            match &mut step.unit {
                Unit::Release(release) => release.environment.approval = true,
                Unit::Container(_) | Unit::Build(_) | Unit::Push(_) => {}
            }
        }
    }

    /// Someone was asked this and did not approve: nobody is asked again, and the question stays open.
    pub(crate) fn decline(&self, question: &Question) {
        let mut declined = self.declined.lock().unwrap_or_else(PoisonError::into_inner);
        declined.insert(key(question));
    }

    /// Someone was asked this and did not approve.
    pub(crate) fn was_declined(&self, question: &Question) -> bool {
        let declined = self.declined.lock().unwrap_or_else(PoisonError::into_inner);
        declined.contains(&key(question))
    }

    /// Lets the deploy go on that asked this.
    pub(crate) fn approve(&self, question: &Question) {
        let what = key(question);
        self.approved.send_modify(|approved| {
            approved.insert(what);
        });
    }
}

fn key(question: &Question) -> (String, String) {
    (question.environment.clone(), question.digest.clone())
}

/// What was asked has this digest, perhaps shortened.
pub(crate) fn is_of(question: &Question, digest: &str) -> bool {
    digest.len() >= SHORTEST && question.digest.starts_with(digest)
}

#[async_trait::async_trait]
impl Approver for Desk {
    fn beforehand(&self, question: &Question) -> bool {
        self.allowed.contains(&question.environment)
    }

    fn attend(&self) -> bool {
        true
    }

    async fn ask(&self, question: &Question) -> bool {
        let what = key(question);
        let mut approved = self.approved.subscribe();
        let given = approved.wait_for(|approved| approved.contains(&what)).await;
        given.is_ok()
    }
}
