//! `egret routes`, `egret nsg` and `egret doctor --fix`: scripts are run, templates are read again, and the doctor is
//! asked about what comes of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::clients::is_here;
use super::readme::{fences, page};
use super::support::command::{Answer, BINARY, clean, egret, finish, install};
use super::support::patient::{SetUp, worked};
use super::support::run::undisturbed;

/// The worked set-up in a folder.
fn folder(set_up: &SetUp) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("vnet.toml"), &set_up.network).unwrap();
    fs::write(folder.path().join("policy.toml"), &set_up.policy).unwrap();
    folder
}

/// Without its security group and its route table, as somebody has it who begins.
fn bare() -> SetUp {
    let SetUp { network, policy } =
        worked().network("nsg = \"ase-nsg\"\n", "").network("route_table = \"ase-routes\"\n", "");
    let (before, rest) = network.split_once("[[nsg]]").unwrap();
    let (_, after) = rest.split_once("[firewall]").unwrap();
    SetUp { network: format!("{before}[firewall]{after}"), policy }
}

fn ran(folder: &Path, args: &[&str]) -> Answer {
    finish(egret().current_dir(folder).args(args), "")
}

#[track_caller]
fn written(folder: &Path, args: &[&str]) -> String {
    let answer = ran(folder, args);
    assert_eq!(answer.code, 0, "{}", answer.err);
    answer.out
}

/// What `az` was told, and what it holds in the end: each resource with its options.
fn state(folder: &Path) -> (Vec<Vec<String>>, BTreeMap<String, String>) {
    let calls = fs::read_to_string(folder.join("calls")).unwrap();
    let calls = calls.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    let entries = fs::read_dir(folder.join("state")).unwrap().map(|entry| entry.unwrap());
    let resource = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap().replace('\t', " "))
    };
    (calls, entries.map(resource).collect())
}

/// In a real bash, with an `az` of this folder in its path.
#[track_caller]
fn bash(folder: &Path, script: &str) {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(folder.join("state")).unwrap();
    install("tests/fixtures/scripts/az", bin.join("az"));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut shell = clean("bash");
    shell.arg(script).current_dir(folder).env("PATH", path);
    shell.env("RESOURCE_GROUP", "lab rg").env("LOCATION", "westus2");
    let answer = finish(shell.env("AZ_LOG", folder.join("calls")).env("AZ_STATE", folder.join("state")), "");
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{}", answer.out);
}

#[test]
fn scripts_of_az_can_be_run_again() {
    let lab = folder(&bare());
    let scripts: [&[&str]; 3] = [
        &["routes", "--management", "addresses", "--ip-dependencies"],
        &["routes", "--management", "prefixes"],
        &["nsg", "--deny-rest"],
    ];
    for args in scripts {
        let args = [args, &["--ase", "vnet.toml", "--to", "az-cli", "--out", "script.sh"]].concat();
        written(lab.path(), &args);
        bash(lab.path(), "script.sh");
        let (calls, once) = state(lab.path());
        bash(lab.path(), "script.sh");
        let (all, twice) = state(lab.path());
        assert_eq!(once, twice, "{args:?}");
        // The table is made once; all else is told again.
        let makes = |calls: &[Vec<String>], kind: &str| {
            calls.iter().filter(|call| call[1] == kind && call[2] == "create").count()
        };
        let kind = if args[0] == "nsg" { "nsg" } else { "route-table" };
        assert_eq!((makes(&calls, kind), makes(&all, kind)), (1, 1), "{args:?}");
        assert!(all.len() > calls.len() + 5, "{args:?}");
        fs::remove_file(lab.path().join("calls")).unwrap();
        fs::remove_dir_all(lab.path().join("state")).unwrap();
    }
}

