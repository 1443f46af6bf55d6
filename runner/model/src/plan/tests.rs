//! What plans are made of which files. Faults are told through the built command, by the cases
//! under `tests/diagnostics`.

mod builds;
mod cells;
mod conditions;
mod deploys;
mod limits;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::diag::Diagnostic;
use crate::image::ImageSource;
use crate::spec;
use crate::text::Text;
use crate::unit::{Command, Limits, Network, ToolDataSource};

/// Files in memory; a path that ends with `/` is a folder.
#[derive(Default)]
struct Files(BTreeMap<&'static str, &'static str>);

impl ProjectFiles for Files {
    fn entry(&self, path: &str) -> Entry {
        if self.0.contains_key(path) {
            return Entry::File;
        }
        let folder = format!("{path}/");
        let is_folder = path == "." || self.0.keys().any(|file| file.starts_with(&folder));
        if is_folder {
            Entry::Folder
        } else {
            Entry::Missing
        }
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.get(path).map(|text| text.as_bytes().to_vec())
    }
}

const DOCKERFILE: &str = "FROM debian AS test\nFROM debian AS production\n";

/// What a file comes to in a project with a Dockerfile, at a commit.
fn planned(text: &str) -> Result<Planned, Vec<Diagnostic>> {
    planned_with(text, |_| {})
}

fn planned_with(
    text: &str,
    change: impl FnOnce(&mut Surroundings<'_>),
) -> Result<Planned, Vec<Diagnostic>> {
    let files = Files(BTreeMap::from([
        ("Dockerfile", DOCKERFILE),
        ("db/trivy.db", ""),
    ]));
    let mut surroundings = Surroundings {
        env: BTreeMap::from([("IMAGE".into(), "localhost:5000/shop".into())]),
        git: Git {
            sha: Some("0123456789abcdef0123456789abcdef01234567".into()),
            short_sha: Some("0123456".into()),
            commit_time: Some("2026-02-03T04:05:06Z".parse().unwrap()),
            remote: Some("https://me:password@example.com/shop.git".into()),
            ..Git::default()
        },
        files: &files,
        tools: ToolSettings::default(),
    };
    change(&mut surroundings);
    let spec = spec::parse("pipeline.toml", text)?;
    make(&spec, &surroundings)
}

#[track_caller]
fn plan(text: &str) -> Plan {
    let planned = planned(text).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(planned.warnings, [], "{text}");
    planned.plan
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.id.as_str()).collect()
}

/// The needs of a step as `name reason`.
fn needs(plan: &Plan, step: &str) -> Vec<String> {
    let (_, step) = plan.find(&step.into()).expect("the step is there");
    let show = |need: &Need| format!("{} {:?}", plan.steps[need.step].id, need.why);
    step.needs.iter().map(show).collect()
}

fn container<'p>(plan: &'p Plan, step: &str) -> &'p crate::unit::ContainerUnit {
    match &plan.find(&step.into()).expect("the step is there").1.unit {
        Unit::Container(unit) => unit,
        unit => panic!("not a container: {unit:?}"),
    }
}

fn build<'p>(plan: &'p Plan, step: &str) -> &'p crate::unit::BuildUnit {
    match &plan.find(&step.into()).expect("the step is there").1.unit {
        Unit::Build(unit) => unit,
        unit => panic!("not a build: {unit:?}"),
    }
}

const SHOP: &str = r#"
name = "shop"

[vars]
image = "${env.IMAGE:-shop}"

[secrets]
db_password = { file = "secrets/db_password" }

[steps.publish]
needs = ["unit"]
push = { image = "${steps.image.image}", tags = ["${image}:${git.sha}"] }

[steps.unit]
image = "${steps.test-image.image}"
run = "pytest"

[steps.test-image.build]
target = "test"

[steps.image.build]
target = "production"
args = { BASE = "${steps.test-image.image}", VERSION = "${git.short_sha}" }

[steps.cve.scan]
image = "${steps.image.image}"

[steps.staging.deploy]
environment = "staging"
services.web = { image = "${steps.publish.digest}", depends_on = ["db"], secrets = ["db_password"] }
services.db = { image = "redis:7" }

[steps.redis-cve.scan]
image = "docker.io/library/redis:7"
severity = ["CRITICAL"]

