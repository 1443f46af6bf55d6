//! What happened to containers, one line each.

use hoist_model::seen::{Happening, Names, What};
use serde_json::json;

use crate::style::{BAD, DIM, GOOD, Paint, WARN};
use crate::words;

/// Signals by their numbers, as engines tell them.
const SIGNALS: [(&str, &str); 9] = [
    ("1", "SIGHUP"),
    ("2", "SIGINT"),
    ("3", "SIGQUIT"),
    ("6", "SIGABRT"),
    ("9", "SIGKILL"),
    ("10", "SIGUSR1"),
    ("12", "SIGUSR2"),
    ("15", "SIGTERM"),
    ("28", "SIGWINCH"),
];

/// A line for people, with its end.
#[must_use]
pub fn text(happening: &Happening, names: &Names, colour: bool) -> String {
    let paint = Paint { colour };
    let Happening { at, instance, what } = happening;
    let (said, style) = match what {
        What::Create => ("created".to_owned(), DIM),
        What::Start => ("started".to_owned(), GOOD),
        What::Die { code: Some(0) } => ("ended with code 0".to_owned(), WARN),
        What::Die { code: Some(code) } => (format!("ended with code {code}"), BAD),
        What::Die { code: None } => ("ended".to_owned(), WARN),
        What::Oom => ("ran out of memory".to_owned(), BAD),
        What::HealthStatus { status } => {
            let style = match status.as_str() {
                "healthy" => GOOD,
                "unhealthy" => BAD,
                _ => DIM,
            };
            (format!("is {status}"), style)
        }
        What::Kill { signal } => (format!("was sent {}", name(signal)), WARN),
        What::Pause => ("paused".to_owned(), WARN),
        What::Unpause => ("goes on".to_owned(), GOOD),
        What::Destroy => ("removed".to_owned(), DIM),
    };
    let at = paint.paint(DIM, &words::time(*at));
    let release = match instance.release {
        0 => String::new(),
        release => format!(" (release {release})"),
    };
    let said = paint.paint(style, &said);
    format!("{at}  {}{release} {said}\n", names.of(instance))
}

/// A line for programs: one JSON object.
#[must_use]
pub fn json(happening: &Happening) -> String {
    let Happening { at, instance, what } = happening;
    let mut line = json!({
        "time": at.to_string(),
        "service": instance.service,
        "replica": instance.replica,
        "release": instance.release,
        "container": instance.container,
    });
    if let (Some(line), Ok(serde_json::Value::Object(what))) =
        (line.as_object_mut(), serde_json::to_value(what))
    {
        line.extend(what);
    }
    format!("{line}\n")
}

fn name(signal: &str) -> String {
    let known = SIGNALS.iter().find(|(number, _)| *number == signal);
    match (known, signal) {
        (Some((_, name)), _) => (*name).to_owned(),
        (None, "") => "a signal".to_owned(),
        (None, other) if other.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("signal {other}")
        }
        (None, other) => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use hoist_model::seen::Instance;

    use super::*;

    fn happening(what: What) -> Happening {
        Happening {
            at: jiff::Timestamp::from_second(1_772_359_200).unwrap(),
            instance: Instance {
                service: "web".into(),
                replica: 2,
                release: 4,
                container: "shop-live-web-4".into(),
            },
            what,
        }
    }

    fn said(what: What) -> String {
        let happening = happening(what);
        text(&happening, &Names::new([&happening.instance]), false)
    }

    #[test]
    fn each_event_is_a_line_with_its_time() {
        let died = said(What::Die { code: Some(137) });
        assert_eq!(
            died,
            "2026-03-01 10:00:00 UTC  web-2 (release 4) ended with code 137\n"
        );
        for (signal, name) in [
            ("15", "SIGTERM"),
            ("SIGINT", "SIGINT"),
            ("44", "signal 44"),
            ("", "a signal"),
        ] {
            let killed = said(What::Kill {
                signal: signal.into(),
            });
            assert!(killed.ends_with(&format!("was sent {name}\n")), "{killed}");
        }
        let status = "unhealthy".to_owned();
        assert!(said(What::HealthStatus { status }).ends_with("is unhealthy\n"));
    }

    #[test]
    fn programs_get_an_object_a_line() {
        let line = json(&happening(What::Die { code: Some(3) }));
        let read: serde_json::Value = serde_json::from_str(line.trim_end()).unwrap();
        assert_eq!(read["event"], "die");
        assert_eq!(read["code"], 3);
        assert_eq!(read["replica"], 2);
        let line = json(&happening(What::Start));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["event"], "start");
    }
}
