//! The gateway's and the DNS proxy's settings: as a file says them, as flags do, and what both come to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

use crate::flow::Profile;
use crate::policy::{AddressRange, DnatDeny};

use super::error::{Findings, Problem};
use super::kernel::{Interface, Mark};
use super::load::{Overrides, Purpose};
use super::reader::Section;
use super::resolved::{
    DeniedTcp, DeniedUdp, DnsMode, DnsProxyConfig, GatewayConfig, HandOver, HostWithoutPort, KernelRules, Snat,
    Synthetic, SyntheticNames,
};
use super::settings::{given, many, one, read_each, read_word};
use super::values;

/// None is what an origin does not speak of.
#[derive(Debug, Default)]
pub(super) struct GatewaySettings {
    purpose: Purpose,
    listen: Option<Vec<SocketAddr>>,
    mode: Option<HandOver>,
    rules: Option<KernelRules>,
    interfaces: Option<Vec<Interface>>,
    local: Option<bool>,
    mark: Option<Mark>,
    denied_tcp: Option<DeniedTcp>,
    denied_udp: Option<DeniedUdp>,
    host_without_port: Option<HostWithoutPort>,
    dnat_deny: Option<DnatDeny>,
    snat: Option<Snat>,
    /// Of a policy only.
    private_ranges: Option<Vec<AddressRange>>,
}

impl GatewaySettings {
    pub(super) fn of_file(gateway: &Section, findings: &mut Findings) -> GatewaySettings {
        GatewaySettings {
            purpose: Purpose::default(),
            listen: gateway.list("listen").map(|texts| read_each(&texts, findings, values::listen)),
            mode: read_word(gateway.text("mode"), values::HAND_OVERS, findings),
            rules: read_word(gateway.text("rules"), values::KERNEL_RULES, findings),
            interfaces: gateway.list("interfaces").map(|texts| read_each(&texts, findings, Interface::parse)),
            local: gateway.flag("local"),
            mark: gateway.count("mark").and_then(|mark| mark.read(findings, |mark| Mark::parse(*mark))),
            denied_tcp: read_word(gateway.text("denied_tcp"), values::DENIED_TCP, findings),
            denied_udp: read_word(gateway.text("denied_udp"), values::DENIED_UDP, findings),
            host_without_port: read_word(gateway.text("host_without_port"), values::HOSTS_WITHOUT_PORT, findings),
            dnat_deny: read_word(gateway.text("dnat_deny"), values::DNAT_DENIES, findings),
            snat: read_word(gateway.text("snat"), values::SNATS, findings),
            private_ranges: None,
        }
    }

    pub(super) fn of_flags(flags: &Overrides, findings: &mut Findings) -> GatewaySettings {
        let Overrides { purpose, gateway, gateway_mode, gateway_rules, interfaces, .. } = flags;
        let each = |flag, texts: &[String]| given(many(flag, texts));
        let (listen, interfaces) = (each("--gateway", gateway), each("--interface", interfaces));
        GatewaySettings {
            purpose: *purpose,
            listen: listen.map(|texts| read_each(&texts, findings, values::listen)),
            mode: read_word(one("--gateway-mode", gateway_mode), values::HAND_OVERS, findings),
            rules: read_word(one("--gateway-rules", gateway_rules), values::KERNEL_RULES, findings),
            interfaces: interfaces.map(|texts| read_each(&texts, findings, Interface::parse)),
            ..GatewaySettings::default()
        }
    }

    pub(super) fn over(self, file: GatewaySettings) -> GatewaySettings {
        GatewaySettings {
            purpose: self.purpose,
            listen: self.listen.or(file.listen),
            mode: self.mode.or(file.mode),
            rules: self.rules.or(file.rules),
            interfaces: self.interfaces.or(file.interfaces),
            local: self.local.or(file.local),
            mark: self.mark.or(file.mark),
            denied_tcp: self.denied_tcp.or(file.denied_tcp),
            denied_udp: self.denied_udp.or(file.denied_udp),
            host_without_port: self.host_without_port.or(file.host_without_port),
            dnat_deny: self.dnat_deny.or(file.dnat_deny),
            snat: self.snat.or(file.snat),
            private_ranges: None,
        }
    }

    /// Where it listens, without the port; None where there is no gateway.
    pub(super) fn addresses(&self) -> Option<Vec<IpAddr>> {
        let listen = self.listen.as_ref().filter(|listen| !listen.is_empty())?;
        Some(listen.iter().map(SocketAddr::ip).collect())
    }

    /// Those of a policy.
    pub(super) fn or_private_ranges(self, ranges: Option<Vec<AddressRange>>) -> GatewaySettings {
        GatewaySettings { private_ranges: ranges, ..self }
    }

