//! The kernel's part of the gateway: nftables rules that hand clients' connections over to Egret's listeners.
//!
//! Everything is in one table, `inet egret`, and beside it, for TPROXY, in one routing rule and one route a family.
//! The table is replaced whole in one transaction, so writing it twice changes nothing, and what a crash left behind
//! is replaced by the next start. Nobody else's tables, rules, routes or sysctls are touched; what of them is in the
//! way is told by [`warnings`].
//!
//! What is handed over, and what never gets past Egret:
//!
//! - forwarded TCP, and with TPROXY forwarded UDP, wherever it goes;
//! - what is sent to the destinations of DNAT rules, on any interface;
//! - with [`OwnTraffic::Filtered`], what this machine itself sends;
//! - everything else that is forwarded from or to the clients is dropped, also what conntrack calls established: a
//!   connection that was forwarded before the rules came would pass by the policy for as long as it lives.
//!
//! Left alone: Egret's own sockets, by their mark; what is for this machine itself; broadcast, multicast and
//! link-local addresses, which no router forwards to anybody.
//!
//! The rules hold no policy. They fail closed: where nobody listens, what was to be handed over is dropped.

mod command;
mod routing;
mod surroundings;
mod text;

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::policy::{AddressSet, DnatRule, IpProtocols, RuleSet, Rules};

pub(crate) use command::NftError;
use command::{Program, run};
use routing::Family;
pub(crate) use surroundings::warnings;

/// The table's family and name.
const TABLE: &str = "inet egret";

/// What the rules are written from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) mode: Mode,
    pub(crate) listeners: Listeners,
    pub(crate) mark: Mark,
    pub(crate) clients: Clients,
    pub(crate) own: OwnTraffic,
    pub(crate) inbound: Vec<Inbound>,
}

/// How the kernel hands a connection over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The packet keeps its destination and is given to a transparent socket: TCP and UDP.
    Tproxy,
    /// The destination becomes the listener's, conntrack knows the original one: TCP only.
    Redirect,
}

/// Where Egret listens, at most once a family. What comes in the other family is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listeners {
    v4: Option<SocketAddrV4>,
    v6: Option<SocketAddrV6>,
}

/// The mark of Egret's own sockets. The one after it marks what TPROXY leads here, and numbers its routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(u32);

/// Whose traffic is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Clients {
    /// Whatever this machine would forward, for containers and virtual machines too.
    AllForwarded,
    /// Only what comes in by these interfaces. Nothing is forwarded to them either.
    Interfaces(Vec<Interface>),
}

/// The name of a network interface, or its beginning and `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface(String);

/// What becomes of what this machine itself sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnTraffic {
    LeftAlone,
    /// All but Egret's.
    Filtered,
}

/// The destination of a DNAT rule: handed over although it may be this machine itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inbound {
    rule: DnatRule,
}

/// What no rules can be written from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpecError {
    #[error(
        "the gateway has no listener\n  = mend: say where it listens: --gateway 0.0.0.0:3129, or `listen` in [gateway]"
    )]
    NoListener,
    #[error(
        "the gateway listens on {0} and on {1}: the rules can lead to one listener a family\n  = mend: leave one out"
    )]
    TwoListeners(SocketAddr, SocketAddr),
    #[error(
        "the gateway listens on {0}: the rules have to name a port\n  = mend: take a port of your own, such as 3129"
    )]
    AnyPort(SocketAddr),
    #[error(
        "the gateway listens on {0}, and the kernel redirects nothing from other machines to loopback\n  \
         = mend: listen on 0.0.0.0:{port}, take the mode tproxy, or for this machine's own traffic alone \
         the interface lo and `local = true`", port = .0.port()
    )]
    Loopback(SocketAddr),
    #[error(
        "the mark {0} cannot be used: the one after it numbers a routing table\n  = mend: take one from 1 to 4294967293 that is not 252, 253 or 254"
    )]
    Mark(u32),
    #[error(
        "`{0}` is no name of a network interface\n  = mend: write it as `ip link` does, such as eth1, or br-* for all that begin so"
    )]
    Interface(String),
}

impl Listeners {
    pub(crate) fn new(addrs: &[SocketAddr]) -> Result<Listeners, SpecError> {
        let mut listeners = Listeners { v4: None, v6: None };
        for addr in addrs {
            let earlier = match *addr {
                _ if addr.port() == 0 => return Err(SpecError::AnyPort(*addr)),
                SocketAddr::V4(v4) => listeners.v4.replace(v4).map(SocketAddr::V4),
                SocketAddr::V6(v6) => listeners.v6.replace(v6).map(SocketAddr::V6),
            };
            if let Some(earlier) = earlier {
                return Err(SpecError::TwoListeners(earlier, *addr));
            }
        }
        if addrs.is_empty() { Err(SpecError::NoListener) } else { Ok(listeners) }
    }

