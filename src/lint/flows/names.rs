//! One name for each way in which patterns can match a name.
//!
//! A name is matched by the exact patterns that are it, and by the suffixes that end it: of those, the longest says
//! which the others are. So each exact name, and for each suffix one name that no longer suffix ends, stand for all
//! names. Globs meet both as they like; [`globs`](super::globs) finds names for that.

use std::collections::{BTreeSet, HashSet};

use crate::flow::HostName;
use crate::policy::FqdnPattern;

use super::globs::{self, Glob};

/// A name, and which names it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NameCell {
    pub(super) name: HostName,
    pub(super) shape: NameShape,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NameShape {
    /// Only itself.
    Exact,
    /// Names that end so, and in nothing longer that a pattern names. Empty: names that no suffix ends.
    Ending(Box<str>),
    /// Names that these patterns match, and no others.
    Matching(Vec<Box<str>>),
}

/// The names that stand for all.
pub(super) struct NameCells {
    pub(super) cells: Vec<NameCell>,
    /// Globs meet in more ways than were looked at.
    pub(super) globs_are_sampled: bool,
}

/// What patterns say, sorted out.
#[derive(Default)]
struct Sorted {
    exact: BTreeSet<HostName>,
    suffixes: BTreeSet<Box<str>>,
    globs: BTreeSet<Box<str>>,
}

pub(super) fn name_cells<'p>(patterns: impl Iterator<Item = &'p FqdnPattern>) -> NameCells {
    let mut sorted = Sorted::default();
    patterns.for_each(|pattern| sorted.add(pattern));
    let Sorted { exact, suffixes, globs } = sorted;
    let globs: Vec<Glob> = globs.iter().map(|glob| Glob::new(glob)).collect();
    let taken = Taken { exact: &exact, suffixes: suffixes.iter().map(|suffix| &**suffix).collect(), globs: &globs };
    let endings = std::iter::once("").chain(suffixes.iter().map(|suffix| &**suffix));
    let ending = endings.filter_map(|suffix| {
        let name = taken.fresh(suffix)?;
        Some(NameCell { name, shape: NameShape::Ending(suffix.into()) })
    });
    let itself = exact.iter().map(|name| NameCell { name: name.clone(), shape: NameShape::Exact });
    let meetings = globs::meetings(&globs, &suffixes, &exact);
    let matching = meetings.found.into_iter().map(|(name, patterns)| {
        let shape = NameShape::Matching(patterns);
        NameCell { name, shape }
    });
    let cells = itself.chain(ending).chain(matching).collect();
    NameCells { cells, globs_are_sampled: !meetings.is_complete }
}

impl Sorted {
    fn add(&mut self, pattern: &FqdnPattern) {
        match pattern {
            FqdnPattern::Any => {}
            FqdnPattern::Exact(name) => drop(self.exact.insert(name.clone())),
            FqdnPattern::Subdomains(parent) => drop(self.suffixes.insert(format!(".{parent}").into())),
            FqdnPattern::Suffix(tail) => drop(self.suffixes.insert(tail.clone())),
            FqdnPattern::Glob(glob) => drop(self.globs.insert(glob.clone())),
        }
    }
}

/// What names may not be, to stand for a suffix.
struct Taken<'a> {
    exact: &'a BTreeSet<HostName>,
    suffixes: HashSet<&'a str>,
    globs: &'a [Glob],
}

/// Labels that read well, for people to be shown.
const NICE: [&str; 6] = ["www", "example", "host", "unlisted", "egret", "a-name-of-its-own"];
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789_";

impl Taken<'_> {
    /// A name that this suffix ends, and nothing longer; one that no glob matches, if there is any. None where what
    /// is longer takes all that there could be.
    fn fresh(&self, suffix: &str) -> Option<HostName> {
        let fresh = || candidates(suffix).filter(|name| self.is_fresh(name, suffix.len()));
        let is_globbed = |name: &HostName| self.globs.iter().any(|glob| glob.matches(name.as_str()));
        fresh().find(|name| !is_globbed(name)).or_else(|| fresh().next())
    }

    fn is_fresh(&self, name: &HostName, suffix: usize) -> bool {
        let text = name.as_str();
        let mut longer = (0..text.len().saturating_sub(suffix)).map(|at| &text[at..]);
        !self.exact.contains(name) && !longer.any(|tail| self.suffixes.contains(tail))
    }
}

/// Names that a suffix ends: those that read well first, then whatever there can be.
fn candidates(suffix: &str) -> impl Iterator<Item = HostName> {
    let tail = if suffix.is_empty() { ".example".to_owned() } else { suffix.to_owned() };
    let dotted = if tail.starts_with('.') { tail.clone() } else { format!(".{tail}") };
    let nice = NICE.iter().map({
        let dotted = dotted.clone();
        move |label| format!("{label}{dotted}")
    });
    let single = LETTERS.chars().map({
        let tail = tail.clone();
        move |letter| format!("{letter}{tail}")
    });
    let labels = LETTERS.chars().map(move |letter| format!("{letter}{dotted}"));
    let double = LETTERS.chars().flat_map(|a| LETTERS.chars().map(move |b| [a, b].iter().collect::<String>()));
    let double = double.map(move |letters| format!("{letters}{tail}"));
    let other = suffix.is_empty().then(|| LETTERS.chars().map(|letter| format!("egret.{letter}")));
    let texts = nice.chain(single).chain(labels).chain(double).chain([suffix.to_owned()]);
    texts.chain(other.into_iter().flatten()).filter_map(|text| HostName::parse(&text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<FqdnPattern> = patterns.iter().map(|text| FqdnPattern::parse(text).unwrap()).collect();
        name_cells(patterns.iter()).cells.iter().map(|cell| cell.name.to_string()).collect()
    }

    #[test]
    fn each_suffix_has_a_name_of_its_own() {
        assert_eq!(cells(&[]), ["www.example"]);
        assert_eq!(cells(&["a.test", "*.a.test"]), ["a.test", "www.example", "www.a.test"]);
        assert_eq!(cells(&["*.a.test", "www.a.test"]), ["www.a.test", "www.example", "example.a.test"]);
        assert_eq!(cells(&["*a.test", "*.a.test"]), ["www.example", "www.a.test", "aa.test"]);
        assert_eq!(cells(&["*.example"]), ["egret.a", "www.example"]);
    }
}
