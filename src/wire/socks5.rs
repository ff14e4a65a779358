//! SOCKS5, RFC 1928, with the user and password of RFC 1929: what a client sends, message by message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ParseError;
use crate::flow::Reason;

pub const VERSION: u8 = 5;

/// A method that a client offers: no authentication, or user and password.
pub const NO_AUTH: u8 = 0;
pub const USER_PASSWORD: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SocksError {
    #[error("not SOCKS version 5")]
    Version,
    #[error("the client offers no method of authentication")]
    NoMethods,
    #[error("not the user and password of RFC 1929")]
    AuthVersion,
    #[error("an address type that is not IPv4, IPv6 or a name")]
    AddressType,
    #[error("the name is empty")]
    EmptyName,
    #[error("the port is 0")]
    Port,
}

impl SocksError {
    pub fn reason(self) -> Reason {
        match self {
            SocksError::EmptyName => Reason::BadName,
            _ => Reason::BadRequest,
        }
    }
}

/// The methods that the client offers, and how many bytes the greeting took.
pub fn greeting(bytes: &[u8]) -> Result<(&[u8], usize), ParseError<SocksError>> {
    let version = *bytes.first().ok_or(ParseError::Incomplete)?;
    if version != VERSION {
        return Err(SocksError::Version.into());
    }
    let count = usize::from(*bytes.get(1).ok_or(ParseError::Incomplete)?);
    if count == 0 {
        return Err(SocksError::NoMethods.into());
    }
    let methods = bytes.get(2..2 + count).ok_or(ParseError::Incomplete)?;
    Ok((methods, 2 + count))
}

/// What the client says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User<'a> {
    pub user: &'a [u8],
    pub password: &'a [u8],
}

/// User and password, and how many bytes they took.
pub fn user_password(bytes: &[u8]) -> Result<(User<'_>, usize), ParseError<SocksError>> {
    if *bytes.first().ok_or(ParseError::Incomplete)? != 1 {
        return Err(SocksError::AuthVersion.into());
    }
    let (user, at) = counted(bytes, 1)?;
    let (password, at) = counted(bytes, at)?;
    Ok((User { user, password }, at))
}

fn counted(bytes: &[u8], at: usize) -> Result<(&[u8], usize), ParseError<SocksError>> {
    let end = at + 1 + usize::from(*bytes.get(at).ok_or(ParseError::Incomplete)?);
    Ok((bytes.get(at + 1..end).ok_or(ParseError::Incomplete)?, end))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocksRequest<'a> {
    pub command: Command,
    pub destination: Destination<'a>,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Connect,
    /// BIND, UDP ASSOCIATE or something unknown.
    Other(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination<'a> {
    Addr(IpAddr),
    /// As it was sent: perhaps no name at all.
    Name(&'a [u8]),
}

/// The request, and how many bytes it took.
pub fn request(bytes: &[u8]) -> Result<(SocksRequest<'_>, usize), ParseError<SocksError>> {
    if *bytes.first().ok_or(ParseError::Incomplete)? != VERSION {
        return Err(SocksError::Version.into());
    }
    let [_, command, _, kind, rest @ ..] = bytes else { return Err(ParseError::Incomplete) };
    let (destination, length) = match kind {
        1 => {
            let octets: &[u8; 4] = rest.first_chunk().ok_or(ParseError::Incomplete)?;
            (Destination::Addr(IpAddr::V4(Ipv4Addr::from(*octets))), 4)
        }
        4 => {
            let octets: &[u8; 16] = rest.first_chunk().ok_or(ParseError::Incomplete)?;
            (Destination::Addr(IpAddr::V6(Ipv6Addr::from(*octets))), 16)
        }
        3 => match counted(rest, 0)? {
            ([], _) => return Err(SocksError::EmptyName.into()),
            (name, end) => (Destination::Name(name), end),
        },
        _ => return Err(SocksError::AddressType.into()),
    };
    let port: &[u8; 2] = rest.get(length..).unwrap_or_default().first_chunk().ok_or(ParseError::Incomplete)?;
    let port = u16::from_be_bytes(*port);
    if port == 0 {
        return Err(SocksError::Port.into());
    }
    let command = if *command == 1 { Command::Connect } else { Command::Other(*command) };
    Ok((SocksRequest { command, destination, port }, 4 + length + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_is_incomplete() {
        let greeted = [5, 2, 0, 2, 99];
        let user = [1, 3, b'l', b'a', b'b', 2, b'p', b'w', 99];
        let asked = [5, 1, 0, 3, 7, b'o', b'k', b'.', b't', b'e', b's', b't', 1, 0xbb, 99];
        assert!((0..4).all(|cut| greeting(&greeted[..cut]) == Err(ParseError::Incomplete)));
        assert!((0..8).all(|cut| user_password(&user[..cut]) == Err(ParseError::Incomplete)));
        assert!((0..14).all(|cut| request(&asked[..cut]) == Err(ParseError::Incomplete)));
        assert_eq!(greeting(&greeted), Ok((&[0, 2][..], 4)));
        assert_eq!(user_password(&user), Ok((User { user: b"lab", password: b"pw" }, 8)));
        let destination = Destination::Name(b"ok.test");
        let expected = SocksRequest { command: Command::Connect, destination, port: 443 };
        assert_eq!(request(&asked), Ok((expected, 14)));
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(greeting(&[4, 1]), Err(SocksError::Version.into()));
        assert_eq!(greeting(&[5, 0]), Err(SocksError::NoMethods.into()));
        assert_eq!(user_password(&[5]), Err(SocksError::AuthVersion.into()));
        assert_eq!(request(&[5, 1, 0, 2, 0, 0]), Err(SocksError::AddressType.into()));
        assert_eq!(request(&[5, 1, 0, 3, 0, 0, 80]), Err(SocksError::EmptyName.into()));
        assert_eq!(request(&[5, 1, 0, 1, 1, 1, 1, 1, 0, 0]), Err(SocksError::Port.into()));
        let (bind, _) = request(&[5, 2, 0, 1, 1, 1, 1, 1, 0, 80]).unwrap();
        assert_eq!(bind.command, Command::Other(2));
    }
}
