//! What becomes of what is deployed when its engine, its host or all of its processes die, or when
//! someone prunes: it comes back by itself, and the next command knows where it stands.

use std::time::Duration;

use crate::support::host::{Kind, OtherHost};
use crate::support::{Project, engine, eventually, skip, variable};

/// Answers each request with its version, and `/secret` with the length of its secret.
const SERVER: &str = r#"
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = os.environ["VERSION"]
        if self.path == "/secret":
            text = str(len(open("/run/secrets/token").read()))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *args):
        pass
http.server.HTTPServer(("", 8000), Handler).serve_forever()
"#;

const IMAGE: &str = "python:3.11-slim-bookworm";
/// An engine starts a container again after a pause that doubles, unless it ran for so long.
const SETTLED: Duration = Duration::from_millis(10_500);
/// So long all of it may take to come back on a busy machine.
const BACK: Duration = Duration::from_secs(90);
/// How often all processes are killed.
const ROUNDS: usize = 20;
const PORT: u16 = 8080;

/// A site on a host of its own: two containers behind a proxy, and a store with data.
struct Site {
    project: Project,
    host: OtherHost,
}

impl Site {
    fn start(test: &str) -> Option<Self> {
        if !engine(test) {
            return None;
        }
        let Some(proxy) = variable("HOIST_TOOLS_HAPROXY") else {
            let _ = skip(
                test,
                "HOIST_TOOLS_HAPROXY names no proxy that is on this machine",
            );
            return None;
        };
        let host = OtherHost::start(test, Kind::InUse, &[IMAGE, &proxy])?;
        let pipeline = format!(
            r#"
name = "outages"
[secrets]
token = {{ environment = "SITE_TOKEN" }}
[steps.up.deploy]
environment = "live"
wait_timeout = "90s"
[steps.up.deploy.services.web]
image = "{IMAGE}"
command = ["python", "-c", '''{SERVER}''']
environment = {{ VERSION = "one" }}
secrets = ["token"]
replicas = 2
ports = ["{PORT}:8000"]
strategy = "blue-green"
update_config = {{ monitor = "1s" }}
stop_grace_period = "1s"
healthcheck = {{ test = "true", interval = "1s" }}
[steps.up.deploy.services.store]
image = "{IMAGE}"
command = ["python", "-c", "import time; time.sleep(1e9)"]
secrets = ["token"]
volumes = ["data:/data"]
stop_grace_period = "1s"
healthcheck = {{ test = "true", interval = "1s" }}
[environments.live]
"#
        );
        let project = Project::new(&pipeline)
            .variable("DOCKER_HOST", &host.socket())
            .variable("SITE_TOKEN", "correct horse battery staple");
        Some(Self { project, host })
    }

    #[track_caller]
    fn deploy(&self) {
        self.project
            .hoist(&["--progress", "plain", "run"])
            .expect(0);
    }

    fn change(&self, from: &str, to: &str) {
        self.project.change("pipeline.toml", from, to);
    }

    #[track_caller]
    fn says(&self, version: &str) {
        for (path, wanted) in [("/", version), ("/secret", "28")] {
            eventually(&format!("{path} says {wanted}"), BACK, || {
                self.host.get(PORT, path).as_deref() == Some(wanted)
            });
        }
    }

    /// What runs, by name, with all of its addresses.
    fn running(&self) -> Vec<String> {
        let ids = self.host.docker(&["ps", "--quiet"]);
        let format = "{{.Name}}{{range .NetworkSettings.Networks}} {{.IPAddress}}{{end}}";
        let arguments = ["inspect", "--format", format]
            .into_iter()
            .chain(ids.lines());
        let all = self.host.docker(&arguments.collect::<Vec<_>>());
        let mut all: Vec<String> = all.lines().map(str::to_owned).collect();
        all.sort();
        all
    }

    #[track_caller]
    fn is_verified(&self) {
        self.project
            .hoist(&["releases", "live", "--verify"])
            .expect(0);
    }
}

