//! The network inside: a loopback that leads everywhere, and rules that lead everything to Egret's sockets.
//!
//! The kernel's own tools write it, `ip` and `nft`, with the init's capabilities.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::Ipv6;
use super::confine::is_in;
use super::refusal::{Refusal, Tool};
use super::sources::Sources;

/// Ports of Egret's sockets on the loopback addresses. Nothing else is in a new namespace, and the kernel gives
/// clients ports below these.
pub(super) const GATEWAY_PORT: u16 = 65129;
pub(super) const DNS_PORT: u16 = 65053;
pub(super) const UDP_PORT: u16 = 65017;

/// Mark of datagrams on their way to the transparent socket, and the number of the routing table that takes them.
const FAR: u32 = 0x4568;

/// Where the tools are, if not where the user's own search path says: an ordinary user's often lacks the first two.
const TOOL_FOLDERS: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn loopback(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }

    fn flag(self) -> &'static str {
        match self {
            Family::V4 => "-4",
            Family::V6 => "-6",
        }
    }
}

/// The families that the kernel has, ready for sockets.
pub(super) fn set_up(host_ports: &[u16], sources: Sources, ipv6: Ipv6) -> Result<Vec<Family>, Refusal> {
    let families = families();
    for family in &families {
        run(Tool::Ip, &[family.flag(), "-batch", "-"], &addresses(*family, sources, ipv6))?;
    }
    run(Tool::Nft, &["-f", "-"], &rules(&families, sources, host_ports))?;
    Ok(families)
}

fn families() -> Vec<Family> {
    let switch = fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6");
    let has_ipv6 = Path::new("/proc/net/if_inet6").exists() && switch.is_ok_and(|value| value.trim() == "0");
    if has_ipv6 { vec![Family::V4, Family::V6] } else { vec![Family::V4] }
}

/// For `ip -batch`. IPv6 has no plain route over the loopback: the kernel makes an unreachable one of it.
fn addresses(family: Family, Sources { v4, v6 }: Sources, ipv6: Ipv6) -> String {
    let own = match (family, ipv6) {
        (Family::V4, _) => {
            format!("link set lo up\naddress add {v4}/32 dev lo\nroute add default dev lo src {v4}\n")
        }
        (Family::V6, Ipv6::Routed) => {
            format!("address add {v6}/128 dev lo nodad\nroute add local default dev lo src {v6}\n")
        }
        (Family::V6, Ipv6::Loopback) => String::new(),
    };
    own + &format!("rule add fwmark {FAR} lookup {FAR}\nroute add local default dev lo table {FAR}\n")
}

/// For `nft`. TCP and DNS change their destination, which the kernel remembers and undoes in the answers; other UDP
/// keeps it. What speaks to Egret's ports directly has no original destination, so it is sent away. And so is what
/// comes from an address that the command chose: rules by source are about where it is, not about what it says.
fn rules(families: &[Family], Sources { v4, v6 }: Sources, host_ports: &[u16]) -> String {
    let hand_over: String = families.iter().map(|family| hand_over(*family)).collect();
    format!(
        "table inet egret {{
  chain far {{
    ip daddr {{ 127.0.0.0/8, {v4}, 224.0.0.0/4, 255.255.255.255 }} return
    ip6 daddr {{ ::1, {v6}, ff00::/8 }} return
    meta mark set {FAR}
  }}
  chain pin_source {{
    type filter hook output priority -160; policy accept;
    ip daddr != {{ 127.0.0.0/8, {v4} }} ip saddr != {v4} goto refused
    ip6 daddr != {{ ::1, {v6} }} ip6 saddr != {v6} goto refused
    meta l4proto {{ tcp, udp }} th dport {{ {to_egret} }} jump pin_loopback
  }}
  chain pin_loopback {{
    ip saddr != {{ 127.0.0.1, {v4} }} goto refused
    ip6 saddr != {{ ::1, {v6} }} goto refused
  }}
  chain refused {{
    meta l4proto tcp reject with tcp reset
    reject with icmpx type admin-prohibited
  }}
  chain other_udp {{
    type route hook output priority mangle; policy accept;
    meta l4proto udp udp dport != 53 jump far
  }}
  chain hand_over {{
    type filter hook prerouting priority mangle; policy accept;
{hand_over}  }}
  chain redirect_all {{
    type nat hook output priority -100; policy accept;
    meta l4proto {{ tcp, udp }} th dport 53 redirect to :{DNS_PORT}
{host_ports}    ip daddr {{ 127.0.0.0/8, {v4} }} accept
    ip6 daddr {{ ::1, {v6} }} accept
    meta l4proto tcp redirect to :{GATEWAY_PORT}
  }}
  chain leave {{
    type filter hook output priority filter; policy accept;
    ct state invalid drop
    meta mark {FAR} accept
    ip daddr {{ 127.0.0.0/8, {v4} }} accept
    ip6 daddr {{ ::1, {v6} }} accept
    reject with icmpx type admin-prohibited
  }}
  chain arrive {{
    type filter hook input priority filter; policy accept;
    meta mark {FAR} accept
    ip daddr 127.0.0.1 jump no_backdoor
    ip6 daddr ::1 jump no_backdoor
  }}
  chain no_backdoor {{
    meta l4proto {{ tcp, udp }} th dport {{ {UDP_PORT}, {DNS_PORT}, {GATEWAY_PORT} }} ct status and dnat == 0 reject
  }}
}}
",
        host_ports = to_the_host(host_ports),
        to_egret = listed(&[&[53], host_ports].concat()),
    )
}

