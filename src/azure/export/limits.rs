//! Azure's limits on what a plan may hold (azure-docs, azure-subscription-service-limits.md).

use crate::azure::note::{Note, Severity};
use crate::policy::Spot;

use super::plan::{Group, IpGroup, Plan};

const GROUPS: usize = 60;
const GROUP_BYTES: usize = 2 * 1024 * 1024;
const IP_GROUPS: usize = 200;
const IP_GROUP_ADDRESSES: usize = 5_000;

pub(super) fn check(plan: &mut Plan) {
    let groups = || plan.policies.iter().flat_map(|policy| &policy.groups);
    let mut notes: Vec<Note> = groups().filter_map(check_group).collect();
    notes.extend(plan.ip_groups.iter().filter_map(check_ip_group));
    if groups().count() > GROUPS {
        let what = format!("{} rule collection groups: Azure takes {GROUPS} or so", groups().count());
        notes.push(warning(what, "put the collections of several into one"));
    }
    if plan.ip_groups.len() > IP_GROUPS {
        let what = format!("{} IP groups: Azure takes {IP_GROUPS} for a firewall", plan.ip_groups.len());
        notes.push(warning(what, "name the addresses of small ones in the rules"));
    }
    plan.notes.extend(notes);
}

fn check_group(group: &Group) -> Option<Note> {
    let bytes = compact(group);
    let what = format!("the group `{}` has some {} KiB: Azure takes 2 MiB", group.name, bytes / 1024);
    (bytes > GROUP_BYTES).then(|| warning(what, "share its collections out among groups of neighbouring priorities"))
}

/// Without the blanks.
fn compact(group: &Group) -> usize {
    group.rule_collections().json().lines().map(|line| line.trim_start().len()).sum()
}

fn check_ip_group(group: &IpGroup) -> Option<Note> {
    let IpGroup { name, addresses } = group;
    let what = format!("the IP group `{name}` has {} entries: Azure takes {IP_GROUP_ADDRESSES}", addresses.len());
    (addresses.len() > IP_GROUP_ADDRESSES).then(|| warning(what, "share them out among several"))
}

fn warning(what: String, mend: &str) -> Note {
    Note::new(Severity::Warning, Spot::nowhere(), what).mend(mend)
}
