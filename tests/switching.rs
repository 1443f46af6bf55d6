//! What a service loses while it is replaced, seen by a client that keeps its connections and never
//! retries.

use std::io::Read as _;
use std::time::Duration;

use crate::load::{Load, Tally};
use crate::support::host::get;
use crate::support::{Ended, Project, docker, engine, eventually, free_port, skip, variable};

/// Answers each request with its version: after DELAY seconds, in a share ERRORS of all with 500,
/// from READY seconds after its start on. It ends at once when it is asked to.
const SERVER: &str = r#"
import asyncio, os, random
version, delay = os.environ["VERSION"], float(os.environ.get("DELAY", "0"))
errors, ready = float(os.environ.get("ERRORS", "0")), float(os.environ.get("READY", "0"))
dies = float(os.environ.get("DIES", "0"))
async def serve(reader, writer):
    try:
        while True:
            line = await reader.readline()
            if not line:
                break
            while (await reader.readline()).strip():
                pass
            path = line.split()[1].decode()
            if delay and path == "/":
                await asyncio.sleep(delay)
            bad = path == "/" and random.random() < errors or path == "/healthz" and version == "sick"
            body = version.encode()
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (b"500 Bad" if bad else b"200 OK", len(body), body))
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
async def main():
    await asyncio.sleep(ready)
    server = await asyncio.start_server(serve, "", 8000)
    if dies:
        asyncio.get_running_loop().call_later(dies, os._exit, 3)
    async with server:
        await server.serve_forever()
import signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
asyncio.run(main())
"#;

/// A project with one service behind a proxy.
pub(crate) struct Shop {
    pub(crate) project: Project,
    pub(crate) port: u16,
    name: &'static str,
}

impl Shop {
    /// `keys` are those of the service beside what all have.
    pub(crate) fn new(name: &'static str, keys: &str) -> Self {
        let port = free_port();
        let pipeline = format!(
            r#"
name = "switch-{name}"
[steps.up.deploy]
environment = "live"
wait_timeout = "60s"
[steps.up.deploy.services.web]
image = "python:3.11-slim-bookworm"
command = ["python", "-c", '''{SERVER}''']
environment = {{ VERSION = "one" }}
ports = ["127.0.0.1:{port}:8000"]
stop_grace_period = "2s"
{keys}
[steps.up.deploy.services.web.healthcheck]
test = ["CMD", "python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz')"]
interval = "500ms"
timeout = "5s"
retries = 3
start_period = "20s"
[environments.live]
"#
        );
        Self {
            project: Project::new(&pipeline),
            port,
            name,
        }
    }

    pub(crate) fn deploy(&self) -> Ended {
        self.project.hoist(&["run"])
    }

    pub(crate) fn environment(&self, from: &str, to: &str) {
        self.project.change("pipeline.toml", from, to);
    }

    /// A load of at least so many requests that goes on meanwhile; 16 clients.
    pub(crate) fn load(&self, requests: usize) -> Load {
        let pause = Duration::from_millis(5);
        Load::start(
            self.port,
            "/",
            16,
            pause,
            requests,
            Duration::from_secs(180),
        )
    }

    /// The containers that run of the service, by name.
    pub(crate) fn running(&self) -> Vec<String> {
        let project = format!("label=dev.hoist.project=switch-{}", self.name);
        let listed = docker(&[
            "ps",
            "--filter",
            &project,
            "--filter",
            "label=dev.hoist.role=service",
            "--format",
            "{{.Names}}",
        ]);
        let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.project.hoist(&["down", "live", "--volumes"]);
    }
}

#[track_caller]
fn nothing_lost(tally: &Tally, from: &str, to: &str) {
    assert!(
        tally.lost.is_empty(),
        "lost {} of {}: {:?}",
        tally.lost.len(),
        tally.requests(),
        &tally.lost[..tally.lost.len().min(5)]
    );
    for version in [from, to] {
        assert!(
            tally.answers.contains_key(version),
            "{version} never answered: {:?}",
            tally.answers
        );
    }
}

