//! What a build takes from around the project: an engine behind ssh, and passwords from a helper.
//! Both are programs that hoist finds in PATH, as the docker command does.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Project, engine, skip, variable};

/// The project with a program of that name before all others.
fn with_program(project: Project, name: &str, script: &str) -> Project {
    let folder = project.path().join("bin");
    let project = project.file(&format!("bin/{name}"), format!("#!/bin/sh\n{script}"));
    let program = folder.join(name);
    fs::set_permissions(program, PermissionsExt::from_mode(0o755)).unwrap();
    let others = variable("PATH").unwrap();
    project.variable("PATH", &format!("{}:{others}", folder.display()))
}

/// The other end of this ssh is this machine.
const SSH: &str = r#"
echo "$*" >> "$(dirname "$0")/calls"
while [ "$1" != -- ]; do shift; done
shift 2
HERE
exec "$@"
"#;

#[test]
fn an_engine_behind_ssh_builds_and_runs() {
    if !engine("builds_around::an_engine_behind_ssh_builds_and_runs") {
        return;
    }
    let here = match variable("DOCKER_HOST") {
        Some(host) => format!("export DOCKER_HOST='{host}'"),
        None => "unset DOCKER_HOST".to_owned(),
    };
    let project = Project::new(
        "name = \"builds-ssh\"\n[steps.image.build]\n\
         [steps.look]\nimage = \"${steps.image.image}\"\nrun = \"cat /word.txt\"\n",
    )
    .file(
        "Dockerfile",
        "FROM debian:bookworm-slim\nCOPY word.txt /\nRUN test -s /word.txt\n",
    );
    let word = project.path().display().to_string();
    let project = project
        .file("word.txt", &word)
        .variable("DOCKER_HOST", "ssh://ci@far.example.com:2222");
    let script = SSH.replace("HERE", &here);
    let project = with_program(project, "ssh", &script);
    project.hoist(&["--progress", "plain", "run"]).expect(0);
    let seen = project.hoist(&["logs", "look"]).expect(0).stdout;
    assert_eq!(seen.trim(), word);
    let calls = project.read("bin/calls");
    let all =
        |call: &str| call.ends_with("-l ci -p 2222 -- far.example.com docker system dial-stdio");
    assert!(
        calls.lines().count() >= 3 && calls.lines().all(all),
        "{calls}"
    );
}

#[test]
fn a_base_image_is_fetched_with_the_password_of_a_helper() {
    let test = "builds_around::a_base_image_is_fetched_with_the_password_of_a_helper";
    if !engine(test) {
        return;
    }
    let registry = variable("HOIST_GROUND_REGISTRY_LOCKED");
    let user = variable("HOIST_GROUND_REGISTRY_USER");
    let password = variable("HOIST_GROUND_REGISTRY_PASSWORD");
    let (Some(registry), Some(user), Some(password)) = (registry, user, password) else {
        skip(
            test,
            "HOIST_GROUND_REGISTRY_LOCKED and what opens it are not set",
        );
        return;
    };
    let helped = |project: Project| {
        let config = format!("{{\"credHelpers\":{{\"{registry}\":\"test\"}}}}");
        let project = project.file("docker/config.json", config);
        let folder = project.path().join("docker").display().to_string();
        let script = format!(
            "read -r server; [ \"$1 $server\" = 'get {registry}' ] || exit 1\n\
             echo '{{\"ServerURL\":\"{registry}\",\"Username\":\"{user}\",\"Secret\":\"{password}\"}}'\n"
        );
        let project = project.variable("DOCKER_CONFIG", &folder);
        with_program(project, "docker-credential-test", &script)
    };
    let base = format!("{registry}/builds/helper:1");
    let first = Project::new(&format!(
        "name = \"builds-helper\"\n[steps.image.build]\n\
         [steps.publish]\npush = {{ image = \"${{steps.image.image}}\", tags = [\"{base}\"] }}\n"
    ));
    let word = first.path().display().to_string();
    let first = first
        .file("word.txt", &word)
        .file("Dockerfile", "FROM hoist-ground/tiny:1\nCOPY word.txt /\n");
    helped(first).hoist(&["run"]).expect(0);

    let pipeline = "name = \"builds-helper\"\n[steps.image.build]\npull = true\n";
    let next =
        || Project::new(pipeline).file("Dockerfile", format!("FROM {base}\nRUN cat /word.txt\n"));
    let without = next().variable("HOME", "/nonexistent");
    without.hoist(&["run"]).expect(4).says("docker login");
    let ended = helped(next()).hoist(&["--progress", "plain", "run"]);
    let ended = ended.expect(0).says(&word);
    assert!(!ended.stderr.contains(&password), "{}", ended.stderr);
}
