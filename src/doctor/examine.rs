//! Every rule asked of one environment.

use super::doubt::Doubt;
use super::filter::apart;
use super::finding::{Check, Finding, Outcome, Rule};
use super::subnet::Crowded;
use super::ways::within_limits;
use super::{Health, Patient, dns, firewall, inbound, lifecycle, outbound, routes, subnet};

/// What was asked, rule by rule, and what came of it.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// All rules there are, in the order of `docs/doctor.md`.
    pub examined: Vec<Examined>,
    /// Where few addresses are left, whatever rules say of it.
    pub(super) crowded: Option<Crowded>,
}

#[derive(Debug, Clone)]
pub struct Examined {
    pub rule: &'static Rule,
    pub outcome: Outcome,
}

impl Diagnosis {
    pub fn health(&self) -> Health {
        match lifecycle::is_suspended(self) {
            true => Health::Suspended,
            false => Health::of(self.findings()),
        }
    }

    /// The worst first; of one severity in the order of the rules.
    pub fn findings(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> = self.examined.iter().flat_map(|it| it.outcome.findings()).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }

    /// The same without what these rules found.
    #[must_use]
    pub fn without(self, ignored: &[&'static Rule]) -> Diagnosis {
        let examined = self.examined.into_iter().filter(|it| !ignored.contains(&it.rule)).collect();
        Diagnosis { examined, ..self }
    }
}

/// Asks every rule that is about environments of this kind.
pub fn examine(patient: &Patient<'_>) -> Diagnosis {
    let mut diagnosis = ask(patient, checks());
    for finding in diagnosis.examined.iter_mut().flat_map(|it| it.outcome.findings_mut()) {
        within_limits(patient, finding);
    }
    apart(patient, diagnosis.examined.iter_mut().flat_map(|it| it.outcome.findings_mut()));
    diagnosis
}

fn outcome(check: &Check, patient: &Patient<'_>, doubt: Option<&Doubt>) -> Outcome {
    let version = patient.environment.version;
    if !check.rule.versions.contains(&version) {
        return Outcome::not_applicable(format!("an environment of version {}", version.number()));
    }
    let asked = (check.look)(patient);
    match doubt {
        Some(doubt) => doubt.judge(patient, asked, check.look),
        None => asked,
    }
}

fn checks() -> impl Iterator<Item = &'static Check> {
    let tables =
        [inbound::RULES, outbound::RULES, routes::RULES, firewall::RULES, dns::RULES, subnet::RULES, lifecycle::RULES];
    tables.into_iter().flatten()
}

/// Rules about how something is made, not about what gets through.
const OF_FORM: [&str; 3] = ["FW-SUBNET", "RT-NVA-SUBNET", "RT-LIMITS"];

/// Asks those about what is denied or lost, on its way in or out, for who wants no mends.
pub(crate) fn examine_reach(patient: &Patient<'_>) -> Diagnosis {
    let tables = [inbound::RULES, outbound::RULES, routes::RULES, firewall::RULES, dns::RULES].into_iter().flatten();
    ask(patient, tables.filter(|check| !OF_FORM.contains(&check.rule.id)))
}

fn ask(patient: &Patient<'_>, checks: impl Iterator<Item = &'static Check>) -> Diagnosis {
    let doubt = Doubt::of(patient);
    let look = |check: &Check| Examined { rule: check.rule, outcome: outcome(check, patient, doubt.as_ref()) };
    Diagnosis { examined: checks.map(look).collect(), crowded: subnet::crowded(patient) }
}

/// Every rule there is.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    checks().map(|check| check.rule)
}

/// A rule by its id, in any letter case.
pub fn rule(id: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_form_are_rules() {
        assert!(OF_FORM.iter().all(|id| rule(id).is_some()));
    }
}
