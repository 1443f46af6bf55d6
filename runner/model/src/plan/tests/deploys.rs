//! What deploys lower to.

use super::*;
use crate::unit::{
    AppProtocol, CanaryPlan, Condition, FailureAction, HookUnit, ReleaseUnit, Restart, ServiceUnit,
    Strategy, Traffic, UpdateOrder, UpdatePlan,
};

/// The release of a file with the keys of a deploy's services.
fn release(services: &str) -> ReleaseUnit {
    let text = format!(
        "name = \"t\"\n[steps.s.deploy]\nenvironment = \"e\"\n{services}\n[environments.e]\n"
    );
    let plan = plan(&text);
    let Unit::Release(release) = &plan.steps[0].unit else {
        panic!("not a release");
    };
    (**release).clone()
}

fn service<'r>(release: &'r ReleaseUnit, name: &str) -> &'r ServiceUnit {
    let mut services = release.services.iter();
    services.find(|service| service.name == name).unwrap()
}

#[test]
fn a_service_that_says_nothing_is_recreated() {
    let release = release("[steps.s.deploy.services.web]\nimage = \"debian\"\nports = [\"80:80\"]");
    let web = service(&release, "web");
    assert_eq!(web.update, UpdatePlan::default());
    assert_eq!(web.update.strategy, Strategy::Recreate);
    assert_eq!(web.traffic, Traffic::default());
    assert_eq!((web.replicas, release.keep), (1, 2));
}

#[test]
fn what_is_said_of_an_update_is_lowered() {
    let release = release(
        r#"
        keep = 0
        [steps.s.deploy.services.web]
        image = "debian"
        strategy = "rolling"
        replicas = 3
        expose = ["3000", 9090, "3001/tcp"]
        ports = ["8080:3000"]
        sticky = true
        drain = "90s"
        [steps.s.deploy.services.web.update_config]
        parallelism = 0
        delay = "2s"
        order = "stop-first"
        max_failure_ratio = "0.25"
        monitor = "0s"
        failure_action = "pause"
        [steps.s.deploy.services.api]
        image = "debian"
        strategy = "canary"
        expose = [80]
        [steps.s.deploy.services.db]
        image = "debian"
        strategy = "blue-green"
        expose = [5432]
        app_protocol = "tcp"
        "#,
    );
    let web = service(&release, "web");
    assert_eq!(
        web.update,
        UpdatePlan {
            strategy: Strategy::Rolling,
            parallelism: 0,
            delay: Duration::from_secs(2),
            order: UpdateOrder::StopFirst,
            max_failure_ratio: 0.25,
            monitor: Duration::ZERO,
            failure_action: FailureAction::Pause,
            canary: None,
        }
    );
    assert_eq!(
        web.traffic,
        Traffic {
            expose: vec![3000, 9090, 3001],
            app_protocol: AppProtocol::Http,
            drain: Duration::from_secs(90),
            sticky: true,
            ..Traffic::default()
        }
    );
    assert_eq!((web.replicas, release.keep), (3, 0));
    let judged = CanaryPlan {
        weights: vec![10, 50],
        step: Duration::from_secs(60),
        min_requests: 100,
        max_error_rate: 0.01,
        max_latency_ratio: None,
    };
    let api = service(&release, "api");
    assert_eq!(api.update.canary, Some(judged));
    assert_eq!(api.traffic.app_protocol, AppProtocol::Http);
    let db = service(&release, "db");
    assert_eq!(db.traffic.app_protocol, AppProtocol::Tcp);
}

#[test]
fn two_deploys_share_a_port_where_all_have_routes() {
    let of = |name: &str, routes: &str| {
        format!(
            "[steps.{name}.deploy]\nenvironment = \"{name}\"\n[steps.{name}.deploy.services.web]\n\
             image = \"debian\"\napp_protocol = \"http\"\nports = [\"80:80\"]\n{routes}\n[environments.{name}]\n"
        )
    };
    let by = |host: &str| format!("routes = [{{ host = \"{host}\" }}]");
    let both =
        |one: &str, other: &str| format!("name = \"t\"\n{}{}", of("one", one), of("other", other));
    assert_eq!(plan(&both(&by("a.test"), &by("b.test"))).steps.len(), 2);
    for (one, other) in [(by("a.test"), by("a.test")), (by("a.test"), String::new())] {
        let faults = planned(&both(&one, &other)).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
    }
}

