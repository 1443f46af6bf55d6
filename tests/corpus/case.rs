//! A case of the corpus: its folder, and the two ways to build it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};

use super::image::{Image, differences};
use crate::support::{Ended, Project, docker, ended, engine, skip};

/// A shell and a few tools, small enough to be saved for each case.
const TINY: &str = "hoist-ground/tiny:1";

/// The first time that anything in a case's folder was changed; the others follow, so that no two
/// are the same, and none is a whole second.
const FIRST_TIME: i64 = 1_000_000_000;
const NANOSECONDS: i64 = 123_456_789;

/// What both builders are given.
pub(crate) struct Case {
    project: Project,
    context: &'static str,
    /// None where it stands in pipeline.toml.
    dockerfile: Option<&'static str>,
    /// Words for `docker build`, and the same as keys of the step and as tables of pipeline.toml.
    words: Vec<&'static str>,
    keys: String,
    tables: String,
    times: Vec<(String, i64, i64)>,
    takes: Option<&'static str>,
    fails: Option<&'static str>,
}

/// A case with that Dockerfile, where `BASE` stands for a small image with a shell.
pub(crate) fn case(dockerfile: &str) -> Case {
    let dockerfile = dockerfile.replace("BASE", TINY);
    Case {
        project: Project::empty().file("Dockerfile", dockerfile),
        context: ".",
        dockerfile: Some("Dockerfile"),
        words: Vec::new(),
        keys: String::new(),
        tables: String::new(),
        times: Vec::new(),
        takes: None,
        fails: None,
    }
}

/// The same, with the Dockerfile in pipeline.toml.
pub(crate) fn inline(dockerfile: &str) -> Case {
    let mut case = case(dockerfile);
    case.dockerfile = None;
    case
}

/// Its folder.
impl Case {
    fn at(&self, path: &str) -> PathBuf {
        let path = self.project.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.at(path), content).unwrap();
        self.mode(path, 0o644)
    }

    /// Files that hold their own paths.
    pub(crate) fn files(self, paths: &[&str]) -> Self {
        paths
            .iter()
            .fold(self, |case, path| case.file(path, path.as_bytes()))
    }

    pub(crate) fn folder(self, path: &str) -> Self {
        fs::create_dir_all(self.at(path)).unwrap();
        self.mode(path, 0o755)
    }

    pub(crate) fn mode(self, path: &str, mode: u32) -> Self {
        fs::set_permissions(self.at(path), PermissionsExt::from_mode(mode)).unwrap();
        self
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        symlink(target, self.at(path)).unwrap();
        self
    }

    pub(crate) fn hard_link(self, path: &str, other: &str) -> Self {
        fs::hard_link(self.at(other), self.at(path)).unwrap();
        self
    }

    pub(crate) fn owner(self, path: &str, id: u32) -> Self {
        std::os::unix::fs::chown(self.at(path), Some(id), Some(id)).unwrap();
        self
    }

    pub(crate) fn attribute(self, path: &str, name: &str, value: &[u8]) -> Self {
        rustix::fs::setxattr(self.at(path), name, value, XattrFlags::empty()).unwrap();
        self
    }

    /// Changed last at that time, in seconds since the epoch and nanoseconds.
    pub(crate) fn time(mut self, path: &str, seconds: i64, nanoseconds: i64) -> Self {
        self.times.push((path.to_owned(), seconds, nanoseconds));
        self
    }

    pub(crate) fn without(self, path: &str) -> Self {
        fs::remove_file(self.at(path)).unwrap();
        self
    }

    /// With that Dockerfile beside or instead of the first.
    pub(crate) fn dockerfile(mut self, path: &'static str, text: &str) -> Self {
        self.dockerfile = Some(path);
        self.file(path, text)
    }
}

/// How it is built.
impl Case {
    pub(crate) fn context(mut self, path: &'static str) -> Self {
        self.context = path;
        self
    }

    /// Words for docker, and the same as a line of the step's build.
    pub(crate) fn option(mut self, words: &[&'static str], key: &str) -> Self {
        self.words.extend(words);
        self.keys.push_str(key);
        self.keys.push('\n');
        self
    }

    /// A variable in the environment of both.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.project = self.project.variable(name, value);
        self
    }

    /// A table of pipeline.toml beside the step.
    pub(crate) fn table(mut self, text: &str) -> Self {
        self.tables.push_str(text);
        self
    }

    /// It takes a BuildKit of 2023 or later, for the sake of this.
    pub(crate) fn takes_modern(mut self, what: &'static str) -> Self {
        self.takes = Some(what);
        self
    }

    /// Both builders refuse it, and both say these words.
    pub(crate) fn fails(mut self, saying: &'static str) -> Self {
        self.fails = Some(saying);
        self
    }

    /// Both builders refuse it, each in its own words.
    pub(crate) fn refused(self) -> Self {
        self.fails("")
    }