fn topology_of(folder: &Path, files: &[&str]) -> egret::vnet::Topology {
    let overrides = egret::config::Overrides {
        topology: files.iter().map(|file| folder.join(file).display().to_string()).collect(),
        ..egret::config::Overrides::default()
    };
    egret::config::load(&overrides, egret::config::DefaultFile::Ignored)
        .unwrap()
        .config
        .network
        .unwrap()
        .topology()
        .clone()
}

/// The security group of the topology, in the state of the folder's `az`.
fn deployed(folder: &Path) {
    let topology = topology_of(folder, &["vnet.toml"]);
    let create = |rule: &egret::vnet::SecurityRule| {
        let (name, priority, direction) = (&rule.name, rule.priority, rule.direction.as_str());
        let head = "az network nsg rule create --nsg-name ase-nsg";
        format!("{head} --name {name} --priority {priority} --direction {direction} --access there\n")
    };
    let script: String = topology.security_group("ase-nsg").unwrap().rules.iter().map(create).collect();
    fs::write(folder.join("deployed.sh"), script).unwrap();
    bash(folder, "deployed.sh");
}

/// Rules of the group that are there keep their names and their priorities, which Azure takes once.
#[test]
fn a_security_group_that_is_there_keeps_its_rules() {
    let check = |set_up: SetUp, more: &[&str], expected: &[(&str, &str)]| {
        let lab = folder(&set_up);
        deployed(lab.path());
        let (_, before) = state(lab.path());
        let args = ["nsg", "--ase", "vnet.toml", "--to", "az-cli", "--out", "nsg.sh"];
        written(lab.path(), &[&args[..], more].concat());
        bash(lab.path(), "nsg.sh");
        let (_, once) = state(lab.path());
        bash(lab.path(), "nsg.sh");
        assert_eq!(once, state(lab.path()).1, "{more:?}");
        assert!(before.iter().all(|(key, rule)| once.get(key) == Some(rule)), "{once:#?}");
        let rules = |key: &&String| key.starts_with("network nsg rule ") && !before.contains_key(*key);
        let added: Vec<(&str, &str)> = once
            .keys()
            .filter(rules)
            .map(|key| key.rsplit_once(':').unwrap().1)
            .map(|name| {
                let rule = &once[&format!("network nsg rule ase-nsg:{name}")];
                (name, rule.split_once("--priority ").unwrap().1.split(' ').next().unwrap())
            })
            .collect();
        assert_eq!(added, expected, "{more:?}");
    };
    check(worked(), &[], &[]);
    check(worked(), &["--deny-rest"], &[]);
    let narrow = "source = \"192.168.251.128/26\", destination = \"192.168.251.128/25\"";
    let within = "source = \"192.168.251.128/25\", destination = \"192.168.251.128/25\"";
    check(worked().network(within, narrow), &[], &[("within-in", "170")]);
    // The name is another's, and what denies all of it comes early.
    let web = "{ name = \"web\", priority = 120, direction = \"Outbound\", access = \"Allow\", protocol = \"Tcp\"";
    let no_web = "{ name = \"web\", priority = 120, direction = \"Outbound\", access = \"Deny\", protocol = \"Tcp\"";
    check(worked().network(web, no_web), &[], &[("web-2", "101")]);
}

