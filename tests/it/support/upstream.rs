//! A name server over UDP and TCP that answers as a test says.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::SOA;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::DEADLINE;

/// What a question came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Udp,
    Tcp,
}

pub struct Upstream {
    pub addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    serving: Vec<JoinHandle<()>>,
}

impl Upstream {
    /// `answer` may add to the message it is given, which repeats the question; None leaves it unanswered.
    pub fn start(answer: impl Fn(Message, Carrier) -> Option<Message> + Send + Sync + 'static) -> Upstream {
        Upstream::serve(sockets(), answer)
    }

    /// At an address that a server has left.
    pub fn start_on(
        addr: SocketAddr,
        answer: impl Fn(Message, Carrier) -> Option<Message> + Send + Sync + 'static,
    ) -> Upstream {
        let udp = UdpSocket::bind(addr).unwrap();
        udp.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Upstream::serve((udp, TcpListener::bind(addr).unwrap()), answer)
    }

    fn serve(
        (udp, tcp): (UdpSocket, TcpListener),
        answer: impl Fn(Message, Carrier) -> Option<Message> + Send + Sync + 'static,
    ) -> Upstream {
        let addr = udp.local_addr().unwrap();
        let (asked, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let answer = Arc::new(move |bytes: &[u8], carrier: Carrier, asked: &Mutex<Vec<String>>| {
            let query = Message::from_vec(bytes).ok()?;
            let question = query.queries.first()?;
            let shown = format!("{} {}", question.name().to_ascii(), question.query_type());
            asked.lock().unwrap_or_else(PoisonError::into_inner).push(shown);
            let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
            reply.add_query(question.clone());
            reply.metadata.recursion_available = true;
            reply.metadata.checking_disabled = query.metadata.checking_disabled;
            answer(reply, carrier)?.to_vec().ok()
        });
        let by_udp = {
            let (answer, asked, stop) = (answer.clone(), asked.clone(), stopped.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while !stop.load(Ordering::Acquire) {
                    let Ok((read, from)) = udp.recv_from(&mut buffer) else { continue };
                    if let Some(bytes) = answer(&buffer[..read], Carrier::Udp, &asked) {
                        // A client that is gone needs no answer.
                        let _ = udp.send_to(&bytes, from);
                    }
                }
            })
        };
        let by_tcp = {
            let (asked, stop) = (asked.clone(), stopped.clone());
            std::thread::spawn(move || {
                while let Ok((mut stream, _)) = tcp.accept() {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    let Some(bytes) = receive(&mut stream) else { continue };
                    if let Some(bytes) = answer(&bytes, Carrier::Tcp, &asked) {
                        send(&mut stream, &bytes);
                    }
                }
            })
        };
        Upstream { addr, asked, stopped, serving: vec![by_udp, by_tcp] }
    }

    /// Answers with these addresses whatever the name, for so many seconds.
    pub fn with(addrs: &[&str], ttl: u32) -> Upstream {
        let addrs: Vec<IpAddr> = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
        Upstream::start(move |reply, _| Some(with_addresses(reply, &addrs, ttl)))
    }

    /// Answers nothing but this code.
    pub fn failing(code: ResponseCode) -> Upstream {
        Upstream::start(move |mut reply, _| {
            reply.metadata.response_code = code;
            Some(reply)
        })
    }

    pub fn flag(&self) -> String {
        format!("--dns-server={}", self.addr)
    }

    /// Every question so far, `ok.test. A`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn times_asked(&self, question: &str) -> usize {
        self.asked().iter().filter(|asked| *asked == question).count()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.addr);
        self.serving.drain(..).for_each(|serving| serving.join().unwrap());
    }
}

/// Both on one port.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            udp.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            return (udp, tcp);
        }
    }
}

/// Those of the family that is asked for.
pub fn with_addresses(mut reply: Message, addrs: &[IpAddr], ttl: u32) -> Message {
    let question = reply.queries[0].clone();
    let wanted = addrs.iter().map(|addr| RData::from(*addr)).filter(|data| data.record_type() == question.query_type());
    reply.answers.extend(wanted.map(|data| Record::from_rdata(question.name().clone(), ttl, data)));
    reply
}

/// Says that there is nothing, for so many seconds.
pub fn with_soa(mut reply: Message, code: ResponseCode, minimum: u32) -> Message {
    let soa = SOA::new(name("ns.test."), name("root.test."), 1, 1, 1, 1, minimum);
    reply.metadata.response_code = code;
    reply.authorities.push(Record::from_rdata(name("test."), minimum, RData::SOA(soa)));
    reply
}

pub fn name(text: &str) -> Name {
    // `from_str` would write it in lower case.
    Name::from_ascii(text).unwrap()
}

/// A question as a client sends it.
pub fn question(text: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(text), kind));
    message
}

/// Asks by UDP and waits for the answer.
pub fn ask(server: SocketAddr, query: &Message) -> Message {
    let answer = ask_bytes(server, &query.to_vec().unwrap()).expect("an answer in time");
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!(answer.metadata.id, query.metadata.id);
    answer
}

/// The same with bytes; None where there is no answer within a while.
pub fn ask_bytes(server: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.send_to(bytes, server).unwrap();
    let mut buffer = vec![0; 65_535];
    let read = socket.recv(&mut buffer).ok()?;
    buffer.truncate(read);
    Some(buffer)
}

/// Asks by UDP again and again until there is an answer, as a client does whose datagrams get lost.
pub fn keep_asking(server: SocketAddr, query: &Message) -> Message {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut buffer = vec![0; 65_535];
    super::eventually("an answer", || {
        socket.send_to(&query.to_vec().unwrap(), server).unwrap();
        let read = socket.recv(&mut buffer).ok()?;
        Message::from_vec(&buffer[..read]).ok()
    })
}

/// Asks by TCP.
pub fn ask_tcp(server: SocketAddr, query: &Message) -> Message {
    let mut stream = connect(server);
    send(&mut stream, &query.to_vec().unwrap());
    Message::from_vec(&receive(&mut stream).expect("an answer in time")).unwrap()
}

pub fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&server, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

pub fn send(stream: &mut TcpStream, message: &[u8]) {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    // Whoever closed it early is found out by what is not received.
    let _ = stream.write_all(&[&length, message].concat());
}

pub fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}
