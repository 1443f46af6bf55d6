//! What users type, as clap reads it. No defaults are worked out here and nothing is looked at:
//! that is `options`' part.

mod mcp;
mod releases;
mod seeing;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub(crate) use mcp::{Client, Install, Instead, Mcp};
pub(crate) use releases::{Promote, Proxy, ProxyWhat, Releases, Rollback, Scale};
pub(crate) use seeing::{Diagnose, Events, Exec, Restart, Stats, StatsFormat};

/// Takes a project from source to running service in containers.
#[derive(Debug, Parser)]
#[command(
    name = "hoist",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 passed, 1 a step failed, 2 usage or file, 3 a gate failed, \
                  4 surroundings, 5 a deploy failed, 6 not approved, 124 timed out, \
                  130/143 interrupted."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command has.
#[derive(Debug, ClapArgs)]
pub(crate) struct Global {
    /// Work in this folder instead of the nearest one upwards that holds a pipeline.toml.
    #[arg(
        short = 'C',
        long,
        global = true,
        value_name = "DIR",
        env = "HOIST_DIRECTORY"
    )]
    pub(crate) directory: Option<PathBuf>,
    /// Read this file instead of the project's pipeline.toml.
    #[arg(short, long, global = true, value_name = "FILE", env = "HOIST_FILE")]
    pub(crate) file: Option<PathBuf>,
    /// How a run is shown.
    #[arg(
        long,
        global = true,
        value_name = "MODE",
        env = "HOIST_PROGRESS",
        default_value = "auto"
    )]
    pub(crate) progress: Progress,
    /// Whether colour is used.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        env = "HOIST_COLOR",
        default_value = "auto"
    )]
    pub(crate) color: When,
    /// Show only how a run ended; the same as --progress quiet.
    #[arg(short, long, global = true, env = "HOIST_QUIET", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) quiet: bool,
    /// Show all failing tests and findings, however many.
    #[arg(short, long, global = true, env = "HOIST_VERBOSE", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) verbose: bool,
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// `tty` on a terminal, else `plain`.
    Auto,
    /// Live, on a terminal only.
    Tty,
    /// Lines with the step's name before them.
    Plain,
    /// Events on standard output, one JSON object a line.
    #[value(alias = "rawjson")]
    Json,
    /// Only how it ended.
    Quiet,
}

/// Whether colour is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// As NO_COLOR, CLICOLOR_FORCE, CLICOLOR and the terminal say.
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the pipeline, or some steps and what they need.
    Run(Run),
    /// Run again whenever a file changes that the steps are sent.
    Watch(Watch),
    /// Open a shell as a step would find it, in place of its command; on a terminal only.
    Shell(Shell),
    /// Check the file; needs no engine.
    Validate,
    /// Show what would be run, which needs no engine, or what a deploy would change.
    Plan(Plan),
    /// Show what a step would be sent of the project; needs no engine.
    Context(Context),
    /// Say why a step of a run ran or did not.
    Explain(Explain),
    /// Show the log of a step of a run, or of what is deployed to an environment.
    Logs(Logs),
    /// Show the tests of a run: failed first, then flaky, then the slowest.
    Tests(Tests),
    /// Do a run again, or what failed in it.
    Rerun(Rerun),
    /// List the runs, the newest first.
    Runs(Runs),
    /// Stop a run that goes on, from elsewhere.
    Cancel(Cancel),
    /// Show what hoist has deployed, or all that the project has on its engines.
    Ps(Ps),
    /// Go back to an earlier release of an environment; nothing is built or scanned.
    Rollback(Rollback),
    /// Release to an environment the very images that serve in another one; nothing is built or
    /// scanned.
    Promote(Promote),
    /// Change how many containers a service of an environment has.
    Scale(Scale),
    /// Work on the proxies of an environment.
    Proxy(Proxy),
    /// List what was released to an environment, the newest first.
    Releases(Releases),
    /// Show what the containers of an environment use, live on a terminal.
    Stats(Stats),
    /// Show what happened to the containers of an environment.
    Events(Events),
    /// Say what is wrong in an environment, and what to do.
    Diagnose(Diagnose),
    /// Start the services of an environment again, one container after the other.
    Restart(Restart),
    /// Run a command in a container of a service.
    Exec(Exec),
    /// Remove what hoist has deployed to an environment.
    Down(Down),
    /// Free the lock of an environment whose owner is dead.
    Unlock(Unlock),
    /// Remove what runs left behind and nobody uses: images, caches, run folders.
    Gc(Gc),
    /// Serve agents over the Model Context Protocol.
    Mcp(Mcp),
    /// Write a pipeline.toml that fits the project.
    Init(Init),
    /// Look whether all is there that hoist needs.
    Doctor(Doctor),
    /// Print the JSON Schema of pipeline.toml.
    Schema,
    /// Print the completions for a shell.
    Completions(Completions),
    /// Cleans up after a runner that was killed; started by hoist itself.
    #[command(name = "__reap", hide = true)]
    Reap,
}

