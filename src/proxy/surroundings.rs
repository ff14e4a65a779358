//! What the network around the firewall made of a flow, in the words of the log.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::flow::{Verdict, Via};
use crate::policy::Action;
use crate::telemetry::{Passed, RouteTaken, Secured, SecuredBy, SecurityRuleName, Surroundings};
use crate::vnet::{self, Arrival, Because, Crossing, Decided, Network};

use super::shared::Active;

/// None where nothing is around the firewall.
pub(super) fn of(active: &Active, via: Via, decided: &Decided<'_>) -> Option<Arc<Surroundings>> {
    let network = active.network_of(via)?;
    let (around, passed) = match (&decided.crossing, &decided.arrival) {
        (Some(crossing), _) => (worded(network, crossing), crossing.passed),
        (None, Some(arrival)) => (arrived(network, arrival), arrival.passed),
        (None, None) => return None,
    };
    let passed = passed.map(|decision| Passed {
        reason: decision.reason,
        rule: decision.rule.map(|rule| active.policy.rule_name(rule).clone()),
    });
    Some(Arc::new(Surroundings { passed, ..around }))
}

fn worded(network: &Network, crossing: &Crossing<'_>) -> Surroundings {
    let topology = network.topology();
    let taken = |(route, prefix): &(&vnet::EffectiveRoute, _)| RouteTaken {
        next_hop: route.next_hop.as_str(),
        prefix: *prefix,
        name: route.name.as_str().into(),
    };
    Surroundings {
        scope: topology.scope().into(),
        location: topology.location.as_str().into(),
        outbound: Some(secured(network, &crossing.outbound)),
        route: crossing.route.as_ref().map(taken),
        inbound: crossing.inbound.as_ref().map(|it| secured(network, it)),
        passed: None,
    }
}

/// Of a client that is in no subnet.
fn arrived(network: &Network, arrival: &Arrival<'_>) -> Surroundings {
    let topology = network.topology();
    Surroundings {
        scope: topology.scope().into(),
        location: topology.location.as_str().into(),
        outbound: None,
        route: None,
        inbound: Some(secured(network, &arrival.inbound)),
        passed: None,
    }
}

fn secured(network: &Network, secured: &vnet::Secured<'_>) -> Secured {
    let vnet::Secured { place, flow, decision } = secured;
    Secured {
        virtual_network: network.virtual_network(*place).name.as_str().into(),
        subnet: network.subnet(*place).name.as_str().into(),
        source: SocketAddr::new(flow.source, flow.source_port),
        destination: SocketAddr::new(flow.destination, flow.destination_port),
        access: match decision.access {
            Action::Allow => Verdict::Allow,
            Action::Deny => Verdict::Deny,
        },
        by: by(&decision.because),
    }
}

fn by(because: &Because<'_>) -> SecuredBy {
    match *because {
        Because::NoGroup => SecuredBy::Nobody,
        Because::Exempt => SecuredBy::Platform,
        Because::Rule { group, rule, is_default, priority: _, at: _ } => {
            let (group, rule): (Arc<str>, Arc<str>) = (group.into(), rule.into());
            SecuredBy::Rule(SecurityRuleName { group, rule, is_default })
        }
    }
}
