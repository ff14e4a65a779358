//! What becomes old or has changed (`LIFE-…`, `DOC-…`).

use super::Patient;
use super::examine::Diagnosis;
use super::finding::{ANY, BEFORE_V3, Finding, Outcome, Severity, rules};
use super::{age, words::some};

rules! {
    RULES:
    RESTORE = "LIFE-RESTORE", Advice, ANY, [NETWORKING],
        "it is suspended, or its addresses changed when it was resumed",
        "The addresses of an environment are stable until it is suspended and resumed. After that the lists of whoever allowed \
         the old ones are stale, userWhitelistedIpRanges among them." => restored;
    LIST_AGE = "DOC-LIST-AGE", Advice, BEFORE_V3, [FIREWALL, FIREWALL_2018],
        "rules made from a list that is not the newest",
        "The list of dependencies grew: rules that name what the list of 2018 names deny what came since. A policy is taken \
         for one made from an older list where it lets through nine tenths of that or more, and less than half of what came after; \
         it is then judged by that list, and what is missing of the newest is said here. With the FQDN tags the platform keeps the \
         list. Service endpoints as in 2018 (Key Vault, no Event Hubs) are told here too." => list_age;
}

fn restored(patient: &Patient<'_>) -> Outcome {
    let environment = patient.environment;
    if environment.suspended {
        let what = "it is suspended: no app of it runs until it is resumed";
        let finding = Finding::new(&RESTORE, environment.at, &environment.name, what).graded(Severity::Suspended);
        return Outcome::Found(vec![finding.by_hand("mend what it was suspended for, and resume it in the portal")]);
    }
    if !environment.restored {
        return Outcome::Passed;
    }
    let now = environment.public_address.iter().chain(&environment.outbound_addresses);
    let now = some(now);
    let now = if now.is_empty() { String::new() } else { format!(" (now {now})") };
    let what =
        format!("it was suspended and resumed: its public addresses{now} are new to everybody that knew the old ones");
    let mut finding = Finding::new(&RESTORE, environment.at, &environment.name, what);
    for range in &environment.sql_egress_ranges {
        finding = finding.because(format!("userWhitelistedIpRanges has {range}"), environment.at);
    }
    Outcome::Found(vec![finding.by_hand(
        "go through every list that allows the old addresses: userWhitelistedIpRanges, firewalls of databases and partners, DNS",
    )])
}

/// Is it suspended already, and not about to be?
pub(super) fn is_suspended(diagnosis: &Diagnosis) -> bool {
    let restored = diagnosis.examined.iter().filter(|it| it.rule == &RESTORE);
    restored.flat_map(|it| it.outcome.findings()).any(|finding| finding.severity == Severity::Suspended)
}

fn list_age(patient: &Patient<'_>) -> Outcome {
    age::look(&LIST_AGE, patient)
}
