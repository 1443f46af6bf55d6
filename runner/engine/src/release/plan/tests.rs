//! What the planner makes of what runs and what is wanted.

mod switching;

use std::collections::BTreeSet;

use hoist_model::unit::{Condition, Strategy as How, UpdateOrder};
use proptest::prelude::*;

use super::super::ports::HostPort;
use super::super::state::{DeployedGate, DeployedNetwork, Generation, Life};
use super::*;
use crate::release::tests::fixtures::{deployed, generation, ports};

/// As `generation` has it, so that nothing changed.
fn want(name: &str) -> Wanted {
    Wanted {
        name: name.to_owned(),
        image: "sha256:1".to_owned(),
        config_digest: None,
        config_hash: "hash".to_owned(),
        secrets_changed: false,
        restored: None,
        networks: Vec::new(),
        host_network: false,
        volumes: Vec::new(),
        ports: Vec::new(),
        to_share: Default::default(),
        gates: BTreeMap::new(),
        depends_on: Vec::new(),
        restart: Restart::UnlessStopped,
        replicas: 1,
        update: UpdatePlan::default(),
    }
}

/// The plan of the release after those that run; nothing earlier is kept.
fn plan_of(deployed: &Deployed, wanted: &[Wanted]) -> Program {
    plan_keeping(0, deployed, wanted)
}

fn plan_keeping(keep: usize, deployed: &Deployed, wanted: &[Wanted]) -> Program {
    let goal = Goal {
        services: wanted.to_vec(),
        keep,
        sequence: NEXT,
        ..Goal::default()
    };
    plan(deployed, &goal)
}

/// The number of the release that is planned.
const NEXT: u64 = 9;

fn slot(name: &str) -> Slot {
    Slot {
        service: name.to_owned(),
        sequence: NEXT,
        replica: 1,
    }
}

fn only(program: &Program, name: &str) -> Member {
    program.changes[name].members[&1].clone()
}

fn changed(name: &str) -> Wanted {
    Wanted {
        config_hash: "other".to_owned(),
        ..want(name)
    }
}

fn needing(want: Wanted, service: &str, condition: Condition) -> Wanted {
    let depends_on = vec![Dependency {
        service: service.to_owned(),
        condition,
    }];
    Wanted { depends_on, ..want }
}

fn new(name: &str) -> Which {
    Which::New(slot(name))
}

fn old(id: &str) -> Which {
    Which::Old(id.to_owned())
}

fn holding(generation: Generation, port: &str) -> Generation {
    Generation {
        ports: HostPort::read(port).into_iter().collect(),
        ..generation
    }
}

use Action as A;

#[test]
fn where_nothing_ran_all_is_made_and_started_in_order() {
    let web = Wanted {
        volumes: vec!["data".into()],
        networks: vec!["default".into()],
        ..want("web")
    };
    let program = plan_of(&Deployed::default(), &[want("db"), web]);
    assert_eq!(
        program.forward,
        [
            A::CreateNetwork("default".into()),
            A::CreateVolume("data".into()),
            A::Create(slot("db")),
            A::Create(slot("web")),
            A::Start(new("db")),
            A::Start(new("web")),
            A::AwaitHealthy(new("web")),
            A::AwaitHealthy(new("db")),
            A::SetRestart(new("db"), Restart::UnlessStopped),
            A::SetRestart(new("web"), Restart::UnlessStopped),
        ]
    );
    assert_eq!(program.afterwards, []);
}

#[test]
fn a_dependency_that_is_to_be_healthy_is_awaited_first() {
    let web = needing(want("web"), "db", Condition::ServiceHealthy);
    let program = plan_of(&Deployed::default(), &[want("db"), web]);
    let place = |action| {
        program
            .forward
            .iter()
            .position(|a| *a == action)
            .expect("in the plan")
    };
    assert!(place(A::AwaitHealthy(new("db"))) < place(A::Start(new("web"))));
    let awaits = program
        .forward
        .iter()
        .filter(|a| **a == A::AwaitHealthy(new("db")))
        .count();
    assert_eq!(awaits, 1, "once is enough");
}

