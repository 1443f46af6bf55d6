//! Services beside a step over an engine in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hoist_model::image::ImageSource;
use hoist_model::reason::{CancelReason, Ending, FailureReason};
use hoist_model::text::Text;
use hoist_model::unit::{
    Command, Condition, ContainerUnit, Dependency, Healthcheck, Limits, Network, Security,
    StepService,
};
use tokio::time::Instant;

use crate::backend::{
    Attachment, BackendError, BackendErrorKind, ContainerSpec, HealthStatus, Logs,
};
use crate::context::Stop;
use crate::fake::Program;
use crate::unit::attempt::attempt;
use crate::unit::testing::{SECRET, Stage, container, run};

const SECOND: Duration = Duration::from_secs(1);

fn service(name: &str) -> StepService {
    StepService {
        name: name.to_owned(),
        image: ImageSource::Name(Text::literal("base:1")),
        command: Some(Command::Exec(vec![name.to_owned()])),
        entrypoint: None,
        environment: BTreeMap::new(),
        working_dir: None,
        user: None,
        security: Security::default(),
        limits: Limits::SEALED,
        tmpfs: Vec::new(),
        secrets: Vec::new(),
        healthcheck: Healthcheck::default(),
        depends_on: Vec::new(),
        stop_grace_period: Duration::ZERO,
        stop_signal: None,
    }
}

fn needs(service: &mut StepService, other: &str, condition: Condition) {
    service.depends_on.push(Dependency {
        service: other.to_owned(),
        condition,
    });
}

/// A unit beside which these live.
fn beside(services: impl IntoIterator<Item = StepService>) -> ContainerUnit {
    ContainerUnit {
        services: services.into_iter().collect(),
        ..container()
    }
}

/// What a service does; it is known by its command.
fn program(stage: &Stage, service: &'static str, program: Program) {
    let of = move |spec: &ContainerSpec| spec.command == Some(vec![service.to_owned()]);
    stage.engine.program(of, program);
}

fn healthy_after(seconds: u32) -> Program {
    Program::forever().health(seconds * SECOND, HealthStatus::Healthy)
}

/// The place of the first call that begins so.
fn at(stage: &Stage, call: &str) -> usize {
    let calls = stage.engine.calls();
    let found = calls.iter().position(|other| other.starts_with(call));
    found.unwrap_or_else(|| panic!("{call}: {calls:#?}"))
}

fn of_service(ending: Ending) -> (String, String, String, String) {
    match ending {
        Ending::Failed(FailureReason::Service {
            service,
            message,
            probe,
            tail,
        }) => (service, message, probe, tail),
        other => panic!("no service failed: {other:?}"),
    }
}

/// Notes what all containers are made with.
fn noted(stage: &Stage) -> Arc<Mutex<Vec<ContainerSpec>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let every = move |spec: &ContainerSpec| {
        note.lock().unwrap().push(spec.clone());
        false
    };
    stage.engine.program(every, Program::default());
    seen
}

