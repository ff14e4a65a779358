//! Where and when figures were taken; they mean little without it.

use std::fs;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Environment {
    pub date: String,
    pub kernel: String,
    pub cpu_model: String,
    pub cores: usize,
    pub memory_mib: u64,
    /// What else the machine was doing when this began.
    pub load_average: String,
    /// Time-wait sockets the kernel keeps at most; many make short connections dearer.
    pub tcp_max_tw_buckets: String,
}

impl Environment {
    pub fn here() -> Environment {
        let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let load = read("/proc/loadavg");
        Environment {
            date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu_model: cpu_model(&read("/proc/cpuinfo")),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_mib(&read("/proc/meminfo")).unwrap_or_default(),
            load_average: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
            tcp_max_tw_buckets: read("/proc/sys/net/ipv4/tcp_max_tw_buckets"),
        }
    }
}

/// x86 names the model; other machines may not.
fn cpu_model(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, model)| model.trim()).to_owned()
}

fn memory_mib(meminfo: &str) -> Option<u64> {
    let rest = meminfo.strip_prefix("MemTotal:")?;
    let kib: u64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_of_cpuinfo() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: A 1\nmodel name\t: B 2\n"), "A 1");
        assert_eq!(cpu_model(""), "unknown");
    }

    #[test]
    fn memory_of_meminfo() {
        assert_eq!(memory_mib("MemTotal:        4096000 kB\nMemFree: 1 kB\n"), Some(4000));
        assert_eq!(memory_mib(""), None);
    }
}
