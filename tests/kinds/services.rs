//! Services beside a `run` step: what they can reach, what becomes of a step without them, and that
//! nothing of them remains.

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::support::{Ended, Project, docker, engine, eventually, left_of};

/// The value of the secret `password`.
const PASSWORD: &str = "a-password-for-services";

/// Databases as the official images have them: the image, what a service needs, how a step on the
/// same image asks it.
const DATABASES: [(&str, &str, &str); 3] = [
    (
        "postgres:15-bookworm",
        r#"environment = { POSTGRES_PASSWORD_FILE = "/run/secrets/password" }
healthcheck = { test = "pg_isready -h 127.0.0.1 -U postgres" }"#,
        r#"PGPASSWORD="$(cat /run/secrets/password)" psql -h db -U postgres -tAc "SELECT 40 + 2""#,
    ),
    (
        "mariadb:10.11",
        r#"environment = { MARIADB_ROOT_PASSWORD_FILE = "/run/secrets/password" }
healthcheck = { test = "mariadb-admin ping -h 127.0.0.1", interval = "1s", retries = 60 }"#,
        r#"mariadb -h db -uroot "-p$(cat /run/secrets/password)" -Ne "SELECT 40 + 2""#,
    ),
    (
        "redis:7-bookworm",
        r#"healthcheck = { test = "redis-cli ping" }
tmpfs = "/data""#,
        "redis-cli -h db SET answer 42; redis-cli -h db GET answer",
    ),
];

/// A pipeline of one step `it` with these lines.
fn project(lines: &str) -> Project {
    let pipeline = format!(
        "name = \"kind-services\"\n[secrets]\npassword = {{ environment = \"PASSWORD\" }}\n\
         [steps.it]\nimage = \"debian:bookworm-slim\"\nsource = false\n{lines}\n"
    );
    Project::new(&pipeline).variable("PASSWORD", PASSWORD)
}

/// Runs such a pipeline, and looks that nothing of it remains.
#[track_caller]
fn step(lines: &str) -> (Project, Ended) {
    let project = project(lines);
    let ended = project.hoist(&["--progress", "plain", "run"]);
    let run = project.runs().pop().expect("there is a run");
    assert_eq!(left_of(&run), "", "{}", ended.stderr);
    (project, ended)
}

fn log(project: &Project) -> String {
    project.hoist(&["logs", "it"]).expect(0).stdout
}

fn log_of(project: &Project, service: &str) -> String {
    let logs = project.hoist(&["logs", "it", "--service", service]);
    logs.expect(0).stdout
}

