//! Which resources of a topology a file has written, and where each of them is.

use std::collections::{HashMap, HashSet};

use crate::config::error::{Findings, Problem};
use crate::config::reader::Section;
use crate::vnet::{
    AppServiceEnvironment, ApplicationSecurityGroup, DnsZone, Firewall, NetworkInterface, NetworkSecurityGroup,
    RouteTable, Subnet, Topology, VirtualNetwork,
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
pub(super) struct Written {
    places: HashMap<(&'static str, String), usize>,
    seen: HashSet<(&'static str, String)>,
}

impl Written {
    /// For a file that is read over a topology.
    pub(super) fn over(topology: &Topology) -> Written {
        let Topology {
            virtual_networks,
            security_groups,
            application_security_groups,
            route_tables,
            interfaces,
            firewalls,
            environments,
            dns_zones,
            ..
        } = topology;
        let mut written = Written { places: HashMap::new(), seen: HashSet::new() };
        written.note(virtual_networks);
        written.note(security_groups);
        written.note(application_security_groups);
        written.note(route_tables);
        written.note(interfaces);
        written.note(firewalls);
        written.note(environments);
        written.note(dns_zones);
        written
    }

    /// For the children of one resource.
    pub(super) fn of<T: Named>(items: &[T]) -> Written {
        let mut written = Written { places: HashMap::new(), seen: HashSet::new() };
        written.note(items);
        written
    }

    fn note<T: Named>(&mut self, items: &[T]) {
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
