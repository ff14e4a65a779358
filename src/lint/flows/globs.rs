//! How Egret's own globs meet each other and the suffixes of Azure's dialect.
//!
//! The patterns are made one automaton, whose states know which of them match; every way in which they match together
//! is found by walking it breadth first, with the shortest name that shows it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use globset::GlobMatcher;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};

use crate::flow::HostName;
use crate::policy::compile_glob;

/// A glob, ready to be asked.
pub(super) struct Glob {
    text: Box<str>,
    regex: String,
    matcher: GlobMatcher,
}

impl Glob {
    pub(super) fn new(text: &str) -> Glob {
        let glob = compile_glob(text).expect("a glob was compiled once when it was read");
        Glob { text: text.into(), regex: glob.regex().to_owned(), matcher: glob.compile_matcher() }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        name.ends_with(self.tail()) && self.matcher.is_match(name)
    }

    /// The part after its last special sign.
    fn tail(&self) -> &str {
        self.text.rsplit(['*', '?', ']', '}']).next().unwrap_or("")
    }
}

/// Names found, each with the patterns that match it.
pub(super) struct Meetings {
    pub(super) found: Vec<(HostName, Vec<Box<str>>)>,
    pub(super) is_complete: bool,
}

/// States of the automaton that are visited at most. Some dozens of globs need a few thousand; globs with many `*`
/// that share their tails multiply.
const MAX_STATES: usize = 60_000;
const CACHE_BYTES: usize = 256 << 20;

/// Every way in which the patterns match a name together, where globs are near, but for the names in `exact`.
pub(super) fn meetings(globs: &[Glob], suffixes: &BTreeSet<Box<str>>, exact: &BTreeSet<HostName>) -> Meetings {
    let mut all = Meetings { found: Vec::new(), is_complete: true };
    for family in families(globs) {
        let near = suffixes.iter().filter(|suffix| family.iter().any(|glob| may_meet(glob.tail(), suffix)));
        let matched = exact.iter().filter(|name| family.iter().any(|glob| glob.matches(name.as_str())));
        let mut patterns: Vec<Pattern> = family.iter().map(|glob| Pattern::glob(glob)).collect();
        patterns.extend(near.map(|suffix| Pattern::suffix(suffix)));
        patterns.extend(matched.map(Pattern::exact));
        let Meetings { found, is_complete } = walk(&patterns);
        all.found.extend(found);
        all.is_complete &= is_complete;
    }
    all
}

struct Pattern {
    regex: String,
    shown: Box<str>,
    is_exact: bool,
}

impl Pattern {
    fn glob(glob: &Glob) -> Pattern {
        Pattern { regex: glob.regex.clone(), shown: format!("glob:{}", glob.text).into(), is_exact: false }
    }

    fn suffix(suffix: &str) -> Pattern {
        let literal = suffix.replace('.', "\\.");
        Pattern { regex: format!("(?s-u)^.*{literal}$"), shown: format!("*{suffix}").into(), is_exact: false }
    }

    fn exact(name: &HostName) -> Pattern {
        let literal = name.as_str().replace('.', "\\.");
        Pattern { regex: format!("(?s-u)^{literal}$"), shown: name.as_str().into(), is_exact: true }
    }
}

/// Globs whose tails differ never match the same name: each family is walked by itself.
fn families(globs: &[Glob]) -> Vec<Vec<&Glob>> {
    let mut families: Vec<Vec<&Glob>> = Vec::new();
    for glob in globs {
        let meets = |family: &Vec<&Glob>| family.iter().any(|other| may_meet(glob.tail(), other.tail()));
        let (near, far): (Vec<_>, Vec<_>) = families.into_iter().partition(meets);
        families = far;
        families.push(near.into_iter().flatten().chain([glob]).collect());
    }
    families
}

fn may_meet(a: &str, b: &str) -> bool {
    a.ends_with(b) || b.ends_with(a)
}

/// Where in a name the walk stands: what may follow depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Within {
    Start,
    Digits,
    Label,
    Hyphen,
}

impl Within {
    fn next(self, byte: u8) -> Option<Within> {
        match (self, byte) {
            (Within::Start, b'.' | b'-') | (Within::Hyphen, b'.') => None,
            (_, b'.') => Some(Within::Start),
            (_, b'-') => Some(Within::Hyphen),
            (Within::Start | Within::Digits, b'0'..=b'9') => Some(Within::Digits),
            _ => Some(Within::Label),
        }
    }
}

/// Letters first, so that the shortest names read as names.
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789-._";

/// One step of the walk: the state, and by which byte it was reached from which step.
struct Visit {
    state: LazyStateID,
    within: Within,
    from: Option<(usize, u8)>,
}