#[test]
fn databases_start_as_they_are_and_are_reached_by_name() {
    if !engine("kinds::services::databases_start_as_they_are_and_are_reached_by_name") {
        return;
    }
    for (image, service, ask) in DATABASES {
        let pipeline = format!(
            r#"name = "kind-services"
[secrets]
password = {{ environment = "PASSWORD" }}
[steps.it]
image = "{image}"
source = false
secrets = ["password"]
run = '''
{ask}
'''
[steps.it.services.db]
image = "{image}"
secrets = ["password"]
{service}
"#
        );
        let project = Project::new(&pipeline).variable("PASSWORD", PASSWORD);
        let ended = project.hoist(&["--progress", "plain", "run"]).expect(0);
        assert!(
            log(&project).ends_with("42\n"),
            "{image}: {}",
            log(&project)
        );
        assert_eq!(left_of(&project.runs().pop().unwrap()), "", "{image}");
        // What it says is kept and not shown.
        let said = log_of(&project, "db");
        assert!(said.to_lowercase().contains("ready"), "{image}: {said}");
        assert!(
            !ended.stderr.contains("ready to accept"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn a_service_has_the_least_that_databases_need() {
    if !engine("kinds::services::a_service_has_the_least_that_databases_need") {
        return;
    }
    let (project, ended) = step(
        r#"
run = "sleep 0.3"
[steps.it.services.look]
image = "debian:bookworm-slim"
secrets = ["password"]
command = ["sh", "-c", '''
grep -E "^(CapEff|CapBnd|NoNewPrivs|Seccomp):" /proc/self/status
cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null
cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null
cat /run/secrets/password; echo
(echo x > /run/secrets/password) 2>/dev/null && echo writable
env | grep -c -- -password-for-
sleep 60
''']
healthcheck.test = "true"
"#,
    );
    ended.expect(0);
    let log = log_of(&project, "look");
    // CHOWN, DAC_OVERRIDE, FOWNER, SETGID and SETUID.
    assert!(log.contains("CapEff:\t00000000000000cb"), "{log}");
    assert!(log.contains("CapBnd:\t00000000000000cb"), "{log}");
    assert!(
        log.contains("NoNewPrivs:\t1") && log.contains("Seccomp:\t2"),
        "{log}"
    );
    assert!(
        log.contains("\n512\n") && log.contains("\n1073741824\n"),
        "{log}"
    );
    assert!(log.contains("\n***\n") && !log.contains(PASSWORD), "{log}");
    assert!(!log.contains("writable") && log.ends_with("\n0\n"), "{log}");
}

/// Tries to reach addresses, `address:port` each, and prints those that answer, with the first word
/// of what they say. Where there is a way out, someone on it may answer for all the world.
const TRY: &str = r#"run = ["python3", "-uc", '''
import os, socket
def answer(address):
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), 2) as stream:
            try:
                stream.sendall(b"PING\r\n")
                said = stream.recv(100).split()
            except OSError:
                said = []
            return said[0].decode() if said else "nothing"
    except OSError:
        return None
own = [socket.gethostbyname(socket.gethostname())]
first = [address.rsplit(".", 1)[0] + ".1" for address in own if not address.startswith("127.")]
first = [address.rsplit(".", 2)[0] + ".0.1" for address in first] + first
targets = os.environ["TARGETS"].split() + [f"{a}:{os.environ['PORT']}" for a in first if a not in own]
print("tried", *targets)
answers = [(target, answer(target)) for target in targets]
print("reached", *[f"{target}={answer}" for target, answer in answers if answer])
''']"#;

/// Something that listens on the engine's own host, on all of its addresses. Gone with this value.
struct Listener {
    container: String,
    port: u16,
    addresses: Vec<String>,
}

impl Listener {
    fn start() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let own = u16::try_from(std::process::id() % 10_000).unwrap();
        let port = 20_000 + own + NEXT.fetch_add(1, Ordering::Relaxed);
        let number = port.to_string();
        let container = docker(&[
            "run",
            "--detach",
            "--rm",
            "--network",
            "host",
            "python:3.11-slim-bookworm",
            "python3",
            "-um",
            "http.server",
            &number,
            "--bind",
            "0.0.0.0",
        ]);
        let host = [
            "run",
            "--rm",
            "--network",
            "host",
            "debian:bookworm-slim",
            "hostname",
            "-I",
        ];
        let addresses = docker(&host);
        let addresses = addresses
            .split_whitespace()
            .filter(|address| !address.contains(':'));
        eventually("the listener listens", Duration::from_secs(20), || {
            docker(&["logs", &container]).contains("Serving")
        });
        Self {
            container,
            port,
            addresses: addresses.map(str::to_owned).collect(),
        }
    }

    fn targets(&self) -> String {
        let all = self.addresses.iter();
        all.map(|address| format!("{address}:{} ", self.port))
            .collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        docker(&["rm", "--force", &self.container]);
    }
}

fn reached(project: &Project) -> Vec<String> {
    let log = log(project);
    let line = log.lines().find_map(|line| line.strip_prefix("reached"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    line.split_whitespace().map(str::to_owned).collect()
}

/// A pipeline whose step tries addresses and has a service `cache`.
fn tries(name: &str, more: &str, targets: &str, port: u16) -> Project {
    Project::new(&format!(
        r#"name = "kind-services-{name}"
[steps.it]
image = "python:3.11-slim-bookworm"
source = false
environment = {{ TARGETS = "{targets}", PORT = "{port}" }}
{more}
{TRY}
[steps.it.services.cache]
image = "redis:7-bookworm"
healthcheck.test = "redis-cli ping"
"#
    ))
}

#[test]
fn a_step_reaches_its_services_and_neither_the_host_nor_the_world_nor_another_s() {
    let test = "kinds::services::a_step_reaches_its_services_and_neither_the_host_nor_the_world_nor_another_s";
    if !engine(test) {
        return;
    }
    let listener = Listener::start();
    let host = listener.targets();

    // Another step with a service of the same name, which goes on meanwhile.
    let other = Project::new(
        r#"name = "kind-services-other"
[steps.it]
image = "debian:bookworm-slim"
source = false
run = "echo going on; sleep 120"
[steps.it.services.cache]
image = "redis:7-bookworm"
healthcheck.test = "redis-cli ping"
"#,
    );
    let mut running = other.start(&["--progress", "plain", "run"]);
    running.wait_for("going on");
    let filter = "label=dev.hoist.project=kind-services-other";
    let ids = docker(&["ps", "-q", "--filter", filter]);
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    let ids: Vec<&str> = ids.split_whitespace().collect();
    let addresses = docker(&[&["inspect", "--format", format], ids.as_slice()].concat());
    let others: String = addresses
        .split_whitespace()
        .map(|address| format!("{address}:6379 "))
        .collect();
    assert_eq!(others.split_whitespace().count(), 2, "{others}");

    // Old engines ask the host's resolver for those who have no way out, and so let words out.
    let resolvers = docker(
        &[
            &["inspect", "--format", "{{.HostConfig.Dns}}"],
            ids.as_slice(),
        ]
        .concat(),
    );
    assert_eq!(resolvers, "[127.0.0.1]\n[127.0.0.1]");

    let world = "1.1.1.1:53 1.1.1.1:443 deb.debian.org:80";
    let targets = format!("cache:6379 {host}{others}{world}");
    let sealed = tries("sealed", "", &targets, listener.port);
    sealed.hoist(&["run"]).expect(0);
    assert_eq!(reached(&sealed), ["cache:6379=+PONG"], "{}", log(&sealed));
    assert_eq!(left_of(&sealed.runs().pop().unwrap()), "");

    // With a way out the host is there, which shows that there was something to reach.
    let open = tries("open", "network = \"bridge\"", &targets, listener.port);
    let plan = open.hoist(&["plan"]).expect(0).stdout;
    assert!(
        plan.contains("bridge") && plan.contains("service cache: image redis"),
        "{plan}"
    );
    open.hoist(&["run"]).expect(0);
    let reached = reached(&open);
    let holds = |targets: &str, word: &str| {
        let of = |answer: &&String| {
            let target = answer.split('=').next().unwrap();
            targets.contains(&format!("{target} ")) && answer.ends_with(word)
        };
        reached.iter().find(of).is_some()
    };
    assert!(holds("cache:6379 ", "=+PONG"), "{reached:?}");
    assert!(holds(&host, "DOCTYPE"), "{reached:?}");
    assert!(!holds(&others, "=+PONG"), "{reached:?}");

    running.signal("INT");
    running.end(Duration::from_secs(30)).expect(130);
    assert_eq!(left_of(&other.runs().pop().unwrap()), "");
}

#[test]
fn a_service_has_no_way_out_either() {
    if !engine("kinds::services::a_service_has_no_way_out_either") {
        return;
    }
    let listener = Listener::start();
    let targets = format!("{}1.1.1.1:53 1.1.1.1:443", listener.targets());
    for network in ["none", "bridge"] {
        let stay = "\nopen('/tmp/tried', 'w').close()\nimport time; time.sleep(300)\n''']";
        let attempt = TRY.replace("run = ", "command = ").replace("\n''']", stay);
        let (project, ended) = step(&format!(
            r#"
network = "{network}"
run = "true"
[steps.it.services.tries]
image = "python:3.11-slim-bookworm"
environment = {{ TARGETS = "{targets}", PORT = "{}" }}
healthcheck.test = "test -e /tmp/tried"
{attempt}
"#,
            listener.port
        ));
        ended.expect(0);
        let said = log_of(&project, "tries");
        assert!(
            said.contains("tried ") && said.ends_with("reached\n"),
            "{network}: {said}"
        );
    }
}

