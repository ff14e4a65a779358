//! The checks that look at one rule, one group or one policy; those of the whole order are told by their own file.

use super::finding::checks;

const FIREWALL: &str = "https://learn.microsoft.com/azure/firewall/";
const RULES: &str = "https://learn.microsoft.com/azure/firewall/rule-processing";
const KNOWN: &str = "https://learn.microsoft.com/azure/firewall/firewall-known-issues";
const FAQ: &str = "https://learn.microsoft.com/azure/firewall/firewall-faq";
const NAMES: &str = "https://learn.microsoft.com/azure/firewall/domain-filtering-overview";
const DNS: &str = "https://learn.microsoft.com/azure/firewall/dns-settings";
const FQDN_TAGS: &str = "https://learn.microsoft.com/azure/firewall/fqdn-tags";
const SERVICE_TAGS: &str = "https://learn.microsoft.com/azure/firewall/service-tags";
const GROUPS: &str = "https://learn.microsoft.com/azure/firewall/ip-groups";
const CATEGORIES: &str = "https://learn.microsoft.com/azure/firewall/web-categories";
const PREMIUM: &str = "https://learn.microsoft.com/azure/firewall/premium-features";
const TIERS: &str = "https://learn.microsoft.com/azure/firewall/features-by-sku";
const LIMITS: &str =
    "https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits";
const DNAT: &str = "https://learn.microsoft.com/azure/firewall/destination-nat-rules";
const SNAT: &str = "https://learn.microsoft.com/azure/firewall/snat-private-range";
const SQL: &str = "https://learn.microsoft.com/azure/firewall/sql-fqdn-filtering";
const HEADERS: &str = "https://learn.microsoft.com/azure/firewall/configure-http-header-insertion";
const THREATS: &str = "https://learn.microsoft.com/azure/firewall/threat-intel";
const PROXY: &str = "https://learn.microsoft.com/azure/firewall/explicit-proxy";
const SETS: &str = "https://learn.microsoft.com/azure/firewall/policy-rule-sets";
const PARENTS: &str = "https://learn.microsoft.com/azure/firewall-manager/rule-hierarchy";