[environments.staging]
networks.default.ipam.config = [{ subnet = "172.28.0.0/24" }]

[reports]
junit = "./reports/junit.xml"
"#;

#[test]
fn steps_come_after_what_they_need_and_else_as_in_the_file() {
    let plan = plan(SHOP);
    let order = [
        "test-image",
        "unit",
        "image",
        "cve",
        "publish",
        "redis-cve",
        "staging",
    ];
    assert_eq!(names(&plan), order);
    assert_eq!(plan.steps[0].line, 18);
}

#[test]
fn edges_say_why() {
    let plan = plan(SHOP);
    assert_eq!(needs(&plan, "unit"), ["test-image Reference"]);
    assert_eq!(needs(&plan, "image"), ["test-image Reference"]);
    assert_eq!(
        needs(&plan, "publish"),
        ["unit Needs", "image Reference", "cve Gate"]
    );
    // The image is the same by its step and by what was pushed of it.
    assert_eq!(
        needs(&plan, "staging"),
        ["cve Gate", "publish Reference", "redis-cve Gate"]
    );
}

#[test]
fn a_selection_has_needs_and_gates() {
    let plan = plan(SHOP);
    let part = select(&plan, &["publish".into()]).unwrap();
    assert_eq!(
        names(&part),
        ["test-image", "unit", "image", "cve", "publish"]
    );
    assert_eq!(
        needs(&part, "publish"),
        ["unit Needs", "image Reference", "cve Gate"]
    );
    assert_eq!(names(&select(&plan, &[]).unwrap()), names(&plan));
    let unknown = select(&plan, &["publsh".into()]).unwrap_err();
    let near = Some("publish".into());
    let step = "publsh".into();
    assert_eq!(unknown, UnknownStep::Name { step, near });
}

#[test]
fn a_name_that_the_pipeline_makes_is_its_image() {
    let plan = plan(
        r#"
        name = "shop"
        [steps.staging.deploy]
        environment = "staging"
        services.web = { image = "shop:latest" }
        services.copy = { image = "localhost:5000/shop:1" }
        [steps.cve.scan]
        image = "shop"
        [steps.publish]
        push = { image = "docker.io/library/shop", tags = ["localhost:5000/shop:1"] }
        [steps.image.build]
        tags = ["shop"]
        [environments.staging]
        "#,
    );
    assert_eq!(needs(&plan, "cve"), ["image Reference"]);
    assert_eq!(needs(&plan, "publish"), ["image Reference", "cve Gate"]);
    assert_eq!(
        needs(&plan, "staging"),
        ["image Reference", "cve Gate", "publish Reference"]
    );
    let Unit::Release(release) = &plan.steps[3].unit else {
        panic!("{:?}", plan.steps[3])
    };
    assert!(
        release
            .services
            .iter()
            .all(|s| s.image == ImageSource::Step("image".into()))
    );
}

#[test]
fn a_scan_of_what_was_pushed_comes_after_the_push() {
    let plan = plan(
        r#"
        name = "shop"
        [steps.cve.scan]
        image = "${steps.publish.digest}"
        [steps.publish]
        push = { image = "${steps.image.image}", tags = ["localhost:5000/shop:1"] }
        [steps.image.build]
        [steps.staging.deploy]
        environment = "staging"
        services.web = { image = "${steps.image.image}" }
        [environments.staging]
        "#,
    );
    assert_eq!(needs(&plan, "publish"), ["image Reference"]);
    assert_eq!(needs(&plan, "staging"), ["image Reference", "cve Gate"]);
}

