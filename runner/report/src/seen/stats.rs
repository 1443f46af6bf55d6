//! What containers use: as rows of a table, as JSON, and in the text format that Prometheus and its
//! like read.

use std::fmt::Write as _;

use hoist_model::seen::{Instance, Measured, Names, Usage};
use serde_json::json;

use crate::words::bytes;

/// The rows of a table, its head first.
#[must_use]
pub fn rows(all: &[Measured]) -> Vec<Vec<String>> {
    let head = [
        "SERVICE", "RELEASE", "CPU", "MEMORY", "LIMIT", "NET IN", "NET OUT", "READ", "WRITTEN",
        "PIDS",
    ];
    let names = Names::new(all.iter().map(|measured| &measured.instance));
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(all.iter().map(|measured| {
        let Measured {
            instance,
            usage,
            cpu_percent,
        } = measured;
        let unknown = || "-".to_owned();
        vec![
            names.of(instance),
            match instance.release {
                0 => unknown(),
                release => release.to_string(),
            },
            cpu_percent.map_or_else(unknown, |percent| format!("{percent:.1}%")),
            match usage.memory_limit.filter(|limit| *limit > 0) {
                Some(limit) => format!("{} ({})", bytes(usage.memory), share(usage.memory, limit)),
                None => bytes(usage.memory),
            },
            usage.memory_limit.map_or_else(unknown, bytes),
            bytes(usage.received),
            bytes(usage.sent),
            bytes(usage.read),
            bytes(usage.written),
            usage.pids.to_string(),
        ]
    }));
    rows
}

fn share(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "whole percents are shown")]
    let percent = 100.0 * part as f64 / whole as f64;
    format!("{percent:.0}%")
}

/// An array with an object for each container. Bytes and seconds, counted from its start.
#[must_use]
pub fn json(all: &[Measured]) -> String {
    let all = all.iter().map(|measured| {
        let Measured {
            instance,
            usage,
            cpu_percent,
        } = measured;
        json!({
            "service": instance.service,
            "replica": instance.replica,
            "release": instance.release,
            "container": instance.container,
            "cpu_percent": cpu_percent,
            "cpu_seconds": usage.cpu.as_secs_f64(),
            "memory": usage.memory,
            "memory_limit": usage.memory_limit,
            "network_received": usage.received,
            "network_sent": usage.sent,
            "block_read": usage.read,
            "block_written": usage.written,
            "pids": usage.pids,
        })
    });
    let all = serde_json::Value::Array(all.collect());
    format!("{all:#}\n")
}

/// One number of a container; none where it has none.
type Number = fn(&Usage) -> Option<f64>;

#[expect(
    clippy::cast_precision_loss,
    reason = "the format's numbers are floats"
)]
fn float(number: u64) -> Option<f64> {
    Some(number as f64)
}

/// Name, type, help and number of each metric.
const METRICS: [(&str, &str, &str, Number); 8] = [
    (
        "hoist_container_cpu_seconds_total",
        "counter",
        "Time on processors since the container's start.",
        |usage| Some(usage.cpu.as_secs_f64()),
    ),
    (
        "hoist_container_memory_bytes",
        "gauge",
        "Memory in use, without idle file cache.",
        |usage| float(usage.memory),
    ),
    (
        "hoist_container_memory_limit_bytes",
        "gauge",
        "Memory that may be used.",
        |usage| usage.memory_limit.and_then(float),
    ),
    (
        "hoist_container_network_receive_bytes_total",
        "counter",
        "Bytes that came over networks.",
        |usage| float(usage.received),
    ),
    (
        "hoist_container_network_transmit_bytes_total",
        "counter",
        "Bytes that left over networks.",
        |usage| float(usage.sent),
    ),
    (
        "hoist_container_block_read_bytes_total",
        "counter",
        "Bytes read from block devices.",
        |usage| float(usage.read),
    ),
    (
        "hoist_container_block_written_bytes_total",
        "counter",
        "Bytes written to block devices.",
        |usage| float(usage.written),
    ),
    (
        "hoist_container_pids",
        "gauge",
        "Processes and threads.",
        |usage| float(usage.pids),
    ),
];

/// In the text format of Prometheus, version 0.0.4.
#[must_use]
pub fn prometheus(project: &str, environment: &str, all: &[(Instance, Usage)]) -> String {
    let mut out = String::new();
    for (name, kind, help, number) in METRICS {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (instance, usage) in all {
            let Some(number) = number(usage) else {
                continue;
            };
            let (replica, release) = (instance.replica.to_string(), instance.release.to_string());
            let labels = [
                ("project", project),
                ("environment", environment),
                ("service", &instance.service),
                ("replica", &replica),
                ("release", &release),
                ("container", &instance.container),
            ];
            let labels = labels.map(|(label, value)| format!("{label}=\"{}\"", escaped(value)));
            let _ = writeln!(out, "{name}{{{}}} {number}", labels.join(","));
        }
    }
    out
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn all() -> Vec<Measured> {
        let usage = Usage {
            at: 1,
            cpu: Duration::from_millis(1500),
            memory: 256 << 20,
            memory_limit: Some(512 << 20),
            received: 2048,
            sent: 10,
            read: 0,
            written: 4096,
            pids: 7,
        };
        let instance = |service: &str, replica| Instance {
            service: service.into(),
            replica,
            release: 3,
            container: format!("shop-live-{service}-3-{replica}"),
        };
        let measured = |instance, cpu_percent| Measured {
            instance,
            usage,
            cpu_percent,
        };
        vec![
            measured(instance("web", 1), Some(12.34)),
            measured(instance("web", 2), None),
        ]
    }

    #[test]
    fn people_get_names_and_units() {
        let rows = rows(&all());
        assert_eq!(rows[0].len(), rows[1].len());
        assert_eq!(
            rows[1],
            [
                "web-1",
                "3",
                "12.3%",
                "256 MiB (50%)",
                "512 MiB",
                "2.0 KiB",
                "10 B",
                "0 B",
                "4.0 KiB",
                "7"
            ]
        );
        assert_eq!(rows[2][2], "-", "not known yet");
    }

    #[test]
    fn programs_get_numbers() {
        let json: serde_json::Value = serde_json::from_str(&json(&all())).unwrap();
        assert_eq!(json[0]["cpu_percent"], 12.34);
        assert_eq!(json[0]["cpu_seconds"], 1.5);
        assert_eq!(json[1]["cpu_percent"], serde_json::Value::Null);
        assert_eq!(json[1]["memory"], 256 << 20);
    }

    #[test]
    fn prometheus_gets_its_own_format() {
        let all: Vec<_> = all()
            .into_iter()
            .map(|it| (it.instance, it.usage))
            .collect();
        let text = prometheus("sh\"op", "live", &all);
        let line = "hoist_container_cpu_seconds_total{project=\"sh\\\"op\",environment=\"live\",\
                    service=\"web\",replica=\"1\",release=\"3\",container=\"shop-live-web-3-1\"} 1.5";
        assert!(text.lines().any(|it| it == line), "{text}");
        assert_eq!(text.matches("# TYPE").count(), METRICS.len());
        assert!(text.contains("hoist_container_memory_bytes{") && text.ends_with(" 7\n"));
    }
}
