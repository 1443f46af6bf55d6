//! The examples, as their lessons tell them.

use std::io::{Read, Write};
use std::time::Duration;

use crate::load::Load;
use crate::support::{Project, docker, engine, free_port, left_of, skip};

#[test]
fn hello_says_hello() {
    if !engine("examples::hello_says_hello") {
        return;
    }
    let project = Project::example("hello");
    project.hoist(&["run"]).expect(0).says("PASSED");
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}

/// The lesson of examples/attempts: tried again until its data is there.
#[test]
fn attempts_are_made_until_the_data_is_there() {
    if !engine("examples::attempts_are_made_until_the_data_is_there") {
        return;
    }
    let project = Project::example("attempts");
    let ended = project.hoist(&["--progress", "plain", "run"]).expect(1);
    let ended = ended
        .says("unit   | attempt 2: exit 75, trying again in 2.0s")
        .says("lint   | ! exit 2 (allowed)")
        .says("report | the tests are over");
    assert!(ended.last().ends_with(": unit"), "{}", ended.stderr);
    let project = project.file("ready", "");
    project.hoist(&["run"]).expect(0).says("PASSED");
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}

/// The lesson of examples/stops: out of time, its results kept, and cleared up.
#[test]
fn a_step_out_of_time_leaves_its_results() {
    if !engine("examples::a_step_out_of_time_leaves_its_results") {
        return;
    }
    let project = Project::example("stops");
    let ended = project.hoist(&["--progress", "plain", "run", "--fail-fast"]);
    let ended = ended.expect(1).says("requests").says("tidy | cleared up");
    assert!(ended.last().ends_with(": load"), "{}", ended.stderr);
    let run = project.runs().pop().unwrap();
    let results = project.read(&format!(
        ".hoist/runs/{run}/artifacts/load/results/results.txt"
    ));
    assert!(results.ends_with(" requests\n"), "{results}");
    assert_eq!(left_of(&run), "");
}

/// The lesson of examples/caching: what passed is not run again until something changes.
#[test]
fn what_passed_is_not_run_again() {
    if !engine("examples::what_passed_is_not_run_again") {
        return;
    }
    let project = Project::example("caching");
    project.hoist(&["run"]).expect(0).says("PASSED");
    let ended = project.hoist(&["run"]).expect(0);
    ended.says("report | ✓ cached, from run").says("(1 cached)");
    let run = project.runs().pop().unwrap();
    let report = project.read(&format!(
        ".hoist/runs/{run}/artifacts/report/report/report.txt"
    ));
    assert_eq!(report, "prices: 7\n");
    let log = project.hoist(&["logs", "report"]).expect(0).stdout;
    assert_eq!(log, "adding up\n");
    let project = project.file("prices.txt", "apple 3\npear 5\n");
    project.hoist(&["run"]).expect(0).says("2 steps\n");
    let why = project.hoist(&["explain", "report"]).expect(0).stdout;
    assert!(why.contains("changed  prices.txt"), "{why}");
    let why = project.hoist(&["explain", "clock"]).expect(0).stdout;
    assert!(why.contains("`cache = false`"), "{why}");
    project
        .hoist(&["run", "--no-cache"])
        .expect(0)
        .says("2 steps\n");
}

/// The lesson of examples/again: what failed and what hangs from it, and a cache by its key.
#[test]
fn only_what_failed_is_done_again_and_what_was_fetched_is_there() {
    if !engine("examples::only_what_failed_is_done_again_and_what_was_fetched_is_there") {
        return;
    }
    let remove = || {
        let filter = "label=dev.hoist.project=again";
        for volume in docker(&["volume", "ls", "--quiet", "--filter", filter]).lines() {
            docker(&["volume", "rm", volume]);
        }
    };
    remove();
    let project = Project::example("again");
    let run = |code| project.hoist(&["--progress", "plain", "run"]).expect(code);
    run(1).says("fetching wheel").says("not ready yet");
    std::fs::write(project.path().join("ready"), "").unwrap();
    let again = project.hoist(&["--progress", "plain", "rerun", "--failed"]);
    let again = again.expect(0).says("polished").says("(1 cached)");
    assert!(!again.stderr.contains("fetching"), "{}", again.stderr);
    let listed = project.hoist(&["runs"]).expect(0).stdout;
    assert!(listed.contains("again of"), "{listed}");
    let from = project.hoist(&["--progress", "plain", "run", "--from", "polish"]);
    let from = from.expect(0).says("polish");
    assert!(!from.stderr.contains("assemble"), "{}", from.stderr);
    run(0).says("wheel is there");
    std::fs::write(project.path().join("parts.lock"), "wheel\naxle\n").unwrap();
    run(0).says("fetching wheel").says("fetching axle");
    for run in project.runs() {
        assert_eq!(left_of(&run), "");
    }
    remove();
}

