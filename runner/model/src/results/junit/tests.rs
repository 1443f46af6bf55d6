//! One file a tool, in the words of that tool.

use proptest::prelude::*;

use std::time::Duration;

use super::*;
use crate::results::{
    MAX_BYTES, MAX_NAME, MAX_TEXT, TestFailure, TestFormat, TestOutcome, Unreadable,
};

fn read(name: &str, bytes: &[u8]) -> Result<Vec<TestCase>, Unreadable> {
    TestFormat::Junit.read(name, bytes)
}

fn ok(xml: &str) -> Vec<TestCase> {
    read("report.xml", xml.as_bytes()).unwrap()
}

fn why(bytes: &[u8]) -> String {
    read("report.xml", bytes).unwrap_err().why
}

/// `suite|class|name|outcome` of each case, for comparing at a glance.
fn brief(cases: &[TestCase]) -> Vec<String> {
    let outcome = |case: &TestCase| match &case.outcome {
        TestOutcome::Passed => "passed".to_owned(),
        TestOutcome::Failed(failure) => format!("failed: {}", failure.message),
        TestOutcome::Errored(failure) => format!("errored: {}", failure.message),
        TestOutcome::Skipped { message } => format!("skipped: {message:?}"),
    };
    cases
        .iter()
        .map(|case| {
            format!(
                "{}|{}|{}|{}",
                case.suite,
                case.class,
                case.name,
                outcome(case)
            )
        })
        .collect()
}

fn failure(case: &TestCase) -> &TestFailure {
    match &case.outcome {
        TestOutcome::Failed(failure) | TestOutcome::Errored(failure) => failure,
        other => panic!("{other:?} is no failure"),
    }
}

#[test]
fn pytest() {
    let cases = ok(
        r#"<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="2" tests="6" time="0.041" timestamp="2026-03-01T10:00:00.232566+00:00" hostname="ci"><testcase classname="tests.test_cart" name="test_total" time="0.250" /><testcase classname="tests.test_cart" name="test_less" time="0.000"><failure message="AssertionError: 3 is not &lt; 2&#10;assert (3 &lt; 2)">def test_less():
&gt;       assert 3 &lt; 2 and "a &amp; b"
E       AssertionError: 3 is not &lt; 2

tests/test_cart.py:9: AssertionError</failure><system-out>--- Captured Out ---
&lt;out&gt; &amp; more
</system-out><system-err>err
</system-err></testcase><testcase classname="tests.test_cart" name="test_db" time="0.000"><skipped type="pytest.skip" message="no &lt;db&gt; yet">tests/test_cart.py:10: no &lt;db&gt; yet</skipped></testcase><testcase classname="tests.test_cart" name="test_param[\xe9&amp;&lt;]" time="0.000" /><testcase classname="tests.test_cart" name="test_teardown" time="0.000"><error message="failed on teardown with &quot;RuntimeError: x&quot;">RuntimeError: x</error></testcase><testcase classname="tests.test_cart" name="test_x" time="0.000"><skipped type="pytest.xfail" message="" /></testcase></testsuite></testsuites>"#,
    );
    assert_eq!(
        brief(&cases),
        [
            "pytest|tests.test_cart|test_total|passed",
            "pytest|tests.test_cart|test_less|failed: AssertionError: 3 is not < 2",
            "pytest|tests.test_cart|test_db|skipped: Some(\"no <db> yet\")",
            "pytest|tests.test_cart|test_param[\\xe9&<]|passed",
            "pytest|tests.test_cart|test_teardown|errored: failed on teardown with \"RuntimeError: x\"",
            "pytest|tests.test_cart|test_x|skipped: None",
        ]
    );
    assert_eq!(cases[0].duration, Duration::from_millis(250));
    // Every `<`, `>` and `&` is there, and every line break.
    assert_eq!(
        failure(&cases[1]).text,
        "def test_less():\n>       assert 3 < 2 and \"a & b\"\nE       AssertionError: 3 is not < 2\n\n\
         tests/test_cart.py:9: AssertionError"
    );
    assert_eq!(
        cases[1].output.as_deref(),
        Some("--- Captured Out ---\n<out> & more\nerr")
    );
    assert_eq!(cases[0].output, None);
}

