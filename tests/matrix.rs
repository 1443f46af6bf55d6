//! Matrices over the built `hoist`: the lesson, and what cells are called on the way.

use crate::support::{Project, docker, engine, left_of};

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
fn as_many_builds_go_at_once_as_the_file_says() {
    if !engine("matrix::as_many_builds_go_at_once_as_the_file_says") {
        return;
    }
    let name = format!("builds-at-once-{}", std::process::id());
    let project = Project::new(&format!(
        r#"
name = "{name}"
[steps.image]
max_parallel = 2
[steps.image.build]
args = {{ CELL = "{name} ${{matrix.cell}}" }}
dockerfile_inline = """
FROM debian:bookworm-slim
ARG CELL
RUN echo "$CELL" && echo from=$(date +%s%N). && sleep 2 && echo to=$(date +%s%N).
"""
[steps.image.matrix]
cell = ["1", "2", "3", "4"]
"#
    ));
    project.hoist(&["run", "--jobs", "4"]).expect(0);
    // The moments at which one more went on (1), and one less (-1).
    let mut moments = Vec::new();
    for cell in 1..=4 {
        let log = project.hoist(&["logs", &format!("image[cell={cell}]")]);
        let log = log.expect(0).stdout;
        for (word, change) in [("from=", 1), ("to=", -1)] {
            let marks = log.split(word).skip(1);
            let at = marks.filter_map(|rest| rest.split_once('.')?.0.parse::<u128>().ok());
            let at = at.last().unwrap_or_else(|| panic!("{log}"));
            moments.push((at, change));
        }
    }
    moments.sort_unstable();
    let at_once = moments.iter().scan(0, |now, (_, change)| {
        *now += change;
        Some(*now)
    });
    assert_eq!(at_once.max(), Some(2), "{moments:?}");
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
    let label = format!("label=dev.hoist.project={name}");
    let images = docker(&["image", "ls", "--quiet", "--filter", &label]);
    let images: Vec<&str> = images.split_whitespace().collect();
    docker(&[&["rmi"], &images[..]].concat());
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
