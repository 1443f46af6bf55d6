//! One call of an engine: a walk tells it of every entry, and readers answer what it asks for. Both
//! wait where the engine takes no more, and end when it hangs up. It refuses to go on when a file is
//! not what it was told to be.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bollard::fsutil::types::Packet;
use bollard::fsutil::types::packet::PacketType;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};
use hoist_engine::uploads::Upload;
use hoist_model::reason::Trouble;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Status;

use super::asked::Asked;
use super::ledger::Ledger;
use super::{Dir, Failure, Sent, keep, line};

mod read;
mod tell;

/// Threads that read files.
const READERS: usize = 4;

/// Pieces and batches that wait for the engine.
const WAITING: usize = 16;

/// Why a call ends early.
enum Halt {
    /// Something cannot be sent.
    Trouble(Trouble),
    /// The engine wants no more.
    Unwanted,
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

type Batch = Result<Vec<Packet>, Status>;

/// A call.
pub(super) struct Transfer {
    dir: Arc<Dir>,
    asked: Asked,
    failure: Failure,
    sent: Sent,
    /// Ends with the call.
    upload: Option<Upload>,
}

impl Transfer {
    pub(super) fn new(
        dir: Arc<Dir>,
        asked: Asked,
        failure: Failure,
        sent: Sent,
        upload: Option<Upload>,
    ) -> Self {
        Self {
            dir,
            asked,
            failure,
            sent,
            upload,
        }
    }

    /// Begins it: answers for what the engine says. All ends when the answers are dropped.
    pub(super) fn start(
        self,
        requests: impl Stream<Item = Result<Packet, Status>> + Send + 'static,
    ) -> BoxStream<'static, Result<Packet, Status>> {
        let (out, answers) = mpsc::channel(WAITING);
        let call = Arc::new(Call {
            transfer: self,
            ledger: Mutex::default(),
            out,
        });
        tokio::spawn(async move { call.run(requests).await });
        // Nothing comes after an error.
        stream::unfold(Some(answers), |answers| async {
            let mut answers = answers?;
            let batch: Batch = answers.recv().await?;
            let next = batch.is_ok().then_some(answers);
            let items: Vec<_> = match batch {
                Ok(packets) => packets.into_iter().map(Ok).collect(),
                Err(status) => vec![Err(status)],
            };
            Some((stream::iter(items), next))
        })
        .flatten()
        .boxed()
    }
}

/// A file asked for.
struct Asking {
    number: u32,
    size: u64,
}

/// A call under way.
struct Call {
    transfer: Transfer,
    ledger: Mutex<Ledger>,
    out: mpsc::Sender<Batch>,
}

impl Call {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends from a thread that may wait.
    fn send(&self, packets: Vec<Packet>) -> Result<(), Halt> {
        let sent = self.out.blocking_send(Ok(packets));
        sent.map_err(|_| Halt::Unwanted)
    }

    async fn run(self: Arc<Self>, requests: impl Stream<Item = Result<Packet, Status>> + Send) {
        let walk = {
            let call = self.clone();
            async move {
                let walk = tokio::task::spawn_blocking(move || call.tell());
                walk.await.unwrap_or_else(|_| Err(broke().into()))
            }
        };
        let ended = tokio::select! {
            ended = async { tokio::try_join!(walk, self.serve(requests)) } => ended,
            () = self.out.closed() => return,
        };
        let status = match ended {
            Ok(((), ())) => return,
            Err(Halt::Unwanted) => Status::cancelled("the engine wants no more files"),
            Err(Halt::Trouble(trouble)) => {
                let line = line(&trouble);
                keep(&self.transfer.failure, trouble);
                let packet = Packet {
                    data: line.clone().into_bytes(),
                    ..packet(PacketType::PacketErr)
                };
                // Nobody listens any more: then nobody needs to know either.
                let _ = self.out.send(Ok(vec![packet])).await;
                Status::aborted(line)
            }
        };
        let _ = self.out.send(Err(status)).await;
    }

    /// Answers until the engine has all that it wants.
    async fn serve(
        self: &Arc<Self>,
        requests: impl Stream<Item = Result<Packet, Status>> + Send,
    ) -> Result<(), Halt> {
        // Never more than the files told of, at a few bytes each. What the engine asks for must not
        // wait unread: its connection takes many small messages that do for an attack.
        let (ask, asked) = mpsc::unbounded_channel();
        let asked = Arc::new(Mutex::new(asked));
        let mut readers: JoinSet<Result<(), Halt>> = JoinSet::new();
        let mut requests = std::pin::pin!(requests);
        loop {
            let request = tokio::select! {
                // Before its time only a reader ends that failed.
                Some(ended) = readers.join_next() => {
                    ended.unwrap_or_else(|_| Err(broke().into()))?;
                    continue;
                }
                request = requests.next() => request,
            };
            // An error of the engine's own it tells as the build's, too.
            let Some(Ok(request)) = request else {
                return Err(Halt::Unwanted);
            };
            match request.r#type() {
                PacketType::PacketReq => {
                    if readers.is_empty() {
                        for _ in 0..READERS {
                            let (call, asked) = (self.clone(), asked.clone());
                            readers.spawn_blocking(move || call.read(&asked));
                        }
                    }
                    let number = request.id;
                    let size = self.ledger().take(number).ok_or_else(|| {
                        Trouble::new("the engine asked for a file that it was not told of")
                            .cause(format!("its number is {number}"))
                    })?;
                    // Where all readers failed, the next round tells.
                    let _ = ask.send(Asking { number, size });
                }
                PacketType::PacketFin => break,
                PacketType::PacketErr => return Err(Halt::Unwanted),
                PacketType::PacketStat | PacketType::PacketData => {}
            }
        }
        drop(ask);
        while let Some(ended) = readers.join_next().await {
            ended.unwrap_or_else(|_| Err(broke().into()))?;
        }
        let farewell = packet(PacketType::PacketFin);
        let sent = self.out.send(Ok(vec![farewell])).await;
        sent.map_err(|_| Halt::Unwanted)
    }
}

/// A thread ended that should not have.
fn broke() -> Trouble {
    Trouble::new("not everything could be sent")
        .cause("the thread that read it ended before its time")
}

fn packet(kind: PacketType) -> Packet {
    Packet {
        r#type: kind.into(),
        ..Packet::default()
    }
}
