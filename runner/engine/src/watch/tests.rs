//! The watch over an engine in memory.

use super::*;
use crate::backend::{BackendErrorKind, Labels};
use crate::fake::{FakeBackend, Program};
use crate::unit::container::bare;

const SOON: Duration = Duration::from_secs(1);

struct Bed {
    engine: FakeBackend,
    backend: Arc<dyn Backend>,
    run: RunId,
}

impl Bed {
    fn new(program: Program) -> Self {
        let engine = FakeBackend::new();
        engine.add_image("base:1");
        engine.program(|_| true, program);
        let backend = Arc::new(engine.clone());
        Self {
            engine,
            backend,
            run: RunId(uuid::Uuid::now_v7()),
        }
    }

    async fn started(&self, watch: &Watch) -> (Ticket, String) {
        let ticket = watch.listen(&self.backend, self.run).await;
        let labels = Labels::from([(labels::RUN.to_owned(), self.run.to_string())]);
        let id = self
            .backend
            .create_container(&bare("one".into(), "base:1", labels))
            .await
            .unwrap();
        self.backend.start_container(&id).await.unwrap();
        (ticket, id)
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_of_its_own_is_told_from_a_signal() {
    let bed = Bed::new(Program::exits(0));
    let watch = Watch::default();
    let (ticket, id) = bed.started(&watch).await;
    assert_eq!(bed.backend.wait_container(&id).await.unwrap(), 0);
    assert_eq!(ticket.fate(&id, SOON).await, Fate::Ended);

    let mut handler = Program::forever();
    handler.on_stop = Some(0);
    let bed = Bed::new(handler);
    let watch = Watch::default();
    let (ticket, id) = bed.started(&watch).await;
    bed.engine.kill_from_outside(&id, "15");
    assert_eq!(bed.backend.wait_container(&id).await.unwrap(), 0);
    assert_eq!(
        ticket.fate(&id, SOON).await,
        Fate::Signalled {
            signal: "15".into()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_broke_meanwhile_leaves_doubt() {
    let bed = Bed::new(Program::default().takes(Duration::from_secs(60)));
    let watch = Watch::default();
    let (ticket, id) = bed.started(&watch).await;
    bed.engine.break_events();
    bed.engine.delay("events", Duration::from_secs(3600));
    bed.backend.wait_container(&id).await.unwrap();
    assert_eq!(ticket.fate(&id, SOON).await, Fate::Unheard);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_came_back_before_the_end_tells() {
    let bed = Bed::new(Program::default().takes(Duration::from_secs(60)));
    let watch = Watch::default();
    let (ticket, id) = bed.started(&watch).await;
    bed.engine.break_events();
    bed.backend.wait_container(&id).await.unwrap();
    assert_eq!(ticket.fate(&id, SOON).await, Fate::Ended);
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_nobody_listened_is_told_afterwards() {
    let bed = Bed::new(Program::default().takes(Duration::from_secs(60)));
    let watch = Watch::default();
    let (ticket, id) = bed.started(&watch).await;
    bed.engine.break_events();
    bed.engine.kill_from_outside(&id, "15");
    bed.backend.wait_container(&id).await.unwrap();
    let signal = "15".to_owned();
    assert_eq!(ticket.fate(&id, SOON).await, Fate::Signalled { signal });

    let bed = Bed::new(Program::default().takes(Duration::from_millis(10)));
    let watch = Watch::default();
    let (ticket, id) = bed.started(&watch).await;
    bed.engine.break_events();
    bed.backend.wait_container(&id).await.unwrap();
    assert_eq!(ticket.fate(&id, SOON).await, Fate::Ended);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_forgot_what_happened_leaves_doubt() {
    let bed = Bed::new(Program::default().takes(Duration::from_millis(10)));
    let watch = Watch::default();
    let (ticket, id) = bed.started(&watch).await;
    bed.engine.break_events();
    bed.backend.wait_container(&id).await.unwrap();
    bed.engine.forget_events();
    assert_eq!(ticket.fate(&id, SOON).await, Fate::Unheard);
}

fn calls(bed: &Bed) -> usize {
    let calls = bed.engine.calls();
    calls
        .iter()
        .filter(|call| call.starts_with("events"))
        .count()
}

#[tokio::test(start_paused = true)]
async fn an_engine_without_events_is_taken_by_its_other_words() {
    let error = BackendError::new(BackendErrorKind::Unsupported, "no");
    for late in [false, true] {
        let bed = Bed::new(Program::exits(3));
        match late {
            false => bed.engine.fail_next("events", error.clone()),
            true => bed.engine.refuse_events(error.clone()),
        }
        let watch = Watch::default();
        let (ticket, id) = bed.started(&watch).await;
        bed.backend.wait_container(&id).await.unwrap();
        assert_eq!(ticket.fate(&id, SOON).await, Fate::Ended);
        assert_eq!(ticket.refusal().as_deref(), Some("no"));
        let second = watch.listen(&bed.backend, bed.run).await;
        assert_eq!(second.refusal(), None, "it is told once");
        assert_eq!(calls(&bed), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_told_before_does_not_refuse() {
    let bed = Bed::new(Program::default().takes(Duration::from_secs(60)));
    let watch = Watch::default();
    let (ticket, id) = bed.started(&watch).await;
    tokio::time::sleep(SOON).await;
    let error = BackendError::new(BackendErrorKind::Engine, "starting");
    bed.engine.refuse_events(error);
    bed.engine.break_events();
    bed.backend.wait_container(&id).await.unwrap();
    assert_eq!(ticket.fate(&id, SOON).await, Fate::Unheard);
    assert_eq!(ticket.refusal(), None);
    assert!(calls(&bed) > 2);
}
