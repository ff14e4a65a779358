//! Azure Firewall's logs of names: `AZFWDnsQuery` and `AZFWInternalFqdnResolutionFailure`, and their legacy lines.
//!
//! Sources: azure-docs, reference tables of these names; the legacy lines from samples, which have the shape of
//! CoreDNS's plugins `log` and `errors`, and of Go's errors of look-ups.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::category::Category;
use super::envelope::{LegacyRecord, Record};
use super::logs::Names;
use crate::flow::ClientAddr;
use crate::policy::RuleName;

/// A question and its answer, as far as Azure's records speak of them.
#[derive(Debug, Clone, Copy)]
pub struct DnsQueried<'a> {
    /// As in [`Decided`](super::logs::Decided).
    pub time: &'a str,
    pub client: ClientAddr,
    /// `udp` or `tcp`
    pub transport: &'static str,
    pub id: u16,
    /// With its trailing dot.
    pub name: &'a str,
    pub kind: &'a str,
    pub class: &'a str,
    pub request_bytes: usize,
    pub dnssec_ok: bool,
    pub buffer_bytes: u16,
    pub code: &'static str,
    pub flags: &'a str,
    pub response_bytes: usize,
    pub duration: Duration,
    pub error: Option<&'a str>,
}

impl DnsQueried<'_> {
    /// The number of the code, where there is an error.
    fn error_number(&self) -> u8 {
        match (self.error, self.code) {
            (None, _) => 0,
            (Some(_), "REFUSED") => 5,
            (Some(_), _) => 2,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DnsQuery<'a> {
    source_ip: IpAddr,
    source_port: u16,
    query_id: u16,
    query_type: &'a str,
    query_class: &'a str,
    query_name: &'a str,
    protocol: &'static str,
    request_size: usize,
    dnssec_ok_bit: bool,
    #[serde(rename = "EDNS0BufferSize")]
    edns0_buffer_size: u16,
    response_code: &'static str,
    response_flags: &'a str,
    response_size: usize,
    request_duration_secs: f64,
    error_number: u8,
    error_message: &'a str,
}

/// The structured record of a question.
pub fn dns_record<'a>(queried: &DnsQueried<'a>, resource_id: &'a str) -> Record<'a, DnsQuery<'a>> {
    let properties = DnsQuery {
        source_ip: queried.client.ip(),
        source_port: queried.client.port(),
        query_id: queried.id,
        query_type: queried.kind,
        query_class: queried.class,
        query_name: queried.name,
        protocol: queried.transport,
        request_size: queried.request_bytes,
        dnssec_ok_bit: queried.dnssec_ok,
        edns0_buffer_size: queried.buffer_bytes,
        response_code: queried.code,
        response_flags: queried.flags,
        response_size: queried.response_bytes,
        request_duration_secs: queried.duration.as_secs_f64(),
        error_number: queried.error_number(),
        error_message: queried.error.unwrap_or_default(),
    };
    Record::new(Category::DnsQuery, queried.time, resource_id, properties)
}

/// A question's legacy line, and for a failure another one that says why.
pub fn legacy_dns_records<'a>(
    queried: &DnsQueried<'a>,
    resource_id: &'a str,
) -> impl Iterator<Item = LegacyRecord<'a>> {
    let time = queried.time;
    let texts = std::iter::once(request_line(queried)).chain(error_line(queried));
    texts.map(move |msg| {
        LegacyRecord::new((Category::LegacyDnsProxy, "AzureFirewallDnsProxyLog"), time, resource_id, msg)
    })
}

fn request_line(queried: &DnsQueried<'_>) -> String {
    let DnsQueried { client, id, kind, class, name, transport, request_bytes, .. } = queried;
    let DnsQueried { dnssec_ok, buffer_bytes, code, flags, response_bytes, duration, .. } = queried;
    let seconds = duration.as_secs_f64();
    format!(
        "DNS Request: {client} - {id} {kind} {class} {name} {transport} {request_bytes} {dnssec_ok} {buffer_bytes} \
         {code} {flags} {response_bytes} {seconds:.9}s"
    )
}

