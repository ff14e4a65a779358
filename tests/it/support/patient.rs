//! The doctor's answer about the worked set-up of `docs/ase`, whole or with something changed in it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use egret::config::{Loaded, Overrides, load, to_toml, to_vnet_toml};
use egret::doctor::{Diagnosis, Finding, Patient, examine, mend};
use egret::policy::{Policy, RuleSet};
use egret::vnet::Topology;

/// The two files, with a tail for tables that are added.
#[derive(Clone)]
pub struct SetUp {
    pub network: String,
    pub policy: String,
}

/// As it is in `docs/ase`.
pub fn worked() -> SetUp {
    let read = |file: &str| fs::read_to_string(format!("docs/ase/{file}")).unwrap();
    SetUp { network: read("vnet.toml"), policy: read("policy.toml") }
}

impl SetUp {
    /// The network with one text in place of another, which has to be there.
    #[must_use]
    pub fn network(mut self, from: &str, to: &str) -> SetUp {
        self.network = replaced(&self.network, from, to);
        self
    }

    /// The policy, likewise.
    #[must_use]
    pub fn policy(mut self, from: &str, to: &str) -> SetUp {
        self.policy = replaced(&self.policy, from, to);
        self
    }

    /// Keys of the only network.
    #[must_use]
    pub fn vnet(self, keys: &str) -> SetUp {
        self.network(VNET, &format!("{VNET}{keys}\n"))
    }

    /// Keys of the environment.
    #[must_use]
    pub fn ase(self, keys: &str) -> SetUp {
        self.network(ASE, &format!("{ASE}{keys}\n"))
    }

    /// Routes before those that are there.
    #[must_use]
    pub fn routes(self, routes: &str) -> SetUp {
        self.network(ROUTES, &format!("{ROUTES}{routes}\n"))
    }

    /// Routes before those that are there, of a table with other keys before its routes.
    #[must_use]
    pub fn routes_after(self, routes: &str) -> SetUp {
        self.network("route = [\n    # Answers", &format!("route = [\n{routes}\n    # Answers"))
    }

    pub fn diagnosis(&self) -> Diagnosis {
        diagnose(&self.loaded())
    }

    fn loaded(&self) -> Loaded {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vnet.toml");
        fs::write(&path, &self.network).unwrap();
        fs::write(folder.path().join("policy.toml"), &self.policy).unwrap();
        loaded(&path)
    }

    /// The ids of what was found, each once, in the order of the alphabet.
    pub fn ids(&self) -> Vec<&'static str> {
        let diagnosis = self.diagnosis();
        let mut ids: Vec<&str> = diagnosis.findings().iter().map(|finding| finding.rule.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What was found with this id, once, and nothing else; what has a mend is mended by it.
    #[track_caller]
    pub fn only(&self, id: &str) -> Finding {
        let diagnosis = self.diagnosis();
        let found: Vec<_> = diagnosis.findings();
        let shown: Vec<_> = found.iter().map(|it| format!("{}: {}: {}", it.rule.id, it.subject, it.what)).collect();
        assert_eq!(shown.len(), 1, "{shown:#?}");
        assert_eq!(found[0].rule.id, id, "{shown:#?}");
        is_mended(&self.loaded(), found[0]);
        found[0].clone()
    }

    /// Nothing is found.
    #[track_caller]
    pub fn healthy(&self) {
        let diagnosis = self.diagnosis();
        let shown: Vec<_> = diagnosis.findings().iter().map(|it| format!("{}: {}", it.rule.id, it.what)).collect();
        assert!(shown.is_empty(), "{shown:#?}");
    }

    /// Why a rule says nothing of it.
    #[track_caller]
    pub fn not_applicable(&self, id: &str) -> String {
        let diagnosis = self.diagnosis();
        let examined = diagnosis.examined.iter().find(|it| it.rule.id == id).unwrap();
        let egret::doctor::Outcome::NotApplicable(why) = &examined.outcome else { panic!("{:?}", examined.outcome) };
        why.clone()
    }
}

const VNET: &str = "address_space = [\"192.168.0.0/16\"]\n";
const ASE: &str = "internal_address = \"192.168.251.132\"\n";
const ROUTES: &str = "name = \"ase-routes\"\nroute = [\n";

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "nothing to replace: {from}");
    text.replacen(from, to, 1)
}

fn loaded(path: &Path) -> Loaded {
    let overrides = Overrides { topology: vec![path.display().to_string()], ..Overrides::default() };
    load(&overrides, egret::config::DefaultFile::Ignored).unwrap_or_else(|errors| panic!("{errors}"))
}

/// With its changes made nothing is found that a change could mend, in memory as in the files that are written of it.
#[track_caller]
fn is_mended(before: &Loaded, finding: &Finding) {
    if finding.mend.is_empty() {
        return;
    }
    let network = before.config.network.as_ref().unwrap();
    let name = network.topology().environments[0].name.clone();
    let after = mend(network, &before.config.rules, before.config.switches(), &[name], &[]);
    let left = ids(&after.left[0].1);
    if finding.by_hand.is_none() {
        assert_eq!(left, Vec::<String>::new(), "{} is not mended by {:#?}", finding.rule.id, after.changes);
    }
    let folder = tempfile::tempdir().unwrap();
    let rules = RuleSet { service_endpoints: Vec::new(), ..after.rules };
    let policies = to_toml(&rules).files;
    policies.iter().for_each(|file| fs::write(folder.path().join(&file.name), &file.text).unwrap());
    let path = folder.path().join("vnet.toml");
    fs::write(&path, to_vnet_toml(&after.topology, &[policies.last().unwrap().name.clone()])).unwrap();
    let again = loaded(&path);
    let read = again.config.network.as_ref().unwrap().topology();
    assert_eq!(Topology { name: String::new(), ..read.clone() }, Topology { name: String::new(), ..after.topology });
    assert_eq!(ids(&diagnose(&again)), left);
}

fn ids(diagnosis: &Diagnosis) -> Vec<String> {
    diagnosis.findings().iter().map(|it| format!("{}: {}: {}", it.rule.id, it.subject, it.what)).collect()
}

fn diagnose(loaded: &Loaded) -> Diagnosis {
    let network = loaded.config.network.as_ref().unwrap();
    let environment = &network.topology().environments[0];
    let place = network.place(&environment.virtual_network, &environment.subnet).unwrap();
    let policy = Policy::compile(Arc::new(loaded.config.rules.clone()), loaded.config.switches());
    examine(&Patient { network, environment, place, policy: Some(&policy) })
}
