//! Verdicts, and the one stable code for each reason.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    Allow,
    Deny,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why a flow was allowed, denied or ended. The code is the same in logs, metrics, JSON and reports,
        /// and never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$name => $code,)*
                }
            }
        }
    };
}

reasons! {
    /// A network rule allows it.
    NetworkRule = "network-rule",
    /// An application rule allows it.
    ApplicationRule = "application-rule",
    /// A DNAT rule translates and allows it.
    DnatRule = "dnat-rule",
    /// The infrastructure rule collection allows it.
    Infrastructure = "infrastructure",
    /// A service endpoint takes it past the firewall.
    ServiceEndpoint = "service-endpoint",
    /// A route of the client's subnet leads past the firewall.
    RoutedPast = "routed-past-firewall",

    /// A network security group on its way denies it, before the firewall sees it.
    NsgDenied = "nsg-denied",
    /// The client's subnet has no route there, or one that drops it.
    NoRoute = "no-route",

    /// Threat intelligence knows it, and denies what it knows.
    ThreatIntel = "threat-intel",
    /// No rule matched.
    NotAllowed = "not-allowed",
    /// A rule whose action is Deny matched.
    DeniedByRule = "denied-by-rule",
    /// The destination is allowed, on another port.
    PortNotAllowed = "port-not-allowed",
    /// The destination and port are allowed, for another protocol.
    ProtoNotAllowed = "proto-not-allowed",

    /// The SNI is not the name that was asked for.
    SniConnectMismatch = "sni-connect-mismatch",
    MissingSni = "missing-sni",
    /// The first bytes are not a TLS ClientHello.
    NotTls = "not-tls",
    /// The first bytes are not a TDS pre-login (MSSQL).
    NotTds = "not-tds",
    HelloTooLarge = "hello-too-large",
    HelloTimeout = "hello-timeout",
    /// The client left before it said what it wants, or in the middle of a request.
    ClientGone = "client-gone",
    /// The ClientHello is malformed.
    BadHello = "bad-hello",
    /// The SNI is no host name.
    BadSni = "bad-sni",
    /// Encrypted ClientHello: the name inside cannot be seen.
    EchPresent = "ech-present",
    /// A second ClientHello named another host.
    SniChanged = "sni-changed",

    /// The URI names one host, the Host header another.
    HostUriMismatch = "host-uri-mismatch",
    BadHost = "bad-host",
    /// On the gateway: the port of the Host header is not the one that was connected to.
    HostPortMismatch = "host-port-mismatch",
    BadUpgrade = "bad-upgrade",
    BadFraming = "bad-framing",
    /// Not a request that a proxy can serve.
    BadRequest = "bad-request",
    BadName = "bad-name",
    /// A rule looks at the path, and two readers of this one could differ about it.
    BadPath = "bad-path",

    /// The address is loopback, link-local, metadata or otherwise internal.
    InternalAddress = "internal-address",
    /// The destination is Egret itself.
    Loop = "loop",

    /// A name that no rule could allow was asked of the DNS proxy.
    DnsNotAllowed = "dns-not-allowed",

    /// The proxy wants credentials that the client did not give.
    AuthRequired = "auth-required",
    /// The client has as many connections as it may.
    LimitClient = "limit-client",
    /// There are as many connections as there may be.
    LimitConnections = "limit-connections",
    LimitHead = "limit-head",
    /// The gateway carries as many UDP flows as it may.
    LimitFlows = "limit-flows",
    /// The log cannot be written, and the configuration says to refuse flows then.
    LogUnavailable = "log-unavailable",
    HeadTimeout = "head-timeout",

    /// A permitted name did not resolve.
    NameUnresolvable = "name-unresolvable",
    /// No address of a permitted destination answered.
    UpstreamUnreachable = "upstream-unreachable",
    UpstreamTimeout = "upstream-timeout",
    /// The origin's answer was not HTTP, or not the pre-login of a SQL Server that encrypts.
    UpstreamInvalid = "upstream-invalid",

    /// A reloaded policy denies a tunnel that the old one allowed.
    PolicyChanged = "policy-changed",
}

