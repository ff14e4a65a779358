//! A trace for programs: every station, every step, what it rests on. `docs/trace.md` has the shape.

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Texts;
use crate::policy::{AddressRange, Spot};
use crate::vnet::Hop;
use crate::vnet::trace::{
    Answer, Asymmetry, Deciding, FirewallStep, Group, Level, Lookup, Mark, Outcome, Pairing, RouteLine, RouteStep,
    SecurityStep, Share, Shown, Station, Step, Sweep, SweptEnd, Trace, Translates, Translation,
};

#[derive(Serialize)]
pub(super) struct Report<'t> {
    from: &'t str,
    to: &'t str,
    service: &'t str,
    delivered: bool,
    outcome: Value,
    request: Vec<Value>,
    reply: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefixes: Option<Value>,
    notes: &'t [String],
}

/// `texts` are the files in which rules and routes stand.
pub(super) fn shown<'t>(trace: &'t Trace, texts: &Texts) -> Report<'t> {
    let Trace { from, to, service, request, reply, outcome: end, notes, sweep: swept } = trace;
    Report {
        from,
        to,
        service,
        delivered: trace.is_delivered(),
        outcome: outcome(end),
        request: request.iter().map(|it| station(it, texts)).collect(),
        reply: reply.iter().map(|it| station(it, texts)).collect(),
        prefixes: swept.as_ref().map(sweep),
        notes,
    }
}

fn outcome(outcome: &Outcome) -> Value {
    let (kind, text) = (outcome.as_str(), outcome.to_string());
    match outcome {
        Outcome::Delivered | Outcome::Unresolved(_) | Outcome::Unknown(_) => json!({ "kind": kind, "text": text }),
        Outcome::Denied { by, what } => json!({ "kind": kind, "text": text, "by": by.as_str(), "what": what }),
        Outcome::BlackHole { leg, why, what } => {
            json!({ "kind": kind, "text": text, "leg": leg.as_str(), "why": why.as_str(), "what": what })
        }
        Outcome::Asymmetric(Asymmetry { came_to, leaves_by, what }) => json!({
            "kind": kind, "text": text, "came_to": address(came_to), "leaves_by": address(leaves_by), "what": what,
        }),
    }
}

fn address(shown: &Shown) -> Value {
    let name = (!shown.name.is_empty()).then_some(&shown.name);
    json!({ "address": shown.address, "name": name })
}

fn station(station: &Station, texts: &Texts) -> Value {
    let Station { node, name, address: at, steps } = station;
    json!({
        "at": name,
        "kind": node.as_str(),
        "address": at.as_ref().map(address),
        "steps": steps.iter().map(|it| step(it, texts)).collect::<Vec<_>>(),
    })
}

fn step(step: &Step, texts: &Texts) -> Value {
    let (kind, detail) = match step {
        Step::Dns(lookup) => ("dns", dns(lookup)),
        Step::Security(security) => ("security", of_security(security, texts)),
        Step::FlowRecord(direction) => ("flow-record", json!({ "direction": direction.as_str() })),
        Step::Route(route) => ("route", of_route(route, texts)),
        Step::Firewall(firewall) => ("firewall", of_firewall(firewall, texts)),
        Step::Translation(translation) => ("translation", of_translation(translation)),
        Step::Remark { .. } => ("remark", json!({})),
    };
    let mark = match step.mark() {
        Mark::Pass => "pass",
        Mark::Stop => "stop",
        Mark::Info => "info",
    };
    with(json!({ "step": kind, "result": mark, "text": step.to_string() }), detail)
}

/// The members of both.
fn with(mut all: Value, more: Value) -> Value {
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    all
}

/// Where it is written: nowhere for what is Azure's own.
fn written(texts: &Texts, at: Spot) -> Value {
    match texts.position(at) {
        Some((file, line, column)) => json!({ "file": file, "line": line, "column": column }),
        None => json!({ "file": null, "line": null, "column": null }),
    }
}

