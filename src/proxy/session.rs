//! The pipeline of one client connection: identify, authorize, dial, relay, record.
//!
//! Front-ends differ only in how they learn where a flow wants to go and in how they show a refusal. Every
//! flow is decided here.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};

use crate::config::{EchMode, GatewayConfig, HandOver};
use crate::flow::{Authority, ClientAddr, Host, HostName, Profile, Protocol, Reason, Verdict, Via};
use crate::net::deadline::Timer;
use crate::net::dial::{Dialled, Source, dial, dial_udp};
use crate::net::dns::FqdnTable;
use crate::net::relay::{End, Idle, Relayed, Side, relay, reset_when_dropped};
use crate::policy::{Address, AddressRange, Decision, Direction, HeaderInsertion, Permit, Query, Translated};
use crate::telemetry::{CloseWhy, ClosedBy, Surroundings};
use crate::vnet::Decided;

use super::answer::Answer;
use super::records::Opened;
use super::shared::{Active, Core, InForce};
use super::surroundings;

/// One client connection on one core.
pub(super) struct Session {
    pub(super) core: Rc<Core>,
    pub(super) client: ClientAddr,
    /// Of the one task that serves the connection.
    pub(super) timer: Timer,
}

/// Where a flow wants to go, and what it may turn out to be.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) via: Via,
    pub(super) to: &'a Authority,
    /// Those that are possible at this point; the first that is allowed is taken.
    pub(super) protocols: &'a [Protocol],
    pub(super) path: Option<&'a str>,
    /// On a gateway: what the client dialled, where it asks for the name that it showed then.
    pub(super) dialled: Option<IpAddr>,
    /// The address, as security groups see it, to which a flow of this connection runs already: they do not look at what
    /// else it carries there.
    pub(super) live: Option<IpAddr>,
}

/// A flow that may go on, to these addresses.
pub(super) struct Permitted {
    pub(super) permit: Permit,
    pub(super) protocol: Protocol,
    /// Never empty; the one that was dialled comes first.
    routes: Vec<Route>,
    /// Names of network rules that led to the address when it was decided: it is judged by them again, whatever they lead
    /// to by then.
    known_as: Vec<HostName>,
    dialled: Option<IpAddr>,
    /// What the network around the firewall made of it when it was decided, at the address that is dialled first.
    pub(super) around: Option<Arc<Surroundings>>,
    pub(super) active: InForce,
}

/// Where to dial, and with what address the decision was made, to make it again. `--connect-to` leads elsewhere: then
/// the destination itself was judged.
#[derive(Clone, Copy)]
struct Route {
    addr: SocketAddr,
    judged: Address,
}

impl Route {
    /// To an address that the client named itself.
    fn to(ip: IpAddr, port: u16) -> Route {
        Route { addr: SocketAddr::new(ip, port), judged: Address::Given(ip) }
    }
}

/// A flow that may not, or that cannot.
pub(super) struct Refused {
    pub(super) reason: Reason,
    /// The decision behind it; an upstream failure has one that allows.
    pub(super) decision: Decision,
    pub(super) protocol: Protocol,
    pub(super) dst: Option<SocketAddr>,
    /// What the network around the firewall made of it when that was decided.
    pub(super) around: Option<Arc<Surroundings>>,
    pub(super) active: InForce,
}

impl Permitted {
    /// True where an application rule decided by name: then the first bytes have to bear it out.
    pub(super) fn is_looked_into(&self) -> bool {
        !self.permit.bypasses_firewall() && !self.permit.is_network_rule()
    }

    /// What the rule that allowed it adds to its requests.
    pub(super) fn headers_to_insert(&self) -> &[HeaderInsertion] {
        self.permit.decision().rule.map_or(&[], |rule| self.active.policy.headers_to_insert(rule))
    }

    fn is_inbound(&self) -> bool {
        self.permit.decision().reason == Reason::DnatRule
    }

