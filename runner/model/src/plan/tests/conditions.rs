//! What `when` comes to, and what is skipped with a step that is not run.

use super::*;
use crate::reason::SkipReason;

/// A project on a branch, with a tag, some variables and some changes.
fn planned_here(text: &str) -> Result<Planned, Vec<Diagnostic>> {
    let files = Changed(&["src/app.py", "docs/notes.md"]);
    planned_with(text, |world| {
        world.git.branch = Some("release/1.2".into());
        world.git.tag = Some("v1.2".into());
        world.env.insert("DEPLOY".into(), "yes".into());
        world.files = files_of(files);
    })
}

/// Files of which some changed since any commit but `gone`.
struct Changed(&'static [&'static str]);

/// Tests are short-lived: what they leak is gone with them.
fn files_of(files: Changed) -> &'static dyn ProjectFiles {
    Box::leak(Box::new(files))
}

impl ProjectFiles for Changed {
    fn entry(&self, path: &str) -> Entry {
        match path {
            "." => Entry::Folder,
            "Dockerfile" => Entry::File,
            _ => Entry::Missing,
        }
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        (path == "Dockerfile").then(|| DOCKERFILE.into())
    }

    fn changes(&self, base: &str) -> Result<Vec<String>, String> {
        match base {
            "gone" => Err("there is no commit `gone`".into()),
            _ => Ok(self.0.iter().map(|path| (*path).to_owned()).collect()),
        }
    }
}

/// What `when` comes to for a step of that condition.
#[track_caller]
fn when(condition: &str) -> When {
    let text = format!(
        "name = \"w\"\n[steps.a]\nimage = \"debian\"\nrun = \"true\"\nwhen = {{ {condition} }}"
    );
    let planned = planned_here(&text).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let [step] = planned.plan.steps.as_slice() else {
        panic!("{:?}", planned.plan.steps)
    };
    step.when.clone().expect("the file has one")
}

#[track_caller]
fn holds(condition: &str, reason: &str) {
    let said = when(condition);
    assert_eq!(
        (said.holds, said.reason.as_str()),
        (true, reason),
        "{condition}"
    );
}

#[track_caller]
fn fails(condition: &str, reason: &str) {
    let said = when(condition);
    assert_eq!(
        (said.holds, said.reason.as_str()),
        (false, reason),
        "{condition}"
    );
}

#[test]
fn branches_and_tags_go_by_patterns() {
    holds("branch = \"release/*\"", "the branch is `release/1.2`");
    holds("branch = [\"main\", \"*\"]", "the branch is `release/1.2`");
    fails(
        "branch = \"main\"",
        "the branch is `release/1.2`, not `main`",
    );
    fails(
        "branch = [\"rel?\", \"main\"]",
        "the branch is `release/1.2`, not `rel?` or `main`",
    );
    // What stands later stands over what stands before.
    fails(
        "branch = [\"release/*\", \"!release/1.*\"]",
        "the branch is `release/1.2`, not `release/*` or `!release/1.*`",
    );
    holds("branch = [\"!main\"]", "the branch is `release/1.2`");
    holds("tag = \"v*\"", "the tag is `v1.2`");
    fails("tag = [\"v2*\"]", "the tag is `v1.2`, not `v2*`");
}

#[test]
fn what_is_not_known_is_like_no_pattern() {
    let text = "name = \"w\"\n[steps.a]\nimage = \"debian\"\nrun = \"true\"\nwhen.tag = \"*\"";
    let plan = plan(text);
    let when = plan.steps[0].when.clone().unwrap();
    assert_eq!(
        (when.holds, when.reason.as_str()),
        (false, "the commit has no tag")
    );
    let text = text.replace("tag", "branch");
    let when = planned(&text).unwrap().plan.steps[0].when.clone().unwrap();
    assert_eq!(
        (when.holds, when.reason.as_str()),
        (false, "the branch is not known")
    );
}

#[test]
fn changes_go_by_the_rules_of_an_ignore_file() {
    holds(
        "paths = [\"src\"], base = \"main\"",
        "`src/app.py` changed since `main`",
    );
    holds(
        "paths = \"**/*.md\", base = \"main\"",
        "`docs/notes.md` changed since `main`",
    );
    fails(
        "paths = [\"*.py\", \"lib/\"], base = \"main\"",
        "nothing in `*.py` or `lib/` changed since `main`",
    );
    fails(
        "paths = [\"src\", \"!src/*.py\"], base = \"main\"",
        "nothing in `src` or `!src/*.py` changed since `main`",
    );
    holds(
        "paths = \"lib\"",
        "everything counts as changed, as there is nothing to compare with",
    );
    holds(
        "paths = \"lib\", base = \"gone\"",
        "everything counts as changed",
    );
}

