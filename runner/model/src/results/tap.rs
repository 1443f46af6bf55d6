//! The Test Anything Protocol, versions 12 to 14, as Perl, Bats, Node, node-tap and tape write it:
//! subtests, YAML blocks, diagnostics, `SKIP` and `TODO`, `Bail out!`, plans. A subtest's parent is
//! no case of its own unless it says what its subtests do not. A plan that is missing or not kept
//! is an error of its own, for tests that were never told of are not tests that passed.
//!
//! YAML is not parsed: of a block a few scalars are taken, and the block itself is the text. Lines
//! that are no TAP are let be, as the protocol wants it.

mod line;
#[cfg(test)]
mod tests;
mod yaml;

use super::format::{self, MAX_CASES, MAX_DEPTH, capped, too_many};
use super::{TestCase, TestFailure, TestOutcome, place};
use line::{Directive, Line, Point};

/// Reads the test cases of one file, in their order; its name is their suite's.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Vec<TestCase>, String> {
    let text = format::text(bytes, None);
    let text = format::without_colours(&text);
    let mut reader = Reader {
        levels: vec![Level::default()],
        ..Reader::default()
    };
    for line in text.lines() {
        reader.line(line)?;
        if reader.bailed {
            break;
        }
    }
    let mut found = reader.end()?;
    line::take_times_from_names(&mut found);
    let file = name.rsplit('/').next().unwrap_or(name);
    let suite = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    Ok(found.into_iter().map(|case| case.finish(suite)).collect())
}

/// A test point, with what is told of it on the lines after it.
#[derive(Debug)]
struct Found {
    point: Point,
    /// Names of the subtests that it is in, the innermost first.
    path: Vec<String>,
    diagnostics: String,
    yaml: String,
    /// It is no test point but a fault of the whole.
    fault: bool,
}

/// The test points of one indentation.
#[derive(Default)]
struct Level {
    planned: Option<usize>,
    /// The reason for which the plan skips all.
    skips_all: Option<String>,
    told: usize,
    /// What the next point is called by the comment before it.
    announced: Option<String>,
    found: Vec<Found>,
}

#[derive(Default)]
struct Reader {
    /// The innermost last; never empty.
    levels: Vec<Level>,
    /// The indentation of a YAML block that is open.
    yaml: Option<usize>,
    /// The last line was a point or belonged to one.
    after_point: bool,
    cases: usize,
    bailed: bool,
}

impl Reader {
    fn line(&mut self, text: &str) -> Result<(), String> {
        let content = text.trim_start();
        let indent = text.len() - content.len();
        if let Some(start) = self.yaml {
            if content.is_empty() || indent >= start {
                if content.trim_end() == "..." && indent == start {
                    self.yaml = None;
                } else if let Some(found) = self.last() {
                    found
                        .yaml
                        .push_str(text.get(start.min(text.len())..).unwrap_or(content));
                    found.yaml.push('\n');
                }
                return Ok(());
            }
            // Its end is missing.
            self.yaml = None;
        }
        // Each subtest is four spaces deeper than what it is in.
        let level = indent / 4;
        match Line::read(content) {
            Line::Yaml if self.after_point => self.yaml = Some(indent),
            Line::Comment(comment) => self.comment(level, comment),
            _ if !indent.is_multiple_of(4) || level > self.levels.len() => self.after_point = false,
            Line::Point(point) => {
                let children = self.go_to(level)?;
                self.point(point, children)?;
            }
            Line::Plan { count, skips } => {
                let children = self.go_to(level)?;
                self.adopt(children);
                if let Some(level) = self.levels.last_mut() {
                    // Several outputs in one file have a plan each.
                    level.planned = Some(level.planned.unwrap_or(0).saturating_add(count));
                    level.skips_all = skips;
                }
            }
            Line::Version => {
                let children = self.go_to(level)?;
                self.adopt(children);
            }
            Line::BailOut(reason) => {
                self.bailed = true;
                let children = self.close_to(0);
                self.adopt(children);
                let why = if reason.is_empty() {
                    "no reason is told"
                } else {
                    &reason
                };
                self.fault("Bail out!", why);
            }
            Line::Yaml | Line::Other => {
                if !content.is_empty() {
                    self.after_point = false;
                }
            }
        }
        Ok(())
    }

    /// The point that lines are told of now.
    fn last(&mut self) -> Option<&mut Found> {
        self.levels.last_mut()?.found.last_mut()
    }

    fn comment(&mut self, level: usize, comment: &str) {
        if let Some(name) = comment.strip_prefix("Subtest: ") {
            self.after_point = false;
            // It may be all that is told at its level before the subtest goes deeper.
            if level == self.levels.len() && level < MAX_DEPTH {
                self.levels.push(Level::default());
            }
            if let Some(level) = self.levels.get_mut(level) {
                level.announced = Some(line::unescaped(name.trim()));
            }
        } else if self.after_point
            && let Some(found) = self.last().filter(|found| !found.point.ok)
        {
            found.diagnostics.push_str(comment);
            found.diagnostics.push('\n');
        }
    }

    /// Makes that level the innermost. Gives what was in the one beneath it.
    fn go_to(&mut self, level: usize) -> Result<Vec<Found>, String> {
        self.after_point = false;
        if level >= MAX_DEPTH {
            return Err(format!(
                "its subtests are nested more than {MAX_DEPTH} deep"
            ));
        }
        if level == self.levels.len() {
            self.levels.push(Level::default());
        }
        Ok(self.close_to(level))
    }

