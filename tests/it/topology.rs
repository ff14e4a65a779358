//! Topologies, from files to the network that the program asks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use egret::config::{ConfigErrors, Loaded, Overrides, Presence, TOPOLOGY_OPTIONS, load, network_of};
use egret::vnet::{AseVersion, LoadBalancing, Network, NextHop, Prefix, RouteDestination};

use crate::corpus::corpus;

fn load_topology(files: &[&str]) -> Result<Loaded, ConfigErrors> {
    load(
        &Overrides { topology: files.iter().map(ToString::to_string).collect(), ..Overrides::default() },
        egret::config::DefaultFile::Ignored,
    )
}

fn loaded(files: &[&str]) -> Loaded {
    load_topology(files).unwrap_or_else(|errors| panic!("{errors}"))
}

fn network(loaded: &Loaded) -> Arc<Network> {
    Arc::clone(loaded.config.network.as_ref().unwrap())
}

fn policies(loaded: &Loaded) -> Vec<&str> {
    loaded.config.rules.policies.iter().map(|policy| policy.name.as_str()).collect()
}

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new("tests/fixtures/topology").join(kind);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect();
    files.sort();
    assert!(!files.is_empty(), "no fixtures in {kind}");
    files
}

const WORKED: &str = "docs/ase/vnet.toml";

#[test]
fn the_worked_set_up_loads() {
    let loaded = loaded(&[WORKED]);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(network(&loaded).place("ASE-vnet", "ase-subnet").is_some());
    assert!(loaded.files.iter().any(|file| file.ends_with(WORKED)));
}

/// `EGRET_BLESS=1 cargo test` writes the messages anew, to be read in the diff.
#[test]
fn invalid_files_say_what_is_wrong() {
    for path in fixtures("invalid") {
        let Err(errors) = load_topology(&[path.to_str().unwrap()]) else { panic!("{} loads", path.display()) };
        let expected = path.with_extension("err");
        if std::env::var_os("EGRET_BLESS").is_some() {
            fs::write(&expected, format!("{errors}\n")).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(format!("{errors}\n"), expected, "{}", path.display());
    }
}

#[test]
fn every_option_has_a_fixture() {
    let mut found = BTreeSet::new();
    for path in fixtures("valid") {
        crate::config::paths_in(&fs::read_to_string(path).unwrap().parse().unwrap(), "", &mut found);
    }
    let known: BTreeSet<String> = TOPOLOGY_OPTIONS.iter().map(|opt| opt.path.to_owned()).collect();
    assert_eq!(found, known);
}

#[test]
fn every_option_is_read() {
    let loaded = loaded(&["tests/fixtures/topology/valid/every_option.toml"]);
    assert_eq!(policies(&loaded), ["none"]);
    let warnings: Vec<&str> = loaded.warnings.iter().map(|it| it.what.as_str()).collect();
    let expected = [
        "`10.1.5.0/16` has bits of the host set: it is taken as 10.1.0.0/16",
        // Of the US Government's tags few are built in.
        "subnet `ase-subnet`: the prefixes of `Microsoft.Sql` are not known here, so that its flows go as any others",
        "the service tag `Sql` is not known here: it stands for no address",
    ];
    assert_eq!(warnings, expected);
    let network = network(&loaded);
    let topology = network.topology();
    let names: Vec<&str> = topology.virtual_networks.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["hub", "spoke"]);
    // The file's word counts before what is imported.
    let [firewall] = topology.firewalls.as_slice() else { panic!("{:?}", topology.firewalls) };
    assert_eq!((firewall.virtual_network.as_str(), firewall.private_address), ("spoke", "10.1.2.4".parse().ok()));
    let spoke = &topology.virtual_networks[1];
    assert_eq!((spoke.peerings.len(), spoke.gateway.as_ref().unwrap().latency_ms), (1, Some(40)));
    let rules = &topology.security_groups[0].rules;
    assert_eq!((rules[0].destination.prefixes.len(), rules[1].source.prefixes.len()), (0, 0));
    assert_eq!(rules[1].destination.prefixes, [Prefix::Tag("Sql".into())]);
    let ase = &topology.environments[0];
    assert_eq!((ase.app_addresses.len(), ase.app_dependencies.len(), ase.app_databases.len()), (1, 2, 1));
    assert!(ase.suspended && ase.restored && ase.ftp && ase.linux && ase.dns_changed);
}

