//! How builds end that do not come to their end: interrupted or killed at any moment, cut off from
//! their engine, or sent files that change under way. Nothing of them goes on and nothing dangles.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::corpus::modern;
use crate::support::{
    Ended, Project, Running, SmallEngine, as_nobody, can_drop_root, docker, engine, eventually,
    left_of, variable,
};

/// How long a build may go on after the signal.
const AT_ONCE: Duration = Duration::from_secs(2);
const MIB: u64 = 1 << 20;

/// One moment of a build at which it is ended.
struct Moment {
    name: &'static str,
    dockerfile: &'static str,
    reached: fn(&mut Running, &Mark),
}

/// What tells one build from all others on the machine and the engine.
struct Mark {
    /// What `sleep` is told in its RUN.
    sleep: String,
    /// A label of its image.
    label: String,
}

const MOMENTS: [Moment; 3] = [
    Moment {
        name: "upload",
        dockerfile: "COPY large /large\n",
        reached: |running, _| sending(running, "large"),
    },
    Moment {
        name: "run",
        dockerfile: "RUN echo building slowly; sleep SLEEP\n",
        reached: |running, mark| {
            running.wait_for("building slowly");
            let sleeps = || !processes(&mark.sleep).is_empty();
            eventually("its process is seen", Duration::from_secs(10), sleeps);
        },
    },
    Moment {
        name: "export",
        dockerfile: "RUN head -c 300M /dev/zero > /large\n",
        reached: |running, _| running.wait_for("exporting to image"),
    },
];

/// A build on the image of another, which needs a name for the time of the build.
fn project(moment: &Moment) -> (Project, Mark) {
    let project = Project::empty();
    let unique = project
        .path()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let digits: String = unique
        .bytes()
        .map(|byte| (b'0' + byte % 10) as char)
        .collect();
    let mark = Mark {
        sleep: format!("1000.{digits}"),
        label: format!("org.example.test={unique}"),
    };
    let pipeline = format!(
        r#"
name = "builds-ends"
[steps.base.build]
context = "base"
dockerfile_inline = "FROM debian:bookworm-slim"
labels = {{ "org.example.test" = "{unique}" }}
[steps.slow.build]
args = {{ BASE = "${{steps.base.image}}" }}
labels = {{ "org.example.test" = "{unique}", slow = "yes" }}
"#
    );
    let slow = moment.dockerfile.replace("SLEEP", &mark.sleep);
    let project = project
        .file("pipeline.toml", pipeline)
        .file("Dockerfile", format!("ARG BASE\nFROM ${{BASE}}\n{slow}"));
    fs::create_dir(project.path().join("base")).unwrap();
    if moment.name == "upload" {
        sparse(&project.path().join("large"), 3 << 10);
    }
    (project, mark)
}

/// A file of so many MiB that takes no place on the disk.
fn sparse(path: &Path, mebibytes: u64) {
    File::create(path)
        .unwrap()
        .set_len(mebibytes * MIB)
        .unwrap();
}

/// Waits until a file of the context is on its way.
fn sending(running: &mut Running, file: &str) {
    running.wait_for("build context");
    let opened = format!("/proc/{}/fd", running.id());
    let what = format!("{file} is sent");
    eventually(&what, Duration::from_secs(60), || {
        assert!(!running.has_ended(), "before {what}: {}", running.said());
        let opened = fs::read_dir(&opened).into_iter().flatten();
        let mut paths = opened.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        paths.any(|path| path.ends_with(file))
    });
}

/// Processes of this machine that have a word among their arguments.
fn processes(word: &str) -> Vec<PathBuf> {
    let all = fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let has = |process: &PathBuf| {
        let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
        arguments
            .split(|byte| *byte == 0)
            .any(|argument| argument == word.as_bytes())
    };
    all.filter(has).collect()
}

