//! Who asks, or whose connections they are: an address, or any machine of a subnet of the topology.

use std::convert::Infallible;
use std::net::IpAddr;
use std::str::FromStr;

use super::UsageError;
use crate::config::client_of_subnet;
use crate::control::Asking;
use crate::vnet::Network;

/// `--from`, as given.
#[derive(Debug, Clone)]
pub(super) enum Asker {
    Address(IpAddr),
    Subnet(String),
}

impl FromStr for Asker {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Asker, Infallible> {
        Ok(text.parse().map_or_else(|_| Asker::Subnet(text.to_owned()), Asker::Address))
    }
}

impl Asker {
    /// Of a subnet a new machine in it, with the address that it would be given.
    pub(super) fn resolved(&self, network: Option<&Network>) -> Result<Asking, UsageError> {
        match self {
            Asker::Address(address) => Ok(Asking::Address(*address)),
            Asker::Subnet(name) => client_of_subnet(network, name)
                .map(Asking::Machine)
                .map_err(|why| UsageError(format!("--from: `{name}` is no address, and {why}"))),
        }
    }
}