/// Over what it was written from, a template takes nothing away.
#[test]
fn templates_keep_what_a_table_and_a_group_have() {
    let extra = "{ name = \"extra\", prefix = \"198.51.100.0/24\", next_hop = \"Internet\" },\n    { name = \"default\", prefix";
    let lab =
        folder(&worked().network("{ name = \"default\", prefix", extra).network("ports = 12000", "ports = 12001"));
    let before = topology_of(lab.path(), &["vnet.toml"]);
    for kind in ["routes", "nsg"] {
        let file = format!("{kind}.json");
        written(lab.path(), &[kind, "--ase", "vnet.toml", "--to", "arm", "--out", &file]);
        let template: Value = serde_json::from_str(&fs::read_to_string(lab.path().join(&file)).unwrap()).unwrap();
        for resource in template["resources"].as_array().unwrap() {
            let whole = ["Microsoft.Network/networkSecurityGroups", "Microsoft.Network/routeTables"];
            assert!(!whole.contains(&resource["type"].as_str().unwrap()), "{resource}");
        }
        let after = topology_of(lab.path(), &["vnet.toml", &file]);
        let (old, new) = (before.route_table("ase-routes").unwrap(), after.route_table("ase-routes").unwrap());
        let names = |table: &egret::vnet::RouteTable| table.routes.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(old), names(new), "{kind}");
        let (old, new) = (before.security_group("ase-nsg").unwrap(), after.security_group("ase-nsg").unwrap());
        let kept = old
            .rules
            .iter()
            .all(|rule| new.rules.iter().any(|it| (&it.name, it.priority) == (&rule.name, rule.priority)));
        assert!(kept, "{kind}");
        assert_eq!(new.rules.len() - old.rules.len(), usize::from(kind == "nsg"), "monitoring is missing");
    }
}

#[test]
fn the_loop_makes_a_route_for_each_address() {
    let lab = folder(&bare());
    let args = ["routes", "--ase", "vnet.toml", "--to", "az-cli", "--management", "addresses", "--out", "routes.sh"];
    let answer = ran(lab.path(), &args);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.err.contains("cover a part of the service tag"), "{}", answer.err);
    bash(lab.path(), "routes.sh");
    let (_, state) = state(lab.path());
    let routes = state.keys().filter(|key| key.starts_with("network route-table route "));
    assert_eq!(routes.count(), 73);
    let one = &state["network route-table route ase-routes:104.208.54.11"];
    assert!(one.contains("--address-prefix 104.208.54.11/32 --next-hop-type Internet"), "{one}");
    let default = &state["network route-table route ase-routes:default"];
    assert!(default.contains("--next-hop-type VirtualAppliance --next-hop-ip-address 192.168.0.4"), "{default}");
    let subnet = &state["network vnet subnet ase-vnet:ase-subnet"];
    assert!(subnet.contains("--route-table ase-routes"), "{subnet}");
}

#[test]
fn a_route_that_is_there_keeps_its_name() {
    let lab = folder(&worked().network("name = \"management\", prefix", "name = \"back\", prefix"));
    let script = written(lab.path(), &["routes", "--ase", "vnet.toml", "--to", "az-cli"]);
    assert!(script.contains("  --name back \\\n  --address-prefix AppServiceManagement"), "{script}");
}

const FORMS: [&str; 4] = ["az-cli", "powershell", "arm", "terraform"];

/// A comment ends with its line: the name of the environment is in one.
#[test]
fn a_line_break_in_a_name_runs_nothing() {
    let lab = folder(&bare().network("name = \"ase\"", "name = \"ase\\ntouch pwned #\\u2028x\""));
    for (kind, form) in ["routes", "nsg"].iter().flat_map(|kind| FORMS.map(|form| (*kind, form))) {
        let answer = ran(lab.path(), &[kind, "--ase", "vnet.toml", "--to", form, "--name", "given"]);
        assert_eq!((answer.code, answer.out.as_str()), (2, ""), "{kind} {form}");
        assert!(answer.err.contains("holds a control character"), "{}", answer.err);
    }
}

