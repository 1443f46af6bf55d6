//! The step kind `run`: a command in a sealed container.

use crate::support::{Ended, Project, engine, left_of};

/// Runs a pipeline of one step `it` with these lines, and looks that nothing of it remains.
#[track_caller]
fn step(lines: &str) -> (Project, Ended) {
    let project = Project::new(&format!(
        "name = \"kind-run\"\n[steps.it]\nimage = \"debian:bookworm-slim\"\n{lines}\n"
    ));
    let ended = project.hoist(&["run"]);
    let run = project.runs().pop().expect("there is a run");
    assert_eq!(left_of(&run), "", "{}", ended.stderr);
    (project, ended)
}

/// The step's log in the run folder.
fn log(project: &Project) -> String {
    project.hoist(&["logs", "it"]).expect(0).stdout
}

#[test]
fn exit_codes_are_reasons() {
    if !engine("kinds::run::exit_codes_are_reasons") {
        return;
    }
    step("run = \"exit 0\"").1.expect(0).says("PASSED");
    step("run = \"exit 3\"").1.expect(1).says("exit 3");
    step("run = [\"/no/such\"]").1.expect(1).says("not found");
    step("run = [\"/etc/passwd\"]")
        .1
        .expect(1)
        .says("cannot be executed");
    step("run = \"kill -9 $$\"").1.expect(1).says("exit 137");
}

#[test]
fn a_string_stops_at_the_first_failure_and_an_array_has_no_shell() {
    if !engine("kinds::run::a_string_stops_at_the_first_failure_and_an_array_has_no_shell") {
        return;
    }
    let (project, ended) = step("run = '''\nfalse\necho reached\n'''");
    ended.expect(1);
    assert!(!log(&project).contains("reached"));
    let (project, ended) = step("run = [\"echo\", \"$HOME;\", \"a b\"]");
    ended.expect(0);
    assert_eq!(log(&project), "$HOME; a b\n");
}

