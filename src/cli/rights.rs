//! What `egret serve` keeps of root's powers once everything is opened: what its configuration needs later.

use std::path::PathBuf;

use crate::config::{LogConfig, LogTarget};

/// What becomes of files from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// Policies are read anew.
    Read,
    /// Beside that logs are opened, and again when they were renamed, or a file of ports is written and taken away.
    Written,
}

impl Files {
    pub(super) fn of(log: &LogConfig, ports: [&Option<PathBuf>; 2]) -> Files {
        let logs = log.sinks.iter().any(|sink| matches!(sink.target, LogTarget::File(_)));
        if logs || ports.iter().any(|path| path.is_some()) { Files::Written } else { Files::Read }
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::drop_unneeded;

#[cfg(not(target_os = "linux"))]
pub(super) fn drop_unneeded(_: &crate::config::GatewayConfig, _: Files) -> std::io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    use rustix::thread::{CapabilitySet, capabilities};

    use crate::config::{GatewayConfig, HandOver};
    use crate::net::rights::keep_only;

    use super::Files;

    pub(in crate::cli) fn drop_unneeded(gateway: &GatewayConfig, files: Files) -> io::Result<()> {
        let for_files = if rustix::process::geteuid().is_root() {
            for_files(files, capabilities(None)?.permitted)
        } else {
            CapabilitySet::empty()
        };
        keep_only(for_files | for_gateway(gateway))
    }

    /// Root's way to files, whosever they are. Docker gives CAP_DAC_OVERRIDE alone: then that is the way to read.
    fn for_files(files: Files, has: CapabilitySet) -> CapabilitySet {
        match files {
            Files::Read if has.contains(CapabilitySet::DAC_READ_SEARCH) => CapabilitySet::DAC_READ_SEARCH,
            Files::Read | Files::Written => CapabilitySet::DAC_OVERRIDE,
        }
    }

    /// A gateway marks its sockets, changes its rules with the policy and takes them away at the end (CAP_NET_ADMIN). By
    /// TPROXY it speaks for addresses that are not its own, which takes the same, and answers UDP from the port that was
    /// asked, which may be below 1024 (CAP_NET_BIND_SERVICE). CAP_NET_RAW opened its sockets for ICMP, and has no more
    /// to do.
    fn for_gateway(gateway: &GatewayConfig) -> CapabilitySet {
        match gateway.mode {
            _ if gateway.listen.is_empty() => CapabilitySet::empty(),
            HandOver::Redirect => CapabilitySet::NET_ADMIN,
            HandOver::Tproxy => CapabilitySet::NET_ADMIN | CapabilitySet::NET_BIND_SERVICE,
        }
    }
}
