//! The gateway: what it hands on, what it denies and how that looks, in a lab of network namespaces. The explicit
//! proxy's modules say the rest about what is inside a flow.

use super::support::gateway::Gateway;
use super::support::origin::{GREETING, greeter};

/// No port is special to a network rule, and no hello is waited for: the server may speak first.
#[test]
fn a_network_rule_lets_any_port_and_protocol_through() {
    let rules =
        ["--allow=tcp://198.51.100.0/24:25", "--allow=tcp://[2001:db8:2::/64]:22", "--allow=tcp://198.51.100.7:443"];
    Gateway::both("", &rules, |gateway| {
        for to in ["198.51.100.7:25", "[2001:db8:2::7]:22", "198.51.100.7:443"] {
            let origin = gateway.net.origin(to, greeter);
            let mut client = gateway.net.connect(to);
            assert_eq!(client.bytes(GREETING.len()), GREETING);
            client.send("EHLO client.test\r\n");
            assert_eq!(client.bytes(18), b"EHLO client.test\r\n");
            let record = &gateway.egret.flows(client.addr(), 1)[0];
            for (field, expected) in
                [("via", "gateway"), ("verdict", "allow"), ("reason", "network-rule"), ("proto", "tcp"), ("dst", to)]
            {
                assert_eq!(record[field], expected, "{field} in {record:#}");
            }
            client.finish();
            assert_eq!(client.rest().0, b"");
            let close = gateway.egret.close(client.addr());
            assert_eq!((close["bytes_up"].as_u64(), close["bytes_down"].as_u64()), (Some(18), Some(29)), "{close:#}");
            assert_eq!(origin.connections(), 1);
        }
    });
}
