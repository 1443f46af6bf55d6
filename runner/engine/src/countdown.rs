//! Bounds in time that count only while this process runs. One that was stopped (Ctrl-Z, SIGSTOP)
//! goes on with what it had left; a machine's sleep is not counted either, since the clock beneath
//! stands still with it. It refuses to know what is bounded.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Between two looks at the clock.
const BEAT: Duration = Duration::from_millis(250);
/// More than a look may be late on a machine that is merely busy; beyond that, the process did not
/// run.
const LAPSE: Duration = Duration::from_secs(1);

/// What is left of a bound.
#[derive(Debug)]
pub(crate) struct Countdown {
    left: Duration,
    seen: Instant,
}

impl Countdown {
    /// One that begins now.
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            left: time,
            seen: Instant::now(),
        }
    }

    /// Waits until nothing is left. It can be dropped and called again: only time that passes
    /// between a call and the one before by more than a lapse is lost to it.
    pub(crate) async fn over(&mut self) {
        while !self.left.is_zero() {
            let beat = self.left.min(BEAT);
            sleep_until(self.seen + beat).await;
            let now = Instant::now();
            let passed = now.saturating_duration_since(self.seen);
            let counted = if passed > BEAT + LAPSE { beat } else { passed };
            self.left = self.left.saturating_sub(counted);
            self.seen = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn takes(time: u64, meanwhile: impl Future<Output = ()>) -> Duration {
        let start = Instant::now();
        let mut countdown = Countdown::new(Duration::from_secs(time));
        tokio::join!(countdown.over(), meanwhile);
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn time_is_counted_while_the_process_runs() {
        let took = takes(90, async {}).await;
        assert!((90..91).contains(&took.as_secs()), "{took:?}");
        assert_eq!(takes(0, async {}).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_runs_is_not() {
        let hour = Duration::from_secs(3600);
        let twice = async {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_secs(10)).await;
                tokio::time::advance(hour).await;
            }
        };
        let took = takes(60, twice).await - 2 * hour;
        assert!((59..62).contains(&took.as_secs()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn being_called_again_and_again_loses_nothing() {
        let start = Instant::now();
        let mut countdown = Countdown::new(Duration::from_secs(5));
        loop {
            let beat = tokio::time::sleep(Duration::from_millis(70));
            tokio::select! {
                () = countdown.over() => break,
                () = beat => {}
            }
        }
        let took = start.elapsed();
        assert!((5..6).contains(&took.as_secs()), "{took:?}");
    }
}
