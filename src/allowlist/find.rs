//! Lists by the names that people type.

use std::collections::BTreeSet;

use super::list::{Kind, List, lists};

/// What an edition is called without its date. `ase` is the edition of 2018 and not the newest: what is allowed
/// by default does not change under anybody.
const EDITIONS: &[(&str, &str)] = &[("ase", "ase@2018-09-24"), ("ase-usgov", "ase-usgov@2023-11-20")];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no list is called `{name}`{hint}", hint = hint(.near))]
pub struct UnknownList {
    pub name: String,
    /// Names that the text may have meant, the likeliest first.
    pub near: Vec<&'static str>,
}

fn hint(near: &[&str]) -> String {
    if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) }
}

/// The lists of a name, in any letter case, never none: one list (`ase@2018-09-24/fqdn`), an edition (`ase`,
/// `ase@2023-11-20`), a folder (`management`), or the newest of a kind (`management/public`, `Storage`).
pub fn find(name: &str) -> Result<Vec<&'static List>, UnknownList> {
    let wanted = expand(name.trim());
    let all = |test: &dyn Fn(&List) -> bool| lists().iter().filter(|list| test(list)).collect::<Vec<_>>();
    let exact = all(&|list| list.name.eq_ignore_ascii_case(&wanted));
    if !exact.is_empty() {
        return Ok(exact);
    }
    let folder = all(&|list| list.folder().eq_ignore_ascii_case(&wanted));
    if !folder.is_empty() {
        return Ok(folder);
    }
    let named = [Kind::ServiceTag, Kind::FqdnTag, Kind::WebCategory, Kind::Management].into_iter();
    let newest = named.filter_map(|kind| newest_called(&wanted, kind)).next();
    newest.map(|list| vec![list]).ok_or_else(|| UnknownList { name: name.to_owned(), near: near(&wanted) })
}

/// `ase` and `ase/fqdn` become `ase@2018-09-24` and `ase@2018-09-24/fqdn`.
fn expand(name: &str) -> String {
    let (edition, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    match EDITIONS.iter().find(|(short, _)| short.eq_ignore_ascii_case(edition)) {
        Some((_, full)) => format!("{full}{rest}"),
        None => name.to_owned(),
    }
}

/// The newest list of a kind that goes by a name: with or without folder, with or without version.
/// Management lists want their folder: `public` alone says nothing.
pub(super) fn newest_called(name: &str, kind: Kind) -> Option<&'static List> {
    let called = |list: &&List| match name.rsplit_once('/') {
        Some((folder, file)) => list.folder().eq_ignore_ascii_case(folder) && is_file(list, file),
        None => kind != Kind::Management && is_file(list, name),
    };
    lists().iter().filter(|list| list.kind == kind).filter(called).max_by_key(|list| list.date)
}

fn is_file(list: &List, name: &str) -> bool {
    list.file().eq_ignore_ascii_case(name) || list.stem().eq_ignore_ascii_case(name)
}

const NEAR: usize = 3;

/// At most three names, those with the fewest letters to change; a name that holds the text comes first.
fn near(wanted: &str) -> Vec<&'static str> {
    let wanted = wanted.to_ascii_lowercase();
    let distance = |name: &&'static str| {
        let name = name.to_ascii_lowercase();
        if wanted.len() > 2 && name.contains(&wanted) { 0 } else { edits(&wanted, &name) }
    };
    let mut near: Vec<_> = names().into_iter().map(|name| (distance(&name), name)).collect();
    near.retain(|(distance, _)| *distance <= wanted.len() / 3);
    near.sort();
    near.into_iter().take(NEAR).map(|(_, name)| name).collect()
}

fn names() -> BTreeSet<&'static str> {
    let short = EDITIONS.iter().map(|(short, _)| *short);
    let is_tag = |list: &&List| matches!(list.kind, Kind::ServiceTag | Kind::FqdnTag | Kind::WebCategory);
    let tags = lists().iter().filter(is_tag).map(List::stem);
    lists().iter().flat_map(|list| [list.name, list.folder()]).chain(short).chain(tags).collect()
}

/// Letters to insert, remove or change to make one text the other (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let changed = corner + usize::from(a != b);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &[&str]) {
        let found: Vec<&str> = find(name).unwrap().iter().map(|list| list.name).collect();
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn names_that_people_type() {
        check("ase@2018-09-24/fqdn", &["ase@2018-09-24/fqdn"]);
        check("ASE/FQDN", &["ase@2018-09-24/fqdn"]);
        check("ase-usgov/intended", &["ase-usgov@2023-11-20/intended"]);
        check("storage", &["service-tags/Storage@360"]);
        check("AppServiceManagement", &["service-tags/AppServiceManagement@360"]);
        check("appservicemanagement@305", &["service-tags/AppServiceManagement@305"]);
        check("service-tags/Sql", &["service-tags/Sql@360"]);
        check("windowsupdate", &["fqdn-tags/WindowsUpdate"]);
        check("socialnetworking", &["web-categories/SocialNetworking"]);
        check("management/public", &["management/public@2022-10-24"]);
        check("management/usgov", &["management/usgov@2022-10-24"]);
        assert_eq!(find("ase").unwrap(), find("ase@2018-09-24").unwrap());
        assert_eq!(find("ase").unwrap().len(), 8);
        assert_eq!(find("ase-usgov").unwrap().len(), 5);
        assert_eq!(find("management").unwrap().len(), 11);
    }

    #[test]
    fn unknown_names() {
        let error = |name: &str| find(name).unwrap_err().to_string();
        assert_eq!(error("Storrage"), "no list is called `Storrage`; near it: Storage");
        assert_eq!(
            error("wildcard"),
            "no list is called `wildcard`; near it: ase-usgov@2023-11-20/wildcard, ase@2018-09-24/wildcard, \
             ase@2023-11-20/wildcard"
        );
        assert!(error("ase@2018-09-42").contains("ase@2018-09-24"));
        assert_eq!(error("public").split(';').next(), Some("no list is called `public`"));
        assert_eq!(error("qqqqqq"), "no list is called `qqqqqq`");
        assert_eq!(error(""), "no list is called ``");
    }
}
