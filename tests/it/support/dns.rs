//! A name server of a few lines: RFC 1035 over UDP, one question a message.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub struct NameServer {
    pub addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

const A: u16 = 1;
const AAAA: u16 = 28;

impl NameServer {
    /// Answers with the addresses that `resolve` has for a name the n-th time it is asked for them, each family
    /// counted on its own. The answers are not to be kept.
    pub fn start(resolve: impl Fn(&str, usize) -> Vec<IpAddr> + Send + 'static) -> NameServer {
        NameServer::start_on("127.0.0.1:0", resolve)
    }

    /// The same at an address of the namespace that one is in.
    pub fn start_on(addr: &str, resolve: impl Fn(&str, usize) -> Vec<IpAddr> + Send + 'static) -> NameServer {
        let socket = UdpSocket::bind(addr).expect("the address is this machine's, and the port free");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a deadline is allowed");
        let addr = socket.local_addr().expect("it is bound");
        let (asked, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (queries, stop) = (asked.clone(), stopped.clone());
        let serving = std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !stop.load(Ordering::Acquire) {
                let Ok((read, from)) = socket.recv_from(&mut buffer) else { continue };
                let Some((name, kind, end)) = question(&buffer[..read]) else { continue };
                let query = format!("{name} {}", if kind == AAAA { "AAAA" } else { "A" });
                let mut queries = queries.lock().unwrap_or_else(PoisonError::into_inner);
                queries.push(query.clone());
                let times = queries.iter().filter(|asked| **asked == query).count();
                drop(queries);
                let addrs = resolve(&name, times);
                let addrs: Vec<IpAddr> = addrs.into_iter().filter(|addr| addr.is_ipv6() == (kind == AAAA)).collect();
                // A client that is gone needs no answer.
                let _ = socket.send_to(&answer(&buffer[..end], kind, &addrs), from);
            }
        });
        NameServer { addr, asked, stopped, serving: Some(serving) }
    }

    /// One name with the same addresses every time.
    pub fn with(name: &'static str, addrs: &[&str]) -> NameServer {
        let addrs: Vec<IpAddr> = addrs.iter().map(|addr| addr.parse().expect("an address")).collect();
        NameServer::start(move |asked, _| if asked == name { addrs.clone() } else { Vec::new() })
    }

    /// Every question so far, `ok.test A`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.serving.take().map(JoinHandle::join);
    }
}

/// The name and the type that are asked for, and where the question ends.
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    Some((labels.join("."), kind, at + 4))
}

fn answer(question: &[u8], kind: u16, addrs: &[IpAddr]) -> Vec<u8> {
    let count = u8::try_from(addrs.len()).expect("a few addresses");
    let mut message = [&question[..2], &[0x84, 0, 0, 1, 0, count, 0, 0, 0, 0], &question[12..]].concat();
    for addr in addrs {
        let data = match addr {
            IpAddr::V4(addr) => addr.octets().to_vec(),
            IpAddr::V6(addr) => addr.octets().to_vec(),
        };
        debug_assert!(kind == A || kind == AAAA);
        let length = u8::try_from(data.len()).expect("an address");
        // The name is that of the question; the time to live is 0.
        message.extend([0xc0, 12, 0, u8::try_from(kind).expect("small"), 0, 1, 0, 0, 0, 0, 0, length]);
        message.extend(data);
    }
    message
}
