//! Network Watcher and network interfaces on the admin server: which question of [`azure::watcher`](crate::azure::watcher)
//! a path asks.

use hyper::body::Incoming;

use crate::azure::ase::ArmError;
use crate::azure::shape::kinds::INTERFACE;
use crate::azure::watcher::{
    Ids, NextHopParameters, NsgDiagnosticsParameters, WatcherError, effective_routes, effective_security_groups,
    ip_flow_verify, next_hop, nsg_diagnostics,
};
use crate::vnet::Network;

use super::super::admin::Answer;
use super::path::{InterfacePart, Scope, WatcherPart};
use super::{ok, read_json};

pub(super) async fn watched(
    network: &Network,
    ids: Ids<'_>,
    part: WatcherPart,
    body: Incoming,
) -> Result<Answer, ArmError> {
    let answered = match part {
        WatcherPart::NextHop => {
            let asked: NextHopParameters = read_json(body).await?;
            next_hop(network, ids.about(&asked.target_resource_id), &asked).map(|it| ok(&it))
        }
        WatcherPart::IpFlowVerify => ip_flow_verify(network, &read_json(body).await?).map(|it| ok(&it)),
        WatcherPart::Diagnostics => {
            let asked: NsgDiagnosticsParameters = read_json(body).await?;
            nsg_diagnostics(network, ids.about(&asked.target_resource_id), &asked).map(|it| ok(&it))
        }
    };
    answered.map_err(|error: WatcherError| ArmError::InvalidParameter(error.to_string()))
}

/// Of an interface by its name; None where the topology has none of it there.
pub(super) fn effective(
    network: &Network,
    ids: Ids<'_>,
    scope: &Scope,
    interface: &str,
    part: InterfacePart,
) -> Option<Answer> {
    let mut all = network.topology().interfaces.iter();
    let found = all.find(|it| it.name.eq_ignore_ascii_case(interface))?;
    if !scope.holds(network.topology(), INTERFACE, &found.name) {
        return None;
    }
    let place = network.place(&found.virtual_network, &found.subnet)?;
    Some(match part {
        InterfacePart::EffectiveRoutes => ok(&effective_routes(network.effective_routes(place))),
        InterfacePart::EffectiveSecurity => {
            ok(&effective_security_groups(network, ids, place, found.addresses.first().copied()))
        }
    })
}
