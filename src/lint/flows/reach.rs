//! Can a rule ever decide anything? If not, which rules leave it nothing?
//!
//! A rule is reached when the policy, asked about a flow that the rule matches, says that this rule decided. The flows
//! to ask about are those at the points where a rule that comes before it can begin or end to match; when the policy
//! names another rule at all of them, no flow reaches it. Nothing is guessed: a rule whose points are too many to ask
//! about is said to be undecided.
//!
//! The cheap comes first: a few points of the rule's own, then whether the rule that decides there holds all of it.
//! Only what is left is laid over the rules before it. All work is counted, so that the whole has an end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::flow::{AddrClass, Host, PortRange, Protocol};
use crate::policy::{AddressRange, AnyRule, DnatDeny, OrderedRule, Policy, RuleId, RuleSet, Switches, in_order};

use super::atoms::{Atoms, Class, numbered};
use super::holds::{are_apart, holds};
use super::points::{address_intervals, after, inside, paths, port_intervals, well_known};
use super::probes::{is_empty, probes};
use super::size::size;
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

/// Steps of all searches together, each of a nanosecond or so.
const WORK: u64 = 800_000_000;
/// Steps that a question counts for.
const QUESTION: u64 = 500;
/// Places in the lists of all destinations, at most; a place is a few steps.
const PLACES: u64 = 40_000_000;
const PLACE: u64 = 8;
/// Points of one rule's own that are asked about.
const PROBES: usize = 48;
/// Rules that are compared with one that they take a point of.
const COMPARED: usize = 4;

/// Every rule of a policy.
pub fn reach<'a>(set: &'a RuleSet, policy: &Policy, switches: Switches) -> Reach<'a> {
    let units: Vec<Unit<'_>> = units_of(set).into_iter().map(|(unit, _)| unit).collect();
    let rules = in_order(set);
    let whole = Whole { policy, of_rule: by_rule(&units, rules.len()), units, rules: &rules, switches };
    let (outcomes, globs_are_sampled) = whole.all();
    Reach { outcomes, globs_are_sampled, rules }
}

fn by_rule(units: &[Unit<'_>], rules: usize) -> Vec<Vec<UnitId>> {
    let mut of_rule = vec![Vec::new(); rules];
    for (id, unit) in numbered(units) {
        if let Owner::Rule(rule) = unit.owner {
            of_rule[rule.0 as usize].push(id);
        }
    }
    of_rule
}

/// All rules, before any are laid over each other.
struct Whole<'s, 'a> {
    policy: &'s Policy,
    units: Vec<Unit<'a>>,
    of_rule: Vec<Vec<UnitId>>,
    rules: &'s [OrderedRule<'a>],
    switches: Switches,
}

/// What is left to spend.
struct Work {
    left: u64,
}

impl Work {
    /// Nothing is left once more is asked for than there is.
    fn spend(&mut self, steps: u64) {
        self.left = self.left.saturating_sub(steps);
    }

    fn is_over(&self) -> bool {
        self.left == 0
    }
}

impl Whole<'_, '_> {
    fn all(&self) -> (Vec<Outcome>, bool) {
        let mut work = Work { left: WORK };
        let outcomes: Vec<Option<Outcome>> =
            (0..).map(RuleId).take(self.rules.len()).map(|rule| self.at_a_glance(rule, &mut work)).collect();
        let left: Vec<RuleId> =
            (0..).map(RuleId).zip(&outcomes).filter(|(_, outcome)| outcome.is_none()).map(|(rule, _)| rule).collect();
        let (searched, globs_are_sampled) = self.search(&left, &mut work);
        let outcomes = (0..)
            .map(RuleId)
            .zip(outcomes)
            .map(|(rule, outcome)| outcome.or_else(|| searched.get(&rule).cloned()).unwrap_or(Outcome::Undecided));
        (outcomes.collect(), globs_are_sampled)
    }

