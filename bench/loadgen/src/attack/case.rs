//! A case: what is sent, by which door, and what has to come of it. What `bench/attacks/*.json` lists, in types.
//!
//! Nothing here knows how a case is run. `docs/attacks.md` describes every field.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::bytes::Piece;

/// What a client speaks to a proxy before the case begins. Finer than the doors of a comparison (`crate::door`), where
/// the workload says whether an explicit proxy is asked for a tunnel or for a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// Requests in absolute form, and whatever else the case writes itself
    Http,
    /// A tunnel that CONNECT opened
    Connect,
    /// A tunnel that SOCKS5 opened
    Socks5,
    /// Nothing: the client believes that it speaks to the origin
    Gateway,
    /// Questions to a DNS proxy
    Dns,
}

impl Door {
    pub fn as_str(self) -> &'static str {
        match self {
            Door::Http => "http",
            Door::Connect => "connect",
            Door::Socks5 => "socks5",
            Door::Gateway => "gateway",
            Door::Dns => "dns",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// What is safe
    Strict,
    /// What Azure Firewall does, as far as that is known
    Azure,
}

impl Profile {
    pub const ALL: [Profile; 2] = [Profile::Strict, Profile::Azure];

    pub fn as_str(self) -> &'static str {
        match self {
            Profile::Strict => "strict",
            Profile::Azure => "azure",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It reaches the origin, and the answer comes back.
    Allow,
    /// Refused: by an answer or a close, and nothing reached the origin.
    Deny,
    /// The same, because it cannot be understood.
    Malformed,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
            Verdict::Malformed => "malformed",
        }
    }
}

/// What a case wants of its surroundings that not every proxy or run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The proxy asks the runner's name server for addresses.
    Names,
    /// The gateway sees where its client believed it connected to.
    HandOver,
    /// The proxy looks into TLS.
    Inspection,
    /// It does not.
    Opaque,
    /// Clients of the gateway send datagrams, which the runner's do not.
    Datagrams,
    /// A command is confined, as by `egret run`: not to be seen from a socket.
    Jail,
}

impl Need {
    pub fn lacking(self) -> &'static str {
        match self {
            Need::Names => "the proxy's names do not come from the runner (--names)",
            Need::HandOver => "the gateway is not told where clients believe to connect to",
            Need::Inspection => "the proxy does not look into TLS",
            Need::Opaque => "the proxy looks into TLS",
            Need::Datagrams => "the runner sends a gateway no datagrams",
            Need::Jail => "there is no jail to escape from",
        }
    }
}

/// The code that Egret has to log, by door where they differ. Several that would do stand with `|` between.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Reasons {
    Everywhere(String),
    ByDoor(BTreeMap<Door, String>),
}

impl Reasons {
    pub fn at(&self, door: Door) -> Option<&str> {
        match self {
            Reasons::Everywhere(code) => Some(code),
            Reasons::ByDoor(codes) => codes.get(&door).map(String::as_str),
        }
    }
}

/// Where the marker has to be found for the attack to have come through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Where {
    /// In any bytes that the origin got.
    #[default]
    Bytes,
    /// In the head of a request that the origin read.
    Request,
    /// In any bytes that came to an address that is not the public origin's.
    Inside,
    /// In any bytes that came to the public origin's.
    Public,
    /// In a question to the name server.
    Names,
}

/// What the origin does once it has read the first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Gives every byte back.
    #[default]
    Echo,
    /// Asks for another ClientHello.
    Retry,
    /// Speaks TLS, and HTTP inside.
    Serve,
}

