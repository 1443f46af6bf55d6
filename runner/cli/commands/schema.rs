//! `hoist schema`: prints the JSON Schema of pipeline.toml, for editors.

use hoist_model::reason::Verdict;

use super::{Outcome, print};

pub(super) fn execute() -> Outcome {
    let schema = hoist_model::schema::schema();
    print(&(serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"))?;
    Ok(Verdict::Passed)
}