    fn each(&self) -> impl Iterator<Item = (Family, SocketAddr)> {
        let v4 = self.v4.map(|addr| (Family::V4, SocketAddr::V4(addr)));
        let v6 = self.v6.map(|addr| (Family::V6, SocketAddr::V6(addr)));
        v4.into_iter().chain(v6)
    }

    fn of(&self, family: Family) -> Option<SocketAddr> {
        self.each().find(|(each, _)| *each == family).map(|(_, addr)| addr)
    }
}

impl Mark {
    /// Tables 0 and 253 to 255 are the kernel's.
    pub(crate) fn new(mark: u32) -> Result<Mark, SpecError> {
        match mark {
            0 | 252..=254 | 4_294_967_294.. => Err(SpecError::Mark(mark)),
            mark => Ok(Mark(mark)),
        }
    }

    /// Of what TPROXY leads here; also the number of the routing table.
    fn routing(self) -> u32 {
        self.0 + 1
    }
}

impl Interface {
    /// As the kernel takes them: at most 15 bytes, no blank, no slash. A quote would end the text in which it stands.
    pub(crate) fn new(name: &str) -> Result<Interface, SpecError> {
        let known = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '"' | '\\' | '*');
        let stem = name.strip_suffix('*').unwrap_or(name);
        let fits = (1..=15).contains(&stem.len()) && stem.chars().all(known) && !matches!(stem, "." | "..");
        if fits { Ok(Interface(name.to_owned())) } else { Err(SpecError::Interface(name.to_owned())) }
    }

    /// None where it stands for several.
    fn single(&self) -> Option<&str> {
        (!self.0.ends_with('*')).then_some(&*self.0)
    }
}

impl Inbound {
    /// The destinations of a policy's DNAT rules. A rule that names an empty IP group is skipped, as Azure does.
    pub(crate) fn of(rules: &RuleSet) -> Vec<Inbound> {
        let groups = rules.policies.iter().flat_map(|policy| &policy.groups);
        let dnat = groups.flat_map(|group| &group.collections).flat_map(|collection| match &collection.rules {
            Rules::Dnat(rules) => rules.as_slice(),
            Rules::Network(..) | Rules::Application(..) => &[],
        });
        let kept = dnat.filter(|rule| !rule.destinations.has_empty_group() && !rule.sources.has_empty_group());
        kept.map(|rule| Inbound { rule: rule.clone() }).collect()
    }

    fn protocols(&self) -> IpProtocols {
        self.rule.protocols
    }

    fn destinations(&self) -> &AddressSet {
        &self.rule.destinations
    }
}

impl Spec {
    /// What can be known to be of no use before the kernel is asked.
    pub(crate) fn checked(self) -> Result<Spec, SpecError> {
        let loopback = self.listeners.each().map(|(_, addr)| addr).find(|addr| addr.ip().is_loopback());
        let others = match &self.clients {
            Clients::AllForwarded => true,
            Clients::Interfaces(names) => names.iter().any(|name| name.0 != "lo"),
        };
        match (self.mode, loopback) {
            (Mode::Redirect, Some(addr)) if others => Err(SpecError::Loopback(addr)),
            _ => Ok(self),
        }
    }

    /// The families that need a route for what TPROXY leads here.
    fn routed(&self) -> impl Iterator<Item = Family> {
        let needed = self.mode == Mode::Tproxy;
        self.listeners.each().map(|(family, _)| family).filter(move |_| needed)
    }
}

/// The rules in force, removed when this is dropped. A table that somebody else has put in its place stays.
#[derive(Debug)]
pub(crate) struct Installed {
    /// The kernel's number of the table; None once it was removed.
    handle: Option<String>,
}

impl Installed {
    /// Writes the rules in place of whatever Egret wrote before. Where it fails, no rule of Egret's is left.
    pub(crate) fn install(spec: &Spec) -> Result<Installed, NftError> {
        up(spec)?;
        Ok(Installed { handle: Some(handle()?) })
    }

    /// The rules of another policy, or of the same one.
    pub(crate) fn replace(&mut self, spec: &Spec) -> Result<(), NftError> {
        up(spec)?;
        self.handle = Some(handle()?);
        Ok(())
    }

    pub(crate) fn remove(mut self) -> Result<(), NftError> {
        self.remove_own()
    }

    fn remove_own(&mut self) -> Result<(), NftError> {
        match self.handle.take() {
            Some(mine) if handle().is_ok_and(|now| now == mine) => down(),
            _ => Ok(()),
        }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if let Err(error) = self.remove_own() {
            tracing::warn!("the gateway's rules are still there: {error}");
        }
    }
}

/// Writes the rules in place of whatever Egret wrote before. Where it fails, no rule of Egret's is left, or all of
/// those that were there.
pub(crate) fn up(spec: &Spec) -> Result<(), NftError> {
    run(Program::Nft, &["-f", "-"], &text::ruleset(spec))?;
    routing::set(spec).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = down();
    })
}

