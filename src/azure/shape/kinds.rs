//! The types of resource that are read, and what is known of the others.

pub const POLICY: &str = "Microsoft.Network/firewallPolicies";
pub const GROUP: &str = "Microsoft.Network/firewallPolicies/ruleCollectionGroups";
pub const FIREWALL: &str = "Microsoft.Network/azureFirewalls";
pub const IP_GROUP: &str = "Microsoft.Network/ipGroups";
pub const SECURITY_GROUP: &str = "Microsoft.Network/networkSecurityGroups";
pub const SECURITY_RULE: &str = "Microsoft.Network/networkSecurityGroups/securityRules";
pub const ROUTE_TABLE: &str = "Microsoft.Network/routeTables";
pub const ROUTE: &str = "Microsoft.Network/routeTables/routes";
pub const NETWORK: &str = "Microsoft.Network/virtualNetworks";
pub const SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets";
pub const PEERING: &str = "Microsoft.Network/virtualNetworks/virtualNetworkPeerings";
pub const ASG: &str = "Microsoft.Network/applicationSecurityGroups";
pub const INTERFACE: &str = "Microsoft.Network/networkInterfaces";
pub const PUBLIC_ADDRESS: &str = "Microsoft.Network/publicIPAddresses";
pub const NETWORK_GATEWAY: &str = "Microsoft.Network/virtualNetworkGateways";
pub const LOCAL_GATEWAY: &str = "Microsoft.Network/localNetworkGateways";
pub const CONNECTION: &str = "Microsoft.Network/connections";
pub const DNS_ZONE: &str = "Microsoft.Network/privateDnsZones";
pub const DNS_RECORD: &str = "Microsoft.Network/privateDnsZones/A";
pub const DNS_LINK: &str = "Microsoft.Network/privateDnsZones/virtualNetworkLinks";
pub const ENVIRONMENT: &str = "Microsoft.Web/hostingEnvironments";
pub const ENVIRONMENT_CONFIGURATION: &str = "Microsoft.Web/hostingEnvironments/configurations";
pub const ENVIRONMENT_CAPACITY: &str = "Microsoft.Web/hostingEnvironments/capacities";
pub const SERVER_FARM: &str = "Microsoft.Web/serverfarms";

/// What groups were called before there were collections in them.
pub(super) const LEGACY_GROUP: &str = "Microsoft.Network/firewallPolicies/ruleGroups";

const READ: &[&str] = &[
    POLICY,
    GROUP,
    FIREWALL,
    IP_GROUP,
    SECURITY_GROUP,
    SECURITY_RULE,
    ROUTE_TABLE,
    ROUTE,
    NETWORK,
    SUBNET,
    LEGACY_GROUP,
    PEERING,
    ASG,
    INTERFACE,
    PUBLIC_ADDRESS,
    NETWORK_GATEWAY,
    LOCAL_GATEWAY,
    CONNECTION,
    DNS_ZONE,
    DNS_RECORD,
    DNS_LINK,
    ENVIRONMENT,
    ENVIRONMENT_CONFIGURATION,
    ENVIRONMENT_CAPACITY,
    SERVER_FARM,
];

/// What becomes of a resource of some type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It is handed to the reader.
    Read,
    /// It could be taken for a policy, and is none: why.
    Lookalike(&'static str),
    /// It is about the firewall, and is not in force.
    Draft,
    /// It has nothing to do with what is allowed.
    Irrelevant,
    Unknown,
}

pub(super) fn use_of(kind: &str) -> Use {
    let is = |known: &&str| known.eq_ignore_ascii_case(kind);
    if READ.iter().any(is) {
        return Use::Read;
    }
    let lower = kind.to_ascii_lowercase();
    if lower.starts_with("microsoft.network/firewallpolicies/") && lower.ends_with("drafts") {
        return Use::Draft;
    }
    let found = LOOKALIKES.iter().find(|(start, _)| lower.starts_with(start));
    match found {
        Some((_, why)) => Use::Lookalike(why),
        None if IRRELEVANT.iter().any(|start| lower.starts_with(start)) => Use::Irrelevant,
        None => Use::Unknown,
    }
}

