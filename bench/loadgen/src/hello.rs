//! A TLS ClientHello as browsers send it: one record of 517 bytes, padded as in RFC 7685, or one with a post-quantum key
//! share, which is longer by the 1216 bytes of that.
//!
//! Only the bytes: nobody answers with TLS. `tls` has whole handshakes.

use crate::workload::HelloKind;

/// Length of the record with its header, bytes: the 512 of the padding rule and five of record header.
pub const HELLO_LEN: usize = 517;
/// Kind, version and length of a record, bytes.
pub const RECORD_HEADER: usize = 5;

const CIPHER_SUITES: [u16; 15] = [
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f,
    0x0035,
];
const SIGNATURES: [u16; 8] = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];
const X25519: u16 = 0x001d;
const X25519_MLKEM768: u16 = 0x11ec;
const GROUPS: [u16; 4] = [X25519_MLKEM768, X25519, 0x0017, 0x0018];
const PADDING: u16 = 21;
/// Coefficients of an ML-KEM-768 encapsulation key, 12 bits each, all less than 3329; 32 bytes of seed follow (FIPS 203).
const COEFFICIENTS: u16 = 768;
const Q: u16 = 3329;

/// The record for `name` as SNI. A hello that is longer than [`HELLO_LEN`] without padding has none.
pub fn client_hello(kind: HelloKind, name: &str) -> Vec<u8> {
    let mut extensions = extensions(kind, name);
    let before = record(&extensions).len();
    if let Some(padding) = HELLO_LEN.checked_sub(before + 4) {
        push_extension(&mut extensions, PADDING, &vec![0; padding]);
    }
    record(&extensions)
}

/// The name in a record with a ClientHello. Reads no more of it than it must: this is for the floor.
pub fn server_name(record: &[u8]) -> Option<&[u8]> {
    // Record and handshake headers, version and random.
    let rest = record.get(43..)?;
    let (_session, rest) = prefixed(rest, 1)?;
    let (_suites, rest) = prefixed(rest, 2)?;
    let (_compression, rest) = prefixed(rest, 1)?;
    let (mut extensions, _) = prefixed(rest, 2)?;
    while let Some((kind, rest)) = extensions.split_first_chunk::<2>() {
        let (data, rest) = prefixed(rest, 2)?;
        if *kind == [0, 0] {
            let (list, _) = prefixed(data, 2)?;
            return Some(prefixed(list.get(1..)?, 2)?.0);
        }
        extensions = rest;
    }
    None
}

/// What a length of `size` bytes announces, and what follows that.
fn prefixed(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(size)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

fn record(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![0x03, 0x03];
    body.extend((0..32u8).map(|i| i.wrapping_mul(37)));
    body.push(32);
    body.extend((0..32u8).map(|i| i.wrapping_mul(91)));
    body.extend(prefixed16(&words(&CIPHER_SUITES)));
    body.extend([1, 0]);
    body.extend(prefixed16(extensions));

    let mut handshake = vec![1, 0];
    handshake.extend(prefixed16(&body));
    let mut record = vec![22, 0x03, 0x01];
    record.extend(prefixed16(&handshake));
    record
}

fn extensions(kind: HelloKind, name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(HELLO_LEN);
    let mut host = vec![0];
    host.extend(prefixed16(name.as_bytes()));
    push_extension(&mut out, 0, &prefixed16(&host));
    push_extension(&mut out, 23, &[]);
    push_extension(&mut out, 0xff01, &[0]);
    let groups = match kind {
        HelloKind::Classic => &GROUPS[1..],
        HelloKind::PostQuantum => &GROUPS,
    };
    push_extension(&mut out, 10, &prefixed16(&words(groups)));
    push_extension(&mut out, 11, &[1, 0]);
    push_extension(&mut out, 35, &[]);
    push_extension(&mut out, 16, &prefixed16(b"\x02h2\x08http/1.1"));
    push_extension(&mut out, 5, &[1, 0, 0, 0, 0]);
    push_extension(&mut out, 13, &prefixed16(&words(&SIGNATURES)));
    push_extension(&mut out, 51, &prefixed16(&shares(kind)));
    push_extension(&mut out, 45, &[1, 1]);
    push_extension(&mut out, 43, &[4, 0x03, 0x04, 0x03, 0x03]);
    out
}

fn shares(kind: HelloKind) -> Vec<u8> {
    let mut out = Vec::new();
    if kind == HelloKind::PostQuantum {
        out.extend(X25519_MLKEM768.to_be_bytes());
        out.extend(prefixed16(&[encapsulation_key(), vec![0x5a; 32]].concat()));
    }
    out.extend(X25519.to_be_bytes());
    out.extend(prefixed16(&[0x5a; 32]));
    out
}

/// One that a server would take: it checks that the coefficients are in range.
fn encapsulation_key() -> Vec<u8> {
    let coefficients: Vec<u16> = (0..COEFFICIENTS).map(|at| at.wrapping_mul(40_503) % Q).collect();
    let packed = coefficients.chunks_exact(2).flat_map(|pair| {
        let bits = u32::from(pair[0]) | u32::from(pair[1]) << 12;
        let [low, middle, high, _] = bits.to_le_bytes();
        [low, middle, high]
    });
    packed.chain([0xa5; 32]).collect()
}

fn push_extension(out: &mut Vec<u8>, kind: u16, data: &[u8]) {
    out.extend(kind.to_be_bytes());
    out.extend(prefixed16(data));
}

fn prefixed16(data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).expect("a hello is far shorter than 64 KiB");
    let mut out = len.to_be_bytes().to_vec();
    out.extend(data);
    out
}

fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio_rustls::rustls::server::Acceptor;

    fn check(kind: HelloKind, length: usize) {
        let bytes = client_hello(kind, "ok.test");
        assert_eq!(bytes.len(), length);
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut &bytes[..]).unwrap();
        let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().expect("the hello is complete");
        assert_eq!(accepted.client_hello().server_name(), Some("ok.test"));
    }

    #[test]
    fn rustls_reads_the_hellos() {
        check(HelloKind::Classic, HELLO_LEN);
        check(HelloKind::PostQuantum, 1500);
    }

    #[test]
    fn the_floor_reads_the_name() {
        for kind in [HelloKind::Classic, HelloKind::PostQuantum] {
            let bytes = client_hello(kind, "ok.test");
            assert_eq!(server_name(&bytes), Some(&b"ok.test"[..]));
            assert_eq!(server_name(&bytes[..100]), None);
        }
    }
}
