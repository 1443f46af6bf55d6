//! Deploys on a real engine: what answers before, during and after, seen over HTTP and through the
//! docker command.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::{Project, Running, docker, engine, eventually, free_port};

/// A web service that says its version and, at `/secret`, how long its secret is.
const SERVER: &str = r#"
import http.server, os, sys, time
time.sleep(float(os.environ.get("START", "0")))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = "/run/secrets/token"
        text = os.environ["VERSION"]
        if self.path == "/secret":
            text = str(len(open(path).read()))
        if self.path == "/healthz" and os.environ["VERSION"] == "sick":
            self.send_error(503, "the database is away")
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *args):
        pass
print("serving", os.environ["VERSION"], flush=True)
http.server.HTTPServer(("", 8000), Handler).serve_forever()
"#;

/// A project whose environment goes with this value.
struct Site {
    project: Project,
    port: u16,
    name: &'static str,
}

impl Site {
    /// A service `web` in version `one`, with a secret, beside a store with data.
    fn new(name: &'static str) -> Self {
        let port = free_port();
        let pipeline = format!(
            r#"
name = "site-{name}"
[secrets]
token = {{ environment = "SITE_TOKEN" }}
[steps.up.deploy]
environment = "live"
wait_timeout = "40s"
keep = 0
[steps.up.deploy.services.store]
image = "redis:7-bookworm"
volumes = ["data:/data"]
healthcheck = {{ test = "redis-cli ping | grep -q PONG", interval = "1s", retries = 20 }}
[steps.up.deploy.services.web]
image = "python:3.11-slim-bookworm"
command = ["python", "-c", '''{SERVER}''']
environment = {{ VERSION = "one", START = "0" }}
secrets = ["token"]
ports = ["127.0.0.1:{port}:8000"]
stop_grace_period = "1s"
depends_on.store.condition = "service_healthy"
[steps.up.deploy.services.web.healthcheck]
test = ["CMD", "python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz')"]
interval = "1s"
timeout = "5s"
retries = 3
start_period = "20s"
[environments.live]
"#
        );
        let project =
            Project::new(&pipeline).variable("SITE_TOKEN", "correct horse battery staple");
        Self {
            project,
            port,
            name,
        }
    }

    fn version(&self, from: &str, to: &str) {
        self.project.change(
            "pipeline.toml",
            &format!("VERSION = \"{from}\""),
            &format!("VERSION = \"{to}\""),
        );
    }

