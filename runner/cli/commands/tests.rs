//! `hoist tests`: shows the tests of a run, or one test over the runs, as the run folders have
//! them. How the tests ended is no matter of the exit code.

use hoist_engine::store::Store;
use hoist_model::reason::{Trouble, Verdict};
use hoist_model::results::{History, list};
use hoist_report::junit;
use hoist_report::results::{self, Selection, Style, history_json, history_markdown, history_text};

use super::{Outcome, logs, print, say};
use crate::args::{self, TestsFormat};
use crate::exit::CliError;
use crate::options::Options;

/// How many runs a history looks at if nothing is said.
const RUNS: usize = 20;

pub(super) fn execute(args: &args::Tests, options: &Options) -> Outcome {
    let store = Store::new(&options.root);
    let text = match &args.history {
        Some(name) => past(args, name, &store, options)?,
        None => of_run(args, &store, options)?,
    };
    print(&text)?;
    Ok(Verdict::Passed)
}

fn of_run(args: &args::Tests, store: &Store, options: &Options) -> Result<String, CliError> {
    let run = logs::find(store, args.run.as_deref())?;
    let state = run.state().map_err(CliError::trouble)?;
    let tests = list(&state);
    let selection = Selection {
        failed: args.failed,
        most: match args.limit {
            Some(0) => Some(usize::MAX),
            limit => limit,
        },
    };
    let style = Style {
        colour: options.colour_out,
        verbose: options.verbose,
    };
    Ok(match args.format {
        TestsFormat::Text => results::text(&state, &tests, selection, style),
        TestsFormat::Json => results::json(&state, &tests, selection),
        TestsFormat::Markdown => results::markdown(&state, &tests, selection),
        TestsFormat::Junit => {
            let (shown, _) = selection.of(&tests);
            let mut out = Vec::new();
            junit::write_tests(&state, shown, &mut out).map_err(|error| {
                CliError::surroundings("JUnit cannot be written", error.to_string())
            })?;
            String::from_utf8_lossy(&out).into_owned() + "\n"
        }
    })
}

fn past(
    args: &args::Tests,
    name: &str,
    store: &Store,
    options: &Options,
) -> Result<String, CliError> {
    if args.format == TestsFormat::Junit {
        let trouble = Trouble::new("a history cannot be written as JUnit")
            .hint("`--format json` is for programs, `--format markdown` for comments");
        return Err(CliError::usage(trouble));
    }
    let runs = store.list().map_err(CliError::trouble)?;
    let most = match args.limit {
        Some(0) => runs.len(),
        limit => limit.unwrap_or(RUNS),
    };
    let mut history = History::new(name);
    let mut looked_at = 0;
    for run in runs.iter().take(most) {
        match run.state() {
            Ok(state) => {
                looked_at += 1;
                history.add(run.id, &state);
            }
            // One run that is broken does not hide all others.
            Err(trouble) => {
                let cause = trouble.cause.unwrap_or_default();
                say(&format!(
                    "warning: {}; it is left out: {cause}\n",
                    trouble.what
                ));
            }
        }
    }
    if history.tests().is_empty() {
        let runs = hoist_report::words::count(looked_at, "run");
        let trouble = Trouble::new(format!("no test in {runs} is called `{name}`"))
            .hint("`hoist tests -n 0` lists the tests of the newest run");
        return Err(CliError::usage(trouble));
    }
    Ok(match args.format {
        TestsFormat::Json => history_json(&history),
        TestsFormat::Markdown => history_markdown(&history),
        TestsFormat::Text | TestsFormat::Junit => history_text(&history, options.colour_out),
    })
}
