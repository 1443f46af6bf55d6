//! Files hashed by several threads, results in the order in which they were asked for. Threads are
//! started with the first file: most looks read none. It refuses to hash what is not the file that
//! the walk saw.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::SystemTime;

use hoist_model::reason::Trouble;

use super::entry::{Content, Hash};
use super::list::{Seen, State};
use crate::walk::{Stat, changed, unreadable};

/// Entries that may wait for a hash.
const WINDOW: usize = 512;
/// Bytes read at once.
const PIECE: usize = 128 << 10;

/// Tells a look that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

/// Stops when it is dropped.
pub(super) struct Guard(Stop);

impl Stop {
    pub(super) fn guard(self) -> Guard {
        Guard(self)
    }

    pub(super) fn check(&self) -> Result<(), Trouble> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Trouble::new("nobody waits for it any more")),
            false => Ok(()),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// A file's hash and what it is worth.
type Hashed = Result<(Hash, State), Trouble>;

/// A file to hash.
struct Job {
    at: PathBuf,
    shown: String,
    stat: Stat,
    reply: mpsc::SyncSender<Hashed>,
}

/// Entries on their way, in order.
pub(super) struct Line {
    waiting: VecDeque<Waiting>,
    workers: Option<Workers>,
    stop: Stop,
}

enum Waiting {
    Ready(Seen),
    Hashing {
        seen: Seen,
        reply: mpsc::Receiver<Hashed>,
    },
}

impl Line {
    pub(super) fn new(stop: &Stop) -> Self {
        Self {
            waiting: VecDeque::new(),
            workers: None,
            stop: stop.clone(),
        }
    }

    /// An entry that is known already.
    pub(super) fn ready(&mut self, seen: Seen) {
        self.waiting.push_back(Waiting::Ready(seen));
    }

    /// A plain file of that folder which must be read.
    pub(super) fn hash(&mut self, folder: &Path, seen: Seen) -> Result<(), Trouble> {
        let (reply, answer) = mpsc::sync_channel(1);
        let job = Job {
            at: folder.join(OsStr::from_bytes(&seen.entry.path)),
            shown: String::from_utf8_lossy(&seen.entry.path).into_owned(),
            stat: seen.stat,
            reply,
        };
        let workers = self
            .workers
            .get_or_insert_with(|| Workers::start(&self.stop));
        workers.give(job)?;
        self.waiting.push_back(Waiting::Hashing {
            seen,
            reply: answer,
        });
        Ok(())
    }

    /// The next entry, if enough wait behind it or `all` are wanted.
    pub(super) fn next(&mut self, all: bool) -> Result<Option<Seen>, Trouble> {
        if !all && self.waiting.len() < WINDOW {
            return Ok(None);
        }
        let (mut seen, reply) = match self.waiting.pop_front() {
            None => return Ok(None),
            Some(Waiting::Ready(seen)) => return Ok(Some(seen)),
            Some(Waiting::Hashing { seen, reply }) => (seen, reply),
        };
        let gone = |_| Trouble::new("a file could not be hashed").cause("its thread broke off");
        let (hash, state) = reply.recv().map_err(gone)??;
        seen.entry.content = Content::File(hash);
        seen.state = state;
        Ok(Some(seen))
    }
}

/// The threads that hash; they end with this.
struct Workers {
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    fn start(stop: &Stop) -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let inbox = Arc::new(Mutex::new(inbox));
        // Reading waits for the disk at times, hashing never does.
        let count = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8));
        let threads = (0..count).filter_map(|_| {
            let (inbox, stop) = (Arc::clone(&inbox), stop.clone());
            std::thread::Builder::new()
                .name("hash".to_owned())
                .spawn(move || work(&inbox, &stop))
                .ok()
        });
        Self {
            threads: threads.collect(),
            jobs: Some(jobs),
        }
    }

    fn give(&self, job: Job) -> Result<(), Trouble> {
        let jobs = self.jobs.as_ref().filter(|_| !self.threads.is_empty());
        let given = jobs.is_some_and(|jobs| jobs.send(job).is_ok());
        given
            .then_some(())
            .ok_or_else(|| Trouble::new("no thread could be started to hash files"))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn work(inbox: &Mutex<mpsc::Receiver<Job>>, stop: &Stop) {
    let mut buffer = vec![0; PIECE];
    loop {
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let Job {
            at,
            shown,
            stat,
            reply,
        } = job;
        let _ = reply.send(read(&at, &shown, &stat, &mut buffer, stop));
    }
}

/// Reads one file here and now.
pub(super) fn hash_now(
    at: &Path,
    shown: &str,
    seen: &mut Seen,
    stop: &Stop,
) -> Result<(), Trouble> {
    let size = usize::try_from(seen.stat.size).unwrap_or(PIECE);
    // One byte more tells the end of it.
    let mut buffer = vec![0; size.saturating_add(1).min(PIECE)];
    let (hash, state) = read(at, shown, &seen.stat, &mut buffer, stop)?;
    seen.entry.content = Content::File(hash);
    seen.state = state;
    Ok(())
}

fn read(at: &Path, shown: &str, stat: &Stat, buffer: &mut [u8], stop: &Stop) -> Hashed {
    let failed = |error: io::Error| unreadable(shown, &error);
    let read_at = SystemTime::now();
    let mut file = open(at).map_err(failed)?;
    let is_same = |file: &File| Ok(Stat::of(&file.metadata()?) == *stat);
    let mut hasher = blake3::Hasher::new();
    if is_same(&file).map_err(failed)? {
        loop {
            stop.check()?;
            let read = file.read(buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            hasher.update(buffer.get(..read).unwrap_or_default());
        }
    }
    match is_same(&file).map_err(failed)? {
        true => Ok((
            *hasher.finalize().as_bytes(),
            match stat.is_racy(read_at) {
                true => State::Racy,
                false => State::Settled,
            },
        )),
        false => Err(changed(shown, "it was written to while it was read")),
    }
}

/// Opens a plain file; what has become a link or a pipe meanwhile neither leads away nor blocks.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}