    /// What the service says, if it does.
    fn get(&self, path: &str) -> Option<String> {
        let address = ([127, 0, 0, 1], self.port).into();
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| body.to_owned())
    }

    #[track_caller]
    fn says(&self, version: &str, within: Duration) {
        eventually(&format!("{version} answers"), within, || {
            self.get("/").as_deref() == Some(version)
        });
    }

    /// IDs and names of this environment's services' containers, stopped ones too.
    fn containers(&self) -> Vec<(String, String)> {
        let project = format!("label=dev.hoist.project=site-{}", self.name);
        let format = "{{.Names}} {{.ID}}";
        let listed = docker(&[
            "ps",
            "-a",
            "--no-trunc",
            "--filter",
            &project,
            "--filter",
            "label=dev.hoist.role=service",
            "--format",
            format,
        ]);
        let mut all: Vec<_> = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .collect();
        all.sort();
        all
    }

    fn names(&self) -> Vec<String> {
        self.containers()
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    fn volumes(&self) -> Vec<String> {
        let project = format!("label=dev.hoist.project=site-{}", self.name);
        let listed = docker(&["volume", "ls", "--quiet", "--filter", &project]);
        let own = |name: &&str| !name.starts_with("hoist-state-") && !name.contains("-proxy-");
        listed.lines().filter(own).map(str::to_owned).collect()
    }

    fn name_of(&self, service: &str, release: u32) -> String {
        format!("site-{}-live-{service}-{release}-1", self.name)
    }

    /// hoist, deploying, when it has said this.
    fn reach(&self, said: &str) -> Running {
        let mut running = self.project.start(&["--progress", "plain", "run"]);
        running.wait_for(said);
        running
    }

    #[track_caller]
    fn deploy(&self) {
        self.project
            .hoist(&["--progress", "plain", "run"])
            .expect(0);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.project.hoist(&["down", "live", "--volumes"]);
    }
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_service_is_put_in_place_left_alone_and_replaced() {
    if !engine("deploy::a_service_is_put_in_place_left_alone_and_replaced") {
        return;
    }
    let site = Site::new("life");
    site.deploy();
    site.says("one", Duration::ZERO);
    assert_eq!(
        site.get("/secret").as_deref(),
        Some("28"),
        "the secret is a file"
    );
    let first = site.containers();
    assert_eq!(
        site.names(),
        [site.name_of("store", 1), site.name_of("web", 1)]
    );

    site.project
        .hoist(&["--progress", "plain", "run"])
        .expect(0)
        .says("web did not change and is left running");
    assert_eq!(site.containers(), first, "not one container is another");

    site.version("one", "two");
    site.project
        .hoist(&["--progress", "plain", "run"])
        .expect(0)
        .says("web is replaced, its settings changed: release 2 comes after 1")
        .says("it was down for");
    site.says("two", Duration::ZERO);
    assert_eq!(
        site.names(),
        [site.name_of("store", 1), site.name_of("web", 2)]
    );
    assert_eq!(site.containers()[0], first[0], "the store runs on");
    let address = |id: &str| {
        docker(&[
            "inspect",
            "--format",
            "{{json .NetworkSettings.Networks}}",
            id,
        ])
    };
    assert!(
        address(&site.containers()[1].1).contains(".3\""),
        "it keeps its address"
    );
    assert_eq!(
        docker(&[
            "inspect",
            "--format",
            "{{.HostConfig.RestartPolicy.Name}}",
            &site.name_of("web", 2)
        ]),
        "always"
    );
}

#[test]
fn changed_secrets_replace_what_has_them_and_stand_nowhere() {
    if !engine("deploy::changed_secrets_replace_what_has_them_and_stand_nowhere") {
        return;
    }
    let mut site = Site::new("secrets");
    site.deploy();
    site.deploy();
    assert!(
        site.names().contains(&site.name_of("web", 1)),
        "the same secret is no change"
    );
    let secret = "a new token that nobody may see";
    site.project =
        std::mem::replace(&mut site.project, Project::empty()).variable("SITE_TOKEN", secret);
    site.project
        .hoist(&["--progress", "plain", "run"])
        .expect(0)
        .says("its secrets changed");
    assert_eq!(site.get("/secret"), Some(secret.len().to_string()));
    assert_eq!(
        site.volumes().len(),
        2,
        "the old secrets are gone: {:?}",
        site.volumes()
    );
    let mut all: Vec<String> = site.names();
    all.extend(site.volumes());
    for name in all {
        assert!(
            !docker(&["inspect", &name]).contains(secret),
            "{name} shows the secret"
        );
    }
}

#[test]
fn what_is_not_healthy_is_taken_back_and_the_one_before_answers() {
    if !engine("deploy::what_is_not_healthy_is_taken_back_and_the_one_before_answers") {
        return;
    }
    let site = Site::new("sick");
    site.version("one", "sick");
    site.project
        .change("pipeline.toml", "start_period = \"20s\"\n", "");
    let ended = site
        .project
        .hoist(&["--progress", "plain", "run"])
        .expect(5);
    assert!(
        ended.stderr.contains("web is unhealthy"),
        "{}",
        ended.stderr
    );
    assert!(
        site.names().is_empty() && site.volumes().is_empty(),
        "a first release leaves nothing"
    );

    site.version("sick", "one");
    site.deploy();
    let before = site.containers();
    site.version("one", "sick");
    site.project
        .hoist(&["--progress", "plain", "run"])
        .expect(5)
        .says("the database is away")
        .says("serving sick");
    site.says("one", Duration::ZERO);
    assert_eq!(site.containers(), before);
    assert_eq!(site.volumes().len(), 2, "{:?}", site.volumes());

    // One that ends is told from one that is sick.
    site.version("sick", "ended");
    site.project.change(
        "pipeline.toml",
        "import http.server, os",
        "exit(3)
import http.server, os",
    );
    site.project
        .hoist(&["--progress", "plain", "run"])
        .expect(5)
        .says("web exited with code 3");
    site.says("one", SOON);
}

#[test]
fn killed_in_the_middle_of_a_replacement_the_service_answers_again() {
    if !engine("deploy::killed_in_the_middle_of_a_replacement_the_service_answers_again") {
        return;
    }
    let site = Site::new("killed");
    site.deploy();
    site.version("one", "two");
    site.project
        .change("pipeline.toml", "START = \"0\"", "START = \"30\"");
    // Python is deaf to the stop signal as a first process, so stopping takes its whole grace: the
    // engine goes on with that after hoist is gone.
    for moment in [
        "stopping the web that runs",
        "starting web",
        "waiting for web to be healthy",
    ] {
        let before = site.containers();
        let running = site.reach(moment);
        running.signal("KILL");
        let killed = Instant::now();
        running.end(SOON);
        eventually(
            &format!("the old containers, and only they ({moment})"),
            SOON,
            || site.containers() == before,
        );
        site.says("one", SOON);
        eprintln!(
            "killed while {moment}: answers after {:?}",
            killed.elapsed()
        );
        std::thread::sleep(Duration::from_secs(2));
        site.says("one", Duration::ZERO);
    }
    // And deployed again at once, while the reaper is still at work.
    let running = site.reach("stopping the web that runs");
    running.signal("KILL");
    running.end(SOON);
    site.project
        .change("pipeline.toml", "START = \"30\"", "START = \"0\"");
    site.deploy();
    site.says("two", Duration::ZERO);
    assert_eq!(site.names().len(), 2, "no debris: {:?}", site.names());
    assert_eq!(site.volumes().len(), 2, "no debris: {:?}", site.volumes());
}

#[test]
fn interrupted_in_the_middle_of_a_replacement_the_one_before_answers() {
    if !engine("deploy::interrupted_in_the_middle_of_a_replacement_the_one_before_answers") {
        return;
    }
    let site = Site::new("interrupted");
    site.deploy();
    let before = site.containers();
    site.version("one", "two");
    site.project
        .change("pipeline.toml", "START = \"0\"", "START = \"30\"");
    let running = site.reach("waiting for web to be healthy");
    running.signal("INT");
    running.end(Duration::from_secs(20)).expect(130);
    site.says("one", Duration::ZERO);
    assert_eq!(site.containers(), before);
}

#[test]
fn what_runner_and_reaper_left_is_mended_by_the_next_deploy() {
    if !engine("deploy::what_runner_and_reaper_left_is_mended_by_the_next_deploy") {
        return;
    }
    let site = Site::new("mended");
    site.deploy();
    site.version("one", "two");
    site.project
        .change("pipeline.toml", "START = \"0\"", "START = \"30\"");
    let running = site.reach("waiting for web to be healthy");
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.id()));
    for child in children.unwrap_or_default().split_whitespace() {
        std::process::Command::new("kill")
            .args(["-KILL", child])
            .status()
            .unwrap();
    }
    running.signal("KILL");
    running.end(SOON);
    assert_eq!(
        site.names().len(),
        3,
        "old, new and store: {:?}",
        site.names()
    );
    assert_eq!(
        site.get("/"),
        None,
        "nothing answers: the test shows something"
    );

    site.project
        .change("pipeline.toml", "START = \"30\"", "START = \"0\"");
    site.project
        .hoist(&["--progress", "plain", "run"])
        .expect(0)
        .says("an earlier deploy was cut off");
    site.says("two", Duration::ZERO);
    assert_eq!(site.names().len(), 2, "{:?}", site.names());
    assert_eq!(site.volumes().len(), 2, "{:?}", site.volumes());
}

