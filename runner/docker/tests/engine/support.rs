//! The engine in use, and a place on it that is cleaned up whatever a test does.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use hoist_docker::{DockerConnector, Settings};
use hoist_engine::backend::{
    Attachment, Backend, BackendError, ByteStream, Connector, ContainerSpec, Input, Labels, Login,
    Logs,
};
use hoist_model::event::Stream;
use hoist_model::unit::{Limits, Restart, Security};
use secrecy::SecretString;
use tokio::sync::mpsc;

/// The image that most tests run on.
pub(crate) const BASE: &str = "debian:bookworm-slim";

/// A variable of the process's environment.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment what is there"
)]
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Says past the test runner's capture that a test was not made.
pub(crate) fn skipped(name: &str, why: &str) {
    let line = format!("SKIPPED {name}: {why}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("stderr takes a line");
}

pub(crate) fn connector() -> DockerConnector {
    DockerConnector::new(Settings::read(env))
}

/// A test's place on the engine.
pub(crate) struct Bed {
    pub(crate) engine: Arc<dyn Backend>,
    pub(crate) name: String,
    tags: Mutex<Vec<String>>,
    made: AtomicUsize,
}

/// Runs a test on the engine in use, if it has these images, and removes all that the test made.
pub(crate) async fn on_engine<F: Future<Output = ()>>(
    name: &str,
    images: &[&str],
    test: impl FnOnce(Arc<Bed>) -> F,
) {
    with(connector(), name, images, test).await;
}

/// The same by settings of one's own.
pub(crate) async fn with<F: Future<Output = ()>>(
    connector: DockerConnector,
    name: &str,
    images: &[&str],
    test: impl FnOnce(Arc<Bed>) -> F,
) {
    let engine = match connector.connect(None).await {
        Ok(engine) => engine,
        Err(error) => return skipped(name, &error.message),
    };
    for image in images {
        match engine.inspect_image(image).await {
            Ok(Some(_)) => {}
            Ok(None) => return skipped(name, &format!("the engine has no image {image}")),
            Err(error) => panic!("{error}"),
        }
    }
    let unique = format!("hoist-test-{name}-{}", std::process::id());
    let bed = Arc::new(Bed {
        engine,
        name: unique,
        tags: Mutex::default(),
        made: AtomicUsize::new(0),
    });
    let outcome = AssertUnwindSafe(test(Arc::clone(&bed)))
        .catch_unwind()
        .await;
    bed.clean().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

impl Bed {
    pub(crate) fn labels(&self) -> Labels {
        BTreeMap::from([
            ("dev.hoist.test".to_owned(), "1".to_owned()),
            ("dev.hoist.test.bed".to_owned(), self.name.clone()),
        ])
    }

    pub(crate) fn filter(&self) -> [(&str, Option<&str>); 2] {
        [
            ("dev.hoist.test", None),
            ("dev.hoist.test.bed", Some(&self.name)),
        ]
    }

    /// A name that nothing else has.
    pub(crate) fn unique(&self) -> String {
        format!(
            "{}-{}",
            self.name,
            self.made.fetch_add(1, Ordering::Relaxed)
        )
    }

    /// An image's name that is taken away after the test.
    pub(crate) fn tag(&self, registry: &str) -> String {
        let slash = if registry.is_empty() { "" } else { "/" };
        let tag = format!("{registry}{slash}{}:1", self.unique());
        self.tags.lock().expect("not poisoned").push(tag.clone());
        tag
    }

    /// Notes an image that is to go with the others.
    pub(crate) fn note(&self, image: &str) {
        self.tags
            .lock()
            .expect("not poisoned")
            .push(image.to_owned());
    }

    /// A sealed container that runs a shell script.
    pub(crate) fn shell(&self, script: &str) -> ContainerSpec {
        let command = ["sh", "-ec", script].map(str::to_owned).to_vec();
        ContainerSpec {
            name: self.unique(),
            image: BASE.to_owned(),
            entrypoint: Some(Vec::new()),
            command: Some(command),
            environment: BTreeMap::new(),
            working_dir: None,
            user: None,
            labels: self.labels(),
            network: Attachment::None,
            local_names: false,
            security: Security::default(),
            limits: Limits::SEALED,
            tmpfs: Vec::new(),
            mounts: Vec::new(),
            ports: Vec::new(),
            healthcheck: None,
            restart: Restart::No,
            logs: Logs::Discard,
            stop_grace_period: None,
            stop_signal: None,
            input: Input::None,
        }
    }

    /// Creates, attaches to, starts and waits for a container.
    pub(crate) async fn run(&self, spec: &ContainerSpec) -> Ran {
        let id = self
            .engine
            .create_container(spec)
            .await
            .expect("it is created");
        let output = self.engine.attach(&id).await.expect("it is attached to");
        self.engine.start_container(&id).await.expect("it starts");
        let collect = async {
            let mut streams = [Vec::new(), Vec::new()];
            let mut output = output;
            while let Some(chunk) = output.next().await {
                let chunk = chunk.expect("output comes");
                let at = usize::from(chunk.stream == Stream::Stderr);
                streams[at].extend_from_slice(&chunk.bytes);
            }
            streams
        };
        let ([stdout, stderr], code) = tokio::join!(collect, self.engine.wait_container(&id));
        Ran {
            id,
            code: code.expect("it is waited for"),
            stdout,
            stderr,
        }
    }

    async fn clean(&self) {
        let filter = self.filter();
        for container in self
            .engine
            .list_containers(&filter)
            .await
            .expect("they are listed")
        {
            self.engine
                .remove_container(&container.id)
                .await
                .expect("it is removed");
        }
        for network in self
            .engine
            .list_networks(&filter)
            .await
            .expect("they are listed")
        {
            self.engine
                .remove_network(&network.id)
                .await
                .expect("it is removed");
        }
        for volume in self
            .engine
            .list_volumes(&filter)
            .await
            .expect("they are listed")
        {
            self.engine
                .remove_volume(&volume.name)
                .await
                .expect("it is removed");
        }
        let mut images = std::mem::take(&mut *self.tags.lock().expect("not poisoned"));
        // Names first: an image that has several cannot be removed.
        images.sort_by_key(|image| image.starts_with("sha256:"));
        for image in images {
            self.engine
                .untag_image(&image)
                .await
                .expect("it is removed");
        }
    }
}

/// What a container came to.
pub(crate) struct Ran {
    pub(crate) id: String,
    pub(crate) code: i64,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Ran {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Bytes as a stream of one piece.
pub(crate) fn once(bytes: impl Into<Bytes>) -> ByteStream {
    stream::once(std::future::ready(Ok(bytes.into()))).boxed()
}

/// All bytes of a stream.
pub(crate) async fn all(mut stream: ByteStream) -> Result<Vec<u8>, BackendError> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

/// A tar of plain files.
pub(crate) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content)
            .expect("it is appended");
    }
    tar.into_inner().expect("it ends")
}

/// The names and contents of the plain files in a tar.
pub(crate) fn files_of(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().expect("it is a tar") {
        let mut entry = entry.expect("it is an entry");
        if entry.header().entry_type().is_file() {
            let name = entry.path().expect("it has a name").display().to_string();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).expect("it is read");
            files.insert(name, content);
        }
    }
    files
}

