//! A client's connection that tells of its troubles instead of failing the test: an origin may be dead.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::support::DEADLINE;

pub struct Wire {
    pub stream: TcpStream,
    /// Read but not yet taken.
    held: Vec<u8>,
}

impl Wire {
    pub fn connect(to: SocketAddr) -> io::Result<Wire> {
        let stream = TcpStream::connect_timeout(&to, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, held: Vec::new() })
    }

    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// The next head, with its empty line, in lower case.
    pub fn head(&mut self) -> io::Result<String> {
        let end = |held: &[u8]| held.windows(4).position(|it| it == b"\r\n\r\n").map(|at| at + 4);
        let bytes = self.take_until(end)?;
        Ok(String::from_utf8_lossy(&bytes).to_lowercase())
    }

    pub fn exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.take_until(|held| (held.len() >= count).then_some(count))
    }

    fn take_until(&mut self, complete: impl Fn(&[u8]) -> Option<usize>) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(end) = complete(&self.held) {
                return Ok(self.held.drain(..end).collect());
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => self.held.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// Leaves by a reset. Without one, ports would be used up by those that wait a minute for their end.
    pub fn reset(self) {
        // It may be closed already.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

/// The other side closed, one way or another.
pub fn is_close(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// An answer that no client expects.
pub fn strange(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_string())
}