    pub(super) fn resolve(self, profile: Profile) -> GatewayConfig {
        let GatewaySettings {
            purpose,
            listen,
            mode,
            rules,
            interfaces,
            local,
            mark,
            denied_tcp,
            denied_udp,
            host_without_port,
            dnat_deny,
            snat,
            private_ranges,
        } = self;
        let (tcp, udp) = usual_denials(profile, purpose);
        GatewayConfig {
            listen: listen.unwrap_or_default(),
            mode: mode.unwrap_or_default(),
            rules: rules.unwrap_or_default(),
            interfaces: interfaces.unwrap_or_default(),
            local: local.unwrap_or(false),
            mark: mark.unwrap_or(Mark::USUAL),
            denied_tcp: denied_tcp.unwrap_or(tcp),
            denied_udp: denied_udp.unwrap_or(udp),
            host_without_port: host_without_port.unwrap_or_default(),
            dnat_deny: dnat_deny.unwrap_or_default(),
            keeps_client: match snat.unwrap_or_default() {
                Snat::Policy => private_ranges.unwrap_or_default(),
                Snat::Always => Vec::new(),
            },
        }
    }
}

/// Azure drops in silence, as far as that is known; what is safe says no at once.
fn usual_denials(profile: Profile, purpose: Purpose) -> (DeniedTcp, DeniedUdp) {
    match (profile, purpose) {
        (Profile::Azure, Purpose::Serve) => (DeniedTcp::Silence, DeniedUdp::Drop),
        (Profile::Strict, _) | (_, Purpose::Run) => (DeniedTcp::Reset, DeniedUdp::Unreachable),
    }
}

/// For tests of networks (RFC 2544): nobody has a server there.
const STAND_INS: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15));

/// The same for the DNS proxy.
#[derive(Debug, Default)]
pub(super) struct DnsProxySettings {
    purpose: Purpose,
    listen: Option<Vec<SocketAddr>>,
    mode: Option<DnsMode>,
    synthetic: Option<IpNet>,
}

impl DnsProxySettings {
    pub(super) fn of_file(dns: &Section, findings: &mut Findings) -> DnsProxySettings {
        DnsProxySettings {
            purpose: Purpose::default(),
            listen: dns.list("listen").map(|texts| read_each(&texts, findings, listen)),
            mode: read_word(dns.text("mode"), values::DNS_MODES, findings),
            synthetic: dns.text("synthetic").and_then(|text| text.read(findings, |text| values::synthetic(text))),
        }
    }

    pub(super) fn of_flags(flags: &Overrides, findings: &mut Findings) -> DnsProxySettings {
        let Overrides { purpose, dns, dns_mode, dns_synthetic, .. } = flags;
        let synthetic = one("--dns-synthetic", dns_synthetic);
        DnsProxySettings {
            purpose: *purpose,
            listen: given(many("--dns", dns)).map(|texts| read_each(&texts, findings, listen)),
            mode: read_word(one("--dns-mode", dns_mode), values::DNS_MODES, findings),
            synthetic: synthetic.and_then(|text| text.read(findings, |text| values::synthetic(text))),
        }
    }

    /// Port 53 of these addresses, where nobody said anything.
    pub(super) fn or_listen(self, addresses: Option<Vec<IpAddr>>) -> DnsProxySettings {
        let on_53 = |addresses: Vec<IpAddr>| addresses.into_iter().map(|addr| SocketAddr::new(addr, 53)).collect();
        DnsProxySettings { listen: self.listen.or(addresses.map(on_53)), ..self }
    }

    pub(super) fn over(self, file: DnsProxySettings) -> DnsProxySettings {
        DnsProxySettings {
            purpose: self.purpose,
            listen: self.listen.or(file.listen),
            mode: self.mode.or(file.mode),
            synthetic: self.synthetic.or(file.synthetic),
        }
    }

    pub(super) fn resolve(self, profile: Profile) -> (DnsProxyConfig, Option<Synthetic>) {
        let DnsProxySettings { purpose, listen, mode, synthetic } = self;
        let usual = match (profile, purpose) {
            (Profile::Azure, Purpose::Serve) => DnsMode::Azure,
            (Profile::Strict, _) | (_, Purpose::Run) => DnsMode::Strict,
        };
        let synthetic = match (synthetic, purpose) {
            (Some(net), _) => Some(Synthetic { net, names: SyntheticNames::All }),
            (None, Purpose::Run) => Some(Synthetic { net: STAND_INS, names: SyntheticNames::Redirected }),
            (None, Purpose::Serve) => None,
        };
        (DnsProxyConfig { listen: listen.unwrap_or_default(), mode: mode.unwrap_or(usual) }, synthetic)
    }
}

/// An address and a port to answer questions on; port 53 where none is given.
fn listen(text: &str) -> Result<SocketAddr, Problem> {
    values::name_server(text)
        .map_err(|_| Problem::new(format!("`{text}` is no address and port")).mend("write 127.0.0.1:53 or [::1]:53"))
}