    /// The address that is tried first.
    pub(super) fn first(&self) -> Option<SocketAddr> {
        self.routes.first().map(|route| route.addr)
    }

    /// The address that security groups saw.
    pub(super) fn seen(&self) -> Option<IpAddr> {
        self.dialled.or(self.judged().ip())
    }

    pub(super) fn judged(&self) -> Address {
        self.routes.first().map_or(Address::Unknown, |route| route.judged)
    }
}

impl Refused {
    /// The same flow, refused for another reason.
    pub(super) fn because(self, reason: Reason) -> Refused {
        Refused { reason, ..self }
    }

    pub(super) fn rule_name(&self) -> Option<String> {
        self.decision.rule.map(|rule| self.active.policy.rule_name(rule).to_string())
    }
}

impl Session {
    pub(super) fn new(core: Rc<Core>, client: ClientAddr) -> Session {
        Session { core, client, timer: Timer::default() }
    }

    /// Decides by name, resolves what may be allowed, decides again for each address. The addresses that are
    /// returned are those that were judged.
    pub(super) async fn authorize(&self, ask: Ask<'_>) -> Result<Permitted, Refused> {
        let active = self.core.active();
        let (protocol, decision, around) = {
            let (protocol, decided) = self.first_allowed(&active, ask);
            (protocol, decided.decision, surroundings::of(&active, ask.via, &decided))
        };
        let refused = |reason| {
            let (around, active) = (around.clone(), active.clone());
            Refused { reason, decision, protocol, dst: None, around, active }
        };
        if self.core.recorder.refusing() {
            return Err(refused(Reason::LogUnavailable));
        }
        let by_address = self.is_judged_by_address(&active, ask);
        let worth_resolving = (by_address && self.may_ask_dns(&active, ask))
            || decision.verdict == Verdict::Allow
            || active.policy.is_decided_by_address(decision, ask.to.port);
        if !worth_resolving {
            return Err(refused(decision.reason));
        }
        // What is denied by name is no upstream failure, also where only its address could have allowed it.
        let unresolved = |reason| if decision.verdict == Verdict::Deny { decision.reason } else { reason };
        let redirect = self.core.resolver.redirected(ask.to);
        if let (Some(redirect), false, Ok(permit)) = (&redirect, by_address, decision.permit()) {
            let routes = self.routes_to(redirect, self.query(ask, protocol, &[]).address).await;
            let routes = routes.map_err(|reason| refused(unresolved(reason)))?;
            let known_as = names_of(&self.core.shared.directory.fqdns(), ask).to_vec();
            let dialled = ask.dialled;
            return self.without_own(Permitted { permit, protocol, routes, known_as, dialled, around, active });
        }
        if let Host::Addr(ip) = ask.to.host {
            // With its address the question was whole.
            let route = Route::to(ip.to_canonical(), ask.to.port);
            let Ok(permit) = decision.permit() else {
                return Err(Refused { dst: Some(route.addr), ..refused(decision.reason) });
            };
            let known_as = names_of(&self.core.shared.directory.fqdns(), ask).to_vec();
            let (routes, dialled) = (vec![route], ask.dialled);
            return self.without_own(Permitted { permit, protocol, routes, known_as, dialled, around, active });
        }
        let answers = self.resolve(ask.to).await.map_err(|reason| refused(unresolved(reason)))?;
        let judged = self.judge(&active, ask, protocol, &answers)?;
        let Some(redirect) = redirect.filter(|_| by_address) else { return Ok(judged) };
        let routes = self.routes_to(&redirect, judged.judged()).await;
        match routes {
            Ok(routes) => self.without_own(Permitted { routes, ..judged }),
            Err(reason) => Err(self.refuse(judged, reason)),
        }
    }

    /// Is it a client of a subnet that asks for a name? What is around the firewall looks at addresses, and lets some of
    /// them go past it: no name is denied before its addresses are known.
    fn is_judged_by_address(&self, active: &Active, ask: Ask<'_>) -> bool {
        let unknown = matches!(ask.to.host, Host::Name(_)) && ask.dialled.is_none();
        unknown && active.egress(ask.via).place_of(Some(self.client.ip())).is_some()
    }

