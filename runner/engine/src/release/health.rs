//! Whether a container is well, and what it says when it is not. A container that exited, one whose
//! health check fails and one that takes too long are three different things to people.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::backend::{Backend, BackendError, ContainerInfo, HealthStatus};

/// How long one without a health check has to run to count as started.
pub(crate) const SETTLE: Duration = Duration::from_secs(1);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// How many last lines are quoted of what a container, or its health check, printed.
const LINES: usize = 10;

/// Why a container is not well.
#[derive(Clone, Debug)]
pub(crate) enum Unwell {
    /// It ended.
    Exited {
        code: i64,
        oom_killed: bool,
        /// What it printed last.
        tail: String,
    },
    /// Its health check says so.
    Unhealthy { probe: String, tail: String },
    /// It took longer than it may.
    Late {
        within: Duration,
        /// Where it stood.
        state: &'static str,
        probe: String,
        tail: String,
    },
    /// It is not there any more.
    Gone,
    /// The engine did not say.
    Unknown(BackendError),
}

/// How long a container may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For messages.
    pub(crate) within: Duration,
    pub(crate) until: Instant,
    /// When it was started, if it just was: only then it has to settle.
    pub(crate) started: Option<Instant>,
}

/// Waits until a container is healthy or, without a health check, has run for a moment.
pub(crate) async fn healthy(
    backend: &dyn Backend,
    id: &str,
    patience: Patience,
) -> Result<ContainerInfo, Unwell> {
    loop {
        let info = backend
            .inspect_container(id)
            .await
            .map_err(Unwell::Unknown)?;
        let info = info.ok_or(Unwell::Gone)?;
        let state = match look(&info, patience) {
            Look::Well => return Ok(info),
            Look::Wait(state) => state,
            Look::Exited => {
                let (code, oom_killed) = (info.exit_code, info.oom_killed);
                return Err(Unwell::Exited {
                    code,
                    oom_killed,
                    tail: tail(backend, id).await,
                });
            }
            Look::Unhealthy => {
                let tail = tail(backend, id).await;
                return Err(Unwell::Unhealthy {
                    probe: probe(&info),
                    tail,
                });
            }
        };
        let next = Instant::now() + PAUSE;
        if next > patience.until {
            let (within, probe) = (patience.within, probe(&info));
            return Err(Unwell::Late {
                within,
                state,
                probe,
                tail: tail(backend, id).await,
            });
        }
        sleep_until(next).await;
    }
}

/// Whether a container that was not started just now is well at this moment.
pub(crate) async fn is_well(backend: &dyn Backend, id: &str) -> bool {
    let patience = Patience {
        within: Duration::ZERO,
        until: Instant::now(),
        started: None,
    };
    let found = backend.inspect_container(id).await;
    found.is_ok_and(|found| found.is_some_and(|info| matches!(look(&info, patience), Look::Well)))
}

enum Look {
    Well,
    Wait(&'static str),
    Exited,
    Unhealthy,
}

fn look(info: &ContainerInfo, patience: Patience) -> Look {
    match info.status.as_str() {
        "running" => {}
        "restarting" => return Look::Wait("it ends again and again"),
        "created" => return Look::Wait("it has not started"),
        "paused" => return Look::Wait("it is paused"),
        _ => return Look::Exited,
    }
    match info.health.as_ref().map(|health| health.status) {
        Some(HealthStatus::Healthy) => Look::Well,
        Some(HealthStatus::Starting) => Look::Wait("its health check has not passed"),
        // What was left running may have missed what this release replaced: it gets time to notice.
        Some(HealthStatus::Unhealthy) if patience.started.is_none() => {
            Look::Wait("its health check fails")
        }
        Some(HealthStatus::Unhealthy) => Look::Unhealthy,
        None if patience
            .started
            .is_some_and(|started| started.elapsed() < SETTLE) =>
        {
            Look::Wait("it has just started")
        }
        None => Look::Well,
    }
}

fn probe(info: &ContainerInfo) -> String {
    let output = info.health.as_ref().map(|health| health.last_output.trim());
    output.unwrap_or_default().to_owned()
}

/// The last lines that a container printed; nothing where the engine does not tell.
pub(crate) async fn tail(backend: &dyn Backend, id: &str) -> String {
    let chunks = backend.logs(id, Some(LINES)).await.unwrap_or_default();
    let bytes: Vec<u8> = chunks
        .iter()
        .flat_map(|chunk| chunk.bytes.iter().copied())
        .collect();
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

impl Unwell {
    /// The sentence for people, about the service of that name.
    pub(crate) fn describe(&self, service: &str) -> String {
        Described {
            service,
            unwell: self,
        }
        .to_string()
    }
}

struct Described<'a> {
    service: &'a str,
    unwell: &'a Unwell,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = self.service;
        match self.unwell {
            Unwell::Exited {
                code,
                oom_killed,
                tail,
            } => {
                match oom_killed {
                    true => write!(f, "{service} ran out of memory and exited with code {code}")?,
                    false => write!(f, "{service} exited with code {code}")?,
                }
                quote(f, "its last lines", tail)
            }
            Unwell::Unhealthy { probe, tail } => {
                write!(f, "{service} is unhealthy")?;
                quote(f, "its health check printed", probe)?;
                quote(f, "its last lines", tail)
            }
            Unwell::Late {
                within,
                state,
                probe,
                tail,
            } => {
                write!(f, "{service} was not healthy within {within:?}: {state}")?;
                quote(f, "its health check printed", probe)?;
                quote(f, "its last lines", tail)
            }
            Unwell::Gone => write!(f, "someone removed the container of {service}"),
            Unwell::Unknown(error) => write!(f, "the health of {service} is not known: {error}"),
        }
    }
}