#[test]
fn what_a_file_says_is_resolved() {
    let plan = plan(SHOP);
    let image = build(&plan, "image");
    assert_eq!(image.dockerfile.shown(), "Dockerfile");
    assert_eq!(image.args["VERSION"], Text::literal("0123456"));
    assert_eq!(image.args["BASE"].to_string(), "${steps.test-image.image}");
    let labels: Vec<_> = image
        .labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(
        labels,
        [
            "dev.hoist.project=shop",
            "org.opencontainers.image.created=2026-02-03T04:05:06Z",
            "org.opencontainers.image.revision=0123456789abcdef0123456789abcdef01234567",
            "org.opencontainers.image.source=https://example.com/shop",
            "org.opencontainers.image.version=0123456",
        ]
    );
    assert_eq!(
        plan.never_sent,
        ["reports/junit.xml", "secrets/db_password"]
    );
    assert_eq!(
        plan.environments["staging"].networks["default"]
            .subnet
            .as_deref(),
        Some("172.28.0.0/24")
    );
    let Unit::Release(release) = &plan.steps[6].unit else {
        panic!("{:?}", plan.steps[6])
    };
    let services: Vec<&str> = release.services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(services, ["db", "web"]);
    assert_eq!(release.services[0].networks, ["default"]);
    assert_eq!(
        release.services[0].security.cap_add,
        ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
    );
    assert_eq!(release.healthy_within, Duration::from_secs(300));
    assert_eq!(plan.used_secrets(), ["db_password"]);
}

#[test]
fn a_run_step_is_sealed_unless_it_says_otherwise() {
    let plan = plan(
        r#"
        name = "seal"
        [defaults]
        timeout = "15m"
        resources.limits = { memory = "2g" }
        [steps.sealed]
        image = "debian"
        run = ["make", "${not.touched}"]
        [steps.open]
        image = "debian"
        run = "make"
        network = "bridge"
        cap_add = ["cap_net_raw"]
        source = false
        resources.limits = { memory = "512m", pids = 4000, cpus = 1.5 }
        timeout = "90s"
        tmpfs = "/tmp:size=64m"
        artifacts.paths = { out = "/srv/out/" }
        "#,
    );
    let sealed = container(&plan, "sealed");
    assert_eq!(
        sealed.command,
        Command::Exec(vec!["make".into(), "${not.touched}".into()])
    );
    assert_eq!(sealed.network, Network::None);
    assert_eq!(
        sealed.limits,
        Limits {
            memory: Some(2 << 30),
            ..Limits::SEALED
        }
    );
    assert_eq!(sealed.source.as_ref().unwrap().target, "/workspace");
    assert_eq!(
        plan.steps[0].relaxations,
        ["resources.limits.memory = \"2g\""]
    );
    assert_eq!(plan.steps[0].timeout, Duration::from_secs(900));
    let open = container(&plan, "open");
    assert_eq!(open.security.cap_add, ["NET_RAW"]);
    assert_eq!(open.limits.cpus, Some(1.5));
    assert_eq!(open.source, None);
    assert_eq!(open.harvest.paths["out"], "/srv/out/");
    assert_eq!(plan.steps[1].timeout, Duration::from_secs(90));
    assert_eq!(
        plan.steps[1].relaxations,
        [
            "network = \"bridge\"",
            "cap_add = [\"NET_RAW\"]",
            "resources.limits.pids = 4000"
        ]
    );
}

#[test]
fn a_scan_reads_an_archive_and_no_network() {
    let scan = r#"
        name = "scan"
        [steps.cve.scan]
        image = "debian"
        [steps.keys.scan]
        image = "debian"
        scanners = ["secret"]
        "#;
    let plan = plan(scan);
    let cve = container(&plan, "cve");
    assert_eq!(
        cve.image,
        ImageSource::Name(Text::literal(crate::step::scan::TRIVY))
    );
    assert_eq!(cve.network, Network::None);
    assert_eq!(cve.environment["TRIVY_TIMEOUT"], Text::literal("1h"));
    assert!(matches!(
        cve.tool_data.as_ref().unwrap().source,
        ToolDataSource::Update { .. }
    ));
    // Without vulnerabilities there is no need of their database.
    assert_eq!(container(&plan, "keys").tool_data, None);

    let local = planned_with(scan, |world| {
        world.tools.trivy = Some("trivy:0.74.0".into());
        world.tools.trivy_db = Some("db".into());
    });
    let local = local.unwrap().plan;
    let data = container(&local, "cve").tool_data.clone().unwrap();
    assert_eq!(data.source, ToolDataSource::Folder("db".into()));
    assert_eq!(
        container(&local, "cve").image,
        ImageSource::Name(Text::literal("trivy:0.74.0"))
    );
}