#[test]
fn the_base_is_hoists_own_the_files_or_what_the_ci_names() {
    let base = |file: &str, env: &[(&str, &str)]| {
        let base = format!(
            "name = \"w\"\n[steps.a]\nimage = \"debian\"\nrun = \"true\"\nwhen = {{ paths = \"src\"{file} }}"
        );
        let planned = planned_with(&base, |world| {
            world.files = files_of(Changed(&["src/a"]));
            for (name, value) in env {
                world.env.insert((*name).into(), (*value).into());
            }
        });
        let when = planned.unwrap().plan.steps[0].when.clone().unwrap();
        when.reason
            .rsplit_once('`')
            .and_then(|(rest, _)| Some(rest.rsplit_once('`')?.1.to_owned()))
    };
    let zeros = "0".repeat(40);
    assert_eq!(
        base(", base = \"x\"", &[("HOIST_BASE", "y")]).as_deref(),
        Some("y")
    );
    assert_eq!(
        base(", base = \"x\"", &[("GITHUB_BASE_REF", "y")]).as_deref(),
        Some("x")
    );
    assert_eq!(
        base("", &[("GITHUB_BASE_REF", "main")]).as_deref(),
        Some("origin/main")
    );
    assert_eq!(
        base("", &[("CI_COMMIT_BEFORE_SHA", "0a1")]).as_deref(),
        Some("0a1")
    );
    assert_eq!(base("", &[("CI_COMMIT_BEFORE_SHA", &zeros)]), None);
}

#[test]
fn variables_are_compared_and_never_shown() {
    holds("environment = { DEPLOY = \"yes\" }", "DEPLOY is `yes`");
    holds("environment = { DEPLOY = [\"?*\"] }", "DEPLOY is `?*`");
    fails("environment = { DEPLOY = \"no\" }", "DEPLOY is not `no`");
    fails("environment = { DRAFT = \"?*\" }", "DRAFT is not set");
    holds("environment = { DRAFT = \"\" }", "DRAFT is ``");
}

#[test]
fn expressions_name_what_strings_can() {
    holds(
        "expression = 'git.branch matches \"release/*\" and env.DEPLOY == \"yes\"'",
        "`git.branch matches \"release/*\" and env.DEPLOY == \"yes\"` holds",
    );
    fails(
        "expression = 'env.DRAFT != \"\"'",
        "`env.DRAFT != \"\"` does not hold",
    );
}

#[test]
fn all_conditions_have_to_hold() {
    holds(
        "branch = \"release/*\", tag = \"v*\"",
        "the branch is `release/1.2`, the tag is `v1.2`",
    );
    fails(
        "branch = \"release/*\", tag = \"x\"",
        "the tag is `v1.2`, not `x`",
    );
}

const CHAIN: &str = r#"
name = "w"
[secrets]
token = { environment = "TOKEN" }
password = { environment = "PASSWORD" }
[steps.lint]
image = "debian"
run = "true"
[steps.image.build]
secrets = ["password"]
[steps.unit]
needs = ["lint"]
image = "${steps.image.image}"
run = "true"
[steps.cve.scan]
image = "${steps.image.image}"
[steps.publish]
needs = ["unit"]
when = { branch = "main" }
push = { image = "${steps.image.image}", tags = ["localhost:5000/w:${git.tag}", "localhost:5000/w:${git.tag:?a tag}"] }
[steps.staging]
needs = ["publish"]
deploy = { environment = "staging", services.web = { image = "${steps.image.image}", secrets = ["token"] } }
[steps.smoke]
needs = ["staging"]
image = "debian"
run = "true"
[environments.staging]
"#;

fn skipped(plan: &Plan) -> Vec<(&str, SkipReason)> {
    let all = plan.steps.iter();
    all.filter_map(|step| Some((step.id.as_str(), step.skip.clone()?)))
        .collect()
}

