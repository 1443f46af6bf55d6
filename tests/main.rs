//! Tests over the built `hoist`, as its users have it: exit codes, what is printed, what is left on
//! a real engine. What can be tested without a process is tested in its crate.

mod support;

mod bad_input;
mod commands;
mod ends;
mod examples;
mod junit;
mod kinds;
mod secrets;
mod tidy;
