//! Where the instructions of a Dockerfile stand. It reads just enough to find the line of one that
//! a builder names; it refuses to judge the file, which is the builder's to do.

/// A Dockerfile's instructions.
#[derive(Debug, Default)]
pub(crate) struct Dockerfile {
    /// The image that its `# syntax=` line names.
    pub(crate) syntax: Option<String>,
    instructions: Vec<Instruction>,
}

/// An instruction as it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// From 1.
    pub(crate) line: usize,
    /// Of its last line.
    pub(crate) last: usize,
    /// In capitals.
    pub(crate) keyword: String,
    /// As written, all of its lines.
    pub(crate) text: String,
    /// It takes text from the lines after it.
    pub(crate) heredoc: bool,
    /// Of its stage, from 0; `None` before the first.
    stage: Option<usize>,
}

impl Dockerfile {
    pub(crate) fn parse(text: &str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let (syntax, escape) = directives(&lines);
        let mut instructions = Vec::new();
        let mut stage = None;
        let mut at = 0;
        while let Some(first) = lines.get(at) {
            let start = at;
            at += 1;
            if is_blank(first) || is_comment(first) {
                continue;
            }
            let mut logical = vec![*first];
            while continues(logical.last().copied().unwrap_or_default(), escape) {
                let Some(next) = lines.get(at) else { break };
                at += 1;
                if !is_comment(next) && !is_blank(next) {
                    logical.push(next);
                }
            }
            let keyword = first
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_uppercase();
            let mut heredoc = false;
            if matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") {
                for (word, tabs) in heredocs(&logical.join(" ")) {
                    let rest = lines.get(at..).unwrap_or_default();
                    let ends = |line: &&str| {
                        let line = if tabs {
                            line.trim_start_matches('\t')
                        } else {
                            line
                        };
                        line == word
                    };
                    if let Some(length) = rest.iter().position(ends) {
                        at += length + 1;
                        heredoc = true;
                    }
                }
            }
            if keyword == "FROM" {
                stage = Some(stage.map_or(0, |stage| stage + 1));
            }
            instructions.push(Instruction {
                line: start + 1,
                last: at,
                keyword,
                text: lines.get(start..at).unwrap_or_default().join("\n"),
                heredoc,
                stage,
            });
        }
        Self {
            syntax,
            instructions,
        }
    }

    /// The instruction at a line.
    pub(crate) fn at_line(&self, line: usize) -> Option<&Instruction> {
        self.instructions
            .iter()
            .find(|one| (one.line..=one.last).contains(&line))
    }

    /// The instruction that takes an image of that name as its base.
    pub(crate) fn from(&self, image: &str) -> Option<&Instruction> {
        self.instructions
            .iter()
            .find(|one| one.keyword == "FROM" && base(one).is_some_and(|base| base == image))
    }

    /// The instruction that a builder names, such as `[test 3/5] RUN make`.
    pub(crate) fn named(&self, name: &str) -> Option<&Instruction> {
        let (place, said) = match name
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "))
        {
            Some((place, said)) => (Some(place), said),
            None => (None, name),
        };
        let by_place = place.and_then(|place| self.at_place(place));
        by_place.filter(|one| fits(one, said)).or_else(|| {
            let said = normal(said);
            self.instructions
                .iter()
                .find(|one| normal(&joined(&one.text)) == said)
        })
    }

    /// By BuildKit's count: `STAGE N/M`, or `N/M` where there is one stage. Only what makes a layer
    /// is counted, and a stage's base if it is an image.
    fn at_place(&self, place: &str) -> Option<&Instruction> {
        let words: Vec<&str> = place.split_whitespace().collect();
        let (count, before) = words.split_last()?;
        let number: usize = count.split_once('/')?.0.parse().ok()?;
        // A platform may stand before the stage.
        let name = before.last().filter(|word| !word.contains('/'));
        let stage = match name {
            Some(name) => self.stage(name)?,
            None => 0,
        };
        let names: Vec<Option<String>> = self.stage_names();
        self.instructions
            .iter()
            .filter(|one| one.stage == Some(stage))
            .filter(|one| match one.keyword.as_str() {
                "FROM" => {
                    let base = base(one).unwrap_or_default();
                    let earlier = names.iter().take(stage).flatten();
                    base != "scratch" && !earlier.into_iter().any(|name| *name == base)
                }
                "RUN" | "COPY" | "ADD" | "WORKDIR" => true,
                _ => false,
            })
            .nth(number.checked_sub(1)?)
    }

    fn stage(&self, name: &str) -> Option<usize> {
        let named = self
            .stage_names()
            .iter()
            .position(|one| one.as_deref() == Some(name));
        named.or_else(|| name.strip_prefix("stage-")?.parse().ok())
    }

    fn stage_names(&self) -> Vec<Option<String>> {
        self.instructions
            .iter()
            .filter(|one| one.keyword == "FROM")
            .map(|one| {
                let text = joined(&one.text);
                let words: Vec<&str> = text.split_whitespace().collect();
                let at = words
                    .iter()
                    .position(|word| word.eq_ignore_ascii_case("as"))?;
                words.get(at + 1).map(|name| name.to_lowercase())
            })
            .collect()
    }
}

/// The image or stage that a FROM names.
fn base(from: &Instruction) -> Option<String> {
    let text = joined(&from.text);
    let base = text
        .split_whitespace()
        .skip(1)
        .find(|word| !word.starts_with("--"));
    base.map(str::to_owned)
}

