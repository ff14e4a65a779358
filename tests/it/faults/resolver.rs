//! Name servers that are dead, lie, or take their time. What the DNS proxy's own clients see of that is in `dns`.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use super::processor_time;
use crate::support::egret::Egret;
use crate::support::eventually;
use crate::support::free::free_addr;
use crate::support::origin::Origin;
use crate::support::raw::{Client, get};
use crate::support::upstream::{Carrier, Upstream, name, question, receive, with_addresses, with_soa};

/// A name leads to the origin by way of another one, which is looked up: loopback is no address for the first.
struct Asking {
    egret: Egret,
    origin: Origin,
}

impl Asking {
    fn by(servers: &[SocketAddr]) -> Asking {
        let origin = Origin::http_ok();
        let mut flags = vec!["--allow=http://*.ok.test".to_owned()];
        flags.extend(servers.iter().map(|server| format!("--dns-server={server}")));
        flags.push(format!("--connect-to=led.ok.test:80:there.test:{}", origin.addr.port()));
        let config = "[timeouts]\nresolve = \"1500ms\"\nconnect = \"1s\"\n";
        Asking { egret: Egret::with_config(config, &flags), origin }
    }

    /// Status and verdict of a request.
    fn get(&self, host: &str) -> (u16, String) {
        let mut client = Client::send_to(self.egret.addr, get(&format!("http://{host}/"), host));
        (client.status(), self.egret.verdict(client.addr()))
    }

    /// The request has to fail for want of an address, and the next to be answered at once all the same.
    fn assert_unresolvable(&self, host: &str) {
        let mut client = Client::send_to(self.egret.addr, get(&format!("http://{host}/"), host));
        assert_eq!(client.status(), 500, "{host}");
        self.assert_closed_as_unresolvable(&client);
        assert_eq!(self.get("evil.test"), (470, "deny not-allowed".to_owned()));
    }
}

impl Asking {
    fn assert_closed_as_unresolvable(&self, client: &Client) {
        // The name is allowed: that it leads nowhere is its end.
        assert_eq!(self.egret.close(client.addr())["reason"], "name-unresolvable");
    }
}

fn reached() -> (u16, String) {
    (200, "allow application-rule".to_owned())
}

/// For what asks for A; AAAA has nothing.
fn only_v4(reply: Message, answers: impl FnOnce(&Message) -> Vec<Record>) -> Message {
    let mut reply = reply;
    if reply.queries[0].query_type() == RecordType::A {
        reply.answers = answers(&reply);
        return reply;
    }
    with_soa(reply, ResponseCode::NoError, 60)
}

fn loopback(reply: Message, ttl: u32) -> Message {
    with_addresses(reply, &[Ipv4Addr::LOCALHOST.into()], ttl)
}

#[test]
fn nobody_listens_and_then_somebody_does() {
    let free = free_addr();
    let asking = Asking::by(&[free]);
    asking.assert_unresolvable("led.ok.test");
    let _server = Upstream::start_on(free, |reply, _| Some(loopback(reply, 60)));
    assert_eq!(asking.get("led.ok.test"), reached());
}

#[test]
fn a_black_hole_takes_no_longer_than_it_may_and_no_place_of_another() {
    let hole = UdpSocket::bind("127.0.0.1:0").unwrap();
    let asking = Asking::by(&[hole.local_addr().unwrap()]);
    let waiting: Vec<Client> = (0..200)
        .map(|number| {
            let host = format!("n{number}.ok.test");
            Client::send_to(asking.egret.addr, get(&format!("http://{host}/"), &host))
        })
        .collect();
    assert_eq!(asking.get("evil.test"), (470, "deny not-allowed".to_owned()));
    for mut client in waiting {
        assert_eq!(client.status(), 500);
        asking.assert_closed_as_unresolvable(&client);
    }
}

