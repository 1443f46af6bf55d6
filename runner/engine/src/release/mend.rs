//! What a deploy that was cut off left behind, and how it is put right before the next one plans:
//! either the container that it meant to put in place is kept, or the one before serves again. Pure.
//!
//! The marks are those that a deploy leaves as it goes: a container that was never started, and the
//! restart policy, which one only gets when the whole release was healthy.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::unit::Restart;

use super::plan::{Action, Which};
use super::state::{Deployed, Generation, Life};
use crate::backend::HealthStatus;

/// What is put right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mending {
    pub(crate) actions: Vec<Action>,
    /// What is said of it.
    pub(crate) notes: Vec<String>,
}

/// Finds what a deploy that was cut off left behind. Afterwards there is at most one container a
/// service, and none that was never started.
pub(crate) fn mend(deployed: &Deployed) -> Mending {
    let mut services: BTreeMap<&str, Vec<&Generation>> = BTreeMap::new();
    for generation in &deployed.generations {
        services
            .entry(&generation.service)
            .or_default()
            .push(generation);
    }
    let mut mending = Mending::default();
    for (service, mut generations) in services {
        generations.sort_by_key(|generation| generation.sequence);
        mend_service(service, &generations, &mut mending);
    }
    let used: BTreeSet<&String> = deployed
        .generations
        .iter()
        .filter_map(|generation| generation.secrets.as_ref())
        .collect();
    for stray in deployed
        .secrets
        .iter()
        .filter(|volume| !used.contains(volume))
    {
        mending.actions.push(Action::RemoveSecrets(stray.clone()));
    }
    mending
}

/// `generations` is sorted, the oldest first.
fn mend_service(service: &str, generations: &[&Generation], mending: &mut Mending) {
    let survivor = survivor(generations);
    let others: Vec<&&Generation> = generations
        .iter()
        .filter(|other| survivor.is_none_or(|kept| kept.id != other.id))
        .collect();
    if others.is_empty() {
        return;
    }
    // First away, then up: they share an address and ports.
    for other in &others {
        let which = Which::Old(other.id.clone());
        if other.life == Life::Running {
            mending.actions.push(Action::Stop(which.clone()));
        }
        mending.actions.push(Action::Remove(which));
    }
    let removed: Vec<String> = others
        .iter()
        .map(|other| other.sequence.to_string())
        .collect();
    let what = format!(
        "release {} of {service} was not finished",
        removed.join(", ")
    );
    mending.notes.push(match survivor {
        None => format!("{what}: taken away"),
        Some(kept) if kept.life == Life::Running => {
            match others.iter().any(|o| o.sequence < kept.sequence) {
                true => format!(
                    "release {} of {service} was not cleaned up after: done now",
                    kept.sequence
                ),
                false => format!("{what}: taken away, release {} serves", kept.sequence),
            }
        }
        Some(kept) => {
            mending
                .actions
                .push(Action::Start(Which::Old(kept.id.clone())));
            format!(
                "{what}: taken away, release {} is started again",
                kept.sequence
            )
        }
    });
}

