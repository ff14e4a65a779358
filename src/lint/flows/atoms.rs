//! All destinations that one or two rule sets can tell apart, each class with the units that it matches.
//!
//! Destinations come first: most rules name few, so a class has few units, and only those can cut its ports, clients
//! and paths. Names and addresses that match the same units are one class, however many they are.

use std::collections::{HashMap, HashSet};

use crate::flow::{AddrClass, Host, HostName};
use crate::policy::{
    AddressRange, FqdnPattern,
    chains::Chains,
    names::{NameIndex, NameIndexBuilder},
};

use super::addresses::{AddressCell, address_cells};
use super::names::{NameCell, NameCells, NameShape, name_cells};
use super::units::{Unit, UnitId};

pub(super) struct Atoms {
    pub(super) classes: Vec<Class>,
    /// By unit: the classes that it matches, but for those that it matches because it matches all.
    of_unit: Vec<Vec<u32>>,
    everywhere: Everywhere,
    /// Units that are left nothing somewhere, each with the one that takes all of it there; sorted.
    closed_by: Vec<(UnitId, UnitId)>,
    /// Globs meet in more ways than were looked at.
    pub(super) globs_are_sampled: bool,
    /// Kept for whoever asks which class a name is in.
    #[cfg(test)]
    index: Index,
}

/// Destinations that nothing tells apart.
#[derive(Debug)]
pub(super) struct Class {
    /// In the order of evaluation, without those that match everywhere.
    units: Vec<UnitId>,
    is_elsewhere: bool,
    /// One at least.
    pub(super) cells: Vec<Cell>,
}

#[derive(Debug, Clone)]
pub(super) enum Cell {
    Name(NameCell),
    Range(AddressCell),
}

/// Units that match any destination, and those that match any name.
#[derive(Default)]
struct Everywhere {
    addresses: Vec<UnitId>,
    names: Vec<UnitId>,
}

/// Two classes differ in their units (some of them marked as [`NAMED`]), or in whether they are names, or in what the
/// guard makes of the addresses.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    units: Vec<UnitId>,
    addresses: Option<AddrClass>,
}

#[derive(Default)]
struct Builder {
    classes: Vec<Class>,
    known: HashMap<Key, u32>,
}

/// The units that name a destination by name.
pub(super) struct Index {
    names: NameIndex,
    lists: Vec<Vec<UnitId>>,
}

impl Atoms {
    /// Of one policy, or of two: the units from `split` on are those of the second.
    pub(super) fn build(units: &[Unit<'_>], split: UnitId) -> Atoms {
        let mut pruner = Pruner { units, split, closed_by: HashSet::new() };
        let everywhere = Everywhere::of(units, &mut pruner);
        let (index, patterns) = Index::build(&mut pruner);
        let NameCells { cells, globs_are_sampled } = name_cells(patterns.iter());
        let mut builder = Builder::default();
        cells.into_iter().for_each(|cell| builder.add_name(index.units(&cell.name), cell));
        let ranges: Vec<_> = numbered(units).flat_map(|(id, unit)| marked_ranges(id, unit)).collect();
        address_cells(&ranges, |cell, here| {
            if !here.is_empty() || !everywhere.addresses.is_empty() {
                builder.add_range(pruner.pruned(here), cell);
            }
        });
        let classes = builder.classes;
        let of_unit = classes_of_units(&classes, units.len());
        let mut closed_by: Vec<(UnitId, UnitId)> = pruner.closed_by.into_iter().collect();
        closed_by.sort_unstable();
        Atoms {
            classes,
            of_unit,
            closed_by,
            everywhere,
            globs_are_sampled,
            #[cfg(test)]
            index,
        }
    }

    /// The units that a class matches, in the order of evaluation.
    pub(super) fn units(&self, class: &Class) -> Vec<UnitId> {
        merged(&class.units, self.everywhere.of_class(class))
    }

    /// The units that a name of the one class matches when it leads to an address of the other.
    pub(super) fn units_of_both(&self, names: &Class, addresses: &Class) -> Vec<UnitId> {
        let mut units = merged(&self.units(names), &addresses.units);
        units.dedup();
        units
    }

    /// Those that take all of a unit somewhere: it is not in the classes there.
    pub(super) fn closers_of(&self, id: UnitId) -> impl Iterator<Item = UnitId> + '_ {
        let from = self.closed_by.partition_point(|(unit, _)| *unit < id);
        self.closed_by[from..].iter().take_while(move |(unit, _)| *unit == id).map(|(_, closer)| *closer)
    }

