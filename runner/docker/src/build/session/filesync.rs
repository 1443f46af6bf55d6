//! The files of a build, sent as far as the engine lacks them: BuildKit's FileSync service. The
//! engine calls it once for each folder that it wants to look at, says what of it, and asks for the
//! files that it does not have yet. It refuses to send anything from outside of those folders, links
//! that lead out, owners, and attributes other than the capabilities of a program.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bollard::fsutil::types::Packet;
use bollard::moby::filesync::packet::file_sync_server;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use hoist_engine::backend::ContextFolder;
use hoist_engine::uploads::Uploads;
use hoist_model::inputs::Part;
use hoist_model::reason::Trouble;
use tonic::{Request, Response, Status, Streaming};

mod asked;
mod filter;
mod follow;
mod ledger;
mod stat;
mod transfer;

use asked::Asked;
use transfer::Transfer;

/// Where the file sync says why it ended; an engine may tell only that the transfer broke.
pub(crate) type Failure = Arc<Mutex<Option<Trouble>>>;

/// What the engine knows by a name of its own and may ask the files of.
#[derive(Clone, Debug)]
pub(crate) enum Dir {
    /// A folder of this machine.
    Folder {
        /// What it is to the build.
        part: Part,
        /// Where it is, and what of it is left out.
        folder: ContextFolder,
        /// Later times are sent as this one, in seconds since the epoch. All files are then sent
        /// with every build: by their times nobody can tell any more which of them changed.
        clamp: Option<i64>,
    },
    /// Files in memory by their names.
    Files(BTreeMap<String, Bytes>),
}

/// Sends files.
#[derive(Debug)]
pub(crate) struct FileSync {
    dirs: BTreeMap<String, Arc<Dir>>,
    failure: Failure,
    sent: Sent,
    uploads: Uploads,
}

impl FileSync {
    /// Over these, by the names that the engine calls them.
    pub(crate) fn new(dirs: BTreeMap<String, Dir>, failure: Failure) -> Self {
        let dirs = dirs.into_iter().map(|(name, dir)| (name, Arc::new(dir)));
        Self {
            dirs: dirs.collect(),
            failure,
            sent: Sent::default(),
            uploads: Uploads::default(),
        }
    }

    /// It tells there when folders are read.
    pub(crate) fn telling(self, uploads: Uploads) -> Self {
        Self { uploads, ..self }
    }

    /// What it has sent so far. A copy may be kept.
    pub(crate) fn sent(&self) -> Sent {
        self.sent.clone()
    }
}

/// What was sent of folders of this machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    entries: AtomicU64,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Sent {
    fn told(&self) {
        self.0.entries.fetch_add(1, Ordering::Relaxed);
    }

    fn asked(&self) {
        self.0.files.fetch_add(1, Ordering::Relaxed);
    }

    fn gave(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Files, folders and links that the engine was told of.
    pub(crate) fn entries(&self) -> u64 {
        self.0.entries.load(Ordering::Relaxed)
    }

    /// Files that it asked for.
    pub(crate) fn files(&self) -> u64 {
        self.0.files.load(Ordering::Relaxed)
    }

    /// Bytes in them.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

/// Keeps the first reason; what comes after it follows from it.
fn keep(failure: &Failure, trouble: Trouble) {
    let mut slot = failure.lock().unwrap_or_else(PoisonError::into_inner);
    slot.get_or_insert(trouble);
}

/// A trouble in one line, for the engine.
fn line(trouble: &Trouble) -> String {
    match &trouble.cause {
        Some(cause) => format!("{}: {cause}", trouble.what),
        None => trouble.what.clone(),
    }
}

#[async_trait]
impl file_sync_server::FileSync for FileSync {
    type DiffCopyStream = BoxStream<'static, Result<Packet, Status>>;
    type TarStreamStream = BoxStream<'static, Result<Packet, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let (metadata, _, requests) = request.into_parts();
        let asked = Asked::read(&metadata).map_err(|trouble| {
            let status = Status::invalid_argument(line(&trouble));
            keep(&self.failure, trouble);
            status
        })?;
        let dir = self.dirs.get(&asked.dir).cloned().ok_or_else(|| {
            Status::not_found(format!("this build has no folder `{}`", asked.dir))
        })?;
        let upload = match &*dir {
            Dir::Folder { part, .. } if asked.is_for_rules() => {
                Some(self.uploads.begin_rules(part.clone()))
            }
            Dir::Folder { part, .. } => Some(self.uploads.begin(part.clone())),
            Dir::Files(_) => None,
        };
        let (failure, sent) = (self.failure.clone(), self.sent.clone());
        let transfer = Transfer::new(dir, asked, failure, sent, upload);
        Ok(Response::new(transfer.start(requests)))
    }

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("files are sent by DiffCopy only"))
    }
}

#[cfg(test)]
mod tests;