#[test]
fn a_skipped_step_skips_what_needs_it_and_may_lack_values() {
    let plan = plan(CHAIN);
    let because = SkipReason::NeedSkipped {
        step: "publish".into(),
    };
    let reason = "the branch is not known".to_owned();
    assert_eq!(
        skipped(&plan),
        [
            ("publish", SkipReason::When { reason }),
            ("staging", because.clone()),
            ("smoke", because),
        ]
    );
    let Unit::Push(push) = &plan.find(&"publish".into()).unwrap().1.unit else {
        panic!("a push")
    };
    assert_eq!(push.tags[0].to_string(), "localhost:5000/w:unset");
    // What is not run needs no secrets.
    assert_eq!(plan.used_secrets(), ["password"]);
}

#[test]
fn a_step_that_is_run_may_not_lack_values() {
    let faults = planned_with(CHAIN, |world| world.git.branch = Some("main".into())).unwrap_err();
    let said: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(said, ["`git.tag` is unset", "a tag"]);
}

fn chosen(selection: Selection) -> Plan {
    let text = CHAIN
        .replace("when = { branch = \"main\" }\n", "")
        .replace(":${git.tag}\", \"localhost:5000/w:${git.tag:?a tag}", ":1");
    choose(&plan(&text), &selection).unwrap()
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn from_a_step_on_goes_what_hangs_from_it_and_what_that_is_made_of() {
    let part = chosen(Selection {
        from: words(&["publ*"]),
        ..Selection::default()
    });
    // The scan is a gate; the test before it counts as done.
    assert_eq!(
        names(&part),
        ["image", "cve", "publish", "staging", "smoke"]
    );
    assert_eq!(needs(&part, "publish"), ["image Reference", "cve Gate"]);
    let part = chosen(Selection {
        from: words(&["unit"]),
        ..Selection::default()
    });
    assert_eq!(
        names(&part),
        ["image", "unit", "cve", "publish", "staging", "smoke"]
    );
}

#[test]
fn only_some_steps_go_with_their_makers_and_gates() {
    let part = chosen(Selection {
        only: words(&["lint", "*nit"]),
        ..Selection::default()
    });
    assert_eq!(names(&part), ["lint", "image", "unit"]);
    let part = chosen(Selection {
        only: words(&["publish"]),
        ..Selection::default()
    });
    assert_eq!(names(&part), ["image", "cve", "publish"]);
}

#[test]
fn what_is_left_out_holds_up_only_what_uses_it() {
    let part = chosen(Selection {
        skip: words(&["lint", "unit"]),
        ..Selection::default()
    });
    assert_eq!(
        skipped(&part),
        [("lint", SkipReason::LeftOut), ("unit", SkipReason::LeftOut)]
    );
    assert_eq!(needs(&part, "publish"), ["image Reference", "cve Gate"]);
    let part = chosen(Selection {
        steps: vec!["publish".into()],
        skip: words(&["c*"]),
        ..Selection::default()
    });
    let because = SkipReason::NeedSkipped { step: "cve".into() };
    assert_eq!(
        skipped(&part),
        [("cve", SkipReason::LeftOut), ("publish", because)]
    );
}

#[test]
fn a_pattern_that_is_like_no_step_is_a_fault() {
    let plan = plan(CHAIN);
    let with = |pattern: &str| Selection {
        skip: words(&[pattern]),
        ..Selection::default()
    };
    assert_eq!(
        choose(&plan, &with("units")).unwrap_err(),
        UnknownStep::Name {
            step: "units".into(),
            near: Some("unit".into()),
        }
    );
    assert_eq!(
        choose(&plan, &with("x*")).unwrap_err(),
        UnknownStep::Pattern("x*".into())
    );
}

#[test]
fn what_is_not_run_takes_nothing_from_what_is() {
    let two = |first: &str, second: &str| {
        planned_here(&format!(
            r#"
            name = "w"
            [steps.image.build]
            [steps.other.build]
            [steps.one]
            when.branch = "{first}"
            push = {{ image = "${{steps.image.image}}", tags = ["localhost:5000/w:1"] }}
            [steps.two]
            when.branch = "{second}"
            push = {{ image = "${{steps.other.image}}", tags = ["localhost:5000/w:1"] }}
            [steps.blue]
            when.branch = "{first}"
            deploy = {{ environment = "staging", services.web = {{ image = "debian", ports = ["80:80"] }} }}
            [steps.green]
            when.branch = "{second}"
            deploy = {{ environment = "staging", services.web = {{ image = "debian", ports = ["80:80"] }} }}
            [environments.staging]
            "#
        ))
    };
    assert!(two("main", "release/*").is_ok());
    assert!(two("release/*", "main").is_ok());
    assert_eq!(two("*", "*").unwrap_err().len(), 3);
}