#[test]
fn the_manual_has_every_option_and_no_other() {
    let manual = fs::read_to_string("docs/topology.md").unwrap();
    let row = |opt: &egret::config::Opt| {
        let default = match opt.presence {
            Presence::Required => "required".to_owned(),
            Presence::Optional => String::new(),
            Presence::Default(default) => format!("`{default}`"),
        };
        format!("| `{}` | {} | {default} | {} |", opt.path, opt.kind.describe().replace('|', "\\|"), opt.doc)
    };
    let expected: Vec<String> = TOPOLOGY_OPTIONS.iter().map(row).collect();
    let head = "| option | value | default | what it is |\n|---|---|---|---|\n";
    let (before, rows) = manual.split_once(head).unwrap();
    if std::env::var_os("EGRET_BLESS").is_some() {
        fs::write("docs/topology.md", format!("{before}{head}{}\n", expected.join("\n"))).unwrap();
    }
    assert_eq!(rows.lines().collect::<Vec<_>>(), expected);
}

/// The first is whole; the second adds to what is imported.
#[test]
fn examples_of_the_manual_load() {
    let manual = fs::read_to_string("docs/topology.md").unwrap();
    let examples: Vec<&str> = manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [whole, over] = examples.as_slice() else { panic!("{} examples", examples.len()) };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let first = loaded(&[&write("vnet.toml", whole)]);
    assert!(first.warnings.is_empty(), "{:?}", first.warnings);
    assert_eq!(network(&first).topology().environments[0].version, AseVersion::V2);
    write("template.json", QUICKSTART);
    let second = loaded(&[&write("over.toml", over)]);
    let around = network(&second);
    let ase = &around.topology().environments[0];
    assert_eq!((ase.name.as_str(), ase.subnet.as_str()), ("mine", "ase-subnet"));
    assert_eq!((ase.public_address, ase.app_dependencies.len()), ("203.0.113.9".parse().ok(), 1));
}

/// The topology's own policy is for when nobody names another.
#[test]
fn whose_policy_it_is() {
    let check = |change: fn(&mut Overrides), expected: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vnet.toml");
        let network = "[vnet]\nname = \"a\"\naddress_space = \"10.0.0.0/16\"\n\
                       subnet = [{ name = \"AzureFirewallSubnet\", prefix = \"10.0.0.0/26\" }]\n";
        fs::write(&path, format!("{network}[firewall]\npolicy = [\"mine.toml\"]\n")).unwrap();
        fs::write(folder.path().join("mine.toml"), "name = \"mine\"\nallow = [\"a.test\"]\n").unwrap();
        let mut overrides = Overrides { topology: vec![path.display().to_string()], ..Overrides::default() };
        change(&mut overrides);
        let loaded = load(&overrides, egret::config::DefaultFile::Ignored).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(policies(&loaded), expected);
    };
    check(|_| (), &["mine"]);
    check(|it| it.policy = vec!["none".to_owned()], &["none"]);
    check(|it| it.allow = vec!["b.test".to_owned()], &["local", "mine"]);
}

/// One firewall is emulated: what two would let through together is the policy of neither.
#[test]
fn firewalls_with_policies_of_their_own_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let network = "[[vnet]]\nname = \"net\"\naddress_space = [\"10.0.0.0/16\"]\nsubnet = [{ name = \"AzureFirewallSubnet\", prefix = \
                   \"10.0.1.0/26\" }]\n";
    let firewall = |name: &str, policy: &str| format!("[[firewall]]\nname = \"{name}\"\npolicy = {policy}\n");
    let load = |first: &str, second: &str| {
        let path = folder.path().join("vnet.toml");
        fs::write(&path, format!("{network}{}{}", firewall("fa", first), firewall("fb", second))).unwrap();
        load_topology(&[path.to_str().unwrap()])
    };
    let errors = load("\"none\"", "\"ase\"").unwrap_err().to_string();
    let expected = "firewalls have policies of their own, and one firewall is emulated: `fa` (none), `fb` (ase)";
    assert!(errors.contains(expected), "{errors}");
    assert!(errors.contains("say which one: --policy none or --policy ase"), "{errors}");
    assert_eq!(policies(&load("\"none\"", "\"none\"").unwrap()), ["none"]);
    assert!(load("[\"none\", \"ase\"]", "[\"none\", \"ase\"]").is_ok(), "one firewall may have several");
}

