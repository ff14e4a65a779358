//! What is printed: one measurement as text, a comparison as a Markdown table, both as JSON.

use std::fmt::Write as _;
use std::fs;

use serde::Serialize;

use crate::door::Door;
use crate::workload::{Crowd, Measured, Setting, Workload};

/// Where and when the numbers were taken; they mean little without it.
#[derive(Debug, Serialize)]
pub struct Environment {
    pub date: String,
    pub kernel: String,
    pub cpu_model: String,
    pub cores: usize,
    pub egret_bench: &'static str,
    /// Time-wait sockets the kernel keeps at most; many make short connections dearer.
    pub tcp_max_tw_buckets: String,
}

impl Environment {
    pub fn here() -> Environment {
        let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Environment {
            date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu_model: cpu_model(&read("/proc/cpuinfo")),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            egret_bench: env!("CARGO_PKG_VERSION"),
            tcp_max_tw_buckets: read("/proc/sys/net/ipv4/tcp_max_tw_buckets"),
        }
    }
}

/// x86 names the model; other machines may not.
fn cpu_model(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, model)| model.trim()).to_owned()
}

#[derive(Debug, Serialize)]
pub struct Row {
    pub proxy: String,
    pub version: String,
    pub door: Door,
    pub workload: Workload,
    pub setting: Setting,
    pub round: usize,
    pub concurrency: usize,
    /// Connections that the origin saw, the warm-up's included.
    pub origin_connections: u64,
    #[serde(flatten)]
    pub measured: Measured,
}

impl Row {
    pub fn text(&self) -> String {
        let Measured { operations, errors, first_error, seconds, .. } = &self.measured;
        let mut out = format!("{}  {}  ({})\n", self.proxy, self.workload.as_str(), self.version);
        let mut line = |name: &str, value: String| {
            let _ = writeln!(out, "  {name:<22}{value}");
        };
        line("operations", format!("{operations} in {seconds:.2} s, concurrency {}", self.concurrency));
        for (name, value) in self.figures() {
            line(name, value);
        }
        if let Some(Crowd { held, answering, waiting, refused, served_later }) = &self.measured.crowd {
            line("tunnels held", format!("{held}, of which {answering} answered while others waited"));
            line("beyond them", format!("{waiting} waited, {refused} were closed"));
            line("served later", format!("{served_later} of those that waited, when half of the others had gone"));
        }
        line("origin connections", self.origin_connections.to_string());
        if *errors > 0 {
            line("errors", format!("{errors}, the first: {}", first_error.as_deref().unwrap_or_default()));
        }
        out
    }

