//! The DNS proxy, asked over real sockets, with name servers of the tests behind it.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use hickory_resolver::proto::op::{Edns, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{HTTPS, SVCB};
use hickory_resolver::proto::rr::{DNSClass, RData, Record, RecordType};

use crate::support::egret::Egret;
use crate::support::free::free_addr;
use crate::support::raw::Client;
use crate::support::upstream::{
    Carrier, Upstream, ask, ask_bytes, ask_tcp, connect, keep_asking, name, question, receive, send, with_addresses,
    with_soa,
};
use crate::support::{eventually, poll};

struct Dns {
    egret: Egret,
    addr: SocketAddr,
}

impl Dns {
    fn start(flags: &[&str]) -> Dns {
        Dns::with_config("", flags)
    }

    fn with_config(config: &str, flags: &[&str]) -> Dns {
        let addr = free_addr();
        let mut all = vec![format!("--dns={addr}")];
        all.extend(flags.iter().map(ToString::to_string));
        Dns { egret: Egret::with_config(config, &all), addr }
    }

    /// One that resolves anything, by these servers.
    fn behind(servers: &[&Upstream]) -> Dns {
        let flags: Vec<String> = servers.iter().map(|server| server.flag()).collect();
        let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        flags.push("--allow=https://ok.test");
        Dns::start(&flags)
    }

    fn ask(&self, name: &str, kind: RecordType) -> Message {
        ask(self.addr, &question(name, kind))
    }

    /// `NOERROR 192.0.2.1,192.0.2.2`
    fn shown(&self, name: &str, kind: RecordType) -> String {
        shown(&self.ask(name, kind))
    }

    /// The log's records of questions for a name, once there are so many.
    fn questions(&self, name: &str, count: usize) -> Vec<serde_json::Value> {
        eventually("the question is logged", || {
            let found = self.egret.records(|record| record["kind"] == "dns" && record["name"] == name);
            (found.len() >= count).then_some(found)
        })
    }
}

fn shown(answer: &Message) -> String {
    let mut addrs: Vec<String> =
        answer.answers.iter().filter_map(|one| one.data.ip_addr()).map(|ip| ip.to_string()).collect();
    addrs.sort();
    format!("{:?} {}", answer.metadata.response_code, addrs.join(",")).trim_end().to_owned()
}

