//! Engines behind ssh, as the docker command reaches them: `ssh HOST docker system dial-stdio`, with
//! the user's own ssh and its settings. It refuses to ask for passwords, and to pass on anything
//! that ssh or the shell there could take for something else.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, Join};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::errors::{self, Result};

/// How long a connection that is not in use is kept for the next call: making one takes long.
const KEPT: Duration = Duration::from_secs(30);
/// How long ssh may take to get through to a host.
const GETTING_THROUGH: &str = "ConnectTimeout=15";
/// Bytes of ssh's last words that are kept.
const LAST_WORDS: usize = 2048;

/// A client whose connections are made by `dial`.
pub(crate) fn client(dial: Dial, timeout: u64) -> Result<Docker> {
    let last_words = Arc::clone(&dial.last_words);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(KEPT)
        .pool_max_idle_per_host(4)
        .build(dial);
    let transport = move |request: BollardRequest| {
        let answer = client.request(request);
        let last_words = Arc::clone(&last_words);
        async move {
            match answer.await {
                Ok(answer) => Ok(answer),
                // ssh says on its way out why it went.
                Err(error) => match last_words.take().await {
                    Some(words) => Err(io::Error::new(io::ErrorKind::NotConnected, words).into()),
                    None => Err(Error::from(error)),
                },
            }
        }
    };
    let version = API_DEFAULT_VERSION;
    Docker::connect_with_custom_transport(transport, Some("http://docker"), timeout, version)
        .map_err(errors::of)
}

/// The command for an address such as `ssh://user@host:2222/run/docker.sock`.
fn command(address: &str) -> Result<Vec<String>> {
    let rest = address.strip_prefix("ssh://").unwrap_or(address);
    let (authority, socket) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, Some(port)),
        _ => (host, None),
    };
    let plain = |word: &str, more: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c) || more.contains(c);
        !word.is_empty() && !word.starts_with('-') && word.chars().all(fine)
    };
    let port_fine = port.is_none_or(|port| port.parse::<u16>().is_ok());
    let socket = socket.trim_end_matches('/');
    let socket_fine = socket.is_empty() || plain(socket, "/");
    if !plain(host, "") || !user.is_none_or(|user| plain(user, "")) || !port_fine || !socket_fine {
        return Err(BackendError::new(
            Kind::Unsupported,
            "an engine's address by ssh is ssh://HOST or ssh://USER@HOST:PORT/SOCKET",
        ));
    }
    let mut words = vec!["ssh", "-T", "-o", "BatchMode=yes", "-o", GETTING_THROUGH];
    words.extend(user.into_iter().flat_map(|user| ["-l", user]));
    words.extend(port.into_iter().flat_map(|port| ["-p", port]));
    words.extend(["--", host, "docker"]);
    let host_option = format!("--host=unix://{socket}");
    if !socket.is_empty() {
        words.push(&host_option);
    }
    words.extend(["system", "dial-stdio"]);
    Ok(words.into_iter().map(str::to_owned).collect())
}

/// What ssh said before it ended.
#[derive(Debug, Default)]
struct LastWords(Mutex<Option<String>>);

