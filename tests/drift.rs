//! What was changed by hand in an environment: `hoist ps` says so, and `hoist run` puts it right.

use serde_json::Value;

use crate::support::{Project, docker, engine};

fn project(name: &str) -> Project {
    let pipeline = format!(
        r#"
name = "{name}"
[steps.up.deploy]
environment = "live"
[steps.up.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sleep", "1000"]
replicas = 2
stop_grace_period = "0s"
resources.limits = {{ memory = "64m", pids = 100 }}
[environments.live]
"#
    );
    Project::new(&pipeline)
}

fn shown(project: &Project) -> Vec<Value> {
    let shown = project.hoist(&["ps", "live", "--format", "json"]).expect(0);
    serde_json::from_str(&shown.stdout).unwrap()
}

/// Of each container that serves: its number and what is not as it was meant.
fn drift(project: &Project) -> Vec<(u64, Vec<String>)> {
    let serving = shown(project)
        .into_iter()
        .filter(|it| it["serving"] == true);
    let one = |it: Value| {
        let kinds = it["drift"].as_array().unwrap().iter();
        let kinds = kinds.map(|drift| drift["kind"].as_str().unwrap().to_owned());
        (it["replica"].as_u64().unwrap(), kinds.collect())
    };
    serving.map(one).collect()
}

#[test]
fn what_was_changed_by_hand_is_said_and_the_next_run_puts_it_right() {
    if !engine("drift::what_was_changed_by_hand_is_said_and_the_next_run_puts_it_right") {
        return;
    }
    let name = "drift-hand";
    let project = project(name);
    let run = || project.hoist(&["run"]).expect(0);
    run();
    let none: Vec<(u64, Vec<String>)> = vec![(1, vec![]), (2, vec![])];
    assert_eq!(drift(&project), none);

    let (first, second) = (
        format!("{name}-live-web-1-1"),
        format!("{name}-live-web-1-2"),
    );
    docker(&["stop", "--time", "0", &first]);
    docker(&["rm", "--force", &second]);
    assert_eq!(
        drift(&project),
        [
            (1, vec!["stopped".to_owned()]),
            (2, vec!["missing".to_owned()])
        ]
    );
    let text = project.hoist(&["ps", "live"]).expect(0).stdout;
    assert!(
        text.contains(&format!("{second}: it is not there")),
        "{text}"
    );
    assert!(text.contains("`hoist run` puts right"), "{text}");
    run();
    assert_eq!(drift(&project), none);

    docker(&["update", "--restart", "no", &first]);
    assert_eq!(drift(&project)[0].1, ["restart"]);
    run();
    assert_eq!(drift(&project), none);
    assert_eq!(
        shown(&project)[0]["release"],
        1,
        "that needs no other container"
    );

    docker(&["update", "--memory", "96m", "--memory-swap", "96m", &second]);
    docker(&["update", "--pids-limit", "50", &second]);
    assert_eq!(drift(&project)[1].1, ["limits"]);
    let text = project.hoist(&["ps", "live"]).expect(0).stdout;
    assert!(
        text.contains("memory is 96m and not 64m, pids is 50 and not 100"),
        "{text}"
    );
    let preview = project
        .hoist(&["plan", "--deploy", "live"])
        .expect(0)
        .stdout;
    assert!(preview.contains("it was changed by hand"), "{preview}");
    run().says("it was changed by hand");
    assert_eq!(drift(&project), none);
    // What it took the place of is kept, and no word is lost on it.
    let text = project.hoist(&["ps", "live"]).expect(0).stdout;
    assert!(text.contains(" kept "), "{text}");

    project.hoist(&["down", "live"]).expect(0);
    assert!(
        shown(&project).is_empty(),
        "what was taken down is not missing"
    );
    project.hoist(&["down", "live", "--volumes"]).expect(0);
}
