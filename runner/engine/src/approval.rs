//! Who approves of what a deploy would change. The engine only asks: it refuses to know how, and to
//! take silence for consent.

use async_trait::async_trait;
use hoist_model::event::Question;

/// Someone who can approve.
#[async_trait]
pub trait Approver: Send + Sync {
    /// It was approved of before it was asked.
    fn beforehand(&self, question: &Question) -> bool;

    /// Whether there is someone to ask. Called before the question is shown: what they said until
    /// then is no answer to it, and what they say from then on is.
    fn attend(&self) -> bool;

    /// Waits for the answer to a question that is shown. May be dropped at any time: then nobody
    /// waits for it any more.
    async fn ask(&self, question: &Question) -> bool;
}

/// Nobody is there, and nothing was approved of.
#[derive(Debug)]
pub struct Nobody;

#[async_trait]
impl Approver for Nobody {
    fn beforehand(&self, _: &Question) -> bool {
        false
    }

    fn attend(&self) -> bool {
        false
    }

    async fn ask(&self, _: &Question) -> bool {
        false
    }
}
