//! What a process tree has cost, read from `/proc`: CPU time and memory.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A process and all its live descendants, looked up anew on every reading.
#[derive(Debug, Clone, Copy)]
pub struct ProcessTree {
    root: u32,
}

/// The fields of `/proc/PID/stat` that matter here; times in clock ticks.
#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    /// User and system time of the process and of its children that ended and were waited for.
    ticks: u64,
}

impl ProcessTree {
    pub fn of(root: u32) -> ProcessTree {
        ProcessTree { root }
    }

    /// User and system time so far, in steps of one clock tick (10 ms as a rule) per process. A child that
    /// ended is counted once its parent has waited for it.
    pub fn cpu(&self) -> Result<Duration> {
        let ticks: u64 = self.members()?.iter().map(|(_, stat)| stat.ticks).sum();
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    }

    /// Proportional set size, KiB: private pages, and each shared page divided by those who share it. Kernel
    /// memory such as socket buffers is not in it.
    pub fn pss_kib(&self) -> Result<u64> {
        self.members()?.iter().map(|&(pid, _)| pss_kib(pid)).sum()
    }

    /// The root first.
    pub fn pids(&self) -> Result<Vec<u32>> {
        Ok(self.members()?.into_iter().map(|(pid, _)| pid).collect())
    }

    fn members(&self) -> Result<Vec<(u32, Stat)>> {
        let mut all = all_processes()?;
        let Some(root) = all.remove(&self.root) else { bail!("process {} has ended", self.root) };
        let mut members = vec![(self.root, root)];
        let mut next = 0;
        while next < members.len() {
            let parent = members[next].0;
            members.extend(all.extract_if(|_, stat| stat.parent == parent));
            next += 1;
        }
        Ok(members)
    }
}

fn all_processes() -> Result<HashMap<u32, Stat>> {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc").context("reading /proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        all.insert(pid, parse_stat(&text).with_context(|| format!("/proc/{pid}/stat is not as expected"))?);
    }
    Ok(all)
}

/// The command name stands in parentheses and may itself hold spaces and parentheses.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks })
}

fn pss_kib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse().ok());
    kib.with_context(|| format!("{path} has no Pss line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_an_awkward_name() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 5 0 0";
        assert_eq!(parse_stat(text), Some(Stat { parent: 7, ticks: 110 }));
        assert_eq!(parse_stat("42 (short) S 7"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let tree = ProcessTree::of(std::process::id());
        assert!(tree.pss_kib().unwrap() > 100);
        tree.cpu().unwrap();
    }
}
