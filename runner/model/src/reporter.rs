//! The seam to renderers. A reporter sees masked facts only, writes them somewhere, and decides
//! nothing: one that fails is reported and dropped, and the run goes on.

use std::time::Duration;

use crate::event::{Output, RunEvent};
use crate::state::RunState;

/// Why a reporter could not go on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReportError(pub String);

impl From<std::io::Error> for ReportError {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Something that shows or writes a run as it goes.
pub trait Reporter: Send {
    /// A name for messages: `the terminal`, `JUnit`.
    fn name(&self) -> &'static str;

    /// An event happened; `state` has taken it in.
    ///
    /// # Errors
    /// When what it writes to refuses; the reporter is then dropped.
    fn on_event(&mut self, state: &RunState, event: &RunEvent) -> Result<(), ReportError>;

    /// Live output of a step.
    ///
    /// # Errors
    /// As for [`Reporter::on_event`].
    fn on_output(&mut self, state: &RunState, output: &Output) -> Result<(), ReportError> {
        let _ = (state, output);
        Ok(())
    }

    /// Called ten times a second while a run goes on.
    ///
    /// # Errors
    /// As for [`Reporter::on_event`].
    fn on_tick(&mut self, state: &RunState, elapsed: Duration) -> Result<(), ReportError> {
        let _ = (state, elapsed);
        Ok(())
    }

    /// The run is over and everything is cleaned up; nothing comes after.
    ///
    /// # Errors
    /// As for [`Reporter::on_event`].
    fn finish(&mut self, state: &RunState) -> Result<(), ReportError> {
        let _ = state;
        Ok(())
    }
}
