//! What containers use, write and printed when. It refuses to compute shares of anything: one
//! answer is one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::{ContainerMemoryStats, ContainerStatsResponse};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, LogsOptionsBuilder, StatsOptionsBuilder,
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use hoist_engine::backend::{BackendErrorKind as Kind, Chunk, LabelFilter, LogPiece, LogQuery};
use hoist_model::seen::Usage;

use crate::DockerBackend;
use crate::call::{self, CHANGE, LOOK};
use crate::containers::label_filters;
use crate::errors::{self, Result};
use crate::names;
use crate::streams::{self, NANOS};

impl DockerBackend {
    pub(crate) async fn container_usage(&self, id: &str) -> Result<Option<Usage>> {
        let id = names::piece(id)?;
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true);
        let answers = self.docker.stats(id, Some(options.build()));
        let mut answers = call::lively(LOOK, answers);
        match answers.next().await {
            Some(Ok(answer)) => Ok(usage(&answer)),
            Some(Err(error)) if matches!(error.kind, Kind::NotFound | Kind::Conflict) => Ok(None),
            Some(Err(error)) => Err(error),
            None => Ok(None),
        }
    }

    pub(crate) async fn written_by_containers(
        &self,
        labels: LabelFilter<'_>,
    ) -> Result<BTreeMap<String, u64>> {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .size(true)
            .filters(&label_filters(labels))
            .build();
        let listed = call::within(CHANGE, self.docker.list_containers(Some(options))).await?;
        let sizes = listed.into_iter().filter_map(|container| {
            // An engine says nothing of one that wrote nothing.
            let size = u64::try_from(container.size_rw.unwrap_or_default()).ok()?;
            Some((container.id?, size))
        });
        Ok(sizes.collect())
    }

    pub(crate) async fn timed_logs(
        &self,
        id: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<LogPiece>>> {
        let id = names::piece(id)?;
        let since = query.since.unwrap_or_default();
        let tail = query
            .tail
            .map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(query.follow)
            // Whole seconds are all that can be asked for: the rest is left out here.
            .since(i32::try_from(since.max(0) / NANOS).unwrap_or(i32::MAX))
            .tail(&tail)
            .build();
        let logs = self.docker.logs(id, Some(options));
        let logs = match query.follow {
            true => logs.map_err(errors::of).boxed(),
            false => call::lively(CHANGE, logs),
        };
        let pieces = logs.map(|piece| piece.and_then(streams::chunk).map(timed));
        Ok(pieces
            .try_filter(move |piece| std::future::ready(piece.at >= since))
            .boxed())
    }
}

/// A piece of output without the time that the engine writes before it.
fn timed(chunk: Chunk) -> LogPiece {
    let space = chunk.bytes.iter().position(|byte| *byte == b' ');
    let time = space.and_then(|space| {
        let (time, rest) = chunk.bytes.split_at_checked(space)?;
        let time: jiff::Timestamp = std::str::from_utf8(time).ok()?.parse().ok()?;
        Some((
            i64::try_from(time.as_nanosecond()).ok()?,
            chunk.bytes.slice_ref(rest.get(1..)?),
        ))
    });
    let (at, bytes): (i64, Bytes) = time.unwrap_or((0, chunk.bytes));
    LogPiece {
        at,
        stream: chunk.stream,
        bytes,
    }
}

