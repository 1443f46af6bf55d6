//! The run as plain lines, each with its step's name before it: for logs, pipes and continuous
//! integration. It writes no escapes unless colour is asked for, and never goes back.

use std::io::Write;

use hoist_model::event::{EventKind, Output, RunEvent};
use hoist_model::ids::StepId;
use hoist_model::reporter::{ReportError, Reporter};
use hoist_model::state::{RunState, StepState};
use unicode_width::UnicodeWidthStr;

use crate::lines::{Lines, clean};
use crate::style::{DIM, Paint, WARN};
use crate::{summary, words};

/// Columns that the names of steps get at the most.
const NAMES: usize = 24;

/// Writes a run as plain lines.
pub struct Plain<W> {
    out: W,
    lines: Lines,
    options: summary::Options,
    paint: Paint,
    /// Steps' output and progress are left out.
    quiet: bool,
    names: usize,
    buffer: Vec<u8>,
}

impl<W: Write + Send> Plain<W> {
    /// Everything, to `out`.
    pub fn new(out: W, options: summary::Options) -> Self {
        let paint = Paint {
            colour: options.colour,
        };
        let (lines, buffer) = (Lines::default(), Vec::new());
        Self {
            out,
            lines,
            options,
            paint,
            quiet: false,
            names: 0,
            buffer,
        }
    }

    /// Only the end block.
    pub fn quiet(out: W, options: summary::Options) -> Self {
        Self {
            quiet: true,
            ..Self::new(out, options)
        }
    }

    fn say(&mut self, step: &StepId, text: &str) -> Result<(), ReportError> {
        if !self.quiet {
            let prefix = prefix(self.paint, self.names, step);
            writeln!(self.out, "{prefix}{text}")?;
        }
        Ok(())
    }

    fn ended(&mut self, step: &StepState) -> Result<(), ReportError> {
        let id = step.id().clone();
        if !self.quiet {
            let prefix = prefix(self.paint, self.names, &id);
            let (buffer, colour) = (&mut self.buffer, self.paint.colour);
            self.lines
                .end(&id, |line| put(buffer, &prefix, line, colour));
            self.flush()?;
        }
        let Some(ending) = step.ending() else {
            return Ok(());
        };
        let (sign, style) = words::sign_of(step);
        let mut said = vec![words::ended(step, ending)];
        said.extend(words::results(step));
        let time = match step.started {
            Some(_) => format!(" in {}", words::duration(step.duration)),
            None => String::new(),
        };
        let text = self
            .paint
            .paint(style, &format!("{sign} {}{time}", said.join(", ")));
        self.say(&id, &text)
    }

    fn flush(&mut self) -> Result<(), ReportError> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

fn prefix(paint: Paint, columns: usize, step: &StepId) -> String {
    let id = step.as_str();
    let pad = " ".repeat(columns.saturating_sub(id.width()));
    paint.paint(DIM, &format!("{id}{pad} | "))
}

fn put(buffer: &mut Vec<u8>, prefix: &str, line: &[u8], colour: bool) {
    buffer.extend_from_slice(prefix.as_bytes());
    buffer.extend_from_slice(clean(line, colour).as_bytes());
    buffer.push(b'\n');
}

impl<W: Write + Send> Reporter for Plain<W> {
    fn name(&self) -> &'static str {
        "the terminal"
    }

