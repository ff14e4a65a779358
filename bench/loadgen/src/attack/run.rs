//! One case by one door, and what came of it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::bytes::Fill;
use super::case::{Case, Door, Mended, Step, Where};
use super::flow::{self, Flow, Refusal};
use super::query;
use super::ways::Ways;
use super::witness::{Arrival, Script, Witness};

/// How long the origin may take to read what it got, once the client knows how it ended.
const READING: Duration = Duration::from_millis(300);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// A step of a case.
    pub step: Duration,
    /// A deadline of the proxy's own.
    pub deadline: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It came to the origin, and something came back.
    Allowed,
    /// It came to the origin in a form that does no harm.
    Mended,
    /// It came there, and nothing came back.
    Arrived,
    Refused(Refusal),
    /// Neither an answer nor an end, and nothing came to the origin.
    Silent,
    /// Something that had to come back did not.
    Unmet(String),
    /// Nor did what is permitted in it come to the origin.
    ControlLost,
    Error(String),
}

/// What a run left behind, for who judges it.
#[derive(Debug, Clone)]
pub struct Trace {
    pub outcome: Outcome,
    pub arrived_at: Option<String>,
    pub client: Option<SocketAddr>,
    proof: String,
    control: Option<String>,
}

pub fn run(case: &Case, ways: &Ways, fill: &Fill, witness: &Witness, patience: Patience) -> Trace {
    let answers = case.answers.iter().map(|answer| fill.text(answer)).collect();
    witness.register(&fill.marker, Script { answers, tls: case.tls });
    for (name, lists) in &case.names {
        witness.name(&fill.text(name), lists.clone());
    }
    let trace = Trace {
        outcome: Outcome::Silent,
        arrived_at: None,
        client: None,
        proof: fill.text(&case.proof),
        control: case.control.as_deref().map(|control| fill.text(control)),
    };
    let trace = Run { case, ways, fill, witness, patience, trace }.finish();
    witness.forget(&fill.marker);
    trace
}

impl Trace {
    fn arrival(&self, place: Where, witness: &Witness) -> Option<Arrival> {
        witness.arrival(&self.proof, place)
    }

    /// The case takes this arrival for harmless.
    fn is_mended(&self, case: &Case, witness: &Witness) -> bool {
        let Some(mended) = &case.mended else { return false };
        let arrival = witness.wait_for(&self.proof, Where::Request, Instant::now() + READING);
        arrival.and_then(|arrival| arrival.head).is_some_and(|head| is_mended(mended, &head))
    }
}

/// A case on its way by one door.
struct Run<'a> {
    case: &'a Case,
    ways: &'a Ways,
    fill: &'a Fill,
    witness: &'a Witness,
    patience: Patience,
    trace: Trace,
}

impl Run<'_> {
    fn finish(mut self) -> Trace {
        let outcome = if self.fill.door == Door::Dns { self.ask() } else { self.talk() };
        self.trace.outcome = outcome.unwrap_or_else(|error| Outcome::Error(format!("{error:#}")));
        self.trace
    }

    fn ask(&mut self) -> Result<Outcome> {
        let server = self.ways.dns.context("there is no DNS proxy here")?;
        for step in &self.case.steps {
            let Step::Query(question) = step else { continue };
            let reply = query::ask(server, question, self.fill, self.patience.step)?;
            self.trace.client = reply.client;
            match reply.refusal {
                Some(Refusal::Dropped) if !self.case.silence => return Ok(Outcome::Silent),
                Some(refusal) => return Ok(Outcome::Refused(refusal)),
                None => {}
            }
        }
        Ok(if self.arrival().is_some() { Outcome::Allowed } else { Outcome::Silent })
    }

    fn talk(&mut self) -> Result<Outcome> {
        let Run { case, ways, fill, patience, .. } = *self;
        let _crowd = flow::crowd(ways, case, fill, patience.step)?;
        let mut flow = match Flow::open(ways, case, fill, patience.step) {
            // It may come before the news that the handshake is over.
            Err(error) if is_reset(&error) => return Ok(Outcome::Refused(Refusal::Reset)),
            opened => opened?,
        };
        self.trace.client = flow.client();
        flow.play(case, fill, patience.step)?;
        Ok(self.watch(&mut flow))
    }

    /// Until one side shows how it ended.
    fn watch(&mut self, flow: &mut Flow) -> Outcome {
        let limit = if self.case.waits { self.patience.deadline } else { self.patience.step };
        let until = Instant::now() + limit;
        loop {
            if let Some(arrival) = self.arrival() {
                return self.arrived(flow, arrival);
            }
            if self.case.proof_in == Where::Inside && self.trace.arrival(Where::Public, self.witness).is_some() {
                return Outcome::Mended;
            }
            if let Some(outcome) = settled(flow) {
                return outcome;
            }
            if Instant::now() >= until {
                return if flow.answered || !flow.seen.is_empty() { said_something(flow) } else { Outcome::Silent };
            }
            flow.pump();
        }
    }

    fn arrival(&self) -> Option<Arrival> {
        self.trace.arrival(self.case.proof_in, self.witness)
    }

    /// It came to the origin. Whether the client got an answer makes it an allowed flow.
    fn arrived(&mut self, flow: &mut Flow, arrival: Arrival) -> Outcome {
        self.trace.arrived_at = Some(arrival.at);
        if self.trace.is_mended(self.case, self.witness) { Outcome::Mended } else { answered(flow) }
    }
}