/// What is taken and does nothing is told.
#[test]
fn what_matches_nothing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vnet.toml");
    let text = "[[vnet]]\nname = \"net\"\naddress_space = [\"10.0.0.0/16\"]\nsubnet = [{ name = \"app\", prefix = \"10.0.0.0/24\", \
                service_endpoints = [\"Microsoft.Storage.Global\"] }]\npeering = [{ name = \"to-hub\", remote = \"hub\", remote_space = \
                [\"10.9.0.0/16\"], use_remote_gateways = true }]\n[[route_table]]\nname = \"rt\"\nroute = [{ name = \"vn\", prefix = \
                \"VirtualNetwork\", next_hop = \"None\" }]\n";
    fs::write(&path, text).unwrap();
    let loaded = loaded(&[path.to_str().unwrap()]);
    let warnings: Vec<&str> = loaded.warnings.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(
        warnings[0].contains("the peering `to-hub` uses the gateway of `hub`, which is not in the files"),
        "{warnings:?}"
    );
    assert!(warnings[1].contains("no route can have the tag `VirtualNetwork`: it matches nothing"), "{warnings:?}");
}

/// The least that a topology holds.
const NETWORK: &str = "[[vnet]]\nname = \"net\"\naddress_space = \"10.0.0.0/8\"\n";

#[test]
fn the_digest_depends_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vnet.toml");
    let digest = |text: &str| {
        fs::write(&path, format!("{text}\n{NETWORK}")).unwrap();
        loaded(&[path.to_str().unwrap()]).digest
    };
    let before = digest("[[nsg]]\nname = \"a\"\n");
    assert_eq!(digest("# a comment\n[[nsg]]\nname = \"a\"\n"), before);
    assert_ne!(digest("[[nsg]]\nname = \"b\"\n"), before);
    assert_ne!(before, load(&Overrides::default(), egret::config::DefaultFile::Ignored).unwrap().digest);
}

/// Limits of Azure's that no fixture should have to hold.
#[test]
fn what_is_too_much() {
    let check = |text: String, expected: &str| {
        let errors = network_of("vnet.toml", &format!("{text}\n{NETWORK}")).unwrap_err();
        let first = &errors.errors[0];
        assert_eq!(first.what, expected);
        assert!(first.mend.is_some() && first.position.is_some(), "{first:?}");
    };
    let rule = |number: usize, more: &str| {
        let (direction, priority) = if number < 3000 { ("Inbound", 100 + number) } else { ("Outbound", number) };
        format!(
            "{{ name = \"r{number}\", priority = {priority}, direction = \"{direction}\", access = \"Allow\"{more} }}"
        )
    };
    let group = |rules: Vec<String>| format!("[nsg]\nname = \"a\"\nrule = [{}]\n", rules.join(",\n"));
    let rules = (0..1001).map(|number| rule(number, "")).collect();
    check(group(rules), "`a` has 1001 rules: 1000 is the most");
    let prefixes: Vec<String> = (0..4001).map(|at| format!("\"10.{}.{}.0/24\"", at / 256, at % 256)).collect();
    let wide = rule(0, &format!(", source = [{}]", prefixes.join(",")));
    check(group(vec![wide]), "rule `r0` names 4001 prefixes as its source: 4000 is the most");
    let table = |routes: Vec<String>| format!("[route_table]\nname = \"a\"\nroute = [{}]\n", routes.join(",\n"));
    let route = |number: usize, prefix: String| {
        format!("{{ name = \"r{number}\", prefix = \"{prefix}\", next_hop = \"Internet\" }}")
    };
    let routes = (0..401).map(|at| route(at, format!("10.{}.{}.0/24", at / 256, at % 256))).collect();
    let warned = |text: String, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vnet.toml");
        fs::write(&path, format!("{text}\n{NETWORK}")).unwrap();
        let warnings = loaded(&[path.to_str().unwrap()]).warnings;
        assert!(warnings.iter().any(|it| it.what == expected), "{warnings:?}");
    };
    warned(table(routes), "`a` has 401 routes: 400 is the most");
    let tags = (0..26).map(|at| route(at, format!("Storage.Region{at}"))).collect();
    warned(table(tags), "`a` has 26 routes with service tags: 25 is the most");
}

/// Its flows would meet the firewall, in silence.
#[test]
fn endpoints_without_prefixes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vnet.toml");
    let endpoints = "[\"Microsoft.Storage\", \"Microsoft.ServiceBus\", \"Microsoft.Foo\"]";
    let subnet = format!("{{ name = \"a\", prefix = \"10.0.0.0/24\", service_endpoints = {endpoints} }}");
    fs::write(&path, format!("{NETWORK}subnet = [{subnet}]\n")).unwrap();
    let warnings = loaded(&[path.to_str().unwrap()]).warnings;
    let told = |service: &str| {
        format!("subnet `a`: the prefixes of `{service}` are not known here, so that its flows go as any others")
    };
    let whats: Vec<&str> = warnings.iter().map(|warning| warning.what.as_str()).collect();
    assert_eq!(whats, [told("Microsoft.ServiceBus"), told("Microsoft.Foo")]);
}

