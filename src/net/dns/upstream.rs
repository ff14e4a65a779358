//! Name servers and their health (azure-docs, dns-settings): one of the healthy is chosen at random, the next where it
//! fails; one that failed is left alone until it answers a question for the root, put to it every five seconds.
//!
//! Where all have failed there is nobody else to ask: no server that was not named. One of them is tried
//! nevertheless, for it may be back.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{Question, outcome};
use crate::net::dial::set_mark;
use crate::net::listener::is_lack;
use crate::wire::dns::{MAX_UDP, ResponseCode};

/// What one server may take while there is another to ask.
const ATTEMPT: Duration = Duration::from_secs(2);
/// After which a datagram is sent again.
const RESEND: Duration = Duration::from_secs(1);
/// Between two questions whether a server is back.
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBE: Duration = Duration::from_secs(2);

/// Servers that are used, at most (azure-docs: 15).
const SERVERS: usize = 15;

/// A datagram may be larger than was asked for.
const DATAGRAM: usize = 4096;

#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("there is no name server")]
    NoServer,
    #[error("no answer in time")]
    Timeout,
    #[error("{0}")]
    Unreachable(Rc<io::Error>),
    #[error("the answer is malformed")]
    Malformed,
    /// Another server is asked, and this one stays healthy: the trouble may be the name's.
    #[error("it answered {0}")]
    Code(ResponseCode),
}

impl UpstreamError {
    /// There was nothing left to ask with: that says nothing of the server.
    fn is_of_this_process(&self) -> bool {
        matches!(self, UpstreamError::Unreachable(error) if is_lack(error))
    }
}

impl From<io::Error> for UpstreamError {
    fn from(error: io::Error) -> Self {
        UpstreamError::Unreachable(Rc::new(error))
    }
}

/// A failure, and who was asked last.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Unanswered {
    pub(crate) why: UpstreamError,
    /// None where nobody was, or the time was over.
    pub(crate) server: Option<SocketAddr>,
}

impl From<UpstreamError> for Unanswered {
    fn from(why: UpstreamError) -> Unanswered {
        Unanswered { why, server: None }
    }
}

/// Told of each server that failed to answer.
pub(crate) type OnFailure = Box<dyn Fn(SocketAddr, &UpstreamError)>;

pub(crate) struct Upstream {
    servers: Vec<Rc<Server>>,
    on_failure: OnFailure,
    /// One for each server that is not healthy.
    probes: RefCell<JoinSet<()>>,
}

struct Server {
    addr: SocketAddr,
    mark: Option<u32>,
    is_well: Cell<bool>,
}

/// The servers that this machine uses.
pub(crate) fn system_servers() -> Vec<SocketAddr> {
    let Ok((config, _)) = hickory_resolver::system_conf::read_system_conf() else { return Vec::new() };
    let with_port = config.name_servers().iter().map(|server| {
        let port = server.connections.first().map_or(53, |connection| connection.port);
        SocketAddr::new(server.ip, port)
    });
    with_port.collect()
}

impl Upstream {
    /// `mark` is the firewall mark of every packet to a server.
    pub(crate) fn new(servers: Vec<SocketAddr>, mark: Option<u32>, on_failure: OnFailure) -> Upstream {
        let server = |addr| Rc::new(Server { addr, mark, is_well: Cell::new(true) });
        let servers = servers.into_iter().take(SERVERS).map(server).collect();
        Upstream { servers, on_failure, probes: RefCell::default() }
    }

