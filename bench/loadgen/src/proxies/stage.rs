//! What a proxy is started for: what it is to allow, where that leads, how it is come to.

use std::net::SocketAddr;

use crate::door::Door;
use crate::workload::{LogTo, Plan, Workload};

/// Everything that a subject's configuration is made from. The measurements make theirs with [`Stage::of`]; whoever
/// wants another policy or other origins fills in the fields.
#[derive(Debug, Clone)]
pub struct Stage {
    pub door: Door,
    /// Only the floors differ by it: each is built for one kind of work.
    pub workload: Workload,
    pub policy: Policy,
    /// Of Egret; the others write no log.
    pub log: LogTo,
    pub origins: Origins,
    /// What the proxy may have of descriptors, where that is not as many as this process.
    pub descriptors: Option<u32>,
}

/// What a proxy allows, by HTTPS on port 443 and by HTTP on port 80. It denies all else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Names that are asked for; they lead to the stage's origins.
    pub names: Vec<Pattern>,
    /// How many names are allowed beside them, that nobody asks for.
    pub beside: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This name alone.
    Name(String),
    /// Every name below this one, at any depth, and not the name itself.
    Below(String),
}

impl Policy {
    /// All of them, those that are asked for last.
    pub fn patterns(&self) -> impl Iterator<Item = Pattern> {
        let beside = (0..self.beside).map(|at| Pattern::Name(Policy::beside_name(at)));
        beside.chain(self.names.iter().cloned())
    }

    /// Short, so that a million of them fit into what proxies take as a file.
    pub fn beside_name(at: usize) -> String {
        format!("{at}.b.test")
    }
}

impl Pattern {
    /// As `*.x` where it is what is below `x`.
    pub fn starred(&self) -> String {
        match self {
            Pattern::Name(name) => name.clone(),
            Pattern::Below(name) => format!("*.{name}"),
        }
    }

    /// As `.x` where it is what is below `x`. Most proxies mean `x` itself by that too.
    pub fn dotted(&self) -> String {
        match self {
            Pattern::Name(name) => name.clone(),
            Pattern::Below(name) => format!(".{name}"),
        }
    }

    /// As an anchored regular expression that basic, extended and Perl's dialects read alike.
    pub fn regex(&self) -> String {
        let escaped = |name: &str| name.replace('.', "[.]");
        match self {
            Pattern::Name(name) => format!("^{}$", escaped(name)),
            Pattern::Below(name) => format!("[.]{}$", escaped(name)),
        }
    }
}

/// Where allowed traffic leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origins {
    /// What is allowed by HTTPS, and tunnels.
    pub tls: SocketAddr,
    /// What is allowed by HTTP.
    pub http: SocketAddr,
    /// The name server that a DNS proxy asks.
    pub dns: SocketAddr,
}

impl Origins {
    /// One origin for everything, for workloads that need one kind of it.
    pub fn all(addr: SocketAddr) -> Origins {
        Origins { tls: addr, http: addr, dns: addr }
    }
}

impl Stage {
    /// The name `ok.test` is allowed, for lookups all names below it, and as many others as the plan says.
    pub fn of(plan: &Plan, origins: Origins) -> Stage {
        let ok = "ok.test".to_owned();
        let names = vec![if plan.door == Door::Dns { Pattern::Below(ok) } else { Pattern::Name(ok) }];
        Stage {
            door: plan.door,
            workload: plan.workload,
            policy: Policy { names, beside: plan.setting.policy },
            log: plan.setting.log,
            origins,
            descriptors: None,
        }
    }
}
