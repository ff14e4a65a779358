//! An index from names to what was stored under the patterns that match them.
//!
//! By strategy: whole names and label suffixes by hash, `*x` by hash of the tail, globs by globset inside the
//! bucket of their literal tail. Strings live in one arena; an entry costs 16 bytes and its text.

use std::cell::RefCell;

use globset::{Candidate, GlobSet, GlobSetBuilder};
use hashbrown::{HashMap, HashTable};

use crate::flow::HostName;

use super::chains::{ChainId, Chains};
use super::pattern::{FqdnPattern, compile_glob};

/// Patterns on their way into a [`NameIndex`], each with the set of rules that name it.
#[derive(Default)]
pub(super) struct NameIndexBuilder {
    any: ChainId,
    exact: Texts,
    subdomains: Texts,
    suffixes: Texts,
    globs: HashMap<Box<str>, ChainId, foldhash::fast::FixedState>,
}

impl NameIndexBuilder {
    pub(super) fn add(&mut self, pattern: &FqdnPattern, chains: &mut Chains, rule: u32) {
        let slot = match pattern {
            FqdnPattern::Any => &mut self.any,
            FqdnPattern::Exact(name) => self.exact.slot(name.as_str()),
            FqdnPattern::Subdomains(parent) => self.subdomains.slot(parent.as_str()),
            FqdnPattern::Suffix(tail) => self.suffixes.slot(tail),
            FqdnPattern::Glob(glob) => self.globs.entry(glob.clone()).or_insert(0),
        };
        *slot = chains.extend(*slot, rule);
    }

    /// `value` turns each set of rules into the number of what is to be found there.
    pub(super) fn build(mut self, mut value: impl FnMut(ChainId) -> u32) -> NameIndex {
        let any = (self.any != 0).then(|| value(self.any));
        for texts in [&mut self.exact, &mut self.subdomains, &mut self.suffixes] {
            texts.finish(&mut value);
        }
        let mut buckets: HashMap<&str, Vec<(&str, u32)>, foldhash::fast::FixedState> = HashMap::default();
        for (glob, chain) in &self.globs {
            buckets.entry(literal_tail(glob)).or_default().push((glob, value(*chain)));
        }
        let mut globs = Texts::default();
        let mut glob_sets = Vec::with_capacity(buckets.len());
        for (tail, members) in buckets {
            *globs.slot(tail) = u32::try_from(glob_sets.len()).expect("fewer buckets than globs");
            glob_sets.push(GlobBucket::build(members));
        }
        globs.finish(|bucket| bucket);
        let tail_lengths = self.suffixes.lengths();
        NameIndex {
            any,
            exact: self.exact,
            subdomains: self.subdomains,
            suffixes: self.suffixes,
            tail_lengths,
            globs,
            glob_sets,
        }
    }
}

/// The part of a glob after its last special sign, from its first dot on: `.cloudapp.net` without the dot.
fn literal_tail(glob: &str) -> &str {
    let tail = glob.rsplit(['*', '?', ']', '}']).next().unwrap_or("");
    match tail.split_once('.') {
        Some((_, labels)) => labels,
        None => "",
    }
}

pub(super) struct NameIndex {
    any: Option<u32>,
    exact: Texts,
    /// By what stands after `*.`.
    subdomains: Texts,
    /// By what stands after `*`.
    suffixes: Texts,
    /// The lengths of the texts in `suffixes`, ascending.
    tail_lengths: Vec<u8>,
    /// By literal tail; the empty tail is for globs that have none.
    globs: Texts,
    glob_sets: Vec<GlobBucket>,
}

impl NameIndex {
    /// Calls `found` for each stored value whose pattern matches, in no order, perhaps twice.
    pub(super) fn visit(&self, name: &HostName, mut found: impl FnMut(u32)) {
        let text = name.as_str();
        self.any.into_iter().for_each(&mut found);
        self.exact.get(text).into_iter().for_each(&mut found);
        if !self.subdomains.is_empty() || !self.globs.is_empty() {
            self.visit_label_suffixes(text, &mut found);
        }
        for length in &self.tail_lengths {
            let Some(start) = text.len().checked_sub(usize::from(*length)) else { break };
            self.suffixes.get(&text[start..]).into_iter().for_each(&mut found);
        }
    }

    fn visit_label_suffixes(&self, text: &str, found: &mut impl FnMut(u32)) {
        let mut depth = 0;
        let bytes = text.as_bytes();
        for at in (0..bytes.len()).rev().filter(|at| bytes[*at] == b'.') {
            depth += 1;
            let below = &text[at + 1..];
            if self.subdomains.has_depth(depth) {
                self.subdomains.get(below).into_iter().for_each(&mut *found);
            }
            if self.globs.has_depth(depth) {
                self.visit_globs(below, text, found);
            }
        }
        if self.globs.has_depth(0) {
            self.visit_globs("", text, found);
        }
    }

