//! Caps on connections: in all, where new ones *wait* (one with each listener, the rest in the kernel's queue), and
//! from one address, where new ones are *refused*.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use std::collections::HashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::net::listener::room_for_connections;

pub(super) struct Limiter {
    all: Arc<Semaphore>,
    /// 0: no cap.
    per_client: usize,
    clients: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place among all connections, to be had before a connection is served.
pub(super) struct Place {
    _held: OwnedSemaphorePermit,
}

/// A place among the connections of one client.
pub(super) struct ClientPlace {
    clients: Arc<Mutex<HashMap<IpAddr, usize>>>,
    client: IpAddr,
}

impl Limiter {
    /// What is accepted without a descriptor to dial with could only be failed: such connections wait as well.
    pub(super) fn new(limits: &Limits) -> Limiter {
        let room = room_for_connections();
        if room < limits.connections {
            tracing::info!("descriptors are enough for {room} connections at once, not for {}", limits.connections);
        }
        Limiter {
            all: Arc::new(Semaphore::new(limits.connections.min(room).min(Semaphore::MAX_PERMITS))),
            per_client: limits.connections_per_client,
            clients: Arc::default(),
        }
    }

    /// Waits for a place among all connections.
    pub(super) async fn place(&self) -> Place {
        Place { _held: self.all.clone().acquire_owned().await.expect("the semaphore is never closed") }
    }

    /// A place for one more connection of this client; `Err` where it has as many as it may. `Ok(None)` where
    /// there is no cap.
    pub(super) fn client_place(&self, client: IpAddr) -> Result<Option<ClientPlace>, ()> {
        if self.per_client == 0 {
            return Ok(None);
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(client).or_insert(0);
        if *count >= self.per_client {
            return Err(());
        }
        *count += 1;
        Ok(Some(ClientPlace { clients: self.clients.clone(), client }))
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