#[test]
fn what_did_not_change_is_left_running() {
    let program = plan_of(&deployed(vec![generation("web", 4)]), &[want("web")]);
    assert_eq!(only(&program, "web"), Member::Kept("web-4".into()));
    assert_eq!(program.forward, [A::AwaitHealthy(old("web-4"))]);
    assert_eq!(program.afterwards, []);
}

#[test]
fn what_changed_is_said() {
    let why = |want: Wanted, runs: Generation| {
        let program = plan_of(&deployed(vec![runs]), &[want]);
        program.changes["web"].why.expect("replaced")
    };
    let runs = || generation("web", 1);
    assert_eq!(why(changed("web"), runs()), "its settings changed");
    let image = Wanted {
        image: "sha256:2".into(),
        ..want("web")
    };
    assert_eq!(why(image, runs()), "its image changed");
    let secrets = Wanted {
        secrets_changed: true,
        ..want("web")
    };
    assert_eq!(why(secrets, runs()), "its secrets changed");
    let dead = Generation {
        life: Life::Other,
        ..runs()
    };
    assert_eq!(
        why(want("web"), dead),
        "its container cannot be started again"
    );
}

#[test]
fn one_image_under_two_ids_is_one_image() {
    let runs = Generation {
        config_digest: Some("sha256:c".into()),
        ..generation("web", 1)
    };
    let same = Wanted {
        image: "sha256:2".into(),
        config_digest: Some("sha256:c".into()),
        ..want("web")
    };
    let program = plan_of(&deployed(vec![runs.clone()]), &[same]);
    assert_eq!(only(&program, "web"), Member::Kept("web-1".into()));
    let unknown = Wanted {
        image: "sha256:2".into(),
        ..want("web")
    };
    let runs = Generation {
        config_digest: None,
        ..runs
    };
    let program = plan_of(&deployed(vec![runs]), &[unknown]);
    assert_eq!(only(&program, "web"), Member::New(slot("web")));
}

#[test]
fn a_changed_service_is_made_before_the_old_one_stops_and_removed_after_all() {
    let program = plan_of(&deployed(vec![generation("web", 1)]), &[changed("web")]);
    assert_eq!(
        program.forward,
        [
            A::Create(slot("web")),
            A::Stop(old("web-1")),
            A::Start(new("web")),
            A::AwaitHealthy(new("web")),
            A::SetRestart(new("web"), Restart::UnlessStopped),
        ]
    );
    assert_eq!(program.afterwards, [A::Remove(old("web-1"))]);
}

#[test]
fn the_next_service_is_touched_only_when_the_one_before_is_healthy() {
    let runs = deployed(vec![generation("api", 1), generation("web", 1)]);
    let program = plan_of(&runs, &[changed("api"), changed("web")]);
    let place = |action| {
        program
            .forward
            .iter()
            .position(|a| *a == action)
            .expect("in the plan")
    };
    assert!(place(A::AwaitHealthy(new("api"))) < place(A::Stop(old("web-1"))));
}

#[test]
fn dependents_of_a_changed_service_are_left_alone() {
    let runs = deployed(vec![generation("db", 1), generation("web", 1)]);
    let web = needing(want("web"), "db", Condition::ServiceHealthy);
    let program = plan_of(&runs, &[changed("db"), web]);
    assert_eq!(only(&program, "web"), Member::Kept("web-1".into()));
    assert!(!program.forward.contains(&A::Stop(old("web-1"))));
    assert!(
        program.forward.contains(&A::AwaitHealthy(old("web-1"))),
        "it still has to be well"
    );
}

#[test]
fn a_service_that_left_the_file_goes_at_the_end() {
    let runs = deployed(vec![generation("web", 1), generation("gone", 1)]);
    let program = plan_of(&runs, &[want("web")]);
    assert_eq!(program.forward, [A::AwaitHealthy(old("web-1"))]);
    assert_eq!(
        program.afterwards,
        [A::Stop(old("gone-1")), A::Remove(old("gone-1"))]
    );
}

