//! Every record that can be made, held against the columns of its table.

use std::collections::BTreeSet;

use serde_json::{Value, to_value};

use super::aggregates::Summed;
use super::category::Category;
use super::dns_logs::tests::{failed, queried};
use super::dns_logs::{dns_record, fqdn_failure_record};
use super::flow_logs::tests::{fat, traced};
use super::flow_logs::{fat_flow_record, flow_trace_record};
use super::logs::tests::{denied, http, network, rule, translated};
use super::logs::{DEFAULT_RESOURCE_ID, Decided, azure_record};
use super::tables;
use crate::policy::{RuleKind, RuleName};

const TIME: &str = "2023-09-06T14:33:46.8121070Z";
const ID: &str = DEFAULT_RESOURCE_ID;

fn decisions(rule: &RuleName) -> Vec<Decided<'_>> {
    vec![denied(), http(), network(), translated(rule)]
}

fn every_record() -> Vec<Value> {
    let rule = rule(RuleKind::Dnat);
    let decided = decisions(&rule);
    let sums: Vec<Summed> = decided.iter().map(Summed::of).collect();
    let flows = decided.iter().map(|decided| to_value(azure_record(decided, ID)).unwrap());
    let sums = sums.iter().map(|summed| to_value(summed.record(1, TIME, ID)).unwrap());
    let others = [
        to_value(dns_record(&queried(), ID)).unwrap(),
        to_value(fqdn_failure_record(&failed(&rule), ID)).unwrap(),
        to_value(flow_trace_record(traced(), TIME, ID)).unwrap(),
        to_value(fat_flow_record(fat(), TIME, ID)).unwrap(),
    ];
    flows.chain(sums).chain(others).collect()
}

#[test]
fn each_table_has_its_columns() {
    let records = every_record();
    records.iter().for_each(tables::assert_fits);
    let written: BTreeSet<&str> = records.iter().map(|record| record["category"].as_str().unwrap()).collect();
    let emulated = Category::WORDS.iter().filter(|(_, category)| category.is_emulated() && !category.is_legacy());
    let mut emulated: BTreeSet<&str> = emulated.map(|(name, _)| *name).collect();
    assert_eq!(tables::tables().into_keys().collect::<BTreeSet<&str>>(), emulated, "each has a list");
    // Held where it is written.
    emulated.remove(Category::ThreatIntel.name());
    assert_eq!(written, emulated, "each is held");
}
