//! How cores ask the thread `egret-dns` for a host's addresses.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::flow::HostName;

/// Requests that wait for the thread. When it is full, a core *waits*, up to the deadline of its look-up.
const QUEUE: usize = 1024;

/// What the thread may take beyond its own deadline, so that its word is heard and not this side's.
const GRACE: Duration = Duration::from_millis(500);

/// A core's end. The thread ends when the last of them is gone.
#[derive(Debug, Clone)]
pub(crate) struct Asker(mpsc::Sender<Request>);

/// The thread's end.
pub(crate) type Requests = mpsc::Receiver<Request>;

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) name: HostName,
    pub(crate) answer: oneshot::Sender<Resolved>,
}

/// What a name came to.
#[derive(Debug, Clone)]
pub(crate) enum Resolved {
    /// Never empty; IPv4 first. Good for as long as the cache has it.
    To {
        addrs: Vec<IpAddr>,
        until: Instant,
    },
    Failed(Unresolved),
}

/// Why a name has no address.
#[derive(Debug, Clone)]
pub(crate) struct Unresolved {
    pub(crate) why: String,
    /// The name server that said so, or that was asked last.
    pub(crate) server: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskError {
    Timeout,
    /// The thread, or the task of this question, has ended.
    Gone,
}

impl Asker {
    pub(crate) fn new() -> (Asker, Requests) {
        let (sender, requests) = mpsc::channel(QUEUE);
        (Asker(sender), requests)
    }

    /// # Errors
    ///
    /// There was no answer in time, or there will be none.
    pub(crate) async fn ask(&self, name: &HostName, deadline: Duration) -> Result<Resolved, AskError> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.0.send(Request { name: name.clone(), answer }).await.map_err(|_| AskError::Gone)?;
            answered.await.map_err(|_| AskError::Gone)
        };
        timeout(deadline + GRACE, asked).await.unwrap_or(Err(AskError::Timeout))
    }
}