#[test]
fn services_that_left_the_file_go_before_what_they_need() {
    let web = Generation {
        depends_on: vec!["db".into()],
        ..generation("web", 1)
    };
    let program = plan_of(&deployed(vec![generation("db", 1), web]), &[]);
    assert_eq!(
        program.afterwards,
        [
            A::Stop(old("web-1")),
            A::Remove(old("web-1")),
            A::Stop(old("db-1")),
            A::Remove(old("db-1")),
        ]
    );
}

#[test]
fn a_renamed_service_gets_the_port_of_the_one_that_goes() {
    let gone = holding(generation("web", 1), "0.0.0.0:8080->80/udp");
    let app = Wanted {
        ports: udp(8080),
        ..want("app")
    };
    let program = plan_of(&deployed(vec![gone]), &[app]);
    assert_eq!(
        program.forward[1..3],
        [A::Stop(old("web-1")), A::Start(new("app"))]
    );
    assert_eq!(program.afterwards, [A::Remove(old("web-1"))]);
}

#[test]
fn two_services_may_swap_their_ports() {
    let web = holding(generation("web", 1), "0.0.0.0:8080->80/udp");
    let api = holding(generation("api", 1), "0.0.0.0:8081->80/udp");
    let wanted = [
        Wanted {
            ports: udp(8080),
            ..changed("api")
        },
        Wanted {
            ports: udp(8081),
            ..changed("web")
        },
    ];
    let program = plan_of(&deployed(vec![web, api]), &wanted);
    let place = |action| {
        program
            .forward
            .iter()
            .position(|a| *a == action)
            .expect("in the plan")
    };
    assert!(place(A::Stop(old("web-1"))) < place(A::Start(new("api"))));
    let stops = program
        .forward
        .iter()
        .filter(|a| **a == A::Stop(old("web-1")))
        .count();
    assert_eq!(stops, 1);
}

#[test]
fn one_on_the_hosts_network_that_goes_is_stopped_before_another_is_started_there() {
    let on_host = |name: &str| Generation {
        host_network: true,
        ..generation(name, 1)
    };
    let wanted = |name: &str| Wanted {
        host_network: true,
        ..want(name)
    };
    let all = deployed(vec![on_host("api"), on_host("web")]);
    let program = plan_of(&all, &[wanted("api"), wanted("app")]);
    let place = |action| program.forward.iter().position(|one| *one == action);
    let stopped = place(A::Stop(old("web-1"))).expect("stopped");
    assert!(stopped < place(A::Start(new("app"))).expect("started"));
    assert_eq!(place(A::Stop(old("api-1"))), None, "it stays");
}

#[test]
fn a_port_that_an_unchanged_service_holds_is_not_taken_from_it() {
    let web = holding(generation("web", 1), "0.0.0.0:8080->80/udp");
    let app = Wanted {
        ports: udp(8080),
        ..want("app")
    };
    let program = plan_of(&deployed(vec![web]), &[want("web"), app]);
    assert!(!program.forward.contains(&A::Stop(old("web-1"))));
}

#[test]
fn an_unchanged_service_that_is_stopped_is_started_again() {
    let stopped = Generation {
        life: Life::Exited,
        ..generation("web", 1)
    };
    let program = plan_of(&deployed(vec![stopped]), &[want("web")]);
    assert_eq!(only(&program, "web"), Member::Stopped("web-1".into()));
    assert_eq!(
        program.forward,
        [A::Start(old("web-1")), A::AwaitHealthy(old("web-1"))]
    );
}

#[test]
fn a_changed_service_that_is_stopped_is_not_stopped_again() {
    let stopped = Generation {
        life: Life::Exited,
        ..generation("web", 1)
    };
    let program = plan_of(&deployed(vec![stopped]), &[changed("web")]);
    assert!(!program.forward.contains(&A::Stop(old("web-1"))));
    assert_eq!(program.afterwards, [A::Remove(old("web-1"))]);
}

