//! Which flows do two policies decide differently?
//!
//! The cells of both policies together are laid over each other, and both are asked about each cell in which their
//! rules are not the same: where they are, in the same order, nothing can differ. A flow is what `egret check` can ask
//! about: to a name, to an address, or to a name that leads to an address.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::flow::{Host, PortRange, Protocol, Reason, Verdict};
use crate::policy::{Address, AddressRange, Decision, DnatDeny, Policy, Query, RuleId, RuleName, RuleSet, Switches};

use super::atoms::{Atoms, Cell, Class};
use super::points::{PathCell, address_intervals, ambiguous_path, inside, joined, paths, port_cells, well_known};
use super::regions::{Block, Client, NameTree, PathPart, Region, join};
use super::threats;
use super::units::{Unit, UnitId, units_of};
use super::witness::{Way, Witness};

/// One of the two policies.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub set: &'a RuleSet,
    /// Compiled from `set` with `switches`.
    pub policy: &'a Policy,
    pub switches: Switches,
}

/// What differs between two policies.
pub struct Comparison {
    /// Flows that one allows and the other denies.
    pub changed: Vec<Difference>,
    /// Flows that both allow or both deny, each by a rule of another name.
    pub moved: Vec<Difference>,
    /// Globs meet in more ways than were looked at: there may be more.
    pub globs_are_sampled: bool,
    /// There were more names that lead to changed addresses than are asked about: there may be more of those.
    pub is_cut_short: bool,
}

#[derive(Debug, Clone)]
pub struct Difference {
    pub old: Ruling,
    pub new: Ruling,
    pub region: Region,
    /// One flow of the region.
    pub witness: Witness,
}

/// What one policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    pub verdict: Verdict,
    pub reason: Reason,
    pub rule: Option<Arc<RuleName>>,
}

/// Questions that are asked, and pairs of a name and an address that are looked at, at most. Thousands of rules for
/// names, each for other clients or ports, and thousands for addresses come to more.
const MAX_ASKED: usize = 1 << 22;

/// Compares two policies.
pub fn compare(old: Side<'_>, new: Side<'_>) -> Comparison {
    if !(threats::denies(old.set) || threats::denies(new.set)) {
        return compare_rules(old, new);
    }
    let (before, after) = (threats::without(old), threats::without(new));
    let rules = compare_rules(Side { policy: &before, ..old }, Side { policy: &after, ..new });
    let changed = threats::differences(old, new).into_iter().chain(rules.changed).collect();
    Comparison { changed, ..rules }
}

fn compare_rules(old: Side<'_>, new: Side<'_>) -> Comparison {
    let mut compare = Compare::new(old, new);
    let atoms = Atoms::build(&compare.units, compare.split);
    compare.all(&atoms);
    compare.into_comparison(&atoms)
}

/// By which rules, and how, a cell is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    old: (bool, Option<RuleId>),
    new: (bool, Option<RuleId>),
}

struct Compare<'a> {
    old: Side<'a>,
    new: Side<'a>,
    /// Those of the old policy, then those of the new one.
    units: Vec<Unit<'a>>,
    /// Units of the same number decide alike where they match.
    contents: Vec<u32>,
    /// The first unit of the new policy.
    split: UnitId,
    /// The same rules decide the same in both.
    prunes: bool,
    application_ports: Vec<PortRange>,
    /// Ports that application rules of one policy name, and none of the other.
    differing_ports: Vec<u16>,
    looks_at_paths: bool,
    paths_differ: bool,
    asked: usize,
    changed: Vec<Block<Key>>,
    moved: Vec<Block<Key>>,
}

/// Where a walk through the dimensions stands.
#[derive(Clone)]
struct Corner {
    class: usize,
    at: Option<usize>,
    host: Host,
    addr: Option<IpAddr>,
    protocols: &'static [Protocol],
    ports: (u16, u16),
    clients: Vec<Client>,
    client: Option<IpAddr>,
}

