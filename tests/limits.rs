//! Bounds and profiles of deployed services on a real engine, as `docker inspect` has them, and what
//! is found out before a deploy touches anything.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Project, docker, engine, eventually, skip};

/// All system calls but those that make a folder.
const PROFILE: &str = r#"{
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }]
}"#;

/// A project that is taken down with this value.
struct Deployed(Project);

impl Drop for Deployed {
    fn drop(&mut self) {
        self.0.hoist(&["down", "live", "--volumes"]);
    }
}

fn host_config(container: &str) -> Value {
    let text = docker(&["inspect", container, "--format", "{{json .HostConfig}}"]);
    serde_json::from_str(&text).unwrap()
}

/// A disk of this machine, which the engine is to be on.
fn disk() -> Option<String> {
    let disks = std::fs::read_dir("/sys/block").ok()?;
    let names = disks.flatten().map(|disk| disk.file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| {
        ["sd", "vd", "nvme", "xvd"]
            .iter()
            .any(|kind| name.starts_with(kind))
    });
    names.sort();
    names.into_iter().next().map(|name| format!("/dev/{name}"))
}

fn pipeline(disks: &str) -> String {
    format!(
        r#"
name = "limits"
[steps.up.deploy]
environment = "live"
[steps.up.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sleep", "600"]
stop_grace_period = "1s"
read_only = true
tmpfs = "/scratch:size=1m"
cap_add = ["NET_BIND_SERVICE"]
cap_drop = ["SETUID", "SETGID"]
security_opt = ["no-new-privileges:true", "seccomp=profiles/web.json", "apparmor=docker-default"]
resources.limits = {{ memory = "128m" }}
resources.reservations = {{ memory = "64m" }}
memswap_limit = "256m"
mem_swappiness = 10
cpu_shares = 512
cpu_quota = "25ms"
cpu_period = "50ms"
cpuset = "0"
pids_limit = 64
oom_score_adj = 500
shm_size = "8m"
ulimits = {{ nofile = {{ soft = 100, hard = 200 }}, core = 0 }}
{disks}
[environments.live]
"#
    )
}

#[test]
fn every_bound_of_a_service_is_seen_by_inspect() {
    if !engine("every_bound_of_a_service_is_seen_by_inspect") {
        return;
    }
    let disk = disk();
    let disks = disk.as_ref().map_or_else(String::new, |path| {
        format!(
            r#"
[steps.up.deploy.services.web.blkio_config]
weight = 300
device_read_bps = [{{ path = "{path}", rate = "16m" }}]
device_write_bps = [{{ path = "{path}", rate = "8m" }}]
device_read_iops = [{{ path = "{path}", rate = 1000 }}]
device_write_iops = [{{ path = "{path}", rate = 500 }}]
"#
        )
    });
    let project = Project::new(&pipeline(&disks)).file("profiles/web.json", PROFILE);
    let site = Deployed(project);
    let said = site
        .0
        .hoist(&["--progress", "plain", "run"])
        .expect(0)
        .stderr;

    let has = host_config("limits-live-web-1-1");
    let info: Value = serde_json::from_str(&docker(&["info", "--format", "{{json .}}"])).unwrap();
    let can = |what: &str| info[what] == true;
    let memory: i64 = 128 << 20;
    for (enforced, field, wanted) in [
        (can("MemoryLimit"), "Memory", json!(memory)),
        (can("SwapLimit"), "MemorySwap", json!(2 * memory)),
        (can("CPUShares"), "CpuShares", json!(512)),
        (can("CpuCfsQuota"), "CpuQuota", json!(25_000)),
        (can("CpuCfsPeriod"), "CpuPeriod", json!(50_000)),
        (can("CPUSet"), "CpusetCpus", json!("0")),
        (can("PidsLimit"), "PidsLimit", json!(64)),
        (true, "OomScoreAdj", json!(500)),
        (true, "ShmSize", json!(8 << 20)),
        (true, "ReadonlyRootfs", json!(true)),
        (true, "Tmpfs", json!({ "/scratch": "size=1m" })),
        (true, "Privileged", json!(false)),
        (true, "UsernsMode", json!("")),
        (true, "CapDrop", json!(["ALL"])),
    ] {
        if enforced {
            assert_eq!(has[field], wanted, "{field}");
        } else {
            assert!(said.contains("cannot bound"), "{field}: {said}");
        }
    }
    let mut ulimits = has["Ulimits"].as_array().cloned().unwrap();
    ulimits.sort_by_key(|ulimit| ulimit["Name"].to_string());
    let nofile = json!({ "Name": "nofile", "Soft": 100, "Hard": 200 });
    let core = json!({ "Name": "core", "Soft": 0, "Hard": 0 });
    assert_eq!(ulimits, [core, nofile]);
    let mut added: Vec<&str> = has["CapAdd"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(Value::as_str)
        .collect();
    added.sort_by_key(|name| name.trim_start_matches("CAP_"));
    let added: Vec<&str> = added
        .iter()
        .map(|name| name.trim_start_matches("CAP_"))
        .collect();
    assert_eq!(
        added,
        ["CHOWN", "DAC_OVERRIDE", "FOWNER", "NET_BIND_SERVICE"]
    );

    // What engines do not tell beforehand: it is there, or was said not to be.
    let device = |rate: i64| json!([{ "Path": disk, "Rate": rate }]);
    let mut late = vec![
        (
            "resources.reservations.memory",
            "MemoryReservation",
            json!(memory / 2),
        ),
        ("mem_swappiness", "MemorySwappiness", json!(10)),
    ];
    if disk.is_some() {
        late.extend([
            ("blkio_config.weight", "BlkioWeight", json!(300)),
            (
                "blkio_config.device_read_bps",
                "BlkioDeviceReadBps",
                device(16 << 20),
            ),
            (
                "blkio_config.device_write_bps",
                "BlkioDeviceWriteBps",
                device(8 << 20),
            ),
            (
                "blkio_config.device_read_iops",
                "BlkioDeviceReadIOps",
                device(1000),
            ),
            (
                "blkio_config.device_write_iops",
                "BlkioDeviceWriteIOps",
                device(500),
            ),
        ]);
    } else {
        skip(
            "every_bound_of_a_service_is_seen_by_inspect",
            "no disk to bound the use of",
        );
    }
    for (key, field, wanted) in late {
        let warned = said.contains(&format!(
            "this engine cannot hold `{key}`: web runs without it"
        ));
        assert_eq!(
            has[field] != wanted,
            warned,
            "{field} is {}: {said}",
            has[field]
        );
    }

    let options: Vec<&str> = has["SecurityOpt"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(Value::as_str)
        .collect();
    assert_eq!(options.len(), 3, "{options:?}");
    assert_eq!(options[0], "no-new-privileges:true");
    let profile = options[1].strip_prefix("seccomp=").unwrap();
    let profile: Value = serde_json::from_str(profile).unwrap();
    assert_eq!(profile, serde_json::from_str::<Value>(PROFILE).unwrap());
    assert_eq!(options[2], "apparmor=docker-default");
    let apparmor = info["SecurityOptions"].to_string().contains("apparmor");
    let warned = said.contains("the AppArmor profile docker-default of web has no effect");
    assert_eq!(warned, !apparmor, "{said}");

    let inside = docker(&[
        "exec",
        "limits-live-web-1-1",
        "sh",
        "-c",
        "ulimit -Sn; ulimit -Hn; mkdir /scratch/a 2>&1; touch /scratch/b && ls /scratch",
    ]);
    let lines: Vec<&str> = inside.lines().collect();
    assert_eq!(
        (lines[0], lines[1], lines[3]),
        ("100", "200", "b"),
        "{inside}"
    );
    assert!(lines[2].contains("Operation not permitted"), "{inside}");

    // Nothing changed, and a changed profile is a change.
    let again = site.0.hoist(&["--progress", "plain", "run"]).expect(0);
    again.says("did not change");
    site.0.change("profiles/web.json", "\"mkdir\", ", "");
    let changed = site.0.hoist(&["--progress", "plain", "run"]).expect(0);
    changed.says("its settings changed");
}

#[test]
fn what_a_plan_opens_is_shown() {
    let project = Project::new(&pipeline("")).file("profiles/web.json", PROFILE);
    let shown = project.hoist(&["plan"]).expect(0).stdout;
    for line in [
        "! services.web.cap_add = [\"NET_BIND_SERVICE\"]",
        "! services.web.memswap_limit = \"256m\"",
        "! services.web.ulimits.nofile = { soft = 100, hard = 200 }",
        "! services.web.security_opt = [\"seccomp=profiles/web.json\"]",
        "! services.web.security_opt = [\"apparmor=docker-default\"]",
    ] {
        assert!(shown.contains(line), "{line}:\n{shown}");
    }
}

/// Objects of someone else, gone with this value.
struct Theirs;

impl Theirs {
    const SUBNET: &'static str = "10.213.0.0/16";

    fn new(port: u16) -> Self {
        drop(Self);
        docker(&["volume", "create", "preflight-live-data"]);
        docker(&[
            "network",
            "create",
            "--subnet",
            Self::SUBNET,
            "preflight-theirs",
        ]);
        docker(&[
            "run",
            "--detach",
            "--name",
            "preflight-theirs",
            "--network",
            "preflight-theirs",
            "--publish",
            &format!("127.0.0.1:{port}:80"),
            "debian:bookworm-slim",
            "sleep",
            "600",
        ]);
        Self
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        for arguments in [
            ["rm", "--force", "preflight-theirs"].as_slice(),
            &["network", "rm", "preflight-theirs"],
            &["volume", "rm", "--force", "preflight-live-data"],
        ] {
            // What is not there is fine.
            let _ = std::process::Command::new("docker")
                .args(arguments)
                .output();
        }
    }
}

#[test]
fn all_that_stands_in_the_way_is_said_at_once_and_nothing_is_touched() {
    if !engine("all_that_stands_in_the_way_is_said_at_once_and_nothing_is_touched") {
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let theirs = Theirs::new(port);
    let site = Deployed(Project::new(&format!(
        r#"
name = "preflight"
[steps.up.deploy]
environment = "live"
[steps.up.deploy.services.web]
image = "python:3.11-slim-bookworm"
command = ["python", "-m", "http.server", "80"]
volumes = ["data:/data"]
ports = ["127.0.0.1:{port}:80"]
resources.reservations.memory = "900g"
stop_grace_period = "1s"
[environments.live]
networks.default.ipam.config = [{{ subnet = "10.213.7.0/24" }}]
"#
    )));
    let ended = site.0.hoist(&["--progress", "plain", "run"]).expect(4);
    for text in [
        "4 things stand in the way of the release to live, and nothing was touched",
        "the network default of live (10.213.7.0/24) overlaps the network preflight-theirs (10.213.0.0/16)",
        &format!(
            "the port 127.0.0.1:{port} of web is taken: the container preflight-theirs holds it"
        ),
        "a volume called preflight-live-data is there already, and this environment did not make it",
        "the services of live reserve 900g of memory, and the engine's host has ",
    ] {
        assert!(ended.stderr.contains(text), "{text}:\n{}", ended.stderr);
    }
    let label = "label=dev.hoist.project=preflight";
    for listing in [
        ["ps", "--all"].as_slice(),
        &["network", "ls"],
        &["volume", "ls"],
    ] {
        let all = [listing, &["--quiet", "--filter", label]].concat();
        assert_eq!(docker(&all), "", "{listing:?}");
    }
    drop(theirs);
    site.0.change("pipeline.toml", "900g", "8m");
    site.0.hoist(&["--progress", "plain", "run"]).expect(0);
    eventually("it runs", Duration::from_secs(5), || {
        !docker(&["ps", "--quiet", "--filter", label]).is_empty()
    });
}
