//! How long it takes to make a plan of 10,000 steps and to dispatch them. Prints one value a line,
//! a name and a number, for `tests/bench/run` to read.

use std::fmt::Write as _;
use std::time::Instant;

use hoist_engine::dispatcher::{Dispatcher, Effect, Input, Policy};
use hoist_model::plan::{self, Entry, Git, Plan, ProjectFiles, Surroundings, ToolSettings};
use hoist_model::reason::Ending;

/// A project without files.
struct NoFiles;

impl ProjectFiles for NoFiles {
    fn entry(&self, _: &str) -> Entry {
        Entry::Missing
    }

    fn read(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

/// A file of so many steps, each after two before it.
fn file(steps: usize) -> String {
    let mut text = "name = \"many\"\n".to_owned();
    for step in 0..steps {
        let _ = write!(
            text,
            "[steps.s{step}]\nimage = \"debian:bookworm-slim\"\nrun = \"true\"\n"
        );
        if step > 2 {
            let _ = writeln!(text, "needs = [\"s{}\", \"s{}\"]", step / 2, step - 1);
        }
    }
    text
}

fn make(text: &str) -> Option<Plan> {
    let spec = hoist_model::spec::parse("pipeline.toml", text).ok()?;
    let surroundings = Surroundings {
        env: Default::default(),
        git: Git::default(),
        files: &NoFiles,
        tools: ToolSettings::default(),
    };
    plan::make(&spec, &surroundings)
        .ok()
        .map(|planned| planned.plan)
}

/// Dispatches a whole plan, every step passing, and gives the number of steps that ended.
fn dispatch(plan: &Plan) -> usize {
    let mut dispatcher = Dispatcher::new(
        plan,
        Policy {
            jobs: 8,
            fail_fast: false,
        },
    );
    let mut running = Vec::new();
    let mut ended = 0;
    let mut input = Input::Start;
    loop {
        for effect in dispatcher.handle(input).0 {
            match effect {
                Effect::Start { ix } | Effect::Retry { ix, .. } => running.push(ix),
                Effect::End { .. } => ended += 1,
                Effect::Stop { .. } | Effect::Stopping { .. } | Effect::Close | Effect::ExitNow => {
                }
            }
        }
        let Some(ix) = running.pop() else {
            return ended;
        };
        input = Input::StepEnded {
            ix,
            ending: Ending::Passed,
        };
    }
}

/// The best of five, seconds.
fn best(mut work: impl FnMut()) -> f64 {
    let times = (0..5).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

#[expect(clippy::print_stdout, reason = "the values are this program's output")]
#[expect(clippy::cast_precision_loss, reason = "counts of steps are small")]
fn main() {
    let text = file(10_000);
    println!(
        "plan_10000_seconds {:.6}",
        best(|| assert!(make(&text).is_some()))
    );
    for steps in [1_000, 10_000] {
        let Some(plan) = make(&file(steps)) else {
            return;
        };
        let seconds = best(|| assert_eq!(dispatch(&plan), steps));
        println!(
            "dispatch_{steps}_microseconds {:.6}",
            seconds * 1e6 / steps as f64
        );
    }
}
