//! Which resource is meant: by full id, or by name where an id says no more.

use std::collections::HashMap;

use super::notes::shown;
use crate::azure::json::Node;
use crate::azure::shape::Resource;

/// By what a resource is known, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident {
    /// None where only a template's own stand-in for the subscription is known.
    full: Option<String>,
    /// The resource group, where the id names one.
    group: Option<String>,
    /// `policy` or `policy/group`
    name: String,
}

/// The subscription of ids that a template makes without knowing where it is deployed.
pub(super) const NO_SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/";

impl Ident {
    pub(super) fn of(resource: &Resource) -> Ident {
        let id = resource.id_text().map(Ident::parse);
        let name = shown(&resource.name).to_ascii_lowercase();
        match id {
            Some(id) if name.is_empty() => id,
            Some(id) => Ident { name, ..id },
            None => Ident { full: None, group: None, name },
        }
    }

    /// Of an id, or of a name alone.
    pub(super) fn parse(text: &str) -> Ident {
        let text = text.trim().trim_end_matches('/').to_ascii_lowercase();
        let real = text.starts_with("/subscriptions/") && !text.starts_with(NO_SUBSCRIPTION);
        Ident { name: name_in(&text), group: group_in(&text), full: real.then_some(text) }
    }

    /// The same in Azure, or possibly so where one of both is not known in full.
    pub(super) fn is(&self, other: &Ident) -> bool {
        match (&self.full, &other.full) {
            (Some(own), Some(other)) => own == other,
            (None, None) if self.is_of_another_group(other) => false,
            _ => self.name == other.name,
        }
    }

    fn is_of_another_group(&self, other: &Ident) -> bool {
        self.group.as_ref().zip(other.group.as_ref()).is_some_and(|(own, other)| own != other)
    }

    /// Of two with one name: certainly not the same in Azure. Stricter than [`Ident::is`], which takes what may be.
    pub(super) fn is_apart(&self, other: &Ident) -> bool {
        match (&self.full, &other.full) {
            (Some(own), Some(other)) => own != other,
            _ => self.is_of_another_group(other),
        }
    }

    /// The one that it is in, or itself where it is in none.
    pub(super) fn root(self) -> Ident {
        match self.parent() {
            Some(parent) => parent.root(),
            None => self,
        }
    }

    /// In lower case: `policy`, `policy/group`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// For people: where it is, in words that tell it from another of its name.
    pub(super) fn place(&self, other: &Ident) -> String {
        match &self.group {
            Some(group) if self.is_of_another_group(other) => format!("the resource group `{group}`"),
            _ => self.full.as_ref().map_or_else(String::new, |full| format!("`{full}`")),
        }
    }

    /// What tells it from others of its name: `group/policy`.
    pub(super) fn in_group(&self, label: &str) -> Option<String> {
        Some(format!("{}/{label}", self.group.as_ref()?))
    }

    /// For people: its id where that is known.
    pub(super) fn shown(&self, label: &str) -> String {
        self.full.clone().or_else(|| self.in_group(label)).unwrap_or_else(|| label.to_owned())
    }

    /// The same in Azure, known by its whole id.
    pub(super) fn is_certainly(&self, other: &Ident) -> bool {
        self.full.is_some() && self.full == other.full
    }

    /// The resource that this one is a child of.
    pub(super) fn parent(&self) -> Option<Ident> {
        let (name, _) = self.name.rsplit_once('/')?;
        let full = self.full.as_deref().and_then(|full| full.rsplitn(3, '/').nth(2)).map(str::to_owned);
        Some(Ident { full, group: self.group.clone(), name: name.to_owned() })
    }
}

/// Where resources stand in a list of theirs, by what they are known by.
#[derive(Debug, Default)]
pub(super) struct Idents {
    by_full: HashMap<String, Vec<usize>>,
    by_name: HashMap<String, Vec<usize>>,
    /// Those of `by_name` that have no full id.
    vague: HashMap<String, Vec<usize>>,
}

