use std::future::pending;

use super::*;
use crate::fake::{FakeBackend, Program};
use crate::release::bare::bare;

fn engine() -> (FakeBackend, Arc<dyn Backend>) {
    let engine = FakeBackend::new();
    engine.add_image("proxy");
    (engine.clone(), Arc::new(engine))
}

fn place() -> Place {
    Place::new("shop", "staging")
}

fn labels(run: &str) -> Labels {
    Labels::from([
        (labels::RUN.to_owned(), run.to_owned()),
        (labels::OWNER.to_owned(), Owner::here().to_string()),
    ])
}

async fn take(backend: &Arc<dyn Backend>, run: &str, wait: Duration) -> Result<Lock, Trouble> {
    Lock::take(
        backend,
        &place(),
        "proxy",
        &labels(run),
        wait,
        pending::<()>(),
    )
    .await
}

#[tokio::test(start_paused = true)]
async fn what_is_looked_at_while_it_starts_is_seen_by_its_owner_alone() {
    let (engine, backend) = engine();
    engine.delay("start_container", Duration::from_millis(400));
    let (place, labels) = (place(), labels("first"));
    let look = async || {
        let now = Instant::now();
        let second = take(&backend, "second", Duration::ZERO).await.map(drop);
        (second.is_err(), now)
    };
    let begun = Instant::now();
    let taken = Lock::take_and_look(
        &backend,
        &place,
        "proxy",
        &labels,
        LOCK_WAIT,
        pending::<()>(),
        look,
    );
    let (lock, (second_lost, looked)) = taken.await.expect("taken");
    assert!(second_lost && lock.held());
    assert!(looked < begun + Duration::from_millis(400));
}

/// The owner of a lock dies.
async fn die(lock: Lock) {
    drop(lock);
    sleep(Duration::from_millis(50)).await;
}

