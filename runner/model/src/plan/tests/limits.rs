//! What bounds and opens the containers of services.

use super::*;
use crate::unit::{BlkioLimits, DeviceRate, ReleaseUnit, Security, ServiceUnit, Ulimit};

const TOP: &str = "name = \"b\"\n[environments.live]\n[steps.up.deploy]\nenvironment = \"live\"\n[steps.up.deploy.services.web]\nimage = \"debian\"\n";

fn release(plan: &Plan) -> &ReleaseUnit {
    match &plan.find(&"up".into()).expect("the step is there").1.unit {
        Unit::Release(unit) => unit,
        unit => panic!("not a release: {unit:?}"),
    }
}

/// The service of a file with one, with the given lines, and what the plan says that it relaxes.
#[track_caller]
fn of(lines: &str) -> (ServiceUnit, Vec<String>) {
    let plan = plan(&format!("{TOP}{lines}"));
    let relaxations = plan.steps[0].relaxations.clone();
    (release(&plan).services[0].clone(), relaxations)
}

/// The same in a project with such a seccomp profile.
fn with_profile(content: &'static str) -> Result<Planned, Vec<Diagnostic>> {
    let files = Files(BTreeMap::from([("profiles/web.json", content)]));
    let text = format!("{TOP}security_opt = [\"seccomp=./profiles/web.json\"]");
    let spec = spec::parse("pipeline.toml", &text).expect("TOML");
    let surroundings = Surroundings {
        env: BTreeMap::new(),
        git: Git::default(),
        files: &files,
        tools: ToolSettings::default(),
    };
    make(&spec, &surroundings)
}

#[test]
fn a_service_that_says_nothing_is_as_before() {
    let (web, relaxations) = of("");
    assert_eq!(web.limits, Limits::SERVICE);
    let least = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];
    let security = Security {
        cap_add: least.map(str::to_owned).into(),
        ..Security::default()
    };
    assert_eq!(web.security, security);
    assert_eq!(relaxations, [""; 0]);
}

#[test]
fn every_bound_of_compose_is_had() {
    let (web, relaxations) = of(r#"
resources.limits = { memory = "512m" }
resources.reservations = { memory = "256m" }
memswap_limit = "1g"
mem_swappiness = 0
cpu_shares = 512
cpu_quota = 50000
cpu_period = "100ms"
cpuset = 0
pids_limit = 64
oom_score_adj = -500
ulimits = { nproc = 64, nofile = { soft = 1024, hard = 4096 } }
blkio_config.weight = 300
blkio_config.weight_device = [{ path = "/dev/sda", weight = 400 }]
blkio_config.device_read_bps = [{ path = "/dev/sda", rate = "12m" }]
blkio_config.device_write_iops = [{ path = "/dev/sda", rate = 120 }]
"#);
    let ulimit = |soft, hard| Ulimit { soft, hard };
    let device = |rate| DeviceRate {
        path: "/dev/sda".to_owned(),
        rate,
    };
    let limits = Limits {
        memory: Some(512 << 20),
        memory_reservation: Some(256 << 20),
        memory_swap: Some(1 << 30),
        memory_swappiness: Some(0),
        cpu_shares: Some(512),
        cpu_quota: Some(50_000),
        cpu_period: Some(100_000),
        cpuset: Some("0".to_owned()),
        pids: Some(64),
        oom_score_adj: Some(-500),
        ulimits: BTreeMap::from([
            ("nproc".to_owned(), ulimit(64, 64)),
            ("nofile".to_owned(), ulimit(1024, 4096)),
        ]),
        blkio: BlkioLimits {
            weight: Some(300),
            weight_device: vec![device(400)],
            device_read_bps: vec![device(12 << 20)],
            device_write_iops: vec![device(120)],
            ..BlkioLimits::default()
        },
        ..Limits::SERVICE
    };
    assert_eq!(web.limits, limits);
    assert_eq!(
        relaxations,
        [
            "services.web.memswap_limit = \"1g\"",
            "services.web.ulimits.nofile = { soft = 1024, hard = 4096 }",
            "services.web.ulimits.nproc = { soft = 64, hard = 64 }",
            "services.web.oom_score_adj = -500",
        ]
    );
}

#[test]
fn dropped_capabilities_are_taken_out_of_the_five() {
    let kept = |lines: &str| of(lines).0.security.cap_add;
    assert_eq!(
        kept("cap_drop = [\"CAP_SETUID\", \"setgid\", \"NET_RAW\"]"),
        ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
    );
    assert_eq!(kept("cap_drop = [\"ALL\"]"), [""; 0]);
    assert_eq!(
        kept("cap_drop = [\"all\"]\ncap_add = [\"CHOWN\", \"NET_RAW\"]"),
        ["CHOWN", "NET_RAW"]
    );
}

#[test]
fn profiles_and_the_user_namespace_are_shown() {
    let (web, relaxations) = of(
        "security_opt = [\"no-new-privileges:true\", \"apparmor:tight\"]\nuserns_mode = \"keep-id\"",
    );
    assert_eq!(web.security.apparmor.as_deref(), Some("tight"));
    assert_eq!(web.security.userns.as_deref(), Some("keep-id"));
    assert_eq!(
        relaxations,
        [
            "services.web.security_opt = [\"apparmor:tight\"]",
            "services.web.userns_mode = \"keep-id\""
        ]
    );
}

#[test]
fn a_seccomp_profile_is_a_file_of_the_project() {
    let planned = with_profile("{ \"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [] }");
    let plan = planned.expect("it is one").plan;
    assert_eq!(
        release(&plan).services[0].security.seccomp.as_deref(),
        Some(r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}"#)
    );
    assert_eq!(
        plan.steps[0].relaxations,
        ["services.web.security_opt = [\"seccomp=./profiles/web.json\"]"]
    );
    for (content, fault) in [
        ("", "EOF while parsing a value"),
        ("[]", "it has no `defaultAction`"),
        (
            "{ \"defaultAction\": \"SCMP_ACT_ALLOW\" }",
            "allows every system call",
        ),
    ] {
        let faults = with_profile(content).expect_err(content);
        assert!(faults[0].message.contains(fault), "{faults:?}");
    }
}

#[test]
fn a_reservation_lies_below_its_bound() {
    let unit = plan(
        "name = \"b\"\n[defaults]\nresources.reservations.memory = \"512m\"\n[steps.a]\nimage = \"debian\"\nrun = \"true\"\n[steps.b]\nimage = \"debian\"\nrun = \"true\"\nresources.limits.memory = \"256m\"\n",
    );
    let reserved = |step| container(&unit, step).limits.memory_reservation;
    assert_eq!(
        (reserved("a"), reserved("b")),
        (Some(512 << 20), Some(256 << 20))
    );
}