    /// Of what the firewall denies by name, where only the network around it could let its address past: in the strict
    /// profile no server is told of such a name.
    fn may_ask_dns(&self, active: &Active, ask: Ask<'_>) -> bool {
        active.profile != Profile::Strict || self.core.resolver.is_given(ask.to)
    }

    /// Where `--connect-to` leads a destination that was judged.
    async fn routes_to(&self, redirect: &Authority, judged: Address) -> Result<Vec<Route>, Reason> {
        let answers = self.resolve(redirect).await?;
        let addrs = answers.iter().filter_map(|answer| answer.ip()).map(|ip| SocketAddr::new(ip, redirect.port));
        Ok(addrs.map(|addr| Route { addr, judged }).collect())
    }

    /// Decides about what the kernel handed over: as a DNAT rule leads it, else as about any other.
    pub(super) async fn authorize_handed_over(&self, ask: Ask<'_>) -> Result<Permitted, Refused> {
        if let Host::Addr(ip) = ask.to.host
            && self.core.shared.is_own(SocketAddr::new(ip, ask.to.port))
        {
            let active = self.core.active();
            let (protocol, decided) = self.first_allowed(&active, ask);
            let around = surroundings::of(&active, ask.via, &decided);
            let decision = decided.decision;
            return Err(Refused { reason: Reason::Loop, decision, protocol, dst: None, around, active });
        }
        match self.translate(ask).await {
            Some(decided) => decided,
            None => self.authorize(ask).await,
        }
    }

    /// The flow as a DNAT rule leads it; None where none takes it. A name that leads nowhere is no match, and of one
    /// with several addresses the first is taken (azure-docs, destination-nat-rules.md).
    async fn translate(&self, ask: Ask<'_>) -> Option<Result<Permitted, Refused>> {
        let active = self.core.active();
        if !active.policy.translates() {
            return None;
        }
        let protocol = *ask.protocols.first()?;
        let (decision, around, judged) = {
            let fqdns = self.core.shared.directory.fqdns();
            let query = self.query(ask, protocol, names_of(&fqdns, ask));
            let decided = self.decide(&active, ask, &Query { direction: Direction::Inbound, ..query });
            (decided.decision, surroundings::of(&active, ask.via, &decided), query.address)
        };
        let refused = |reason| {
            let (around, active) = (around.clone(), active.clone());
            Some(Err(Refused { reason, decision, protocol, dst: None, around, active }))
        };
        let denied_on_the_way = decision.reason.is_before_firewall();
        if denied_on_the_way || matches!(decision.reason, Reason::DeniedByRule | Reason::ThreatIntel) {
            return refused(decision.reason);
        }
        let Translated { host, port } = active.policy.translated(&decision)?.clone();
        let permit = decision.permit().ok()?;
        if self.core.recorder.refusing() {
            return refused(Reason::LogUnavailable);
        }
        let to = Authority { host, port };
        let first = self.resolve(&to).await.ok()?.into_iter().find_map(Address::ip)?;
        let routes = vec![Route { addr: SocketAddr::new(first, port), judged }];
        let (known_as, dialled) = (Vec::new(), None);
        Some(self.without_own(Permitted { permit, protocol, routes, known_as, dialled, around, active }))
    }

