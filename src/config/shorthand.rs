//! The rules that `allow`, `deny` and their flags stand for.

use crate::policy::{Action, ApplicationRule, NetworkRule, Priority, RuleCollection, RuleCollectionGroup, Rules, Spot};

use super::error::{Findings, Placed};
use super::target::TargetRule;

/// Targets, by what becomes of them.
#[derive(Debug, Default)]
pub(super) struct Shorthand {
    allow: Targets,
    deny: Targets,
}

#[derive(Debug, Default)]
struct Targets {
    network: Vec<NetworkRule>,
    application: Vec<ApplicationRule>,
}

impl Shorthand {
    pub(super) fn read(allow: &[Placed<String>], deny: &[Placed<String>], findings: &mut Findings) -> Shorthand {
        Shorthand { allow: Targets::read(allow, findings), deny: Targets::read(deny, findings) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.allow.len() + self.deny.len()
    }

    /// Puts what a file says behind what the command line said.
    pub(super) fn append(&mut self, other: Shorthand) {
        self.allow.append(other.allow);
        self.deny.append(other.deny);
    }

    /// One group; what is denied comes before what is allowed.
    pub(super) fn into_group(self) -> RuleCollectionGroup {
        let Shorthand { allow, deny } = self;
        let mut collections = Vec::new();
        for (targets, action, name, number) in [(deny, Action::Deny, "deny", 100), (allow, Action::Allow, "allow", 200)]
        {
            let Targets { network, application } = targets;
            if !network.is_empty() {
                collections.push(collection(&format!("{name}-network"), number, Rules::Network(action, network)));
            }
            if !application.is_empty() {
                collections.push(collection(name, number, Rules::Application(action, application)));
            }
        }
        RuleCollectionGroup { name: "shorthand".to_owned(), priority: priority(100), collections, at: Spot::nowhere() }
    }
}

fn collection(name: &str, number: i64, rules: Rules) -> RuleCollection {
    RuleCollection { name: name.to_owned(), priority: priority(number), rules, at: Spot::nowhere() }
}

fn priority(number: i64) -> Priority {
    Priority::try_from(number).expect("100 and 200 are in range")
}

impl Targets {
    fn read(texts: &[Placed<String>], findings: &mut Findings) -> Targets {
        let mut targets = Targets::default();
        for text in texts {
            match text.read(findings, |text| TargetRule::parse(text)) {
                Some(TargetRule::Application(rule)) => targets.application.push(rule),
                Some(TargetRule::Network(rule)) => targets.network.push(rule),
                None => {}
            }
        }
        targets
    }

    fn len(&self) -> usize {
        self.network.len() + self.application.len()
    }

    fn append(&mut self, other: Targets) {
        self.network.extend(other.network);
        self.application.extend(other.application);
    }
}
