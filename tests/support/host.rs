//! What looks like another host: an engine of the test's own behind a network link, with a disk that
//! outlives it. It disturbs no other engine.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::{docker, eventually, skip, variable, which};

/// Which engine a host has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Debian's.
    Debian,
    /// The same as the one in use.
    InUse,
}

/// The port at which its engine listens.
const TLS: u16 = 2376;

/// See the module.
pub(crate) struct OtherHost {
    folder: TempDir,
    /// Where its programs are looked for.
    programs: String,
    process: Child,
    /// Tells it from others of this machine.
    name: String,
    network: [u8; 3],
}

impl OtherHost {
    /// Starts it with these images on board, or says that the test is skipped.
    pub(crate) fn start(test: &str, kind: Kind, images: &[&str]) -> Option<Self> {
        let needed = ["unshare", "nsenter", "dockerd", "ip", "openssl"];
        if let Some(lacking) = needed.iter().find(|program| !which(program)) {
            let why = format!("it needs {lacking}, for an engine on a host of its own");
            let _ = skip(test, &why);
            return None;
        }
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed) + std::process::id() * 8;
        let folder = tempfile::Builder::new().prefix("hoist-host-").tempdir();
        let folder = folder.unwrap();
        let [_, _, high, low] = number.to_be_bytes();
        let network = [10, 192 | high & 63, low];
        certificates(folder.path(), &address(network, 2));
        let name = format!("hoist{number}");
        let programs = programs(kind);
        let process = boot(folder.path(), &programs, &name, network);
        let host = Self {
            folder,
            programs,
            process,
            name,
            network,
        };
        host.wait();
        for image in images {
            host.load(image);
        }
        Some(host)
    }

    /// The engine's address over TLS.
    pub(crate) fn engine(&self) -> String {
        format!("tcp://{}:{TLS}", address(self.network, 2))
    }

    /// The engine's socket, which this host sees too.
    pub(crate) fn socket(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// The folder with the client's certificates.
    pub(crate) fn certificates(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// What the docker command prints there.
    #[track_caller]
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let socket = self.socket();
        docker(&[&["--host", &socket], arguments].concat())
    }

    fn load(&self, image: &str) {
        let archive = self.path("image.tar");
        let archive = archive.to_str().unwrap();
        docker(&["save", "--output", archive, image]);
        self.docker(&["load", "--quiet", "--input", archive]);
        std::fs::remove_file(archive).unwrap();
    }

    /// The body of what a port there answers, if it is well.
    pub(crate) fn get(&self, port: u16, path: &str) -> Option<String> {
        let [a, b, c] = self.network;
        get(([a, b, c, 2], port).into(), path)
    }

    /// Kills the engine's daemon, and waits until another in its place answers. What ran is killed by
    /// that one, and started again as its restart policy says.
    pub(crate) fn kill_daemon(&self) {
        let daemon = || std::fs::read_to_string(self.path("pid")).unwrap_or_default();
        let before = daemon();
        let kill = ["kill", "-KILL", before.trim()];
        assert!(self.inside(&kill).status().unwrap().success());
        eventually("another daemon", Duration::from_secs(60), || {
            !daemon().is_empty() && daemon() != before
        });
        self.wait();
    }

    /// Kills all that runs there at once, and starts it again from its disk.
    pub(crate) fn lose_power(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let _ = std::fs::remove_file(self.path("pid"));
        self.process = boot(self.folder.path(), &self.programs, &self.name, self.network);
        self.wait();
    }

    /// Kills the processes of these containers at once, as the kernel or a fault of theirs would.
    pub(crate) fn kill_processes(&self, containers: &[&str]) {
        let arguments = [&["inspect", "--format", "{{.State.Pid}}"], containers].concat();
        let pids = self.docker(&arguments);
        let kill: Vec<&str> = ["kill", "-KILL"].into_iter().chain(pids.lines()).collect();
        assert!(self.inside(&kill).status().unwrap().success());
    }

    /// A command inside, as its first process sees it.
    fn inside(&self, command: &[&str]) -> Command {
        let init = init(self.process.id()).unwrap();
        let mut inside = Command::new("nsenter");
        let target = ["--target", &init, "--net", "--mount", "--pid", "--"];
        inside.args(target).args(command);
        inside
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn wait(&self) {
        let what = format!("an engine answers ({})", self.path("log").display());
        eventually(&what, Duration::from_secs(60), || {
            let socket = self.socket();
            let asked = ["--host", &socket, "version"];
            let version = Command::new("docker").args(asked).output();
            version.is_ok_and(|output| output.status.success())
        });
    }
}

impl Drop for OtherHost {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let script =
            "find /sys/fs/cgroup -depth -type d -path \"*/$0*\" -exec rmdir {} + 2>/dev/null";
        let _ = Command::new("sh").args(["-c", script, &self.name]).status();
    }
}

