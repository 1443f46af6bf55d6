//! What steps pass on to others, over a real engine.

use std::process::Command;

use crate::support::{Project, docker, engine, left_of};

#[test]
fn artifacts_reach_the_next_step_as_its_users_own() {
    if !engine("passing::artifacts_reach_the_next_step_as_its_users_own") {
        return;
    }
    let project = Project::new(
        r#"
name = "passing"
[steps.make]
image = "debian:bookworm-slim"
run = "mkdir -p /out/dist/sub && echo x >/out/dist/sub/x && printf '#!/bin/sh\necho ran' >/out/dist/go && chmod +x /out/dist/go && echo one >/out/note"
artifacts.paths = { dist = "/out/dist/", note = "/out/note" }
[steps.use]
image = "debian:bookworm-slim"
user = "1000:1000"
run = "deep/er/go; cat deep/er/sub/x /opt/note; stat -c %u:%g deep deep/er deep/er/sub/x /opt/note | uniq; touch deep/new deep/er/new; ls -d /opt/*"
[steps.use.inputs]
"deep/er/" = "${steps.make.artifacts.dist}"
"/opt/" = "${steps.make.artifacts.note}"
[steps.locked]
image = "debian:bookworm-slim"
user = "1000:1000"
read_only = true
working_dir = "/srv"
source = false
run = "go/go; touch go/new; cat /etc/note; test -f /etc/passwd; ! touch /new"
[steps.locked.inputs]
"go" = "${steps.make.artifacts.dist}"
"/etc/note" = "${steps.make.artifacts.note}"
"#,
    );
    // Of the project, and left out of the copy: the input alone brings it.
    let project = project
        .file("deep/there", "")
        .file(".dockerignore", "deep\n");
    let ended = project
        .hoist(&["--progress", "plain", "-v", "run"])
        .expect(0);
    let ended = ended
        .says("use    | ran")
        .says("use    | 1000:1000")
        .says("use    | /opt/note")
        .says("locked | ran")
        .says("locked | one")
        .says("use: given dist of make at /workspace/deep/er, blake3:");
    assert_eq!(
        ended.stderr.matches("1000:1000").count(),
        1,
        "{}",
        ended.stderr
    );
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
    let plan = project.hoist(&["plan"]).expect(0).stdout;
    assert!(plan.contains("given note of make at /opt/"), "{plan}");
}

#[test]
fn links_in_an_artifact_are_passed_on_as_what_they_lead_to() {
    if !engine("passing::links_in_an_artifact_are_passed_on_as_what_they_lead_to") {
        return;
    }
    let project = Project::new(
        r#"
name = "passing"
[steps.make]
image = "debian:bookworm-slim"
run = """
mkdir -p /out/dist/v1 && cd /out/dist
echo code >v1/lib.so.1
ln -s v1/lib.so.1 lib.so
ln -s /out/dist/v1 current
ln v1/lib.so.1 twin
ln -s /etc/passwd passwd
ln -s ../dist itself
ln -s dist /out/latest
ln -s dist/v1/lib.so.1 /out/app
ln -s app /out/app-2
"""
artifacts.paths = { dist = "/out/dist/", latest = "/out/latest", app = "/out/app-2" }
[steps.use]
image = "debian:bookworm-slim"
run = """
find in latest bin -type l | wc -l
cat in/lib.so in/current/lib.so.1 in/twin latest/lib.so latest/current/lib.so.1 bin/app-2 | uniq -c
ls in
"""
[steps.use.inputs]
"in/" = "${steps.make.artifacts.dist}"
"latest/" = "${steps.make.artifacts.latest}"
"bin/" = "${steps.make.artifacts.app}"
"#,
    );
    let ended = project
        .hoist(&["--progress", "plain", "run"])
        .expect(0)
        .says("`passwd` is a link that leads out, to /etc/passwd")
        .says("`itself` is a link to a folder that it lies in");
    let log = project.hoist(&["logs", "use"]).expect(0).stdout;
    let said: Vec<&str> = log.split_whitespace().collect();
    let expected = ["0", "6", "code", "current", "lib.so", "twin", "v1"];
    assert_eq!(said, expected, "{}", ended.stderr);
    let run = project.runs().pop().unwrap();
    let kept = project.path().join(format!(".hoist/runs/{run}/artifacts"));
    let links = Command::new("find").arg(kept).args(["-type", "l"]).output();
    assert_eq!(links.unwrap().stdout, b"", "none is made here");
    assert_eq!(left_of(&run), "");
}

