//! Azure's logs of what networks let pass: VNet flow log, version 4, and NSG flow log, version 2.
//!
//! Sources: azure-docs, vnet-flow-logs-overview.md and nsg-flow-logs-overview.md; resource ids, letter cases and rule
//! prefixes as in real blobs of both. Azure keeps blobs of an hour; here each record is a line.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::flow::Protocol;

/// What one security group saw of one flow, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub by: Arc<Observer>,
    /// Of the machine in the subnet, whichever end it is.
    pub machine: IpAddr,
    pub tuple: Tuple,
}

/// A security group's rule, and where it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observer {
    /// `/subscriptions/S/resourceGroups/G`
    pub scope: Arc<str>,
    pub location: Arc<str>,
    pub virtual_network: Arc<str>,
    /// None: no group filters it, the platform's own traffic or one of a subnet without a group.
    pub group: Option<Arc<str>>,
    /// With its prefix, as logs have it: `UserRule_web`.
    pub rule: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Milliseconds since the epoch.
    pub at: i64,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub protocol: Protocol,
    pub direction: Direction,
    pub state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Inbound,
    Outbound,
}

/// Counts are of what was moved since the last tuple of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Denied,
    Began,
    Continues(Moved),
    Ended(Moved),
}

/// Bytes from source to destination, and back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    pub sent: u64,
    pub received: u64,
}

/// What a packet of TCP over Ethernet carries at most: nobody counts packets who splices streams.
const PAYLOAD: u64 = 1460;

/// Of what no group filters.
const NO_GROUP: &str = "00000000-0000-0000-0000-000000000000";
const PLATFORM_RULE: &str = "PlatformRule";

impl Observer {
    /// The name of a group's rule as logs have it.
    pub fn rule_name(rule: &str, is_default: bool) -> String {
        format!("{}_{rule}", if is_default { "DefaultRule" } else { "UserRule" })
    }

    /// Of what no group filters.
    pub fn platform_rule() -> String {
        PLATFORM_RULE.to_owned()
    }

    fn virtual_network_id(&self) -> String {
        format!("{}/providers/Microsoft.Network/virtualNetworks/{}", self.scope, self.virtual_network)
    }

    fn group_id(&self) -> Option<String> {
        let group = self.group.as_ref()?;
        Some(format!("{}/providers/Microsoft.Network/networkSecurityGroups/{group}", self.scope))
    }

    /// Network Watcher's resource for it, by the names that the portal gives.
    fn flow_log_id(&self) -> String {
        let subscription = self.scope.split('/').nth(2).unwrap_or_default();
        let location = if self.location.is_empty() { "global" } else { &self.location };
        let network = &self.virtual_network;
        format!(
            "/SUBSCRIPTIONS/{subscription}/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS/MICROSOFT.NETWORK/NETWORKWATCHERS/NETWORKWATCHER_{location}/FLOWLOGS/{network}-FLOWLOG"
        )
        .to_ascii_uppercase()
    }
}

impl Moved {
    /// `10,4210,8,60123`: packets and bytes sent, packets and bytes received.
    fn counts(self) -> String {
        let packets = |bytes: u64| bytes.div_ceil(PAYLOAD);
        format!("{},{},{},{}", packets(self.sent), self.sent, packets(self.received), self.received)
    }
}

impl Tuple {
    /// Nothing here is encrypted by the virtual network: `NX`.
    pub fn vnet_v4(&self) -> String {
        let Tuple { at, source, destination, protocol, direction, state } = *self;
        let (direction, protocol) = (direction.letter(), iana_number(protocol));
        let (state, counts) = match state {
            State::Denied => ('D', Moved::default()),
            State::Began => ('B', Moved::default()),
            State::Continues(moved) => ('C', moved),
            State::Ended(moved) => ('E', moved),
        };
        let [from, to] = [source.ip(), destination.ip()];
        let [sport, dport] = [source.port(), destination.port()];
        format!("{at},{from},{to},{sport},{dport},{protocol},{direction},{state},NX,{}", counts.counts())
    }

