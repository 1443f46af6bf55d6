//! What the tests stand on: projects in temporary folders, the built binary in a scrubbed
//! environment, and the engine that the set-up provides.

#![expect(
    clippy::disallowed_methods,
    reason = "tests read their own environment"
)]

pub(crate) mod host;
pub(crate) mod terminal;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Variables that reach the tested process; all others would make tests depend on who runs them.
const KEPT: [&str; 9] = [
    "PATH",
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "HOIST_TOOLS_TRIVY",
    "HOIST_TOOLS_TRIVY_DB",
    "HOIST_TOOLS_HAPROXY",
    "XDG_RUNTIME_DIR",
    "TMPDIR",
];

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A project in a temporary folder, gone with this value.
pub(crate) struct Project {
    folder: TempDir,
    /// The cache of a user who has no other project.
    cache: TempDir,
    variables: BTreeMap<String, String>,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it printed to standard output.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
}

impl Ended {
    /// The last line on standard error that says something.
    pub(crate) fn last(&self) -> &str {
        self.stderr
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default()
    }

    /// Fails the test unless the exit code is this one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// Fails the test unless standard error holds this text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "not said: {text}\n--- stderr\n{}",
            self.stderr
        );
        self
    }
}

impl Project {
    /// An empty one.
    pub(crate) fn empty() -> Self {
        let [folder, cache] = ["hoist-test-", "hoist-test-cache-"]
            .map(|prefix| tempfile::Builder::new().prefix(prefix).tempdir().unwrap());
        Self {
            folder,
            cache,
            variables: BTreeMap::new(),
        }
    }

    /// One with that pipeline.
    pub(crate) fn new(pipeline: &str) -> Self {
        Self::empty().file("pipeline.toml", pipeline)
    }

    /// A copy of one of the examples, without what earlier runs left in it.
    pub(crate) fn example(name: &str) -> Self {
        let project = Self::empty();
        copy(&repository().join("examples").join(name), project.path());
        project
    }

    /// With a file of that content.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// With a variable in hoist's environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The content of one of its files.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        let path = self.path().join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Replaces text in one of its files, which must hold it.
    #[track_caller]
    pub(crate) fn change(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} does not hold: {from}");
        std::fs::write(self.path().join(path), text.replace(from, to)).unwrap();
    }

    /// hoist, ready to be started in the project's folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("XDG_CACHE_HOME", self.cache.path())
            .stdin(Stdio::null());
        for name in KEPT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(&self.variables);
        command
    }

    /// Runs hoist to its end.
    pub(crate) fn hoist(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments).output().unwrap())
    }

    /// Starts hoist and leaves it running, its output in files.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.start_by(self.command(arguments))
    }

    /// Starts hoist in a process group of its own, as a shell at a terminal does.
    pub(crate) fn start_job(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        command.process_group(0);
        self.start_by(command)
    }

    fn start_by(&self, mut command: Command) -> Running {
        // Each its own: several may run at once.
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let out = format!("{}.{number}.out", name(self.path()));
        let out = self.path().join("..").join(out);
        let file = std::fs::File::create(&out).unwrap();
        let child = command
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Running { child, out }
    }

    /// The IDs of its runs, the newest last.
    pub(crate) fn runs(&self) -> Vec<String> {
        let Ok(folder) = std::fs::read_dir(self.path().join(".hoist/runs")) else {
            return Vec::new();
        };
        let mut runs: Vec<_> = folder
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        runs.sort();
        runs
    }

    /// The newest run's `run.json`.
    #[track_caller]
    pub(crate) fn run_json(&self) -> serde_json::Value {
        let run = self.runs().pop().expect("there is a run");
        serde_json::from_str(&self.read(&format!(".hoist/runs/{run}/run.json"))).unwrap()
    }
}

/// A hoist that is running.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
}

