//! Can a rule ever decide anything? If not, which rules leave it nothing?
//!
//! A rule is reached when the policy, asked about a flow that the rule matches, says that this rule decided. The flows
//! to ask about are those at the points where a rule that comes before it can begin or end to match; when the policy
//! names another rule at all of them, no flow reaches it. Nothing is guessed: a rule whose points are too many to ask
//! about is said to be undecided.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::flow::{AddrClass, Host, PortRange, Protocol};
use crate::policy::{AddressRange, AnyRule, DnatDeny, OrderedRule, Policy, RuleId, RuleSet, Switches, in_order};

use super::atoms::{Atoms, Cell, Class, numbered};
use super::points::{address_intervals, inside, paths, port_intervals, well_known};
use super::units::{Owner, Unit, UnitId, units_of};
use super::witness::{Way, Witness};

/// What became of each rule, by its number.
pub struct Reach<'a> {
    pub rules: Vec<OrderedRule<'a>>,
    pub outcomes: Vec<Outcome>,
    /// Globs meet in more ways than were looked at: what is said of rules with globs is not proven.
    pub globs_are_sampled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// By this flow, for one.
    Reached(Witness),
    /// There is no flow that it matches.
    Never,
    /// Each flow that it matches is decided by one of these.
    Covered { by: Vec<Cover>, witness: Witness },
    /// There are more points than are asked about.
    Undecided,
}

/// What decides in a rule's stead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cover {
    /// A service endpoint, by its number in the rule set.
    Endpoint(u32),
    Rule(RuleId),
}

/// Points that are asked about for one rule. Only a rule that is covered by hundreds together, each for other clients
/// and ports, has more.
const MAX_ASKED: usize = 1 << 19;

/// Every rule of a policy.
pub fn reach<'a>(set: &'a RuleSet, policy: &Policy, switches: Switches) -> Reach<'a> {
    let units: Vec<Unit<'_>> = units_of(set).into_iter().map(|(unit, _)| unit).collect();
    let atoms = Atoms::build(&units, UnitId::MAX);
    let rules = in_order(set);
    let search =
        Search { policy, units: &units, atoms: &atoms, inner: inner_addresses(&atoms), rules: &rules, switches };
    let outcomes = search.all();
    Reach { outcomes, globs_are_sampled: atoms.globs_are_sampled, rules }
}

struct Search<'s, 'a> {
    policy: &'s Policy,
    units: &'s [Unit<'a>],
    atoms: &'s Atoms,
    /// Addresses that no service endpoint takes.
    inner: Vec<IpAddr>,
    rules: &'s [OrderedRule<'a>],
    switches: Switches,
}

/// One rule's search.
struct Found {
    rule: RuleId,
    asked: usize,
    reached: Option<Witness>,
    first: Option<Witness>,
    /// For each point those that cover it, each way once.
    covers: BTreeSet<Vec<Cover>>,
}

/// A protocol and port on which a unit is looked at, with the units before it there.
struct Corner<'u> {
    host: Host,
    unit: &'u Unit<'u>,
    before: Vec<&'u Unit<'u>>,
    protocol: Protocol,
    port: u16,
}

const PROTOCOLS: [Protocol; 7] =
    [Protocol::Https, Protocol::Http, Protocol::Mssql, Protocol::Tcp, Protocol::Udp, Protocol::Icmp, Protocol::Other];

