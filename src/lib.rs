//! **Egret**, the EGRess Emulator and Tester.

pub mod allowlist;
pub mod config;
pub mod flow;
pub mod policy;