    fn units_of(&self, rule: RuleId) -> impl Iterator<Item = &Unit<'_>> {
        self.of_rule[rule.0 as usize].iter().map(|id| &self.units[*id as usize])
    }

    /// None where a few points do not tell.
    fn at_a_glance(&self, rule: RuleId, work: &mut Work) -> Option<Outcome> {
        if self.units_of(rule).all(is_empty) {
            return Some(Outcome::Never);
        }
        let mut compared: Vec<RuleId> = Vec::new();
        for witness in self.units_of(rule).flat_map(probes).take(PROBES) {
            work.spend(QUESTION);
            match witness.ask(|query| self.policy.decide(query).rule) {
                Some(decided) if decided == rule => return Some(Outcome::Reached(witness)),
                Some(by) if compared.len() < COMPARED && !compared.contains(&by) => {
                    compared.push(by);
                    if self.holds(by, rule) {
                        return Some(Outcome::Covered { by: vec![Cover::Rule(by)], witness });
                    }
                }
                _ => {}
            }
            if work.is_over() {
                break;
            }
        }
        None
    }

    /// Some flows pass DNAT rules and service endpoints by.
    fn is_passed(&self, owner: Owner) -> bool {
        match owner {
            Owner::Endpoint(_) => true,
            Owner::Rule(rule) => matches!(self.rules[rule.0 as usize].rule, AnyRule::Dnat(_)),
        }
    }

    /// Some flows pass DNAT rules by, and some rules take back what DNAT rules say.
    fn holds(&self, outer: RuleId, inner: RuleId) -> bool {
        let is_dnat = |rule: RuleId| matches!(self.rules[rule.0 as usize].rule, AnyRule::Dnat(_));
        let is_held = |unit: &Unit<'_>| is_empty(unit) || self.units_of(outer).any(|it| holds(it, unit));
        !is_dnat(outer) && !is_dnat(inner) && self.units_of(inner).all(is_held)
    }

    /// Lays rules over each other: all at once where that makes no long lists, or else each over those that it meets.
    fn search(&self, left: &[RuleId], work: &mut Work) -> (HashMap<RuleId, Outcome>, bool) {
        if left.is_empty() {
            return (HashMap::new(), false);
        }
        work.spend(self.units.len() as u64 * QUESTION);
        let places = size(&self.units);
        if places <= PLACES.min(work.left / PLACE) {
            work.spend(places * PLACE);
            return self.search_all(left, work);
        }
        let mut found = HashMap::new();
        let mut globs_are_sampled = false;
        for rule in left.iter().filter(|_| self.switches.dnat_deny == DnatDeny::Ignored) {
            if let Some((outcome, sampled)) = self.search_one(*rule, work) {
                found.insert(*rule, outcome);
                globs_are_sampled |= sampled;
            }
        }
        (found, globs_are_sampled)
    }

    /// Each rule has its share; what the others leave is for those that want more.
    fn search_all(&self, left: &[RuleId], work: &mut Work) -> (HashMap<RuleId, Outcome>, bool) {
        let atoms = Atoms::build(&self.units, UnitId::MAX);
        let inner = inner_addresses(&self.units, |owner| self.is_passed(owner));
        let search = self.searching(&self.units, &atoms, &inner);
        let mut found = HashMap::new();
        let mut wanting: Vec<RuleId> = left.to_vec();
        for part in [2, 1] {
            let share = work.left / part / (wanting.len() as u64).max(1);
            wanting.retain(|rule| {
                let mut mine = Work { left: share.min(work.left) };
                let given = mine.left;
                let outcome = search.of_rule(*rule, &self.of_rule[rule.0 as usize], &mut mine);
                work.spend(given - mine.left);
                let wants = outcome == Outcome::Undecided;
                found.insert(*rule, outcome);
                wants
            });
        }
        (found, atoms.globs_are_sampled)
    }

    fn search_one(&self, rule: RuleId, work: &mut Work) -> Option<(Outcome, bool)> {
        let mine = &self.of_rule[rule.0 as usize];
        let last = mine.last().map_or(0, |last| *last as usize + 1);
        work.spend(last as u64 * mine.len() as u64 * MEETING);
        if work.is_over() {
            return None;
        }
        let meets = |other: &&Unit<'_>| {
            other.owner == Owner::Rule(rule) || self.units_of(rule).any(|unit| !are_apart(other, unit))
        };
        let units: Vec<Unit<'_>> = self.units[..last].iter().filter(meets).cloned().collect();
        let places = size(&units);
        work.spend(units.len() as u64 * QUESTION + places.saturating_mul(PLACE));
        if work.is_over() || places > PLACES {
            return None;
        }
        let atoms = Atoms::build(&units, UnitId::MAX);
        let inner = inner_addresses(&self.units, |owner| self.is_passed(owner));
        let ids: Vec<UnitId> =
            numbered(&units).filter(|(_, unit)| unit.owner == Owner::Rule(rule)).map(|(id, _)| id).collect();
        let mut share = Work { left: work.left / 4 };
        let given = share.left;
        let outcome = self.searching(&units, &atoms, &inner).of_rule(rule, &ids, &mut share);
        work.spend(given - share.left);
        Some((outcome, atoms.globs_are_sampled))
    }

    fn searching<'t>(&'t self, units: &'t [Unit<'t>], atoms: &'t Atoms, inner: &'t [IpAddr]) -> Search<'t> {
        Search { policy: self.policy, units, atoms, inner, rules: self.rules, switches: self.switches }
    }
}

