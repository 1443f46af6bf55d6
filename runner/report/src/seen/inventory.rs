//! All that a project has on its engines, with what it takes.

use hoist_model::seen::{Object, ObjectKind};

use crate::words::{bytes, count};

/// The rows of a table, its head first.
#[must_use]
pub fn rows(objects: &[Object]) -> Vec<Vec<String>> {
    let head = ["KIND", "ENVIRONMENT", "NAME", "FOR", "STATE", "SIZE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(objects.iter().map(|object| {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let purpose = match (&object.run, object.purpose.as_str()) {
            (None, "") => "-".to_owned(),
            (None, purpose) => purpose.to_owned(),
            (Some(run), "") => format!("run {run}"),
            (Some(run), purpose) => format!("{purpose}, run {run}"),
        };
        vec![
            kind(object.kind).to_owned(),
            or_none(&object.environment),
            short(&object.name).to_owned(),
            purpose,
            or_none(&object.state),
            object.bytes.map_or_else(|| "-".to_owned(), bytes),
        ]
    }));
    rows
}

/// `2 containers, 1 image: 310 MiB`, the line below the table.
#[must_use]
pub fn total(objects: &[Object]) -> String {
    let kinds = [
        ObjectKind::Container,
        ObjectKind::Image,
        ObjectKind::Network,
        ObjectKind::Volume,
    ];
    let counts = kinds.into_iter().filter_map(|wanted| {
        let found = objects
            .iter()
            .filter(|object| object.kind == wanted)
            .count();
        (found > 0).then(|| count(found, kind(wanted)))
    });
    let counts: Vec<_> = counts.collect();
    let all = objects.iter().filter_map(|object| object.bytes);
    let all = all.fold(0_u64, u64::saturating_add);
    format!("{}: {}\n", counts.join(", "), bytes(all))
}

/// An array with an object for each.
#[must_use]
pub fn json(objects: &[Object]) -> String {
    serde_json::to_string_pretty(objects).unwrap_or_default() + "\n"
}

/// An image's ID cut to what people need.
fn short(name: &str) -> &str {
    let id = name.strip_prefix("sha256:");
    id.and_then(|id| id.get(..12)).unwrap_or(name)
}

fn kind(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Container => "container",
        ObjectKind::Image => "image",
        ObjectKind::Network => "network",
        ObjectKind::Volume => "volume",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> Vec<Object> {
        let object = |kind, name: &str| Object {
            kind,
            environment: None,
            name: name.into(),
            purpose: "step unit".into(),
            state: None,
            bytes: None,
            run: None,
        };
        vec![
            Object {
                state: Some("exited".into()),
                bytes: Some(1 << 20),
                run: Some("0198".into()),
                ..object(ObjectKind::Container, "left")
            },
            Object {
                bytes: Some(2 << 20),
                ..object(ObjectKind::Image, "sha256:0123456789abcdef")
            },
            Object {
                environment: Some("live".into()),
                purpose: String::new(),
                ..object(ObjectKind::Network, "shop-live-default")
            },
        ]
    }

    #[test]
    fn what_is_left_of_a_run_names_it() {
        let rows = rows(&objects());
        assert_eq!(
            rows[1],
            [
                "container",
                "-",
                "left",
                "step unit, run 0198",
                "exited",
                "1.0 MiB"
            ]
        );
        assert_eq!(rows[2][2], "0123456789ab");
        assert_eq!(
            rows[3],
            ["network", "live", "shop-live-default", "-", "-", "-"]
        );
        assert_eq!(
            total(&objects()),
            "1 container, 1 image, 1 network: 3.0 MiB\n"
        );
    }

    #[test]
    fn programs_get_all_of_it() {
        let json: serde_json::Value = serde_json::from_str(&json(&objects())).unwrap();
        assert_eq!(json[0]["kind"], "container");
        assert_eq!(json[0]["run"], "0198");
        assert_eq!(json[2]["bytes"], serde_json::Value::Null);
    }
}
