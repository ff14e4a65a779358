//! Networks out of resources.

use super::*;
use crate::azure::shape::kinds::{NETWORK as VIRTUAL_NETWORK, SUBNET};
use crate::azure::{json, shape};

/// Whatever the order and the case; a network of many subnets has a place for each.
#[test]
fn children_find_their_parents() {
    let subnet = |network: &str, name: &str, prefix: &str| {
        format!(r#"{{"type": "{SUBNET}", "name": "{network}/{name}", "properties": {{"addressPrefix": "{prefix}"}}}}"#)
    };
    let mut texts = vec![
        subnet("Hub", "a", "10.0.0.0/24"),
        subnet("spoke", "a", "10.9.0.0/24"),
        format!(
            r#"{{"type": "{VIRTUAL_NETWORK}", "name": "hub", "properties": {{"subnets": [
                {{"name": "A", "properties": {{"addressPrefix": "10.1.0.0/24"}}}}, {{"name": "b", "properties": {{}}}}]}}}}"#
        ),
    ];
    texts.extend((0..2000).map(|number| subnet("HUB", &format!("s{number}"), "10.2.0.0/24")));
    let nodes = json::parse(&format!("[{}]", texts.join(",")), 0).unwrap();
    let resources = shape::resources(&nodes).resources;
    let network = read(resources.iter(), Purpose::BesidePolicy, &mut Notes::default());
    let [hub, spoke] = network.virtual_networks.as_slice() else { panic!("{:?}", network.virtual_networks.len()) };
    assert_eq!((hub.name.as_str(), hub.subnets.len(), spoke.subnets.len()), ("Hub", 2002, 1));
    assert_eq!(hub.subnets[0].name, "A", "the later one counts");
    assert_eq!(hub.subnets[2001].name, "s1999");
}
