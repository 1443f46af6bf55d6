//! What is seen of an environment on a real engine, and what can be done with what runs there:
//! logs, stats, events, diagnose, ps --all, restart, exec.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Ended, Project, docker, ended, engine, eventually, skip};

const SOON: Duration = Duration::from_secs(20);
const SECRET: &str = "correct horse battery staple";

/// A service that ticks, says its secret, and is well as long as a file is there; beside a store.
struct Site {
    project: Project,
    name: &'static str,
}

impl Site {
    fn new(name: &'static str) -> Self {
        let pipeline = format!(
            r#"
name = "seen-{name}"
[secrets]
token = {{ environment = "SITE_TOKEN" }}
[steps.up.deploy]
environment = "live"
wait_timeout = "60s"
[steps.up.deploy.services.store]
image = "redis:7-bookworm"
volumes = ["data:/data"]
[steps.up.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sh", "-c", '''
trap "exit 0" TERM
sleep $START
touch /tmp/well
echo begins with $(cat /run/secrets/token)
while :; do echo tick; sleep 0.2 & wait $!; done
''']
environment = {{ START = "0" }}
secrets = ["token"]
stop_grace_period = "5s"
resources.limits.memory = "48m"
depends_on.store.condition = "service_started"
[steps.up.deploy.services.web.healthcheck]
test = ["CMD", "sh", "-c", "test -e /tmp/well || {{ echo the file is away; exit 1; }}"]
interval = "1s"
retries = 2
start_period = "20s"
[environments.live]
"#
        );
        let project = Project::new(&pipeline).variable("SITE_TOKEN", SECRET);
        let site = Self { project, name };
        site.hoist(&["--progress", "plain", "run"]).expect(0);
        site
    }

    fn hoist(&self, arguments: &[&str]) -> Ended {
        self.project.hoist(arguments)
    }

    fn container(&self, service: &str) -> String {
        let project = format!("label=dev.hoist.project=seen-{}", self.name);
        let service = format!("label=dev.hoist.service={service}");
        docker(&[
            "ps", "--all", "--quiet", "--filter", &project, "--filter", &service,
        ])
    }

    /// hoist, given this on its standard input.
    fn given(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = self.project.command(arguments);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        ended(child.wait_with_output().unwrap())
    }

    /// hoist on a terminal until `shows` holds of what that shows; then Ctrl-C. Nothing where a
    /// terminal cannot be had.
    fn on_terminal(&self, test: &str, line: &str, shows: impl Fn(&str) -> bool) -> Option<i32> {
        if Command::new("script").arg("-V").output().is_err() {
            skip(test, "there is no `script`");
            return None;
        }
        let out = self.project.path().join(".terminal");
        let line = format!("{} {line}", env!("CARGO_BIN_EXE_hoist"));
        let plain = self.project.command(&[]);
        let mut command = Command::new("script");
        command
            .args(["-qefc", &line, &out.display().to_string()])
            .env_clear()
            .envs(
                plain
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("TERM", "xterm")
            .current_dir(self.project.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut keys = child.stdin.take().unwrap();
        let said =
            || String::from_utf8_lossy(&std::fs::read(&out).unwrap_or_default()).into_owned();
        eventually(&format!("the terminal shows it: {line}"), SOON, || {
            shows(&said())
        });
        keys.write_all(b"\x03").unwrap();
        keys.flush().unwrap();
        let mut code = None;
        eventually("Ctrl-C ends it", SOON, || {
            code = child.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.hoist(&["down", "live", "--volumes"]);
    }
}

#[test]
fn what_containers_print_is_told_apart_masked_and_followed() {
    let test = "seeing::what_containers_print_is_told_apart_masked_and_followed";
    if !engine(test) {
        return;
    }
    let site = Site::new("logs");
    let all = site.hoist(&["logs", "--env", "live"]).expect(0).stdout;
    assert!(all.contains("web   | begins with ***\n"), "{all}");
    assert!(
        all.lines().any(|line| line.starts_with("store | ")),
        "{all}"
    );
    assert!(!all.contains(SECRET), "{all}");
    let web = site
        .hoist(&["logs", "--env", "live", "web", "--tail", "2"])
        .expect(0);
    assert_eq!(web.stdout, "tick\ntick\n");
    let old = site.hoist(&["logs", "--env", "live", "store", "--since", "0s"]);
    assert_eq!(old.expect(0).stdout, "", "it has been silent since");
    site.hoist(&["logs", "--env", "live", "wbe"])
        .expect(2)
        .says("no service `wbe` is deployed to live")
        .says("there is store, web");
    site.hoist(&["logs", "--env", "nowhere"])
        .expect(2)
        .says("there is no environment `nowhere`");
    site.hoist(&["logs", "--follow"]).expect(2);

    let mut following = site
        .project
        .start(&["logs", "--env", "live", "--follow", "--tail", "0"]);
    following.wait_for("web   | tick");
    assert!(!following.said().contains("begins"), "{}", following.said());
    // It goes on with the container when that is started again.
    site.hoist(&["restart", "live", "web"])
        .expect(0)
        .says("web is healthy after");
    following.wait_for("web   | begins with ***");
    following.signal("INT");
    let ended = following.end(SOON).expect(130);
    assert!(
        ended.stderr.lines().all(|line| line.contains(" | ")),
        "quietly: {}",
        ended.stderr
    );
    let begun = ended.stderr.matches("begins").count();
    assert_eq!(begun, 1, "nothing comes twice: {}", ended.stderr);
    let code = site.on_terminal(test, "logs --env live --follow", |said| {
        said.contains("tick")
    });
    assert!(code.is_none_or(|code| code == 130), "{code:?}");
}

#[test]
fn what_containers_use_and_what_there_is_at_all() {
    let test = "seeing::what_containers_use_and_what_there_is_at_all";
    if !engine(test) {
        return;
    }
    let site = Site::new("stats");
    let json = site
        .hoist(&["stats", "live", "--format", "json"])
        .expect(0)
        .stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let web = &json[1];
    assert_eq!(
        (&web["service"], &web["replica"]),
        (&"web".into(), &1.into())
    );
    assert_eq!(web["memory_limit"], 48 << 20);
    assert!(
        web["cpu_percent"].is_number() && web["pids"].as_u64() > Some(0),
        "{web}"
    );
    let store = &json[0];
    assert!(store["memory"].as_u64() > Some(1 << 20), "{store}");
    let prometheus = site
        .hoist(&["stats", "live", "--format", "prometheus"])
        .expect(0)
        .stdout;
    let labels = "{project=\"seen-stats\",environment=\"live\",service=\"web\",replica=\"1\"";
    assert!(
        prometheus.contains(&format!("hoist_container_pids{labels}")),
        "{prometheus}"
    );
    let table = site.hoist(&["stats", "live"]).expect(0).stdout;
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.starts_with("SERVICE"), "{table}");
    // Live it is drawn again and again.
    let again = |said: &str| said.matches("SERVICE").count() > 1;
    let code = site.on_terminal(test, "stats live", again);
    assert!(code.is_none_or(|code| code == 130), "{code:?}");

    let all = site
        .hoist(&["ps", "--all", "--format", "json"])
        .expect(0)
        .stdout;
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    let all = all.as_array().unwrap();
    for (kind, purpose) in [
        ("container", "service store"),
        ("container", "service web"),
        ("network", "network default"),
        ("volume", "data data"),
        ("volume", "secrets web"),
    ] {
        let is = |it: &&serde_json::Value| it["kind"] == kind && it["purpose"] == purpose;
        let found = all
            .iter()
            .find(is)
            .unwrap_or_else(|| panic!("{purpose}: {all:?}"));
        assert_eq!(found["environment"], "live");
        assert_eq!(found["bytes"].is_u64(), kind != "network", "{found}");
    }
    let text = site.hoist(&["ps", "--all"]).expect(0).stdout;
    assert!(
        text.contains("seen-stats-live-data") && text.contains(" containers, "),
        "{text}"
    );
    let shown = site.hoist(&["ps", "live"]).expect(0).stdout;
    assert!(shown.contains("REPLICA  RELEASE  STATE"), "{shown}");
}

#[test]
fn what_happened_and_what_is_wrong_is_said_and_a_restart_mends_it() {
    let test = "seeing::what_happened_and_what_is_wrong_is_said_and_a_restart_mends_it";
    if !engine(test) {
        return;
    }
    let site = Site::new("wrong");
    let diagnose = |code| site.hoist(&["diagnose", "live"]).expect(code).stdout;
    assert_eq!(diagnose(0), "✓ nothing is wrong with live (2 containers)\n");

    site.hoist(&["exec", "live", "web", "--", "rm", "/tmp/well"])
        .expect(0);
    eventually("web is unhealthy", SOON, || {
        site.hoist(&["ps", "live"]).stdout.contains("unhealthy")
    });
    let said = diagnose(1);
    assert!(
        said.contains("✗ web is unhealthy") && said.contains("the file is away"),
        "{said}"
    );
    let mut events = site
        .project
        .start(&["events", "live", "--follow", "--since", "1m"]);
    events.wait_for("web (release 1) is unhealthy");

    docker(&["kill", &site.container("web")]);
    events.wait_for("web (release 1) was sent SIGKILL");
    events.wait_for("web (release 1) ended with code 137");
    // At once: an engine remembers its last 256 events, of all that runs there.
    let past = site
        .hoist(&["events", "live", "--since", "1m", "--format", "json"])
        .expect(0);
    let died = past.stdout.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (line["event"].clone(), line["code"].clone())
    });
    let died: Vec<_> = died.filter(|(event, _)| event == "die").collect();
    assert!(died.contains(&("die".into(), 137.into())), "{died:?}");
    let said = diagnose(1);
    assert!(said.contains("✗ web exited with code 137"), "{said}");
    assert!(
        said.contains("tick") && said.contains("hoist restart live web"),
        "{said}"
    );
    assert!(!said.contains(SECRET), "{said}");

    site.hoist(&["restart", "live"])
        .expect(0)
        .says("restarting store\nstore runs after")
        .says("restarting web\nweb is healthy after");
    events.wait_for("web (release 1) is healthy");
    events.signal("INT");
    events.end(SOON).expect(130);
    assert_eq!(diagnose(0), "✓ nothing is wrong with live (2 containers)\n");
    // No more than this where the engine cannot bound it.
    let much = "head -c 200m /dev/zero | tail";
    let greedy = ["exec", "live", "web", "--", "sh", "-c", much];
    site.hoist(&greedy).expect(137);
    assert!(diagnose(1).contains("✗ web ran out of memory"));

    // A port of the file that is not deployed yet, and someone else has.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ports = format!("ports = [\"127.0.0.1:{port}:80\"]\nsecrets = [\"token\"]");
    site.project
        .change("pipeline.toml", "secrets = [\"token\"]", &ports);
    let held = format!("port 127.0.0.1:{port}, which web wants, is held by a process");
    assert!(diagnose(1).contains(&held));
}

#[test]
fn a_restart_is_refused_while_a_deploy_is_under_way() {
    if !engine("seeing::a_restart_is_refused_while_a_deploy_is_under_way") {
        return;
    }
    let site = Site::new("locked");
    let before = site.container("web");
    site.project
        .change("pipeline.toml", "START = \"0\"", "START = \"40\"");
    let mut deploy = site.project.start(&["--progress", "plain", "run"]);
    deploy.wait_for("waiting for web to be healthy");
    site.hoist(&["restart", "live"])
        .expect(4)
        .says("another deploy to live is under way");
    deploy.signal("INT");
    deploy.end(Duration::from_secs(60)).expect(130);
    assert_eq!(site.container("web"), before);
}

#[test]
fn a_command_gets_input_and_hands_its_code_on() {
    let test = "seeing::a_command_gets_input_and_hands_its_code_on";
    if !engine(test) {
        return;
    }
    let site = Site::new("exec");
    let run = "cat; echo aside >&2; exit 7";
    let ended = site
        .given(&["exec", "live", "web", "--", "sh", "-c", run], "typed\n")
        .expect(7);
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("typed\n", "aside\n")
    );
    let large = "x".repeat(300_000);
    let count = site
        .given(&["exec", "live", "web", "--", "wc", "-c"], &large)
        .expect(0);
    assert_eq!(count.stdout.trim(), "300000");
    let absent = site.hoist(&["exec", "live", "web", "--", "no-such-program"]);
    assert!(matches!(absent.code, 126 | 127), "{absent:?}");
    site.hoist(&["exec", "live", "web", "--replica", "9", "--", "true"])
        .expect(2)
        .says("web has no replica 9 that runs in live")
        .says("there is 1");
    site.hoist(&["exec", "live", "web"]).expect(2);

    let line = "exec live web -- sh -c 'test -t 0 && echo on a terminal $(stty size); cat'";
    let at = |said: &str| said.contains("on a terminal");
    // Its own Ctrl-C ends the command, not hoist.
    let code = site.on_terminal(test, line, at);
    assert!(code.is_none_or(|code| code == 130), "{code:?}");
}