#[test]
fn a_daemon_that_dies_in_the_middle_of_a_switch_leaves_a_service_that_answers() {
    let test =
        "outages::a_daemon_that_dies_in_the_middle_of_a_switch_leaves_a_service_that_answers";
    let Some(site) = Site::start(test) else {
        return;
    };
    site.deploy();
    site.says("one");
    site.change("monitor = \"1s\"", "monitor = \"5m\"");
    site.change("VERSION = \"one\"", "VERSION = \"two\"");
    let mut run = site.project.start(&["--progress", "plain", "run"]);
    run.wait_for("watching");
    eventually("the new version has the traffic", BACK, || {
        site.host.get(PORT, "/").as_deref() == Some("two")
    });
    site.host.kill_daemon();
    eventually("one of them answers", BACK, || {
        site.host.get(PORT, "/").is_some()
    });
    let ended = run.end(Duration::from_secs(120));
    assert!(
        [4, 5].contains(&ended.code),
        "{}: {}",
        ended.code,
        ended.stderr
    );
    eventually("one of them answers still", BACK, || {
        site.host.get(PORT, "/").is_some()
    });
    site.change("monitor = \"5m\"", "monitor = \"1s\"");
    site.deploy();
    site.says("two");
    site.is_verified();
    site.project
        .hoist(&["run"])
        .expect(0)
        .says("did not change");
}

#[test]
fn a_host_that_loses_power_comes_back_with_all_that_served() {
    let test = "outages::a_host_that_loses_power_comes_back_with_all_that_served";
    let Some(mut site) = Site::start(test) else {
        return;
    };
    site.deploy();
    site.change("monitor = \"1s\"", "monitor = \"5m\"");
    site.change("VERSION = \"one\"", "VERSION = \"two\"");
    let mut run = site.project.start(&["--progress", "plain", "run"]);
    run.wait_for("watching");
    run.signal("KILL");
    site.host.lose_power();
    site.says("one");
    site.change("monitor = \"5m\"", "monitor = \"1s\"");
    site.deploy();
    site.says("two");
    site.is_verified();
}

#[test]
fn processes_that_are_killed_come_back_with_their_addresses_and_secrets() {
    let test = "outages::processes_that_are_killed_come_back_with_their_addresses_and_secrets";
    let Some(site) = Site::start(test) else {
        return;
    };
    site.deploy();
    let before = site.running();
    // Two of web, its two proxies, the store, and what holds the history.
    assert_eq!(before.len(), 6, "{before:?}");
    for round in 0..ROUNDS {
        std::thread::sleep(SETTLED);
        let ids = site.host.docker(&["ps", "--quiet"]);
        site.host.kill_processes(&ids.lines().collect::<Vec<_>>());
        eventually(&format!("all is back, round {round}"), BACK, || {
            site.running() == before
        });
        site.says("one");
    }
    site.deploy();
    assert_eq!(site.running(), before, "nothing had to be done");
    site.is_verified();
}

#[test]
fn a_prune_spares_all_but_what_can_be_made_again() {
    let test = "outages::a_prune_spares_all_but_what_can_be_made_again";
    let Some(site) = Site::start(test) else {
        return;
    };
    site.deploy();
    site.change("VERSION = \"one\"", "VERSION = \"two\"");
    site.deploy();
    let before = site.running();
    for what in ["container", "volume", "network"] {
        site.host.docker(&[what, "prune", "--force"]);
    }
    let all = site.host.docker(&["ps", "--all", "--quiet"]);
    assert_eq!(
        all.lines().count(),
        before.len(),
        "what was stopped is gone"
    );
    assert_eq!(site.running(), before);
    site.says("two");
    site.is_verified();

    site.project.hoist(&["rollback", "live"]).expect(0);
    site.says("one");
    let releases = site.project.hoist(&["releases", "live"]).expect(0);
    assert!(
        releases.stdout.contains("rollback to 1"),
        "{}",
        releases.stdout
    );
    site.change("VERSION = \"two\"", "VERSION = \"three\"");
    site.deploy();
    site.says("three");
    site.is_verified();
}