/// Which steps. A pattern has `*` for any characters and `?` for one.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Selection {
    /// Only these steps, and what they need.
    #[arg(value_name = "STEP")]
    pub(crate) steps: Vec<String>,
    /// Begin with the steps like this pattern: they and what needs them, with the builds and gates
    /// of those; what else comes before counts as done.
    #[arg(long, value_name = "PATTERN", conflicts_with = "steps")]
    pub(crate) from: Vec<String>,
    /// Only the steps like this pattern, with their builds and gates; what else comes before counts
    /// as done.
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["steps", "from"])]
    pub(crate) only: Vec<String>,
    /// Leave out the steps like this pattern, and what uses what they make.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) skip: Vec<String>,
}

/// Arguments of `run`.
#[derive(Debug, Default, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist run\n  hoist run unit\n  hoist run --from unit --skip \"deploy-*\"\n  hoist run --fail-fast --jobs 2\n  hoist run --dry-run"
)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// How many steps run at once; by default twice the processors, at least 4.
    #[arg(short, long, value_name = "N", env = "HOIST_JOBS", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Stop everything at the first failure.
    #[arg(long, env = "HOIST_FAIL_FAST", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) fail_fast: bool,
    /// The longest that the run may take, such as 30m, instead of the file's `timeout`; exit code
    /// 124 after that.
    #[arg(long, value_name = "DURATION", env = "HOIST_TIMEOUT", value_parser = duration)]
    pub(crate) timeout: Option<std::time::Duration>,
    /// How long a deploy waits for another one to the same environment, such as 5m; 10s if nothing
    /// is said.
    #[arg(long, value_name = "DURATION", env = "HOIST_LOCK_WAIT", value_parser = duration)]
    pub(crate) lock_wait: Option<std::time::Duration>,
    /// Do everything anew, each instruction of a build again: nothing is taken from earlier runs.
    #[arg(long, env = "HOIST_NO_CACHE", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_cache: bool,
    /// Do these steps anew; `*` and `?` stand for any text and any character.
    #[arg(long, value_name = "STEP")]
    pub(crate) no_cache_filter: Vec<String>,
    /// Open a shell in the container of a step that failed; on a terminal only.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) shell_on_failure: bool,
    /// The shell that is opened then.
    #[arg(long, value_name = "PROGRAM", default_value = "sh")]
    pub(crate) shell: String,
    /// Approve of the deploy whose changes have this digest, as a run that was not approved said it;
    /// can be given more than once.
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    pub(crate) approve: Vec<String>,
    /// Deploy images although they did not pass the scans and tests for which the deploy waits; the
    /// history says so.
    #[arg(long)]
    pub(crate) force_unverified: bool,
    /// Let services of deploys have the host's network, where pipeline.toml says so with
    /// `network_mode = "host"`.
    #[arg(long)]
    pub(crate) allow_host_network: bool,
    /// Show the plan and run nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Arguments of `watch`: those of `run`, and its own.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist watch\n  hoist watch unit\n  hoist watch --skip \"deploy-*\" --no-clear"
)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) run: Run,
    /// Leave what earlier runs showed on the screen.
    #[arg(long, env = "HOIST_NO_CLEAR", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_clear: bool,
}

