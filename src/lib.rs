//! **Egret**, the EGRess Emulator and Tester.

pub mod allowlist;
pub mod config;
pub mod flow;
mod net;
pub mod policy;
pub mod wire;
