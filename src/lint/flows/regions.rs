//! Cells that differ alike, joined into what people can read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;

use crate::flow::{AddrClass, HostName, PortRange, PortSet, Protocol};
use crate::policy::AddressRange;

use super::atoms::{Cell, Class};
use super::names::{NameCell, NameShape};
use super::points::joined;
use super::witness::Witness;

/// Flows that two policies decide differently, all in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    pub protocols: Vec<Protocol>,
    /// Empty for protocols without ports.
    pub ports: PortSet,
    /// Of two that hold a name, here or in `but_names`, the longer says whether it is meant.
    pub names: Vec<NamePart>,
    pub but_names: Vec<NamePart>,
    pub addresses: Vec<AddressPart>,
    /// The addresses that the names have to lead to, where that matters.
    pub at: Vec<AddressPart>,
    pub clients: Clients,
    /// As target URLs write them; empty where any path will do. The longest that holds a path, here or in `but_paths`,
    /// says whether it is meant.
    pub paths: Vec<String>,
    pub but_paths: Vec<String>,
    /// The classes of its destinations, and those of `at`.
    pub(super) classes: (Vec<usize>, Option<usize>),
}

/// Names that a pattern holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamePart {
    Exact(HostName),
    /// `*.contoso.com`, `*contoso.com`, `*`.
    Ending(String),
    /// Names that all of these match.
    All(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressPart {
    Range(AddressRange),
    /// Addresses of this class that no rule names.
    Other(AddrClass),
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clients {
    /// Anybody, but for `except`.
    pub anybody: bool,
    pub ranges: Vec<AddressRange>,
    pub except: Vec<AddressRange>,
}

/// Cells on their way into a region.
#[derive(Debug, Clone)]
pub(super) struct Block<K> {
    /// What differs.
    pub(super) key: K,
    pub(super) classes: Vec<usize>,
    pub(super) at: Option<usize>,
    pub(super) protocols: Vec<Protocol>,
    pub(super) ports: Vec<(u16, u16)>,
    pub(super) clients: Vec<Client>,
    pub(super) paths: Vec<PathPart>,
    pub(super) witness: Witness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    Anybody,
    From(IpAddr, IpAddr),
    /// Where anybody is meant, these are not.
    But(IpAddr, IpAddr),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathPart {
    Is(String),
    /// It fares otherwise, where it is not there as well.
    But(String),
}

/// Joins blocks that differ in one dimension only, one dimension after the other.
pub(super) fn join<K: Ord + Clone>(blocks: Vec<Block<K>>) -> Vec<Block<K>> {
    let blocks = along(
        blocks,
        |b| (b.key.clone(), b.classes.clone(), b.at, b.protocols.clone(), b.clients.clone(), b.paths.clone()),
        |b| &mut b.ports,
    );
    let blocks = along(
        blocks,
        |b| (b.key.clone(), b.classes.clone(), b.at, b.ports.clone(), b.clients.clone(), b.paths.clone()),
        |b| &mut b.protocols,
    );
    let blocks = along(
        blocks,
        |b| (b.key.clone(), b.classes.clone(), b.at, b.ports.clone(), b.protocols.clone(), b.paths.clone()),
        |b| &mut b.clients,
    );
    let blocks = along(
        blocks,
        |b| (b.key.clone(), b.classes.clone(), b.at, b.ports.clone(), b.protocols.clone(), b.clients.clone()),
        |b| &mut b.paths,
    );
    along(
        blocks,
        |b| (b.key.clone(), b.at, b.ports.clone(), b.protocols.clone(), b.clients.clone(), b.paths.clone()),
        |b| &mut b.classes,
    )
}

fn along<K, D: Ord, G: Ord>(
    blocks: Vec<Block<K>>,
    group: impl Fn(&Block<K>) -> G,
    dimension: impl Fn(&mut Block<K>) -> &mut Vec<D>,
) -> Vec<Block<K>> {
    let mut groups: BTreeMap<G, Block<K>> = BTreeMap::new();
    for mut block in blocks {
        let more = std::mem::take(dimension(&mut block));
        let into = dimension(groups.entry(group(&block)).or_insert(block));
        into.extend(more);
    }
    let tidy = |mut block: Block<K>| {
        dimension(&mut block).sort_unstable();
        dimension(&mut block).dedup();
        block
    };
    groups.into_values().map(tidy).collect()
}

impl Region {
    pub(super) fn of<K>(block: &Block<K>, classes: &[Class], tree: &NameTree) -> Region {
        let (names, but_names) = tree.names_of(&block.classes);
        let cells = || block.classes.iter().map(|class| &classes[*class]);
        let (paths, but_paths) = paths(&block.paths);
        let portless = block.protocols.iter().all(|it| matches!(it, Protocol::Icmp | Protocol::Other));
        let ports = block.ports.iter().map(|(first, last)| PortRange::between(*first, *last));
        Region {
            protocols: block.protocols.clone(),
            ports: if portless { PortSet::default() } else { ports.collect() },
            names,
            but_names,
            addresses: addresses(cells()),
            at: addresses(block.at.iter().map(|class| &classes[*class])),
            clients: Clients::of(&block.clients),
            paths,
            but_paths,
            classes: (block.classes.clone(), block.at),
        }
    }
}

/// Which cell of names holds which: a name is in the cell of the longest suffix that ends it, unless it has its own.
pub(super) struct NameTree {
    nodes: Vec<Node>,
    of_class: HashMap<usize, Vec<usize>>,
    /// Those that are held by a node next.
    below: HashMap<usize, Vec<usize>>,
}

struct Node {
    class: usize,
    part: NamePart,
    above: Option<usize>,
}

impl NameTree {
    pub(super) fn of(classes: &[Class]) -> NameTree {
        let mut nodes = Vec::new();
        let mut suffixes: HashMap<&str, usize> = HashMap::new();
        let cells = || (0..).zip(classes).flat_map(|(at, class)| class.cells.iter().map(move |cell| (at, cell)));
        let names = || cells().filter_map(|(at, cell)| Some((at, cell.name()?)));
        for (class, cell) in names() {
            if let NameShape::Ending(suffix) = &cell.shape {
                suffixes.insert(suffix, nodes.len());
            }
            nodes.push(Node { class, part: NamePart::from(cell), above: None });
        }
        for (node, (_, cell)) in nodes.iter_mut().zip(names()) {
            node.above = above(&cell.shape, cell.name.as_str(), &suffixes);
        }
        let (mut of_class, mut below): (HashMap<_, Vec<_>>, HashMap<_, Vec<_>>) = Default::default();
        for (at, node) in nodes.iter().enumerate() {
            of_class.entry(node.class).or_default().push(at);
            if let Some(above) = node.above {
                below.entry(above).or_default().push(at);
            }
        }
        NameTree { nodes, of_class, below }
    }

    /// What the classes hold, and what of it they do not.
    fn names_of(&self, classes: &[usize]) -> (Vec<NamePart>, Vec<NamePart>) {
        let held: HashSet<usize> = classes.iter().copied().collect();
        let is_held = |node: usize| held.contains(&self.nodes[node].class);
        let own = || classes.iter().flat_map(|class| self.of_class.get(class).into_iter().flatten().copied());
        let held_parts = own().filter(|node| !self.nodes[*node].above.is_some_and(is_held));
        let below = own().flat_map(|node| self.below.get(&node).into_iter().flatten().copied());
        (self.parts(held_parts), self.parts(below.filter(|node| !is_held(*node))))
    }

    fn parts(&self, nodes: impl Iterator<Item = usize>) -> Vec<NamePart> {
        let mut parts: Vec<NamePart> = nodes.map(|node| self.nodes[node].part.clone()).collect();
        parts.sort_unstable_by(|a, b| b.is_wide().cmp(&a.is_wide()).then_with(|| a.cmp(b)));
        parts
    }
}

/// The longest suffix that ends it, other than itself.
fn above(shape: &NameShape, name: &str, suffixes: &HashMap<&str, usize>) -> Option<usize> {
    let (text, longest) = match shape {
        NameShape::Exact => (name, 0),
        NameShape::Ending(suffix) => (&**suffix, 1),
        NameShape::Matching(_) => return None,
    };
    (longest..=text.len()).find_map(|at| suffixes.get(&text[at..]).copied())
}

impl NamePart {
    fn is_wide(&self) -> bool {
        !matches!(self, NamePart::Exact(_))
    }
}

impl From<&NameCell> for NamePart {
    fn from(cell: &NameCell) -> NamePart {
        match &cell.shape {
            NameShape::Exact => NamePart::Exact(cell.name.clone()),
            NameShape::Ending(suffix) => NamePart::Ending(format!("*{suffix}")),
            NameShape::Matching(patterns) => NamePart::All(patterns.iter().map(ToString::to_string).collect()),
        }
    }
}

impl fmt::Display for NamePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NamePart::Exact(name) => name.fmt(f),
            NamePart::Ending(pattern) => f.write_str(pattern),
            NamePart::All(patterns) => f.write_str(&patterns.join(" & ")),
        }
    }
}

