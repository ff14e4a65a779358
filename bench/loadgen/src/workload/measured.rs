//! What one run has shown.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::meter::{Latency, Meter};
use super::{Crowd, Workload};

/// CPU and memory are absent where the proxy's process is not known, and what a workload has no figure of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Measured {
    /// Operations that succeeded; tunnels held for `idle`, MiB for `bulk`.
    pub operations: u64,
    pub errors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// In an open loop: operations that were due, and for which there was never a free worker.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub never_begun: u64,
    pub seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_operation: Option<f64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// 10^9 bytes a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gb_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms_per_gb: Option<f64>,
    /// Proportional set size that each idle tunnel added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kib_per_tunnel: Option<f64>,
    /// Proportional set size of the process tree at the end; with the tunnels for `idle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pss_kib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crowd: Option<Crowd>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Measured {
    /// `spent` is the CPU time of the proxy. Less than the clock can tell is no figure.
    pub fn of(workload: Workload, meter: &Meter, spent: Option<Duration>) -> Measured {
        let spent = spent.filter(|spent| !spent.is_zero());
        let seconds = meter.elapsed().as_secs_f64();
        let common = Measured {
            errors: meter.errors(),
            first_error: meter.first_error(),
            never_begun: meter.never_begun(),
            seconds,
            ..Measured::default()
        };
        if matches!(workload, Workload::Bulk | Workload::BulkUp) {
            let gb = meter.bytes() as f64 / 1e9;
            return Measured {
                operations: meter.bytes() >> 20,
                gb_per_second: Some(gb / seconds),
                cpu_ms_per_gb: spent.map(|spent| spent.as_secs_f64() * 1e3 / gb),
                ..common
            };
        }
        let operations = meter.operations();
        Measured {
            operations,
            per_second: Some(operations as f64 / seconds),
            cpu_us_per_operation: spent.map(|spent| spent.as_secs_f64() * 1e6 / operations.max(1) as f64),
            latency: meter.latency(),
            ..common
        }
    }
}