#[test]
fn an_artifact_over_its_bound_fails_the_step_and_is_passed_on_to_none() {
    if !engine("passing::an_artifact_over_its_bound_fails_the_step_and_is_passed_on_to_none") {
        return;
    }
    let project = Project::new(
        r#"
name = "passing"
[steps.make]
image = "debian:bookworm-slim"
run = """
mkdir -p /out/dist /reports
echo small >/out/dist/a
truncate -s 9g /out/dist/b
echo '<testsuite name="s"><testcase name="adds up" time="1"/></testsuite>' >/reports/a.xml
"""
artifacts.paths = { dist = "/out/dist/" }
artifacts.reports.junit = ["/reports/*.xml"]
[steps.use]
image = "debian:bookworm-slim"
run = "echo started"
inputs = { "dist/" = "${steps.make.artifacts.dist}" }
"#,
    );
    let ended = project
        .hoist(&["--progress", "plain", "run"])
        .expect(2)
        .says("the artifact `dist` is too large to be kept")
        .says("with `dist/b` (9 GiB) it is over 8 GiB")
        .says("1 test passed")
        .says("use  | ○ skipped: needs make");
    assert!(!ended.stderr.contains("use  | started"), "{}", ended.stderr);
    let run = project.runs().pop().unwrap();
    let kept = format!(".hoist/runs/{run}/artifacts/make/dist");
    assert!(!project.path().join(kept).exists());
    assert_eq!(left_of(&run), "");
}

#[test]
fn an_artifact_that_was_not_left_fails_the_step_that_needs_it() {
    if !engine("passing::an_artifact_that_was_not_left_fails_the_step_that_needs_it") {
        return;
    }
    let project = Project::new(
        r#"
name = "passing"
[steps.make]
image = "debian:bookworm-slim"
run = "true"
artifacts.paths = { dist = "/out/dist/" }
[steps.use]
image = "debian:bookworm-slim"
run = "echo started"
inputs = { "dist/" = "${steps.make.artifacts.dist}" }
"#,
    );
    let ended = project.hoist(&["--progress", "plain", "run"]).expect(2);
    let ended = ended
        .says("the artifact `dist` is missing")
        .says("there is no artifact `dist` of the step `make`");
    assert!(!ended.stderr.contains("use  | started"), "{}", ended.stderr);
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}

