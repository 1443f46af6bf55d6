//! The file that `--log` names: one line a call, for people who want to know what an agent did. It
//! holds no answers.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use hoist_model::reason::Trouble;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The longest arguments that are written down, characters.
const ARGUMENTS: usize = 500;

/// The file, where one was named.
#[derive(Debug, Default)]
pub(crate) struct Journal(Option<Mutex<File>>);

impl Journal {
    /// Goes on with the file, or begins it; its owner alone may read it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Trouble> {
        use std::os::unix::fs::OpenOptionsExt;
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path);
        file.map(|file| Self(Some(Mutex::new(file))))
            .map_err(|error| {
                Trouble::new(format!("cannot write the log {}", path.display()))
                    .cause(error.to_string())
                    .hint("name a file in a folder that is there with --log")
            })
    }

    /// Writes down a call. A full disk is no reason to fail it.
    pub(crate) fn call(&self, tool: &str, arguments: &Value, good: bool, took: Duration) {
        let arguments = crate::text::short(&arguments.to_string(), ARGUMENTS);
        self.write(&json!({
            "at": Timestamp::now().to_string(),
            "tool": crate::text::short(tool, 100),
            "arguments": arguments,
            "ok": good,
            "ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }));
    }

    /// Writes down something else.
    pub(crate) fn note(&self, what: &str) {
        self.write(&json!({ "at": Timestamp::now().to_string(), "note": what }));
    }

    fn write(&self, line: &Value) {
        if let Some(Ok(mut file)) = self.0.as_ref().map(Mutex::lock) {
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }
}
