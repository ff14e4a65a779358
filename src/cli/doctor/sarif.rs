//! Findings for code scanning: a rule for each of the doctor's.

use serde_json::{Value, json};

use crate::cli::sarif::{self, Found, Level, Log, Related};
use crate::doctor::{self, Rule, Severity};

use super::live::{Attempt, Tried};
use super::report::{Examination, Item, Report, Told, Written};

/// What a dependency is that a running Egret did not reach.
const LIVE: &str = "LIVE";

pub(super) fn log(report: &Report, tried: &[Tried]) -> Log {
    let live = (!tried.is_empty()).then(live);
    let rules: Vec<sarif::Rule> = doctor::rules().map(rule).chain(live).collect();
    let found = report.environments.iter().flat_map(|it| &it.items).map(found);
    let attempts: Vec<(String, Attempt<'_>)> =
        tried.iter().flat_map(|it| it.not_reached().map(|attempt| (attempt.target(), attempt))).collect();
    let log = sarif::log(&rules, found.chain(attempts.iter().map(|(target, attempt)| not_reached(target, attempt))));
    log.with_properties(json!({"environments": report.environments.iter().map(verdict).collect::<Vec<_>>()}))
}

fn verdict(examination: &Examination) -> Value {
    let name = &examination.environment.name;
    json!({
        "name": name,
        "health": examination.health().as_str(),
        "messages": examination.diagnosis.platform_messages(name),
    })
}

/// What is not covered, as far as a message names it and as far as its properties do.
const NAMED: usize = 10;
const LISTED: usize = 1000;

fn live() -> sarif::Rule {
    sarif::Rule {
        id: LIVE,
        title: "a dependency is not reached",
        why: "A running Egret with the same topology tried each outbound dependency by DNS, TCP and TLS.",
        page: "https://learn.microsoft.com/azure/app-service/environment/firewall-integration",
        manual: "docs/ase-api.md#egret-doctor---live".to_owned(),
        level: Level::Error,
    }
}

fn not_reached<'a>(target: &'a str, attempt: &Attempt<'_>) -> Found<'a> {
    Found {
        rule: LIVE,
        level: Level::Error,
        text: format!("{}.", attempt.failure()),
        file: None,
        position: None,
        path: None,
        subject: target,
        related: Vec::new(),
        identity: "",
        properties: Value::Null,
    }
}

fn rule(rule: &Rule) -> sarif::Rule {
    let Rule { id, severity, title, why, sources, versions: _, cuts: _ } = *rule;
    let page = sources.first().map(|document| document.page).unwrap_or_default();
    let manual = format!("docs/doctor.md#{}", id.to_ascii_lowercase());
    sarif::Rule { id, title, why, page, manual, level: level(severity) }
}

fn level(severity: Severity) -> Level {
    match severity {
        Severity::Suspended | Severity::Unhealthy => Level::Error,
        Severity::Degraded | Severity::App => Level::Warning,
        Severity::Advice => Level::Note,
    }
}

fn found(item: &Item) -> Found<'_> {
    let Item { rule, severity, subject, what, at, evidence: told, commands, by_hand } = item;
    let mend = by_hand.iter().map(String::as_str).chain(Some(commands.as_str()).filter(|it| !it.is_empty()));
    let mend: String = mend.map(|mend| format!(" Mend: {mend}")).collect();
    let evidence: String = item.rests_on(NAMED).iter().map(|line| format!(" {line}.")).collect();
    let documents: Vec<String> = item.documents().collect();
    Found {
        rule: rule.id,
        level: level(*severity),
        text: format!("{what}.{evidence}{mend}"),
        file: at.as_ref().map(|at| at.file.as_str()),
        position: at.as_ref().and_then(|at| at.position.as_ref()),
        path: at.as_ref().and_then(|at| at.path.as_deref()),
        subject,
        related: told.iter().filter_map(related).collect(),
        identity: "",
        properties: json!({"evidence": item.rests_on(LISTED), "documents": documents}),
    }
}

fn related(told: &Told) -> Option<Related<'_>> {
    let Written { file, position, path: _ } = told.at.as_ref()?;
    let at = position.as_ref()?;
    Some(Related { file, line: at.line, column: at.column, what: &told.what })
}
