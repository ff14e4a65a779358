//! Egret's own log: JSON lines, documented in `docs/log.md`. A field that is not known is null, never absent.

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::clock::{Clock, Precision};
use super::object::{Object, Plain, Value, field};
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
    field!(line, "v", SCHEMA_VERSION);
    field!(line, "kind", Plain(kind(entry)));
    field!(line, "seq", seq);
    field!(line, "ts", Plain(clock.show(entry.ts(), Precision::Micros)));
    field!(line, "run", Plain(run.as_str()));
    match *entry {
        Entry::Start(record) => start(&mut line, record),
        Entry::Flow(record) => flow(&mut line, record),
        Entry::Close(record) => close(&mut line, record),
        Entry::Dns(record) => dns(&mut line, record),
        Entry::Environment(record) => environment(&mut line, record),
        Entry::FqdnFailure(record) => fqdn_failure(&mut line, record),
        Entry::Reload(record) => reload(&mut line, record),
        Entry::End(_, counts) => field!(line, "counts", counts),
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
    field!(line, "version", *version);
    field!(line, "policy", policies.as_slice());
    field!(line, "policy_hash", &**policy_hash);
    field!(line, "config_digest", &**config_digest);
}

/// A decision as the log and `/v1/flows` show it.
fn flow(line: &mut Object<'_>, record: &FlowRecord) {
    field!(line, "flow", record.flow);
    field!(line, "via", Plain(record.via.as_str()));
    field!(line, "client", record.client.addr());
    field!(line, "proto", Plain(record.protocol.as_str()));
    field!(line, "host", record.host.as_ref());
    field!(line, "port", Some(record.port).filter(|port| *port != 0));
    field!(line, "sni", record.sni.as_ref());
    field!(line, "dst", record.dst);
    field!(line, "verdict", Plain(record.verdict.as_str()));
    field!(line, "reason", Plain(record.reason.as_str()));
    field!(line, "rule", record.rule.as_deref());
    field!(line, "profile", Plain(record.profile.as_str()));
    field!(line, "policy_hash", &*record.policy_hash);
    field!(line, "threat_intel", record.threat.as_deref().map(|threat| (record.threat_action(), threat)));
    field!(line, "network", record.network.as_deref());
}

impl Value for &Surroundings {
    fn write(self, out: &mut Vec<u8>) {
        let Surroundings { scope: _, location: _, outbound, route, inbound, passed: _ } = self;
        let mut network = Object::begin(out);
        write_secured(outbound.as_ref(), &mut network);
        field!(network, "next_hop", route.as_ref().map(|route| route.next_hop));
        field!(network, "prefix", route.as_ref().map(|route| route.prefix));
        field!(network, "route", route.as_ref().map(|route| &*route.name).filter(|name| !name.is_empty()));
        field!(network, "destination", inbound.as_ref());
        network.end();
    }
}

impl Value for &Secured {
    fn write(self, out: &mut Vec<u8>) {
        let mut there = Object::begin(out);
        write_secured(Some(self), &mut there);
        there.end();
    }
}

/// Nulls of a client in no subnet.
fn write_secured(secured: Option<&Secured>, network: &mut Object<'_>) {
    let rule = secured.and_then(|secured| match &secured.by {
        SecuredBy::Rule(rule) => Some(rule),
        SecuredBy::Nobody | SecuredBy::Platform => None,
    });
    field!(network, "virtual_network", secured.map(|secured| &*secured.virtual_network));
    field!(network, "subnet", secured.map(|secured| &*secured.subnet));
    field!(network, "nsg", rule.map(|rule| &*rule.group));
    field!(network, "nsg_rule", rule.map(|rule| &*rule.rule));
    field!(network, "nsg_access", secured.map(|secured| Plain(secured.access.as_str())));
}

impl Value for (&'static str, &KnownThreat) {
    fn write(self, out: &mut Vec<u8>) {
        let (action, KnownThreat { indicator, description }) = self;
        let mut known = Object::begin(out);
        field!(known, "action", action);
        field!(known, "indicator", &**indicator);
        field!(known, "description", &**description);
        known.end();
    }
}

impl Value for &Seen<Host> {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Seen::Valid(Host::Name(name)) => Plain(name.as_str()).write(out),
            Seen::Valid(Host::Addr(addr)) => addr.write(out),
            Seen::Raw(raw) => raw.as_str().write(out),
        }
    }
}

impl Value for &Seen<HostName> {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Seen::Valid(name) => Plain(name.as_str()).write(out),
            Seen::Raw(raw) => raw.as_str().write(out),
        }
    }
}

impl Value for &RuleName {
    fn write(self, out: &mut Vec<u8>) {
        let RuleName { policy, group, collection, rule, kind: _, categories: _ } = self;
        let mut names = Object::begin(out);
        field!(names, "policy", &**policy);
        field!(names, "group", &**group);
        field!(names, "collection", &**collection);
        field!(names, "rule", &**rule);
        names.end();
    }
}

fn close(line: &mut Object<'_>, record: &CloseRecord) {
    let CloseRecord { ts: _, flow, bytes_up, bytes_down, heads: _, duration, closed_by, why } = *record;
    field!(line, "flow", flow);
    field!(line, "bytes_up", bytes_up);
    field!(line, "bytes_down", bytes_down);
    field!(line, "duration_ms", u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    field!(line, "closed_by", Plain(closed_by.as_str()));
    field!(line, "reason", Plain(why.as_str()));
}

fn dns(line: &mut Object<'_>, record: &DnsRecord) {
    field!(line, "client", record.client.addr());
    field!(line, "proto", Plain(record.transport.as_str()));
    field!(line, "id", record.id);
    field!(line, "name", record.name.as_str());
    field!(line, "type", &*record.kind);
    field!(line, "class", &*record.class);
    field!(line, "request_bytes", record.request_bytes);
    field!(line, "dnssec_ok", record.dnssec_ok);
    field!(line, "edns_bytes", record.buffer_bytes);
    field!(line, "rcode", record.code);
    field!(line, "flags", &*record.flags);
    field!(line, "response_bytes", record.response_bytes);
    field!(line, "duration_us", u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX));
    field!(line, "error", record.error.as_deref());
}

fn environment(line: &mut Object<'_>, record: &EnvironmentRecord) {
    let EnvironmentRecord { ts: _, name, id: _, state, why, unreachable } = record;
    field!(line, "environment", &**name);
    field!(line, "state", Plain(state.as_str()));
    field!(line, "why", Plain(why.as_str()));
    field!(line, "unreachable", unreachable.as_slice());
}

fn fqdn_failure(line: &mut Object<'_>, record: &FqdnFailureRecord) {
    let FqdnFailureRecord { ts: _, fqdn, server, error, rules } = record;
    field!(line, "fqdn", Plain(fqdn.as_str()));
    field!(line, "server", *server);
    field!(line, "error", &**error);
    field!(line, "rules", rules.as_slice());
}

fn reload(line: &mut Object<'_>, record: &ReloadRecord) {
    let ReloadRecord { ts: _, policy_hash, error } = record;
    field!(line, "ok", error.is_none());
    field!(line, "policy_hash", &**policy_hash);
    field!(line, "error", error.as_deref());
}

impl Value for Counts {
    fn write(self, out: &mut Vec<u8>) {
        let Counts { allowed, denied, bypassed, closed, reloads, lost } = self;
        let mut counts = Object::begin(out);
        field!(counts, "allowed", allowed);
        field!(counts, "denied", denied);
        field!(counts, "bypassed", bypassed);
        field!(counts, "closed", closed);
        field!(counts, "reloads", reloads);
        field!(counts, "lost", lost);
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
