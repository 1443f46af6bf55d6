//! Patterns with `*` and `?`, as people write them for files and names. Nothing else in them means
//! anything: names of tests are full of brackets.

/// A name matches a pattern in which `*` stands for any text and `?` for one character.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Where to go on if it does not match: after the last star, with one character more in it.
    let mut retry = None;
    while let Some(have) = name.get(at) {
        match pattern.get(of) {
            Some('*') => {
                retry = Some((of, at));
                of += 1;
            }
            Some(want) if *want == '?' || want == have => {
                at += 1;
                of += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (of, at) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(of).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks_match() {
        for (pattern, name) in [
            ("*.xml", "a.xml"),
            ("*.xml", ".xml"),
            ("TEST-*.xml", "TEST-a.b.xml"),
            ("*a*b", "xaab"),
            ("?.xml", "ü.xml"),
            ("a", "a"),
            ("**", "anything"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.xml", "a.xml.bak"),
            ("?.xml", ".xml"),
            ("a", "ab"),
            ("", "a"),
            ("*a*b", "xba"),
            ("[a]", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&"*a".repeat(100), &"ab".repeat(99)));
        assert!(matches(&"*a".repeat(100), &"ba".repeat(1000)));
    }
}
