//! Matrices over the built `hoist`: the lesson, and what cells are called on the way.

use crate::support::{Project, engine, left_of};

#[test]
fn the_plan_names_cells_and_binds_them() {
    let project = Project::example("matrix");
    let json = project
        .hoist(&["plan", "--format", "json"])
        .expect(0)
        .stdout;
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let id = |at: &serde_json::Value| at["id"].as_str().unwrap().to_owned();
    let needs = |step: &serde_json::Value| -> Vec<String> {
        let needs = step["needs"].as_array().unwrap().iter();
        needs
            .map(|need| id(&steps[usize::try_from(need["step"].as_u64().unwrap()).unwrap()]))
            .collect()
    };
    let said: Vec<String> = steps
        .iter()
        .map(|step| format!("{} <- {}", id(step), needs(step).join(" ")))
        .collect();
    let (debian, python) = (
        "base=debian:bookworm-slim",
        "base=python:3.11-slim-bookworm",
    );
    assert_eq!(
        said,
        [
            format!("image[{debian}] <- "),
            format!("image[{python}] <- "),
            format!("unit[{debian},name=world] <- image[{debian}]"),
            format!("unit[{debian},name=moon] <- image[{debian}]"),
            format!("unit[{python},name=world] <- image[{python}]"),
            format!(
                "all <- image[{debian}] unit[{debian},name=world] unit[{debian},name=moon] unit[{python},name=world]"
            ),
        ]
    );
    assert_eq!(steps[3]["cell"]["max_parallel"], 2);
    let plan = project.hoist(&["plan"]).expect(0).stdout;
    assert!(plan.contains("2 of its cells at once"), "{plan}");
}

#[test]
fn every_cell_runs_and_has_a_log_of_its_own() {
    if !engine("matrix::every_cell_runs_and_has_a_log_of_its_own") {
        return;
    }
    let project = Project::example("matrix");
    let ended = project.hoist(&["run"]).expect(0);
    assert!(ended.last().ends_with(": 6 steps"), "{}", ended.stderr);
    for name in ["world", "moon"] {
        let cell = format!("unit[base=debian:bookworm-slim,name={name}]");
        let log = project.hoist(&["logs", &cell]).expect(0).stdout;
        assert_eq!(log.trim_end(), format!("hello, {name}"));
    }
    let run = project.runs().pop().unwrap();
    assert_eq!(left_of(&run), "");
    // One cell, by its name; the other one's image is not built for it.
    let cell = "unit[base=debian:bookworm-slim,name=moon]";
    let ended = project.hoist(&["run", cell]).expect(0);
    assert!(ended.last().contains(": 2 steps"), "{}", ended.stderr);
    let ended = project.hoist(&["run", "unit[base=debian]"]).expect(2);
    let _ = ended.says("there is no step `unit[base=debian]`");
}
