//! **Egret**, the EGRess Emulator and Tester.

pub mod config;
pub mod flow;
pub mod policy;
pub mod wire;
