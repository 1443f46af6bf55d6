//! Secrets in memory over an engine that forgets them as a real one does.

use hoist_model::unit::ReleaseDeed;

use super::rig::Fault;
use super::*;
use crate::release::{NotRestarted, Restart as Again, restart};
use crate::secrets::Secrets;

const OTHER: &str = "battery staple correct";

fn web(version: &str) -> ServiceUnit {
    ServiceUnit {
        image: image(&format!("app:{version}")),
        secrets: vec!["token".to_owned()],
        secrets_in_memory: true,
        ..service("web")
    }
}

async fn released(
    rig: &Rig,
    version: &str,
    deed: ReleaseDeed,
    token: &str,
) -> (Ending, Vec<String>) {
    let mut unit = unit(vec![web(version)]);
    unit.keep = 2;
    unit.deed = deed;
    let deploy = Deploy::new(rig.with(&[]), unit, token).await;
    let (ending, _) = deploy.run().await;
    (ending, deploy.warnings())
}

/// The secret of a release, as its container has it.
fn token(rig: &Rig, release: u64) -> Option<String> {
    let contents = rig
        .engine
        .contents(&format!("shop-staging-web-{release}-secrets"));
    let found = contents.get("token");
    found.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// What hoist made to hold secrets is away again.
fn assert_nobody_holds(rig: &Rig) {
    let all = rig.engine.containers().into_iter();
    let names: Vec<String> = all
        .map(|one| one.name)
        .filter(|name| name.contains("-secrets"))
        .collect();
    assert_eq!(names, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn they_are_there_when_a_container_starts_and_gone_when_it_ends() {
    let rig = rig();
    let (ending, warnings) = released(&rig, "1", ReleaseDeed::Deploy, TOKEN).await;
    assert_eq!(ending, Ending::Passed);
    assert!(
        warnings
            .iter()
            .any(|said| said.contains("gone when it ends")),
        "{warnings:?}"
    );
    assert_eq!(token(&rig, 1).as_deref(), Some(TOKEN));
    assert_nobody_holds(&rig);
    let again = released(&rig, "1", ReleaseDeed::Deploy, TOKEN).await;
    assert_eq!(again, (Ending::Passed, vec![]), "nothing changes");

    assert_eq!(
        released(&rig, "2", ReleaseDeed::Deploy, TOKEN).await.0,
        Ending::Passed
    );
    assert_eq!(
        (token(&rig, 1), token(&rig, 2).as_deref()),
        (None, Some(TOKEN))
    );
    // What comes back gets what the file names now.
    let back = ReleaseDeed::Rollback { to: None };
    assert_eq!(released(&rig, "2", back, OTHER).await.0, Ending::Passed);
    assert_eq!(
        (token(&rig, 1).as_deref(), token(&rig, 2)),
        (Some(OTHER), None)
    );
    assert_nobody_holds(&rig);
}

#[tokio::test(start_paused = true)]
async fn what_has_to_come_back_has_what_it_had() {
    let rig = rig();
    assert_eq!(
        released(&rig, "1", ReleaseDeed::Deploy, TOKEN).await.0,
        Ending::Passed
    );
    let (ending, _) = released(&rig, "sick", ReleaseDeed::Deploy, OTHER).await;
    assert_eq!(fallback(ending).1, Fallback::RolledBack { release: 1 });
    assert!(one(&rig.engine, "web").is_running());
    assert_eq!(token(&rig, 1).as_deref(), Some(TOKEN));
    assert_nobody_holds(&rig);
}

#[tokio::test(start_paused = true)]
async fn wherever_the_process_dies_what_runs_has_them() {
    let update = async |faults: &[Fault]| {
        let rig = rig();
        let first = released(&rig, "1", ReleaseDeed::Deploy, TOKEN).await.0;
        assert_eq!(first, Ending::Passed);
        let deploy = Deploy::new(rig.with(faults), unit(vec![web("2")]), TOKEN).await;
        (rig, deploy)
    };
    let (_, calls) = update(&[]).await.1.run().await;
    for number in 0..calls {
        for fault in [Fault::DiesBefore(number), Fault::DiesAfter(number)] {
            let (rig, dying) = update(&[fault]).await;
            dying.run_and_die(usize::MAX).await;
            let case = format!("{fault:?}");
            let mut up = found(&rig.engine, "web");
            up.retain(ContainerInfo::is_running);
            let releases = up.iter().map(|one| &one.labels[labels::SEQUENCE]);
            let releases: Vec<u64> = releases.filter_map(|text| text.parse().ok()).collect();
            assert!(!releases.is_empty(), "{case}");
            for release in releases {
                let has = token(&rig, release);
                assert_eq!(has.as_deref(), Some(TOKEN), "{case}: release {release}");
            }
            assert_nobody_holds(&rig);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_writes_them_again_or_says_that_it_cannot() {
    let rig = rig();
    assert_eq!(
        released(&rig, "1", ReleaseDeed::Deploy, TOKEN).await.0,
        Ending::Passed
    );
    let backend: Arc<dyn Backend> = Arc::new(rig.engine.clone());
    let again = async |secrets: &Secrets| {
        let wanted = Again {
            project: "shop",
            environment: "staging",
            service: None,
            within: Duration::from_secs(10),
            labels: &labels::of_command("shop", 0),
            secrets,
        };
        restart(&backend, &wanted, std::future::pending::<()>(), |_| {}).await
    };
    let kept = again(&Secrets::default()).await;
    assert!(matches!(kept, Ok(1)), "{kept:?}");
    assert_eq!(token(&rig, 1).as_deref(), Some(TOKEN), "held meanwhile");

    let id = one(&rig.engine, "web").id;
    let grace = Duration::ZERO;
    rig.engine
        .stop_container(&id, grace)
        .await
        .expect("stopped");
    assert!(rig.engine.info().await.is_ok() && token(&rig, 1).is_none());
    let refused = again(&Secrets::default()).await;
    match refused {
        Err(NotRestarted::Unknown(trouble)) => {
            assert_eq!(trouble.what, "the secrets of web are gone from memory");
            assert!(trouble.cause.is_some_and(|cause| cause.contains("token")));
        }
        other => panic!("{other:?}"),
    }
    let knows = Deploy::new(rig.with(&[]), unit(vec![web("1")]), OTHER).await;
    assert!(matches!(again(&knows.context.secrets).await, Ok(1)));
    assert_eq!(token(&rig, 1).as_deref(), Some(OTHER));
    assert_nobody_holds(&rig);
}
