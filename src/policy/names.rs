//! An index from names to what was stored under the patterns that match them.
//!
//! By strategy: whole names and label suffixes by hash, `*x` by hash of the tail; globs by hash of their literal
//! tail, then by their literal head, and what is left by globset. Strings live in one arena; an entry costs 16 bytes
//! and its text.

use globset::{Candidate, GlobMatcher};
use hashbrown::{HashMap, HashTable};

use crate::flow::HostName;

use super::chains::{ChainId, Chains};
use super::pattern::{FqdnPattern, compile_glob};
use super::sources::min;

/// Patterns on their way into a [`NameIndex`], each with the set of rules that name it.
#[derive(Default)]
pub(crate) struct NameIndexBuilder {
    any: ChainId,
    exact: Texts,
    subdomains: Texts,
    suffixes: Texts,
    globs: HashMap<Box<str>, ChainId, foldhash::fast::FixedState>,
}

impl NameIndexBuilder {
    pub(crate) fn add(&mut self, pattern: &FqdnPattern, chains: &mut Chains, rule: u32) {
        let slot = self.slot(pattern);
        *slot = chains.extend(*slot, rule);
    }

    /// Gives the pattern this number where it has none yet: for numbers without a set of rules.
    pub(super) fn add_first(&mut self, pattern: &FqdnPattern, number: u32) {
        self.number_of(pattern, number);
    }

    /// The pattern's number: this one where it had none.
    pub(super) fn number_of(&mut self, pattern: &FqdnPattern, number: u32) -> u32 {
        let slot = self.slot(pattern);
        if *slot == 0 {
            *slot = number + 1;
        }
        *slot - 1
    }

    fn slot(&mut self, pattern: &FqdnPattern) -> &mut u32 {
        match pattern {
            FqdnPattern::Any => &mut self.any,
            FqdnPattern::Exact(name) => self.exact.slot(name.as_str()),
            FqdnPattern::Subdomains(parent) => self.subdomains.slot(parent.as_str()),
            FqdnPattern::Suffix(tail) => self.suffixes.slot(tail),
            FqdnPattern::Glob(glob) => self.globs.entry(glob.clone()).or_insert(0),
        }
    }

    /// Of what [`NameIndexBuilder::add_first`] was told.
    pub(super) fn build_first(self) -> NameIndex {
        self.build(|slot| slot - 1)
    }

    /// `value` turns each set of rules into the number of what is to be found there.
    pub(crate) fn build(mut self, mut value: impl FnMut(ChainId) -> u32) -> NameIndex {
        let any = (self.any != 0).then(|| value(self.any));
        for texts in [&mut self.exact, &mut self.subdomains, &mut self.suffixes] {
            texts.finish(&mut value);
        }
        let mut buckets: HashMap<&str, Vec<BucketGlob>, foldhash::fast::FixedState> = HashMap::default();
        for (glob, chain) in &self.globs {
            buckets.entry(literal_tail(glob)).or_default().push(BucketGlob::new(glob, value(*chain)));
        }
        let mut globs = Texts::default();
        let mut glob_buckets = Vec::with_capacity(buckets.len());
        for (tail, members) in buckets {
            *globs.slot(tail) = u32::try_from(glob_buckets.len()).expect("fewer buckets than globs");
            glob_buckets.push(members);
        }
        globs.finish(|bucket| bucket);
        let tail_lengths = self.suffixes.lengths();
        NameIndex {
            any,
            exact: self.exact,
            subdomains: self.subdomains,
            suffixes: self.suffixes,
            tail_lengths,
            glob_tail_lengths: globs.lengths(),
            globs,
            glob_buckets,
        }
    }
}

/// The part of a glob after its last special sign: `.cloudapp.net`.
fn literal_tail(glob: &str) -> &str {
    glob.rsplit(['*', '?', ']', '}']).next().unwrap_or("")
}

/// The part of a glob before its first special sign: `gr-prod-`.
fn literal_head(glob: &str) -> &str {
    glob.split(['*', '?', '[', '{']).next().unwrap_or("")
}

