//! Masks what an event says, and leaves what it is: a secret that happens to be a step's name or a
//! word of the event's own form would else make the record unreadable and hide nothing, since both
//! are public.

use hoist_model::event::EventKind;
use hoist_model::redact::Redactor;
use serde_json::Value;

/// Keys whose values are names that the file gives, digests, or the event's own tag.
const NAMES: [&str; 4] = ["event", "id", "needs", "step"];

/// The event with every secret in its texts masked.
pub(crate) fn mask(kind: EventKind, redactor: &Redactor) -> EventKind {
    let Ok(original) = serde_json::to_value(&kind) else {
        return kind;
    };
    let mut texts = Vec::new();
    collect(&original, String::new(), redactor, &mut texts);
    if texts.is_empty() {
        return kind;
    }
    let mut all = original.clone();
    for (place, masked) in &texts {
        replace(&mut all, place, Value::String(masked.clone()));
    }
    serde_json::from_value(all).unwrap_or_else(|_| one_by_one(original, texts))
}

/// Masks what leaves the value an event; what does not was a word of its form.
fn one_by_one(mut value: Value, texts: Vec<(String, String)>) -> EventKind {
    for (place, masked) in texts {
        let before = replace(&mut value, &place, Value::String(masked));
        if serde_json::from_value::<EventKind>(value.clone()).is_err() {
            replace(&mut value, &place, before);
        }
    }
    serde_json::from_value(value).unwrap_or(EventKind::Unknown)
}

fn replace(value: &mut Value, place: &str, by: Value) -> Value {
    value
        .pointer_mut(place)
        .map(|text| std::mem::replace(text, by))
        .unwrap_or_default()
}

/// Finds the texts that hold secrets: where, and what is to stand there.
fn collect(value: &Value, place: String, redactor: &Redactor, found: &mut Vec<(String, String)>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => {
            let masked = redactor.redact(text);
            if masked != text.as_str() {
                found.push((place, masked.into_owned()));
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                collect(item, format!("{place}/{at}"), redactor, found);
            }
        }
        Value::Object(entries) => {
            for (key, item) in entries {
                if !NAMES.contains(&key.as_str()) {
                    // All keys are the event's own fields and need no escaping.
                    collect(item, format!("{place}/{key}"), redactor, found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hoist_model::reason::{CancelReason, Ending, FailureReason, Trouble};

    use super::*;

    fn masked(kind: EventKind, secrets: &[&str]) -> EventKind {
        mask(kind, &Redactor::new(secrets).unwrap())
    }

    fn warning(step: &str, message: &str) -> EventKind {
        EventKind::Warning {
            step: Some(step.into()),
            message: message.into(),
            hint: None,
        }
    }

    #[test]
    fn texts_are_masked_and_names_are_not() {
        let event = masked(
            warning("database", "cannot reach database: hunter2hunter2"),
            &["database", "hunter2hunter2"],
        );
        assert_eq!(event, warning("database", "cannot reach ***: ***"));
    }

    #[test]
    fn words_of_the_form_stay() {
        let trouble = Trouble::new("it said cancelled_requested");
        let event = EventKind::StepEnded {
            step: "a".into(),
            ending: Ending::Failed(FailureReason::Surroundings(trouble)),
            duration: std::time::Duration::from_millis(12_345_678),
            allowed: false,
        };
        let secrets = ["surroundings", "requested", "step_ended", "12345678"];
        let EventKind::StepEnded {
            ending, duration, ..
        } = masked(event, &secrets)
        else {
            panic!("it is another event")
        };
        let masked_trouble = Trouble::new("it said cancelled_***");
        assert_eq!(
            ending,
            Ending::Failed(FailureReason::Surroundings(masked_trouble))
        );
        assert_eq!(duration.as_millis(), 12_345_678);
        let stopping = EventKind::Stopping {
            reason: CancelReason::Requested,
        };
        assert_eq!(masked(stopping.clone(), &secrets), stopping);
    }
}
