//! A step's output on its way: masked, appended to its log, and passed to reporters with
//! back-pressure.

use hoist_model::event::Stream;

/// Where a step's output goes.
#[derive(Clone)]
pub struct OutputWriter {}

impl OutputWriter {
    /// Takes bytes as they come; waits while the disk or the reporters are behind.
    pub async fn write(&self, _stream: Stream, _bytes: &[u8]) {}

    /// Takes a line of hoist's own, such as the builder's progress.
    pub async fn line(&self, _text: &str) {}

    /// The last lines written so far, masked, for messages.
    #[must_use]
    pub fn tail(&self) -> String {
        String::new()
    }
}