fn error_line(queried: &DnsQueried<'_>) -> Option<String> {
    let DnsQueried { name, kind, error, .. } = queried;
    Some(format!(" Error: {} {name} {kind}: {}", queried.error_number(), (*error)?))
}

/// A name of a network or DNAT rule that does not resolve.
#[derive(Debug, Clone, Copy)]
pub struct FqdnFailed<'a> {
    /// As in [`Decided`](super::logs::Decided).
    pub time: &'a str,
    pub fqdn: &'a str,
    pub error: &'a str,
    /// The name server that was asked, where one was.
    pub server: Option<SocketAddr>,
    /// A rule that has the name.
    pub rule: Option<&'a RuleName>,
}

impl FqdnFailed<'_> {
    /// `lookup git.test on 192.0.2.53:53: no answer in time`
    fn whole_error(&self) -> String {
        let FqdnFailed { fqdn, error, .. } = self;
        match self.server {
            Some(server) => format!("lookup {fqdn} on {server}: {error}"),
            None => format!("lookup {fqdn}: {error}"),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FqdnResolutionFailure<'a> {
    fqdn: &'a str,
    error: String,
    server_ip: String,
    server_port: u16,
    #[serde(flatten)]
    names: Names<'a>,
}

/// The structured record of such a failure.
pub fn fqdn_failure_record<'a>(failed: &FqdnFailed<'a>, resource_id: &'a str) -> Record<'a, FqdnResolutionFailure<'a>> {
    let properties = FqdnResolutionFailure {
        fqdn: failed.fqdn,
        error: failed.whole_error(),
        server_ip: failed.server.map_or(String::new(), |server| server.ip().to_string()),
        server_port: failed.server.map_or(0, |server| server.port()),
        names: Names::of(failed.rule),
    };
    Record::new(Category::FqdnResolveFailure, failed.time, resource_id, properties)
}

