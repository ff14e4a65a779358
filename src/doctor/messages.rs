//! What the platform would say of it in the log of the environment, in Egret's words.
//!
//! Azure writes these messages into the category `AppServiceEnvironmentPlatformLogs` (azure-docs, using-an-ase.md,
//! 2020-05-10): that an environment is unhealthy, what it cannot reach, that it is suspended, that its subnet is almost out
//! of space. How long it takes from one
//! to the other is published nowhere.

use super::Health;
use super::examine::Diagnosis;
use super::finding::{Dependency, Severity};
use super::subnet::Crowded;

impl Diagnosis {
    /// In the order in which they would come. Nothing is logged of what is healthy or merely degraded, but for a subnet that
    /// is almost full.
    pub fn platform_messages(&self, environment: &str) -> Vec<String> {
        let unhealthy = format!(
            "the environment {environment} is unhealthy because of the configuration of its virtual network, and will be \
             suspended if that goes on"
        );
        let suspended = format!(
            "the environment {environment} has been suspended because of the configuration of its virtual network; it is \
             resumed by hand, once that is mended, and its addresses change"
        );
        let state = match self.health() {
            Health::Healthy | Health::Degraded => Vec::new(),
            Health::Unhealthy => [vec![unhealthy], self.unreachable()].concat(),
            Health::WouldBeSuspended => [vec![unhealthy], self.unreachable(), vec![suspended]].concat(),
            Health::Suspended => vec![suspended],
        };
        state.into_iter().chain(self.out_of_space(environment)).collect()
    }

    fn out_of_space(&self, environment: &str) -> Option<String> {
        let Crowded { subnet, left } = self.crowded.as_ref()?;
        Some(format!(
            "the subnet {subnet} of the environment {environment} is almost out of space: {left} addresses are left"
        ))
    }

    fn unreachable(&self) -> Vec<String> {
        let grave = self.findings().into_iter().filter(|finding| finding.severity >= Severity::Unhealthy);
        let mut cut: Vec<Dependency> = Vec::new();
        for dependency in grave.flat_map(|finding| finding.rule.cuts) {
            if !cut.contains(dependency) {
                cut.push(*dependency);
            }
        }
        cut.into_iter().map(|it| format!("the environment cannot reach {}", it.as_str())).collect()
    }
}