/// Lower-case beginnings of types.
const LOOKALIKES: &[(&str, &str)] = &[
    ("microsoft.network/applicationgatewaywebapplicationfirewallpolicies", WAF),
    ("microsoft.network/frontdoorwebapplicationfirewallpolicies", WAF),
    ("microsoft.cdn/cdnwebapplicationfirewallpolicies", WAF),
    ("microsoft.network/virtualhubs/hubroutetables", HUB_ROUTES),
    ("microsoft.network/virtualhubs/routetables", HUB_ROUTES),
    ("microsoft.network/networkmanagers/securityadminconfigurations", "security admin rules, which are not emulated"),
    ("microsoft.network/networksecuritygroups/defaultsecurityrules", "the default rules that every security group has"),
    ("microsoft.network/azurefirewallfqdntags", "the names of FQDN tags, without what they stand for"),
    ("microsoft.network/azurewebcategories", "the names of web categories, without what they stand for"),
    ("microsoft.network/firewallpolicies/signatureoverrides", "overrides of IDPS signatures, which is not emulated"),
    ("microsoft.authorization/roledefinitions", "who may change a firewall, not what it allows"),
    ("microsoft.authorization/policydefinitions", "rules about resources, not about traffic"),
    ("microsoft.sql/servers/firewallrules", SERVICE),
    ("microsoft.cache/redis/firewallrules", SERVICE),
    ("microsoft.synapse/workspaces/firewallrules", SERVICE),
    ("microsoft.dbforpostgresql/", SERVICE),
    ("microsoft.dbformysql/", SERVICE),
];

const WAF: &str = "rules of a web application firewall, about requests that come in";
const HUB_ROUTES: &str = "routes of a virtual hub, which is not emulated";
const SERVICE: &str = "the firewall of a service itself, about who comes in";

/// Lower-case beginnings of types that stand beside a firewall in most templates.
const IRRELEVANT: &[&str] = &[
    "microsoft.authorization/",
    "microsoft.compute/",
    "microsoft.insights/",
    "microsoft.keyvault/",
    "microsoft.managedidentity/",
    "microsoft.network/applicationsecuritygroups",
    "microsoft.network/bastionhosts",
    "microsoft.network/ddosprotectionplans",
    "microsoft.network/natgateways",
    "microsoft.network/networkinterfaces",
    "microsoft.network/networkwatchers",
    "microsoft.network/privatednszones",
    "microsoft.network/privateendpoints",
    "microsoft.network/publicipaddresses",
    "microsoft.network/publicipprefixes",
    "microsoft.network/virtualnetworks/virtualnetworkpeerings",
    "microsoft.operationalinsights/",
    "microsoft.resources/",
    "microsoft.storage/",
];

/// The type and the names that an id tells: `…/providers/NS/type/name/type/name`.
pub fn of_id(id: &str) -> Option<(String, Vec<&str>)> {
    let lower = id.to_ascii_lowercase();
    let from = lower.rfind("/providers/")? + "/providers/".len();
    let mut segments = id[from..].split('/');
    let mut kind = segments.next().filter(|namespace| !namespace.is_empty())?.to_owned();
    let mut names = Vec::new();
    while let Some(of_type) = segments.next() {
        names.push(segments.next().filter(|name| !name.is_empty())?);
        kind.push('/');
        kind.push_str(of_type);
    }
    (!names.is_empty()).then_some((kind, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_types_and_names() {
        let id =
            "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/firewallPolicies/p/ruleCollectionGroups/g";
        assert_eq!(of_id(id), Some((GROUP.to_owned(), vec!["p", "g"])));
        for bad in ["", "p", "/providers/", "/providers/Microsoft.Network", "/providers/N/t", "/providers/N/t/"] {
            assert_eq!(of_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn uses_of_types() {
        assert_eq!(use_of("microsoft.network/IPGROUPS"), Use::Read);
        assert_eq!(use_of("Microsoft.Network/firewallPolicies/firewallPolicyDrafts"), Use::Draft);
        assert_eq!(
            use_of("Microsoft.Network/firewallPolicies/ruleCollectionGroups/ruleCollectionGroupDrafts"),
            Use::Draft
        );
        assert_eq!(use_of("Microsoft.Network/FrontDoorWebApplicationFirewallPolicies"), Use::Lookalike(WAF));
        assert_eq!(use_of("Microsoft.Compute/virtualMachines"), Use::Irrelevant);
        assert_eq!(use_of("Contoso.Things/things"), Use::Unknown);
    }
}
