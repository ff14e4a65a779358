//! What the names of network rules resolve to (azure-docs, fqdn-filtering-network-rules): every address that an answer
//! had, until it has been in none for a quarter of an hour.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use ipnet::IpNet;
use tokio::time::{Instant, sleep_until};

use super::synthetic::Synthetic;
use crate::flow::HostName;

/// How often the names are looked up. What a record's time to live allows comes out of the cache.
pub(crate) const REFRESH_EVERY: Duration = Duration::from_secs(15);
/// How long an address is kept that no answer has any more.
const KEPT_FOR: Duration = Duration::from_secs(15 * 60);
/// Addresses of a name, at most; beyond it go those that have been in no answer for longest.
const ADDRESSES: usize = 256;
/// Between two tables that answers bring about: those that come sooner *wait* and share one.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);

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
    /// Changes so far, and how many of them are in the table.
    changes: Cell<u64>,
    published: Cell<u64>,
    last: Cell<Option<Instant>>,
}

impl Keeper {
    pub(super) fn new(directory: Arc<Directory>) -> Keeper {
        Keeper {
            directory,
            names: RefCell::default(),
            changes: Cell::default(),
            published: Cell::default(),
            last: Cell::default(),
        }
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
    pub(super) async fn note(&self, name: &HostName, addrs: impl Iterator<Item = IpAddr>, now: Instant) {
        if self.add(name, addrs, now) {
            // Not only where something is new: the same address may be in an answer that waits.
            self.published().await;
        }
    }

    /// False for a name that is not followed.
    fn add(&self, name: &HostName, addrs: impl Iterator<Item = IpAddr>, now: Instant) -> bool {
        let mut names = self.names.borrow_mut();
        let Some(kept) = names.get_mut(name) else { return false };
        let mut is_new = false;
        for addr in addrs.take(ADDRESSES) {
            is_new |= kept.insert(addr.to_canonical(), now).is_none();
        }
        drop_oldest(kept);
        self.changes.update(|changes| changes + u64::from(is_new));
        true
    }

    /// Waits until the table has all that was noted before.
    async fn published(&self) {
        let changes = self.changes.get();
        while self.published.get() < changes {
            let due = self.last.get().map(|last| last + PUBLISH_EVERY);
            match due {
                Some(due) if Instant::now() < due => sleep_until(due).await,
                _ => self.publish(),
            }
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
        self.published.set(self.changes.get());
        self.last.set(Some(Instant::now()));
    }
}

fn drop_oldest(kept: &mut HashMap<IpAddr, Instant>) {
    if kept.len() <= ADDRESSES {
        return;
    }
    let mut by_age: Vec<(Instant, IpAddr)> = kept.iter().map(|(addr, seen)| (*seen, *addr)).collect();
    by_age.sort_unstable();
    let too_many = by_age.len() - ADDRESSES;
    for (_, addr) in by_age.into_iter().take(too_many) {
        kept.remove(&addr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::rc::Rc;
    use tokio::runtime::Builder;
    use tokio::task::{JoinSet, LocalSet};

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    fn addr(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    fn nth(number: usize) -> IpAddr {
        let [.., high, low] = number.to_be_bytes();
        [198, 18, high, low].into()
    }

    #[test]
    fn a_name_has_so_many_addresses_and_the_oldest_go() {
        let directory = Arc::new(Directory::new(None));
        let keeper = Keeper::new(directory.clone());
        keeper.follow(&[name("a.test")]);
        let start = Instant::now();
        let note = |addrs: &mut dyn Iterator<Item = usize>, seconds| {
            let now = start + Duration::from_secs(seconds);
            block_on(keeper.note(&name("a.test"), addrs.map(nth), now));
        };
        let known = |number| !directory.fqdns().names_of(nth(number)).is_empty();
        note(&mut (0..ADDRESSES), 0);
        note(&mut [0].into_iter(), 1);
        note(&mut (1000..1255), 2);
        assert_eq!(directory.fqdns().by_addr.len(), ADDRESSES);
        assert!(known(0) && known(1000) && known(1254) && !known(1) && !known(255));
        note(&mut (2000..9000), 3);
        assert_eq!(directory.fqdns().by_addr.len(), ADDRESSES);
        assert!(known(2000) && !known(0));
    }

    #[test]
    fn answers_at_once_share_a_table_and_none_is_given_before_it() {
        let directory = Arc::new(Directory::new(None));
        let keeper = Rc::new(Keeper::new(directory.clone()));
        keeper.follow(&[name("a.test")]);
        let seen = block_on(LocalSet::new().run_until(async {
            let mut noting = JoinSet::new();
            // Each address twice: who has what is not new waits for it all the same.
            for number in (0..200).flat_map(|number| [number, number]) {
                let (keeper, directory) = (keeper.clone(), directory.clone());
                noting.spawn_local(async move {
                    keeper.note(&name("a.test"), std::iter::once(nth(number)), Instant::now()).await;
                    let table = directory.fqdns.load_full();
                    assert_eq!(table.names_of(nth(number)), [name("a.test")]);
                    table
                });
            }
            noting.join_all().await
        }));
        let tables: HashSet<_> = seen.iter().map(Arc::as_ptr).collect();
        assert!(tables.len() < 20, "{}", tables.len());
    }

    #[test]
    fn an_address_stays_for_a_quarter_of_an_hour() {
        let directory = Arc::new(Directory::new(None));
        let keeper = Keeper::new(directory.clone());
        let (a, b) = (name("a.test"), name("b.test"));
        let start = Instant::now();
        let late = start + KEPT_FOR - Duration::from_secs(1);
        let note = |name: &HostName, addrs: &[IpAddr], now| block_on(keeper.note(name, addrs.iter().copied(), now));
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
