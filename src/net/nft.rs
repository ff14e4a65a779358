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
//! Left alone: Egret's own sockets, by their mark; what is for this machine itself; broadcast, multicast and IPv6
//! link-local addresses, which no router forwards to anybody.
//!
//! The rules hold no policy. They fail closed: where nobody listens, what was to be handed over is dropped.

mod command;
mod routing;
mod surroundings;
mod text;

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::config::{GatewayConfig, HandOver, Interface, Mark};
use crate::policy::{DnatRule, RuleSet, Rules};

pub(crate) use command::NftError;
use command::{Program, run};
use routing::Family;
pub(crate) use surroundings::warnings;

/// The table's family and name.
const TABLE: &str = "inet egret";

/// What the rules are written from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    mode: HandOver,
    listeners: Listeners,
    mark: Mark,
    clients: Clients,
    own: OwnTraffic,
    /// Their destinations are handed over although they may be this machine itself.
    inbound: Vec<DnatRule>,
    answers: Answers,
}

/// To whom servers answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    ToEgret,
    /// To clients as well: what belongs to a connection of Egret's comes here all the same.
    ToClients,
}

/// Where Egret listens, at most once a family. What comes in the other family is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listeners {
    v4: Option<SocketAddrV4>,
    v6: Option<SocketAddrV6>,
}

/// Whose traffic is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Clients {
    /// Whatever this machine would forward, for containers and virtual machines too.
    AllForwarded,
    /// Only what comes in by these interfaces. Nothing is forwarded to them either.
    Interfaces(Vec<Interface>),
}

/// What becomes of what this machine itself sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnTraffic {
    LeftAlone,
    /// All but Egret's.
    Filtered,
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
}

impl Listeners {
    fn new(addrs: &[SocketAddr]) -> Result<Listeners, SpecError> {
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

impl Spec {
    pub(crate) fn of(gateway: &GatewayConfig, rules: &RuleSet) -> Result<Spec, SpecError> {
        let names = gateway.interfaces.clone();
        let spec = Spec {
            mode: gateway.mode,
            listeners: Listeners::new(&gateway.listen)?,
            mark: gateway.mark,
            clients: if names.is_empty() { Clients::AllForwarded } else { Clients::Interfaces(names) },
            own: if gateway.local { OwnTraffic::Filtered } else { OwnTraffic::LeftAlone },
            inbound: translations(rules),
            answers: if gateway.keeps_client.is_empty() { Answers::ToEgret } else { Answers::ToClients },
        };
        match (spec.mode, spec.loopback_listener()) {
            (HandOver::Redirect, Some(addr)) if spec.has_other_clients() => Err(SpecError::Loopback(addr)),
            _ => Ok(spec),
        }
    }

    fn loopback_listener(&self) -> Option<SocketAddr> {
        self.listeners.each().map(|(_, addr)| addr).find(|addr| addr.ip().is_loopback())
    }

    /// Than this machine itself.
    fn has_other_clients(&self) -> bool {
        match &self.clients {
            Clients::AllForwarded => true,
            Clients::Interfaces(names) => names.iter().any(|name| name.single() != Some("lo")),
        }
    }

    /// The families that need a route for what TPROXY leads here.
    fn routed(&self) -> impl Iterator<Item = Family> {
        let needed = self.mode == HandOver::Tproxy;
        self.listeners.each().map(|(family, _)| family).filter(move |_| needed)
    }
}

/// A policy's DNAT rules. One that names an empty IP group is skipped, as Azure does.
fn translations(rules: &RuleSet) -> Vec<DnatRule> {
    let groups = rules.policies.iter().flat_map(|policy| &policy.groups);
    let dnat = groups.flat_map(|group| &group.collections).flat_map(|collection| match &collection.rules {
        Rules::Dnat(rules) => rules.as_slice(),
        Rules::Network(..) | Rules::Application(..) => &[],
    });
    dnat.filter(|rule| !rule.destinations.has_empty_group() && !rule.sources.has_empty_group()).cloned().collect()
}

/// The rules in force, removed when this is dropped: what is forwarded then goes unfiltered, where the machine
/// forwards at all. A process that is killed leaves them, and they drop what nobody takes. A table that somebody else
/// has put in its place stays.
#[derive(Debug)]
pub(crate) struct Installed {
    /// None once it was removed.
    table: Option<Handle>,
}

/// The kernel's number of a table, which no other one ever gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Handle(u64);

/// What is in force where it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// What was written last.
    Own,
    /// What somebody else wrote in its place.
    Others,
    /// No rules: what is forwarded goes unfiltered.
    Nothing,
}

impl Installed {
    /// Writes the rules in place of whatever Egret wrote before. Where it fails, all is as it was.
    pub(crate) fn install(spec: &Spec) -> Result<Installed, NftError> {
        Ok(Installed { table: Some(write(spec)?) })
    }

