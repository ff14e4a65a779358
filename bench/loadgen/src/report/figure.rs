//! What can be read off a measurement, and how that is called.

use super::Row;
use crate::suite::Case;
use crate::workload::Workload;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// CPU of the process tree for one operation.
    Cpu,
    CpuPerGb,
    PerSecond,
    GbPerSecond,
    P50,
    P99,
    P999,
    /// Of the process tree at the end.
    Memory,
    PerTunnel,
}

impl Figure {
    pub fn title(self) -> &'static str {
        match self {
            Figure::Cpu => "CPU µs",
            Figure::CpuPerGb => "CPU ms per GB",
            Figure::PerSecond => "a second",
            Figure::GbPerSecond => "GB a second",
            Figure::P50 => "p50 µs",
            Figure::P99 => "p99 µs",
            Figure::P999 => "p99.9 µs",
            Figure::Memory => "PSS MiB",
            Figure::PerTunnel => "KiB a tunnel",
        }
    }

    /// For a chart, where it stands alone.
    pub fn unit(self) -> &'static str {
        match self {
            Figure::Cpu => "CPU µs each",
            Figure::CpuPerGb => "CPU ms per GB",
            Figure::PerSecond => "operations a second",
            Figure::GbPerSecond => "GB a second",
            Figure::P50 | Figure::P99 | Figure::P999 => "µs",
            Figure::Memory => "MiB (PSS)",
            Figure::PerTunnel => "KiB (PSS) each",
        }
    }

    /// Costs and throughput are of proxies that work as fast as they can, latencies of an open loop.
    pub fn of(self, row: &Row) -> Option<f64> {
        let measured = &row.measured;
        match (self, row.rate) {
            (Figure::P50, Some(_)) => Some(measured.latency?.p50),
            (Figure::P99, Some(_)) => Some(measured.latency?.p99),
            (Figure::P999, Some(_)) => Some(measured.latency?.p999),
            (_, Some(_)) | (Figure::P50 | Figure::P99 | Figure::P999, None) => None,
            (Figure::Cpu, None) => measured.cpu_us_per_operation,
            (Figure::CpuPerGb, None) => measured.cpu_ms_per_gb,
            (Figure::PerSecond, None) => measured.per_second,
            (Figure::GbPerSecond, None) => measured.gb_per_second,
            (Figure::Memory, None) => Some(measured.pss_kib? as f64 / 1024.0),
            (Figure::PerTunnel, None) => measured.kib_per_tunnel,
        }
    }

    /// What a case is about: the figure that proxies are compared by.
    pub fn cost(case: &Case) -> Figure {
        match case.workload {
            Workload::Bulk | Workload::BulkUp => Figure::CpuPerGb,
            Workload::Idle => Figure::PerTunnel,
            _ => Figure::Cpu,
        }
    }

    /// Everything that a case has figures of, the cost first.
    pub fn all(case: &Case) -> &'static [Figure] {
        use Figure::{Cpu, CpuPerGb, GbPerSecond, Memory, P50, P99, P999, PerSecond, PerTunnel};
        match case.workload {
            Workload::Bulk | Workload::BulkUp => &[CpuPerGb, GbPerSecond, Memory],
            Workload::Idle => &[PerTunnel, Memory],
            _ => &[Cpu, PerSecond, P50, P99, P999, Memory],
        }
    }
}
