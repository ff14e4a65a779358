//! Mends found wrong things one after the other, in memory, until nothing that is found has a mend left.
//!
//! Each finding is mended in the network that the mends before it made: what one of them has cured needs no other, and
//! the priorities that a mend finds free are free indeed.

use std::sync::Arc;

use crate::policy::{Policy, RuleSet, Switches};
use crate::vnet::{Change, Network, Topology};

use super::{Diagnosis, Finding, Health, Patient, Rule, examine};

/// More rounds than there are rules would be a circle; some have a finding for each of several subjects.
const MOST_ROUNDS: usize = 500;

/// A network with the changes that were made to it.
#[derive(Debug)]
pub struct Mended {
    pub topology: Topology,
    pub rules: RuleSet,
    /// In the order in which they were made.
    pub changes: Vec<Change>,
    /// How many findings had changes for their mend.
    pub findings: usize,
    /// How each environment fares afterwards, by its name.
    pub left: Vec<(String, Diagnosis)>,
}

impl Mended {
    /// Of the worst environment.
    pub fn health(&self) -> Health {
        self.left.iter().map(|(_, diagnosis)| diagnosis.health()).max().unwrap_or(Health::Healthy)
    }
}

/// Mends all that has a mend, but for what is found by rules that are `ignored`. `environments` are names.
pub fn mend(
    network: &Network,
    rules: &RuleSet,
    switches: Switches,
    environments: &[String],
    ignored: &[&'static Rule],
) -> Mended {
    let (mut topology, mut rules) = (network.topology().clone(), rules.clone());
    let (mut changes, mut tried) = (Vec::new(), Vec::new());
    for _ in 0..MOST_ROUNDS {
        let left = diagnose(&topology, &rules, network, switches, environments, ignored);
        let findings = left.iter().flat_map(|(_, diagnosis)| diagnosis.findings());
        // A finding that comes again as it was is not helped by what was to mend it.
        let next = findings.filter(|it| !it.mend.is_empty()).find(|it| !tried.contains(&key(it))).cloned();
        let Some(finding) = next else {
            let left = left.into_iter().map(explained).collect();
            return Mended { topology, rules, changes, findings: tried.len(), left };
        };
        Change::apply_all(&finding.mend, &mut topology, &mut rules);
        tried.push(key(&finding));
        changes.extend(finding.mend);
    }
    let left = diagnose(&topology, &rules, network, switches, environments, ignored);
    let left = left.into_iter().map(explained).collect();
    Mended { topology, rules, changes, findings: tried.len(), left }
}

/// What was made and did not help is by hand.
fn explained((name, mut diagnosis): (String, Diagnosis)) -> (String, Diagnosis) {
    let findings = diagnosis.examined.iter_mut().flat_map(|it| it.outcome.findings_mut());
    for finding in findings.filter(|it| it.by_hand.is_none()) {
        finding.by_hand = Some("what was changed for it does not suffice: look for what comes before that".to_owned());
    }
    (name, diagnosis)
}

fn key(finding: &Finding) -> (&'static str, String, String) {
    (finding.rule.id, finding.subject.clone(), finding.what.clone())
}

fn diagnose(
    topology: &Topology,
    rules: &RuleSet,
    like: &Network,
    switches: Switches,
    environments: &[String],
    ignored: &[&'static Rule],
) -> Vec<(String, Diagnosis)> {
    let network = Network::new(topology.clone(), like.tags().clone());
    let policy = Policy::compile(Arc::new(rules.clone()), switches);
    let wanted =
        topology.environments.iter().filter(|it| environments.iter().any(|name| name.eq_ignore_ascii_case(&it.name)));
    let diagnosis = |environment| {
        let environment: &crate::vnet::AppServiceEnvironment = environment;
        let place = network.place(&environment.virtual_network, &environment.subnet)?;
        let patient = Patient { network: &network, environment, place, policy: Some(&policy) };
        Some((environment.name.clone(), examine(&patient).without(ignored)))
    };
    wanted.filter_map(diagnosis).collect()
}
