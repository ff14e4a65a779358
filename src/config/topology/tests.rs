//! Of the reader alone; whole files are in `tests/it/topology.rs`.

use super::*;
use crate::vnet::samples;

fn read_text(text: &str) -> (Topology, Findings) {
    let (mut topology, mut findings) = (Topology::default(), Findings::default());
    let source = Source::new(0, "vnet.toml".to_owned(), text.to_owned());
    read(&source, &mut topology, &mut findings);
    settle(&mut topology);
    (topology, findings)
}

/// The file of the manual and the fixture of the tests are one network.
#[test]
fn the_worked_set_up_of_the_manual() {
    let text = include_str!("../../../docs/ase/vnet.toml");
    let (topology, findings) = read_text(text);
    let remarks = findings.finish(&[]).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(remarks.warnings.is_empty(), "{:?}", remarks.warnings);
    assert_eq!(topology, samples::worked());
}

fn problems(text: &str) -> Vec<String> {
    let told = network_of("vnet.toml", text);
    told.map_or_else(|errors| errors.errors.iter().map(|it| it.what.clone()).collect(), |_| Vec::new())
}

/// Two networks that do not know of each other may be alike; Azure has an address once in a network.
#[test]
fn an_address_is_taken_in_its_network_alone() {
    let check = |vnet: &str, subnet: &str, expected: &[&str]| {
        let text = format!(
            r#"
            [[vnet]]
            name = "a"
            address_space = "10.0.0.0/16"
            subnet = [{{ name = "s", prefix = "10.0.1.0/24" }}]

            [[vnet]]
            name = "b"
            address_space = "10.0.0.0/16"
            subnet = [{{ name = "t", prefix = "10.0.1.0/24" }}]

            [[nic]]
            name = "vm1"
            vnet = "a"
            subnet = "s"
            addresses = "10.0.1.5"

            [[nic]]
            name = "vm2"
            vnet = "{vnet}"
            subnet = "{subnet}"
            addresses = "10.0.1.5"
            "#
        );
        assert_eq!(problems(&text), expected, "{vnet}/{subnet}");
    };
    check("b", "t", &[]);
    check("A", "s", &["10.0.1.5 of `vm2` is that of `vm1` already"]);
}

/// What is written is read back into the same, every option of it.
#[test]
fn what_is_written_is_read_back() {
    let check = |topology: &Topology| {
        let text = crate::config::to_vnet_toml(topology, &["none".to_owned()]);
        let (again, findings) = read_text(&text);
        let remarks = findings.finish(&[]).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert!(remarks.warnings.is_empty(), "{:?}", remarks.warnings);
        assert_eq!(again, *topology, "{text}");
    };
    let (every, findings) = read_text(include_str!("../../../tests/fixtures/topology/valid/every_option.toml"));
    assert!(findings.is_clean());
    check(&every);
    check(&samples::worked());
    check(&Topology::default());
    // What an import can leave behind: nothing that matches is not everything.
    let mut topology = samples::worked();
    let rule = &mut topology.security_groups[0].rules[0];
    rule.source.prefixes.clear();
    rule.destination.ports.clear();
    topology.environments[0].app_dependencies =
        ["tcp://[2001:db8::1]:5672", "udp://ntp.contoso.com:123", "icmp://10.0.0.4", "http://a.test"]
            .map(|text| environment::app_dependency(text).unwrap())
            .into();
    topology.virtual_networks[0].gateway = Some(crate::vnet::Gateway { name: "gateway".into(), ..Default::default() });
    check(&topology);
}