/// The lesson of examples/database: ready before the test, and gone afterwards.
#[test]
fn a_schema_is_tried_in_a_database_beside_the_test() {
    if !engine("examples::a_schema_is_tried_in_a_database_beside_the_test") {
        return;
    }
    let project = Project::example("database").variable("DB_PASSWORD", "a-password-for-tests");
    let run = |code| {
        let ended = project.hoist(&["--progress", "plain", "run"]);
        ended.expect(code)
    };
    let ended = run(0);
    for zone in ["UTC", "Pacific/Auckland"] {
        let cell = format!("schema[zone={zone}]");
        let passed = format!("{cell} | ✓ passed, 5 tests passed");
        let said = ended
            .stderr
            .lines()
            .map(|line| line.replace("         |", " |"));
        let said: Vec<String> = said.collect();
        assert!(
            said.iter().any(|line| line.starts_with(&passed)),
            "{said:?}"
        );
        let log = project.hoist(&["logs", &cell, "--service", "db"]);
        let log = log.expect(0).stdout;
        assert!(log.contains("ready to accept connections"), "{log}");
    }
    // Each cell has the database of its zone.
    project.change("schema.sql", "(at AT TIME ZONE 'UTC')", "at");
    let ended = run(1).says("a day ends at midnight UTC");
    let (last, utc) = (ended.last(), "schema[zone=UTC]");
    assert!(
        last.contains(": schema[zone=Pacific/Auckland]: ") && !last.contains(utc),
        "{}",
        ended.stderr
    );
    project.change("schema.sql", "at::date", "(at AT TIME ZONE 'UTC')::date");
    project.change("schema.sql", "CHECK (stock >= 0)", "");
    let ended = project.hoist(&["run"]).expect(1);
    ended.says("more than there is cannot be bought");
    project.change(
        "pipeline.toml",
        "pg_isready -h 127.0.0.1 -U postgres -d shop",
        "false",
    );
    project.change(
        "pipeline.toml",
        "tmpfs =",
        "healthcheck.retries = 2\ntmpfs =",
    );
    let ended = project.hoist(&["run"]).expect(4);
    ended.says("service db is not healthy");
    for run in project.runs() {
        assert_eq!(left_of(&run), "");
    }
}

/// The lesson of examples/results: two formats, a broken test, its past.
#[test]
fn results_are_read_listed_and_followed() {
    if !engine("examples::results_are_read_listed_and_followed") {
        return;
    }
    let project = Project::example("results");
    let ended = project.hoist(&["run"]).expect(0);
    assert!(ended.last().starts_with("PASSED"), "{}", ended.stderr);
    let listed = project.hoist(&["tests"]).expect(0).stdout;
    assert!(listed.contains("8 tests: 6 passed, 2 skipped"), "{listed}");
    project.change("slug.py", "SEPARATOR = \"-\"", "SEPARATOR = \"_\"");
    let ended = project.hoist(&["run"]).expect(1);
    ended.says("shell::words are joined by a hyphen");
    let failed = project.hoist(&["tests", "--failed"]).expect(0).stdout;
    for text in [
        "8 tests: 3 failed, 3 passed, 2 skipped",
        "test_slug.Slug::test_words_are_joined",
        "/workspace/tests/test_slug.py:9",
        "got: '_', expected: '-'",
    ] {
        assert!(failed.contains(text), "{text} is not in\n{failed}");
    }
    let past = project
        .hoist(&["tests", "--history", "words_are_joined"])
        .expect(0)
        .stdout;
    assert!(past.contains("failed in 1 of 2 runs"), "{past}");
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}

/// The shop under a name and a port of its own, so that it meets no other.
pub(crate) fn shop(name: &str, port: u16) -> Project {
    let project = Project::example("shop").variable("SHOP_DB_PASSWORD", "a-password-for-tests");
    project.change(
        "pipeline.toml",
        "name = \"shop\"",
        &format!("name = {name:?}"),
    );
    project.change(
        "pipeline.toml",
        "127.0.0.1:8080:",
        &format!("127.0.0.1:{port}:"),
    );
    let tag = format!("{name}:1");
    project.change("pipeline.toml", "shop:${git.short_sha:-dev}", &tag);
    project
}