#[test]
fn outputs_are_read_by_steps_builds_and_services_and_hold_no_secret() {
    if !engine("passing::outputs_are_read_by_steps_builds_and_services_and_hold_no_secret") {
        return;
    }
    let project = Project::new(
        r#"
name = "passing"
[secrets]
token = { environment = "TOKEN" }
[steps.make]
image = "debian:bookworm-slim"
secrets = ["token"]
read_only = true
run = "{ echo VERSION=0.9; echo VERSION=1.2; echo \"LEAK=$(cat /run/secrets/token)\"; echo nothing; } >/out/list"
outputs = "/out/list"
[steps.image.build]
dockerfile_inline = """
FROM debian:bookworm-slim
ARG VERSION
RUN echo $VERSION >/version
"""
args = { VERSION = "${steps.make.outputs.VERSION}" }
[steps.use]
image = "${steps.image.image}"
run = "cat /version; echo \"leaked $LEAK\"; bash -c 'cat </dev/tcp/said/80' || sleep 1"
environment = { LEAK = "v${steps.make.outputs.VERSION} ${steps.make.outputs.LEAK}" }
[steps.use.services.said]
image = "debian:bookworm-slim"
environment = { VERSION = "${steps.make.outputs.VERSION}" }
command = ["sh", "-c", "echo service $VERSION; sleep 60"]
[steps.wrong]
image = "debian:bookworm-slim"
run = "echo started"
environment = { V = "${steps.make.outputs.VERSIO}" }
"#,
    );
    let project = project.variable("TOKEN", "a-token-for-tests");
    let ended = project
        .hoist(&["--progress", "plain", "-v", "run"])
        .expect(2);
    let ended = ended
        .says("use   | 1.2")
        .says("use   | leaked v1.2 ***")
        .says("the output `LEAK` held a secret")
        .says("some lines of /out/list are no outputs: line 4: it has no `=`")
        .says("make: output VERSION=1.2")
        .says("the step `make` left no output `VERSIO`")
        .says("did you mean `VERSION`?");
    assert!(
        !ended.stderr.contains("wrong | started"),
        "{}",
        ended.stderr
    );
    let log = project.hoist(&["logs", "use", "--service", "said"]);
    let log = log.expect(0).stdout;
    assert!(log.contains("service 1.2"), "{log}");
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}

#[test]
fn caches_are_kept_by_their_key_and_are_their_users() {
    if !engine("passing::caches_are_kept_by_their_key_and_are_their_users") {
        return;
    }
    let project = Project::new(
        r#"
name = "passing-caches"
[volumes.pip]
cache.key.files = ["lock"]
[steps.unit]
image = "debian:bookworm-slim"
user = "1000:1000"
run = "echo before: $(ls /var/cache/mine); touch /var/cache/mine/$(cat lock)"
volumes = ["pip:/var/cache/mine", "all:/var/all"]
[steps.locked]
needs = ["unit"]
image = "debian:bookworm-slim"
user = "1000:1000"
read_only = true
source = false
run = "echo there: $(ls /c); touch /c/locked /all/x; true"
volumes = ["pip:/c", "all:/all"]
[steps.reader]
needs = ["locked"]
image = "debian:bookworm-slim"
run = "ls /seen; ! touch /seen/y"
volumes = ["all:/seen:ro"]
"#,
    );
    let project = project.file("lock", "one");
    let volumes = || {
        docker(&[
            "volume",
            "ls",
            "-q",
            "--filter",
            "label=dev.hoist.project=passing-caches",
        ])
    };
    let remove = || {
        for volume in volumes().split_whitespace() {
            docker(&["volume", "rm", volume]);
        }
    };
    remove();
    let run = || project.hoist(&["--progress", "plain", "run"]).expect(0);
    run()
        .says("unit   | before:\n")
        .says("locked | there: one")
        .says("reader | x");
    run().says("unit   | before: locked one");
    project.change("lock", "one", "two");
    run()
        .says("unit   | before:\n")
        .says("starting an empty cache pip");
    project.change("lock", "two", "one");
    run().says("unit   | before: locked one");
    let names = volumes();
    let of_pip = names
        .lines()
        .filter(|name| name.starts_with("hoist-cache.passing-caches.pip."));
    assert_eq!(of_pip.count(), 2, "{names}");
    assert!(names.contains("hoist-cache.passing-caches.all"), "{names}");
    for run in project.runs() {
        assert_eq!(left_of(&run), "");
    }
    let plan = project.hoist(&["plan"]).expect(0).stdout;
    assert!(
        plan.contains("cache pip at /var/cache/mine, keyed by lock"),
        "{plan}"
    );
    assert!(plan.contains("! volumes = [\"all:/seen:ro\"]"), "{plan}");
    project
        .hoist(&["gc", "--keep", "0", "--max-age", "0s"])
        .expect(0);
    assert_eq!(volumes(), "");
    remove();
}
