//! What the planner makes of what runs and what is wanted.

use proptest::prelude::*;

use super::super::state::DeployedNetwork;
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
        networks: Vec::new(),
        volumes: Vec::new(),
        ports: Vec::new(),
        depends_on: Vec::new(),
        restart: Restart::UnlessStopped,
    }
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
    Which::New(name.to_owned())
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
    let program = recreate(&Deployed::default(), &[want("db"), web]);
    assert_eq!(
        program.forward,
        [
            A::CreateNetwork("default".into()),
            A::CreateVolume("data".into()),
            A::Create("db".into()),
            A::Create("web".into()),
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
    let program = recreate(&Deployed::default(), &[want("db"), web]);
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
    let program = recreate(&deployed(vec![generation("web", 4)]), &[want("web")]);
    assert_eq!(program.changes["web"], Change::Unchanged("web-4".into()));
    assert_eq!(program.forward, [A::AwaitHealthy(old("web-4"))]);
    assert_eq!(program.afterwards, []);
}

#[test]
fn what_changed_is_said() {
    let why = |want: Wanted, runs: Generation| match recreate(&deployed(vec![runs]), &[want])
        .changes
        .remove("web")
    {
        Some(Change::Recreated { why, .. }) => why,
        other => panic!("not recreated: {other:?}"),
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
    let program = recreate(&deployed(vec![runs.clone()]), &[same]);
    assert_eq!(program.changes["web"], Change::Unchanged("web-1".into()));
    let unknown = Wanted {
        image: "sha256:2".into(),
        ..want("web")
    };
    let runs = Generation {
        config_digest: None,
        ..runs
    };
    assert!(matches!(
        recreate(&deployed(vec![runs]), &[unknown]).changes["web"],
        Change::Recreated { .. }
    ));
}

#[test]
fn a_changed_service_is_made_before_the_old_one_stops_and_removed_after_all() {
    let program = recreate(&deployed(vec![generation("web", 1)]), &[changed("web")]);
    assert_eq!(
        program.forward,
        [
            A::Create("web".into()),
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
    let program = recreate(&runs, &[changed("api"), changed("web")]);
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
    let program = recreate(&runs, &[changed("db"), web]);
    assert_eq!(program.changes["web"], Change::Unchanged("web-1".into()));
    assert!(!program.forward.contains(&A::Stop(old("web-1"))));
    assert!(
        program.forward.contains(&A::AwaitHealthy(old("web-1"))),
        "it still has to be well"
    );
}

#[test]
fn a_service_that_left_the_file_goes_at_the_end() {
    let runs = deployed(vec![generation("web", 1), generation("gone", 1)]);
    let program = recreate(&runs, &[want("web")]);
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
    let program = recreate(&deployed(vec![generation("db", 1), web]), &[]);
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
    let gone = holding(generation("web", 1), "0.0.0.0:8080->80/tcp");
    let app = Wanted {
        ports: ports(8080),
        ..want("app")
    };
    let program = recreate(&deployed(vec![gone]), &[app]);
    assert_eq!(
        program.forward[1..3],
        [A::Stop(old("web-1")), A::Start(new("app"))]
    );
    assert_eq!(program.afterwards, [A::Remove(old("web-1"))]);
}

#[test]
fn two_services_may_swap_their_ports() {
    let web = holding(generation("web", 1), "0.0.0.0:8080->80/tcp");
    let api = holding(generation("api", 1), "0.0.0.0:8081->80/tcp");
    let wanted = [
        Wanted {
            ports: ports(8080),
            ..changed("api")
        },
        Wanted {
            ports: ports(8081),
            ..changed("web")
        },
    ];
    let program = recreate(&deployed(vec![web, api]), &wanted);
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
fn a_port_that_an_unchanged_service_holds_is_not_taken_from_it() {
    let web = holding(generation("web", 1), "0.0.0.0:8080->80/tcp");
    let app = Wanted {
        ports: ports(8080),
        ..want("app")
    };
    let program = recreate(&deployed(vec![web]), &[want("web"), app]);
    assert!(!program.forward.contains(&A::Stop(old("web-1"))));
}

#[test]
fn an_unchanged_service_that_is_stopped_is_started_again() {
    let stopped = Generation {
        life: Life::Exited,
        ..generation("web", 1)
    };
    let program = recreate(&deployed(vec![stopped]), &[want("web")]);
    assert_eq!(program.changes["web"], Change::Stopped("web-1".into()));
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
    let program = recreate(&deployed(vec![stopped]), &[changed("web")]);
    assert!(!program.forward.contains(&A::Stop(old("web-1"))));
    assert_eq!(program.afterwards, [A::Remove(old("web-1"))]);
}

#[test]
fn a_restart_policy_that_a_cut_off_deploy_did_not_set_is_set() {
    let unfinished = Generation {
        restart: Restart::No,
        ..generation("web", 2)
    };
    let program = recreate(&deployed(vec![unfinished]), &[want("web")]);
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
    let program = recreate(&runs, &[web]);
    assert_eq!(program.afterwards, [A::RemoveNetwork("back".into())]);
}

#[test]
fn reverses_take_back_what_they_reverse() {
    assert_eq!(A::Stop(old("a")).reverse(), Some(A::Start(old("a"))));
    assert_eq!(A::Start(new("a")).reverse(), Some(A::Stop(new("a"))));
    assert_eq!(A::Create("a".into()).reverse(), Some(A::Remove(new("a"))));
    assert_eq!(
        A::CreateNetwork("n".into()).reverse(),
        Some(A::RemoveNetwork("n".into()))
    );
    assert_eq!(A::AwaitHealthy(new("a")).reverse(), None);
}

/// What runs and exists after these actions, by name: `new:web`, `web-1`, `network:default`.
fn perform(state: &mut BTreeMap<String, bool>, actions: &[Action]) {
    let key = |which: &Which| match which {
        Which::New(service) => format!("new:{service}"),
        Which::Old(id) => id.clone(),
    };
    for action in actions {
        match action {
            A::CreateNetwork(name) => drop(state.insert(format!("network:{name}"), false)),
            A::CreateVolume(name) => drop(state.insert(format!("volume:{name}"), false)),
            A::RemoveNetwork(name) => drop(state.remove(&format!("network:{name}"))),
            A::RemoveVolume(name) => drop(state.remove(&format!("volume:{name}"))),
            A::Create(service) => drop(state.insert(format!("new:{service}"), false)),
            A::Start(which) => {
                assert_eq!(
                    state.insert(key(which), true),
                    Some(false),
                    "{which:?} can be started"
                );
            }
            A::Stop(which) => {
                assert_eq!(
                    state.insert(key(which), false),
                    Some(true),
                    "{which:?} runs"
                );
            }
            A::AwaitHealthy(which) => {
                assert_eq!(state.get(&key(which)), Some(&true), "{which:?} runs");
            }
            A::SetRestart(which, _) => assert!(state.contains_key(&key(which))),
            A::Remove(which) => {
                assert!(
                    state.remove(&key(which)).is_some_and(|runs| !runs),
                    "{which:?} is stopped"
                );
            }
            A::RemoveSecrets(_) => {}
        }
    }
}

fn services() -> impl Strategy<Value = (Vec<Generation>, Vec<Wanted>)> {
    let one = |name: &'static str| {
        let lives = prop_oneof![Just(Life::Running), Just(Life::Exited), Just(Life::Other)];
        (0..4_u8, lives, any::<bool>(), 0..3_u16, 0..3_u16).prop_map(
            move |(presence, life, same, held, wanted)| {
                let held = format!("0.0.0.0:{}->80/tcp", 8000 + held);
                let runs = Generation {
                    life,
                    ..generation(name, 1)
                };
                let runs = if life == Life::Running {
                    holding(runs, &held)
                } else {
                    runs
                };
                let base = if same { want(name) } else { changed(name) };
                let want = Wanted {
                    ports: ports(8000 + wanted),
                    networks: vec!["n".into()],
                    ..base
                };
                (
                    (presence != 1).then_some(runs),
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
    /// turn comes, and the way back leads to what was before.
    #[test]
    fn the_way_back_leads_back(cut in 0..40_usize, (runs, wanted) in services()) {
        let runs = deployed(runs);
        let program = recreate(&runs, &wanted);
        let before: BTreeMap<String, bool> = runs
            .generations
            .iter()
            .map(|old| (old.id.clone(), old.life == Life::Running))
            .collect();
        let done = &program.forward[..cut.min(program.forward.len())];
        let mut state = before.clone();
        perform(&mut state, done);
        let back: Vec<Action> = done.iter().rev().filter_map(Action::reverse).collect();
        perform(&mut state, &back);
        prop_assert_eq!(&state, &before);

        perform(&mut state, &program.forward);
        perform(&mut state, &program.afterwards);
        let serving = wanted.iter().map(|want| match program.changes[&want.name].container(&want.name) {
            Which::New(service) => format!("new:{service}"),
            Which::Old(id) => id,
        });
        let mut expected: BTreeMap<String, bool> = serving.map(|name| (name, true)).collect();
        if !wanted.is_empty() {
            expected.insert("network:n".to_owned(), false);
        }
        prop_assert_eq!(state, expected);
    }
}
