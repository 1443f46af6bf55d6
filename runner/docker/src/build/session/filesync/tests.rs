//! An engine's side of the file sync, played over the service's own messages.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use bollard::fsutil::types::Stat;
use bollard::fsutil::types::packet::PacketType;
use bollard::moby::filesync::packet::file_sync_client::FileSyncClient;
use bollard::moby::filesync::packet::file_sync_server::FileSyncServer;
use hoist_model::ignore::IgnoreFile;
use hoist_model::inputs::Part;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Streaming};

use super::*;

mod faults;
mod links;
mod patterns;
mod size;
mod stats;

/// A folder with these files, each with its name as content; a name that ends in `/` is a folder.
fn folder(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let path = folder.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name.as_bytes()).unwrap();
        }
    }
    folder
}

fn service(dir: Dir) -> Arc<FileSync> {
    let dirs = BTreeMap::from([("context".to_owned(), dir)]);
    Arc::new(FileSync::new(dirs, Failure::default()))
}

/// The service over a folder by the name `context`, with these ignore rules.
fn serve(folder: &Path, rules: &str) -> Arc<FileSync> {
    serve_clamped(folder, rules, None)
}

fn serve_clamped(folder: &Path, rules: &str, clamp: Option<i64>) -> Arc<FileSync> {
    let folder = ContextFolder::new(folder, IgnoreFile::parse(rules).unwrap());
    service(Dir::Folder {
        part: Part::Context,
        folder,
        clamp,
    })
}

/// What an engine asks, as metadata.
type Ask<'a> = &'a [(&'static str, &'a str)];

/// A call in an engine's hands.
struct Engine {
    requests: mpsc::UnboundedSender<Packet>,
    answers: Streaming<Packet>,
    stats: Vec<Stat>,
    files: BTreeMap<String, Vec<u8>>,
    /// What the service sent as an error.
    error: Option<String>,
}

impl Engine {
    async fn call(service: &Arc<FileSync>, ask: Ask<'_>) -> Result<Self, Status> {
        let mut asked = vec![("dir-name", "context")];
        asked.retain(|(key, _)| ask.iter().all(|(other, _)| key != other));
        asked.extend_from_slice(ask);
        let values = asked
            .into_iter()
            .map(|(key, value)| (key, value.as_bytes().to_vec()));
        Self::call_raw(service, values).await
    }

    async fn call_raw(
        service: &Arc<FileSync>,
        ask: impl IntoIterator<Item = (&'static str, Vec<u8>)>,
    ) -> Result<Self, Status> {
        let (requests, stream) = mpsc::unbounded_channel();
        let mut request = Request::new(UnboundedReceiverStream::new(stream));
        for (key, value) in ask {
            // As the wire has it: older engines send bytes that are not ASCII.
            let value = http::HeaderValue::from_bytes(&value).unwrap();
            let mut headers = http::HeaderMap::new();
            headers.insert(key, value);
            let value = tonic::metadata::MetadataMap::from_headers(headers);
            let value: MetadataValue<_> = value.get(key).unwrap().clone();
            request.metadata_mut().append(key, value);
        }
        let server = FileSyncServer::from_arc(service.clone());
        let answers = FileSyncClient::new(server).diff_copy(request).await?;
        Ok(Self {
            requests,
            answers: answers.into_inner(),
            stats: Vec::new(),
            files: BTreeMap::new(),
            error: None,
        })
    }

    fn say(&self, kind: PacketType, id: u32) {
        let packet = Packet {
            r#type: kind.into(),
            id,
            ..Packet::default()
        };
        self.requests.send(packet).unwrap();
    }

    /// The next answer; `None` at the end of the call.
    async fn next(&mut self) -> Result<Option<Packet>, Status> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.answers.message());
        next.await.expect("no answer for 20 seconds")
    }

    /// Hears of all entries.
    async fn hear(&mut self) -> Result<(), Status> {
        loop {
            let packet = self.next().await?.expect("an end of the entries");
            match (packet.r#type(), packet.stat) {
                (PacketType::PacketStat, Some(stat)) => self.stats.push(stat),
                (PacketType::PacketStat, None) => return Ok(()),
                (PacketType::PacketErr, _) => {
                    self.error = Some(String::from_utf8(packet.data).unwrap());
                }
                (kind, _) => panic!("unasked: {kind:?}"),
            }
        }
    }

    /// Asks for these files, takes them, and says farewell.
    async fn take(&mut self, wants: impl Fn(&Stat) -> bool) -> Result<(), Status> {
        let mut open = BTreeSet::new();
        for (id, stat) in (0..).zip(&self.stats) {
            let plain = stat.mode & !0o777 & !(1 << 23 | 1 << 22 | 1 << 20) == 0;
            if plain && stat.linkname.is_empty() && wants(stat) {
                self.say(PacketType::PacketReq, id);
                open.insert(id);
                self.files.insert(stat.path.clone(), Vec::new());
            }
        }
        while !open.is_empty() {
            let packet = self.next().await?.expect("the files asked for");
            match packet.r#type() {
                PacketType::PacketData if packet.data.is_empty() => {
                    assert!(open.remove(&packet.id));
                }
                PacketType::PacketData => {
                    assert!(open.contains(&packet.id));
                    let path = &self.stats[usize::try_from(packet.id).unwrap()].path;
                    self.files.get_mut(path).unwrap().extend(packet.data);
                }
                PacketType::PacketErr => {
                    self.error = Some(String::from_utf8(packet.data).unwrap());
                }
                kind => panic!("unexpected: {kind:?}"),
            }
        }
        self.say(PacketType::PacketFin, 0);
        let farewell = self.next().await?.expect("a farewell");
        assert_eq!(farewell.r#type(), PacketType::PacketFin);
        assert_eq!(self.next().await?, None);
        Ok(())
    }

    fn paths(&self) -> Vec<&str> {
        self.stats.iter().map(|stat| stat.path.as_str()).collect()
    }
}