/// What `az` would take for a file or a flag, and what Azure refuses anyway.
#[test]
fn names_that_tools_read_otherwise_are_refused() {
    let check = |old: &str, new: &str, expected: &str| {
        let lab = folder(&worked().network(old, new));
        for form in FORMS {
            let answer = ran(lab.path(), &["routes", "--ase", "vnet.toml", "--to", form]);
            assert_eq!((answer.code, answer.out.as_str()), (2, ""), "{form} {new}");
            assert!(answer.err.contains(expected), "{form}: {}", answer.err);
        }
    };
    let of_file = "`@/etc/passwd` cannot be written: Azure takes no name that begins with `@`, by which az names files";
    check("location = \"westus2\"", "location = \"@/etc/passwd\"", of_file);
    check("name = \"default\", prefix", "name = \"@/etc/passwd\", prefix", of_file);
    let of_flag = "`--ids=/x` cannot be written: Azure takes no name that begins with `-`";
    check("name = \"default\", prefix", "name = \"--ids=/x\", prefix", of_flag);
    let of_line = "the name `a\\nb` holds a control character";
    check("name = \"default\", prefix", "name = \"a\\nb\", prefix", of_line);
    let fix = folder(&sick().network("name = \"worked\"", "name = \"worked\"\nresource_group = \"@/etc/passwd\""));
    let answer = ran(fix.path(), &["doctor", "--fix", "mended", "vnet.toml"]);
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains(of_file), "{}", answer.err);
    assert!(!fix.path().join("mended").exists());
}

#[test]
fn no_text_of_a_topology_is_an_expression() {
    let location = "location = \"[parameters('x')]\"";
    let lab = folder(&worked().network("location = \"westus2\"", location));
    let template = written(lab.path(), &["routes", "--ase", "vnet.toml", "--to", "arm"]);
    assert!(template.contains("\"defaultValue\": \"[[parameters('x')]\""), "{template}");
}

/// The way to somewhere else has the name that the default route would have.
#[test]
fn a_route_does_not_take_the_name_of_another() {
    let lab = folder(
        &worked()
            .network("name = \"default\", prefix = \"0.0.0.0/0\"", "name = \"default\", prefix = \"198.51.100.0/24\""),
    );
    let script = written(lab.path(), &["routes", "--ase", "vnet.toml", "--to", "az-cli"]);
    assert!(script.contains("  --name default-2 \\\n  --address-prefix 0.0.0.0/0"), "{script}");
}

#[test]
fn shellcheck_has_nothing_to_say() {
    if !is_here("shellcheck", &["--version"]) {
        return;
    }
    let lab = folder(&sick());
    let forms: [&[&str]; 4] = [
        &["routes", "--to", "az-cli", "--out", "1.sh", "--ase", "vnet.toml"],
        &["routes", "--to", "az-cli", "--management", "prefixes", "--out", "2.sh", "--ase", "vnet.toml"],
        &["nsg", "--to", "az-cli", "--deny-rest", "--out", "3.sh", "--ase", "vnet.toml"],
        &["doctor", "--fix", "mended", "vnet.toml"],
    ];
    for args in forms {
        assert_eq!(ran(lab.path(), args).code, 0, "{args:?}");
    }
    for script in ["1.sh", "2.sh", "3.sh", "mended/fix.sh"] {
        let answer = finish(clean("shellcheck").arg(lab.path().join(script)), "");
        assert_eq!((answer.code, answer.out.as_str()), (0, ""), "{script}");
    }
}

/// Templates over a network that has neither: the doctor finds it healthy.
#[test]
fn what_templates_add_is_healthy() {
    let lab = folder(&bare());
    let addresses = ["routes", "--ase", "vnet.toml", "--to", "arm", "--management", "addresses", "--out", "stale.json"];
    written(lab.path(), &addresses);
    let stale = ran(lab.path(), &["doctor", "vnet.toml", "stale.json"]);
    assert_eq!(stale.code, 3);
    assert!(stale.out.contains("suspended[RT-MGMT-STALE]"), "{}", stale.out);
    for deny in [&["--deny-rest"][..], &[]] {
        let nsg = ["nsg", "--ase", "vnet.toml", "--to", "arm", "--out", "nsg.json"];
        written(lab.path(), &[&nsg[..], deny].concat());
        written(
            lab.path(),
            &[
                "routes",
                "--ase",
                "vnet.toml",
                "--ase",
                "nsg.json",
                "--to",
                "arm",
                "--ip-dependencies",
                "--out",
                "routes.json",
            ],
        );
        let answer = ran(lab.path(), &["doctor", "--severity", "app", "vnet.toml", "nsg.json", "routes.json"]);
        assert_eq!(answer.code, 0, "{}\n{}", answer.out, answer.err);
    }
}

