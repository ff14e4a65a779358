//! The lists in `allowlists/`: embedded, typed, and made into the built-in policies.
//!
//! May use `flow` and `policy`. The data stay data: what an entry says is written in the file alone, and what
//! the file was taken from stands in its header. Nothing is fetched, and nothing here is ever newer than the
//! date on its list.
//!
//! Two names lead in: [`find`] for lists as people look at them, [`builtin`] for policies that decide.

mod azures;
mod builtin;
mod catalogue;
mod diff;
mod embedded;
mod entry;
mod find;
mod list;
mod members;
mod table;
mod tags;

pub use builtin::{BUILTINS, Builtin, UnknownPart, builtin};
pub use catalogue::Catalogue;
pub use diff::{ListDiff, diff};
pub use entry::{Endpoint, EndpointHost, EntryError};
pub use find::{UnknownList, find};
pub use list::{Kind, List, ListError, lists};
pub use members::{Member, MemberError};
pub use table::{Party, TableRow, app_ports, inbound, outbound};
pub use tags::{fqdn_tag, fqdn_tag_names, service_tag, service_tag_names, web_category, web_category_names};
