//! Waiting for a run, whosever it is. A wait is bounded, for clients give up on long calls.

use std::time::Duration;

use hoist_engine::store::StoredRun;
use hoist_model::ids::RunId;
use hoist_model::reason::Trouble;
use tokio::time::{sleep, timeout};

use crate::asking::{Asker, Said};
use crate::runs::Live;
use crate::state::Shared;

/// The longest wait, seconds: several clients give up after 60.
pub(crate) const LONGEST: u32 = 55;
/// Between two looks at the run of another process.
const LOOK: Duration = Duration::from_millis(500);

/// How long is to be waited.
///
/// # Errors
/// When it is too long.
pub(crate) fn bound(seconds: Option<u32>, usual: u32) -> Result<Duration, Trouble> {
    let seconds = seconds.unwrap_or(usual);
    if seconds > LONGEST {
        return Err(
            Trouble::new(format!("wait_seconds cannot be {seconds}")).hint(format!(
                "wait at most {LONGEST} seconds and call get_run again: the run goes on meanwhile"
            )),
        );
    }
    Ok(Duration::from_secs(seconds.into()))
}

/// Waits for the run's end or for a question of it that nobody here answers, at most so long.
pub(crate) async fn for_news(
    shared: &Shared,
    run: &StoredRun,
    asker: Option<&Asker>,
    bound: Duration,
) {
    match shared.runs.get(run.id) {
        Some(live) => drop(timeout(bound, news(run.id, &live, asker)).await),
        None => for_end(shared, run, bound).await,
    }
}

async fn news(run: RunId, live: &Live, asker: Option<&Asker>) {
    loop {
        live.settled().await;
        let awaits = live.seen.borrow().awaits.clone();
        let mut open = awaits
            .into_iter()
            .filter(|asked| !live.desk.was_declined(asked));
        let (Some(asker), Some(question)) = (asker, open.next()) else {
            return;
        };
        match asker.ask(run, &question).await {
            Said::Approved => {
                live.desk.approve(&question);
                live.heard(&question).await;
            }
            Said::NotApproved => live.desk.decline(&question),
            Said::NothingYet => return,
        }
    }
}

/// Waits for the run's end, at most so long.
pub(crate) async fn for_end(shared: &Shared, run: &StoredRun, bound: Duration) {
    let ends = async {
        if let Some(live) = shared.runs.get(run.id) {
            live.ended().await;
            return;
        }
        while is_going_on(run) {
            sleep(LOOK).await;
        }
    };
    let _ = timeout(bound, ends).await;
}

/// It has no end yet, and its process is not known to be gone. A run that has only begun has a folder
/// and nothing in it.
fn is_going_on(run: &StoredRun) -> bool {
    let over = run
        .record()
        .is_ok_and(|record| record.state.verdict.is_some());
    !over && !matches!(run.is_alive(), Ok(Some(false)))
}

#[cfg(test)]
mod tests {
    use hoist_engine::store::Store;

    use super::*;

    #[test]
    fn a_run_that_has_only_begun_goes_on() {
        let root = tempfile::tempdir().unwrap();
        let id = "0199c1f0-0000-7000-8000-000000000001";
        std::fs::create_dir_all(root.path().join(".hoist/runs").join(id)).unwrap();
        let run = Store::new(root.path()).find(id).unwrap();
        assert!(is_going_on(&run));
    }
}