#[test]
fn a_restart_policy_that_a_cut_off_deploy_did_not_set_is_set() {
    let unfinished = Generation {
        restart: Restart::No,
        ..generation("web", 2)
    };
    let program = plan_of(&deployed(vec![unfinished]), &[want("web")]);
    assert_eq!(
        program.forward,
        [
            A::AwaitHealthy(old("web-2")),
            A::SetRestart(old("web-2"), Restart::UnlessStopped)
        ]
    );
}

#[test]
fn a_network_that_left_the_file_goes_with_its_last_service() {
    let mut runs = deployed(vec![generation("web", 1)]);
    let network = DeployedNetwork {
        id: "n".into(),
        subnet: None,
        config_hash: String::new(),
    };
    runs.networks = [
        ("default".to_owned(), network.clone()),
        ("back".to_owned(), network),
    ]
    .into();
    let web = Wanted {
        networks: vec!["default".into()],
        ..want("web")
    };
    let program = plan_of(&runs, &[web]);
    assert_eq!(program.afterwards, [A::RemoveNetwork("back".into())]);
}

#[test]
fn reverses_take_back_what_they_reverse() {
    assert_eq!(A::Stop(old("a")).reverse(), Some(A::Start(old("a"))));
    assert_eq!(A::Start(new("a")).reverse(), Some(A::Stop(new("a"))));
    assert_eq!(A::Create(slot("a")).reverse(), Some(A::Remove(new("a"))));
    assert_eq!(
        A::CreateNetwork("n".into()).reverse(),
        Some(A::RemoveNetwork("n".into()))
    );
    assert_eq!(A::AwaitHealthy(new("a")).reverse(), None);
}

fn udp(published: u16) -> Vec<PortMapping> {
    let udp = |port| PortMapping {
        protocol: hoist_model::unit::Protocol::Udp,
        ..port
    };
    ports(published).into_iter().map(udp).collect()
}

/// Behind a gate, with so many containers.
fn behind_gate(want: Wanted, strategy: How, replicas: u32) -> Wanted {
    Wanted {
        gates: [(gate_of(&want.name), front())].into(),
        replicas,
        update: UpdatePlan {
            strategy,
            ..UpdatePlan::default()
        },
        ..want
    }
}

fn gate_of(name: &str) -> Gate {
    Gate::Name(name.to_owned())
}

fn open(gate: Gate) -> DeployedGate {
    let service = match &gate {
        Gate::Name(service) | Gate::Chosen { service, .. } => service.clone(),
        Gate::Port { .. } | Gate::Shared { .. } => "web".to_owned(),
    };
    DeployedGate {
        image: "sha256:proxy".to_owned(),
        id: gate.to_string(),
        gate,
        life: Life::Running,
        addresses: BTreeMap::new(),
        ports: Vec::new(),
        fronts: [(service, front())].into(),
        aside: BTreeSet::new(),
        inner: None,
        others: Vec::new(),
    }
}

fn front() -> Front {
    Front::of(&hoist_model::unit::Traffic::default(), true, None)
}

/// So many containers of one generation.
fn replicas(name: &str, count: u32) -> Vec<Generation> {
    let one = |replica| Generation {
        id: format!("{name}-1-{replica}"),
        replica,
        ..generation(name, 1)
    };
    (1..=count).map(one).collect()
}

fn routes(program: &Program) -> Vec<Backends> {
    let route = |action: &Action| match action {
        A::Route { to, .. } => Some(to.clone()),
        _ => None,
    };
    program.forward.iter().filter_map(route).collect()
}

const EQUAL: Part = Part::Active { weight: 100 };

/// The engine as far as a plan can tell.
#[derive(Clone, Debug, Default, PartialEq)]
struct World {
    /// What exists, and whether it runs: `web-9-1`, `network:default`.
    objects: BTreeMap<String, bool>,
    /// By service: what its gates lead to.
    routes: BTreeMap<String, Vec<(String, Part)>>,
    gates: BTreeSet<String>,
}

