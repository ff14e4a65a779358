//! Security rules beside those that a group has. What is there is left alone, and what does the same already is not
//! written again; the others get names and priorities that are free: Azure takes a priority once in a direction, and a
//! name once in a group.

use ipnet::IpNet;

use crate::flow::PortRange;
use crate::policy::Action;
use crate::vnet::topology::{Prefix, RuleSide, SecurityProtocol, SecurityRule};

use super::security::{FIRST, LAST};
use super::{RecipeError, free_name};

const STEP: usize = 10;

pub(super) struct Beside<'t> {
    pub(super) there: &'t [SecurityRule],
    /// What the tag VirtualNetwork holds at least.
    pub(super) space: &'t [IpNet],
}

impl Beside<'_> {
    /// Those that are to be added, in the order that they are wanted in.
    pub(super) fn placed(&self, wanted: Vec<SecurityRule>) -> Result<Vec<SecurityRule>, RecipeError> {
        let mut added: Vec<SecurityRule> = Vec::new();
        for mut rule in wanted.into_iter().filter(|rule| !self.is_done(rule)) {
            rule.priority = self.free_priority(&rule, &added)?;
            rule.name = self.free_name(&rule.name, &added);
            added.push(rule);
        }
        Ok(added)
    }

    fn is_done(&self, wanted: &SecurityRule) -> bool {
        let mut same = self.there.iter().filter(|known| known.access == wanted.access && self.holds(known, wanted));
        same.any(|known| self.denied_by(wanted).is_none_or(|denies| known.priority < denies.priority))
    }

    /// The first that denies all of what is to be allowed. What denies some of it is there on purpose.
    fn denied_by(&self, wanted: &SecurityRule) -> Option<&SecurityRule> {
        let denies = |known: &&SecurityRule| known.access == Action::Deny && self.holds(known, wanted);
        let denying = self.there.iter().filter(|_| wanted.access == Action::Allow).filter(denies);
        denying.min_by_key(|known| known.priority)
    }

    fn free_priority(&self, wanted: &SecurityRule, added: &[SecurityRule]) -> Result<u16, RecipeError> {
        let all = || self.there.iter().chain(added).filter(|known| known.direction == wanted.direction);
        let is_free = |priority: &u16| all().all(|known| known.priority != *priority);
        if wanted.access == Action::Deny {
            let free = (FIRST..=LAST).rev().find(is_free);
            return free.ok_or_else(|| RecipeError::NoPriority(wanted.name.clone()));
        }
        let before = FIRST..self.denied_by(wanted).map_or(LAST, |denies| denies.priority);
        let free = before.clone().step_by(STEP).find(is_free).or_else(|| before.clone().find(is_free));
        free.ok_or_else(|| RecipeError::NoPriority(wanted.name.clone()))
    }

    fn free_name(&self, name: &str, added: &[SecurityRule]) -> String {
        let all = || self.there.iter().chain(added);
        free_name(name, |name| all().any(|known| known.name.eq_ignore_ascii_case(name)))
    }

    /// All of what is wanted is of the known rule too.
    fn holds(&self, known: &SecurityRule, wanted: &SecurityRule) -> bool {
        known.direction == wanted.direction
            && (known.protocol == SecurityProtocol::Any || known.protocol == wanted.protocol)
            && self.has_end(&known.source, &wanted.source)
            && self.has_end(&known.destination, &wanted.destination)
    }

    fn has_end(&self, known: &RuleSide, wanted: &RuleSide) -> bool {
        let has_prefix = |wanted: &Prefix| known.prefixes.iter().any(|known| self.has_prefix(known, wanted));
        let has_ports = |wanted: &PortRange| {
            known.ports.iter().any(|known| known.contains(wanted.first()) && known.contains(wanted.last()))
        };
        wanted.prefixes.iter().all(has_prefix) && wanted.ports.iter().all(has_ports)
    }

    fn has_prefix(&self, known: &Prefix, wanted: &Prefix) -> bool {
        match (known, wanted) {
            (Prefix::Any, _) => true,
            (Prefix::Net(known), Prefix::Any) => known.prefix_len() == 0,
            (Prefix::Net(known), Prefix::Net(wanted)) => known.contains(wanted),
            (Prefix::Tag(known), Prefix::Tag(wanted)) => known.eq_ignore_ascii_case(wanted),
            (Prefix::Tag(known), Prefix::Net(wanted)) => {
                known.eq_ignore_ascii_case("VirtualNetwork") && self.space.iter().any(|net| net.contains(wanted))
            }
            (Prefix::Net(_), Prefix::Tag(_)) | (Prefix::Tag(_), Prefix::Any) => false,
        }
    }
}