/// Nothing of the build dangles, and the project builds as if nothing had been.
fn nothing_dangles(project: &Project, mark: &Mark, what: &str) {
    let images = |filters: &[&str]| {
        let mut arguments = vec![
            "image",
            "ls",
            "--all",
            "--format",
            "{{.Repository}}:{{.Tag}} {{.ID}}",
        ];
        arguments.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
        docker(&arguments)
    };
    let mine = format!("label={}", mark.label);
    assert_eq!(images(&[&mine, "label=slow"]), "", "{what}");
    eventually(
        &format!("the base has lost its name for a while ({what})"),
        Duration::from_secs(5),
        || !images(&[&mine]).contains("-for-slow"),
    );
    let run = project.runs().pop().unwrap();
    eventually(
        &format!("nothing of the run is left ({what})"),
        Duration::from_secs(5),
        || left_of(&run).is_empty(),
    );
    fs::write(
        project.path().join("Dockerfile"),
        "FROM scratch\nCOPY pipeline.toml /\n",
    )
    .unwrap();
    fs::write(project.path().join(".dockerignore"), "large\n").unwrap();
    let again = Instant::now();
    project.hoist(&["run", "slow"]).expect(0);
    assert!(
        again.elapsed() < Duration::from_secs(20),
        "{what}: {:?}",
        again.elapsed()
    );
    assert_eq!(images(&[&mine, "label=slow"]).lines().count(), 1, "{what}");
    for image in images(&[&mine]).lines() {
        let id = image.split_once(' ').unwrap().1;
        Command::new("docker")
            .args(["image", "rm", "--force", id])
            .output()
            .unwrap();
    }
}

/// The engine's builder holds on to a RUN with that word.
fn holds(word: &str) -> bool {
    // Later ones hold on to every RUN that was stopped, whoever asked for it.
    let Some(buildx) = variable("HOIST_GROUND_BUILDX").filter(|_| !modern()) else {
        return false;
    };
    let output = Command::new(buildx).args(["du", "--verbose"]).output();
    let records = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
    let held = |record: &str| {
        let fields = record.split_whitespace().collect::<Vec<_>>().join(" ");
        fields.contains(word) && fields.contains("Reclaimable: false")
    };
    records.split("\n\n").any(held)
}

#[test]
fn interrupted_or_killed_at_any_moment_it_stops_at_once() {
    if !engine("builds_ends::interrupted_or_killed_at_any_moment_it_stops_at_once") {
        return;
    }
    for moment in &MOMENTS {
        for (signal, code) in [("INT", 130), ("KILL", -1)] {
            let what = format!("{signal} in the {}", moment.name);
            let (project, mark) = project(moment);
            let mut running = project.start(&["--progress", "plain", "run", "slow"]);
            (moment.reached)(&mut running, &mark);
            running.signal(signal);
            eventually(&format!("no process is left ({what})"), AT_ONCE, || {
                processes(&mark.sleep).is_empty()
            });
            eventually(&format!("the builder is done ({what})"), AT_ONCE, || {
                !holds(&mark.sleep)
            });
            let ended = running.end(Duration::from_secs(10)).expect(code);
            if code == 130 {
                assert!(
                    ended.last().starts_with("INTERRUPTED"),
                    "{what}: {}",
                    ended.stderr
                );
            }
            nothing_dangles(&project, &mark, &what);
        }
    }
}

#[test]
fn the_engine_goes_away() {
    let test = "builds_ends::the_engine_goes_away";
    if !engine(test) || !can_drop_root(test) {
        return;
    }
    let Some(small) = SmallEngine::start(test) else {
        return;
    };
    // One that breaks down, and one that is restarted.
    for signal in ["KILL", "TERM"] {
        let project =
            Project::new("name = \"builds-ends\"\n[steps.slow.build]\nnetwork = \"none\"\n")
                .file(
                    "Dockerfile",
                    "FROM debian:bookworm-slim\nRUN echo building slowly; sleep 300\n",
                )
                .variable("DOCKER_HOST", &small.address);
        let mut running = project.start(&["--progress", "plain", "run"]);
        running.wait_for("building slowly");
        small.signal(signal);
        let ended = running.end(Duration::from_secs(20)).expect(4);
        let causes = ended.stderr.matches("cause:").count();
        assert_eq!(causes, 1, "{signal}: {}", ended.stderr);
        let ended = ended.says("engine");
        assert!(
            !ended.stderr.contains("Dockerfile:2"),
            "{signal}: {}",
            ended.stderr
        );
        let dockerfile = project.path().join("Dockerfile");
        fs::write(dockerfile, "FROM scratch\nCOPY . /\n").unwrap();
        eventually("it builds again", Duration::from_secs(60), || {
            project.hoist(&["run"]).code == 0
        });
    }
}