/// A template as the quickstarts have it.
const QUICKSTART: &str = r#"{
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": {"mode": {"type": "int", "defaultValue": 3}},
  "resources": [
    {"type": "Microsoft.Network/virtualNetworks", "name": "net", "apiVersion": "2023-09-01", "location": "West US 2",
     "properties": {
       "addressSpace": {"addressPrefixes": ["192.168.250.0/16"]},
       "dhcpOptions": {"dnsServers": ["192.168.1.4"]},
       "subnets": [
         {"name": "ase-subnet", "properties": {
           "addressPrefix": "192.168.251.128/25",
           "routeTable": {"id": "[resourceId('Microsoft.Network/routeTables', 'routes')]"},
           "serviceEndpoints": [{"service": "Microsoft.Sql"}],
           "delegations": [{"name": "d", "properties": {"serviceName": "Microsoft.Web/hostingEnvironments"}}]}},
         {"name": "AzureFirewallSubnet", "properties": {"addressPrefix": "192.168.0.0/26"}},
         {"name": "GatewaySubnet", "properties": {"addressPrefix": "192.168.1.0/27"}}],
       "virtualNetworkPeerings": [{"name": "hub", "properties": {
         "remoteVirtualNetwork": {"id": "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/hub"},
         "remoteAddressSpace": {"addressPrefixes": ["10.9.0.0/16"]}, "allowForwardedTraffic": true}}]}},
    {"type": "Microsoft.Network/routeTables", "name": "routes", "apiVersion": "2023-09-01",
     "properties": {"routes": [
       {"name": "default", "properties": {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance",
         "nextHopIpAddress": "[reference(resourceId('Microsoft.Network/azureFirewalls', 'fw')).ipConfigurations[0].properties.privateIPAddress]"}},
       {"name": "tag", "properties": {"addressPrefix": "AppServiceManagement", "nextHopType": "Internet"}}]}},
    {"type": "Microsoft.Network/publicIPAddresses", "name": "fw-ip", "apiVersion": "2023-09-01",
     "properties": {"ipAddress": "203.0.113.4"}},
    {"type": "Microsoft.Network/azureFirewalls", "name": "fw", "apiVersion": "2023-09-01",
     "properties": {"ipConfigurations": [{"name": "c", "properties": {
       "subnet": {"id": "[resourceId('Microsoft.Network/virtualNetworks/subnets', 'net', 'AzureFirewallSubnet')]"},
       "publicIPAddress": {"id": "[resourceId('Microsoft.Network/publicIPAddresses', 'fw-ip')]"}}}],
       "networkRuleCollections": [{"name": "ntp", "properties": {"priority": 100, "action": {"type": "Allow"}, "rules": [
         {"name": "ntp", "protocols": ["UDP"], "sourceAddresses": ["*"], "destinationAddresses": ["*"], "destinationPorts": ["123"]}]}}]}},
    {"type": "Microsoft.Network/virtualNetworkGateways", "name": "gw", "apiVersion": "2023-09-01",
     "properties": {"gatewayType": "Vpn", "ipConfigurations": [{"name": "c", "properties": {
       "subnet": {"id": "[resourceId('Microsoft.Network/virtualNetworks/subnets', 'net', 'GatewaySubnet')]"}}}]}},
    {"type": "Microsoft.Network/localNetworkGateways", "name": "premises", "apiVersion": "2023-09-01",
     "properties": {"localNetworkAddressSpace": {"addressPrefixes": ["172.16.0.0/12"]}}},
    {"type": "Microsoft.Web/hostingEnvironments", "name": "mine", "apiVersion": "2021-01-15", "kind": "ASEV2",
     "properties": {"internalLoadBalancingMode": "[parameters('mode')]",
       "virtualNetwork": {"Id": "[resourceId('Microsoft.Network/virtualNetworks/subnets', 'net', 'ase-subnet')]"}}},
    {"type": "Microsoft.Web/serverfarms", "name": "plan", "apiVersion": "2021-01-15",
     "properties": {"reserved": true, "hostingEnvironmentProfile": {"id": "[resourceId('Microsoft.Web/hostingEnvironments', 'mine')]"}}},
    {"type": "Microsoft.Network/privateDnsZones", "name": "[reference(resourceId('Microsoft.Web/hostingEnvironments', 'mine')).dnsSuffix]",
     "apiVersion": "2020-06-01", "location": "global", "properties": {}}
  ]
}"#;

