//! What is found to be different, and that events keep it.

use super::*;

fn input(part: Part, digest: &str, shown: Option<&str>) -> Input {
    Input {
        part,
        digest: digest.into(),
        shown: shown.map(str::to_owned),
    }
}

fn inputs(parts: Vec<Input>) -> StepInputs {
    StepInputs {
        digest: Some("d".into()),
        parts,
    }
}

#[test]
fn every_difference_is_told_once_and_nothing_else() {
    let argument = |name: &str| Part::Argument(name.into());
    let before = inputs(vec![
        input(Part::Context, "1", None),
        input(Part::Dockerfile, "1", None),
        input(argument("GONE"), "1", None),
        input(Part::Target, "1", Some("test")),
    ]);
    let now = inputs(vec![
        input(Part::Target, "2", Some("production")),
        input(argument("NEW"), "1", None),
        input(Part::Dockerfile, "1", None),
        input(Part::Context, "2", None),
    ]);
    let changes = now.changes_since(&before);
    let told: Vec<_> = changes
        .iter()
        .map(|change| {
            let shown = |told: &Option<Told>| {
                told.as_ref()
                    .map(|told| told.shown.clone().unwrap_or_else(|| told.digest.clone()))
            };
            (
                change.part.to_string(),
                shown(&change.before),
                shown(&change.now),
            )
        })
        .collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            ("the context".to_owned(), some("1"), some("2")),
            ("the build argument GONE".to_owned(), some("1"), None),
            ("the build argument NEW".to_owned(), None, some("1")),
            ("the target".to_owned(), some("test"), some("production")),
        ]
    );
    assert!(now.changes_since(&now).is_empty());
}

#[test]
fn parts_are_read_as_they_are_written() {
    let parts = vec![
        input(Part::Context, "1", None),
        input(Part::NamedContext("docs".into()), "2", None),
        input(Part::Secret("token".into()), "3", None),
        input(Part::Option("shm_size".into()), "4", Some("64")),
    ];
    let all = inputs(parts);
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(
        text,
        "{\"digest\":\"d\",\"parts\":[{\"part\":\"context\",\"digest\":\"1\"},\
         {\"part\":\"named_context\",\"name\":\"docs\",\"digest\":\"2\"},\
         {\"part\":\"secret\",\"name\":\"token\",\"digest\":\"3\"},\
         {\"part\":\"option\",\"name\":\"shm_size\",\"digest\":\"4\",\"shown\":\"64\"}]}"
    );
    assert_eq!(serde_json::from_str::<StepInputs>(&text).unwrap(), all);
}
