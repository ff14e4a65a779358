//! IP groups of all files, found by id.

use std::sync::Arc;

use super::ident::{Ident, leaf};
use super::notes::{Effect, Item, Notes, Subject, shown};
use crate::azure::note::{Note, Severity};
use crate::azure::shape::Resource;
use crate::policy::{AddressRange, NamedKind, NamedRanges};

#[derive(Debug)]
pub(super) struct IpGroups(Vec<IpGroup>);

#[derive(Debug)]
struct IpGroup {
    ident: Ident,
    ranges: NamedRanges,
    /// Some of its addresses only Azure knows.
    incomplete: bool,
}

pub(super) const KIND: &str = "Microsoft.Network/ipGroups";

impl IpGroups {
    pub(super) fn read<'r>(resources: impl Iterator<Item = &'r Resource>, notes: &mut Notes) -> IpGroups {
        IpGroups(resources.filter(|resource| resource.is(KIND)).map(|resource| read_group(resource, notes)).collect())
    }

    /// The group that an id means. One that is not at hand matches nothing.
    pub(super) fn find(&self, id: Item<'_>, subject: &Subject<'_>, notes: &mut Notes) -> NamedRanges {
        let wanted = Ident::parse(id.text);
        let found: Vec<&IpGroup> = self.0.iter().filter(|group| group.ident.is(&wanted)).collect();
        let name = leaf(id.text);
        match found.as_slice() {
            // Written down more than once, and always the same: it does not matter which is meant.
            [group, others @ ..] if others.iter().all(|other| other.holds_the_same(group)) => {
                if group.incomplete && subject.effect == Effect::Denies {
                    let what = format!("some addresses of the IP group `{name}` are known to Azure only");
                    notes.less(subject.effect, id.at, what, "unknown-value", None);
                }
                return group.ranges.clone();
            }
            [] => {
                let what = format!("the IP group `{name}` is not among the files given: it matches nothing");
                let mend = "give its file too, by one more --policy".to_owned();
                notes.less(subject.effect, id.at, what, "unknown-ip-group", Some(mend));
            }
            [group, others @ ..] if others.iter().all(|other| other.ident.is_certainly(&group.ident)) => {
                let count = found.len();
                let what = format!(
                    "the IP group `{name}` is there {count} times with other addresses each: it matches nothing"
                );
                let mend = "leave out the old one".to_owned();
                notes.less(subject.effect, id.at, what, "unknown-ip-group", Some(mend));
            }
            _ => {
                let what =
                    format!("there are several IP groups `{name}`, and which one `{}` means is not said", id.text);
                notes.less(subject.effect, id.at, what, "unknown-ip-group", None);
            }
        }
        notes.unknown_names += 1;
        NamedRanges { name: name.to_owned(), kind: NamedKind::UnknownIpGroup, ranges: Arc::from([]) }
    }
}

impl IpGroup {
    /// In whatever order.
    fn holds_the_same(&self, other: &IpGroup) -> bool {
        let in_order = |group: &IpGroup| {
            let mut ranges: Vec<_> = group.ranges.ranges.iter().map(|range| (range.first(), range.last())).collect();
            ranges.sort_unstable();
            ranges.dedup();
            ranges
        };
        !self.incomplete && !other.incomplete && in_order(self) == in_order(other)
    }
}

fn read_group(resource: &Resource, notes: &mut Notes) -> IpGroup {
    let name = shown(&resource.name);
    let what = format!("IP group `{name}`");
    let Some(subject) = notes.resource(resource, &what, Effect::Allows) else {
        let ranges = NamedRanges { name, kind: NamedKind::UnknownIpGroup, ranges: Arc::from([]) };
        return IpGroup { ident: Ident::of(resource), ranges, incomplete: true };
    };
    let items = notes.items(&subject, "ipAddresses");
    let ranges: Vec<AddressRange> = items.items.iter().filter_map(|item| address(*item, &subject, notes)).collect();
    let incomplete = items.incomplete;
    if !items.given {
        let what = format!("the IP group `{name}` is empty: rules that name it are skipped, as Azure does");
        notes.push(Note::new(Severity::Warning, resource.at, what).check("empty-ip-group"));
    }
    // A group of which nothing is known is not an empty one, which Azure would skip whole rules for.
    let kind = if incomplete && ranges.is_empty() { NamedKind::UnknownIpGroup } else { NamedKind::IpGroup };
    IpGroup { ident: Ident::of(resource), ranges: NamedRanges { name, kind, ranges: ranges.into() }, incomplete }
}

fn address(item: Item<'_>, subject: &Subject<'_>, notes: &mut Notes) -> Option<AddressRange> {
    if item.text == "*" {
        let what = format!("{}: an IP group takes addresses and ranges, and no `*`", subject.what);
        notes.push(Note::new(Severity::Error, item.at, what).mend("write `*` in the rule itself").check("address"));
        return None;
    }
    let read = item.text.parse::<AddressRange>();
    read.map_err(|error| {
        notes.push(Note::new(Severity::Error, item.at, format!("{}: {error}", subject.what)));
    })
    .ok()
}
