//! What cases send, put together: texts with a marker, ClientHellos with any mistake that is wanted.

use serde::{Deserialize, Serialize};

use super::case::Door;

/// Random bytes of a hello.
const RANDOM_LEN: usize = 32;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Piece {
    /// `{m}` is the marker; `{url:HOST}` is `http://HOST` to a proxy and nothing elsewhere.
    Text(String),
    Hex {
        hex: String,
    },
    Repeat {
        repeat: String,
        times: usize,
    },
    Hello {
        hello: Box<Hello>,
    },
}

/// What the pieces of one run are filled with.
#[derive(Debug, Clone)]
pub struct Fill {
    pub marker: String,
    pub door: Door,
}

impl Fill {
    pub fn text(&self, text: &str) -> String {
        let text = text.replace("{m}", &self.marker);
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, url)) = rest.split_once("{url:") {
            let (host, after) = url.split_once('}').unwrap_or((url, ""));
            out.push_str(before);
            if self.door == Door::Http {
                out.push_str("http://");
                out.push_str(host);
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }

    pub fn bytes(&self, pieces: &[Piece]) -> Vec<u8> {
        pieces.iter().flat_map(|piece| self.piece(piece)).collect()
    }

    fn piece(&self, piece: &Piece) -> Vec<u8> {
        match piece {
            Piece::Text(text) => self.text(text).into_bytes(),
            Piece::Hex { hex } => from_hex(hex),
            Piece::Repeat { repeat, times } => self.text(repeat).repeat(*times).into_bytes(),
            Piece::Hello { hello } => hello.bytes(self),
        }
    }
}

/// Digits may stand apart. What is no digit is left out: the corpus is our own, and a test reads all of it.
pub fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).filter_map(|it| u8::try_from(it).ok()).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

/// A TLS 1.3 hello. Its random begins with the marker and `mark`, by which it is known again.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hello {
    /// The server name. Absent: no server_name extension.
    pub sni: Option<String>,
    /// The same as hexadecimal digits.
    pub sni_hex: Option<String>,
    /// Several names in one list.
    pub names: Vec<String>,
    /// Appended to the marker.
    pub mark: String,
    pub alpn: Vec<String>,
    /// An ALPN list of so many equal names besides.
    pub alpn_times: usize,
    /// A key share as long as that of X25519MLKEM768.
    pub post_quantum: bool,
    /// Bytes of padding, in as many extensions as it takes.
    pub pad: usize,
    /// An encrypted_client_hello extension of type outer.
    pub ech: bool,
    /// Further extensions: number and hexadecimal digits.
    pub extra: Vec<(u16, String)>,
    /// Further extensions before all others.
    pub first: Vec<(u16, String)>,
    /// legacy_version of the hello.
    pub version: Option<u16>,
    /// Without key share and supported versions, as TLS 1.2 has it.
    pub old: bool,
    /// Version of the records.
    pub record_version: Option<u16>,
    /// Bytes of each record; the last is repeated.
    pub records: Vec<usize>,
    /// Bytes at the end of the message that are left out.
    pub cut: usize,
    /// Bytes at the end of the message that its length announces and the extensions do not.
    pub trailing: usize,
    /// Added to the length of the message.
    pub longer: i32,
    /// Hexadecimal digits of a record between the first record and the next.
    pub between: Option<String>,
    /// No extensions block at all.
    pub bare: bool,
}

impl Hello {
    fn bytes(&self, fill: &Fill) -> Vec<u8> {
        let mut message = self.message(fill);
        message.truncate(message.len().saturating_sub(self.cut));
        let mut rest = &message[..];
        let mut out = Vec::new();
        let mut sizes = self.records.iter().copied();
        let mut size = sizes.next().unwrap_or(1 << 14);
        let version = self.record_version.unwrap_or(0x0301);
        while !rest.is_empty() {
            let (fragment, after) = rest.split_at(size.clamp(1, rest.len().max(1)).min(rest.len()));
            let first = out.is_empty();
            out.extend([&[22][..], &version.to_be_bytes(), &vector16(fragment)].concat());
            if let (true, Some(between)) = (first, &self.between) {
                out.extend(from_hex(between));
            }
            rest = after;
            size = sizes.next().unwrap_or(size);
        }
        out
    }

    fn message(&self, fill: &Fill) -> Vec<u8> {
        let mut random = format!("{}{}", fill.marker, self.mark).into_bytes();
        random.resize(RANDOM_LEN, 9);
        let version = self.version.unwrap_or(0x0303).to_be_bytes();
        let mut body = [&version[..], &random, &[0], &[0, 4, 0x13, 1, 0xc0, 0x2b], &[1, 0]].concat();
        if !self.bare {
            body.extend(vector16(&self.extensions(fill)));
        }
        body.extend(vec![0; self.trailing]);
        let announced = i64::try_from(body.len()).unwrap_or(0) + i64::from(self.longer);
        let length = u32::try_from(announced).unwrap_or(0).to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }

