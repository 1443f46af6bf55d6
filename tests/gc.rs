//! What runs leave behind goes, and what is in use stays, on a real engine.

use crate::support::{Project, docker, engine};

/// The ids of the project's images.
fn images(project: &str) -> Vec<String> {
    let label = format!("label=dev.hoist.project={project}");
    let listed = docker(&["image", "ls", "--quiet", "--no-trunc", "--filter", &label]);
    let mut ids: Vec<String> = listed.lines().map(str::to_owned).collect();
    ids.sort();
    ids.dedup();
    ids
}

#[test]
fn a_cache_beyond_its_budget_goes() {
    if !engine("gc::a_cache_beyond_its_budget_goes") {
        return;
    }
    let name = format!("gc-budget-{}", std::process::id());
    let project = Project::new(&format!(
        r#"
name = "{name}"
[volumes.large]
cache.max_size = "1m"
[volumes.small]
cache.max_size = "1g"
[steps.fill]
image = "debian:bookworm-slim"
source = false
run = "for at in /large /small /free; do head -c 2000000 /dev/zero > $at/it; done"
volumes = ["large:/large", "small:/small", "free:/free"]
"#
    ));
    let filter = format!("label=dev.hoist.project={name}");
    let caches = || docker(&["volume", "ls", "--quiet", "--filter", &filter]);
    let plan = project.hoist(&["plan"]).expect(0).stdout;
    assert!(plan.contains("the caches large take at most 1"), "{plan}");
    project.hoist(&["run"]).expect(0);
    assert_eq!(caches().lines().count(), 3);
    let gone = project.hoist(&["gc", "-v"]).expect(0).stdout;
    assert!(gone.contains("more than their max_size"), "{gone}");
    let left = caches();
    let prefix = format!("hoist-cache.{name}");
    assert_eq!(
        left.lines().collect::<Vec<_>>(),
        [format!("{prefix}.free"), format!("{prefix}.small")]
    );
    for volume in left.lines() {
        docker(&["volume", "rm", volume]);
    }
}

/// The lesson of examples/leftovers, under a name of its own.
#[test]
fn what_nobody_uses_goes_and_what_is_in_use_stays() {
    if !engine("gc::what_nobody_uses_goes_and_what_is_in_use_stays") {
        return;
    }
    let name = format!("gc-test-{}", std::process::id());
    let project = Project::example("leftovers");
    project.change("pipeline.toml", "\"leftovers\"", &format!("{name:?}"));
    project.change("pipeline.toml", "leftovers:dev", &format!("{name}:dev"));
    project.change("pipeline.toml", "every = \"1m\"", "every = \"1us\"");
    project.hoist(&["run"]).expect(0).says("PASSED");
    let nothing = project.hoist(&["gc", "--dry-run"]).expect(0).stdout;
    assert!(
        nothing.starts_with("would remove nothing; 2 things ("),
        "{nothing}"
    );

    // A third run removes the first at its end, and not the image, which the others refer to.
    project.change("pipeline.toml", "max_age = \"1h\"", "max_age = \"1us\"");
    let first = project.runs().pop().unwrap();
    project.hoist(&["run"]).expect(0);
    let third = project.hoist(&["run"]).expect(0);
    third.says("gc     removed 1 run (");
    assert_eq!(project.runs().len(), 2);
    assert!(!project.runs().contains(&first));
    assert_eq!(images(&name).len(), 1);

    let all = ["gc", "--keep", "0", "--max-size", "1b"];
    let image = images(&name).pop().unwrap();
    let user = format!("{name}-user");
    docker(&["create", "--name", &user, &image, "true"]);
    let shown = project
        .hoist(&[&all[..], &["--dry-run", "-v"]].concat())
        .expect(0)
        .stdout;
    assert!(
        shown.contains(&format!("in use by the container {user}")),
        "{shown}"
    );
    assert!(shown.contains("would remove 2 runs ("), "{shown}");
    assert_eq!(project.runs().len(), 2, "that was only shown");
    project.hoist(&all).expect(0);
    assert!(project.runs().is_empty());
    assert_eq!(
        images(&name),
        [image.as_str()],
        "a container has it, though none that runs"
    );
    docker(&["rm", &user]);

    docker(&["tag", &image, &format!("{name}-mine:1")]);
    let shown = project
        .hoist(&[&all[..], &["-v"]].concat())
        .expect(0)
        .stdout;
    assert!(
        shown.contains("has a name that the file does not give"),
        "{shown}"
    );
    docker(&["rmi", &format!("{name}-mine:1")]);
    let json = project
        .hoist(&[&all[..], &["--format", "json"]].concat())
        .expect(0)
        .stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["items"][0]["goes"], true, "{json}");
    assert!(images(&name).is_empty());
    // What is gone is a miss, not an error.
    project.hoist(&["run"]).expect(0).says("PASSED");
    project.hoist(&all).expect(0);
    assert!(images(&name).is_empty());
}

#[test]
fn what_releases_before_left_stopped_goes_and_what_serves_stays() {
    if !engine("gc::what_releases_before_left_stopped_goes_and_what_serves_stays") {
        return;
    }
    let name = format!("gc-releases-{}", std::process::id());
    let project = Project::new(&format!(
        r#"
name = "{name}"
[steps.live.deploy]
environment = "live"
[steps.live.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sh", "-c", "trap 'exit 0' TERM; sleep 300 & wait"]
environment = {{ GENERATION = "0" }}
[environments.live]
"#
    ));
    let filter = format!("label=dev.hoist.project={name}");
    let containers = |state: &str| {
        let state = format!("status={state}");
        let role = "label=dev.hoist.role=service";
        let listed = docker(&[
            "ps", "-aq", "--filter", &filter, "--filter", &state, "--filter", role,
        ]);
        listed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    project.hoist(&["run"]).expect(0);
    project.change("pipeline.toml", "\"0\"", "\"1\"");
    project.hoist(&["run"]).expect(0);
    // The release before is kept to go back to.
    let serving = containers("running");
    assert_eq!(serving.len(), 1);
    let stopped = containers("exited");
    assert_eq!(stopped.len(), 1);
    let all = ["gc", "--keep", "0", "--max-age", "1us", "-v"];
    let shown = project.hoist(&[&all[..], &["--dry-run"]].concat());
    let shown = shown.expect(0).stdout;
    assert!(shown.contains("release"), "{shown}");
    assert_eq!(containers("exited"), stopped, "that was only shown");
    project.hoist(&all).expect(0);
    assert_eq!(containers("exited"), [""; 0]);
    assert_eq!(containers("running"), serving);
    // The next release finds its way without them.
    project.change("pipeline.toml", "\"1\"", "\"2\"");
    project.hoist(&["run"]).expect(0);
    project.hoist(&["down", "live", "--volumes"]).expect(0);
    project.hoist(&all).expect(0);
}