/// A whole call that asks for every file.
async fn sync(service: &Arc<FileSync>, ask: Ask<'_>) -> Engine {
    let mut engine = Engine::call(service, ask).await.unwrap();
    engine.hear().await.unwrap();
    assert_in_order(&engine.stats);
    engine.take(|_| true).await.unwrap();
    assert_eq!(*service.failure.lock().unwrap(), None);
    engine
}

/// The paths that such a call tells of.
async fn told(service: &Arc<FileSync>, ask: Ask<'_>) -> Vec<String> {
    let engine = sync(service, ask).await;
    engine.stats.into_iter().map(|stat| stat.path).collect()
}

/// What a call says that goes wrong, which is the same on all ways.
async fn refused(service: &Arc<FileSync>, ask: Ask<'_>) -> String {
    let mut engine = match Engine::call(service, ask).await {
        Ok(engine) => engine,
        Err(status) => panic!("refused at once: {status}"),
    };
    let mut ended = engine.hear().await;
    if ended.is_ok() {
        ended = engine.take(|_| true).await;
    }
    assert_broken(service, &engine, &ended.unwrap_err())
}

#[track_caller]
fn assert_broken(service: &FileSync, engine: &Engine, status: &Status) -> String {
    let trouble = service.failure.lock().unwrap().clone();
    let text = line(&trouble.expect("a failure"));
    assert_eq!(engine.error.as_ref(), Some(&text));
    assert_eq!(
        (status.code(), status.message()),
        (Code::Aborted, text.as_str())
    );
    text
}

/// As engines check it: clean, parents first, ordered by parts.
fn assert_in_order(stats: &[Stat]) {
    let mut folders = BTreeSet::from([String::new()]);
    let mut last: Option<Vec<&str>> = None;
    for stat in stats {
        let parts: Vec<&str> = stat.path.split('/').collect();
        assert!(!parts.iter().any(|part| matches!(*part, "" | "." | "..")));
        let (above, _) = stat.path.rsplit_once('/').unwrap_or(("", ""));
        assert!(folders.contains(above), "{} has no parent", stat.path);
        assert!(last.is_none_or(|last| last < parts), "{}", stat.path);
        if stat.mode & 1 << 31 != 0 {
            folders.insert(stat.path.clone());
        }
        last = Some(parts);
    }
}

#[tokio::test]
async fn only_folders_of_the_build_are_to_be_had() {
    let folder = folder(&["a"]);
    let service = serve(folder.path(), "");
    let refused = Engine::call(&service, &[("dir-name", "etc")]).await;
    let status = refused.err().unwrap();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("`etc`"), "{status}");
    assert_eq!(*service.failure.lock().unwrap(), None);

    let (_, stream) = mpsc::unbounded_channel();
    let request = Request::new(UnboundedReceiverStream::<Packet>::new(stream));
    let server = FileSyncServer::from_arc(service);
    let refused = FileSyncClient::new(server).tar_stream(request).await;
    assert_eq!(refused.err().unwrap().code(), Code::Unimplemented);
}
