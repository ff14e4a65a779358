//! Egret's own log: JSON lines, documented in `docs/log.md`. A field that is not known is null, never absent.

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::clock::{Clock, Precision};
use super::object::{Object, Value};
use super::record::{
    CloseRecord, Counts, DnsRecord, EnvironmentRecord, FlowRecord, FqdnFailureRecord, KnownThreat, ReloadRecord, RunId,
    Secured, SecuredBy, Seen, StartRecord, Surroundings,
};
use super::sink::Entry;
use crate::flow::{Host, HostName};
use crate::policy::RuleName;

/// Grows when a field goes or changes its meaning; new fields may come without.
pub const SCHEMA_VERSION: u32 = 1;

/// Appends one line, with its line feed.
pub(super) fn write_line(out: &mut Vec<u8>, clock: &mut Clock, run: &RunId, seq: u64, entry: &Entry<'_>) {
    let mut line = Object::begin(out);
    line.field("v", SCHEMA_VERSION);
    line.field("kind", kind(entry));
    line.field("seq", seq);
    line.field("ts", clock.show(entry.ts(), Precision::Micros));
    line.field("run", run.as_str());
    match *entry {
        Entry::Start(record) => start(&mut line, record),
        Entry::Flow(record) => flow(&mut line, record),
        Entry::Close(record) => close(&mut line, record),
        Entry::Dns(record) => dns(&mut line, record),
        Entry::Environment(record) => environment(&mut line, record),
        Entry::FqdnFailure(record) => fqdn_failure(&mut line, record),
        Entry::Reload(record) => reload(&mut line, record),
        Entry::End(_, counts) => line.field("counts", counts),
    }
    line.end();
    out.push(b'\n');
}

/// Serialises a decision outside of the log: as its line there.
pub(super) fn serialize_flow<S: Serializer>(
    serializer: S,
    run: &RunId,
    seq: u64,
    record: &FlowRecord,
) -> Result<S::Ok, S::Error> {
    let mut line = Vec::new();
    write_line(&mut line, &mut Clock::new(), run, seq, &Entry::Flow(record));
    let line = String::from_utf8(line).map_err(S::Error::custom)?;
    RawValue::from_string(line).map_err(S::Error::custom)?.serialize(serializer)
}

