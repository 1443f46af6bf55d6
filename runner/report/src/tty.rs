//! The run on a terminal: ended steps become permanent lines, running ones live beneath with timers
//! and the last of their output. Drawn at ticks only, ten times a second at the most, however much
//! output there is. It draws inline, never on another screen, and asks nothing of the terminal but
//! its size.

use std::collections::HashMap;
use std::time::Duration;

use hoist_model::event::{EventKind, Output, RunEvent};
use hoist_model::ids::StepId;
use hoist_model::reporter::{ReportError, Reporter};
use hoist_model::state::{RunState, StepState, StepStatus};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use unicode_width::UnicodeWidthStr;

use crate::lines::{Lines, clean};
use crate::style::{DIM, Paint, WARN, fit};
use crate::{summary, words};

/// Lines of a failed step's output that are printed after the last frame.
const TAIL: usize = 30;
/// Fewer columns than this show no live region.
const NARROW: usize = 12;
/// Columns that the names of steps get at the most.
const NAMES: usize = 24;
const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// A terminal's size, asked for at each frame.
pub type Size = Box<dyn Fn() -> (usize, usize) + Send>;

/// Draws a run on a terminal.
pub struct Tty {
    bar: ProgressBar,
    /// Columns and rows.
    size: Size,
    options: summary::Options,
    paint: Paint,
    lines: Lines,
    tails: HashMap<StepId, Tail>,
    permanent: Vec<String>,
    frame: usize,
    /// Columns of the steps' names.
    names: usize,
}

/// The last lines of a step, and how many it had.
#[derive(Debug, Default)]
struct Tail {
    lines: std::collections::VecDeque<String>,
    noise: usize,
}

impl Tty {
    /// Draws to `target`, which must not be hidden, and writes the end block there too.
    #[must_use]
    pub fn new(target: ProgressDrawTarget, size: Size, options: summary::Options) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        let paint = Paint {
            colour: options.colour,
        };
        Self {
            bar,
            size,
            options,
            paint,
            lines: Lines::default(),
            tails: HashMap::new(),
            permanent: Vec::new(),
            frame: 0,
            names: 0,
        }
    }

    /// What takes the live region away until the next tick.
    #[must_use]
    pub fn clear(&self) -> Box<dyn Fn() + Send + Sync> {
        let bar = self.bar.clone();
        Box::new(move || {
            bar.set_message(String::new());
            bar.tick();
        })
    }

    fn keep(&mut self, output: &Output) {
        let tail = self.tails.entry(output.step.clone()).or_default();
        let colour = self.paint.colour;
        self.lines.push(output, |line| tail.push(line, colour));
    }

    /// The permanent line of a step that ended.
    fn ended(&mut self, step: &StepState) {
        let Some(ending) = step.ending() else { return };
        let tail = self.tails.entry(step.id().clone()).or_default();
        let colour = self.paint.colour;
        self.lines.end(step.id(), |line| tail.push(line, colour));
        if ending.is_good() {
            self.tails.remove(step.id());
        }
        let (columns, _) = (self.size)();
        let (sign, style) = words::sign_of(step);
        let mut said = vec![words::ended(step, ending)];
        said.extend(words::results(step));
        let text = if step.started.is_some() {
            let time = words::duration(step.duration);
            format!(
                "{}{} {time:>7}  {}",
                step.id(),
                self.pad(step),
                said.join(", ")
            )
        } else {
            format!(
                "{}{}          {}",
                step.id(),
                self.pad(step),
                said.join(", ")
            )
        };
        let text = fit(&text, columns.saturating_sub(3));
        let rest = text.strip_prefix(step.id().as_str()).unwrap_or_default();
        let name = text.strip_suffix(rest).unwrap_or(&text);
        let rest = self.paint.paint(DIM, rest);
        self.permanent
            .push(format!("{} {name}{rest}", self.paint.paint(style, sign)));
    }

    /// What brings a name to the width of the longest, so that times stand under one another.
    fn pad(&self, step: &StepState) -> String {
        " ".repeat(self.names.saturating_sub(step.id().as_str().width()))
    }

    /// The live region: a header, a row for each running step, the noisiest one's last lines.
    fn region(&self, state: &RunState, elapsed: Duration) -> String {
        let (columns, rows) = (self.size)();
        let columns = columns.saturating_sub(1);
        // What is typed as an answer is not drawn over.
        let asks = state.steps.iter().any(|step| step.awaits.is_some());
        if asks || columns < NARROW {
            return String::new();
        }
        let room = rows.saturating_sub(2).max(1);
        let done = state
            .steps
            .iter()
            .filter(|step| step.ending().is_some())
            .count();
        let spin = FRAMES
            .get(self.frame % FRAMES.len())
            .copied()
            .unwrap_or_default();
        let stopping = state
            .stopping
            .as_ref()
            .map(|reason| format!("  stopping: {} (again to kill)", words::cancel(reason)));
        let header = format!(
            "{spin} {}  {done}/{} done{}",
            words::duration(elapsed),
            state.steps.len(),
            stopping.unwrap_or_default()
        );
        let mut out = vec![fit(&header, columns)];
        let running: Vec<_> = state
            .steps
            .iter()
            .filter(|step| matches!(step.status, StepStatus::Running { .. }))
            .collect();
        let shown = running.len().min(room.saturating_sub(1));
        let spare = room.saturating_sub(1 + shown).min(8);
        let tails = self.shares(&running, spare);
        for step in running.iter().take(shown) {
            let since = elapsed.saturating_sub(step.started.unwrap_or(elapsed));
            let phase = step.phase.as_deref().unwrap_or("running");
            let row = format!(
                "• {}{} {:>7}  {phase}",
                step.id(),
                self.pad(step),
                words::duration(since)
            );
            out.push(fit(&row, columns));
            let count = tails.get(step.id()).copied().unwrap_or(0);
            if let Some(tail) = self.tails.get(step.id()) {
                let skip = tail.lines.len().saturating_sub(count);
                out.extend(tail.lines.iter().skip(skip).map(|line| {
                    let plain = clean(line.as_bytes(), false).replace('\t', "    ");
                    self.paint
                        .paint(DIM, &fit(&format!("    {plain}"), columns))
                }));
            }
        }
        out.join("\n")
    }

    /// How many tail lines each running step gets: one each, the rest to the noisiest.
    fn shares(&self, running: &[&StepState], mut spare: usize) -> HashMap<StepId, usize> {
        let mut by_noise: Vec<_> = running
            .iter()
            .filter_map(|step| Some((self.tails.get(step.id())?.noise, step.id().clone())))
            .collect();
        by_noise.sort_by_key(|(noise, _)| std::cmp::Reverse(*noise));
        let mut shares = HashMap::new();
        for round in 0..4 {
            for (noise, id) in &by_noise {
                if spare > 0 && *noise > round {
                    *shares.entry(id.clone()).or_insert(0) += 1;
                    spare -= 1;
                }
            }
        }
        shares
    }

    fn draw(&mut self, state: &RunState, elapsed: Duration) {
        if !self.permanent.is_empty() {
            let batch = self.permanent.join("\n");
            self.permanent.clear();
            self.bar.println(batch);
        }
        self.frame += 1;
        self.bar.set_message(self.region(state, elapsed));
        self.bar.tick();
    }
}

