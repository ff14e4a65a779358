//! What an environment needs around it, from nothing: the route table of the documents' recipe and a security group.
//!
//! As lists of [`Change`](super::Change)s, so that what writes and makes changes writes and makes these. What the topology already has
//! is looked at for the environment's own place, the firewall, and what is in the table or the group already.

mod beside;
mod routes;
mod security;

pub use routes::{Management, RouteRecipe, routes};
pub use security::{Rest, SecurityRecipe, security};

use super::AppServiceEnvironment;
use super::topology::{Firewall, Topology};

/// The most routes of a table (azure-docs, azure-virtual-network-limits.md, 2020).
pub const MOST_ROUTES: usize = 400;
/// Of those, such as name a service tag (azure-docs, virtual-networks-udr-overview.md).
pub const MOST_TAG_ROUTES: usize = 25;

/// Why there is no recipe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    #[error("the topology has no firewall with a private address: name the address with --firewall")]
    NoFirewall,
    #[error("the topology has several firewalls ({0}): name the address of one with --firewall")]
    SeveralFirewalls(String),
    #[error("the environment `{0}` is in no subnet")]
    NoSubnet(String),
    #[error("no priority is free for the security rule `{0}` before what denies it: give other rules later ones")]
    NoPriority(String),
    #[error("no addresses that App Service manages from are at hand for the cloud `{0}`: use its service tag")]
    NoAddresses(&'static str),
}

/// The name, or the first of those numbered after it that nothing has.
fn free_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_taken(name));
    free.expect("what has names has fewer than there are numbers")
}

/// The firewall of the environment's own network, or the only one there is.
fn firewall<'t>(topology: &'t Topology, environment: &AppServiceEnvironment) -> Result<&'t Firewall, RecipeError> {
    let usable: Vec<&Firewall> = topology.firewalls.iter().filter(|it| it.private_address.is_some()).collect();
    let near = |it: &&&Firewall| it.virtual_network.eq_ignore_ascii_case(&environment.virtual_network);
    let chosen: Vec<&Firewall> = match usable.iter().filter(near).count() {
        0 => usable,
        _ => usable.iter().filter(near).copied().collect(),
    };
    match chosen.as_slice() {
        [] => Err(RecipeError::NoFirewall),
        [only] => Ok(only),
        several => {
            Err(RecipeError::SeveralFirewalls(several.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ")))
        }
    }
}