/// One file with everything: the policy and all that is around it.
#[test]
fn a_template_of_a_whole_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("azuredeploy.json");
    fs::write(&path, QUICKSTART).unwrap();
    let loaded = loaded(&[path.to_str().unwrap()]);
    let rules = loaded.config.rules.policies.iter().flat_map(|it| &it.groups).flat_map(|it| &it.collections);
    assert_eq!(rules.map(|it| it.name.as_str()).collect::<Vec<_>>(), ["ntp"]);
    let network = network(&loaded);
    let topology = network.topology();
    assert_eq!((topology.name.as_str(), topology.location.as_str()), ("azuredeploy", "westus2"));
    let net = &topology.virtual_networks[0];
    assert_eq!(net.address_space, ["192.168.0.0/16".parse().unwrap()]);
    assert_eq!((net.dns_servers.len(), net.peerings[0].remote.as_str()), (1, "hub"));
    assert_eq!(net.gateway.as_ref().unwrap().routes, ["172.16.0.0/12".parse().unwrap()]);
    let firewall = &topology.firewalls[0];
    assert_eq!(firewall.private_address, "192.168.0.4".parse().ok());
    assert_eq!(firewall.public_addresses, ["203.0.113.4".parse::<std::net::IpAddr>().unwrap()]);
    let route = topology.route_tables[0].routes.iter().find(|it| it.name == "default").unwrap();
    assert_eq!(route.next_hop, NextHop::VirtualAppliance("192.168.0.4".parse().unwrap()));
    let ase = &topology.environments[0];
    assert!(ase.linux && ase.version == AseVersion::V2 && ase.load_balancing.is_internal());
    assert_eq!((ase.virtual_network.as_str(), ase.subnet.as_str()), ("net", "ase-subnet"));
    assert_eq!(topology.dns_zones[0].name, "mine.appserviceenvironment.net");
    let said: Vec<&str> = loaded.infos.iter().map(|it| it.what.as_str()).collect();
    assert!(said.iter().any(|it| it.contains("192.168.0.4, the first that Azure gives out")), "{said:?}");
    assert!(!said.iter().any(|it| it.contains("not emulated")), "{said:?}");
}

/// As Azure prints it when the other half is gone.
#[test]
fn a_peering_that_is_not_connected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("azuredeploy.json");
    let peerings = |state: &str| {
        let text = QUICKSTART
            .replace("\"remoteAddressSpace\"", &format!("\"peeringState\": \"{state}\", \"remoteAddressSpace\""));
        fs::write(&path, text).unwrap();
        let loaded = loaded(&[path.to_str().unwrap()]);
        let warned =
            loaded.warnings.iter().any(|it| it.what.contains("the peering `hub` is") && it.what.contains(state));
        (network(&loaded).topology().virtual_networks[0].peerings.len(), warned)
    };
    assert_eq!(peerings("connected"), (1, false));
    assert_eq!(peerings("Disconnected"), (0, true));
}

/// In a file that is only a policy what is wrong around it is no reason to stop; in a topology it is.
#[test]
fn what_is_wrong_counts_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("azuredeploy.json");
    let text = QUICKSTART
        .replace("\"192.168.251.128/25\"", "\"192.168.251.128/99\"")
        .replace("\"nextHopType\": \"Internet\"", "\"nextHopType\": \"Elsewhere\"");
    fs::write(&path, &text).unwrap();
    let name = path.display().to_string();
    let as_policy =
        load(&Overrides { policy: vec![name.clone()], ..Overrides::default() }, egret::config::DefaultFile::Ignored)
            .unwrap();
    assert!(as_policy.config.network.is_none());
    let warned = as_policy.warnings.iter().filter(|it| it.what.contains("/99") || it.what.contains("Elsewhere"));
    assert_eq!(warned.count(), 2, "{:?}", as_policy.warnings);
    assert!(as_policy.infos.iter().any(|it| it.what.starts_with("read, not emulated: ")));
    let errors = load_topology(&[&name]).unwrap_err();
    let line = |what: &str| text.lines().position(|line| line.contains(what)).map(|at| at + 1);
    let at = |what: &str| errors.errors.iter().find(|it| it.what.contains(what)).and_then(|it| it.position.as_ref());
    assert_eq!(at("/99").map(|it| it.line), line("/99"));
    assert_eq!(at("Elsewhere").map(|it| it.line), line("Elsewhere"));
}

