//! What builds the keys of `build` make.

use super::*;
use crate::unit::{BuildCache, DockerfileSource, Ulimit};

/// The build of a file with one step, with the given lines.
#[track_caller]
fn of(lines: &str) -> crate::unit::BuildUnit {
    build(
        &plan(&format!("name = \"b\"\n[steps.image.build]\n{lines}")),
        "image",
    )
    .clone()
}

/// The first fault of such a file.
#[track_caller]
fn fault(lines: &str, change: impl FnOnce(&mut Surroundings<'_>)) -> String {
    let text = format!("name = \"b\"\n[steps.image.build]\n{lines}");
    let faults = planned_with(&text, change).expect_err("this is wrong");
    faults[0].message.clone()
}

fn cache(kind: &str, attributes: &[(&str, &str)]) -> BuildCache {
    let pairs = attributes.iter();
    BuildCache {
        kind: kind.into(),
        attributes: pairs
            .map(|(name, value)| ((*name).to_owned(), Text::literal(*value)))
            .collect(),
    }
}

#[test]
fn a_build_that_says_nothing_asks_for_nothing() {
    let said = of("");
    let none = crate::unit::BuildUnit {
        context: ".".into(),
        labels: said.labels.clone(),
        added_labels: said.added_labels.clone(),
        ..Default::default()
    };
    assert_eq!(said, none);
}

#[test]
fn further_contexts_are_folders_of_the_project() {
    let contexts = of("contexts = { data = \"./db/\", \"all.of-it_1\" = \".\" }").contexts;
    let pairs: Vec<_> = contexts.iter().map(|(n, p)| format!("{n}={p}")).collect();
    assert_eq!(pairs, ["all.of-it_1=.", "data=db"]);
}

#[test]
fn an_inline_dockerfile_stays_as_it_is() {
    let unit =
        of("dockerfile_inline = '''\nFROM debian AS Deps\nENV A=${B}\n'''\ntarget = \"deps\"");
    let text = "FROM debian AS Deps\nENV A=${B}\n";
    assert_eq!(unit.dockerfile, DockerfileSource::Inline(text.into()));
    assert_eq!(unit.target.as_deref(), Some("deps"));
}

#[test]
fn secrets_of_a_build_are_read_and_only_named() {
    let plan = plan(
        "name = \"b\"\n[secrets]\ntoken = { environment = \"TOKEN\" }\nother = { environment = \"O\" }\n\
         [steps.image.build]\nsecrets = [\"token\"]",
    );
    assert_eq!(build(&plan, "image").secrets, ["token"]);
    assert_eq!(plan.used_secrets(), ["token"]);
}

#[test]
fn an_agent_is_that_of_the_environment_or_named() {
    let text =
        "name = \"b\"\n[steps.image.build]\nssh = [\"default\", \"deploy=${env.SOCKETS}/d\"]";
    let agents = |env: &mut Surroundings<'_>| {
        env.env.insert("SSH_AUTH_SOCK".into(), "/run/agent".into());
        env.env.insert("SOCKETS".into(), "/run/sockets".into());
    };
    let plan = planned_with(text, agents).unwrap().plan;
    let ssh = &build(&plan, "image").ssh;
    assert_eq!(ssh["default"], "/run/agent");
    assert_eq!(ssh["deploy"], "/run/sockets/d");
    assert_eq!(
        plan.steps[0].relaxations,
        ["ssh = [\"default\", \"deploy\"]"]
    );
    assert_eq!(
        of("ssh = [\"default=/run/own\"]").ssh["default"],
        "/run/own"
    );
    let empty = |env: &mut Surroundings<'_>| {
        env.env.insert("SSH_AUTH_SOCK".into(), String::new());
    };
    for message in [
        fault("ssh = [\"default\"]", empty),
        fault("ssh = [\"default\"]", |_| {}),
    ] {
        assert_eq!(message, "there is no ssh agent: SSH_AUTH_SOCK is not set");
    }
}