    /// The classes that a unit matches, and where it is left something.
    pub(super) fn classes_of<'a>(&'a self, id: UnitId, unit: &Unit<'_>) -> Box<dyn Iterator<Item = &'a Class> + 'a> {
        if unit.is_everywhere() && self.everywhere.addresses.binary_search(&id).is_ok() {
            Box::new(self.classes.iter())
        } else if !unit.is_everywhere() && self.everywhere.names.binary_search(&id).is_ok() {
            Box::new(self.classes.iter().filter(|class| class.is_of_names()))
        } else {
            Box::new(self.of_unit[id as usize].iter().map(|class| &self.classes[*class as usize]))
        }
    }
}

/// The guard spares an internal address that a rule names itself, so that one is another than one that lies within a
/// wider range: a range of internal addresses counts twice, once with this mark.
const NAMED: UnitId = 1 << 31;

fn marked_ranges(id: UnitId, unit: &Unit<'_>) -> Vec<(AddressRange, UnitId)> {
    let is_internal = |range: &AddressRange| {
        let class = AddrClass::of(range.first());
        class != AddrClass::Global && class == AddrClass::of(range.last())
    };
    let all = unit.ranges().into_iter().filter(|_| !unit.is_everywhere()).map(|range| (range, id));
    let named = unit.ranges().into_iter().filter(is_internal).map(|range| (range, id | NAMED));
    all.chain(named).collect()
}

fn classes_of_units(classes: &[Class], units: usize) -> Vec<Vec<u32>> {
    let mut of_unit = vec![Vec::new(); units];
    for (class, at) in classes.iter().zip(0..) {
        class.units.iter().for_each(|unit| of_unit[*unit as usize].push(at));
    }
    of_unit
}

pub(super) fn numbered<'a, 'b>(units: &'b [Unit<'a>]) -> impl Iterator<Item = (UnitId, &'b Unit<'a>)> {
    (0..).zip(units)
}

/// Both lists ascend.
fn merged(a: &[UnitId], b: &[UnitId]) -> Vec<UnitId> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all
}

/// Leaves out of lists what can decide nothing there, because one before it takes all of its traffic from anybody.
/// Thousands of rules for the same names would make thousands of classes long.
struct Pruner<'p, 'a> {
    units: &'p [Unit<'a>],
    split: UnitId,
    closed_by: HashSet<(UnitId, UnitId)>,
}

impl Pruner<'_, '_> {
    /// `list` in the order of evaluation; marks are kept.
    fn pruned(&mut self, list: &[UnitId]) -> Vec<UnitId> {
        let mut closers: Vec<UnitId> = Vec::new();
        let mut kept = Vec::with_capacity(list.len());
        for id in list.iter().copied() {
            if id & NAMED != 0 {
                kept.push(id);
                continue;
            }
            let unit = &self.units[id as usize];
            let is_mine = |closer: &&UnitId| (**closer < self.split) == (id < self.split);
            let mut before = closers.iter().filter(is_mine);
            if let Some(closer) = before.find(|closer| self.units[**closer as usize].closes(unit)) {
                self.closed_by.insert((id, *closer));
                continue;
            }
            if unit.is_closed() {
                closers.push(id);
            }
            kept.push(id);
        }
        kept
    }
}

