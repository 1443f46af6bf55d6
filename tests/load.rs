//! A client that puts a service under load and counts what it loses: HTTP/1.1 on connections that
//! are kept, without a single retry, so that what a better client would hide is seen. It speaks to
//! loopback alone and is bounded in number and time.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// However many are asked for.
const MOST: usize = 1_000_000;

/// A load that goes on until it is stopped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// How often each answer came.
    pub(crate) answers: BTreeMap<String, usize>,
    /// What came instead of an answer, with the time since the start of the load.
    pub(crate) lost: Vec<(Duration, String)>,
}

impl Tally {
    pub(crate) fn requests(&self) -> usize {
        self.answers.values().sum::<usize>() + self.lost.len()
    }
}

struct Shared {
    address: SocketAddr,
    path: &'static str,
    until: Instant,
    started: Instant,
    stop: AtomicBool,
    done: AtomicUsize,
    least: usize,
    pause: Duration,
    tally: Mutex<Tally>,
    tls: Option<Arc<ClientConfig>>,
}

/// What a client reads from and writes to.
pub(crate) trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A connection to loopback, over TLS where that is said.
pub(crate) fn connect(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
) -> std::io::Result<Box<dyn Stream>> {
    connect_to("shop.test", address, tls)
}

/// The same, of whoever has that name.
pub(crate) fn connect_to(
    name: &'static str,
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
) -> std::io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let name = name.try_into().expect("a name");
    let session = ClientConnection::new(Arc::clone(tls), name);
    let session = session.map_err(std::io::Error::other)?;
    Ok(Box::new(StreamOwned::new(session, stream)))
}

impl Load {
    /// So many clients, each with a pause after an answer, for `least` requests or more, `within`
    /// that time.
    pub(crate) fn start(
        port: u16,
        path: &'static str,
        clients: usize,
        pause: Duration,
        least: usize,
        within: Duration,
    ) -> Self {
        Self::start_over(None, port, path, clients, pause, least, within)
    }

    /// The same over TLS, where there is a configuration.
    pub(crate) fn start_over(
        tls: Option<Arc<ClientConfig>>,
        port: u16,
        path: &'static str,
        clients: usize,
        pause: Duration,
        least: usize,
        within: Duration,
    ) -> Self {
        let shared = Arc::new(Shared {
            address: ([127, 0, 0, 1], port).into(),
            path,
            until: Instant::now() + within,
            started: Instant::now(),
            stop: AtomicBool::new(false),
            done: AtomicUsize::new(0),
            least,
            pause,
            tally: Mutex::default(),
            tls,
        });
        let client = |_| {
            let shared = Arc::clone(&shared);
            spawn(move || shared.run())
        };
        Self {
            clients: (0..clients).map(client).collect(),
            shared,
        }
    }

    /// Waits until so many requests were made in all.
    pub(crate) fn reach(&self, requests: usize) {
        while self.shared.done.load(Ordering::Relaxed) < requests && self.shared.goes_on() {
            sleep(Duration::from_millis(10));
        }
    }

    /// Ends the load once all requests were made, however slow the machine is.
    #[track_caller]
    pub(crate) fn end(self) -> Tally {
        self.reach(self.shared.least);
        self.stop()
    }

    /// Ends the load, which went on until now.
    #[track_caller]
    pub(crate) fn stop(self) -> Tally {
        assert!(self.shared.goes_on(), "the load was over too soon");
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client ends");
        }
        std::mem::take(&mut self.shared.tally.lock().expect("no client panicked"))
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
            && Instant::now() < self.until
            && self.done.load(Ordering::Relaxed) < MOST
    }

    fn run(&self) {
        let mut connection: Option<BufReader<Box<dyn Stream>>> = None;
        while self.goes_on() {
            self.done.fetch_add(1, Ordering::Relaxed);
            let asked = self.ask(&mut connection);
            let mut tally = self.tally.lock().expect("no client panicked");
            match asked {
                Ok(answer) => *tally.answers.entry(answer).or_default() += 1,
                Err(why) => {
                    connection = None;
                    tally.lost.push((self.started.elapsed(), why));
                }
            }
            drop(tally);
            sleep(self.pause);
        }
    }

    /// One request; `Err` says what came instead of an answer with status 200.
    fn ask(&self, connection: &mut Option<BufReader<Box<dyn Stream>>>) -> Result<String, String> {
        let said = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
        if connection.is_none() {
            let stream = connect(self.address, self.tls.as_ref()).map_err(said("connect"))?;
            *connection = Some(BufReader::new(stream));
        }
        let stream = connection.as_mut().ok_or("no connection")?;
        let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.path);
        stream
            .get_mut()
            .write_all(request.as_bytes())
            .map_err(said("send"))?;
        let mut status = String::new();
        if stream.read_line(&mut status).map_err(said("read"))? == 0 {
            return Err("the connection was closed instead of an answer".into());
        }
        let (mut length, mut closes) = (None, false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).map_err(said("read"))? == 0 {
                return Err("the connection was closed in the middle of an answer".into());
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
            closes |= line == "connection: close";
        }
        let mut body = vec![0; length.ok_or("no length")?];
        stream.read_exact(&mut body).map_err(said("read"))?;
        if closes {
            *connection = None;
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        match status.split_whitespace().nth(1) {
            Some("200") => Ok(body),
            _ => Err(format!("{}: {body}", status.trim())),
        }
    }
}