#[test]
fn blue_green_loses_nothing() {
    if !engine("blue_green_loses_nothing") {
        return;
    }
    let shop = Shop::new(
        "bg",
        "strategy = \"blue-green\"\nupdate_config = { monitor = \"1s\" }",
    );
    shop.deploy().expect(0);
    let load = shop.load(20_000);
    load.reach(2_000);
    shop.environment("\"one\"", "\"two\"");
    shop.deploy()
        .expect(0)
        .says("blue-green, without an outage");
    nothing_lost(&load.end(), "one", "two");
    assert_eq!(shop.running(), ["switch-bg-live-web-2-1"]);
    shop.deploy().expect(0).says("did not change");
}

/// Calls the service by its name over a connection that it keeps, never twice for one answer, and says
/// what came of it to whoever connects.
const CALLER: &str = r#"
import http.client, json, socketserver, threading, time
answers, lost = {}, []
def call():
    line = http.client.HTTPConnection("web", 8000, timeout=10)
    while True:
        try:
            line.request("GET", "/")
            answer = line.getresponse()
            body, status = answer.read().decode(), answer.status
            if status != 200:
                lost.append(status)
            answers[body] = answers.get(body, 0) + 1
        except OSError as error:
            lost.append(repr(error))
            line.close()
        except http.client.HTTPException as error:
            lost.append(repr(error))
            line.close()
        time.sleep(0.005)
for _ in range(8):
    threading.Thread(target=call, daemon=True).start()