/// What only Azure knows is asked for, by the name that `--set` takes.
#[test]
fn what_only_azure_knows_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("azuredeploy.json");
    let text = QUICKSTART
        .replace("\"192.168.251.128/25\"", "\"[parameters('prefix')]\"")
        .replace("{\"mode\":", "{\"prefix\": {\"type\": \"string\"}, \"mode\":");
    fs::write(&path, text).unwrap();
    let name = path.display().to_string();
    let error = load_topology(&[&name]).unwrap_err();
    let first = &error.errors[0];
    assert!(first.what.contains("the network cannot be told without it: `parameters.prefix`"), "{}", first.what);
    assert_eq!(first.mend.as_deref(), Some("--set 'parameters.prefix=…'"));
    let set = vec!["parameters.prefix=192.168.7.0/24".to_owned()];
    let told =
        load(&Overrides { topology: vec![name], set, ..Overrides::default() }, egret::config::DefaultFile::Ignored);
    let told = told.unwrap_or_else(|errors| panic!("{errors}"));
    let subnet = network(&told).topology().virtual_networks[0].subnets[0].prefixes.clone();
    assert_eq!(subnet, ["192.168.7.0/24".parse().unwrap()]);
}

/// As az prints them: properties beside the name, several files.
#[test]
fn what_az_prints() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft";
    let vnet = write(
        "vnet.json",
        &format!(
            r#"[{{"id": "{id}.Network/virtualNetworks/net", "name": "net", "location": "westeurope",
              "addressSpace": {{"addressPrefixes": ["10.0.0.0/16"]}}, "subnets": [{{
                "id": "{id}.Network/virtualNetworks/net/subnets/ase", "name": "ase", "addressPrefix": "10.0.1.0/24",
                "networkSecurityGroup": {{"id": "{id}.Network/networkSecurityGroups/nsg"}},
                "serviceEndpoints": [{{"service": "Microsoft.Storage", "locations": ["*"]}}]}}]}}]"#
        ),
    );
    let nsg = write(
        "nsg.json",
        &format!(
            r#"{{"id": "{id}.Network/networkSecurityGroups/nsg", "name": "nsg", "defaultSecurityRules": [], "securityRules": [
              {{"name": "in", "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
                "sourceAddressPrefix": "AppServiceManagement", "sourceAddressPrefixes": [], "sourcePortRange": "*",
                "destinationAddressPrefix": "*", "destinationPortRange": "454-455"}}]}}"#
        ),
    );
    let ase = write(
        "ase.json",
        &format!(
            r#"[{{"id": "{id}.Web/hostingEnvironments/mine", "name": "mine", "kind": "ASEV2", "suspended": true,
               "type": "Microsoft.Web/hostingEnvironments", "internalLoadBalancingMode": "None", "hasLinuxWorkers": false,
               "userWhitelistedIpRanges": ["203.0.113.0/24"],
               "virtualNetwork": {{"id": "{id}.Network/virtualNetworks/net", "subnet": "ase"}}}},
              {{"id": "{id}.Web/hostingEnvironments/mine/capacities/virtualip", "name": "virtualip",
                "type": "Microsoft.Web/hostingEnvironments/capacities", "properties": {{
                "serviceIpAddress": "203.0.113.9", "internalIpAddress": null, "outboundIpAddresses": ["203.0.113.9"],
                "vipMappings": [{{"virtualIP": "203.0.113.10", "internalHttpPort": 20000, "internalHttpsPort": 20001, "inUse": true}},
                                {{"virtualIP": "203.0.113.11", "internalHttpPort": 20002, "internalHttpsPort": 20003, "inUse": false}}]}}}}]"#
        ),
    );
    let loaded = loaded(&[&vnet, &nsg, &ase]);
    let network = network(&loaded);
    let topology = network.topology();
    assert_eq!(topology.subscription, "11111111-1111-1111-1111-111111111111");
    assert_eq!((topology.resource_group.as_str(), topology.location.as_str()), ("rg", "westeurope"));
    let place = network.place("net", "ase").unwrap();
    assert_eq!(network.security_group_of(place).unwrap().rules.len(), 1);
    assert!(network.subnet(place).has_endpoint("Microsoft.Storage"));
    let ase = &topology.environments[0];
    assert_eq!((ase.load_balancing, ase.subnet.as_str(), ase.suspended), (LoadBalancing::External, "ase", true));
    assert_eq!((ase.public_address, ase.app_addresses.len()), ("203.0.113.9".parse().ok(), 1));
    assert_eq!(ase.sql_egress_ranges.len(), 1);
}

