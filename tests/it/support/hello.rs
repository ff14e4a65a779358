//! ClientHellos: made by hand, with any mistake that is wanted, and rustls's own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// A TLS 1.3 hello in the making.
#[derive(Debug, Clone)]
pub struct Hello {
    extensions: Vec<(u16, Vec<u8>)>,
    record: usize,
}

impl Hello {
    /// With this server name, whatever it holds.
    pub fn of(name: impl AsRef<[u8]>) -> Hello {
        Hello::nameless().with(0, server_names(&[name.as_ref()]))
    }

    pub fn nameless() -> Hello {
        let versions = (43, vec![2, 3, 4]);
        let groups = (10, vec![0, 2, 0, 29]);
        let signatures = (13, vec![0, 2, 8, 4]);
        let key_share = (51, [&[0, 36, 0, 29, 0, 32][..], &[7; 32]].concat());
        Hello { extensions: vec![versions, groups, signatures, key_share], record: 1 << 14 }
    }

    pub fn with(mut self, kind: u16, body: impl Into<Vec<u8>>) -> Hello {
        self.extensions.push((kind, body.into()));
        self
    }

    /// So many bytes larger, by padding (RFC 7685) and by an extension that nobody knows.
    pub fn padded(self, bytes: usize) -> Hello {
        self.with(21, vec![0; bytes.min(60_000)]).with(0x5a5a, vec![0; bytes.saturating_sub(60_000)])
    }

    /// Cut into records of so many bytes.
    pub fn records_of(self, record: usize) -> Hello {
        Hello { record, ..self }
    }

    /// What is in the records.
    pub fn message(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        for (kind, body) in &self.extensions {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(vector16(body));
        }
        let body = [&[3, 3][..], &[9; 32], &[0], &[0, 2, 0x13, 1], &[1, 0], &vector16(&extensions)].concat();
        let length = u32::try_from(body.len()).expect("a hello").to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }

    pub fn bytes(&self) -> Vec<u8> {
        records(&self.message(), self.record)
    }
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|fragment| [&[22, 3, 1][..], &vector16(fragment)].concat()).collect()
}

pub fn vector16(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

/// The body of a server_name extension.
pub fn server_names(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = names.iter().flat_map(|name| [&[0][..], &vector16(name)].concat()).collect();
    vector16(&list)
}

/// The body of an ALPN extension with these names.
pub fn alpn(names: &[&[u8]]) -> Vec<u8> {
    let entry = |name: &&[u8]| [&[u8::try_from(name.len()).expect("short")][..], name].concat();
    vector16(&names.iter().flat_map(entry).collect::<Vec<u8>>())
}

/// The body of an encrypted_client_hello of type outer.
pub fn ech() -> Vec<u8> {
    [&[0, 0, 1, 0, 1, 8][..], &vector16(&[1; 32]), &vector16(&[2; 144])].concat()
}

/// A HelloRetryRequest for X25519 (RFC 8446 section 4.1.4), in one record.
pub fn hello_retry_request() -> Vec<u8> {
    const RANDOM: [u8; 32] = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
        0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];
    let extensions = [0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 29];
    let body = [&[3, 3][..], &RANDOM, &[0, 0x13, 1, 0], &vector16(&extensions)].concat();
    let message = [&[2, 0, 0, u8::try_from(body.len()).expect("short")][..], &body].concat();
    [&[22, 3, 3][..], &vector16(&message)].concat()
}

/// A TLS session through an open tunnel.
pub struct Tls {
    session: ClientConnection,
    stream: TcpStream,
}

impl Tls {
    pub fn new(stream: &TcpStream, config: &Arc<ClientConfig>, name: &str) -> Tls {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let session = ClientConnection::new(config.clone(), name).expect("a client configuration");
        Tls { session, stream: stream.try_clone().expect("descriptors are left") }
    }

    /// The bytes of the hello, which are not sent.
    pub fn hello(&mut self) -> Vec<u8> {
        let mut hello = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut hello).expect("a Vec takes all");
        }
        hello
    }

    /// Sends and reads the same back.
    pub fn echo(&mut self, text: &str) -> std::io::Result<String> {
        let mut stream = rustls::Stream::new(&mut self.session, &mut self.stream);
        stream.write_all(text.as_bytes())?;
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back)?;
        Ok(String::from_utf8_lossy(&back).into_owned())
    }

    pub fn alpn(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }
}
