//! Real files of other people's, which are not copied into the repository: each imports, or is refused for a reason that
//! is right. `EGRET_CORPUS` names their folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use egret::config::{Overrides, load};

use crate::support::command::run_with_input;

/// The folder of the corpus. Nobody has to have it, CI included: what is not there is said, and is no failure.
fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("EGRET_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: EGRET_CORPUS names no folder of Azure's files");
    }
    folder
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|it| it == "json" || it == "tf" || it == "bicep") {
            found.push(path);
        }
    }
}

/// What becomes of a file that is given alone.
fn outcome(path: &Path) -> String {
    let overrides = Overrides { policy: vec![path.display().to_string()], ..Overrides::default() };
    let loaded = match load(&overrides, false) {
        Ok(loaded) => loaded,
        Err(errors) => {
            return format!("refused: {}", errors.errors[0].what.replace(&path.display().to_string(), "FILE"));
        }
    };
    let policies = &loaded.config.rules.policies;
    let groups = policies.iter().flat_map(|policy| &policy.groups);
    let read = &loaded.read;
    format!(
        "{} policies, {} groups, {} collections, {} rules, {} unknown values, {} unknown names",
        policies.len(),
        groups.clone().count(),
        groups.map(|group| group.collections.len()).sum::<usize>(),
        egret::policy::in_order(&loaded.config.rules).len(),
        read.unknown_values,
        read.unknown_names
    )
}

#[test]
fn every_file_imports_or_is_refused_with_its_reason() {
    let Some(folder) = corpus() else { return };
    let mut files = Vec::new();
    files_below(&folder, &mut files);
    let expected: BTreeMap<&str, &str> = OUTCOMES.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    files.sort();
    for path in &files {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
        let outcome = outcome(path);
        // A file that this table does not know is only to have an outcome.
        let Some(expected) = expected.get(name) else { continue };
        seen += 1;
        if outcome != *expected {
            wrong.push(format!("    (\"{name}\", {outcome:?}),"));
        }
    }
    assert!(wrong.is_empty(), "other than expected:\n{}", wrong.join("\n"));
    assert_eq!(seen, OUTCOMES.len(), "files that the table knows are missing from {}", folder.display());
}

/// By file, given alone: what takes part, or why nothing does.
const OUTCOMES: &[(&str, &str)] = &[
    ("ase-api/inbound-2021-01-15.json", ""),
    ("ase-api/outbound-2021-01-15.json", ""),
    ("ase/ase-azfirewall.azuredeploy.json", ""),
    ("ase/ase-azfirewall.parameters.json", ""),
    ("ase/ase-azfirewall.vnet.json", ""),
    ("ase/asev3-create.json", ""),
    ("bicep/avm-firewall-policy-max.test.bicep", ""),
    ("firewall/arm-quickstarts/azure-firewall-dns-proxy.json", ""),
    ("firewall/arm-quickstarts/azurefirewall-create-with-firewallpolicy-apprule-netrule-ipgroups.json", ""),
    ("firewall/arm-quickstarts/azurefirewall-create-with-firewallpolicy-explicitproxy.json", ""),
    ("firewall/arm-quickstarts/azurefirewall-forced-tunneling.json", ""),
    ("firewall/arm-quickstarts/azurefirewall-sandbox-linux.json", ""),
    ("firewall/arm-quickstarts/azurefirewall-with-firewallpolicy-sandbox-linux.json", ""),
    ("firewall/arm-quickstarts/fw-docs-qs.json", ""),
    ("firewall/arm-quickstarts/nat-gateway-hub-spoke-firewall.json", ""),
    ("firewall/avm-compiled/avm-firewall-policy-rcg.json", ""),
    ("firewall/avm-compiled/avm-ip-group.json", ""),
    ("firewall/azure-network-security/dns-proxy-hubspoke.json", ""),
    ("firewall/azure-network-security/github-policy.json", ""),
    ("firewall/azure-network-security/private-ip-dnat.json", ""),
    ("firewall/azure-network-security/rbac-firewall.json", ""),
    ("firewall/azure-network-security/sample-AllowGithubRepo.json", ""),
    ("firewall/landing-zone/azFw-basepolicy.json", ""),
    ("firewall/rest-examples/AzureFirewallFqdnTagsListBySubscription.json", ""),
    ("firewall/rest-examples/AzureFirewallPut.json", ""),
    ("firewall/rest-examples/AzureFirewallPutWithAdditionalProperties.json", ""),
    ("firewall/rest-examples/AzureFirewallPutWithIpGroups.json", ""),
    ("firewall/rest-examples/FirewallPolicyGet.json", ""),
    ("firewall/rest-examples/FirewallPolicyNatRuleCollectionGroupPut.json", ""),
    ("firewall/rest-examples/FirewallPolicyPut.json", ""),
    ("firewall/rest-examples/FirewallPolicyRuleCollectionGroupList.json", ""),
    ("firewall/rest-examples/FirewallPolicyRuleCollectionGroupPut.json", ""),
    ("firewall/rest-examples/IpGroupsCreate.json", ""),
    ("nsg/arm/kusto-vnet.json", ""),
    ("nsg/arm/sqlmi-new-vnet.json", ""),
    ("nsg/rest-examples/DefaultSecurityRuleList.json", ""),
    ("nsg/rest-examples/NetworkInterfaceEffectiveNSGList.json", ""),
    ("nsg/rest-examples/NetworkSecurityGroupCreateWithRule.json", ""),
    ("nsg/rest-examples/NetworkSecurityGroupGet.json", ""),
    ("nsg/rest-examples/NetworkWatcherIpFlowVerify.json", ""),
    ("routes/arm/route-table-create.json", ""),
    ("routes/arm/vnetRouteTable.json", ""),
    ("routes/rest-examples/NetworkInterfaceEffectiveRouteTableList.json", ""),
    ("routes/rest-examples/NetworkWatcherNextHopGet.json", ""),
    ("routes/rest-examples/RouteTableCreateWithRoute.json", ""),
    ("routes/rest-examples/RouteTableListAll.json", ""),
    ("routes/rest-examples/SubnetCreateServiceEndpoint.json", ""),
    ("terraform/plan-json/avm-azurerm_firewall.mock.json", ""),
    ("terraform/plan-json/checkov-nsg-plan.json", ""),
    ("terraform/plan-json/regula-nsg-22-plan.json", ""),
    ("terraform/tf/avm-fwpolicy-deploy_fw_policy_with_rule_collection_group.tf", ""),
    ("terraform/tf/fw-basic.tf", ""),
    ("terraform/tf/pe-hubspoke.tf", ""),
];