    fn visit_globs(&self, tail: &str, text: &str, found: &mut impl FnMut(u32)) {
        if let Some(bucket) = self.globs.get(tail) {
            self.glob_sets[bucket as usize].visit(text, found);
        }
    }
}

struct GlobBucket {
    set: GlobSet,
    values: Vec<u32>,
}

impl GlobBucket {
    fn build(members: Vec<(&str, u32)>) -> GlobBucket {
        let mut set = GlobSetBuilder::new();
        for (glob, _) in &members {
            set.add(compile_glob(glob).expect("a glob was compiled once when it was read"));
        }
        let set = set.build().expect("globs that compile one by one compile together");
        GlobBucket { set, values: members.into_iter().map(|(_, value)| value).collect() }
    }

    fn visit(&self, text: &str, found: &mut impl FnMut(u32)) {
        thread_local! {
            static MATCHED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
        }
        MATCHED.with_borrow_mut(|matched| {
            self.set.matches_candidate_into(&Candidate::new(text), matched);
            matched.iter().for_each(|at| found(self.values[*at]));
        });
    }
}

/// A map from texts of at most 255 bytes to a number, its keys in one arena.
#[derive(Default)]
struct Texts {
    arena: String,
    table: HashTable<Entry>,
    hasher: foldhash::fast::FixedState,
    /// Bit n: a text of n labels is in it (63 stands for all above).
    depths: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    length: u8,
    value: u32,
}

impl Texts {
    fn hash(&self, text: &str) -> u64 {
        std::hash::BuildHasher::hash_one(&self.hasher, text.as_bytes())
    }

    fn slot(&mut self, text: &str) -> &mut u32 {
        let hash = self.hash(text);
        let depth = if text.is_empty() { 0 } else { text.split('.').count().min(63) };
        self.depths |= 1 << depth;
        let Texts { arena, table, hasher, .. } = self;
        let is_it = |entry: &Entry| entry.text(arena) == text;
        if let Some(at) = table.find(hash, is_it).map(|entry| entry.start) {
            let entry = table.find_mut(hash, |entry| entry.start == at).expect("it was found a moment ago");
            return &mut entry.value;
        }
        let start = u32::try_from(arena.len()).expect("names of one policy fit in 4 GiB");
        let length = u8::try_from(text.len()).expect("a host name has at most 253 bytes");
        arena.push_str(text);
        let rehash = |entry: &Entry| std::hash::BuildHasher::hash_one(&*hasher, entry.text(arena).as_bytes());
        let entry = Entry { start, length, value: 0 };
        &mut table.insert_unique(hash, entry, rehash).into_mut().value
    }

    fn finish(&mut self, mut value: impl FnMut(u32) -> u32) {
        self.table.iter_mut().for_each(|entry| entry.value = value(entry.value));
        self.arena.shrink_to_fit();
        let Texts { arena, table, hasher, .. } = self;
        table.shrink_to_fit(|entry| std::hash::BuildHasher::hash_one(&*hasher, entry.text(arena).as_bytes()));
    }

    fn get(&self, text: &str) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        self.table.find(self.hash(text), |entry| entry.text(&self.arena) == text).map(|entry| entry.value)
    }

    fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn has_depth(&self, depth: usize) -> bool {
        self.depths & (1 << depth.min(63)) != 0
    }

    fn lengths(&self) -> Vec<u8> {
        let mut lengths: Vec<u8> = self.table.iter().map(|entry| entry.length).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }
}

impl Entry {
    fn text<'a>(&self, arena: &'a str) -> &'a str {
        &arena[self.start as usize..][..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], name: &str, expected: &[usize]) {
        let mut chains = Chains::new();
        let mut builder = NameIndexBuilder::default();
        for (pattern, rule) in patterns.iter().zip(0..) {
            builder.add(&FqdnPattern::parse(pattern).unwrap(), &mut chains, rule);
        }
        let index = builder.build(|chain| chain);
        let mut found = Vec::new();
        index.visit(&HostName::parse(name).unwrap(), |chain| {
            found.extend(chains.rules(chain).into_iter().map(|rule| rule as usize));
        });
        found.sort_unstable();
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn every_strategy() {
        let patterns = ["*", "a.b.test", "*.b.test", "*b.test", "glob:a*.test", "glob:*x*", "glob:a.*.test", "*.test"];
        check(&patterns, "a.b.test", &[0, 1, 2, 3, 4, 6, 7]);
        check(&patterns, "b.test", &[0, 3, 7]);
        check(&patterns, "xb.test", &[0, 3, 5, 7]);
        check(&patterns, "test", &[0]);
        check(&["glob:gr-prod-*.cloudapp.net"], "gr-prod-1.cloudapp.net", &[0]);
        check(&["a.test", "a.test", "*.test"], "a.test", &[0, 1, 2]);
    }
}
