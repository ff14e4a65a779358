//! Azure's shapes: the only place that knows Azure's JSON names. Pure: no I/O, no clock.

pub mod dns_logs;
pub mod json;
pub mod logs;
pub mod note;
pub mod read;
pub mod shape;
