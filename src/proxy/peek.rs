//! What a client speaks, by its first bytes: TLS, a TDS pre-login with TLS behind it, or HTTP. They are read before
//! anything is dialled, and kept to be passed on.
//!
//! A caller that knows what it wants looks at [`Peek::speaks`] before [`Peek::first`]: the latter answers a pre-login.

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::flow::{HostName, Reason};
use crate::net::relay::read_some;
use crate::wire::client_hello::{ClientHello, HelloError, HelloReader};
use crate::wire::{ParseError, tds};

use super::mssql::{self, Login};
use super::session::Session;

/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 22;

/// What is read at once.
const READ: usize = 4 * 1024;

/// Told by the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Tls,
    Tds,
    Http,
}

/// What the first bytes turned out to be.
pub(super) enum First {
    /// What is held begins with the hello, as `carrier` says.
    Tls(ClientHello, Carrier),
    Http,
}

/// What a TLS handshake comes in.
pub(super) enum Carrier {
    /// The connection itself.
    Bare,
    /// TDS packets; the pre-login was answered, and the server has not seen it yet.
    Tds(Login),
}

/// A TLS handshake whose hello names its server.
pub(super) struct Named {
    pub(super) sni: HostName,
    pub(super) carrier: Carrier,
}

/// A client that is listened to, within the deadline for a hello.
pub(super) struct Peek<'a> {
    pub(super) session: &'a Session,
    pub(super) stream: &'a mut TcpStream,
    /// What was read and belongs to the origin.
    pub(super) held: &'a mut BytesMut,
    deadline: Instant,
}

impl<'a> Peek<'a> {
    /// `held` was read before. The time begins to run.
    pub(super) fn new(session: &'a Session, stream: &'a mut TcpStream, held: &'a mut BytesMut) -> Peek<'a> {
        let deadline = Instant::now() + session.timeouts().hello;
        Peek { session, stream, held, deadline }
    }

    /// Waits for the first byte.
    pub(super) async fn speaks(&mut self) -> Result<Speaks, Reason> {
        loop {
            match self.held.first() {
                Some(&TLS_HANDSHAKE) => return Ok(Speaks::Tls),
                Some(&tds::PRE_LOGIN) => return Ok(Speaks::Tds),
                Some(byte) if byte.is_ascii_uppercase() => return Ok(Speaks::Http),
                Some(_) => return Err(Reason::NotTls),
                None => self.more().await?,
            }
        }
    }

    /// Reads until it is clear which server the client names. A pre-login is answered for that.
    pub(super) async fn first(mut self, speaks: Speaks) -> Result<First, Reason> {
        match speaks {
            Speaks::Http => Ok(First::Http),
            Speaks::Tls => {
                let mut reader = HelloReader::default();
                let hello = self.read_hello(|bytes| reader.read(bytes), HelloError::reason).await?;
                Ok(First::Tls(hello, Carrier::Bare))
            }
            Speaks::Tds => {
                let (hello, login) = mssql::identify(&mut self).await?;
                Ok(First::Tls(hello, Carrier::Tds(login)))
            }
        }
    }

    /// Reads the hello that begins what is held, to its end.
    pub(super) async fn read_hello<E>(
        &mut self,
        mut parse: impl FnMut(&[u8]) -> Result<ClientHello, ParseError<E>>,
        reason: impl Fn(E) -> Reason,
    ) -> Result<ClientHello, Reason> {
        loop {
            match parse(self.held) {
                Ok(hello) => return Ok(hello),
                Err(ParseError::Invalid(error)) => return Err(reason(error)),
                Err(ParseError::Incomplete) if self.held.len() > wire_limit(self.session) => {
                    return Err(Reason::HelloTooLarge);
                }
                Err(ParseError::Incomplete) => self.more().await?,
            }
        }
    }

    pub(super) async fn more(&mut self) -> Result<(), Reason> {
        if self.held.len() >= READ {
            // It is larger than they are: those who say less come first.
            yield_now().await;
        }
        match self.session.timer.by(self.deadline, read_some(self.stream, self.held, READ)).await {
            Err(_) => Err(Reason::HelloTimeout),
            Ok(Ok(0) | Err(_)) => Err(Reason::ClientGone),
            Ok(Ok(_)) => Ok(()),
        }
    }
}

/// Records and packets add to a hello's size: as much again is granted for them.
pub(super) fn wire_limit(session: &Session) -> usize {
    session.core.shared.config.limits.hello_bytes.saturating_mul(2)
}