#[test]
fn a_port_that_is_taken_stops_the_deploy_with_who_holds_it() {
    if !engine("deploy::a_port_that_is_taken_stops_the_deploy_with_who_holds_it") {
        return;
    }
    let site = Site::new("port");
    let publish = format!("127.0.0.1:{}:80", site.port);
    let holder = docker(&[
        "run",
        "--detach",
        "--label",
        "dev.hoist.test=1",
        "--name",
        "site-port-holder",
        "--publish",
        &publish,
        "debian:bookworm-slim",
        "sleep",
        "300",
    ]);
    let ended = site.project.hoist(&["--progress", "plain", "run"]);
    docker(&["rm", "--force", &holder]);
    ended.expect(4).says("site-port-holder holds it");
    assert!(site.names().is_empty() && site.volumes().is_empty());

    // A process of the host cannot be seen before the start: all is taken back then.
    let listener = TcpListener::bind(("127.0.0.1", site.port)).unwrap();
    site.project
        .hoist(&["--progress", "plain", "run"])
        .expect(4);
    assert!(site.names().is_empty() && site.volumes().is_empty());
    drop(listener);
    site.deploy();
    site.says("one", Duration::ZERO);
}

#[test]
fn two_deploys_at_once_come_one_after_the_other() {
    if !engine("deploy::two_deploys_at_once_come_one_after_the_other") {
        return;
    }
    let site = Site::new("twice");
    let first = site.reach("creating web");
    site.deploy();
    first.end(SOON).expect(0);
    site.says("one", Duration::ZERO);
    assert_eq!(
        site.names(),
        [site.name_of("store", 1), site.name_of("web", 1)]
    );
}