/// What an address answers to a request, if it is well.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

fn address([a, b, c]: [u8; 3], last: u8) -> String {
    format!("{a}.{b}.{c}.{last}")
}

/// The first process of the host that another one started.
fn init(parent: u32) -> Option<String> {
    let children = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(children).ok()?;
    Some(children.split_whitespace().next()?.to_owned())
}

/// Where the programs of such an engine are, in `PATH`'s words.
fn programs(kind: Kind) -> String {
    let path = variable("PATH").unwrap_or_default();
    let own = variable("HOIST_GROUND_ENGINE_PROGRAMS").unwrap_or_default();
    match kind {
        Kind::InUse if !own.is_empty() => format!("{own}:{path}"),
        Kind::InUse | Kind::Debian => path,
    }
}

/// Starts all that the host consists of, and the link to it.
fn boot(folder: &Path, programs: &str, name: &str, network: [u8; 3]) -> Child {
    let at = folder.display();
    // An engine of Debian's is known by a key in /etc, and two with one key would be one.
    let script = format!(
        "mkdir -p {at}/etc && {{ [ ! -d /etc/docker ] || mount --bind {at}/etc /etc/docker; }} && \
         ip link set lo up && echo '{{}}' > {at}/config && while :; do \
         dockerd --config-file {at}/config --host unix://{at}/docker.sock --host tcp://0.0.0.0:{TLS} \
         --tlsverify --tlscacert {at}/ca.pem --tlscert {at}/server.pem --tlskey {at}/server-key.pem \
         --data-root {at}/data --exec-root {at}/exec --pidfile {at}/pid --cgroup-parent /{name} \
         --bridge none --iptables=false >> {at}/log 2>&1; sleep 0.1; done"
    );
    let apart = [
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ];
    let mut command = Command::new("unshare");
    command.env("PATH", programs);
    let process = command.args(apart).args(["sh", "-c", &script]);
    let process = process.spawn().unwrap();
    eventually("the host is there", Duration::from_secs(10), || {
        init(process.id()).is_some()
    });
    let init = init(process.id()).unwrap();
    let (here, there) = (address(network, 1), address(network, 2));
    // The link goes with the host's network, in the kernel's own time.
    let link = format!(
        "ip link del {name} 2>/dev/null; \
         ip link add {name} type veth peer name eth0 netns {init} && \
         ip address add {here}/30 dev {name} && ip link set {name} up && \
         nsenter --target {init} --net sh -c \
         'ip address add {there}/30 dev eth0 && ip link set eth0 up'"
    );
    eventually(
        "there is a link to the host",
        Duration::from_secs(10),
        || {
            let linked = Command::new("sh").args(["-c", &link]).status();
            linked.is_ok_and(|status| status.success())
        },
    );
    process
}

/// A root, the engine's certificate for its address, and the client's.
fn certificates(folder: &Path, address: &str) {
    let script = format!(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca-key.pem -out ca.pem && \
         for who in server client; do \
         openssl req -newkey rsa:2048 -nodes -subj /CN=$who -keyout $who-key.pem -out $who.csr && \
         printf 'subjectAltName=IP:{address}\\nextendedKeyUsage=%sAuth' $who > $who.ext && \
         openssl x509 -req -days 2 -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial \
         -extfile $who.ext -out $who.pem || exit 1; done && \
         mv client.pem cert.pem && mv client-key.pem key.pem"
    );
    let mut made = Command::new("sh");
    let made = made.args(["-c", &script]).current_dir(folder).output();
    let made = made.unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
}
