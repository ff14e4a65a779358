//! Azure's shapes: the only place that knows Azure's JSON names. Pure: no I/O, no clock.

pub mod aggregates;
pub mod category;
pub mod dns_logs;
mod envelope;
pub mod export;
pub mod flow_logs;
pub mod json;
pub mod legacy_logs;
pub mod logs;
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