pub(crate) struct NameIndex {
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
    glob_tail_lengths: Vec<u8>,
    glob_buckets: Vec<Vec<BucketGlob>>,
}

impl NameIndex {
    /// Calls `found` for each stored value whose pattern matches, in no order, perhaps twice.
    pub(crate) fn visit(&self, name: &HostName, mut found: impl FnMut(u32)) {
        let text = name.as_str();
        self.any.into_iter().for_each(&mut found);
        self.exact.get(text).into_iter().for_each(&mut found);
        if !self.subdomains.is_empty() {
            self.visit_label_suffixes(text, &mut found);
        }
        for tail in tails(text, &self.tail_lengths) {
            self.suffixes.get(tail).into_iter().for_each(&mut found);
        }
        for tail in tails(text, &self.glob_tail_lengths) {
            if let Some(bucket) = self.globs.get(tail) {
                let matching = self.glob_buckets[bucket as usize].iter().filter(|glob| glob.matches(text));
                matching.for_each(|glob| found(glob.value));
            }
        }
    }

    /// The lowest number that is stored under a pattern that matches.
    pub(super) fn least(&self, name: &HostName) -> Option<u32> {
        let mut least = None;
        self.visit(name, |number| least = min(least, Some(number)));
        least
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
            if !self.subdomains.is_deeper_than(depth) {
                break;
            }
        }
    }
}

/// The ends of a text that have one of the lengths, which ascend.
fn tails<'a>(text: &'a str, lengths: &'a [u8]) -> impl Iterator<Item = &'a str> {
    lengths.iter().map_while(|length| text.len().checked_sub(usize::from(*length))).map(|start| &text[start..])
}

/// A glob among those that share its tail.
struct BucketGlob {
    head: Box<str>,
    matcher: GlobMatcher,
    value: u32,
}

impl BucketGlob {
    fn new(glob: &str, value: u32) -> BucketGlob {
        let matcher = compile_glob(glob).expect("a glob was compiled once when it was read").compile_matcher();
        BucketGlob { head: literal_head(glob).into(), matcher, value }
    }

    /// Most globs of a bucket go by their heads: globset is some 80 ns.
    fn matches(&self, text: &str) -> bool {
        text.starts_with(&*self.head) && self.matcher.is_match_candidate(&Candidate::new(text))
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
    /// Bit n: a text of n bytes is in it. Where few are, most look-ups end here.
    sizes: [u64; 4],
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
        self.sizes[text.len() / 64 % 4] |= 1 << (text.len() % 64);
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
        if !self.has_size(text.len()) {
            return None;
        }
        self.table.find(self.hash(text), |entry| entry.text(&self.arena) == text).map(|entry| entry.value)
    }

    fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn has_size(&self, size: usize) -> bool {
        self.sizes[size / 64 % 4] & (1 << (size % 64)) != 0
    }

    fn has_depth(&self, depth: usize) -> bool {
        self.depths & (1 << depth.min(63)) != 0
    }

    fn is_deeper_than(&self, depth: usize) -> bool {
        self.depths >> depth.min(62) > 1
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
        let globs = ["glob:a-*-z.test", "glob:b-*-z.test", "glob:*-z.test", "glob:{a,b}-*", "glob:a-[0-9]-z.tes?"];
        check(&globs, "a-1-z.test", &[0, 2, 3, 4]);
        check(&globs, "b-x-z.test", &[1, 2, 3]);
        check(&globs, "x-z.test", &[2]);
        check(&["a.test", "a.test", "*.test"], "a.test", &[0, 1, 2]);
    }

    #[test]
    fn the_deepest_names() {
        let below = |labels: usize| format!("*.{}", vec!["a"; labels].join("."));
        let patterns = [below(1), below(62), below(63), below(64), below(100), below(126)];
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        for (labels, expected) in [(2, 1), (63, 2), (64, 3), (65, 4), (100, 4), (101, 5), (126, 5), (127, 6)] {
            let expected: Vec<usize> = (0..expected).collect();
            check(&patterns, &vec!["a"; labels].join("."), &expected);
        }
    }
}
