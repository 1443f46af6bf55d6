//! A gate's files and processes: its configuration is put on its volume and read by it. What a gate
//! is told to do is decided elsewhere, and nothing is told to one that would refuse it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep};

use crate::backend::{Backend, BackendError, BackendErrorKind, Chunk, Process};
use crate::release::proxy::{FOLDER, Shares, Unreadable};
use crate::walk::Owner;
use crate::walk::entries::{Content, Entry, tar_of};

/// Whose process a gate is in its container: that of the official image.
pub(super) const USER: Owner = Owner {
    uid: 99,
    gid: 99,
    for_all: false,
};
pub(super) const CONFIG: &str = "haproxy.cfg";
const NEXT: &str = "next.cfg";

/// Between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// How often something is tried with a file.
const TRIES: usize = 10;
/// How often a file has to be missing.
const SURE: usize = 3;
/// How long a gate may take to read its configuration.
const RELOAD: Duration = Duration::from_secs(15);
/// After which a signal that was not heard is sent again.
const AGAIN: Duration = Duration::from_secs(1);

/// Gives a gate its configuration, and starts it or has it read that. Gives the workers that only
/// bring to an end what they had begun.
pub(in crate::release) async fn lead(
    backend: &dyn Backend,
    id: &str,
    text: &str,
    pems: &[Pem<'_>],
) -> Result<BTreeSet<u64>, BackendError> {
    if !runs(backend, id).await {
        put_pems(backend, id, pems).await?;
        put(backend, id, CONFIG, text).await?;
        backend.start_container(id).await?;
        let until = Instant::now() + RELOAD;
        while workers(backend, id).await.is_empty() {
            wait(until, "the proxy did not start").await?;
            if !runs(backend, id).await {
                let log = text_of(&backend.logs(id, Some(10)).await?);
                let why = format!("the proxy ended: {}", log.trim());
                return Err(BackendError::new(BackendErrorKind::Engine, why));
            }
        }
        return Ok(BTreeSet::new());
    }
    if get(backend, id)
        .await
        .is_some_and(|current| current == text)
    {
        return Ok(BTreeSet::new());
    }
    check(backend, id, text, pems).await?;
    reload(backend, id, text).await
}

/// Has a gate that runs check a configuration, and changes nothing of what it does.
pub(super) async fn check(
    backend: &dyn Backend,
    id: &str,
    text: &str,
    pems: &[Pem<'_>],
) -> Result<(), BackendError> {
    put_pems(backend, id, pems).await?;
    put(backend, id, NEXT, text).await?;
    let next = format!("{FOLDER}/{NEXT}");
    let check = ["haproxy", "-c", "-f", &next].map(str::to_owned);
    let checked = backend.exec(id, &check, RELOAD).await?;
    if checked.code != 0 {
        let why = format!(
            "the proxy refuses its configuration: {}",
            checked.output.trim()
        );
        return Err(BackendError::new(BackendErrorKind::Engine, why));
    }
    Ok(())
}

/// Has a gate that runs read a configuration that it checked. Gives the workers that only bring to
/// an end what they had begun.
pub(super) async fn reload(
    backend: &dyn Backend,
    id: &str,
    text: &str,
) -> Result<BTreeSet<u64>, BackendError> {
    put(backend, id, CONFIG, text).await?;
    let until = Instant::now() + RELOAD;
    // An engine that does not tell has to be asked again: any worker would count as a new one.
    let mut before = workers(backend, id).await;
    while before.is_empty() {
        wait(until, "the proxy has no processes").await?;
        before = workers(backend, id).await;
    }
    let mut again = Instant::now();
    loop {
        // Soon after a start it is not heard. Once too often does no harm.
        if Instant::now() >= again {
            backend.kill_container(id, "USR2").await?;
            again = Instant::now() + AGAIN;
        }
        wait(until, "the proxy did not read its configuration").await?;
        if !workers(backend, id).await.is_subset(&before) {
            return Ok(before);
        }
    }
}

async fn wait(until: Instant, what: &str) -> Result<(), BackendError> {
    if Instant::now() >= until {
        return Err(BackendError::new(BackendErrorKind::Timeout, what));
    }
    sleep(PAUSE).await;
    Ok(())
}

/// Whether all of these workers ended in time.
pub(in crate::release) async fn ended(
    backend: &dyn Backend,
    id: &str,
    old: &BTreeSet<u64>,
    until: Instant,
) -> bool {
    while Instant::now() < until {
        if workers(backend, id).await.is_disjoint(old) {
            return true;
        }
        sleep(PAUSE).await;
    }
    false
}

/// The processes of a gate that serve, new and old: those whose parent is a proxy as well.
async fn workers(backend: &dyn Backend, id: &str) -> BTreeSet<u64> {
    let all = backend.processes(id).await.unwrap_or_default();
    let is_proxy = |process: &&Process| process.command.starts_with("haproxy");
    let proxies: Vec<&Process> = all.iter().filter(is_proxy).collect();
    let is_worker = |process: &&&Process| proxies.iter().any(|other| other.pid == process.parent);
    proxies
        .iter()
        .filter(is_worker)
        .map(|process| process.pid)
        .collect()
}

pub(in crate::release) async fn runs(backend: &dyn Backend, id: &str) -> bool {
    let found = backend.inspect_container(id).await.ok().flatten();
    found.is_some_and(|info| info.is_running())
}

async fn put(backend: &dyn Backend, id: &str, name: &str, text: &str) -> Result<(), BackendError> {
    let file = || Entry {
        path: name.to_owned(),
        owner: Owner::ROOT,
        mode: 0o444,
        content: Content::Bytes(text.as_bytes().to_vec()),
    };
    upload(backend, id, || vec![file()]).await
}

/// A certificate with its key: the name of its file, and the text.
pub(in crate::release) type Pem<'a> = (String, &'a SecretString);

/// Its name tells certificates apart, so what a gate reads now stays as it is until it reads another
/// configuration, and a way back finds it there.
async fn put_pems(backend: &dyn Backend, id: &str, pems: &[Pem<'_>]) -> Result<(), BackendError> {
    if pems.is_empty() {
        return Ok(());
    }
    let file = |(name, text): &Pem<'_>| Entry {
        path: name.clone(),
        owner: USER,
        mode: 0o400,
        content: Content::Bytes(text.expose_secret().as_bytes().to_vec()),
    };
    upload(backend, id, || pems.iter().map(file).collect()).await
}

/// What a gate does now, in the text of its configuration; `None` where there is none yet.
pub(crate) async fn get(backend: &dyn Backend, id: &str) -> Option<String> {
    read(backend, id, CONFIG).await.ok().flatten()
}

/// The parts of those who share a gate, with the text that it reads. Where the putting of that was cut
/// off, it is the one that was checked just before.
pub(in crate::release) async fn shares(
    backend: &dyn Backend,
    id: &str,
) -> Result<Result<(Shares, String), Unreadable>, BackendError> {
    let mut tries = 1;
    loop {
        let mut is_missing = true;
        for name in [CONFIG, NEXT] {
            let Some(text) = read(backend, id, name).await? else {
                continue;
            };
            is_missing = false;
            if let Ok(shares) = Shares::read(&text) {
                return Ok(Ok((shares, text)));
            }
        }
        // Only one that never ran or is about to be gone may have none. That there is no such file an
        // engine says also where another is at the files at that moment, so it is believed when it says
        // so again.
        let found = backend.inspect_container(id).await?;
        let may_lack =
            found.is_none_or(|found| matches!(&*found.status, "created" | "removing" | "dead"));
        if is_missing && may_lack && tries >= SURE {
            return Ok(Ok((Shares::default(), String::new())));
        }
        if tries >= TRIES {
            return Ok(Err(Unreadable));
        }
        tries += 1;
        sleep(PAUSE).await;
    }
}

/// Before another try of what an engine could not do with a file. Several may be at those of one
/// container, and it mounts the volume anew for each: now and then it says that there is no such file
/// or folder.
async fn again(tries: &mut usize, error: BackendError) -> Result<(), BackendError> {
    if error.kind != BackendErrorKind::Engine || *tries >= TRIES {
        return Err(error);
    }
    *tries += 1;
    sleep(PAUSE).await;
    Ok(())
}

async fn read(backend: &dyn Backend, id: &str, name: &str) -> Result<Option<String>, BackendError> {
    let mut tries = 1;
    loop {
        match read_once(backend, id, name).await {
            Err(error) => again(&mut tries, error).await?,
            read => return read,
        }
    }
}

async fn upload(
    backend: &dyn Backend,
    id: &str,
    files: impl Fn() -> Vec<Entry>,
) -> Result<(), BackendError> {
    let mut tries = 1;
    loop {
        match backend.upload(id, FOLDER, tar_of(files())).await {
            Err(error) => again(&mut tries, error).await?,
            Ok(()) => return Ok(()),
        }
    }
}

/// The text of a gate's file; `None` where it is not there.
async fn read_once(
    backend: &dyn Backend,
    id: &str,
    name: &str,
) -> Result<Option<String>, BackendError> {
    let path = format!("{FOLDER}/{name}");
    let mut stream = match backend.download(id, &path).await {
        Ok(stream) => stream,
        Err(error) if error.kind == BackendErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut tar = Vec::new();
    while let Some(bytes) = stream.next().await {
        tar.extend_from_slice(&bytes?);
    }
    let found = crate::release::secrets::unpack(&tar)
        .map_err(|error| BackendError::new(BackendErrorKind::Broken, error.to_string()))?;
    let text = found.into_values().next();
    Ok(text.map(|text| String::from_utf8_lossy(&text).into_owned()))
}

pub(super) fn text_of(chunks: &[Chunk]) -> String {
    let bytes = chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied());
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}
