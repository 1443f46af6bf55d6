//! `when`, and the options that choose steps, over a real repository.

use std::process::Command;

use crate::support::{Project, engine, left_of};

/// The lesson's project, committed on `main`.
fn committed() -> Project {
    let project = Project::example("conditions");
    git(&project, &["init", "-q", "-b", "main"]);
    commit(&project);
    project
}

fn git(project: &Project, arguments: &[&str]) {
    let output = Command::new("git")
        .current_dir(project.path())
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is there");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
}

fn commit(project: &Project) {
    git(project, &["add", "-A"]);
    git(project, &["commit", "-q", "-m", "a change"]);
}

/// What the plan says of a step's condition.
#[track_caller]
fn said(project: &Project, arguments: &[&str], step: &str) -> String {
    let arguments = [&["plan"], arguments].concat();
    let plan = project.hoist(&arguments).expect(0).stdout;
    let section = plan.split("\n\n").find(|text| text.starts_with(step));
    let section = section.unwrap_or_else(|| panic!("{step} is not in\n{plan}"));
    let line = section
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("as ") || line.starts_with('○'));
    line.unwrap_or_default().to_owned()
}

#[test]
fn changes_are_those_since_the_branch_began_and_those_in_no_commit_yet() {
    let project = committed();
    git(&project, &["switch", "-q", "-c", "longer"]);
    let nothing = "○ skipped: nothing in `docs` or `**/*.md` changed since `main`";
    assert_eq!(said(&project, &[], "docs"), nothing);
    // What happens on main afterwards is no change of this branch.
    git(&project, &["switch", "-q", "main"]);
    let project = project.file("docs/other.md", "# other\n");
    commit(&project);
    git(&project, &["switch", "-q", "longer"]);
    assert_eq!(said(&project, &[], "docs"), nothing);
    // A file that git does not know yet, one that is changed, and one that is committed.
    let project = project.file("docs/né w.md", "# new\n");
    assert_eq!(
        said(&project, &[], "docs"),
        "as `docs/né w.md` changed since `main`"
    );
    std::fs::remove_file(project.path().join("docs/né w.md")).unwrap();
    project.change("docs/greet.md", "hello", "hello twice");
    let changed = "as `docs/greet.md` changed since `main`";
    assert_eq!(said(&project, &[], "docs"), changed);
    commit(&project);
    assert_eq!(said(&project, &[], "docs"), changed);
    // Hoist's own setting stands over the file.
    let project = project.variable("HOIST_BASE", "longer");
    assert_eq!(
        said(&project, &[], "docs"),
        "○ skipped: nothing in `docs` or `**/*.md` changed since `longer`"
    );
    let project = project.variable("HOIST_BASE", "--output=x");
    let ended = project.hoist(&["plan"]).expect(0);
    ended.says("warning: what changed cannot be told: there is no commit `--output=x`");
}

#[test]
fn changes_are_seen_from_the_projects_root() {
    let outer = Project::empty().file("README.md", "");
    let inner = outer.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    git(&outer, &["init", "-q", "-b", "main"]);
    let pipeline = repository_example();
    let outer = outer.file("inner/pipeline.toml", pipeline);
    commit(&outer);
    let outer = outer.file("OTHER.md", "");
    let plan = |outer: &Project| {
        let folder = outer.path().join("inner");
        let arguments = ["-C", folder.to_str().unwrap(), "plan", "--only", "docs"];
        outer.hoist(&arguments).expect(0).stdout
    };
    // What changed beside the project is none of its files.
    assert!(plan(&outer).contains("○ skipped: nothing in"));
    let outer = outer.file("inner/docs/new.md", "");
    assert!(plan(&outer).contains("as `docs/new.md` changed since `main`"));
}

