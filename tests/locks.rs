//! The lock of an environment on a real engine: who wins, who is told, and what the owner's death
//! does.

use std::time::{Duration, Instant};

use crate::support::{Ended, Project, Running, docker, engine, eventually};

/// Deploys that race.
const RACERS: usize = 20;
/// So long an end may take while many of them start.
const SOON: Duration = Duration::from_secs(120);

/// A project whose only deploy is never done, in an environment that goes with this value.
struct Site {
    project: Project,
    name: &'static str,
}

impl Site {
    fn new(name: &'static str) -> Self {
        let pipeline = format!(
            r#"
name = "locks-{name}"
[steps.up.deploy]
environment = "live"
wait_timeout = "5m"
[steps.up.deploy.services.web]
image = "redis:7-bookworm"
stop_grace_period = "1s"
healthcheck = {{ test = "false", interval = "1s", retries = 1000 }}
[environments.live]
"#
        );
        let project = Project::new(&pipeline);
        Self { project, name }
    }

    fn start(&self, wait: &str) -> Running {
        let arguments = ["--progress", "plain", "run", "--lock-wait", wait];
        self.project.start(&arguments)
    }

    /// Its deploy, which has the lock and waits.
    fn holds(&self) -> Running {
        let mut running = self.start("0s");
        running.wait_for("waiting for web to be healthy");
        running
    }

    fn is_healthy_from_now_on(&self) {
        let file = "pipeline.toml";
        self.project
            .change(file, "test = \"false\"", "test = \"true\"");
    }

    /// What the engine says of the lock: its state; empty if there is none.
    fn lock(&self) -> String {
        let filter = format!("name=^/?hoist-lock-locks-{}-live$", self.name);
        docker(&["ps", "-a", "--filter", &filter, "--format", "{{.State}}"])
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.project.hoist(&["unlock", "live", "--force"]);
        self.project.hoist(&["down", "live", "--volumes"]);
    }
}

#[test]
fn of_twenty_deploys_at_once_one_runs_and_each_other_is_told_who() {
    if !engine("locks::of_twenty_deploys_at_once_one_runs_and_each_other_is_told_who") {
        return;
    }
    let site = Site::new("race");
    let mut racers: Vec<Running> = (0..RACERS).map(|_| site.start("0s")).collect();
    let (mut lost, mut left): (Vec<Ended>, Vec<Running>) = (Vec::new(), Vec::new());
    eventually("all but one have ended", SOON, || {
        for mut racer in racers.drain(..) {
            match racer.has_ended() {
                true => lost.push(racer.end(SOON)),
                false => left.push(racer),
            }
        }
        std::mem::swap(&mut racers, &mut left);
        racers.len() <= 1
    });
    let mut winner = racers.pop().expect("one runs");
    winner.wait_for("waiting for web to be healthy");
    assert_eq!(site.lock(), "running");
    let run = docker(&[
        "inspect",
        "--format",
        "{{index .Config.Labels \"dev.hoist.run\"}}",
        "hoist-lock-locks-race-live",
    ]);
    let who = format!("run {run} (process {} of this machine, since ", winner.id());
    for racer in lost {
        racer
            .expect(4)
            .says("another deploy to live is under way")
            .says(&who);
    }
    let start = Instant::now();
    let held = site.project.hoist(&["unlock", "live"]).expect(4);
    held.says("the lock of live is held").says(&who);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_death_of_its_owner_frees_it() {
    if !engine("locks::the_death_of_its_owner_frees_it") {
        return;
    }
    let site = Site::new("death");
    let owner = site.holds();
    assert_eq!(site.lock(), "running");
    owner.signal("KILL");
    eventually("the lock ends", Duration::from_secs(5), || {
        site.lock() != "running"
    });
    site.is_healthy_from_now_on();
    // Its reaper is at work, or has been.
    site.project
        .hoist(&["--progress", "plain", "run", "--lock-wait", "0s"])
        .expect(0);
    assert_eq!(site.lock(), "");
}

#[test]
fn where_the_reaper_dies_too_it_is_free_a_moment_later() {
    if !engine("locks::where_the_reaper_dies_too_it_is_free_a_moment_later") {
        return;
    }
    let site = Site::new("both");
    let owner = site.holds();
    let reaper = children(owner.id());
    assert!(!reaper.is_empty(), "there is one");
    for process in reaper {
        kill(process);
    }
    owner.signal("KILL");
    eventually("the lock ends", Duration::from_secs(5), || {
        site.lock() == "exited"
    });
    let start = Instant::now();
    let unlocked = site.project.hoist(&["unlock", "live"]).expect(0);
    unlocked.says("live is unlocked: run ").says("is dead");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(site.lock(), "");
    let again = site.project.hoist(&["unlock", "live"]).expect(0);
    again.says("live is not locked");
}

#[test]
fn it_is_waited_for() {
    if !engine("locks::it_is_waited_for") {
        return;
    }
    let site = Site::new("wait");
    let owner = site.holds();
    site.is_healthy_from_now_on();
    let mut next = site.start("2m");
    next.wait_for("waiting for the lock of live");
    std::thread::sleep(Duration::from_secs(2));
    assert!(!next.has_ended());
    owner.signal("TERM");
    owner.end(SOON).expect(143);
    next.end(SOON).expect(0);
    assert_eq!(site.lock(), "");
}

#[test]
fn it_can_be_taken_from_one_that_hangs() {
    if !engine("locks::it_can_be_taken_from_one_that_hangs") {
        return;
    }
    let site = Site::new("hang");
    let owner = site.holds();
    owner.signal("STOP");
    let held = site.project.hoist(&["unlock", "live"]).expect(4);
    held.says("the lock of live is held");
    assert_eq!(site.lock(), "running");
    let taken = site.project.hoist(&["unlock", "live", "--force"]).expect(0);
    taken.says("live is unlocked: run ").says("had it");
    assert_eq!(site.lock(), "");
    owner.signal("KILL");
}

/// The processes that a process started and that still run.
fn children(of: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(process) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        if parent.split_whitespace().nth(1) == Some(&of.to_string()) {
            children.push(process);
        }
    }
    children
}

fn kill(process: u32) {
    let status = std::process::Command::new("kill")
        .args(["-KILL", &process.to_string()])
        .status();
    assert!(status.unwrap().success());
}
