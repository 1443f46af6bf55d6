//! Arguments of the commands that look at what was released, and release it elsewhere, again or in
//! another number.

use clap::{Args as ClapArgs, Subcommand};

use super::Format;

/// Arguments of `rollback`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  hoist rollback staging\n  hoist rollback staging --to 7")]
pub(crate) struct Rollback {
    /// The environment.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// The number of the release, as `hoist releases` shows it; the one before if nothing is said.
    #[arg(long, value_name = "RELEASE")]
    pub(crate) to: Option<u64>,
    /// Approve of the change with this digest.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) approve: Vec<String>,
    /// Go back although the history does not say that the images passed their scans and tests.
    #[arg(long)]
    pub(crate) force_unverified: bool,
    /// Let services have the host's network, where the release has such.
    #[arg(long)]
    pub(crate) allow_host_network: bool,
}

/// Arguments of `promote`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  hoist promote production --from staging")]
pub(crate) struct Promote {
    /// The environment that gets them; its settings are those of its deploy in the file.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// The environment where they serve.
    #[arg(long, value_name = "ENV")]
    pub(crate) from: String,
    /// Approve of the change with this digest.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) approve: Vec<String>,
    /// Promote although the other environment's history does not say that the images passed their
    /// scans and tests.
    #[arg(long)]
    pub(crate) force_unverified: bool,
    /// Let services have the host's network, where the release has such.
    #[arg(long)]
    pub(crate) allow_host_network: bool,
}

/// Arguments of `scale`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist scale staging web=5\n  hoist scale staging web=2 worker=3"
)]
pub(crate) struct Scale {
    /// The environment.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// Services, each with the number of containers that it is to have.
    #[arg(value_name = "SERVICE=N", required = true, value_parser = replicas)]
    pub(crate) services: Vec<(String, u32)>,
    /// Approve of the change with this digest.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) approve: Vec<String>,
}

fn replicas(text: &str) -> Result<(String, u32), String> {
    let hint = || "write it like `web=3`".to_owned();
    let (service, count) = text.split_once('=').ok_or_else(hint)?;
    match count.parse() {
        Ok(count @ 1..=100) if !service.is_empty() => Ok((service.to_owned(), count)),
        Ok(_) => Err("a service has 1 to 100 containers".to_owned()),
        Err(_) => Err(hint()),
    }
}

/// Arguments of `proxy`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Proxy {
    #[command(subcommand)]
    pub(crate) what: ProxyWhat,
}

/// What is done to proxies.
#[derive(Debug, Subcommand)]
pub(crate) enum ProxyWhat {
    /// Replace them by the image that is configured now, one after the other; for a moment nobody
    /// gets through each.
    Upgrade(UpgradeProxies),
}

/// Arguments of `proxy upgrade`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  hoist proxy upgrade staging")]
pub(crate) struct UpgradeProxies {
    /// The environment.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// Approve of the change with this digest.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) approve: Vec<String>,
}

/// Arguments of `releases`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Releases {
    /// The environment.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// Look whether all entries are there and as they were written; exit code 1 if not.
    #[arg(long)]
    pub(crate) verify: bool,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}