/// The container that stays.
fn survivor<'a>(generations: &[&'a Generation]) -> Option<&'a Generation> {
    let started: Vec<&Generation> = generations
        .iter()
        .copied()
        .filter(|g| g.life != Life::Created)
        .collect();
    let settled = |generation: &Generation| generation.restart != Restart::No;
    // One that was cut off before its check said anything may never be well.
    let proven = |generation: &Generation| {
        let starting = generation.health == Some(HealthStatus::Starting);
        generation.serves() && (settled(generation) || !starting)
    };
    let newest = |is: &dyn Fn(&Generation) -> bool| started.iter().rev().copied().find(|g| is(g));
    newest(&proven)
        .or_else(|| newest(&settled))
        .or_else(|| newest(&Generation::serves))
        .or_else(|| started.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::tests::fixtures::{deployed, generation};

    fn old() -> Generation {
        generation("web", 2)
    }

    /// As a deploy has it before the whole release was healthy.
    fn unfinished(life: Life) -> Generation {
        Generation {
            life,
            restart: Restart::No,
            ..generation("web", 3)
        }
    }

    fn stopped(generation: Generation) -> Generation {
        Generation {
            life: Life::Exited,
            ..generation
        }
    }

    fn actions(generations: Vec<Generation>) -> Vec<Action> {
        mend(&deployed(generations)).actions
    }

    fn remove(id: &str) -> Action {
        Action::Remove(Which::Old(id.to_owned()))
    }

    fn start(id: &str) -> Action {
        Action::Start(Which::Old(id.to_owned()))
    }

    fn stop(id: &str) -> Action {
        Action::Stop(Which::Old(id.to_owned()))
    }

    #[test]
    fn a_sound_environment_needs_nothing() {
        assert_eq!(
            mend(&deployed(vec![old(), generation("db", 1)])),
            Mending::default()
        );
        assert_eq!(mend(&Deployed::default()), Mending::default());
    }

    #[test]
    fn one_that_someone_stopped_is_left_as_it_is() {
        assert_eq!(actions(vec![stopped(old())]), []);
    }

    #[test]
    fn cut_off_before_the_switch_the_new_one_goes() {
        assert_eq!(
            actions(vec![old(), unfinished(Life::Created)]),
            [remove("web-3")]
        );
    }

    #[test]
    fn cut_off_in_the_switch_the_old_one_comes_back() {
        assert_eq!(
            actions(vec![unfinished(Life::Created), stopped(old())]),
            [remove("web-3"), start("web-2")]
        );
    }

    #[test]
    fn cut_off_after_the_start_the_new_one_is_kept_if_it_serves() {
        assert_eq!(
            actions(vec![stopped(old()), unfinished(Life::Running)]),
            [remove("web-2")]
        );
    }

    #[test]
    fn one_that_is_not_healthy_gives_way_to_the_old() {
        let sick = Generation {
            health: Some(HealthStatus::Unhealthy),
            ..unfinished(Life::Running)
        };
        assert_eq!(
            actions(vec![stopped(old()), sick]),
            [stop("web-3"), remove("web-3"), start("web-2")]
        );
    }

    #[test]
    fn one_whose_check_said_nothing_yet_gives_way_to_a_finished_one_only() {
        let starting = || Generation {
            health: Some(HealthStatus::Starting),
            ..unfinished(Life::Running)
        };
        assert_eq!(
            actions(vec![stopped(old()), starting()]),
            [stop("web-3"), remove("web-3"), start("web-2")]
        );
        let older = Generation {
            restart: Restart::No,
            ..stopped(old())
        };
        assert_eq!(actions(vec![older, starting()]), [remove("web-2")]);
        let finished = Generation {
            restart: Restart::Always,
            ..starting()
        };
        assert_eq!(actions(vec![stopped(old()), finished]), [remove("web-2")]);
    }

    #[test]
    fn after_a_crash_of_the_machine_the_old_one_comes_back() {
        assert_eq!(
            actions(vec![stopped(old()), unfinished(Life::Exited)]),
            [remove("web-3"), start("web-2")]
        );
    }

    #[test]
    fn a_finished_release_stays_even_if_it_is_stopped_or_sick() {
        let finished = generation("web", 3);
        assert_eq!(
            actions(vec![stopped(old()), stopped(finished.clone())]),
            [remove("web-2"), start("web-3")]
        );
        let sick = Generation {
            health: Some(HealthStatus::Unhealthy),
            ..finished
        };
        assert_eq!(actions(vec![stopped(old()), sick]), [remove("web-2")]);
    }

    #[test]
    fn a_first_release_that_never_started_goes() {
        let mending = mend(&deployed(vec![unfinished(Life::Created)]));
        assert_eq!(mending.actions, [remove("web-3")]);
        assert_eq!(
            mending.notes,
            ["release 3 of web was not finished: taken away"]
        );
    }

    #[test]
    fn secrets_of_no_container_go() {
        let mut state = deployed(vec![Generation {
            secrets: Some("a".into()),
            ..old()
        }]);
        state.secrets = vec!["a".into(), "b".into()];
        assert_eq!(mend(&state).actions, [Action::RemoveSecrets("b".into())]);
    }

    #[test]
    fn at_most_one_container_a_service_is_left_whatever_was_found() {
        let lives = [Life::Created, Life::Running, Life::Exited, Life::Other];
        let restarts = [Restart::No, Restart::Always];
        for a in lives {
            for b in lives {
                for (restart_a, restart_b) in restarts
                    .iter()
                    .flat_map(|x| restarts.iter().map(move |y| (*x, *y)))
                {
                    let found = vec![
                        Generation {
                            life: a,
                            restart: restart_a,
                            ..generation("web", 1)
                        },
                        Generation {
                            life: b,
                            restart: restart_b,
                            ..generation("web", 2)
                        },
                    ];
                    let removed = actions(found)
                        .iter()
                        .filter(|act| matches!(act, Action::Remove(_)))
                        .count();
                    let started = [a, b].iter().any(|life| *life != Life::Created);
                    assert_eq!(removed, if started { 1 } else { 2 }, "{a:?} {b:?}");
                }
            }
        }
    }
}
