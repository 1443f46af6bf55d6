//! The stages of a Dockerfile. Only enough of it is read to tell whether a `target` is there; all
//! else is the engine's.

/// A stage: what can be named as `target`, beside its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    /// As after `AS`, in small letters; absent for a stage without a name.
    pub(crate) name: Option<String>,
}

/// The stages, in order.
pub(crate) fn stages(text: &str) -> Vec<Stage> {
    let escape = escape(text);
    let mut stages = Vec::new();
    let mut lines = text.lines();
    while let Some(first) = lines.next() {
        let Some(line) = content(first) else { continue };
        let mut instruction = String::new();
        let mut next = Some(line);
        while let Some(line) = next {
            match line.trim_end().strip_suffix(escape) {
                // Comments and empty lines inside an instruction are no end of it.
                Some(start) => {
                    instruction.push_str(start);
                    next = lines.by_ref().find_map(content);
                }
                None => {
                    instruction.push_str(line);
                    next = None;
                }
            }
        }
        for end in heredocs(&instruction) {
            lines
                .by_ref()
                .find(|line| line.trim_start_matches('\t') == end);
        }
        let words: Vec<&str> = instruction.split_whitespace().collect();
        if let Some((from, rest)) = words.split_first()
            && from.eq_ignore_ascii_case("FROM")
        {
            let name = rest.iter().position(|word| word.eq_ignore_ascii_case("AS"));
            let name = name
                .and_then(|at| rest.get(at + 1))
                .map(|name| name.to_lowercase());
            stages.push(Stage { name });
        }
    }
    stages
}

/// A line that is neither empty nor a comment.
fn content(line: &str) -> Option<&str> {
    let line = line.trim_start();
    (!line.is_empty() && !line.starts_with('#')).then_some(line)
}

/// The character that goes on with the next line: a directive may make it a backtick.
fn escape(text: &str) -> char {
    for line in text.lines() {
        let Some(directive) = line.trim_start().strip_prefix('#') else {
            break;
        };
        let Some((name, value)) = directive.split_once('=') else {
            break;
        };
        if name.trim().eq_ignore_ascii_case("escape") && value.trim() == "`" {
            return '`';
        }
    }
    '\\'
}

/// The words that end the here-documents of an instruction.
fn heredocs(instruction: &str) -> Vec<String> {
    let name = instruction.split_whitespace().next().unwrap_or_default();
    if !["RUN", "COPY", "ADD"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
    {
        return Vec::new();
    }
    let words = instruction.split_whitespace().filter_map(|word| {
        let word = word
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .strip_prefix("<<")?;
        let word = word
            .strip_prefix('-')
            .unwrap_or(word)
            .trim_matches(['"', '\'']);
        let is_name = word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (is_name && !word.is_empty()).then(|| word.to_owned())
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        stages(text)
            .into_iter()
            .map(|stage| stage.name.unwrap_or_default())
            .collect()
    }

    #[test]
    fn stages_are_found_and_nothing_else() {
        let text = "# syntax=docker/dockerfile:1\n\
            ARG X=1\n\
            FROM --platform=$X debian AS Deps\n\
            RUN echo \\\n  # a comment\n\n  FROM nothing AS none\n\
            RUN <<EOF cat\nFROM nothing AS inside\nEOF\n\
            from deps\n\
            FROM scratch \\\n  as prod\n";
        assert_eq!(names(text), ["deps", "", "prod"]);
    }

    #[test]
    fn another_escape() {
        assert_eq!(
            names("# escape=`\nFROM a `\n AS x\nRUN dir c:\\\nFROM b AS y\n"),
            ["x", "y"]
        );
        assert_eq!(names("RUN a \\"), Vec::<String>::new());
    }
}