    /// The decision for the first protocol that is allowed; where none is, for the first.
    fn first_allowed<'n>(&self, active: &'n Active, ask: Ask<'_>) -> (Protocol, Decided<'n>) {
        let mut denied = None;
        let fqdns = self.core.shared.directory.fqdns();
        for protocol in ask.protocols {
            let decided = self.decide(active, ask, &self.query(ask, *protocol, names_of(&fqdns, ask)));
            if decided.decision.verdict == Verdict::Allow {
                return (*protocol, decided);
            }
            denied.get_or_insert((*protocol, decided));
        }
        denied.expect("every front-end asks for one protocol at least")
    }

    fn decide<'n>(&self, active: &'n Active, ask: Ask<'_>, query: &Query<'_>) -> Decided<'n> {
        let runs = ask.live.is_some() && ask.live == query.dialled.or(query.address.ip());
        let egress = if runs { active.egress_of_live_flows(ask.via) } else { active.egress(ask.via) };
        egress.decide(query, self.client.port())
    }

    /// An address is judged by the names of network rules too that resolve to it.
    pub(super) fn query<'a>(&self, ask: Ask<'a>, protocol: Protocol, resolved: &'a [HostName]) -> Query<'a> {
        let query = Query::new(Some(self.client.ip()), protocol, &ask.to.host, ask.to.port);
        Query { path: ask.path, dialled: ask.dialled, resolved, ..query.outbound() }
    }

    /// Keeps the addresses of a name for which the same rule allows the flow as for the first that is allowed.
    fn judge(
        &self,
        active: &InForce,
        ask: Ask<'_>,
        protocol: Protocol,
        answers: &[Address],
    ) -> Result<Permitted, Refused> {
        let query = self.query(ask, protocol, &[]);
        let around = |decided: &Decided<'_>| surroundings::of(active, ask.via, decided);
        let mut permitted: Option<Permitted> = None;
        let mut refused = None;
        for (answer, ip) in answers.iter().filter_map(|answer| answer.ip().map(|ip| (*answer, ip))) {
            let dst = SocketAddr::new(ip, ask.to.port);
            let decided = self.decide(active, ask, &query.with_address(answer));
            let decision = decided.decision;
            let route = Route { addr: dst, judged: answer };
            match (decision.permit(), &mut permitted) {
                (Ok(permit), None) => {
                    let (routes, known_as, dialled) = (vec![route], Vec::new(), ask.dialled);
                    let (around, active) = (around(&decided), active.clone());
                    permitted = Some(Permitted { permit, protocol, routes, known_as, dialled, around, active });
                }
                (Ok(permit), Some(first)) if permit.decision() == first.permit.decision() => {
                    // What is Egret's own will not be dialled.
                    if first.around.is_some() && first.routes.iter().all(|it| self.core.shared.is_own(it.addr)) {
                        first.around = around(&decided);
                    }
                    first.routes.push(route);
                }
                (Ok(_), Some(_)) => {}
                (Err(_), _) => {
                    refused.get_or_insert_with(|| {
                        let (reason, around, active) = (decision.reason, around(&decided), active.clone());
                        Refused { reason, decision, protocol, dst: Some(dst), around, active }
                    });
                }
            }
        }
        if let Some(permitted) = permitted {
            return self.without_own(permitted);
        }
        Err(refused.unwrap_or_else(|| {
            let decided = self.decide(active, ask, &query);
            let decision = decided.decision;
            let failed = decision.verdict == Verdict::Allow;
            let reason = if failed { Reason::NameUnresolvable } else { decision.reason };
            Refused { reason, decision, protocol, dst: None, around: around(&decided), active: active.clone() }
        }))
    }

    /// Egret never connects to itself, whoever says so.
    fn without_own(&self, mut permitted: Permitted) -> Result<Permitted, Refused> {
        let first = permitted.first();
        permitted.routes.retain(|route| !self.core.shared.is_own(route.addr));
        if permitted.routes.is_empty() {
            let Permitted { permit, protocol, around, active, .. } = permitted;
            let decision = permit.decision();
            return Err(Refused { reason: Reason::Loop, decision, protocol, dst: first, around, active });
        }
        Ok(permitted)
    }

    async fn resolve(&self, to: &Authority) -> Result<Vec<Address>, Reason> {
        let answers = self.core.resolver.resolve(to).await;
        let asked_dns = matches!(to.host, Host::Name(_))
            && answers.as_ref().map_or(true, |answers| answers.iter().any(|one| matches!(one, Address::Given(_))));
        self.core.counters.dns_lookups.add(u64::from(asked_dns));
        answers.map_err(|error| {
            self.core.counters.dns_failures.add(1);
            tracing::info!(%error, "a name did not resolve");
            Reason::NameUnresolvable
        })
    }

    /// Decides again, for a protocol that has shown itself. The one that was decided about needs no second decision: a
    /// policy says the same of the same.
    pub(super) fn reauthorize(&self, ask: Ask<'_>, permitted: Permitted) -> Result<Permitted, Refused> {
        let protocol = ask.protocols.first().copied().unwrap_or(permitted.protocol);
        if protocol == permitted.protocol {
            return Ok(permitted);
        }
        let address = permitted.judged();
        let Permitted { routes, known_as, dialled, active, .. } = permitted;
        let query = self.query(ask, protocol, &known_as).with_address(address);
        let (decision, around) = {
            let decided = self.decide(&active, ask, &query);
            (decided.decision, surroundings::of(&active, ask.via, &decided))
        };
        match decision.permit() {
            Ok(permit) => Ok(Permitted { permit, protocol, routes, known_as, dialled, around, active }),
            Err(_) => Err(Refused { reason: decision.reason, decision, protocol, dst: None, around, active }),
        }
    }

    /// A permitted flow that is refused after all, for what it turned out to be.
    pub(super) fn refuse(&self, permitted: Permitted, reason: Reason) -> Refused {
        let dst = permitted.first();
        let Permitted { permit, protocol, around, active, .. } = permitted;
        Refused { reason, decision: permit.decision(), protocol, dst, around, active }
    }

    /// Connects, and remembers which address it was: that one is judged again when the policy changes.
    pub(super) async fn dial(&self, permitted: &mut Permitted) -> Result<TcpStream, Reason> {
        Ok(self.dial_from(permitted, None, &[]).await?.stream)
    }

    /// The same with the first bytes: how many of them were sent is told.
    pub(super) async fn dial_with(
        &self,
        permitted: &mut Permitted,
        first: &[u8],
    ) -> Result<(TcpStream, usize), Reason> {
        let Dialled { stream, sent, addr: _ } = self.dial_from(permitted, None, first).await?;
        Ok((stream, sent))
    }

    /// The same for a flow that was handed over whole: private destinations see the client's own address, where the
    /// policy has them so and a network rule decided (azure-docs, snat-private-range.md).
    pub(super) async fn dial_as_client(&self, permitted: &mut Permitted) -> Result<TcpStream, Reason> {
        let GatewayConfig { keeps_client, mode, .. } = &self.core.shared.gateway;
        let keeps = permitted.permit.is_network_rule() && *mode == HandOver::Tproxy && !keeps_client.is_empty();
        let client = keeps.then_some((self.client.ip(), keeps_client.as_slice()));
        Ok(self.dial_from(permitted, client, &[]).await?.stream)
    }

    async fn dial_from(
        &self,
        permitted: &mut Permitted,
        client: Option<(IpAddr, &[AddressRange])>,
        first: &[u8],
    ) -> Result<Dialled, Reason> {
        let each = self.core.shared.config.timeouts.connect;
        let addrs = permitted.routes.iter().map(|route| route.addr);
        let source = Source { mark: self.core.shared.mark, client };
        let dialled = dial(&permitted.permit, addrs, each, source, &self.timer, first).await.map_err(|error| {
            self.core.counters.connect_failures.add(1);
            tracing::info!(%error, "a permitted destination was not reached");
            error.reason()
        })?;
        permitted.routes.retain(|route| route.addr == dialled.addr);
        Ok(dialled)
    }

    /// A socket for a UDP flow, to the address that was judged.
    pub(super) fn dial_udp(&self, permitted: &Permitted) -> Result<UdpSocket, Reason> {
        let addr = permitted.first().ok_or(Reason::UpstreamUnreachable)?;
        dial_udp(&permitted.permit, addr, self.core.shared.mark).map_err(|error| {
            self.core.counters.connect_failures.add(1);
            tracing::info!(%error, "a permitted destination was not reached");
            error.reason()
        })
    }

    /// Relays a tunnel to its end and records that.
    ///
    /// A tunnel may rest for hours: what this holds meanwhile is kept small, and in one place.
    pub(super) async fn tunnel(&self, mut tunnel: Box<Tunnel>) {
        let early = std::mem::take(&mut tunnel.early);
        let Tunnel { via, to, path, permitted, client, origin, .. } = &*tunnel;
        let ask = Ask { via: *via, to, protocols: &[], path: path.as_deref(), dialled: permitted.dialled, live: None };
        let progress = measured(&tunnel.opened, tunnel.moved);
        self.core.counters.tunnels.inc();
        let idle = self.core.shared.config.timeouts.idle;
        let relayed = {
            let cut = pin!(self.cut(ask, permitted));
            relay(client, origin, Idle { limit: idle, timer: &self.timer }, early, progress.as_deref(), cut).await
        };
        self.core.counters.tunnels.dec();
        let Relayed { up, down, end } = relayed;
        match end {
            // As Azure Firewall does when it is idle, so that both ends learn that the connection is no more. One that a
            // policy cuts is not to look whole either.
            End::Idle | End::Cut(CloseWhy::Reason(_)) => [client, origin].into_iter().for_each(reset_when_dropped),
            // An end would say that all was said.
            End::Reset(Side::Client) => reset_when_dropped(origin),
            End::Reset(Side::Origin) => reset_when_dropped(client),
            End::Eof(_) | End::Cut(_) => {}
        }
        let (by, why) = match end {
            End::Eof(side) => (closed_by(side), CloseWhy::Eof),
            End::Reset(side) => (closed_by(side), CloseWhy::Reset),
            End::Idle => (ClosedBy::Egret, CloseWhy::IdleTimeout),
            End::Cut(why) => (ClosedBy::Egret, why),
        };
        let Tunnel { opened, moved, .. } = *tunnel;
        let [before_up, before_down] = moved;
        self.close(opened, [before_up + up, before_down + down], by, why);
    }

    /// Completes when the tunnel has to end: Egret goes down, or a new policy denies it.
    pub(super) async fn cut(&self, ask: Ask<'_>, permitted: &Permitted) -> CloseWhy {
        self.until(|| {
            // A change while the origin was dialled is one as well.
            if self.still_allowed(ask, permitted) {
                self.core.alarm.is_killed().then_some(CloseWhy::Shutdown)
            } else {
                Some(CloseWhy::Reason(Reason::PolicyChanged))
            }
        })
        .await
    }

    /// Completes when a new policy denies it.
    pub(super) async fn denied(&self, ask: Ask<'_>, permitted: &Permitted) {
        self.until(|| (!self.still_allowed(ask, permitted)).then_some(())).await;
    }

    /// Looks at once, and each time that the alarm rings.
    async fn until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        let mut alarm = self.core.alarm.listen();
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            poll_fn(|cx| alarm.poll(cx)).await;
        }
    }

    pub(super) fn still_allowed(&self, ask: Ask<'_>, permitted: &Permitted) -> bool {
        let active = self.core.active();
        if Rc::ptr_eq(&active, &permitted.active) {
            return true;
        }
        let query = self.query(ask, permitted.protocol, &permitted.known_as).with_address(permitted.judged());
        let egress = active.egress_of_live_flows(ask.via);
        if permitted.is_inbound() {
            let query = Query { direction: Direction::Inbound, ..query };
            let decision = egress.decide(&query, self.client.port()).decision;
            return active.policy.translated(&decision)
                == permitted.active.policy.translated(&permitted.permit.decision());
        }
        egress.decide(&query, self.client.port()).decision.verdict == Verdict::Allow
    }

    /// The answer to a refused or failed flow, in the manner of the profile.
    pub(super) fn refusal(&self, reason: Reason, rule: Option<String>, to: &Authority) -> Answer {
        self.answer(Answer::refusal(self.core.active().profile, reason, rule, Some(to)))
    }

    /// The same where no destination was understood.
    pub(super) fn bare_refusal(&self, reason: Reason) -> Answer {
        self.answer(Answer::refusal(self.core.active().profile, reason, None, None))
    }

    fn answer(&self, answer: Answer) -> Answer {
        if self.core.shared.config.reason_headers { answer } else { answer.without_reason_headers() }
    }

    pub(super) async fn write_answer(&self, stream: &TcpStream, answer: &Answer) -> bool {
        self.write(stream, &answer.to_bytes()).await
    }

    /// Writes to a client that has the time of a request head to take it. False where it did not.
    pub(super) async fn write(&self, stream: &TcpStream, mut bytes: &[u8]) -> bool {
        let all = async {
            while !bytes.is_empty() {
                stream.writable().await?;
                match stream.try_write(bytes) {
                    Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        matches!(self.timer.within(self.timeouts().head, all).await, Ok(Ok(())))
    }

    pub(super) fn max_head(&self) -> usize {
        self.core.shared.config.limits.head_bytes
    }

    pub(super) fn timeouts(&self) -> &crate::config::Timeouts {
        &self.core.shared.config.timeouts
    }

    /// Is a hello refused whose name may be a front for another?
    pub(super) fn denies_ech(&self) -> bool {
        self.core.shared.config.ech == EchMode::Deny
    }
}

/// What a front-end leaves behind: nothing, or a tunnel to be relayed. So what it took to get there is gone while
/// the tunnel rests.
pub(super) type Outcome = Option<Box<Tunnel>>;

/// A tunnel about to be relayed.
pub(super) struct Tunnel {
    pub(super) opened: Opened,
    pub(super) via: Via,
    pub(super) to: Authority,
    /// Of the request that asked for another protocol.
    pub(super) path: Option<String>,
    pub(super) permitted: Permitted,
    pub(super) client: TcpStream,
    pub(super) origin: TcpStream,
    /// Read already and not passed on: from the client, from the origin.
    pub(super) early: [Vec<u8>; 2],
    /// Bytes that were passed on before: up, down.
    pub(super) moved: [u64; 2],
}

/// The names of network rules that lead to the address that was asked for at present.
fn names_of<'a>(fqdns: &'a FqdnTable, ask: Ask<'_>) -> &'a [HostName] {
    match ask.to.host {
        Host::Addr(addr) => fqdns.names_of(addr.to_canonical()),
        Host::Name(_) => &[],
    }
}

/// Where to write down how far a flow is, if that matters.
fn measured(opened: &Opened, [before_up, before_down]: [u64; 2]) -> Option<Rc<Cell<[u64; 2]>>> {
    opened.is_measured().then(|| {
        let progress = Rc::new(Cell::new([0, 0]));
        let shared = progress.clone();
        opened.moves(move || {
            let [up, down] = shared.get();
            [before_up + up, before_down + down]
        });
        progress
    })
}

pub(super) fn closed_by(side: Side) -> ClosedBy {
    match side {
        Side::Client => ClosedBy::Client,
        Side::Origin => ClosedBy::Origin,
    }
}

/// How long a closing connection is read from, so that its last bytes are not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);

/// What a closing connection may still send.
const LINGER_BYTES: usize = 256 * 1024;

/// Closes a connection so that the client sees an end and no reset: what it still sends is read away, for a
/// second at most.
pub(super) async fn close_gently(mut stream: TcpStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    // A client that is gone needs no good-bye.
    if stream.shutdown().await.is_err() {
        return;
    }
    let drain = async {
        let mut waste = [0; 2048];
        let mut left = LINGER_BYTES;
        while let Ok(read @ 1..) = stream.read(&mut waste).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    // At the deadline it is closed as it is.
    let _ = tokio::time::timeout(LINGER, drain).await;
}
