//! The one kernel setting that short connections on loopback suffer from.

use std::fs;

use anyhow::{Context, Result};

use crate::output;

const TIME_WAIT_BUCKETS: &str = "/proc/sys/net/ipv4/tcp_max_tw_buckets";
/// Time-wait sockets beyond this many are dropped at once by the kernel.
const FEW: &str = "500";

/// Bounds the time-wait sockets of the machine while it lives, and puts the former value back.
pub struct TimeWaitBound {
    former: String,
}

impl TimeWaitBound {
    pub fn set() -> Result<TimeWaitBound> {
        let former = fs::read_to_string(TIME_WAIT_BUCKETS).with_context(|| format!("reading {TIME_WAIT_BUCKETS}"))?;
        fs::write(TIME_WAIT_BUCKETS, FEW).with_context(|| format!("--tune needs to write {TIME_WAIT_BUCKETS}"))?;
        Ok(TimeWaitBound { former })
    }
}

impl Drop for TimeWaitBound {
    fn drop(&mut self) {
        if let Err(error) = fs::write(TIME_WAIT_BUCKETS, &self.former) {
            let former = self.former.trim();
            output::tell(format_args!("egret-bench: {TIME_WAIT_BUCKETS} stays at {FEW}, it was {former}: {error}"));
        }
    }
}
