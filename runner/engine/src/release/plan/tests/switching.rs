//! What stands behind a gate becomes another.

use super::*;

#[test]
fn blue_green_proves_the_new_before_it_has_the_traffic_and_keeps_the_old_meanwhile() {
    let mut runs = deployed(replicas("web", 1));
    runs.gates.push(open(gate_of("web")));
    let program = plan_of(&runs, &[behind_gate(changed("web"), How::BlueGreen, 1)]);
    let (blue, green) = (old("web-1-1"), new("web"));
    assert_eq!(
        routes(&program),
        [
            vec![(blue.clone(), EQUAL), (green.clone(), Part::Probing)],
            vec![(green.clone(), EQUAL), (blue.clone(), Part::Backup)],
            vec![(green.clone(), EQUAL)],
        ]
    );
    assert!(!program.forward.contains(&A::Stop(blue.clone())));
    assert_eq!(
        program.afterwards,
        [A::Stop(blue.clone()), A::Remove(blue.clone())]
    );
    let kept = plan_keeping(1, &runs, &[behind_gate(changed("web"), How::BlueGreen, 1)]);
    assert_eq!(kept.afterwards, [A::Stop(blue)]);
}

#[test]
fn what_gates_are_led_to_is_checked_while_there_is_time_for_it() {
    let mut runs = deployed(replicas("web", 1));
    runs.gates.push(open(gate_of("web")));
    let program = plan_of(&runs, &[behind_gate(changed("web"), How::BlueGreen, 1)]);
    let routes = routes(&program);
    let at = |wanted: &A| program.forward.iter().position(|action| action == wanted);
    let check = |to: &Backends| A::Check {
        service: "web".to_owned(),
        to: to.clone(),
    };
    let (switch, end) = (at(&check(&routes[1])), at(&check(&routes[2])));
    assert!(switch.is_some() && switch < at(&A::AwaitHealthy(new("web"))));
    let bake = |action: &A| matches!(action, A::Bake(..));
    let bake = program.forward.iter().position(bake);
    assert!(end.is_some() && end < bake);
}

#[test]
fn a_rolling_update_never_has_fewer_than_are_wanted() {
    let mut runs = deployed(replicas("web", 3));
    runs.gates.push(open(gate_of("web")));
    let mut want = behind_gate(changed("web"), How::Rolling, 3);
    let active = |program: &Program| -> Vec<usize> {
        let count = |to: &Backends| to.iter().filter(|(_, part)| *part == EQUAL).count();
        routes(program).iter().map(count).collect()
    };
    assert!(
        active(&plan_of(&runs, &[want.clone()]))
            .iter()
            .all(|count| *count == 3)
    );
    want.update.order = UpdateOrder::StopFirst;
    assert!(
        active(&plan_of(&runs, &[want]))
            .iter()
            .all(|count| *count >= 2)
    );
}

#[test]
fn scale_adds_to_the_generation_that_serves_and_takes_from_its_end() {
    let mut runs = deployed(replicas("web", 2));
    runs.gates.push(open(gate_of("web")));
    let up = plan_of(&runs, &[behind_gate(want("web"), How::BlueGreen, 3)]);
    let third = Slot {
        sequence: 1,
        replica: 3,
        ..slot("web")
    };
    assert_eq!(up.forward.first(), Some(&A::Create(third)));
    assert_eq!(up.afterwards, []);
    let down = plan_of(&runs, &[behind_gate(want("web"), How::BlueGreen, 1)]);
    assert_eq!(routes(&down), [vec![(old("web-1-1"), EQUAL)]]);
    assert_eq!(
        down.afterwards,
        [A::Stop(old("web-1-2")), A::Remove(old("web-1-2"))]
    );
}

#[test]
fn a_kept_generation_comes_back_as_it_was() {
    let stopped = Generation {
        life: Life::Exited,
        ..generation("web", 1)
    };
    let mut runs = deployed(vec![stopped, generation("web", 2)]);
    runs.gates.push(open(gate_of("web")));
    let want = Wanted {
        restored: Some(1),
        ..behind_gate(want("web"), How::BlueGreen, 1)
    };
    let program = plan_keeping(2, &runs, &[want]);
    assert_eq!(only(&program, "web"), Member::Stopped("web-1".into()));
    assert_eq!(program.forward.first(), Some(&A::Start(old("web-1"))));
    assert_eq!(program.afterwards, [A::Stop(old("web-2"))]);
    assert_eq!(program.serving(&runs), [("web".to_owned(), 1)].into());
}