#[tokio::test(start_paused = true)]
async fn of_twenty_racers_one_wins_and_each_other_is_told_who() {
    let (engine, backend) = engine();
    engine.delay("start_container", Duration::from_millis(40));
    let racers: Vec<_> = (0..20)
        .map(|racer| {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move { take(&backend, &format!("r{racer}"), LOCK_WAIT).await })
        })
        .collect();
    let (mut won, mut lost) = (Vec::new(), Vec::new());
    for racer in racers {
        match racer.await.expect("no panic") {
            Ok(lock) => won.push(lock),
            Err(trouble) => lost.push(trouble),
        }
    }
    assert_eq!((won.len(), lost.len()), (1, 19));
    assert!(won[0].held());
    let run = engine.containers()[0].labels[labels::RUN].clone();
    let process = std::process::id();
    let who = format!(
        "run {run} (process {process} of this machine, since 2026-01-01 00:00:00 UTC) has its lock"
    );
    for trouble in lost {
        assert_eq!(trouble.what, "another deploy to staging is under way");
        assert_eq!(trouble.cause.as_deref(), Some(who.as_str()));
    }
    assert_eq!(engine.containers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_waited_for_as_long_as_is_said() {
    let (_, backend) = engine();
    let lock = take(&backend, "first", LOCK_WAIT).await.expect("free");
    let start = Instant::now();
    for wait in [0, 3, 60] {
        let wait = Duration::from_secs(wait);
        let start = Instant::now();
        take(&backend, "second", wait).await.err().expect("held");
        let took = start.elapsed();
        assert!(took >= wait && took <= wait + PAUSE, "{took:?}");
    }
    assert!(lock.held(), "after {:?}", start.elapsed());
    let waiting = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { take(&backend, "second", LOCK_WAIT).await.map(|_| ()) }
    });
    sleep(Duration::from_secs(2)).await;
    lock.release().await.expect("given back");
    waiting.await.expect("no panic").expect("its turn");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_to_stop_waits_no_longer() {
    let (engine, backend) = engine();
    let _lock = take(&backend, "first", LOCK_WAIT).await.expect("free");
    let (wait, stopped) = (Duration::from_secs(600), sleep(Duration::from_secs(1)));
    let start = Instant::now();
    let taken = Lock::take(&backend, &place(), "proxy", &labels("x"), wait, stopped).await;
    assert!(taken.is_err() && start.elapsed() < Duration::from_secs(2));
    assert_eq!(engine.containers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_lock_of_a_dead_owner_is_free_once_its_reaper_had_a_moment() {
    let (engine, backend) = engine();
    let lock = take(&backend, "first", LOCK_WAIT).await.expect("free");
    let dead = lock.id.clone();
    die(lock).await;
    let start = Instant::now();
    let lock = take(&backend, "second", Duration::ZERO)
        .await
        .expect("dead");
    let took = start.elapsed();
    assert!(took >= REAPING && took <= REAPING + PAUSE * 2, "{took:?}");
    assert!(engine.calls().contains(&format!("remove_container {dead}")));

    // The reaper is there in time.
    die(lock).await;
    let id = engine.containers()[0].id.clone();
    let start = Instant::now();
    let (lock, removed) = tokio::join!(take(&backend, "third", LOCK_WAIT), async {
        sleep(Duration::from_secs(1)).await;
        backend.remove_container(&id).await
    });
    removed.expect("removed");
    assert!(start.elapsed() < REAPING && lock.expect("free").held());
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_died_before_it_started_its_lock_holds_up_nobody_for_long() {
    let (engine, backend) = engine();
    let spec = waiting(&place().lock(), "proxy", place().labels(LOCK), Input::Held);
    backend.create_container(&spec).await.expect("made");
    let start = Instant::now();
    let lock = take(&backend, "second", Duration::ZERO)
        .await
        .expect("dead");
    assert!(lock.held() && start.elapsed() >= STARTING);
    assert_eq!(engine.containers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_owner_knows_when_the_lock_was_taken_from_it() {
    let (engine, backend) = engine();
    let lock = take(&backend, "first", LOCK_WAIT).await.expect("free");
    assert!(lock.held());
    engine.kill_from_outside(&lock.id, "KILL");
    lock.input.ended().cancelled().await;
    assert!(!lock.held());

    let (engine, backend) = self::engine();
    let lock = take(&backend, "first", LOCK_WAIT).await.expect("free");
    engine.go_away();
    lock.input.ended().cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn an_image_without_the_proxy_locks_nothing() {
    let (engine, backend) = engine();
    let program = Program {
        start_error: Some(BackendError::new(
            BackendErrorKind::CannotStart { code: 127 },
            "haproxy: not found",
        )),
        ..Program::default()
    };
    engine.program(|_| true, program);
    let trouble = take(&backend, "x", LOCK_WAIT).await.err().expect("no lock");
    assert_eq!(trouble.what, "the lock of staging cannot be taken");
    assert_eq!(engine.containers().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_container_of_that_name_is_said_and_left() {
    let (engine, backend) = engine();
    let foreign = bare("hoist-lock-shop-staging", "proxy", Labels::new());
    backend.create_container(&foreign).await.expect("created");
    let trouble = take(&backend, "x", LOCK_WAIT).await.err().expect("taken");
    assert_eq!(trouble.what, "staging cannot be locked");
    for force in [false, true] {
        let unlocked = unlock(backend.as_ref(), "shop", "staging", force).await;
        assert_eq!(
            unlocked.expect_err("foreign").what,
            "staging cannot be locked"
        );
    }
    assert_eq!(engine.containers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_a_dead_lock_is_freed_unless_it_is_forced() {
    let (engine, backend) = engine();
    let free = async |force| unlock(backend.as_ref(), "shop", "staging", force).await;
    assert_eq!(free(false).await, Ok(Unlocked::Free));
    assert_eq!(free(true).await, Ok(Unlocked::Free));

    let lock = take(&backend, "first", LOCK_WAIT).await.expect("free");
    let trouble = free(false).await.expect_err("alive");
    assert_eq!(trouble.what, "the lock of staging is held");
    assert!(
        trouble
            .cause
            .expect("who")
            .starts_with("run first (process ")
    );
    assert!(lock.held());
    let taken = free(true).await.expect("forced");
    assert!(matches!(taken, Unlocked::Taken(holder) if holder.run == "first"));
    lock.input.ended().cancelled().await;

    die(take(&backend, "second", LOCK_WAIT).await.expect("free")).await;
    let start = Instant::now();
    let dead = free(false).await.expect("dead");
    assert!(matches!(dead, Unlocked::Dead(holder) if holder.run == "second"));
    assert!(start.elapsed() >= REAPING, "its reaper may be at work");
    assert_eq!(engine.containers().len(), 0);
}

#[test]
fn owners_are_told_in_words() {
    let owner = |machine: &str| Owner {
        machine: machine.to_owned(),
        pid: 7,
        ..Owner::default()
    };
    let here = owner("m");
    for (of, words) in [
        (owner("m").to_string(), "process 7 of this machine"),
        (owner("n").to_string(), "process 7 of the machine n"),
        (
            owner("").to_string(),
            "process 7 of a machine that is not known",
        ),
        ("nonsense".to_owned(), "a process that is not known"),
    ] {
        assert_eq!(in_words(&of, &here), words);
    }
}
