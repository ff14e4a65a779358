//! The script, run by bash with an `az` that writes down what it is told.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use super::model::Model;

/// Options that stand for one value; all others are lists.
const SINGLE: [&str; 4] = ["description", "translated-address", "translated-port", "translated-fqdn"];

pub(super) fn read(script: &str) -> Model {
    let mut model = Model::default();
    for call in calls(script) {
        let words: Vec<&str> = call.iter().map(String::as_str).collect();
        // What a policy holds beside its rules is asserted by its words.
        if !words.starts_with(&["network", "firewall", "policy", "intrusion-detection"]) {
            apply(&mut model, &words);
        }
    }
    model
}

/// The words of each command of `az` that the script runs.
pub(in crate::azure::export) fn calls(script: &str) -> Vec<Vec<String>> {
    calls_where(script, "")
}

/// The same where commands with a word fail.
pub(in crate::azure::export) fn calls_where(script: &str, failing: &str) -> Vec<Vec<String>> {
    // What a script throws away or reads goes by another descriptor than what is recorded.
    let stub = "exec 3>&1; az() { printf '%s\\0' \"$#\" \"$@\" >&3; for word; do [[ $word != \"$FAILING\" ]] || return 3; done; }
        export -f az; exec bash -s >/dev/null";
    let mut command = Command::new("bash");
    command.args(["-c", stub]).env("RESOURCE_GROUP", "lab rg").env("LOCATION", "westus2").env("FAILING", failing);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = command.spawn().unwrap();
    let mut input = shell.stdin.take().unwrap();
    // What the shell says may fill its pipe before all of the script is in.
    let text = script.to_owned();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let ran = shell.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(ran.status.success(), "{}\n{script}", String::from_utf8_lossy(&ran.stderr));
    let calls = String::from_utf8(ran.stdout).unwrap();
    let mut words = calls.split_terminator('\0').map(str::to_owned);
    let mut calls = Vec::new();
    while let Some(count) = words.next() {
        calls.push(words.by_ref().take(count.parse().unwrap()).collect());
    }
    calls
}

fn apply(model: &mut Model, call: &[&str]) {
    let verbs = call.iter().position(|word| word.starts_with("--")).unwrap();
    let verb = call[..verbs].join(" ");
    let options = options(&call[verbs..]);
    let one = |name: &str| options[name][0].clone();
    assert_eq!(one("resource-group"), "lab rg");
    match verb.strip_prefix("network ").unwrap() {
        "ip-group create" => {
            model.ip_groups.insert(one("name"), options.get("ip-addresses").cloned().unwrap_or_default());
        }
        "firewall policy create" => model.policies.push((one("name"), Vec::new())),
        rest => {
            let groups = &mut model.policies.iter_mut().find(|(name, _)| *name == one("policy-name")).unwrap().1;
            in_policy(groups, rest.strip_prefix("firewall policy rule-collection-group ").unwrap(), &options);
        }
    }
}

fn in_policy(groups: &mut Vec<Value>, verb: &str, options: &HashMap<String, Vec<String>>) {
    let one = |name: &str| options[name][0].clone();
    let number = |name: &str| one(name).parse::<i64>().unwrap();
    if verb == "create" {
        groups.push(json!({"name": one("name"), "priority": number("priority"), "ruleCollections": []}));
        return;
    }
    let group = groups.iter_mut().find(|group| group["name"] == one("rule-collection-group-name")).unwrap();
    let collections = group["ruleCollections"].as_array_mut().unwrap();
    let (name, kind) = match verb {
        "collection rule add" => (one("name"), one("rule-type")),
        "collection add-nat-collection" => (one("rule-name"), "NatRule".to_owned()),
        _ => (one("rule-name"), one("rule-type")),
    };
    let rule = rule(&name, &kind, options);
    match verb {
        "collection rule add" => {
            let collection = collections.iter_mut().find(|it| it["name"] == one("collection-name")).unwrap();
            collection["rules"].as_array_mut().unwrap().push(rule);
        }
        "collection add-nat-collection" | "collection add-filter-collection" => {
            let priority = number("collection-priority");
            let action = json!({"type": one("action")});
            collections.push(json!({"name": one("name"), "priority": priority, "action": action, "rules": [rule]}));
        }
        other => panic!("{other}"),
    }
}

fn options(words: &[&str]) -> HashMap<String, Vec<String>> {
    let mut options: HashMap<String, Vec<String>> = HashMap::new();
    let mut last = String::new();
    for word in words {
        match word.strip_prefix("--") {
            Some(flag) => {
                let (flag, value) = flag.split_once('=').map_or((flag, None), |(flag, value)| (flag, Some(value)));
                last = flag.to_owned();
                let before = options.insert(last.clone(), value.into_iter().map(str::to_owned).collect());
                assert_eq!(before, None, "--{flag} comes twice");
            }
            None => options.get_mut(&last).unwrap().push((*word).to_owned()),
        }
    }
    options
}

/// The options of a command.
pub(in crate::azure::export) fn options_of(call: &[String]) -> std::collections::BTreeMap<String, Vec<String>> {
    let words: Vec<&str> = call.iter().map(String::as_str).skip_while(|word| !word.starts_with("--")).collect();
    options(&words).into_iter().collect()
}

fn rule(name: &str, kind: &str, options: &HashMap<String, Vec<String>>) -> Value {
    let mut rule = Map::from_iter([("name".to_owned(), json!(name)), ("ruleType".to_owned(), json!(kind))]);
    for (flag, values) in options {
        let arm = match flag.as_str() {
            "ip-protocols" => "ipProtocols",
            "source-addresses" => "sourceAddresses",
            "source-ip-groups" => "sourceIpGroups",
            "destination-addresses" => "destinationAddresses",
            "destination-ip-groups" => "destinationIpGroups",
            "destination-fqdns" => "destinationFqdns",
            "destination-ports" => "destinationPorts",
            "translated-address" => "translatedAddress",
            "translated-port" => "translatedPort",
            "target-fqdns" => "targetFqdns",
            "target-urls" => "targetUrls",
            "fqdn-tags" => "fqdnTags",
            "protocols" => {
                rule.insert("protocols".to_owned(), values.iter().map(|pair| protocol(pair)).collect());
                continue;
            }
            _ => continue,
        };
        let value = if SINGLE.contains(&flag.as_str()) { json!(values[0]) } else { json!(values) };
        rule.insert(arm.to_owned(), value);
    }
    Value::Object(rule)
}

fn protocol(pair: &str) -> Value {
    let (name, port) = pair.split_once('=').unwrap();
    json!({"protocolType": name, "port": port.parse::<u16>().unwrap()})
}
