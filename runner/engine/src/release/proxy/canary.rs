//! How much of the traffic a canary gets and whether it is good enough for more. Pure. It judges by
//! comparison alone: what is bad with both is no reason to go back.

use std::cmp::Reverse;

use hoist_model::unit::CanaryPlan;

use super::log::Request;

/// What a share of the traffic says of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is no worse than what served before, within the plan's bounds.
    Good,
    /// It is worse.
    Bad {
        /// In which way, for people.
        why: String,
    },
    /// There were too few requests to tell.
    Inconclusive {
        /// How many there were.
        requests: u64,
    },
}

/// With fewer answers the 95th percentile is no more than the slowest of them.
const ENOUGH_FOR_A_PERCENTILE: usize = 20;

/// Compares requests to what served before with those to the canary over the same time. A request that
/// was passed on to another server counts as failed on the side that did not answer it in the end.
pub(crate) fn judge(stable: &[Request], canary: &[Request], plan: &CanaryPlan) -> Verdict {
    let old = Side::new(stable, canary);
    let new = Side::new(canary, stable);
    if new.requests < plan.min_requests {
        return Verdict::Inconclusive {
            requests: new.requests,
        };
    }
    let (before, now) = (old.error_rate(), new.error_rate());
    if now - before > plan.max_error_rate {
        let why = format!(
            "{:.1} % of {} requests failed, where {:.1} % of {} did before: more than {:.1} % above",
            now * 100.0,
            new.requests,
            before * 100.0,
            old.requests,
            plan.max_error_rate * 100.0,
        );
        return Verdict::Bad { why };
    }
    let times = (old.percentile(), new.percentile(), plan.max_latency_ratio);
    if let (Some(before), Some(now), Some(most)) = times {
        // Times are cut to whole milliseconds: what was told as 1 may have been all but 2.
        if now as f64 > (before + 1) as f64 * most {
            let why = format!(
                "19 of 20 requests took up to {now} ms, where it was {before} ms before: more than {most} times as long"
            );
            return Verdict::Bad { why };
        }
    }
    Verdict::Good
}

/// The old or the new.
struct Side {
    requests: u64,
    failed: u64,
    /// Of answers, the slowest first.
    millis: Vec<i64>,
}

impl Side {
    fn new(own: &[Request], other: &[Request]) -> Self {
        let passed_on = other.iter().filter(|request| request.passed_on());
        let passed_on = passed_on.count() as u64;
        let failed = own.iter().filter(|request| request.failed()).count() as u64;
        // A WebSocket takes as long as it likes.
        let answers = own.iter().filter(|request| {
            !request.failed() && request.status > 0 && request.status != 101 && request.millis >= 0
        });
        let mut millis: Vec<i64> = answers.map(|request| request.millis).collect();
        millis.sort_unstable_by_key(|&millis| Reverse(millis));
        Self {
            requests: own.len() as u64 + passed_on,
            failed: failed + passed_on,
            millis,
        }
    }

    /// 0 to 1; 0 without requests.
    fn error_rate(&self) -> f64 {
        self.failed as f64 / self.requests.max(1) as f64
    }

    /// The 95th, in milliseconds; `None` with too few answers.
    fn percentile(&self) -> Option<i64> {
        let count = self.millis.len();
        let slower = count - (count * 95).div_ceil(100);
        let enough = count >= ENOUGH_FOR_A_PERCENTILE;
        enough.then(|| self.millis.get(slower).copied()).flatten()
    }
}

/// The weights of each stable server and of each canary that give the canaries together a share of
/// the traffic in percent, 1 to 99, as near as weights of 1 to 256 come: within 2.5 percent of all
/// traffic for up to nine of each.
pub(crate) fn weights(percent: u32, stable: u32, canaries: u32) -> (u32, u32) {
    let percent = u64::from(percent.min(100));
    let of_stable = (100 - percent) * u64::from(canaries);
    let of_canary = percent * u64::from(stable);
    let common = gcd(of_stable, of_canary).max(1);
    let largest = (of_stable.max(of_canary) / common).max(1);
    let fit = |weight: u64| {
        let weight = weight / common;
        let scaled = match largest {
            ..=256 => weight,
            largest => (weight * 256 + largest / 2) / largest,
        };
        u32::try_from(scaled).unwrap_or(256).clamp(1, 256)
    };
    (fit(of_stable), fit(of_canary))
}

