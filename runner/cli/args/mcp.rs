//! What users type after `hoist mcp`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use hoist_mcp::Listen;

/// Arguments of `mcp`.
#[derive(Debug, ClapArgs)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  hoist mcp --root .\n  hoist mcp --root . --read-only\n  hoist mcp --root . --allow-deploy staging --log mcp.log\n  hoist mcp --root . --http 127.0.0.1:8808\n  hoist mcp install cursor --write"
)]
pub(crate) struct Mcp {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub(crate) instead: Option<Instead>,
    /// A folder in which projects may be, again for each; the project's folder if left out.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Vec<PathBuf>,
    /// Offer only what changes nothing: no runs are started or cancelled.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Let deploys to this environment through, again for each; without it a deploy is refused.
    #[arg(long, value_name = "ENV")]
    pub(crate) allow_deploy: Vec<String>,
    /// Let services of deploys have the host's network, where pipeline.toml says so; without it such
    /// a deploy is refused.
    #[arg(long)]
    pub(crate) allow_host_network: bool,
    /// Write down each call in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Serve over HTTP, on ADDRESS:PORT or unix:PATH, instead of standard input and output. Clients
    /// must show a token.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<Listen>,
    /// Read the token from this file. Without it: the variable `HOIST_MCP_TOKEN`, else a token that
    /// hoist makes and keeps.
    #[arg(long, value_name = "FILE", requires = "http")]
    pub(crate) token_file: Option<PathBuf>,
    /// Let other machines in. Nothing is encrypted: put a proxy with TLS before it.
    #[arg(long, requires = "http")]
    pub(crate) allow_remote: bool,
    /// A name by which clients may call this machine, as a proxy has it; again for each.
    #[arg(long, value_name = "HOST", requires = "http")]
    pub(crate) allow_host: Vec<String>,
    /// Pages of this origin may call, besides those of this machine; again for each.
    #[arg(long, value_name = "ORIGIN", requires = "http")]
    pub(crate) allow_origin: Vec<String>,
}

/// What `mcp` can do besides serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Instead {
    /// Print what a client must be told to start the server, or write it into the client's file.
    Install(Install),
}

/// Arguments of `mcp install`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist mcp install claude\n  hoist mcp install vscode --write\n  hoist mcp install cursor --root ~/one --root ~/two --write"
)]
pub(crate) struct Install {
    /// The client.
    #[arg(value_name = "CLIENT")]
    pub(crate) client: Client,
    /// A folder in which projects may be, again for each; the project's folder if left out.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Vec<PathBuf>,
    /// Write it into the client's file in the project's folder; what else is in there stays.
    #[arg(long)]
    pub(crate) write: bool,
}

/// A client of MCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// Claude Code: `.mcp.json`.
    Claude,
    /// Cursor: `.cursor/mcp.json`.
    Cursor,
    /// Visual Studio Code: `.vscode/mcp.json`.
    Vscode,
}
