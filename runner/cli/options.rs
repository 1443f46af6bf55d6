//! What was typed, made into what was meant, once: the project's root, its file, colour, the way
//! to show a run. Nothing downstream sees a flag or the environment.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use hoist_model::reason::Trouble;

use crate::args::{Args, Progress, When};
use crate::exit::CliError;

/// The file that a project is known by.
pub(crate) const FILE: &str = "pipeline.toml";
/// Columns where nobody says.
const WIDTH: usize = 80;

/// The process's variables.
pub(crate) type Environment = BTreeMap<String, String>;

/// What was meant.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The project's root, absolute.
    pub(crate) root: PathBuf,
    /// The pipeline's file, absolute.
    pub(crate) file: PathBuf,
    /// The file's name as people know it.
    pub(crate) file_shown: String,
    /// The process's variables.
    pub(crate) environment: Environment,
    /// How a run is shown; never [`Progress::Auto`].
    pub(crate) progress: Progress,
    /// Colour on standard output.
    pub(crate) colour_out: bool,
    /// Colour on standard error.
    pub(crate) colour_err: bool,
    /// Say more.
    pub(crate) verbose: bool,
}

/// Reads the environment, this one time.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub(crate) fn environment() -> Environment {
    let text = |value: std::ffi::OsString| value.into_string().ok();
    std::env::vars_os()
        .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect()
}

impl Options {
    /// Works out what was meant.
    pub(crate) fn new(args: &Args, environment: Environment) -> Result<Self, CliError> {
        let here = std::env::current_dir().map_err(|error| {
            CliError::surroundings("cannot tell the current folder", error.to_string())
        })?;
        let root = root(&here, args.global.directory.as_deref())?;
        let file = match &args.global.file {
            Some(file) => here.join(file),
            None => root.join(FILE),
        };
        let file_shown = match &args.global.file {
            Some(file) => file.display().to_string(),
            None => FILE.to_owned(),
        };
        let colour = |terminal: bool| colour(args.global.color, &environment, terminal);
        let colour_out = colour(std::io::stdout().is_terminal());
        let colour_err = colour(std::io::stderr().is_terminal());
        let progress = progress(args, &environment)?;
        let verbose = args.global.verbose;
        Ok(Self {
            root,
            file,
            file_shown,
            environment,
            progress,
            colour_out,
            colour_err,
            verbose,
        })
    }
}

impl Options {
    /// The user's own cache, as the XDG Base Directory Specification has it: relative paths count as
    /// none.
    pub(crate) fn cache(&self) -> Option<PathBuf> {
        self.own("XDG_CACHE_HOME", ".cache")
    }

    /// Where hoist keeps what should last and is nobody's project, as that specification has it.
    pub(crate) fn state(&self) -> Option<PathBuf> {
        self.own("XDG_STATE_HOME", ".local/state")
    }

    /// hoist's part of the folder that the variable names, or of the one in the user's home.
    fn own(&self, variable: &str, usual: &str) -> Option<PathBuf> {
        let set = |name: &str| self.environment.get(name).map(PathBuf::from);
        let home = || set("HOME").map(|home| home.join(usual));
        let named = set(variable).filter(|path| path.is_absolute());
        let folder = named.or_else(home).filter(|path| path.is_absolute())?;
        Some(folder.join("hoist"))
    }
}

/// The folder named, else the nearest upwards with a pipeline.toml, else this one.
fn root(here: &Path, named: Option<&Path>) -> Result<PathBuf, CliError> {
    let Some(named) = named else {
        let found = here.ancestors().find(|folder| folder.join(FILE).is_file());
        return Ok(found.unwrap_or(here).to_owned());
    };
    let folder = here.join(named);
    folder
        .canonicalize()
        .ok()
        .filter(|folder| folder.is_dir())
        .ok_or_else(|| {
            let what = format!("there is no folder {}", named.display());
            CliError::usage(Trouble::new(what).hint("name the project's folder with -C"))
        })
}

/// The order is that of the notes on terminals: the flag, NO_COLOR, what forces it, CLICOLOR=0,
/// then the terminal itself. See <https://no-color.org> and <https://bixense.com/clicolors>.
fn colour(when: When, environment: &Environment, terminal: bool) -> bool {
    let set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    let forced = |name: &str| set(name) && environment.get(name).is_some_and(|v| v != "0");
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto if set("NO_COLOR") => false,
        When::Auto if forced("CLICOLOR_FORCE") || forced("FORCE_COLOR") => true,
        When::Auto
            if environment
                .get("CLICOLOR")
                .is_some_and(|value| value == "0") =>
        {
            false
        }
        When::Auto => terminal && !dumb(environment),
    }
}

/// The terminal can do nothing but take text.
pub(crate) fn dumb(environment: &Environment) -> bool {
    environment
        .get("TERM")
        .is_none_or(|term| term.is_empty() || term == "dumb")
}

fn progress(args: &Args, environment: &Environment) -> Result<Progress, CliError> {
    let able = std::io::stderr().is_terminal() && !dumb(environment);
    if args.global.quiet {
        return Ok(Progress::Quiet);
    }
    match args.global.progress {
        Progress::Auto if able => Ok(Progress::Tty),
        Progress::Auto => Ok(Progress::Plain),
        Progress::Tty if !able => {
            let trouble = Trouble::new("--progress tty needs a terminal")
                .hint("use --progress plain, or leave it out");
            Err(CliError::usage(trouble))
        }
        mode @ (Progress::Tty | Progress::Plain | Progress::Json | Progress::Quiet) => Ok(mode),
    }
}

/// Columns and rows of the terminal on standard error.
pub(crate) fn size() -> (usize, usize) {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map_or((WIDTH, 24), |(columns, rows)| {
        (columns.0.into(), rows.0.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_decided_in_order() {
        let environment = |pairs: &[(&str, &str)]| -> Environment {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let decide =
            |pairs: &[(&str, &str)], terminal| colour(When::Auto, &environment(pairs), terminal);
        assert!(decide(&[("TERM", "xterm")], true));
        assert!(!decide(&[("TERM", "xterm")], false));
        assert!(!decide(&[("TERM", "dumb")], true));
        assert!(!decide(&[], true));
        assert!(decide(&[("NO_COLOR", ""), ("TERM", "xterm")], true));
        assert!(!decide(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true));
        assert!(decide(&[("FORCE_COLOR", "1")], false));
        assert!(!decide(&[("CLICOLOR_FORCE", "0")], false));
        assert!(!decide(&[("CLICOLOR", "0"), ("TERM", "xterm")], true));
        assert!(colour(
            When::Always,
            &environment(&[("NO_COLOR", "1")]),
            false
        ));
        assert!(!colour(
            When::Never,
            &environment(&[("FORCE_COLOR", "1")]),
            true
        ));
    }
}
