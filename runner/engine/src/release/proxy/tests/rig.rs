//! A real HAProxy on the loopback interface, servers behind it and a client that never retries.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hoist_model::unit::AppProtocol;
use rustix::process::{Pid, Signal, kill_process};

use super::super::config::{Config, Listen, Part, Server, ServerName, Services};
use super::super::front::Front;

/// How long anything here may take that should happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What the master says when a worker of its serves.
const LOADED: &str = "Loading success";

/// The program, where it is installed. Else the test is named as skipped.
pub(super) fn haproxy(test: &str) -> Option<&'static str> {
    let found = ["haproxy", "/usr/sbin/haproxy"].into_iter().find(|path| {
        let version = Command::new(path).arg("-v").output();
        version.is_ok_and(|out| out.status.success())
    });
    if found.is_none() {
        // Not `eprintln`, which is shown of failing tests only.
        let _ = writeln!(
            io::stderr(),
            "SKIPPED release::proxy::tests::{test}: it needs HAProxy (Debian's package haproxy)"
        );
    }
    found
}

pub(super) fn name(text: &str) -> ServerName {
    ServerName::new(text).expect("a name")
}

pub(super) fn active() -> Part {
    Part::Active { weight: 1 }
}

/// A port that is free at this moment.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// What listens on one port, in HTTP unless told otherwise.
pub(super) fn listen<'a>(servers: impl IntoIterator<Item = (&'a str, u16, Part)>) -> Listen {
    let server = |(text, port, part)| {
        let address = Ipv4Addr::LOCALHOST;
        let server = Server {
            address,
            port,
            part,
            proxy_protocol: false,
        };
        (name(text), server)
    };
    Listen {
        front: Front {
            app_protocol: AppProtocol::Http,
            drain: PATIENCE,
            sticky: false,
            maintenance: false,
            tls: None,
            routes: Vec::new(),
        },
        log_requests: false,
        servers: servers.into_iter().map(server).collect(),
    }
}

/// A service that has a port for itself.
pub(super) fn alone(listen: Listen) -> Services {
    Services::from([("web".to_owned(), listen)])
}

/// A running HAProxy with one port.
pub(super) struct Proxy {
    pub(super) port: u16,
    folder: tempfile::TempDir,
    master: Child,
    stdout: Arc<Mutex<String>>,
    lines: Receiver<String>,
}

impl Proxy {
    pub(super) fn start(haproxy: &str, listen: Listen) -> Self {
        Self::start_all(haproxy, alone(listen))
    }

    pub(super) fn start_all(haproxy: &str, services: Services) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = folder.path().join("haproxy.cfg");
        write_config(&file, port, services);
        let mut master = Command::new(haproxy)
            .args(["-W", "-db", "-f"])
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = Arc::new(Mutex::new(String::new()));
        let out = master.stdout.take().unwrap();
        let err = master.stderr.take().unwrap();
        follow(out, Some(Arc::clone(&stdout)), sender.clone());
        follow(err, None, sender);
        let mut proxy = Self {
            port,
            folder,
            master,
            stdout,
            lines,
        };
        proxy.until("the proxy to start", |line| {
            line.contains("Loading success")
        });
        proxy
    }

    /// Writes what is behind the port from now on and returns once a new worker serves it. The old
    /// one may take connections for a moment still.
    ///
    /// HAProxy 2.6 does not hear the signal while its master starts itself anew, which it does at the
    /// end of each start and reload, so it is sent until it was heard.
    pub(super) fn reload(&mut self, listen: Listen) {
        self.reload_all(alone(listen));
    }

    pub(super) fn reload_all(&mut self, services: Services) {
        let file = self.folder.path().join("haproxy.cfg");
        write_config(&file, self.port, services);
        let master = Pid::from_child(&self.master);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            kill_process(master, Signal::USR2).unwrap();
            let heard = self.wait(Duration::from_secs(3), |line| line.contains(LOADED));
            if heard.is_ok() {
                return;
            }
        }
        panic!("no reload was heard: {}", self.log());
    }

    /// Waits for the end of the worker that served before the last reload.
    pub(super) fn await_drained(&mut self) {
        self.until("the old worker's end", |line| {
            line.to_lowercase().contains("former worker") && line.contains("exited")
        });
    }

    /// Reads on until a line is as wanted.
    #[track_caller]
    pub(super) fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        if let Err(seen) = self.wait(PATIENCE, wanted) {
            panic!("waited for {what} and saw {seen:#?}");
        }
    }

    /// The error holds the lines that came instead.
    fn wait(&self, most: Duration, wanted: impl Fn(&str) -> bool) -> Result<(), Vec<String>> {
        let deadline = Instant::now() + most;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if wanted(&line) => return Ok(()),
                Ok(line) => seen.push(line),
                Err(_) => return Err(seen),
            }
        }
    }

    /// Reads on until the log, as a whole, holds what is wanted.
    #[track_caller]
    pub(super) fn until_log<T>(&mut self, what: &str, read: impl Fn(&str) -> Option<T>) -> T {
        loop {
            if let Some(found) = read(&self.log()) {
                return found;
            }
            self.until(what, |_| true);
        }
    }

    /// All of the standard output so far.
    pub(super) fn log(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.master), Signal::TERM);
        let _ = self.master.wait();
    }
}