impl<'a> Compare<'a> {
    fn new(old: Side<'a>, new: Side<'a>) -> Compare<'a> {
        let mut known = HashMap::new();
        let (mut units, mut contents) = (Vec::new(), Vec::new());
        let mut split = 0;
        for side in [old, new] {
            split = units.len();
            for (unit, content) in units_of(side.set) {
                let next = u32::try_from(known.len()).expect("fewer than 2^32 rules");
                contents.push(*known.entry(content).or_insert(next));
                units.push(unit);
            }
        }
        let (before, after) = units.split_at(split);
        let looks = |units: &[Unit<'_>]| units.iter().any(|unit| unit.path().is_some());
        let (looked, looks) = (looks(before), looks(after));
        Compare {
            split: u32::try_from(split).expect("fewer than 2^32 rules"),
            prunes: old.switches == new.switches && old.switches.dnat_deny == DnatDeny::Ignored,
            application_ports: ports_where(|port| {
                old.policy.is_application_port(port) || new.policy.is_application_port(port)
            })
            .map(PortRange::single)
            .collect(),
            differing_ports: ports_where(|port| {
                old.policy.is_application_port(port) != new.policy.is_application_port(port)
            })
            .collect(),
            looks_at_paths: looked || looks,
            paths_differ: looked != looks,
            asked: 0,
            changed: Vec::new(),
            moved: Vec::new(),
            old,
            new,
            units,
            contents,
        }
    }

    /// Do the same rules stand here in both policies, in the same order?
    fn is_same(&self, here: &[UnitId]) -> bool {
        let (old, new) = here.split_at(here.partition_point(|unit| *unit < self.split));
        let content = |unit: &UnitId| self.contents[*unit as usize];
        self.prunes && old.iter().map(content).eq(new.iter().map(content))
    }

