//! Who approves of what a deploy would change. The engine only asks: it refuses to know how, and to
//! take silence for consent.

use async_trait::async_trait;
use hoist_model::event::Question;

/// Someone who can approve.
#[async_trait]
pub trait Approver: Send + Sync {
    /// It was approved of before it was asked.
    fn beforehand(&self, question: &Question) -> bool;

    /// There is someone to ask.
    fn is_there(&self) -> bool;

    /// Asks, and waits for the answer. May be dropped at any time: then nobody waits for it any more.
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

    fn is_there(&self) -> bool {
        false
    }

    async fn ask(&self, _: &Question) -> bool {
        false
    }
}