#[test]
fn a_server_is_asked_once_for_as_long_as_its_answer_holds() {
    let upstream = Upstream::with(&["192.0.2.7", "2001:db8::7"], 60);
    let dns = Dns::behind(&[&upstream]);
    for asked in ["ok.test.", "OK.test.", "oK.TeSt."] {
        let answer = dns.ask(asked, RecordType::A);
        assert_eq!(shown(&answer), "NoError 192.0.2.7");
        assert!(answer.metadata.recursion_available && !answer.metadata.authoritative && answer.edns.is_none());
        // Some clients spell names at random, and look whether they come back the same.
        for spelt in [answer.queries[0].name(), &answer.answers[0].name] {
            assert!(spelt.eq_case(&name(asked)), "{spelt} for {asked}");
        }
        assert!(answer.answers[0].ttl <= 60);
    }
    assert_eq!(dns.shown("ok.test.", RecordType::AAAA), "NoError 2001:db8::7");
    assert_eq!(upstream.asked(), ["ok.test. A", "ok.test. AAAA"]);
    assert_eq!(dns.egret.metric("egret_dns_cache_hits_total"), 2);
    assert_eq!(dns.egret.metric(r#"egret_dns_queries_total{rcode="NOERROR"}"#), 4);
}

#[test]
fn what_is_asked_again_in_the_same_words_is_answered_and_logged_as_any_other() {
    let upstream = Upstream::with(&["192.0.2.7"], 60);
    let dns = Dns::behind(&[&upstream]);
    let mut asked = question("ok.test.", RecordType::A);
    let ids: Vec<u16> = (0..6).map(|number| 0x1200 + number).collect();
    let mut least = 60;
    for id in &ids {
        asked.metadata.id = *id;
        let answer = ask(dns.addr, &asked);
        assert_eq!((answer.metadata.id, shown(&answer)), (*id, "NoError 192.0.2.7".to_owned()));
        assert!(answer.answers[0].ttl <= least);
        least = answer.answers[0].ttl;
        // Its time to live runs down all the same.
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
    assert!(least <= 59, "{least}");
    assert_eq!(upstream.asked(), ["ok.test. A"]);
    let logged = dns.questions("ok.test.", ids.len());
    assert_eq!(
        logged.iter().map(|record| record["id"].as_u64().unwrap()).collect::<Vec<_>>(),
        ids.iter().copied().map(u64::from).collect::<Vec<_>>()
    );
    assert!(logged.iter().all(|record| record["rcode"] == "NOERROR" && record["response_bytes"] == 41));
    assert_eq!(dns.egret.metric("egret_dns_cache_hits_total"), 5);
    assert_eq!(dns.egret.metric(r#"egret_dns_queries_total{rcode="NOERROR"}"#), 6);
}

#[test]
fn what_is_not_there_is_remembered_too() {
    let upstream = Upstream::start(|reply, _| Some(with_soa(reply, ResponseCode::NXDomain, 60)));
    let dns = Dns::behind(&[&upstream]);
    for _ in 0..2 {
        let answer = dns.ask("none.test.", RecordType::A);
        assert_eq!(shown(&answer), "NXDomain");
        assert_eq!(answer.authorities[0].record_type(), RecordType::SOA);
    }
    assert_eq!(upstream.times_asked("none.test. A"), 1);
}

#[test]
fn clients_that_ask_the_same_at_once_wait_for_one_answer() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let upstream = Upstream::start(move |reply, _| {
        gate.load(Ordering::Acquire).then(|| with_addresses(reply, &["192.0.2.7".parse().unwrap()], 0))
    });
    let dns = Dns::behind(&[&upstream]);
    let addr = dns.addr;
    let clients: Vec<_> =
        (0..8).map(|_| std::thread::spawn(move || shown(&ask(addr, &question("ok.test.", RecordType::A))))).collect();
    eventually("it is asked", || (upstream.times_asked("ok.test. A") > 0).then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(300));
    open.store(true, Ordering::Release);
    clients.into_iter().for_each(|client| assert_eq!(client.join().unwrap(), "NoError 192.0.2.7"));
    // The first datagram was lost, the second is the same question again.
    assert!(upstream.times_asked("ok.test. A") <= 3, "{:?}", upstream.asked());
}

#[test]
fn another_server_is_asked_where_one_fails() {
    let well = Upstream::with(&["192.0.2.7"], 0);
    let failing = Upstream::failing(ResponseCode::ServFail);
    let dead = free_addr();
    let flags = [format!("--dns-server={dead}"), failing.flag(), well.flag()];
    let dns = Dns::start(&flags.each_ref().map(String::as_str));
    for _ in 0..12 {
        assert_eq!(dns.shown("ok.test.", RecordType::A), "NoError 192.0.2.7");
    }
    assert!(failing.times_asked("ok.test. A") > 0, "one of them is chosen at random");
    assert!(dns.egret.metric("egret_dns_upstream_failures_total") > 0);
}

#[test]
fn a_server_that_failed_is_used_again_when_it_answers() {
    let addr = free_addr();
    let other = Upstream::with(&["192.0.2.1"], 0);
    let flags = [format!("--dns-server={addr}"), other.flag()];
    let dns = Dns::start(&flags.each_ref().map(String::as_str));
    eventually("the dead one is found out", || {
        dns.shown("ok.test.", RecordType::A);
        (dns.egret.metric("egret_dns_upstream_failures_total") > 0).then_some(())
    });
    let revived = Upstream::start_on(addr, |reply, _| Some(with_addresses(reply, &[[192, 0, 2, 2].into()], 0)));
    eventually("it is used", || (dns.shown("ok.test.", RecordType::A) == "NoError 192.0.2.2").then_some(()));
    assert_eq!(revived.asked()[0], ". NS", "before anybody was sent to it, it was asked whether it is back");
}

#[test]
fn an_unhealthy_server_is_left_alone() {
    let silent = Upstream::start(|_, _| None);
    let well = Upstream::with(&["192.0.2.1"], 0);
    let dns = Dns::behind(&[&silent, &well]);
    eventually("it is found out", || {
        dns.shown("ok.test.", RecordType::A);
        (dns.egret.metric("egret_dns_upstream_failures_total") > 0).then_some(())
    });
    let before = silent.times_asked("ok.test. A");
    for _ in 0..20 {
        assert_eq!(dns.shown("ok.test.", RecordType::A), "NoError 192.0.2.1");
    }
    // What was sent again as it was given up may arrive after that.
    assert!(silent.times_asked("ok.test. A") <= before + 1);
}

#[test]
fn where_all_servers_fail_nobody_else_is_asked() {
    let dead = free_addr();
    let dns = Dns::start(&[&format!("--dns-server={dead}")]);
    for _ in 0..2 {
        assert_eq!(dns.shown("ok.test.", RecordType::A), "ServFail");
    }
    let record = &dns.questions("ok.test.", 2)[0];
    assert_eq!(record["rcode"], "SERVFAIL");
    assert!(record["error"].as_str().unwrap().contains("refused"), "{record}");
}

#[test]
fn an_error_code_of_every_server_is_the_answer() {
    let (one, two) = (Upstream::failing(ResponseCode::Refused), Upstream::failing(ResponseCode::Refused));
    let dns = Dns::behind(&[&one, &two]);
    assert_eq!(dns.shown("ok.test.", RecordType::A), "Refused");
    assert_eq!((one.asked().len(), two.asked().len()), (1, 1));
}

#[test]
fn large_answers_take_tcp_on_both_sides() {
    let many: Vec<IpAddr> = (1..=100).map(|last| IpAddr::from([192, 0, 2, last])).collect();
    let upstream = Upstream::start(move |mut reply, carrier| match carrier {
        Carrier::Udp => {
            reply.metadata.truncation = true;
            Some(reply)
        }
        Carrier::Tcp => Some(with_addresses(reply, &many, 60)),
    });
    let dns = Dns::behind(&[&upstream]);
    let cut = dns.ask("ok.test.", RecordType::A);
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let mut extended = question("ok.test.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    extended.set_edns(edns);
    let cut = ask_bytes(dns.addr, &extended.to_vec().unwrap()).unwrap();
    assert!(cut.len() <= 1232 && Message::from_vec(&cut).unwrap().metadata.truncation);
    let whole = ask_tcp(dns.addr, &extended);
    assert_eq!((whole.answers.len(), whole.metadata.truncation), (100, false));
    assert_eq!(whole.edns.unwrap().max_payload(), 1232);
    assert_eq!(upstream.asked().len(), 2, "by UDP, then by TCP, then from the cache: {:?}", upstream.asked());
}

#[test]
fn an_answer_that_is_too_large_is_not_kept() {
    let many: Vec<IpAddr> = (0..1000_u16).map(|number| [198, 18, (number >> 8) as u8, number as u8].into()).collect();
    let upstream = Upstream::start(move |mut reply, carrier| match carrier {
        Carrier::Udp => {
            reply.metadata.truncation = true;
            Some(reply)
        }
        Carrier::Tcp => Some(with_addresses(reply, &many, 60)),
    });
    let dns = Dns::behind(&[&upstream]);
    for _ in 0..2 {
        assert_eq!(ask_tcp(dns.addr, &question("ok.test.", RecordType::A)).answers.len(), 1000);
    }
    assert_eq!(upstream.asked().len(), 4, "by UDP and by TCP, each time: {:?}", upstream.asked());
}

#[test]
fn dig_understands_it() {
    let upstream = Upstream::with(&["192.0.2.7"], 60);
    let dns = Dns::behind(&[&upstream]);
    let dig = |more: &[&str]| {
        let mut command = Command::new("dig");
        command.arg(format!("@{}", dns.addr.ip())).args(["-p", &dns.addr.port().to_string(), "+short", "+time=5"]);
        let Ok(output) = command.args(more).output() else { return None };
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let Some(answer) = dig(&["ok.test"]) else {
        assert!(std::env::var_os("EGRET_NO_SKIP").is_none(), "dig is missing");
        return println!("skipped: dig is missing");
    };
    assert_eq!(answer, "192.0.2.7\n");
    assert_eq!(dig(&["+tcp", "+dnssec", "ok.test"]).unwrap(), "192.0.2.7\n");
    assert_eq!(dig(&["ANY", "ok.test"]).unwrap(), "\"RFC8482\" \"\"\n");
}

#[test]
fn overrides_are_answered_to_clients_too() {
    let upstream = Upstream::with(&["192.0.2.99"], 60);
    let flags = ["--resolve=ok.test:192.0.2.1,2001:db8::1", "--resolve=port.test:443:192.0.2.2", &upstream.flag()];
    let dns = Dns::start(&flags);
    assert_eq!(dns.shown("OK.test.", RecordType::A), "NoError 192.0.2.1");
    assert_eq!(dns.shown("ok.test.", RecordType::AAAA), "NoError 2001:db8::1");
    // DNS knows no ports.
    assert_eq!(dns.shown("port.test.", RecordType::A), "NoError 192.0.2.99");
    assert!(dns.ask("ok.test.", RecordType::A).answers[0].ttl <= 10);
    assert_eq!(upstream.asked(), ["port.test. A"]);
}

#[test]
fn strict_refuses_what_no_rule_could_allow() {
    let upstream = Upstream::with(&["192.0.2.7"], 60);
    let dns = Dns::start(&["--profile=strict", "--allow=https://*.ok.test", &upstream.flag()]);
    assert_eq!(dns.shown("www.ok.test.", RecordType::A), "NoError 192.0.2.7");
    assert_eq!(dns.shown("secret.evil.test.", RecordType::TXT), "Refused");
    let by_tcp = ask_tcp(dns.addr, &question("other.evil.test.", RecordType::A));
    assert_eq!(shown(&by_tcp), "Refused");
    // Neither is an attempt to get out, nor does anybody learn of it.
    assert_eq!(dns.shown("1.2.0.192.in-addr.arpa.", RecordType::PTR), "NXDomain");
    assert_eq!(dns.shown("localhost.", RecordType::A), "NoError 127.0.0.1");
    assert_eq!(dns.shown("db.LOCALHOST.", RecordType::AAAA), "NoError ::1");
    assert_eq!(upstream.asked(), ["www.ok.test. A"]);
    let flows = eventually("both are logged", || {
        let flows = dns.egret.records(|record| record["via"] == "dns");
        (flows.len() == 2).then_some(flows)
    });
    let fields = |flow: &serde_json::Value| {
        ["host", "port", "proto", "verdict", "reason"].map(|field| flow[field].to_string().replace('"', ""))
    };
    assert_eq!(fields(&flows[0]), ["secret.evil.test", "null", "udp", "deny", "dns-not-allowed"]);
    assert_eq!(fields(&flows[1]), ["other.evil.test", "null", "tcp", "deny", "dns-not-allowed"]);
    let record = &dns.questions("secret.evil.test.", 1)[0];
    assert_eq!((&record["rcode"], &record["error"]), (&"REFUSED".into(), &"dns-not-allowed".into()));
    assert_eq!(dns.egret.metric(r#"egret_flows_total{via="dns",verdict="deny",reason="dns-not-allowed"}"#), 2);
}

fn with_binding(mut reply: Message) -> Message {
    let question = reply.queries[0].clone();
    if question.query_type() == RecordType::HTTPS {
        let binding = RData::HTTPS(HTTPS(SVCB::new(1, name("."), Vec::new())));
        reply.answers.push(Record::from_rdata(question.name().clone(), 60, binding));
    }
    reply
}

#[test]
fn strict_never_hands_out_the_keys_of_an_encrypted_hello() {
    let upstream = Upstream::start(|reply, _| Some(with_binding(reply)));
    let strict = Dns::start(&["--dns-mode=strict", "--allow=https://ok.test", &upstream.flag()]);
    let answer = strict.ask("ok.test.", RecordType::HTTPS);
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0));
    let azure = Dns::behind(&[&upstream]);
    assert_eq!(azure.ask("ok.test.", RecordType::HTTPS).answers.len(), 1);
    assert_eq!(upstream.asked(), ["ok.test. HTTPS"]);
}

const AZURES_LOGS: &str = r#"
[[log.sink]]
target = "azure.json"
format = "azure"

[[log.sink]]
target = "legacy.json"
format = "azure-legacy"
"#;

#[test]
fn every_question_is_logged_as_azure_does() {
    let upstream = Upstream::with(&["192.0.2.7"], 60);
    let dns = Dns::with_config(AZURES_LOGS, &[&upstream.flag()]);
    let asked = question("oK.test.", RecordType::A);
    ask(dns.addr, &asked);
    let record = &dns.questions("oK.test.", 1)[0];
    for (field, value) in
        [("proto", "udp"), ("type", "A"), ("class", "IN"), ("rcode", "NOERROR"), ("flags", "qr,rd,ra")]
    {
        assert_eq!(record[field], value, "{record}");
    }
    assert_eq!((record["id"].as_u64(), record["edns_bytes"].as_u64()), (Some(asked.metadata.id.into()), Some(512)));
    assert_eq!((record["request_bytes"].as_u64(), record["response_bytes"].as_u64()), (Some(25), Some(41)));
    let azure = std::fs::read_to_string(dns.egret.path("azure.json")).unwrap();
    assert!(azure.contains(r#""category":"AZFWDnsQuery""#) && azure.contains(r#""QueryName":"oK.test.""#), "{azure}");
    let legacy = std::fs::read_to_string(dns.egret.path("legacy.json")).unwrap();
    let line = format!(" - {} A IN oK.test. udp 25 false 512 NOERROR qr,rd,ra 41 ", asked.metadata.id);
    assert!(legacy.contains("DNS Request: ") && legacy.contains(&line), "{legacy}");
}

#[test]
fn bad_messages_are_answered_or_dropped_and_it_lives_on() {
    let upstream = Upstream::with(&["192.0.2.7"], 60);
    let dns = Dns::behind(&[&upstream]);
    let check = |message: &[u8], code: ResponseCode| {
        let answer = Message::from_vec(&ask_bytes(dns.addr, message).unwrap()).unwrap();
        assert_eq!((answer.metadata.id, answer.metadata.response_code), (0xbeef, code), "{}", message.escape_ascii());
    };
    let head = |flags: u8, questions: u8| vec![0xbe, 0xef, flags, 0, 0, questions, 0, 0, 0, 0, 0, 0];
    let with = |flags: u8, name: &[u8]| [&head(flags, 1), name, &[0, 1, 0, 1]].concat();
    check(&head(0, 0), ResponseCode::FormErr);
    check(&head(0, 2), ResponseCode::FormErr);
    check(&with(0, &[0xc0, 12]), ResponseCode::FormErr);
    check(&with(0, &[1, b'a', 0xc0, 12]), ResponseCode::FormErr);
    check(&with(0, &[0xc0, 14, 0xc0, 12]), ResponseCode::FormErr);
    check(&with(5 << 3, &[0]), ResponseCode::NotImp);
    check(&[&head(0, 1)[..], &[2, b'o', b'k', 0, 0, 1, 0, 3]].concat(), ResponseCode::Refused);
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        assert_eq!(dns.shown("ok.test.", kind), "Refused");
    }
    let mut other_version = question("ok.test.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    other_version.set_edns(edns);
    assert_eq!(u16::from(ask(dns.addr, &other_version).metadata.response_code), 16, "BADVERS");
    let mut chaos = Query::query(name("version.bind."), RecordType::TXT);
    chaos.set_query_class(DNSClass::CH);
    let mut asked = Message::query();
    asked.add_query(chaos);
    assert_eq!(ask(dns.addr, &asked).metadata.response_code, ResponseCode::Refused);
    assert!(upstream.asked().is_empty());
    let before = dns.egret.metric("egret_dns_dropped_total");
    let socket = UdpSocket::bind((dns.addr.ip(), 0)).unwrap();
    let unanswered = [Vec::new(), vec![0; 11], with(0x80, &[0]), vec![0; 5000]];
    for message in unanswered {
        socket.send_to(&message, dns.addr).unwrap();
    }
    eventually("all of them are counted", || (dns.egret.metric("egret_dns_dropped_total") == before + 4).then_some(()));
    assert_eq!(dns.shown("ok.test.", RecordType::A), "NoError 192.0.2.7");
}

#[test]
fn a_flood_is_survived() {
    let upstream = Upstream::start(|reply, _| {
        (reply.queries[0].name() == &name("ok.test."))
            .then(|| with_addresses(reply, &["192.0.2.7".parse().unwrap()], 60))
    });
    let dns = Dns::behind(&[&upstream]);
    assert_eq!(dns.shown("ok.test.", RecordType::A), "NoError 192.0.2.7");
    let socket = UdpSocket::bind((dns.addr.ip(), 0)).unwrap();
    let mut random = crate::support::random::Random::seeded(7);
    for number in 0..20_000_u32 {
        let garbage: Vec<u8> = (0..number % 64).map(|_| random.next() as u8).collect();
        let unanswered = question(&format!("n{number}.flood.test."), RecordType::A).to_vec().unwrap();
        // Where the kernel's queue is full, the flood is as high as it gets.
        let _ = socket.send_to(&garbage, dns.addr);
        let _ = socket.send_to(&unanswered, dns.addr);
    }
    eventually("noise is dropped", || (dns.egret.metric("egret_dns_dropped_total") > 0).then_some(()));
    let failed = r#"egret_dns_queries_total{rcode="SERVFAIL"}"#;
    eventually("what would wait for servers fails", || (dns.egret.metric(failed) > 0).then_some(()));
    // What is known needs no server.
    let answer = keep_asking(dns.addr, &question("ok.test.", RecordType::A));
    assert_eq!(shown(&answer), "NoError 192.0.2.7");
}

#[test]
fn questions_of_one_connection_do_not_wait_for_each_other() {
    let upstream = Upstream::start(|reply, _| {
        (reply.queries[0].name() == &name("ok.test."))
            .then(|| with_addresses(reply, &["192.0.2.7".parse().unwrap()], 60))
    });
    let dns = Dns::behind(&[&upstream]);
    let mut stream = connect(dns.addr);
    let (slow, quick) = (question("slow.test.", RecordType::A), question("ok.test.", RecordType::A));
    let both = [slow.to_vec().unwrap(), quick.to_vec().unwrap()];
    both.iter().for_each(|message| send(&mut stream, message));
    let answers = [0, 1].map(|_| Message::from_vec(&receive(&mut stream).unwrap()).unwrap());
    assert_eq!(answers.each_ref().map(|answer| answer.metadata.id), [quick.metadata.id, slow.metadata.id]);
    assert_eq!(answers.each_ref().map(shown), ["NoError 192.0.2.7", "ServFail"]);
}

#[test]
fn a_connection_that_says_too_much_or_too_little_is_closed() {
    let dns = Dns::start(&["--resolve=ok.test:192.0.2.7"]);
    let closed = |bytes: &[u8]| {
        use std::io::Write;
        let mut stream = connect(dns.addr);
        stream.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
    };
    closed(&[0xff, 0xff, 1, 2, 3]);
    closed(&[0, 3, 1, 2, 3]);
    // Idle in the middle of a message.
    closed(&[0, 30, 1, 2, 3]);
    let mut slow = connect(dns.addr);
    let message = question("ok.test.", RecordType::A).to_vec().unwrap();
    let framed = [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat();
    for byte in framed {
        use std::io::Write;
        slow.write_all(&[byte]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_eq!(shown(&Message::from_vec(&receive(&mut slow).unwrap()).unwrap()), "NoError 192.0.2.7");
}

#[test]
fn a_client_has_as_many_connections_as_it_may() {
    let config = "[limits]\nconnections_per_client = 2\n";
    let dns = Dns::with_config(config, &["--resolve=ok.test:192.0.2.7"]);
    let message = question("ok.test.", RecordType::A).to_vec().unwrap();
    let answered = |stream: &mut std::net::TcpStream| {
        send(stream, &message);
        receive(stream).map(|answer| shown(&Message::from_vec(&answer).unwrap()))
    };
    let mut held = [connect(dns.addr), connect(dns.addr)];
    for stream in &mut held {
        assert_eq!(answered(stream).as_deref(), Some("NoError 192.0.2.7"));
    }
    assert_eq!(answered(&mut connect(dns.addr)), None);
    let refused = eventually("it is logged", || dns.egret.records(|record| record["via"] == "dns").pop());
    let fields = ["host", "proto", "verdict", "reason"].map(|field| refused[field].to_string().replace('"', ""));
    assert_eq!(fields, ["null", "tcp", "deny", "limit-client"]);
    drop(held);
    eventually("there is room again", || answered(&mut connect(dns.addr)));
}

#[test]
fn a_synthetic_address_is_not_taken_from_a_name_that_may_still_be_meant() {
    let dns = Dns::start(&["--dns-synthetic=198.18.0.0/30", "--allow=https://*.ok.test"]);
    assert_eq!(dns.shown("a.ok.test.", RecordType::A), "NoError 198.18.0.1");
    assert_eq!(dns.shown("b.ok.test.", RecordType::A), "NoError 198.18.0.2");
    assert_eq!(dns.shown("c.ok.test.", RecordType::A), "ServFail");
    assert_eq!(dns.shown("a.ok.test.", RecordType::A), "NoError 198.18.0.1");
    let record = &dns.questions("c.ok.test.", 1)[0];
    assert_eq!(record["error"], "every synthetic address is in use");
}

#[test]
fn synthetic_addresses_need_no_name_server() {
    let upstream = Upstream::with(&["192.0.2.99"], 60);
    let flags = [
        "--dns-synthetic=198.18.0.0/15",
        "--allow=https://*.ok.test",
        "--resolve=given.test:192.0.2.5",
        &upstream.flag(),
    ];
    let dns = Dns::start(&flags);
    assert_eq!(dns.shown("a.ok.test.", RecordType::A), "NoError 198.18.0.1");
    assert_eq!(dns.shown("B.ok.test.", RecordType::A), "NoError 198.18.0.2");
    assert_eq!(dns.shown("A.ok.test.", RecordType::A), "NoError 198.18.0.1");
    assert_eq!(dns.shown("a.ok.test.", RecordType::AAAA), "NoError");
    assert_eq!(dns.shown("a.ok.test.", RecordType::MX), "NoError");
    assert_eq!(dns.shown("given.test.", RecordType::A), "NoError 192.0.2.5");
    assert_eq!(dns.shown("other.test.", RecordType::A), "NXDomain");
    let back = dns.ask("2.0.18.198.in-addr.arpa.", RecordType::PTR);
    assert_eq!(back.answers[0].data.to_string(), "b.ok.test.");
    assert!(upstream.asked().is_empty(), "{:?}", upstream.asked());
    let strict = Dns::start(&[&flags[..], &["--dns-mode=strict"]].concat());
    assert_eq!(strict.shown("a.ok.test.", RecordType::A), "NoError 198.18.0.1");
    assert_eq!(strict.shown("other.test.", RecordType::A), "Refused");
}

/// A network rule with a name, and nothing that is dialled anywhere.
const NETWORK_RULE: [&str; 2] = ["--allow=tcp://git.test:22", "--connect-to=::127.0.0.1:9"];

/// The verdict on a tunnel to an address. Who asks again and again may come from a port that was used before.
fn verdict(egret: &Egret, to: SocketAddr) -> String {
    let mut client = Client::connect(egret.addr);
    let addr = client.addr().to_string();
    let before = egret.records(|record| record["kind"] == "flow" && record["client"] == addr).len();
    client.send(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n"));
    client.status();
    egret.verdicts(client.addr(), before + 1).remove(before)
}

#[test]
fn an_address_that_a_network_rules_name_resolves_to_is_allowed() {
    let upstream = Upstream::with(&["192.0.2.7", "192.0.2.8"], 60);
    let dns = Dns::start(&[&NETWORK_RULE[..], &[&upstream.flag()]].concat());
    eventually("the name is looked up", || {
        (verdict(&dns.egret, "192.0.2.7:22".parse().unwrap()) == "allow network-rule").then_some(())
    });
    assert_eq!(verdict(&dns.egret, "192.0.2.9:22".parse().unwrap()), "deny not-allowed");
    // The client's answer is the firewall's: nobody was asked again.
    assert_eq!(dns.shown("git.test.", RecordType::A), "NoError 192.0.2.7,192.0.2.8");
    assert_eq!(upstream.times_asked("git.test. A"), 1);
}

#[test]
fn an_answer_to_a_client_counts_at_once() {
    let answers = Arc::new(AtomicU8::new(0));
    let next = answers.clone();
    let upstream = Upstream::start(move |reply, _| {
        let last = next.load(Ordering::Acquire);
        (last > 0).then(|| with_addresses(reply, &[[192, 0, 2, last].into()], 0))
    });
    let dns = Dns::start(&[&NETWORK_RULE[..], &[&upstream.flag()]].concat());
    let failed = |record: &serde_json::Value| record["kind"] == "fqdn-failure" && record["fqdn"] == "git.test";
    eventually("that it does not resolve is logged", || dns.egret.records(failed).pop());
    for last in [7, 8] {
        answers.store(last, Ordering::Release);
        let addr = format!("192.0.2.{last}");
        assert_eq!(dns.shown("git.test.", RecordType::A), format!("NoError {addr}"));
        assert_eq!(verdict(&dns.egret, format!("{addr}:22").parse().unwrap()), "allow network-rule");
    }
    assert!(dns.egret.metric("egret_dns_fqdn_failures_total") > 0);
}

/// Every quarter of a minute, where nobody asks: what came before still matches.
#[test]
fn names_of_network_rules_are_looked_up_again() {
    let answers = Arc::new(AtomicU8::new(0));
    let next = answers.clone();
    let upstream = Upstream::start(move |reply, _| {
        let is_v4 = reply.queries[0].query_type() == RecordType::A;
        let last = 7 + if is_v4 { next.fetch_add(1, Ordering::AcqRel).min(1) } else { 0 };
        Some(with_addresses(reply, &[[192, 0, 2, last].into()], 0))
    });
    let dns = Dns::start(&[&NETWORK_RULE[..], &[&upstream.flag()]].concat());
    for last in [7, 8] {
        let addr = SocketAddr::from(([192, 0, 2, last], 22));
        // One wait is shorter than a round.
        let seen = (0..3).any(|_| poll(|| (verdict(&dns.egret, addr) == "allow network-rule").then_some(())).is_some());
        assert!(seen, "{addr}: {:?}", upstream.asked());
    }
    assert_eq!(verdict(&dns.egret, "192.0.2.7:22".parse().unwrap()), "allow network-rule");
}

#[test]
fn what_a_server_did_not_check_is_no_address_of_a_rule() {
    let upstream = Upstream::start(|reply, _| {
        let last = if reply.metadata.checking_disabled { 66 } else { 7 };
        Some(with_addresses(reply, &[[192, 0, 2, last].into()], 60))
    });
    let dns = Dns::start(&[&NETWORK_RULE[..], &[&upstream.flag()]].concat());
    let mut unchecked = question("git.test.", RecordType::A);
    unchecked.metadata.checking_disabled = true;
    for _ in ["from the server", "from the cache"] {
        assert_eq!(shown(&ask(dns.addr, &unchecked)), "NoError 192.0.2.66");
    }
    assert_eq!(dns.shown("git.test.", RecordType::A), "NoError 192.0.2.7");
    assert_eq!(verdict(&dns.egret, "192.0.2.66:22".parse().unwrap()), "deny not-allowed");
    assert_eq!(verdict(&dns.egret, "192.0.2.7:22".parse().unwrap()), "allow network-rule");
}

/// A tunnel to a name whose address no rule names, so that nobody dials it: the reason and the address.
fn resolved_to(egret: &Egret) -> [String; 2] {
    let mut client = Client::connect(egret.addr);
    client.send("CONNECT ok.test:22 HTTP/1.1\r\nHost: ok.test:22\r\n\r\n");
    client.status();
    let flow = egret.flows(client.addr(), 1).remove(0);
    ["reason", "dst"].map(|field| flow[field].as_str().unwrap_or_default().to_owned())
}

/// Answers for one family with an address that holds for no time.
fn of_family(kind: RecordType, answer: impl Fn(Message) -> Option<Message> + Send + Sync + 'static) -> Upstream {
    let addr = if kind == RecordType::A { IpAddr::from([127, 0, 0, 1]) } else { "::1".parse().unwrap() };
    Upstream::start(move |reply, _| match reply.queries[0].query_type() {
        asked if asked == kind => Some(with_addresses(reply, &[addr], 0)),
        _ => answer(reply),
    })
}

/// Nobody waits that long in a test.
const PATIENT: &str = "[timeouts]\nresolve = \"10m\"\n";

#[test]
fn a_server_that_is_silent_for_one_family_holds_nobody_up() {
    for (kind, dst) in [(RecordType::A, "127.0.0.1:22"), (RecordType::AAAA, "[::1]:22")] {
        let upstream = of_family(kind, |_| None);
        let dns = Dns::with_config(PATIENT, &["--allow=tcp://ok.test:22", &upstream.flag()]);
        for _ in 0..3 {
            assert_eq!(resolved_to(&dns.egret), ["internal-address", dst]);
        }
    }
}

#[test]
fn a_family_that_failed_is_not_asked_for_by_each_flow() {
    let failures = [ResponseCode::ServFail, ResponseCode::NoError];
    for code in failures {
        let upstream = of_family(RecordType::A, move |mut reply| {
            reply.metadata.response_code = code;
            Some(reply)
        });
        let dns = Dns::start(&["--allow=tcp://ok.test:22", &upstream.flag()]);
        let asked = |kind: &str| upstream.times_asked(&format!("ok.test. {kind}"));
        resolved_to(&dns.egret);
        let before = ["A", "AAAA"].map(asked);
        for _ in 0..4 {
            assert_eq!(resolved_to(&dns.egret), ["internal-address", "127.0.0.1:22"]);
        }
        let after = ["A", "AAAA"].map(asked);
        assert!(after[0] >= before[0] + 4 && after[1] == before[1], "{code}: {before:?} {after:?}");
    }
}

#[test]
fn the_proxy_and_its_clients_get_the_same_answer() {
    let answered = Arc::new(AtomicU8::new(0));
    let upstream = Upstream::start(move |reply, _| {
        let last =
            if reply.queries[0].query_type() == RecordType::A { answered.fetch_add(1, Ordering::AcqRel) } else { 0 };
        Some(with_addresses(reply, &[[127, 0, 0, last + 1].into()], 60))
    });
    let dns = Dns::start(&["--allow=tcp://ok.test:22", &upstream.flag()]);
    let mut client = Client::connect(dns.egret.addr);
    client.send("CONNECT ok.test:22 HTTP/1.1\r\nHost: ok.test:22\r\n\r\n");
    let flow = dns.egret.flows(client.addr(), 1).remove(0);
    // No rule names that address, so nobody dials it.
    assert_eq!((&flow["reason"], &flow["dst"]), (&"internal-address".into(), &"127.0.0.1:22".into()));
    assert_eq!(dns.shown("ok.test.", RecordType::A), "NoError 127.0.0.1");
}
