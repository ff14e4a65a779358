//! Lines for people: what was decided, and for a denial the flag that would allow it.
//!
//! Of the ends of flows only those are shown that Egret or the network forced on an allowed flow.

use std::fmt;
use std::io::Write;

use anstyle::{AnsiColor, Style};

use super::clock::Clock;
use super::record::{
    CloseRecord, CloseWhy, Counts, DnsRecord, EnvironmentRecord, EnvironmentState, FlowRecord, FqdnFailureRecord,
    ReloadRecord, RunId, StartRecord,
};
use super::sink::Entry;
use crate::flow::{Verdict, Via};

/// How lines are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    Plain,
    Ansi,
}

const ALLOW: Style = AnsiColor::Green.on_default();
const DENY: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default();
const HINT: Style = Style::new().dimmed();

/// Appends the lines of a record, with their line feeds; of some records, none.
pub(super) fn write_line(out: &mut Vec<u8>, clock: &mut Clock, colours: Colours, run: &RunId, entry: &Entry<'_>) {
    let mut line = Line { out, time: clock.time_of_day(entry.ts()), colours };
    match *entry {
        Entry::Start(record) => start(&mut line, run, record),
        Entry::Flow(record) => flow(&mut line, record),
        Entry::Close(record) => close(&mut line, record),
        Entry::Dns(record) => dns(&mut line, record),
        Entry::Environment(record) => environment(&mut line, record),
        Entry::FqdnFailure(record) => fqdn_failure(&mut line, record),
        Entry::Reload(record) => reload(&mut line, record),
        Entry::End(_, counts) => end(&mut line, counts),
    }
}

struct Line<'a> {
    out: &'a mut Vec<u8>,
    time: &'a str,
    colours: Colours,
}

impl Line<'_> {
    fn begin(&mut self, word: &str, style: Style) {
        let time = self.time;
        self.push(format_args!("{time} "));
        self.styled(style, format_args!("{word:<6}"));
    }

    fn push(&mut self, text: fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("writing to a Vec cannot fail");
    }

    fn styled(&mut self, style: Style, text: fmt::Arguments<'_>) {
        match self.colours {
            Colours::Plain => self.push(text),
            Colours::Ansi => self.push(format_args!("{style}{text}{style:#}")),
        }
    }

    fn end(&mut self) {
        self.out.push(b'\n');
    }
}

/// Text from a file, such as a rule's name: control characters, which a terminal would obey, are escaped.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for c in self.0.chars() {
            if c.is_control() || is_bidi(c) {
                c.escape_default().try_for_each(|part| f.write_char(part))?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Characters that change the order in which a terminal shows the others.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn start(line: &mut Line<'_>, run: &RunId, record: &StartRecord) {
    let StartRecord { ts: _, version, policies, policy_hash, config_digest: _ } = record;
    line.begin("START", NOTE);
    line.push(format_args!("egret {version}, run {}, policy ", run.as_str()));
    for (i, name) in policies.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        line.push(format_args!("{comma}{}", Printable(name)));
    }
    line.push(format_args!(" ({policy_hash})"));
    line.end();
}

fn flow(line: &mut Line<'_>, record: &FlowRecord) {
    match record.verdict {
        Verdict::Allow => line.begin("ALLOW", ALLOW),
        Verdict::Deny => line.begin("DENY", DENY),
    }
    line.push(format_args!("{:<7}  ", record.via.as_str()));
    destination(line, record);
    line.push(format_args!("  {}", record.reason));
    if let Some(rule) = &record.rule {
        line.push(format_args!("  {}", Printable(&rule.to_string())));
    }
    if let Some(because) = record.network.as_ref().and_then(|network| network.because(record.reason)) {
        line.push(format_args!("  {}", Printable(&because)));
    }
    if let Some(threat) = &record.threat {
        let (action, known) = (record.threat_action(), Printable(&threat.description));
        line.styled(DENY, format_args!("  (threat intelligence, {action}: {}, {known})", Printable(&threat.indicator)));
    }
    if let Some(mend) = record.mend() {
        line.styled(HINT, format_args!("  (allow it: {mend})"));
    }
    line.end();
}