/// Quotes the last lines of a text: what went wrong stands at its end.
fn quote(f: &mut fmt::Formatter<'_>, what: &str, text: &str) -> fmt::Result {
    let lines: Vec<&str> = text.lines().collect();
    let Some(last) = lines
        .get(lines.len().saturating_sub(LINES)..)
        .filter(|l| !l.is_empty())
    else {
        return Ok(());
    };
    write!(f, "\n{what}:")?;
    last.iter().try_for_each(|line| write!(f, "\n    {line}"))
}

#[cfg(test)]
mod tests {
    use super::super::bare::bare;
    use super::*;
    use crate::backend::Labels;
    use crate::fake::{FakeBackend, Program};

    fn patience(seconds: u64) -> Patience {
        let within = Duration::from_secs(seconds);
        Patience {
            within,
            until: Instant::now() + within,
            started: Some(Instant::now()),
        }
    }

    async fn judge(program: Program, seconds: u64) -> Result<ContainerInfo, Unwell> {
        let engine = FakeBackend::new();
        engine.add_image("base");
        engine.program(|_| true, program);
        let id = engine
            .create_container(&bare("a", "base", Labels::new()))
            .await
            .expect("created");
        engine.start_container(&id).await.expect("started");
        healthy(&engine, &id, patience(seconds)).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_becomes_healthy_is_well() {
        let program = Program::forever().health(Duration::from_secs(5), HealthStatus::Healthy);
        let start = Instant::now();
        judge(program, 10).await.expect("healthy");
        assert!(start.elapsed() >= Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn exited_unhealthy_and_late_are_told_apart() {
        let exits = Program::exits(3)
            .takes(Duration::from_millis(500))
            .prints("no such table\n");
        let text = judge(exits, 10).await.expect_err("exited").describe("web");
        assert_eq!(
            text,
            "web exited with code 3\nits last lines:\n    no such table"
        );

        let sick = Program::forever().health(Duration::from_secs(1), HealthStatus::Unhealthy);
        let text = judge(sick, 10)
            .await
            .expect_err("unhealthy")
            .describe("web");
        assert!(text.starts_with("web is unhealthy"), "{text}");

        let slow = Program::forever().health(Duration::from_secs(60), HealthStatus::Healthy);
        let text = judge(slow, 10).await.expect_err("late").describe("web");
        assert!(
            text.starts_with("web was not healthy within 10s: its health check has not passed"),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_left_running_gets_time_to_recover() {
        let engine = FakeBackend::new();
        engine.add_image("base");
        // It missed what the release replaced, and notices later that it is back.
        let program = Program::forever()
            .health(Duration::from_secs(1), HealthStatus::Unhealthy)
            .health(Duration::from_secs(8), HealthStatus::Healthy);
        engine.program(|_| true, program);
        let spec = bare("a", "base", Labels::new());
        let id = engine.create_container(&spec).await.expect("created");
        engine.start_container(&id).await.expect("started");
        tokio::time::sleep(Duration::from_secs(3)).await;
        let left_running = Patience {
            started: None,
            ..patience(20)
        };
        healthy(&engine, &id, left_running).await.expect("healthy");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_check_it_has_to_run_for_a_moment() {
        let start = Instant::now();
        judge(Program::forever(), 10).await.expect("runs");
        assert!(start.elapsed() >= SETTLE);
        let crash = Program::exits(1).takes(Duration::from_millis(700));
        assert!(matches!(
            judge(crash, 10).await,
            Err(Unwell::Exited { code: 1, .. })
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn out_of_memory_is_said_whatever_the_code() {
        let program = Program {
            oom_killed: true,
            ..Program::exits(0)
        };
        let text = judge(program, 10)
            .await
            .expect_err("exited")
            .describe("web");
        assert_eq!(text, "web ran out of memory and exited with code 0");
    }
}
