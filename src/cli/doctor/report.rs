//! What was found of each environment, with where it stands.

use std::sync::Arc;

use crate::config::{Loaded, Position, SourceOrigin, Texts};
use crate::doctor::{self, Coverage, Diagnosis, Document, Evidence, Finding, Health, Outcome, Patient, Rule, Severity};
use crate::policy::{Policy, RuleSet, Spot, Switches};
use crate::vnet::{AppServiceEnvironment, Network, Place};

use crate::azure::export::network::{Site, az_cli};
use crate::cli::UsageError;
use crate::cli::around::named;

pub(in crate::cli) struct Report {
    pub(in crate::cli) network: Arc<Network>,
    pub(super) rules: Arc<RuleSet>,
    pub(super) switches: Switches,
    /// What the firewall goes by, for people.
    pub(super) policies: Vec<String>,
    pub(in crate::cli) environments: Vec<Examination>,
}

/// One environment.
pub(in crate::cli) struct Examination {
    pub(in crate::cli) environment: AppServiceEnvironment,
    pub(in crate::cli) place: Place,
    pub(in crate::cli) diagnosis: Diagnosis,
    /// The worst first.
    pub(super) items: Vec<Item>,
}

/// A finding, ready to be told.
pub(super) struct Item {
    pub(super) rule: &'static Rule,
    pub(super) severity: Severity,
    pub(super) subject: String,
    pub(super) what: String,
    pub(super) at: Option<Written>,
    pub(super) evidence: Vec<Told>,
    /// What mends it, as commands of az.
    pub(super) commands: String,
    pub(super) by_hand: Option<String>,
}

/// What a finding rests on, with where that is written.
pub(super) struct Told {
    pub(super) coverage: Option<Coverage>,
    pub(super) what: String,
    pub(super) at: Option<Written>,
}

/// A place in a file.
pub(super) struct Written {
    pub(super) file: String,
    pub(super) position: Option<Position>,
    /// JSON path or TOML key.
    pub(super) path: Option<String>,
}

impl Report {
    /// Of all environments, or of the one of this name.
    pub(in crate::cli) fn new(
        loaded: Loaded,
        name: Option<&str>,
        ignored: &[&'static Rule],
    ) -> Result<Report, UsageError> {
        let Loaded { config, texts, .. } = loaded;
        let switches = config.switches();
        let network = config.network.ok_or_else(no_topology)?;
        let policies = config.sources.iter().map(|source| shown(&source.name, &source.origin)).collect();
        let rules = Arc::new(config.rules);
        let policy = Policy::compile(Arc::clone(&rules), switches);
        let chosen = chosen(&network, name)?;
        let examine = |environment: &AppServiceEnvironment| {
            let patient = patient(&network, environment, &policy)?;
            let diagnosis = doctor::examine(&patient).without(ignored);
            let site = Site { topology: network.topology(), rules: &rules };
            let items = diagnosis.findings().into_iter().map(|finding| Item::new(finding, &texts, &site)).collect();
            Ok(Examination { environment: environment.clone(), place: patient.place, diagnosis, items })
        };
        let environments = chosen.into_iter().map(examine).collect::<Result<_, _>>()?;
        Ok(Report { network, rules, switches, policies, environments })
    }

    /// Of the worst.
    pub(super) fn worst(&self) -> Option<Severity> {
        self.environments.iter().flat_map(|it| &it.items).map(|item| item.severity).max()
    }
}

fn patient<'a>(
    network: &'a Network,
    environment: &'a AppServiceEnvironment,
    policy: &'a Policy,
) -> Result<Patient<'a>, UsageError> {
    let AppServiceEnvironment { name, virtual_network, subnet, .. } = environment;
    let place = network.place(virtual_network, subnet).ok_or_else(|| {
        UsageError(format!("the subnet {virtual_network}/{subnet} of the environment {name} is not in the topology"))
    })?;
    Ok(Patient { network, environment, place, policy: Some(policy) })
}