#[test]
fn ps_shows_and_down_removes_what_hoist_deployed_and_nothing_else() {
    if !engine("deploy::ps_shows_and_down_removes_what_hoist_deployed_and_nothing_else") {
        return;
    }
    let site = Site::new("down");
    site.project.hoist(&["ps"]).expect(0);
    site.deploy();
    let network = docker(&[
        "network",
        "ls",
        "--quiet",
        "--filter",
        "name=site-down-live-default",
    ]);
    let bystander = docker(&[
        "create",
        "--label",
        "dev.hoist.test=1",
        "debian:bookworm-slim",
        "true",
    ]);
    // What is deployed is on the engine: no run folder is needed.
    std::fs::remove_dir_all(site.project.path().join(".hoist")).unwrap();
    let shown = site
        .project
        .hoist(&["ps", "live", "--format", "json"])
        .expect(0);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown[1]["service"], "web");
    assert_eq!(shown[1]["health"], "healthy");
    assert_eq!(shown[1]["image"], "python:3.11-slim-bookworm");
    assert_eq!(shown[1]["ports"][0], format!("127.0.0.1:{}", site.port));

    site.project.hoist(&["down", "live"]).expect(0);
    assert!(site.names().is_empty());
    assert_eq!(site.volumes(), ["site-down-live-data"], "data stays");
    let left = docker(&[
        "network",
        "ls",
        "--quiet",
        "--filter",
        "name=site-down-live-default",
    ]);
    assert_eq!((network.is_empty(), left.is_empty()), (false, true));
    site.project.hoist(&["down", "live", "--volumes"]).expect(0);
    assert!(site.volumes().is_empty());
    assert_eq!(
        docker(&["inspect", "--format", "{{.Id}}", &bystander]),
        bystander
    );
    docker(&["rm", &bystander]);
}
