//! Caps on connections: in all, where new ones *wait* for a while (one with each listener, the rest in the kernel's
//! queue) and are then *refused*, and from one client, where new ones are *refused*. Unless told otherwise, no client gets
//! them all, so that whoever takes as many as there are leaves others some to work with.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::config::Limits;
use crate::net::listener::room_for_connections;

/// How long a connection waits for a place: a crowd that comes and goes is served, one that stays is refused.
const PATIENCE: Duration = Duration::from_secs(2);

/// The share of all connections that one client leaves to the others where nothing else is set: one in so many.
const LEFT_TO_OTHERS: usize = 10;

/// Connections by client, and UDP flows where they are capped together.
type Clients = Arc<Mutex<HashMap<Party, usize, RandomState>>>;

/// Who counts as one client: an address of IPv4, a /64 of IPv6. A machine has as many addresses in its /64 as it likes (RFC
/// 4862, RFC 8981).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Party(IpAddr);

impl Party {
    fn of(client: IpAddr) -> Party {
        Party(match client.to_canonical() {
            IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() & (u128::MAX << 64)).into(),
            v4 => v4,
        })
    }
}

pub(super) struct Limiter {
    /// How many there are, free or taken.
    places: usize,
    /// Those that are free.
    all: Arc<Semaphore>,
    /// The last who wanted a place got none.
    full: AtomicBool,
    per_client: usize,
    /// The cap was set, and is one on UDP flows too.
    is_set: bool,
    clients: Clients,
}

/// A place among all connections, to be had before a connection is served.
pub(super) struct Place {
    _held: OwnedSemaphorePermit,
}

/// A place among the connections and UDP flows of one client.
pub(super) struct ClientPlace {
    clients: Clients,
    client: Party,
}

impl Limiter {
    /// What is accepted without a descriptor to dial with could only be failed: such connections wait as well.
    pub(super) fn new(limits: &Limits) -> Limiter {
        let room = room_for_connections();
        if room < limits.connections {
            tracing::info!("descriptors are enough for {room} connections at once, not for {}", limits.connections);
        }
        let all = limits.connections.min(room).min(Semaphore::MAX_PERMITS);
        let is_set = limits.connections_per_client > 0;
        Limiter {
            places: all,
            all: Arc::new(Semaphore::new(all)),
            full: AtomicBool::new(false),
            per_client: if is_set { limits.connections_per_client } else { all - all / LEFT_TO_OTHERS },
            is_set,
            clients: Arc::default(),
        }
    }

    /// Places among all connections that are taken.
    pub(super) fn taken(&self) -> usize {
        self.places - self.all.available_permits()
    }

    /// A place among all connections. `Err` where none became free in [`PATIENCE`]; from then on, until there is one
    /// again, nobody waits.
    pub(super) async fn place(&self) -> Result<Place, ()> {
        let held = match self.all.clone().try_acquire_owned() {
            Err(_) if !self.full.load(Relaxed) => self.wait().await,
            held => held.map_err(|_| ()),
        };
        // Read by every core for every connection: written only where it changes.
        if self.full.load(Relaxed) != held.is_err() {
            self.full.store(held.is_err(), Relaxed);
        }
        held.map(|held| Place { _held: held })
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, ()> {
        let held = timeout(PATIENCE, self.all.clone().acquire_owned()).await;
        held.map_err(|_| ())?.map_err(|_| ())
    }

    /// A place for one more connection of this client; `Err` where it has as many as it may.
    pub(super) fn client_place(&self, client: IpAddr) -> Result<ClientPlace, ()> {
        let client = Party::of(client);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(client).or_insert(0);
        if *count >= self.per_client {
            return Err(());
        }
        *count += 1;
        Ok(ClientPlace { clients: self.clients.clone(), client })
    }

    /// The same for a UDP flow. `Ok(None)` where there is no cap on them.
    pub(super) fn flow_place(&self, client: IpAddr) -> Result<Option<ClientPlace>, ()> {
        self.is_set.then(|| self.client_place(client)).transpose()
    }

    /// Would there be one?
    pub(super) fn has_flow_place(&self, client: IpAddr) -> bool {
        if !self.is_set {
            return true;
        }
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.get(&Party::of(client)).is_none_or(|count| *count < self.per_client)
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_one_client() {
        let same = |a: &str, b: &str| Party::of(a.parse().unwrap()) == Party::of(b.parse().unwrap());
        for (a, b) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "::ffff:192.0.2.1"),
            ("2001:db8:1:2::1", "2001:db8:1:2::1"),
            ("2001:db8:1:2::", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("192.0.2.1", "192.0.2.2"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
            ("::ffff:192.0.2.1", "::1"),
            ("2001:db8:1:2::1", "2001:db8:1:3::1"),
            ("0.0.0.0", "::"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn a_network_of_ipv6_shares_its_places() {
        let limiter = Limiter::new(&Limits { connections_per_client: 1, ..Limits::default() });
        let [first, neighbour, other] =
            ["2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1"].map(|addr| addr.parse().unwrap());
        let place = limiter.client_place(first);
        assert!(limiter.client_place(neighbour).is_err() && !limiter.has_flow_place(neighbour));
        assert!(limiter.client_place(other).is_ok());
        drop(place);
        assert!(limiter.client_place(neighbour).is_ok());
    }
}
