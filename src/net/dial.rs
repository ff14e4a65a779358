//! Dialling, for those who own a permit.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::flow::Reason;
use crate::policy::Permit;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("no address to dial")]
    NoAddress,
    #[error("no answer from {0} in time")]
    Timeout(SocketAddr),
    #[error("cannot connect to {0}: {1}")]
    Refused(SocketAddr, io::Error),
}

impl DialError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            DialError::NoAddress | DialError::Refused(..) => Reason::UpstreamUnreachable,
            DialError::Timeout(_) => Reason::UpstreamTimeout,
        }
    }
}

/// Addresses that are tried at most: how many there are is for DNS to say, how long it takes is not.
const MAX_ADDRS: usize = 4;

/// Connects to the first of the judged addresses that answers, `each` allowed for every one of the first four. Tells
/// which one it was.
///
/// # Errors
///
/// That of the last address, where none answers.
#[expect(clippy::disallowed_methods, reason = "this is the place that takes a permit and an address")]
pub(crate) async fn dial(
    _permit: &Permit,
    addrs: impl Iterator<Item = SocketAddr>,
    each: Duration,
) -> Result<(TcpStream, SocketAddr), DialError> {
    let mut last = DialError::NoAddress;
    for addr in addrs.take(MAX_ADDRS) {
        match timeout(each, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => {
                no_delay(&stream);
                return Ok((stream, addr));
            }
            Ok(Err(error)) => last = DialError::Refused(addr, error),
            Err(_) => last = DialError::Timeout(addr),
        }
    }
    Err(last)
}

/// A relay must not hold back small writes. A socket that refuses the option still works.
pub(crate) fn no_delay(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_tcp_nodelay(true);
}