    fn unit(&self, id: UnitId) -> &Unit<'a> {
        &self.units[id as usize]
    }

    fn all(&mut self, atoms: &Atoms) {
        for (class, at) in atoms.classes.iter().zip(0..) {
            self.class(atoms, class, at);
        }
        self.names_at_addresses(atoms);
    }

    fn class(&mut self, atoms: &Atoms, class: &Class, number: usize) {
        let here = atoms.units(class);
        let host = class.host();
        let corner = Corner {
            class: number,
            at: None,
            host,
            addr: None,
            protocols: &[],
            ports: (0, 0),
            clients: Vec::new(),
            client: None,
        };
        self.protocols(&here, corner);
    }

    fn protocols(&mut self, here: &[UnitId], corner: Corner) {
        let looks_at_names = self.paths_differ || here.iter().any(|id| self.unit(*id).is_application());
        if self.is_settled(here, &corner) && !self.paths_differ {
            return;
        }
        let groups: &[&'static [Protocol]] = if looks_at_names { &APART } else { &TOGETHER };
        for protocols in groups {
            let protocol = asked_as(protocols);
            let there: Vec<(UnitId, Vec<PortRange>)> =
                here.iter().map(|id| (*id, self.unit(*id).ports(protocol))).collect();
            let there: Vec<_> = there.into_iter().filter(|(_, ports)| !ports.is_empty()).collect();
            let ids: Vec<UnitId> = there.iter().map(|(id, _)| *id).collect();
            let corner = Corner { protocols, ..corner.clone() };
            if !self.is_settled(&ids, &corner) {
                self.ports(&there, corner);
            }
        }
    }

    /// Can nothing differ from here on?
    fn is_settled(&self, here: &[UnitId], corner: &Corner) -> bool {
        let paths = asked_as(corner.protocols) == Protocol::Http && self.paths_differ;
        // No port is chosen yet, or there is none to choose.
        let (first, _) = corner.ports;
        let ports = || match first {
            0 => !self.differing_ports.is_empty(),
            port => self.differing_ports.binary_search(&port).is_ok(),
        };
        here.is_empty() || (self.is_same(here) && !paths && !(corner.addr.is_some() && ports()))
    }

    fn ports(&mut self, there: &[(UnitId, Vec<PortRange>)], corner: Corner) {
        let protocol = asked_as(corner.protocols);
        let portless = matches!(protocol, Protocol::Icmp | Protocol::Other);
        let within = if portless { PortRange::single(0) } else { PortRange::ANY };
        // On the ports of application rules a denied name is not resolved, so that its address does not matter.
        let judged_by_name = self.application_ports.clone().into_iter().filter(|_| corner.addr.is_some() && !portless);
        for (ports, here) in port_cells(within, there, judged_by_name) {
            let corner = Corner { ports, ..corner.clone() };
            if !self.is_settled(&here, &corner) {
                self.clients(&here, corner);
            }
        }
    }

    fn clients(&mut self, here: &[UnitId], corner: Corner) {
        let anybody: Vec<UnitId> = here.iter().copied().filter(|id| self.unit(*id).is_for_anybody()).collect();
        let takes_back = [self.old, self.new].iter().any(|side| side.switches.dnat_deny == DnatDeny::Overrides);
        let cutting: Vec<UnitId> = if takes_back { (0..).take(self.units.len()).collect() } else { here.to_vec() };
        let ranges: Vec<AddressRange> = cutting.iter().flat_map(|id| self.unit(*id).sources()).collect();
        let mut alike: BTreeMap<(Vec<UnitId>, Option<IpAddr>), Vec<AddressRange>> = BTreeMap::new();
        for range in address_intervals(&joined(ranges.clone()), ranges) {
            let units: Vec<UnitId> =
                here.iter().copied().filter(|id| self.unit(*id).has_source(Some(range.first()))).collect();
            if takes_back || units != anybody {
                alike.entry((units, takes_back.then_some(range.first()))).or_default().push(range);
            }
        }
        let but = alike.values().flatten().map(|range| Client::But(range.first(), range.last()));
        let clients = std::iter::once(Client::Anybody).chain(but).collect();
        self.paths(&anybody, Corner { clients, client: None, ..corner.clone() });
        for ((units, _), ranges) in alike {
            let client = ranges.first().map(|range| inside(*range));
            let clients = ranges.iter().map(|range| Client::From(range.first(), range.last())).collect();
            self.paths(&units, Corner { clients, client, ..corner.clone() });
        }
    }

    fn paths(&mut self, here: &[UnitId], corner: Corner) {
        let protocol = asked_as(corner.protocols);
        if self.is_settled(here, &corner) && !here.is_empty() {
            return;
        }
        let cells: Vec<Option<PathCell>> = if protocol == Protocol::Http {
            let cells = paths(here.iter().filter_map(|id| self.unit(*id).path()));
            cells.into_iter().chain(self.looks_at_paths.then(ambiguous_path)).map(Some).collect()
        } else {
            vec![None]
        };
        let mut blocks: Vec<(Block<Key>, Ruled)> = Vec::new();
        let all = cells.len();
        let but: Vec<PathPart> = cells.iter().flatten().map(|cell| PathPart::But(cell.shown.clone())).collect();
        for cell in cells {
            blocks.extend(self.ask(&corner, cell));
        }
        // Where all paths fare alike, none needs to be named.
        let is_alike = blocks.len() == all && blocks.windows(2).all(|pair| pair[0].0.key == pair[1].0.key);
        if is_alike {
            blocks.truncate(1);
            blocks.iter_mut().for_each(|(block, _)| block.paths.clear());
        } else {
            blocks.iter_mut().for_each(|(block, _)| block.paths.extend(but.iter().cloned()));
        }
        for (block, ruled) in blocks {
            match ruled {
                Ruled::Changed => self.changed.push(block),
                Ruled::Moved => self.moved.push(block),
            }
        }
    }

    fn ask(&mut self, corner: &Corner, path: Option<PathCell>) -> Option<(Block<Key>, Ruled)> {
        let way = corner.addr.map_or(Way::Checked, Way::Override);
        let port = well_known(corner.ports.0, corner.ports.1);
        let (paths, path) = path.map_or((Vec::new(), None), |cell| (vec![PathPart::Is(cell.shown)], Some(cell.path)));
        let protocol = asked_as(corner.protocols);
        let witness = Witness { client: corner.client, protocol, host: corner.host.clone(), port, path, way };
        self.asked += 1;
        let (old, new) = (decide(self.old.policy, &witness), decide(self.new.policy, &witness));
        let ruled = if old.verdict != new.verdict {
            Ruled::Changed
        } else if !self.is_same_rule(old, new) {
            Ruled::Moved
        } else {
            return None;
        };
        if corner.addr.is_some() && (ruled == Ruled::Moved || self.is_told_already(&witness, old.verdict, new.verdict))
        {
            return None;
        }
        let side = |decision: Decision| (decision.verdict == Verdict::Allow, decision.rule);
        let block = Block {
            key: Key { old: side(old), new: side(new) },
            classes: vec![corner.class],
            at: corner.at,
            protocols: corner.protocols.to_vec(),
            ports: vec![corner.ports],
            clients: corner.clients.clone(),
            paths,
            witness,
        };
        Some((block, ruled))
    }

    /// Rules of other policies may go by the same name: what the policies are called does not matter.
    fn is_same_rule(&self, old: Decision, new: Decision) -> bool {
        let name =
            |side: Side<'_>, decision: Decision| decision.rule.map(|rule| Arc::clone(side.policy.rule_name(rule)));
        match (name(self.old, old), name(self.new, new)) {
            (Some(old), Some(new)) => {
                (&old.group, &old.collection, &old.rule) == (&new.group, &new.collection, &new.rule)
            }
            (None, None) => (old.reason == Reason::ServiceEndpoint) == (new.reason == Reason::ServiceEndpoint),
            _ => false,
        }
    }

    /// Does the name, or the address, show the same difference by itself?
    fn is_told_already(&self, witness: &Witness, old: Verdict, new: Verdict) -> bool {
        let Way::Override(addr) = witness.way else { return false };
        let by_name = Witness { way: Way::Checked, ..witness.clone() };
        let by_address = Witness { host: Host::Addr(addr), path: None, ..by_name.clone() };
        [by_name, by_address].iter().any(|witness| {
            (decide(self.old.policy, witness).verdict, decide(self.new.policy, witness).verdict) == (old, new)
        })
    }

    /// A network rule for addresses decides of names too, once they are resolved.
    fn names_at_addresses(&mut self, atoms: &Atoms) {
        let groups = self.alike_names(atoms);
        // A denied name is resolved where some network rule looks at addresses, whichever: DNAT rules and service
        // endpoints then see the address too.
        let by_address: Vec<UnitId> =
            (0..).zip(&self.units).filter(|(_, it)| it.is_by_address()).map(|(id, _)| id).collect();
        for (class, at) in
            atoms.classes.iter().zip(0..).filter(|(class, _)| !class.is_of_names() && !class.is_elsewhere())
        {
            let Some(Cell::Range(cell)) = class.cells.first() else { continue };
            // The guard refuses these, whatever name leads there.
            if cell.class.is_never_a_destination() {
                continue;
            }
            for members in &groups {
                let names = &atoms.classes[members[0]];
                if self.asked > MAX_ASKED {
                    return;
                }
                self.asked += 1;
                let mut here = atoms.units_of_both(names, class);
                if here.iter().any(|id| self.unit(*id).passes()) {
                    here.extend(&by_address);
                    here.sort_unstable();
                    here.dedup();
                }
                let corner = Corner {
                    class: members[0],
                    at: Some(at),
                    host: names.host(),
                    addr: Some(cell.addr),
                    protocols: &[],
                    ports: (0, 0),
                    clients: Vec::new(),
                    client: None,
                };
                let first = self.changed.len();
                self.protocols(&here, corner);
                self.changed[first..].iter_mut().for_each(|block| block.classes.clone_from(members));
            }
        }
    }

    /// Classes of names whose rules decide alike, whichever rules they are.
    fn alike_names(&self, atoms: &Atoms) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<(Vec<u32>, Vec<u32>), Vec<usize>> = BTreeMap::new();
        for (class, at) in atoms.classes.iter().zip(0..).filter(|(class, _)| class.is_of_names()) {
            let units = atoms.units(class);
            let (old, new) = units.split_at(units.partition_point(|unit| *unit < self.split));
            let contents = |units: &[UnitId]| {
                let mut all: Vec<u32> = units.iter().map(|unit| self.contents[*unit as usize]).collect();
                all.dedup();
                all
            };
            groups.entry((contents(old), contents(new))).or_default().push(at);
        }
        groups.into_values().collect()
    }

    fn into_comparison(self, atoms: &Atoms) -> Comparison {
        let Compare { old, new, changed, moved, asked, .. } = self;
        let tree = NameTree::of(&atoms.classes);
        let differences = |blocks| {
            let blocks: Vec<Block<Key>> = join(blocks);
            blocks.into_iter().map(|block| difference(old, new, block, atoms, &tree)).collect()
        };
        Comparison {
            changed: differences(changed),
            moved: differences(moved),
            globs_are_sampled: atoms.globs_are_sampled,
            is_cut_short: asked > MAX_ASKED,
        }
    }
}