impl LastWords {
    /// Takes them, when they have come; they come on another way than the end itself.
    async fn take(&self) -> Option<String> {
        for _ in 0..20 {
            if let Some(words) = self.0.lock().ok().and_then(|mut words| words.take()) {
                return Some(words);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }
}

/// Makes connections by starting a command.
#[derive(Clone)]
pub(crate) struct Dial {
    command: Arc<[String]>,
    last_words: Arc<LastWords>,
}

impl Dial {
    /// To an address such as `ssh://user@host`.
    pub(crate) fn new(address: &str) -> Result<Self> {
        Ok(Self::by(command(address)?))
    }

    /// By that command.
    pub(super) fn by(command: Vec<String>) -> Self {
        Self {
            command: command.into(),
            last_words: Arc::default(),
        }
    }

    /// What ssh said last, where it is on its way out.
    pub(crate) async fn last_words(&self) -> Option<String> {
        self.last_words.take().await
    }

    /// A new connection.
    pub(super) fn start(&self) -> io::Result<Pipe> {
        let (program, arguments) = self.command.split_first().ok_or(io::ErrorKind::NotFound)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C is for hoist, which still has to stop what it started there.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("{program} does not start: {error}"))
            })?;
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let stdout = child.stdout.take().ok_or_else(broken)?;
        let stdin = child.stdin.take().ok_or_else(broken)?;
        let mut stderr = child.stderr.take().ok_or_else(broken)?;
        let last_words = Arc::clone(&self.last_words);
        tokio::spawn(async move {
            let mut said = Vec::new();
            while let Ok(1..) = stderr.read_buf(&mut said).await {
                let surplus = said.len().saturating_sub(LAST_WORDS);
                said.drain(..surplus);
            }
            let words = String::from_utf8_lossy(&said).trim().to_owned();
            if let Ok(mut last) = last_words.0.lock()
                && !words.is_empty()
            {
                *last = Some(words);
            }
        });
        Ok(Pipe {
            io: TokioIo::new(tokio::io::join(stdout, stdin)),
            _child: child,
        })
    }
}

impl tower_service::Service<hyper::Uri> for Dial {
    type Response = Pipe;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Pipe>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: hyper::Uri) -> Self::Future {
        std::future::ready(self.start())
    }
}

/// A command's output and input as a connection. The command ends with it.
pub(crate) struct Pipe {
    io: TokioIo<Join<ChildStdout, ChildStdin>>,
    _child: Child,
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn addresses_become_commands() {
        let said = |address: &str| command(address).unwrap().join(" ");
        let options = format!("ssh -T -o BatchMode=yes -o {GETTING_THROUGH}");
        let dial = "system dial-stdio";
        assert_eq!(said("ssh://far"), format!("{options} -- far docker {dial}"));
        assert_eq!(
            said("ssh://ci@far.example.com:2222/"),
            format!("{options} -l ci -p 2222 -- far.example.com docker {dial}")
        );
        assert_eq!(
            said("ssh://far/run/user/1000/docker.sock"),
            format!("{options} -- far docker --host=unix:///run/user/1000/docker.sock {dial}")
        );
    }

    #[test]
    fn nothing_else_gets_through() {
        for address in [
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://-x@far",
            "ssh://far:port",
            "ssh://far/$(x)",
            "ssh://far far",
            "ssh://a;b",
            "ssh://far/a b",
            "ssh://@far",
            "ssh://far:",
        ] {
            assert_eq!(
                command(address).unwrap_err().kind,
                Kind::Unsupported,
                "{address}"
            );
        }
    }

    #[tokio::test]
    async fn a_connection_serves_several_calls() {
        let script = "
            body='{\"Version\":\"'$$'\",\"ApiVersion\":\"1.48\"}'
            while read -r line; do
                [ ${#line} -gt 1 ] || printf \
                    'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s' ${#body} \"$body\"
            done";
        let docker = client(Dial::by(shell(script)), 10).unwrap();
        let first = docker.version().await.unwrap();
        let second = docker.version().await.unwrap();
        assert!(first.version.is_some());
        assert_eq!(
            first.version, second.version,
            "each command tells its own process"
        );
    }

    #[tokio::test]
    async fn the_last_words_of_ssh_are_told() {
        let script = "echo 'ci@far: Permission denied (publickey).' >&2; exit 255";
        let docker = client(Dial::by(shell(script)), 10).unwrap();
        let error = errors::of(docker.version().await.unwrap_err());
        assert_eq!(error.kind, Kind::Unreachable);
        assert!(error.message.contains("(publickey)"), "{error}");

        let missing = vec!["hoist-test-no-such-program".to_owned()];
        let error = errors::of(
            client(Dial::by(missing), 10)
                .unwrap()
                .version()
                .await
                .unwrap_err(),
        );
        assert_eq!(error.kind, Kind::Unreachable);
        assert!(
            error.message.contains("hoist-test-no-such-program"),
            "{error}"
        );
    }
}