impl fmt::Display for AddressPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressPart::Range(range) => range.fmt(f),
            AddressPart::Other(AddrClass::Global) => f.write_str("other public addresses"),
            AddressPart::Other(class) => write!(f, "other {} addresses", class.as_str()),
        }
    }
}

fn addresses<'c>(classes: impl Iterator<Item = &'c Class>) -> Vec<AddressPart> {
    let mut parts: Vec<AddressPart> = Vec::new();
    let mut ranges = Vec::new();
    for class in classes {
        for cell in &class.cells {
            match cell {
                Cell::Range(cell) if class.is_elsewhere() => parts.push(AddressPart::Other(cell.class)),
                Cell::Range(cell) => ranges.extend(AddressRange::between(cell.first, cell.last)),
                Cell::Name(_) => {}
            }
        }
    }
    parts.sort_unstable_by_key(ToString::to_string);
    parts.dedup();
    joined(ranges).into_iter().map(AddressPart::Range).chain(parts).collect()
}

fn paths(parts: &[PathPart]) -> (Vec<String>, Vec<String>) {
    let (mut is, mut but) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            PathPart::Is(shown) => is.push(shown.clone()),
            PathPart::But(shown) => but.push(shown.clone()),
        }
    }
    let is_within =
        |shown: &String| is.iter().any(|wide| wide.strip_suffix('*').is_some_and(|it| shown.starts_with(it)));
    but.retain(|shown| !is.contains(shown) && is_within(shown));
    (is, but)
}