/// Arguments of `shell`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist shell unit\n  hoist shell \"unit[python=3.12]\"\n  hoist shell 4f1c unit --shell bash"
)]
pub(crate) struct Shell {
    /// The step; before it, where its image is to be that of an earlier run, the beginning or the
    /// end of the run's ID.
    #[arg(value_name = "[RUN] STEP", required = true, num_args = 1..=2)]
    pub(crate) target: Vec<String>,
    /// The shell.
    #[arg(long, value_name = "PROGRAM", default_value = "sh")]
    pub(crate) shell: String,
}

pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    hoist_model::quantity::duration(text).map_err(|error| error.to_string())
}

fn digest(text: &str) -> Result<String, String> {
    let least = crate::approval::SHORTEST;
    let digits = text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    match digits && text.len() >= least {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a digest has at least {least} digits, each of 0 to 9 or a to f"
        )),
    }
}

/// Arguments of `plan`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist plan\n  hoist plan --format dot | dot -Tsvg\n  hoist plan --deploy staging"
)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Show what the deploy to this environment would change there instead, and the digest that
    /// --approve takes; needs the engine, and changes nothing on it.
    #[arg(long, value_name = "ENV", conflicts_with_all = ["steps", "from", "only", "skip"])]
    pub(crate) deploy: Option<String>,
    /// Look although a service of the deploy would have the host's network, as a run with this flag.
    #[arg(long, requires = "deploy")]
    pub(crate) allow_host_network: bool,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: PlanFormat,
}

/// How a plan is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For Graphviz.
    Dot,
}

/// Arguments of `context`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Context {
    #[command(subcommand)]
    pub(crate) what: ContextWhat,
}

/// What of a context is shown.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextWhat {
    /// List what would be sent, with sizes.
    Ls(ContextLs),
    /// Show the heaviest folders and files of it.
    Top(ContextTop),
}

/// Arguments of `context ls`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist context ls\n  hoist context ls image --ignored\n  hoist context ls image --format json"
)]
pub(crate) struct ContextLs {
    /// A build, or a step that gets a copy of the project; the only build if left out.
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// List what is left out instead, each with the rule that keeps it out.
    #[arg(long)]
    pub(crate) ignored: bool,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

/// Arguments of `context top`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ContextTop {
    /// A build, or a step that gets a copy of the project; the only build if left out.
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// How many folders and files.
    #[arg(short = 'n', long = "lines", value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) lines: u16,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

/// Arguments of `explain`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Explain {
    /// The step.
    #[arg(value_name = "STEP")]
    pub(crate) step: String,
    /// The run, by the beginning or the end of its ID; the latest if left out.
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

/// Arguments of `logs`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist logs unit\n  hoist logs unit --attempt 1\n  hoist logs --env staging\n  hoist logs --env staging web --follow --tail 20"
)]
pub(crate) struct Logs {
    /// The step; without one, the steps that have a log are listed. With --env, the service.
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// The run, by the beginning of its ID; the latest if left out.
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// The attempt at the step, from 1; the last if left out.
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,
    /// A service beside the step, whose log is printed instead of the step's.
    #[arg(long, value_name = "NAME", requires = "step")]
    pub(crate) service: Option<String>,
    /// What is deployed to this environment prints, instead of a step.
    #[arg(long, value_name = "ENV", conflicts_with_all = ["run", "attempt", "service"])]
    pub(crate) env: Option<String>,
    /// Go on with what is printed from now on, until Ctrl-C.
    #[arg(long, requires = "env")]
    pub(crate) follow: bool,
    /// Only what was printed so long ago or later, such as 10m.
    #[arg(long, value_name = "DURATION", requires = "env", value_parser = duration)]
    pub(crate) since: Option<std::time::Duration>,
    /// Of each container only so many of the last lines.
    #[arg(short = 'n', long, value_name = "N", requires = "env")]
    pub(crate) tail: Option<usize>,
    /// The lines of proxies, too.
    #[arg(long, requires = "env", conflicts_with = "step")]
    pub(crate) proxy: bool,
}

