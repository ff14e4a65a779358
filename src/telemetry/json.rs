//! Egret's own log: JSON lines, documented in `docs/log.md`. A field that is not known is null, never absent.

use std::fmt::Display;

use serde::{Serialize, Serializer};

use super::clock::{Clock, Precision};
use super::record::{CloseRecord, Counts, DnsRecord, FlowRecord, FqdnFailureRecord, ReloadRecord, RunId, StartRecord};
use super::sink::Entry;
use crate::policy::RuleName;

/// Grows when a field goes or changes its meaning; new fields may come without.
pub const SCHEMA_VERSION: u32 = 1;

/// Appends one line, with its line feed.
pub(super) fn write_line(out: &mut Vec<u8>, clock: &mut Clock, run: &RunId, seq: u64, entry: &Entry<'_>) {
    let ts = clock.show(entry.ts(), Precision::Micros);
    let head = Head { seq, ts, run: run.as_str() };
    let written = match *entry {
        Entry::Start(record) => serde_json::to_writer(&mut *out, &StartLine::new(head, record)),
        Entry::Flow(record) => serde_json::to_writer(&mut *out, &FlowLine::new(head, record)),
        Entry::Close(record) => serde_json::to_writer(&mut *out, &CloseLine::new(head, record)),
        Entry::Dns(record) => serde_json::to_writer(&mut *out, &DnsLine::new(head, record)),
        Entry::FqdnFailure(record) => serde_json::to_writer(&mut *out, &FqdnFailureLine::new(head, record)),
        Entry::Reload(record) => serde_json::to_writer(&mut *out, &ReloadLine::new(head, record)),
        Entry::End(_, counts) => serde_json::to_writer(&mut *out, &EndLine::new(head, counts)),
    };
    written.expect("plain structs to a Vec cannot fail");
    out.push(b'\n');
}

/// What every line begins with, but for its kind.
#[derive(Clone, Copy)]
struct Head<'a> {
    seq: u64,
    ts: &'a str,
    run: &'a str,
}

#[derive(Serialize)]
struct StartLine<'a> {
    v: u32,
    kind: &'static str,
    seq: u64,
    ts: &'a str,
    run: &'a str,
    version: &'a str,
    policy: Vec<&'a str>,
    policy_hash: &'a str,
    config_digest: &'a str,
}

impl<'a> StartLine<'a> {
    fn new(head: Head<'a>, record: &'a StartRecord) -> StartLine<'a> {
        let StartRecord { ts: _, version, policies, policy_hash, config_digest } = record;
        StartLine {
            v: SCHEMA_VERSION,
            kind: "start",
            seq: head.seq,
            ts: head.ts,
            run: head.run,
            version,
            policy: policies.iter().map(|name| &**name).collect(),
            policy_hash,
            config_digest,
        }
    }
}

/// A decision as the log and `/v1/flows` show it.
#[derive(Serialize)]
struct FlowLine<'a> {
    v: u32,
    kind: &'static str,
    seq: u64,
    ts: &'a str,
    run: &'a str,
    flow: u64,
    via: &'static str,
    #[serde(serialize_with = "display")]
    client: &'a dyn Display,
    proto: &'static str,
    #[serde(serialize_with = "display_known")]
    host: Option<&'a dyn Display>,
    port: Option<u16>,
    #[serde(serialize_with = "display_known")]
    sni: Option<&'a dyn Display>,
    #[serde(serialize_with = "display_known")]
    dst: Option<&'a dyn Display>,
    verdict: &'static str,
    reason: &'static str,
    rule: Option<RuleField<'a>>,
    profile: &'static str,
    policy_hash: &'a str,
}

#[derive(Serialize)]
struct RuleField<'a> {
    policy: &'a str,
    group: &'a str,
    collection: &'a str,
    rule: &'a str,
}