fn ports_where(wanted: impl Fn(u16) -> bool) -> impl Iterator<Item = u16> {
    (1..=u16::MAX).filter(move |port| wanted(*port))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ruled {
    Changed,
    Moved,
}

/// Application rules tell apart what TCP carries.
const APART: [&[Protocol]; 7] = [
    &[Protocol::Https],
    &[Protocol::Http],
    &[Protocol::Mssql],
    &[Protocol::Tcp],
    &[Protocol::Udp],
    &[Protocol::Icmp],
    &[Protocol::Other],
];
const TOGETHER: [&[Protocol]; 4] = [
    &[Protocol::Http, Protocol::Https, Protocol::Mssql, Protocol::Tcp],
    &[Protocol::Udp],
    &[Protocol::Icmp],
    &[Protocol::Other],
];

/// The last of those that are alike.
fn asked_as(protocols: &[Protocol]) -> Protocol {
    protocols.last().copied().unwrap_or(Protocol::Tcp)
}

/// As `egret check` does: a name by itself first, then with its address.
pub(super) fn decide(policy: &Policy, witness: &Witness) -> Decision {
    let by_name = |query: &Query<'_>| policy.decide(&query.with_address(Address::Unknown));
    witness.ask(|query| match (query.name, query.address) {
        (Some(_), Address::Override(_)) => {
            let first = by_name(query);
            let goes_on = first.verdict == Verdict::Allow || policy.is_decided_by_address(first, query.port);
            if goes_on { policy.decide(query) } else { first }
        }
        _ => policy.decide(query),
    })
}

fn difference(old: Side<'_>, new: Side<'_>, block: Block<Key>, atoms: &Atoms, tree: &NameTree) -> Difference {
    let ruling = |side: Side<'_>| {
        let Decision { verdict, reason, rule, .. } = decide(side.policy, &block.witness);
        Ruling { verdict, reason, rule: rule.map(|rule| Arc::clone(side.policy.rule_name(rule))) }
    };
    Difference {
        old: ruling(old),
        new: ruling(new),
        region: Region::of(&block, &atoms.classes, tree),
        witness: block.witness,
    }
}

/// The comparison, with what tells the class of a destination.
#[cfg(test)]
pub(super) fn compare_with_atoms(old: Side<'_>, new: Side<'_>) -> (Comparison, Atoms) {
    let mut compare = Compare::new(old, new);
    let atoms = Atoms::build(&compare.units, compare.split);
    compare.all(&atoms);
    (compare.into_comparison(&atoms), atoms)
}
