//! hoist on a terminal of its own, by `script`.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use super::{Project, engine, eventually, skip};

/// hoist on a terminal.
pub(crate) struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    out: PathBuf,
}

impl Terminal {
    /// Nothing where a terminal cannot be had.
    pub(crate) fn start(test: &str, project: &Project, arguments: &str) -> Option<Self> {
        if !engine(test) {
            return None;
        }
        if Command::new("script").arg("-V").output().is_err() {
            skip(test, "there is no `script`");
            return None;
        }
        // Not in the project, which may be watched.
        let out = project.path().with_extension("terminal");
        let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_hoist"));
        let plain = project.command(&[]);
        let mut command = Command::new("script");
        let path = out.display().to_string();
        command
            .args(["-qefc", &line, &path])
            .env_clear()
            .current_dir(project.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        for (name, value) in plain.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let mut child = command.spawn().unwrap();
        let keys = child.stdin.take();
        Some(Self { child, keys, out })
    }

    /// The process ID of `script`, whose child hoist is.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.out).unwrap_or_default()).into_owned()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        eventually(
            &format!("the terminal shows: {text}"),
            Duration::from_secs(30),
            || self.said().contains(text),
        );
    }

    pub(crate) fn types(&mut self, text: &str) {
        let keys = self.keys.as_mut().unwrap();
        keys.write_all(text.as_bytes()).unwrap();
        keys.flush().unwrap();
    }

    #[track_caller]
    pub(crate) fn end(mut self) -> (i32, String) {
        let mut code = None;
        eventually("hoist ends", Duration::from_secs(30), || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        (code.unwrap().code().unwrap_or(-1), self.said())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.out);
    }
}
