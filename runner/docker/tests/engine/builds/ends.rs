//! How builds end that do not end by themselves, and what becomes of those beside them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hoist_docker::{DockerConnector, Settings};
use hoist_engine::backend::{BackendErrorKind as Kind, BuildError, BuildRequest, Connector};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::{build, project, request};
use crate::support::{BASE, Bed, connector, env, on_engine, progress, skipped, with};

/// An instruction that goes on for as long as it is let, told by its number in the list of this
/// machine's processes.
struct Endless(String);

impl Endless {
    fn new(offset: u32) -> Self {
        Self(format!("{}", 86_400 + std::process::id() + offset))
    }

    fn dockerfile(&self) -> String {
        format!("FROM {BASE}\nRUN echo started && sleep {}\n", self.0)
    }

    fn running(&self) -> bool {
        let line = format!("sleep\0{}\0", self.0);
        let Ok(processes) = fs::read_dir("/proc") else {
            return false;
        };
        processes
            .flatten()
            .filter_map(|one| fs::read(one.path().join("cmdline")).ok())
            .any(|found| found == line.as_bytes())
    }

    /// Waits until it runs; `false` if that cannot be seen from here.
    async fn begun(&self) -> bool {
        self.becomes(true, Duration::from_secs(30)).await
    }

    async fn becomes(&self, wanted: bool, limit: Duration) -> bool {
        let begun = Instant::now();
        while self.running() != wanted {
            if begun.elapsed() > limit {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }
}

const STOPPED: Duration = Duration::from_secs(2);

async fn stops_when_dropped(bed: &Bed, endless: &Endless, name: &str) {
    let folder = project(&[]);
    let request = BuildRequest {
        dockerfile: endless.dockerfile(),
        ..request(bed, folder.path())
    };
    let (sender, said) = progress();
    let engine = Arc::clone(&bed.engine);
    let task = tokio::spawn(async move { engine.build_image(request, sender).await });
    if !endless.begun().await {
        task.abort();
        let said = said.await.unwrap();
        return skipped(
            name,
            &format!("the engine's processes are not visible here\n{said}"),
        );
    }
    task.abort();
    let aborted = Instant::now();
    assert!(endless.becomes(false, STOPPED).await, "it still runs");
    println!("stopped after {:?}", aborted.elapsed());
    assert!(said.await.unwrap().contains("started"));
}

#[tokio::test]
async fn a_build_that_nobody_waits_for_stops_on_the_engine() {
    on_engine("dropped", &[BASE], async |bed| {
        stops_when_dropped(&bed, &Endless::new(0), "dropped").await;
    })
    .await;
}

#[tokio::test]
async fn so_does_one_of_the_classic_builder() {
    let settings = Settings {
        docker_buildkit: Some("0".to_owned()),
        ..Settings::read(env)
    };
    let connector = DockerConnector::new(settings);
    with(connector, "dropped-classic", &[BASE], async |bed| {
        stops_when_dropped(&bed, &Endless::new(1), "dropped-classic").await;
    })
    .await;
}

/// The socket of the engine in use.
pub(super) fn socket() -> Option<PathBuf> {
    let host = env("DOCKER_HOST").unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    host.strip_prefix("unix://").map(PathBuf::from)
}

/// Lets connections through to the engine until it is dropped.
fn through(listener: UnixListener, socket: PathBuf) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = UnixStream::connect(&socket).await.unwrap();
            connections.spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    tasks
}

#[tokio::test]
async fn an_engine_that_goes_away_is_no_failed_build() {
    let name = "gone";
    let Some(socket) = socket() else {
        return skipped(name, "the engine in use is not reached by a socket");
    };
    on_engine(name, &[BASE], async |bed| {
        let folder = project(&[]);
        let path = folder.path().join("engine.sock");
        let ways = through(UnixListener::bind(&path).unwrap(), socket);
        let address = format!("unix://{}", path.display());
        let engine = connector().connect(Some(&address)).await;
        let engine = engine.unwrap_or_else(|error| panic!("{error}"));
        let endless = Endless::new(2);
        let context = project(&[]);
        let request = BuildRequest {
            dockerfile: endless.dockerfile(),
            ..request(&bed, context.path())
        };
        let (sender, said) = progress();
        let task = tokio::spawn(async move { engine.build_image(request, sender).await });
        if !endless.begun().await {
            return skipped(name, "the engine's processes are not visible here");
        }
        drop(ways);
        let cut = Instant::now();
        let error = task.await.unwrap().unwrap_err();
        assert!(cut.elapsed() < STOPPED, "{:?}", cut.elapsed());
        let BuildError::Backend(error) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.kind, Kind::Broken, "{error}");
        assert!(said.await.unwrap().contains("started"));
        assert!(endless.becomes(false, STOPPED).await, "it still runs");
    })
    .await;
}

const SHARED: &str = "\
FROM debian:bookworm-slim AS base
COPY word.txt /
RUN cat /word.txt; sleep 3; date +%s.%N >/x

FROM base AS one
RUN echo one >/which

FROM base AS two
COPY word.txt /other
RUN echo two >/which
";

#[tokio::test]
async fn builds_at_once_share_what_they_have_in_common() {
    on_engine("shared", &[BASE], async |bed| {
        let word = format!("the word of {}\n", bed.name);
        let folder = project(&[("Dockerfile", SHARED), ("word.txt", &word)]);
        let target = |name: &str| BuildRequest {
            target: Some(name.to_owned()),
            ..request(&bed, folder.path())
        };
        let (one, two) = tokio::join!(build(&bed, target("one")), build(&bed, target("two")));
        let mut times = Vec::new();
        for (built, said) in [one, two] {
            let image = built.unwrap_or_else(|error| panic!("{error}\n{said}"));
            let mut spec = bed.shell("cat /x");
            spec.image = image.id;
            times.push(bed.run(&spec).await.text());
        }
        assert_eq!(times[0], times[1], "the common stage ran once");
    })
    .await;
}

#[tokio::test]
async fn a_build_that_ends_leaves_what_others_share_with_it() {
    on_engine("survives", &[BASE], async |bed| {
        let word = format!("the word of {}\n", bed.name);
        let folder = project(&[("Dockerfile", SHARED), ("word.txt", &word)]);
        let target = |name: &str| BuildRequest {
            target: Some(name.to_owned()),
            ..request(&bed, folder.path())
        };
        let (sender, said) = progress();
        let (engine, first) = (Arc::clone(&bed.engine), target("one"));
        let first = tokio::spawn(async move { engine.build_image(first, sender).await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let second = build(&bed, target("two"));
        let drop_first = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            first.abort();
            said.await.unwrap()
        };
        let ((built, said), said_first) = tokio::join!(second, drop_first);
        built.unwrap_or_else(|error| panic!("{error}\n{said}\n{said_first}"));
        assert!(said_first.contains("sleep 3"), "{said_first}");
    })
    .await;
}