/// What comes too late is no answer, to that question or another.
#[test]
fn an_answer_after_the_deadline() {
    let is_slow = Arc::new(AtomicBool::new(true));
    let slow = is_slow.clone();
    let server = Upstream::start(move |reply, _| {
        if slow.load(Ordering::Relaxed) {
            thread::park_timeout(Duration::from_millis(1800));
        }
        Some(loopback(reply, 60))
    });
    let asking = Asking::by(&[server.addr]);
    asking.assert_unresolvable("led.ok.test");
    is_slow.store(false, Ordering::Relaxed);
    eventually("it answers in time", || (asking.get("led.ok.test") == reached()).then_some(()));
}

/// Forged answers, more of them than true ones: none is believed, and the true one is waited for.
#[test]
fn answers_to_other_questions() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let asking = Asking::by(&[socket.local_addr().unwrap()]);
    let lying = thread::spawn(move || {
        let mut buffer = [0; 4096];
        for _ in 0..2 {
            let (read, from) = socket.recv_from(&mut buffer).unwrap();
            let query = Message::from_vec(&buffer[..read]).unwrap();
            let asked = query.queries[0].clone();
            let answer = |id, name: &str, kind, addr: Ipv4Addr| {
                let mut forged = question(name, kind);
                forged.metadata.id = id;
                forged.metadata.message_type = hickory_resolver::proto::op::MessageType::Response;
                with_addresses(forged, &[addr.into()], 60).to_vec().unwrap()
            };
            let (id, own) = (query.metadata.id, asked.name().to_ascii());
            let nowhere = Ipv4Addr::new(127, 0, 0, 99);
            for other in 1..100 {
                socket.send_to(&answer(id.wrapping_add(other), &own, asked.query_type(), nowhere), from).unwrap();
            }
            socket.send_to(&answer(id, "else.test.", asked.query_type(), nowhere), from).unwrap();
            socket.send_to(&answer(id, &own, RecordType::TXT, nowhere), from).unwrap();
            // A question is no answer.
            socket.send_to(&buffer[..read], from).unwrap();
            socket.send_to(&answer(id, &own, asked.query_type(), Ipv4Addr::LOCALHOST), from).unwrap();
        }
    });
    assert_eq!(asking.get("led.ok.test"), reached());
    lying.join().unwrap();
    assert_eq!(asking.origin.connections(), 1);
}

#[test]
fn what_a_liar_may_say() {
    let alias = |from: &str, to: &str| Record::from_rdata(name(from), 60, RData::CNAME(CNAME(name(to))));
    let answers = move |reply: Message, carrier: Carrier| {
        let asked = reply.queries[0].name().to_ascii();
        let own = |addr: [u8; 4]| Record::from_rdata(name(&asked), 60, RData::A(A(addr.into())));
        Some(match asked.as_str() {
            "loop.ok.test." => {
                only_v4(reply, |_| vec![alias("loop.ok.test.", "b.test."), alias("b.test.", "loop.ok.test.")])
            }
            "inside.ok.test." => only_v4(reply, |_| vec![own([127, 0, 0, 1])]),
            "metadata.ok.test." => only_v4(reply, |_| vec![own([169, 254, 169, 254])]),
            "private.ok.test." => only_v4(reply, |_| vec![own([10, 1, 2, 3])]),
            "nothing.ok.test." => with_soa(reply, ResponseCode::NXDomain, 60),
            // Cut short, by whatever it is asked.
            "cut.ok.test." => {
                let mut reply = reply;
                reply.metadata.truncation = true;
                reply
            }
            "many.ok.test." if carrier == Carrier::Udp => {
                let mut reply = reply;
                reply.metadata.truncation = true;
                reply
            }
            "many.ok.test." => {
                only_v4(reply, |_| (0..4000_u16).map(|it| own([127, 1, (it >> 8) as u8, it as u8])).collect())
            }
            _ => loopback(reply, 60),
        })
    };
    let server = Upstream::start(answers);
    let asking = Asking::by(&[server.addr]);
    for host in ["loop.ok.test", "nothing.ok.test", "cut.ok.test"] {
        asking.assert_unresolvable(host);
    }
    for host in ["inside.ok.test", "metadata.ok.test", "many.ok.test"] {
        assert_eq!(asking.get(host), (470, "deny internal-address".to_owned()), "{host}");
    }
    let strict = ["--profile=strict".to_owned(), "--allow=http://*.ok.test".to_owned(), server.flag()];
    let strict = Egret::start(&strict);
    let mut client = Client::send_to(strict.addr, get("http://private.ok.test/", "private.ok.test"));
    assert_eq!((client.status(), strict.verdict(client.addr())), (403, "deny internal-address".to_owned()));
    assert_eq!(asking.get("led.ok.test"), reached());
    assert_eq!(asking.origin.connections(), 1);
}

