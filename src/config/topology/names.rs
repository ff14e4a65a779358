//! Which resources of a topology a file has written, and where each of them is.

use std::collections::{HashMap, HashSet};

use crate::config::error::{Findings, Problem};
use crate::config::reader::Section;
use crate::vnet::{
    AppServiceEnvironment, ApplicationSecurityGroup, DnsZone, Firewall, NetworkInterface, NetworkSecurityGroup,
    RouteTable, Subnet, VirtualNetwork,
};

/// What goes by a name.
pub(super) trait Named: Default {
    const KIND: &'static str;

    fn name(&self) -> &str;
    fn called(name: String) -> Self;
}

macro_rules! named {
    ($($kind:literal: $type:ty),* $(,)?) => {
        $(impl Named for $type {
            const KIND: &'static str = $kind;

            fn name(&self) -> &str {
                &self.name
            }

            fn called(name: String) -> Self {
                Self { name, ..Self::default() }
            }
        })*
    };
}

named!(
    "network": VirtualNetwork,
    "subnet": Subnet,
    "network security group": NetworkSecurityGroup,
    "application security group": ApplicationSecurityGroup,
    "route table": RouteTable,
    "firewall": Firewall,
    "network interface": NetworkInterface,
    "App Service Environment": AppServiceEnvironment,
    "DNS zone": DnsZone,
);

/// Where the resources are, by kind and name in lower case, and which of them this file has written.
#[derive(Default)]
pub(super) struct Written {
    places: HashMap<(&'static str, String), usize>,
    /// Kinds of which the file has written one: those before it have their places.
    noted: HashSet<&'static str>,
    seen: HashSet<(&'static str, String)>,
}

impl Written {
    fn note<T: Named>(&mut self, items: &[T]) {
        if !self.noted.insert(T::KIND) {
            return;
        }
        for (at, item) in items.iter().enumerate() {
            self.places.entry(key::<T>(item.name())).or_insert(at);
        }
    }

    /// The resource that a section is about: the one that is known by its name, else a new one. A name that stands
    /// twice in a file is reported.
    pub(super) fn slot<'t, T: Named>(
        &mut self,
        items: &'t mut Vec<T>,
        name: String,
        section: &Section,
        findings: &mut Findings,
    ) -> &'t mut T {
        self.note(items);
        if !self.seen.insert(key::<T>(&name)) {
            report_twice(T::KIND, &name, section, findings);
        }
        let at = *self.places.entry(key::<T>(&name)).or_insert(items.len());
        if at == items.len() {
            items.push(T::called(name));
        }
        &mut items[at]
    }
}

fn key<T: Named>(name: &str) -> (&'static str, String) {
    (T::KIND, name.to_lowercase())
}

pub(super) fn report_twice(kind: &str, name: &str, section: &Section, findings: &mut Findings) {
    let problem = Problem::new(format!("{kind} `{name}` is there already"));
    findings.error(&section.place_of_key("name"), problem.mend("give it another name, or leave one of them out"));
}

/// A key that has to be there, unless what was imported has it.
pub(super) fn require(section: &Section, key: &str, is_known: bool, findings: &mut Findings) {
    if !section.has(key) && !is_known {
        findings.error(&section.place(), Problem::new(format!("`{key}` is missing in `{}`", section.path())));
    }
}
