//! Builds over an engine in memory.

use std::os::unix::fs::symlink;
use std::time::Duration;

use hoist_model::event::EventKind;
use hoist_model::reason::{CancelReason, Instruction};
use hoist_model::step::StepKind;
use hoist_model::text::{Piece, Text};
use hoist_model::unit::Unit;

use hoist_model::reason::Trouble;
use hoist_model::text::StepValue;
use hoist_model::unit::{BuildCache, DockerfileSource, Network, Ulimit};
use secrecy::ExposeSecret;

use super::*;
use crate::backend::{BackendError, BackendErrorKind};
use crate::context::Stop;
use crate::fake::FakeBuild;
use crate::unit::testing::{SECRET, Stage};

fn unit() -> BuildUnit {
    BuildUnit {
        context: ".".into(),
        ..BuildUnit::default()
    }
}

fn stage(unit: BuildUnit) -> Stage {
    let stage = Stage::new(StepKind::Build, Unit::Build(Box::new(unit)));
    stage.file("Dockerfile", "FROM scratch\n");
    stage
}

fn configuration(ending: Ending) -> Trouble {
    match ending {
        Ending::Failed(FailureReason::Configuration(trouble)) => trouble,
        other => panic!("the configuration is not at fault: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_is_made_known() {
    let mut unit = unit();
    unit.tags = vec![Text::literal("shop:1")];
    unit.target = Some("production".into());
    let stage = stage(unit);
    let build = FakeBuild {
        output: "#1 done\n".into(),
        ..FakeBuild::default()
    };
    stage.engine.build(|_| true, build);
    assert_eq!(stage.execute().await, Ending::Passed);
    let said = stage.said();
    assert_eq!(said.output, "#1 done\n");
    let made = stage
        .context
        .made
        .get(&"unit".into())
        .unwrap()
        .image
        .unwrap();
    let event = EventKind::ImageBuilt {
        step: "unit".into(),
        image: made,
        platform: None,
        earlier: None,
        first_executed: None,
    };
    assert!(said.events.contains(&event));
    let request = stage.engine.built().remove(0);
    assert_eq!(request.target.as_deref(), Some("production"));
    assert_eq!(request.tags, ["shop:1"]);
    assert_eq!(request.dockerfile_shown, "Dockerfile");
    assert!(
        request.context.ignore.is_ignored(".hoist/runs")
            && request.context.ignore.is_ignored("never")
    );
}

#[tokio::test(start_paused = true)]
async fn every_option_reaches_the_builder() {
    let bound = Ulimit { soft: 1, hard: 2 };
    let cache = |name: &str| BuildCache {
        kind: "registry".into(),
        attributes: BTreeMap::from([("ref".into(), Text::literal(name))]),
    };
    let unit = BuildUnit {
        contexts: BTreeMap::from([("more".into(), "other".into())]),
        dockerfile: DockerfileSource::Inline("FROM scratch\nCOPY . /\n".into()),
        secrets: vec![SECRET.0.into()],
        ssh: BTreeMap::from([("default".into(), "/run/agent".into())]),
        cache_from: vec![cache("from")],
        cache_to: vec![cache("to")],
        pull: true,
        no_cache: true,
        no_cache_filter: vec!["a".into()],
        network: Some(Network::None),
        platforms: vec!["linux/arm64".into()],
        shm_size: Some(7),
        extra_hosts: BTreeMap::from([("db".into(), "10.0.0.2".into())]),
        ulimits: BTreeMap::from([("nofile".into(), bound)]),
        source_date_epoch: Some(9),
        labels: BTreeMap::from([("a".into(), "b".into())]),
        ..unit()
    };
    let stage = stage(unit);
    stage.file("other/.dockerignore", "left-out\n");
    stage.file("dockerfile_inline.dockerignore", "kept\n");
    assert_eq!(stage.execute().await, Ending::Passed);
    let request = stage.engine.built().remove(0);
    let more = &request.contexts["more"];
    assert!(more.path.ends_with("other") && more.ignore.is_ignored("left-out"));
    assert!(!request.context.ignore.is_ignored("left-out"));
    assert!(!request.context.ignore.is_ignored("kept"));
    assert_eq!(request.dockerfile, "FROM scratch\nCOPY . /\n");
    assert_eq!(request.secrets[SECRET.0].expose_secret(), SECRET.1);
    assert_eq!(request.ssh["default"].to_str(), Some("/run/agent"));
    assert_eq!(request.cache_from[0].attributes["ref"], "from");
    assert_eq!(request.cache_to[0].attributes["ref"], "to");
    assert!(request.pull && request.no_cache);
    assert_eq!(request.no_cache_filter, ["a"]);
    assert_eq!(request.network, Some(Network::None));
    assert_eq!(request.platform.as_deref(), Some("linux/arm64"));
    assert_eq!(request.shm_size, Some(7));
    assert_eq!(request.extra_hosts["db"], "10.0.0.2");
    assert_eq!(request.ulimits["nofile"], bound);
    assert_eq!(request.source_date_epoch, Some(9));
    assert_eq!(request.labels["a"], "b");
}

#[tokio::test(start_paused = true)]
async fn each_platform_is_a_build_and_the_engines_own_is_the_steps_image() {
    let mut unit = unit();
    unit.platforms = ["linux/arm64", "linux/amd64"].map(str::to_owned).to_vec();
    unit.tags = vec![Text::literal("shop:1")];
    let stage = stage(unit);
    assert_eq!(stage.execute().await, Ending::Passed);
    let built = stage.engine.built();
    let asked: Vec<_> = built
        .iter()
        .map(|request| (request.platform.as_deref().unwrap(), request.tags.len()))
        .collect();
    assert_eq!(asked, [("linux/amd64", 1), ("linux/arm64", 0)]);
    let made = stage.context.made.get(&"unit".into()).unwrap();
    assert_eq!(made.image.as_ref(), made.platforms.get("linux/amd64"));
    let arm: &ImageIdentity = &made.platforms["linux/arm64"];
    assert_ne!(Some(arm), made.image.as_ref());
    let said = stage.said();
    let platforms = said.events.iter().filter_map(|event| match event {
        EventKind::ImageBuilt { platform, .. } => platform.as_deref(),
        _ => None,
    });
    let platforms: Vec<_> = platforms.collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
}

#[tokio::test(start_paused = true)]
async fn the_dockerfiles_own_ignore_file_comes_first() {
    let mut unit = unit();
    unit.context = "sub".into();
    let stage = stage(unit);
    stage.file("sub/.dockerignore", "a\n");
    stage.file("sub/a", "a");
    stage.file("sub/b", "b");
    assert_eq!(stage.execute().await, Ending::Passed);
    stage.file("Dockerfile.dockerignore", "b\n");
    assert_eq!(stage.execute().await, Ending::Passed);
    let built = stage.engine.built();
    let ignored = |number: usize, name: &str| built[number].context.ignore.is_ignored(name);
    assert!(ignored(0, "a") && !ignored(0, "b"));
    assert!(!ignored(1, "a") && ignored(1, "b"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_in_the_project_is_refused_by_name() {
    let cases = [
        (
            "gone",
            "Dockerfile",
            "the build context `gone` is not there",
        ),
        (
            ".",
            "gone.Dockerfile",
            "the Dockerfile `gone.Dockerfile` is not there",
        ),
        (
            "Dockerfile",
            "Dockerfile",
            "the build context `Dockerfile` is no folder",
        ),
        (".", "sub", "the Dockerfile `sub` is no file"),
        (
            "out",
            "Dockerfile",
            "the build context `out` leads out of the project",
        ),
        (
            ".",
            "link",
            "the Dockerfile `link` leads out of the project",
        ),
        (
            "..",
            "Dockerfile",
            "the build context `..` leads out of the project",
        ),
    ];
    for (context, dockerfile, what) in cases {
        let stage = stage(BuildUnit {
            context: context.into(),
            dockerfile: DockerfileSource::File(dockerfile.into()),
            ..unit()
        });
        stage.file("sub/x", "x");
        symlink("/etc", stage.folder.path().join("out")).unwrap();
        symlink("/etc/hostname", stage.folder.path().join("link")).unwrap();
        let trouble = configuration(stage.execute().await);
        assert_eq!(trouble.what, what);
        assert!(
            stage.engine.calls().is_empty(),
            "nothing was asked of the engine"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_s_image_has_a_name_for_the_time_of_the_build() {
    let mut unit = unit();
    let base = |value| {
        Text(vec![Piece::Step {
            step: "base".into(),
            value,
        }])
    };
    unit.args.insert("BASE".into(), base(StepValue::Image));
    unit.args.insert("DIGEST".into(), base(StepValue::Digest));
    let stage = stage(unit);
    let image = stage.engine.add_image("base-image");
    stage.context.made.image(&"base".into(), image);
    stage
        .context
        .made
        .digest(&"base".into(), "repo@sha256:1".into());
    assert_eq!(stage.execute().await, Ending::Passed);
    let args = stage.engine.built().remove(0).args;
    assert!(args["BASE"].starts_with("hoist.local/shop-"), "{args:?}");
    assert!(args["BASE"].ends_with(":base-for-unit"), "{args:?}");
    assert_eq!(args["DIGEST"], "repo@sha256:1");
    assert!(!stage.engine.image_names().contains(&args["BASE"]));
    assert!(
        stage
            .engine
            .image_names()
            .contains(&"base-image".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn pull_and_another_step_s_image_do_not_go_together() {
    let mut unit = unit();
    unit.pull = true;
    let piece = Piece::Step {
        step: "base".into(),
        value: StepValue::Image,
    };
    unit.args.insert("BASE".into(), Text(vec![piece]));
    let trouble = configuration(stage(unit).execute().await);
    assert!(trouble.cause.unwrap().contains("`base`"));
}

#[tokio::test(start_paused = true)]
async fn errors_are_told_apart() {
    let instruction = Instruction {
        file: "Dockerfile".into(),
        line: Some(3),
        text: "RUN false".into(),
    };
    let failed = BuildError::Failed {
        message: "exit 1".into(),
        instruction: Some(instruction.clone()),
    };
    let away = BackendError::new(BackendErrorKind::Unreachable, "gone");
    let unreadable = Trouble::new("`x` cannot be read");
    let cases = [
        (
            failed,
            FailureReason::Build {
                message: "exit 1".into(),
                instruction: Some(instruction),
            },
        ),
        (
            BuildError::Context(unreadable.clone()),
            FailureReason::Configuration(unreadable),
        ),
        (
            BuildError::Backend(away.clone()),
            FailureReason::Surroundings(away.trouble("the image could not be built")),
        ),
    ];
    for (error, reason) in cases {
        let stage = stage(unit());
        let build = FakeBuild {
            error: Some(error),
            ..FakeBuild::default()
        };
        stage.engine.build(|_| true, build);
        assert_eq!(stage.execute().await, Ending::Failed(reason));
        assert!(stage.context.made.get(&"unit".into()).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_drops_the_build() {
    let stage = stage(unit());
    let build = FakeBuild {
        takes: Duration::from_secs(3600),
        ..FakeBuild::default()
    };
    stage.engine.build(|_| true, build);
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.stop.send(Stop::Grace).unwrap();
    };
    let started = tokio::time::Instant::now();
    let (ending, ()) = tokio::join!(stage.execute(), stop);
    assert_eq!(ending, Ending::Cancelled(CancelReason::Requested));
    assert!(started.elapsed() < Duration::from_secs(2));
}
