//! Approval of deploys: the environments that whoever started the server allows, and nothing else.
//! It refuses to ask, for standard input is the protocol's and a model is no person.

use std::collections::BTreeSet;

use hoist_engine::approval::Approver;
use hoist_model::event::Question;

/// Approves of deploys to these environments.
pub(crate) struct Allowed(pub(crate) BTreeSet<String>);

#[async_trait::async_trait]
impl Approver for Allowed {
    fn beforehand(&self, question: &Question) -> bool {
        self.0.contains(&question.environment)
    }

    fn is_there(&self) -> bool {
        false
    }

    async fn ask(&self, _: &Question) -> bool {
        false
    }
}
