//! Durations and sizes as Compose writes them: `90s`, `1m30s`, `512m`, `1g`. A number without a
//! unit is refused, since what it means differs from tool to tool.

use std::fmt::Write as _;
use std::time::Duration;

/// A text that is not the quantity it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadQuantity {
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// How such a quantity is written.
    pub help: String,
}

/// Units of time and their nanoseconds.
const TIME: [(&str, u64); 5] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

const TIME_HELP: &str = "durations are written like `90s`, `1m30s` or `2h`";

/// Units of size and their bytes, as Compose has them: each is 1024 times the one before.
const SIZE: [(&str, u64); 11] = [
    ("b", 1),
    ("k", 1 << 10),
    ("kb", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mb", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gb", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1 << 40),
];

const SIZE_HELP: &str = "sizes are written like `512m` or `1g`; each unit is 1024 of the next";

/// Reads a duration: whole numbers, each with one of the units us, ms, s, m and h.
///
/// # Errors
/// It is empty, has a number without a unit, an unknown unit, or is too long to be counted.
pub fn duration(text: &str) -> Result<Duration, BadQuantity> {
    let bad = |message| BadQuantity {
        message,
        help: TIME_HELP.into(),
    };
    let too_long = || bad(format!("`{text}` is too long to be counted"));
    let mut rest = text;
    let mut nanos = 0_u64;
    if rest.is_empty() {
        return Err(bad("a duration cannot be empty".into()));
    }
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, |c| !c.is_ascii_digit());
        if number.is_empty() {
            return Err(bad(format!("`{text}` is not a duration")));
        }
        if unit.is_empty() {
            return Err(bad(if number == text {
                format!(
                    "`{text}` has no unit: write `{text}s` for seconds or `{text}m` for minutes"
                )
            } else {
                format!("the `{number}` in `{text}` has no unit")
            }));
        }
        let factor = TIME
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor);
        let factor = factor.ok_or_else(|| {
            bad(if unit.starts_with('.') {
                format!("`{text}` is not made of whole numbers")
            } else {
                format!("`{}` is not a unit of time", unit.trim())
            })
        })?;
        let number: u64 = number.parse().map_err(|_| too_long())?;
        nanos = number
            .checked_mul(factor)
            .and_then(|more| nanos.checked_add(more))
            .ok_or_else(too_long)?;
        rest = after;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Writes a duration so that [`duration`] reads the same, to the microsecond.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let mut nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (unit, factor) in TIME.iter().rev() {
        let count = nanos / factor;
        nanos %= factor;
        if count > 0 {
            // Writing to a string cannot fail.
            let _ = write!(out, "{count}{unit}");
        }
    }
    if out.is_empty() { "0s".into() } else { out }
}

/// Reads a size in bytes: a number, which may have decimals, and a unit.
///
/// # Errors
/// It has no unit or an unknown one, or is too big to be counted.
pub fn size(text: &str) -> Result<u64, BadQuantity> {
    let bad = |message| BadQuantity {
        message,
        help: SIZE_HELP.into(),
    };
    let too_big = || bad(format!("`{text}` is too big to be counted"));
    let (number, unit) = split(text, |c| c.is_ascii_digit() || c == '.');
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || decimals.contains('.') || decimals.len() > 9 {
        return Err(bad(format!("`{text}` is not a size")));
    }
    if unit.is_empty() {
        return Err(bad(format!(
            "`{text}` has no unit: write `{text}m` for MiB or `{text}b` for bytes"
        )));
    }
    let name = unit.trim().to_ascii_lowercase();
    let factor = SIZE
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, factor)| *factor);
    let factor = factor.ok_or_else(|| bad(format!("`{}` is not a unit of size", unit.trim())))?;
    let whole: u64 = whole.parse().map_err(|_| too_big())?;
    let whole = whole.checked_mul(factor).ok_or_else(too_big)?;
    let fraction = match decimals.parse::<u128>() {
        Ok(digits) => digits * u128::from(factor) / 10_u128.pow(decimals.len() as u32),
        Err(_) => 0,
    };
    u64::try_from(fraction)
        .ok()
        .and_then(|more| whole.checked_add(more))
        .ok_or_else(too_big)
}

/// Writes a size with the largest unit that divides it.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let units = [("g", 30), ("m", 20), ("k", 10)];
    let fits = units
        .iter()
        .find(|(_, bits)| bytes > 0 && bytes.is_multiple_of(1 << bits));
    match fits {
        Some((unit, bits)) => format!("{}{unit}", bytes >> bits),
        None => format!("{bytes}b"),
    }
}

/// Reads a number of processors.
///
/// # Errors
/// It is no number above 0.
pub fn cpus(text: &str) -> Result<f64, BadQuantity> {
    let number = text
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite() && *n > 0.0 && *n <= 65_536.0);
    number.ok_or_else(|| BadQuantity {
        message: format!("`{text}` is not a number of processors"),
        help: "processors are written like `2` or `0.5`".into(),
    })
}

/// The longest start of a text whose characters all hold, and what follows.
fn split(text: &str, holds: impl Fn(char) -> bool) -> (&str, &str) {
    let at = text.find(|c| !holds(c)).unwrap_or(text.len());
    text.split_at(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_composes() {
        for (text, seconds) in [
            ("90s", 90.0),
            ("1m30s", 90.0),
            ("1h", 3600.0),
            ("250ms", 0.25),
        ] {
            assert_eq!(duration(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
    }

    #[test]
    fn durations_without_sense_say_why() {
        for (text, message) in [
            ("", "a duration cannot be empty"),
            (
                "5",
                "`5` has no unit: write `5s` for seconds or `5m` for minutes",
            ),
            ("1m30", "the `30` in `1m30` has no unit"),
            ("5 minutes", "`minutes` is not a unit of time"),
            ("-5s", "`-5s` is not a duration"),
            ("1.5h", "`1.5h` is not made of whole numbers"),
            ("99999999999h", "`99999999999h` is too long to be counted"),
        ] {
            assert_eq!(duration(text).unwrap_err().message, message, "{text}");
        }
    }

    #[test]
    fn sizes_are_composes() {
        for (text, bytes) in [
            ("512m", 512 << 20),
            ("1g", 1 << 30),
            ("1GB", 1 << 30),
            ("64 MiB", 64 << 20),
            ("1.5k", 1536),
            ("7b", 7),
        ] {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn sizes_without_sense_say_why() {
        for (text, message) in [
            (
                "512",
                "`512` has no unit: write `512m` for MiB or `512b` for bytes",
            ),
            ("1x", "`x` is not a unit of size"),
            ("m", "`m` is not a size"),
            ("1.2.3m", "`1.2.3m` is not a size"),
            (
                "99999999999999g",
                "`99999999999999g` is too big to be counted",
            ),
        ] {
            assert_eq!(size(text).unwrap_err().message, message, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read(micros in 0..u64::MAX / 1000, bytes: u64) {
            let time = Duration::from_micros(micros);
            prop_assert_eq!(duration(&show_duration(time)), Ok(time));
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn nothing_panics(text in "\\PC*", quantity in "[0-9.]{0,12}[a-zé]{0,3}[0-9]{0,25}[bkmgs]?") {
            for text in [text, quantity] {
                let _ = (duration(&text), size(&text), cpus(&text));
            }
        }
    }
}