    /// Asks one server after the other until one has an answer, and tells which. An error code is handed on where no
    /// other had more to say.
    pub(super) async fn ask(&self, question: &Question, until: Instant) -> Result<(Message, SocketAddr), Unanswered> {
        let mut order = self.order();
        let mut last = Err(UpstreamError::NoServer.into());
        while let Some(server) = order.pop() {
            let left = until.saturating_duration_since(Instant::now());
            let patience = if order.is_empty() { left } else { left.min(ATTEMPT) };
            match server.exchange(question, patience).await {
                Ok(message) if is_failure(message.metadata.response_code) => {
                    (self.on_failure)(server.addr, &UpstreamError::Code(message.metadata.response_code));
                    last = Ok((message, server.addr));
                }
                Ok(message) => return Ok((message, server.addr)),
                Err(error) => {
                    (self.on_failure)(server.addr, &error);
                    if !error.is_of_this_process() {
                        self.look_after(&server);
                    }
                    last = last.or(Err(Unanswered { why: error, server: Some(server.addr) }));
                }
            }
        }
        last
    }

    /// The healthy ones, shuffled; where there is none, any one.
    fn order(&self) -> Vec<Rc<Server>> {
        let mut order: Vec<Rc<Server>> = self.servers.iter().filter(|server| server.is_well.get()).cloned().collect();
        let all_failed = order.is_empty();
        if all_failed {
            order.clone_from(&self.servers);
        }
        for at in (1..order.len()).rev() {
            order.swap(at, random_below(at + 1));
        }
        if all_failed {
            order.truncate(1);
        }
        order
    }

    /// Nobody is sent to this server until it answers again.
    fn look_after(&self, server: &Rc<Server>) {
        if !server.is_well.replace(false) {
            return;
        }
        let server = server.clone();
        let mut probes = self.probes.borrow_mut();
        while probes.try_join_next().map(outcome).is_some() {}
        probes.spawn_local(async move {
            let root = Question::new(&Name::root(), RecordType::NS);
            while server.exchange(&root, PROBE).await.is_err() {
                sleep(PROBE_EVERY).await;
            }
            server.is_well.set(true);
            tracing::info!("the name server {} answers again", server.addr);
        });
    }
}

