//! Which of the policies that were found take part, and in which order: parents before their children.

use super::policies::{Base, FoundKind, FoundPolicy};
use super::{Read, ident::Ident};

/// One set of resources that was asked for, and which of its policies.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    pub set: usize,
    pub name: Option<&'w str>,
}

/// Why it cannot be told which policies take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is none of that name; these there are.
    NoSuchPolicy { names: Vec<String> },
    /// Unrelated to each other.
    Several { names: Vec<String> },
    /// There are several of that name, by what tells them apart.
    SameName { ids: Vec<String>, names: Vec<String> },
    /// A base policy leads back to its child.
    Cycle { name: String },
}

impl Read {
    /// The policies that are meant, by their numbers in `policies`, parents first. None where the set holds none: it
    /// may be there for its IP groups.
    ///
    /// # Errors
    /// Where it is not said which of several, or where there is none of that name.
    pub fn lineage(&self, wanted: Wanted<'_>) -> Result<Vec<usize>, Refusal> {
        let Some(child) = self.chosen(wanted)? else {
            return Ok(Vec::new());
        };
        let mut line = vec![child];
        let mut at = child;
        while let Some(parent) = self.parent(at) {
            if line.contains(&parent) {
                return Err(Refusal::Cycle { name: self.policies[child].label.clone() });
            }
            line.insert(0, parent);
            at = parent;
        }
        Ok(line)
    }

    fn parent(&self, child: usize) -> Option<usize> {
        self.by_ident(&self.policies[child].base.as_ref()?.ident)
    }

    fn by_ident(&self, ident: &Ident) -> Option<usize> {
        self.policies.iter().position(|found| found.kind == FoundKind::Policy && found.ident.is(ident))
    }

    fn chosen(&self, wanted: Wanted<'_>) -> Result<Option<usize>, Refusal> {
        let here = self.candidates(wanted.set);
        if let Some(name) = wanted.name {
            return self.of_name(&here, name).map(Some);
        }
        let is_parent = |at: &usize| here.iter().any(|child| child != at && self.parent(*child) == Some(*at));
        let leaves: Vec<usize> = here.iter().copied().filter(|at| !is_parent(at)).collect();
        let attached: Vec<usize> = leaves.iter().copied().filter(|at| self.is_attached(wanted.set, *at)).collect();
        match (leaves.as_slice(), attached.as_slice()) {
            ([], _) => Ok(here.first().copied()),
            ([one], _) | (_, [one]) => Ok(Some(*one)),
            _ => Err(Refusal::Several { names: self.labels(&leaves) }),
        }
    }

    /// By its name, or by `group/name`.
    fn of_name(&self, here: &[usize], name: &str) -> Result<usize, Refusal> {
        let is_meant = |at: &usize| {
            let FoundPolicy { label, ident, .. } = &self.policies[*at];
            label.eq_ignore_ascii_case(name) || ident.in_group(label).is_some_and(|it| it.eq_ignore_ascii_case(name))
        };
        let found: Vec<usize> = here.iter().copied().filter(is_meant).collect();
        match found.as_slice() {
            [] => Err(Refusal::NoSuchPolicy { names: self.labels(here) }),
            [one] => Ok(*one),
            several => {
                let shown = |at: &usize| self.policies[*at].ident.shown(&self.policies[*at].label);
                Err(Refusal::SameName { ids: several.iter().map(shown).collect(), names: self.labels(several) })
            }
        }
    }

    /// A firewall without a rule is no candidate where there is another.
    fn candidates(&self, set: usize) -> Vec<usize> {
        let here: Vec<usize> = (0..self.policies.len()).filter(|at| self.policies[*at].set == set).collect();
        let empty = |at: &usize| {
            let FoundPolicy { rules, kind, .. } = &self.policies[*at];
            *kind == FoundKind::Classic && rules.groups.is_empty()
        };
        if here.iter().all(empty) { here } else { here.into_iter().filter(|at| !empty(at)).collect() }
    }

    /// Whether a firewall of this set has its rules from there.
    fn is_attached(&self, set: usize, at: usize) -> bool {
        let ident = &self.policies[at].ident;
        self.attachments.iter().any(|firewall| firewall.set == set && firewall.policy.is(ident))
    }

    /// What picks each of them.
    fn labels(&self, at: &[usize]) -> Vec<String> {
        let label = |at: &usize| &self.policies[*at].label;
        let told = |at: &usize| {
            let shared = self.policies.iter().filter(|other| other.label.eq_ignore_ascii_case(label(at))).count() > 1;
            let in_group = shared.then(|| self.policies[*at].ident.in_group(label(at))).flatten();
            in_group.unwrap_or_else(|| label(at).clone())
        };
        at.iter().map(told).collect()
    }

    /// The base policies that are not at hand, each with the policy that names it.
    pub fn missing_bases(&self) -> impl Iterator<Item = (&FoundPolicy, &Base)> {
        let named = self.policies.iter().filter_map(|policy| Some((policy, policy.base.as_ref()?)));
        named.filter(|(_, base)| self.by_ident(&base.ident).is_none())
    }
}
