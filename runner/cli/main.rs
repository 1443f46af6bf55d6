//! hoist: from source to running service in containers. This file reads what the process was
//! given, hands it to one command, and turns the result into an exit code; nothing else ends the
//! process.

mod approval;
mod args;
mod commands;
mod exit;
mod options;
mod project;
mod terminal;
mod visitor;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // What a panic has to say may hold what only masked output may: its place is enough to mend it.
    std::panic::set_hook(Box::new(|panic| {
        terminal::restore();
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let _ = writeln!(
            std::io::stderr(),
            "hoist has a fault at {place}; please report it"
        );
    }));
    // The help's own errors and exit code 2 are clap's.
    let args = args::Args::parse();
    let environment = options::environment();
    let options = match options::Options::new(&args, environment) {
        Ok(options) => options,
        Err(error) => return exit::report(&error, false),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(commands::execute(args.command, &options));
            // A reader that never ends must not hold the process.
            runtime.shutdown_timeout(std::time::Duration::from_millis(100));
            result
        }
        Err(error) => Err(exit::CliError::surroundings(
            "cannot start",
            error.to_string(),
        )),
    };
    terminal::restore();
    match result {
        Ok(code) => code,
        Err(error) => exit::report(&error, options.colour_err),
    }
}