#[test]
fn each_step_and_each_attempt_has_services_of_its_own() {
    if !engine("kinds::services::each_step_and_each_attempt_has_services_of_its_own") {
        return;
    }
    let step = |name: &str| {
        format!(
            r#"
[steps.{name}]
image = "redis:7-bookworm"
source = false
retry = {{ max = 1, when = ["step_failure"] }}
run = '''
redis-cli -h cache KEYS '*'
redis-cli -h cache SET {name} here
sleep 1
redis-cli -h cache KEYS '*'
exit 1
'''
[steps.{name}.services.cache]
image = "redis:7-bookworm"
healthcheck.test = "redis-cli ping"
"#
        )
    };
    let pipeline = format!("name = \"kind-services\"\n{}{}", step("one"), step("two"));
    let project = Project::new(&pipeline);
    project.hoist(&["run", "--jobs", "2"]).expect(1);
    for name in ["one", "two"] {
        for attempt in ["1", "2"] {
            let log = project
                .hoist(&["logs", name, "--attempt", attempt])
                .expect(0);
            assert_eq!(log.stdout, format!("\nOK\n{name}\n"), "{name} {attempt}");
            let service = ["logs", name, "--attempt", attempt, "--service", "cache"];
            let said = project.hoist(&service).expect(0).stdout;
            assert!(said.contains("Ready to accept"), "{said}");
        }
    }
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}

