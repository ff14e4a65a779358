//! **Egret**, the EGRess Emulator and Tester.

pub mod flow;
pub mod policy;