/// A build of more large files than are read at a time, changed while the first is sent.
/// How a run ends whose context is changed while it is sent. A quick engine may have all of it
/// before the change: then once more.
fn changed_under_way(change: fn(&Path)) -> Ended {
    let tries = (0..10).map(|_| changed_once(change));
    let mut passed = None;
    for ended in tries {
        if ended.code != 0 {
            return ended;
        }
        passed = Some(ended);
    }
    passed.unwrap()
}

fn changed_once(change: fn(&Path)) -> Ended {
    let project = Project::new("name = \"builds-ends\"\n[steps.image.build]\n")
        .file("Dockerfile", "FROM scratch\nCOPY . /x/\n")
        .file("z-last", "small");
    sparse(&project.path().join("a-large"), 128);
    for name in 'b'..='h' {
        sparse(&project.path().join(format!("{name}-large")), 16);
    }
    let mut running = project.start(&["--progress", "plain", "run"]);
    sending(&mut running, "a-large");
    change(project.path());
    running.end(Duration::from_secs(60))
}

#[test]
fn files_that_change_while_they_are_sent() {
    if !engine("builds_ends::files_that_change_while_they_are_sent") {
        return;
    }
    let grown = changed_under_way(|folder| {
        let file = OpenOptions::new().append(true).open(folder.join("a-large"));
        file.unwrap().write_all(b"more").unwrap();
    });
    grown.expect(2).says("`a-large` changed").says("it grew");
    let shrunk = changed_under_way(|folder| sparse(&folder.join("a-large"), 1));
    shrunk.expect(2).says("`a-large` changed").says("it shrank");
    let gone = changed_under_way(|folder| fs::remove_file(folder.join("z-last")).unwrap());
    gone.expect(2).says("`z-last` changed").says("it vanished");
}

#[test]
fn files_that_cannot_be_read() {
    let test = "builds_ends::files_that_cannot_be_read";
    if !engine(test) || !can_drop_root(test) {
        return;
    }
    for (path, hidden) in [
        ("dir/private.key", "dir/private.key"),
        ("private/key", "private"),
    ] {
        let project = Project::new("name = \"builds-ends\"\n[steps.image.build]\n")
            .file("Dockerfile", "FROM scratch\nCOPY . /x/\n")
            .file(path, "x");
        fs::set_permissions(
            project.path().join(hidden),
            PermissionsExt::from_mode(0o000),
        )
        .unwrap();
        let ended = as_nobody(&project, &["run"]).expect(2);
        ended
            .says(&format!("`{hidden}` cannot be read"))
            .says(".dockerignore");
        // What is ignored need not be readable.
        fs::write(project.path().join(".dockerignore"), format!("{hidden}\n")).unwrap();
        as_nobody(&project, &["run"]).expect(0);
    }
}

#[test]
fn links_that_no_image_can_hold() {
    if !engine("builds_ends::links_that_no_image_can_hold") {
        return;
    }
    for (link, target, why) in [
        ("dir/out", "../../outside", "out of the folder"),
        ("round", "about", "in a circle"),
        ("dir/itself", "itself", "in a circle"),
    ] {
        let project = Project::new("name = \"builds-ends\"\n[steps.image.build]\n")
            .file("Dockerfile", "FROM scratch\nCOPY . /x/\n")
            .file("dir/file", "x");
        symlink("round", project.path().join("about")).unwrap();
        symlink(target, project.path().join(link)).unwrap();
        fs::write(
            project.path().join(".dockerignore"),
            if why == "in a circle" { "" } else { "about\n" },
        )
        .unwrap();
        let ended = project.hoist(&["run"]).expect(2).says(why);
        assert!(
            ended.stderr.contains(&format!("`{link}`")) || ended.stderr.contains("`about`"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn sockets_and_pipes_are_left_out() {
    if !engine("builds_ends::sockets_and_pipes_are_left_out") {
        return;
    }
    let project = Project::new("name = \"builds-ends\"\n[steps.image.build]\n[steps.look]\nimage = \"${steps.image.image}\"\nrun = \"find /x/dir\"\n")
        .file("Dockerfile", "FROM debian:bookworm-slim\nCOPY . /x/\n")
        .file("dir/file", "x");
    let _listener =
        std::os::unix::net::UnixListener::bind(project.path().join("dir/socket")).unwrap();
    let pipe = project.path().join("dir/pipe");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    project.hoist(&["run"]).expect(0);
    let found = project.hoist(&["logs", "look"]).expect(0).stdout;
    assert_eq!(found, "/x/dir\n/x/dir/file\n");
}