impl<'a> RuleField<'a> {
    fn new(name: &'a RuleName) -> RuleField<'a> {
        let RuleName { policy, group, collection, rule } = name;
        RuleField { policy, group, collection, rule }
    }
}

impl<'a> FlowLine<'a> {
    fn new(head: Head<'a>, record: &'a FlowRecord) -> FlowLine<'a> {
        FlowLine {
            v: SCHEMA_VERSION,
            kind: "flow",
            seq: head.seq,
            ts: head.ts,
            run: head.run,
            flow: record.flow,
            via: record.via.as_str(),
            client: &record.client,
            proto: record.protocol.as_str(),
            host: record.host.as_ref().map(|host| host as &dyn Display),
            port: Some(record.port).filter(|port| *port != 0),
            sni: record.sni.as_ref().map(|sni| sni as &dyn Display),
            dst: record.dst.as_ref().map(|dst| dst as &dyn Display),
            verdict: record.verdict.as_str(),
            reason: record.reason.as_str(),
            rule: record.rule.as_ref().map(RuleField::new),
            profile: record.profile.as_str(),
            policy_hash: &record.policy_hash,
        }
    }
}

/// Serialises a decision outside of the log, in the same shape.
pub(super) fn serialize_flow<S: Serializer>(
    serializer: S,
    run: &RunId,
    seq: u64,
    record: &FlowRecord,
) -> Result<S::Ok, S::Error> {
    let mut clock = Clock::new();
    let head = Head { seq, ts: clock.show(record.ts, Precision::Micros), run: run.as_str() };
    FlowLine::new(head, record).serialize(serializer)
}

fn display<S: Serializer>(value: &dyn Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn display_known<S: Serializer>(value: &Option<&dyn Display>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

#[derive(Serialize)]
struct CloseLine<'a> {
    v: u32,
    kind: &'static str,
    seq: u64,
    ts: &'a str,
    run: &'a str,
    flow: u64,
    bytes_up: u64,
    bytes_down: u64,
    duration_ms: u64,
    closed_by: &'static str,
    reason: &'static str,
}

impl<'a> CloseLine<'a> {
    fn new(head: Head<'a>, record: &CloseRecord) -> CloseLine<'a> {
        let CloseRecord { ts: _, flow, bytes_up, bytes_down, duration, closed_by, why } = *record;
        CloseLine {
            v: SCHEMA_VERSION,
            kind: "close",
            seq: head.seq,
            ts: head.ts,
            run: head.run,
            flow,
            bytes_up,
            bytes_down,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            closed_by: closed_by.as_str(),
            reason: why.as_str(),
        }
    }
}

#[derive(Serialize)]
struct DnsLine<'a> {
    v: u32,
    kind: &'static str,
    seq: u64,
    ts: &'a str,
    run: &'a str,
    #[serde(serialize_with = "display")]
    client: &'a dyn Display,
    proto: &'static str,
    id: u16,
    name: &'a str,
    #[serde(rename = "type")]
    record_type: &'a str,
    class: &'a str,
    request_bytes: usize,
    dnssec_ok: bool,
    edns_bytes: u16,
    rcode: &'static str,
    flags: &'a str,
    response_bytes: usize,
    duration_us: u64,
    error: Option<&'a str>,
}

impl<'a> DnsLine<'a> {
    fn new(head: Head<'a>, record: &'a DnsRecord) -> DnsLine<'a> {
        DnsLine {
            v: SCHEMA_VERSION,
            kind: "dns",
            seq: head.seq,
            ts: head.ts,
            run: head.run,
            client: &record.client,
            proto: record.transport.as_str(),
            id: record.id,
            name: record.name.as_str(),
            record_type: &record.kind,
            class: &record.class,
            request_bytes: record.request_bytes,
            dnssec_ok: record.dnssec_ok,
            edns_bytes: record.buffer_bytes,
            rcode: record.code,
            flags: &record.flags,
            response_bytes: record.response_bytes,
            duration_us: u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX),
            error: record.error.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct FqdnFailureLine<'a> {
    v: u32,
    kind: &'static str,
    seq: u64,
    ts: &'a str,
    run: &'a str,
    fqdn: &'a str,
    error: &'a str,
}

impl<'a> FqdnFailureLine<'a> {
    fn new(head: Head<'a>, record: &'a FqdnFailureRecord) -> FqdnFailureLine<'a> {
        let FqdnFailureRecord { ts: _, fqdn, error } = record;
        let (seq, ts, run, fqdn) = (head.seq, head.ts, head.run, fqdn.as_str());
        FqdnFailureLine { v: SCHEMA_VERSION, kind: "fqdn-failure", seq, ts, run, fqdn, error }
    }
}