/// Where progress goes, and a task that gives all of it at the end.
pub(crate) fn progress() -> (mpsc::Sender<Bytes>, tokio::task::JoinHandle<String>) {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(16);
    let task = tokio::spawn(async move {
        let mut text = Vec::new();
        while let Some(piece) = receiver.recv().await {
            text.extend_from_slice(&piece);
        }
        String::from_utf8(text).expect("progress is text")
    });
    (sender, task)
}

/// Whether anything listens at an address of this machine.
pub(crate) fn answers(address: &str) -> bool {
    let Ok(address) = address.parse() else {
        return false;
    };
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// A login for the registry that wants a password, where one answers.
pub(crate) fn locked_registry(name: &str) -> Option<Login> {
    let set = |name: &str, otherwise: &str| env(name).unwrap_or_else(|| otherwise.to_owned());
    let registry = set("HOIST_GROUND_REGISTRY_LOCKED", "127.0.0.1:5001");
    if !answers(&registry) {
        skipped(name, &format!("no registry answers at {registry}"));
        return None;
    }
    Some(Login {
        registry,
        username: set("HOIST_GROUND_REGISTRY_USER", "ci"),
        password: SecretString::from(set("HOIST_GROUND_REGISTRY_PASSWORD", "registry-password")),
    })
}
