//! Arguments of the commands that look at an environment, and work on what runs in it.

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use super::{Format, duration};

/// Arguments of `stats`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist stats staging\n  hoist stats staging --format json\n  hoist stats staging --format prometheus > /var/lib/node_exporter/hoist.prom"
)]
pub(crate) struct Stats {
    /// The environment.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: StatsFormat,
}

/// How usage is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatsFormat {
    /// For people; on a terminal again each second, until Ctrl-C.
    Table,
    /// For programs, once.
    Json,
    /// For Prometheus and its like, once.
    Prometheus,
}

/// Arguments of `events`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist events staging\n  hoist events staging --since 1h --follow\n  hoist events staging --format json"
)]
pub(crate) struct Events {
    /// The environment.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// Only what happened so long ago or later, such as 10m; all that the engine remembers if left
    /// out.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// Go on with what happens from now on, until Ctrl-C.
    #[arg(long)]
    pub(crate) follow: bool,
    /// What to write; JSON has one object a line.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

/// Arguments of `diagnose`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Exit codes: 0 nothing is wrong, 1 something is.")]
pub(crate) struct Diagnose {
    /// The environment.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

/// Arguments of `restart`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Restart {
    /// The environment.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// Only this service.
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
}

/// Arguments of `exec`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist exec staging web -- sh\n  hoist exec staging web --replica 2 -- env\n  hoist exec staging db -- pg_dump shop > shop.sql\n\nThe exit code is that of the command."
)]
pub(crate) struct Exec {
    /// The environment.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// The service.
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// Which of its replicas; the first if left out.
    #[arg(long, value_name = "N")]
    pub(crate) replica: Option<u32>,
    /// The command and its arguments.
    #[arg(value_name = "COMMAND", last = true, required = true)]
    pub(crate) command: Vec<String>,
}