#[test]
fn each_cell_has_services_by_its_own_values() {
    if !engine("kinds::services::each_cell_has_services_by_its_own_values") {
        return;
    }
    let pipeline = r#"name = "kind-services"
[steps.it]
image = "redis:7-bookworm"
source = false
matrix.release = ["7-bookworm"]
matrix.word = ["one", "two"]
run = 'test "$(redis-cli -h cache CONFIG GET appendfilename | tail -n 1)" = "$MATRIX_WORD"'
[steps.it.services.cache]
image = "redis:${matrix.release}"
environment = { WORD = "${matrix.word}" }
command = ["sh", "-c", 'exec redis-server --protected-mode no --appendfilename "$WORD"']
healthcheck.test = "redis-cli ping"
"#;
    let project = Project::new(pipeline);
    project.hoist(&["run"]).expect(0).says("2 steps");
    for word in ["one", "two"] {
        let cell = format!("it[release=7-bookworm,word={word}]");
        let said = project.hoist(&["logs", &cell, "--service", "cache"]);
        assert!(said.expect(0).stdout.contains("Ready to accept"));
    }
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}

#[test]
fn a_service_that_fails_is_told_with_its_last_lines() {
    if !engine("kinds::services::a_service_that_fails_is_told_with_its_last_lines") {
        return;
    }
    let (project, ended) = step(
        r#"
run = "echo never"
[steps.it.services.db]
image = "debian:bookworm-slim"
secrets = ["password"]
command = ["sh", "-c", "echo cannot lock the data; cat /run/secrets/password; sleep 0.2; exit 3"]
healthcheck.test = "false"
"#,
    );
    let ended = ended
        .expect(4)
        .says("service db exited with code 3 before it was ready")
        .says("cannot lock the data")
        .says("hoist logs it --service db");
    assert!(!ended.stderr.contains("never") && !ended.stderr.contains(PASSWORD));
    assert!(!log_of(&project, "db").contains(PASSWORD));
    let unknown = project.hoist(&["logs", "it", "--service", "bd"]).expect(2);
    unknown.says("no service `bd`").says("its services are: db");

    let (_, ended) = step(
        r#"
run = "echo never"
[steps.it.services.db]
image = "debian:bookworm-slim"
command = ["sh", "-c", "echo still loading; sleep 300"]
healthcheck = { test = "echo not yet; exit 1", interval = "100ms", retries = 3 }
"#,
    );
    ended
        .expect(4)
        .says("service db is not healthy after 3 tries")
        .says("not yet")
        .says("still loading");

    let (_, ended) = step(
        r#"
run = "echo never"
timeout = "3s"
[steps.it.services.db]
image = "debian:bookworm-slim"
command = ["sleep", "300"]
healthcheck = { test = "exit 1", interval = "1s", retries = 600 }
"#,
    );
    ended
        .expect(4)
        .says("service db was not healthy by the time");

    let (_, ended) = step(
        r#"
run = "echo never"
[steps.it.services.db]
image = "debian:bookworm-slim"
command = ["no-such-server"]
"#,
    );
    ended.expect(4).says("service db").says("no-such-server");
}