#[test]
fn a_deploy_names_its_proxy() {
    let text = |tools: &str| {
        format!(
            r#"
            name = "proxied"
            {tools}
            [environments.staging]
            [steps.up.deploy]
            environment = "staging"
            services.web.image = "debian"
            "#
        )
    };
    let file = text("tools.haproxy = 'haproxy:3.2.0'");
    for (text, setting, proxy) in [
        (text(""), None, crate::step::deploy::HAPROXY),
        (file.clone(), None, "haproxy:3.2.0"),
        (file, Some("local/proxy:1"), "local/proxy:1"),
    ] {
        let planned = planned_with(&text, |world| {
            world.tools.haproxy = setting.map(str::to_owned);
        });
        let plan = planned.unwrap().plan;
        let Unit::Release(release) = &plan.steps[0].unit else {
            panic!("a deploy is a release")
        };
        assert_eq!(release.proxy, proxy);
    }
}

#[test]
fn a_branch_is_gits_or_what_the_ci_names() {
    let text = r#"
        name = "branch"
        [steps.a]
        image = "debian"
        run = "true"
        environment = { BRANCH = "${git.branch:-none}" }
        "#;
    let branch = |env: &[(&str, &str)], git: Option<&str>| {
        let planned = planned_with(text, |world| {
            world.git.branch = git.map(str::to_owned);
            world.env = env
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
        });
        container(&planned.unwrap().plan, "a").environment["BRANCH"].to_string()
    };
    assert_eq!(branch(&[], None), "none");
    assert_eq!(
        branch(&[("CI_COMMIT_BRANCH", "main")], Some("topic")),
        "topic"
    );
    assert_eq!(
        branch(
            &[("GITHUB_HEAD_REF", ""), ("GITHUB_REF_NAME", "main")],
            None
        ),
        "main"
    );
    assert_eq!(
        branch(
            &[("GITHUB_HEAD_REF", "topic"), ("GITHUB_REF_NAME", "1/merge")],
            None
        ),
        "topic"
    );
    assert_eq!(
        branch(
            &[("GITHUB_REF_TYPE", "tag"), ("GITHUB_REF_NAME", "v1")],
            None
        ),
        "none"
    );
    assert_eq!(branch(&[("BUILDKITE_BRANCH", "main")], None), "main");
}

#[test]
fn a_plan_is_the_same_each_time_and_survives_being_written() {
    let json = |plan: &Plan| serde_json::to_string(plan).unwrap();
    let first = json(&plan(SHOP));
    assert_eq!(first, json(&plan(SHOP)));
    let read: Plan = serde_json::from_str(&first).unwrap();
    assert_eq!(json(&read), first);
}

#[test]
fn long_chains_of_variables_end() {
    let mut text = String::from("name = \"a\"\n[vars]\n");
    for at in 0..2000 {
        text.push_str(&format!("v{at} = \"${{v{}}}\"\n", at + 1));
    }
    text.push_str("v2000 = \"end\"\n[steps.a]\nimage = \"debian\"\nrun = \"true\"\n");
    let faults = planned(&text).unwrap_err();
    assert!(
        faults
            .iter()
            .any(|fault| fault.message.contains("too deeply")),
        "{faults:?}"
    );
}

#[test]
fn time_grows_with_the_number_of_steps() {
    let time = |count: usize| {
        let mut text = String::from("name = \"many\"\n[steps.image.build]\ntags = [\"shop:1\"]\n");
        for at in 0..count {
            let need = if at == 0 {
                "image".to_owned()
            } else {
                format!("s{}", at - 1)
            };
            text.push_str(&format!(
                "[steps.s{at}]\nimage = \"${{steps.image.image}}\"\nrun = \"make\"\nneeds = [\"{need}\"]\n"
            ));
        }
        let start = Instant::now();
        assert_eq!(plan(&text).steps.len(), count + 1);
        start.elapsed()
    };
    let least = |count| (0..3).map(|_| time(count)).min().unwrap();
    let (small, big) = (least(1000), least(8000));
    // Eight times the steps take some eight times as long; sixty-four would be the square.
    assert!(big < small * 24, "{small:?} and {big:?}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = planned(&text);
    }

    #[test]
    fn no_pipeline_panics(text in pipeline_like()) {
        if let Err(faults) = planned(&text) {
            prop_assert!(!faults.is_empty());
            for label in faults.iter().flat_map(|fault| &fault.labels) {
                prop_assert!(text.get(label.span.clone()).is_some(), "{label:?}");
            }
        }
    }
}

