//! Names and their addresses, for the whole process: one set of name servers, one cache, one table of what the names
//! of network rules resolve to. So clients and the firewall get the same answers.
//!
//! All of it lives on one thread, `egret-dns`; cores ask it through [`Asker`] and read what it publishes in a
//! [`Directory`]. What may be asked and what is written down is not decided here.

mod asker;
mod cache;
mod fqdns;
mod lookup;
mod synthetic;
mod upstream;

pub(crate) use asker::{AskError, Asker, Request, Requests, Resolved, Unresolved};
pub(crate) use cache::Answer;
pub(crate) use fqdns::{Directory, FqdnTable, REFRESH_EVERY};
pub(crate) use lookup::Lookup;
pub(crate) use synthetic::{SYNTHETIC_TTL, Synthetic};
#[cfg(any(test, fuzzing))]
pub use upstream::rehearse_reply;
pub(crate) use upstream::{Upstream, UpstreamError, system_servers};

use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::task::JoinError;

use crate::flow::HostName;

/// What a task came to; that it ended in a panic is logged.
pub(crate) fn outcome<T>(ended: Result<T, JoinError>) -> Option<T> {
    if ended.as_ref().is_err_and(JoinError::is_panic) {
        tracing::error!("a task of the DNS proxy ended in a panic; please report it");
    }
    ended.ok()
}

/// What is asked of name servers, always of class IN. The name is in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) name: Name,
    pub(crate) kind: RecordType,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
}

impl Question {
    pub(crate) fn new(name: &Name, kind: RecordType) -> Question {
        Question { name: name.to_lowercase(), kind, dnssec_ok: false, checking_disabled: false }
    }

    /// The question for a host's addresses of one family.
    pub(crate) fn of_host(name: &HostName, kind: RecordType) -> Question {
        Question { name: absolute(name), kind, dnssec_ok: false, checking_disabled: false }
    }
}

/// The name as messages carry it. The search list of the system has no part in it: the policy judged this name and no
/// other.
pub(crate) fn absolute(name: &HostName) -> Name {
    let mut absolute = Name::from_ascii(name.as_str()).expect("a host name is a DNS name");
    absolute.set_fqdn(true);
    absolute
}

/// The host name that a message speaks of; None for what is no host name, such as the root.
pub(crate) fn host_name(name: &Name) -> Option<HostName> {
    HostName::parse(&name.to_ascii()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_the_thread_is_gone_nobody_speaks_of_time() {
        let name = HostName::parse("ok.test").unwrap();
        let (asker, requests) = Asker::new();
        drop(requests);
        let asked = asker.ask(&name, std::time::Duration::from_secs(600)).await;
        assert!(matches!(asked, Err(AskError::Gone)), "{asked:?}");
    }
}
