//! The ClientHello of whoever only wants to know whether TLS is spoken for a name, and the first bytes of the answer.
//!
//! Nothing is encrypted and no certificate is looked at: a server that has chosen a version and a cipher for this name has
//! shown that it is reached. What it costs is a broken-off handshake in its log.

use super::ParseError;
use crate::flow::HostName;

/// What a server says to a ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// A ServerHello, or the wish for another ClientHello, which has its shape.
    Hello,
    /// An alert, with its description (RFC 8446 section 6.2): 112 where the name is not known.
    Alert(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not speak TLS")]
pub struct NotTls;

/// Bytes of an answer that tell what it is: a record's head, and what follows as far as an alert's description.
pub const GREETING_BYTES: usize = 7;

/// AES-GCM and ChaCha20 of TLS 1.3 and of 1.2 with ECDHE or RSA.
const CIPHERS: [u16; 11] = [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9, 0x009c, 0x009d];
const X25519: u16 = 0x001d;
/// P-256 and P-384 beside it.
const GROUPS: [u16; 3] = [X25519, 0x0017, 0x0018];
/// ECDSA, RSA-PSS and RSA with SHA-2.
const SIGNATURES: [u16; 8] = [0x0403, 0x0503, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601];

/// One record with a ClientHello for this name, TLS 1.2 and 1.3. Both numbers need not be secret: nothing follows.
pub fn client_hello(name: &HostName, random: [u8; 32], share: [u8; 32]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend(random);
    body.push(0);
    body.extend(sized16(words(&CIPHERS)));
    body.extend([1, 0]);
    body.extend(sized16(extensions(name, share)));
    let mut handshake = vec![1, 0];
    handshake.extend(sized16(body));
    let mut record = vec![22, 3, 1];
    record.extend(sized16(handshake));
    record
}

fn extensions(name: &HostName, share: [u8; 32]) -> Vec<u8> {
    let mut server_name = vec![0];
    server_name.extend(sized16(name.as_str().bytes().collect()));
    let mut key_share = X25519.to_be_bytes().to_vec();
    key_share.extend(sized16(share.to_vec()));
    [
        (0x0000, sized16(server_name)),
        (0x000a, sized16(words(&GROUPS))),
        (0x000b, vec![1, 0]),
        (0x000d, sized16(words(&SIGNATURES))),
        (0x0017, Vec::new()),
        // TLS 1.3 and 1.2.
        (0x002b, vec![4, 3, 4, 3, 3]),
        (0x002d, vec![1, 1]),
        (0x0033, sized16(key_share)),
        (0xff01, vec![0]),
    ]
    .into_iter()
    .flat_map(|(kind, body): (u16, Vec<u8>)| kind.to_be_bytes().into_iter().chain(sized16(body)).collect::<Vec<u8>>())
    .collect()
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// With its length before it. All that is written here is far below 64 KiB: a name has 253 bytes at most.
#[cfg_attr(not(test), expect(clippy::expect_used, reason = "nothing of a peer's is in it but a name"))]
fn sized16(bytes: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a ClientHello is small");
    length.to_be_bytes().into_iter().chain(bytes).collect()
}

/// What the first bytes of an answer are.
///
/// # Errors
///
/// There are fewer than [`GREETING_BYTES`] of something that may become an answer, or it is not TLS.
pub fn greeting(bytes: &[u8]) -> Result<Greeting, ParseError<NotTls>> {
    let kind = bytes.first();
    let is_tls = kind.is_none_or(|kind| matches!(kind, 21 | 22)) && bytes.get(1).is_none_or(|major| *major == 3);
    match bytes {
        _ if !is_tls => Err(NotTls.into()),
        [22, _, _, _, _, 2, ..] => Ok(Greeting::Hello),
        [22, _, _, _, _, _, ..] => Err(NotTls.into()),
        [21, _, _, _, _, _, description, ..] => Ok(Greeting::Alert(*description)),
        _ => Err(ParseError::Incomplete),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::client_hello::{ClientHello, parse};

    #[test]
    fn what_is_written_can_be_read() {
        let name = HostName::parse("login.windows.net").unwrap();
        let bytes = client_hello(&name, [7; 32], [9; 32]);
        let hello: ClientHello = parse(&bytes).unwrap();
        assert_eq!(hello.sni.unwrap().as_str(), "login.windows.net");
    }

    #[test]
    fn answers() {
        let check = |bytes: &[u8], expected| assert_eq!(greeting(bytes), expected, "{bytes:?}");
        check(&[22, 3, 3, 0, 80, 2, 0], Ok(Greeting::Hello));
        check(&[21, 3, 3, 0, 2, 2, 112], Ok(Greeting::Alert(112)));
        check(b"HTTP/1.", Err(NotTls.into()));
        check(&[22, 3, 3, 0, 80, 1, 0], Err(NotTls.into()));
        for whole in [&[22, 3, 3, 0, 80, 2][..], &[21, 3, 3, 0, 2, 2, 112]] {
            (0..whole.len()).for_each(|end| check(&whole[..end], Err(ParseError::Incomplete)));
        }
    }
}