/// What an otherwise wrong arrival has to look like to be harmless, because RFC 9110 or 9112 lets a proxy mend it.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mended {
    /// The one Host header that the origin saw.
    pub host: Option<String>,
    /// What is not in the head that the origin saw, in lower case.
    pub lacks: Vec<String>,
    /// Lines end in CR LF alone, and none is a continuation.
    pub clean_lines: bool,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub id: String,
    pub title: String,
    pub doors: Vec<Door>,
    pub strict: Verdict,
    pub azure: Verdict,
    /// What Azure Firewall does is not publicly known.
    #[serde(default)]
    pub assumed: bool,
    #[serde(default)]
    pub reason: Option<Reasons>,
    pub source: String,
    #[serde(default)]
    pub needs: Vec<Need>,
    /// `host:port` of the tunnel, `-` where SOCKS5 is spoken by the case itself, or of the address that a gateway's client dials by its port.
    #[serde(default = "to_ok")]
    pub target: String,
    /// The address that a gateway's client dials, where it matters.
    #[serde(default)]
    pub dial: Option<String>,
    /// Addresses of names, one list an answer; the last one is repeated.
    #[serde(default)]
    pub names: BTreeMap<String, Vec<Vec<IpAddr>>>,
    /// Answers of the origin to requests, in turn; the last one is repeated.
    #[serde(default)]
    pub answers: Vec<String>,
    #[serde(default)]
    pub tls: Tls,
    #[serde(default = "marker")]
    pub proof: String,
    #[serde(default)]
    pub proof_in: Where,
    /// What has to reach the origin all the same.
    #[serde(default)]
    pub control: Option<String>,
    /// A denial may also be an open connection on which nothing happens.
    #[serde(default)]
    pub silence: bool,
    /// The verdict may wait for a deadline of the proxy.
    #[serde(default)]
    pub waits: bool,
    #[serde(default)]
    pub mended: Option<Mended>,
    #[serde(default)]
    pub steps: Vec<Step>,
}

fn to_ok() -> String {
    "ok.test:443".into()
}

fn marker() -> String {
    "{m}".into()
}

impl Case {
    pub fn expected(&self, profile: Profile) -> Verdict {
        match profile {
            Profile::Strict => self.strict,
            Profile::Azure => self.azure,
        }
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    Send(Vec<Piece>),
    /// Cut into segments, with a pause after each.
    Segments(Segments),
    Await(Await),
    /// Milliseconds in which nothing is sent.
    Wait(u64),
    /// The client half-closes.
    Finish,
    /// So many more connections by the same door, which are opened before and stay open.
    Hold {
        count: usize,
        send: Vec<Piece>,
    },
    /// A real TLS client from here on: its name, its protocols, and what it says inside.
    Tls {
        name: String,
        #[serde(default)]
        alpn: Vec<String>,
        send: Vec<Piece>,
    },
    Query(Query),
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Segments {
    pub of: Vec<Piece>,
    /// Where to cut; what is beyond the last place in pieces of `each`, or whole.
    #[serde(default)]
    pub at: Vec<usize>,
    #[serde(default)]
    pub each: Option<usize>,
    /// Milliseconds between segments.
    #[serde(default = "a_moment")]
    pub pause: u64,
}

fn a_moment() -> u64 {
    2
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Await {
    /// One whole answer of HTTP with this status.
    Answer(u16),
    /// This text anywhere in what came since the last that was waited for.
    Text(String),
    /// So many bytes.
    Bytes(usize),
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    #[serde(default)]
    pub name: String,
    /// The number of the record type.
    #[serde(default = "a_record")]
    pub kind: u16,
    #[serde(default = "internet")]
    pub class: u16,
    #[serde(default)]
    pub tcp: bool,
    /// The size that EDNS announces.
    #[serde(default)]
    pub edns: Option<u16>,
    /// Bytes of padding in EDNS.
    #[serde(default)]
    pub padding: usize,
    /// The second word of the header: opcode and flags.
    #[serde(default = "recursion_desired")]
    pub flags: u16,
    /// How many questions the header announces.
    #[serde(default = "one")]
    pub questions: u16,
    /// The question itself, as hexadecimal digits, instead of name, type and class.
    #[serde(default)]
    pub raw: Option<String>,
    /// Bytes after the message.
    #[serde(default)]
    pub trailing: usize,
}

fn a_record() -> u16 {
    1
}

fn internet() -> u16 {
    1
}

fn recursion_desired() -> u16 {
    0x0100
}

fn one() -> u16 {
    1
}