impl Clients {
    fn of(clients: &[Client]) -> Clients {
        let mut all = Clients::default();
        for client in clients {
            match *client {
                Client::Anybody => all.anybody = true,
                Client::From(first, last) => all.ranges.extend(AddressRange::between(first, last)),
                Client::But(first, last) => all.except.extend(AddressRange::between(first, last)),
            }
        }
        all.except.retain(|range| !all.ranges.contains(range));
        let Clients { anybody, ranges, except } = all;
        // Whom anybody holds is not named again.
        let ranges = if anybody { Vec::new() } else { joined(ranges) };
        Clients { anybody, ranges, except: joined(except) }
    }

    #[cfg(test)]
    fn has(&self, client: Option<IpAddr>) -> bool {
        let within =
            |ranges: &[AddressRange]| client.is_some_and(|addr| ranges.iter().any(|range| range.contains(addr)));
        within(&self.ranges) || (self.anybody && !within(&self.except))
    }
}

impl Region {
    /// Does it say so of this flow? `class_of` is the class of a destination.
    #[cfg(test)]
    pub(super) fn covers(
        &self,
        to: Option<usize>,
        at: Option<usize>,
        protocol: Protocol,
        port: u16,
        client: Option<IpAddr>,
    ) -> bool {
        let (classes, mine) = &self.classes;
        to.is_some_and(|to| classes.contains(&to))
            && (mine.is_none() || *mine == at)
            && self.protocols.contains(&protocol)
            && (self.ports.ranges().is_empty() || self.ports.contains(port))
            && self.clients.has(client)
    }

    #[cfg(test)]
    pub(super) fn has_path(&self, path: Option<&str>) -> bool {
        let Some(path) = path.map(|path| path.split('?').next().unwrap_or(path)) else { return true };
        let length = |shown: &String| match shown.strip_suffix('*') {
            _ if path.contains("/../") => shown.contains("/../").then_some(usize::MAX),
            _ if shown == path => Some(usize::MAX),
            prefix => prefix.filter(|prefix| path.starts_with(*prefix)).map(str::len),
        };
        let longest = |all: &[String]| all.iter().filter_map(length).max();
        self.paths.is_empty() || longest(&self.paths) > longest(&self.but_paths)
    }
}