/// No time at all and a time without end: the first is asked for each time, the second is not kept for ever.
#[test]
fn times_to_live_at_both_ends() {
    for (ttl, again) in [(0, 3), (u32::MAX, 1), (1 << 31, 1)] {
        let server = Upstream::start(move |reply, _| Some(loopback(reply, ttl)));
        let asking = Asking::by(&[server.addr]);
        for _ in 0..3 {
            assert_eq!(asking.get("led.ok.test"), reached(), "{ttl}");
        }
        // RFC 2181 section 8 lets one with the highest bit be taken for 0.
        let times = server.times_asked("there.test. A");
        assert!(times == again || ttl >= 1 << 31 && times == 3, "{ttl}: {times}");
    }
}

#[test]
fn an_answer_that_trickles_takes_no_longer_than_any_other() {
    let addr = free_addr();
    let (tcp, udp) = (TcpListener::bind(addr).unwrap(), UdpSocket::bind(addr).unwrap());
    let asking = Asking::by(&[addr]);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((read, from)) = udp.recv_from(&mut buffer) {
            // Too large for a datagram.
            buffer[2] |= 0x82;
            udp.send_to(&buffer[..read], from).unwrap();
        }
    });
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let count = count.clone();
            thread::spawn(move || {
                receive(&mut stream);
                let mut message = vec![0xff, 0xff];
                message.resize(60_000, 0);
                for byte in message {
                    if std::io::Write::write_all(&mut stream, &[byte]).is_err() {
                        return;
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    thread::park_timeout(Duration::from_millis(20));
                }
            });
        }
    });
    let since = Instant::now();
    asking.assert_unresolvable("led.ok.test");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    let after = eventually("it is given up", || {
        let before = sent.load(Ordering::Relaxed);
        thread::park_timeout(Duration::from_millis(200));
        (sent.load(Ordering::Relaxed) == before).then_some(before)
    });
    assert!((1..2000).contains(&after), "{after}");
}

/// Names that are not there, one after the other: what is kept of them is bounded, and nobody else's answer suffers.
#[test]
fn a_flood_of_names_that_are_not_there() {
    let server = Upstream::start(|reply, _| {
        let is_there = reply.queries[0].name().to_ascii() == "there.test.";
        Some(if is_there { loopback(reply, 600) } else { with_soa(reply, ResponseCode::NXDomain, 600) })
    });
    let asking = Asking::by(&[server.addr]);
    assert_eq!(asking.get("led.ok.test"), reached());
    let mut client = Client::connect(asking.egret.addr);
    for number in 0..1500 {
        client.send(get(&format!("http://n{number}.ok.test/"), &format!("n{number}.ok.test")));
        assert_eq!(client.status(), 500, "{number}");
    }
    assert_eq!(asking.get("led.ok.test"), reached());
    assert_eq!(server.times_asked("there.test. A"), 1);
    assert_eq!(asking.egret.metric("egret_dns_failures_total"), 1500);
}

/// What is thrown at the socket of a question is read and passed over until the time is up, and no longer.
#[test]
fn a_flood_of_forged_answers_ends_with_the_question() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let asking = Asking::by(&[socket.local_addr().unwrap()]);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        let (read, from) = socket.recv_from(&mut buffer).unwrap();
        buffer[0] ^= 0xff;
        buffer[2] |= 0x80;
        // Until nobody is there to take it.
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until && socket.send_to(&buffer[..read], from).is_ok() {}
    });
    asking.assert_unresolvable("led.ok.test");
    let used = processor_time(&asking.egret);
    let since = Instant::now();
    thread::park_timeout(Duration::from_millis(500));
    let used = processor_time(&asking.egret) - used;
    assert!(used < since.elapsed() / 2, "{used:?} of {:?}: it goes on", since.elapsed());
}
