//! hoist's renderers. They see the model only and write to whatever they are given: a terminal, a
//! file, a string. They refuse to decide anything about a run, to mask (what reaches them is masked
//! already), and to find out where they are: colour and width are handed in.

pub mod changes;
pub mod context;
pub mod diagnostics;
pub mod explain;
pub mod gc;
pub mod jsonl;
pub mod junit;
pub mod lines;
pub mod plain;
pub mod plan;
pub mod results;
pub mod runs;
#[cfg(test)]
mod sample;
pub mod sarif;
pub mod seen;
pub mod style;
pub mod summary;
pub mod tty;
pub mod words;
pub mod written;