fn kind(entry: &Entry<'_>) -> &'static str {
    match entry {
        Entry::Start(_) => "start",
        Entry::Flow(_) => "flow",
        Entry::Close(_) => "close",
        Entry::Dns(_) => "dns",
        Entry::Environment(_) => "environment",
        Entry::FqdnFailure(_) => "fqdn-failure",
        Entry::Reload(_) => "reload",
        Entry::End(..) => "end",
    }
}

fn start(line: &mut Object<'_>, record: &StartRecord) {
    let StartRecord { ts: _, version, policies, policy_hash, config_digest } = record;
    line.field("version", *version);
    line.field("policy", policies.as_slice());
    line.field("policy_hash", &**policy_hash);
    line.field("config_digest", &**config_digest);
}

/// A decision as the log and `/v1/flows` show it.
fn flow(line: &mut Object<'_>, record: &FlowRecord) {
    line.field("flow", record.flow);
    line.field("via", record.via.as_str());
    line.field("client", record.client.addr());
    line.field("proto", record.protocol.as_str());
    line.field("host", record.host.as_ref());
    line.field("port", Some(record.port).filter(|port| *port != 0));
    line.field("sni", record.sni.as_ref());
    line.field("dst", record.dst);
    line.field("verdict", record.verdict.as_str());
    line.field("reason", record.reason.as_str());
    line.field("rule", record.rule.as_deref());
    line.field("profile", record.profile.as_str());
    line.field("policy_hash", &*record.policy_hash);
    line.field("threat_intel", record.threat.as_deref().map(|threat| (record.threat_action(), threat)));
    line.field("network", record.network.as_deref());
}

impl Value for &Surroundings {
    fn write(self, out: &mut Vec<u8>) {
        let Surroundings { scope: _, location: _, outbound, route, inbound } = self;
        let mut network = Object::begin(out);
        outbound.write_fields(&mut network);
        network.field("next_hop", route.as_ref().map(|route| route.next_hop));
        network.field("prefix", route.as_ref().map(|route| route.prefix));
        network.field("route", route.as_ref().map(|route| &*route.name).filter(|name| !name.is_empty()));
        network.field("destination", inbound.as_ref());
        network.end();
    }
}

impl Value for &Secured {
    fn write(self, out: &mut Vec<u8>) {
        let mut there = Object::begin(out);
        self.write_fields(&mut there);
        there.end();
    }
}

impl Secured {
    fn write_fields(&self, network: &mut Object<'_>) {
        let rule = match &self.by {
            SecuredBy::Rule(rule) => Some(rule),
            SecuredBy::Nobody | SecuredBy::Platform => None,
        };
        network.field("virtual_network", &*self.virtual_network);
        network.field("subnet", &*self.subnet);
        network.field("nsg", rule.map(|rule| &*rule.group));
        network.field("nsg_rule", rule.map(|rule| &*rule.rule));
        network.field("nsg_access", self.access.as_str());
    }
}

impl Value for (&'static str, &KnownThreat) {
    fn write(self, out: &mut Vec<u8>) {
        let (action, KnownThreat { indicator, description }) = self;
        let mut known = Object::begin(out);
        known.field("action", action);
        known.field("indicator", &**indicator);
        known.field("description", &**description);
        known.end();
    }
}

impl Value for &Seen<Host> {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Seen::Valid(Host::Name(name)) => name.as_str().write(out),
            Seen::Valid(Host::Addr(addr)) => addr.write(out),
            Seen::Raw(raw) => raw.as_str().write(out),
        }
    }
}

impl Value for &Seen<HostName> {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Seen::Valid(name) => name.as_str().write(out),
            Seen::Raw(raw) => raw.as_str().write(out),
        }
    }
}

impl Value for &RuleName {
    fn write(self, out: &mut Vec<u8>) {
        let RuleName { policy, group, collection, rule, kind: _, categories: _ } = self;
        let mut names = Object::begin(out);
        names.field("policy", &**policy);
        names.field("group", &**group);
        names.field("collection", &**collection);
        names.field("rule", &**rule);
        names.end();
    }
}

fn close(line: &mut Object<'_>, record: &CloseRecord) {
    let CloseRecord { ts: _, flow, bytes_up, bytes_down, duration, closed_by, why } = *record;
    line.field("flow", flow);
    line.field("bytes_up", bytes_up);
    line.field("bytes_down", bytes_down);
    line.field("duration_ms", u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    line.field("closed_by", closed_by.as_str());
    line.field("reason", why.as_str());
}

fn dns(line: &mut Object<'_>, record: &DnsRecord) {
    line.field("client", record.client.addr());
    line.field("proto", record.transport.as_str());
    line.field("id", record.id);
    line.field("name", record.name.as_str());
    line.field("type", &*record.kind);
    line.field("class", &*record.class);
    line.field("request_bytes", record.request_bytes);
    line.field("dnssec_ok", record.dnssec_ok);
    line.field("edns_bytes", record.buffer_bytes);
    line.field("rcode", record.code);
    line.field("flags", &*record.flags);
    line.field("response_bytes", record.response_bytes);
    line.field("duration_us", u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX));
    line.field("error", record.error.as_deref());
}

fn environment(line: &mut Object<'_>, record: &EnvironmentRecord) {
    let EnvironmentRecord { ts: _, name, id: _, state, why, unreachable } = record;
    line.field("environment", &**name);
    line.field("state", state.as_str());
    line.field("why", why.as_str());
    line.field("unreachable", unreachable.as_slice());
}