    /// The rules of another policy, or of the same one. Where it fails, all is as it was: never are there none, for what
    /// is forwarded would go unfiltered.
    pub(crate) fn replace(&mut self, spec: &Spec) -> Result<(), NftError> {
        self.table = Some(write(spec)?);
        Ok(())
    }

    pub(crate) fn standing(&self) -> Result<Standing, NftError> {
        Ok(match handle()? {
            None => Standing::Nothing,
            now if now == self.table => Standing::Own,
            Some(_) => Standing::Others,
        })
    }

    pub(crate) fn remove(mut self) -> Result<(), NftError> {
        self.remove_own()
    }

    fn remove_own(&mut self) -> Result<(), NftError> {
        if self.table.is_none() {
            return Ok(());
        }
        let standing = self.standing();
        self.table = None;
        match standing? {
            Standing::Own => down(),
            // Its routing leads nowhere without it.
            Standing::Nothing => routing::clear(|_, _| true),
            Standing::Others => Ok(()),
        }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if let Err(error) = self.remove_own() {
            tracing::warn!("the gateway's rules may still be there: {error}");
        }
    }
}

/// Writes the rules in place of whatever Egret wrote before. Where it fails, all is as it was.
pub(crate) fn up(spec: &Spec) -> Result<(), NftError> {
    write(spec).map(|_| ())
}

/// The routing comes first and the table last, in one transaction, so that what fails leaves the former rules whole.
fn write(spec: &Spec) -> Result<Handle, NftError> {
    let before = routing::own()?;
    let written = routing::add(spec, &before).and_then(|()| load(spec)).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = routing::clear(|family, mark| !before.contains(&(family, mark)));
    })?;
    if let Err(error) = routing::clear(|family, mark| !routing::is_for(spec, family, mark)) {
        // Nothing has its mark any more.
        tracing::warn!("routing of the gateway's former rules was left behind: {error}");
    }
    Ok(written)
}

/// The number of the table is told by the transaction that writes it: later it might be another's. An nft that does not
/// tell it is an error, and leaves what it wrote only where there were rules before.
fn load(spec: &Spec) -> Result<Handle, NftError> {
    let fresh = handle()?.is_none();
    let echoed = run(Program::Nft, &["-e", "-a", "-f", "-"], &text::ruleset(spec))?;
    let added = echoed.lines().rev().find_map(|line| numbered(line.strip_prefix("add ")?));
    added.ok_or(NftError::NotNumbered).inspect_err(|_| {
        if fresh {
            // The first error is the one to tell.
            let _ = run(Program::Nft, &["-f", "-"], text::REMOVAL);
        }
    })
}