#[test]
fn several_may_write_to_what_is_shared_or_only_read() {
    let text = |volumes: &str, mode: &str| {
        format!(
            r#"
            name = "t"
            {volumes}
            [steps.s.deploy]
            environment = "e"
            [steps.s.deploy.services.web]
            image = "debian"
            strategy = "rolling"
            replicas = 2
            expose = [80]
            volumes = ["data:/data{mode}"]
            [environments.e]
            "#
        )
    };
    for (volumes, mode) in [("volumes.data.shared = true", ""), ("", ":ro")] {
        let planned = planned(&text(volumes, mode)).unwrap();
        assert!(planned.warnings.is_empty(), "{:?}", planned.warnings);
    }
    for volumes in ["", "volumes.data.shared = false"] {
        let faults = planned(&text(volumes, "")).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}

#[test]
fn what_runs_once_is_in_the_order_of_the_file() {
    let text = r#"
        name = "t"
        secrets.key.environment = "KEY"
        [steps.s]
        timeout = "8m"
        [steps.s.deploy]
        environment = "e"
        [steps.s.deploy.pre_deploy.second]
        image = "debian"
        command = "migrate --all"
        secrets = ["key"]
        depends_on = ["db"]
        timeout = "1m"
        cap_add = ["NET_RAW"]
        [steps.s.deploy.pre_deploy.first]
        image = "debian"
        command = ["true"]
        [steps.s.deploy.post_deploy.notify]
        image = "debian"
        command = ["true"]
        [steps.s.deploy.services.db]
        image = "debian"
        [environments.e]
        "#;
    let plan = plan(text);
    assert_eq!(plan.used_secrets(), ["key"]);
    assert_eq!(
        plan.steps[0].relaxations,
        ["pre_deploy.second.cap_add = [\"NET_RAW\"]"]
    );
    let Unit::Release(release) = &plan.steps[0].unit else {
        panic!("not a release");
    };
    let names = |hooks: &[HookUnit]| -> Vec<String> {
        let names = hooks.iter().map(|hook| hook.container.name.clone());
        names.collect()
    };
    assert_eq!(names(&release.pre_deploy), ["second", "first"]);
    assert_eq!(names(&release.post_deploy), ["notify"]);
    let second = &release.pre_deploy[0];
    assert_eq!(second.timeout, Duration::from_secs(60));
    assert_eq!(second.container.restart, Restart::No);
    let argv = second.container.command.as_ref().map(Command::argv);
    assert_eq!(argv.unwrap(), ["migrate", "--all"]);
    assert_eq!(second.container.depends_on[0].service, "db");
    assert_eq!(second.container.networks, ["default"]);
    let first = &release.pre_deploy[1];
    assert_eq!(first.timeout, Duration::from_secs(8 * 60));
    assert_eq!(release.containers().count(), 4);
}

#[test]
fn variables_of_files_stand_below_those_of_the_file() {
    let text = r#"
        name = "t"
        [steps.s.deploy]
        environment = "e"
        [steps.s.deploy.services.web]
        image = "debian"
        env_file = ["a.env", "./b.env"]
        environment = { C = "said" }
        [environments.e]
        "#;
    let files = Files(BTreeMap::from([
        ("a.env", "A=a\nB=a\nC=a\n"),
        ("b.env", "B='b # b' # comment\nC=b\n"),
    ]));
    let surroundings = Surroundings {
        env: BTreeMap::new(),
        git: Git::default(),
        files: &files,
        tools: ToolSettings::default(),
    };
    let plan = make(&spec::parse("pipeline.toml", text).unwrap(), &surroundings)
        .unwrap()
        .plan;
    let Unit::Release(release) = &plan.steps[0].unit else {
        panic!("not a release");
    };
    let environment = &release.services[0].environment;
    let values = environment.iter().map(|(k, v)| format!("{k}={v}"));
    assert_eq!(values.collect::<Vec<_>>(), ["A=a", "B=b # b", "C=said"]);
}

/// What is said twice is the nearer one's, and every list has each element once.
#[test]
fn a_deploy_that_extends_another_is_merged_as_compose_merges() {
    let text = r#"
        name = "t"
        [steps.production.deploy]
        extends = "staging"
        environment = "production"
        [steps.production.deploy.pre_deploy.migrate]
        timeout = "2m"
        [steps.production.deploy.pre_deploy.warm]
        image = "debian"
        command = "true"
        [steps.production.deploy.services.web]
        strategy = "canary"
        replicas = 4
        command = ["serve", "--fast"]
        environment = { MODE = "production", B = "1" }
        ports = ["443:8000", "8000"]
        expose = [9000]
        volumes = ["other:/data:ro"]
        healthcheck.retries = 9
        resources.limits.memory = "1g"
        depends_on.cache.condition = "service_healthy"
        [steps.production.deploy.services.worker]
        image = "debian"

        [steps.base.deploy]
        environment = "base"
        keep = 5
        [steps.base.deploy.services.db]
        image = "redis"
        [steps.base.deploy.services.cache]
        image = "redis"

        [steps.staging.deploy]
        extends = "base"
        environment = "staging"
        wait_timeout = "1m"
        [steps.staging.deploy.pre_deploy.migrate]
        image = "debian"
        command = "migrate"
        [steps.staging.deploy.pre_deploy.check]
        image = "debian"
        command = "check"
        [steps.staging.deploy.services.web]
        image = "debian"
        strategy = "rolling"
        replicas = 2
        command = ["serve"]
        environment = { MODE = "staging", A = "1" }
        ports = ["8000"]
        expose = [9000, 9001]
        volumes = ["data:/data:ro", "logs:/logs:ro"]
        update_config = { parallelism = 2, monitor = "7s" }
        healthcheck = { test = "true", retries = 3 }
        resources.limits = { memory = "512m", pids = 64 }
        depends_on = ["db", "cache"]
        [environments.base]
        [environments.staging]
        [environments.production]
        "#;
    let plan = plan(text);
    let release = |step: &str| {
        let step = plan.find(&step.into()).unwrap().1;
        let Unit::Release(release) = &step.unit else {
            panic!("not a release");
        };
        release
    };
    let production = release("production");
    assert_eq!(production.environment.name, "production");
    assert_eq!(production.healthy_within, Duration::from_secs(60));
    assert_eq!(production.keep, 5);
    let hooks = production.pre_deploy.iter();
    let hooks = hooks.map(|hook| (hook.container.name.as_str(), hook.timeout.as_secs()));
    assert_eq!(
        hooks.collect::<Vec<_>>(),
        [("migrate", 120), ("check", 600), ("warm", 600)]
    );
    let names = production
        .services
        .iter()
        .map(|service| service.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["db", "cache", "web", "worker"]);

    let web = service(production, "web");
    assert_eq!(web.update.strategy, Strategy::Canary);
    assert_eq!(web.update.parallelism, 1);
    assert_eq!(web.update.monitor, Duration::from_secs(7));
    assert_eq!(web.replicas, 4);
    let argv = web.command.as_ref().map(Command::argv);
    assert_eq!(argv.unwrap(), ["serve", "--fast"]);
    let environment = web.environment.iter().map(|(k, v)| format!("{k}={v}"));
    assert_eq!(
        environment.collect::<Vec<_>>(),
        ["A=1", "B=1", "MODE=production"]
    );
    let ports = web.ports.iter().map(|port| (port.published, port.target));
    assert_eq!(ports.collect::<Vec<_>>(), [(Some(443), 8000), (None, 8000)]);
    assert_eq!(web.traffic.expose, [9001, 9000]);
    let volumes = web.volumes.iter().map(|volume| volume.name.as_str());
    assert_eq!(volumes.collect::<Vec<_>>(), ["logs", "other"]);
    let health = web.healthcheck.as_ref().unwrap();
    assert_eq!((health.test.len(), health.retries), (2, Some(9)));
    assert_eq!(web.limits.memory, Some(1 << 30));
    assert_eq!(web.limits.pids, Some(64));
    let needs = web
        .depends_on
        .iter()
        .map(|need| (need.service.as_str(), need.condition));
    assert_eq!(
        needs.collect::<Vec<_>>(),
        [
            ("db", Condition::ServiceStarted),
            ("cache", Condition::ServiceHealthy)
        ]
    );
    let staging = service(release("staging"), "web");
    assert_eq!(staging.update.strategy, Strategy::Rolling);
    assert_eq!((staging.update.parallelism, staging.replicas), (2, 2));
}

#[test]
fn what_looks_at_a_deployed_image_and_comes_before_is_its_gate() {
    let plan = plan(
        r#"
        name = "t"
        [steps.image.build]
        [steps.other.build]
        target = "test"
        [steps.unit]
        image = "${steps.image.image}"
        run = "true"
        [steps.first]
        image = "${steps.image.image}"
        run = "true"
        [steps.second]
        needs = ["first"]
        image = "${steps.other.image}"
        run = "true"
        [steps.lint]
        image = "${steps.image.image}"
        run = "true"
        allow_failure = true
        [steps.apart]
        image = "${steps.image.image}"
        run = "true"
        [steps.cve.scan]
        image = "${steps.image.image}"
        [steps.up]
        needs = ["unit", "second", "lint"]
        [steps.up.deploy]
        environment = "e"
        [steps.up.deploy.services.web]
        image = "${steps.image.image}"
        [steps.up.deploy.services.db]
        image = "redis:7"
        [environments.e]
        "#,
    );
    let found = plan.steps.iter().find_map(|step| match &step.unit {
        Unit::Release(release) => Some(&release.gates),
        _ => None,
    });
    let gates = found.unwrap().iter();
    let gates: Vec<_> = gates
        .map(|gate| (gate.step.as_str(), gate.service.as_str()))
        .collect();
    assert_eq!(gates, [("unit", "web"), ("first", "web"), ("cve", "web")]);
}
