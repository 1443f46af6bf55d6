//! The builder's progress as lines of text, much like `docker build --progress plain`. It tells
//! each step once, whole lines only and no terminal codes, and remembers what a failure needs.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};
use bytes::Bytes;
use tokio::sync::mpsc;

/// Lines of a step's output that are kept for the message of its failure.
const KEPT_LINES: usize = 12;
/// A line that has no end is told in pieces of this size.
const LONGEST_LINE: usize = 64 << 10;

/// What was seen that outlives the progress.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The step that failed: its name, and its last output.
    pub(crate) failed: Option<Failed>,
    /// The digest of the built image's config, where the builder wrote it.
    pub(crate) config: Option<String>,
    /// The steps that were run and not taken from the builder's cache, by their names.
    pub(crate) executed: Vec<String>,
}

/// A step that failed.
#[derive(Debug, Default)]
pub(crate) struct Failed {
    /// As the builder names it: `[test 3/5] RUN make`.
    pub(crate) name: String,
    /// Its last lines.
    pub(crate) output: Vec<String>,
}

/// Turns what the builder says into lines.
pub(crate) struct Progress {
    lines: mpsc::Sender<Bytes>,
    steps: HashMap<String, Step>,
    order: usize,
    seen: Seen,
    /// The classic builder's step, and what of its output is no whole line yet.
    classic: Step,
    /// The classic builder's words on what it built.
    built: Option<String>,
}

#[derive(Default)]
struct Step {
    number: usize,
    name: String,
    announced: bool,
    ended: bool,
    /// Parts of its work that were told already.
    parts: Vec<String>,
    rest: Vec<u8>,
    last: VecDeque<String>,
}

impl Progress {
    pub(crate) fn new(lines: mpsc::Sender<Bytes>) -> Self {
        Self {
            lines,
            steps: HashMap::new(),
            order: 0,
            seen: Seen::default(),
            classic: Step::default(),
            built: None,
        }
    }

    /// The image that the classic builder says that it built.
    pub(crate) fn built(&self) -> Option<String> {
        self.built.clone()
    }

    /// What was seen.
    pub(crate) fn into_seen(mut self) -> Seen {
        if self.seen.failed.is_none() && !self.classic.name.is_empty() {
            let step = self.classic;
            self.seen.failed = Some(Failed {
                name: step.name,
                output: step.last.into(),
            });
        }
        self.seen
    }

    /// A message of BuildKit. Messages are differences: a step comes again with more known of it.
    pub(crate) async fn status(&mut self, status: StatusResponse) {
        let mut text = String::new();
        // Output before the end of its step, so that a failure finds it.
        let (ended, running): (Vec<_>, Vec<_>) = status
            .vertexes
            .into_iter()
            .partition(|vertex| vertex.completed.is_some());
        for vertex in &running {
            self.vertex(vertex, &mut text);
        }
        for log in status.logs {
            self.log(&log, &mut text);
        }
        for part in &status.statuses {
            self.part(part, &mut text);
        }
        for vertex in &ended {
            self.vertex(vertex, &mut text);
        }
        for warning in &status.warnings {
            self.warning(warning, &mut text);
        }
        self.send(text).await;
    }

    fn step(&mut self, digest: &str) -> &mut Step {
        let order = &mut self.order;
        self.steps.entry(digest.to_owned()).or_insert_with(|| {
            *order += 1;
            Step {
                number: *order,
                ..Step::default()
            }
        })
    }

    fn vertex(&mut self, vertex: &Vertex, text: &mut String) {
        if vertex.started.is_none() && vertex.completed.is_none() && !vertex.cached {
            // Only planned: it may never be needed.
            return;
        }
        let step = self.step(&vertex.digest);
        let number = step.number;
        if !step.announced {
            step.announced = true;
            step.name = clean(vertex.name.as_bytes());
            line(text, number, &step.name);
        }
        if step.ended || vertex.completed.is_none() && !vertex.cached {
            return;
        }
        step.ended = true;
        let rest = std::mem::take(&mut step.rest);
        if !rest.is_empty() {
            step.tell(&rest, text);
        }
        if vertex.error.is_empty() {
            let end = if vertex.cached {
                "CACHED".to_owned()
            } else {
                format!("DONE {:.1}s", took(vertex).as_secs_f64())
            };
            line(text, number, &end);
            if !vertex.cached {
                let name = step.name.clone();
                self.seen.executed.push(name);
            }
            return;
        }
        if vertex.error.contains("context canceled") {
            // It was stopped since another one failed.
            line(text, number, "CANCELED");
            return;
        }
        line(
            text,
            number,
            &format!("ERROR: {}", clean(vertex.error.as_bytes())),
        );
        let failed = Failed {
            name: step.name.clone(),
            output: step.last.drain(..).collect(),
        };
        self.seen.failed.get_or_insert(failed);
    }