fn gcd(a: u64, b: u64) -> u64 {
    match b {
        0 => a,
        b => gcd(b, a % b),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::log::requests;
    use super::*;

    const PLAN: CanaryPlan = CanaryPlan {
        weights: Vec::new(),
        step: Duration::ZERO,
        min_requests: 100,
        max_error_rate: 0.01,
        max_latency_ratio: Some(1.5),
    };

    fn many(count: usize, status: i32, millis: i64, retries: &str) -> Vec<Request> {
        let line = format!(
            r#"{{"server":"web-1-1","status":{status},"millis":{millis},"termination":"--","retries":"{retries}"}}"#
        );
        let log = [line.as_str()].repeat(count).join("\n");
        requests(&log).collect()
    }

    fn well(count: usize, millis: i64) -> Vec<Request> {
        many(count, 200, millis, "0")
    }

    #[track_caller]
    fn bad(verdict: Verdict) -> String {
        match verdict {
            Verdict::Bad { why } => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_canary_that_is_no_worse_is_good() {
        assert_eq!(judge(&well(900, 20), &well(100, 25), &PLAN), Verdict::Good);
        // Nothing came to the old, or both fail alike.
        assert_eq!(judge(&[], &well(100, 25), &PLAN), Verdict::Good);
        let failing = [well(90, 20), many(10, 500, 1, "0")].concat();
        assert_eq!(judge(&failing, &failing, &PLAN), Verdict::Good);
    }

    #[test]
    fn too_few_requests_say_nothing() {
        let verdict = judge(&well(900, 20), &many(99, 500, 20, "0"), &PLAN);
        assert_eq!(verdict, Verdict::Inconclusive { requests: 99 });
    }

    #[test]
    fn failed_requests_are_bad_beyond_the_bound() {
        let stable = well(900, 20);
        let failing = |count| [well(200 - count, 20), many(count, 503, 20, "0")].concat();
        assert_eq!(judge(&stable, &failing(2), &PLAN), Verdict::Good);
        let why = bad(judge(&stable, &failing(20), &PLAN));
        let expected =
            "10.0 % of 200 requests failed, where 0.0 % of 900 did before: more than 1.0 % above";
        assert_eq!(why, expected);
    }

    #[test]
    fn what_the_old_had_to_answer_instead_failed() {
        let stable = [well(900, 20), many(100, 200, 20, "+1")].concat();
        let why = bad(judge(&stable, &[], &PLAN));
        assert!(why.starts_with("100.0 % of 100 requests failed"), "{why}");
    }

    #[test]
    fn slow_answers_are_bad_beyond_the_bound() {
        let stable = well(900, 20);
        let slow = |count| [well(100 - count, 20), well(count, 90)].concat();
        assert_eq!(judge(&stable, &slow(5), &PLAN), Verdict::Good);
        let why = bad(judge(&stable, &slow(6), &PLAN));
        let expected = "19 of 20 requests took up to 90 ms, where it was 20 ms before: more than 1.5 times as long";
        assert_eq!(why, expected);
        let unbounded = CanaryPlan {
            max_latency_ratio: None,
            ..PLAN
        };
        assert_eq!(judge(&stable, &slow(100), &unbounded), Verdict::Good);
        // Of too few of the old, of parts of a millisecond, and of WebSockets nothing is concluded.
        assert_eq!(judge(&well(19, 20), &slow(100), &PLAN), Verdict::Good);
        assert_eq!(judge(&well(900, 0), &well(100, 1), &PLAN), Verdict::Good);
        let sockets = [well(50, 20), many(50, 101, 3_600_000, "0")].concat();
        assert_eq!(judge(&stable, &sockets, &PLAN), Verdict::Good);
    }

    #[test]
    fn small_shares_are_exact() {
        assert_eq!(weights(10, 1, 1), (9, 1));
        assert_eq!(weights(50, 3, 3), (1, 1));
        assert_eq!(weights(10, 3, 1), (3, 1));
        assert_eq!(weights(1, 1, 1), (99, 1));
    }

    #[test]
    fn shares_are_near_what_is_asked() {
        let mut furthest: f64 = 0.0;
        for percent in 1..100 {
            for (stable, canaries) in (1..10).flat_map(|a| (1..10).map(move |b| (a, b))) {
                let (old, new) = weights(percent, stable, canaries);
                let (old, new) = (f64::from(old * stable), f64::from(new * canaries));
                let share = new / (old + new) * 100.0;
                furthest = furthest.max((share - f64::from(percent)).abs());
            }
        }
        // 1 percent for nine canaries beside one server: the least weight of each makes 3.4.
        assert!(furthest < 2.5, "{furthest}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever numbers come: it answers.
        #[test]
        fn weights_are_always_in_bounds(percent: u32, stable: u32, canaries: u32) {
            let (old, new) = weights(percent, stable, canaries);
            prop_assert!((1..=256).contains(&old) && (1..=256).contains(&new));
        }
    }
}