/// Of `table inet egret # handle 7`, as nft shows a table by itself and with what is in it.
fn numbered(line: &str) -> Option<Handle> {
    let (shown, number) = line.strip_prefix("table ")?.strip_prefix(TABLE)?.split_once("# handle ")?;
    let ours = matches!(shown.trim(), "" | "{");
    number.trim().parse().ok().filter(|_| ours).map(Handle)
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

impl InForce {
    /// Half of it is of no use: what is handed over would go nowhere.
    pub(crate) fn lack(&self) -> Option<&'static str> {
        let wanted = self.table.as_deref().is_some_and(|table| table.contains("tproxy"));
        match (wanted, self.routing.is_empty()) {
            (true, true) => Some("the routing that TPROXY needs is not there\n  = mend: egret gateway up"),
            (false, false) => Some("routing of Egret's was left behind\n  = mend: egret gateway down"),
            _ => None,
        }
    }
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

/// None where there is no table.
fn handle() -> Result<Option<Handle>, NftError> {
    let listed = listed(&["-t", "-a"])?;
    listed.map(|listed| listed.lines().find_map(numbered).ok_or(NftError::NotNumbered)).transpose()
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
    fn loopback_and_redirect() {
        let spec = |mode, listener: &str, interfaces: &[&str]| {
            let gateway = config(&[listener], interfaces);
            Spec::of(&GatewayConfig { mode, ..gateway }, &RuleSet::default())
        };
        let loopback = SpecError::Loopback("127.0.0.1:3129".parse().unwrap());
        for interfaces in [&[][..], &["eth1"], &["lo", "eth1"]] {
            assert_eq!(spec(HandOver::Redirect, "127.0.0.1:3129", interfaces), Err(loopback.clone()));
        }
        assert!(spec(HandOver::Redirect, "127.0.0.1:3129", &["lo"]).is_ok());
        assert!(spec(HandOver::Redirect, "10.0.0.1:3129", &[]).is_ok());
        assert!(spec(HandOver::Tproxy, "127.0.0.1:3129", &[]).is_ok());
    }

    fn config(listen: &[&str], interfaces: &[&str]) -> GatewayConfig {
        let interfaces = interfaces.iter().map(ToString::to_string).collect();
        let flags = crate::config::Overrides { interfaces, ..Default::default() };
        let loaded = crate::config::load(&flags, crate::config::DefaultFile::Ignored).unwrap();
        GatewayConfig { listen: addrs(listen), ..loaded.config.gateway }
    }

    /// Runs a test again in a network namespace of its own, where it is the only one to write rules.
    fn alone(name: &str, test: fn()) {
        if std::env::var_os("EGRET_TEST_ALONE").is_some() {
            return test();
        }
        let name = format!("net::nft::tests::{name}");
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("EGRET_NO_SKIP").is_none(), "no root, and no test may be skipped here");
            use std::io::Write;
            // The harness captures what is printed; a skip has to be seen.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {name} needs root");
            return;
        }
        let mut alone = std::process::Command::new("unshare");
        alone
            .args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
            .arg(std::env::current_exe().unwrap());
        let output = alone.args(["--exact", &name]).env("EGRET_TEST_ALONE", "1").output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
    }

    #[test]
    fn what_was_installed_is_removed_unless_it_was_replaced() {
        alone("what_was_installed_is_removed_unless_it_was_replaced", install_and_remove);
    }

    #[test]
    fn numbers_of_tables() {
        for line in ["table inet egret # handle 7", "table inet egret { # handle 7"] {
            assert_eq!(numbered(line), Some(Handle(7)), "{line}");
        }
        for line in
            ["table inet egret2 # handle 7", "table ip egret # handle 7", "table inet egret", "chain c # handle 7"]
        {
            assert_eq!(numbered(line), None, "{line}");
        }
    }

    #[test]
    fn a_failed_replacement_leaves_the_former_rules() {
        alone("a_failed_replacement_leaves_the_former_rules", fail_to_replace);
    }

    /// Without `lo` IPv6 takes no route over it; IPv4 does.
    fn fail_to_replace() {
        let spec = |listen: &[&str]| Spec::of(&config(listen, &[]), &RuleSet::default()).unwrap();
        let (first, second) = (spec(&["0.0.0.0:3129"]), spec(&["0.0.0.0:3131", "[::]:3131"]));
        let mut installed = Installed::install(&first).unwrap();
        run(Program::Ip, &["link", "set", "lo", "down"], "").unwrap();
        let before = (in_force().unwrap().table, routing::own().unwrap());
        let error = installed.replace(&second).unwrap_err();
        assert!(matches!(error, NftError::LoopbackDown { .. }), "{error}");
        assert_eq!((in_force().unwrap().table, routing::own().unwrap()), before);
        assert!(before.0.unwrap().contains("tproxy ip to :3129"));
        assert_eq!(installed.standing().unwrap(), Standing::Own);
        run(Program::Ip, &["link", "set", "lo", "up"], "").unwrap();
        installed.replace(&second).unwrap();
        assert!(in_force().unwrap().table.unwrap().contains("tproxy ip6 to :3131"));
        installed.remove().unwrap();
        assert_eq!(in_force().unwrap(), InForce { table: None, routing: Vec::new() });
    }

    fn install_and_remove() {
        let spec = |listen: &str| Spec::of(&config(&[listen], &[]), &RuleSet::default()).unwrap();
        let table = || in_force().unwrap().table;
        let nothing = InForce { table: None, routing: Vec::new() };
        let first = Installed::install(&spec("0.0.0.0:3129")).unwrap();
        assert!(table().unwrap().contains("tproxy ip to :3129"));
        drop(first);
        assert_eq!(in_force().unwrap(), nothing);
        let mut second = Installed::install(&spec("0.0.0.0:3130")).unwrap();
        second.replace(&spec("0.0.0.0:3131")).unwrap();
        assert!(table().unwrap().contains("tproxy ip to :3131"));
        let third = Installed::install(&spec("0.0.0.0:3132")).unwrap();
        assert_eq!(second.standing().unwrap(), Standing::Others);
        second.remove().unwrap();
        assert!(table().unwrap().contains("tproxy ip to :3132"));
        third.remove().unwrap();
        assert_eq!(in_force().unwrap(), nothing);
        let fourth = Installed::install(&spec("0.0.0.0:3133")).unwrap();
        run(Program::Nft, &["delete", "table", "inet", "egret"], "").unwrap();
        assert_eq!(fourth.standing().unwrap(), Standing::Nothing);
        fourth.remove().unwrap();
        assert_eq!(in_force().unwrap(), nothing);
    }
}
