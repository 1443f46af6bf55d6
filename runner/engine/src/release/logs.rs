//! What the containers of an environment print, as the engine kept it: what is there already in the
//! order of its times, and then what comes, from containers that are started later too. It keeps
//! nothing and masks nothing: whoever prints a line does.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream, SelectAll};
use hoist_model::event::Stream as OutputStream;
use hoist_model::reason::Trouble;
use hoist_model::seen::Instance;
use tokio::sync::mpsc;

use super::instances::{Found, NotFound, find, in_use, instance, of_service, role};
use super::names::{Place, SERVICE};
use crate::backend::{Backend, BackendError, EngineEvent, LogPiece, LogQuery};
use crate::labels;

/// The longest line that is held back for its end, bytes; a longer one is passed on in pieces.
const LONGEST: usize = 1 << 20;
/// Nanoseconds of a second.
const NANOS: i64 = 1_000_000_000;

/// Which lines are wanted.
#[derive(Clone, Debug, Default)]
pub struct LogsOf<'a> {
    /// The project's name.
    pub project: &'a str,
    /// The environment's.
    pub environment: &'a str,
    /// Of this service alone.
    pub service: Option<&'a str>,
    /// Of proxies, too.
    pub proxies: bool,
    /// Not older than that.
    pub since: Option<Duration>,
    /// Of each container only so many of the last.
    pub tail: Option<usize>,
}

/// A line that a container printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Which.
    pub instance: Instance,
    /// Without its end. It may hold anything, secrets too.
    pub bytes: Bytes,
}

/// Containers whose lines are wanted.
pub struct Logs<'a> {
    backend: &'a dyn Backend,
    wanted: LogsOf<'a>,
    place: Place,
    found: Vec<Found>,
    /// The engine's time before they were looked for, nanoseconds since the epoch.
    now: i64,
}

impl<'a> Logs<'a> {
    /// Finds the containers. There may be none.
    ///
    /// # Errors
    /// When the service has none, or the engine does not say.
    pub async fn find(backend: &'a dyn Backend, wanted: LogsOf<'a>) -> Result<Self, NotFound> {
        let failed = |error| NotFound::Surroundings(failed(error));
        let place = Place::new(wanted.project, wanted.environment);
        let now = backend.info().await.map_err(failed)?.time;
        let mut found = find(backend, &place).await.map_err(failed)?;
        found.retain(|found| is_wanted(&wanted, &found.role));
        let found = of_service(&place, wanted.service, in_use(found));
        let found = found.map_err(NotFound::Unknown)?;
        Ok(Self {
            backend,
            wanted,
            place,
            found,
            now: now.saturating_mul(NANOS),
        })
    }

