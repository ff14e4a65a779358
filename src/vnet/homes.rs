//! Where resources are, of those that say so themselves: files of a network may be of several resource groups.

use std::collections::HashMap;

/// Subscription and resource group; empty where nobody said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Home<'a> {
    pub subscription: &'a str,
    pub resource_group: &'a str,
}

/// By type and name, in any letter case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Homes(HashMap<(String, String), (String, String)>);

impl Homes {
    /// `kind` is `Microsoft.Network/routeTables`. Of two that are told of one resource the later counts.
    pub fn add(&mut self, kind: &str, name: &str, subscription: &str, resource_group: &str) {
        let home = (subscription.to_owned(), resource_group.to_owned());
        self.0.insert((kind.to_ascii_lowercase(), name.to_ascii_lowercase()), home);
    }

    /// Leaves out what is where all else is.
    pub fn retain_others(&mut self, usual: Home<'_>) {
        let is_usual = |subscription: &str, group: &str| {
            subscription.eq_ignore_ascii_case(usual.subscription) && group.eq_ignore_ascii_case(usual.resource_group)
        };
        self.0.retain(|_, (subscription, group)| !is_usual(subscription, group));
    }

    pub(super) fn of(&self, kind: &str, name: &str) -> Option<Home<'_>> {
        let (subscription, resource_group) = self.0.get(&(kind.to_ascii_lowercase(), name.to_ascii_lowercase()))?;
        Some(Home { subscription, resource_group })
    }

    /// Each may be there more than once.
    pub fn all(&self) -> impl Iterator<Item = Home<'_>> {
        self.0.values().map(|(subscription, resource_group)| Home { subscription, resource_group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_those_that_are_elsewhere() {
        let mut homes = Homes::default();
        homes.add("Microsoft.Network/routeTables", "one", "s", "LAB");
        homes.add("Microsoft.Network/routeTables", "Two", "s", "net");
        homes.retain_others(Home { subscription: "S", resource_group: "lab" });
        assert_eq!(homes.of("Microsoft.Network/routeTables", "one"), None);
        let net = Home { subscription: "s", resource_group: "net" };
        assert_eq!(homes.of("microsoft.network/routetables", "TWO"), Some(net));
        assert_eq!(homes.all().collect::<Vec<_>>(), [net]);
    }
}
