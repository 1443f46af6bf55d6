//! Where a test failed, from the text of its failure, for writers that do not say it in a field of
//! its own. Only forms that name a source file and a line are known; nothing is guessed.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::TestCase;
use super::format::pattern;

/// Forms, and whether the last such place in a text is the nearest to the test, or the first.
static FORMS: LazyLock<Vec<(Regex, bool)>> = LazyLock::new(|| {
    let forms = [
        // pytest ends a trace with `tests/test_a.py:9: AssertionError`.
        (r"(?m)^(?<file>[^\s:][^:\n]*\.py):(?<line>\d+): ", true),
        // Rust.
        (
            r"(?:panicked|as expected) at (?<file>[^\s:]+\.rs):(?<line>\d+):\d+",
            false,
        ),
        // Go: `cart_test.go:4: want 1`, and `cart_test.go:9 +0x28` in a trace.
        (
            r"(?m)(?:^|\s)(?<file>[^\s:]+_test\.go):(?<line>\d+)(?::| \+0x|$)",
            false,
        ),
        // Bats.
        (r"in test file (?<file>[^\n]+), line (?<line>\d+)\)", false),
        // PHPUnit.
        (r"(?m)^(?<file>[^\s:][^:\n]*\.php):(?<line>\d+)$", true),
        // Perl.
        (r"\bat (?<file>\S+\.t) line (?<line>\d+)\.", false),
    ];
    let forms = forms.into_iter();
    forms.map(|(form, last)| (pattern(form), last)).collect()
});

/// A frame of a Python trace; the last is the nearest to the failure.
static FILE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?m)^\s*File "(?<file>[^"\n]+\.py)", line (?<line>\d+), in"#));

/// A frame of a JavaScript trace.
static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    let file = r"(?:file://)?(?<file>/[^\s()]+?\.[cm]?[jt]sx?):(?<line>\d+):\d+";
    pattern(&format!(r"(?m)^\s+at (?:[^\n]*\()?{file}\)?$"))
});

/// A frame of a Java trace.
static METHOD: LazyLock<Regex> = LazyLock::new(|| {
    let method = r"(?:[\w.@-]*/+)*(?<class>[\w.$]+)\.[\w$<>]+";
    pattern(&format!(
        r"(?m)^\s+at {method}\((?<file>[\w$]+\.\w+):(?<line>\d+)\)$"
    ))
});

/// Gives a case that failed its place, if it has none and its failure's text has one.
pub(super) fn fill(case: &mut TestCase) {
    if case.file.is_some() {
        return;
    }
    let text = case
        .failure()
        .or(case.earlier.first())
        .map(|failure| failure.text.as_str());
    let output = case.output.as_deref();
    let found = text.and_then(|text| find(text, &case.class)).or_else(|| {
        // nextest has the panic in what the test printed.
        case.failure()
            .and(output)
            .and_then(|text| find(text, &case.class))
    });
    if let Some((file, line)) = found {
        case.file = Some(file);
        case.line = Some(line);
    }
}

fn find(text: &str, class: &str) -> Option<(String, usize)> {
    for (form, last) in FORMS.iter() {
        let mut all = form.captures_iter(text);
        let found = if *last { all.last() } else { all.next() };
        if let Some(found) = found {
            return place(&found);
        }
    }
    // What a library was doing then is of no use.
    let own = |frame: &Captures<'_>| {
        let file = frame.name("file").map_or("", |file| file.as_str());
        !["/node_modules/", "/lib/python", "/site-packages/"]
            .iter()
            .any(|library| file.contains(library))
    };
    if let Some(found) = FILE.captures_iter(text).filter(own).last() {
        return place(&found);
    }
    if let Some(found) = FRAME.captures_iter(text).find(own) {
        return place(&found);
    }
    // An inner class is written in the file of the outer one.
    let outer = |class: &str| class.split('$').next().map(str::to_owned);
    let own = |frame: &Captures<'_>| {
        let found = frame.name("class").and_then(|found| outer(found.as_str()));
        found == outer(class)
    };
    METHOD
        .captures_iter(text)
        .find(own)
        .as_ref()
        .and_then(place)
}

fn place(found: &Captures<'_>) -> Option<(String, usize)> {
    let line = found.name("line")?.as_str().parse().ok()?;
    Some((found.name("file")?.as_str().to_owned(), line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_leads_to_the_test_and_not_into_a_library() {
        for (text, class, expected) in [
            (
                "Traceback:\n  File \"/app/test_a.py\", line 7, in test_a\n    x()\n  \
                 File \"/usr/lib/python3.11/unittest/case.py\", line 873, in fail\nAssertionError: no",
                "",
                Some(("/app/test_a.py", 7)),
            ),
            (
                "Error: no\n    at check (/app/node_modules/chai/index.js:3:1)\n    \
                 at Context.<anonymous> (file:///app/a.test.mjs:9:5)",
                "",
                Some(("/app/a.test.mjs", 9)),
            ),
            (
                "E: no\n\tat java.base/java.util.List.of(List.java:1)\n\tat app//shop.CartTest$Inner.a(CartTest.java:4)",
                "shop.CartTest",
                Some(("CartTest.java", 4)),
            ),
            ("src/a.rs:3: no place of a known form", "", None),
        ] {
            let found = find(text, class);
            let found = found.as_ref().map(|(file, line)| (file.as_str(), *line));
            assert_eq!(found, expected, "{text}");
        }
    }
}