/// Steps in which two units are told apart.
const MEETING: u64 = 32;

struct Search<'s> {
    policy: &'s Policy,
    units: &'s [Unit<'s>],
    atoms: &'s Atoms,
    /// Addresses that no service endpoint takes.
    inner: &'s [IpAddr],
    rules: &'s [OrderedRule<'s>],
    switches: Switches,
}

/// One rule's search.
struct Found<'w> {
    rule: RuleId,
    work: &'w mut Work,
    /// Whether a unit before this rule's can meet it, as far as that was asked.
    meets: HashMap<UnitId, bool>,
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

impl Search<'_> {
    fn of_rule(&self, rule: RuleId, units: &[UnitId], work: &mut Work) -> Outcome {
        let meets = HashMap::new();
        let mut found = Found { rule, work, meets, reached: None, first: None, covers: BTreeSet::new() };
        for id in units {
            let unit = &self.units[*id as usize];
            found.meets.clear();
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

    fn in_class(&self, unit: &Unit<'_>, class: &Class, found: &mut Found<'_>) {
        let all = self.atoms.units(class);
        found.work.spend(all.len() as u64 * 8 + 100);
        let before = all.iter().take_while(|id| self.units[**id as usize].owner < unit.owner);
        let before: Vec<&Unit<'_>> = before
            .filter(|id| found.meets(**id, &self.units[**id as usize], unit))
            .map(|id| &self.units[*id as usize])
            .collect();
        for protocol in protocols_for(unit) {
            let mine = unit.ports(*protocol);
            if mine.is_empty() || found.is_over() {
                continue;
            }
            let there: Vec<(&Unit<'_>, Vec<PortRange>)> =
                before.iter().map(|it| (*it, it.ports(*protocol))).filter(|(_, ports)| !ports.is_empty()).collect();
            let ranges: usize = there.iter().map(|(_, ports)| ports.len()).sum();
            found.work.spend((before.len() * 32 + ranges * (64 + mine.len())) as u64);
            let cuts = there.iter().flat_map(|(_, ports)| ports.iter().copied());
            for (first, last) in port_intervals(&mine, cuts) {
                found.work.spend(ranges as u64 * 2);
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

    fn at_corner(&self, corner: &Corner<'_>, found: &mut Found<'_>) {
        // Whoever asks: nobody is left over.
        let everybody: Vec<&Unit<'_>> =
            corner.before.iter().copied().filter(|it| it.is_for_anybody() && it.path().is_none()).collect();
        let paths = corner.paths(found.work);
        let clients = if everybody.is_empty() { self.clients(corner, found.work) } else { first_client(corner.unit) };
        if found.is_over() {
            return;
        }
        let mine = |path: &&Option<String>| {
            corner.unit.path().is_none_or(|mine| path.as_deref().is_some_and(|path| mine.matches(path)))
        };
        for client in clients {
            for path in paths.iter().filter(mine) {
                found.work.spend(corner.before.len() as u64 * 8);
                let covers =
                    if everybody.is_empty() { corner.covers(client, path.as_deref()) } else { everybody.clone() };
                self.at_point(corner, client, path.clone(), &covers, found);
                if found.is_over() {
                    return;
                }
            }
        }
    }

    /// A client for each way in which those before tell the unit's clients apart.
    fn clients(&self, corner: &Corner<'_>, work: &mut Work) -> Vec<Option<IpAddr>> {
        if corner.unit.is_for_anybody() {
            return vec![None];
        }
        let mine: Vec<AddressRange> = corner.unit.sources().collect();
        let takes_back = self.switches.dnat_deny == DnatDeny::Overrides;
        let others = corner.before.iter().copied().chain(self.units.iter().filter(|_| takes_back));
        let others: Vec<AddressRange> = others.flat_map(Unit::sources).collect();
        work.spend((others.len() + mine.len()) as u64 * (100 + mine.len() as u64));
        if work.is_over() {
            return Vec::new();
        }
        address_intervals(&mine, others).into_iter().map(|range| Some(inside(range))).collect()
    }

    fn at_point(
        &self,
        corner: &Corner<'_>,
        client: Option<IpAddr>,
        path: Option<String>,
        covers: &[&Unit<'_>],
        found: &mut Found<'_>,
    ) {
        let Corner { host, protocol, port, .. } = corner;
        let checked = Witness { client, protocol: *protocol, host: host.clone(), port: *port, path, way: Way::Checked };
        let decided = checked.ask(|query| self.policy.decide(query).rule);
        found.work.spend(QUESTION);
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
        // They are kept: what is counted here bounds memory too.
        found.work.spend(covers.len() as u64 * 32);
        found.covers.insert(covers);
    }

    /// DNAT rules and service endpoints do not take every flow to what they name: a proxy's clients pass DNAT rules
    /// by, and a name of a service may lead to a private endpoint.
    fn roundabout(
        &self,
        corner: &Corner<'_>,
        checked: &Witness,
        covers: &[&Unit<'_>],
        found: &mut Found<'_>,
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
            found.work.spend(QUESTION);
            !found.work.is_over() && witness.ask(|query| self.policy.decide(query).rule) == Some(found.rule)
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
pub(super) fn protocols_for(unit: &Unit<'_>) -> &'static [Protocol] {
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
    fn paths(&self, work: &mut Work) -> Vec<Option<String>> {
        if self.protocol != Protocol::Http {
            return vec![None];
        }
        let patterns = self.before.iter().filter_map(|it| it.path()).chain(self.unit.path());
        let count = patterns.clone().count() as u64;
        work.spend(count * count * 32);
        if work.is_over() {
            return Vec::new();
        }
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

impl Found<'_> {
    fn is_over(&self) -> bool {
        self.reached.is_some() || self.work.is_over()
    }

    fn meets(&mut self, id: UnitId, other: &Unit<'_>, mine: &Unit<'_>) -> bool {
        let Found { meets, work, .. } = self;
        *meets.entry(id).or_insert_with(|| {
            work.spend(MEETING);
            !are_apart(other, mine)
        })
    }

    fn outcome(self) -> Outcome {
        match (self.reached, self.first) {
            (Some(witness), _) => Outcome::Reached(witness),
            (None, _) if self.work.is_over() => Outcome::Undecided,
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

/// Addresses that no service endpoint leads to, those that no rule names first: of each kind, and wherever a rule for
/// addresses begins or ends to match. Only endpoints and DNAT rules are passed by with them.
fn inner_addresses(units: &[Unit<'_>], is_passed: impl Fn(Owner) -> bool) -> Vec<IpAddr> {
    if !units.iter().any(|unit| is_passed(unit.owner)) {
        return Vec::new();
    }
    let known = [
        [10, 255, 255, 254],
        [172, 31, 255, 254],
        [192, 168, 255, 254],
        [100, 127, 255, 254],
        [198, 19, 255, 254],
        [10, 0, 0, 1],
        [172, 16, 0, 1],
        [192, 168, 0, 1],
        [100, 64, 0, 1],
        [198, 18, 0, 1],
    ];
    let starts = units.iter().flat_map(Unit::ranges).flat_map(|range| [Some(range.first()), after(range.last())]);
    let starts: BTreeSet<IpAddr> = starts.flatten().collect();
    let ends = starts.into_iter().flat_map(|first| [Some(first), after(first)]).flatten();
    let mut seen = HashSet::new();
    let inner = |addr: &IpAddr| AddrClass::of(*addr) != AddrClass::Global && seen.insert(*addr);
    known.into_iter().map(|octets| IpAddr::V4(Ipv4Addr::from(octets))).chain(ends).filter(inner).collect()
}