    /// None for what is neither TCP nor UDP, which this log does not have.
    pub fn nsg_v2(&self) -> Option<String> {
        let Tuple { at, source, destination, protocol, direction, state } = *self;
        let protocol = match protocol {
            Protocol::Http | Protocol::Https | Protocol::Mssql | Protocol::Tcp => 'T',
            Protocol::Udp => 'U',
            Protocol::Icmp | Protocol::Other => return None,
        };
        let decided = match state {
            State::Denied => "D,B,,,,".to_owned(),
            State::Began => "A,B,,,,".to_owned(),
            State::Continues(moved) => format!("A,C,{}", moved.counts()),
            State::Ended(moved) => format!("A,E,{}", moved.counts()),
        };
        let [from, to] = [source.ip(), destination.ip()];
        let [sport, dport] = [source.port(), destination.port()];
        let (at, direction) = (at.div_euclid(1000), direction.letter());
        Some(format!("{at},{from},{to},{sport},{dport},{protocol},{direction},{decided}"))
    }
}

impl Direction {
    fn letter(self) -> char {
        match self {
            Direction::Inbound => 'I',
            Direction::Outbound => 'O',
        }
    }
}

/// IANA's protocol numbers.
fn iana_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Http | Protocol::Https | Protocol::Mssql | Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Icmp => 1,
        // GRE, where nothing says what it is.
        Protocol::Other => 47,
    }
}