class Tell(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(json.dumps({"answers": answers, "lost": lost}).encode())
socketserver.TCPServer.allow_reuse_address = True
socketserver.TCPServer(("", 9000), Tell).serve_forever()
"#;

#[test]
fn a_call_between_two_services_is_not_lost_in_a_switch() {
    if !engine("a_call_between_two_services_is_not_lost_in_a_switch") {
        return;
    }
    let shop = Shop::new(
        "calls",
        "strategy = \"blue-green\"\nupdate_config = { monitor = \"1s\" }",
    );
    let port = free_port();
    let caller = format!(
        r#"
[steps.up.deploy.services.caller]
image = "python:3.11-slim-bookworm"
command = ["python", "-c", '''{CALLER}''']
ports = ["127.0.0.1:{port}:9000"]
strategy = "recreate"
stop_grace_period = "1s"
depends_on.web.condition = "service_healthy"
[environments.live]
"#
    );
    shop.environment("\n[environments.live]\n", &caller);
    let told = || -> serde_json::Value {
        let mut line = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut text = String::new();
        line.read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    shop.deploy().expect(0);
    eventually("the caller calls", Duration::from_secs(20), || {
        told()["answers"]["one"].as_u64() > Some(500)
    });
    let before = told();
    shop.environment("\"one\"", "\"two\"");
    shop.deploy()
        .expect(0)
        .says("caller did not change and is left running");
    eventually("the new one answers", Duration::from_secs(10), || {
        told()["answers"]["two"].as_u64() > Some(500)
    });
    let after = told();
    // The first calls may come before its name is led anywhere.
    assert_eq!(after["lost"], before["lost"]);
}

#[test]
fn rolling_over_three_containers_loses_nothing() {
    if !engine("rolling_over_three_containers_loses_nothing") {
        return;
    }
    let shop = Shop::new(
        "roll",
        "strategy = \"rolling\"\nreplicas = 3\nupdate_config = { monitor = \"500ms\" }",
    );
    shop.deploy().expect(0);
    let load = shop.load(20_000);
    load.reach(1_000);
    shop.environment("\"one\"", "\"two\"");
    shop.deploy().expect(0);
    nothing_lost(&load.end(), "one", "two");
    assert_eq!(shop.running().len(), 3);
}

#[test]
fn long_requests_outlive_the_switch() {
    if !engine("long_requests_outlive_the_switch") {
        return;
    }
    let shop = Shop::new(
        "long",
        "strategy = \"blue-green\"\nupdate_config = { monitor = \"0s\" }",
    );
    shop.environment("VERSION = \"one\"", "VERSION = \"one\", DELAY = \"1.5\"");
    shop.deploy().expect(0);
    let load = shop.load(2_000);
    load.reach(32);
    shop.environment("\"one\"", "\"two\"");
    shop.deploy().expect(0);
    std::thread::sleep(Duration::from_secs(3));
    nothing_lost(&load.stop(), "one", "two");
}

#[test]
fn a_bad_release_loses_nothing_and_says_so() {
    if !engine("a_bad_release_loses_nothing_and_says_so") {
        return;
    }
    let shop = Shop::new(
        "bad",
        "strategy = \"blue-green\"\nupdate_config = { monitor = \"3s\" }",
    );
    shop.deploy().expect(0);
    // Never healthy; exits; is healthy and dies once it has the traffic.
    for (bad, lost) in [
        ("VERSION = \"sick\"", 0),
        ("VERSION = \"two\", READY = \"nothing\"", 0),
        ("VERSION = \"two\", DIES = \"3.5\"", 16),
    ] {
        let load = shop.load(20_000);
        load.reach(500);
        shop.environment("VERSION = \"one\"", bad);
        shop.deploy().expect(5).says("release 1 serves again");
        let tally = load.stop();
        assert!(tally.lost.len() <= lost, "{bad}: {:?}", tally.lost);
        assert_eq!(shop.running(), ["switch-bad-live-web-1-1"], "{bad}");
        shop.environment(bad, "VERSION = \"one\"");
        shop.deploy().expect(0).says("did not change");
    }
}

#[test]
fn rollback_and_scale_lose_nothing() {
    if !engine("rollback_and_scale_lose_nothing") {
        return;
    }
    let shop = Shop::new(
        "back",
        "strategy = \"blue-green\"\nupdate_config = { monitor = \"500ms\" }",
    );
    shop.deploy().expect(0);
    shop.environment("\"one\"", "\"two\"");
    shop.deploy().expect(0);
    let load = shop.load(40_000);
    load.reach(1_000);
    shop.project.hoist(&["scale", "live", "web=5"]).expect(0);
    assert_eq!(shop.running().len(), 5);
    shop.project.hoist(&["scale", "live", "web=2"]).expect(0);
    assert_eq!(
        shop.running(),
        ["switch-back-live-web-2-1", "switch-back-live-web-2-2"]
    );
    shop.project
        .hoist(&["rollback", "live"])
        .expect(0)
        .says("release 1 comes back after 2");
    assert_eq!(shop.running(), ["switch-back-live-web-1-1"]);
    nothing_lost(&load.end(), "two", "one");
    shop.project
        .hoist(&["rollback", "live", "--to", "2"])
        .expect(0);
    assert_eq!(shop.running(), ["switch-back-live-web-2-1"]);
    shop.project
        .hoist(&["rollback", "live", "--to", "77"])
        .expect(2)
        .says("no release 77");
}

#[test]
fn a_canary_is_led_to_the_end_or_back() {
    if !engine("a_canary_is_led_to_the_end_or_back") {
        return;
    }
    let shop = Shop::new(
        "canary",
        "strategy = \"canary\"\ncanary = { weights = [10, 50], step = \"4s\" }\nupdate_config = { monitor = \"500ms\" }",
    );
    shop.deploy().expect(0);
    let load = shop.load(100_000);
    load.reach(500);
    shop.environment("\"one\"", "\"two\"");
    shop.deploy().expect(0).says("10 % of the traffic");
    nothing_lost(&load.stop(), "one", "two");
    assert_eq!(shop.running(), ["switch-canary-live-web-2-1"]);

    // A tenth of its answers are errors: it goes before it has more than a little of the traffic.
    let load = shop.load(100_000);
    load.reach(500);
    shop.environment("\"two\"", "\"three\", ERRORS = \"0.5\"");
    shop.deploy().expect(5).says("is worse");
    let tally = load.stop();
    let errors = tally.lost.len();
    assert!(
        errors > 0 && errors * 10 < tally.requests(),
        "{errors} of {}",
        tally.requests()
    );
    assert!(
        tally.lost.iter().all(|(_, why)| why.contains("500")),
        "{:?}",
        tally.lost
    );
    assert_eq!(shop.running(), ["switch-canary-live-web-2-1"]);
}

/// Of each container that serves: what is not as it was meant.
fn drift(shop: &Shop) -> Vec<String> {
    let shown = shop.project.hoist(&["ps", "live", "--format", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.expect(0).stdout).unwrap();
    let serving = shown.as_array().unwrap().iter();
    let serving = serving.filter(|it| it["serving"] == true);
    let kinds = serving.flat_map(|it| it["drift"].as_array().unwrap());
    let kinds = kinds.map(|drift| drift["kind"].as_str().unwrap().to_owned());
    kinds.collect()
}

#[test]
fn as_many_containers_of_a_rolling_update_may_fail_as_the_file_says() {
    if !engine("as_many_containers_of_a_rolling_update_may_fail_as_the_file_says") {
        return;
    }
    // The first container of each later version is sick, until it is started again.
    let shop = Shop::new(
        "ratio",
        r#"
entrypoint = ["sh", "-c", '''
if [ $VERSION != one ] && mkdir /data/$VERSION 2>/dev/null; then export VERSION=sick; fi
exec "$@"
''', "sh"]
strategy = "rolling"
replicas = 3
update_config = { monitor = "500ms", max_failure_ratio = 0.1 }
volumes = ["data:/data"]
"#,
    );
    let pipeline = shop.project.read("pipeline.toml");
    let shared = format!("{pipeline}\n[volumes.data]\nshared = true\n");
    std::fs::write(shop.project.path().join("pipeline.toml"), shared).unwrap();
    shop.deploy().expect(0);
    shop.environment("\"one\"", "\"two\"");
    shop.deploy().expect(5);
    assert_eq!(shop.running().len(), 3);
    assert!(drift(&shop).is_empty());

    shop.environment("\"two\"", "\"three\"");
    shop.environment("max_failure_ratio = 0.1", "max_failure_ratio = 0.34");
    shop.deploy().expect(0).says("`max_failure_ratio` lets it");
    nothing_lost(&shop.load(500).end(), "three", "three");
    assert_eq!(drift(&shop), ["failed"]);
    let text = shop.project.hoist(&["releases", "live"]).expect(0).stdout;
    assert!(text.contains("was not well and left out"), "{text}");

    shop.deploy().expect(0).says("`max_failure_ratio` lets it");
    for name in shop.running() {
        docker(&["restart", "--time", "0", &name]);
    }
    shop.deploy().expect(0);
    assert!(drift(&shop).is_empty(), "it is well and has its part again");
    assert_eq!(shop.running().len(), 3);
}

#[test]
fn a_restart_of_several_containers_loses_nothing() {
    if !engine("a_restart_of_several_containers_loses_nothing") {
        return;
    }
    let shop = Shop::new("restart", "strategy = \"rolling\"\nreplicas = 2");
    shop.deploy().expect(0);
    let load = shop.load(20_000);
    load.reach(1_000);
    let restarted = shop.project.hoist(&["restart", "live", "web"]).expect(0);
    restarted.says("restarting web-1").says("restarting web-2");
    nothing_lost(&load.end(), "one", "one");
    // Each has its part of the traffic again.
    let proxy = "switch-restart-live-proxy-web";
    let config = docker(&["cp", &format!("{proxy}:/etc/hoist/haproxy.cfg"), "-"]);
    assert!(!config.contains("disabled"), "{config}");
    assert_eq!(config.matches("server web-1-").count(), 2, "{config}");
}

#[test]
fn what_a_killed_restart_left_without_traffic_gets_it_again() {
    if !engine("what_a_killed_restart_left_without_traffic_gets_it_again") {
        return;
    }
    let shop = Shop::new("killed-restart", "strategy = \"rolling\"\nreplicas = 2");
    shop.deploy().expect(0);
    let proxy = "switch-killed-restart-live-proxy-web";
    let config = || docker(&["cp", &format!("{proxy}:/etc/hoist/haproxy.cfg"), "-"]);
    for mends in [["run"].as_slice(), &["restart", "live", "web"]] {
        let mut restart = shop.project.start(&["restart", "live", "web"]);
        restart.wait_for("restarting web-1");
        restart.signal("KILL");
        restart.end(Duration::from_secs(5));
        assert!(config().contains(" disabled"), "{}", config());
        shop.project.hoist(mends).expect(0);
        assert!(!config().contains(" disabled"), "{}", config());
    }
    let releases = shop
        .project
        .hoist(&["releases", "live", "--format", "json"]);
    let text = releases.expect(0).stdout;
    assert_eq!(text.matches("\"release\":").count(), 1, "{text}");
}

/// An image of the proxy that is another one than the one in use, or says that the test is skipped.
pub(crate) fn another_proxy(test: &str, name: &str) -> Option<String> {
    let Some(proxy) = variable("HOIST_TOOLS_HAPROXY") else {
        let _ = skip(
            test,
            "HOIST_TOOLS_HAPROXY names no proxy that is on this machine",
        );
        return None;
    };
    let (image, made) = (format!("hoist-test/{name}:1"), format!("hoist-test-{name}"));
    docker(&["create", "--name", &made, &proxy, "haproxy"]);
    docker(&["commit", "--change", "LABEL another=yes", &made, &image]);
    docker(&["rm", &made]);
    Some(image)
}

#[test]
fn proxies_are_put_on_another_image_with_a_gap_that_is_said() {
    let test = "switching::proxies_are_put_on_another_image_with_a_gap_that_is_said";
    if !engine(test) {
        return;
    }
    let Some(image) = another_proxy(test, "upgrade") else {
        return;
    };
    let mut shop = Shop::new(
        "upgrade",
        "strategy = \"blue-green\"\nupdate_config = { monitor = \"0s\" }",
    );
    shop.deploy().expect(0);
    let upgrade = |shop: &Shop| shop.project.hoist(&["proxy", "upgrade", "live"]);
    upgrade(&shop)
        .expect(0)
        .says("have the image that is configured already");
    let project = std::mem::replace(&mut shop.project, Project::empty());
    shop.project = project.variable("HOIST_TOOLS_HAPROXY", &image);
    shop.deploy().expect(0).says("did not change");

    let load = shop.load(100_000);
    load.reach(500);
    let said = upgrade(&shop)
        .expect(0)
        .says("for a moment, about a second, nobody gets through it")
        .stderr;
    let gaps: Vec<f64> = said
        .lines()
        .filter_map(|line| {
            line.split_once("nobody got through it for ")?
                .1
                .strip_suffix('s')
        })
        .filter_map(|gap| gap.parse().ok())
        .collect();
    assert!(
        gaps.len() == 2 && gaps.iter().all(|gap| *gap < 5.0),
        "{gaps:?}"
    );
    let address = ([127, 0, 0, 1], shop.port).into();
    eventually("it answers again", Duration::from_secs(5), || {
        get(address, "/").as_deref() == Some("one")
    });
    assert!(load.stop().answers["one"] >= 500);
    let id = docker(&["inspect", "--format", "{{.Id}}", &image]);
    for proxy in ["proxy-web", &format!("proxy-127.0.0.1-{}", shop.port)] {
        let proxy = format!("switch-upgrade-live-{proxy}");
        let now = docker(&["inspect", "--format", "{{.Image}}", &proxy]);
        assert_eq!(now, id, "{proxy}");
    }
    let releases = shop.project.hoist(&["releases", "live"]).expect(0);
    assert!(
        releases.stdout.contains("proxy upgrade"),
        "{}",
        releases.stdout
    );
    shop.environment("\"one\"", "\"two\"");
    shop.deploy().expect(0);
    assert_eq!(shop.running(), ["switch-upgrade-live-web-3-1"]);
    drop(shop);
    docker(&["rmi", &image]);
}