    fn figures(&self) -> impl Iterator<Item = (&'static str, String)> {
        let measured = &self.measured;
        let latency = measured.latency_p50_us.zip(measured.latency_p99_us);
        [
            ("per second", measured.per_second.map(|value| format!("{value:.0}"))),
            ("CPU µs per operation", measured.cpu_us_per_operation.map(|value| format!("{value:.1}"))),
            ("latency p50, p99", latency.map(|(p50, p99)| format!("{p50} µs, {p99} µs"))),
            ("GB per second", measured.gb_per_second.map(|value| format!("{value:.2}"))),
            ("CPU ms per GB", measured.cpu_ms_per_gb.map(|value| format!("{value:.0}"))),
            ("KiB per tunnel (PSS)", measured.kib_per_tunnel.map(|value| format!("{value:.1}"))),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// A column of the comparison.
struct Column {
    title: &'static str,
    workload: Workload,
    figure: fn(&Measured) -> Option<f64>,
    decimals: usize,
}

const COLUMNS: [Column; 7] = [
    Column {
        title: "new tunnel, CPU µs", workload: Workload::Tunnel, figure: |m| m.cpu_us_per_operation, decimals: 1
    },
    Column { title: "bulk, CPU ms per GB", workload: Workload::Bulk, figure: |m| m.cpu_ms_per_gb, decimals: 0 },
    Column { title: "bulk GB/s", workload: Workload::Bulk, figure: |m| m.gb_per_second, decimals: 1 },
    Column {
        title: "1-byte ping-pong, CPU µs",
        workload: Workload::Pingpong,
        figure: |m| m.cpu_us_per_operation,
        decimals: 1,
    },
    Column {
        title: "HTTP forward, CPU µs", workload: Workload::Http, figure: |m| m.cpu_us_per_operation, decimals: 1
    },
    Column { title: "refused, CPU µs", workload: Workload::Refused, figure: |m| m.cpu_us_per_operation, decimals: 1 },
    Column { title: "idle tunnel, KiB (PSS)", workload: Workload::Idle, figure: |m| m.kib_per_tunnel, decimals: 1 },
];

#[derive(Debug, Serialize)]
pub struct Comparison {
    pub environment: Environment,
    pub rows: Vec<Row>,
    /// Workloads that did not come to an end, and why.
    pub failures: Vec<String>,
}

impl Comparison {
    /// The figures by proxy, then the first proxy's figures divided by each other proxy's. Rounds that differ
    /// are shown as a range; a ratio is the median of the rounds' ratios.
    pub fn markdown(&self) -> String {
        let proxies = self.proxies();
        let columns = self.columns();
        let mut out = format!("{}\n\n{}", self.caption(), header("proxy", &columns));
        for proxy in &proxies {
            let cells = columns.iter().map(|column| range(&self.values(proxy, column), column.decimals));
            push_line(&mut out, proxy, cells);
        }
        if let Some((first, others)) = proxies.split_first().filter(|(_, others)| !others.is_empty()) {
            let _ = write!(out, "\n{}", header(&format!("{first} ÷"), &columns));
            for other in others {
                push_line(&mut out, other, columns.iter().map(|column| self.ratio(first, other, column)));
            }
        }
        for failure in &self.failures {
            let _ = writeln!(out, "\nFailed: {failure}");
        }
        out
    }

    /// Those of workloads that were run.
    fn columns(&self) -> Vec<&'static Column> {
        let was_run = |column: &&Column| self.rows.iter().any(|row| row.workload == column.workload);
        COLUMNS.iter().filter(was_run).collect()
    }

    fn caption(&self) -> String {
        let Environment { date, kernel, cpu_model, cores, .. } = &self.environment;
        let mut versions: Vec<&str> = self.rows.iter().map(|row| row.version.as_str()).collect();
        versions.dedup();
        versions.sort_unstable();
        versions.dedup();
        format!("{date}, kernel {kernel}, {cores} cores of {cpu_model}; {}", versions.join("; "))
    }

    fn proxies(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.proxy.as_str()) {
                names.push(row.proxy.as_str());
            }
        }
        names
    }

    /// The figure of each round that has one, with the round.
    fn values(&self, proxy: &str, column: &Column) -> Vec<(usize, f64)> {
        let rows = self.rows.iter().filter(|row| row.proxy == proxy && row.workload == column.workload);
        rows.filter_map(|row| Some((row.round, (column.figure)(&row.measured)?))).collect()
    }

    /// A machine's speed drifts by the minute, so only figures of the same round are divided by each other.
    fn ratio(&self, first: &str, other: &str, column: &Column) -> String {
        let others = self.values(other, column);
        let paired = |&(round, ours): &(usize, f64)| {
            let theirs = others.iter().find(|(of, _)| *of == round)?.1;
            (theirs > 0.0).then(|| ours / theirs)
        };
        let ratios = self.values(first, column).iter().filter_map(paired).collect();
        median(ratios).map_or("–".into(), |ratio| format!("{ratio:.2}"))
    }
}

fn header(first: &str, columns: &[&Column]) -> String {
    let titles: Vec<&str> = columns.iter().map(|column| column.title).collect();
    format!("| {first} | {} |\n|---|{}\n", titles.join(" | "), "---|".repeat(columns.len()))
}

fn push_line(out: &mut String, first: &str, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    let _ = writeln!(out, "| {first} | {} |", cells.join(" | "));
}

fn range(values: &[(usize, f64)], decimals: usize) -> String {
    let Some(low) = values.iter().map(|value| value.1).reduce(f64::min) else { return "–".into() };
    let high = values.iter().map(|value| value.1).fold(low, f64::max);
    let (low, high) = (format!("{low:.decimals$}"), format!("{high:.decimals$}"));
    if low == high { low } else { format!("{low}–{high}") }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range(&[], 1), "–");
        assert_eq!(range(&[(1, 1.04), (2, 1.0)], 1), "1.0");
        assert_eq!(range(&[(1, 231.2), (2, 206.4)], 0), "206–231");
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn model_of_cpuinfo() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: A 1\nmodel name\t: B 2\n"), "A 1");
        assert_eq!(cpu_model(""), "unknown");
    }
}