fn key(which: &Which) -> String {
    match which {
        Which::New(slot) => format!("new:{}-{}-{}", slot.service, slot.sequence, slot.replica),
        Which::Old(id) => id.clone(),
    }
}

impl World {
    /// Does these, and holds that each is possible when its turn comes, and that gates which led to
    /// something still do.
    fn perform(&mut self, actions: &[Action], outages: &BTreeSet<String>) {
        for action in actions {
            self.one(action);
            for (service, route) in &self.routes {
                let runs = |name: &String| self.objects.get(name) == Some(&true);
                let active = route
                    .iter()
                    .filter(|(_, part)| matches!(part, Part::Active { .. }));
                let answers = active.clone().all(|(name, _)| runs(name)) && active.count() > 0;
                let open = self.gates.contains(&gate_of(service).to_string());
                assert!(
                    !open || answers || outages.contains(service),
                    "{service} after {action:?}"
                );
            }
        }
    }

    fn one(&mut self, action: &Action) {
        let objects = &mut self.objects;
        match action {
            A::CreateNetwork(name) => drop(objects.insert(format!("network:{name}"), false)),
            A::CreateVolume(name) => drop(objects.insert(format!("volume:{name}"), false)),
            A::RemoveNetwork(name) => drop(objects.remove(&format!("network:{name}"))),
            A::RemoveVolume(name) => drop(objects.remove(&format!("volume:{name}"))),
            A::Create(slot) => drop(objects.insert(key(&Which::New(slot.clone())), false)),
            A::Start(which) => {
                let before = objects.insert(key(which), true);
                assert_eq!(before, Some(false), "{which:?} can be started");
            }
            A::Stop(which) => {
                let before = objects.insert(key(which), false);
                assert_eq!(before, Some(true), "{which:?} runs");
            }
            A::AwaitHealthy(which) | A::Prove(which) => {
                assert_eq!(objects.get(&key(which)), Some(&true), "{which:?} runs");
            }
            A::SetRestart(which, _) => assert!(objects.contains_key(&key(which))),
            A::Remove(which) => {
                let was = objects.remove(&key(which));
                assert!(was.is_some_and(|runs| !runs), "{which:?} is stopped");
            }
            A::OpenGate { gate, .. } => drop(self.gates.insert(gate.to_string())),
            A::CloseGate(gate) => drop(self.gates.remove(&gate.to_string())),
            A::ReplaceGate { gate, .. } | A::ShareGate { gate, .. } => {
                assert!(self.gates.contains(&gate.to_string()))
            }
            A::Route { service, to, from } => {
                let named = |all: &Backends| -> Vec<(String, Part)> {
                    all.iter()
                        .map(|(which, part)| (key(which), *part))
                        .collect()
                };
                let before = self.routes.insert(service.clone(), named(to));
                assert_eq!(before.unwrap_or_default(), named(from), "{service}");
            }
            A::RemoveSecrets(_)
            | A::Front { .. }
            | A::Drain(_)
            | A::Bake(..)
            | A::Check { .. }
            | A::Judge { .. }
            | A::Pause(_)
            | A::RunHook(_)
            | A::OnReturn(_) => {}
        }
    }
}

type Case = (Vec<Generation>, Vec<Wanted>);

