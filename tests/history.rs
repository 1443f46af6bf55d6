//! The history of an environment on a real engine: what is told of it, what is found when someone
//! changed it, and that a prune spares it.

use crate::support::{Ended, Project, docker, engine};

/// A project with a small deploy, in an environment that goes with this value.
struct Site {
    project: Project,
    name: &'static str,
}

impl Site {
    fn new(name: &'static str) -> Self {
        let pipeline = format!(
            r#"
name = "history-{name}"
[steps.up.deploy]
environment = "live"
wait_timeout = "1m"
[steps.up.deploy.services.store]
image = "redis:7-bookworm"
environment = {{ VERSION = "0" }}
stop_grace_period = "1s"
healthcheck = {{ test = "true", interval = "1s" }}
[environments.live]
"#
        );
        let project = Project::new(&pipeline);
        Self { project, name }
    }

    /// The releases of these versions, one after another.
    fn release(&self, versions: std::ops::RangeInclusive<u32>) {
        for version in versions {
            let value = |version: u32| format!("VERSION = \"{version}\"");
            let (before, after) = (value(version - 1), value(version));
            self.project.change("pipeline.toml", &before, &after);
            let ended = self.project.hoist(&["--progress", "plain", "run"]);
            ended.expect(0);
        }
    }

    fn verify(&self) -> Ended {
        self.project.hoist(&["releases", "live", "--verify"])
    }

    fn volume(&self) -> String {
        format!("hoist-state-history-{}-live", self.name)
    }

    /// Does something in the folder of the history, as someone who may.
    fn do_there(&self, script: &str) {
        let mount = format!("{}:/state", self.volume());
        docker(&[
            "run",
            "--rm",
            "--network=none",
            "--volume",
            &mount,
            "--workdir=/state",
            "debian:bookworm-slim",
            "sh",
            "-euc",
            script,
        ]);
    }

    /// What of the history is wrong once the script has run; it is as before after that.
    #[track_caller]
    fn finds(&self, script: &str, fault: &str) {
        let keep = "mkdir /state/kept && cp -p /state/*.json /state/kept";
        self.do_there(&format!("{keep}; {script}"));
        self.verify().expect(1).says(fault);
        // It is a warning to those who do not ask.
        let told = self.project.hoist(&["releases", "live"]).expect(0);
        told.says(fault);
        self.do_there("rm -f *.json; mv kept/* .; rmdir kept");
        self.verify().expect(0);
    }

    /// What the engine has of it: the name of the container that runs, and of the volume.
    fn held(&self) -> [String; 2] {
        let (label, volume) = (self.label(), self.volume());
        let name = format!("name={volume}");
        [
            docker(&[
                "ps",
                "--filter",
                &label,
                "--filter",
                &name,
                "--format",
                "{{.Names}}",
            ]),
            docker(&[
                "volume", "ls", "--quiet", "--filter", &label, "--filter", &name,
            ]),
        ]
    }

    fn label(&self) -> String {
        format!("label=dev.hoist.project=history-{}", self.name)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.project.hoist(&["down", "live", "--volumes"]);
    }
}

#[test]
fn what_was_released_is_told_and_what_was_changed_is_found() {
    if !engine("history::what_was_released_is_told_and_what_was_changed_is_found") {
        return;
    }
    let site = Site::new("found");
    let none = site.project.hoist(&["releases", "live"]).expect(0);
    assert_eq!(none.stdout, "nothing was released to live\n");
    site.release(1..=3);
    site.verify()
        .expect(0)
        .says("the history of live is as it was written: 3 releases");
    let told = site.project.hoist(&["releases", "live", "--format=json"]);
    let told: serde_json::Value = serde_json::from_str(&told.expect(0).stdout).unwrap();
    let releases = told["releases"].as_array().unwrap();
    let told: Vec<_> = releases
        .iter()
        .map(|release| (&release["release"], &release["services"][0]["serves"]))
        .map(|(number, serves)| (number.as_u64().unwrap(), serves.as_bool().unwrap()))
        .collect();
    assert_eq!(told, [(3, true), (2, false), (1, false)]);
    assert!(releases.iter().all(|release| release["result"] == "passed"));

    site.finds(
        "sed -i s/redis/radis/ 000003.json",
        "entry 3 was changed after it was written",
    );
    site.finds(
        "printf '\\001' | dd of=000006.json bs=1 seek=90 conv=notrunc",
        "entry 6, the last, is broken",
    );
    site.finds("rm -f 000002.json", "entry 2 is missing");
    site.finds(
        "mv 000002.json x; mv 000004.json 000002.json; mv x 000004.json",
        "entry 4 stands in the place of entry 2",
    );
    site.finds(
        "rm -f 000005.json 000006.json",
        "the entries after release 2 are missing: there is a container of release 3",
    );

    // A writing that was cut off ends nothing.
    site.do_there("head -c 100 000006.json >x; mv -f x 000006.json");
    site.release(4..=4);
    site.verify()
        .expect(0)
        .says("entry 6 cannot be read: its writing was cut off");
}

#[test]
fn a_prune_spares_it_and_down_keeps_it() {
    if !engine("history::a_prune_spares_it_and_down_keeps_it") {
        return;
    }
    let site = Site::new("kept");
    site.release(1..=1);
    let held = [site.volume(), site.volume()];
    assert_eq!(site.held(), held);
    // Of this project alone: the engine is not ours.
    for what in ["container", "volume"] {
        docker(&[what, "prune", "--force", "--filter", &site.label()]);
    }
    assert_eq!(site.held(), held);
    site.release(2..=2);
    site.verify().expect(0).says("2 releases");

    site.project.hoist(&["down", "live"]).expect(0);
    assert_eq!(site.held(), [String::new(), site.volume()]);
    site.verify().expect(0).says("2 releases");
    site.release(3..=3);
    site.verify().expect(0).says("3 releases");
    assert_eq!(site.held(), held);
    site.project.hoist(&["down", "live", "--volumes"]).expect(0);
    assert_eq!(site.held(), [String::new(), String::new()]);
}
