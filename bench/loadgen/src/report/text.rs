//! One measurement for a terminal.

use std::fmt::Write as _;

use super::Row;
use crate::workload::{Crowd, Measured};

pub fn text(row: &Row) -> String {
    let Measured { operations, errors, never_begun, first_error, seconds, crowd, .. } = &row.measured;
    let mut out = format!("{}  {} ({})\n", row.proxy, row.case.workload.as_str(), row.case.title());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "  {name:<22}{value}");
    };
    let pace = row.rate.map_or_else(|| "one after the other".into(), |rate| format!("{rate} to begin each second"));
    line("operations", format!("{operations} in {seconds:.2} s, {} at a time, {pace}", row.case.concurrency));
    for (name, value) in figures(&row.measured) {
        line(name, value);
    }
    if let Some(Crowd { held, answering, waiting, refused, served_later }) = crowd {
        line("tunnels held", format!("{held}, of which {answering} answered while others waited"));
        line("beyond them", format!("{waiting} waited, {refused} were closed"));
        line("served later", format!("{served_later} of those that waited, when half of the others had gone"));
    }
    line("origin connections", row.origin_connections.to_string());
    if *errors > 0 {
        line("errors", format!("{errors}, the first: {}", first_error.as_deref().unwrap_or_default()));
    }
    if *never_begun > 0 {
        line("never begun", format!("{never_begun}: the proxy cannot keep up with this rate"));
    }
    out
}

fn figures(measured: &Measured) -> impl Iterator<Item = (&'static str, String)> {
    let latency = measured.latency.map(|latency| {
        let [p50, p99, p999, max] = [latency.p50, latency.p99, latency.p999, latency.max].map(|us| format!("{us:.0}"));
        format!("{p50}, {p99}, {p999}, {max}")
    });
    [
        ("per second", measured.per_second.map(|value| format!("{value:.0}"))),
        ("CPU µs per operation", measured.cpu_us_per_operation.map(|value| format!("{value:.1}"))),
        ("µs p50, 99, 99.9, max", latency),
        ("GB per second", measured.gb_per_second.map(|value| format!("{value:.2}"))),
        ("CPU ms per GB", measured.cpu_ms_per_gb.map(|value| format!("{value:.0}"))),
        ("KiB per tunnel (PSS)", measured.kib_per_tunnel.map(|value| format!("{value:.1}"))),
        ("MiB at the end (PSS)", measured.pss_kib.map(|kib| format!("{:.1}", kib as f64 / 1024.0))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{comparison, tunnel};
    use super::*;

    #[test]
    fn what_a_terminal_is_told() {
        let all = comparison(&[("egret", tunnel(), &[27.0])]);
        let mut row = all.rows[1].clone();
        row.measured.never_begun = 7;
        let text = text(&row);
        assert!(text.starts_with("egret  tunnel (new tunnel by CONNECT)\n"), "{text}");
        assert!(text.contains("16 at a time, 5000 to begin each second"), "{text}");
        assert!(text.contains("µs p50, 99, 99.9, max 54, 270, 1350, 2673"), "{text}");
        assert!(text.contains("never begun           7: the proxy cannot keep up"), "{text}");
        assert!(!text.contains("errors"), "{text}");
    }
}
