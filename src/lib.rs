//! **Egret**, the EGRess Emulator and Tester.

pub mod azure;
pub mod flow;
pub mod policy;
pub mod telemetry;
