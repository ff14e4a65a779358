//! What each fuzz target asserts of its input. `tests/it/fuzz_corpus.rs` asserts the same of the corpus.
//!
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz client_hello`; a stable toolchain will do with
//! `RUSTC_BOOTSTRAP=1` set.

mod hyper_reads;

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use egret::allowlist::{Catalogue, Endpoint, Member};
use egret::azure::note::Severity;
use egret::azure::service_tags as tags;
use egret::azure::{json, read, shape, template, watcher};
use egret::config::{CheckTarget, Loaded, Overrides, TargetRule, client_of_subnet, load, network_of, to_toml};
use egret::flow::{Authority, Host, HostName, PortRange, Protocol};
use egret::policy::{AddressRange, AddressSet, FqdnPattern, Policy, Query, Sign, UrlPattern};
use egret::vnet::trace::endpoints;
use egret::vnet::{FlowDirection, NetFlow, Network, Tags, Transport};
use egret::wire::ParseError;
use egret::wire::dns::{DnsQuery, DnsReply, Misasked, ResponseCode};
use egret::wire::http_body::{BodyError, BodyTracker, Progress};
use egret::wire::http_head::{Framing, parse_target};
use egret::wire::{client_hello as hello, http_head as head, socks5, tds as packets};
use serde::de::DeserializeOwned;

use hyper::Uri;
use hyper_reads::{Read, hyper_reads};

/// The input is read as the bytes of a connection, and once more as a message that is cut into records.
pub fn client_hello(bytes: &[u8]) {
    assert_prefixes_agree(bytes, hello::parse);
    if bytes.len() < 1 << 14 {
        assert_eq!(hello::parse(&records(bytes, 7)), hello::parse(&records(bytes, 1 << 14)));
    }
}

pub fn http_head(bytes: &[u8]) {
    assert_prefixes_agree(bytes, head::parse);
    if let Ok((request, length)) = head::parse(bytes) {
        assert_eq!(head::parse(&bytes[..length]), Ok((request, length)));
        assert!(bytes[..length].ends_with(b"\r\n\r\n") && length <= head::MAX_HEAD);
        let _ = parse_target(request.method, request.target);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = parse_target("GET", text);
        let _ = parse_target("CONNECT", text);
    }
}

/// What an indicator is shown as is the same indicator.
pub fn threat_sign(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(sign) = Sign::parse(text) {
        assert_eq!(Sign::parse(&sign.to_string()).as_ref(), Ok(&sign));
    }
}

pub fn service_tags(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(tags) = tags::read(text) {
        assert!(!tags.is_empty());
    }
}

/// The first byte says where the rest is split, and how long a body of known length is.
pub fn http_body(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let (one, two) = bytes.split_at(bytes.len().min(usize::from(*first)));
    for framing in [Framing::None, Framing::Length(u64::from(*first)), Framing::Chunked] {
        let whole = BodyTracker::new(framing).advance(bytes);
        if let Ok(Progress::Done(length)) = whole {
            assert!(length <= bytes.len());
        }
        assert_eq!(advance_twice(framing, one, two), whole);
    }
}

/// The input is a file of any kind, as it is given to `--policy`.
pub fn shape(bytes: &[u8]) {
    let Ok(text) = shape::decode(bytes) else { return };
    let format = shape::detect(&text, "policy.json");
    assert_eq!(format.refusal("policy.json").is_none(), matches!(format, shape::Format::Json | shape::Format::Toml));
    let _ = shape::is_cut_off(&text);
    shaped(&text);
}

/// The input is the values of one instance, of each type, in a plan that knows nothing of them and in one that does.
pub fn terraform(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    shaped(text);
    for kind in
        ["azurerm_firewall_policy_rule_collection_group", "azurerm_firewall_network_rule_collection", "azapi_resource"]
    {
        let change = format!("\"change\": {{\"actions\": [\"create\"], \"after\": {text}, \"after_unknown\": {text}}}");
        let address = format!("\"address\": \"{kind}.x\", \"type\": \"{kind}\", \"mode\": \"managed\"");
        let configuration = format!(
            "\"configuration\": {{\"root_module\": {{\"resources\": [{{{address}, \"expressions\": {text}}}]}}}}"
        );
        shaped(&format!("{{\"resource_changes\": [{{{address}, {change}}}], {configuration}}}"));
    }
}

fn shaped(text: &str) {
    let Ok(documents) = json::parse(text, 0) else { return };
    let shape::Shaped { resources, notes } = shape::resources(&documents);
    let said = notes.iter().any(|note| note.severity > Severity::Info);
    assert!(!resources.is_empty() || said, "nothing is said of {text}");
}

/// The input is read as each of the three messages of a client.
pub fn socks5(bytes: &[u8]) {
    assert_prefixes_agree(bytes, socks5::greeting);
    assert_prefixes_agree(bytes, socks5::user_password);
    assert_prefixes_agree(bytes, socks5::request);
    if let Ok((_, length)) = socks5::request(bytes) {
        assert!(length <= bytes.len());
    }
}

/// The input is the beginning of an answer to a ClientHello.
pub fn greeting(bytes: &[u8]) {
    assert_prefixes_agree(bytes, egret::wire::greeting::greeting);
}

/// The input is read as each side's pre-login and as the packets of a hello, and once more as TLS records that are cut
/// into packets.
pub fn tds(bytes: &[u8]) {
    assert_prefixes_agree(bytes, packets::pre_login);
    assert_prefixes_agree(bytes, packets::pre_login_answer);
    assert_prefixes_agree(bytes, packets::hello);
    if let Ok((asked, length)) = packets::pre_login(bytes) {
        let mut demanding = bytes[..length].to_vec();
        asked.demand_encryption(&mut demanding);
        let wants = packets::pre_login(&demanding).map(|(asked, _)| asked.encryption);
        assert!(wants.is_ok_and(|wants| wants != packets::Encryption::Off));
        let answer = asked.answer();
        assert!(packets::pre_login_answer(&answer).is_ok_and(|(given, taken)| {
            (given.mars, given.federated, taken) == (asked.mars, asked.federated, answer.len())
        }));
    }
    if packets::hello(bytes).is_ok() {
        assert!(packets::hello_length(bytes).is_some_and(|length| length <= bytes.len()));
    }
    let mut unpacked = packets::Unpacked::of_either();
    unpacked.read(bytes);
    assert!(unpacked.content().len() <= bytes.len());
    if bytes.len() < 1 << 14 {
        assert_eq!(packets::hello(&in_packets(bytes, 7)), packets::hello(&in_packets(bytes, 1 << 14)));
    }
}

/// The input is a template, and the one that it links to, whatever the link says. What comes out has no end of values,
/// and the same once more.
pub fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(documents) = json::parse(text, 0) else { return };
    let Some(first) = documents.first() else { return };
    let inputs = template::Inputs {
        parameters: documents.iter().flat_map(template::parameters_of).collect(),
        set: vec![("location".into(), "{\"a\": [1]}".into())],
        linked: &|_| documents.last(),
        wanted: &|_| true,
    };
    let expanded = template::expand(first, &inputs);
    assert!(expanded.resources.len() <= 100_000 && expanded.notes.len() <= 1000);
    let again = template::expand(first, &inputs);
    assert_eq!((expanded.resources, expanded.notes), (again.resources, again.notes));
}

/// The input is a `vnet.toml`, and as JSON the resources of a network. What is taken can be asked.
pub fn topology(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok((network, _)) = network_of("vnet.toml", text) {
        asked(&network);
    }
    let Ok(documents) = json::parse(text, 0) else { return };
    let resources = shape::resources(&documents).resources;
    let set = read::Set { resources: &resources, asked: read::Asked::Topology };
    let topology = read::read(&[set], &Catalogue::default()).topology;
    asked(&Network::new(topology, Tags::default()));
}

/// A few places of what may be thousands.
fn asked(network: &Network) {
    for place in network.places().take(8) {
        let own = network.subnet(place).prefixes.first().map(|net| net.addr());
        let to = "198.51.100.7".parse().expect("a literal address");
        let _ = network.effective_routes(place).len();
        let _ = network.route(place, to);
        let Some(source) = own else { continue };
        for transport in [Transport::Tcp, Transport::Icmp] {
            let flow = NetFlow { transport, source, source_port: 40_000, destination: to, destination_port: 443 };
            let _ = network.security(place, FlowDirection::Outbound, &flow);
        }
    }
}

pub fn host_name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = HostName::parse(text) {
        assert!(name.as_str().len() <= 253 && name.as_str().is_ascii());
        assert_eq!(HostName::parse(name.as_str()), Ok(name));
    }
    if let Ok(name) = HostName::parse_typed(text) {
        assert_eq!(HostName::parse(name.as_str()), Ok(name));
    }
    if let Ok(authority) = Authority::parse(text, Some(443)) {
        assert_eq!(Authority::parse(&authority.to_string(), None), Ok(authority));
    }
}

/// No prefix may have another verdict than the whole, except that it is incomplete.
fn assert_prefixes_agree<'a, T: PartialEq + Debug, E: PartialEq + Debug>(
    bytes: &'a [u8],
    parse: impl Fn(&'a [u8]) -> Result<T, ParseError<E>>,
) {
    let whole = parse(bytes);
    for cut in (0..bytes.len()).step_by(1 + bytes.len() / 64) {
        let part = parse(&bytes[..cut]);
        assert!(part == Err(ParseError::Incomplete) || part == whole, "{cut}: {part:?}, but {whole:?}");
    }
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1], &(part.len() as u16).to_be_bytes()[..], part].concat();
    message.chunks(size).flat_map(record).collect()
}

fn in_packets(records: &[u8], size: usize) -> Vec<u8> {
    let packet = |part: &[u8]| [&[0x12, 0], &(part.len() as u16 + 8).to_be_bytes()[..], &[0; 4], part].concat();
    records.chunks(size).flat_map(packet).collect()
}

fn advance_twice(framing: Framing, one: &[u8], two: &[u8]) -> Result<Progress, BodyError> {
    let mut body = BodyTracker::new(framing);
    match body.advance(one)? {
        Progress::Done(length) => Ok(Progress::Done(length)),
        Progress::More => Ok(match body.advance(two)? {
            Progress::Done(length) => Progress::Done(one.len() + length),
            Progress::More => Progress::More,
        }),
    }
}

/// Whatever can be read is answered, shortly, and the answer is taken for no question.
pub fn dns_query(bytes: &[u8]) {
    let answer = match DnsQuery::read(bytes) {
        Ok(query) => {
            let _ = HostName::parse(&query.name().to_ascii());
            let written = query.write(&DnsReply::empty(ResponseCode::ServFail), query.udp_limit());
            assert!(written.bytes.len() <= 512, "{written:?}");
            written.bytes
        }
        Err(misasked) => match misasked.to_bytes() {
            Some(answer) => answer,
            None => return,
        },
    };
    assert_eq!(answer[..2], bytes[..2]);
    assert_eq!(DnsQuery::read(&answer), Err(Misasked::Noise));
}

/// hyper reads the same requests up to where ours are refused, each with the same end. It may refuse one that is not
/// refused here: then it reads none behind it either.
pub fn http_hyper(bytes: &[u8]) {
    let ours = our_reading(bytes);
    let hypers = hyper_reads(bytes);
    for (number, theirs) in hypers.iter().enumerate() {
        let Some(own) = ours.requests.get(number) else {
            assert_eq!(ours.end, End::Refused, "hyper alone reads {theirs:?} in {bytes:?}");
            continue;
        };
        // Of a body that is refused here nobody gets to see the end.
        let is_refused = own.body.is_none() && ours.end == End::Refused;
        let theirs = Read { body: theirs.body.clone().filter(|_| !is_refused), ..theirs.clone() };
        assert_eq!((number, own), (number, &theirs), "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// There is no more, or not enough of it.
    Bytes,
    /// What comes next is no request that is let through, or one after which nothing is read.
    Refused,
}

struct Reading {
    requests: Vec<Read>,
    end: End,
}

fn our_reading(mut bytes: &[u8]) -> Reading {
    let mut requests = Vec::new();
    loop {
        let (request, length) = match head::parse(bytes) {
            Ok(read) => read,
            Err(ParseError::Incomplete) => return Reading { requests, end: End::Bytes },
            Err(ParseError::Invalid(_)) => return Reading { requests, end: End::Refused },
        };
        if request.upgrade || request.method == "CONNECT" || parse_target(request.method, request.target).is_err() {
            return Reading { requests, end: End::Refused };
        }
        // What is no URI is let through nowhere; hyper shows one with the slash that may be left out.
        let Ok(target) = request.target.parse::<Uri>() else { return Reading { requests, end: End::Refused } };
        let done = BodyTracker::new(request.framing).advance(&bytes[length..]);
        let body = match done {
            Ok(Progress::Done(end)) => Some(content(request.framing, &bytes[length..length + end])),
            Ok(Progress::More) | Err(_) => None,
        };
        let (method, target) = (request.method.to_owned(), target.to_string());
        requests.push(Read { method, target, host: request.host.map(str::to_owned), body });
        match done {
            Ok(Progress::Done(end)) if request.keep_alive => bytes = &bytes[length + end..],
            Ok(Progress::Done(_) | Progress::More) => return Reading { requests, end: End::Bytes },
            Err(_) => return Reading { requests, end: End::Refused },
        }
    }
}

/// A body that was found to be whole, without its chunks.
fn content(framing: Framing, body: &[u8]) -> Vec<u8> {
    if framing != Framing::Chunked {
        return body.to_vec();
    }
    let (mut content, mut rest) = (Vec::new(), body);
    loop {
        let line = rest.iter().position(|byte| *byte == b'\n').expect("a chunk begins with a line");
        let digits = rest[..line].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let digits = std::str::from_utf8(&rest[..digits]).expect("they are digits");
        let size = usize::from_str_radix(digits, 16).expect("a chunk has a size");
        if size == 0 {
            return content;
        }
        content.extend_from_slice(&rest[line + 1..line + 1 + size]);
        rest = &rest[line + 1 + size + 2..];
    }
}

/// What people type: targets, patterns, ports, addresses, ends of a trace. What is shown is read as the same again.
pub fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for word in text.lines().take(8) {
        reads_again::<PortRange, _>(word, |text| text.parse());
        reads_again::<AddressRange, _>(word, |text| text.parse());
        reads_again(word, FqdnPattern::parse);
        reads_again(word, UrlPattern::parse);
        let _ = AddressSet::default().insert_text(word);
        let _ = word.parse::<Endpoint>();
        let _ = word.parse::<Member>();
        let _ = client_of_subnet(Some(&WORKED), word);
        if let Ok(target) = CheckTarget::parse(word) {
            assert_eq!(CheckTarget::parse(&target.text), Ok(target));
        }
        if let Err(error) = TargetRule::parse(word) {
            assert!(error.to_string().len() < 2_000, "{error}");
        }
    }
    let words: Vec<String> = text.lines().take(8).map(str::to_owned).collect();
    let _ = endpoints(&words);
}

fn reads_again<T: ToString + PartialEq + Debug, E: Debug>(word: &str, parse: impl Fn(&str) -> Result<T, E>) {
    if let Ok(read) = parse(word) {
        let shown = read.to_string();
        assert_eq!(parse(&shown).ok().as_ref(), Some(&read), "`{word}` is shown as `{shown}`");
    }
}

/// The network of the manual.
static WORKED: LazyLock<Network> = LazyLock::new(|| {
    let read = network_of("vnet.toml", include_str!("../../docs/ase/vnet.toml"));
    read.unwrap_or_else(|errors| panic!("{errors}")).0
});

/// The input is effective routes of some machine. What is taken can be shown, and asked.
pub fn effective_routes(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(routes) = watcher::read_effective_routes(text) else { return };
    assert!(watcher::table(&routes).lines().count() > routes.len());
    let place = WORKED.places().next().expect("it has subnets");
    let network = network_of("vnet.toml", include_str!("../../docs/ase/vnet.toml"));
    let network = network.unwrap_or_else(|errors| panic!("{errors}")).0.with_effective_routes(place, routes);
    asked(&network);
}

/// The input is what Network Watcher is asked, of each kind. Whatever is answered can be written.
pub fn network_watcher(bytes: &[u8]) {
    let ids = watcher::Ids::of(WORKED.topology());
    answered(bytes, |asked| watcher::next_hop(&WORKED, ids, &asked));
    answered(bytes, |asked| watcher::ip_flow_verify(&WORKED, &asked));
    answered(bytes, |asked| watcher::nsg_diagnostics(&WORKED, ids, &asked));
}

fn answered<A: DeserializeOwned, R: serde::Serialize>(
    bytes: &[u8],
    answer: impl Fn(A) -> Result<R, watcher::WatcherError>,
) {
    let Ok(asked) = serde_json::from_slice(bytes) else { return };
    if let Ok(answer) = answer(asked) {
        assert!(serde_json::to_string(&answer).is_ok());
    }
}

/// The input is an `egret.toml`.
pub fn config(bytes: &[u8]) {
    let file = Scratch::holding("egret.toml", bytes);
    loaded(&Overrides { config: Some(file.path()), ..Overrides::default() });
}

/// The input is another file, of a kind that its first byte chooses.
pub fn files(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let file = Scratch::holding(if kind & 8 == 0 { "file.json" } else { "file.toml" }, bytes);
    let path = file.path().to_string_lossy().into_owned();
    let template = file.beside("template.json", TEMPLATE);
    let flags = Overrides { allow: vec!["https://ok.test".to_owned()], ..Overrides::default() };
    loaded(&match kind % 8 {
        0 => Overrides { policy: vec![path], ..Overrides::default() },
        1 => Overrides { parameters: vec![path], policy: vec![template], ..flags },
        2 => Overrides { topology: vec![path], ..flags },
        3 => Overrides { service_tags: Some(file.path()), ..flags },
        4 => Overrides { tags: vec![format!("Tag={path}")], ..flags },
        5 => Overrides { threat_feed: vec![path], ..flags },
        6 => Overrides { policy: vec![path.clone()], topology: vec![path], ..flags },
        _ => Overrides { policy: vec![path.clone()], parameters: vec![path], ..flags },
    });
}

/// Its parameters are the input.
const TEMPLATE: &[u8] = include_bytes!("template.json");

/// Loads it, as `egret serve` would. What is wrong can be told; what is right decides, and can be written down.
fn loaded(flags: &Overrides) {
    let Loaded { config, warnings, .. } = match load(flags, egret::config::DefaultFile::Ignored) {
        Ok(loaded) => loaded,
        Err(errors) => {
            assert!(!errors.to_string().is_empty());
            return;
        }
    };
    for warning in warnings.iter().take(100) {
        let _ = (warning.one_line(), warning.to_string());
    }
    let policy = Policy::compile(Arc::new(config.rules.clone()), config.switches());
    let host = Host::Name(HostName::parse("ok.test").expect("it is a name"));
    let query = Query::new(None, Protocol::Https, &host, 443);
    let decision = policy.decide(&query);
    assert_eq!(decision, egret::policy::walk(&config.rules, config.switches(), &query).decision);
    let _ = to_toml(&config.rules);
}

/// A file for as long as it is needed, one at a time for each thread.
struct Scratch(PathBuf);

impl Scratch {
    fn holding(name: &str, bytes: &[u8]) -> Scratch {
        let thread = format!("{:?}", std::thread::current().id()).replace(|c: char| !c.is_ascii_digit(), "");
        let folder = std::env::temp_dir().join(format!("egret-fuzz-{}-{thread}", std::process::id()));
        fs::create_dir_all(&folder).expect("there is room for a folder");
        fs::write(folder.join(name), bytes).expect("there is room for a file");
        Scratch(folder.join(name))
    }

    fn path(&self) -> PathBuf {
        self.0.clone()
    }

    fn beside(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.with_file_name(name);
        fs::write(&path, bytes).expect("there is room for a file");
        path.to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next one makes it anew.
        let _ = fs::remove_dir_all(self.0.parent().unwrap_or(Path::new("")));
    }
}