fn repository_example() -> String {
    let path = crate::support::repository().join("examples/conditions/pipeline.toml");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_release_needs_its_branch_its_tag_and_its_word() {
    let project = committed();
    let release = |project: &Project| said(project, &[], "release");
    assert_eq!(release(&project), "○ skipped: the commit has no tag");
    git(&project, &["tag", "v1"]);
    assert_eq!(release(&project), "○ skipped: RELEASE is not set");
    let project = project.variable("RELEASE", "no");
    assert_eq!(release(&project), "○ skipped: RELEASE is not `yes`");
    let project = project.variable("RELEASE", "yes");
    assert_eq!(
        release(&project),
        "as the branch is `main`, the tag is `v1`, RELEASE is `yes`"
    );
    git(&project, &["switch", "-q", "-c", "longer"]);
    assert_eq!(
        release(&project),
        "○ skipped: the branch is `longer`, not `main` or `release/*`"
    );
    assert_eq!(
        said(&project, &[], "announce"),
        "○ skipped: needs release, which is skipped"
    );
}

#[test]
fn an_expression_is_put_together_with_and_or_and_not() {
    let project = committed();
    let skipped = |project: &Project| said(project, &[], "spelling").starts_with("○ skipped: ");
    assert!(!skipped(&project));
    let project = project.variable("HURRY", "yes");
    assert!(!skipped(&project), "main is never in a hurry");
    git(&project, &["switch", "-q", "-c", "longer"]);
    assert!(skipped(&project));
    let project = project.variable("HURRY", "1");
    assert!(skipped(&project));
    let project = project.variable("HURRY", "no");
    assert!(!skipped(&project));
}

#[test]
fn steps_are_chosen_by_patterns() {
    let project = committed();
    let steps = |arguments: &[&str]| {
        let plan = project.hoist(&[&["plan"], arguments].concat()).expect(0);
        let heads = plan
            .stdout
            .lines()
            .skip(1)
            .filter(|line| line.ends_with(')'));
        let names = heads.filter(|line| !line.starts_with(' '));
        let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).collect();
        names.join(" ")
    };
    assert_eq!(steps(&[]), "test docs spelling release announce");
    assert_eq!(steps(&["announce"]), "test release announce");
    assert_eq!(steps(&["--from", "rel*"]), "release announce");
    assert_eq!(steps(&["--only", "t*", "--only", "docs"]), "test docs");
    assert_eq!(
        said(&project, &["--skip", "t*"], "test"),
        "○ skipped: left out on the command line"
    );
    for (wrong, says) in [
        (["--only", "tset"], "did you mean `test`?"),
        (["--skip", "x*"], "no step is like `x*`"),
    ] {
        let arguments = [&["run"], &wrong[..]].concat();
        project.hoist(&arguments).expect(2).says(says);
    }
    project.hoist(&["run", "--from", "test", "docs"]).expect(2);
}

#[test]
fn what_is_skipped_is_in_the_record_with_its_reason() {
    if !engine("conditions::what_is_skipped_is_in_the_record_with_its_reason") {
        return;
    }
    let project = committed();
    let ended = project.hoist(&["run", "--skip", "docs"]).expect(0);
    assert!(ended.last().starts_with("PASSED"), "{}", ended.stderr);
    assert!(ended.last().ends_with("2 steps"), "{}", ended.stderr);
    let ended = ended.says("release  skipped: the commit has no tag");
    let ended = ended.says("announce  skipped: needs release, which is skipped");
    let _ = ended.says("docs  skipped: left out on the command line");
    let run = project.runs().pop().unwrap();
    let events = project.read(&format!(".hoist/runs/{run}/events.jsonl"));
    let ends: Vec<serde_json::Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["event"] == "step_ended")
        .collect();
    let ending = |step: &str| {
        let mut of = ends.iter().filter(|event| event["step"] == step);
        let ending = of.next().unwrap()["ending"].clone();
        assert!(of.next().is_none(), "{step} ended twice");
        ending
    };
    let when = serde_json::json!({"skipped": {"when": {"reason": "the commit has no tag"}}});
    assert_eq!(ending("release"), when);
    let need = serde_json::json!({"skipped": {"need_skipped": {"step": "release"}}});
    assert_eq!(ending("announce"), need);
    assert_eq!(ending("docs"), serde_json::json!({"skipped": "left_out"}));
    assert_eq!(ending("test"), "passed");
    assert_eq!(left_of(&run), "");
    // A run of which nothing is left is one that passed.
    let ended = project
        .hoist(&["run", "--only", "docs", "--skip", "docs"])
        .expect(0);
    assert!(ended.last().starts_with("PASSED"), "{}", ended.stderr);
}