#[derive(Serialize)]
struct ReloadLine<'a> {
    v: u32,
    kind: &'static str,
    seq: u64,
    ts: &'a str,
    run: &'a str,
    ok: bool,
    policy_hash: &'a str,
    error: Option<&'a str>,
}

impl<'a> ReloadLine<'a> {
    fn new(head: Head<'a>, record: &'a ReloadRecord) -> ReloadLine<'a> {
        let ReloadRecord { ts: _, policy_hash, error } = record;
        ReloadLine {
            v: SCHEMA_VERSION,
            kind: "reload",
            seq: head.seq,
            ts: head.ts,
            run: head.run,
            ok: error.is_none(),
            policy_hash,
            error: error.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct EndLine<'a> {
    v: u32,
    kind: &'static str,
    seq: u64,
    ts: &'a str,
    run: &'a str,
    counts: Counts,
}

impl<'a> EndLine<'a> {
    fn new(head: Head<'a>, counts: Counts) -> EndLine<'a> {
        EndLine { v: SCHEMA_VERSION, kind: "end", seq: head.seq, ts: head.ts, run: head.run, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{allowed, asked, closed, denied, fqdn_failure, start};
    use super::super::record::{Escaped, Seen};
    use super::*;
    use std::collections::BTreeSet;

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
            line(Entry::Flow(&allowed())),
            line(Entry::Close(&closed())),
            line(Entry::Dns(&asked())),
            line(Entry::FqdnFailure(&fqdn_failure())),
            line(Entry::Reload(&reload())),
            line(Entry::End(closed().ts, counts)),
        ]
    }

    #[test]
    fn the_shape_of_each_kind() {
        let expected = [
            r#"{"v":1,"kind":"start","seq":3,"ts":"2026-11-21T21:14:00.000000Z","run":"0000beef","version":"0.1.0","policy":["command-line","lab"],"policy_hash":"c0ffee","config_digest":"d1ce57"}"#,
            r#"{"v":1,"kind":"flow","seq":3,"ts":"2026-11-21T21:14:03.500000Z","run":"0000beef","flow":7,"via":"connect","client":"127.0.0.1:51000","proto":"https","host":"ok.test","port":443,"sni":"ok.test","dst":"192.0.2.7:443","verdict":"allow","reason":"application-rule","rule":{"policy":"lab","group":"group","collection":"web","rule":"allow ok"},"profile":"azure","policy_hash":"c0ffee"}"#,
            r#"{"v":1,"kind":"close","seq":3,"ts":"2026-11-21T21:14:05.000000Z","run":"0000beef","flow":7,"bytes_up":517,"bytes_down":12000,"duration_ms":1500,"closed_by":"origin","reason":"eof"}"#,
            r#"{"v":1,"kind":"dns","seq":3,"ts":"2026-11-21T21:14:04.000000Z","run":"0000beef","client":"10.12.3.5:7943","proto":"udp","id":8951,"name":"ok.test.","type":"AAAA","class":"IN","request_bytes":58,"dnssec_ok":false,"edns_bytes":512,"rcode":"NOERROR","flags":"qr,rd,ra","response_bytes":135,"duration_us":4987,"error":null}"#,
            r#"{"v":1,"kind":"fqdn-failure","seq":3,"ts":"2026-11-21T21:14:04.000000Z","run":"0000beef","fqdn":"git.test","error":"no answer in time"}"#,
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
        for line in every_kind() {
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            let kind = value["kind"].as_str().unwrap();
            let mut produced = BTreeSet::new();
            field_names("", &value, &mut produced);
            assert_eq!(produced, common.union(&documented(kind)).cloned().collect(), "kind {kind}");
        }
    }
}
