//! `hoist stats`: what the containers of an environment use; on a terminal again and again, until
//! Ctrl-C.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use hoist_engine::backend::Backend;
use hoist_engine::release;
use hoist_model::reason::Verdict;
use hoist_model::seen::{self, Instance, Usage};
use hoist_report::seen::stats as report;
use hoist_report::style::fit;
use tokio::time::{MissedTickBehavior, interval};

use super::{Outcome, print, say, table, until_signal};
use crate::args::{self, StatsFormat};
use crate::exit::CliError;
use crate::options::{Options, dumb};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn execute(args: &args::Stats, options: &Options) -> Outcome {
    until_signal(show(args, options)).await
}

async fn show(args: &args::Stats, options: &Options) -> Outcome {
    let (project, backend) = super::environment(options, &args.environment).await?;
    let look = async || -> Result<Vec<(Instance, Usage)>, CliError> {
        let backend: &dyn Backend = backend.as_ref();
        let used = release::usage(backend, &project.plan.name, &args.environment).await;
        used.map_err(CliError::trouble)
    };
    let mut first = look().await?;
    if args.format == StatsFormat::Prometheus {
        print(&report::prometheus(
            &project.plan.name,
            &args.environment,
            &first,
        ))?;
        return Ok(Verdict::Passed);
    }
    let live = std::io::stdout().is_terminal() && !dumb(&options.environment);
    let mut screen = Screen::default();
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let second = look().await?;
        let measured = seen::measured(&first, second.clone());
        match args.format {
            StatsFormat::Table if live => {
                let mut text = table(&report::rows(&measured));
                if measured.is_empty() {
                    text = format!("nothing runs in {}\n", args.environment);
                }
                screen.draw(&text)?;
                first = second;
                continue;
            }
            StatsFormat::Table if measured.is_empty() => {
                say(&format!("nothing runs in {}\n", args.environment));
            }
            StatsFormat::Table => print(&table(&report::rows(&measured)))?,
            StatsFormat::Json | StatsFormat::Prometheus => print(&report::json(&measured))?,
        }
        return Ok(Verdict::Passed);
    }
}

/// A table that is drawn over itself.
#[derive(Default)]
struct Screen {
    /// Lines that stand there.
    lines: usize,
}

impl Screen {
    /// What has no room is left out: a line that wraps, or one above the screen, could not be drawn
    /// over.
    fn draw(&mut self, text: &str) -> std::io::Result<()> {
        let size = terminal_size::terminal_size_of(std::io::stdout());
        let (columns, rows) = size.map_or((80, 24), |(columns, rows)| {
            (usize::from(columns.0), usize::from(rows.0))
        });
        let room = rows.saturating_sub(1).max(1);
        let mut lines: Vec<String> = text.lines().map(|line| fit(line, columns)).collect();
        if lines.len() > room {
            let more = lines.len() - room + 1;
            lines.truncate(room - 1);
            lines.push(format!("... and {more} more"));
        }
        let mut out = std::io::stdout().lock();
        if self.lines > 0 {
            // Up to where it begins.
            write!(out, "\u{1b}[{}A", self.lines)?;
        }
        for line in &lines {
            writeln!(out, "\r{line}\u{1b}[K")?;
        }
        write!(out, "\u{1b}[J")?;
        self.lines = lines.len();
        out.flush()
    }
}