impl Running {
    /// Waits until its output holds a text.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        eventually(
            &format!("hoist says: {text}"),
            Duration::from_secs(60),
            || {
                if let Some(status) = self.child.try_wait().unwrap() {
                    assert!(
                        self.said().contains(text),
                        "ended with {status} before: {text}\n{}",
                        self.said()
                    );
                }
                self.said().contains(text)
            },
        );
    }

    /// What it printed so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.out).unwrap_or_default()).into_owned()
    }

    /// It runs no more.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Its process ID.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal: `INT`, `TERM`, `KILL`.
    pub(crate) fn signal(&self, signal: &str) {
        kill(signal, &self.id().to_string());
    }

    /// Sends a signal to the whole job, as a terminal does; see [`Project::start_job`].
    pub(crate) fn signal_job(&self, signal: &str) {
        kill(signal, &format!("-{}", self.id()));
    }

    /// The kernel's letter for its state: `T` is stopped.
    pub(crate) fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        rest.chars().next().unwrap()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self, within: Duration) -> Ended {
        let mut code = None;
        eventually("hoist ends", within, || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        Ended {
            code: code.unwrap().code().unwrap_or(-1),
            stdout: String::new(),
            stderr: self.said(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.out);
    }
}

fn kill(signal: &str, whom: &str) {
    let mut command = Command::new("kill");
    let status = command.args([&format!("-{signal}"), "--", whom]).status();
    assert!(status.unwrap().success());
}

/// A port of loopback that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Fails the test unless `holds` within a time.
#[track_caller]
pub(crate) fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a real engine answers. If not, says so on the test's behalf, past the test harness's
/// capture: a test that needs it is skipped by name, never silently passed.
#[must_use]
pub(crate) fn engine(test: &str) -> bool {
    static ANSWER: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    let answers = *ANSWER.get_or_init(|| {
        let output = Command::new("docker")
            .args(["version", "--format", "{{.Server.Version}}"])
            .output();
        output.is_ok_and(|output| output.status.success())
    });
    answers || skip(test, "no Docker engine answers")
}

/// Says that a test is skipped, and why. Gives `false`.
pub(crate) fn skip(test: &str, why: &str) -> bool {
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    false
}

/// What the docker command prints, lines trimmed.
#[track_caller]
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What an engine still has of a run: containers, networks and volumes.
pub(crate) fn left_of(run: &str) -> String {
    let filter = format!("label=dev.hoist.run={run}");
    let containers = docker(&["ps", "-aq", "--filter", &filter]);
    let networks = docker(&["network", "ls", "-q", "--filter", &filter]);
    let volumes = docker(&["volume", "ls", "-q", "--filter", &filter]);
    [containers, networks, volumes].join(" ").trim().to_owned()
}

/// How a process ended, of its output.
pub(crate) fn ended(output: std::process::Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name == ".hoist" || name == "reports" || name == "__pycache__" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// Whether this process may become another user. If not, says that the test is skipped.
#[must_use]
pub(crate) fn can_drop_root(test: &str) -> bool {
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n");
    root && which("setpriv") || skip(test, "it needs root and setpriv, to become another user")
}

fn which(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs hoist to its end as a user who may nothing, but may speak to the engine where `docker` is
/// its group.
pub(crate) fn as_nobody(project: &Project, arguments: &[&str]) -> Ended {
    // The built binary may lie where only its builder can look.
    let binary = project.path().join("hoist");
    // What an earlier run left to clear up may still be running from it.
    if !binary.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_hoist"), &binary).unwrap();
    }
    let group = std::fs::metadata("/var/run/docker.sock").map_or(65534, |data| {
        use std::os::unix::fs::MetadataExt;
        if data.gid() == 0 { 65534 } else { data.gid() }
    });
    let plain = project.command(arguments);
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=65534",
            "--regid=65534",
            &format!("--groups={group}"),
        ])
        .arg(&binary);
    command
        .args(arguments)
        .current_dir(project.path())
        .env_clear()
        .stdin(Stdio::null());
    for (name, value) in plain.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    // What root has at home is not this user's to read.
    command.env("HOME", project.path());
    for entry in [project.path().to_path_buf(), binary] {
        let status = Command::new("chown")
            .arg("65534")
            .arg(entry)
            .status()
            .unwrap();
        assert!(status.success());
    }
    ended(command.output().unwrap())
}

