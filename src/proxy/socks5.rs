//! SOCKS5: `CONNECT` by another name. Names are resolved here, never by the client's word.

use std::rc::Rc;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::flow::{Authority, Host, Profile, Reason, Via};
use crate::net::deadline::Timer;
use crate::wire::ParseError;
use crate::wire::socks5::{self, Command, Destination, NO_AUTH, SocksError, USER_PASSWORD, VERSION};

use super::auth;
use super::carry::{self, Carried, carry, protocols_to};
use super::records::About;
use super::session::{Ask, Outcome, Session, close_gently};

/// Reply codes, RFC 1928 section 6.
const SUCCEEDED: u8 = 0;
const GENERAL_FAILURE: u8 = 1;
const NOT_ALLOWED: u8 = 2;
const HOST_UNREACHABLE: u8 = 4;
const REFUSED: u8 = 5;
const TTL_EXPIRED: u8 = 6;
const COMMAND_NOT_SUPPORTED: u8 = 7;

/// "No acceptable method."
const NO_METHOD: u8 = 0xff;

/// Serves one SOCKS5 connection to its end.
pub(super) async fn serve(session: Rc<Session>, stream: TcpStream, held: BytesMut) -> Outcome {
    let deadline = Instant::now() + session.timeouts().head;
    let mut client = Client { stream, held, deadline };
    let to = match negotiate(&session, &mut client).await {
        Ok(to) => to,
        Err(refusal) => {
            let about = refusal.raw.as_deref().map_or(About::Nothing, About::Raw);
            session.record_malformed(Via::Socks5, about, refusal.reason).await;
            session.write(&client.stream, &refusal.reply).await;
            close_gently(client.stream).await;
            return None;
        }
    };
    let Client { stream, held, .. } = client;
    let ask = Ask { via: Via::Socks5, to: &to, protocols: protocols_to(&to), path: None, dialled: None, live: None };
    match carry(&session, stream, held, ask, &reply(SUCCEEDED)).await {
        Carried::Done(outcome) => outcome,
        Carried::Refused(carry::Refusal { stream, reason, .. }) => {
            let profile = session.core.active().profile;
            session.write(&stream, &reply(code_of(profile, reason))).await;
            close_gently(stream).await;
            None
        }
    }
}

fn code_of(profile: Profile, reason: Reason) -> u8 {
    match reason {
        // Azure drops it without a word.
        reason if reason.is_before_firewall() && profile == Profile::Azure => TTL_EXPIRED,
        Reason::NameUnresolvable => HOST_UNREACHABLE,
        Reason::UpstreamTimeout => TTL_EXPIRED,
        reason if reason.is_upstream_failure() => REFUSED,
        _ => NOT_ALLOWED,
    }
}

/// The bound address is nobody's business and always zero.
fn reply(code: u8) -> [u8; 10] {
    [VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// Why a negotiation ended, and what the client is told.
struct Refusal {
    reason: Reason,
    reply: Vec<u8>,
    raw: Option<Vec<u8>>,
}

impl Refusal {
    fn new(reason: Reason, reply: &[u8]) -> Refusal {
        Refusal { reason, reply: reply.to_vec(), raw: None }
    }
}

struct Client {
    stream: TcpStream,
    held: BytesMut,
    deadline: Instant,
}

impl Client {
    /// The next message, taken off what is held; more is read as long as it is incomplete.
    async fn next<T>(
        &mut self,
        timer: &Timer,
        parse: impl Fn(&[u8]) -> Result<(T, usize), ParseError<SocksError>>,
    ) -> Result<T, Refusal> {
        loop {
            match parse(&self.held) {
                Ok((message, length)) => {
                    self.held.advance(length);
                    return Ok(message);
                }
                Err(ParseError::Invalid(error)) => {
                    return Err(Refusal::new(error.reason(), &reply(GENERAL_FAILURE)));
                }
                Err(ParseError::Incomplete) => {}
            }
            self.held.reserve(512);
            match timer.by(self.deadline, self.stream.read_buf(&mut self.held)).await {
                Err(_) => return Err(Refusal::new(Reason::HeadTimeout, &[])),
                Ok(Ok(0) | Err(_)) => return Err(Refusal::new(Reason::ClientGone, &[])),
                Ok(Ok(_)) => {}
            }
        }
    }
}

/// Greeting, credentials where they are wanted, request: where the client wants to go.
async fn negotiate(session: &Session, client: &mut Client) -> Result<Authority, Refusal> {
    let timer = &session.timer;
    let wanted = session.core.shared.config.credentials.as_ref();
    let method = if wanted.is_some() { USER_PASSWORD } else { NO_AUTH };
    let offered = client.next(timer, |bytes| socks5::greeting(bytes).map(|(m, n)| (m.contains(&method), n))).await?;
    if !offered {
        let reason = if wanted.is_some() { Reason::AuthRequired } else { Reason::BadRequest };
        return Err(Refusal::new(reason, &[VERSION, NO_METHOD]));
    }
    session.write(&client.stream, &[VERSION, method]).await;
    if let Some(wanted) = wanted {
        let is_user = |bytes: &[u8]| {
            let (user, length) = socks5::user_password(bytes)?;
            Ok((auth::is_user(wanted, user.user, user.password), length))
        };
        if !client.next(timer, is_user).await? {
            return Err(Refusal::new(Reason::AuthRequired, &[1, 1]));
        }
        session.write(&client.stream, &[1, 0]).await;
    }
    let (command, host, port) = client.next(timer, request).await?;
    if command != Command::Connect {
        return Err(Refusal::new(Reason::BadRequest, &reply(COMMAND_NOT_SUPPORTED)));
    }
    let bad_name = |raw| Refusal { raw: Some(raw), ..Refusal::new(Reason::BadName, &reply(GENERAL_FAILURE)) };
    Ok(Authority { host: host.map_err(bad_name)?, port })
}

type Asked = (Command, Result<Host, Vec<u8>>, u16);

fn request(bytes: &[u8]) -> Result<(Asked, usize), ParseError<SocksError>> {
    let (request, length) = socks5::request(bytes)?;
    let host = match request.destination {
        Destination::Addr(addr) => Ok(Host::Addr(addr)),
        Destination::Name(raw) => {
            std::str::from_utf8(raw).ok().and_then(|text| Host::parse(text).ok()).ok_or_else(|| raw.to_vec())
        }
    };
    Ok(((request.command, host, request.port), length))
}