fn is_failure(code: ResponseCode) -> bool {
    !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

fn random_below(limit: usize) -> usize {
    let bits = RandomState::new().hash_one(limit);
    usize::try_from(bits % limit as u64).unwrap_or(0)
}

impl Server {
    /// One question and its answer, by TCP where the answer is too large for a datagram, and once more without EDNS
    /// where the server does not know that.
    async fn exchange(&self, question: &Question, patience: Duration) -> Result<Message, UpstreamError> {
        let exchanged = timeout(patience, async {
            let answer = self.ask(&query(question, true)).await?;
            if answer.metadata.response_code == ResponseCode::FormErr && answer.edns.is_none() {
                return self.ask(&query(question, false)).await;
            }
            Ok(answer)
        });
        exchanged.await.unwrap_or(Err(UpstreamError::Timeout))
    }

    async fn ask(&self, query: &Message) -> Result<Message, UpstreamError> {
        let bytes = query.to_vec().map_err(|_| UpstreamError::Malformed)?;
        let answer = self.over_udp(query, &bytes).await?;
        if answer.metadata.truncation { self.over_tcp(query, &bytes).await } else { Ok(answer) }
    }

    /// What does not belong to the question is passed over: anybody may have sent it.
    async fn over_udp(&self, query: &Message, bytes: &[u8]) -> Result<Message, UpstreamError> {
        let socket = self.udp().await?;
        let mut buffer = vec![0; DATAGRAM];
        socket.send(bytes).await?;
        loop {
            let Ok(received) = timeout(RESEND, socket.recv(&mut buffer)).await else {
                socket.send(bytes).await?;
                continue;
            };
            if let Some(answer) = answer_to(query, buffer.get(..received?).unwrap_or_default())? {
                return Ok(answer);
            }
        }
    }

    async fn over_tcp(&self, query: &Message, bytes: &[u8]) -> Result<Message, UpstreamError> {
        let length = u16::try_from(bytes.len()).map_err(|_| UpstreamError::Malformed)?;
        let mut stream = self.tcp()?.connect(self.addr).await?;
        stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
        let length = stream.read_u16().await?;
        let mut buffer = vec![0; length.into()];
        stream.read_exact(&mut buffer).await?;
        answer_to(query, &buffer)?.ok_or(UpstreamError::Malformed)
    }

    /// On a port of its own for each question, which whoever would forge an answer has to guess.
    async fn udp(&self) -> io::Result<UdpSocket> {
        let socket = self.socket(Type::DGRAM, Protocol::UDP)?;
        let any: IpAddr = match self.addr {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        socket.bind(&SocketAddr::new(any, 0).into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        socket.connect(self.addr).await?;
        Ok(socket)
    }

    fn tcp(&self) -> io::Result<TcpSocket> {
        Ok(TcpSocket::from_std_stream(self.socket(Type::STREAM, Protocol::TCP)?.into()))
    }

    fn socket(&self, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(self.addr), kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        self.mark.map_or(Ok(()), |mark| set_mark(&socket, mark))?;
        Ok(socket)
    }
}

fn query(question: &Question, extended: bool) -> Message {
    let Question { name, kind, dnssec_ok, checking_disabled } = question;
    // With an id drawn at random.
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = *checking_disabled;
    message.add_query(Query::query(name.clone(), *kind));
    if extended {
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP).set_dnssec_ok(*dnssec_ok);
        message.set_edns(edns);
    }
    message
}

/// The message, if it answers the query. One that cannot be read is an error only where it has the query's id.
fn answer_to(query: &Message, bytes: &[u8]) -> Result<Option<Message>, UpstreamError> {
    if !bytes.starts_with(&query.metadata.id.to_be_bytes()) {
        return Ok(None);
    }
    let answer = Message::from_vec(bytes).map_err(|_| UpstreamError::Malformed)?;
    // An update has records that no answer may have.
    let Metadata { message_type, op_code, .. } = answer.metadata;
    let is_answer = message_type == MessageType::Response && op_code == OpCode::Query;
    // Who cannot read a question cannot repeat it.
    let repeats =
        answer.queries == query.queries || answer.queries.is_empty() && is_failure(answer.metadata.response_code);
    Ok((is_answer && repeats).then_some(answer))
}

/// The body of a fuzz target: the input is what a name server answers to a question for addresses. What is taken is kept,
/// and given to a client, in as many bytes as that one takes, with its own question.
#[cfg(any(test, fuzzing))]
pub fn rehearse_reply(bytes: &[u8]) {
    use super::cache::Answer;
    use crate::wire::dns::DnsQuery;

    let name = Name::from_ascii("ok.test.").expect("it is a name");
    let mut query = query(&Question::new(&name, RecordType::A), true);
    query.metadata.id = 0x0707;
    let Ok(Some(message)) = answer_to(&query, bytes) else { return };
    assert!(bytes.starts_with(&[7, 7]) && message.metadata.message_type == MessageType::Response);
    let answer = Answer::of(message, RecordType::A, Instant::now());
    let asked = DnsQuery::read(&query.to_vec().expect("it was made here")).expect("a query can be read");
    for limit in [usize::from(u16::MAX), asked.udp_limit(), 512] {
        let written = asked.write(&answer.aged(Instant::now()), limit);
        assert!(written.bytes.len() <= limit, "{} of {limit}", written.bytes.len());
        let read = Message::from_vec(&written.bytes).expect("what was written can be read");
        assert_eq!((read.metadata.id, &read.queries), (0x0707, &query.queries));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus() {
        crate::rehearsal::replay("dns_reply", rehearse_reply);
    }

    /// It may have records without data, which no client could read in an answer.
    #[test]
    fn an_update_is_no_answer() {
        let query = query(&Question::new(&Name::from_ascii("ok.test.").unwrap(), RecordType::A), true);
        let mut answer = query.clone();
        answer.metadata.message_type = MessageType::Response;
        let read = |answer: &Message| answer_to(&query, &answer.to_vec().unwrap()).unwrap().is_some();
        assert!(read(&answer));
        answer.metadata.op_code = OpCode::Update;
        assert!(!read(&answer));
    }
}
