//! `hoist run`: runs the pipeline, or some steps and what they need.

use std::ffi::OsString;
use std::sync::Arc;

use hoist_engine::release::{LOCK_WAIT, host_network_refused};
use hoist_engine::run::{ReaperCommand, RunRequest, RunSummary};
use hoist_engine::secrets::Secrets;
use hoist_engine::shell::{Occasion, Shells};
use hoist_model::glob;
use hoist_model::inputs::Force;
use hoist_model::plan::Plan;
use hoist_model::reason::{Signal, Trouble, Verdict};
use hoist_model::reporter::Reporter;
use hoist_model::unit::{ReleaseDeed, Unit};
use hoist_report::{jsonl::JsonLines, plain::Plain, summary, tty::Tty, written::Written};
use indicatif::ProgressDrawTarget;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::{Outcome, connector, print, say};
use crate::approval::Starter;
use crate::args::{self, Progress};
use crate::exit::CliError;
use crate::options::{Options, size};
use crate::project;
use crate::terminal::WithoutEcho;
use crate::visitor::{Clear, Gate, Held, Visitor, needs_terminal};

pub(super) async fn execute(args: &args::Run, options: &Options) -> Outcome {
    if args.shell_on_failure {
        needs_terminal("--shell-on-failure")?;
    }
    let project = project::read(options)?;
    say(&project.warnings);
    let plan = chosen(&project.plan, args)?;
    if args.dry_run {
        print(&hoist_report::plan::text(&plan, options.colour_out))?;
        return Ok(Verdict::Passed);
    }
    let mut request = request(plan, project.git.sha, args, options, signals()?)?;
    if args.shell_on_failure {
        let command = vec![args.shell.clone()];
        let gate = Gate::default();
        let (shown, clear) = shown(&request.plan, options);
        let held = Held {
            inner: shown,
            gate: Arc::clone(&gate),
        };
        request.reporters = reporters(&request.plan, options, Box::new(held));
        let visitor = Box::new(Visitor::new(gate, clear));
        request.shells = Some(Arc::new(Shells::new(visitor, command, Occasion::Failure)));
    }
    let _echo = (options.progress == Progress::Tty).then(WithoutEcho::start);
    let summary = go(request).await?;
    Ok(summary.verdict)
}

/// The part of the plan that is asked for, as it is asked for.
pub(super) fn chosen(plan: &Plan, args: &args::Run) -> Result<Plan, CliError> {
    let mut plan = project::choose_for(plan, &args.selection, args.force_unverified)?;
    do_anew(&mut plan, args)?;
    Ok(plan)
}

