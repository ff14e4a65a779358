//! `[settings]`: what a firewall policy holds beside its rules, read out of a file. Here it is only said.

use std::net::IpAddr;

use crate::policy::{
    AddressRange, AddressSet, DnsSettings, ExplicitProxySettings, FqdnPattern, PolicySettings, SnatSettings,
    ThreatIntelSettings, ThreatMode, Tier,
};

use super::error::{Findings, Problem};
use super::reader::Section;
use super::values::{Words, pick};

pub(super) const TIERS: Words<Tier> =
    &[("Basic", Tier::Basic), ("Standard", Tier::Standard), ("Premium", Tier::Premium)];
pub(super) const THREAT_MODES: Words<ThreatMode> =
    &[("Off", ThreatMode::Off), ("Alert", ThreatMode::Alert), ("Deny", ThreatMode::Deny)];

/// Reads the table, if it is there.
pub(super) fn read(file: &Section, findings: &mut Findings) -> PolicySettings {
    let Some(table) = file.table("settings", findings) else {
        return PolicySettings::default();
    };
    PolicySettings {
        tier: word(&table, "tier", TIERS, findings),
        base_policy: table.text("base_policy").map(|text| text.value),
        threat_intel: inside(&table, "threat_intel", findings, threat_intel),
        dns: inside(&table, "dns", findings, dns),
        snat: inside(&table, "snat", findings, snat),
        explicit_proxy: inside(&table, "explicit_proxy", findings, explicit_proxy),
        idps: word(&table, "idps", THREAT_MODES, findings),
        allow_sql_redirect: table.flag("allow_sql_redirect"),
        kept: kept(&table, findings),
    }
}

fn inside<T: Default>(
    table: &Section,
    name: &str,
    findings: &mut Findings,
    read: fn(&Section, &mut Findings) -> T,
) -> T {
    table.table(name, findings).map(|table| read(&table, findings)).unwrap_or_default()
}

fn word<T: Copy>(table: &Section, key: &str, words: Words<T>, findings: &mut Findings) -> Option<T> {
    table.text(key)?.read(findings, |text| pick(words, text))
}

fn threat_intel(table: &Section, findings: &mut Findings) -> ThreatIntelSettings {
    let mut allowed_addresses = AddressSet::default();
    for item in table.items("allowed_addresses") {
        item.read(findings, |text| allowed_addresses.insert_text(text));
    }
    let fqdns = table.items("allowed_fqdns");
    ThreatIntelSettings {
        mode: word(table, "mode", THREAT_MODES, findings),
        allowed_fqdns: fqdns.iter().filter_map(|item| item.read(findings, |text| FqdnPattern::parse(text))).collect(),
        allowed_addresses,
    }
}

fn dns(table: &Section, findings: &mut Findings) -> DnsSettings {
    let address = |text: &String| {
        text.trim().parse::<IpAddr>().map_err(|_| Problem::new(format!("`{text}` is no address of a name server")))
    };
    let servers = table.items("servers");
    DnsSettings {
        servers: servers.iter().filter_map(|item| item.read(findings, address)).collect(),
        proxy: table.flag("proxy"),
        require_proxy_for_network_rules: table.flag("require_proxy_for_network_rules"),
    }
}

fn snat(table: &Section, findings: &mut Findings) -> SnatSettings {
    let ranges = table.list("private_ranges");
    let mut read = |items: Vec<super::error::Placed<String>>| {
        items.iter().filter_map(|item| item.read(findings, |text| text.parse::<AddressRange>())).collect()
    };
    SnatSettings { private_ranges: ranges.map(&mut read), auto_learn: table.flag("auto_learn") }
}

fn explicit_proxy(table: &Section, _: &mut Findings) -> ExplicitProxySettings {
    let port = |key| table.count(key).and_then(|port| u16::try_from(port.value).ok());
    ExplicitProxySettings {
        enabled: table.flag("enabled"),
        http_port: port("http_port"),
        https_port: port("https_port"),
        pac_enabled: table.flag("pac_enabled"),
        pac_port: port("pac_port"),
        pac_file: table.text("pac_file").map(|text| text.value),
    }
}

fn kept(table: &Section, findings: &mut Findings) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for entry in table.tables("kept", findings) {
        let json = entry.text("json").and_then(|json| {
            json.read(findings, |text| match serde_json::from_str::<serde::de::IgnoredAny>(text) {
                Ok(_) => Ok(text.clone()),
                Err(error) => Err(Problem::new(format!("not JSON: {error}"))),
            })
        });
        kept.extend(entry.text("property").map(|name| name.value).zip(json));
    }
    kept
}
