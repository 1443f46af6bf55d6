//! The run as JSON, one object a line: its events as they are, and steps' output between them as
//! `{"event":"output",...}`. It adds nothing and leaves nothing out.

use std::io::Write;

use hoist_model::event::{Output, RunEvent};
use hoist_model::reporter::{ReportError, Reporter};
use hoist_model::state::RunState;
use serde_json::json;

use crate::lines::Lines;

/// Writes a run as JSON lines.
pub struct JsonLines<W> {
    out: W,
    lines: Lines,
}

impl<W: Write + Send> JsonLines<W> {
    /// Events and output, to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            lines: Lines::default(),
        }
    }

    fn line(&mut self, step: &str, stream: &serde_json::Value, line: &[u8]) -> std::io::Result<()> {
        let text = String::from_utf8_lossy(line);
        let object = json!({ "event": "output", "step": step, "stream": stream, "text": text });
        writeln!(self.out, "{object}")
    }
}

impl<W: Write + Send> Reporter for JsonLines<W> {
    fn name(&self) -> &'static str {
        "the JSON lines"
    }

    fn on_event(&mut self, _: &RunState, event: &RunEvent) -> Result<(), ReportError> {
        if let hoist_model::event::EventKind::StepEnded { step, .. } = &event.kind {
            let mut rest = Vec::new();
            self.lines.end(step, |line| rest.push(line.to_vec()));
            for line in rest {
                self.line(step.as_str(), &json!(null), &line)?;
            }
        }
        let text = serde_json::to_string(event).map_err(|error| ReportError(error.to_string()))?;
        writeln!(self.out, "{text}")?;
        self.out.flush()?;
        Ok(())
    }

    fn on_output(&mut self, _: &RunState, output: &Output) -> Result<(), ReportError> {
        let mut whole = Vec::new();
        self.lines.push(output, |line| whole.push(line.to_vec()));
        let stream = json!(output.stream);
        for line in whole {
            self.line(output.step.as_str(), &stream, &line)?;
        }
        // Whoever follows the lines must not wait for the next event.
        self.out.flush()?;
        Ok(())
    }

    fn finish(&mut self, _: &RunState) -> Result<(), ReportError> {
        self.out.flush()?;
        Ok(())
    }
}