fn is_reset(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(ErrorKind::ConnectionReset)
}

/// What the client alone can know.
fn settled(flow: &mut Flow) -> Option<Outcome> {
    if let Some(what) = flow.unmet.take() {
        return Some(Outcome::Unmet(what));
    }
    while let Some(status) = flow.next_status() {
        if status >= 400 {
            return Some(Outcome::Refused(Refusal::Status(status)));
        }
    }
    flow.refused.map(Outcome::Refused)
}

fn said_something(flow: &Flow) -> Outcome {
    let shown = flow.shown();
    if shown.is_empty() { Outcome::Silent } else { Outcome::Unmet(format!("an end, after {shown:?}")) }
}

/// Waits for what the origin's answer becomes on the way back.
fn answered(flow: &mut Flow) -> Outcome {
    let until = Instant::now() + Duration::from_secs(2);
    while !flow.answered && flow.unmet.is_none() && Instant::now() < until {
        match flow.next_status() {
            Some(400..) => return Outcome::Arrived,
            Some(_) => flow.answered = true,
            None if flow.seen.is_empty() => flow.pump(),
            None if flow.seen.starts_with(b"HTTP/") => flow.pump(),
            None => flow.answered = true,
        }
        if flow.refused.is_some() && flow.seen.is_empty() {
            break;
        }
    }
    match flow.unmet.take() {
        Some(what) => Outcome::Unmet(what),
        None if flow.answered => Outcome::Allowed,
        None => Outcome::Arrived,
    }
}

fn is_mended(mended: &Mended, head: &str) -> bool {
    let lower = head.to_ascii_lowercase();
    let hosts: Vec<&str> = lower.lines().filter_map(|line| line.strip_prefix("host:")).map(str::trim).collect();
    let clean = !head.replace("\r\n", "").contains(['\r', '\n', '\0'])
        && !head.lines().any(|line| line.starts_with([' ', '\t']));
    mended.host.as_deref().is_none_or(|host| hosts == [host])
        && mended.lacks.iter().all(|text| !lower.contains(text.as_str()))
        && (!mended.clean_lines || clean)
}

/// Late arrivals count: once all is over, what was refused is looked at again.
pub fn look_again(case: &Case, witness: &Witness, trace: &mut Trace) {
    let lacks = |marker: &String| witness.arrival(marker, Where::Bytes).is_none();
    let control_is_lost = trace.control.as_ref().is_some_and(lacks);
    if !matches!(trace.outcome, Outcome::Refused(_) | Outcome::Silent | Outcome::Unmet(_)) {
        return;
    }
    let Some(arrival) = trace.arrival(case.proof_in, witness) else {
        if control_is_lost {
            trace.outcome = Outcome::ControlLost;
        }
        return;
    };
    if matches!(trace.outcome, Outcome::Unmet(_)) {
        return;
    }
    trace.outcome = if trace.is_mended(case, witness) { Outcome::Mended } else { Outcome::Arrived };
    trace.arrived_at = Some(arrival.at);
}