#[test]
fn it_is_sealed() {
    if !engine("kinds::run::it_is_sealed") {
        return;
    }
    let script = r#"run = '''
grep -E "^(CapEff|CapBnd|NoNewPrivs|Seccomp):" /proc/self/status
ls /sys/class/net
cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null || true
cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true
echo "CI=$CI"
test -S /var/run/docker.sock && echo socket || true
'''"#;
    let (project, ended) = step(script);
    ended.expect(0);
    let log = log(&project);
    let words: Vec<_> = log.split_whitespace().collect();
    let value = |key: &str| {
        let at = words
            .iter()
            .position(|word| *word == key)
            .unwrap_or_else(|| panic!("{key}: {log}"));
        words[at + 1]
    };
    assert_eq!(value("CapEff:"), "0000000000000000");
    assert_eq!(value("CapBnd:"), "0000000000000000");
    assert_eq!(value("NoNewPrivs:"), "1");
    assert_eq!(value("Seccomp:"), "2");
    assert!(words.contains(&"lo") && !words.contains(&"eth0"), "{log}");
    assert!(
        words.contains(&"512") && words.contains(&"1073741824"),
        "{log}"
    );
    assert!(
        words.contains(&"CI=true") && !words.contains(&"socket"),
        "{log}"
    );
}

#[test]
fn what_the_file_relaxes_holds_and_shows() {
    if !engine("kinds::run::what_the_file_relaxes_holds_and_shows") {
        return;
    }
    let (project, ended) = step(
        r#"
network = "bridge"
cap_add = ["NET_RAW"]
user = "1234:1235"
working_dir = "/tmp"
environment = { GREETING = "hi there" }
tmpfs = ["/scratch:size=1m"]
read_only = true
source = false
resources.limits = { memory = "64m", pids = 40, cpus = "0.5" }
run = '''
id -u; id -g; pwd; echo "$GREETING"
ls /sys/class/net
(echo x > /nope) 2>/dev/null && echo writable || echo readonly
df -k /scratch | tail -1
'''"#,
    );
    ended.expect(0);
    let log = log(&project);
    assert!(log.starts_with("1234\n1235\n/tmp\nhi there\n"), "{log}");
    assert!(
        log.contains("eth0") && log.contains("readonly") && log.contains("1024"),
        "{log}"
    );
    let plan = project.hoist(&["plan"]).expect(0).stdout;
    assert!(
        plan.contains("bridge") && plan.contains("NET_RAW"),
        "{plan}"
    );
}

#[test]
fn the_project_is_there_as_a_copy_without_what_is_ignored() {
    if !engine("kinds::run::the_project_is_there_as_a_copy_without_what_is_ignored") {
        return;
    }
    for lines in ["", "user = \"1234\"\n", "read_only = true\n"] {
        let pipeline = format!(
            "name = \"kind-run\"\n[secrets]\nkey = {{ file = \"secrets/key\" }}\n\
             [steps.it]\nimage = \"debian:bookworm-slim\"\nsecrets = [\"key\"]\n{lines}\
             run = \"pwd; find . | sort; echo changed > made-here; cat src/a.txt; cat /run/secrets/key\"\n"
        );
        let project = Project::new(&pipeline)
            .file("src/a.txt", "content\n")
            .file("node_modules/x/y.js", "")
            .file(".dockerignore", "node_modules\n")
            .file("secrets/key", "a-secret-of-some-length\n");
        project.hoist(&["run"]).expect(0);
        let log = log(&project);
        assert!(log.starts_with("/workspace\n"), "{log}");
        assert!(
            log.contains("./src/a.txt") && log.contains("\ncontent\n"),
            "{log}"
        );
        for absent in ["node_modules", ".hoist", "secrets/key", "a-secret"] {
            assert!(!log.contains(absent), "{absent} is there: {log}");
        }
        assert!(log.ends_with("***"), "the secret is there, masked: {log}");
        assert!(
            !project.path().join("made-here").exists(),
            "the host is not written to"
        );
        assert_eq!(left_of(&project.runs().pop().unwrap()), "");
    }
}

#[test]
fn output_is_whole_and_in_order() {
    if !engine("kinds::run::output_is_whole_and_in_order") {
        return;
    }
    let (project, ended) = step("run = \"seq 1 400000\"");
    ended.expect(0);
    let expected: String = (1..=400_000).map(|n| format!("{n}\n")).collect();
    assert!(log(&project) == expected, "the log differs");
    let shown = project
        .hoist(&["--progress", "plain", "run", "--no-cache"])
        .expect(0)
        .stderr;
    let shown: Vec<_> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("it | "))
        .collect();
    let numbers = shown.iter().filter_map(|line| line.parse::<u32>().ok());
    assert!(numbers.eq(1..=400_000), "the lines shown differ");
}

#[test]
fn out_of_memory_is_told_even_when_the_exit_code_is_good() {
    if !engine("kinds::run::out_of_memory_is_told_even_when_the_exit_code_is_good") {
        return;
    }
    let limits = "resources.limits = { memory = \"32m\" }\n";
    let eat = "tail -c 100m /dev/zero | tail -n 1 > /dev/null";
    // Under load engines now and then do not hear of it from the kernel; hoist tells when they do.
    let told = |run: &str| {
        (0..5).any(|_| {
            let (_, ended) = step(&format!("{limits}run = \"{run}\""));
            ended.code == 1 && ended.stderr.contains("out of memory")
        })
    };
    assert!(told(eat));
    assert!(told(&format!("({eat}) || sleep 0.3; exit 0")));
}

#[test]
fn a_step_that_takes_too_long_is_stopped() {
    if !engine("kinds::run::a_step_that_takes_too_long_is_stopped") {
        return;
    }
    let (_, ended) = step("timeout = \"1s\"\nrun = \"sleep 60\"");
    ended.expect(1).says("timed out after 1.0s");
    let project = Project::new(
        "name = \"kind-run\"\n[steps.it]\nimage = \"debian:bookworm-slim\"\nrun = \"sleep 60\"\n",
    );
    let ended = project.hoist(&["run", "--timeout", "2s"]).expect(124);
    assert!(ended.last().starts_with("TIMED OUT"), "{}", ended.stderr);
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}

#[test]
fn artifacts_and_tests_come_home_even_from_a_failed_step() {
    if !engine("kinds::run::artifacts_and_tests_come_home_even_from_a_failed_step") {
        return;
    }
    let (project, ended) = step(
        r#"
source = false
artifacts.paths = { out = "/out/", one = "/out/a.txt" }
artifacts.reports.junit = ["/out/*.xml"]
run = '''
mkdir -p /out/deep
echo a > /out/a.txt
echo b > /out/deep/b.txt
ln -s /etc/passwd /out/link
mkfifo /out/pipe
cat > /out/unit.xml <<END
<testsuite name="s" tests="2"><testcase classname="c" name="good" time="0.1"/>
<testcase classname="c" name="bad" time="0.2"><failure message="1 is not 2">c.py:7</failure></testcase></testsuite>
END
exit 1
'''"#,
    );
    let ended = ended
        .expect(1)
        .says("1 of 2 tests failed")
        .says("1 is not 2");
    assert!(
        ended.last().ends_with("it: c::bad"),
        "the failing test comes last: {}",
        ended.stderr
    );
    let json = project.run_json();
    let step = &json["state"]["steps"][0];
    assert_eq!(step["tests"].as_array().unwrap().len(), 2, "{step}");
    let artifacts = step["artifacts"].as_array().unwrap();
    let out = artifacts
        .iter()
        .find(|artifact| artifact["name"] == "out")
        .unwrap();
    let folder = project
        .path()
        .join(".hoist/runs")
        .join(project.runs().pop().unwrap());
    let out = folder.join(out["path"].as_str().unwrap());
    let found = std::process::Command::new("find")
        .arg(&out)
        .args(["-type", "f"])
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(
        found.contains("a.txt") && found.contains("deep/b.txt"),
        "{found}"
    );
    assert!(
        !found.contains("link") && !found.contains("pipe"),
        "{found}"
    );
}

#[test]
fn bytes_of_every_sort_reach_the_log_and_no_terminal() {
    if !engine("kinds::run::bytes_of_every_sort_reach_the_log_and_no_terminal") {
        return;
    }
    let (project, ended) = step(r#"run = "printf '\\033]0;owned\\007\\033[2J\\377\\000ok\\n'""#);
    let ended = ended.expect(0);
    assert!(
        !ended.stderr.contains('\u{1b}') && !ended.stderr.contains('\u{7}'),
        "{}",
        ended.stderr
    );
    let run = project.runs().pop().unwrap();
    let log = std::fs::read(
        project
            .path()
            .join(format!(".hoist/runs/{run}/logs/it.log")),
    )
    .unwrap();
    assert_eq!(log, b"\x1b]0;owned\x07\x1b[2J\xff\x00ok\n");
}

#[test]
fn steps_run_in_the_order_of_their_edges_and_what_needs_a_failed_one_is_skipped() {
    if !engine("kinds::run::steps_run_in_the_order_of_their_edges") {
        return;
    }
    let step = |name: &str, needs: &str, run: &str| {
        format!(
            "[steps.{name}]\nimage = \"debian:bookworm-slim\"\nneeds = [{needs}]\nrun = \"{run}\"\n"
        )
    };
    let pipeline = [
        "name = \"graph\"\n".to_owned(),
        step("a", "", "true"),
        step("b", "\"a\"", "exit 1"),
        step("c", "\"b\"", "true"),
        step("d", "\"c\"", "true"),
        step("e", "\"a\"", "sleep 1"),
    ]
    .concat();
    let project = Project::new(&pipeline);
    let ended = project.hoist(&["run"]).expect(1).says("skipped: needs b");
    assert!(
        ended.last().contains("FAILED") && ended.last().ends_with(": b"),
        "{}",
        ended.stderr
    );
    let json = project.run_json();
    let status = |id: &str| {
        let steps = json["state"]["steps"].as_array().unwrap();
        steps.iter().find(|step| step["id"] == id).unwrap()["status"].to_string()
    };
    assert!(
        status("e").contains("passed"),
        "an independent step goes on: {json}"
    );
    assert!(
        status("d").contains("need_failed") && status("d").contains("\"b\""),
        "{}",
        status("d")
    );
    project.hoist(&["run", "e"]).expect(0).says("2 steps");
    project
        .hoist(&["run", "--fail-fast", "--jobs", "8"])
        .expect(1);
}
