//! The commands that need no engine, as people type them.

use crate::support::{Project, repository};

const HELLO: &str = r#"
name = "hello"
[steps.say]
image = "debian:bookworm-slim"
run = "echo hello"
"#;

#[test]
fn validate_and_plan_need_no_engine() {
    let project = Project::new(HELLO).variable("DOCKER_HOST", "unix:///nowhere.sock");
    let ended = project.hoist(&["validate"]).expect(0);
    assert_eq!(ended.stdout, "pipeline.toml is valid: 1 step\n");
    let plan = project.hoist(&["plan"]).expect(0).stdout;
    assert!(
        plan.contains("say (run)") && plan.contains("$ echo hello"),
        "{plan}"
    );
    let dry = project.hoist(&["run", "--dry-run"]).expect(0).stdout;
    assert_eq!(plan, dry);
    assert!(project.runs().is_empty(), "a dry run leaves nothing");
}

#[test]
fn the_plan_is_json_and_dot_too() {
    let project = Project::new(HELLO);
    let json = project
        .hoist(&["plan", "--format", "json"])
        .expect(0)
        .stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["steps"][0]["id"], "say");
    let dot = project.hoist(&["plan", "--format", "dot"]).expect(0).stdout;
    assert!(dot.starts_with("digraph \"hello\" {"), "{dot}");
}

#[test]
fn the_plan_says_how_services_are_updated() {
    let project = Project::new(
        r#"
        name = "shop"
        [steps.staging.deploy]
        environment = "staging"
        keep = 1
        [steps.staging.deploy.pre_deploy.migrate]
        image = "shop:1"
        command = "migrate --all"
        [steps.staging.deploy.services.db]
        image = "redis:7"
        volumes = ["data:/data"]
        [steps.staging.deploy.services.web]
        image = "shop:1"
        strategy = "rolling"
        replicas = 3
        ports = ["8080:8000"]
        update_config = { parallelism = 2, delay = "5s" }
        [steps.staging.deploy.services.api]
        image = "shop:1"
        strategy = "canary"
        expose = [9000]
        [environments.staging]
        "#,
    );
    let plan = project.hoist(&["plan"]).expect(0).stdout;
    let lines: Vec<&str> = plan.lines().map(str::trim).skip(3).collect();
    assert_eq!(
        lines,
        [
            "to environment staging",
            "first migrate: image shop:1",
            "$ migrate --all, at most 10m",
            "service db: image redis:7",
            "recreate, down while it is changed",
            "service web: image shop:1 8080->8000",
            "rolling, 3 containers, 2 at a time, 5s apart",
            "service api: image shop:1",
            "canary, 10 %, 50 % for 1m each",
            "keeps 1 earlier generation to go back to",
        ],
        "{plan}"
    );
}

#[test]
fn the_root_is_the_nearest_folder_upwards() {
    let project = Project::new(HELLO).file("a/b/c.txt", "");
    let mut command = project.command(&["validate"]);
    assert!(
        command
            .current_dir(project.path().join("a/b"))
            .output()
            .unwrap()
            .status
            .success()
    );
    let named = project.path().to_str().unwrap();
    let mut elsewhere = project.command(&["-C", named, "validate"]);
    assert!(
        elsewhere
            .current_dir("/")
            .output()
            .unwrap()
            .status
            .success()
    );
}

#[test]
fn the_committed_schema_is_the_types() {
    let printed = Project::empty().hoist(&["schema"]).expect(0).stdout;
    let committed = repository().join("pipelines/pipeline.schema.json");
    let committed = std::fs::read_to_string(committed).unwrap();
    assert!(printed == committed, "write it again with `just bless`");
}

#[test]
fn every_shipped_pipeline_is_valid() {
    for name in ["rust", "go", "node", "python"] {
        let sign = match name {
            "rust" => "Cargo.toml",
            "go" => "go.mod",
            "node" => "package.json",
            _ => "requirements.txt",
        };
        let project = Project::empty().file(sign, "");
        project
            .hoist(&["init"])
            .expect(0)
            .says("wrote  pipeline.toml")
            .says("wrote  Dockerfile");
        project.hoist(&["validate"]).expect(0);
        project.hoist(&["init"]).expect(2).says("there already");
    }
    for name in ["hello", "shop"] {
        let project = Project::example(name).variable("SHOP_DB_PASSWORD", "long-enough");
        project.hoist(&["validate"]).expect(0);
    }
    let own = Project::empty();
    let root = repository();
    let file = root.join("pipelines/hoist.toml");
    own.hoist(&[
        "-C",
        root.to_str().unwrap(),
        "-f",
        file.to_str().unwrap(),
        "validate",
    ])
    .expect(0);
}

#[test]
fn init_says_when_it_cannot_tell_and_writes_nothing() {
    let project = Project::empty();
    project
        .hoist(&["init"])
        .expect(2)
        .says("cannot tell what the project is written in");
    assert_eq!(std::fs::read_dir(project.path()).unwrap().count(), 0);
    project.hoist(&["init", "go"]).expect(0);
    project.hoist(&["validate"]).expect(0);
}

#[test]
fn completions_and_help_name_the_commands() {
    let project = Project::empty();
    let bash = project.hoist(&["completions", "bash"]).expect(0).stdout;
    assert!(bash.contains("validate"));
    let help = project.hoist(&["--help"]).expect(0).stdout;
    assert!(
        help.contains("Exit codes: 0 passed") && !help.contains("__reap"),
        "{help}"
    );
}

#[test]
fn colour_is_used_only_where_asked() {
    let project = Project::new("name = 1");
    let plain = project.hoist(&["validate"]).expect(2);
    assert!(!plain.stderr.contains('\u{1b}'), "{}", plain.stderr);
    let coloured = project.hoist(&["--color", "always", "validate"]).expect(2);
    assert!(coloured.stderr.contains('\u{1b}'), "{}", coloured.stderr);
    project
        .hoist(&["--progress", "tty", "run"])
        .expect(2)
        .says("needs a terminal");
}
