//! **Egret**, the EGRess Emulator and Tester.

pub mod allowlist;
pub mod azure;
pub mod config;
pub mod flow;
mod net;
pub mod policy;
mod proxy;
pub mod telemetry;
pub mod wire;
