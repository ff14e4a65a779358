//! Which web category of a rule a name is in. Asked for logs alone: a decision does not know it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::flow::HostName;

use super::chains::Chains;
use super::names::{NameIndex, NameIndexBuilder};
use super::pattern::FqdnPattern;
use super::tree::WebCategory;

/// The web categories of one rule.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RuleCategories(Vec<Arc<Indexed>>);

impl RuleCategories {
    /// The first of them that the name is in.
    pub fn of(&self, name: &HostName) -> Option<&str> {
        let category = self.0.iter().find(|category| category.contains(name))?;
        Some(&category.category.name)
    }
}

impl fmt::Debug for RuleCategories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|category| &category.category.name)).finish()
    }
}

/// A category with an index over its names, which is made when it is first asked: most logs never ask.
struct Indexed {
    category: WebCategory,
    index: OnceLock<NameIndex>,
}

impl Indexed {
    fn contains(&self, name: &HostName) -> bool {
        let mut found = false;
        self.index.get_or_init(|| index(&self.category)).visit(name, |_| found = true);
        found
    }
}

impl PartialEq for Indexed {
    fn eq(&self, other: &Indexed) -> bool {
        self.category == other.category
    }
}

impl Eq for Indexed {}

fn index(category: &WebCategory) -> NameIndex {
    let (mut names, mut chains) = (NameIndexBuilder::default(), Chains::new());
    category.members.iter().for_each(|member| names.add(member, &mut chains, 0));
    names.build(|_| 0)
}

/// Hands the categories of rules out, so that rules that name the same one share its index. A category is known by
/// its name and by where its members lie.
#[derive(Default)]
pub(super) struct Sharing<'a>(HashMap<(&'a str, *const FqdnPattern), Arc<Indexed>>);

impl<'a> Sharing<'a> {
    pub(super) fn of(&mut self, categories: &'a [WebCategory]) -> RuleCategories {
        let shared = |category: &'a WebCategory| {
            let new = || Arc::new(Indexed { category: category.clone(), index: OnceLock::new() });
            self.0.entry((&category.name, category.members.as_ptr())).or_insert_with(new).clone()
        };
        RuleCategories(categories.iter().map(shared).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_category_that_has_the_name() {
        let category = |name: &str, members: &[&str]| WebCategory {
            name: name.to_owned(),
            members: members.iter().map(|text| FqdnPattern::parse(text).unwrap()).collect(),
        };
        let all = [category("Games", &["*.play.test"]), category("News", &["play.test", "a.play.test", "paper.test"])];
        let mut sharing = Sharing::default();
        let (both, news) = (sharing.of(&all), sharing.of(&all[1..]));
        assert!(Arc::ptr_eq(&both.0[1], &news.0[0]), "one index");
        let check = |categories: &RuleCategories, name: &str, expected: Option<&str>| {
            assert_eq!(categories.of(&HostName::parse(name).unwrap()), expected, "{name}");
        };
        check(&both, "a.play.test", Some("Games"));
        check(&both, "play.test", Some("News"));
        check(&news, "a.play.test", Some("News"));
        check(&both, "other.test", None);
        check(&RuleCategories::default(), "play.test", None);
    }
}