    /// Builds it both ways and compares.
    #[track_caller]
    pub(crate) fn compare(self, test: &str, buildx: &Path) {
        if let Some(what) = self.takes.filter(|_| !modern()) {
            skip(test, &format!("this engine's BuildKit knows no {what}"));
            return;
        }
        let unique = self.project.path().file_name().unwrap().to_str().unwrap();
        let names =
            Names(["docker", "hoist"].map(|who| format!("hoist-test/corpus:{unique}-{who}")));
        let [by_docker, by_hoist] = &names.0;
        self.write_pipeline(by_hoist);
        self.set_times();
        let theirs = self.by_docker(buildx, by_docker);
        let ours = self.project.hoist(&["--progress", "plain", "run"]);
        if let Some(words) = self.fails {
            for (who, ended) in [("docker", theirs), ("hoist", ours)] {
                let (code, said) = (ended.code, &ended.stderr);
                assert_ne!(code, 0, "{test}: {who} builds it: {said}");
                assert!(
                    said.contains(words),
                    "{test}: {who} does not say `{words}`: {said}"
                );
            }
            return;
        }
        assert_eq!(theirs.code, 0, "{test}: docker: {}", theirs.stderr);
        assert_eq!(ours.code, 0, "{test}: hoist: {}", ours.stderr);
        let [theirs, ours] = &Image::saved(by_docker, by_hoist);
        let found = differences(theirs, ours);
        assert!(
            found.is_empty(),
            "{test}: {} differences\n{}",
            found.len(),
            found.join("\n")
        );
    }

    fn write_pipeline(&self, image: &str) {
        let Self {
            context,
            keys,
            tables,
            ..
        } = self;
        let dockerfile = match self.dockerfile {
            Some(path) => format!("dockerfile = \"{path}\""),
            None => format!(
                "dockerfile_inline = '''\n{}'''",
                self.project.read("Dockerfile")
            ),
        };
        let text = format!(
            "name = \"corpus\"\n{tables}\n[steps.image.build]\nno_cache = true\n\
             tags = [\"{image}\"]\ncontext = \"{context}\"\n{dockerfile}\n{keys}"
        );
        fs::write(self.at("pipeline.toml"), text).unwrap();
    }

    /// As `docker build` does.
    fn by_docker(&self, buildx: &Path, image: &str) -> Ended {
        // In the scrubbed environment of the tested hoist.
        let ours = self.project.command(&[]);
        let mut command = Command::new(buildx);
        command.env_clear().current_dir(self.project.path());
        for (name, value) in ours.get_envs() {
            command.env(name, value.unwrap());
        }
        // It takes two contexts of one folder name for one, unless its own identity is another.
        let identity = tempfile::tempdir().unwrap();
        let output = command
            .env("BUILDX_CONFIG", identity.path())
            .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
            .args(["build", "--progress", "plain", "--no-cache", "--tag", image])
            .args(["--file", self.dockerfile.unwrap_or("Dockerfile")])
            .args(&self.words)
            .arg(self.context)
            .output();
        ended(output.unwrap())
    }

    fn set_times(&self) {
        let mut all = vec![self.project.path().to_owned()];
        below(self.project.path(), &mut all);
        for (place, path) in (0..).zip(&all) {
            set_time(path, FIRST_TIME + 1000 * place, NANOSECONDS + place);
        }
        for (path, seconds, nanoseconds) in &self.times {
            set_time(&self.project.path().join(path), *seconds, *nanoseconds);
        }
    }
}

/// All that is in a folder, in one order on every machine.
fn below(folder: &Path, all: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap();
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    for entry in entries {
        all.push(entry.clone());
        if entry.is_dir() && !entry.is_symlink() {
            below(&entry, all);
        }
    }
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// The names of both images, which go with this value.
struct Names([String; 2]);

impl Drop for Names {
    fn drop(&mut self) {
        // Nobody waits for it: some engines look through all that they have first.
        let _ = Command::new("docker")
            .args(["image", "rm"])
            .args(&self.0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
    }
}

/// Docker's own builder, if it and an engine are there. If not, says that the test is skipped.
pub(super) fn buildx(test: &str) -> Option<PathBuf> {
    if !engine(test) {
        return None;
    }
    let found = crate::support::variable("HOIST_GROUND_BUILDX");
    if found.is_none() {
        skip(
            test,
            "there is no buildx: tests/ground/setup says where it is",
        );
    }
    found.map(PathBuf::from)
}

/// The engine's BuildKit has the Dockerfile syntax of 2023.
pub(crate) fn modern() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let api = docker(&["version", "--format", "{{.Server.APIVersion}}"]);
        let minor = api
            .strip_prefix("1.")
            .and_then(|minor| minor.parse::<u32>().ok());
        minor.is_some_and(|minor| minor >= 42)
    })
}