/// What the service answers at a path: the status line and all that follows.
fn get(port: u16, path: &str) -> String {
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else {
        return String::new();
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let _ = write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn answers(port: u16) -> bool {
    get(port, "/healthz").contains(" 200 ")
}

fn web() -> String {
    docker(&[
        "ps",
        "-q",
        "--no-trunc",
        "--filter",
        "label=dev.hoist.project=shop-test",
        "--filter",
        "label=dev.hoist.service=web",
    ])
}

/// The whole lesson of examples/shop, on one deployed service.
#[test]
fn shop_goes_from_source_to_running_and_stays_up_through_every_failure() {
    let test = "examples::shop_goes_from_source_to_running_and_stays_up_through_every_failure";
    let named = crate::support::variable("HOIST_TOOLS_TRIVY").is_some();
    if !engine(test) || !(named || skip(test, "HOIST_TOOLS_TRIVY is not set")) {
        return;
    }
    let port = free_port();
    let project = shop("shop-test", port);
    project.hoist(&["run"]).expect(0).says("PASSED");
    let sarif = project.read("reports/scan.sarif");
    assert!(sarif.contains("\"version\": \"2.1.0\""), "{sarif}");
    assert!(answers(port), "{}", get(port, "/healthz"));
    let first = web();
    let ps = project.hoist(&["ps", "staging"]).expect(0).stdout;
    assert!(
        ps.contains("web") && ps.contains("db") && ps.contains("healthy"),
        "{ps}"
    );
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");

    // Nothing changed: nothing is started anew.
    project.hoist(&["run"]).expect(0).says("unchanged");
    assert_eq!(web(), first);

    // A broken test: exit 1, its name last, and the service untouched.
    let test_file = project.read("tests/test_store.py");
    // Another one each time, so that no builder has seen it before.
    let new = project.runs().pop().unwrap();
    let broken = format!("{test_file}\n# {new}\n\ndef test_that_is_broken():\n    assert 1 == 2\n");
    let project = project.file("tests/test_store.py", broken);
    let ended = project.hoist(&["run"]).expect(1);
    assert!(
        ended.last().ends_with("test_that_is_broken"),
        "{}",
        ended.stderr
    );
    assert!(answers(port) && web() == first);
    // No instruction of the other image's stages names that file.
    let why = |step: &str| project.hoist(&["explain", step]).expect(0).stdout;
    let (test_image, image) = (why("test-image"), why("image"));
    assert!(image.contains("not built"), "{image}");
    let copied = "the first instruction that was not cached: [test";
    assert!(
        test_image.contains(copied) && test_image.contains("changed  tests/test_store.py"),
        "{test_image}"
    );
    let sent = project.hoist(&["context", "ls", "image"]).expect(0).stdout;
    assert!(
        sent.contains("shop/store.py") && !sent.contains("README.md"),
        "{sent}"
    );
    let project = project.file("tests/test_store.py", test_file);

    // A planted key: exit 3.
    let word = "RSA PRIVATE KEY";
    let body = "MIIEpAIBAAKCAQEA".repeat(4);
    let key = format!("-----BEGIN {word}-----\n{body}\n{body}\n{body}\n-----END {word}-----\n");
    let project = project.file("shop/deploy.pem", key);
    project.hoist(&["run"]).expect(3).says("deploy.pem");
    let sarif = project.read("reports/scan.sarif");
    assert!(
        sarif.contains("/deploy.pem\"") && !sarif.contains(&body),
        "{sarif}"
    );
    assert!(answers(port) && web() == first);
    std::fs::remove_file(project.path().join("shop/deploy.pem")).unwrap();

    // A health check that never passes: exit 5, and the release before answers.
    project.change("pipeline.toml", "/healthz'", "/no-such-page'");
    project.hoist(&["run"]).expect(5).says("serves again");
    assert!(answers(port) && web() == first, "{}", get(port, "/healthz"));
    project.change("pipeline.toml", "/no-such-page'", "/healthz'");

    // Another version takes over without a gap, after its migration, and the one before comes back.
    let load = Load::start(
        port,
        "/products",
        4,
        Duration::from_millis(20),
        100_000,
        Duration::from_secs(300),
    );
    project.change("shop/catalogue.py", "Wall clock, oak", "Wall clock, ash");
    project.hoist(&["run"]).expect(0).says("without an outage");
    assert!(get(port, "/products").contains("Wall clock, ash"));
    project
        .hoist(&["rollback", "staging"])
        .expect(0)
        .says("migrate");
    assert!(get(port, "/products").contains("Wall clock, oak"));
    let tally = load.stop();
    assert!(tally.lost.is_empty(), "{:?}", tally.lost);

    project.hoist(&["down", "staging", "--volumes"]).expect(0);
    let filter = "label=dev.hoist.project=shop-test";
    assert_eq!(docker(&["ps", "-aq", "--filter", filter]), "");
    assert_eq!(docker(&["volume", "ls", "-q", "--filter", filter]), "");
    assert_eq!(docker(&["network", "ls", "-q", "--filter", filter]), "");
}

/// The lesson of examples/artifacts: files of one step in the containers of two others.
#[test]
fn artifacts_are_handed_on() {
    if !engine("examples::artifacts_are_handed_on") {
        return;
    }
    let project = Project::example("artifacts");
    let ended = project.hoist(&["--progress", "plain", "run"]).expect(0);
    ended.says("steps.html: OK").says("order.html is there");
    project.change("make-site.sh", "sha256sum", "echo");
    project.change("make-site.sh", ">../checksums.txt", "");
    let ended = project.hoist(&["run"]).expect(2);
    ended.says("there is no artifact `checksums` of the step `site`");
    for run in project.runs() {
        assert_eq!(left_of(&run), "");
    }
}

/// An example with a deploy, under a name and a port of its own.
fn deployed_example(example: &str, port: u16) -> Project {
    let project = Project::example(example);
    let name = format!("name = \"{example}\"");
    project.change(
        "pipeline.toml",
        &name,
        &format!("name = \"{example}-test\""),
    );
    let published = match example {
        "rolling" => "8081",
        _ => "8082",
    };
    let own = format!("127.0.0.1:{port}:8000");
    let published = format!("127.0.0.1:{published}:8000");
    project.change("pipeline.toml", &published, &own);
    project
}

/// The lesson of examples/rolling: nobody goes without an answer, and a bad release goes back.
#[test]
fn containers_are_replaced_one_at_a_time() {
    if !engine("examples::containers_are_replaced_one_at_a_time") {
        return;
    }
    let port = free_port();
    let project = deployed_example("rolling", port);
    project.hoist(&["run"]).expect(0);
    let load = Load::start(
        port,
        "/",
        4,
        Duration::from_millis(20),
        100_000,
        Duration::from_secs(300),
    );
    project.change("pipeline.toml", "hello", "good day");
    project.hoist(&["run"]).expect(0).says("without an outage");
    project.change(
        "pipeline.toml",
        "GREETING = \"good day\"",
        "GREETING = \"good night\", SICK = \"yes\"",
    );
    project
        .hoist(&["run"])
        .expect(5)
        .says("release 2 serves again");
    project.hoist(&["scale", "local", "greeter=5"]).expect(0);
    project
        .hoist(&["rollback", "local"])
        .expect(0)
        .says("comes back");
    let tally = load.stop();
    let shown = project.hoist(&["releases", "local"]).expect(0).stdout;
    project.hoist(&["releases", "local", "--verify"]).expect(0);
    project.hoist(&["down", "local", "--volumes"]).expect(0);
    assert!(tally.lost.is_empty(), "{:?}", tally.lost);
    let answers: Vec<&str> = tally.answers.keys().map(|answer| answer.trim()).collect();
    assert_eq!(answers, ["good day", "hello"]);
    assert!(shown.contains("rollback to 1"), "{shown}");
}

/// The lesson of examples/canary: a release that fails more than the one before does not stay.
#[test]
fn a_release_has_to_earn_its_traffic() {
    if !engine("examples::a_release_has_to_earn_its_traffic") {
        return;
    }
    let port = free_port();
    let project = deployed_example("canary", port);
    project.change("pipeline.toml", "step = \"10s\"", "step = \"3s\"");
    // A machine may be slow.
    project.change("pipeline.toml", "min_requests = 50", "min_requests = 20");
    project.hoist(&["run"]).expect(0);
    let load = || {
        let pause = Duration::from_millis(5);
        Load::start(port, "/", 8, pause, 100_000, Duration::from_secs(300))
    };
    let going = load();
    project.change("pipeline.toml", "hello", "good day");
    project
        .hoist(&["run"])
        .expect(0)
        .says("50 % of the traffic");
    let tally = going.stop();
    assert!(tally.lost.is_empty(), "{:?}", tally.lost);
    let going = load();
    project.change(
        "pipeline.toml",
        "GREETING = \"good day\"",
        "GREETING = \"good night\", FAILS = \"0.2\"",
    );
    let ended = project.hoist(&["run"]);
    going.stop();
    let quiet = project.hoist(&["run"]);
    project.hoist(&["down", "local", "--volumes"]).expect(0);
    ended.expect(5).says("is worse");
    quiet.expect(5).says("are needed to judge it");
}
