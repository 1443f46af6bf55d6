//! The instruction that a builder means by what it calls a step, such as `[test 3/5] RUN make`.

use super::words::joined;
use super::{Dockerfile, Instruction, base, stage_name};

impl Dockerfile {
    /// Of what a builder names, the instruction that stands first. A base image is none of them:
    /// getting it runs nothing.
    #[must_use]
    pub fn first<'a>(&self, names: &'a [String]) -> Option<&'a str> {
        let places = names.iter().filter_map(|name| {
            let found = self.named(name).filter(|one| one.keyword != "FROM")?;
            Some((found.line, name.as_str()))
        });
        places.min_by_key(|(line, _)| *line).map(|(_, name)| name)
    }

    /// The instruction that a builder names, such as `[test 3/5] RUN make`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Instruction> {
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
        let names: Vec<Option<String>> = self.froms().map(stage_name).collect();
        let stage = match name {
            Some(name) => stage(&names, name)?,
            None => 0,
        };
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
}

fn stage(names: &[Option<String>], name: &str) -> Option<usize> {
    let named = names.iter().position(|one| one.as_deref() == Some(name));
    named.or_else(|| name.strip_prefix("stage-")?.parse().ok())
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