/// `evil.test:443`, and the SNI where it is another name.
fn destination(line: &mut Line<'_>, record: &FlowRecord) {
    let host = match (&record.host, record.dst) {
        (Some(host), _) => host.to_string(),
        (None, Some(dst)) => dst.ip().to_string(),
        (None, None) => "-".to_owned(),
    };
    let port = record.port;
    if record.via == Via::Dns {
        return line.push(format_args!("{host}"));
    }
    match host.parse() {
        Ok(std::net::Ipv6Addr { .. }) => line.push(format_args!("[{host}]:{port}")),
        Err(_) => line.push(format_args!("{host}:{port}")),
    }
    let sni = record.sni.as_ref().map(|sni| sni.to_string());
    if let Some(sni) = sni.filter(|sni| *sni != host) {
        line.push(format_args!(" (SNI {sni})"));
    }
}

fn close(line: &mut Line<'_>, record: &CloseRecord) {
    let CloseWhy::Reason(reason) = record.why else { return };
    line.begin("CLOSE", NOTE);
    line.push(format_args!("flow {}  {reason}", record.flow));
    line.end();
}

/// `DNS    ok.test. AAAA  NOERROR`
fn dns(line: &mut Line<'_>, record: &DnsRecord) {
    let DnsRecord { name, kind, code, error, .. } = record;
    line.begin("DNS", NOTE);
    line.push(format_args!("{} {kind}  {code}", name.as_str()));
    if let Some(error) = error {
        line.push(format_args!("  {}", Printable(error)));
    }
    line.end();
}

fn environment(line: &mut Line<'_>, record: &EnvironmentRecord) {
    let EnvironmentRecord { ts: _, name, id: _, state, why: _, unreachable } = record;
    line.begin("ASE", if *state == EnvironmentState::Healthy { ALLOW } else { DENY });
    line.push(format_args!("{} is {}", Printable(name), state.as_str()));
    if !unreachable.is_empty() {
        line.push(format_args!("  not reached: {}", Printable(&unreachable.join(", "))));
    }
    line.end();
}

fn fqdn_failure(line: &mut Line<'_>, record: &FqdnFailureRecord) {
    let FqdnFailureRecord { ts: _, fqdn, server: _, error, rules } = record;
    line.begin("DNS", DENY);
    line.push(format_args!("{fqdn} of a rule does not resolve: {}", Printable(error)));
    if let Some(rule) = rules.first() {
        line.push(format_args!("  {}", Printable(&rule.to_string())));
    }
    line.end();
}

fn reload(line: &mut Line<'_>, record: &ReloadRecord) {
    match &record.error {
        None => {
            line.begin("RELOAD", NOTE);
            line.push(format_args!(" policy {}", record.policy_hash));
        }
        Some(error) => {
            line.begin("RELOAD", DENY);
            line.push(format_args!(" refused, the old policy stays: {}", Printable(error)));
        }
    }
    line.end();
}