#[test]
fn caches_are_in_registries_or_in_the_image() {
    let unit = of(
        "cache_from = [\"${env.IMAGE}:cache\", \"type=registry,ref=shop\"]\n\
         cache_to = [\"type=inline\", \"mode=max,type=registry,ref=localhost:5000/shop:cache\"]",
    );
    assert_eq!(
        unit.cache_from,
        [
            cache("registry", &[("ref", "localhost:5000/shop:cache")]),
            cache("registry", &[("ref", "shop")]),
        ]
    );
    assert_eq!(
        unit.cache_to,
        [
            cache("inline", &[]),
            cache(
                "registry",
                &[("ref", "localhost:5000/shop:cache"), ("mode", "max")]
            ),
        ]
    );
}

#[test]
fn a_cache_may_be_what_a_step_pushed() {
    let plan = plan(
        "name = \"b\"\n[steps.image.build]\n\
         cache_from = [\"${steps.publish.digest}\", \"type=registry,ref=${steps.publish.digest},registry.insecure=true\"]\n\
         [steps.base.build]\n\
         [steps.publish]\npush = { image = \"${steps.base.image}\", tags = [\"localhost:5000/b:1\"] }",
    );
    let from = &build(&plan, "image").cache_from;
    assert_eq!(from.len(), 2);
    for cache in from {
        assert_eq!(
            cache.attributes["ref"].to_string(),
            "${steps.publish.digest}"
        );
    }
    assert_eq!(needs(&plan, "image"), ["publish Reference"]);
}

#[test]
fn stages_are_run_again_by_their_names() {
    assert_eq!(of("no_cache_filter = [\"Test\"]").no_cache_filter, ["Test"]);
}

#[test]
fn platforms_are_each_there_once() {
    let list =
        "[\"linux/amd64\", \"linux/arm64\", \"linux/arm/v7\", \"linux/arm/v6\", \"windows/amd64\"]";
    let platforms = of(&format!("platforms = {list}")).platforms;
    assert_eq!(
        platforms,
        [
            "linux/amd64",
            "linux/arm64",
            "linux/arm/v7",
            "linux/arm/v6",
            "windows/amd64"
        ]
    );
    let twice = fault("platforms = [\"linux/arm/v7\", \"linux/arm\"]", |_| {});
    assert_eq!(twice, "the platform `linux/arm` stands here twice");
}

#[test]
fn hosts_are_a_list_or_a_table() {
    let list = of(
        "extra_hosts = [\"a:10.0.0.1\", \"b=10.0.0.2\", \"c=[::1]\", \"d:::2\", \"e:host-gateway\"]",
    );
    let table = of(
        "[steps.image.build.extra_hosts]\na = \"10.0.0.1\"\nb = \"10.0.0.2\"\nc = \"::1\"\nd = \"::2\"\ne = \"host-gateway\"",
    );
    assert_eq!(list.extra_hosts, table.extra_hosts);
    let pairs: Vec<_> = list
        .extra_hosts
        .iter()
        .map(|(n, a)| format!("{n} {a}"))
        .collect();
    assert_eq!(
        pairs,
        [
            "a 10.0.0.1",
            "b 10.0.0.2",
            "c ::1",
            "d ::2",
            "e host-gateway"
        ]
    );
}

#[test]
fn bounds_are_one_number_or_two() {
    let ulimits = of(
        "ulimits = { nproc = 64, core = -1, stack = \"8\", nofile = { soft = 1, hard = 2 }, cpu = { soft = 9, hard = -1 } }",
    )
    .ulimits;
    let pair = |soft, hard| Ulimit { soft, hard };
    assert_eq!(ulimits["nproc"], pair(64, 64));
    assert_eq!(ulimits["core"], pair(-1, -1));
    assert_eq!(ulimits["stack"], pair(8, 8));
    assert_eq!(ulimits["nofile"], pair(1, 2));
    assert_eq!(ulimits["cpu"], pair(9, -1));
    assert_eq!(of("shm_size = \"64m\"").shm_size, Some(64 << 20));
}

#[test]
fn a_reproducible_image_has_the_commits_time() {
    assert_eq!(
        of("reproducible = true").source_date_epoch,
        Some(1_770_091_506)
    );
    assert_eq!(of("reproducible = false").source_date_epoch, None);
    let message = fault("reproducible = true", |world| world.git = Git::default());
    assert_eq!(
        message,
        "`reproducible` needs a commit: its time stands for every later one"
    );
}
