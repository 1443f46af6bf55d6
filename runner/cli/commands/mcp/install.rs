//! `hoist mcp install`: what a client must be told to start the server. It writes nothing unless it
//! is asked to, and never over a file that it cannot read.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hoist_model::reason::{Trouble, Verdict};
use serde_json::{Map, Value, json};

use crate::args::{Client, Install};
use crate::commands::{Outcome, print, say};
use crate::exit::CliError;
use crate::options::Options;

/// The server's name at its clients.
const NAME: &str = "hoist";

/// Where a client keeps its servers.
struct Place {
    /// The file, in the project's folder.
    file: &'static str,
    /// The key that holds the servers.
    key: &'static str,
}

fn place(client: Client) -> Place {
    let (file, key) = match client {
        Client::Claude => (".mcp.json", "mcpServers"),
        Client::Cursor => (".cursor/mcp.json", "mcpServers"),
        Client::Vscode => (".vscode/mcp.json", "servers"),
    };
    Place { file, key }
}

pub(super) fn execute(args: &Install, options: &Options) -> Outcome {
    let place = place(args.client);
    let entry = entry(args, options)?;
    let path = options.root.join(place.file);
    if !args.write {
        print(&pretty(&json!({ place.key: { NAME: entry } })))?;
        let again = "with --write it is put there, beside what is there already";
        say(&format!("this belongs into {}; {again}\n", path.display()));
        return Ok(Verdict::Passed);
    }
    let old = read(&path)?;
    let changed = with(old.clone().unwrap_or_default(), place.key, entry)
        .map_err(|cause| CliError::usage(broken(&path, cause)))?;
    if old.as_ref() == Some(&changed) {
        say(&format!("{} says so already\n", path.display()));
        return Ok(Verdict::Passed);
    }
    write(&path, &pretty(&Value::Object(changed))).map_err(|error| {
        let what = format!("cannot write {}", path.display());
        CliError::surroundings(what, error.to_string())
    })?;
    say(&format!("wrote {}; restart the client\n", path.display()));
    Ok(Verdict::Passed)
}

/// How the client starts the server.
fn entry(args: &Install, options: &Options) -> Result<Map<String, Value>, CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::surroundings("cannot tell where hoist is", error.to_string()))?;
    let roots = if args.root.is_empty() {
        std::slice::from_ref(&options.root)
    } else {
        &args.root
    };
    let mut arguments = vec!["mcp".to_owned()];
    for root in roots {
        let real = root.canonicalize().ok().filter(|real| real.is_dir());
        let real = real.ok_or_else(|| {
            let what = format!("there is no folder {}", root.display());
            CliError::usage(Trouble::new(what).hint("name a folder with --root"))
        })?;
        arguments.extend(["--root".to_owned(), text(&real)?]);
    }
    let mut entry = Map::new();
    if args.client == Client::Vscode {
        entry.insert("type".to_owned(), "stdio".into());
    }
    entry.insert("command".to_owned(), text(&program)?.into());
    entry.insert("args".to_owned(), arguments.into());
    Ok(entry)
}

fn text(path: &Path) -> Result<String, CliError> {
    path.to_str().map(ToOwned::to_owned).ok_or_else(|| {
        let what = format!("{} cannot be written as JSON", path.display());
        CliError::usage(Trouble::new(what).cause("its name is no UTF-8"))
    })
}

/// What the client's file holds; `None` where there is none.
fn read(path: &Path) -> Result<Option<Map<String, Value>>, CliError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let what = format!("cannot read {}", path.display());
            return Err(CliError::surroundings(what, error.to_string()));
        }
    };
    if text.trim().is_empty() {
        return Ok(None);
    }
    let read = serde_json::from_str(&text);
    read.map(Some)
        .map_err(|error| CliError::usage(broken(path, error.to_string())))
}

fn broken(path: &Path, cause: impl Into<String>) -> Trouble {
    Trouble::new(format!("{} is not what the client reads", path.display()))
        .cause(cause)
        .hint("nothing was changed; mend the file (comments and trailing commas are not understood), or leave --write out and put it there by hand")
}

/// The file's content with this server in it. What else is said of it stays, but for the address of
/// a server that is not started.
fn with(
    mut all: Map<String, Value>,
    key: &str,
    entry: Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let servers = all.entry(key).or_insert_with(|| json!({}));
    let servers = servers.as_object_mut();
    let servers = servers.ok_or_else(|| format!("`{key}` is no object"))?;
    let server = servers.entry(NAME).or_insert_with(|| json!({}));
    let server = server.as_object_mut();
    let server = server.ok_or_else(|| format!("`{key}.{NAME}` is no object"))?;
    for other in ["type", "url", "headers"] {
        server.remove(other);
    }
    server.extend(entry);
    Ok(all)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Writes the file whole or not at all, with the rights that it had; a link is followed.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let path: PathBuf = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // What the umask leaves of it.
    let usual = std::fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new()
        .permissions(usual)
        .tempfile_in(folder)?;
    if let Ok(about) = path.metadata() {
        file.as_file().set_permissions(about.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}
