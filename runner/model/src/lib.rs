//! hoist's pure core: the file as written, the plan made from it, the events of a run, the state
//! they fold into, and the results that steps bring home.
//!
//! The way of data: bytes -> `spec::PipelineSpec` -> `plan::Plan` -> `event::RunEvent`s ->
//! `state::RunState` -> renderers. This crate refuses to do I/O, to be async, to know colours, and
//! to read the clock or the environment: whatever it needs of the world is handed in.

pub mod attempts;
pub mod changes;
pub mod diag;
pub mod dockerfile;
mod env_file;
pub mod event;
pub mod gc;
pub mod glob;
mod graph;
pub mod ids;
pub mod ignore;
pub mod image;
pub mod inputs;
mod interpolate;
mod millis;
pub mod outputs;
pub mod plan;
pub mod quantity;
pub mod reason;
pub mod redact;
pub mod reporter;
pub mod results;
pub mod schema;
pub mod seen;
pub mod spec;
pub mod state;
pub mod step;
pub mod survey;
pub mod text;
pub mod unit;