impl<'s> Search<'s, '_> {
    fn all(&self) -> Vec<Outcome> {
        let mut of_rule: Vec<Vec<UnitId>> = vec![Vec::new(); self.rules.len()];
        for (id, unit) in numbered(self.units) {
            if let Owner::Rule(rule) = unit.owner {
                of_rule[rule.0 as usize].push(id);
            }
        }
        (0..).map(RuleId).zip(&of_rule).map(|(rule, units)| self.of_rule(rule, units)).collect()
    }

    fn of_rule(&self, rule: RuleId, units: &[UnitId]) -> Outcome {
        let mut found = Found { rule, asked: 0, reached: None, first: None, covers: BTreeSet::new() };
        for id in units {
            let unit = &self.units[*id as usize];
            for closer in self.atoms.closers_of(*id) {
                found.covers.insert(vec![Cover::from(self.units[closer as usize].owner)]);
                found.first = found.first.take().or_else(|| some_flow(unit));
            }
            for class in self.atoms.classes_of(*id, unit) {
                self.in_class(unit, class, &mut found);
                if found.is_over() {
                    return found.outcome();
                }
            }
        }
        found.outcome()
    }

    fn in_class(&self, unit: &Unit<'_>, class: &Class, found: &mut Found) {
        let all = self.atoms.units(class);
        let before = all.iter().map(|id| &self.units[*id as usize]).take_while(|it| it.owner < unit.owner);
        let before: Vec<&Unit<'_>> = before.filter(|it| it.may_meet(unit)).collect();
        for protocol in protocols_for(unit) {
            let mine = unit.ports(*protocol);
            if mine.is_empty() {
                continue;
            }
            let there: Vec<(&Unit<'_>, Vec<PortRange>)> =
                before.iter().map(|it| (*it, it.ports(*protocol))).filter(|(_, ports)| !ports.is_empty()).collect();
            let cuts = there.iter().flat_map(|(_, ports)| ports.iter().copied());
            for (first, last) in port_intervals(&mine, cuts) {
                let port = well_known(first, last);
                let here = there.iter().filter(|(_, ports)| ports.iter().any(|range| range.contains(port)));
                let before = here.map(|(it, _)| *it).collect();
                self.at_corner(&Corner { host: class.host(), unit, before, protocol: *protocol, port }, found);
                if found.is_over() {
                    return;
                }
            }
        }
    }

    fn at_corner(&self, corner: &Corner<'_>, found: &mut Found) {
        // Whoever asks: nobody is left over.
        let everybody: Vec<&Unit<'_>> =
            corner.before.iter().copied().filter(|it| it.is_for_anybody() && it.path().is_none()).collect();
        let clients = if everybody.is_empty() { self.clients(corner) } else { first_client(corner.unit) };
        for client in clients {
            for path in corner.paths() {
                if corner.unit.path().is_some_and(|mine| !path.as_deref().is_some_and(|path| mine.matches(path))) {
                    continue;
                }
                let covers =
                    if everybody.is_empty() { corner.covers(client, path.as_deref()) } else { everybody.clone() };
                self.at_point(corner, client, path, &covers, found);
                if found.is_over() {
                    return;
                }
            }
        }
    }

    /// A client for each way in which those before tell the unit's clients apart.
    fn clients(&self, corner: &Corner<'_>) -> Vec<Option<IpAddr>> {
        if corner.unit.is_for_anybody() {
            return vec![None];
        }
        let mine: Vec<AddressRange> = corner.unit.sources().collect();
        let takes_back = self.switches.dnat_deny == DnatDeny::Overrides;
        let others = corner.before.iter().copied().chain(self.units.iter().filter(|_| takes_back));
        address_intervals(&mine, others.flat_map(Unit::sources)).into_iter().map(|range| Some(inside(range))).collect()
    }

    fn at_point(
        &self,
        corner: &Corner<'_>,
        client: Option<IpAddr>,
        path: Option<String>,
        covers: &[&Unit<'_>],
        found: &mut Found,
    ) {
        let Corner { host, protocol, port, .. } = corner;
        let checked = Witness { client, protocol: *protocol, host: host.clone(), port: *port, path, way: Way::Checked };
        let decided = checked.ask(|query| self.policy.decide(query).rule);
        found.asked += 1;
        if decided == Some(found.rule) {
            found.reached = Some(checked);
            return;
        }
        if let Some(witness) = self.roundabout(corner, &checked, covers, found) {
            found.reached = Some(witness);
            return;
        }
        found.first.get_or_insert(checked);
        let mut covers: Vec<Cover> = covers.iter().map(|unit| Cover::from(unit.owner)).collect();
        if covers.is_empty() {
            covers.extend(decided.map(Cover::Rule));
        }
        covers.dedup();
        found.covers.insert(covers);
    }

    /// DNAT rules and service endpoints do not take every flow to what they name: a proxy's clients pass DNAT rules
    /// by, and a name of a service may lead to a private endpoint.
    fn roundabout(
        &self,
        corner: &Corner<'_>,
        checked: &Witness,
        covers: &[&Unit<'_>],
        found: &mut Found,
    ) -> Option<Witness> {
        if !covers.iter().all(|unit| self.can_be_passed(unit.owner)) || self.is_dnat(found.rule) {
            return None;
        }
        let outbound = Witness { way: Way::Outbound, ..checked.clone() };
        let name = match &corner.host {
            Host::Name(name) => Some(name.clone()),
            Host::Addr(_) => None,
        };
        let resolved = self.inner.iter().filter(|_| name.is_some());
        let resolved = resolved.map(|addr| Witness { way: Way::Resolved(*addr), ..checked.clone() });
        let known_as = self.inner.iter().filter_map(|addr| {
            let way = Way::KnownAs(name.clone().filter(|_| !corner.unit.is_application())?);
            Some(Witness { host: Host::Addr(*addr), way, ..checked.clone() })
        });
        let mut ways = std::iter::once(outbound).chain(resolved).chain(known_as);
        ways.find(|witness| {
            found.asked += 1;
            witness.ask(|query| self.policy.decide(query).rule) == Some(found.rule)
        })
    }

    fn can_be_passed(&self, owner: Owner) -> bool {
        match owner {
            Owner::Endpoint(_) => true,
            Owner::Rule(rule) => self.is_dnat(rule),
        }
    }

    fn is_dnat(&self, rule: RuleId) -> bool {
        matches!(self.rules[rule.0 as usize].rule, AnyRule::Dnat(_))
    }
}

/// What network rules are told apart by, all that is carried by TCP is alike.
fn protocols_for(unit: &Unit<'_>) -> &'static [Protocol] {
    if unit.is_application() { &PROTOCOLS[..3] } else { &PROTOCOLS[3..] }
}

/// One that the unit matches.
fn some_flow(unit: &Unit<'_>) -> Option<Witness> {
    let on = |protocol: &Protocol| Some((*protocol, *unit.ports(*protocol).first()?));
    let (protocol, range) = protocols_for(unit).iter().find_map(on)?;
    let port = well_known(range.first().max(u16::from(range.last() > 0)), range.last());
    let path = paths(unit.path().into_iter()).into_iter().map(|cell| cell.path);
    let mut path = path.filter(|path| unit.path().is_none_or(|pattern| pattern.matches(path)));
    let path = path.next().filter(|_| protocol == Protocol::Http);
    let client = first_client(unit).into_iter().next()?;
    Some(Witness { client, protocol, host: unit.member()?, port, path, way: Way::Checked })
}

fn first_client(unit: &Unit<'_>) -> Vec<Option<IpAddr>> {
    if unit.is_for_anybody() {
        return vec![None];
    }
    unit.sources().take(1).map(|range| Some(inside(range))).collect()
}

impl Corner<'_> {
    fn paths(&self) -> Vec<Option<String>> {
        if self.protocol != Protocol::Http {
            return vec![None];
        }
        let patterns = self.before.iter().filter_map(|it| it.path()).chain(self.unit.path());
        paths(patterns).into_iter().map(|cell| Some(cell.path)).collect()
    }

    /// Those that match there.
    fn covers(&self, client: Option<IpAddr>, path: Option<&str>) -> Vec<&Unit<'_>> {
        let has_path = |it: &&&Unit<'_>| it.path().is_none_or(|pattern| path.is_some_and(|path| pattern.matches(path)));
        self.before.iter().filter(|it| it.has_source(client)).filter(has_path).copied().collect()
    }
}

impl From<Owner> for Cover {
    fn from(owner: Owner) -> Cover {
        match owner {
            Owner::Endpoint(number) => Cover::Endpoint(number),
            Owner::Rule(rule) => Cover::Rule(rule),
        }
    }
}

impl Found {
    fn is_over(&self) -> bool {
        self.reached.is_some() || self.asked > MAX_ASKED
    }

    fn outcome(self) -> Outcome {
        match (self.reached, self.first) {
            (Some(witness), _) => Outcome::Reached(witness),
            (None, _) if self.asked > MAX_ASKED => Outcome::Undecided,
            (None, None) => Outcome::Never,
            (None, Some(witness)) => Outcome::Covered { by: fewest(self.covers), witness },
        }
    }
}

/// Few that cover every point between them: always the one that covers most of what is left, the first of equals.
fn fewest(mut points: BTreeSet<Vec<Cover>>) -> Vec<Cover> {
    let mut chosen = Vec::new();
    points.retain(|covers| !covers.is_empty());
    while !points.is_empty() {
        let mut counts: BTreeMap<Cover, usize> = BTreeMap::new();
        points.iter().flatten().for_each(|cover| *counts.entry(*cover).or_default() += 1);
        let Some((best, _)) = counts.into_iter().rev().max_by_key(|(_, count)| *count) else { break };
        points.retain(|covers| !covers.contains(&best));
        chosen.push(best);
    }
    chosen.sort_unstable();
    chosen
}

/// One address of each kind that no service endpoint leads to, those that no rule names first.
fn inner_addresses(atoms: &Atoms) -> Vec<IpAddr> {
    let known =
        [[10, 255, 255, 254], [172, 31, 255, 254], [192, 168, 255, 254], [100, 127, 255, 254], [198, 19, 255, 254]];
    let cells = atoms.classes.iter().flat_map(|class| class.cells.first());
    let cells = cells.filter_map(|cell| match cell {
        Cell::Range(cell) if cell.class != AddrClass::Global => Some(cell.addr),
        Cell::Range(_) | Cell::Name(_) => None,
    });
    known.into_iter().map(|octets| IpAddr::V4(Ipv4Addr::from(octets))).chain(cells).collect()
}