/// The routes of the topology are the template's, whatever is in them.
#[test]
fn a_template_is_read_back() {
    let lab = folder(&bare());
    for management in ["tag", "addresses", "prefixes"] {
        let args = ["routes", "--ase", "vnet.toml", "--to", "arm", "--management", management, "--out", "routes.json"];
        written(lab.path(), &args);
        let overrides = |files: &[&str]| egret::config::Overrides {
            topology: files.iter().map(|file| lab.path().join(file).display().to_string()).collect(),
            ..egret::config::Overrides::default()
        };
        let loaded =
            egret::config::load(&overrides(&["vnet.toml", "routes.json"]), egret::config::DefaultFile::Ignored)
                .unwrap();
        let network = loaded.config.network.unwrap();
        let read = network.topology().route_table("ase-routes").unwrap();
        let recipe = egret::vnet::recipe::RouteRecipe {
            management: match management {
                "tag" => egret::vnet::recipe::Management::Tag,
                "addresses" => egret::vnet::recipe::Management::Addresses,
                _ => egret::vnet::recipe::Management::Prefixes,
            },
            ..egret::vnet::recipe::RouteRecipe::default()
        };
        let (topology, tags) = (network.topology(), network.tags());
        let changes = egret::vnet::recipe::routes(topology, &topology.environments[0], tags, &recipe).unwrap();
        let routes: Vec<_> = changes
            .into_iter()
            .filter_map(|change| match change {
                egret::vnet::Change::Route { route, .. } => Some(route),
                _ => None,
            })
            .collect();
        assert!(!routes.is_empty());
        assert_eq!(read.routes, routes, "{management}");
        let place = network.place("ase-vnet", "ase-subnet").unwrap();
        assert_eq!(network.subnet(place).route_table.as_deref(), Some("ase-routes"));
    }
}

/// Every way that the documents know to break it at once.
fn sick() -> SetUp {
    worked()
        .network("source = \"AppServiceManagement\"", "source = \"13.66.140.0/26\"")
        .network("\"Microsoft.Sql\", ", "")
        .network("{ name = \"management\", prefix = \"AppServiceManagement\", next_hop = \"Internet\" },", "")
        .network(
            "protocol = \"Udp\", source = \"192.168.251.128/25\", ports = 123",
            "protocol = \"Udp\", source = \"192.168.251.128/25\", ports = 124",
        )
        .network("{ name = \"*.scm\", addresses = \"192.168.251.132\" },", "")
        .policy("destination_ports = 123", "destination_ports = 124")
}