fn write_config(file: &std::path::Path, port: u16, services: Services) {
    let listens = [(port, services)].into();
    let text = Config { listens }.to_string();
    std::fs::write(file, text.replace("bind *:", "bind 127.0.0.1:")).unwrap();
}

fn follow(
    stream: impl Read + Send + 'static,
    all: Option<Arc<Mutex<String>>>,
    sender: Sender<String>,
) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(all) = &all {
                let mut all = all.lock().unwrap();
                all.push_str(&line);
                all.push('\n');
            }
            let _ = sender.send(line);
        }
    });
}

/// A small HTTP server. `/hold` is answered once [`Upstream::release`] is called, `/drop` never: the
/// connection ends. `/500` fails, `/echo` becomes a tunnel that repeats
/// what comes. All else tells the server's name and what it was sent.
pub(super) struct Upstream {
    pub(super) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    stopped: AtomicBool,
    released: AtomicBool,
    requests: AtomicUsize,
    held: Mutex<Option<Sender<()>>>,
    connections: Mutex<Vec<TcpStream>>,
}

impl Upstream {
    pub(super) fn start(name: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            stopped: AtomicBool::new(false),
            released: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            held: Mutex::new(None),
            connections: Mutex::default(),
        });
        let serves = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serves.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let mut connections = serves.connections.lock().unwrap();
                connections.push(stream.try_clone().unwrap());
                drop(connections);
                let serves = Arc::clone(&serves);
                thread::spawn(move || {
                    let _ = serves.serve(&stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { port, shared }
    }

    /// How many requests came in.
    pub(super) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Says when the next `/hold` has come in.
    pub(super) fn held(&self) -> Receiver<()> {
        let (sender, held) = channel();
        *self.shared.held.lock().unwrap() = Some(sender);
        held
    }

    pub(super) fn release(&self) {
        self.shared.released.store(true, Ordering::SeqCst);
    }

    /// Takes no more connections and lets be what there is.
    pub(super) fn close_door(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }

    /// As if it were killed.
    pub(super) fn kill(&self) {
        self.close_door();
        for stream in self.shared.connections.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.release();
        self.kill();
    }
}

impl Shared {
    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some((head, _)) = message(&mut reader)? {
            self.requests.fetch_add(1, Ordering::SeqCst);
            let path = head.split(' ').nth(1).unwrap_or_default();
            let mut status = "200 OK";
            match path {
                "/drop" => return Ok(()),
                "/500" => status = "500 Internal Server Error",
                "/hold" => {
                    if let Some(held) = self.held.lock().unwrap().take() {
                        let _ = held.send(());
                    }
                    while !self.released.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(5));
                    }
                }
                "/echo" => {
                    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYg+xzZhbK+xOo=";
                    write!(
                        stream,
                        "HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\n\r\n"
                    )?;
                    io::copy(&mut reader, &mut stream)?;
                    return Ok(());
                }
                _ => {}
            }
            let body = format!("{}\n{head}", self.name);
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes())?;
        }
        Ok(())
    }
}

/// The head and body of a message; `None` where the connection ends before one.
fn message(reader: &mut BufReader<TcpStream>) -> io::Result<Option<(String, String)>> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if reader.read_line(&mut head)? == 0 {
            return match before {
                0 => Ok(None),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        if head.ends_with("\r\n\r\n") {
            break;
        }
    }
    let length = header(&head, "content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Some((head, String::from_utf8(body).unwrap())))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    /// The server's name in its first line, then the request as it came.
    pub(super) body: String,
}

impl Answer {
    pub(super) fn server(&self) -> &str {
        self.body.lines().next().unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// A client with one connection, made anew only after an answer that said it would be closed.
pub(super) struct Client {
    port: u16,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(super) fn new(port: u16) -> Self {
        let connection = None;
        Self { port, connection }
    }

    pub(super) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, "")
    }

    /// Headers end in a line break each.
    pub(super) fn send(&mut self, method: &str, path: &str, headers: &str) -> io::Result<Answer> {
        self.answer(method, "shop.test", path, headers)
    }

    pub(super) fn send_to(&mut self, host: &str, path: &str) -> io::Result<Answer> {
        self.answer("GET", host, path, "")
    }

    fn answer(
        &mut self,
        method: &str,
        host: &str,
        path: &str,
        headers: &str,
    ) -> io::Result<Answer> {
        let answer = self.try_send(method, host, path, headers);
        let closes = answer.as_ref().map_or(true, |answer| {
            answer
                .header("connection")
                .is_some_and(|what| what == "close")
        });
        if closes {
            self.connection = None;
        }
        answer
    }

    fn try_send(
        &mut self,
        method: &str,
        host: &str,
        path: &str,
        headers: &str,
    ) -> io::Result<Answer> {
        if self.connection.is_none() {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.connection = Some(BufReader::new(stream));
        }
        let reader = self.connection.as_mut().unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        reader.get_mut().write_all(request.as_bytes())?;
        let (head, body) = message(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Answer { status, head, body })
    }

    /// The bare connection, to go on with as a tunnel.
    pub(super) fn into_stream(self) -> TcpStream {
        self.connection.unwrap().into_inner()
    }
}