/// The address of the interface that a machine would have: made from its own address, in a range that no vendor has
/// (locally administered), so that the same machine has the same one in every run.
pub fn mac_of(machine: IpAddr) -> String {
    let octets = match machine {
        IpAddr::V4(addr) => {
            let [a, b, c, d] = addr.octets();
            [0x02, 0, a, b, c, d]
        }
        IpAddr::V6(addr) => {
            let digest: [u8; 32] = Sha256::digest(addr.octets()).into();
            [0x06, digest[0], digest[1], digest[2], digest[3], digest[4]]
        }
    };
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

/// A GUID for a resource: the same in every run.
fn guid_of(resource: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(resource.to_ascii_uppercase()).into();
    let hex: String = digest.iter().take(16).map(|octet| format!("{octet:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A record of the VNet flow log: what one machine's interface saw.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VnetFlowRecord<'a> {
    time: &'a str,
    flow_log_version: u8,
    #[serde(rename = "flowLogGUID")]
    flow_log_guid: String,
    mac_address: String,
    category: &'static str,
    #[serde(rename = "flowLogResourceID")]
    flow_log_resource_id: String,
    #[serde(rename = "targetResourceID")]
    target_resource_id: String,
    operation_name: &'static str,
    flow_records: FlowRecords,
}

#[derive(Debug, Serialize)]
struct FlowRecords {
    flows: Vec<AclFlows>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AclFlows {
    #[serde(rename = "aclID")]
    acl_id: String,
    flow_groups: Vec<RuleFlows>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleFlows {
    rule: String,
    flow_tuples: Vec<String>,
}

/// A record of the NSG flow log: what one group saw of one machine.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NsgFlowRecord<'a> {
    time: &'a str,
    system_id: String,
    mac_address: String,
    category: &'static str,
    resource_id: String,
    operation_name: &'static str,
    properties: NsgProperties,
}

#[derive(Debug, Serialize)]
struct NsgProperties {
    #[serde(rename = "Version")]
    version: u8,
    flows: Vec<NsgRuleFlows>,
}

#[derive(Debug, Serialize)]
struct NsgRuleFlows {
    rule: String,
    flows: Vec<MacFlows>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MacFlows {
    mac: String,
    flow_tuples: Vec<String>,
}

/// Tuples by what they have in common, in the order of names.
type By<T> = BTreeMap<String, T>;

/// What one machine's interface saw, by group and rule, and an observer of its network.
type Interface = (Arc<Observer>, By<By<Vec<String>>>);

/// One record a network and machine. `time` is RFC 3339 in UTC with seven digits after the second.
pub fn vnet_flow_records<'a>(sightings: &[Sighting], time: &'a str) -> Vec<VnetFlowRecord<'a>> {
    let mut networks: BTreeMap<(String, IpAddr), Interface> = BTreeMap::new();
    for Sighting { by, machine, tuple } in sightings {
        let place = networks.entry((by.virtual_network_id(), *machine));
        let (_, acls) = place.or_insert_with(|| (by.clone(), By::new()));
        let acl = by.group_id().unwrap_or_else(|| NO_GROUP.to_owned());
        acls.entry(acl).or_default().entry(by.rule.clone()).or_default().push(tuple.vnet_v4());
    }
    let record = |((network, machine), (by, acls)): ((String, IpAddr), Interface)| VnetFlowRecord {
        time,
        flow_log_version: 4,
        flow_log_guid: guid_of(&by.flow_log_id()),
        mac_address: mac_of(machine),
        category: "FlowLogFlowEvent",
        flow_log_resource_id: by.flow_log_id(),
        target_resource_id: network,
        operation_name: "FlowLogFlowEvent",
        flow_records: FlowRecords { flows: acls.into_iter().map(acl_flows).collect() },
    };
    networks.into_iter().map(record).collect()
}

fn acl_flows((acl_id, rules): (String, By<Vec<String>>)) -> AclFlows {
    let rule = |(rule, flow_tuples)| RuleFlows { rule, flow_tuples };
    AclFlows { acl_id, flow_groups: rules.into_iter().map(rule).collect() }
}

/// One record a group and machine; what no group saw is in none.
pub fn nsg_flow_records<'a>(sightings: &[Sighting], time: &'a str) -> Vec<NsgFlowRecord<'a>> {
    let mut groups: BTreeMap<(String, IpAddr), By<Vec<String>>> = BTreeMap::new();
    for Sighting { by, machine, tuple } in sightings {
        let Some((group, tuple)) = by.group_id().zip(tuple.nsg_v2()) else { continue };
        groups.entry((group, *machine)).or_default().entry(by.rule.clone()).or_default().push(tuple);
    }
    let record = |((group, machine), rules): ((String, IpAddr), By<Vec<String>>)| {
        let mac = mac_of(machine);
        let flows =
            |(rule, flow_tuples)| NsgRuleFlows { rule, flows: vec![MacFlows { mac: mac.clone(), flow_tuples }] };
        NsgFlowRecord {
            time,
            system_id: guid_of(&group),
            mac_address: mac.clone(),
            category: "NetworkSecurityGroupFlowEvent",
            resource_id: group.to_ascii_uppercase(),
            operation_name: "NetworkSecurityGroupFlowEvents",
            properties: NsgProperties { version: 2, flows: rules.into_iter().map(flows).collect() },
        }
    };
    groups.into_iter().map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const TIME: &str = "2026-11-21T21:15:00.0000000Z";

    fn sighting(rule: &str, state: State) -> Sighting {
        let by = Observer {
            scope: "/subscriptions/s/resourceGroups/g".into(),
            location: "westus2".into(),
            virtual_network: "ase-vnet".into(),
            group: Some("ase-nsg".into()),
            rule: rule.into(),
        };
        let tuple = Tuple {
            at: 1_795_295_643_500,
            source: "192.168.251.140:51000".parse().unwrap(),
            destination: "203.0.113.7:25".parse().unwrap(),
            protocol: Protocol::Tcp,
            direction: Direction::Outbound,
            state,
        };
        Sighting { by: by.into(), machine: tuple.source.ip(), tuple }
    }

    #[test]
    fn tuples_of_both_versions() {
        let check = |state, v4: &str, v2: &str| {
            let Sighting { tuple, .. } = sighting("UserRule_x", state);
            assert_eq!(tuple.vnet_v4(), format!("1795295643500,192.168.251.140,203.0.113.7,51000,25,6,O,{v4}"));
            assert_eq!(tuple.nsg_v2().unwrap(), format!("1795295643,192.168.251.140,203.0.113.7,51000,25,T,O,{v2}"));
        };
        let moved = Moved { sent: 517, received: 12_000 };
        check(State::Denied, "D,NX,0,0,0,0", "D,B,,,,");
        check(State::Began, "B,NX,0,0,0,0", "A,B,,,,");
        check(State::Continues(moved), "C,NX,1,517,9,12000", "A,C,1,517,9,12000");
        check(State::Ended(moved), "E,NX,1,517,9,12000", "A,E,1,517,9,12000");
        let icmp = Tuple { protocol: Protocol::Icmp, ..sighting("UserRule_x", State::Began).tuple };
        assert_eq!((icmp.nsg_v2(), icmp.vnet_v4().contains(",1,O,B,")), (None, true));
    }

    #[test]
    fn machines_keep_their_interfaces_address() {
        assert_eq!(mac_of("192.168.251.140".parse().unwrap()), "0200C0A8FB8C");
        let v6 = mac_of("2001:db8::1".parse().unwrap());
        assert!(v6.starts_with("06") && v6.len() == 12, "{v6}");
    }

    #[test]
    fn a_record_of_the_virtual_network() {
        let denied = sighting("UserRule_deny-outbound", State::Denied);
        let nobody = Observer { group: None, rule: Observer::platform_rule(), ..(*denied.by).clone() };
        let platform = Sighting { by: nobody.into(), ..sighting("", State::Began) };
        let records = vnet_flow_records(&[denied.clone(), platform, denied], TIME);
        let tuple = "1795295643500,192.168.251.140,203.0.113.7,51000,25,6,O,D,NX,0,0,0,0";
        let expected = json!([{
            "time": TIME,
            "flowLogVersion": 4,
            "flowLogGUID": guid_of(&sighting("", State::Began).by.flow_log_id()),
            "macAddress": "0200C0A8FB8C",
            "category": "FlowLogFlowEvent",
            "flowLogResourceID": "/SUBSCRIPTIONS/S/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS/MICROSOFT.NETWORK/NETWORKWATCHERS/NETWORKWATCHER_WESTUS2/FLOWLOGS/ASE-VNET-FLOWLOG",
            "targetResourceID": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/ase-vnet",
            "operationName": "FlowLogFlowEvent",
            "flowRecords": {"flows": [
                {
                    "aclID": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/ase-nsg",
                    "flowGroups": [{"rule": "UserRule_deny-outbound", "flowTuples": [tuple, tuple]}],
                },
                {
                    "aclID": "00000000-0000-0000-0000-000000000000",
                    "flowGroups": [{"rule": "PlatformRule", "flowTuples": [tuple.replace(",D,", ",B,")]}],
                },
            ]},
        }]);
        let mut shown = serde_json::to_value(records).unwrap();
        let flows = shown[0]["flowRecords"]["flows"].as_array_mut().unwrap();
        flows.sort_by_key(|flow| std::cmp::Reverse(flow["flowGroups"][0]["rule"].as_str().unwrap().to_owned()));
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_record_of_the_group() {
        let began = sighting("DefaultRule_AllowInternetOutBound", State::Began);
        let nobody = Observer { group: None, ..(*began.by).clone() };
        let unseen = Sighting { by: nobody.into(), ..began.clone() };
        let records = nsg_flow_records(&[began, unseen], TIME);
        let group = "/SUBSCRIPTIONS/S/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/ASE-NSG";
        let expected = json!([{
            "time": TIME,
            "systemId": guid_of(group),
            "macAddress": "0200C0A8FB8C",
            "category": "NetworkSecurityGroupFlowEvent",
            "resourceId": group,
            "operationName": "NetworkSecurityGroupFlowEvents",
            "properties": {"Version": 2, "flows": [{
                "rule": "DefaultRule_AllowInternetOutBound",
                "flows": [{
                    "mac": "0200C0A8FB8C",
                    "flowTuples": ["1795295643,192.168.251.140,203.0.113.7,51000,25,T,O,A,B,,,,"],
                }],
            }]},
        }]);
        assert_eq!(serde_json::to_value(records).unwrap(), expected);
        assert_eq!(serde_json::to_value(nsg_flow_records(&[], TIME)).unwrap(), Value::Array(Vec::new()));
    }
}
