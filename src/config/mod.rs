//! Configuration: `egret.toml`, the command line's twin of it, and what both resolve to.
//!
//! A file is parsed into a tree that knows where everything stands, read along one table of
//! options into rules and settings, and resolved together with the flags. Nothing stops at the first error.
//! May use `flow`, `policy`, `allowlist` and `azure`. Files are opened in `load` and nowhere else.

mod azure;
mod catalogue;
mod error;
mod file;
mod gateway;
mod honoured;
mod kernel;
mod load;
mod options;
mod paths;
mod reader;
mod resolved;
mod rules;
mod settings;
mod settings_table;
mod shorthand;
mod target;
mod threat;
mod topology;
mod values;
mod words;
mod write;

pub use error::{ConfigError, ConfigErrors, Position, Texts};
pub use kernel::{Interface, Mark};
pub use load::{DEFAULT_FILE, DefaultFile, Loaded, Overrides, Purpose, Survey, TopologyBy, load, survey};
pub use options::{Kind, OPTIONS, Opt, Presence, schema, topology_schema};
pub use resolved::*;
pub use target::{CheckTarget, TargetError, TargetRule};
pub use topology::{TOPOLOGY_OPTIONS, client_of_subnet, network_of};
pub use write::{Written, WrittenFile, to_toml, to_vnet_toml};
