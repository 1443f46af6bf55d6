//! The proxy's image, sealed as all containers are: what deploys stand on.

use std::time::{Duration, Instant};

use hoist_engine::backend::{ContainerSpec, Input, Mount, Process};

use crate::support::{Bed, env, on_engine, once, skipped, tar_of};

const SOON: Duration = Duration::from_secs(20);

const CONFIG: &str = "defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  \
                      timeout server 1s\nfrontend web\n  bind :8080\n";

/// The image that the tests' surroundings name.
fn image(name: &str) -> Option<String> {
    let image = env("HOIST_TOOLS_HAPROXY");
    if image.is_none() {
        skipped(name, "HOIST_TOOLS_HAPROXY is not set");
    }
    image
}

fn argv(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}

fn proxy(bed: &Bed, image: &str, command: &[&str]) -> ContainerSpec {
    let mut spec = bed.shell("");
    spec.image = image.to_owned();
    spec.command = Some(argv(command));
    spec.user = Some("99:99".to_owned());
    spec.security.read_only = true;
    spec
}

#[tokio::test]
async fn a_proxy_that_reads_its_input_holds_a_lock_and_a_volume() {
    let Some(image) = image("proxy-holds") else {
        return;
    };
    on_engine("proxy-holds", &[&image], async |bed| {
        let engine = &bed.engine;
        let mut spec = proxy(&bed, &image, &["haproxy", "-c", "-f", "/dev/stdin"]);
        for input in [Input::Held, Input::Open] {
            spec.name = bed.unique();
            spec.input = input;
            let id = engine.create_container(&spec).await.unwrap();
            let held = match input {
                Input::Held => Some(engine.hold_input(&id).await.unwrap()),
                _ => None,
            };
            engine.start_container(&id).await.unwrap();
            let still = tokio::time::timeout(Duration::from_secs(1), engine.wait_container(&id));
            assert!(still.await.is_err(), "{input:?}");
            if held.is_some() {
                let begun = Instant::now();
                let end = engine.wait_container(&id);
                drop(held);
                let end = tokio::time::timeout(SOON, end).await;
                end.expect("in time").unwrap();
                println!("a lock ended after {:?}", begun.elapsed());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_proxy_takes_a_configuration_that_was_checked() {
    let Some(image) = image("proxy-reload") else {
        return;
    };
    on_engine("proxy-reload", &[&image], async |bed| {
        let engine = &bed.engine;
        let volume = bed.unique();
        engine.create_volume(&volume, &bed.labels()).await.unwrap();
        let run = ["haproxy", "-W", "-db", "-f", "/etc/hoist/haproxy.cfg"];
        let mut spec = proxy(&bed, &image, &run);
        spec.mounts = vec![Mount {
            volume,
            target: "/etc/hoist".to_owned(),
            read_only: false,
            populate: false,
        }];
        let id = engine.create_container(&spec).await.unwrap();
        let put = async |name: &str, config: &str| {
            let tar = once(tar_of(&[(name, config.as_bytes())]));
            engine.upload(&id, "/etc/hoist", tar).await.unwrap();
        };
        put("haproxy.cfg", CONFIG).await;
        engine.start_container(&id).await.unwrap();
        // The master is the init's child, and the workers are the master's.
        let workers = async || -> Vec<u64> {
            let all = engine.processes(&id).await.unwrap();
            let child = |of: &Process| all.iter().any(|it| it.pid == of.parent);
            let inner = all.iter().filter(|it| child(it));
            let master = inner.clone().map(|it| it.pid).min();
            let workers = inner.filter(|it| Some(it.parent) == master);
            workers.map(|it| it.pid).collect()
        };
        let other_than = async |before: &[u64]| {
            let begun = Instant::now();
            loop {
                let now = workers().await;
                if now.len() == 1 && now != before {
                    return now;
                }
                assert!(begun.elapsed() < SOON, "{before:?} {now:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let first = other_than(&[]).await;

        let check = argv(&["haproxy", "-c", "-f", "/etc/hoist/next.cfg"]);
        put("next.cfg", "frontend web\n  bind nowhere\n").await;
        let checked = engine.exec(&id, &check, SOON).await.unwrap();
        assert_eq!(checked.code, 1, "{checked:?}");
        assert!(checked.output.contains("next.cfg:2"), "{checked:?}");
        let next = format!("{CONFIG}frontend more\n  bind :8081\n");
        put("next.cfg", &next).await;
        let checked = engine.exec(&id, &check, SOON).await.unwrap();
        assert_eq!(checked.code, 0, "{checked:?}");
        put("haproxy.cfg", &next).await;
        engine.kill_container(&id, "USR2").await.unwrap();
        other_than(&first).await;
    })
    .await;
}