/// Something on loopback that says it is an engine of that API version, until the value is dropped.
pub(crate) fn fake_engine(api: &str) -> (String, FakeEngine) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stop, api) = (done.clone(), api.to_owned());
    std::thread::spawn(move || {
        use std::io::Read;
        while let Ok((mut stream, _)) = listener.accept() {
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                break;
            }
            let _ = stream.read(&mut [0; 4096]);
            let body = format!(
                "{{\"ApiVersion\":\"{api}\",\"MinAPIVersion\":\"1.12\",\"Version\":\"19.03.0\",\
                 \"Os\":\"linux\",\"Arch\":\"amd64\"}}"
            );
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nApi-Version: {api}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (format!("tcp://{address}"), FakeEngine { done, address })
}

/// See [`fake_engine`].
pub(crate) struct FakeEngine {
    done: std::sync::Arc<std::sync::atomic::AtomicBool>,
    address: std::net::SocketAddr,
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.done.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = std::net::TcpStream::connect(self.address);
    }
}

/// Base64, as HTTP's basic authentication has it.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() {
                digit.into()
            } else {
                '='
            });
        }
    }
    out
}

/// A variable of the tests' own environment, as the set-up made it.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An engine of the test's own with a small disk in memory and a network namespace of its own, gone
/// with this value. It disturbs no other engine.
pub(crate) struct SmallEngine {
    /// Its address.
    pub(crate) address: String,
    folder: TempDir,
    process: Child,
}

impl SmallEngine {
    /// Starts it with `debian:bookworm-slim` on board, or says that the test is skipped.
    pub(crate) fn start(test: &str) -> Option<Self> {
        if !["unshare", "dockerd", "ip"]
            .iter()
            .all(|program| which(program))
        {
            let _ = skip(
                test,
                "it needs unshare, ip and dockerd, to start an engine of its own",
            );
            return None;
        }
        let folder = tempfile::Builder::new()
            .prefix("hoist-engine-")
            .tempdir()
            .unwrap();
        let at = folder.path().display().to_string();
        let script = format!(
            "mkdir {at}/data && mount -t tmpfs -o size=420m tmpfs {at}/data && ip link set lo up && \
             echo '{{}}' > {at}/config && while :; do dockerd --config-file {at}/config \
             --host unix://{at}/docker.sock --data-root {at}/data --exec-root {at}/exec \
             --pidfile {at}/pid --bridge none --iptables=false >> {at}/log 2>&1; done"
        );
        let process = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
                "-c",
            ])
            .arg(script)
            .spawn()
            .unwrap();
        let address = format!("unix://{at}/docker.sock");
        let small = Self {
            address,
            folder,
            process,
        };
        small.wait();
        let archive = small.folder.path().join("image.tar");
        docker(&[
            "save",
            "--output",
            archive.to_str().unwrap(),
            "debian:bookworm-slim",
        ]);
        docker(&[
            "--host",
            &small.address,
            "load",
            "--input",
            archive.to_str().unwrap(),
        ]);
        std::fs::remove_file(archive).unwrap();
        Some(small)
    }

    /// Waits until it answers.
    #[track_caller]
    fn wait(&self) {
        let what = format!(
            "a small engine answers ({}/log)",
            self.folder.path().display()
        );
        eventually(&what, Duration::from_secs(60), || {
            let version = Command::new("docker")
                .args(["--host", &self.address, "version"])
                .output();
            version.is_ok_and(|output| output.status.success())
        });
    }

    /// Sends its daemon a signal. When that has ended, another starts in its place.
    pub(crate) fn signal(&self, signal: &str) {
        let children = |id: &str| {
            let path = format!("/proc/{id}/task/{id}/children");
            std::fs::read_to_string(path).unwrap_or_default()
        };
        // What a daemon left behind is the shell's too.
        let shell = children(&self.process.id().to_string());
        let all = children(shell.trim());
        let is_daemon = |id: &&str| {
            let name = std::fs::read_to_string(format!("/proc/{id}/comm"));
            name.is_ok_and(|name| name.trim() == "dockerd")
        };
        let daemon = all.split_whitespace().find(is_daemon);
        let status = Command::new("kill")
            .args([&format!("-{signal}"), daemon.expect("it runs")])
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallEngine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