impl Idents {
    pub(super) fn insert(&mut self, ident: &Ident, at: usize) {
        let Idents { by_full, by_name, vague } = self;
        let full = ident.full.as_ref();
        let (own, key) = full.map_or((vague, &ident.name), |full| (by_full, full));
        own.entry(key.clone()).or_default().push(at);
        by_name.entry(ident.name.clone()).or_default().push(at);
    }

    /// All that [`Ident::is`] holds of.
    pub(super) fn fitting(&self, ident: &Ident) -> impl Iterator<Item = usize> {
        let Idents { by_full, by_name, vague } = self;
        let (known, others) = match &ident.full {
            Some(full) => (by_full.get(full), vague.get(&ident.name)),
            None => (by_name.get(&ident.name), None),
        };
        known.into_iter().chain(others).flatten().copied()
    }
}

/// None also for what stands for a group that is not known: a template's own, and that of a plan.
fn group_in(id: &str) -> Option<String> {
    let (_, rest) = id.split_once("/resourcegroups/")?;
    let group = rest.split('/').next()?;
    (!["", "egret", "unknown"].contains(&group)).then(|| group.to_owned())
}

/// The names in an id, without their types: `policy/group`.
fn name_in(id: &str) -> String {
    match id.rsplit_once("/providers/") {
        // The namespace, then type and name by turns.
        Some((_, path)) => path.split('/').skip(2).step_by(2).collect::<Vec<_>>().join("/"),
        None => id.rsplit('/').next().unwrap_or(id).to_owned(),
    }
}

/// The last segment of an id, as it is written.
pub(super) fn leaf(id: &str) -> &str {
    id.trim_end_matches('/').rsplit('/').next().unwrap_or(id)
}

/// The id in `{"id": "…"}`, or where a text stands for it.
pub(super) fn reference(node: &Node) -> &Node {
    node.get("id").unwrap_or(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/";
    const ZERO: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg2/providers/";

    #[test]
    fn what_is_the_same() {
        let is = |a: &str, b: &str| Ident::parse(a).is(&Ident::parse(b));
        let (real, zero) =
            (format!("{REAL}Microsoft.Network/ipGroups/A"), format!("{ZERO}Microsoft.Network/ipGroups/a"));
        assert!(is(&real, &real.to_uppercase()));
        assert!(is(&real, &zero) && is(&zero, "a") && is("A", &real));
        assert!(!is(&real, &real.replace("1111-1111", "1111-2222")));
        assert!(!is(&zero, &format!("{ZERO}Microsoft.Network/ipGroups/b")));
        let other = zero.replace("rg2", "rg3");
        assert!(!is(&zero, &other) && is(&zero, &zero.replace("rg2", "egret")) && is(&other, &real));
    }

    #[test]
    fn the_index_holds_what_is_the_same() {
        let texts = [
            format!("{REAL}Microsoft.Network/ipGroups/A"),
            format!("{REAL}Microsoft.Network/ipGroups/b"),
            REAL.replace("1111-1111", "1111-2222") + "Microsoft.Network/ipGroups/a",
            format!("{ZERO}Microsoft.Network/ipGroups/a"),
            "B".to_owned(),
            "a".to_owned(),
        ];
        let all: Vec<Ident> = texts.iter().map(|text| Ident::parse(text)).collect();
        let mut index = Idents::default();
        all.iter().enumerate().for_each(|(at, ident)| index.insert(ident, at));
        for ident in &all {
            let mut found: Vec<usize> = index.fitting(ident).collect();
            found.sort_unstable();
            let expected: Vec<usize> = (0..all.len()).filter(|at| all[*at].is(ident)).collect();
            assert_eq!(found, expected, "{ident:?}");
        }
    }

    #[test]
    fn parents() {
        let group = Ident::parse(&format!("{REAL}Microsoft.Network/firewallPolicies/p/ruleCollectionGroups/g"));
        assert_eq!(group.name, "p/g");
        let policy = Ident::parse(&format!("{REAL}Microsoft.Network/firewallPolicies/p"));
        assert_eq!(group.parent(), Some(policy));
        assert_eq!(Ident::parse("p").parent(), None);
    }
}
