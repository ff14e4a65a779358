//! The way of replies to the management that comes in (`RT-MGMT`, `RT-MGMT-STALE`).

use crate::policy::AddressRange;
use crate::vnet::{Change, Cloud, Hop, NextHop, RouteDestination, RouteSource, Selection, Tags};

use super::Patient;
use super::finding::{Coverage, Finding, Outcome, Rule};
use super::ways::{self, Stretch, Ways};
use super::words::{some, thousands};

/// Where App Service manages from, as far as it is published for the cloud. IPv4 alone: the VIP has no other address.
pub(super) struct Management {
    /// `AppServiceManagement`, or the document of a cloud that has no file of service tags.
    pub(super) name: &'static str,
    pub(super) ranges: Vec<AddressRange>,
    is_tag: bool,
}

pub(super) const TAG: &str = "AppServiceManagement";

impl Management {
    pub(super) fn of(tags: &Tags) -> Management {
        let is_tag = tags.published(TAG).is_some();
        let name = if is_tag { TAG } else { documented(tags.cloud()) };
        Management { name, ranges: tags.management(), is_tag }
    }
}

/// The last list of addresses that was printed.
fn documented(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "management/public@2022-10-24",
        Cloud::UsGov => "management/usgov@2022-10-24",
        Cloud::China => "management/china@2022-10-24",
    }
}

/// How the replies to one prefix fare.
struct Reply<'a> {
    prefix: AddressRange,
    coverage: Coverage,
    /// What goes elsewhere than to the Internet.
    astray: Vec<Stretch<'a>>,
    /// The routes that lead to the Internet.
    direct: Vec<Selection<'a>>,
}

struct Replies<'a> {
    management: Management,
    replies: Vec<Reply<'a>>,
}

pub(super) fn look(rule: &'static Rule, patient: &Patient<'_>) -> Outcome {
    outcome(rule, patient, false)
}

pub(super) fn look_stale(rule: &'static Rule, patient: &Patient<'_>) -> Outcome {
    outcome(rule, patient, true)
}

fn outcome(rule: &'static Rule, patient: &Patient<'_>, stale: bool) -> Outcome {
    let replies = Replies::of(patient);
    let found = replies.is_astray() && replies.is_stale() == stale;
    found.then(|| replies.finding(rule, patient)).into()
}

impl<'a> Replies<'a> {
    fn of(patient: &Patient<'a>) -> Replies<'a> {
        let (ways, management) = (Ways::of(patient), Management::of(patient.network.tags()));
        let by_tag = !management.is_tag && has_tag_route(patient);
        let replies = management.ranges.iter().map(|range| Reply::of(&ways, *range, by_tag)).collect();
        Replies { management, replies }
    }

    fn is_astray(&self) -> bool {
        self.replies.iter().any(|reply| reply.coverage != Coverage::Covered)
    }

    /// Somebody wrote routes for addresses, and they are not (or no longer) all; whatever is not among them goes the way
    /// of everything else.
    fn is_stale(&self) -> bool {
        let direct = || self.replies.iter().flat_map(|reply| &reply.direct);
        let astray = self.replies.iter().flat_map(|reply| &reply.astray);
        let listed = |way: &Selection<'_>| way.prefix.prefix_len() > 0 && way.route.source == RouteSource::User;
        direct().any(listed)
            && direct().all(|way| way.route.tag.is_none())
            && astray.into_iter().all(|stretch| stretch.way.prefix.prefix_len() <= 1)
    }

    fn count(&self, coverage: Coverage) -> usize {
        self.replies.iter().filter(|reply| reply.coverage == coverage).count()
    }

    fn finding(&self, rule: &'static Rule, patient: &Patient<'_>) -> Finding {
        let table = patient.network.route_table_of(patient.place);
        let subnet = patient.network.subnet(patient.place);
        let (subject, at) = table.map_or((&subnet.name, subnet.at), |table| (&table.name, table.at));
        let mut finding = Finding::new(rule, at, subject, self.text());
        for way in self.diverting() {
            finding = finding.because(ways::shown(way), way.route.at);
        }
        for reply in &self.replies {
            finding = finding.covers(reply.coverage, reply.prefix.to_string());
        }
        let mend = self.mend(patient);
        mend.into_iter().fold(finding, Finding::mend)
    }

    /// `of 231 prefixes of AppServiceManagement routes to the Internet cover 34 fully, 37 partly and 160 not at all: …`
    fn text(&self) -> String {
        let [covered, partly, missing] =
            [Coverage::Covered, Coverage::Partly, Coverage::Missing].map(|coverage| self.count(coverage));
        let all: u64 = self.replies.iter().map(|reply| ways::size(reply.prefix)).sum();
        let fate = self.fates(&thousands(all));
        format!(
            "of {} prefixes of {} routes to the Internet cover {covered} fully, {partly} partly and {missing} not at all: {fate}",
            self.replies.len(),
            self.management.name,
        )
    }

    /// What becomes of replies to some `of` all addresses.
    fn fates(&self, of: &str) -> String {
        let size = |is_dropped: bool| -> u64 {
            let astray = self.replies.iter().flat_map(|reply| &reply.astray);
            astray.filter(|it| (*it.hop() == Hop::None) == is_dropped).map(Stretch::size).sum()
        };
        let to = |number: u64| format!("replies to {} of {of} management addresses", thousands(number));
        let leave = || {
            let by = some(self.hops());
            format!("{} leave by {by}, from another address than they were sent to", to(size(false)))
        };
        match (size(true), size(false)) {
            (0, _) => leave(),
            (dropped, 0) => format!("{} are dropped", to(dropped)),
            (dropped, _) => format!("{}, and {} are dropped", leave(), to(dropped)),
        }
    }

    fn hops(&self) -> Vec<String> {
        let diverting = self.diverting().into_iter().filter(|way| way.route.next_hop != Hop::None);
        let mut hops: Vec<String> = diverting.map(|way| way.route.next_hop.to_string()).collect();
        hops.sort();
        hops.dedup();
        hops
    }

    /// The routes that take replies elsewhere, each once.
    fn diverting(&self) -> Vec<&Selection<'a>> {
        let ways = self.replies.iter().flat_map(|reply| &reply.astray).map(|stretch| &stretch.way);
        let mut diverting: Vec<&Selection<'_>> = Vec::new();
        for way in ways {
            if !diverting.iter().any(|other| std::ptr::eq(other.route, way.route)) {
                diverting.push(way);
            }
        }
        diverting
    }

