//! Configuration: `egret.toml`, the command line's twin of it, and what both resolve to.

mod resolved;

pub use resolved::*;
