//! What is wrong, why, and what to try: as errors are told, but that they are what was asked for.

use hoist_model::reason::Trouble;
use serde_json::json;

use crate::lines::clean;
use crate::style::{BAD, GOOD, Paint};
use crate::words;

/// For people. What containers printed is quoted in it, so it was masked already; it is made safe
/// for a terminal here.
#[must_use]
pub fn text(environment: &str, containers: usize, found: &[Trouble], colour: bool) -> String {
    let paint = Paint { colour };
    if found.is_empty() {
        let looked = words::count(containers, "container");
        let sign = paint.paint(GOOD, "✓");
        return format!("{sign} nothing is wrong with {environment} ({looked})\n");
    }
    let mut out = String::new();
    for trouble in found {
        out.push_str(&format!("{} {}\n", paint.paint(BAD, "✗"), trouble.what));
        for line in words::trouble_details(trouble) {
            out.push_str(&format!("  {}\n", clean(line.as_bytes(), colour)));
        }
    }
    out
}

/// For programs.
#[must_use]
pub fn json(environment: &str, containers: usize, found: &[Trouble]) -> String {
    let found = found.iter().map(
        |trouble| json!({ "what": trouble.what, "cause": trouble.cause, "hint": trouble.hint }),
    );
    let all = json!({
        "environment": environment,
        "containers": containers,
        "found": found.collect::<Vec<_>>(),
    });
    format!("{all:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_has_its_cause_and_what_to_try() {
        let found = [Trouble::new("web exited with code 3")
            .cause("its last lines\nboom\u{1b}[2J")
            .hint("look")];
        let text = text("live", 2, &found, false);
        let expected =
            "✗ web exited with code 3\n  cause: its last lines\n         boom\n  try:   look\n";
        assert_eq!(text, expected);
        let json: serde_json::Value = serde_json::from_str(&json("live", 2, &found)).unwrap();
        assert_eq!(json["found"][0]["hint"], "look");
    }

    #[test]
    fn where_nothing_is_wrong_that_is_said() {
        assert_eq!(
            text("live", 1, &[], false),
            "✓ nothing is wrong with live (1 container)\n"
        );
    }
}
