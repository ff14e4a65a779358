//! Azure Firewall's records of flows that run: `AZFWFlowTrace` and `AZFWFatFlow`.
//!
//! Sources: azure-docs, reference tables of these names and enable-top-ten-and-flow-trace; that a trace names the
//! packet's own source, so that a SYN-ACK comes from the server, is what firewalls were seen to write.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::category::Category;
use super::envelope::Record;

/// What a traced packet was. `SYN` and `INVALID` are Azure's alone: who ends connections in user space sees neither the
/// first packet of one nor packets that belong to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    SynAck,
    Fin,
    FinAck,
    Rst,
}

impl Flag {
    pub fn as_str(self) -> &'static str {
        match self {
            Flag::SynAck => "SYN-ACK",
            Flag::Fin => "FIN",
            Flag::FinAck => "FIN-ACK",
            Flag::Rst => "RST",
        }
    }
}

/// A packet of a TCP connection that says how it comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traced {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub flag: Flag,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FlowTrace {
    protocol: &'static str,
    source_ip: IpAddr,
    source_port: u16,
    destination_ip: IpAddr,
    destination_port: u16,
    action: &'static str,
    action_reason: &'static str,
    flag: &'static str,
}

/// The structured record of such a packet.
pub fn flow_trace_record<'a>(traced: Traced, time: &'a str, resource_id: &'a str) -> Record<'a, FlowTrace> {
    let Traced { from, to, flag } = traced;
    let properties = FlowTrace {
        protocol: "TCP",
        source_ip: from.ip(),
        source_port: from.port(),
        destination_ip: to.ip(),
        destination_port: to.port(),
        action: "Log",
        action_reason: "Additional TCP Log",
        flag: flag.as_str(),
    };
    Record::new(Category::FlowTrace, time, resource_id, properties)
}

/// A flow that moves much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fat {
    /// `TCP` or `UDP`
    pub protocol: &'static str,
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// Both ways together.
    pub bits_per_second: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FatFlow {
    protocol: &'static str,
    source_ip: IpAddr,
    source_port: u16,
    destination_ip: IpAddr,
    destination_port: u16,
    /// In Mbps.
    flow_rate: f64,
}

/// The structured record of such a flow.
pub fn fat_flow_record<'a>(fat: Fat, time: &'a str, resource_id: &'a str) -> Record<'a, FatFlow> {
    let Fat { protocol, from, to, bits_per_second } = fat;
    // Kilobits fit a float without loss for ages.
    let kilobits = u32::try_from(bits_per_second / 1000).unwrap_or(u32::MAX);
    let properties = FatFlow {
        protocol,
        source_ip: from.ip(),
        source_port: from.port(),
        destination_ip: to.ip(),
        destination_port: to.port(),
        flow_rate: f64::from(kilobits) / 1000.0,
    };
    Record::new(Category::FatFlow, time, resource_id, properties)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    const TIME: &str = "2023-09-06T14:33:46.8121070Z";

    pub(in super::super) fn traced() -> Traced {
        let (from, to) = ("192.0.2.7:443".parse().unwrap(), "10.13.2.4:50975".parse().unwrap());
        Traced { from, to, flag: Flag::SynAck }
    }

    pub(in super::super) fn fat() -> Fat {
        let Traced { from: to, to: from, .. } = traced();
        Fat { protocol: "TCP", from, to, bits_per_second: 12_345_678 }
    }

    #[test]
    fn a_trace_names_the_packets_own_source() {
        let expected = json!({
            "category": "AZFWFlowTrace", "time": TIME, "resourceId": "/X",
            "properties": {
                "Protocol": "TCP", "SourceIp": "192.0.2.7", "SourcePort": 443, "DestinationIp": "10.13.2.4",
                "DestinationPort": 50975, "Action": "Log", "ActionReason": "Additional TCP Log", "Flag": "SYN-ACK",
            },
        });
        assert_eq!(serde_json::to_value(flow_trace_record(traced(), TIME, "/x")).unwrap(), expected);
    }

    #[test]
    fn a_rate_is_in_megabits() {
        let rate = |bits_per_second| {
            let record = fat_flow_record(Fat { bits_per_second, ..fat() }, TIME, "/x");
            serde_json::to_value(record).unwrap()["properties"]["FlowRate"].clone()
        };
        assert_eq!(rate(12_345_678), json!(12.345));
        assert_eq!(rate(1_000_000), json!(1.0));
    }
}