fn walk(patterns: &[Pattern]) -> Meetings {
    let regexes: Vec<&str> = patterns.iter().map(|pattern| &*pattern.regex).collect();
    let config = DFA::config()
        .match_kind(MatchKind::All)
        .cache_capacity(CACHE_BYTES)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(0));
    let syntax = syntax::Config::new().utf8(false);
    let built = DFA::builder().configure(config).syntax(syntax).build_many(&regexes);
    let mut found = HashMap::new();
    let is_complete = built.ok().and_then(|dfa| visit_all(&dfa, patterns, &mut found)).is_some();
    let mut found: Vec<(HostName, Vec<Box<str>>)> =
        found.into_iter().map(|(set, name)| (name, shown(patterns, &set))).collect();
    found.sort_unstable();
    Meetings { found, is_complete }
}

fn shown(patterns: &[Pattern], set: &[usize]) -> Vec<Box<str>> {
    set.iter().map(|at| patterns[*at].shown.clone()).collect()
}

/// None where the automaton has more states than are visited.
fn visit_all(dfa: &DFA, patterns: &[Pattern], found: &mut HashMap<Vec<usize>, HostName>) -> Option<()> {
    let mut cache = dfa.create_cache();
    let start = dfa.start_state(&mut cache, &start::Config::new().anchored(Anchored::Yes)).ok()?;
    let mut visits = vec![Visit { state: start, within: Within::Start, from: None }];
    let mut queue = VecDeque::from([0]);
    let mut seen = HashSet::from([(start, Within::Start)]);
    while let Some(at) = queue.pop_front() {
        let (state, within) = (visits[at].state, visits[at].within);
        if matches!(within, Within::Label | Within::Digits) {
            let set = matches_at_end(dfa, &mut cache, state)?;
            if !set.iter().any(|at| patterns[*at].is_exact) && !found.contains_key(&set) {
                found.extend(HostName::parse(&spelled(&visits, at)).ok().map(|name| (set, name)));
            }
        }
        for byte in ALPHABET {
            let Some(within) = within.next(*byte) else { continue };
            let state = dfa.next_state(&mut cache, state, *byte).ok()?;
            if state.is_dead() || !seen.insert((state, within)) {
                continue;
            }
            if visits.len() == MAX_STATES {
                return None;
            }
            queue.push_back(visits.len());
            visits.push(Visit { state, within, from: Some((at, *byte)) });
        }
    }
    Some(())
}

/// Matches are told one step late: at the end of the text.
fn matches_at_end(dfa: &DFA, cache: &mut Cache, state: LazyStateID) -> Option<Vec<usize>> {
    let end = dfa.next_eoi_state(cache, state).ok()?;
    if !end.is_match() {
        return Some(Vec::new());
    }
    let mut set: Vec<usize> =
        (0..dfa.match_len(cache, end)).map(|at| dfa.match_pattern(cache, end, at).as_usize()).collect();
    set.sort_unstable();
    Some(set)
}

fn spelled(visits: &[Visit], mut at: usize) -> String {
    let mut bytes = Vec::new();
    while let Some((before, byte)) = visits[at].from {
        bytes.push(char::from(byte));
        at = before;
    }
    bytes.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(globs: &[&str], suffixes: &[&str], expected: &[&str]) {
        let of = |texts: &[&str]| texts.iter().map(|text| Box::from(*text)).collect::<BTreeSet<Box<str>>>();
        let globs: Vec<Glob> = globs.iter().map(|glob| Glob::new(glob)).collect();
        let exact = BTreeSet::from([HostName::parse("a.test").unwrap()]);
        let meetings = meetings(&globs, &of(suffixes), &exact);
        let shown: Vec<String> = meetings
            .found
            .iter()
            .filter(|(_, set)| set.iter().any(|shown| shown.starts_with("glob:")))
            .map(|(name, set)| format!("{name} {}", set.join(" ")))
            .collect();
        assert_eq!(shown, expected, "{suffixes:?}");
        assert!(meetings.is_complete);
    }

    #[test]
    fn every_way_of_meeting() {
        check(&["a*.test"], &[], &["aa.test glob:a*.test"]);
        check(&["a*.test"], &[".test"], &["aa.test glob:a*.test *.test"]);
        check(&["a*.test"], &[".b.test"], &["a.b.test glob:a*.test *.b.test", "aa.test glob:a*.test"]);
        check(
            &["a*.test", "*b.test"],
            &[],
            &["aa.test glob:a*.test", "ab.test glob:a*.test glob:*b.test", "b.test glob:*b.test"],
        );
        check(&["a-*.test", "b-*.test"], &[], &["a-a.test glob:a-*.test", "b-a.test glob:b-*.test"]);
        check(&["x[0-9].test", "x?.one"], &[], &["x0.test glob:x[0-9].test", "xa.one glob:x?.one"]);
    }
}
