//! Outputs that a step leaves, and what those get who ask for them.

use hoist_model::event::EventKind;
use hoist_model::outputs::MAX_BYTES;
use hoist_model::reason::{Ending, FailureReason};
use hoist_model::text::{Piece, StepValue, Text};

use crate::fake::Program;
use crate::unit::testing::{SECRET, Stage, container, run};

/// A stage for a step that leaves such a file.
fn leaving(content: &str) -> Stage {
    let mut unit = container();
    unit.harvest.outputs = Some("/tmp/outputs".into());
    let stage = run(unit);
    let program = Program::default().leaves("/tmp/outputs", content);
    stage.engine.program(|_| true, program);
    stage
}

fn output(key: &str) -> Text {
    Text(vec![Piece::Step {
        step: "unit".into(),
        value: StepValue::Output(key.into()),
    }])
}

#[tokio::test(start_paused = true)]
async fn outputs_are_told_and_secrets_in_them_masked() {
    let stage = leaving(&format!("A=1\nB=x{}y\nwhat\n", SECRET.1));
    assert_eq!(stage.execute().await, Ending::Passed);
    let made = &stage.context.made;
    assert_eq!(made.resolve(&output("A")).as_deref(), Some("1"));
    let masked = made.resolve(&output("B")).unwrap();
    assert!(
        masked.starts_with('x') && !masked.contains(SECRET.1),
        "{masked}"
    );
    let missing = made.missing(&output("a"));
    assert_eq!(missing.what, "the step `unit` left no output `a`");
    assert_eq!(missing.cause.as_deref(), Some("it left `A` and `B`"));
    let said = stage.said();
    let warnings = said.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let told = said.events.iter().find_map(|event| match event {
        EventKind::OutputsFound { outputs, .. } => Some(outputs.clone()),
        _ => None,
    });
    assert_eq!(told.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_file_or_with_too_long_a_one_there_are_none() {
    let mut unit = container();
    unit.harvest.outputs = Some("/tmp/outputs".into());
    for stage in [run(unit), leaving(&format!("A={}", "x".repeat(MAX_BYTES)))] {
        assert_eq!(stage.execute().await, Ending::Passed);
        assert_eq!(stage.said().warnings().len(), 1);
        assert_eq!(stage.context.made.resolve(&output("A")), None);
    }
}

#[tokio::test(start_paused = true)]
async fn who_needs_a_key_that_is_not_there_does_not_start() {
    let mut unit = container();
    unit.environment.insert("A".into(), output("A"));
    let stage = run(unit);
    let Ending::Failed(FailureReason::Configuration(trouble)) = stage.execute().await else {
        panic!("it started");
    };
    assert_eq!(trouble.what, "the step `unit` left no output `A`");
    stage.assert_clean();
}