    fn log(&mut self, log: &VertexLog, text: &mut String) {
        let step = self.step(&log.vertex);
        step.rest.extend_from_slice(&log.msg);
        while let Some(end) = end_of_line(&step.rest) {
            let rest = step.rest.split_off(end);
            let whole = std::mem::replace(&mut step.rest, rest);
            step.tell(&whole, text);
        }
    }

    fn part(&mut self, part: &VertexStatus, text: &mut String) {
        if part.completed.is_none() {
            return;
        }
        if let Some(digest) = part.id.strip_prefix("exporting config ") {
            self.seen.config.get_or_insert_with(|| digest.to_owned());
        }
        let step = self.step(&part.vertex);
        if !step.parts.contains(&part.id) {
            step.parts.push(part.id.clone());
            line(
                text,
                step.number,
                &format!("{} done", clean(part.id.as_bytes())),
            );
        }
    }

    fn warning(&mut self, warning: &VertexWarning, text: &mut String) {
        // Its line, where there is one, is in the words.
        text.push_str(&format!("WARNING: {}\n", clean(&warning.short)));
    }

    /// Text of the classic builder.
    pub(crate) async fn classic(&mut self, said: &str) {
        self.classic.rest.extend_from_slice(said.as_bytes());
        let mut text = String::new();
        while let Some(end) = end_of_line(&self.classic.rest) {
            let rest = self.classic.rest.split_off(end);
            let whole = std::mem::replace(&mut self.classic.rest, rest);
            self.classic_line(&whole, &mut text);
        }
        self.send(text).await;
    }

    fn classic_line(&mut self, whole: &[u8], text: &mut String) {
        let whole = clean(whole);
        if let Some(name) = classic_step(&whole) {
            self.classic.name = name.to_owned();
            self.classic.last.clear();
        } else if let Some(id) = whole.strip_prefix("Successfully built ") {
            self.built = Some(id.trim().to_owned());
        } else {
            self.classic.keep(&whole);
        }
        text.push_str(&whole);
        text.push('\n');
    }

    /// Tells what has no end of line.
    pub(crate) async fn flush(&mut self) {
        let mut text = String::new();
        let rest = std::mem::take(&mut self.classic.rest);
        if !rest.is_empty() {
            self.classic_line(&rest, &mut text);
        }
        for step in self.steps.values_mut() {
            let rest = std::mem::take(&mut step.rest);
            if !rest.is_empty() {
                step.tell(&rest, &mut text);
            }
        }
        self.send(text).await;
    }

    async fn send(&self, text: String) {
        if !text.is_empty() {
            // Nobody reads any more: the build goes on.
            self.lines.send(Bytes::from(text)).await.ok();
        }
    }
}

impl Step {
    fn tell(&mut self, whole: &[u8], text: &mut String) {
        let whole = clean(whole);
        line(text, self.number, &whole);
        self.keep(&whole);
    }

    fn keep(&mut self, whole: &str) {
        if whole.trim().is_empty() {
            return;
        }
        if self.last.len() == KEPT_LINES {
            self.last.pop_front();
        }
        self.last.push_back(whole.to_owned());
    }
}

/// The instruction in the classic builder's announcement: `Step 2/5 : RUN make`. Podman puts the
/// stage before it: `[1/2] STEP 2/5: RUN make`.
fn classic_step(line: &str) -> Option<&str> {
    let line = match line.strip_prefix('[') {
        Some(rest) => rest.split_once("] ")?.1,
        None => line,
    };
    let rest = line
        .strip_prefix("Step ")
        .or_else(|| line.strip_prefix("STEP "))?;
    let (count, name) = rest.split_once(": ")?;
    let digits = |part: &str| part.trim().chars().all(|c| c.is_ascii_digit());
    let (of, all) = count.split_once('/')?;
    (digits(of) && digits(all)).then_some(name)
}

fn end_of_line(bytes: &[u8]) -> Option<usize> {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map(|at| at + 1);
    end.or((bytes.len() >= LONGEST_LINE).then_some(bytes.len()))
}

fn line(text: &mut String, number: usize, what: &str) {
    text.push_str(&format!("#{number} {what}\n"));
}

/// A line without its end, terminal codes, and what was overwritten on it.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    let visible = text.rsplit('\r').next().unwrap_or(text);
    anstream::adapter::strip_str(visible).to_string()
}

fn took(vertex: &Vertex) -> Duration {
    let (Some(start), Some(end)) = (&vertex.started, &vertex.completed) else {
        return Duration::ZERO;
    };
    let seconds = end.seconds.saturating_sub(start.seconds) as f64;
    let nanos = f64::from(end.nanos) - f64::from(start.nanos);
    Duration::try_from_secs_f64(seconds + nanos / 1e9).unwrap_or_default()
}

#[cfg(test)]
mod tests;
