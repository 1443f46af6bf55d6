//! The JUnit report, read back by a parser that is not ours and compared count by count.

use crate::support::{Project, engine, skip};

const READ: &str = r#"
import json, sys
from junitparser import JUnitXml
suites = JUnitXml.fromfile(sys.argv[1])
out = {}
for suite in suites:
    cases = list(suite)
    kinds = [type(r).__name__ for case in cases for r in case.result]
    out[suite.name] = {
        "cases": len(cases),
        "tests": suite.tests, "failures": suite.failures, "errors": suite.errors,
        "Failure": kinds.count("Failure"), "Error": kinds.count("Error"), "Skipped": kinds.count("Skipped"),
        "texts": [r.text for case in cases for r in case.result if r.text],
    }
print(json.dumps(out))
"#;

#[test]
fn another_parser_counts_the_same() {
    let test = "junit::another_parser_counts_the_same";
    if !engine(test) {
        return;
    }
    let Some(python) = crate::support::variable("HOIST_GROUND_PYTHON") else {
        let _ = skip(test, "HOIST_GROUND_PYTHON is not set");
        return;
    };
    let pipeline = r#"
name = "junit"
[steps.tests]
image = "debian:bookworm-slim"
artifacts.reports.junit = ["/r/*.xml"]
source = false
run = '''
mkdir /r
cat > /r/a.xml <<END
<testsuites><testsuite name="one" tests="4" failures="1" errors="1" skipped="1">
<testcase classname="c" name="good" time="0.5"/>
<testcase classname="c" name="bad" time="1,234.5"><failure message="no" type="Assert">where.py:3
]]&gt; &#27;[31m</failure></testcase>
<testcase classname="c" name="broken"><error message="oops"/></testcase>
<testcase classname="c" name="later"><skipped message="not yet"/></testcase>
</testsuite></testsuites>
END
exit 1
'''
[steps.plain]
image = "debian:bookworm-slim"
run = "true"
[steps.after]
needs = ["tests"]
image = "debian:bookworm-slim"
run = "true"
[reports]
junit = "reports/junit.xml"
"#;
    let project = Project::new(pipeline);
    project.hoist(&["run"]).expect(1);
    let report = project.path().join("reports/junit.xml");
    let output = std::process::Command::new(python)
        .args(["-c", READ])
        .arg(&report)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |suite: &str, what: &str| read[suite][what].as_i64().unwrap();
    let tests = [
        "cases", "tests", "failures", "errors", "Failure", "Error", "Skipped",
    ]
    .map(|w| count("tests", w));
    assert_eq!(tests, [4, 4, 1, 1, 1, 1, 1], "{read}");
    assert_eq!(
        [count("plain", "cases"), count("plain", "failures")],
        [1, 0],
        "{read}"
    );
    assert_eq!(
        [count("after", "cases"), count("after", "Skipped")],
        [1, 1],
        "{read}"
    );
    let texts = read["tests"]["texts"].as_array().unwrap();
    assert!(
        texts
            .iter()
            .any(|text| text.as_str().unwrap().contains("where.py:3")),
        "{read}"
    );
}