    fn extensions(&self, fill: &Fill) -> Vec<u8> {
        let mut out = Vec::new();
        for (kind, body) in &self.first {
            extension(&mut out, *kind, &from_hex(body));
        }
        for name in self.server_names(fill) {
            extension(&mut out, 0, &name);
        }
        extension(&mut out, 10, &[0, 4, 0, 29, 0, 23]);
        extension(&mut out, 13, &[0, 4, 8, 4, 4, 3]);
        self.key_share(&mut out);
        let mut alpn: Vec<u8> = self.alpn.iter().flat_map(|name| vector8(fill.text(name).as_bytes())).collect();
        alpn.extend(vector8(b"h2").repeat(self.alpn_times));
        if !alpn.is_empty() {
            extension(&mut out, 16, &vector16(&alpn));
        }
        if self.ech {
            extension(&mut out, 0xfe0d, &[&[0, 0, 1, 0, 1, 8][..], &vector16(&[1; 32]), &vector16(&[2; 144])].concat());
        }
        for (kind, body) in &self.extra {
            extension(&mut out, *kind, &from_hex(body));
        }
        self.padding(&mut out);
        out
    }

    fn key_share(&self, out: &mut Vec<u8>) {
        if self.old {
            return;
        }
        extension(out, 43, &[2, 3, 4]);
        let share = [&[0, 29][..], &vector16(&[7; 32])].concat();
        let hybrid = [&[0x11, 0xec][..], &vector16(&[5; 1216])].concat();
        let shares = if self.post_quantum { [hybrid, share].concat() } else { share };
        extension(out, 51, &vector16(&shares));
    }

    /// The body of each server_name extension.
    fn server_names(&self, fill: &Fill) -> Vec<Vec<u8>> {
        let name = self.sni.as_ref().map(|name| fill.text(name).into_bytes());
        let name = name.or_else(|| self.sni_hex.as_deref().map(from_hex));
        let mut lists: Vec<Vec<u8>> = name.into_iter().map(|name| entry(&name)).collect();
        if !self.names.is_empty() {
            lists.push(self.names.iter().flat_map(|name| entry(fill.text(name).as_bytes())).collect());
        }
        lists.iter().map(|list| vector16(list)).collect()
    }

    fn padding(&self, out: &mut Vec<u8>) {
        let mut left = self.pad;
        let mut kind = 21;
        while left > 0 {
            let size = left.min(16_000);
            extension(out, kind, &vec![0; size]);
            left -= size;
            // Extensions may not be there twice: the next are of kinds that nobody knows (RFC 8701).
            kind = if kind == 21 { 0x0a0a } else { kind.wrapping_add(0x1010) };
        }
    }
}

fn entry(name: &[u8]) -> Vec<u8> {
    [&[0][..], &vector16(name)].concat()
}

fn extension(out: &mut Vec<u8>, kind: u16, body: &[u8]) {
    out.extend(kind.to_be_bytes());
    out.extend(vector16(body));
}

/// What is too long keeps its bytes and announces as many as it can.
fn vector16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()[..], bytes].concat()
}

fn vector8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap_or(u8::MAX)][..], bytes].concat()
}

/// A HelloRetryRequest for X25519 (RFC 8446 section 4.1.4), in one record.
pub fn hello_retry_request() -> Vec<u8> {
    const RANDOM: [u8; 32] = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
        0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];
    let extensions = [0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 29];
    let body = [&[3, 3][..], &RANDOM, &[0, 0x13, 1, 0], &vector16(&extensions)].concat();
    let length = u8::try_from(body.len()).unwrap_or(0);
    [&[22, 3, 3][..], &vector16(&[&[2, 0, 0, length][..], &body].concat())].concat()
}

/// What is in the records of a TLS stream, so that a marker is found that was cut between records.
pub fn without_record_headers(stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = stream;
    while let Some((header, after)) = rest.split_at_checked(5) {
        let length = usize::from(u16::from_be_bytes([header[3], header[4]])).min(after.len());
        let (payload, after) = after.split_at(length);
        out.extend(payload);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::marker;
    use super::*;

    fn fill(door: Door) -> Fill {
        Fill { marker: "m123456789abcdef".into(), door }
    }

    #[test]
    fn texts() {
        let text = "GET {url:ok.test}/{m} HTTP/1.1";
        assert_eq!(fill(Door::Http).text(text), "GET http://ok.test/m123456789abcdef HTTP/1.1");
        assert_eq!(fill(Door::Gateway).text(text), "GET /m123456789abcdef HTTP/1.1");
        assert_eq!(fill(Door::Http).text("{url:{m}.test}/"), "http://m123456789abcdef.test/");
        assert_eq!(from_hex("16 03 0f"), [0x16, 3, 15]);
    }

    #[test]
    fn rustls_reads_the_hello_however_it_is_cut() {
        for (records, post_quantum) in [(vec![], true), (vec![1], false), (vec![5, 1, 100], true)] {
            let hello = Hello { sni: Some("ok.test".into()), records, post_quantum, ..Hello::default() };
            let bytes = hello.bytes(&fill(Door::Connect));
            let mut acceptor = rustls::server::Acceptor::default();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                acceptor.read_tls(&mut rest).unwrap();
            }
            let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().expect("it is complete");
            assert_eq!(accepted.client_hello().server_name(), Some("ok.test"));
            let payload = without_record_headers(&bytes);
            assert!(payload.windows(marker::LEN).any(|it| it == b"m123456789abcdef"));
        }
    }
}