    /// Whose lines there are.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.found.iter().map(|found| &found.instance)
    }

    /// Gives what was printed, of all containers in the order of time.
    ///
    /// # Errors
    /// When the engine does not say.
    pub async fn past(&self, lines: &mpsc::Sender<LogLine>) -> Result<(), Trouble> {
        self.merge(lines).await.map(|_| ())
    }

    /// Gives what was printed, and then what is, until the lines are wanted no more.
    ///
    /// # Errors
    /// When the engine goes away.
    pub async fn follow(&self, lines: &mpsc::Sender<LogLine>) -> Result<(), Trouble> {
        let filter = [
            (labels::PROJECT, Some(self.place.project.as_str())),
            (labels::ENVIRONMENT, Some(self.place.environment.as_str())),
        ];
        let events = self.backend.events(&filter, Some(self.now)).await;
        let mut events = events.map_err(failed)?;
        let last = self.merge(lines).await?;
        let mut tails = Tails::default();
        for (found, last) in self.found.iter().zip(last) {
            let tail = Tail::new(found.instance.clone(), last.max(self.since() - 1));
            tails.add(&found.info.id, tail);
            if found.is_up() {
                tails.open(self.backend, &found.info.id).await?;
            }
        }
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => self.note(event, &mut tails).await?,
                    Some(Err(error)) => return Err(failed(error)),
                    None => return Err(Trouble::new("the engine has ended its events")
                        .hint("see whether it is well with `hoist doctor`")),
                },
                Some((id, piece)) = tails.streams.next() => {
                    for line in tails.take(self.backend, &id, piece).await? {
                        if lines.send(line).await.is_err() {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// A container that starts is followed from then on, a new one too.
    async fn note(&self, event: EngineEvent, tails: &mut Tails) -> Result<(), Trouble> {
        if event.action != "start" {
            return Ok(());
        }
        if !tails.all.contains_key(&event.container) {
            let instance = instance(&self.place, &event.name, &event.labels);
            let service = self.wanted.service;
            let of_service = service.is_none_or(|service| service == instance.service);
            if !of_service || !is_wanted(&self.wanted, &role(&event.labels)) {
                return Ok(());
            }
            tails.add(&event.container, Tail::new(instance, 0));
        }
        tails.open(self.backend, &event.container).await
    }

    /// From when on lines are wanted, nanoseconds since the epoch.
    fn since(&self) -> i64 {
        self.wanted.since.map_or(0, |since| {
            let since = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
            self.now.saturating_sub(since).max(0)
        })
    }

    /// Gives what was printed in the order of time, and for each container the time of its last
    /// line; where it has none, that of the look.
    async fn merge(&self, lines: &mpsc::Sender<LogLine>) -> Result<Vec<i64>, Trouble> {
        let since = self.since();
        let query = LogQuery {
            since: (since > 0).then_some(since),
            tail: self.wanted.tail,
            follow: false,
        };
        let mut tapes = Vec::new();
        for found in &self.found {
            let pieces = self.backend.log_pieces(&found.info.id, query).await;
            let pieces = pieces.map_err(failed)?;
            let mut tape = Tape::new(found.instance.clone(), pieces);
            tape.advance().await?;
            tapes.push(tape);
        }
        let mut last = vec![self.now; tapes.len()];
        loop {
            let heads = tapes.iter().enumerate();
            let heads = heads.filter_map(|(ix, tape)| Some((tape.head.as_ref()?.0, ix)));
            let Some((at, ix)) = heads.min() else {
                return Ok(last);
            };
            let Some(tape) = tapes.get_mut(ix) else {
                return Ok(last);
            };
            let head = tape.head.take();
            if let Some(last) = last.get_mut(ix) {
                *last = at;
            }
            tape.advance().await?;
            if let Some((_, line)) = head
                && lines.send(line).await.is_err()
            {
                return Ok(last);
            }
        }
    }
}

fn failed(error: BackendError) -> Trouble {
    error.trouble("what the containers printed cannot be read")
}

fn is_wanted(wanted: &LogsOf<'_>, role: &str) -> bool {
    role == SERVICE || (wanted.proxies && role == "proxy")
}

/// Lines of one container from pieces. A line has the time of its beginning.
struct Lines {
    instance: Instance,
    open: [Option<(i64, BytesMut)>; 2],
}

impl Lines {
    fn new(instance: Instance) -> Self {
        Self {
            instance,
            open: [None, None],
        }
    }

    /// The line that the piece ends, if it does.
    fn push(&mut self, piece: LogPiece) -> Option<(i64, LogLine)> {
        let [out, err] = &mut self.open;
        let open = match piece.stream {
            OutputStream::Stdout => out,
            OutputStream::Stderr => err,
        };
        let ends = piece.bytes.last() == Some(&b'\n');
        if ends && open.is_none() {
            return Some((piece.at, line(&self.instance, piece.bytes)));
        }
        let (_, bytes) = open.get_or_insert_with(|| (piece.at, BytesMut::new()));
        bytes.extend_from_slice(&piece.bytes);
        if !ends && bytes.len() < LONGEST {
            return None;
        }
        let (at, bytes) = open.take()?;
        Some((at, line(&self.instance, bytes.freeze())))
    }

    /// What has no end.
    fn end(&mut self) -> Option<(i64, LogLine)> {
        let (at, bytes) = self.open.iter_mut().find_map(Option::take)?;
        Some((at, line(&self.instance, bytes.freeze())))
    }
}

fn line(instance: &Instance, bytes: Bytes) -> LogLine {
    let end = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let end = end.strip_suffix(b"\r").unwrap_or(end);
    LogLine {
        instance: instance.clone(),
        bytes: bytes.slice_ref(end),
    }
}

/// What a container printed, at its first line that was not given yet.
struct Tape {
    lines: Lines,
    pieces: BoxStream<'static, Result<LogPiece, BackendError>>,
    head: Option<(i64, LogLine)>,
}

impl Tape {
    fn new(instance: Instance, pieces: BoxStream<'static, Result<LogPiece, BackendError>>) -> Self {
        Self {
            lines: Lines::new(instance),
            pieces,
            head: None,
        }
    }

    async fn advance(&mut self) -> Result<(), Trouble> {
        while self.head.is_none() {
            match self.pieces.next().await {
                Some(piece) => self.head = self.lines.push(piece.map_err(failed)?),
                None => {
                    self.head = self.lines.end();
                    break;
                }
            }
        }
        Ok(())
    }
}

/// A container that is followed.
struct Tail {
    lines: Lines,
    /// The time of the last piece that was given.
    last: i64,
    open: bool,
}

impl Tail {
    fn new(instance: Instance, last: i64) -> Self {
        Self {
            lines: Lines::new(instance),
            last,
            open: false,
        }
    }
}

/// A piece of a container's output; nothing at the end of its stream.
type Next = (String, Option<Result<LogPiece, BackendError>>);

/// All containers that are followed.
#[derive(Default)]
struct Tails {
    all: BTreeMap<String, Tail>,
    streams: SelectAll<BoxStream<'static, Next>>,
}

impl Tails {
    fn add(&mut self, id: &str, tail: Tail) {
        self.all.insert(id.to_owned(), tail);
    }

    /// Follows a container, unless it is followed already.
    async fn open(&mut self, backend: &dyn Backend, id: &str) -> Result<(), Trouble> {
        let Some(tail) = self.all.get_mut(id).filter(|tail| !tail.open) else {
            return Ok(());
        };
        let query = LogQuery {
            since: (tail.last > 0).then_some(tail.last),
            tail: None,
            follow: true,
        };
        let pieces = match backend.log_pieces(id, query).await {
            Ok(pieces) => pieces,
            // It was removed since.
            Err(error) if error.kind == crate::backend::BackendErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        tail.open = true;
        let id = id.to_owned();
        let ended = stream::iter([(id.clone(), None)]);
        let pieces = pieces.map(move |piece| (id.clone(), Some(piece)));
        self.streams.push(pieces.chain(ended).boxed());
        Ok(())
    }

    /// The lines that a piece, or the end of a stream, brings.
    async fn take(
        &mut self,
        backend: &dyn Backend,
        id: &str,
        piece: Option<Result<LogPiece, BackendError>>,
    ) -> Result<Vec<LogLine>, Trouble> {
        let Some(tail) = self.all.get_mut(id) else {
            return Ok(Vec::new());
        };
        // A stream that breaks off ends like any other: whether the engine is gone, its events say.
        if let Some(Ok(piece)) = piece {
            // What was given before stands at the beginning of what is asked for.
            if piece.at != 0 && piece.at <= tail.last {
                return Ok(Vec::new());
            }
            tail.last = piece.at.max(tail.last);
            return Ok(tail
                .lines
                .push(piece)
                .map(|(_, line)| line)
                .into_iter()
                .collect());
        }
        tail.open = false;
        let left: Vec<_> = std::iter::from_fn(|| tail.lines.end())
            .map(|(_, line)| line)
            .collect();
        // It may have been started again before the end of its stream was met.
        let found = backend.inspect_container(id).await;
        if found.is_ok_and(|found| found.is_some_and(|info| info.is_running())) {
            self.open(backend, id).await?;
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{ContainerSpec, Labels};
    use crate::fake::{FakeBackend, Program};
    use crate::release::bare::bare;

    fn spec(service: &str, replica: &str, role: &str) -> ContainerSpec {
        let mut all = Place::new("shop", "live").labels(role);
        let own = [(labels::SERVICE, service), (labels::REPLICA, replica)];
        all.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
        bare(&format!("shop-live-{service}-{replica}"), "base", all)
    }

    async fn start(engine: &FakeBackend, spec: &ContainerSpec) -> String {
        let id = engine.create_container(spec).await.expect("created");
        engine.start_container(&id).await.expect("started");
        id
    }

    fn says(program: Program, after: u64, text: &'static str) -> Program {
        let mut program = program;
        let after = Duration::from_millis(after);
        let bytes = text.as_bytes().to_vec();
        program.output.push((after, OutputStream::Stdout, bytes));
        program
    }

    fn engine() -> FakeBackend {
        let engine = FakeBackend::new();
        engine.add_image("base");
        let web = says(Program::forever(), 10, "web begins\n");
        let web = says(says(web, 30, "web goes "), 31, "on\n");
        let db = says(
            says(Program::forever(), 20, "db begins\n"),
            500,
            "db later\n",
        );
        engine.program(|spec| spec.name.contains("web"), web);
        engine.program(|spec| spec.name.contains("db"), db);
        engine
    }

    const LIVE: LogsOf<'static> = LogsOf {
        project: "shop",
        environment: "live",
        service: None,
        proxies: false,
        since: None,
        tail: None,
    };

    async fn past(engine: &FakeBackend, wanted: LogsOf<'_>) -> Vec<String> {
        let (to, mut from) = mpsc::channel(100);
        let logs = Logs::find(engine, wanted).await.expect("found");
        logs.past(&to).await.expect("given");
        drop(to);
        let mut lines = Vec::new();
        while let Some(line) = from.recv().await {
            lines.push(String::from_utf8_lossy(&line.bytes).into_owned());
        }
        lines
    }

    #[tokio::test(start_paused = true)]
    async fn lines_of_several_containers_come_in_the_order_of_time() {
        let engine = engine();
        start(&engine, &spec("db", "1", SERVICE)).await;
        start(&engine, &spec("web", "1", SERVICE)).await;
        start(&engine, &spec("web-edge", "1", "proxy")).await;
        start(&engine, &bare("web-foreign", "base", Labels::new())).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let all = ["web begins", "db begins", "web goes on", "db later"];
        assert_eq!(past(&engine, LIVE).await, all);
        let db = LogsOf {
            service: Some("db"),
            tail: Some(1),
            ..LIVE
        };
        assert_eq!(past(&engine, db).await, ["db later"]);
        let proxies = LogsOf {
            proxies: true,
            ..LIVE
        };
        assert_eq!(past(&engine, proxies).await.len(), all.len() + 2);
        let nobody = LogsOf {
            service: Some("bd"),
            ..LIVE
        };
        assert!(Logs::find(&engine, nobody).await.is_err());
    }

    async fn next(from: &mut mpsc::Receiver<LogLine>) -> String {
        let line = tokio::time::timeout(Duration::from_secs(5), from.recv()).await;
        let line = line.expect("in time").expect("a line");
        let said = String::from_utf8_lossy(&line.bytes).into_owned();
        format!("{} {said}", line.instance.container)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_started_later_is_followed_and_nothing_comes_twice() {
        let engine = engine();
        let db = start(&engine, &spec("db", "1", SERVICE)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (to, mut from) = mpsc::channel(100);
        let following = engine.clone();
        let task = tokio::spawn(async move {
            let logs = Logs::find(&following, LIVE).await.expect("found");
            logs.follow(&to).await
        });
        let mut said = async || next(&mut from).await;
        assert_eq!(said().await, "shop-live-db-1 db begins");
        assert_eq!(said().await, "shop-live-db-1 db later");
        start(&engine, &spec("web", "2", SERVICE)).await;
        assert_eq!(said().await, "shop-live-web-2 web begins");
        assert_eq!(said().await, "shop-live-web-2 web goes on");
        // Started again it goes on where it was, and what it printed before is not told again.
        engine
            .restart_container(&db, Duration::ZERO)
            .await
            .expect("restarted");
        assert_eq!(said().await, "shop-live-db-1 db begins");
        engine.break_events();
        let trouble = task.await.expect("no panic").expect_err("ended");
        assert_eq!(trouble.what, "the engine has ended its events");
    }
}
