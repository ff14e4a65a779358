//! Where an answer comes from: the user's own word, this machine's hosts file, the cache, a name server.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use super::asker::{Resolved, Unresolved};
use super::cache::{Answer, Cache, ROOM};
use super::fqdns::{Directory, Keeper};
use super::upstream::{Unanswered, Upstream, UpstreamError};
use super::{Question, host_name};
use crate::config::ResolveOverride;
use crate::flow::HostName;

/// How long a client may believe what was given by the user or by this machine: both may change with a restart.
const GIVEN_TTL: Duration = Duration::from_secs(10);

/// What the family that is late may still take where the other has an address.
fn grace(late: RecordType) -> Duration {
    // A server that says nothing does so of AAAA. One address of A is worth more: a lost datagram is sent again.
    Duration::from_millis(if late == RecordType::A { 1250 } else { 250 })
}

/// How long a family is not asked for after it came to nothing while the other had an address. Shorter than the time
/// between two look-ups of a network rule's name, which ask for both.
const FAILED_FOR: Duration = Duration::from_secs(10);

/// Families of names that are remembered so, at most. When it is full, all are forgotten, and asked for again.
const FAILED: usize = 4096;

pub(crate) struct Lookup {
    overrides: Vec<ResolveOverride>,
    hosts: Hosts,
    upstream: Upstream,
    cache: RefCell<Cache>,
    in_flight: RefCell<HashMap<Question, Asking>>,
    /// Each until when it is not asked by the firewall itself, and why.
    failed: RefCell<HashMap<Question, (Instant, Unanswered)>>,
    fqdns: Keeper,
    deadline: Duration,
}

/// A question that is put to the servers once, for all who ask it meanwhile.
type Asking = Rc<OnceCell<Result<Rc<Answer>, Unanswered>>>;

impl Lookup {
    /// `deadline` is for one question, whoever is asked.
    pub(crate) fn new(
        overrides: Vec<ResolveOverride>,
        upstream: Upstream,
        directory: Arc<Directory>,
        deadline: Duration,
    ) -> Lookup {
        Lookup {
            overrides,
            hosts: Hosts::from_system().unwrap_or_default(),
            upstream,
            cache: RefCell::new(Cache::new(ROOM)),
            in_flight: RefCell::default(),
            failed: RefCell::default(),
            fqdns: Keeper::new(directory),
            deadline,
        }
    }

    /// The answer to a question. Addresses for a name of a network rule are in the table by then.
    pub(crate) async fn answer(&self, question: &Question) -> Result<Rc<Answer>, Unanswered> {
        if let Some(known) = self.known(question).await {
            return Ok(known);
        }
        let answer = self.ask_once(question).await?;
        self.note(question, &answer).await;
        Ok(answer)
    }

    /// The same where no server has to be asked.
    pub(crate) async fn known(&self, question: &Question) -> Option<Rc<Answer>> {
        let given = self.given(question).map(Rc::new);
        let known = given.or_else(|| self.cache.borrow().get(question, Instant::now()))?;
        self.note(question, &known).await;
        Some(known)
    }

    /// What a server was told not to check may be forged: it is for whoever asked that way, and for nobody else.
    async fn note(&self, question: &Question, answer: &Answer) {
        if !question.checking_disabled
            && matches!(question.kind, RecordType::A | RecordType::AAAA)
            && !self.fqdns.follows_nothing()
            && let Some(name) = host_name(&question.name)
        {
            self.fqdns.note(&name, answer.addresses(), Instant::now()).await;
        }
    }

    /// What `--resolve` says of a name on any port, else the hosts file. A name that is known here is known whole: it
    /// has no addresses of the other family.
    pub(crate) fn given(&self, question: &Question) -> Option<Answer> {
        if !matches!(question.kind, RecordType::A | RecordType::AAAA) {
            return None;
        }
        let addrs = self.overridden(&question.name).or_else(|| self.in_hosts(&question.name))?;
        let wants_v4 = question.kind == RecordType::A;
        let ttl = u32::try_from(GIVEN_TTL.as_secs()).unwrap_or(0);
        let record = |addr| Record::from_rdata(question.name.clone(), ttl, RData::from(addr));
        let answers = addrs.into_iter().filter(|addr| addr.is_ipv4() == wants_v4).map(record).collect();
        Some(Answer::given(answers, GIVEN_TTL, Instant::now()))
    }

    fn overridden(&self, name: &Name) -> Option<Vec<IpAddr>> {
        let mut of_any_port = self.overrides.iter().filter(|given| given.port.is_none()).peekable();
        of_any_port.peek()?;
        let host = host_name(name)?;
        let given = of_any_port.find(|given| given.host.as_ref().is_none_or(|own| *own == host))?;
        Some(given.addresses.iter().map(|addr| addr.to_canonical()).collect())
    }

    fn in_hosts(&self, name: &Name) -> Option<Vec<IpAddr>> {
        let each = [RecordType::A, RecordType::AAAA].map(|kind| {
            let found = self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
            let addrs = found.iter().flat_map(|found| found.answers().iter());
            addrs.filter_map(|record| record.data.ip_addr()).collect::<Vec<IpAddr>>()
        });
        Some(each.concat()).filter(|addrs| !addrs.is_empty())
    }