/// The targets of a built-in edition's lists, a wildcard as a name below it.
fn targets_of(edition: &str) -> Vec<String> {
    let kinds = ["fqdn", "wildcard", "ip", "linux"];
    let lists = egret::allowlist::find(edition).unwrap();
    let rows = lists.iter().filter(|list| kinds.contains(&list.kind.as_str())).flat_map(|list| &list.entries);
    rows.map(|row| match row.rsplit_once(':').unwrap() {
        (host, port) if host.parse::<std::net::IpAddr>().is_ok() => format!("tcp://{host}:{port}"),
        (host, "80") => format!("http://{}", host.replace('*', "x1")),
        (host, port) => format!("https://{}:{port}", host.replace('*', "x1")),
    })
    .collect()
}

/// What the FQDN tag of the edition that Egret ships does not stand for: names that Microsoft had taken off its list
/// by then, the sinks behind the service endpoints that the template gives the subnet, and what Linux apps need.
const NOT_IN_THE_TAG: &[&str] = &[
    "graph.windows.net:443",
    "graudprodx1linix1.servicebus.windows.net:443",
    "graudprodx1minix1.servicebus.windows.net:443",
    "grmdsprodx1linix1.servicebus.windows.net:443",
    "grmdsprodx1minix1.servicebus.windows.net:443",
    "grsecprodx1linix1.servicebus.windows.net:443",
    "grsecprodx1minix1.servicebus.windows.net:443",
    "auth.docker.io:443",
    "download.docker.com:443",
    "download.mono-project.com",
    "packages.treasuredata.com",
    "production.cloudflare.docker.com:443",
    "registry-1.docker.io:443",
    "security.ubuntu.com",
    "us.archive.ubuntu.com",
    "wawsinfraprodbay063.blob.core.windows.net:443",
];

/// The public template of an App Service Environment behind Azure Firewall, as it is.
#[test]
fn the_template_of_an_ase_lets_through_what_an_ase_needs() {
    let Some(folder) = corpus() else { return };
    let file = |name: &str| folder.join("ase").join(name).display().to_string();
    let (vnet, parameters) = (file("ase-azfirewall.vnet.json"), file("ase-azfirewall.parameters.json"));
    let whole = file("ase-azfirewall.azuredeploy.json");
    let targets = targets_of("ase@2018-09-24");
    assert_eq!(targets.len(), 77);
    for policies in [vec![&vnet], vec![&whole, &vnet]] {
        let policies = policies.iter().flat_map(|policy| ["--policy", policy.as_str()]);
        let args: Vec<&str> = ["check", "--parameters", &parameters].into_iter().chain(policies).collect();
        let answer = run_with_input(&args, &targets.join("\n"));
        let denied = answer.out.lines().filter(|line| line.starts_with("deny"));
        let denied: Vec<&str> = denied.filter_map(|line| line.split_ascii_whitespace().nth(1)).collect();
        let denied: Vec<&str> = denied.iter().map(|target| target.split_once("://").unwrap().1).collect();
        assert_eq!(denied, NOT_IN_THE_TAG, "{args:?}: {}", answer.err);
    }
}

/// What the template says itself, to a client of the subnet: time, diagnostics, monitoring, its own region's identity.
#[test]
fn the_template_of_an_ase_with_its_parents_parameters() {
    let Some(folder) = corpus() else { return };
    let file = |name: &str| folder.join("ase").join(name).display().to_string();
    let (vnet, parameters) = (file("ase-azfirewall.vnet.json"), file("ase-azfirewall.parameters.json"));
    let whole = file("ase-azfirewall.azuredeploy.json");
    let args = [
        "check",
        "--policy",
        &whole,
        "--policy",
        &vnet,
        "--parameters",
        &parameters,
        "--from",
        "10.0.0.4",
        "--set",
        "location=westeurope",
        "udp://192.0.2.1:123",
        "tcp://192.0.2.1:12000",
        "https://dc.services.visualstudio.com",
        "https://control-westeurope.identity.azure.net",
        "https://example.com",
    ];
    let answer = crate::support::command::run(&args);
    let verdicts: Vec<&str> = answer.out.lines().filter_map(|line| line.split_ascii_whitespace().next()).collect();
    assert_eq!(verdicts, ["allow", "allow", "allow", "allow", "deny"], "{}{}", answer.out, answer.err);
}
