//! `hoist init`: writes a pipeline that fits the project, with a Dockerfile where there is none. It
//! overwrites nothing.

use std::path::Path;

use hoist_model::reason::{Trouble, Verdict};

use super::{Outcome, say};
use crate::args::{self, Stack};
use crate::exit::CliError;
use crate::options::Options;

/// What is written for one stack.
struct Ready {
    pipeline: &'static str,
    dockerfile: &'static str,
    dockerignore: &'static str,
}

macro_rules! ready {
    ($stack:literal) => {
        Ready {
            pipeline: include_str!(concat!("../../../pipelines/", $stack, ".toml")),
            dockerfile: include_str!(concat!("../../../pipelines/", $stack, ".Dockerfile")),
            dockerignore: include_str!(concat!("../../../pipelines/", $stack, ".dockerignore")),
        }
    };
}

pub(super) fn execute(args: &args::Init, options: &Options) -> Outcome {
    let root = &options.root;
    if options.file.exists() {
        let trouble = Trouble::new(format!("{} is there already", options.file_shown))
            .hint("`hoist validate` checks it; move it away to start anew");
        return Err(CliError::usage(trouble));
    }
    let (stack, why) = match args.stack {
        Some(stack) => (stack, "as asked".to_owned()),
        None => find(root)?,
    };
    let ready = match stack {
        Stack::Rust => ready!("rust"),
        Stack::Go => ready!("go"),
        Stack::Node => ready!("node"),
        Stack::Python => ready!("python"),
    };
    let name = format!("name = \"{}\"", name(root));
    let pipeline = ready
        .pipeline
        .lines()
        // The schema beside the ready-made file is not beside the project's.
        .filter(|line| !line.starts_with("#:schema"))
        .map(|line| {
            if line == "name = \"app\"" {
                name.as_str()
            } else {
                line
            }
        })
        .fold(String::new(), |text, line| text + line + "\n");
    say(&format!("this is a {} project ({why})\n", word(stack)));
    write(&options.file, &options.file_shown, &pipeline)?;
    for (file, text) in [
        ("Dockerfile", ready.dockerfile),
        (".dockerignore", ready.dockerignore),
    ] {
        let path = root.join(file);
        if path.exists() {
            say(&format!(
                "kept   {file}; the pipeline builds its stages `test` and `production`\n"
            ));
        } else {
            write(&path, file, text)?;
        }
    }
    say("next: read the files, then `hoist validate` and `hoist run`\n");
    Ok(Verdict::Passed)
}

fn write(path: &Path, shown: &str, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text).map_err(|error| {
        CliError::surroundings(format!("cannot write {shown}"), error.to_string())
    })?;
    say(&format!("wrote  {shown}\n"));
    Ok(())
}

fn word(stack: Stack) -> &'static str {
    match stack {
        Stack::Rust => "Rust",
        Stack::Go => "Go",
        Stack::Node => "Node",
        Stack::Python => "Python",
    }
}

/// What the project's own files say that it is.
fn find(root: &Path) -> Result<(Stack, String), CliError> {
    const SIGNS: [(&str, Stack); 6] = [
        ("Cargo.toml", Stack::Rust),
        ("go.mod", Stack::Go),
        ("package.json", Stack::Node),
        ("pyproject.toml", Stack::Python),
        ("requirements.txt", Stack::Python),
        ("setup.py", Stack::Python),
    ];
    let found = SIGNS.iter().find(|(file, _)| root.join(file).is_file());
    found
        .map(|(file, stack)| (*stack, format!("it has a {file}")))
        .ok_or_else(|| {
            let looked: Vec<_> = SIGNS.iter().map(|(file, _)| *file).collect();
            let trouble = Trouble::new("cannot tell what the project is written in")
                .cause(format!(
                    "none of {} is in {}",
                    looked.join(", "),
                    root.display()
                ))
                .hint("say it: hoist init rust, go, node or python");
            CliError::usage(trouble)
        })
}

/// The folder's name as a project's name may be: small letters, digits, `-` and `_`.
fn name(root: &Path) -> String {
    let folder = root
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let name: String = folder
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' || c == '-' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let name = name.trim_matches(['-', '_']);
    if name.is_empty() {
        "app".to_owned()
    } else {
        name.to_owned()
    }
}