fn end(line: &mut Line<'_>, counts: Counts) {
    let Counts { allowed, denied, bypassed, closed: _, reloads: _, lost } = counts;
    line.begin("END", NOTE);
    line.push(format_args!("{allowed} allowed, {denied} denied"));
    if bypassed > 0 {
        line.push(format_args!(", {bypassed} past the firewall (service endpoint, route)"));
    }
    if lost > 0 {
        line.push(format_args!(", {lost} records lost"));
    }
    line.end();
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{alerted, allowed, asked, closed, denied, fqdn_failure, start, unanswered};
    use super::super::record::{Escaped, Seen};
    use super::*;
    use crate::flow::{Host, HostName, Reason};
    use crate::telemetry::tests::crossed;

    fn shown(colours: Colours, entry: Entry<'_>) -> String {
        let mut out = Vec::new();
        write_line(&mut out, &mut Clock::new(), colours, &RunId::from_bits(0xbeef), &entry);
        String::from_utf8(out).unwrap()
    }

    fn check(entry: Entry<'_>, expected: &str) {
        assert_eq!(shown(Colours::Plain, entry), expected);
    }

    #[test]
    fn flows() {
        check(
            Entry::Flow(&denied()),
            "21:14:03 DENY  connect  evil.test:443  not-allowed  (allow it: --allow https://evil.test:443)\n",
        );
        check(
            Entry::Flow(&allowed()),
            "21:14:03 ALLOW connect  ok.test:443  application-rule  lab/group/web/allow ok\n",
        );
        check(
            Entry::Flow(&alerted()),
            "21:14:03 ALLOW connect  ok.test:443  application-rule  lab/group/web/allow ok  (threat intelligence, alert: \
             *.test, a botnet)\n",
        );
        check(
            Entry::Flow(&crossed()),
            "21:14:03 DENY  gateway  192.168.7.4:5432  nsg-denied  data-nsg/DenyAllInBound\n",
        );
        let past = FlowRecord { verdict: Verdict::Allow, reason: Reason::RoutedPast, ..crossed() };
        check(
            Entry::Flow(&past),
            "21:14:03 ALLOW gateway  192.168.7.4:5432  routed-past-firewall  192.168.0.0/16 to VnetLocal\n",
        );
        let mismatch = FlowRecord {
            sni: Some(HostName::parse("ok.test").unwrap().into()),
            reason: Reason::SniConnectMismatch,
            ..denied()
        };
        check(Entry::Flow(&mismatch), "21:14:03 DENY  connect  evil.test:443 (SNI ok.test)  sni-connect-mismatch\n");
        let v6 = FlowRecord { host: Some(Host::parse("[::1]").unwrap().into()), ..denied() };
        check(
            Entry::Flow(&v6),
            "21:14:03 DENY  connect  [::1]:443  not-allowed  (allow it: --allow tcp://[::1]:443)\n",
        );
    }

    #[test]
    fn the_other_kinds() {
        check(Entry::Start(&start()), "21:14:00 START egret 0.1.0, run 0000beef, policy command-line, lab (c0ffee)\n");
        check(Entry::Close(&closed()), "");
        let cut = CloseRecord { why: CloseWhy::Reason(Reason::PolicyChanged), ..closed() };
        check(Entry::Close(&cut), "21:14:05 CLOSE flow 7  policy-changed\n");
        let counts = Counts { allowed: 1, denied: 2, bypassed: 3, closed: 1, reloads: 0, lost: 4 };
        check(
            Entry::End(closed().ts, counts),
            "21:14:05 END   1 allowed, 2 denied, 3 past the firewall (service endpoint, route), 4 records lost\n",
        );
        let refused =
            ReloadRecord { ts: closed().ts, policy_hash: "c0ffee".into(), error: Some("line 1\n\x1b[0m".into()) };
        check(Entry::Reload(&refused), "21:14:05 RELOAD refused, the old policy stays: line 1\\n\\u{1b}[0m\n");
    }

    #[test]
    fn questions() {
        check(Entry::Dns(&asked()), "21:14:04 DNS   ok.test. AAAA  NOERROR\n");
        check(Entry::Dns(&unanswered()), "21:14:04 DNS   ok.test. AAAA  SERVFAIL  no answer in time\n");
        check(
            Entry::FqdnFailure(&fqdn_failure()),
            "21:14:04 DNS   git.test of a rule does not resolve: no answer in time  lab/group/net/allow git\n",
        );
        let refused = FlowRecord { via: Via::Dns, port: 0, reason: Reason::DnsNotAllowed, ..denied() };
        check(
            Entry::Flow(&refused),
            "21:14:03 DENY  dns      evil.test  dns-not-allowed  (allow it: --allow evil.test)\n",
        );
    }

    #[test]
    fn names_from_the_network_cannot_move_the_cursor() {
        let hostile = Seen::Raw(Escaped::name("\n\x1b[31m \u{202e}".as_bytes()));
        let record = FlowRecord { host: Some(hostile), sni: Some(Seen::Raw(Escaped::name(b"\x1b[31m\n"))), ..denied() };
        let line = shown(Colours::Plain, Entry::Flow(&record));
        assert_eq!(line.chars().filter(|c| c.is_control() || is_bidi(*c)).collect::<String>(), "\n");
        assert!(line.contains(r"\x0a\x1b[31m\x20\xe2\x80\xae:443 (SNI \x1b[31m\x0a)"), "{line}");
    }

    #[test]
    fn colours_are_the_only_difference() {
        let coloured = shown(Colours::Ansi, Entry::Flow(&denied()));
        assert!(coloured.contains("\x1b["), "{coloured:?}");
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), shown(Colours::Plain, Entry::Flow(&denied())));
    }
}
