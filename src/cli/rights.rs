//! What `egret serve` keeps of root's powers once everything is opened: what its configuration needs later.

#[cfg(target_os = "linux")]
pub(super) fn drop_unneeded(gateway: &crate::config::GatewayConfig) -> std::io::Result<()> {
    crate::net::rights::keep_only(needed(gateway))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn drop_unneeded(_: &crate::config::GatewayConfig) -> std::io::Result<()> {
    Ok(())
}

/// Root reads policies anew and opens logs again, whosever they are. A gateway answers from addresses that are not its
/// own, marks its sockets, changes its rules with the policy and takes them away at the end (CAP_NET_ADMIN), answers UDP
/// from the port that was asked, which may be below 1024 (CAP_NET_BIND_SERVICE), and speaks ICMP (CAP_NET_RAW).
#[cfg(target_os = "linux")]
fn needed(gateway: &crate::config::GatewayConfig) -> rustix::thread::CapabilitySet {
    use rustix::thread::CapabilitySet;
    let files = if rustix::process::geteuid().is_root() { CapabilitySet::DAC_OVERRIDE } else { CapabilitySet::empty() };
    if gateway.listen.is_empty() {
        return files;
    }
    files | CapabilitySet::NET_ADMIN | CapabilitySet::NET_BIND_SERVICE | CapabilitySet::NET_RAW
}