#[test]
fn a_hook_runs_once_before_anything_that_runs_is_touched() {
    let runs = deployed(vec![generation("web", 1)]);
    let goal = |web| Goal {
        services: vec![want("db"), web],
        pre_deploy: vec![Hook {
            name: "migrate".into(),
            depends_on: vec!["db".into()],
            ..Hook::default()
        }],
        sequence: NEXT,
        ..Goal::default()
    };
    let program = plan(&runs, &goal(changed("web")));
    let place = |action| program.forward.iter().position(|a| *a == action);
    let hook = place(A::RunHook("migrate".into()));
    assert!(place(A::AwaitHealthy(new("db"))) < hook && hook < place(A::Stop(old("web-1"))));
    let both = deployed(vec![generation("web", 1), generation("db", 1)]);
    let unchanged = plan(&both, &goal(want("web")));
    assert!(
        unchanged.is_in_place(),
        "nothing changes, so nothing migrates"
    );
}

fn with_page(want: Wanted) -> Wanted {
    let gates = want.gates.iter().map(|(gate, front)| {
        let page = Front {
            maintenance: true,
            ..front.clone()
        };
        (gate.clone(), page)
    });
    Wanted {
        gates: gates.collect(),
        ..want
    }
}

/// The services whose gates do something else, and what is started, in this order.
fn fronts_and_starts(program: &Program) -> Vec<&'static str> {
    let all = program.forward.iter().filter_map(|action| match action {
        A::Front { wanted, .. } => Some(if *wanted { "front" } else { "back" }),
        A::Start(_) => Some("start"),
        A::Drain(_) => Some("drain"),
        A::Judge { .. } => Some("judge"),
        _ => None,
    });
    all.collect()
}

#[test]
fn what_a_gate_does_with_what_comes_in_changes_without_a_new_container() {
    let web = behind_gate(want("web"), How::Recreate, 1);
    let mut runs = deployed(vec![generation("web", 1)]);
    runs.gates.push(open(gate_of("web")));
    assert!(plan_of(&runs, std::slice::from_ref(&web)).is_in_place());

    let page = plan_of(&runs, &[with_page(web.clone())]);
    assert!(page.changes["web"].is_nothing() && !page.is_in_place());
    assert_eq!(page.refronts["web"].maintenance, Some(true));
    assert_eq!(fronts_and_starts(&page), ["front", "drain"]);
    let back = page.forward[0].reverse();
    assert!(
        matches!(back, Some(A::Front { wanted: false, .. })),
        "{back:?}"
    );

    // Where nothing is known of what it does, it is told.
    runs.gates[0].fronts.clear();
    assert_eq!(fronts_and_starts(&plan_of(&runs, &[web])), ["front"]);
}

#[test]
fn a_port_that_services_share_is_led_away_from_who_leaves() {
    let gate = Gate::Port {
        address: None,
        port: 80,
    };
    let sharing = |name: &str| Wanted {
        gates: [(gate.clone(), front())].into(),
        ..want(name)
    };
    let mut runs = deployed(vec![generation("web", 1), generation("api", 1)]);
    runs.gates.push(DeployedGate {
        fronts: ["web", "api"].map(|name| (name.to_owned(), front())).into(),
        ..open(gate.clone())
    });
    let both = plan_of(&runs, &[sharing("web"), sharing("api")]);
    assert!(both.is_in_place(), "{:?}", both.forward);
    let web = plan_of(&runs, &[sharing("web")]);
    assert_eq!(fronts_and_starts(&web), ["front"]);
    let closes = |action: &Action| matches!(action, A::CloseGate(_));
    assert!(!web.afterwards.iter().any(closes));
}

#[test]
fn a_page_comes_before_what_is_new_and_goes_after_it() {
    for strategy in [How::Recreate, How::BlueGreen, How::Rolling] {
        let web = behind_gate(changed("web"), strategy, 1);
        let mut runs = deployed(vec![generation("web", 1)]);
        runs.gates.push(open(gate_of("web")));
        let first = |program: &Program| fronts_and_starts(program)[0];
        let last = |program: &Program| fronts_and_starts(program).last().copied();
        let comes = plan_of(&runs, &[with_page(web.clone())]);
        assert_eq!(first(&comes), "front", "{strategy:?}");
        let page = with_page(web.clone()).gates.into_values();
        runs.gates[0].fronts = page.map(|front| ("web".to_owned(), front)).collect();
        let goes = plan_of(&runs, &[web]);
        assert_eq!(first(&goes), "start", "{strategy:?}");
        assert_eq!(last(&goes), Some("front"), "{strategy:?}");
    }
}

#[test]
fn a_canary_behind_a_page_has_no_requests_and_is_not_judged() {
    let mut web = with_page(behind_gate(changed("web"), How::Canary, 1));
    web.update.canary = Some(CanaryPlan {
        weights: vec![10],
        step: Duration::ZERO,
        min_requests: 1,
        max_error_rate: 0.0,
        max_latency_ratio: None,
    });
    let mut runs = deployed(vec![generation("web", 1)]);
    runs.gates.push(open(gate_of("web")));
    let program = plan_of(&runs, &[web]);
    assert!(!fronts_and_starts(&program).contains(&"judge"));
}
