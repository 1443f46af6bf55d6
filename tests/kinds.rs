//! One file a step kind: what it does on a real engine.

mod build;
mod push;
mod run;
mod scan;
mod services;