checks! {
    /// In the order of `docs/lint.md`.
    CHECKS:

    // What opens more than it seems to.
    ALLOW_EVERYTHING = "allow-everything", Warning, Some(1), RULES,
        "a network rule allows everything",
        "Network rules are looked at before application rules, and the first match ends it. After a rule that allows any port of any address for anybody no other rule decides anything.";
    BROAD_NETWORK_RULE = "broad-network-rule", Warning, Some(1), RULES,
        "a network rule allows web ports to wide destinations",
        "A network rule that matches ends processing: application rules for the same flows, allow or deny, are never looked at, and no name is seen.";
    THREAT_ALERT_MASKED = "threat-alert-masked", Warning, Some(1), KNOWN,
        "a network rule keeps threat intelligence from seeing names",
        "Threat intelligence in alert mode learns names from the proxy of application rules. Web traffic that a network rule allows never gets there, so no name raises an alert.";
    QUIC_PASSES_BY = "quic-passes-by", Note, None, RULES,
        "a network rule lets QUIC pass",
        "QUIC (HTTP/3) on UDP 443 is not filtered by name, URL or TLS inspection: what a network rule allows there, clients use instead of the HTTPS that application rules would judge.";
    ANY_FQDN = "any-fqdn", Warning, None, NAMES,
        "an application rule allows any name",
        "`*` as a target FQDN is every name there is; what leaves the network is limited by port and source alone.";
    TOP_LEVEL_WILDCARD = "top-level-wildcard", Warning, None, NAMES,
        "a wildcard covers a whole top-level domain",
        "Anybody can register a name below it.";
    SHARED_SUFFIX = "shared-suffix", Warning, None, NAMES,
        "a wildcard covers a zone in which anybody can have a name",
        "Names below these zones are given to every customer of a cloud. A rule for all of them allows storage, sites and queues of strangers, a common way for data to leave.";
    LOOKALIKE_SUFFIX = "lookalike-suffix", Warning, Some(4), FAQ,
        "a wildcard without a dot matches lookalikes",
        "`*contoso.com` matches whatever ends so, `evilcontoso.com` too, which anybody can register.";

    // What matches less than it seems to.
    BARE_DOMAIN_MISSING = "bare-domain-missing", Note, Some(5), FAQ,
        "names below a domain are allowed, the domain itself is not",
        "`*.contoso.com` does not match `contoso.com`: Azure wants both listed.";
    UNSUPPORTED_WILDCARD = "unsupported-wildcard", Error, Some(4), FAQ,
        "a wildcard stands where Azure takes none",
        "Azure Firewall takes `*` as the left-most character of an FQDN, and left-most or right-most in a URL; it refuses the rule otherwise.";
    EGRET_GLOB = "egret-glob", Note, Some(4), FAQ,
        "a pattern that only Egret understands",
        "`glob:` is Egret's own: Azure Firewall cannot say this, and a conversion has to widen it or refuse.";
    WILDCARD_IN_NETWORK_FQDN = "wildcard-in-network-fqdn", Error, Some(6), NAMES,
        "a wildcard in an FQDN of a network or DNAT rule",
        "The firewall resolves these names itself and matches by address; there is no resolving a wildcard, and Azure refuses it.";
    FQDN_TAG_WITHOUT_HTTPS = "fqdn-tag-without-https", Warning, Some(2), FQDN_TAGS,
        "an FQDN tag without the protocol Https",
        "A rule with an FQDN tag has to name Https:443; without it the tag's names are not reached as Microsoft means them to be.";
    UNKNOWN_FQDN_TAG = "unknown-fqdn-tag", Warning, Some(32), FQDN_TAGS,
        "an FQDN tag that is not known",
        "What Azure does not know it refuses; what only Egret does not know matches nothing here. `--tag NAME=FILE` gives it members.";
    UNKNOWN_SERVICE_TAG = "unknown-service-tag", Warning, Some(32), SERVICE_TAGS,
        "a service tag that is not known",
        "What Azure does not know it refuses; what only Egret does not know matches nothing here. `--service-tags FILE` brings Microsoft's own file.";
    UNKNOWN_WEB_CATEGORY = "unknown-web-category", Warning, Some(32), CATEGORIES,
        "a web category that is not known",
        "What Azure does not know it refuses; what only Egret does not know matches nothing here. `--tag NAME=FILE` gives it members.";
    UNKNOWN_IP_GROUP = "unknown-ip-group", Warning, Some(32), GROUPS,
        "an IP group that is not in the files",
        "What it holds is not known here: it matches nothing, and the rule allows or denies less than in Azure.";
    EMPTY_IP_GROUP = "empty-ip-group", Warning, Some(18), GROUPS,
        "a rule names an empty IP group",
        "Azure skips a rule with an empty IP group whole, whatever else it names. A deny rule that is skipped lets through what it was written to stop.";
    ANY_PROTOCOL_WITH_PORTS = "any-protocol-with-ports", Warning, Some(10), RULES,
        "protocol Any with ports is TCP and UDP",
        "Any means every IP protocol only where the ports are `*`. With a port it is TCP and UDP: GRE, ESP and ICMP do not match.";
    ICMP_TO_INTERNET = "icmp-to-internet", Warning, Some(10), KNOWN,
        "ICMP to the internet",
        "The firewall translates TCP and UDP to its public addresses, other protocols not: they work between networks of one's own only.";
    SERVICE_ENDPOINT_BYPASS = "service-endpoint-bypass", Note, None, FIREWALL,
        "a rule for what leaves by a service endpoint",
        "Flows to a service with an endpoint in the subnet never reach the firewall: the rule neither allows nor logs them.";

    // What Azure refuses or fails on.
    IPV6_LITERAL = "ipv6-literal", Error, Some(9), KNOWN,
        "an IPv6 address where Azure takes IPv4 only",
        "An IPv6 address in an application rule, a DNAT rule or an IP group makes the update of the firewall fail.";
    IPV6_NETWORK_RULE = "ipv6-network-rule", Warning, Some(9), KNOWN,
        "an IPv6 address in a network rule",
        "Only a dual-stack firewall (a preview) takes IPv6, and in network rules only; the update of any other fails.";
    DNAT_PORT_OUT_OF_RANGE = "dnat-port-out-of-range", Error, Some(8), KNOWN,
        "a DNAT port of 64000 or above",
        "NAT rules take ports 1 to 63999; the rest is the firewall's own.";
    APPLICATION_PORT_OUT_OF_RANGE = "application-port-out-of-range", Warning, Some(8), KNOWN,
        "an application rule's port above 64000",
        "The API takes ports up to 64000 in application rules, though the limits page speaks of 65535.";
    DUPLICATE_NAME = "duplicate-name", Error, Some(26), SETS,
        "two siblings of one name",
        "Azure wants names unique among siblings, in any letter case. Logs name a rule by them alone.";
    RESERVED_HEADER = "reserved-header", Error, Some(23), HEADERS,
        "a header that may not be inserted",
        "Azure refuses to insert headers that frame a message, carry credentials or are the proxy's own.";
    HEADER_TOO_LARGE = "header-too-large", Error, Some(23), HEADERS,
        "a header that is too large to be inserted",
        "A name has at most 100 characters, a value 16,000, all of a rule together 16,384 bytes.";
    HEADER_NOT_INSERTED = "header-not-inserted", Warning, Some(23), HEADERS,
        "headers for HTTPS that is not inspected",
        "A header goes into HTTP, and into HTTPS only where the rule terminates TLS: otherwise the request leaves without it.";
    URL_WITHOUT_TLS_INSPECTION = "url-without-tls-inspection", Error, Some(3), PREMIUM,
        "target URLs for HTTPS without TLS inspection",
        "The path of an HTTPS request is encrypted. Without `terminateTLS` the rule cannot match by URL.";
    TERMINATE_TLS_WITHOUT_HTTPS = "terminate-tls-without-https", Warning, None, PREMIUM,
        "TLS inspection in a rule without Https",
        "There is no TLS to terminate: the switch does nothing.";
    INSPECTION_WITHOUT_CERTIFICATE = "inspection-without-certificate", Warning, Some(3), PREMIUM,
        "TLS inspection in a policy without a CA certificate",
        "The firewall signs a certificate for each inspected name, with the intermediate CA that `transportSecurity` of the policy names.";
    CATEGORY_NEVER_INSPECTED = "category-never-inspected", Warning, Some(25), PREMIUM,
        "TLS inspection of a category that Azure never decrypts",
        "Education, finance, government, health and medicine are left encrypted, unless the name or URL is listed by itself.";
    NEEDS_PREMIUM = "needs-premium", Error, Some(25), TIERS,
        "a feature of the Premium tier in a policy of a lower one",
        "Azure refuses it or leaves it out: URL filtering, TLS inspection and IDPS are Premium's.";
    NOT_IN_BASIC = "not-in-basic", Error, Some(25), TIERS,
        "a feature that the Basic tier has not",
        "Basic has neither web categories, nor FQDNs in network rules, nor a DNS proxy; its threat intelligence only alerts.";

    // Order and names.
    EQUAL_PRIORITY = "equal-priority", Warning, Some(26), RULES,
        "two siblings of one priority",
        "Which of the two is looked at first is documented nowhere. Egret takes the one listed first.";
    DEFAULT_GROUP_PRIORITY = "default-group-priority", Warning, Some(26), SETS,
        "a default group with another priority",
        "The portal's default groups have the priorities 100 (DNAT), 200 (network) and 300 (application), which cannot be changed.";
    DENY_ALL_LAST = "deny-all-last", Note, Some(24), FAQ,
        "a rule denies every name",
        "After the last rule comes Azure's own collection, for the platform's storage, disks and diagnostics, and then default deny. A deny for every name comes before that collection and switches it off. All other names would be denied anyway.";
    EMPTY_COLLECTION = "empty-collection", Note, None, SETS,
        "a group or collection without rules",
        "It decides nothing.";
    NAME_TOO_LONG = "name-too-long", Warning, None, LIMITS,
        "a name longer than Azure takes",
        "A collection's name has at most 80 characters.";

    // Names and the firewall's own resolver.
    FQDN_RULE_WITHOUT_DNS_PROXY = "fqdn-rule-without-dns-proxy", Warning, Some(7), DNS,
        "FQDNs in network rules without the DNS proxy",
        "The firewall resolves these names itself and matches by address. A client that asks another server may hold another address, and is denied.";
    INHERITED_DNS = "inherited-dns", Warning, Some(21), KNOWN,
        "a child policy relies on its parent's DNS settings",
        "A child does not inherit DNS settings, whatever the documentation of DNS settings says: set them on every child.";
    TOO_MANY_FQDNS = "too-many-fqdns", Warning, Some(7), NAMES,
        "more than 1,000 FQDNs in network rules",
        "Each is resolved again every 15 seconds; Microsoft recommends at most 1,000 for a firewall.";
    TOO_MANY_DNS_SERVERS = "too-many-dns-servers", Warning, None, DNS,
        "more than 15 DNS servers",
        "Azure takes at most 15 custom servers.";

    // DNAT, SNAT, SQL, ports.
    DNAT_ANY_SOURCE = "dnat-any-source", Warning, Some(17), DNAT,
        "a DNAT rule for any source",
        "It opens the target to the internet. With `*` the firewall also rewrites the source of traffic between networks of one's own.";
    DNAT_INTERNAL_SOURCE = "dnat-internal-source", Warning, Some(17), KNOWN,
        "a DNAT rule for internal clients of a public address",
        "There is no hairpin: internal clients do not reach a DNAT target by the firewall's own public address.";
    DNAT_SEVERAL_PORTS = "dnat-several-ports", Note, None, DNAT,
        "a DNAT rule with more than one port",
        "All of them lead to the one translated port. Terraform takes exactly one port a rule, the portal takes several.";
    SNAT_MISSES_PRIVATE = "snat-misses-private", Warning, None, SNAT,
        "private ranges without those of RFC 1918 and RFC 6598",
        "A list of private ranges replaces the default. What is missing in it is translated, even between networks of one's own.";
    HANDSHAKE_ON_PORT = "handshake-on-port", Note, None, RULES,
        "an application rule makes the firewall answer on another port",
        "Once any application rule names a port, the firewall completes TCP handshakes on it for every destination: a port scan finds it open everywhere.";
    SQL_REDIRECT_PORT = "sql-redirect-port", Warning, Some(20), SQL,
        "an application rule for ports of SQL's redirect mode",
        "SQL is filtered by name in proxy mode (1433) only. Redirect mode (11000 to 11999) needs network rules with the service tag Sql.";
    SQL_REDIRECT_CONFLICT = "sql-redirect-conflict", Error, Some(20), SQL,
        "a rule for 11000 to 11999 in a policy that allows SQL redirect",
        "With `sql.allowSqlRedirect` the firewall needs these ports for itself: no rule may name them.";
    SQL_PROXY_MODE = "sql-proxy-mode", Note, Some(20), SQL,
        "SQL by name works in proxy mode only",
        "Clients inside Azure are redirected to another port by default, where no application rule sees them. Set the server's connection policy to Proxy.";

    // Settings of the policy.
    THREAT_INTEL_OFF = "threat-intel-off", Warning, None, THREATS,
        "threat intelligence is off",
        "Known malicious names and addresses are neither denied nor logged. Azure's default is Alert.";
    WEAKER_THAN_PARENT = "weaker-than-parent", Warning, None, PARENTS,
        "a child policy is laxer than its parent",
        "A child can only be stricter: the parent's mode of threat intelligence and IDPS stays in force.";
    IDPS_DENY = "idps-deny", Note, Some(31), PREMIUM,
        "IDPS denies",
        "What a signature matches is dropped in silence, without a reset, after the rules allowed it. Throughput falls to 10 Gbps, and to 300 Mbps for a connection.";
    EXPLICIT_PROXY_WITHOUT_RULES = "explicit-proxy-without-rules", Warning, Some(22), PROXY,
        "an explicit proxy without application rules",
        "Requests to the explicit proxy are judged by application rules alone: without one everything is denied.";
    EXPLICIT_PROXY_PORTS = "explicit-proxy-ports", Error, Some(22), PROXY,
        "ports of the explicit proxy that Azure refuses",
        "The ports for HTTP, HTTPS and the PAC file have to differ and to be at most 64000.";

    // Sizes.
    GROUP_TOO_LARGE = "group-too-large", Warning, Some(19), LIMITS,
        "a rule collection group of more than 2 MB",
        "Azure refuses a group beyond 2 MB (1 MB in policies made before July 2022). The size is estimated.";
    TOO_MANY_GROUPS = "too-many-groups", Warning, Some(19), LIMITS,
        "more than 60 rule collection groups",
        "A policy takes 60 groups; newer sources speak of 90.";
    TOO_MANY_COLLECTIONS = "too-many-collections", Warning, Some(19), LIMITS,
        "more than 2,000 rule collections of one type",
        "A limit of the resource manager.";
    TOO_MANY_ADDRESSES = "too-many-addresses", Warning, Some(19), LIMITS,
        "more than 20,000 pairs of source and destination",
        "The sum over all network rules of sources times destinations. Beyond it the firewall is slow; an IP group counts as one.";
    TOO_MANY_DNAT = "too-many-dnat", Warning, Some(19), LIMITS,
        "more than 250 DNAT targets",
        "250 is the limit for public addresses and distinct DNAT destinations together.";
    TOO_MANY_IP_GROUPS = "too-many-ip-groups", Warning, Some(19), LIMITS,
        "more than 200 IP groups",
        "A firewall takes 200.";
    IP_GROUP_TOO_LARGE = "ip-group-too-large", Warning, Some(19), LIMITS,
        "an IP group with more than 5,000 entries",
        "A group takes 5,000 addresses or prefixes.";

    // What could be written better.
    ADDRESS_OF_SERVICE_TAG = "address-of-service-tag", Note, None, SERVICE_TAGS,
        "addresses that a service tag stands for",
        "Microsoft changes the addresses of its services weekly, and the tag with them; a list in a rule goes stale.";

    // What was said while reading.
    CANNOT_READ = "cannot-read", Error, None, FIREWALL,
        "something that cannot be read",
        "A rule that cannot be read is left out of all other checks.";
    DOUBTFUL = "doubtful", Warning, None, FIREWALL,
        "something that was read with a doubt",
        "It may match less than it says. Under the profile strict it is an error.";
    MISSING_BASE = "missing-base", Warning, None, PARENTS,
        "the parent policy is not in the files",
        "A parent's rules come before its child's, each in the pass of its type. Without them the verdicts are others.";
    MISSING_POLICY = "missing-policy", Warning, None, PARENTS,
        "the firewall's policy is not in the files",
        "A firewall with a policy has its rules from there, and from nowhere else.";
    MISSING_GROUP = "missing-group", Warning, None, SETS,
        "a rule collection group is not in the files",
        "The policy names it, and its rules are elsewhere: what they allow is denied here.";
    UNKNOWN_VALUE = "unknown-value", Warning, None, FIREWALL,
        "a value that only Azure knows",
        "A template asks for something of the running deployment. What depends on it matches nothing here until `--set` says it.";
    NO_SOURCE = "no-source", Warning, None, RULES,
        "a rule without a source",
        "Azure wants addresses or IP groups of the source; `*` is everybody.";
    NO_DESTINATION = "no-destination", Warning, None, RULES,
        "a rule without a destination",
        "Azure wants addresses, groups or FQDNs of the destination in a network rule, and an address of the firewall in a DNAT rule. Without one it matches nothing.";
    NO_PORT = "no-port", Warning, None, RULES,
        "a rule without a port",
        "Azure wants destination ports; `*` is all of them. Without one it matches nothing.";
    NO_PROTOCOL = "no-protocol", Warning, None, RULES,
        "a rule without a protocol",
        "Azure wants at least one protocol in every rule. Without one it matches nothing.";
    NO_TARGET = "no-target", Warning, None, RULES,
        "an application rule without a target",
        "Azure wants FQDNs, FQDN tags, URLs or web categories. Without one it matches nothing.";
    MIXED_TYPES = "mixed-types", Error, None, SETS,
        "rules of two types in one collection",
        "All rules of a collection are of one type: Azure refuses a network rule beside application rules.";
    DNAT_PROTOCOL = "dnat-protocol", Error, None, DNAT,
        "a DNAT rule for another protocol than TCP and UDP",
        "DNAT rules translate ports, and only TCP and UDP have them.";
    DNAT_DESTINATION = "dnat-destination", Error, None, DNAT,
        "a DNAT rule for any destination",
        "The destination of a DNAT rule is an address of the firewall; Azure refuses `*`.";
    DNAT_TARGET = "dnat-target", Error, None, DNAT,
        "a DNAT rule with two targets",
        "A flow is led to an address or to a name, and Azure takes one of the two.";
    APPLICATION_DESTINATION = "application-destination", Warning, None, RULES,
        "destination addresses in an application rule",
        "The API has them, and no documentation says what they do. Egret does not look at them.";
    CLASSIC_BESIDE_POLICY = "classic-beside-policy", Warning, None, FIREWALL,
        "classic rules of a firewall that has a policy",
        "Once a policy is attached, the firewall's own collections do not count.";
    NOT_EMULATED = "not-emulated", Note, None, FIREWALL,
        "something that was read and is not emulated",
        "Azure acts on it, Egret does not: docs/fidelity.md has the whole table.";
}
