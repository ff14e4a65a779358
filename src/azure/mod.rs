//! Azure's shapes: the only place that knows Azure's JSON names. Pure: no I/O, no clock.
//!
//! In: [`json`] is parsed, [`template`] evaluates what is a template, [`shape`] makes uniform resources of every format,
//! [`read`] makes policies of those, and each leaves a [`note`] of what is wrong. Out: [`export`] writes policies, and
//! [`logs`], [`dns_logs`], [`flow_logs`], [`threat_logs`], [`aggregates`] and the lines of [`legacy_logs`] are the
//! records of Azure's diagnostic logs, each of a [`category`]. [`watcher`] asks the network around the firewall as Network
//! Watcher does; [`ase`] has the answers of Resource Manager. No rule is decided here, and no file opened.

pub mod aggregates;
pub mod ase;
pub mod category;
pub mod dns_logs;
mod envelope;
pub mod export;
pub mod flow_logs;
pub mod json;
pub mod legacy_logs;
pub mod logs;
pub mod network_flow_logs;
pub mod note;
pub mod read;
pub mod service_tags;
pub mod shape;
#[cfg(test)]
#[path = "../../tests/it/support/azure_tables.rs"]
#[expect(unreachable_pub, reason = "the integration tests have it too")]
mod tables;
pub mod template;
#[cfg(test)]
mod tests;
pub mod threat_logs;
pub mod watcher;
