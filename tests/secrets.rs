//! A secret goes where it is asked for and nowhere else.

use crate::support::{Project, base64, docker, engine, eventually, left_of};
use std::time::Duration;

#[test]
fn a_canary_is_found_nowhere() {
    if !engine("secrets::a_canary_is_found_nowhere") {
        return;
    }
    let canary = "canary-4f9a1c77/+with&odd=signs";
    let pipeline = r#"
name = "canary"
[secrets]
canary = { environment = "THE_CANARY" }
[steps.image.build]
[steps.loud]
image = "${steps.image.image}"
secrets = ["canary"]
artifacts.reports.junit = ["/tmp/out/*.xml"]
run = '''
s=$(cat /run/secrets/canary)
echo "plain: $s"
printf %s "$s" | base64
printf 'x%s' "$s" | base64
for c in $(printf %s "$s" | sed 's/./& /g'); do printf %s "$c"; sleep 0.02; done; echo
printf %s "$s" | od -An -tx1 | tr -d ' \n'; echo
mkdir -p /tmp/out
x=$(printf %s "$s" | sed 's/&/\&amp;/')
cat > /tmp/out/a.xml <<END
<testsuite name="s"><testcase name="t" classname="c"><failure message="got $x">boom $x</failure></testcase></testsuite>
END
ls -l /run/secrets/canary
sleep 2
exit 1
'''
[reports]
junit = "reports/junit.xml"
"#;
    let project = Project::new(pipeline)
        .file("Dockerfile", "FROM debian:bookworm-slim\n")
        .variable("THE_CANARY", canary);
    let mut running = project.start(&["--progress", "json", "run"]);
    running.wait_for("/run/secrets/canary");
    let run = project.runs().pop().unwrap();
    let filter = format!("label=dev.hoist.run={run}");
    let ids = docker(&["ps", "-q", "--filter", &filter]);
    assert_eq!(ids.lines().count(), 1, "the step's container runs");
    let mut seen = docker(&["inspect", &ids]);
    let ended = running.end(Duration::from_secs(60)).expect(1);
    let json = project.run_json();
    let steps = json["state"]["steps"].as_array().unwrap();
    let image = steps.iter().find(|step| step["id"] == "image").unwrap();
    seen += &docker(&[
        "history",
        "--no-trunc",
        image["image"]["id"].as_str().unwrap(),
    ]);
    seen += &ended.stderr;
    seen += &project.read("reports/junit.xml");
    let folder = project.path().join(".hoist");
    let grep = std::process::Command::new("grep")
        .arg("-r")
        .arg("")
        .arg(&folder)
        .output()
        .unwrap();
    seen += &String::from_utf8_lossy(&grep.stdout);
    assert!(seen.contains("plain: ***"), "the step spoke");
    let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    let shifted = base64(format!("x{canary}").as_bytes());
    for form in [
        canary,
        base64(canary.as_bytes()).as_str(),
        &hex,
        shifted.get(4..36).unwrap(),
        "4f9a1c77",
    ] {
        assert!(!seen.contains(form), "found: {form}");
    }
    eventually("nothing remains", Duration::from_secs(5), || {
        left_of(&run).is_empty()
    });
}

#[test]
fn a_secret_is_readable_by_the_steps_user_and_gone_afterwards() {
    if !engine("secrets::a_secret_is_readable_by_the_steps_user_and_gone_afterwards") {
        return;
    }
    for user in ["0", "1234", "nobody"] {
        let pipeline = format!(
            r#"
name = "reader"
[secrets]
token = {{ file = "token" }}
[steps.read]
image = "debian:bookworm-slim"
user = "{user}"
secrets = ["token"]
run = "wc -c < /run/secrets/token; (echo x > /run/secrets/token) 2>/dev/null && exit 7; true"
"#
        );
        let project = Project::new(&pipeline).file("token", "0123456789\n");
        project.hoist(&["run"]).expect(0);
        assert_eq!(
            project.hoist(&["logs", "read"]).expect(0).stdout.trim(),
            "10",
            "as {user}"
        );
        assert_eq!(left_of(&project.runs().pop().unwrap()), "");
    }
}
