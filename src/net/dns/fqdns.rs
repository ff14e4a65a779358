//! What the names of network rules resolve to (azure-docs, fqdn-filtering-network-rules): every address that an answer
//! had, until it has been in none for a quarter of an hour.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use ipnet::IpNet;
use tokio::time::Instant;

use super::synthetic::Synthetic;
use crate::flow::HostName;

/// How often the names are looked up. What a record's time to live allows comes out of the cache.
pub(crate) const REFRESH_EVERY: Duration = Duration::from_secs(15);
/// How long an address is kept that no answer has any more.
const KEPT_FOR: Duration = Duration::from_secs(15 * 60);

/// What the thread `egret-dns` publishes for all others.
#[derive(Debug)]
pub(crate) struct Directory {
    fqdns: ArcSwap<FqdnTable>,
    synthetic: Option<Synthetic>,
}

/// The names of network rules, by address.
#[derive(Debug, Default)]
pub(crate) struct FqdnTable {
    by_addr: HashMap<IpAddr, Vec<HostName>>,
}

impl FqdnTable {
    /// Those that resolve to this address at present, in the order of the alphabet.
    pub(crate) fn names_of(&self, addr: IpAddr) -> &[HostName] {
        // Most policies have none: nothing is to be hashed then.
        if self.by_addr.is_empty() {
            return &[];
        }
        self.by_addr.get(&addr).map_or(&[], Vec::as_slice)
    }
}

impl Directory {
    /// `synthetic` is the network that names get addresses of their own from.
    pub(crate) fn new(synthetic: Option<IpNet>) -> Directory {
        Directory { fqdns: ArcSwap::default(), synthetic: synthetic.map(Synthetic::new) }
    }

    pub(crate) fn fqdns(&self) -> Guard<Arc<FqdnTable>> {
        self.fqdns.load()
    }

    pub(crate) fn synthetic(&self) -> Option<&Synthetic> {
        self.synthetic.as_ref()
    }

    /// The name that a synthetic address stands for.
    pub(crate) fn name_of(&self, addr: IpAddr) -> Option<HostName> {
        self.synthetic.as_ref()?.name_of(addr)
    }
}

/// Fills the table of a [`Directory`].
pub(super) struct Keeper {
    directory: Arc<Directory>,
    /// Each address with the time of the last answer that had it.
    names: RefCell<BTreeMap<HostName, HashMap<IpAddr, Instant>>>,
}

impl Keeper {
    pub(super) fn new(directory: Arc<Directory>) -> Keeper {
        Keeper { directory, names: RefCell::default() }
    }

    /// These names and no others are kept from now on.
    pub(super) fn follow(&self, names: &[HostName]) {
        let mut kept = self.names.borrow_mut();
        let mut before = std::mem::take(&mut *kept);
        *kept = names.iter().map(|name| (name.clone(), before.remove(name).unwrap_or_default())).collect();
        let gone = before.values().any(|addrs| !addrs.is_empty());
        drop(kept);
        if gone {
            self.publish();
        }
    }

    pub(super) fn follows_nothing(&self) -> bool {
        self.names.borrow().is_empty()
    }

    /// An answer: what it has for a name that is followed is in the table when this returns.
    pub(super) fn note(&self, name: &HostName, addrs: impl Iterator<Item = IpAddr>, now: Instant) {
        let mut is_new = false;
        if let Some(kept) = self.names.borrow_mut().get_mut(name) {
            for addr in addrs {
                is_new |= kept.insert(addr.to_canonical(), now).is_none();
            }
        }
        if is_new {
            self.publish();
        }
    }

    /// Drops what has been in no answer for too long.
    pub(super) fn forget(&self, now: Instant) {
        let mut forgotten = false;
        for addrs in self.names.borrow_mut().values_mut() {
            let before = addrs.len();
            addrs.retain(|_, seen| now.saturating_duration_since(*seen) < KEPT_FOR);
            forgotten |= addrs.len() < before;
        }
        if forgotten {
            self.publish();
        }
    }

    fn publish(&self) {
        let mut by_addr: HashMap<IpAddr, Vec<HostName>> = HashMap::new();
        for (name, addrs) in self.names.borrow().iter() {
            for addr in addrs.keys() {
                by_addr.entry(*addr).or_default().push(name.clone());
            }
        }
        self.directory.fqdns.store(Arc::new(FqdnTable { by_addr }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    fn addr(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn an_address_stays_for_a_quarter_of_an_hour() {
        let directory = Arc::new(Directory::new(None));
        let keeper = Keeper::new(directory.clone());
        let (a, b) = (name("a.test"), name("b.test"));
        let start = Instant::now();
        let late = start + KEPT_FOR - Duration::from_secs(1);
        let note = |name: &HostName, addrs: &[IpAddr], now| keeper.note(name, addrs.iter().copied(), now);
        let names = |last| directory.fqdns().names_of(addr(last)).iter().map(ToString::to_string).collect::<Vec<_>>();
        note(&a, &[addr(1)], start);
        assert!(names(1).is_empty(), "no rule has that name");
        keeper.follow(&[a.clone(), b.clone()]);
        note(&b, &[addr(1)], start);
        note(&a, &[addr(1), addr(2)], start);
        assert_eq!((names(1), names(2)), (vec!["a.test".to_owned(), "b.test".to_owned()], vec!["a.test".to_owned()]));
        note(&a, &[addr(2)], late);
        keeper.forget(late);
        assert_eq!(names(1).len(), 2, "a second to go");
        keeper.forget(start + KEPT_FOR);
        assert!(names(1).is_empty() && names(2).len() == 1);
        keeper.follow(&[b]);
        assert!(names(2).is_empty(), "the policy has the name no more");
    }
}