fn fqdn_failure(line: &mut Object<'_>, record: &FqdnFailureRecord) {
    let FqdnFailureRecord { ts: _, fqdn, server, error, rules } = record;
    line.field("fqdn", fqdn.as_str());
    line.field("server", *server);
    line.field("error", &**error);
    line.field("rules", rules.as_slice());
}

fn reload(line: &mut Object<'_>, record: &ReloadRecord) {
    let ReloadRecord { ts: _, policy_hash, error } = record;
    line.field("ok", error.is_none());
    line.field("policy_hash", &**policy_hash);
    line.field("error", error.as_deref());
}

impl Value for Counts {
    fn write(self, out: &mut Vec<u8>) {
        let Counts { allowed, denied, bypassed, closed, reloads, lost } = self;
        let mut counts = Object::begin(out);
        counts.field("allowed", allowed);
        counts.field("denied", denied);
        counts.field("bypassed", bypassed);
        counts.field("closed", closed);
        counts.field("reloads", reloads);
        counts.field("lost", lost);
        counts.end();
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{alerted, asked, closed, crossed, denied, environment, fqdn_failure, start};
    use super::super::record::{Escaped, Seen};
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn line(entry: Entry<'_>) -> String {
        let mut out = Vec::new();
        write_line(&mut out, &mut Clock::new(), &RunId::from_bits(0xbeef), 3, &entry);
        String::from_utf8(out).unwrap()
    }

    fn reload() -> ReloadRecord {
        ReloadRecord { ts: closed().ts, policy_hash: "c0ffee".into(), error: Some("no\nsuch file".into()) }
    }

    fn every_kind() -> Vec<String> {
        let counts = Counts { allowed: 1, denied: 2, bypassed: 3, closed: 1, reloads: 4, lost: 5 };
        vec![
            line(Entry::Start(&start())),
            line(Entry::Flow(&alerted())),
            line(Entry::Flow(&crossed())),
            line(Entry::Close(&closed())),
            line(Entry::Dns(&asked())),
            line(Entry::Environment(&environment())),
            line(Entry::FqdnFailure(&fqdn_failure())),
            line(Entry::Reload(&reload())),
            line(Entry::End(closed().ts, counts)),
        ]
    }

    #[test]
    fn the_shape_of_each_kind() {
        let expected = [
            r#"{"v":1,"kind":"start","seq":3,"ts":"2026-11-21T21:14:00.000000Z","run":"0000beef","version":"0.1.0","policy":["command-line","lab"],"policy_hash":"c0ffee","config_digest":"d1ce57"}"#,
            r#"{"v":1,"kind":"flow","seq":3,"ts":"2026-11-21T21:14:03.500000Z","run":"0000beef","flow":7,"via":"connect","client":"127.0.0.1:51000","proto":"https","host":"ok.test","port":443,"sni":"ok.test","dst":"192.0.2.7:443","verdict":"allow","reason":"application-rule","rule":{"policy":"lab","group":"group","collection":"web","rule":"allow ok"},"profile":"azure","policy_hash":"c0ffee","threat_intel":{"action":"alert","indicator":"*.test","description":"a botnet"},"network":null}"#,
            r#"{"v":1,"kind":"flow","seq":3,"ts":"2026-11-21T21:14:03.500000Z","run":"0000beef","flow":7,"via":"gateway","client":"192.168.251.140:51000","proto":"tcp","host":"192.168.7.4","port":5432,"sni":null,"dst":null,"verdict":"deny","reason":"nsg-denied","rule":null,"profile":"azure","policy_hash":"c0ffee","threat_intel":null,"network":{"virtual_network":"ase-vnet","subnet":"ase-subnet","nsg":"ase-nsg","nsg_rule":"vnet","nsg_access":"allow","next_hop":"VnetLocal","prefix":"192.168.0.0/16","route":null,"destination":{"virtual_network":"ase-vnet","subnet":"data","nsg":"data-nsg","nsg_rule":"DenyAllInBound","nsg_access":"deny"}}}"#,
            r#"{"v":1,"kind":"close","seq":3,"ts":"2026-11-21T21:14:05.000000Z","run":"0000beef","flow":7,"bytes_up":517,"bytes_down":12000,"duration_ms":1500,"closed_by":"origin","reason":"eof"}"#,
            r#"{"v":1,"kind":"dns","seq":3,"ts":"2026-11-21T21:14:04.000000Z","run":"0000beef","client":"10.12.3.5:7943","proto":"udp","id":8951,"name":"ok.test.","type":"AAAA","class":"IN","request_bytes":58,"dnssec_ok":false,"edns_bytes":512,"rcode":"NOERROR","flags":"qr,rd,ra","response_bytes":135,"duration_us":4987,"error":null}"#,
            r#"{"v":1,"kind":"environment","seq":3,"ts":"2026-11-21T21:14:04.000000Z","run":"0000beef","environment":"ase","state":"unhealthy","why":"dependencies","unreachable":["login.windows.net:443"]}"#,
            r#"{"v":1,"kind":"fqdn-failure","seq":3,"ts":"2026-11-21T21:14:04.000000Z","run":"0000beef","fqdn":"git.test","server":"192.0.2.53:53","error":"no answer in time","rules":[{"policy":"lab","group":"group","collection":"net","rule":"allow git"}]}"#,
            r#"{"v":1,"kind":"reload","seq":3,"ts":"2026-11-21T21:14:05.000000Z","run":"0000beef","ok":false,"policy_hash":"c0ffee","error":"no\nsuch file"}"#,
            r#"{"v":1,"kind":"end","seq":3,"ts":"2026-11-21T21:14:05.000000Z","run":"0000beef","counts":{"allowed":1,"denied":2,"bypassed":3,"closed":1,"reloads":4,"lost":5}}"#,
        ];
        for (got, expected) in every_kind().iter().zip(expected) {
            assert_eq!(got.trim_end_matches('\n'), expected);
        }
    }

    #[test]
    fn what_is_not_known_is_null() {
        let shown = line(Entry::Flow(&denied()));
        assert!(
            shown.contains(r#""sni":null,"dst":null,"verdict":"deny","reason":"not-allowed","rule":null"#),
            "{shown}"
        );
    }

    #[test]
    fn hostile_names_stay_in_their_field() {
        let hostile = Escaped::name(b"\n\x1b[31m\",\"verdict\":\"allow");
        let record = FlowRecord { host: Some(Seen::Raw(hostile.clone())), sni: Some(Seen::Raw(hostile)), ..denied() };
        let shown = line(Entry::Flow(&record));
        assert_eq!(shown.bytes().filter(|b| b.is_ascii_control()).count(), 1, "only the line feed: {shown:?}");
        let value: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(value["verdict"], "deny");
        assert_eq!(value["sni"], r#"\x0a\x1b[31m","verdict":"allow"#);
    }

    /// Names of fields in dotted form: `rule.policy`.
    fn field_names(prefix: &str, value: &serde_json::Value, names: &mut BTreeSet<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            names.insert(format!("{prefix}{key}"));
            field_names(&format!("{prefix}{key}."), value, names);
        }
    }

    /// The first column of the rows `| `name` | kind…` below a heading.
    fn documented(kind: &str) -> BTreeSet<String> {
        let text = include_str!("../../docs/log.md");
        let heading = format!("### `{kind}`\n");
        let section = text.split(&heading).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
        let section = section.split("\n#").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn the_manual_lists_every_field_and_no_other() {
        let common = documented("every kind");
        assert_eq!(common.len(), 5, "v, kind, seq, ts, run");
        let mut kinds = BTreeMap::<String, BTreeSet<String>>::new();
        for line in every_kind() {
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            field_names("", &value, kinds.entry(value["kind"].as_str().unwrap().to_owned()).or_default());
        }
        for (kind, produced) in kinds {
            assert_eq!(produced, common.union(&documented(&kind)).cloned().collect(), "kind {kind}");
        }
    }
}
