//! Mechanism without policy: sockets in, sockets out, bytes between them.
//!
//! Nothing here decides. Only the owner of a [`Permit`](crate::policy::Permit) can dial.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unreachable))]

pub(crate) mod deadline;
pub(crate) mod dial;
pub(crate) mod dns;
#[cfg(target_os = "linux")]
pub(crate) mod echo;
pub(crate) mod icmp;
pub(crate) mod listener;
#[cfg(target_os = "linux")]
pub(crate) mod nft;
pub(crate) mod origdst;
#[cfg(all(unix, any(test, fuzzing)))]
pub(crate) mod rehearsal;
pub(crate) mod relay;
pub(crate) mod resolve;
#[cfg(target_os = "linux")]
pub(crate) mod rights;
mod splice;
pub(crate) mod udp;
pub(crate) mod unsent;
