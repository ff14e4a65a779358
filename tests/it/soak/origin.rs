//! An origin that can be killed, as the kernel does to the sockets of a killed process, and started again at the same
//! address. It remembers nothing of what it served.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use crate::support::eventually;

/// What it makes of the bytes of one read.
type Answer = fn(&[u8]) -> Vec<u8>;

pub struct Origin {
    pub addr: SocketAddr,
    answer: Answer,
    life: Option<Life>,
}

/// From a start to a death.
struct Life {
    listener: TcpListener,
    alive: Arc<Alive>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Alive {
    ended: AtomicBool,
    connections: Mutex<HashMap<u64, TcpStream>>,
}

impl Origin {
    /// Every byte comes back.
    pub fn echo() -> Origin {
        Origin::start(<[u8]>::to_vec)
    }

    /// An answer for each request, which has no body and comes in one piece.
    pub fn http() -> Origin {
        Origin::start(|requests| OK.repeat(requests.windows(4).filter(|end| end == b"\r\n\r\n").count()))
    }

    fn start(answer: Answer) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let addr = listener.local_addr().expect("it is bound");
        Origin { addr, answer, life: Some(Life::begin(listener, answer)) }
    }

    pub fn kill(&mut self) {
        self.life = None;
    }

    /// Where it was before. One that lives lives on.
    pub fn restart(&mut self) {
        if self.life.is_some() {
            return;
        }
        let listener = eventually("the port is free again", || TcpListener::bind(self.addr).ok());
        self.life = Some(Life::begin(listener, self.answer));
    }
}

/// The body of every answer.
pub const BODY: &str = "ok";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Life {
    fn begin(listener: TcpListener, answer: Answer) -> Life {
        let alive = Arc::new(Alive::default());
        let (accepts, shared) = (listener.try_clone().expect("descriptors are left"), alive.clone());
        let accepting = std::thread::spawn(move || {
            for (number, stream) in (0..).zip(accepts.incoming()) {
                let Ok(stream) = stream else { break };
                if shared.ended.load(Ordering::Acquire) {
                    break;
                }
                let shared = shared.clone();
                std::thread::spawn(move || {
                    shared.serve(number, stream, answer);
                });
            }
        });
        Life { listener, alive, accepting }
    }
}

impl Alive {
    fn serve(&self, number: u64, mut stream: TcpStream, answer: Answer) {
        let Ok(own) = stream.try_clone() else { return };
        self.connections().insert(number, own);
        if !self.ended.load(Ordering::Acquire) {
            let _ = stream.set_nodelay(true);
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&answer(&buffer[..read])).is_err() {
                    break;
                }
            }
        }
        self.connections().remove(&number);
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.alive.ended.store(true, Ordering::Release);
        // Wakes the accept; nobody listens any more.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        for stream in self.alive.connections().values() {
            // What is on its way is lost, as it is when a process is killed.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Both);
        }
        while !self.accepting.is_finished() {
            std::thread::yield_now();
        }
    }
}