#[test]
fn what_is_mended_is_healthy() {
    let lab = folder(&sick());
    let before = ran(lab.path(), &["doctor", "vnet.toml"]);
    assert_eq!(before.code, 3);
    assert!(before.out.contains("would be suspended"), "{}", before.out);
    let mended = ran(lab.path(), &["doctor", "--fix", "mended", "vnet.toml"]);
    assert_eq!(mended.code, 0, "{}", mended.err);
    assert!(mended.err.contains("then: healthy"), "{}", mended.err);
    let after = ran(lab.path(), &["doctor", "--severity", "degraded", "mended/vnet.toml"]);
    assert_eq!(after.code, 0, "{}", after.out);
    let template: Value =
        serde_json::from_str(&fs::read_to_string(lab.path().join("mended/fix.json")).unwrap()).unwrap();
    let kinds: Vec<&str> =
        template["resources"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    for kind in [
        "Microsoft.Network/networkSecurityGroups/securityRules",
        "Microsoft.Network/routeTables/routes",
        "Microsoft.Network/virtualNetworks/subnets",
        "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
    ] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let again = ran(lab.path(), &["doctor", "--fix", "mended", "vnet.toml"]);
    assert_eq!(again.code, 2);
    assert!(
        again.err.contains("`mended/fix.json` is there: name another folder, or overwrite with --force"),
        "{}",
        again.err
    );
    assert_eq!(ran(lab.path(), &["doctor", "--fix", "mended", "--force", "vnet.toml"]).code, 0);
}

/// Nothing is written through a link, whether or not it leads anywhere.
#[test]
fn files_of_fix_are_not_written_through_links() {
    for force in [&[][..], &["--force"]] {
        let lab = folder(&sick());
        fs::create_dir(lab.path().join("mended")).unwrap();
        std::os::unix::fs::symlink("../outside", lab.path().join("mended/fix.sh")).unwrap();
        let answer = ran(lab.path(), &[&["doctor", "--fix", "mended", "vnet.toml"][..], force].concat());
        let expected = if force.is_empty() { (2, true) } else { (0, false) };
        let link = lab.path().join("mended/fix.sh").is_symlink();
        assert_eq!((answer.code, link), expected, "{}", answer.err);
        assert!(!lab.path().join("outside").exists(), "{force:?}");
    }
    let lab = folder(&sick());
    fs::create_dir_all(lab.path().join("elsewhere")).unwrap();
    fs::create_dir(lab.path().join("mended")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", lab.path().join("mended/policy")).unwrap();
    let answer = ran(lab.path(), &["doctor", "--fix", "mended", "--force", "vnet.toml"]);
    assert!(answer.code == 2 && answer.err.contains("`mended/policy` is a link"), "{}", answer.err);
    assert_eq!(fs::read_dir(lab.path().join("elsewhere")).unwrap().count(), 0);
}

/// Two things are missing for one finding's rule, one after the other: the second opening is not the first one's end.
#[test]
fn mends_of_one_rule_do_not_replace_each_other() {
    let sql = "destination = \"Sql\", ports = [1433, \"11000-11999\", \"14000-14999\"]";
    let closed = "destination = \"Sql\", ports = 1434";
    let elsewhere = "destination = \"Storage\", ports = 1433";
    for instead in [closed, elsewhere] {
        let lab = folder(&worked().network(sql, instead));
        let mended = ran(lab.path(), &["doctor", "--fix", "mended", "vnet.toml"]);
        assert!(mended.err.contains("then: healthy"), "{}", mended.err);
        let text = fs::read_to_string(lab.path().join("mended/vnet.toml")).unwrap();
        assert!(text.contains("\"egret-OUT-SQL\"") && text.contains("\"egret-OUT-SQL-1\""), "{text}");
    }
}

/// A route table is not all that it takes.
#[test]
fn routes_tell_what_else_the_subnet_needs() {
    let warned = |set_up: &SetUp| ran(folder(set_up).path(), &["routes", "--ase", "vnet.toml", "--to", "az-cli"]).err;
    assert_eq!(warned(&worked()), "");
    let bare = worked().network("\"Microsoft.Storage\", \"Microsoft.EventHub\"", "");
    let said = warned(&bare);
    assert!(said.contains("needs service endpoints for Microsoft.Storage, Microsoft.EventHub too"), "{said}");
}

/// The script of `--fix` in bash, twice.
#[test]
fn the_script_that_mends_can_be_run_again() {
    let lab = folder(&sick());
    written(lab.path(), &["doctor", "--fix", "mended", "vnet.toml"]);
    bash(lab.path(), "mended/fix.sh");
    let (_, once) = state(lab.path());
    bash(lab.path(), "mended/fix.sh");
    assert_eq!(once, state(lab.path()).1);
    let subnet = &once["network vnet subnet ase-vnet:ase-subnet"];
    let services = "--service-endpoints Microsoft.Storage Microsoft.EventHub Microsoft.Sql\n";
    assert!(subnet.ends_with(services), "{subnet}");
}

#[test]
fn what_cannot_be_written_is_said() {
    let lab = folder(&worked());
    let check = |args: &[&str], expected: &str| {
        let answer = ran(lab.path(), args);
        assert_eq!(answer.code, 2, "{}", answer.err);
        assert!(answer.err.contains(expected), "{}", answer.err);
    };
    check(&["routes", "--to", "arm"], "no topology: name a file with the environment, as in --ase vnet.toml");
    check(&["nsg", "--to", "arm", "--ase", "vnet.toml", "--ase-name", "asee"], "did you mean `ase`?");
    check(&["nsg", "--to", "arm", "--topology", "vnet.toml", "--environment", "asee"], "did you mean `ase`?");
    let missing = "cannot read `missing.toml`: there is no such file";
    check(&["routes", "--to", "arm", "--ase", "missing.toml"], &format!("--ase: {missing}"));
    check(&["nsg", "--to", "arm", "--topology=missing.toml"], &format!("--topology: {missing}"));
    check(&["routes", "--to", "arm", "--ase", "vnet.toml", "--firewall", "there"], "--firewall: `there` is no address");
    let without = worked().network.split("[firewall]").next().unwrap().to_owned();
    fs::write(lab.path().join("other.toml"), without + "[ase]\nsubnet = \"ase-subnet\"\n").unwrap();
    check(&["routes", "--to", "arm", "--ase", "other.toml"], "the topology has no firewall with a private address");
}

/// HCL and PowerShell hold the same routes and rules.
#[test]
fn other_forms_name_the_same() {
    let lab = folder(&bare());
    let text = written(lab.path(), &["routes", "--ase", "vnet.toml", "--to", "terraform"]);
    let body: hcl::Body = hcl::parse(&text).unwrap();
    let kinds: Vec<&str> = body
        .blocks()
        .filter(|block| block.identifier() == "resource")
        .map(|block| block.labels()[0].as_str())
        .collect();
    assert_eq!(
        kinds,
        ["azurerm_route_table", "azurerm_route", "azurerm_route", "azurerm_subnet_route_table_association"]
    );
    let text = written(lab.path(), &["nsg", "--ase", "vnet.toml", "--to", "terraform"]);
    let rules = hcl::parse(&text).unwrap();
    let rules = rules
        .blocks()
        .filter(|block| block.labels().first().is_some_and(|it| it.as_str() == "azurerm_network_security_rule"));
    let shell = written(lab.path(), &["nsg", "--ase", "vnet.toml", "--to", "powershell"]);
    assert_eq!(rules.count(), shell.matches("Add-AzNetworkSecurityRuleConfig").count());
    let shell =
        written(lab.path(), &["routes", "--ase", "vnet.toml", "--to", "powershell", "--management", "addresses"]);
    assert!(shell.contains("'104.208.54.11/32'"), "{shell}");
    assert!(shell.contains("foreach ($prefix in $toInternet) {"), "{shell}");
}

/// What docs/scripts.md shows is what happens, in a folder with the worked set-up.
#[test]
fn every_console_block_of_the_manual_is_what_happens() {
    let lab = folder(&sick());
    fs::copy("docs/ase/vnet.toml", lab.path().join("worked.toml")).unwrap();
    let blocks = fences(&page("docs/scripts.md"), "console");
    let path = format!("{}:{}", Path::new(BINARY).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut commands = 0;
    for session in blocks.iter().flat_map(|block| block.strip_prefix("$ ").unwrap().split("\n$ ")) {
        let (line, shown) = session.split_once('\n').unwrap_or((session, ""));
        let mut shell: Command = undisturbed("sh");
        shell.current_dir(lab.path()).env("PATH", &path);
        let answer = finish(shell.args(["-c", &format!("exec 2>&1; {line}")]), "").out;
        assert_eq!(answer.trim(), shown.trim(), "{line}");
        commands += 1;
    }
    assert!(commands > 3, "{commands}");
}
