//! How often a service is probed that a step waits for. Whoever waits wants to go on at once, and
//! whoever runs tests does not want to pay for probes any more; what the file says stands over both.

use std::time::Duration;

use hoist_model::unit::Healthcheck;

/// The version of the API from which on engines probe at another pace while a container starts:
/// Docker 25.
pub(super) const TWO_PACES: (u32, u32) = (1, 44);

/// How long probes may fail where the file does not say.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two probes of one that is not healthy yet.
const FAST: Duration = Duration::from_millis(250);
/// Between two probes of one that is.
const SLOW: Duration = Duration::from_secs(10);
/// Where there can be but one pace.
const ONLY: Duration = Duration::from_secs(1);
/// The fewest failures that make a service unhealthy, as engines have it.
const RETRIES: u128 = 3;

/// A service's check at the pace of one that is waited for.
pub(super) fn paced(check: &Healthcheck, two_paces: bool) -> Healthcheck {
    if check.interval.is_none() && check.retries.is_none() && two_paces {
        return Healthcheck {
            interval: Some(SLOW),
            start_interval: Some(FAST),
            start_period: Some(check.start_period.unwrap_or_default().max(PATIENCE)),
            retries: Some(1),
            ..check.clone()
        };
    }
    let interval = check.interval.unwrap_or(ONLY);
    let fitting = PATIENCE.as_millis() / interval.as_millis().max(1);
    let fitting = u32::try_from(fitting.max(RETRIES)).unwrap_or(u32::MAX);
    Healthcheck {
        interval: Some(interval),
        retries: Some(check.retries.unwrap_or(fitting)),
        ..check.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_the_file_says_stands() {
        let said = Healthcheck {
            interval: Some(2 * SECOND),
            retries: Some(7),
            start_period: Some(SECOND),
            ..Healthcheck::default()
        };
        assert_eq!(paced(&said, true), said);
        assert_eq!(paced(&said, false), said);
    }

    #[test]
    fn where_it_says_nothing_there_is_a_minute() {
        let silent = Healthcheck::default();
        let new = paced(&silent, true);
        assert_eq!((new.start_interval, new.retries), (Some(FAST), Some(1)));
        assert_eq!(new.start_period, Some(PATIENCE));
        let old = paced(&silent, false);
        assert_eq!((old.interval, old.retries), (Some(SECOND), Some(60)));
        let slow = Healthcheck {
            interval: Some(45 * SECOND),
            ..silent
        };
        assert_eq!(paced(&slow, true).retries, Some(3));
    }
}
