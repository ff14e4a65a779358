//! Sets of rules, each stored once.
//!
//! A million names of one rule share one set. A set is the set before it plus one rule, so adding a rule to a
//! name is one look-up.

use hashbrown::HashMap;

/// A set of rules, by number; 0 is the empty set.
pub(crate) type ChainId = u32;

pub(crate) struct Chains {
    /// For each set: the set that it extends, and the rule that it adds.
    links: Vec<(ChainId, u32)>,
    known: HashMap<(ChainId, u32), ChainId, foldhash::fast::FixedState>,
}

impl Chains {
    pub(crate) fn new() -> Self {
        Chains { links: vec![(0, u32::MAX)], known: HashMap::default() }
    }

    /// Rules are added in the order of evaluation, so a rule that is in the set already is its last one.
    pub(crate) fn extend(&mut self, chain: ChainId, rule: u32) -> ChainId {
        if self.links[chain as usize].1 == rule {
            return chain;
        }
        let next = u32::try_from(self.links.len()).expect("fewer than 2^32 rules make fewer than 2^32 sets");
        let links = &mut self.links;
        *self.known.entry((chain, rule)).or_insert_with(|| {
            links.push((chain, rule));
            next
        })
    }

    /// The rules of a set, first looked at first.
    pub(crate) fn rules(&self, mut chain: ChainId) -> Vec<u32> {
        let mut rules = Vec::new();
        while chain != 0 {
            let (before, rule) = self.links[chain as usize];
            rules.push(rule);
            chain = before;
        }
        rules.reverse();
        rules
    }
}

/// Builds a value for each set that is asked for, once.
pub(super) struct PerChain<T> {
    index: HashMap<ChainId, u32, foldhash::fast::FixedState>,
    values: Vec<T>,
}

impl<T> PerChain<T> {
    pub(crate) fn new() -> Self {
        PerChain { index: HashMap::default(), values: Vec::new() }
    }

    pub(super) fn get_or_build(&mut self, chain: ChainId, build: impl FnOnce() -> T) -> u32 {
        let next = u32::try_from(self.values.len()).expect("no more values than sets");
        let values = &mut self.values;
        *self.index.entry(chain).or_insert_with(|| {
            values.push(build());
            next
        })
    }

    pub(super) fn into_values(self) -> Vec<T> {
        self.values
    }
}