/// Arguments of `tests`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist tests\n  hoist tests --failed -v\n  hoist tests --format markdown >> \"$GITHUB_STEP_SUMMARY\"\n  hoist tests --history 'test_cart*'"
)]
pub(crate) struct Tests {
    /// The run, by the beginning or the end of its ID; the newest if left out.
    #[arg(value_name = "RUN", conflicts_with = "history")]
    pub(crate) run: Option<String>,
    /// Only tests that failed.
    #[arg(long, conflicts_with = "history")]
    pub(crate) failed: bool,
    /// One test over the runs: a part of its name, or all of it with `*` and `?`.
    #[arg(long, value_name = "NAME")]
    pub(crate) history: Option<String>,
    /// At most so many tests, or runs of a history; 0 for all.
    #[arg(short = 'n', long = "limit", value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: TestsFormat,
}

/// How tests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestsFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For CI systems.
    Junit,
    /// For summaries and comments.
    Markdown,
}

/// Arguments of `rerun`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  hoist rerun --failed\n  hoist rerun f8c3e2bf")]
pub(crate) struct Rerun {
    /// The run, by the beginning or the end of its ID; the newest if left out.
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Only what failed, and what needs it; the rest is taken as it was.
    #[arg(long)]
    pub(crate) failed: bool,
    /// How many steps run at once; by default twice the processors, at least 4.
    #[arg(short, long, value_name = "N", env = "HOIST_JOBS", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Stop everything at the first failure.
    #[arg(long, env = "HOIST_FAIL_FAST", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) fail_fast: bool,
    /// Deploy images although they did not pass the scans and tests for which the deploy waits; the
    /// history says so.
    #[arg(long)]
    pub(crate) force_unverified: bool,
    /// Let services of deploys have the host's network, where pipeline.toml says so with
    /// `network_mode = "host"`.
    #[arg(long)]
    pub(crate) allow_host_network: bool,
}

/// Arguments of `runs`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Runs {
    /// At most so many; 0 for all.
    #[arg(short = 'n', long = "limit", value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

/// Arguments of `cancel`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Cancel {
    /// The run, by the beginning or the end of its ID; `hoist runs` lists them.
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
}

/// Arguments of `ps`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Ps {
    /// Only this environment.
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<String>,
    /// All containers, images, networks and volumes of the project with their sizes, what runs left
    /// behind among them.
    #[arg(long, conflicts_with = "environment")]
    pub(crate) all: bool,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

/// How a listing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Arguments of `down`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Down {
    /// The environment.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// Remove its named volumes too, and the data in them.
    #[arg(long)]
    pub(crate) volumes: bool,
}

/// Arguments of `unlock`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Unlock {
    /// The environment.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
    /// Take the lock from a run that is alive, too; it stops before it does anything else.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Arguments of `gc`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  hoist gc --dry-run\n  hoist gc\n  hoist gc --keep 1 --max-size 10g\n  hoist gc --dry-run --all-projects"
)]
pub(crate) struct Gc {
    /// Show what would go, and remove nothing; -v shows what would stay, too.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many of the newest stay, instead of what the file says.
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<u32>,
    /// How long something may be unused, such as 72h, instead of what the file says.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) max_age: Option<std::time::Duration>,
    /// What all of it may take, such as 20g, instead of what the file says.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_size: Option<u64>,
    /// Look at the images and caches of other projects on the engine, too.
    #[arg(long)]
    pub(crate) all_projects: bool,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

fn size(text: &str) -> Result<u64, String> {
    hoist_model::quantity::size(text).map_err(|error| error.to_string())
}

/// Arguments of `init`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Init {
    /// What the project is written in; found out if left out.
    #[arg(value_name = "STACK")]
    pub(crate) stack: Option<Stack>,
}

/// What a project is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stack {
    /// Cargo.
    Rust,
    /// Go modules.
    Go,
    /// npm.
    Node,
    /// pip.
    Python,
}

/// Arguments of `doctor`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Doctor {
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

/// Arguments of `completions`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}