/// Its legacy line: one of the network rules' category. The collection is named with all that it is in.
pub fn legacy_fqdn_failure_record<'a>(failed: &FqdnFailed<'a>, resource_id: &'a str) -> LegacyRecord<'a> {
    let mut msg = format!("Failed to resolve FQDN {}. Error {}", failed.fqdn, failed.whole_error());
    if let Some(RuleName { policy, group, collection, rule, .. }) = failed.rule {
        let within = [&**policy, &**group, &**collection].into_iter().filter(|name| !name.is_empty());
        let within: Vec<&str> = within.collect();
        msg.push_str(&format!(". Rule Collection: {}. Rule: {rule}", within.join(":")));
    }
    let operation = (Category::LegacyNetworkRule, "AzureFirewallDNSResolutionFailureLog");
    LegacyRecord::new(operation, failed.time, resource_id, msg)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::logs::DEFAULT_RESOURCE_ID;
    use super::super::logs::tests::rule;
    use super::*;
    use crate::policy::RuleKind;
    use serde_json::{Value, json};

    /// The sample of the documentation.
    pub(in super::super) fn queried() -> DnsQueried<'static> {
        DnsQueried {
            time: "2023-09-06T14:33:46.8121070Z",
            client: ClientAddr::new("10.12.3.5:7943".parse().unwrap()),
            transport: "udp",
            id: 8951,
            name: "tsfe.trafficshaping.dsp.mp.microsoft.com.",
            kind: "AAAA",
            class: "IN",
            request_bytes: 58,
            dnssec_ok: false,
            buffer_bytes: 512,
            code: "NOERROR",
            flags: "qr,rd,ra",
            response_bytes: 135,
            duration: Duration::from_nanos(4_987_569),
            error: None,
        }
    }

    #[test]
    fn dns_query() {
        let expected = json!({
            "category": "AZFWDnsQuery",
            "time": "2023-09-06T14:33:46.8121070Z",
            "resourceId": DEFAULT_RESOURCE_ID,
            "properties": {
                "SourceIp": "10.12.3.5", "SourcePort": 7943, "QueryId": 8951, "QueryType": "AAAA",
                "QueryClass": "IN", "QueryName": "tsfe.trafficshaping.dsp.mp.microsoft.com.", "Protocol": "udp",
                "RequestSize": 58, "DnssecOkBit": false, "EDNS0BufferSize": 512, "ResponseCode": "NOERROR",
                "ResponseFlags": "qr,rd,ra", "ResponseSize": 135, "RequestDurationSecs": 0.004_987_569,
                "ErrorNumber": 0, "ErrorMessage": "",
            },
        });
        assert_eq!(serde_json::to_value(dns_record(&queried(), DEFAULT_RESOURCE_ID)).unwrap(), expected);
    }

    #[test]
    fn legacy_lines() {
        let lines = |queried: DnsQueried<'_>| -> Vec<Value> {
            let records = legacy_dns_records(&queried, DEFAULT_RESOURCE_ID);
            records.map(|record| serde_json::to_value(record).unwrap()).collect()
        };
        let [line] = lines(queried()).try_into().unwrap();
        assert_eq!(line["category"], "AzureFirewallDnsProxy");
        assert_eq!(line["operationName"], "AzureFirewallDnsProxyLog");
        let sample = "DNS Request: 10.12.3.5:7943 - 8951 AAAA IN tsfe.trafficshaping.dsp.mp.microsoft.com. udp 58 \
                      false 512 NOERROR qr,rd,ra 135 0.004987569s";
        assert_eq!(line["properties"]["msg"], sample);
        let [_, failed] = lines(DnsQueried { error: Some("i/o timeout"), ..queried() }).try_into().unwrap();
        let sample = " Error: 2 tsfe.trafficshaping.dsp.mp.microsoft.com. AAAA: i/o timeout";
        assert_eq!(failed["properties"]["msg"], sample);
    }

    pub(in super::super) fn failed(rule: &RuleName) -> FqdnFailed<'_> {
        FqdnFailed {
            time: "2023-09-06T14:33:46.8121070Z",
            fqdn: "git.test",
            error: "no answer in time",
            server: Some("192.0.2.53:5353".parse().unwrap()),
            rule: Some(rule),
        }
    }

    #[test]
    fn fqdn_failure() {
        let rule = rule(RuleKind::Network);
        let failed = failed(&rule);
        let expected = json!({
            "category": "AZFWFqdnResolveFailure",
            "time": "2023-09-06T14:33:46.8121070Z",
            "resourceId": "/SUBSCRIPTIONS/X",
            "properties": {
                "Fqdn": "git.test", "Error": "lookup git.test on 192.0.2.53:5353: no answer in time",
                "ServerIp": "192.0.2.53", "ServerPort": 5353, "Policy": "p", "RuleCollectionGroup": "g",
                "RuleCollection": "c", "Rule": "r",
            },
        });
        assert_eq!(serde_json::to_value(fqdn_failure_record(&failed, "/subscriptions/x")).unwrap(), expected);
        let line = |failed| serde_json::to_value(legacy_fqdn_failure_record(&failed, "/subscriptions/x")).unwrap();
        assert_eq!(line(failed)["category"], "AzureFirewallNetworkRule");
        assert_eq!(line(failed)["operationName"], "AzureFirewallDNSResolutionFailureLog");
        assert_eq!(
            line(failed)["properties"]["msg"],
            "Failed to resolve FQDN git.test. Error lookup git.test on 192.0.2.53:5353: no answer in time. \
             Rule Collection: p:g:c. Rule: r"
        );
        let bare = FqdnFailed { server: None, rule: None, ..failed };
        assert_eq!(
            line(bare)["properties"]["msg"],
            "Failed to resolve FQDN git.test. Error lookup git.test: no answer in time"
        );
    }
}
