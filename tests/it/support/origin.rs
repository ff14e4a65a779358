//! Origins: threads that serve until their handle is dropped, and remember what reached them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection};
use socket2::SockRef;

use super::{DEADLINE, poll};

pub struct Origin {
    pub addr: SocketAddr,
    listener: TcpListener,
    seen: Arc<Seen>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    stopped: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    /// One entry a request, or whatever a handler takes note of.
    noted: Mutex<Vec<Vec<u8>>>,
}

/// What a handler sees of its origin.
pub struct Note(Arc<Seen>);

impl Note {
    pub fn note(&self, bytes: &[u8]) {
        lock(&self.0.noted).push(bytes.to_vec());
    }

    pub fn count(&self) -> usize {
        lock(&self.0.noted).len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Origin {
    /// Hands every connection to the handler, each in a thread of its own.
    pub fn start(handler: impl Fn(TcpStream, &Note) + Send + Sync + 'static) -> Origin {
        Origin::start_on("127.0.0.1:0", handler)
    }

    pub fn start_on(addr: &str, handler: impl Fn(TcpStream, &Note) + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind(addr).expect("loopback has free ports");
        let addr = listener.local_addr().expect("it is bound");
        let (seen, handler) = (Arc::new(Seen::default()), Arc::new(handler));
        let shared = seen.clone();
        let own = listener.try_clone().expect("descriptors are left");
        let accepting = std::thread::spawn(move || {
            let mut serving = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if shared.stopped.load(Ordering::Acquire) {
                    break;
                }
                stream.set_read_timeout(Some(DEADLINE)).expect("a deadline is allowed");
                stream.set_nodelay(true).expect("it is TCP");
                lock(&shared.connections).push(stream.try_clone().expect("descriptors are left"));
                let (handler, note) = (handler.clone(), Note(shared.clone()));
                let ending = stream.try_clone().expect("descriptors are left");
                serving.push(std::thread::spawn(move || {
                    handler(stream, &note);
                    // It may be closed already.
                    let _ = ending.shutdown(Shutdown::Both);
                }));
            }
            serving.into_iter().for_each(|one| drop(one.join()));
        });
        Origin { addr, listener: own, seen, accepting: Some(accepting) }
    }

    pub fn echo() -> Origin {
        Origin::start(echo)
    }

    /// Notes each request and answers what `answer` makes of it. Closes where the answer says so.
    pub fn http(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Origin {
        Origin::start(http(answer))
    }

    pub fn http_ok() -> Origin {
        Origin::start(http_ok())
    }

    pub fn tls(config: Arc<ServerConfig>) -> Origin {
        Origin::start(tls(config))
    }

    pub fn connections(&self) -> usize {
        lock(&self.seen.connections).len()
    }

    pub fn noted(&self) -> Vec<Vec<u8>> {
        lock(&self.seen.noted).clone()
    }

    /// Adds a note for the handlers to see.
    pub fn note(&self, bytes: &[u8]) {
        Note(self.seen.clone()).note(bytes);
    }

    /// The notes as text, when there are so many.
    pub fn wait_noted(&self, count: usize) -> Vec<String> {
        let noted = poll(|| Some(self.noted()).filter(|noted| noted.len() >= count));
        let noted = noted.unwrap_or_else(|| panic!("not {count} notes but {}", self.noted().len()));
        noted.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.seen.stopped.store(true, Ordering::Release);
        for stream in lock(&self.seen.connections).iter() {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the accept. Where an end does not, a connection does.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        if cfg!(not(target_os = "linux")) {
            let _ = TcpStream::connect(self.addr);
        }
        self.accepting.take().map(JoinHandle::join);
    }
}

/// Sends back what it reads, half-closes when the client does.
pub fn echo(mut stream: TcpStream, note: &Note) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        note.note(&buffer[..read]);
        if stream.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other side may be gone.
    let _ = stream.shutdown(Shutdown::Write);
}

/// Hears and says nothing.
pub fn silent(mut stream: TcpStream, note: &Note) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        note.note(&buffer[..read]);
    }
}

/// Speaks first, as SMTP and SSH do, then echoes.
pub fn greeter(mut stream: TcpStream, note: &Note) {
    if stream.write_all(GREETING).is_ok() {
        echo(stream, note);
    }
}

pub const GREETING: &[u8] = b"220 hello\r\n";

pub fn http(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> impl Fn(TcpStream, &Note) + Send + Sync {
    move |stream, note| serve_http(stream, note, &answer)
}

/// Answers `200` with the body `ok`.
pub fn http_ok() -> impl Fn(TcpStream, &Note) + Send + Sync {
    http(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())
}

/// TLS for any name, echoing; notes the SNI and the ALPN that were negotiated.
pub fn tls(config: Arc<ServerConfig>) -> impl Fn(TcpStream, &Note) + Send + Sync {
    move |mut stream, note| {
        let Ok(mut tls) = ServerConnection::new(config.clone()) else { return };
        while tls.is_handshaking() {
            if tls.complete_io(&mut stream).is_err() {
                return;
            }
        }
        let alpn = String::from_utf8_lossy(tls.alpn_protocol().unwrap_or_default()).into_owned();
        note.note(format!("{} {alpn}", tls.server_name().unwrap_or_default()).trim().as_bytes());
        let mut tls = rustls::Stream::new(&mut tls, &mut stream);
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = tls.read(&mut buffer) {
            if tls.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
    }
}

/// A request as it arrived.
pub struct Request {
    pub head: String,
    /// As it came, with the framing of its chunks.
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

fn serve_http(stream: TcpStream, note: &Note, answer: &dyn Fn(&Request) -> Vec<u8>) {
    let mut writer = stream.try_clone().expect("descriptors are left");
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader) {
        note.note(&[request.head.as_bytes(), &request.body].concat());
        let answer = answer(&request);
        let closes = answer.to_ascii_lowercase().windows(17).any(|it| it == b"connection: close");
        if writer.write_all(&answer).is_err() || closes {
            break;
        }
    }
    // The other side may be gone.
    let _ = writer.shutdown(Shutdown::Both);
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let head = read_lines(reader)?;
    let mut request = Request { head, body: Vec::new() };
    if let Some(length) = request.header("content-length").and_then(|length| length.parse().ok()) {
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
    } else if request.header("transfer-encoding").is_some() {
        while read_chunk(reader, &mut request.body)? {}
        request.body.extend(read_lines(reader)?.into_bytes());
    }
    Some(request)
}

fn read_chunk(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Option<bool> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let size = usize::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
    body.extend(line.as_bytes());
    if size > 0 {
        let mut data = vec![0; size + 2];
        reader.read_exact(&mut data).ok()?;
        body.extend(data);
    }
    Some(size > 0)
}

/// Up to the empty line.
fn read_lines(reader: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    while bytes != b"\r\n" && !bytes.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut bytes).ok()? == 0 {
            return None;
        }
    }
    String::from_utf8(bytes).ok()
}

/// A certificate for a name, with the configurations of a server that has it and of a client that trusts it.
pub fn tls_configs(names: &[&str], alpn: &[&str]) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certified = rcgen::generate_simple_self_signed(names).expect("these are names");
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let certificate = certified.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("it is a certificate");
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key.into());
    let mut server = server.expect("key and certificate belong together");
    let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let alpn: Vec<Vec<u8>> = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    (server.alpn_protocols, client.alpn_protocols) = (alpn.clone(), alpn);
    (Arc::new(server), Arc::new(client))
}