    /// Ends the levels beneath that one. Gives what was found in them.
    fn close_to(&mut self, level: usize) -> Vec<Found> {
        let mut beneath = Vec::new();
        while self.levels.len() > level + 1
            && let Some(mut over) = self.levels.pop()
        {
            over.adopt(beneath);
            over.check_plan(self.bailed);
            beneath = over.found;
        }
        beneath
    }

    /// Keeps subtests of which no parent was told.
    fn adopt(&mut self, children: Vec<Found>) {
        if let Some(level) = self.levels.last_mut() {
            level.adopt(children);
        }
    }

    fn point(&mut self, mut point: Point, mut children: Vec<Found>) -> Result<(), String> {
        self.cases += 1;
        if self.cases > MAX_CASES {
            return Err(too_many());
        }
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        level.told += 1;
        let announced = level.announced.take();
        if point.name.is_empty() {
            let number = point.number.clone();
            point.name = announced.unwrap_or_else(|| {
                format!("test {}", number.unwrap_or_else(|| level.told.to_string()))
            });
        }
        let excused = match &point.directive {
            Some(Directive::Todo(_)) => point.directive.clone(),
            _ => None,
        };
        for child in &mut children {
            child.path.push(point.name.clone());
            if excused.is_some() && !child.point.ok {
                child.point.directive.clone_from(&excused);
            }
        }
        let told_by_children = if point.ok || excused.is_some() {
            !children.is_empty()
        } else {
            children.iter().any(Found::fails)
        };
        level.found.append(&mut children);
        if told_by_children {
            // What follows is told of the parent, and is no case's.
            self.after_point = false;
        } else {
            level.found.push(Found::new(point));
            self.after_point = true;
        }
        Ok(())
    }

    fn fault(&mut self, name: &str, why: &str) {
        if let Some(level) = self.levels.last_mut() {
            level.found.push(Found::fault(name, why));
        }
    }

    fn end(mut self) -> Result<Vec<Found>, String> {
        let rest = self.close_to(0);
        let Some(mut top) = self.levels.pop() else {
            return Ok(Vec::new());
        };
        top.adopt(rest);
        if top.planned.is_none() && top.found.is_empty() {
            return Err("it has neither a test nor a plan".to_owned());
        }
        if let Some(reason) = top.skips_all.take().filter(|_| top.found.is_empty()) {
            top.found.push(Found::new(Point {
                ok: true,
                number: None,
                name: "all tests".to_owned(),
                directive: Some(Directive::Skip(reason)),
                time: None,
            }));
        } else {
            top.check_plan(self.bailed);
        }
        Ok(top.found)
    }
}

impl Level {
    fn adopt(&mut self, children: Vec<Found>) {
        if children.is_empty() {
            return;
        }
        let name = self.announced.take();
        for mut child in children {
            child.path.extend(name.clone());
            self.found.push(child);
        }
    }

    /// A plan that was not kept is told as a fault. One that bails out has told why.
    fn check_plan(&mut self, bailed: bool) {
        let why = match self.planned {
            _ if bailed => return,
            Some(planned) if planned == self.told => return,
            // Announced, and no more.
            None if self.told == 0 => return,
            Some(planned) => format!("the plan says {planned} tests, {} were told of", self.told),
            None => "the plan is missing; did the tests end before their time?".to_owned(),
        };
        self.found.push(Found::fault("plan", &why));
    }
}

impl Found {
    fn new(point: Point) -> Self {
        Self {
            point,
            path: Vec::new(),
            diagnostics: String::new(),
            yaml: String::new(),
            fault: false,
        }
    }

    fn fault(name: &str, why: &str) -> Self {
        let point = Point {
            ok: false,
            number: None,
            name: name.to_owned(),
            directive: None,
            time: None,
        };
        Self {
            diagnostics: why.to_owned(),
            fault: true,
            ..Self::new(point)
        }
    }

    fn fails(&self) -> bool {
        !self.point.ok && self.point.directive.is_none()
    }

    fn finish(self, suite: &str) -> TestCase {
        let scalars = yaml::scalars(&self.yaml);
        let outcome = match self.point.directive {
            Some(Directive::Skip(reason)) => TestOutcome::Skipped {
                message: (!reason.is_empty()).then_some(reason),
            },
            Some(Directive::Todo(reason)) => TestOutcome::Skipped {
                message: Some(
                    format!("to do: {reason}")
                        .trim_end_matches([':', ' '])
                        .to_owned(),
                ),
            },
            None if self.point.ok => TestOutcome::Passed,
            None => {
                let text = [self.diagnostics.as_str(), &self.yaml].map(str::trim_end);
                let text: Vec<&str> = text.into_iter().filter(|text| !text.is_empty()).collect();
                let name = &self.point.name;
                let message = yaml::message(&scalars, name);
                let message = message.or_else(|| line::message(&self.diagnostics, name));
                let failure = TestFailure {
                    message: message.unwrap_or_else(|| "not ok".to_owned()),
                    kind: String::new(),
                    text: capped(text.join("\n")),
                };
                if self.fault {
                    TestOutcome::Errored(failure)
                } else {
                    TestOutcome::Failed(failure)
                }
            }
        };
        let mut path = self.path;
        path.reverse();
        let mut case = TestCase {
            suite: suite.to_owned(),
            class: path.join(" > "),
            name: self.point.name,
            outcome,
            duration: self
                .point
                .time
                .or_else(|| yaml::time(&scalars))
                .unwrap_or_default(),
            ..TestCase::default()
        };
        if let Some((file, line)) = yaml::place(&scalars) {
            case.file = Some(file);
            case.line = Some(line);
        }
        place::fill(&mut case);
        case
    }
}
