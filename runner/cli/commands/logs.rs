//! `hoist logs`: prints the log of a step, or of a service beside it, whole and as the run folder
//! has it; or what the containers of an environment print, as its engine has it.

use std::io::{IsTerminal, Write};

use hoist_engine::release::{Logs, LogsOf};
use hoist_engine::secrets::Secrets;
use hoist_engine::store::{Store, StoredRun};
use hoist_model::ids::StepId;
use hoist_model::reason::{Trouble, Verdict};
use hoist_model::seen::Names;
use hoist_report::seen::logs::{Lines, Shown};
use tokio::sync::mpsc;

use super::{Outcome, print, say, table, until_signal};
use crate::args;
use crate::exit::CliError;
use crate::options::Options;

/// Lines that wait for who prints them.
const WAITING: usize = 1024;

pub(super) async fn execute(args: &args::Logs, options: &Options) -> Outcome {
    match &args.env {
        Some(environment) => until_signal(deployed(environment, args, options)).await,
        None => of_step(args, options),
    }
}

/// What is deployed to an environment prints.
async fn deployed(environment: &str, args: &args::Logs, options: &Options) -> Outcome {
    let (project, backend) = super::environment(options, environment).await?;
    let redactor = Secrets::known(&project.plan, &options.root, &options.environment);
    let redactor = redactor.map_err(CliError::trouble)?;
    let wanted = LogsOf {
        project: &project.plan.name,
        environment,
        service: args.step.as_deref(),
        proxies: args.proxy,
        since: args.since,
        tail: args.tail,
    };
    let logs = Logs::find(backend.as_ref(), wanted).await?;
    let names = Names::new(logs.instances());
    if names.count() == 0 {
        say(&format!("nothing is deployed to {environment}\n"));
    }
    let terminal = std::io::stdout().is_terminal();
    let shown = Shown {
        // Whoever follows all of an environment may meet others later.
        named: names.count() > 1 || (args.follow && args.step.is_none()),
        colour: options.colour_out,
        terminal,
    };
    let instances: Vec<_> = logs.instances().collect();
    let mut lines = Lines::new(instances.into_iter(), shown);
    let (to, mut from) = mpsc::channel(WAITING);
    let giving = async {
        let to = to;
        let given = match args.follow {
            true => logs.follow(&to).await,
            false => logs.past(&to).await,
        };
        given.map_err(CliError::trouble)
    };
    let printing = async {
        let mut waiting = Vec::new();
        while from.recv_many(&mut waiting, WAITING).await > 0 {
            let mut out = std::io::stdout().lock();
            for line in waiting.drain(..) {
                let masked = redactor.redact_bytes(&line.bytes);
                out.write_all(&lines.line(&line.instance, &masked))?;
            }
            out.flush()?;
        }
        Ok(())
    };
    tokio::try_join!(giving, printing)?;
    Ok(Verdict::Passed)
}

fn of_step(args: &args::Logs, options: &Options) -> Outcome {
    let run = find(&Store::new(&options.root), args.run.as_deref())?;
    let state = run.state().map_err(CliError::trouble)?;
    let Some(step) = &args.step else {
        let rows = state.steps.iter().map(|step| {
            let ending = step
                .ending()
                .map_or_else(|| "running".to_owned(), hoist_report::words::ending);
            vec![step.id().to_string(), ending]
        });
        let rows: Vec<_> = rows.collect();
        print(&format!("run {}\n{}", run.id, table(&rows)))?;
        return Ok(Verdict::Passed);
    };
    let step = StepId::from(step.as_str());
    let path = match &args.service {
        Some(service) => run.service_log(&step, args.attempt, service),
        None => run.log(&step, args.attempt),
    };
    let path = path.map_err(CliError::usage)?;
    let mut log = match std::fs::File::open(&path) {
        Ok(log) => log,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(CliError::usage(Trouble::new(format!(
                "step `{step}` printed nothing in run {}",
                run.id
            ))));
        }
        Err(error) => {
            return Err(CliError::surroundings(
                format!("cannot read {}", path.display()),
                error.to_string(),
            ));
        }
    };
    let mut out = std::io::stdout().lock();
    std::io::copy(&mut log, &mut out)?;
    out.flush()?;
    Ok(Verdict::Passed)
}

/// The run of that ID, or the newest.
pub(super) fn find(store: &Store, id: Option<&str>) -> Result<StoredRun, CliError> {
    match id {
        Some(id) => store.find(id).map_err(CliError::usage),
        None => store.latest().map_err(CliError::trouble)?.ok_or_else(|| {
            CliError::usage(Trouble::new("there is no run yet").hint("start one with `hoist run`"))
        }),
    }
}
