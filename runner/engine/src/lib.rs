//! hoist's engine: runs a plan over a backend. Scheduling, attempts, cancellation, the run folder
//! and releases are here.
//!
//! It refuses to know Docker (that is `hoist-docker`, behind [`backend::Backend`]), to render
//! anything (that is `hoist-report`, behind `hoist_model::reporter::Reporter`), to read the
//! process's environment, and to match on step kinds: it sees units only.

pub mod approval;
pub mod archive;
pub(crate) mod artifacts;
pub mod backend;
mod bounds;
pub(crate) mod caches;
mod chores;
pub mod context;
mod countdown;
pub mod dispatcher;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod gc;
pub mod images;
pub mod inputs;
pub mod inventory;
mod labelled;
pub mod labels;
pub mod output;
pub mod owner;
pub mod queue;
pub mod reaper;
pub mod recorder;
pub mod release;
pub mod rerun;
pub mod run;
pub mod secrets;
pub mod shell;
pub mod store;
pub mod survey;
pub mod sweep;
pub mod tool_data;
pub mod unit;
pub mod uploads;
pub mod vault;
pub mod walk;
pub mod watch;