#[test]
fn a_step_beside_a_dead_service_names_it() {
    if !engine("kinds::services::a_step_beside_a_dead_service_names_it") {
        return;
    }
    let lines = r#"
run = "sleep 2; echo over; exit CODE"
[steps.it.services.db]
image = "debian:bookworm-slim"
command = ["sh", "-c", "sleep 0.5; echo out of cheese; exit 7"]
healthcheck = { test = "true", interval = "50ms" }
"#;
    let (_, ended) = step(&lines.replace("CODE", "1"));
    ended
        .expect(4)
        .says("service db exited with code 7 while the step ran, which then ended with 1")
        .says("out of cheese");
    // One that crashed is no service to have passed beside; one that was asked to end is.
    let (project, ended) = step(&lines.replace("CODE", "0"));
    ended.expect(4).says("which then ended with 0");
    assert!(log(&project).contains("over"));
    let (_, ended) = step(&lines.replace("CODE", "0").replace("exit 7", "exit 0"));
    ended
        .expect(0)
        .says("service db exited with code 0 while the step ran");
}

#[test]
fn what_it_depends_on_comes_first() {
    if !engine("kinds::services::what_it_depends_on_comes_first") {
        return;
    }
    let (project, ended) = step(
        r#"
run = "true"
[steps.it.services.app]
image = "redis:7-bookworm"
command = ["sh", "-c", "redis-cli -h db ping; sleep 300"]
depends_on.db.condition = "service_healthy"
[steps.it.services.db]
image = "redis:7-bookworm"
healthcheck.test = "redis-cli ping"
"#,
    );
    ended
        .expect(0)
        .says("service app (redis:7-bookworm) has no health check");
    let said = || log_of(&project, "app");
    assert!(said().is_empty() || said() == "PONG\n", "{}", said());
}

#[test]
fn interrupted_or_killed_while_services_start_or_serve_nothing_remains() {
    if !engine(
        "kinds::services::interrupted_or_killed_while_services_start_or_serve_nothing_remains",
    ) {
        return;
    }
    for (said, test) in [("waiting for db", "exit 1"), ("serving now", "exit 0")] {
        for (signal, code) in [("INT", 130), ("TERM", 143), ("KILL", -1)] {
            let lines = format!(
                r#"
secrets = ["password"]
run = "echo serving now; sleep 300"
[steps.it.services.db]
image = "redis:7-bookworm"
secrets = ["password"]
healthcheck = {{ test = "{test}", interval = "1s", retries = 600 }}
[steps.it.services.cache]
image = "redis:7-bookworm"
healthcheck.test = "redis-cli ping"
"#
            );
            let project = project(&lines);
            let mut running = project.start(&["--progress", "plain", "run"]);
            running.wait_for(said);
            let run = project.runs().pop().unwrap();
            assert!(!left_of(&run).is_empty(), "there is something to leave");
            running.signal(signal);
            let ended = running.end(Duration::from_secs(30)).expect(code);
            if code > 0 {
                assert!(!ended.stderr.contains("not healthy"), "{}", ended.stderr);
            }
            eventually(
                &format!("nothing remains of {said} after {signal}"),
                Duration::from_secs(20),
                || left_of(&run).is_empty(),
            );
        }
    }
}

#[test]
fn the_image_s_own_check_is_as_good() {
    if !engine("kinds::services::the_image_s_own_check_is_as_good") {
        return;
    }
    let pipeline = r#"name = "kind-services"
[steps.server.build]
[steps.it]
image = "debian:bookworm-slim"
source = false
run = "true"
[steps.it.services.server]
image = "${steps.server.image}"
"#;
    // It would first be probed after half a minute.
    let dockerfile = "FROM debian:bookworm-slim\n\
        HEALTHCHECK CMD test -e /tmp/ready\n\
        CMD [\"sh\", \"-c\", \"sleep 1; echo is ready; touch /tmp/ready; sleep 300\"]\n";
    let project = Project::new(pipeline).file("Dockerfile", dockerfile);
    let ended = project.hoist(&["--progress", "plain", "run"]).expect(0);
    assert!(
        !ended.stderr.contains("has no health check"),
        "{}",
        ended.stderr
    );
    assert_eq!(log_of(&project, "server"), "is ready\n");
    let json = project.run_json();
    let steps = json["state"]["steps"].as_array().unwrap();
    let it = steps.iter().find(|step| step["id"] == "it").unwrap();
    assert!(it["duration_ms"].as_u64().unwrap() < 20_000, "{it}");
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}
