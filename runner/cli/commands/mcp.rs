//! `hoist mcp`: the MCP server, over standard input and output or over HTTP. Nothing else may be
//! written to standard output while it serves.

mod install;

use std::path::Path;
use std::sync::Arc;

use hoist_engine::run::RunRequest;
use hoist_mcp::{Fault, Form, Host, Listen, Listener, Project, Server, Settings, Token};
use hoist_model::diag::{Diagnostic, Severity, SourceFile};
use hoist_model::plan::Plan;
use hoist_model::reason::{Ending, FailureReason, Signal, Trouble, Verdict};
use hoist_model::state::{RunState, StepState};
use hoist_report::{junit, sarif, words};
use tokio::sync::mpsc;

use super::{Outcome, run};
use crate::args::{self, Progress};
use crate::exit::{CliError, Say};
use crate::options::Options;
use crate::project::{self, Unplanned};

/// The variable that may hold the token for HTTP.
const VARIABLE: &str = "HOIST_MCP_TOKEN";
/// The file in hoist's own folder that holds the token where none was given.
const TOKEN: &str = "mcp-token";

pub(super) async fn execute(args: &args::Mcp, options: &Options) -> Outcome {
    if let Some(args::Instead::Install(install)) = &args.instead {
        return install::execute(install, options);
    }
    let signals = run::signals()?;
    let server = server(args, options)?;
    if let Some(listen) = &args.http {
        return serve(server, listen.clone(), args, options, signals).await;
    }
    hoist_mcp::stdio(server, tokio::io::stdin(), tokio::io::stdout(), signals)
        .await
        .map_err(CliError::usage)?;
    Ok(Verdict::Passed)
}

/// Serves over HTTP, and says where.
async fn serve(
    server: Server,
    listen: Listen,
    args: &args::Mcp,
    options: &Options,
    signals: mpsc::Receiver<Signal>,
) -> Outcome {
    let (token, place) = token(args, options).map_err(CliError::usage)?;
    let listener = Listener::open(listen, args.allow_remote, &args.allow_host)
        .await
        .map_err(CliError::usage)?;
    super::say(&format!(
        "listening on {listener}\nthe token is in {place}\n"
    ));
    hoist_mcp::http(server, listener, &token, &args.allow_origin, signals)
        .await
        .map_err(CliError::trouble)?;
    Ok(Verdict::Passed)
}

/// The token that clients must show, and where it is.
fn token(args: &args::Mcp, options: &Options) -> Result<(Token, String), Trouble> {
    if let Some(path) = &args.token_file {
        return Ok((Token::read(path)?, path.display().to_string()));
    }
    if let Some(text) = options.environment.get(VARIABLE) {
        return Ok((Token::new(text, VARIABLE)?, VARIABLE.to_owned()));
    }
    let Some(folder) = options.state() else {
        return Err(Trouble::new("there is no place to keep a token in")
            .cause("neither HOME nor XDG_STATE_HOME is set")
            .hint(format!("name a file with --token-file, or set {VARIABLE}")));
    };
    let path = folder.join(TOKEN);
    Ok((Token::kept(&path)?, path.display().to_string()))
}

fn server(args: &args::Mcp, options: &Options) -> Result<Server, CliError> {
    let mut roots = args.root.clone();
    if roots.is_empty() {
        roots.push(options.root.clone());
    }
    let settings = Settings {
        roots,
        read_only: args.read_only,
        allow_deploy: args.allow_deploy.iter().cloned().collect(),
        log: args.log.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let options = Options {
        progress: Progress::Quiet,
        colour_out: false,
        colour_err: false,
        ..options.clone()
    };
    let process = Process {
        options,
        allow_host_network: args.allow_host_network,
    };
    Server::new(&settings, Arc::new(process)).map_err(CliError::usage)
}

/// This process, as the server needs it.
struct Process {
    options: Options,
    allow_host_network: bool,
}

impl Process {
    /// What was meant, for another project.
    fn of(&self, workspace: &Path, file: &Path) -> Options {
        let shown = file.strip_prefix(workspace).unwrap_or(file);
        Options {
            root: workspace.to_owned(),
            file: file.to_owned(),
            file_shown: shown.display().to_string(),
            ..self.options.clone()
        }
    }
}

impl Host for Process {
    fn read(&self, workspace: &Path, file: &Path) -> Result<Project, Vec<Fault>> {
        let loaded =
            project::load(&self.of(workspace, file)).map_err(|unplanned| match unplanned {
                Unplanned::File(trouble) => vec![Fault {
                    error: true,
                    message: trouble.what,
                    help: trouble.hint,
                    ..Fault::default()
                }],
                Unplanned::Faults(file, found) => found.iter().map(|d| fault(&file, d)).collect(),
            })?;
        let warnings = &loaded.planned.warnings;
        Ok(Project {
            warnings: warnings.iter().map(|d| fault(&loaded.file, d)).collect(),
            plan: loaded.planned.plan,
            commit: loaded.git.sha,
        })
    }

    fn request(
        &self,
        workspace: &Path,
        plan: Plan,
        commit: Option<String>,
        signals: mpsc::Receiver<Signal>,
    ) -> Result<RunRequest, Vec<Trouble>> {
        let options = self.of(workspace, &workspace.join(crate::options::FILE));
        let files = run::files(&plan, &options);
        let args = args::Run {
            allow_host_network: self.allow_host_network,
            ..args::Run::default()
        };
        let mut request = run::request(plan, commit, &args, &options, signals)
            .map_err(|error| troubles(&error))?;
        request.reporters = files;
        Ok(request)
    }

    fn ended(&self, step: &StepState, ending: &Ending) -> String {
        words::ended(step, ending)
    }

    fn details(&self, reason: &FailureReason) -> Vec<String> {
        words::details(reason)
    }

    fn report(&self, run: &RunState, form: Form) -> Result<String, Trouble> {
        match form {
            Form::Junit => junit::text(run)
                .map_err(|error| Trouble::new("JUnit cannot be written").cause(error.to_string())),
            Form::Sarif => Ok(sarif::text(run)),
        }
    }
}

fn troubles(error: &CliError) -> Vec<Trouble> {
    let said = error.say.iter().map(|say| match say {
        Say::Trouble(trouble) => trouble.clone(),
        Say::Rendered(text) => Trouble::new(text.trim()),
    });
    said.collect()
}

fn fault(file: &SourceFile, diagnostic: &Diagnostic) -> Fault {
    let place = diagnostic.offset().map(|offset| file.line_col(offset));
    let primary = diagnostic.labels.iter().find(|label| label.primary);
    let said = primary.filter(|label| !label.text.is_empty());
    let message = match said {
        Some(label) => format!("{}: {}", diagnostic.message, label.text),
        None => diagnostic.message.clone(),
    };
    let meant = diagnostic.suggestion.as_ref();
    let meant = meant.map(|meant| format!("did you mean `{}`?", meant.replacement));
    let help: Vec<String> = meant.into_iter().chain(diagnostic.help.clone()).collect();
    Fault {
        error: diagnostic.severity == Severity::Error,
        message,
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
        help: (!help.is_empty()).then(|| help.join("; ")),
    }
}