fn services() -> impl Strategy<Value = Case> {
    let one = |name: &'static str| {
        let lives =
            prop_oneof![4 => Just(Life::Running), 1 => Just(Life::Exited), 1 => Just(Life::Other)];
        let hows = prop_oneof![
            Just(How::Recreate),
            Just(How::BlueGreen),
            Just(How::Rolling),
            Just(How::Canary)
        ];
        let counts = (1..4_u32, 1..4_u32, 0..3_u32);
        (0..4_u8, lives, any::<bool>(), hows, counts, any::<bool>()).prop_map(
            move |(presence, life, same, how, (had, wants, parallelism), stop_first)| {
                let runs = replicas(name, had)
                    .into_iter()
                    .map(|old| Generation { life, ..old });
                let base = if same { want(name) } else { changed(name) };
                let mut want = Wanted {
                    networks: vec!["n".into()],
                    ..behind_gate(base, how, wants)
                };
                want.update.parallelism = parallelism;
                if stop_first {
                    want.update.order = UpdateOrder::StopFirst;
                }
                if how == How::Canary {
                    want.update.canary = Some(CanaryPlan {
                        weights: vec![10, 50],
                        step: Duration::ZERO,
                        min_requests: 1,
                        max_error_rate: 0.0,
                        max_latency_ratio: None,
                    });
                }
                let runs: Vec<Generation> = runs.collect();
                (
                    if presence == 1 { Vec::new() } else { runs },
                    (presence != 2).then_some(want),
                )
            },
        )
    };
    (one("a"), one("b"), one("c")).prop_map(|(a, b, c)| {
        let (runs, wanted): (Vec<_>, Vec<_>) = [a, b, c].into_iter().unzip();
        (
            runs.into_iter().flatten().collect(),
            wanted.into_iter().flatten().collect(),
        )
    })
}

proptest! {
    /// Whatever runs and is wanted, and wherever it breaks off: every action is possible when its
    /// turn comes, no gate leads nowhere, and the way back leads to what was before.
    #[test]
    fn the_way_back_leads_back(cut in 0..80_usize, (runs, wanted) in services()) {
        let mut runs = deployed(runs);
        let names: BTreeSet<&String> = runs.generations.iter().map(|old| &old.service).collect();
        runs.gates = names.iter().map(|name| open(gate_of(name))).collect();
        let program = plan_of(&runs, &wanted);
        let mut before = World::default();
        for old in &runs.generations {
            let runs = old.life == Life::Running;
            before.objects.insert(old.id.clone(), runs);
            let route = before.routes.entry(old.service.clone()).or_default();
            if runs {
                route.push((old.id.clone(), EQUAL));
            }
        }
        before.gates = runs.gates.iter().map(|gate| gate.gate.to_string()).collect();
        // Those that are recreated are down meanwhile, and those that were down before were so.
        let outage = |want: &&Wanted| {
            let ran = before.routes.get(&want.name).is_some_and(|route| !route.is_empty());
            want.update.strategy == How::Recreate
                || !ran
                || want.update.order == UpdateOrder::StopFirst
        };
        let mut outages: BTreeSet<String> = wanted.iter().filter(outage).map(|want| want.name.clone()).collect();
        let gone = names.iter().filter(|name| wanted.iter().all(|want| want.name != ***name));
        outages.extend(gone.map(|name| (*name).clone()));

        let done = &program.forward[..cut.min(program.forward.len())];
        let mut world = before.clone();
        world.perform(done, &outages);
        let back: Vec<Action> = done.iter().rev().filter_map(Action::reverse).collect();
        world.perform(&back, &outages);
        world.routes.retain(|_, route| !route.is_empty());
        let mut as_before = before.clone();
        as_before.routes.retain(|_, route| !route.is_empty());
        prop_assert_eq!(&world, &as_before);

        let mut world = before.clone();
        world.perform(&program.forward, &outages);
        world.perform(&program.afterwards, &outages);
        let serving = wanted.iter().flat_map(|want| program.changes[&want.name].all());
        let mut expected: BTreeMap<String, bool> = serving.map(|which| (key(&which), true)).collect();
        if !wanted.is_empty() {
            expected.insert("network:n".to_owned(), false);
        }
        prop_assert_eq!(world.objects, expected);
        for want in &wanted {
            let route: BTreeSet<String> = world.routes[&want.name].iter().map(|(name, _)| name.clone()).collect();
            let all: BTreeSet<String> = program.changes[&want.name].all().iter().map(key).collect();
            prop_assert_eq!(route, all);
        }
    }
}