fn to_the_host(ports: &[u16]) -> String {
    if ports.is_empty() {
        return String::new();
    }
    format!("    tcp dport {{ {} }} redirect to :{GATEWAY_PORT}\n", listed(ports))
}

fn listed(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    ports.join(", ")
}

fn hand_over(family: Family) -> String {
    let to = match family {
        Family::V4 => format!("meta nfproto ipv4 meta l4proto udp tproxy ip to 127.0.0.1:{UDP_PORT}"),
        Family::V6 => format!("meta nfproto ipv6 meta l4proto udp tproxy ip6 to [::1]:{UDP_PORT}"),
    };
    format!("    meta mark {FAR} {to} accept\n")
}

fn run(tool: Tool, args: &[&str], input: &str) -> Result<(), Refusal> {
    let path = search_path();
    let output = output(tool, args, input, &path).map_err(|error| match is_in(&path, tool.as_str().as_ref()) {
        true => Refusal::of_unusable(tool, &error),
        false => Refusal::ToolMissing { tool },
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Refusal::of_tool(tool, &String::from_utf8_lossy(&output.stderr)))
}

fn search_path() -> OsString {
    let mut path = OsString::from(TOOL_FOLDERS);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

fn output(tool: Tool, args: &[&str], input: &str, path: &OsStr) -> io::Result<Output> {
    let mut child = Command::new(tool.as_str())
        .args(args)
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that does not read says why at its end.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_ports_are_redirected_before_loopback_is_left_alone() {
        let text = rules(&[Family::V4], Sources::default(), &[5432, 6379]);
        let redirect = text.find("tcp dport { 5432, 6379 } redirect to :65129").unwrap();
        let loopback = text.find("ip daddr { 127.0.0.0/8, 192.0.0.8 } accept").unwrap();
        assert!(redirect < loopback, "{text}");
        assert!(!rules(&[Family::V4], Sources::default(), &[]).contains("tcp dport {"));
    }

    #[test]
    fn a_kernel_without_ipv6_is_asked_for_none() {
        assert!(rules(&[Family::V4, Family::V6], Sources::default(), &[]).contains("tproxy ip6"));
        assert!(!rules(&[Family::V4], Sources::default(), &[]).contains("tproxy ip6"));
    }

    #[test]
    fn without_an_ipv6_route_there_is_no_address_either() {
        let check = |ipv6, expected| {
            assert_eq!(addresses(Family::V6, Sources::default(), ipv6).contains("100:0:0:1::8"), expected, "{ipv6:?}");
        };
        check(Ipv6::Routed, true);
        check(Ipv6::Loopback, false);
    }
}
