//! Azure's quickstart templates of an App Service Environment, from the folder that EGRET_CORPUS names, through doctor and
//! serve; `trace.rs` has their traces. What is found in them is argued from the documents beside each expectation.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::support::command::run;
use super::support::egret::Egret;
use super::support::origin::Origin;
use super::support::raw::{Client, connect};

/// The template that makes the environment links to the one that makes its network.
const FILES: [(&str, &str); 4] = [
    ("ase-azfirewall.azuredeploy.json", "azuredeploy.json"),
    ("ase-azfirewall.parameters.json", "parameters.json"),
    ("ase-azfirewall.vnet.json", "nestedtemplates/vnet.json"),
    ("asev3-create.json", "asev3.json"),
];

/// Laid out as the repository has them.
pub struct Quickstart {
    folder: TempDir,
}

impl Quickstart {
    pub fn new() -> Option<Quickstart> {
        let Some(corpus) = std::env::var_os("EGRET_CORPUS") else {
            eprintln!("SKIPPED: EGRET_CORPUS names no folder of Azure's files");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("nestedtemplates")).unwrap();
        for (from, to) in FILES {
            let text = fs::read(Path::new(&corpus).join("ase").join(from)).unwrap();
            fs::write(folder.path().join(to), text).unwrap();
        }
        Some(Quickstart { folder })
    }

    pub fn path(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    /// The doctor's exit code and report.
    fn doctor(&self, args: &[&str]) -> (i32, Value) {
        let answer = run(&[&["doctor", "--format", "json"], args].concat());
        let report = serde_json::from_str(&answer.out);
        (answer.code, report.unwrap_or_else(|error| panic!("{error}: {}", answer.err)))
    }
}

/// Each finding's id with what it says.
fn findings(report: &Value) -> Vec<(String, String)> {
    let found = report["environments"][0]["findings"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    found.iter().map(|finding| (text(&finding["rule"]), text(&finding["what"]))).collect()
}

#[test]
fn the_doctor_finds_one_thing_in_the_one_behind_a_firewall() {
    let Some(quickstart) = Quickstart::new() else { return };
    let (template, parameters) = (quickstart.path("azuredeploy.json"), quickstart.path("parameters.json"));
    let (code, report) = quickstart.doctor(&[&template, "--parameters", &parameters]);
    let found = findings(&report);
    let [(id, what)] = found.as_slice() else { panic!("{found:#?}") };
    // Its 76 management addresses are routes of /32. The tag of 2025 has ranges: replies to all others leave by the
    // firewall, by another address than they were sent to (App Service Environment management addresses, 2022-10-24).
    assert_eq!((code, id.as_str()), (3, "RT-MGMT-STALE"));
    assert!(what.contains("of 231 prefixes") && what.contains("34 fully, 28 partly and 169 not at all"), "{what}");
    // Nothing is found of what it has no rule for: 16001, NTP and 12000 pass by the default rules
    // (network-security-groups-overview.md, 2025-07-15), and its firewall has rules for the last two.
}

#[test]
fn the_doctor_finds_nothing_in_the_one_of_version_3() {
    let Some(quickstart) = Quickstart::new() else { return };
    let (code, report) = quickstart.doctor(&[&quickstart.path("asev3.json")]);
    // No dependencies of the platform in the network, a delegated /24, probes by the default rules
    // (App Service Environment networking, 2023-07-21).
    assert_eq!((code, findings(&report)), (0, Vec::new()));
}

/// The network is moved to loopback, where its clients can be.
#[test]
fn it_is_enforced() {
    let Some(quickstart) = Quickstart::new() else { return };
    let origin = Origin::echo();
    let egret = Egret::start(&[
        format!("--topology={}", quickstart.path("azuredeploy.json")),
        format!("--parameters={}", quickstart.path("parameters.json")),
        "--set=parameters.vnetAddressRange=127.0.0.0/16".to_owned(),
        "--set=parameters.aseSubnetAddressRange=127.0.1.0/24".to_owned(),
        "--set=parameters.azureFirewallSubnetAddressRange=127.0.3.0/24".to_owned(),
        "--resolve=*:198.51.100.7".to_owned(),
        format!("--connect-to=::{}", origin.addr),
    ]);
    let asked = |to: &str| {
        let mut client = Client::connect_from(Some("127.0.1.5".parse::<IpAddr>().unwrap()), 0, egret.addr).1.unwrap();
        client.send(connect(to));
        if client.answer().0.starts_with("HTTP/1.1 200") {
            client.send("hello");
        }
        let record = egret.flows(client.addr(), 1).remove(0);
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", text(&record["verdict"]), text(&record["reason"]), text(&record["network"]["next_hop"]))
    };
    // An address of the management list: its route leads past the firewall.
    assert_eq!(asked("70.37.57.58:443"), "allow routed-past-firewall Internet");
    // One of the published dependencies on addresses: its network rule for Azure Monitor.
    assert_eq!(asked("40.77.24.27:443"), "allow network-rule VirtualAppliance");
    // Storage has an endpoint on the subnet.
    assert_eq!(asked("104.208.0.17:443"), "allow service-endpoint VirtualNetworkServiceEndpoint");
    // The security group lets everything out by default; the firewall does not.
    assert_eq!(asked("example.com:8443"), "deny port-not-allowed VirtualAppliance");
    let inbound = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/hostingEnvironments";
    let listed: Value = serde_json::from_str(&egret.get(&format!("{inbound}?api-version=2021-01-15")).body).unwrap();
    let name = listed["value"][0]["name"].as_str().unwrap_or_else(|| panic!("{listed:#}")).to_owned();
    let url = format!("{inbound}/{name}/inboundNetworkDependenciesEndpoints?api-version=2021-01-15");
    let answer: Value = serde_json::from_str(&egret.get(&url).body).unwrap();
    assert_eq!(answer["value"][2]["endpoints"][0], "127.0.1.0/24", "{answer:#}");
}
