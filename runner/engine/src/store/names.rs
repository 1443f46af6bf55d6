//! File names for steps: readable, and one for each step, whatever the steps are called.

use std::collections::BTreeSet;

use hoist_model::ids::StepId;

/// The longest name, bytes; file systems allow 255, and endings come after it.
const LONGEST: usize = 120;

/// A name for each step, in their order. The same steps always get the same names.
pub fn file_names<'a>(steps: impl IntoIterator<Item = &'a StepId>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let name = |step: &StepId| {
        // A slug is ASCII; a leading dot would hide the file or leave the folder.
        let slug: String = step.slug().chars().take(LONGEST).collect();
        let slug = match slug.trim_start_matches('.') {
            "" => "step".to_owned(),
            slug => slug.to_owned(),
        };
        let numbered = (2..).map(|number| format!("{slug}~{number}"));
        let free = std::iter::once(slug.clone())
            .chain(numbered)
            .find(|name| !taken.contains(name));
        let name = free.unwrap_or(slug);
        taken.insert(name.clone());
        name
    };
    steps.into_iter().map(name).collect()
}

/// The name of a step's files for one of its attempts. No step has a `~` in its name, and no two
/// steps' names differ by `~a` and a number only.
pub fn attempt_name(step: &str, attempt: u32) -> String {
    match attempt {
        0 | 1 => step.to_owned(),
        later => format!("{step}~a{later}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_has_a_name_of_its_own() {
        assert_eq!(attempt_name("unit~2", 1), "unit~2");
        assert_eq!(attempt_name("unit", 2), "unit~a2");
    }

    fn names(steps: &[&str]) -> Vec<String> {
        let steps: Vec<StepId> = steps.iter().map(|step| StepId::from(*step)).collect();
        file_names(&steps)
    }

    #[test]
    fn each_step_has_a_name_of_its_own() {
        assert_eq!(
            names(&["unit", "Unit", "it[db=15]", "it[db 15]"]),
            ["unit", "unit~2", "it-db-15-", "it-db-15-~2"]
        );
        assert_eq!(names(&["a", "a~2", "a"]), ["a", "a-2", "a~2"]);
    }

    #[test]
    fn no_name_leaves_the_folder_or_is_too_long() {
        assert_eq!(
            names(&["..", "../../etc", "", "é"]),
            ["step", "-..-etc", "step~2", "-"]
        );
        let long = "x".repeat(400);
        let both = names(&[&long, &long]);
        assert!(both.iter().all(|name| name.len() < 200) && both[0] != both[1]);
    }
}