/// The parser directives at a Dockerfile's top.
fn directives(lines: &[&str]) -> (Option<String>, char) {
    let (mut syntax, mut escape) = (None, '\\');
    for line in lines {
        let Some(comment) = line.trim_start().strip_prefix('#') else {
            break;
        };
        let Some((name, value)) = comment.split_once('=') else {
            break;
        };
        match name.trim().to_lowercase().as_str() {
            "syntax" => syntax = Some(value.trim().to_owned()),
            "escape" if value.trim() == "`" => escape = '`',
            "escape" | "check" => {}
            _ => break,
        }
    }
    (syntax, escape)
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn continues(line: &str, escape: char) -> bool {
    !is_comment(line) && line.trim_end().ends_with(escape)
}

/// The words that end the texts which an instruction takes from the lines after it, and whether
/// tabs may stand before them.
fn heredocs(text: &str) -> Vec<(&str, bool)> {
    text.split_whitespace()
        .filter_map(|word| {
            let rest = word
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .strip_prefix("<<")?;
            let (rest, tabs) = match rest.strip_prefix('-') {
                Some(rest) => (rest, true),
                None => (rest, false),
            };
            let end = rest.trim_matches(['"', '\'']);
            let plain = end.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            (!end.is_empty() && plain).then_some((end, tabs))
        })
        .collect()
}

/// An instruction's lines as one, without what continues them.
fn joined(text: &str) -> String {
    let lines = text.lines().filter(|line| !is_comment(line));
    lines
        .map(|line| line.trim_end().trim_end_matches(['\\', '`']))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a builder may mean this instruction. BuildKit fills variables in; and it may name a step
/// as another build does that shares the step, so a place alone is not enough.
fn fits(one: &Instruction, said: &str) -> bool {
    let (written, said) = (normal(&joined(&one.text)), normal(said));
    let keyword = said.split_whitespace().next().unwrap_or_default();
    let only_keyword = one.heredoc || one.text.contains('$') || one.keyword == "FROM";
    written == said || only_keyword && one.keyword == keyword
}

/// The words of an instruction, without quotes, which some builders take away.
fn normal(text: &str) -> String {
    let plain = text.replace(['"', '\'', '\\'], "");
    let mut words = plain.split_whitespace();
    let keyword = words.next().unwrap_or_default().to_uppercase();
    std::iter::once(keyword.as_str())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# syntax=docker/dockerfile:1
# a comment
ARG VERSION=1
FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS Deps
RUN apt-get update \\
    # a comment in between
    && apt-get install -y \\

       make
WORKDIR /src

FROM deps as test
COPY . .
RUN <<EOF
make test
EOF
env X=$VERSION
run make $X
FROM scratch
COPY --from=test /a /b
";

    fn line(name: &str) -> Option<usize> {
        Dockerfile::parse(FILE).named(name).map(|one| one.line)
    }

    #[test]
    fn builders_names_lead_to_lines() {
        assert_eq!(
            line("[deps 1/3] FROM docker.io/library/debian:bookworm-slim"),
            Some(4)
        );
        assert_eq!(
            line("[deps 2/3] RUN apt-get update     && apt-get install -y        make"),
            Some(5)
        );
        assert_eq!(line("[deps 3/3] WORKDIR /src"), Some(10));
        assert_eq!(line("[test 1/3] COPY . ."), Some(13));
        assert_eq!(line("[test 2/3] RUN <<EOF (make test)"), Some(14));
        // Its variables are filled in, so only its place tells.
        assert_eq!(line("[linux/amd64 test 3/3] RUN make 1"), Some(18));
        assert_eq!(line("[stage-2 1/1] COPY --from=test /a /b"), Some(20));
    }

    #[test]
    fn names_without_a_place_are_found_by_their_words() {
        assert_eq!(line("RUN make $X"), Some(18));
        assert_eq!(
            line("RUN apt-get update && apt-get install -y make"),
            Some(5)
        );
        assert_eq!(line("[test 1/3] RUN other"), None);
        assert_eq!(
            line("[internal] load metadata for docker.io/library/debian"),
            None
        );
        assert_eq!(line("[test 0/3] COPY x"), None);
        // As another file calls a step that both share.
        assert_eq!(line("[elsewhere 7/9] COPY . ."), Some(13));
        assert_eq!(line("[test 1/3] COPY . /other"), None);
        assert_eq!(line(""), None);
    }

    #[test]
    fn instructions_keep_their_text_and_span() {
        let file = Dockerfile::parse(FILE);
        assert_eq!(file.syntax.as_deref(), Some("docker/dockerfile:1"));
        let run = file.at_line(15).unwrap();
        assert!(run.heredoc);
        assert_eq!(run.text, "RUN <<EOF\nmake test\nEOF");
        assert_eq!(file.at_line(8).map(|one| one.line), Some(5));
        assert_eq!(
            file.from("debian:bookworm-slim").map(|one| one.line),
            Some(4)
        );
        assert!(file.at_line(1).is_none() && file.at_line(99).is_none());
    }

    #[test]
    fn anything_can_be_read() {
        for text in [
            "",
            "\\",
            "RUN <<EOF",
            "FROM",
            "FROM --x",
            "\u{0}[ / ]",
            "RUN \\\n\\\n# x",
        ] {
            let file = Dockerfile::parse(text);
            for name in [
                "[",
                "[]",
                "[x] ",
                "[/] RUN",
                "[9/9] RUN x",
                "[stage-x 1/1] RUN",
            ] {
                assert!(file.named(name).is_none_or(|one| one.line == 1));
            }
        }
    }
}