/// Removes whatever Egret wrote, and nothing else. Without any it is done at once.
pub(crate) fn down() -> Result<(), NftError> {
    run(Program::Nft, &["-f", "-"], text::REMOVAL)?;
    routing::clear(|_, _| true)
}

/// What of Egret's is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InForce {
    /// As `nft list table` shows it.
    pub(crate) table: Option<String>,
    /// Routing rules and routes, as commands that would write them.
    pub(crate) routing: Vec<String>,
}

pub(crate) fn in_force() -> Result<InForce, NftError> {
    Ok(InForce { table: listed(&[])?, routing: routing::in_force()? })
}

/// The table in nft's own JSON.
pub(crate) fn table_json() -> Result<Option<String>, NftError> {
    listed(&["-j"])
}

fn listed(flags: &[&str]) -> Result<Option<String>, NftError> {
    let tables = run(Program::Nft, &["list", "tables"], "")?;
    if !tables.lines().any(|line| line.trim() == format!("table {TABLE}")) {
        return Ok(None);
    }
    let mut args = flags.to_vec();
    args.extend(["list", "table"]);
    args.extend(TABLE.split(' '));
    run(Program::Nft, &args, "").map(Some)
}

/// The kernel's number of the table, which no other one ever gets.
fn handle() -> Result<String, NftError> {
    let listed = listed(&["-t", "-a"])?.unwrap_or_default();
    let number = listed.lines().next().and_then(|line| line.rsplit_once("# handle ")).map(|(_, number)| number.trim());
    Ok(number.unwrap_or_default().to_owned())
}

/// What [`up`] does, as a script for people to read or run.
pub(crate) fn up_script(spec: &Spec) -> String {
    format!("{}\nnft -f - <<'EOF'\n{}EOF\n{}", SCRIPT_HEAD, text::ruleset(spec), routing::set_script(spec))
}

/// What [`down`] does.
pub(crate) fn down_script() -> String {
    format!("{}\nnft -f - <<'EOF'\n{}EOF\n{}", SCRIPT_HEAD, text::REMOVAL, routing::CLEAR_SCRIPT)
}

const SCRIPT_HEAD: &str = "#!/bin/sh\nset -e\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn listeners() {
        let check = |given: &[&str], expected: SpecError| {
            assert_eq!(Listeners::new(&addrs(given)).unwrap_err(), expected, "{given:?}");
        };
        let addr = |text: &str| text.parse().unwrap();
        assert!(Listeners::new(&addrs(&["0.0.0.0:3129", "[::]:3130"])).is_ok());
        check(&[], SpecError::NoListener);
        check(&["0.0.0.0:0"], SpecError::AnyPort(addr("0.0.0.0:0")));
        check(&["10.0.0.1:1", "10.0.0.2:1"], SpecError::TwoListeners(addr("10.0.0.1:1"), addr("10.0.0.2:1")));
    }

    #[test]
    fn marks() {
        for good in [1, 251, 255, 17767, 4_294_967_293] {
            assert_eq!(Mark::new(good).unwrap().routing(), good + 1);
        }
        for bad in [0, 252, 253, 254, u32::MAX - 1, u32::MAX] {
            assert_eq!(Mark::new(bad), Err(SpecError::Mark(bad)));
        }
    }

    #[test]
    fn interfaces() {
        for good in ["eth1", "br-*", "veth0.100", "wg0", "a23456789012345", "eth0@x"] {
            assert!(Interface::new(good).is_ok(), "{good}");
        }
        for bad in ["", "*", "eth 1", "e\"; flush ruleset", "a/b", "a234567890123456", "br*x", "..", "é", "a\n"] {
            assert_eq!(Interface::new(bad), Err(SpecError::Interface(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn loopback_and_redirect() {
        let spec = |mode, listener: &str, clients| Spec {
            mode,
            listeners: Listeners::new(&addrs(&[listener])).unwrap(),
            mark: Mark::new(17767).unwrap(),
            clients,
            own: OwnTraffic::Filtered,
            inbound: Vec::new(),
        };
        let only = |name| Clients::Interfaces(vec![Interface::new(name).unwrap()]);
        let loopback = SpecError::Loopback("127.0.0.1:3129".parse().unwrap());
        let refused = |clients| spec(Mode::Redirect, "127.0.0.1:3129", clients).checked();
        assert_eq!(refused(Clients::AllForwarded).unwrap_err(), loopback);
        assert_eq!(refused(only("eth1")).unwrap_err(), loopback);
        assert!(refused(only("lo")).is_ok());
        assert!(spec(Mode::Redirect, "10.0.0.1:3129", only("eth1")).checked().is_ok());
        assert!(spec(Mode::Tproxy, "127.0.0.1:3129", only("eth1")).checked().is_ok());
    }
}