fn dns(lookup: &Lookup) -> Value {
    let Lookup { name, resolver, answer } = lookup;
    let (kind, addresses) = match answer {
        Answer::Given(addresses) => ("given", addresses.clone()),
        Answer::Zone(_, address) => ("zone", vec![*address]),
        Answer::NotAsked(_) => ("not-asked", Vec::new()),
        Answer::Nowhere => ("nowhere", Vec::new()),
        Answer::Unreachable(_) => ("unreachable", Vec::new()),
    };
    json!({ "name": name.as_str(), "resolver": resolver, "answer": kind, "addresses": addresses })
}

fn of_security(step: &SecurityStep, texts: &Texts) -> Value {
    let SecurityStep { direction, access, because } = step;
    let access = access.as_str();
    let direction = direction.as_str();
    match because {
        Deciding::NoGroup => json!({ "direction": direction, "access": access, "group": null }),
        Deciding::Exempt => json!({ "direction": direction, "access": access, "group": null, "exempt": true }),
        Deciding::Rule { group, rule, priority, is_default, on, at } => {
            let on = match on {
                Level::Subnet => "subnet",
                Level::Interface => "interface",
            };
            let rule = json!({
                "direction": direction, "access": access, "group": group, "rule": rule, "priority": priority,
                "default": is_default, "on": on,
            });
            with(rule, written(texts, *at))
        }
    }
}

fn of_route(step: &RouteStep, texts: &Texts) -> Value {
    let RouteStep { line: taken, why, beaten } = step;
    let beaten: Vec<Value> = beaten.iter().map(|it| line(it, texts)).collect();
    json!({ "route": line(taken, texts), "why": why.as_str(), "beaten": beaten })
}

fn line(line: &RouteLine, texts: &Texts) -> Value {
    let RouteLine { name, source, prefix, tag, next_hop, at } = line;
    let address = match next_hop {
        Hop::VirtualAppliance(address) => Some(address),
        _ => None,
    };
    let route = json!({
        "name": name, "source": source.as_str(), "prefix": prefix, "tag": tag, "nextHopType": next_hop.as_str(),
        "nextHopIpAddress": address,
    });
    with(route, written(texts, *at))
}

fn of_firewall(step: &FirewallStep, texts: &Texts) -> Value {
    let FirewallStep { firewall, verdict, reason, rule, at, hint } = step;
    let decision = json!({
        "firewall": firewall, "verdict": verdict.as_str(), "reason": reason.as_str(), "rule": rule, "hint": hint,
    });
    with(decision, written(texts, *at))
}

fn of_translation(translation: &Translation) -> Value {
    let Translation { what, from, to } = translation;
    let what = match what {
        Translates::Source => "source",
        Translates::Destination => "destination",
        Translates::Back => "back",
    };
    json!({ "translates": what, "from": address(from), "to": address(to) })
}

fn sweep(sweep: &Sweep) -> Value {
    let Sweep { ends, groups } = sweep;
    let end = |end: &SweptEnd| json!({ "of": end.label, "count": end.count });
    let (first, second) = (ends.first().map(end), ends.get(1).map(end));
    let groups = json!({ "groups": groups.iter().map(group).collect::<Vec<_>>() });
    let second = second.map_or_else(|| json!({}), |second| json!({ "to": second }));
    with(with(first.unwrap_or_default(), second), groups)
}

fn group(group: &Group) -> Value {
    let Group { outcome: end, way, share } = group;
    let ranges = |ranges: &[AddressRange]| ranges.iter().map(ToString::to_string).collect::<Vec<_>>();
    let share = match share {
        Share::Of { wholly, partly } => {
            let parts: Vec<String> = partly.iter().flat_map(|part| ranges(&part.ranges)).collect();
            let partly: Vec<_> = partly.iter().map(|part| part.prefix).collect();
            json!({ "wholly": wholly, "partly": partly, "parts": parts })
        }
        Share::Pairs(pairs) => {
            let pair = |it: &Pairing| json!({ "from": ranges(&it.from), "to": ranges(&it.to) });
            json!({ "pairs": pairs.iter().map(pair).collect::<Vec<_>>() })
        }
    };
    with(json!({ "outcome": outcome(end), "way": way }), share)
}