    /// One route with the tag; what is narrower than the tag's prefixes and leads elsewhere has to go as well.
    fn mend(&self, patient: &Patient<'_>) -> Vec<Change> {
        let narrower = self.replies.iter().flat_map(|reply| {
            let length = reply.prefix.nets().first().map_or(32, |net| net.prefix_len());
            let ways = reply.astray.iter().map(|stretch| &stretch.way);
            ways.filter(move |way| way.prefix.prefix_len() >= length)
        });
        let mut changes: Vec<Change> = Vec::new();
        for change in narrower.filter_map(ways::remove_route) {
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
        let routes = if self.management.is_tag { vec![tag_route()] } else { self.single_routes() };
        changes.into_iter().chain(ways::add_routes(patient, routes)).collect()
    }

    fn single_routes(&self) -> Vec<(String, RouteDestination, NextHop)> {
        let missing = self.replies.iter().filter(|reply| reply.coverage != Coverage::Covered);
        let nets = missing.flat_map(|reply| reply.prefix.nets());
        nets.map(|net| (format!("management-{}", net.addr()), RouteDestination::Net(net), NextHop::Internet)).collect()
    }
}

fn tag_route() -> (String, RouteDestination, NextHop) {
    (TAG.to_owned(), RouteDestination::Tag(TAG.to_owned()), NextHop::Internet)
}

impl<'a> Reply<'a> {
    /// `by_tag`: a route with a tag whose prefixes are not at hand is taken to cover them.
    fn of(ways: &Ways<'a>, prefix: AddressRange, by_tag: bool) -> Reply<'a> {
        // Nothing but a route for a single address is sure to be narrower than the tag's own.
        let is_by_tag = |stretch: &Stretch<'_>| by_tag && stretch.way.prefix.prefix_len() < 32;
        let (direct, astray): (Vec<_>, Vec<_>) = ways
            .stretches(prefix)
            .into_iter()
            .partition(|stretch| is_by_tag(stretch) || *stretch.hop() == Hop::Internet || stretch.is_by_specific_bgp());
        let coverage = match (direct.is_empty(), astray.is_empty()) {
            (_, true) => Coverage::Covered,
            (false, false) => Coverage::Partly,
            (true, false) => Coverage::Missing,
        };
        Reply { prefix, coverage, astray, direct: direct.into_iter().map(|stretch| stretch.way).collect() }
    }
}

fn has_tag_route(patient: &Patient<'_>) -> bool {
    let routes = patient.network.route_table_of(patient.place).into_iter().flat_map(|table| &table.routes);
    let mut tags = routes.filter(|route| route.next_hop == NextHop::Internet).map(|route| &route.destination);
    tags.any(|destination| matches!(destination, RouteDestination::Tag(tag) if tag.eq_ignore_ascii_case(TAG)))
}