    fn on_event(&mut self, state: &RunState, event: &RunEvent) -> Result<(), ReportError> {
        match &event.kind {
            EventKind::RunStarted { steps, .. } => {
                let widths = steps.iter().map(|step| step.id.as_str().width());
                self.names = widths.max().unwrap_or(0).min(NAMES);
            }
            EventKind::StepPhase { step, phase } => {
                let text = self.paint.paint(DIM, &format!("• {phase}"));
                self.say(step, &text)?;
            }
            EventKind::AttemptFailed {
                step,
                attempt,
                reason,
                next_after,
            } => {
                let text = words::attempt(*attempt, reason, *next_after);
                let text = self.paint.paint(WARN, &text);
                self.say(step, &text)?;
            }
            EventKind::ApprovalAwaited { step, question } => {
                for line in words::question(question) {
                    let line = clean(line.as_bytes(), false);
                    self.say(step, &self.paint.paint(WARN, &line))?;
                }
            }
            EventKind::StepEnded { step, .. } => {
                if let Some(step) = state.step(step) {
                    self.ended(step)?;
                }
            }
            EventKind::Stopping { reason } if !self.quiet => {
                writeln!(
                    self.out,
                    "stopping: {} (again to kill)",
                    words::cancel(reason)
                )?;
            }
            EventKind::Warning { step, message, .. } if !self.quiet => match step {
                Some(step) => self.say(step, &format!("! {message}"))?,
                None => writeln!(self.out, "! {message}")?,
            },
            EventKind::EngineConnected { .. }
            | EventKind::ImageResolved { .. }
            | EventKind::StepStarted { .. }
            | EventKind::TestsFound { .. }
            | EventKind::FindingsFound { .. }
            | EventKind::ArtifactKept { .. }
            | EventKind::InputGiven { .. }
            | EventKind::OutputsFound { .. }
            | EventKind::StepInputs { .. }
            | EventKind::ImageBuilt { .. }
            | EventKind::ImagePushed { .. }
            | EventKind::Approved { .. }
            | EventKind::ServiceReleased { .. }
            | EventKind::Warning { .. }
            | EventKind::Collected { .. }
            | EventKind::Stopping { .. }
            | EventKind::RunEnded { .. }
            | EventKind::Unknown => {}
        }
        Ok(())
    }

    fn on_output(&mut self, _: &RunState, output: &Output) -> Result<(), ReportError> {
        if self.quiet {
            return Ok(());
        }
        let prefix = prefix(self.paint, self.names, &output.step);
        let (buffer, colour) = (&mut self.buffer, self.paint.colour);
        self.lines
            .push(output, |line| put(buffer, &prefix, line, colour));
        self.flush()
    }

    fn finish(&mut self, state: &RunState) -> Result<(), ReportError> {
        if !self.quiet {
            writeln!(self.out)?;
        }
        self.out
            .write_all(summary::render(state, &self.options).as_bytes())?;
        self.out.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use hoist_model::reason::{Ending, FailureReason};
    use std::time::Duration;

    fn options() -> summary::Options {
        summary::Options {
            colour: false,
            width: 80,
            verbose: false,
            reports: Vec::new(),
        }
    }

    fn run(reporter: &mut dyn Reporter) {
        let (mut run, start) = Sample::of(&["unit", "lint"]);
        run.tell(reporter, 0, start);
        let step = StepId::from("unit");
        run.tell(
            reporter,
            0,
            EventKind::StepStarted {
                step: step.clone(),
                attempt: 1,
            },
        );
        run.print(reporter, "unit", "one\ntw");
        run.print(reporter, "lint", "other\n");
        run.print(reporter, "unit", "o\nthree");
        let ending = Ending::Failed(FailureReason::Exit { code: 1 });
        let duration = Duration::from_millis(1500);
        run.tell(
            reporter,
            1500,
            EventKind::StepEnded {
                step,
                ending,
                duration,
                allowed: false,
            },
        );
        reporter.finish(&run.state).unwrap();
    }

    #[test]
    fn lines_are_whole_and_carry_their_steps_name() {
        let mut out = Vec::new();
        run(&mut Plain::new(&mut out, options()));
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with(
                "unit | one\nlint | other\nunit | two\nunit | three\nunit | ✗ exit 1 in 1.5s\n"
            ),
            "{text}"
        );
        assert!(text.ends_with("FAILED in 1.5s: unit\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn quiet_shows_the_end_only() {
        let mut out = Vec::new();
        run(&mut Plain::quiet(&mut out, options()));
        let text = String::from_utf8(out).unwrap();
        assert!(
            !text.contains("unit | ") && text.starts_with("✗ unit  exit 1"),
            "{text}"
        );
    }

    #[test]
    fn json_lines_are_all_objects_and_lose_nothing() {
        let mut out = Vec::new();
        run(&mut crate::jsonl::JsonLines::new(&mut out));
        let text = String::from_utf8(out).unwrap();
        let objects: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let said = objects
            .iter()
            .filter(|o| o["event"] == "output" && o["step"] == "unit");
        let said: Vec<_> = said.map(|o| o["text"].as_str().unwrap()).collect();
        assert_eq!(said, ["one", "two", "three"]);
        assert_eq!(objects.last().unwrap()["event"], "step_ended");
    }
}