fn chosen<'n>(network: &'n Network, name: Option<&str>) -> Result<Vec<&'n AppServiceEnvironment>, UsageError> {
    let all = &network.topology().environments;
    if all.is_empty() {
        return Err(UsageError(
            "no App Service Environment is in the topology: there is nothing to examine".to_owned(),
        ));
    }
    match name {
        Some(name) => Ok(vec![named(all, name)?]),
        None => Ok(all.iter().collect()),
    }
}

fn no_topology() -> UsageError {
    UsageError("no topology: name a file, as in `egret doctor vnet.toml`".to_owned())
}

fn shown(name: &str, origin: &SourceOrigin) -> String {
    match origin {
        SourceOrigin::Default => format!("{name} (built in: nobody named another)"),
        SourceOrigin::Builtin | SourceOrigin::File(_) | SourceOrigin::CommandLine => name.to_owned(),
    }
}

impl Examination {
    pub(in crate::cli) fn health(&self) -> Health {
        self.diagnosis.health()
    }

    pub(super) fn count(&self, wanted: fn(&Outcome) -> bool) -> usize {
        self.diagnosis.examined.iter().filter(|it| wanted(&it.outcome)).count()
    }
}

impl Item {
    fn new(finding: &Finding, texts: &Texts, site: &Site<'_>) -> Item {
        let Finding { rule, severity, subject, what, at, evidence, mend, by_hand } = finding;
        Item {
            rule,
            severity: *severity,
            subject: subject.clone(),
            what: what.clone(),
            at: Written::of(texts, *at),
            evidence: evidence.iter().map(|it| Told::new(it, texts)).collect(),
            // A script has a blank line before each of its parts.
            commands: az_cli(mend, site).trim().to_owned(),
            by_hand: by_hand.clone(),
        }
    }

    /// What it rests on, in a line each, with no more than `most` of what is not covered.
    pub(super) fn rests_on(&self, most: usize) -> Vec<String> {
        let decisive = self.evidence.iter().filter(|it| it.coverage.is_none()).map(Told::line);
        let listed = [Coverage::Missing, Coverage::Partly].into_iter().filter_map(|coverage| {
            let of = self.evidence.iter().filter(|it| it.coverage == Some(coverage));
            let of: Vec<&str> = of.map(|it| it.what.as_str()).collect();
            let more = of.len().saturating_sub(most);
            let named = of.iter().take(most).copied().collect::<Vec<_>>().join(", ");
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            (!of.is_empty()).then(|| format!("{}: {named}{more}", coverage.as_str()))
        });
        decisive.chain(listed).collect()
    }

    /// The documents that say so, in a line each.
    pub(super) fn documents(&self) -> impl Iterator<Item = String> {
        self.rule.sources.iter().map(|Document { title, date, page: _ }| format!("{title} ({date})"))
    }
}

impl Told {
    fn new(evidence: &Evidence, texts: &Texts) -> Told {
        let Evidence { coverage, what, at } = evidence;
        Told { coverage: *coverage, what: what.clone(), at: Written::of(texts, *at) }
    }
}

impl Told {
    /// With where it is written.
    fn line(&self) -> String {
        match &self.at {
            Some(at) => format!("{} ({})", self.what, at.shown()),
            None => self.what.clone(),
        }
    }
}

impl Written {
    fn of(texts: &Texts, spot: Spot) -> Option<Written> {
        let said = texts.say(spot, &[], "", None)?;
        let path = said.position.as_ref().map(|at| at.key.clone()).filter(|key| !key.is_empty());
        Some(Written { file: said.origin, position: said.position, path })
    }

    /// `vnet.toml:40:1`
    pub(super) fn shown(&self) -> String {
        match &self.position {
            Some(at) => format!("{}:{}:{}", self.file, at.line, at.column),
            None => self.file.clone(),
        }
    }
}