#[test]
fn pytest_counts_lines_from_zero() {
    let cases = ok(
        r#"<testsuite name="pytest"><testcase classname="a" name="b" file="test_a.py" line="0"/></testsuite>"#,
    );
    assert_eq!(
        (cases[0].file.as_deref(), cases[0].line),
        (Some("test_a.py"), Some(1))
    );
    let cases = ok(
        r#"<testsuite name="s"><testcase name="b" line="7"/><testcase name="c" line="0"/><testcase name="d" line="x"/></testsuite>"#,
    );
    assert_eq!(
        cases.iter().map(|case| case.line).collect::<Vec<_>>(),
        [Some(7), None, None]
    );
}

#[test]
fn nextest() {
    let cases = ok(r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="3" failures="1" errors="0" uuid="0b3a" timestamp="2026-03-01T10:00:00.000+00:00" time="1.100">
    <testsuite name="cart::api" tests="3" disabled="0" errors="0" failures="1">
        <testcase name="adds" classname="cart::api" timestamp="2026-03-01T10:00:00.000+00:00" time="0.012">
            <flakyFailure type="test failure"><system-out>first try</system-out></flakyFailure>
        </testcase>
        <testcase name="panics" classname="cart::api" time="0.5">
            <failure message="thread &apos;panics&apos; panicked at src/lib.rs:3:5" type="test failure with exit code 101">thread &apos;panics&apos; panicked at src/lib.rs:3:5:
assertion `left == right` failed
  left: 1
 right: 2</failure>
            <rerunFailure message="again" type="x">again</rerunFailure>
            <system-out>running 1 test</system-out>
            <system-err>thread &apos;panics&apos; panicked</system-err>
        </testcase>
        <testcase name="off" classname="cart::api" time="0"><skipped/></testcase>
    </testsuite>
</testsuites>"#);
    assert_eq!(
        brief(&cases),
        [
            "cart::api|cart::api|adds|passed",
            "cart::api|cart::api|panics|failed: assertion `left == right` failed",
            "cart::api|cart::api|off|skipped: None",
        ]
    );
    assert_eq!(failure(&cases[1]).kind, "test failure with exit code 101");
    assert!(failure(&cases[1]).text.ends_with("\n  left: 1\n right: 2"));
    assert_eq!(
        cases[1].output.as_deref(),
        Some("running 1 test\nthread 'panics' panicked")
    );
}

#[test]
fn gotestsum() {
    let cases = ok(r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="4" failures="2" errors="0" time="0.002643">
	<testsuite tests="4" failures="2" skipped="1" time="0.003000" name="example.com/shop" timestamp="2026-03-01T10:00:00Z">
		<properties>
			<property name="go.version" value="go1.26.8 linux/amd64"></property>
		</properties>
		<testcase classname="example.com/shop" name="TestBad/sub_case" time="0.000000">
			<failure message="Failed" type="">=== RUN   TestBad/sub_case&#xA;    cart_test.go:4: want 1 &lt; 2&#xA;--- FAIL: TestBad/sub_case (0.00s)&#xA;</failure>
		</testcase>
		<testcase classname="example.com/shop" name="TestBad" time="0.000000">
			<failure message="Failed" type="">=== RUN   TestBad&#xA;--- FAIL: TestBad (0.00s)&#xA;</failure>
		</testcase>
		<testcase classname="example.com/shop" name="TestSkip" time="0.000000">
			<skipped message="=== RUN   TestSkip&#xA;    cart_test.go:5: no network&#xA;--- SKIP: TestSkip (0.00s)&#xA;"></skipped>
		</testcase>
		<testcase classname="example.com/shop" name="TestGood" time="0.000000"></testcase>
	</testsuite>
</testsuites>"#);
    assert_eq!(
        brief(&cases),
        [
            "example.com/shop|example.com/shop|TestBad/sub_case|failed: cart_test.go:4: want 1 < 2",
            "example.com/shop|example.com/shop|TestBad|failed: no message",
            "example.com/shop|example.com/shop|TestSkip|skipped: Some(\"cart_test.go:5: no network\")",
            "example.com/shop|example.com/shop|TestGood|passed",
        ]
    );
}

#[test]
fn node_has_cases_outside_of_suites() {
    let cases = ok(r#"<?xml version="1.0" encoding="utf-8"?>
<testsuites>
	<testcase name="top level" time="0.000965" classname="test"/>
	<testcase name="fails &lt;here>" time="0.001126" classname="test" failure="1 !== 2">
		<failure type="testCodeFailure" message="Expected values to be strictly equal:1 !== 2">
[Error [ERR_TEST_FAILURE]: Expected values to be strictly equal:
] {
      at TestContext.&lt;anonymous> (/app/cart.test.js:3:37)
}
		</failure>
	</testcase>
	<testcase name="later" time="0.000169" classname="test"><skipped type="skipped" message="true"/></testcase>
	<testcase name="todo" time="0.000287" classname="test"><skipped type="todo" message="soon"/></testcase>
	<testsuite name="outer" time="0.003490" disabled="0" errors="0" tests="2" failures="0" skipped="0" hostname="ci">
		<testsuite name="inner" time="0.002843" disabled="0" errors="0" tests="1" failures="0" skipped="0" hostname="ci">
			<testcase name="deep" time="0.002693" classname="test"/>
		</testsuite>
		<testcase name="after" time="0.000176" classname="test"/>
	</testsuite>
	<!-- tests 6 -->
</testsuites>"#);
    assert_eq!(
        brief(&cases),
        [
            "|test|top level|passed",
            "|test|fails <here>|failed: Expected values to be strictly equal:1 !== 2",
            "|test|later|skipped: None",
            "|test|todo|skipped: Some(\"soon\")",
            "inner|test|deep|passed",
            "outer|test|after|passed",
        ]
    );
    assert!(
        failure(&cases[1])
            .text
            .contains("at TestContext.<anonymous>")
    );
}

#[test]
fn jest() {
    let cases = ok(r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="jest tests" tests="2" failures="1" errors="0" time="0.516">
  <testsuite name="cart" errors="0" failures="1" skipped="1" timestamp="2026-03-01T10:00:00" time="0.322" tests="2">
    <testcase classname="cart fails &lt;x&gt;" name="cart fails &lt;x&gt;" time="0.001" file="src/cart.test.js">
      <failure>Error: expect(received).toBe(expected) // Object.is equality

Expected: 2
Received: 1</failure>
    </testcase>
    <testcase classname="cart later" name="cart later" time="0">
      <skipped/>
    </testcase>
  </testsuite>
</testsuites>"#);
    assert_eq!(
        brief(&cases),
        [
            "cart|cart fails <x>|cart fails <x>|failed: Error: expect(received).toBe(expected) // Object.is equality",
            "cart|cart later|cart later|skipped: None",
        ]
    );
    assert_eq!(cases[0].file.as_deref(), Some("src/cart.test.js"));
}

#[test]
fn surefire() {
    let cases = ok(r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="https://maven.apache.org/surefire/maven-surefire-plugin/xsd/surefire-test-report-3.0.xsd" version="3.0" name="CartTest" time="1,234.5" tests="4" errors="1" skipped="1" failures="1">
  <properties><property name="java.version" value="21"/></properties>
  <testcase name="off" classname="CartTest" time="0.0"><skipped message="later"/></testcase>
  <testcase name="adds" classname="CartTest" time="1,234.5">
    <system-out><![CDATA[<out> & &amp#27;[31mred&amp#27;[0m
]]></system-out>
  </testcase>
  <testcase name="errs" classname="CartTest" time="0.014">
    <error message="x &amp; y" type="java.lang.IllegalStateException"><![CDATA[java.lang.IllegalStateException: x & y
	at CartTest.errs(CartTest.java:2)
]]></error>
  </testcase>
  <testcase name="fails" classname="CartTest" time="0.01">
    <failure message="a &lt; b ==&gt; expected: &lt;1&gt;" type="org.opentest4j.AssertionFailedError"><![CDATA[org.opentest4j.AssertionFailedError: a < b]]> &amp; <![CDATA[more]]></failure>
  </testcase>
</testsuite>"#);
    assert_eq!(
        brief(&cases),
        [
            "CartTest|CartTest|off|skipped: Some(\"later\")",
            "CartTest|CartTest|adds|passed",
            "CartTest|CartTest|errs|errored: x & y",
            "CartTest|CartTest|fails|failed: a < b ==> expected: <1>",
        ]
    );
    assert_eq!(cases[1].duration, Duration::from_millis(1_234_500));
    assert_eq!(cases[1].output.as_deref(), Some("<out> & red"));
    assert_eq!(failure(&cases[2]).kind, "java.lang.IllegalStateException");
    assert_eq!(
        failure(&cases[3]).text,
        "org.opentest4j.AssertionFailedError: a < b & more"
    );
}

#[test]
fn phpunit() {
    let cases = ok(r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="/app/phpunit.xml" tests="3" assertions="3" errors="0" failures="1" skipped="0" time="0.01">
    <testsuite name="Unit" tests="3" assertions="3" errors="0" failures="1" skipped="0" time="0.01">
      <testsuite name="Tests\CartTest" file="/app/tests/CartTest.php" tests="3" assertions="3" errors="0" failures="1" skipped="0" time="0.01">
        <testcase name="testAdds" file="/app/tests/CartTest.php" line="12" class="Tests\CartTest" classname="Tests.CartTest" assertions="1" time="0.002"/>
        <testsuite name="Tests\CartTest::testSum" tests="2" assertions="2" errors="0" failures="1" skipped="0" time="0.002">
          <testcase name="testSum with data set #0" class="Tests\CartTest" line="20" assertions="1" time="0.001">
            <failure type="PHPUnit\Framework\ExpectationFailedException">Tests\CartTest::testSum with data set #0
Failed asserting that 3 matches expected 4.

/app/tests/CartTest.php:22</failure>
          </testcase>
        </testsuite>
      </testsuite>
    </testsuite>
  </testsuite>
</testsuites>"#);
    assert_eq!(
        brief(&cases),
        [
            "Tests\\CartTest|Tests.CartTest|testAdds|passed",
            "Tests\\CartTest::testSum|Tests\\CartTest|testSum with data set #0|failed: Failed asserting that 3 matches expected 4.",
        ]
    );
    assert_eq!(cases[0].line, Some(12));
    assert_eq!(
        cases[1].file.as_deref(),
        Some("/app/tests/CartTest.php"),
        "of its suite"
    );
}

#[test]
fn ctest() {
    let cases = ok("<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuite name=\"(empty)\"\n\ttests=\"4\"\n\tfailures=\"1\"\n\tdisabled=\"1\"\n\tskipped=\"1\"\n\thostname=\"\"\n\ttime=\"0\"\n\t>
	<testcase name=\"good\" classname=\"good\" time=\"1.2e-05\" status=\"run\">
		<system-out>&lt;fine&gt;
</system-out>
	</testcase>
	<testcase name=\"bad\" classname=\"bad\" time=\"0.003\" status=\"fail\">
		<failure message=\"\"/>
		<system-out>a &amp; b
</system-out>
	</testcase>
	<testcase name=\"skip\" classname=\"skip\" time=\"0.006\" status=\"notrun\">
		<skipped message=\"SKIP_RETURN_CODE=77\"/>
		<system-out></system-out>
	</testcase>
	<testcase name=\"off\" classname=\"off\" time=\"0\" status=\"disabled\">
		<system-out>Disabled</system-out>
	</testcase>
</testsuite>");
    assert_eq!(
        brief(&cases),
        [
            "(empty)|good|good|passed",
            "(empty)|bad|bad|failed: a & b",
            "(empty)|skip|skip|skipped: Some(\"SKIP_RETURN_CODE=77\")",
            "(empty)|off|off|skipped: None",
        ]
    );
    assert_eq!(cases[0].duration, Duration::from_micros(12));
}

#[test]
fn google_test() {
    let cases = ok(
        r#"<testsuites tests="3" failures="1" disabled="1" errors="0" time="0.01" timestamp="2026-03-01T10:00:00.000" name="AllTests">
  <testsuite name="Cart" tests="3" failures="1" disabled="1" skipped="0" errors="0" time="0.01">
    <testcase name="Adds" file="cart_test.cc" line="3" status="run" result="completed" time="0" classname="Cart" />
    <testcase name="DISABLED_Off" file="cart_test.cc" line="8" status="notrun" result="suppressed" time="0" classname="Cart" />
    <testcase name="Fails" file="cart_test.cc" line="12" status="run" result="completed" time="0.01" classname="Cart">
      <failure message="cart_test.cc:13&#x0A;Expected equality" type=""><![CDATA[cart_test.cc:13
Expected equality]]></failure>
      <failure message="second" type=""><![CDATA[second]]></failure>
    </testcase>
  </testsuite>
</testsuites>"#,
    );
    assert_eq!(
        brief(&cases),
        [
            "Cart|Cart|Adds|passed",
            "Cart|Cart|DISABLED_Off|skipped: None",
            "Cart|Cart|Fails|failed: Expected equality",
        ]
    );
    assert_eq!(
        failure(&cases[2]).text,
        "cart_test.cc:13\nExpected equality\n\nsecond"
    );
}

#[test]
fn bats() {
    let cases = ok(r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites time="0.021">
<testsuite name="cart.bats" tests="3" failures="1" errors="0" skipped="1" time="0.021" timestamp="2026-03-01T10:00:00" hostname="ci">
    <testcase classname="cart.bats" name="good &amp; &lt;fine&gt;" time="0.016" />
    <testcase classname="cart.bats" name="bad" time="0.005">
        <failure type="failure">(in test file cart.bats, line 2)
  `@test &quot;bad&quot; { false; }&#39; failed</failure>
    </testcase>
    <testcase classname="cart.bats" name="skipped" time="0">
        <skipped>no net</skipped>
    </testcase>

</testsuite>
</testsuites>"#);
    assert_eq!(
        brief(&cases),
        [
            "cart.bats|cart.bats|good & <fine>|passed",
            "cart.bats|cart.bats|bad|failed: `@test \"bad\" { false; }' failed",
            "cart.bats|cart.bats|skipped|skipped: Some(\"no net\")",
        ]
    );
}

#[test]
fn a_failure_and_an_error_are_one_failure() {
    let cases = ok(
        r#"<testsuite name="s"><testcase name="a"><error message="at teardown">later</error><failure message="x">first</failure></testcase><testcase name="b"><skipped/><failure/></testcase></testsuite>"#,
    );
    assert!(matches!(&cases[0].outcome, TestOutcome::Failed(f) if f.text == "later\n\nfirst"));
    assert!(matches!(&cases[1].outcome, TestOutcome::Failed(f) if f.message == "no message"));
    assert!(cases.iter().all(TestCase::is_failure));
}

#[test]
fn times_as_people_write_them() {
    for (time, millis) in [
        ("0.25", 250),
        ("1,234.5", 1_234_500),
        ("1,234,567.5", 1_234_567_500),
        ("1,234", 1_234_000),
        ("0,123", 123),
        ("0,25", 250),
        ("12,5", 12_500),
        (" 3 ", 3_000),
        ("", 0),
        ("-1", 0),
        ("NaN", 0),
        ("inf", 0),
        ("1e300", 0),
        ("soon", 0),
    ] {
        assert_eq!(seconds(time), Duration::from_millis(millis), "{time:?}");
    }
}

#[test]
fn what_xml_forbids_is_replaced() {
    let cases = read(
        "x",
        b"\xef\xbb\xbf  <?xml version='1.0'?><testsuite name='a&#0;b\x01c&#x1F;&#9;d'><testcase name='\x1b[1;31mred\x1b[0m&#27;[32m!&#x1b;[m'>\
          <system-out><![CDATA[\xff\x1b]0;title\x07]]></system-out></testcase></testsuite>",
    )
    .unwrap();
    assert_eq!(cases[0].suite, "a\u{fffd}b\u{fffd}c\u{fffd}\td");
    assert_eq!(cases[0].name, "red!");
    assert_eq!(
        cases[0].output.as_deref(),
        Some("\u{fffd}\u{fffd}]0;title\u{fffd}")
    );
}

#[test]
fn long_texts_keep_their_beginning_and_end() {
    let long = format!("first\n{}\nlast", "é".repeat(MAX_TEXT));
    let cases = ok(&format!(
        "<testsuite><testcase><failure message='m'>{long}</failure><system-out>{long}</system-out></testcase></testsuite>"
    ));
    for text in [&failure(&cases[0]).text, cases[0].output.as_ref().unwrap()] {
        assert!(
            text.len() <= MAX_TEXT && text.len() > MAX_TEXT - 100,
            "{}",
            text.len()
        );
        assert!(text.starts_with("first\né") && text.ends_with("é\nlast"));
        assert!(text.contains(" bytes left out ...]"));
    }
}

#[test]
fn what_is_no_junit_is_refused() {
    for (bytes, part) in [
        (&b""[..], "it is empty"),
        (b" \n\t", "it is empty"),
        (b"hello", "no well-formed XML"),
        (b"{}", "no well-formed XML"),
        (b"<html><body/></html>", "`<html>`"),
        (b"<testsuite><testcase>", "cut off"),
        (b"<testsuite><testcase name='a", "cut off"),
        (b"<testsuite><testcase></testsuite>", "no well-formed XML"),
        (b"<testsuite>&bomb;</testsuite>", "no well-formed XML"),
        (b"<!DOCTYPE testsuite><testsuite/>", "document type"),
        (
            b"<!DOCTYPE a [<!ENTITY b 'bb'><!ENTITY c '&b;&b;&b;'>]><testsuite>&c;</testsuite>",
            "document type",
        ),
        (
            b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><testsuite/>",
            "document type",
        ),
    ] {
        assert!(why(bytes).contains(part), "{}", why(bytes));
    }
    let error = read("reports/a.xml", b"").unwrap_err();
    assert_eq!(
        error.to_string(),
        "reports/a.xml is not readable as JUnit: it is empty"
    );
}

#[test]
fn no_tests_is_no_error() {
    assert_eq!(ok("<testsuites/>"), []);
    assert_eq!(
        ok("<testsuite name='a' tests='3'><properties/></testsuite>"),
        []
    );
}

#[test]
fn bounds_hold() {
    let mut large = b"<testsuite>".to_vec();
    large.resize(MAX_BYTES + 1, b' ');
    assert!(why(&large).contains("at most 16777216"), "{}", why(&large));

    let many = format!(
        "<testsuite>{}</testsuite>",
        "<testcase/>".repeat(MAX_CASES + 1)
    );
    assert!(why(many.as_bytes()).contains("more than 100000 tests"));
    let most = format!("<testsuite>{}</testsuite>", "<testcase/>".repeat(MAX_CASES));
    assert_eq!(ok(&most).len(), MAX_CASES);

    let deep = |depth| "<testsuite>".repeat(depth) + "<testcase/>" + &"</testsuite>".repeat(depth);
    assert_eq!(ok(&deep(MAX_DEPTH - 1)).len(), 1);
    assert!(why(deep(MAX_DEPTH).as_bytes()).contains("64 deep"));
    // So deep that recursion would end the process.
    assert!(why(deep(300_000).as_bytes()).contains("64 deep"));
    let inside = "<b>".repeat(300_000) + "x" + &"</b>".repeat(300_000);
    let case = format!("<testsuite><testcase><failure>{inside}</failure></testcase></testsuite>");
    assert!(why(case.as_bytes()).contains("64 deep"));
}

/// Whatever it costs to read them must not grow faster than they do.
#[test]
fn hostile_files_take_no_time() {
    let begun = std::time::Instant::now();
    let attributes: String = (0..500_000)
        .map(|number| format!(" a{number}=''"))
        .collect();
    let wide = format!("<testsuite{attributes}/>");
    assert!(why(wide.as_bytes()).contains("more than 100 attributes"));
    let spaces: String = (0..60_000)
        .map(|n| format!("<testsuite xmlns:a{n}='{n}'>"))
        .collect();
    assert!(why(spaces.as_bytes()).contains("64 deep"));
    let elements = format!("<testsuite>{}</testsuite>", "<a/>".repeat(300_000));
    assert_eq!(ok(&elements), []);
    let line = "x".repeat(10 << 20);
    let long =
        format!("<testsuite><testcase name='a'><failure message='{line}'/></testcase></testsuite>");
    let cases = ok(&long);
    assert!(failure(&cases[0]).text.len() <= MAX_TEXT);
    assert_eq!(failure(&cases[0]).message.len(), MAX_NAME);
    let references = "&lt;".repeat(1 << 18);
    let text = format!(
        "<testsuite><testcase><system-out>{references}</system-out></testcase></testsuite>"
    );
    assert!(ok(&text)[0].output.as_ref().unwrap().starts_with("<<<"));
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn an_encoding_is_read_as_it_is_and_not_as_it_is_said() {
    let xml = |encoding: &str| {
        format!(
            "<?xml version='1.0' encoding='{encoding}'?><testsuite name='é'><testcase name='日'/></testsuite>"
        )
    };
    for encoding in ["utf-8", "UTF-16", "ISO-8859-1", "no-such-thing"] {
        let cases = ok(&xml(encoding));
        assert_eq!(
            (cases[0].suite.as_str(), cases[0].name.as_str()),
            ("é", "日"),
            "{encoding}"
        );
    }
    let wide = |order: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
        let text = mark.to_owned() + &xml("UTF-16");
        text.encode_utf16().flat_map(order).collect()
    };
    for mark in ["", "\u{feff}"] {
        for bytes in [wide(u16::to_le_bytes, mark), wide(u16::to_be_bytes, mark)] {
            assert_eq!(read("x", &bytes).unwrap()[0].name, "日");
        }
    }
    let latin = b"<?xml version='1.0' encoding=\"ISO-8859-1\"?><testsuite><testcase name='gr\xfc\xdfe'/></testsuite>";
    assert_eq!(read("x", latin).unwrap()[0].name, "grüße");
}

#[test]
fn tries_of_the_framework_make_a_test_flaky() {
    let cases = ok(
        r#"<testsuite name="s"><testcase name="a" classname="C"><flakyFailure message="first" type="E"><stackTrace><![CDATA[E: first
	at C.a(C.java:7)]]></stackTrace><system-out>printed</system-out></flakyFailure><flakyError message="second"/></testcase>
        <testcase name="b"><failure message="no"/><rerunFailure message="no"/></testcase></testsuite>"#,
    );
    assert!(cases[0].is_flaky() && !cases[1].is_flaky());
    let earlier: Vec<_> = cases[0]
        .earlier
        .iter()
        .map(|failure| failure.message.as_str())
        .collect();
    assert_eq!(earlier, ["first", "second"]);
    assert_eq!(cases[0].earlier[0].text, "E: first\n\tat C.a(C.java:7)");
    assert_eq!(
        (cases[0].file.as_deref(), cases[0].line),
        (Some("C.java"), Some(7))
    );
    assert_eq!(cases[0].output, None);
    assert!(cases[1].is_failure() && cases[1].earlier.is_empty());
}

#[test]
fn what_is_there_twice_is_there_twice() {
    let suite = "<testsuite name='a'><testcase name='b' name='c'/></testsuite>";
    let cases = ok(&format!("<testsuites>{suite}{suite}</testsuites>"));
    assert_eq!(brief(&cases), ["a||c|passed", "a||c|passed"]);
    let error = why(format!("{suite}{suite}").as_bytes());
    assert!(error.contains("something follows its end"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read("x", &bytes);
    }

    #[test]
    fn any_pieces_are_read_or_refused(pieces in prop::collection::vec(
        prop::sample::select(vec![
            "<testsuites>", "</testsuites>", "<testsuite name='a'>", "</testsuite>", "<testcase name='b' time='1,2'>",
            "</testcase>", "<testcase line='-3'/>", "<failure message=''>", "</failure>", "<skipped/>", "<error/>",
            "<![CDATA[", "]]>", "<!--", "-->", "&lt;", "&#27;", "&#x110000;", "\u{1b}[3", "é", "<!DOCTYPE x", ">", "\"", "\n",
        ]),
        0..30,
    )) {
        let _ = read("x", pieces.concat().as_bytes());
    }

    #[test]
    fn text_arrives_as_it_was(text in "[ -~é\n]{0,80}") {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let xml = format!("<testsuite><testcase name=\"{escaped}x\"><failure>a{escaped}b</failure></testcase></testsuite>");
        let cases = ok(&xml);
        prop_assert_eq!(&failure(&cases[0]).text, &format!("a{text}b"));
        // XML makes a space of a line break in an attribute.
        prop_assert_eq!(&cases[0].name, &format!("{}x", text.replace('\n', " ")));
    }
}
