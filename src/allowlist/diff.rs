//! What changed from one list or edition to another.

use std::collections::{BTreeMap, BTreeSet};

use super::find::{UnknownList, find};
use super::list::{Kind, List};

/// The difference between the lists of one kind. Entries are compared without regard to letter case: the
/// documents changed `gr-Prod-` to `gr-prod-` and meant the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListDiff {
    pub kind: Kind,
    /// The lists compared. None where the side has no list of the kind: then all is added, or all removed.
    pub from: Vec<&'static str>,
    pub to: Vec<&'static str>,
    /// Sorted.
    pub added: Vec<&'static str>,
    pub removed: Vec<&'static str>,
    pub kept: usize,
}

/// Compares what two names of [`find`] stand for: one list with one list, or editions kind by kind.
pub fn diff(from: &str, to: &str) -> Result<Vec<ListDiff>, UnknownList> {
    let (from, to) = (find(from)?, find(to)?);
    if let ([one], [other]) = (&from[..], &to[..]) {
        return Ok(vec![diff_lists(one.kind, &[one], &[other])]);
    }
    let kinds: BTreeSet<Kind> = from.iter().chain(&to).map(|list| list.kind).collect();
    let of = |lists: &[&'static List], kind| -> Vec<&'static List> {
        lists.iter().copied().filter(|list| list.kind == kind).collect()
    };
    Ok(kinds.into_iter().map(|kind| diff_lists(kind, &of(&from, kind), &of(&to, kind))).collect())
}

fn diff_lists(kind: Kind, from: &[&'static List], to: &[&'static List]) -> ListDiff {
    let (old, new) = (entries(from), entries(to));
    let without = |these: &BTreeMap<String, &'static str>, those: &BTreeMap<String, &'static str>| {
        let gone = these.iter().filter(|(key, _)| !those.contains_key(*key));
        gone.map(|(_, entry)| *entry).collect::<Vec<_>>()
    };
    let removed = without(&old, &new);
    ListDiff {
        kind,
        from: from.iter().map(|list| list.name).collect(),
        to: to.iter().map(|list| list.name).collect(),
        added: without(&new, &old),
        kept: old.len() - removed.len(),
        removed,
    }
}

fn entries(lists: &[&'static List]) -> BTreeMap<String, &'static str> {
    lists.iter().flat_map(|list| &list.entries).map(|entry| (entry.to_ascii_lowercase(), *entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_kind(from: &str, to: &str, kind: Kind) -> ListDiff {
        diff(from, to).unwrap().into_iter().find(|diff| diff.kind == kind).unwrap()
    }

    #[test]
    fn editions() {
        let fqdn = of_kind("ase", "ase@2023-11-20", Kind::Fqdn);
        assert_eq!(fqdn.removed, ["graph.windows.net:443"]);
        assert_eq!((fqdn.added.len(), fqdn.kept), (38, 50));
        assert!(fqdn.added.contains(&"graph.microsoft.com:443"));
        let wildcard = of_kind("ase", "ase@2023-11-20", Kind::Wildcard);
        assert_eq!((wildcard.removed.len(), wildcard.added.len(), wildcard.kept), (6, 7, 4));
        let ip = of_kind("ase", "ase@2023-11-20", Kind::Ip);
        assert_eq!(ip.removed, ["13.68.109.212:443", "13.91.102.27:443", "168.62.226.198:12000"]);
        let linux = of_kind("ase", "ase@2023-11-20", Kind::Linux);
        assert_eq!((linux.removed.len(), linux.added.len(), linux.kept), (0, 18, 9));
        let endpoints = of_kind("ase", "ase@2023-11-20", Kind::ServiceEndpoints);
        assert!(endpoints.removed[0].starts_with("Microsoft.KeyVault "));
        assert!(endpoints.added[0].starts_with("Microsoft.EventHub "));
        assert_eq!(endpoints.kept, 2);
        let outbound = of_kind("ase", "ase@2023-11-20", Kind::Outbound);
        assert_eq!((outbound.to.len(), outbound.removed.len()), (0, 8));
    }

    #[test]
    fn management_addresses() {
        let changes = diff("management/public@2019-04-03", "management/public@2022-10-24").unwrap();
        let [change] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!(
            change.removed,
            [
                "13.64.115.203",
                "157.55.176.93",
                "23.102.135.246",
                "40.124.47.188",
                "65.52.14.230",
                "65.52.193.203",
                "70.37.89.222"
            ]
        );
        assert_eq!((change.added.len(), change.kept), (39, 33));
    }

    #[test]
    fn lists_of_two_kinds() {
        let changes = diff("AppServiceEnvironment", "ase@2023-11-20/fqdn").unwrap();
        assert_eq!((changes.len(), changes[0].removed.len(), changes[0].kept), (1, 38, 88));
        assert!(diff("ase", "nonsense").is_err());
        let same = diff("ase", "ase").unwrap();
        assert!(same.iter().all(|diff| diff.added.is_empty() && diff.removed.is_empty()));
    }
}