impl Everywhere {
    fn of(units: &[Unit<'_>], pruner: &mut Pruner<'_, '_>) -> Everywhere {
        let mut pick = |wanted: fn(&Unit<'_>) -> bool| {
            let all: Vec<UnitId> = numbered(units).filter(|(_, unit)| wanted(unit)).map(|(id, _)| id).collect();
            pruner.pruned(&all)
        };
        Everywhere {
            addresses: pick(|unit| unit.is_everywhere()),
            names: pick(|unit| unit.is_everywhere() || unit.is_for_any_name()),
        }
    }

    fn of_class(&self, class: &Class) -> &[UnitId] {
        if class.is_of_names() { &self.names } else { &self.addresses }
    }
}

impl Class {
    /// Does no rule name it, but those for any?
    pub(super) fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    pub(super) fn is_of_names(&self) -> bool {
        matches!(self.cells.first(), Some(Cell::Name(_)))
    }

    /// The one that stands for all.
    pub(super) fn host(&self) -> Host {
        match self.cells.first().expect("a class is made for a cell") {
            Cell::Name(cell) => Host::Name(cell.name.clone()),
            Cell::Range(cell) => Host::Addr(cell.addr),
        }
    }
}

impl Cell {
    pub(super) fn name(&self) -> Option<&NameCell> {
        match self {
            Cell::Name(cell) => Some(cell),
            Cell::Range(_) => None,
        }
    }
}

impl Builder {
    fn add_name(&mut self, units: Vec<UnitId>, cell: NameCell) {
        let key = Key { units, addresses: None };
        let is_new = !self.known.contains_key(&key);
        // What globs show beside suffixes is in the suffixes' own classes already.
        if is_new || !matches!(cell.shape, NameShape::Matching(_)) {
            self.add(key, Cell::Name(cell));
        }
    }

    fn add_range(&mut self, units: Vec<UnitId>, cell: AddressCell) {
        self.add(Key { units, addresses: Some(cell.class) }, Cell::Range(cell));
    }

    fn add(&mut self, key: Key, cell: Cell) {
        let next = u32::try_from(self.classes.len()).expect("fewer than 2^32 classes");
        let Builder { classes, known } = self;
        let class = *known.entry(key).or_insert_with_key(|key| {
            let units = key.units.iter().copied().filter(|unit| unit & NAMED == 0).collect();
            classes.push(Class { units, is_elsewhere: key.units.is_empty(), cells: Vec::new() });
            next
        });
        classes[class as usize].cells.push(cell);
    }
}

impl Index {
    /// And every pattern that it is made of.
    fn build(pruner: &mut Pruner<'_, '_>) -> (Index, Vec<FqdnPattern>) {
        let mut chains = Chains::new();
        let mut names = NameIndexBuilder::default();
        let mut all = Vec::new();
        for (id, unit) in numbered(pruner.units).filter(|(_, unit)| !unit.is_everywhere() && !unit.is_for_any_name()) {
            for pattern in unit.patterns() {
                names.add(&pattern, &mut chains, id);
                all.push(pattern);
            }
        }
        let mut lists: Vec<Vec<UnitId>> = Vec::new();
        let mut known: HashMap<u32, u32> = HashMap::new();
        let names = names.build(|chain| {
            *known.entry(chain).or_insert_with(|| {
                lists.push(pruner.pruned(&chains.rules(chain)));
                u32::try_from(lists.len() - 1).expect("fewer lists than patterns")
            })
        });
        (Index { names, lists }, all)
    }

    /// In the order of evaluation.
    pub(super) fn units(&self, name: &HostName) -> Vec<UnitId> {
        let mut units = Vec::new();
        self.names.visit(name, |list| units.extend(&self.lists[list as usize]));
        units.sort_unstable();
        units.dedup();
        units
    }
}

#[cfg(test)]
impl Atoms {
    /// The class that a destination is in, by its place; None where no unit matches it.
    pub(super) fn class_of(&self, host: &Host) -> Option<usize> {
        match host {
            Host::Name(name) => {
                let units = self.index.units(name);
                self.classes.iter().position(|class| class.is_of_names() && class.units == units)
            }
            Host::Addr(addr) => {
                let class = AddrClass::of(*addr);
                let holds = |cell: &Cell| matches!(cell, Cell::Range(cell) if cell.first.is_ipv4() == addr.is_ipv4() && cell.first <= *addr && *addr <= cell.last && cell.class == class);
                self.classes.iter().position(|it| it.cells.iter().any(holds))
            }
        }
    }
}
