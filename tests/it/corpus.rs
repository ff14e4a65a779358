//! Real files of other people's, which are not copied into the repository: each imports, or is refused for a reason that
//! is right. `EGRET_CORPUS` names their folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use egret::config::{Overrides, load};

use crate::support::command::run_with_input;

/// The folder of the corpus. Nobody has to have it, CI included: what is not there is said, and is no failure.
pub fn corpus() -> Option<PathBuf> {
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
    let loaded = match load(&overrides, egret::config::DefaultFile::Ignored) {
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
    (
        "ase-api/inbound-2021-01-15.json",
        "refused: no firewall policy, but what an App Service Environment depends on: egret has these as the built-in policy for ASE",
    ),
    (
        "ase-api/outbound-2021-01-15.json",
        "refused: no firewall policy, but what an App Service Environment depends on: egret has these as the built-in policy for ASE",
    ),
    (
        "ase/ase-azfirewall.azuredeploy.json",
        "refused: it links to nestedtemplates/vnet.json, which is not at hand; what that deploys was left out",
    ),
    (
        "ase/ase-azfirewall.parameters.json",
        "refused: this is a file of parameters, no policy: it is used for the templates",
    ),
    ("ase/ase-azfirewall.vnet.json", "1 policies, 1 groups, 3 collections, 6 rules, 4 unknown values, 0 unknown names"),
    (
        "ase/asev3-create.json",
        "refused: there is no firewall policy: the files hold 1 network security group and 1 virtual network with 1 subnet",
    ),
    ("bicep/avm-firewall-policy-max.test.bicep", "refused: this is Bicep source"),
    (
        "firewall/arm-quickstarts/azure-firewall-dns-proxy.json",
        "1 policies, 2 groups, 3 collections, 5 rules, 4 unknown values, 0 unknown names",
    ),
    (
        "firewall/arm-quickstarts/azurefirewall-create-with-firewallpolicy-apprule-netrule-ipgroups.json",
        "1 policies, 2 groups, 3 collections, 3 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/arm-quickstarts/azurefirewall-create-with-firewallpolicy-explicitproxy.json",
        "1 policies, 1 groups, 1 collections, 1 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/arm-quickstarts/azurefirewall-forced-tunneling.json",
        "refused: `FILE` holds 2 policies that have nothing to do with each other",
    ),
    (
        "firewall/arm-quickstarts/azurefirewall-sandbox-linux.json",
        "1 policies, 1 groups, 2 collections, 2 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/arm-quickstarts/azurefirewall-with-firewallpolicy-sandbox-linux.json",
        "1 policies, 2 groups, 2 collections, 2 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/arm-quickstarts/fw-docs-qs.json",
        "1 policies, 1 groups, 2 collections, 5 rules, 2 unknown values, 0 unknown names",
    ),
    (
        "firewall/arm-quickstarts/nat-gateway-hub-spoke-firewall.json",
        "1 policies, 1 groups, 1 collections, 1 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/avm-compiled/avm-firewall-policy-rcg.json",
        "1 policies, 0 groups, 0 collections, 0 rules, 1 unknown values, 0 unknown names",
    ),
    ("firewall/avm-compiled/avm-ip-group.json", "refused: there is no firewall policy: the files hold 1 IP group"),
    (
        "firewall/azure-network-security/dns-proxy-hubspoke.json",
        "1 policies, 2 groups, 3 collections, 5 rules, 4 unknown values, 0 unknown names",
    ),
    (
        "firewall/azure-network-security/github-policy.json",
        "refused: IP group `DevHostPools`: `xx.xx.xx.xx-xx.xx.xx.xx` is no address: write 10.0.0.4, 10.1.0.0/16, 10.2.0.0-10.2.0.31 or *",
    ),
    (
        "firewall/azure-network-security/private-ip-dnat.json",
        "refused: `FILE` holds 2 policies that have nothing to do with each other",
    ),
    (
        "firewall/azure-network-security/rbac-firewall.json",
        "refused: no firewall policy, but Microsoft.Authorization/roleDefinitions: who may change a firewall, not what it allows",
    ),
    (
        "firewall/azure-network-security/sample-AllowGithubRepo.json",
        "1 policies, 1 groups, 1 collections, 1 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/landing-zone/azFw-basepolicy.json",
        "1 policies, 0 groups, 0 collections, 0 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/rest-examples/AzureFirewallFqdnTagsListBySubscription.json",
        "refused: no firewall policy, but Microsoft.Network/azureFirewallFqdnTags: the names of FQDN tags, without what they stand for",
    ),
    (
        "firewall/rest-examples/AzureFirewallPut.json",
        "1 policies, 1 groups, 3 collections, 5 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/rest-examples/AzureFirewallPutWithAdditionalProperties.json",
        "1 policies, 1 groups, 3 collections, 5 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/rest-examples/AzureFirewallPutWithIpGroups.json",
        "1 policies, 1 groups, 3 collections, 5 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/rest-examples/FirewallPolicyGet.json",
        "1 policies, 0 groups, 0 collections, 0 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/rest-examples/FirewallPolicyNatRuleCollectionGroupPut.json",
        "1 policies, 1 groups, 1 collections, 1 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/rest-examples/FirewallPolicyPut.json",
        "1 policies, 0 groups, 0 collections, 0 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/rest-examples/FirewallPolicyRuleCollectionGroupList.json",
        "1 policies, 1 groups, 1 collections, 1 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "firewall/rest-examples/FirewallPolicyRuleCollectionGroupPut.json",
        "1 policies, 1 groups, 1 collections, 1 rules, 0 unknown values, 0 unknown names",
    ),
    ("firewall/rest-examples/IpGroupsCreate.json", "refused: there is no firewall policy: the files hold 1 IP group"),
    (
        "nsg/arm/kusto-vnet.json",
        "refused: there is no firewall policy: the files hold 1 network security group, 1 route table and 1 virtual network with 1 subnet",
    ),
    (
        "nsg/arm/sqlmi-new-vnet.json",
        "refused: there is no firewall policy: the files hold 1 network security group with 4 rules, 1 route table and 1 virtual network with 1 subnet",
    ),
    (
        "nsg/rest-examples/DefaultSecurityRuleList.json",
        "refused: no firewall policy, but Microsoft.Network/networkSecurityGroups/defaultSecurityRules (6 of them): the default rules that every security group has",
    ),
    (
        "nsg/rest-examples/NetworkInterfaceEffectiveNSGList.json",
        "refused: no firewall policy, but the effective security rules of a network interface: export the security groups instead",
    ),
    (
        "nsg/rest-examples/NetworkSecurityGroupCreateWithRule.json",
        "refused: there is no firewall policy: the files hold 1 network security group with 1 rule",
    ),
    (
        "nsg/rest-examples/NetworkSecurityGroupGet.json",
        "refused: there is no firewall policy: the files hold 1 network security group with 1 rule",
    ),
    (
        "nsg/rest-examples/NetworkWatcherIpFlowVerify.json",
        "refused: no firewall policy, but the answer of Network Watcher's IP flow verify",
    ),
    ("routes/arm/route-table-create.json", "refused: there is no firewall policy: the files hold 1 route table"),
    (
        "routes/arm/vnetRouteTable.json",
        "refused: there is no firewall policy: the files hold 1 route table with 2 routes and 1 virtual network with 1 subnet",
    ),
    (
        "routes/rest-examples/NetworkInterfaceEffectiveRouteTableList.json",
        "refused: no firewall policy, but an effective route of a network interface: export the route table instead",
    ),
    (
        "routes/rest-examples/NetworkWatcherNextHopGet.json",
        "refused: no firewall policy, but the answer of Network Watcher's next hop",
    ),
    (
        "routes/rest-examples/RouteTableCreateWithRoute.json",
        "refused: there is no firewall policy: the files hold 1 route table with 1 route",
    ),
    (
        "routes/rest-examples/RouteTableListAll.json",
        "refused: there is no firewall policy: the files hold 2 route tables with 1 route",
    ),
    (
        "routes/rest-examples/SubnetCreateServiceEndpoint.json",
        "refused: there is no firewall policy: the files hold 1 virtual network with 1 subnet",
    ),
    (
        "terraform/plan-json/avm-azurerm_firewall.mock.json",
        "1 policies, 0 groups, 0 collections, 0 rules, 0 unknown values, 0 unknown names",
    ),
    (
        "terraform/plan-json/checkov-nsg-plan.json",
        "refused: there is no firewall policy: the files hold 2 network security groups with 1 rule",
    ),
    (
        "terraform/plan-json/regula-nsg-22-plan.json",
        "refused: there is no firewall policy: the files hold 4 network security groups with 10 rules",
    ),
    (
        "terraform/tf/avm-fwpolicy-deploy_fw_policy_with_rule_collection_group.tf",
        "refused: this is Terraform source, which only Terraform can work out",
    ),
    ("terraform/tf/fw-basic.tf", "refused: this is Terraform source, which only Terraform can work out"),
    ("terraform/tf/pe-hubspoke.tf", "refused: this is Terraform source, which only Terraform can work out"),
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
        let denied: Vec<&str> = denied.collect();
        assert!(denied.is_empty() && answer.out.lines().count() == 77, "{args:?}: {denied:?} {}", answer.err);
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