fn on(spec: &ContainerSpec) -> Vec<(String, Vec<String>)> {
    match &spec.network {
        Attachment::Networks(all) => all
            .iter()
            .map(|end| (end.network.clone(), end.aliases.clone()))
            .collect(),
        Attachment::Nothing | Attachment::None | Attachment::Bridge | Attachment::Host => {
            Vec::new()
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_is_there_before_the_step_and_gone_with_it() {
    let stage = run(beside([service("db")]));
    program(&stage, "db", healthy_after(3));
    let seen = noted(&stage);
    assert_eq!(stage.execute().await, Ending::Passed);
    let networks = stage.engine.network_specs();
    let [network] = networks.as_slice() else {
        panic!("{networks:?}")
    };
    assert!(network.internal && network.labels.contains_key("dev.hoist.run"));
    assert!(
        network
            .options
            .keys()
            .any(|key| key.ends_with("inhibit_ipv4"))
    );
    let specs = seen.lock().unwrap().clone();
    let find = |command: &str| {
        specs
            .iter()
            .find(|spec| spec.command.as_ref().unwrap()[0] == command)
    };
    let (db, step) = (find("db").unwrap(), find("sh").unwrap());
    let id = on(db)[0].0.clone();
    assert_eq!(on(db), [(id.clone(), vec!["db".to_owned()])]);
    assert_eq!(on(step), [(id.clone(), Vec::new())]);
    assert!(db.local_names && step.local_names);
    assert_eq!(
        (db.logs, db.labels["dev.hoist.step"].as_str()),
        (Logs::Discard, "unit")
    );
    assert!(!db.environment.contains_key("CI"));
    assert_eq!(db.healthcheck.as_ref().unwrap().interval, Some(SECOND));
    assert!(at(&stage, "attach container-0003") < at(&stage, "start_container"));
    let removed = format!("remove_network {id}");
    assert!(at(&stage, "remove_container") < at(&stage, &removed));
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn the_step_starts_when_its_services_are_healthy_and_they_start_at_once() {
    let stage = run(beside([service("a"), service("b")]));
    program(&stage, "a", healthy_after(4));
    program(&stage, "b", healthy_after(6));
    let start = Instant::now();
    assert_eq!(stage.execute().await, Ending::Passed);
    let took = start.elapsed();
    assert!(took >= 6 * SECOND && took < 8 * SECOND, "{took:?}");
    let calls = stage.engine.calls();
    let starts = calls
        .iter()
        .filter(|call| call.starts_with("start_container"));
    assert_eq!(starts.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_needs_another_starts_after_it() {
    let (mut app, mut queue) = (service("app"), service("queue"));
    needs(&mut app, "db", Condition::ServiceHealthy);
    needs(&mut queue, "db", Condition::ServiceStarted);
    let stage = run(beside([service("db"), queue, app]));
    program(&stage, "db", healthy_after(5));
    program(&stage, "queue", healthy_after(1));
    program(&stage, "app", healthy_after(1));
    let start = Instant::now();
    assert_eq!(stage.execute().await, Ending::Passed);
    assert!(start.elapsed() >= 6 * SECOND && start.elapsed() < 8 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn without_a_check_it_is_ready_once_started_which_is_said_once_a_run() {
    let mut stage = run(beside([service("db")]));
    program(&stage, "db", Program::forever());
    assert_eq!(stage.execute().await, Ending::Passed);
    let warnings = stage.said().warnings().join("; ");
    assert!(
        warnings.contains("service db (base:1) has no health check"),
        "{warnings}"
    );
    stage.context.attempt = 2;
    stage.context.artifacts = stage.context.run_folder.join("artifacts/unit~a2");
    assert_eq!(stage.execute().await, Ending::Passed);
    assert_eq!(stage.said().warnings().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_before_it_is_ready_fails_the_step_with_its_last_lines() {
    let stage = run(beside([service("db")]));
    let password = format!("no such role, {}\n", SECRET.1);
    let crash = Program::exits(3)
        .takes(2 * SECOND)
        .prints(password)
        .health(60 * SECOND, HealthStatus::Healthy);
    program(&stage, "db", crash);
    let (name, message, probe, tail) = of_service(stage.execute().await);
    assert_eq!(name, "db");
    assert_eq!(message, "exited with code 3 before it was ready");
    assert_eq!(probe, "");
    assert!(tail.starts_with("no such role"), "{tail}");
    let calls = stage.engine.calls();
    let starts = calls
        .iter()
        .filter(|call| call.starts_with("start_container"));
    assert_eq!(starts.count(), 1, "the step was not started");
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_while_others_are_waited_for_is_what_failed() {
    let mut app = service("app");
    needs(&mut app, "db", Condition::ServiceHealthy);
    let stage = run(beside([service("db"), app]));
    let dies = Program::exits(1)
        .takes(10 * SECOND)
        .health(SECOND, HealthStatus::Healthy);
    program(&stage, "db", dies);
    program(&stage, "app", healthy_after(50));
    let (name, message, ..) = of_service(stage.execute().await);
    assert_eq!(name, "db");
    assert_eq!(message, "exited with code 1 before the step could start");
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn one_that_never_becomes_healthy_is_told_with_its_probe() {
    let stage = run(beside([service("db"), service("other")]));
    let sick = Program::forever().health(9 * SECOND, HealthStatus::Unhealthy);
    program(&stage, "db", sick.prints("starting up\n"));
    program(&stage, "other", healthy_after(1));
    let (name, message, probe, tail) = of_service(stage.execute().await);
    assert_eq!((name.as_str(), message.as_str()), ("db", "is not healthy"));
    assert_eq!((probe.as_str(), tail.as_str()), ("probed", "starting up"));
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_start_is_the_service_s_failure() {
    let stage = run(beside([service("db")]));
    let kind = BackendErrorKind::CannotStart { code: 127 };
    let program_ = Program {
        start_error: Some(BackendError::new(kind, "no such file: db")),
        ..Program::default()
    };
    program(&stage, "db", program_);
    let (_, message, ..) = of_service(stage.execute().await);
    assert_eq!(message, "could not be started: no such file: db");
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_step_beside_a_dead_service_names_it() {
    for (code, service_code) in [(1, 139), (0, 139), (1, 0), (0, 0)] {
        let stage = run(beside([service("db")]));
        let dies = Program::exits(service_code)
            .takes(5 * SECOND)
            .prints("panic: index\n")
            .health(Duration::ZERO, HealthStatus::Healthy);
        program(&stage, "db", dies);
        let step = move |spec: &ContainerSpec| spec.command == Some(container().command.argv());
        stage
            .engine
            .program(step, Program::exits(code).takes(20 * SECOND));
        let ending = stage.execute().await;
        let warnings = stage.said().warnings().join("; ");
        let ended = format!("exited with code {service_code} while the step ran");
        assert!(
            warnings.contains(&format!("service db {ended}")),
            "{warnings}"
        );
        if (code, service_code) == (0, 0) {
            assert_eq!(ending, Ending::Passed);
        } else {
            let (name, message, _, tail) = of_service(ending);
            assert_eq!(name, "db");
            assert_eq!(message, format!("{ended}, which then ended with {code}"));
            assert_eq!(tail, "panic: index");
        }
        stage.assert_clean();
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_beside_living_services_failed_by_itself() {
    let stage = run(beside([service("db")]));
    program(&stage, "db", healthy_after(1));
    let step = |spec: &ContainerSpec| spec.command == Some(container().command.argv());
    stage.engine.program(step, Program::exits(2));
    assert_eq!(
        stage.execute().await,
        Ending::Failed(FailureReason::Exit { code: 2 })
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_the_step_s_time_and_says_for_what() {
    let stage = run(beside([service("db")]));
    program(&stage, "db", healthy_after(100_000).prints("loading\n"));
    let start = Instant::now();
    let (name, message, _, tail) = of_service(attempt(stage.context.clone(), Duration::ZERO).await);
    assert_eq!(start.elapsed().as_secs(), 60, "the step's timeout");
    assert_eq!((name.as_str(), tail.as_str()), ("db", "loading"));
    assert!(message.contains("was not healthy by the time"), "{message}");
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_services_are_made_leaves_nothing() {
    for method in ["create_network", "create_container", "start_container"] {
        let mut db = service("db");
        db.secrets = vec![SECRET.0.to_owned()];
        let stage = run(beside([db, service("cache")]));
        program(&stage, "db", healthy_after(1));
        program(&stage, "cache", healthy_after(1));
        stage.engine.delay(method, 2 * SECOND);
        let stop = async {
            tokio::time::sleep(SECOND).await;
            stage.stop.send(Stop::Grace).unwrap();
        };
        let (ending, ()) = tokio::join!(stage.execute(), stop);
        assert_eq!(
            ending,
            Ending::Cancelled(CancelReason::Requested),
            "{method}"
        );
        stage.assert_clean();
    }
}

#[tokio::test(start_paused = true)]
async fn secrets_of_a_service_are_files_of_its_own() {
    let mut db = service("db");
    db.secrets = vec![SECRET.0.to_owned()];
    db.user = Some("1000".to_owned());
    let stage = run(beside([db]));
    program(&stage, "db", healthy_after(1));
    let seen = noted(&stage);
    assert_eq!(stage.execute().await, Ending::Passed);
    let specs = seen.lock().unwrap().clone();
    assert!(!format!("{specs:?}").contains(SECRET.1));
    let having: Vec<_> = specs
        .iter()
        .filter(|spec| !spec.mounts.is_empty())
        .collect();
    assert_eq!(
        having.len(),
        2,
        "the service and what filled its volume: {having:?}"
    );
    for spec in having {
        assert_eq!(spec.mounts[0].target, "/run/secrets");
        let filler = spec.name.ends_with("filler");
        assert_eq!(spec.mounts[0].read_only, !filler, "{}", spec.name);
    }
    let upload = stage.engine.uploads().remove(0);
    assert_eq!(upload.files["run/secrets/token"], SECRET.1.as_bytes());
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn what_a_service_prints_is_kept_and_not_shown() {
    let stage = run(beside([service("db")]));
    let mut talks = healthy_after(1).prints("ready to accept connections\n");
    talks.on_stop = Some(0);
    program(&stage, "db", talks);
    assert_eq!(stage.execute().await, Ending::Passed);
    let log = stage.context.run_folder.join("logs/unit/db.log");
    assert_eq!(
        std::fs::read_to_string(log).unwrap(),
        "ready to accept connections\n"
    );
    assert_eq!(stage.said().output, "");
}

#[tokio::test(start_paused = true)]
async fn grace_is_for_those_who_ask_for_it() {
    let mut app = service("app");
    app.stop_grace_period = 5 * SECOND;
    let stage = run(beside([service("db"), app]));
    program(&stage, "db", healthy_after(1));
    program(&stage, "app", healthy_after(1));
    assert_eq!(stage.execute().await, Ending::Passed);
    let calls = stage.engine.calls();
    let stopped = calls
        .iter()
        .filter(|call| call.starts_with("stop_container"));
    assert_eq!(stopped.count(), 1);
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn addresses_of_other_networks_are_waited_for() {
    let none = || BackendError::new(BackendErrorKind::NoAddresses, "no pool");
    let stage = run(beside([service("db")]));
    program(&stage, "db", healthy_after(1));
    for _ in 0..5 {
        stage.engine.fail_next("create_network", none());
    }
    assert_eq!(stage.execute().await, Ending::Passed);

    let stage = run(beside([service("db")]));
    for _ in 0..500 {
        stage.engine.fail_next("create_network", none());
    }
    let Ending::Failed(FailureReason::Surroundings(trouble)) = stage.execute().await else {
        panic!("it had addresses")
    };
    assert!(trouble.hint.unwrap().contains("--jobs"));
}

#[tokio::test(start_paused = true)]
async fn with_a_way_out_the_step_is_on_both_networks_and_its_services_are_not() {
    let mut unit = beside([service("db")]);
    unit.network = Network::Bridge;
    let stage = run(unit);
    program(&stage, "db", healthy_after(1));
    let seen = noted(&stage);
    assert_eq!(stage.execute().await, Ending::Passed);
    let specs = seen.lock().unwrap().clone();
    for spec in specs {
        let networks = on(&spec);
        let step = spec.command == Some(container().command.argv());
        assert_eq!(networks.len(), if step { 2 } else { 1 }, "{networks:?}");
        assert_eq!(spec.local_names, !step);
    }
}