    async fn ask_once(&self, question: &Question) -> Result<Rc<Answer>, Unanswered> {
        let asking = InFlight::join(self, question);
        let until = Instant::now() + self.deadline;
        let ask = async {
            let (message, server) = self.upstream.ask(question, until).await?;
            let answer = Rc::new(Answer::of(message, question.kind, Instant::now()).of_server(server));
            self.cache.borrow_mut().put(question, &answer);
            self.failed.borrow_mut().remove(question);
            Ok(answer)
        };
        let answered = timeout(self.deadline, asking.asking.get_or_init(|| ask)).await;
        answered.map_or(Err(UpstreamError::Timeout.into()), Clone::clone)
    }

    /// The addresses of a host, IPv4 first, for the firewall itself. `tell` hears of them when both families are known,
    /// or one of them is and the other is late. This returns when the late one is known too.
    pub(crate) async fn addresses(&self, name: &HostName, tell: impl FnOnce(Resolved)) {
        let [v4, v6] = [RecordType::A, RecordType::AAAA].map(|kind| Question::of_host(name, kind));
        let (mut one, mut other) = (pin!(self.family(&v4)), pin!(self.family(&v6)));
        let (first, mut rest, late) = tokio::select! {
            biased;
            first = &mut one => (first, other, &v6),
            first = &mut other => (first, one, &v4),
        };
        let patience = if first.has_address() { grace(late.kind) } else { Duration::MAX };
        if let Ok(second) = timeout(patience, &mut rest).await {
            return tell(self.resolved(&first, &second));
        }
        tell(self.resolved(&first, &Family { question: late, found: Err(UpstreamError::Timeout.into()) }));
        self.resolved(&first, &rest.await);
    }

    async fn family<'a>(&self, question: &'a Question) -> Family<'a> {
        let found = match self.failed_lately(question) {
            Some(error) => Err(error),
            None => self.answer(question).await,
        };
        Family { question, found }
    }

    fn failed_lately(&self, question: &Question) -> Option<Unanswered> {
        let failed = self.failed.borrow();
        let (until, error) = failed.get(question)?;
        (Instant::now() < *until).then(|| error.clone())
    }

    /// What both families come to.
    fn resolved(&self, one: &Family<'_>, other: &Family<'_>) -> Resolved {
        let each = [one, other].into_iter().flat_map(Family::addresses);
        let mut addrs: Vec<IpAddr> = each.map(|ip| ip.to_canonical()).collect();
        if addrs.is_empty() {
            return Resolved::Failed(why(&one.found, &other.found));
        }
        addrs.sort_by_key(IpAddr::is_ipv6);
        Resolved::To { addrs, until: self.holds(one).min(self.holds(other)) }
    }

    /// Until when the addresses may be kept, as far as this family has a say. One that came to nothing does not say: no
    /// answer, or one without an address and without a word for how long.
    fn holds(&self, family: &Family<'_>) -> Instant {
        match &family.found {
            Ok(answer) if family.has_address() || answer.until() > Instant::now() => answer.until(),
            Ok(answer) => {
                let error = Unanswered { why: UpstreamError::Code(answer.code()), server: answer.server() };
                self.remember(family.question, error)
            }
            Err(error) => self.remember(family.question, error.clone()),
        }
    }

    /// From the first time on: who asks meanwhile does not prolong it.
    fn remember(&self, question: &Question, error: Unanswered) -> Instant {
        let now = Instant::now();
        let mut failed = self.failed.borrow_mut();
        match failed.get(question) {
            Some((until, _)) if now < *until => return *until,
            None if failed.len() >= FAILED => failed.clear(),
            _ => {}
        }
        failed.insert(question.clone(), (now + FAILED_FOR, error));
        now + FAILED_FOR
    }

    /// From now on these names are kept resolved, and no others.
    pub(crate) fn follow(&self, names: &[HostName]) {
        self.fqdns.follow(names);
    }

    /// Drops the addresses that no answer had for too long.
    pub(crate) fn forget(&self) {
        self.fqdns.forget(Instant::now());
    }
}

/// What the question for one family of a host's addresses came to.
struct Family<'a> {
    question: &'a Question,
    found: Result<Rc<Answer>, Unanswered>,
}

impl Family<'_> {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.found.iter().flat_map(|answer| answer.addresses())
    }

    fn has_address(&self) -> bool {
        self.addresses().next().is_some()
    }
}

/// Why there is no address: what a server said, or why none did.
fn why(v4: &Result<Rc<Answer>, Unanswered>, v6: &Result<Rc<Answer>, Unanswered>) -> Unresolved {
    match (v4, v6) {
        (Err(error), _) | (_, Err(error)) => Unresolved { why: error.to_string(), server: error.server },
        (Ok(answer), Ok(_)) => {
            Unresolved { why: format!("no address in the answer ({})", answer.code()), server: answer.server() }
        }
    }
}

/// A part in a question that is under way. The last to leave takes it off the list.
struct InFlight<'a> {
    lookup: &'a Lookup,
    question: &'a Question,
    asking: Asking,
}

impl<'a> InFlight<'a> {
    fn join(lookup: &'a Lookup, question: &'a Question) -> InFlight<'a> {
        let asking = lookup.in_flight.borrow_mut().entry(question.clone()).or_default().clone();
        InFlight { lookup, question, asking }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut all = self.lookup.in_flight.borrow_mut();
        let is_mine = all.get(self.question).is_some_and(|asking| Rc::ptr_eq(asking, &self.asking));
        // The list's own and this one: nobody else is waiting.
        if is_mine && (self.asking.initialized() || Rc::strong_count(&self.asking) == 2) {
            all.remove(self.question);
        }
    }
}