/// Files made of pieces that mean something in the wrong places.
fn pipeline_like() -> impl Strategy<Value = String> {
    let header = prop::sample::select(vec![
        "",
        "[vars]",
        "[defaults]",
        "[secrets]",
        "[steps.a]",
        "[steps.b]",
        "[steps.a.build]",
        "[steps.b.scan]",
        "[steps.b.push]",
        "[steps.c.deploy]",
        "[steps.c.deploy.services.x]",
        "[steps.c.deploy.services.y]",
        "[environments.e]",
        "[environments.e.networks.n]",
        "[registries.r]",
        "[tools]",
        "[reports]",
        "[gc]",
        "[[steps]]",
    ]);
    let key = prop::sample::select(vec![
        "name",
        "a",
        "b",
        "image",
        "run",
        "needs",
        "environment",
        "timeout",
        "resources.limits.memory",
        "resources.limits.cpus",
        "tags",
        "args",
        "target",
        "context",
        "dockerfile",
        "secrets",
        "services.x.image",
        "ports",
        "volumes",
        "depends_on",
        "healthcheck.test",
        "networks",
        "ipam.config",
        "engine",
        "username",
        "password",
        "trivy",
        "trivy_db",
        "haproxy",
        "junit",
        "sarif",
        "tmpfs",
        "artifacts.paths",
        "artifacts.reports.junit",
        "severity",
        "scanners",
        "matrix",
        "x",
        "command",
        "contexts",
        "dockerfile_inline",
        "ssh",
        "cache_from",
        "cache_to",
        "no_cache_filter",
        "platforms",
        "extra_hosts",
        "ulimits",
        "blkio_config",
        "blkio_config.device_read_bps",
        "cap_drop",
        "security_opt",
        "cpuset",
        "cpu_quota",
        "memswap_limit",
        "resources.reservations.memory",
        "shm_size",
        "reproducible",
        "when",
        "when.branch",
        "when.paths",
        "when.environment",
        "when.expression",
        "matrix.a",
        "matrix.include",
        "max_parallel",
        "keep",
        "max_age",
        "max_size",
        "every",
    ]);
    let value = prop::sample::select(vec![
        "\"\"",
        "\"a\"",
        "\"e\"",
        "\"x\"",
        "1",
        "-1",
        "1.5",
        "true",
        "[]",
        "{}",
        "[\"a\", \"b\"]",
        "[1]",
        "\"${steps.a.image}\"",
        "\"${steps.b.digest}\"",
        "\"${steps.a[a=a].image}\"",
        "\"${matrix.a}\"",
        "[\"a[a=a]\"]",
        "[{ a = 1, x = \"é\" }]",
        "\"${steps.b.image}-x\"",
        "\"${a}\"",
        "\"${b:-${a}}\"",
        "\"${\"",
        "\"$\"",
        "\"é${env.X:?é}\"",
        "\"5m\"",
        "\"1g\"",
        "\"/x\"",
        "\"/x:ro\"",
        "\"../x\"",
        "\".\"",
        "\"debian:12\"",
        "[\"shop:1\", \"shop:1\"]",
        "[\"80:80\", \"80:80\"]",
        "[\"data:/x\"]",
        "'''\né\n${c}'''",
        "{ a = \"${steps.a.image}\" }",
        "{ x = {} }",
        "{ environment = \"E\" }",
        "[{ subnet = \"10.0.0.0/8\" }]",
        "[{ path = \"/dev/é\", rate = \"1m\" }]",
        "[\"seccomp=é\"]",
        "[[\"a\"]]",
        "1979-05-27",
        "[\"CMD\"]",
        "\"sh 'x\"",
        "[\"type=registry,ref=${steps.b.digest},\"]",
        "[\"default\", \"x=/x\"]",
        "[\"linux/é\", \"linux/arm/v7\"]",
        "{ nofile = { soft = 1 }, x = -1 }",
        "\"FROM x AS é\"",
    ]);
    let line = prop_oneof![
        3 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => header.prop_map(str::to_owned),
    ];
    prop::collection::vec(line, 0..25).prop_map(|lines| lines.join("\n"))
}