/// What the engine is asked for. Secrets are read here.
pub(super) fn request(
    plan: Plan,
    commit: Option<String>,
    args: &args::Run,
    options: &Options,
    signals: mpsc::Receiver<Signal>,
) -> Result<RunRequest, CliError> {
    allowed(&plan, args)?;
    let secrets = Secrets::read(&plan, &options.root, &options.environment)
        .map_err(CliError::configuration)?;
    Ok(RunRequest {
        redactor: secrets.redactor(),
        secrets: Arc::new(secrets),
        reporters: reporters(&plan, options, shown(&plan, options).0),
        root: options.root.clone(),
        shared: options.cache(),
        jobs: args.jobs.map_or_else(jobs, usize::from),
        fail_fast: args.fail_fast,
        timeout: args.timeout.or(plan.timeout),
        lock_wait: args.lock_wait.unwrap_or(LOCK_WAIT),
        force_unverified: args.force_unverified,
        allow_host_network: args.allow_host_network,
        plan: Arc::new(plan),
        approver: Arc::new(Starter::new(&args.approve, options.progress)),
        connector: connector(options),
        engine: None,
        shells: None,
        rerun: None,
        signals,
        reaper: reaper(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit,
    })
}

/// What the file alone cannot have is asked for at once, and not when a deploy's turn has come.
fn allowed(plan: &Plan, args: &args::Run) -> Result<(), CliError> {
    let steps = plan.steps.iter().filter(|step| step.skip.is_none());
    let mut refused = steps.filter_map(|step| match &step.unit {
        // Which services come back only the history says.
        Unit::Release(unit) if matches!(unit.deed, ReleaseDeed::Rollback { .. }) => None,
        Unit::Release(unit) => host_network_refused(unit),
        Unit::Container(_) | Unit::Build(_) | Unit::Push(_) => None,
    });
    match refused.next().filter(|_| !args.allow_host_network) {
        Some(trouble) => Err(CliError::configuration(vec![trouble])),
        None => Ok(()),
    }
}

/// Runs it.
pub(super) async fn go(request: RunRequest) -> Result<RunSummary, CliError> {
    hoist_engine::run::run(request).await.map_err(|error| {
        let mut said = CliError::trouble(error.trouble());
        said.verdict = error.verdict();
        said
    })
}

/// Makes the steps that are to be done anew take nothing from earlier runs.
fn do_anew(plan: &mut Plan, args: &args::Run) -> Result<(), CliError> {
    let mut unknown: Vec<&String> = args.no_cache_filter.iter().collect();
    for step in &mut plan.steps {
        let named = |pattern: &&String| glob::matches(pattern, step.id.as_str());
        let wanted = args.no_cache || args.no_cache_filter.iter().any(|pattern| named(&pattern));
        match &mut step.unit {
            Unit::Build(unit) if wanted => {
                unit.no_cache = true;
                unit.no_cache_filter.clear();
            }
            Unit::Container(unit) if wanted => {
                unit.always_runs.get_or_insert(Force::NoCache);
            }
            Unit::Build(_) | Unit::Container(_) => {}
            // They look what is there and trust no cache.
            Unit::Push(_) | Unit::Release(_) => continue,
        }
        unknown.retain(|pattern| !named(pattern));
    }
    match unknown.first() {
        None => Ok(()),
        Some(pattern) => {
            let trouble = Trouble::new(format!("no step like `{pattern}` that is run is cached"));
            Err(CliError::usage(trouble.hint(
                "--no-cache-filter names steps of the kinds `build`, `run` and `scan`",
            )))
        }
    }
}

/// Twice the processors, at least 4: most steps wait for the engine.
fn jobs() -> usize {
    std::thread::available_parallelism().map_or(4, |n| (2 * n.get()).max(4))
}

/// Who shows the run to people, and what takes away what it draws.
fn shown(plan: &Plan, options: &Options) -> (Box<dyn Reporter>, Clear) {
    let summary = summary::Options {
        colour: options.colour_err,
        width: size().0,
        verbose: options.verbose,
        reports: plan.reports.paths().cloned().collect(),
    };
    let out = std::io::stderr;
    let shown: Box<dyn Reporter> = match options.progress {
        Progress::Tty | Progress::Auto => {
            let target = ProgressDrawTarget::stderr_with_hz(20);
            if !target.is_hidden() {
                let tty = Tty::new(target, Box::new(size), summary);
                let clear = tty.clear();
                return (Box::new(tty), clear);
            }
            // A bar that is hidden would swallow every line given to it.
            Box::new(Plain::new(out(), summary))
        }
        Progress::Plain => Box::new(Plain::new(out(), summary)),
        Progress::Quiet => Box::new(Plain::quiet(out(), summary)),
        Progress::Json => Box::new(JsonLines::new(std::io::BufWriter::new(std::io::stdout()))),
    };
    (shown, Box::new(|| {}))
}

fn reporters(plan: &Plan, options: &Options, shown: Box<dyn Reporter>) -> Vec<Box<dyn Reporter>> {
    let mut reporters = vec![shown];
    reporters.extend(files(plan, options));
    reporters
}

/// What writes the reports that the file asks for.
pub(super) fn files(plan: &Plan, options: &Options) -> Vec<Box<dyn Reporter>> {
    let place = |path: &String| options.root.join(path);
    let junit = plan.reports.junit.as_ref();
    let junit = junit.map(|path| Written::junit(place(path)));
    let sarif = plan.reports.sarif.as_ref();
    let sarif = sarif.map(|path| Written::sarif(place(path)));
    let written = junit.into_iter().chain(sarif);
    written
        .map(|report| Box::new(report) as Box<dyn Reporter>)
        .collect()
}

/// The signals that stop a run, from now on; without this they would end the process at once.
pub(super) fn signals() -> Result<mpsc::Receiver<Signal>, CliError> {
    let (send, receive) = mpsc::channel(8);
    let kinds = [
        (SignalKind::interrupt(), Signal::Interrupt),
        (SignalKind::terminate(), Signal::Terminate),
        (SignalKind::hangup(), Signal::Terminate),
    ];
    for (kind, said) in kinds {
        let mut stream = signal(kind).map_err(|error| {
            CliError::surroundings("cannot watch for signals", error.to_string())
        })?;
        let send = send.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if send.send(said).await.is_err() {
                    break;
                }
            }
        });
    }
    Ok(receive)
}

/// hoist itself, as the reaper.
fn reaper() -> Option<ReaperCommand> {
    let program = std::env::current_exe().ok()?;
    Some(ReaperCommand {
        program,
        arguments: vec![OsString::from("__reap")],
    })
}