/// One resource of a plan that is to be created.
fn planned(kind: &str, after: &str) -> String {
    format!(
        r#"{{"address": "{kind}.x", "type": "{kind}", "name": "x", "mode": "managed",
           "change": {{"actions": ["create"], "after": {after}, "after_unknown": {{}}}}}}"#
    )
}

/// A network with an environment, peered with one of another region.
fn plan_of_an_environment() -> String {
    let id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Network";
    let subnet = |name: &str| format!("{id}/virtualNetworks/net/subnets/{name}");
    let changes = [
        planned(
            "azurerm_virtual_network",
            r#"{"name": "net", "location": "westeurope", "address_space": ["10.0.0.0/16"], "dns_servers": ["10.0.9.4"]}"#,
        ),
        planned(
            "azurerm_subnet",
            &format!(
                r#"{{"name": "ase", "id": "{}", "virtual_network_name": "net", "address_prefixes": ["10.0.1.0/24"],
            "service_endpoints": ["Microsoft.Sql"],
            "delegation": [{{"name": "d", "service_delegation": [{{"name": "Microsoft.Web/hostingEnvironments"}}]}}]}}"#,
                subnet("ase")
            ),
        ),
        planned(
            "azurerm_subnet_network_security_group_association",
            &format!(
                r#"{{"subnet_id": "{}", "network_security_group_id": "{id}/networkSecurityGroups/nsg"}}"#,
                subnet("ase")
            ),
        ),
        planned(
            "azurerm_subnet_route_table_association",
            &format!(r#"{{"subnet_id": "{}", "route_table_id": "{id}/routeTables/routes"}}"#, subnet("ase")),
        ),
        planned(
            "azurerm_network_security_group",
            r#"{"name": "nsg", "security_rule": [{"name": "in", "priority": 100, "direction": "Inbound",
            "access": "Allow", "protocol": "Tcp", "source_address_prefix": "AppServiceManagement", "source_port_range": "*",
            "destination_address_prefix": "*", "destination_port_range": "454-455"}]}"#,
        ),
        planned(
            "azurerm_route_table",
            r#"{"name": "routes", "route": [{"name": "default", "address_prefix": "0.0.0.0/0",
            "next_hop_type": "VirtualAppliance", "next_hop_in_ip_address": "10.0.0.4"}]}"#,
        ),
        planned(
            "azurerm_virtual_network_peering",
            &format!(
                r#"{{"name": "to-hub", "virtual_network_name": "net", "allow_virtual_network_access": true,
            "remote_virtual_network_id": "{id}/virtualNetworks/hub"}}"#
            ),
        ),
        planned(
            "azurerm_app_service_environment_v3",
            &format!(
                r#"{{"name": "mine", "subnet_id": "{}", "internal_load_balancing_mode": "Web, Publishing"}}"#,
                subnet("ase")
            ),
        ),
        planned(
            "azurerm_service_plan",
            &format!(
                r#"{{"name": "plan", "os_type": "Linux", "app_service_environment_id": "{}/mine"}}"#,
                id.replace("Microsoft.Network", "Microsoft.Web/hostingEnvironments")
            ),
        ),
    ];
    let hub = r#"{"address": "azurerm_virtual_network.hub", "type": "azurerm_virtual_network", "name": "hub", "mode": "managed",
        "change": {"actions": ["create"], "after_unknown": {}, "after": {"name": "hub", "location": "northeurope", "address_space": ["10.9.0.0/16"]}}}"#;
    format!(
        r#"{{"format_version": "1.2", "terraform_version": "1.9.0", "resource_changes": [{}, {hub}]}}"#,
        changes.join(",\n")
    )
}

/// What Terraform will know only after it has applied is led to what it comes from.
#[test]
fn a_terraform_plan() {
    let plan = plan_of_an_environment();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    fs::write(&path, plan).unwrap();
    let loaded = loaded(&[path.to_str().unwrap()]);
    let network = network(&loaded);
    let topology = network.topology();
    let net = topology.virtual_network("net").unwrap();
    let ase = net.subnet("ase").unwrap();
    assert_eq!(ase.delegations, ["Microsoft.Web/hostingEnvironments"]);
    assert_eq!((ase.security_group.as_deref(), ase.route_table.as_deref()), (Some("nsg"), Some("routes")));
    assert!(net.peerings[0].global, "the networks are in different regions");
    assert_eq!(net.dns_servers.len(), 1);
    let mine = &topology.environments[0];
    assert_eq!((mine.version, mine.subnet.as_str(), mine.linux), (AseVersion::V3, "ase", true));
    assert!(mine.load_balancing.is_internal());
    assert_eq!(topology.route_tables[0].routes[0].next_hop, NextHop::VirtualAppliance("10.0.0.4".parse().unwrap()));
}