impl Reason {
    /// True where the network around the firewall denied it: the firewall never saw it.
    pub fn is_before_firewall(self) -> bool {
        matches!(self, Reason::NsgDenied | Reason::NoRoute)
    }

    /// True where the network around the firewall took it elsewhere: the firewall never saw it.
    pub fn is_past_firewall(self) -> bool {
        matches!(self, Reason::ServiceEndpoint | Reason::RoutedPast)
    }

    /// True where the policy or the network around it denied what was asked for: a rule or the lack of one, a group, a
    /// route, threat intelligence. Not what a client did wrong, what there was no room for, nor what failed; and not what
    /// Egret's own guard of internal addresses refuses, of which Azure knows nothing.
    pub fn is_denial(self) -> bool {
        match self {
            Reason::NsgDenied
            | Reason::NoRoute
            | Reason::ThreatIntel
            | Reason::NotAllowed
            | Reason::DeniedByRule
            | Reason::PortNotAllowed
            | Reason::ProtoNotAllowed
            | Reason::DnsNotAllowed
            | Reason::PolicyChanged => true,
            Reason::NetworkRule
            | Reason::ApplicationRule
            | Reason::DnatRule
            | Reason::Infrastructure
            | Reason::ServiceEndpoint
            | Reason::RoutedPast => false,
            Reason::SniConnectMismatch
            | Reason::MissingSni
            | Reason::NotTls
            | Reason::NotTds
            | Reason::HelloTooLarge
            | Reason::HelloTimeout
            | Reason::ClientGone
            | Reason::BadHello
            | Reason::BadSni
            | Reason::EchPresent
            | Reason::SniChanged
            | Reason::HostUriMismatch
            | Reason::BadHost
            | Reason::HostPortMismatch
            | Reason::BadUpgrade
            | Reason::BadFraming
            | Reason::BadRequest
            | Reason::BadName
            | Reason::BadPath
            | Reason::InternalAddress
            | Reason::Loop
            | Reason::AuthRequired => false,
            Reason::LimitClient
            | Reason::LimitConnections
            | Reason::LimitHead
            | Reason::LimitFlows
            | Reason::LogUnavailable
            | Reason::HeadTimeout => false,
            Reason::NameUnresolvable
            | Reason::UpstreamUnreachable
            | Reason::UpstreamTimeout
            | Reason::UpstreamInvalid => false,
        }
    }

    /// True where the destination failed, not the policy: these must never look like a denial.
    pub fn is_upstream_failure(self) -> bool {
        matches!(
            self,
            Reason::NameUnresolvable | Reason::UpstreamUnreachable | Reason::UpstreamTimeout | Reason::UpstreamInvalid
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeSet, HashSet};

    #[test]
    fn codes_are_unique_and_kebab_case() {
        let codes: HashSet<&str> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(codes.iter().all(|c| c.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }

    /// What becomes of the destination is never a denial, nor what was allowed.
    #[test]
    fn what_is_a_denial() {
        let denials = |reasons: &[Reason]| reasons.iter().filter(|reason| reason.is_denial()).count();
        let policys =
            [Reason::NotAllowed, Reason::DeniedByRule, Reason::NsgDenied, Reason::NoRoute, Reason::ThreatIntel];
        assert_eq!(denials(&policys), policys.len());
        let others = [
            Reason::ClientGone,
            Reason::LimitFlows,
            Reason::LogUnavailable,
            Reason::ApplicationRule,
            Reason::InternalAddress,
        ];
        assert_eq!(denials(&others), 0);
        let both = |reason: &&Reason| reason.is_denial() && (reason.is_upstream_failure() || reason.is_past_firewall());
        assert_eq!(Reason::ALL.iter().find(both), None);
    }

    #[test]
    fn the_manual_lists_every_code_and_no_other() {
        let text = include_str!("../../docs/log.md");
        let section = text.split("#### Reasons\n").nth(1).unwrap().split("\n#").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: BTreeSet<&str> = rows.filter_map(|row| row.split_once('`')).map(|(code, _)| code).collect();
        let codes: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(documented, codes);
    }
}