/// What an answer says; nothing where the container does not run, of which it says year 1.
fn usage(answer: &ContainerStatsResponse) -> Option<Usage> {
    let at = answer.read.as_ref()?.unix_timestamp_nanos();
    let at = i64::try_from(at).ok().filter(|at| *at > 0)?;
    let cpu = answer
        .cpu_stats
        .as_ref()
        .and_then(|cpu| cpu.cpu_usage.as_ref());
    let memory = answer.memory_stats.as_ref();
    let networks = || answer.networks.iter().flat_map(|all| all.values());
    let blocks = answer.blkio_stats.as_ref();
    let blocks = blocks.and_then(|blocks| blocks.io_service_bytes_recursive.as_ref());
    let moved = |operation: &str| {
        let entries = blocks.into_iter().flatten();
        let entries = entries.filter(|entry| {
            let op = entry.op.as_deref().unwrap_or_default();
            op.eq_ignore_ascii_case(operation)
        });
        entries.filter_map(|entry| entry.value).sum()
    };
    let pids = answer.pids_stats.as_ref().and_then(|pids| pids.current);
    Some(Usage {
        at,
        cpu: Duration::from_nanos(cpu.and_then(|cpu| cpu.total_usage).unwrap_or_default()),
        memory: memory.map(used).unwrap_or_default(),
        memory_limit: memory.and_then(|memory| memory.limit),
        received: networks().filter_map(|network| network.rx_bytes).sum(),
        sent: networks().filter_map(|network| network.tx_bytes).sum(),
        read: moved("read"),
        written: moved("write"),
        pids: pids.unwrap_or_default(),
    })
}

/// As Docker's own client counts it: files that were read and not touched since are no need. The
/// key differs between the two versions of control groups.
fn used(memory: &ContainerMemoryStats) -> u64 {
    let all = memory.usage.unwrap_or_default();
    let stats = memory.stats.as_ref();
    let idle = stats.and_then(|stats| {
        let idle = stats.get("total_inactive_file");
        idle.or_else(|| stats.get("inactive_file")).copied()
    });
    all.saturating_sub(idle.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use hoist_model::event::Stream;

    use super::*;

    #[test]
    fn an_answer_of_either_control_group_is_read() {
        for (file, read, write) in [
            ("total_inactive_file", "Read", "Write"),
            ("inactive_file", "read", "write"),
        ] {
            let answer = format!(
                r#"{{"read":"2026-11-28T17:10:08.5Z","pids_stats":{{"current":5}},
                "blkio_stats":{{"io_service_bytes_recursive":[
                  {{"major":8,"minor":0,"op":"{read}","value":100}},
                  {{"major":9,"minor":0,"op":"{read}","value":1}},
                  {{"major":8,"minor":0,"op":"{write}","value":7}},
                  {{"major":8,"minor":0,"op":"Total","value":108}}]}},
                "cpu_stats":{{"cpu_usage":{{"total_usage":50430995}}}},
                "memory_stats":{{"usage":1000,"limit":4000,"stats":{{"{file}":300}}}},
                "networks":{{"eth0":{{"rx_bytes":10,"tx_bytes":1}},"eth1":{{"rx_bytes":5,"tx_bytes":2}}}}}}"#
            );
            let answer: ContainerStatsResponse = serde_json::from_str(&answer).unwrap();
            let expected = Usage {
                at: 1_795_885_808_500_000_000,
                cpu: Duration::from_nanos(50_430_995),
                memory: 700,
                memory_limit: Some(4000),
                received: 15,
                sent: 3,
                read: 101,
                written: 7,
                pids: 5,
            };
            assert_eq!(usage(&answer), Some(expected));
        }
        let stopped = r#"{"read":"0001-01-01T00:00:00Z","memory_stats":{}}"#;
        let stopped: ContainerStatsResponse = serde_json::from_str(stopped).unwrap();
        assert_eq!(usage(&stopped), None);
    }

    #[test]
    fn the_engines_times_are_taken_off() {
        let piece = |text: &'static str| {
            timed(Chunk {
                stream: Stream::Stdout,
                bytes: Bytes::from_static(text.as_bytes()),
            })
        };
        let line = piece("2026-11-28T17:10:08.000000009Z  two blanks\n");
        assert_eq!(line.at, 1_795_885_808_000_000_009);
        assert_eq!(line.bytes, " two blanks\n");
        let odd = piece("no time here");
        assert_eq!((odd.at, odd.bytes.as_ref()), (0, &b"no time here"[..]));
    }
}
