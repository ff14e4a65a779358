//! Everything that was asked and found, for programs; `docs/doctor.md` says what each member is.

use serde::Serialize;

use crate::doctor::{Examined, Outcome};

use super::catalogue::{Source, sources};
use super::report::{Examination, Item, Report, Told, Written};

#[derive(Serialize)]
pub(super) struct Whole<'a> {
    policy: &'a [String],
    environments: Vec<Environment<'a>>,
}

#[derive(Serialize)]
struct Environment<'a> {
    name: &'a str,
    version: u8,
    internal: bool,
    virtual_network: &'a str,
    subnet: &'a str,
    health: &'static str,
    /// What the platform would log, in Egret's words.
    messages: Vec<String>,
    rules: Vec<RuleLine<'a>>,
    findings: Vec<FindingLine<'a>>,
}

#[derive(Serialize)]
struct RuleLine<'a> {
    rule: &'static str,
    severity: &'static str,
    title: &'static str,
    outcome: &'static str,
    /// Why it says nothing of this environment.
    why_not: Option<&'a str>,
    findings: usize,
}

#[derive(Serialize)]
struct FindingLine<'a> {
    rule: &'static str,
    severity: &'static str,
    title: &'static str,
    subject: &'a str,
    what: &'a str,
    #[serde(flatten)]
    at: At<'a>,
    evidence: Vec<EvidenceLine<'a>>,
    mend: Mend<'a>,
    why: &'static str,
    sources: Vec<Source>,
}

#[derive(Serialize)]
struct EvidenceLine<'a> {
    coverage: Option<&'static str>,
    what: &'a str,
    #[serde(flatten)]
    at: At<'a>,
}

#[derive(Serialize, Default)]
struct At<'a> {
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    path: Option<&'a str>,
}

#[derive(Serialize)]
struct Mend<'a> {
    /// Commands of az; empty where none can do it.
    az_cli: &'a str,
    by_hand: Option<&'a str>,
}

pub(super) fn whole(report: &Report) -> Whole<'_> {
    Whole { policy: &report.policies, environments: report.environments.iter().map(environment).collect() }
}

fn environment(examination: &Examination) -> Environment<'_> {
    let Examination { environment, place: _, diagnosis, items } = examination;
    Environment {
        name: &environment.name,
        version: environment.version.number(),
        internal: environment.load_balancing.is_internal(),
        virtual_network: &environment.virtual_network,
        subnet: &environment.subnet,
        health: diagnosis.health().as_str(),
        messages: diagnosis.platform_messages(&environment.name),
        rules: diagnosis.examined.iter().map(rule).collect(),
        findings: items.iter().map(finding).collect(),
    }
}

fn rule(examined: &Examined) -> RuleLine<'_> {
    let Examined { rule, outcome } = examined;
    let why_not = match outcome {
        Outcome::NotApplicable(why) => Some(why.as_str()),
        Outcome::Passed | Outcome::Found(_) => None,
    };
    RuleLine {
        rule: rule.id,
        severity: rule.severity.as_str(),
        title: rule.title,
        outcome: outcome.as_str(),
        why_not,
        findings: outcome.findings().len(),
    }
}

fn finding(item: &Item) -> FindingLine<'_> {
    let Item { rule, severity, subject, what, at, evidence, changes: _, commands, by_hand } = item;
    FindingLine {
        rule: rule.id,
        severity: severity.as_str(),
        title: rule.title,
        subject,
        what,
        at: place(at.as_ref()),
        evidence: evidence.iter().map(told).collect(),
        mend: Mend { az_cli: commands, by_hand: by_hand.as_deref() },
        why: rule.why,
        sources: sources(rule),
    }
}

fn told(told: &Told) -> EvidenceLine<'_> {
    let Told { coverage, what, at } = told;
    EvidenceLine { coverage: coverage.map(|it| it.as_str()), what, at: place(at.as_ref()) }
}

fn place(written: Option<&Written>) -> At<'_> {
    let Some(Written { file, position, path }) = written else { return At::default() };
    let (line, column) = position.as_ref().map(|at| (at.line, at.column)).unzip();
    At { file: Some(file), line, column, path: path.as_deref() }
}
