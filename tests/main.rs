//! Tests over the built `hoist`, as its users have it: exit codes, what is printed, what is left on
//! a real engine. What can be tested without a process is tested in its crate.

#[cfg(test)]
mod support;

// Marked as tests, so that the lints for what runs for users leave them be.
#[cfg(test)]
mod approvals;
#[cfg(test)]
mod attempts;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod builds_around;
#[cfg(test)]
mod builds_ends;
#[cfg(test)]
mod caching;
#[cfg(test)]
mod clones;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod conditions;
#[cfg(test)]
mod context;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod diagnostics;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod elsewhere;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod gc;
#[cfg(test)]
mod history;
#[cfg(test)]
mod host_network;
#[cfg(test)]
mod junit;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod load;
#[cfg(test)]
mod locks;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod mcp;
#[cfg(test)]
mod mcp_clients;
#[cfg(test)]
mod mcp_http;
#[cfg(test)]
mod mcp_install;
#[cfg(test)]
mod memory_secrets;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod passing;
#[cfg(test)]
mod preview;
#[cfg(test)]
mod rerun;
#[cfg(test)]
mod results;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod seeing;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod shell;
#[cfg(test)]
mod stops;
#[cfg(test)]
mod switching;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod traffic;
#[cfg(test)]
mod verified;
#[cfg(test)]
mod watch;