impl Tail {
    fn push(&mut self, line: &[u8], colour: bool) {
        if self.lines.len() == TAIL {
            self.lines.pop_front();
        }
        self.lines.push_back(clean(line, colour));
        self.noise += 1;
    }
}

impl Reporter for Tty {
    fn name(&self) -> &'static str {
        "the terminal"
    }

    fn on_event(&mut self, state: &RunState, event: &RunEvent) -> Result<(), ReportError> {
        match &event.kind {
            EventKind::StepEnded { step, .. } => {
                if let Some(step) = state.step(step) {
                    self.ended(step);
                }
            }
            EventKind::AttemptFailed {
                step,
                attempt,
                reason,
                next_after,
            } => {
                let text = words::attempt(*attempt, reason, *next_after);
                let text = self.paint.paint(WARN, &format!("↻ {step}  {text}"));
                self.permanent.push(text);
            }
            EventKind::ApprovalAwaited { step, question } => {
                let lines = words::question(question).into_iter();
                let lines = lines.map(|line| clean(line.as_bytes(), false));
                let head = self.paint.paint(WARN, &format!("? {step}"));
                self.permanent.push(head);
                self.permanent.extend(lines);
            }
            EventKind::Warning {
                step: None,
                message,
                ..
            } => {
                self.permanent
                    .push(self.paint.paint(WARN, &format!("! {message}")));
            }
            EventKind::RunStarted { steps, .. } => {
                let widths = steps.iter().map(|step| step.id.as_str().width());
                self.names = widths.max().unwrap_or(0).min(NAMES);
            }
            EventKind::EngineConnected { .. }
            | EventKind::ImageResolved { .. }
            | EventKind::StepStarted { .. }
            | EventKind::StepPhase { .. }
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
        self.keep(output);
        Ok(())
    }

    fn on_tick(&mut self, state: &RunState, elapsed: Duration) -> Result<(), ReportError> {
        self.draw(state, elapsed);
        Ok(())
    }

    fn finish(&mut self, state: &RunState) -> Result<(), ReportError> {
        let mut last = std::mem::take(&mut self.permanent);
        for step in &state.steps {
            let failed = step.ending().is_some_and(|ending| !ending.is_good());
            let Some(tail) = self
                .tails
                .get(step.id())
                .filter(|tail| failed && tail.noise > 0)
            else {
                continue;
            };
            last.push(self.paint.paint(DIM, &format!("─── {} ───", step.id())));
            last.extend(tail.lines.iter().cloned());
        }
        last.push(String::new());
        let block = summary::render(state, &self.options);
        last.extend(block.lines().map(str::to_owned));
        self.bar.println(last.join("\n"));
        self.bar.finish_and_clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use hoist_model::reason::{Ending, FailureReason, Verdict};
    use indicatif::InMemoryTerm;

    /// A terminal of that size, and a reporter that draws on it.
    fn terminal(columns: u16, rows: u16) -> (InMemoryTerm, Tty) {
        let terminal = InMemoryTerm::new(rows, columns);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        let options = summary::Options {
            colour: false,
            width: columns.into(),
            verbose: false,
            reports: vec!["reports/junit.xml".into()],
        };
        let size = move || (usize::from(columns), usize::from(rows));
        (terminal, Tty::new(target, Box::new(size), options))
    }

    fn started(step: &str) -> EventKind {
        EventKind::StepStarted {
            step: StepId::from(step),
            attempt: 1,
        }
    }

    fn ended(step: &str, ending: Ending) -> EventKind {
        let duration = Duration::from_millis(1500);
        EventKind::StepEnded {
            step: StepId::from(step),
            ending,
            duration,
            allowed: false,
        }
    }

    #[test]
    fn ended_steps_stay_and_running_ones_live_beneath_at_every_width() {
        for columns in [40, 80, 200] {
            let (terminal, mut tty) = terminal(columns, 24);
            let long = "a-step-with-a-name-that-is-longer-than-a-narrow-terminal-is-wide";
            let (mut run, start) = Sample::of(&["image", "unit", long]);
            run.tell(&mut tty, 0, start);
            run.tell(&mut tty, 0, started("image"));
            run.tell(&mut tty, 1500, ended("image", Ending::Passed));
            run.tell(&mut tty, 1500, started("unit"));
            run.tell(&mut tty, 1500, started(long));
            run.print(
                &mut tty,
                "unit",
                &format!("first\n\x1b[2Jlast {}\n", "x".repeat(300)),
            );
            for tick in 0..20 {
                tty.on_tick(&run.state, Duration::from_millis(2000 + tick * 100))
                    .unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
            let screen = terminal.contents();
            let lines: Vec<_> = screen.lines().collect();
            assert!(lines[0].starts_with("✓ image"), "{columns}: {screen}");
            assert!(lines[1].contains("1/3 done"), "{columns}: {screen}");
            assert!(lines[2].starts_with("• unit"), "{columns}: {screen}");
            assert!(screen.contains("last x"), "{columns}: {screen}");
            assert_eq!(
                lines
                    .iter()
                    .filter(|line| line.contains("1/3 done"))
                    .count(),
                1,
                "{screen}"
            );
            assert!(lines.len() <= 7, "nothing wraps at {columns}: {screen}");
        }
    }

    #[test]
    fn the_end_shows_the_tail_of_what_failed_and_the_verdict_last() {
        let (terminal, mut tty) = terminal(80, 60);
        let (mut run, start) = Sample::of(&["unit"]);
        run.tell(&mut tty, 0, start);
        run.tell(&mut tty, 0, started("unit"));
        run.print(&mut tty, "unit", "the error in words\nwithout an end");
        tty.on_tick(&run.state, Duration::from_millis(100)).unwrap();
        let failed = Ending::Failed(FailureReason::Exit { code: 7 });
        run.tell(&mut tty, 1500, ended("unit", failed));
        run.tell(
            &mut tty,
            1600,
            EventKind::RunEnded {
                verdict: Verdict::StepFailed,
            },
        );
        tty.finish(&run.state).unwrap();
        let screen = terminal.contents();
        let at = |text: &str| {
            screen
                .find(text)
                .unwrap_or_else(|| panic!("{text} in {screen}"))
        };
        assert!(at("the error in words") < at("without an end"), "{screen}");
        assert!(at("without an end") < at("hoist logs unit"), "{screen}");
        assert!(
            screen.trim_end().ends_with("FAILED in 1.6s: unit"),
            "{screen}"
        );
        assert!(
            !screen.contains("done"),
            "the live region is gone: {screen}"
        );
    }

    #[test]
    fn a_tiny_terminal_gets_no_live_region_and_loses_nothing() {
        let (terminal, mut tty) = terminal(10, 4);
        let (mut run, start) = Sample::of(&["unit"]);
        run.tell(&mut tty, 0, start);
        run.tell(&mut tty, 0, started("unit"));
        tty.on_tick(&run.state, Duration::from_millis(100)).unwrap();
        assert_eq!(terminal.contents().trim(), "");
        run.tell(&mut tty, 1500, ended("unit", Ending::Passed));
        tty.on_tick(&run.state, Duration::from_millis(1600))
            .unwrap();
        assert!(
            terminal.contents().contains("✓ unit"),
            "{}",
            terminal.contents()
        );
    }
}
