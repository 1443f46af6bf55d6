//! Approval of releases over an engine in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hoist_model::event::{EventKind, Question};
use tokio::sync::Notify;

use super::*;
use crate::approval::Approver;

/// Answers as it was told to, and remembers what it was asked.
#[derive(Default)]
struct Someone {
    digests: Vec<String>,
    answer: Option<bool>,
    asked: Mutex<Vec<Question>>,
}

#[async_trait]
impl Approver for Someone {
    fn beforehand(&self, question: &Question) -> bool {
        self.digests.contains(&question.digest)
    }

    fn attend(&self) -> bool {
        self.answer.is_some()
    }

    async fn ask(&self, question: &Question) -> bool {
        self.asked.lock().unwrap().push(question.clone());
        self.answer.unwrap()
    }
}

async fn gated(rig: &Rig, services: Vec<ServiceUnit>, someone: &Arc<Someone>) -> Deploy {
    let mut unit = unit(services);
    unit.environment.approval = true;
    let mut deploy = Deploy::new(rig.with(&[]), unit, TOKEN).await;
    deploy.context.approver = Arc::clone(someone) as Arc<dyn Approver>;
    deploy
}

fn needed(ending: Ending) -> String {
    match ending {
        Ending::Failed(FailureReason::NotApproved {
            digest,
            denied: false,
            ..
        }) => digest,
        other => panic!("approved: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn without_approval_nothing_is_touched_and_with_its_digest_that_very_change_is_done() {
    let rig = rig();
    let nobody = Arc::new(Someone::default());
    let digest = needed(gated(&rig, services("1"), &nobody).await.run().await.0);
    assert!(rig.engine.containers().is_empty() && rig.engine.volumes().is_empty());
    assert!(rig.engine.networks().is_empty());

    // The same is asked again; another change is another question.
    let again = needed(gated(&rig, services("1"), &nobody).await.run().await.0);
    assert_eq!(again, digest);
    let given = Arc::new(Someone {
        digests: vec![digest.clone()],
        ..Someone::default()
    });
    let other = needed(gated(&rig, services("2"), &given).await.run().await.0);
    assert_ne!(other, digest);

    let deploy = gated(&rig, services("1"), &given).await;
    assert_eq!(deploy.run().await.0, Ending::Passed);
    let events = deploy.events();
    let approved =
        |kind: &EventKind| matches!(kind, EventKind::Approved { digest: of, .. } if *of == digest);
    assert!(events.iter().any(approved));
    assert_eq!(found(&rig.engine, "web").len(), 1);

    // Where nothing would change, nobody is asked.
    let unchanged = gated(&rig, services("1"), &nobody).await.run().await.0;
    assert_eq!(unchanged, Ending::Passed);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_there_is_asked_once_and_told_what_would_change() {
    let rig = rig();
    assert_eq!(deploy(&rig, services("1")).await, Ending::Passed);
    let first = one(&rig.engine, "web").id;

    let denies = Arc::new(Someone {
        answer: Some(false),
        ..Someone::default()
    });
    let denied = gated(&rig, services("2"), &denies).await.run().await.0;
    assert!(
        matches!(
            &denied,
            Ending::Failed(FailureReason::NotApproved { denied: true, .. })
        ),
        "{denied:?}"
    );
    assert_eq!(one(&rig.engine, "web").id, first);
    let asked = denies.asked.lock().unwrap().remove(0);
    let says = |text: &str| asked.changes.iter().any(|line| line.contains(text));
    assert!(says("web is replaced, its image changed"), "{asked:?}");
    assert!(says("db did not change"), "{asked:?}");

    let approves = Arc::new(Someone {
        answer: Some(true),
        ..Someone::default()
    });
    let passed = gated(&rig, services("2"), &approves).await.run().await.0;
    assert_eq!(passed, Ending::Passed);
    assert_eq!(approves.asked.lock().unwrap().len(), 1);
    assert_ne!(one(&rig.engine, "web").id, first);
}

/// Says yes once it is told to.
#[derive(Default)]
struct Slow {
    times: Mutex<usize>,
    asked: Notify,
    may_answer: Notify,
}

#[async_trait]
impl Approver for Slow {
    fn beforehand(&self, _: &Question) -> bool {
        false
    }

    fn attend(&self) -> bool {
        true
    }

    async fn ask(&self, _: &Question) -> bool {
        *self.times.lock().unwrap() += 1;
        self.asked.notify_one();
        self.may_answer.notified().await;
        true
    }
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_someone_thought_is_asked_anew() {
    let rig = rig();
    let slow = Arc::new(Slow::default());
    let mut unit = unit(services("1"));
    unit.environment.approval = true;
    let mut gated = Deploy::new(rig.with(&[]), unit, TOKEN).await;
    gated.context.approver = Arc::clone(&slow) as Arc<dyn Approver>;
    let meanwhile = async {
        slow.asked.notified().await;
        // The lock is not held while someone thinks.
        assert_eq!(deploy(&rig, services("2")).await, Ending::Passed);
        slow.may_answer.notify_one();
        slow.asked.notified().await;
        slow.may_answer.notify_one();
    };
    let ((ending, _), ()) = tokio::join!(gated.run(), meanwhile);
    assert_eq!(ending, Ending::Passed);
    assert_eq!(*slow.times.lock().unwrap(), 2);
}