/// The public template set: the parent links to the network and the firewall.
#[test]
fn the_corpus_of_environments() {
    let Some(corpus) = corpus() else { return };
    let file = |name: &str| corpus.join("ase").join(name).display().to_string();
    let parameters = vec![file("ase-azfirewall.parameters.json")];
    let topology = vec![file("ase-azfirewall.azuredeploy.json"), file("ase-azfirewall.vnet.json")];
    let loaded = load(&Overrides { topology, parameters, ..Overrides::default() }, egret::config::DefaultFile::Ignored);
    let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.config.rules.policies.len(), 1);
    let around = network(&loaded);
    let topology = around.topology();
    let table = topology.route_table("ase-RouteTable").unwrap();
    assert_eq!(table.routes.len(), 77);
    assert_eq!(table.routes[0].destination, RouteDestination::Net("0.0.0.0/0".parse().unwrap()));
    assert_eq!(table.routes[0].next_hop, NextHop::VirtualAppliance("10.0.1.4".parse().unwrap()));
    assert_eq!(topology.firewalls[0].private_address, "10.0.1.4".parse().ok());
    assert_eq!(topology.security_group("ase-NSG").unwrap().rules.len(), 17);
    let place = around.place("virtualNetwork", "ase-subnet").unwrap();
    assert_eq!(around.subnet(place).service_endpoints.len(), 3);
    assert_eq!(
        (topology.environments[0].version, topology.environments[0].subnet.as_str()),
        (AseVersion::V2, "ase-subnet")
    );

    let set = vec!["parameters.aseName=mine".to_owned()];
    let third = Overrides { topology: vec![file("asev3-create.json")], set, ..Overrides::default() };
    let third = load(&third, egret::config::DefaultFile::Ignored).unwrap_or_else(|errors| panic!("{errors}"));
    let topology = network(&third);
    let topology = topology.topology();
    assert_eq!(topology.environments[0].version, AseVersion::V3);
    assert_eq!(topology.dns_zones[0].name, "mine.appserviceenvironment.net");
    assert_eq!(topology.virtual_networks[0].subnets[0].delegations, ["Microsoft.Web/hostingEnvironments"]);
}

/// Two templates that write one network: what the second says counts.
#[test]
fn one_network_in_two_templates() {
    let folder = tempfile::tempdir().unwrap();
    let template = |name: &str, server: &str| {
        let network = serde_json::json!({
            "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2021-02-01", "name": "v", "location": "westus2",
            "properties": {
                "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] }, "dhcpOptions": { "dnsServers": [server] },
                "subnets": [{ "name": "s", "properties": { "addressPrefix": "10.0.1.0/24" } }],
            },
        });
        let schema = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";
        let whole = serde_json::json!({ "$schema": schema, "contentVersion": "1.0.0.0", "resources": [network] });
        let path = folder.path().join(name);
        fs::write(&path, whole.to_string()).unwrap();
        path.display().to_string()
    };
    let (a, b) = (template("a.json", "10.0.1.9"), template("b.json", "10.0.1.10"));
    let both = loaded(&[&a, &b]);
    let network = network(&both);
    let of = &network.topology().virtual_networks[0];
    assert_eq!((of.address_space.len(), of.dns_servers.as_slice()), (1, &["10.0.1.10".parse().unwrap()][..]));
    let twice = loaded(&[&a, &a]);
    let warnings: Vec<&str> = twice.warnings.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(warnings, [format!("`{a}` is part of the topology already")]);
}

/// As `az network nsg list -o json` prints what is in all resource groups.
#[test]
fn two_security_groups_of_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let group = |group: &str| {
        let id = format!("/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/{group}");
        serde_json::json!({
            "id": format!("{id}/providers/Microsoft.Network/networkSecurityGroups/default-nsg"), "name": "default-nsg",
            "type": "Microsoft.Network/networkSecurityGroups", "resourceGroup": group, "location": "westus2",
            "securityRules": [],
        })
    };
    let path = folder.path().join("groups.json");
    fs::write(&path, serde_json::json!([group("rg-hub"), group("rg-spoke")]).to_string()).unwrap();
    let errors = load_topology(&[&path.display().to_string()]).unwrap_err().to_string();
    let expected = "two networkSecurityGroups are called `default-nsg`, one of the resource group `rg-hub` and one of the \
                    resource group `rg-spoke`: a topology knows resources by their names alone";
    assert!(errors.contains(expected), "{errors}");
}
